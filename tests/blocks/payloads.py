"""Requests of a CSMS made from the official schemas: the least that is valid, and everything that is wrong."""

import copy
import functools
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from tools import FIRMWARE
from tools.builder import official, versions
from tools.builder.tables.blocks import read_block

MISSING = "OccurrenceConstraintViolation"
TYPE = "TypeConstraintViolation"
VALUE = "PropertyConstraintViolation"
UNKNOWN = "FormatViolation"

CUSTOM = {"vendorId": "org.example", "anything": [1, {"at": None}]}

# DataTransfer goes both ways.
ASKED = frozenset(versions.load().asked)
SENT = frozenset(versions.load().told) - ASKED

# Core, with what makes the least request harmless: something that is not there.
CORE: dict[str, dict[str, Any]] = {
    "ChangeAvailability": {"evse": {"id": 99}},
    "ClearCache": {},
    "CustomerInformation": {"report": False, "clear": False},
    "DataTransfer": {},
    "GetBaseReport": {"reportBase": "SummaryInventory"},
    "GetLog": {"log": {"remoteLocation": "gopher://nowhere"}},
    "GetTransactionStatus": {},
    "GetVariables": {},
    "RequestStartTransaction": {"evseId": 99},
    "RequestStopTransaction": {},
    "Reset": {"evseId": 99},
    "SetNetworkProfile": {"configurationSlot": 999},
    "SetVariables": {},
    "TriggerMessage": {"requestedMessage": "SignCombinedCertificate"},
    "UnlockConnector": {"evseId": 99},
}


class Case(NamedTuple):
    """A payload with one thing wrong, and the error code that must follow; None where nobody reads what is wrong."""

    what: str
    payload: Any
    code: str | None


def least(action: str) -> dict[str, Any]:
    """A valid request with as little as possible."""
    return _least(_schema(action), _schema(action)) | copy.deepcopy(CORE.get(action, {}))


def wrong(action: str) -> Iterator[Case]:
    """Each field, in the least request that has it: missing, of another type, too long, too many, out of its
    enumeration or range; each object with a field that it does not have, and with spoilt custom data."""
    for path, node, required in _places(action):
        for what, change, code in _changes(node, required and bool(path)):
            payload = with_place(action, path)
            name = ".".join(map(str, path)) or "payload"
            if path:
                holder = functools.reduce(lambda value, step: value[step], path[:-1], payload)
                change(holder, path[-1])
            else:
                holder = [payload]
                change(holder, 0)
                (payload,) = holder
            if ".".join([action, *map(str, path)]).startswith(_unread()):
                code = None
            yield Case(f"{action}: {name} {what}", payload, code)


@functools.cache
def _unread() -> tuple[str, ...]:
    """What the blocks say that nobody reads of messages."""
    files = sorted((FIRMWARE / "milliamp" / "blocks").glob("*.py"))
    return tuple(path for file in files for path in read_block(file).unread)


def customised(action: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The least request with each of its objects, and the same with custom data in that object."""
    for path, node, _ in _places(action):
        if "properties" in node and "customData" in node["properties"]:
            plain, other = with_place(action, path), with_place(action, path)
            functools.reduce(lambda value, step: value[step], path, other)["customData"] = CUSTOM
            yield plain, other


def places(action: str, kind: str) -> list[tuple[tuple, dict, bool]]:
    """Every place of a request for that type of JSON Schema."""
    return [place for place in _places(action) if place[1].get("type") == kind]


# --- from the schemas ----------------------------------------------------------------------------------


@functools.cache
def _schema(action: str) -> dict[str, Any]:
    return json.loads((official.folder() / f"{action}Request.json").read_text("utf-8-sig"))


def _resolved(node: dict, root: dict) -> dict:
    return root["definitions"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node


def _least(node: dict, root: dict) -> Any:
    node = _resolved(node, root)
    if "enum" in node:
        return node["enum"][0]
    match node.get("type"):
        case "object":
            fields = node.get("properties", {})
            return {name: _least(fields[name], root) for name in node.get("required", ())}
        case "array":
            return [_least(node["items"], root)] * node.get("minItems", 1)
        case "string":
            return "2026-01-01T00:00:00Z" if node.get("format") == "date-time" else "x"
        case "integer" | "number":
            return int(node.get("minimum", 1))
        case "boolean":
            return False
    return "x"


def _places(action: str) -> list[tuple[tuple, dict, bool]]:
    """Every place there is in a request: (path, schema, is it required where it stands?)."""
    root, found = _schema(action), []

    def walk(path, node, required):
        node = _resolved(node, root)
        found.append((path, node, required))
        for name, field in node.get("properties", {}).items():
            if name != "customData":
                walk((*path, name), field, name in node.get("required", ()))
        if node.get("type") == "array":
            walk((*path, 0), node["items"], False)

    walk((), root, True)
    return found


def with_place(action: str, path: tuple) -> dict[str, Any]:
    """The least request that has that place."""
    root = node = _schema(action)
    value = payload = least(action)
    for step in path:
        if isinstance(step, int):
            node = _resolved(node["items"], root)
        else:
            node = _resolved(node["properties"][step], root)
            if step not in value:
                value[step] = _least(node, root)
        value = value[step]
    return payload


def _changes(node: dict, required: bool) -> Iterator[tuple[str, Any, str]]:
    kind = node.get("type")

    def put(other):
        return lambda holder, key: holder.__setitem__(key, other)

    def add(**fields):
        return lambda holder, key: holder.__setitem__(key, holder[key] | fields)

    if required:
        yield "missing", lambda holder, key: holder.__delitem__(key), MISSING
    others = {
        "string": 5,
        "integer": "5",
        "number": "5",
        "boolean": "true",
        "object": [],
        "array": {},
    }
    if kind:
        yield "null", put(None), TYPE
        yield "of another type", put(others[kind]), TYPE
    if "enum" in node:
        yield "out of its enumeration", put(node["enum"][0] + "s"), VALUE
        yield "in another case", put(node["enum"][0].swapcase()), VALUE
    elif "maxLength" in node:
        yield "too long", put("x" * (node["maxLength"] + 1)), VALUE
    elif kind == "integer":
        yield "a fraction", put(1.5), TYPE
        yield "too large", put(1 << 40), VALUE
        if "minimum" in node:
            yield "too small", put(int(node["minimum"]) - 1), VALUE
        if "maximum" in node:
            yield "above its range", put(int(node["maximum"]) + 1), VALUE
    elif kind == "array":
        if node.get("minItems"):
            yield "empty", put([]), MISSING
        if "maxItems" in node:
            times = node["maxItems"] + 1
            yield (
                "too many",
                lambda holder, key: holder.__setitem__(key, holder[key][:1] * times),
                MISSING,
            )
    elif kind == "object":
        if node.get("additionalProperties") is False:
            yield "with an unknown field", add(unheardOf=1), UNKNOWN
        if "customData" in node.get("properties", {}):
            yield "with custom data of nobody", add(customData={}), MISSING
            yield "with custom data that is no object", add(customData="x"), TYPE
            nobody = {"vendorId": "x" * 256}
            yield "with custom data of a long name", add(customData=nobody), VALUE
