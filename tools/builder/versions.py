"""Reads and checks `device_model/versions/*.toml`: what each OCPP version says, and the numbers that the station has for it.

`load()` is what everybody asks who must know a word of OCPP: the build, the simulator, the tests.
"""

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tools import ROOT, BuildError
from tools.builder import official
from tools.builder.profile import toml
from tools.builder.profile.toml import like

DATA = ROOT / "device_model" / "versions"
CORE = "v201"  # whose words the firmware's own names are
UP, DOWN, BOTH, SEND = "up", "down", "both", "send"
DIRECTIONS = (UP, DOWN, BOTH, SEND)

_TEXTS = ("title", "subprotocol", "network")
_LIKE = ("like", "tables")
_TABLES = ("actions", "errors", "measurands")
# What the build has tables of anyway: no enumeration is there.
_TAKEN = ("forms", "ids", "measurands", "model", "profile", "routes", "schemas", "words")
_AT = "at"
_ROOM = "most"
_GONE = "gone"
_SLOT_KEYS = ("slots", "unit", "digits")
# Enumerations whose numbers are not places in a row: where the word begins in it, or a bit each.
_BEGINS = ("AuthorizationStatusEnumType",)
_BITS = ("TxStartPoint",)
_MOST = 255


@dataclass
class Enumeration:
    """The words of one enumeration: `numbers` has for each all the numbers that it stands for."""

    name: str  # as OCPP calls it
    module: str  # of the constants that the build makes of its numbers
    at: str = ""  # the field of a message that has one of them, "" for none
    most: int = _MOST  # the largest number that its place in a record holds
    numbers: dict = field(default_factory=dict)
    where: dict = field(default_factory=dict)  # word -> file:line

    @property
    def words(self) -> dict:
        """{number: word}."""
        return {number: word for word, numbers in self.numbers.items() for number in numbers}

    @property
    def label(self) -> str:
        """Its text in `tables.words`."""
        return upper(self.name.removesuffix("EnumType"))

    def row(self) -> list:
        """The words by their numbers (or bits); "" where there is none."""
        places = self.words
        if self.name in _BITS:
            places = {number.bit_length() - 1: word for number, word in places.items()}
        return [places.get(place, "") for place in range(max(places) + 1)]

    def text(self) -> str:
        """The row as the firmware has it: one text. ValueError says why there is none."""
        if self.name not in _BEGINS:
            return " ".join(self.row())
        text = ""
        for number, word in sorted(self.words.items()):
            if number < len(text) or number and number < len(text) + 1:
                raise ValueError(f"{word!r} cannot begin at {number}: {len(text) + 1} is free")
            text = text.ljust(number) + word
        return text


@dataclass
class Version:
    """One version of OCPP."""

    name: str  # of its file, and of its folder in the package of schemas
    title: str = ""
    subprotocol: str = ""  # of the WebSocket
    network: str = ""  # in a network profile
    actions: dict = field(default_factory=dict)  # action -> direction
    errors: dict = field(default_factory=dict)  # as 2.0.1 spells them -> as it does
    enumerations: dict = field(default_factory=dict)  # name -> Enumeration
    measurands: dict = field(default_factory=dict)  # name -> (slots, unit, digits)
    gone: list = field(default_factory=list)  # slots of what is measured no more
    where: dict = field(default_factory=dict)  # (table, key) -> file:line

    @property
    def asked(self) -> list:
        """The actions that a CSMS may call."""
        return [action for action, way in self.actions.items() if way in (DOWN, BOTH)]

    @property
    def told(self) -> list:
        """The actions that a station may call."""
        return [action for action, way in self.actions.items() if way != DOWN]

    def row(self, name: str) -> list:
        """The words of an enumeration by their numbers."""
        return self.enumerations[name].row()


def upper(name: str) -> str:
    """`EVConnectTimeout` -> `EV_CONNECT_TIMEOUT`."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"\W", "_", name).upper()


def load(name: str = CORE, data: Path = DATA) -> Version:
    """One version. BuildError has one line a fault."""
    return load_all(data)[name]


@cache
def load_all(data: Path = DATA) -> dict:
    """{name: Version} of all files, the core's first; what they say is looked at without the schemas: see `check`."""
    files = sorted(data.glob("*.toml"), key=lambda file: (file.stem == CORE, file.stem))
    files.reverse()
    reader = _Reader({file.stem: toml.load(file) for file in files})
    found = {name: reader.version(name) for name in reader.raw}
    reader.errors += _disagreements(found)
    if reader.errors:
        raise BuildError("\n".join(dict.fromkeys(reader.errors)))
    return found


