"""The products that the scripts are run for, from presets.toml: the features that each declares, and the station that has
just those: the `sim` board with some of its profile changed, as a hardware team would change it.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tools import BOARDS, BUILD
from tools.builder.profile import toml
from tools.builder.tables import device_model

PASSWORD = "milliamp-0123456789"  # security profile 1, until the station can do 2
SOCKET, TETHERED = "sType2", "cType2"


@dataclass(frozen=True)
class Preset:
    """A product. `evses`: the connector types of each EVSE. `variables`: hard-coded, unless (value, True)."""

    name: str
    title: str
    features: dict[str, Any]
    evses: tuple[tuple[str, ...], ...]
    variables: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)  # factory values of what stays writable

    def has(self, when: str | None) -> bool:
        """Whether the product has the features of a catalogue expression. NameError for an unknown one."""
        return when is None or bool(eval(when, {"__builtins__": {}}, self.features))

    def rig(self) -> dict[str, Any]:
        """The options of `hostsim.lives.harness.rig` that make this product."""
        return {
            "board": str(board(self.name)),
            "password": PASSWORD,
            "identity": f"MA-{self.name}",
            "settings": dict(self.settings),
        }


def _load() -> dict[str, Preset]:
    raw, _ = toml.load(Path(__file__).with_suffix(".toml"))
    known = raw.pop("features")
    plain = dict.fromkeys(known["never"].split(), False) | dict.fromkeys(
        known["always"].split(), True
    )
    found = {}
    for name, entry in raw.items():
        evses = tuple(map(tuple, entry["evses"]))
        kinds = {kind for connectors in evses for kind in connectors}
        features = plain | dict.fromkeys(entry["features"].split(), True)
        features |= {"HFS1": SOCKET in kinds, "HFS2": TETHERED in kinds, "HFS8": len(evses)}
        found[name] = Preset(name, entry["title"], features, evses, entry["variables"])
    return found


PRESETS = _load()
WIDEST_FIRST = tuple(reversed(PRESETS))


@cache
def board(name: str) -> Path:
    """The board's folder of a product: the `sim` board with the product's profile."""
    preset = PRESETS[name]
    folder = BUILD / "products" / f"sim-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    for file in (BOARDS / "sim").glob("*.py"):
        toml.put(folder / file.name, file.read_bytes())
    toml.put(folder / "profile.toml", _profile(preset).encode())
    return folder


def _profile(preset: Preset) -> str:
    raw, _ = toml.load(BOARDS / "sim" / "profile.toml")
    one = raw["evse"][0]
    raw["evse"] = [one | {"connectors": list(kinds)} for kinds in preset.evses]
    raw["station"]["model"] = f"Sim {preset.name}"
    if not preset.has("C49"):
        del raw["cache"]
    known = {variable.path for variable in device_model.load()}
    chosen = raw.setdefault("variables", {})
    for path, value in preset.variables.items():
        if path in known:  # a product without a block has none of its variables either
            chosen[path] = {"value": value, "writable": False}
    return toml.dump(raw)
