"""Compiles `device_model/*.toml` and a board's profile into the packed table of `storage/device_model.py`."""

import re
import struct
from binascii import crc32
from dataclasses import dataclass

from tools import FIRMWARE, ROOT, BuildError
from tools.builder import versions
from tools.builder.profile import toml
from tools.builder.profile.reader import BLOCKS, Profile
from tools.builder.profile.toml import like
from tools.builder.toolkit import constants
from tools.builder.versions import upper

DATA = ROOT / "device_model"
TYPES = versions.load().row("DataEnumType")
MUTABILITIES = versions.load().row("MutabilityEnumType")
_KEYS = (
    "id type unit mutability default min max values digits live kept reboot ascii setting from max_from values_from block"
).split()
_COMPONENT_KEYS = ("per", "block")
_NUMBERS = ("boolean", "integer", "decimal")
# Where transactions begin and end; nothing here signs meter values.
POINTS = [point for point in versions.load().row("TxStartPoint") if point != "DataSigned"]
_LISTS = ("OptionList", "SequenceList", "MemberList")
_MAX_ID = 0x7FF - 1  # settings keys of variables are id * 16 + EVSE, below 0x8000
_NOTHING = 0xFFFF
_FIXED = 0xF  # 0x800f: no setting has this key


@dataclass
class Variable:
    """One variable of the data, before the profile is applied."""

    component: str
    name: str
    instance: str
    per: str  # "station", "evse" or "connector"
    block: str  # only with this block (or "cache": with a [cache]), "" for always
    data: dict
    where: str

    @property
    def path(self) -> str:
        """`Component.Variable` or `Component.Variable.Instance`: its name in profiles and LIVE tables."""
        return ".".join(part for part in (self.component, self.name, self.instance) if part)

    @property
    def const(self) -> str:
        """Its constant in `tables.ids`."""
        component = self.component.removesuffix("Ctrlr")
        return "_".join(upper(part) for part in (component, self.name, self.instance) if part)


@dataclass
class Entry:
    """A variable of one component of one EVSE and connector, as the table holds it."""

    variable: Variable
    evse: int
    connector: int
    kind: str
    mutability: str
    value: object  # int for numbers, else str
    least: "int | None"
    most: "int | None"
    values: list
    is_fixed: bool  # it has this value for as long as the image
    setting: int  # where its value is kept: 0 under its id, else 0x8000 and this

    @property
    def key(self) -> int:
        """Of its value in settings."""
        return 0x8000 + self.setting if self.setting else self.variable.data["id"] * 16 + self.evse


def is_one_network(entries: list) -> bool:
    """Is the first network profile the only one that the station can ever use?"""
    return any(
        entry.variable.path == "OCPPCommCtrlr.NetworkConfigurationPriority" and entry.is_fixed
        for entry in entries
    )


def settings_keys() -> dict:
    """The names of `storage/keys.py` and their numbers."""
    return constants(FIRMWARE / "milliamp" / "storage" / "keys.py")


def load() -> list:
    """All variables of the data, checked. BuildError has one line a fault."""
    variables, errors = [], []
    for file in sorted(DATA.glob("*.toml")):
        raw, lines = toml.load(file)
        for component, table in raw.items():
            head = {key: table[key] for key in _COMPONENT_KEYS if key in table}
            for name, data in table.items():
                if name in head:
                    continue
                where = lines.where((component, name))
                if not isinstance(data, dict):
                    errors.append(
                        f"{where}: unknown key {name!r} of the component{like(name, _COMPONENT_KEYS)}"
                    )
                    continue
                parts = {"": data} if "id" in data else data
                for instance, data in parts.items():
                    path = (component, name, instance) if instance else (component, name)
                    own = data if isinstance(data, dict) else {}
                    variable = Variable(
                        component,
                        name,
                        instance,
                        head.get("per", "station"),
                        own.get("block", head.get("block", "")),
                        data,
                        lines.where(path),
                    )
                    errors += (
                        f"{variable.where}: {variable.path}: {text}" for text in _faults(variable)
                    )
                    variables.append(variable)
    for what in ("id", "path", "const"):
        seen = {}
        for variable in variables:
            key = variable.data.get("id") if what == "id" else getattr(variable, what)
            if key in seen:
                errors.append(
                    f"{variable.where}: {variable.path} has the {what} {key!r} of {seen[key]}: choose another"
                )
            seen.setdefault(key, variable.path)
    if errors:
        raise BuildError("\n".join(errors))
    return variables


