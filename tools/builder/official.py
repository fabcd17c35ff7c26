"""The official JSON schemas of OCPP, as the PyPI package `ocpp` has them."""

import json
from functools import cache
from pathlib import Path

_REQUEST, _RESPONSE = "Request", "Response"


def folder(version: str = "v201") -> Path:
    """Where those of an OCPP version lie ("v16", "v201", "v21")."""
    import ocpp

    return Path(ocpp.__file__).parent / version / "schemas"


def load(name: str, version: str = "v201") -> dict:
    """One schema, as "ResetRequest" or "ResetResponse", whatever the version calls its files. FileNotFoundError: it has
    none such."""
    file = folder(version) / f"{name}.json"
    if not file.is_file():  # 1.6's requests, and what 2.1 sends without an answer
        file = folder(version) / f"{name.removesuffix(_REQUEST)}.json"
    return json.loads(file.read_text(encoding="utf-8-sig"))


@cache
def names(version: str = "v201") -> frozenset[str]:
    """All schemas of a version, as `load` takes them."""
    stems = [path.stem for path in folder(version).glob("*.json")]
    return frozenset(s if s.endswith((_REQUEST, _RESPONSE)) else s + _REQUEST for s in stems)


def actions(version: str = "v201") -> list[str]:
    """Every action that the version knows, in either direction."""
    found = (name for name in names(version) if name.endswith(_REQUEST))
    return sorted(name.removesuffix(_REQUEST) for name in found)


def resolved(schema: dict, root: dict) -> dict:
    """A schema, or what it refers to in the message `root`."""
    return root["definitions"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema


def field(path: str, version: str = "v201") -> dict:
    """The schema of a field: "Action.field.field", or "ActionResponse.field"; arrays are looked through. KeyError: the
    part of the path that there is not, and what there is instead."""
    name, *parts = path.split(".")
    name = name if name.endswith(_RESPONSE) else name + _REQUEST
    if name not in names(version):
        raise KeyError(name.removesuffix(_REQUEST), actions(version))
    root = schema = load(name, version)
    for part in parts:
        while "items" in (schema := resolved(schema, root)):
            schema = schema["items"]
        schema = resolved(schema, root)
        if part not in schema.get("properties", {}):
            raise KeyError(part, list(schema.get("properties", {})))
        schema = schema["properties"][part]
    return resolved(schema, root)
