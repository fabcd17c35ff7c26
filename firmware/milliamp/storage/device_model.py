# The device model: components and variables from one packed table in ROM, written values in settings.
#
# `tools/device_model.py` writes the table; all numbers are little-endian, 24-bit ones signed:
#   head       format u8, components u8, entries u16, ids u16 (highest + 1)
#   index      per id: first entry u16, 0xffff where there is none
#   component  per component and EVSE: hash u16, name u16, instance u16, EVSE u8, connector u8,
#              first entry u16, entries u8, 0
#   entry      a variable there: the offsets below
#   texts      ended by NUL; the first is the empty one. Text numbers are offsets from its start.
# The same variable of the next EVSE or connector stands one component further.
from binascii import crc32

from micropython import const

from milliamp.base.facts import _VARIABLE

# What find() answers when there is no such entry.
_UNKNOWN_COMPONENT = const(-1)
_UNKNOWN_VARIABLE = const(-2)

# What set() answers.
_ACCEPTED = const(0)
_REJECTED = const(1)
_REBOOT_REQUIRED = const(2)

_FORMAT = const(1)
_HEAD = const(6)
_COMPONENT = const(12)  # bytes
_ENTRY = const(26)  # bytes
_NOTHING = const(0xFFFF)

# Offsets in an entry.
# 0: hash of the name in lower case, with NUL and the instance where there is one, u16
_NAME = const(2)
_INSTANCE = const(4)
_OWNER = const(6)  # number of the component, u8
_KIND = const(7)  # type, bits 0-2; mutability, bits 3-4; and:
_IS_LIVE = const(0x20)
_HAS_MIN = const(0x40)
_HAS_MAX = const(0x80)
_FLAGS = const(8)  # digits behind the point, bits 0-1; and:
_REBOOT = const(0x04)
_ASCII = const(0x08)
_KEY = const(9)  # in settings; + EVSE when below 0x8000
_ID = const(11)
_UNIT = const(13)
_VALUES = const(15)
_MIN = const(17)
_MAX = const(20)
_VALUE = const(23)  # the number, or the text's number

_BOOLEAN = const(0)
_INTEGER = const(1)
_DECIMAL = const(2)
_FIRST_TEXT = const(3)  # from here on values are texts
_FIRST_LIST = const(6)  # from here on they are lists
_TYPES = const(
    (
        "boolean",
        "integer",
        "decimal",
        "string",
        "dateTime",
        "OptionList",
        "SequenceList",
        "MemberList",
    )
)
_OPTION_LIST = const(5)

_READ_ONLY = const(0)
_WRITE_ONLY = const(2)
_MUTABILITIES = const(("ReadOnly", "ReadWrite", "WriteOnly"))


def _number(text: str, digits: int):
    # The integer that a decimal text means, `digits` of it behind the point; None: not such a text.
    negative = text.startswith("-")
    whole, point, part = text[negative:].partition(".")
    if point and not (part and digits):
        return None
    if part:
        while len(part) < digits:
            part += "0"
        if part[digits:].strip("0"):
            return None
        part = part[:digits]
    else:
        part = "0" * digits
    text = whole + part
    if not whole or len(text) > 9:
        return None
    for c in text.encode():  # of the text itself, MicroPython would keep each character for ever
        if not 48 <= c <= 57:
            return None
    return -int(text) if negative else int(text)


def _hash(name, instance):
    if instance:
        name += "\0" + instance
    return crc32(name.lower().encode()) & 0xFFFF