def _faults(variable: Variable):
    """What is wrong with one variable of the data."""
    data = variable.data
    if not isinstance(data, dict):
        yield "must be a table"
        return
    for key in data:
        if key not in _KEYS:
            yield f"unknown key {key!r}{like(key, _KEYS)}"
    if not isinstance(data.get("id"), int) or not 0 < data["id"] <= _MAX_ID:
        yield f"'id' must be a number from 1 to {_MAX_ID}"
    if variable.per not in ("station", "evse", "connector"):
        yield f'\'per\' is {variable.per!r}: it must be "evse" or "connector"'
    if variable.block not in ("", "cache", *BLOCKS):
        yield f"unknown block {variable.block!r}{like(variable.block, BLOCKS)}"
    kind, mutability = data.get("type"), data.get("mutability", "ReadOnly")
    if kind not in TYPES:
        yield f"unknown type {kind!r}{like(kind, TYPES)}"
    if mutability not in MUTABILITIES:
        yield f"unknown mutability {mutability!r}{like(mutability, MUTABILITIES)}"
    if data.get("live") and mutability != "ReadOnly":
        yield "a live variable cannot be written: make it ReadOnly"
    if kind in _LISTS and not (data.get("values") or "values_from" in data):
        yield "a list needs 'values'"
    if (
        kind in ("integer", "decimal")
        and mutability != "ReadOnly"
        and not ("min" in data and "max" in data)
    ):
        yield "a number that can be written needs 'min' and 'max'"
    if variable.per == "connector" and mutability != "ReadOnly":
        yield "settings keep no value per connector: make it ReadOnly"


def derived(profile: Profile, evse: int, connector: int) -> dict:
    """What follows from the profile, by the name that `from` uses. EVSE 0 is the station itself."""
    here = profile.evses[evse - 1] if evse else None
    connectors = (
        here.connectors if here else [kind for item in profile.evses for kind in item.connectors]
    )
    return {
        "vendor": profile.vendor,
        "model": profile.model,
        "identity": profile.identity,
        "receive": profile.receive,
        "items": profile.items,
        "measurands": profile.measurands,
        # Transactions begin and end with a parking bay only where one is seen.
        "points": POINTS if any(item.bay for item in profile.evses) else POINTS[1:],
        "cache": profile.cache_bytes,
        "phases": here.phases if here else max(item.phases for item in profile.evses),
        "power": here.power if here else sum(item.power for item in profile.evses),
        "connector": here.connectors[connector - 1] if connector else "",
        # Cables that are attached to the station ("c...") are never unlocked.
        "sockets": int(any(not kind.startswith("c") for kind in connectors)),
    }


def expand(variables: list, profile: Profile) -> list:
    """The entries of a profile, in report order: by component, then EVSE, connector, variable."""
    keys, errors, entries = settings_keys(), [], []
    chosen = dict(profile.variables)
    components = {}
    for variable in variables:
        present = profile.blocks + ["cache"] * bool(profile.cache)
        if not variable.block or variable.block in present:
            components.setdefault((variable.component, variable.per), []).append(variable)
    for (_, per), members in components.items():
        places = [(0, 0)]
        if per == "evse":
            places = [(evse + 1, 0) for evse in range(len(profile.evses))]
        elif per == "connector":
            places = [
                (evse + 1, connector + 1)
                for evse, item in enumerate(profile.evses)
                for connector in range(len(item.connectors))
            ]
        for evse, connector in places:
            facts = derived(profile, evse, connector)
            for variable in members:
                choice = chosen.get(variable.path, {})
                entry, faults = _entry(variable, evse, connector, facts, choice, profile, keys)
                at = profile.lines.where(("variables", variable.path))
                errors += (f"{at}: {variable.path}: {text}" for text in faults)
                entries.append(entry)
    paths = [variable.path for members in components.values() for variable in members]
    owners = {variable.path: variable.block for variable in variables}
    for name in chosen:
        if name not in paths:
            text = f"unknown variable {name!r}{like(name, paths)}"
            if name in owners:
                text = f"there is no {name!r} without {owners[name]!r}: add that, or take this out"
            errors.append(f"{profile.lines.where(('variables', name))}: {text}")
    if errors:
        raise BuildError("\n".join(dict.fromkeys(errors)))
    return entries


