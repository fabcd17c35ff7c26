"""The official JSON schemas of OCPP 2.0.1, as PyPI `ocpp` carries them, and the rules of an OCPP-J frame."""

import functools
import re
from typing import Any

from jsonschema import Draft6Validator, FormatChecker

from tools.builder import official, versions

CALL, CALLRESULT, CALLERROR = 2, 3, 4

ERROR_CODES = frozenset(versions.load().errors.values())

ODD_ID = "message id is not a string of 1 to 36 characters"

# OCPP allows three digits behind the second.
_DATE_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3}(?P<fine>\d+)?)?(Z|[+-]\d\d:\d\d)"
)
_formats = FormatChecker(formats=())


@_formats.checks("date-time")
def _is_date_time(value: Any) -> bool:
    if not isinstance(value, str):
        return True
    found = _DATE_TIME.fullmatch(value)
    return bool(found) and not found["fine"]


@functools.cache
def actions() -> frozenset[str]:
    """Every action of OCPP 2.0.1."""
    return frozenset(versions.load().actions)


def payload_faults(
    action: str, payload: Any, *, response: bool = False, fine_times: list[str] | None = None
) -> list[str]:
    """What the official schema has against a payload, a line each; nothing: it is valid. `fine_times`: takes the
    times whose only fault is that they are too exact."""
    if action not in actions():
        return [f"{action!r} is no action of OCPP 2.0.1"]
    name = action + ("Response" if response else "Request")
    errors = sorted(
        _validator(name).iter_errors(payload), key=lambda error: list(map(str, error.path))
    )
    if fine_times is not None:
        fine = [
            error
            for error in errors
            if error.validator == "format" and _DATE_TIME.fullmatch(error.instance)
        ]
        fine_times += [error.instance for error in fine]
        errors = [error for error in errors if error not in fine]
    return [f"{name}{_where(error)}: {_short(error.message)}" for error in errors]


def frame_faults(frame: Any) -> list[str]:
    """What OCPP-J has against a decoded message, apart from its payload."""
    if not isinstance(frame, list) or len(frame) < 3:
        return ["not an array of at least three elements"]
    kind, unique_id = frame[0], frame[1]
    if kind not in (CALL, CALLRESULT, CALLERROR) or isinstance(kind, bool):
        return [f"message type {_short(repr(kind))}"]
    faults = []
    if len(frame) != {CALL: 4, CALLRESULT: 3, CALLERROR: 5}[kind]:
        return [f"{len(frame)} elements in a message of type {kind}"]
    if not isinstance(unique_id, str) or not 0 < len(unique_id) <= 36:
        faults.append(ODD_ID)
    if kind == CALL and not isinstance(frame[2], str):
        faults.append("action is not a string")
    if kind == CALLERROR:
        if not isinstance(frame[2], str) or frame[2] not in ERROR_CODES:
            faults.append(f"error code {_short(repr(frame[2]))}")
        if not isinstance(frame[3], str) or len(frame[3]) > 255:
            faults.append("error description is not a string of up to 255 characters")
    if not isinstance(frame[-1], dict):
        faults.append(
            "payload is not an object" if kind != CALLERROR else "error details are not an object"
        )
    return faults


@functools.cache
def _validator(name: str) -> Draft6Validator:
    return Draft6Validator(official.load(name), format_checker=_formats)


def _where(error) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.path)


def _short(text: str) -> str:
    return text if len(text) <= 160 else text[:157] + "..."
