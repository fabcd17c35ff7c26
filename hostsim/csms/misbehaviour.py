"""What a CSMS may do to a station in a test: a script of wrongs, applied to its next answers, or a way of its own that it
keeps to, as CSMSs in the field do."""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

WRONGS = {
    "silent": "no answer at all",
    "late": "the answer comes `delay` simulated seconds later",
    "duplicate": "the answer comes twice",
    "malformed": "an answer with the right id whose payload breaks the schema",
    "answer": "an answer with the right id and `payload`",
    "own": "the right answer, with null in it and fields that OCPP does not know",
    "garbage": "bytes that are not JSON in the place of the answer",
    "wrong_id": "an answer to a question that nobody asked, then nothing",
    "error": "a CALLERROR (`code`)",
    "close": "the connection is closed in the place of the answer",
    "unheard": "the connection is cut before the CSMS has heard the message",
}


@dataclass
class Wrong:
    """One scripted wrong: for `action` ("*": any), `times` times, when `only(payload)` holds."""

    how: str
    action: str = "*"
    times: int = 1
    delay: float = 40.0
    code: str = "InternalError"
    payload: Any = None
    only: Callable[[dict[str, Any]], bool] | None = None

    def __post_init__(self) -> None:
        if self.how not in WRONGS:
            raise ValueError(f"a CSMS can be {', '.join(WRONGS)}, not {self.how!r}")

    def applies(self, action: str, payload: dict[str, Any]) -> bool:
        wanted = self.action in ("*", action) and (self.only is None or self.only(payload))
        return self.times > 0 and wanted


class Moody:
    """The `mood` of a CSMS that does one of `wrongs` with about one CALL in `often`."""

    def __init__(self, dice: Random, often: int, wrongs: Iterable[str] = tuple(WRONGS)):
        self._dice = dice
        self._often = often
        # "answer" needs a payload; "own" is no wrong of a moment.
        self._wrongs = [wrong for wrong in wrongs if wrong not in ("answer", "own")]
        self.done: Counter[str] = Counter()

    def __call__(self, action: str) -> Wrong | None:
        dice = self._dice
        if dice.randrange(self._often):
            return None
        how = dice.choice(self._wrongs)
        self.done[how] += 1
        return Wrong(how, action, delay=dice.choice((0.1, 3, 20, 40, 90)))


def spoil(wrong: Wrong, answer: str) -> list[str]:
    """The texts to send in the place of an answer. Timing ("late", "silent", "close") is the caller's."""
    kind, unique_id, *_ = json.loads(answer)
    if wrong.how in ("silent", "close"):
        return []
    if wrong.how == "duplicate":
        return [answer, answer]
    if wrong.how == "malformed":
        return [json.dumps([kind, unique_id, {"status": 17, "customData": 17, "unheardOf": None}])]
    if wrong.how == "answer":
        return [json.dumps([kind, unique_id, wrong.payload], ensure_ascii=False)]
    if wrong.how == "own":
        return [json.dumps([kind, unique_id, _own(json.loads(answer)[2])])]
    if wrong.how == "garbage":
        return ["{[\x01" + answer[:9]]
    if wrong.how == "wrong_id":
        return [json.dumps([kind, "nobody-asked", {}])]
    if wrong.how == "error":
        return [json.dumps([4, unique_id, wrong.code, "on purpose", {}])]
    return [answer]


def _own(payload: dict[str, Any]) -> dict[str, Any]:
    """A payload as some frameworks write it: null for what is absent, and fields for friends."""
    more = {"statusInfo": None, "customData": None, "serverId": "a7", "trace": {"hops": [1, None]}}
    for name, value in payload.items():
        more[name] = _own(value) if isinstance(value, dict) else value
    return more


# --- CSMSs as there are --------------------------------------------------------------------------

KINDS = {
    "example": "takes what the example of a library takes, and answers NotImplemented to all else",
    "hangs-up": "closes three connections of four before a message has passed",
    "silent": "the line goes dead within hours and nobody closes it",
    "slow": "seconds away, at a few hundred bytes a second",
    "own-fields": "answers with null and with fields of its own",
}
EXAMPLE = ("BootNotification", "Heartbeat", "StatusNotification", "Authorize", "TransactionEvent")
CLOSES = (1000, 1011, 4001)  # the codes of those that close at once


def become(kind: str, csms: Any, network: Any, seed: int = 1) -> None:
    """Make a CSMS, and the network before it, one of KINDS until further notice."""
    if kind == "example":
        csms.mood = knows_only()
    elif kind == "hangs-up":
        csms.closes = itertools.cycle((*CLOSES, None))
    elif kind == "silent":
        dice = Random(seed)
        csms.silent_after = lambda: dice.uniform(60, 4 * 3600)
    elif kind == "slow":
        network.delay, network.throttle = 1.5, 400
    elif kind == "own-fields":
        csms.mood = lambda action: Wrong("own", action)
    else:
        raise ValueError(f"a CSMS can be {', '.join(KINDS)}, not {kind!r}")


def knows_only(
    actions: Iterable[str] = EXAMPLE, code: str = "NotImplemented"
) -> Callable[[str], Wrong | None]:
    """The `mood` of a CSMS that answers everything but these actions with an error."""
    known = frozenset(actions)
    return lambda action: None if action in known else Wrong("error", action, code=code)