def _entry(variable, evse, connector, facts, choice, profile, keys):
    """One entry, and what is wrong with the profile's choice for it."""
    data, faults = variable.data, []
    kind, mutability = data["type"], data.get("mutability", "ReadOnly")
    values = list(facts[data["values_from"]] if "values_from" in data else data.get("values", ()))
    if "values" in choice:
        faults += (
            f"the value {value!r} is none it can hold"
            for value in choice["values"]
            if value not in values
        )
        values = list(choice["values"])
    most = facts[data["max_from"]] if "max_from" in data else data.get("max")
    value = choice.get(
        "value",
        facts[data["from"]]
        if "from" in data
        else data.get("default", 0 if kind in _NUMBERS else ""),
    )
    if kind in ("SequenceList", "MemberList") and "value" not in choice:
        value = ",".join(
            item for item in value.split(",") if item in values
        )  # what this board can
    faults += _misfits(value, kind, data, values, most)
    writable = choice.get("writable", profile.writable == "core")
    if choice.get("writable") and mutability == "ReadOnly":
        faults.append("it cannot be made writable: the firmware or OCPP has it read-only")
    if not writable or (data.get("from") == "sockets" and not facts["sockets"]):
        mutability = "ReadOnly" if mutability != "WriteOnly" else mutability
    if kind in _NUMBERS:
        value = int(value) if isinstance(value, (int, bool)) else 0
        if kind == "decimal":
            value *= 10 ** data.get("digits", 0)
    # By the station; or the value that is all there can be where nobody may write.
    kept = data.get("kept", False)
    kept = kept if isinstance(kept, bool) else value != kept
    fixed = mutability == "ReadOnly" and not kept and not {"live", "setting"} & data.keys()
    if fixed and "kept" in data:
        values = [value]
    setting = keys[data["setting"]] & 0xF if "setting" in data else _FIXED if fixed else 0
    entry = Entry(
        variable,
        evse,
        connector,
        kind,
        mutability,
        value,
        data.get("min"),
        most,
        values,
        fixed,
        setting,
    )
    return entry, faults


def _misfits(value, kind, data, values, most):
    """Why a default or a profile's value cannot be."""
    least = data.get("min")
    if kind == "boolean":
        if value not in (True, False, 0, 1):
            yield f"{value!r} is not true or false"
    elif kind in _NUMBERS:
        if not isinstance(value, int) or isinstance(value, bool):
            yield f"{value!r} is not an integer"
        elif not data.get("live") and not (least if least is not None else value) <= value <= (
            most if most is not None else value
        ):
            yield f"{value} is not {least} to {most}"
    elif not isinstance(value, str):
        yield f"{value!r} is not a text"
    elif kind in ("SequenceList", "MemberList"):
        members = [item.strip() for item in value.split(",") if item.strip()]
        for item in members:
            if item not in values:
                yield f"{item!r} is none of {', '.join(values)}"
        if len(set(members)) < len(members):
            yield f"{value!r} names something twice"
        if len(members) < (least or 0):
            yield f"it needs at least {least} of {', '.join(values)}"
    elif value and (len(value) < (least or 0) or len(value) > (most or 1000)):
        yield f"{value!r} must have {least or 0} to {most} characters"


class _Texts:
    """The texts of the table, each once, even where it is the end of another; text 0 is empty."""

    def __init__(self):
        self.data = bytearray(b"\0")

    def add(self, texts) -> None:
        """Put texts in, long ones first: others may be the end of one."""
        for text in sorted(set(texts), key=lambda text: (-len(text), text)):
            if f"{text}\0".encode() not in self.data:
                self.data += text.encode() + b"\0"
        if len(self.data) > 0xFFFF:
            raise BuildError("device model: more than 64 kB of texts")

    def number(self, text: str) -> int:
        """Where a text begins that was put in."""
        return self.data.index(f"{text}\0".encode()) if text else 0


class _Numbers:
    """The limits and values of the table, each once; number 0 is 0."""

    def __init__(self):
        self._known = [0]

    def number(self, value) -> int:
        value = value or 0
        if not -(1 << 23) <= value < 1 << 23:
            raise BuildError(f"device model: {value} does not fit 24 bits")
        if value not in self._known:
            self._known.append(value)
        if len(self._known) > 255:
            raise BuildError("device model: more than 255 different limits and values")
        return self._known.index(value)

    @property
    def data(self) -> bytes:
        return b"".join((value & 0xFFFFFF).to_bytes(3, "little") for value in self._known)


def _hash(name: str, instance: str) -> int:
    text = f"{name}\0{instance}" if instance else name
    return crc32(text.lower().encode()) & 0xFF


