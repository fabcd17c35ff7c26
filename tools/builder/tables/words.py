"""The words of OCPP and the numbers that the station has for them, as constants modules that are folded into whoever
names them: `tables.words` has the texts, the others are named as `device_model/versions/*.toml` says."""

from tools.builder import versions
from tools.builder.versions import Version

_HEAD = "# Generated from device_model/versions/.\n"


def sources(version: "Version | None" = None) -> dict:
    """{module: source} for blocks that speak a version (2.0.1 when none is given): its texts; the numbers are everyone's."""
    version = version or versions.load()
    found = versions.constants()
    for item in versions.load().enumerations.values():
        found[item.module][item.label + "_COUNT"] = len(item.row())
    found = {name: _constants(numbers) for name, numbers in found.items()}
    slots, gone = slots_of(version), version.gone
    found["measurands"] = _constants({"NAMED": len(slots), "SLOTS": len(slots) + len(gone)})
    texts = {"SUBPROTOCOL": version.subprotocol, "NETWORK": version.network}
    texts |= {item.label: item.text() for item in version.enumerations.values()}
    texts |= measurands(version)
    found["words"] = _constants(texts)
    return found


def slots_of(version: Version) -> dict:
    """{slot: (place of its measurand, phase)}; phase 0 is the sum, or the only one."""
    return {
        slot: (place, phase)
        for place, (slots, *_) in enumerate(version.measurands.values())
        for phase, slot in enumerate(slots)
    }


def measurands(version: Version) -> dict:
    """The texts of `base/measurands.py`: names, units, digits behind the point; and for each slot a byte: which of them,
    and in the high half its phase."""
    slots = slots_of(version)
    rows = version.measurands.values()
    return {
        "MEASURAND": " ".join(version.measurands),
        "MEASURAND_UNIT": " ".join(unit for _, unit, _ in rows),
        "MEASURAND_DIGITS": bytes(digits for *_, digits in rows),
        "MEASURAND_SLOT": bytes(place | phase << 4 for _, (place, phase) in sorted(slots.items())),
    }


def _constants(values: dict) -> str:
    lines = (f"{name} = const({value!r})\n" for name, value in values.items())
    return f"{_HEAD}from micropython import const\n\n{''.join(lines)}"