class _Reader:
    """Makes versions of what is in their files, and collects what is wrong with it."""

    def __init__(self, raw: dict):
        self.raw = raw  # name -> (tables, lines)
        self.errors = []
        self._open = []  # those that are being read

    def version(self, name: str) -> Version:
        raw, lines = self.raw[name]
        version = Version(name)
        self._open.append(name)
        self._like(version, raw, lines)
        self._open.pop()
        version.where["file", ""] = lines.where(())
        for key in _TEXTS:
            if isinstance(raw.get(key), str) and raw[key]:
                setattr(version, key, raw[key])
            else:
                self._say(lines, (key,), f"{key!r} must be a text")
        for key, table in raw.items():
            if key in _TEXTS or key in _LIKE:
                continue
            if not isinstance(table, dict):
                known = (*_LIKE, *_TEXTS, *_TABLES)
                self._say(lines, (key,), f"unknown key {key!r}{like(key, known)}")
            elif key in _TABLES:
                getattr(self, "_" + key)(version, table, lines)
            elif key in _TAKEN:
                self._say(
                    lines, (key,), f"the build has other tables in {key!r}: use another name"
                )
            else:
                for enumeration, words in table.items():
                    self._enumeration(version, key, enumeration, words, lines)
        return version

    def _say(self, lines, path, text) -> None:
        self.errors.append(f"{lines.where(path)}: {text}")

    def _like(self, version, raw, lines) -> None:
        """Take over what the version says that this one is like."""
        if "like" not in raw:
            return
        name = raw["like"]
        if name not in self.raw or name in self._open:
            others = [other for other in self.raw if other not in self._open]
            self._say(lines, ("like",), f"no version {name!r} to be like{like(name, others)}")
            return
        base = self.version(name)
        modules = {item.module for item in base.enumerations.values()}
        tables = raw.get("tables", [*_TABLES, *modules])
        for table in tables:
            if table in _TABLES:
                setattr(version, table, dict(getattr(base, table)))
            elif table not in modules:
                known = sorted({*_TABLES, *modules})
                self._say(lines, ("tables",), f"{name} has no {table!r}{like(table, known)}")
        if "measurands" in tables:
            version.gone = list(base.gone)
        version.where = {key: at for key, at in base.where.items() if key[0] in tables}
        for item in base.enumerations.values():
            if item.module in tables:
                copy = Enumeration(item.name, item.module, item.at, item.most)
                copy.numbers, copy.where = dict(item.numbers), dict(item.where)
                version.enumerations[item.name] = copy

    def _actions(self, version, table, lines) -> None:
        for action, way in table.items():
            version.where["actions", action] = lines.where(("actions", action))
            if way not in DIRECTIONS:
                self._say(
                    lines, ("actions", action), f"no direction {way!r}{like(way, DIRECTIONS)}"
                )
            version.actions[action] = way

    def _errors(self, version, table, lines) -> None:
        for error, spelling in table.items():
            version.where["errors", error] = lines.where(("errors", error))
            if not (isinstance(spelling, str) and spelling.isalpha()):
                self._say(lines, ("errors", error), f"{error} must be spelled as a word")
            version.errors[error] = spelling

    def _measurands(self, version, table, lines) -> None:
        taken = {}
        for name, data in table.items():
            path = ("measurands", name)
            version.where[path] = lines.where(path)
            data = {"slots": data} if name == _GONE else data
            if not isinstance(data, dict):
                self._say(lines, path, f"{name} must have {', '.join(_SLOT_KEYS)}")
                continue
            for key in data:
                if key not in _SLOT_KEYS:
                    self._say(lines, path, f"unknown key {key!r}{like(key, _SLOT_KEYS)}")
            slots, unit, digits = data.get("slots"), data.get("unit", ""), data.get("digits", 0)
            if not _are_numbers(slots, 30) or name != _GONE and len(slots) not in (1, 4):
                text = (
                    "'slots' must be one number or four (the sum, L1, L2, L3), each from 0 to 30"
                )
                self._say(lines, path, f"{name}: {text}")
                continue
            for slot in slots:
                if slot in taken:
                    text = f"{name}: the slot {slot} is {taken[slot]}'s: choose another"
                    self._say(lines, path, text)
                taken.setdefault(slot, name)
            if digits not in range(4) or not isinstance(unit, str):
                self._say(lines, path, f"{name}: 'unit' must be a text, 'digits' from 0 to 3")
            if name == _GONE:
                version.gone = slots
            else:
                version.measurands[name] = (slots, unit, digits)
        free = set(range(max(taken, default=0) + 1)) - set(taken)
        if free:
            text = f"nothing has the slot {min(free)}: what is measured no more is in {_GONE!r}"
            self._say(lines, ("measurands",), text)

    def _enumeration(self, version, module, name, words, lines) -> None:
        if not isinstance(words, dict):
            self._say(lines, (module, name), f"{name} must be a table of words and their numbers")
            return
        item = version.enumerations.get(name) or Enumeration(name, module)
        item.module, item.at = module, words.get(_AT, item.at)
        item.most = words.get(_ROOM, item.most)
        version.enumerations[name] = item
        version.where[module, name] = lines.where((module, name))
        if type(item.most) is not int or not 0 < item.most <= _MOST:
            self._say(lines, (module, name, _ROOM), f"{_ROOM!r} must be from 1 to {_MOST}")
            return
        for word, given in words.items():
            if word in (_AT, _ROOM):
                continue
            path = (module, name, word)
            numbers = given if isinstance(given, list) else [given]
            if not _are_numbers(numbers, item.most):
                text = f"{word} must have a number from 0 to {item.most}, or several"
                self._say(lines, path, text)
                continue
            for number in numbers:
                other = item.words.get(number, word)
                if other != word:
                    text = f"{word}: the number {number} is {other}'s: choose another"
                    self._say(lines, path, text)
                if name in _BITS and number.bit_count() != 1:
                    self._say(lines, path, f"{word}: {number} is no single bit")
            item.numbers[word] = tuple(numbers)
            item.where[word] = lines.where(path)
        try:
            item.text()
        except ValueError as error:
            self._say(lines, (module, name), f"{name}: {error}")


