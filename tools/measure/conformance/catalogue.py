"""The scripts there are, from catalogue.toml: what each is called, and for which products it applies."""

from dataclasses import dataclass
from pathlib import Path

from tools.builder.profile import toml


@dataclass(frozen=True)
class Script:
    """A certification script. `when`: an expression over features, None: always; `pending`: what it waits for."""

    id: str
    title: str
    kind: str
    when: str | None = None
    pending: str | None = None


def _load() -> dict[str, Script]:
    raw, _ = toml.load(Path(__file__).with_name("catalogue.toml"))
    return {name: Script(name, **entry) for name, entry in raw.items()}


SCRIPTS = _load()
