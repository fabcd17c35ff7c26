"""The official JSON schemas of OCPP, as the PyPI package `ocpp` has them."""

import json
from pathlib import Path


def folder(version: str = "v201") -> Path:
    """Where those of an OCPP version lie ("v16", "v201", "v21")."""
    import ocpp

    return Path(ocpp.__file__).parent / version / "schemas"


def load(name: str, version: str = "v201") -> dict:
    """One schema, as "ResetRequest" or "ResetResponse"."""
    return json.loads((folder(version) / f"{name}.json").read_text(encoding="utf-8-sig"))


def actions(version: str = "v201") -> list[str]:
    """Every action that the version knows, in either direction."""
    return sorted(
        path.stem.removesuffix("Request") for path in folder(version).glob("*Request.json")
    )
