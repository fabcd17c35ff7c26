"""What a CSMS may do to a station in a test: a script of wrongs, applied to its next answers."""

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
        self._wrongs = [wrong for wrong in wrongs if wrong != "answer"]  # that needs a payload
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
    if wrong.how == "garbage":
        return ["{[\x01" + answer[:9]]
    if wrong.how == "wrong_id":
        return [json.dumps([kind, "nobody-asked", {}])]
    if wrong.how == "error":
        return [json.dumps([4, unique_id, wrong.code, "on purpose", {}])]
    return [answer]