def _are_numbers(value, most: int) -> bool:
    """Is it a list of numbers from 0 to `most`, each once?"""
    return (
        isinstance(value, list)
        and bool(value)
        and all(type(item) is int and 0 <= item <= most for item in value)
        and len(set(value)) == len(value)
    )


def _disagreements(versions: dict):
    """What versions say differently that must be the same in all: the firmware has one number, whatever is spoken."""
    slots, errors = {}, versions[CORE].errors
    for version in versions.values():
        for error in errors:
            if error not in version.errors:
                yield f"{version.where['file', '']}: it does not say how {error} is spelled: add it to [errors]"
        for error in version.errors:
            if error not in errors:
                yield f"{version.where['errors', error]}: no error {error!r}{like(error, errors)}"
        for name, item in version.enumerations.items():
            first = next(one for one in versions.values() if name in one.enumerations)
            known = first.enumerations[name]
            for word, numbers in item.numbers.items():
                if word in known.numbers and not set(numbers) & set(known.numbers[word]):
                    text = f"{word} is {known.numbers[word][0]} in {known.where[word]}"
                    yield f"{item.where[word]}: {text}: a number is the same in every version"
        for name, (places, *_) in version.measurands.items():
            for slot in places:
                other = slots.setdefault(slot, name)
                if other != name:
                    at = version.where["measurands", name]
                    yield f"{at}: the slot {slot} is {other}'s: it is the same in every version"
    taken = {}
    for module, name, number, where in _constants(versions):
        at = taken.setdefault((module, name), (number, where))
        if at[0] != number:
            yield f"{where}: tables.{module} has a {name} of {at[1]}: use another table"


def _constants(versions: dict):
    """Yield (module, name, number, file:line) of every number that has a word; the first version's word names it."""
    named = set()
    for version in versions.values():
        for item in version.enumerations.values():
            for number, word in sorted(item.words.items()):
                if (item.name, number) not in named:
                    named.add((item.name, number))
                    yield item.module, upper(word), number, item.where[word]


def constants(data: Path = DATA) -> dict:
    """{module: {name without underscore: number}} of all versions together."""
    found = {}
    for module, name, number, _ in _constants(load_all(data)):
        found.setdefault(module, {})[name] = number
    return found


@cache
def check(data: Path = DATA) -> None:
    """Compare all versions with the official schemas. BuildError has one line a fault."""
    errors = []
    for version in load_all(data).values():
        errors += _faults(version)
    if errors:
        raise BuildError("\n".join(dict.fromkeys(errors)))


def _faults(version: Version):
    """What the schemas of a version have against what its file says."""
    known = official.actions(version.name)
    for action, way in version.actions.items():
        where = version.where["actions", action]
        if action not in known:
            yield f"{where}: unknown action {action!r}{like(action, known)}"
        elif (way == SEND) == (action + "Response" in official.names(version.name)):
            what = "has no answer" if way != SEND else "has an answer"
            yield f"{where}: {action} {what}: {SEND!r} is for what has none"
    for action in known:
        if action not in version.actions:
            yield f"{version.where['file', '']}: the action {action} has no direction: add it to [actions]"
    for item in version.enumerations.values():
        if not item.at:
            continue
        try:
            schema = official.field(item.at, version.name)
        except KeyError as error:
            what, there = error.args
            where = version.where[item.module, item.name]
            yield f"{where}: {item.at}: {version.title} has no {what!r}{like(what, there)}"
            continue
        for word in item.numbers:
            if fault := _misfit(word, schema):
                yield f"{item.where[word]}: {word!r} is no value of {item.at} in {version.title}{fault}"
    if not version.measurands:
        return
    schema = official.field("MeterValues.meterValue.sampledValue.measurand", version.name)
    for name in version.measurands:
        if fault := _misfit(name, schema):
            where = version.where["measurands", name]
            yield f"{where}: {name!r} is no measurand of {version.title}{fault}"


def _misfit(word: str, schema: dict) -> str:
    """ "": the field may have this value. Else what there is."""
    if "enum" in schema:
        return "" if word in schema["enum"] else like(word, schema["enum"])
    if schema.get("type") != "string":
        return ": it is no text"
    most = schema.get("maxLength", len(word))
    return "" if len(word) <= most else f": at most {most} characters"