def pack(entries: list) -> bytes:
    """The packed table; `storage/device_model.py` describes the format."""
    texts, numbers = _Texts(), _Numbers()
    components, owners = [], []
    first = {}
    for number, entry in enumerate(entries):
        place = (entry.variable.component, entry.evse, entry.connector)
        if not components or components[-1][0] != place:
            components.append([place, number, 0])
        components[-1][2] += 1
        owners.append(len(components) - 1)
        first.setdefault(entry.variable.data["id"], number)
    if len(components) > 255:
        raise BuildError(
            f"device model: {len(components)} components, at most 255 fit: fewer EVSEs or connectors"
        )
    ids = max(first) + 1
    short = [(entry.variable.data.get("unit", ""), entry.variable.instance) for entry in entries]
    texts.add(text for pair in short for text in pair)
    if len(texts.data) > 256:
        raise BuildError("device model: more than 256 bytes of units and instances")
    texts.add(entry.value for entry in entries if isinstance(entry.value, str))
    texts.add(",".join(entry.values) for entry in entries if entry.kind in _LISTS)
    texts.add(name for e in entries for name in (e.variable.name, e.variable.component))
    body = bytearray()
    for entry, owner in zip(entries, owners):
        variable, data = entry.variable, entry.variable.data
        kind = TYPES.index(entry.kind) | MUTABILITIES.index(entry.mutability) << 3
        kind |= (
            bool(data.get("live")) << 5
            | (entry.least is not None) << 6
            | (entry.most is not None and entry.kind not in _LISTS) << 7
        )
        flags = (
            data.get("digits", 0)
            | bool(data.get("reboot")) << 2
            | bool(data.get("ascii")) << 3
            | entry.setting << 4
        )
        value = numbers if isinstance(entry.value, int) else texts
        more = texts.number(data.get("unit", "")) | numbers.number(entry.most) << 8
        if entry.kind in _LISTS:
            more = texts.number(",".join(entry.values))
        body += struct.pack(
            "<BHBBBBHHBH",
            _hash(variable.name, variable.instance),
            texts.number(variable.name),
            texts.number(variable.instance),
            owner,
            kind,
            flags,
            data["id"],
            more,
            numbers.number(entry.least),
            value.number(entry.value),
        )
    index = struct.pack(f"<{ids}H", *(first.get(id, _NOTHING) for id in range(ids)))
    rows = bytearray()
    for (name, evse, connector), number, count in components:
        rows += struct.pack(
            "<BHBBBBH", _hash(name, ""), texts.number(name), 0, evse, connector, count, number
        )
    head = struct.pack("<BBHH", len(components), len(numbers.data) // 3, len(entries), ids)
    return bytes(head + index + rows + body + numbers.data + texts.data)


def ids_source(variables: list, entries: list) -> str:
    """The source of `tables/ids.py`: a constants module, folded into whoever names them. Besides the ids it has which types
    of variables the CSMS may write."""
    kinds = {entry.kind for entry in entries if entry.mutability != "ReadOnly"}
    written = sum(1 << TYPES.index(kind) for kind in kinds)
    lines = [
        "# Generated from device_model/: the ids of the variables.",
        "from micropython import const",
        "",
    ]
    for variable in sorted(variables, key=lambda variable: variable.data["id"]):
        lines.append(f"{variable.const} = const({variable.data['id']})  # {variable.path}")
    lines.append(f"WRITTEN_TYPES = const({written})")
    return "\n".join(lines) + "\n"


def describe(entries: list) -> list:
    """The entries for host programs (`model.json`): names, places, ids, settings keys and types."""
    return [
        {
            "component": entry.variable.component,
            "variable": entry.variable.name,
            "instance": entry.variable.instance,
            "evse": entry.evse,
            "connector": entry.connector,
            "id": entry.variable.data["id"],
            "key": entry.key,
            "type": entry.kind,
            "mutability": entry.mutability,
            "live": "live" in entry.variable.data and "default" not in entry.variable.data,
            "min": entry.least,
            "max": entry.most,
            "values": entry.values,
            "fixed": entry.is_fixed,
        }
        for entry in entries
    ]


def factory(description: list, name: str, text: str) -> list:
    """Settings (key, value) that give a variable a factory value, whatever its mutability.

    `name` is `Component.Variable` or `Component.Variable.Instance`, without case; every EVSE gets the value.
    ValueError says what is wrong.
    """
    component, variable, instance = (name.lower().split(".", 2) + ["", ""])[:3]
    found = [
        entry
        for entry in description
        if (entry["component"].lower(), entry["variable"].lower(), entry["instance"].lower())
        == (component, variable, instance)
    ]
    if not found:
        names = sorted(
            {
                ".".join(filter(None, (e["component"], e["variable"], e["instance"])))
                for e in description
            }
        )
        raise ValueError(f"unknown variable {name!r}{like(name, names)}")
    if found[0]["live"]:
        raise ValueError(f"{name} is measured, it cannot be set")
    if found[0]["fixed"]:
        raise ValueError(f"{name} is hard-coded in this image: its profile's [variables] says it")
    kind, least, most, values = (found[0][key] for key in ("type", "min", "max", "values"))
    value = text
    if kind == "boolean":
        value = {"true": True, "false": False}.get(text.lower(), text)
    elif kind in _NUMBERS and re.fullmatch(r"-?\d{1,9}", text):
        value = int(text)
    if kind in ("SequenceList", "MemberList"):
        value = ",".join(item.strip() for item in text.split(",") if item.strip())
    for fault in _misfits(value, kind, {"min": least}, values, most):
        raise ValueError(f"{name}: {fault}")
    if kind in _NUMBERS:
        value = int(value)
    return [(entry["key"], value) for entry in found]
