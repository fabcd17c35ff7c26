"""The names of the numbers that the firmware uses: OCPP's from the version files, others from its own constants modules."""

import importlib
from functools import cache

from hostsim.charger import cpython
from tools.builder import versions

STATUSES, CHARGING_STATES, REGISTRATIONS = (
    tuple(versions.load().row(name + "EnumType"))
    for name in ("ConnectorStatus", "ChargingState", "RegistrationStatus")
)


@cache
def constants(module: str) -> dict[str, int]:
    """{name: number} of a constants module of the firmware."""
    cpython.install()
    values = vars(importlib.import_module(module))
    return {
        name: value for name, value in values.items() if name.isupper() and isinstance(value, int)
    }


def fact(name: str) -> int:
    """The bit of a fact of base/facts.py, by its name."""
    return constants("milliamp.base.facts")[name]


@cache
def fact_name(number: int) -> str:
    """The name of a fact in lower case, for people."""
    for name, value in constants("milliamp.base.facts").items():
        if value == number:
            return name.lower()
    return hex(number)


@cache
def counter_names() -> list[str]:
    """What the firmware counts, in the order of its array."""
    values = constants("milliamp.base.counts")
    names = {value: name.lower() for name, value in values.items() if name != "COUNTS"}
    return [names.get(number, f"counter_{number}") for number in range(max(names, default=-1) + 1)]


def name(names: tuple[str, ...], number: int) -> str:
    return names[number] if 0 <= number < len(names) else str(number)
