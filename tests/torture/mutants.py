"""OCPP messages with something wrong in them: valid requests and answers, changed in their structure, in their bytes or in
both. The same seed makes the same ones."""

import copy
import json
from random import Random
from typing import Any

from tests.blocks import payloads
from tools.measure.footprint.scenarios import REQUESTS

_SERVER = "http://127.0.0.1:1"  # where nobody listens
_ANSWERS: list[Any] = [
    {"currentTime": "2026-03-01T00:00:00Z"},
    {"currentTime": "2026-03-01T00:00:00Z", "interval": 60, "status": "Accepted"},
    {"idTokenInfo": {"status": "Accepted", "groupIdToken": {"idToken": "G", "type": "Central"}}},
    {"status": "Accepted", "statusInfo": {"reasonCode": "None", "additionalInfo": "\u00e9\U0001f40d"}},
    {},
]  # fmt: skip
_ODD: list[Any] = [
    None, True, False, 0, -1, 1, 1.5, 1e300, -1e-9, 1 << 31, 1 << 63, 1 << 70, "", " ", "x", "\0", "\u00e9",
    "\ud800", "\U0001f40d" * 9, "x" * 40, "y" * 300, "z" * 1200, "w" * 4000, [], {}, [[]], [{}], {"": ""},
    {"customData": {"vendorId": "v"}}, [0] * 70, "2026-03-01T00:00:00Z", "1e5", "\\", '"',
]  # fmt: skip
_PIECES = [
    b"\xff", b"\x80", b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\0", b"\x1f", b"\\", b"\\u",
    b"\\u00", b"\\ud83d", b"\\ud83d\\ude00", b'"', b'"",', b"[", b"]", b"{", b"}", b",", b":", b"-", b"0", b"1e",
    b"9" * 30, b".", b"null", b"true", b"[" * 30, b'{"a":' * 25, b" " * 400, b"\t\n", b"/*", b"\xef\xbb\xbf", b"x" * 3000,
]  # fmt: skip


class Mutants:
    """`make(open_)` gives the next message as bytes; `open_` is the id of a call of the station."""

    def __init__(self, seed: int):
        self._dice = Random(seed)
        self._count = 0
        self._seen: set[str] = set()
        self._requests = [
            (action, json.loads(json.dumps(payload).replace("{server}", _SERVER)))
            for action, payload in REQUESTS
        ]
        self._requests += [(action, payloads.least(action)) for action in payloads.CORE]
        # A reset that comes through would begin the heap anew.
        self._requests = [row for row in self._requests if row[0] != "Reset"]

    def make(self, open_: str) -> bytes:
        while True:
            data = self._made(open_)
            ident = _ident(data)
            if ident is None or ident == open_:
                return data
            if ident not in self._seen:  # one that comes twice would hide whose answer it is
                self._seen.add(ident)
                return data

    def _made(self, open_: str) -> bytes:
        dice = self._dice
        frame = self._frame(open_)
        way = dice.randrange(8)
        if way < 5:
            for _ in range(dice.choice((1, 1, 1, 2, 5))):
                frame = self._restructured(frame)
        data = self._text(frame)
        if way > 3:
            for _ in range(dice.choice((1, 1, 2, 8))):
                data = self._rewritten(data)
        # Text, but for one in forty: what is no text costs the connection.
        return data if not dice.randrange(40) else data.decode("utf-8", "ignore").encode()

    def _frame(self, open_: str) -> Any:
        dice = self._dice
        self._count += 1
        kind = dice.randrange(10)
        if kind < 7:
            action, payload = dice.choice(self._requests)
            return [2, f"m{self._count}", action, copy.deepcopy(payload)]
        ident = open_ if dice.randrange(4) else f"m{self._count}"
        if kind < 9:
            return [3, ident, copy.deepcopy(dice.choice(_ANSWERS))]
        return [4, ident, dice.choice(("InternalError", "NotImplemented", "x" * 60)), "why", {}]

    def _text(self, frame: Any) -> bytes:
        dice = self._dice
        text = json.dumps(
            frame,
            ensure_ascii=bool(dice.randrange(2)),
            separators=dice.choice(((",", ":"), (", ", ": "), (" ,\n", "\t:"))),
        )
        return text.encode("utf-8", "surrogatepass" if not dice.randrange(9) else "replace")

    def _restructured(self, value: Any) -> Any:
        """Something else, more or less in one place."""
        dice = self._dice
        if not isinstance(value, dict | list) or not value or not dice.randrange(6):
            return copy.deepcopy(dice.choice(_ODD))
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = dice.choice(keys)
        way = dice.randrange(8)
        if way == 0:
            del value[key]
        elif way == 1 and isinstance(value, dict):
            value[dice.choice(("unheardOf", "", "customData", "\u00e9" * 20, "evse", "id"))] = (
                dice.choice(_ODD)
            )
        elif way == 2 and isinstance(value, list):
            value[key:key] = [copy.deepcopy(value[key])] * dice.choice((1, 3, 40))
        elif way == 3 and isinstance(value[key], str):
            value[key] *= dice.choice((2, 30))
        else:
            value[key] = self._restructured(value[key])
        return value

    def _rewritten(self, data: bytes) -> bytes:
        """A few bytes less, more, or others."""
        dice = self._dice
        at = dice.randrange(len(data) + 1)
        to = min(len(data), at + dice.choice((0, 1, 1, 4, 30)))
        way = dice.randrange(6)
        if way == 0:
            return data[:at] + data[to:]
        if way == 1:
            return data[:at] + data[at:to] * dice.choice((2, 20)) + data[to:]
        if way == 2:
            return data[:at]
        if way == 3 and at < len(data):
            return data[:at] + bytes((data[at] ^ 1 << dice.randrange(8),)) + data[at + 1 :]
        return data[:at] + dice.choice(_PIECES) + data[to:]


def _ident(data: bytes) -> "str | None":
    """The id of a message, None when it has none."""
    try:
        ident = json.loads(data)[1]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    return ident if isinstance(ident, str) else None