class Model:
    """The station's variables. An entry is a variable of one component of one EVSE and connector, a
    number from 0 to `count` - 1; an id is a variable, `tables.ids` names them.

    `live(id, evse, connector)` gives the value of a variable that is measured rather than stored, None
    when there is none: an int for boolean, integer and decimal (in units of the last digit), else a str.
    """

    def __init__(self, table: bytes, settings, live, bus=None):
        if table[0] != _FORMAT:
            raise ValueError("device model format")
        self._table = table
        self._settings = settings
        self._live = live
        self._bus = bus
        self.count = table[2] | table[3] << 8
        self.reason = ""  # why the last set() was rejected, as an OCPP reason code
        self._components = _HEAD + 2 * (table[4] | table[5] << 8)
        self._entries = self._components + _COMPONENT * table[1]
        self._texts = self._entries + _ENTRY * self.count

    def _u16(self, at):
        table = self._table
        return table[at] | table[at + 1] << 8

    def _i24(self, at):
        table = self._table
        high = table[at + 2]
        return table[at] | table[at + 1] << 8 | (high - 256 if high & 0x80 else high) << 16

    def _text(self, at):
        # The text whose number stands at `at`.
        start = self._texts + self._u16(at)
        return self._table[start : self._table.find(b"\0", start)].decode()

    def _equal(self, at, text):
        # Is this the text whose number stands at `at`, whatever the case?
        if not self._u16(at):
            return not text
        own = self._text(at)
        return own == text or own.lower() == text.lower()

    def _same(self, at, wanted, name, instance):
        # Does the component or entry at `at` have this hash, name and instance?
        return (
            self._u16(at) == wanted
            and self._equal(at + _NAME, name)
            and self._equal(at + _INSTANCE, instance)
        )

    def find(
        self, component: str, c_instance, evse: int, connector: int, variable: str, v_instance
    ) -> int:
        """The entry of a variable, names compared without case; instances are None or "" when not given,
        EVSE and connector 0. -1: unknown component; -2: unknown variable (B05, B06.FR.14, B06.FR.15)."""
        table = self._table
        wanted = _hash(component, c_instance)
        for at in range(self._components, self._entries, _COMPONENT):
            if table[at + 6] == evse and table[at + 7] == connector:
                if self._same(at, wanted, component, c_instance):
                    break
        else:
            return _UNKNOWN_COMPONENT
        first = self._u16(at + 8)
        wanted = _hash(variable, v_instance)
        for entry in range(first, first + table[at + 10]):
            if self._same(self._entries + _ENTRY * entry, wanted, variable, v_instance):
                return entry
        return _UNKNOWN_VARIABLE

    def has(self, id: int) -> bool:
        """Is the variable in this board's model?"""
        at = _HEAD + 2 * id
        return at < self._components and self._u16(at) != _NOTHING

    def entry(self, id: int, evse: int = 0, connector: int = 0) -> int:
        """The entry of a variable by its id. KeyError when this board has none."""
        at = _HEAD + 2 * id
        entry = self._u16(at) if at < self._components else _NOTHING
        table = self._table
        while entry < self.count:
            at = self._entries + _ENTRY * entry
            if self._u16(at + _ID) != id:
                break
            owner = self._components + _COMPONENT * table[at + _OWNER]
            if table[owner + 6] == evse and table[owner + 7] == connector:
                return entry
            entry += table[owner + 10]
        raise KeyError(id)

    def _get(self, entry):
        at = self._entries + _ENTRY * entry
        table = self._table
        kind = table[at + _KIND]
        evse = self._evse(at)
        if kind & _IS_LIVE:
            owner = self._components + _COMPONENT * table[at + _OWNER]
            value = self._live(self._u16(at + _ID), evse, table[owner + 7])
            if value is not None or not self._i24(at + _VALUE):
                return value  # else it has a default
        key = self._u16(at + _KEY)
        value = self._settings.get(key if key & 0x8000 else key + evse)
        if value is None:
            value = self._text(at + _VALUE) if kind & 7 >= _FIRST_TEXT else self._i24(at + _VALUE)
        return value

    def _evse(self, at):
        return self._table[self._components + _COMPONENT * self._table[at + _OWNER] + 6]

    def get(self, id: int, evse: int = 0, connector: int = 0):
        """The present value: an int for boolean, integer and decimal (in units of the last digit), else a
        str; None: a live one that is not known. KeyError when this board has no such variable."""
        return self._get(self.entry(id, evse, connector))

    def text(self, entry: int):
        """The Actual value as OCPP writes it, "" when it is not known; None for a WriteOnly variable."""
        at = self._entries + _ENTRY * entry
        kind = self._table[at + _KIND]
        if kind >> 3 & 3 == _WRITE_ONLY:
            return None
        value = self._get(entry)
        kind &= 7
        if value is None:
            return ""
        if kind == _BOOLEAN:
            return "true" if value else "false"
        digits = self._table[at + _FLAGS] & 3
        if kind != _DECIMAL or not digits:
            return str(value)
        scale = 10**digits
        text = str(abs(value) % scale + scale)[1:]
        return ("-" if value < 0 else "") + str(abs(value) // scale) + "." + text

    def writable(self, entry: int) -> bool:
        """May the CSMS write it?"""
        return self._table[self._entries + _ENTRY * entry + _KIND] >> 3 & 3 != _READ_ONLY

    def set(self, entry: int, text: str) -> int:
        """Write the Actual value: 0 Accepted, 1 Rejected (`reason` says why), 2 RebootRequired. What was
        accepted is in flash when this returns (B05)."""
        if not self.writable(entry):
            self.reason = "ReadOnly"
            return _REJECTED
        at = self._entries + _ENTRY * entry
        value = self._checked(at, text)
        if value is None:
            return _REJECTED
        self.reason = ""
        try:
            self.put(entry, value)
        except OSError:
            self.reason = "OutOfStorage"
            return _REJECTED
        return _REBOOT_REQUIRED if self._table[at + _FLAGS] & _REBOOT else _ACCEPTED

    def put(self, entry: int, value) -> None:
        """Store a value as get() gives it, unchecked and whatever the mutability, and tell it."""
        at = self._entries + _ENTRY * entry
        evse = self._evse(at)
        key = self._u16(at + _KEY)
        self._settings.put((key if key & 0x8000 else key + evse, value))
        if self._bus is not None:
            self._bus.tell(_VARIABLE, evse, self._u16(at + _ID))

    def _checked(self, at, text):
        # The value that `text` means for the entry at `at`; None with a reason when it may not be set.
        kind = self._table[at + _KIND]
        flags = self._table[at + _FLAGS]
        least = self._i24(at + _MIN) if kind & _HAS_MIN else None
        most = self._i24(at + _MAX) if kind & _HAS_MAX else None
        kind &= 7
        self.reason = "InvalidValue"
        if kind == _BOOLEAN:
            text = text.lower()
            return 1 if text == "true" else 0 if text == "false" else None
        if kind < _FIRST_TEXT:
            scale = 10 ** (flags & 3)
            value = _number(text, flags & 3)
            if value is not None:
                if least is not None and value < least * scale:
                    self.reason = "ValueTooLow"
                    return None
                if most is not None and value > most * scale:
                    self.reason = "ValueTooHigh"
                    return None
            return value
        if kind == _OPTION_LIST:
            return text if text in self._text(at + _VALUES).split(",") else None
        if kind >= _FIRST_LIST:
            return self._members(at, text, least or 0)
        if flags & _ASCII:
            for c in text.encode():
                if not 33 <= c <= 126:
                    return None
        if (least is not None and len(text) < least) or (most is not None and len(text) > most):
            self.reason = "ValueOutOfRange"
            return None
        return text

    def _members(self, at, text, least):
        # A list in its plain form: known members, none twice, no spaces.
        known = self._text(at + _VALUES).split(",")
        members = []
        for member in text.split(",") if text.strip() else ():
            member = member.strip()
            if member not in known or member in members:
                return None
            members.append(member)
        return ",".join(members) if len(members) >= least else None

    def fields(self, entry: int) -> tuple:
        """What a report says of an entry (B07): (component, instance, evse, connector, variable, instance,
        mutability, data type, unit, least, most, values). Texts are "" and limits None when there are
        none; a list's limits are not reported."""
        at = self._entries + _ENTRY * entry
        table = self._table
        owner = self._components + _COMPONENT * table[at + _OWNER]
        kind = table[at + _KIND]
        is_list = kind & 7 >= _OPTION_LIST
        return (
            self._text(owner + _NAME),
            self._text(owner + _INSTANCE),
            table[owner + 6],
            table[owner + 7],
            self._text(at + _NAME),
            self._text(at + _INSTANCE),
            _MUTABILITIES[kind >> 3 & 3],
            _TYPES[kind & 7],
            self._text(at + _UNIT),
            self._i24(at + _MIN) if kind & _HAS_MIN and not is_list else None,
            self._i24(at + _MAX) if kind & _HAS_MAX and not is_list else None,
            self._text(at + _VALUES),
        )
