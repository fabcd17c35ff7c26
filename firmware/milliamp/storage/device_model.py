# The device model: components and variables from one packed table in ROM, written values in settings.
#
# `tools/builder/tables/device_model.py` writes the table; all numbers are little-endian:
#   head       components u8, numbers u8, entries u16, ids u16 (highest + 1)
#   index      per id: first entry u16, 0xffff where there is none
#   component  per component and EVSE: hash u8, name u16, instance u8, EVSE u8, connector u8,
#              entries u8, first entry u16
#   entry      a variable there: the offsets below
#   numbers    i24 each; the first is 0
#   texts      ended by NUL, each may be the end of another; the first is the empty one. A text's number is where it
#              begins.
# The same variable of the next EVSE or connector stands one component further.
from binascii import crc32

from micropython import const

from milliamp.base import facts
from milliamp.base.packing import word
from tables import ids, variables, words

# What find() answers when there is no such entry.
_UNKNOWN_COMPONENT = const(-1)
_UNKNOWN_VARIABLE = const(-2)

_HEAD = const(6)
# Bytes.
_COMPONENT = const(9)
# Bytes.
_ENTRY = const(14)
_NOTHING = const(0xFFFF)

# Offsets in a component.
_EVSE = const(4)
_CONNECTOR = const(5)
_COUNT = const(6)
_FIRST = const(7)

# Offsets in an entry.
# 0: hash of the name in lower case, with NUL and the instance where there is one, u8
# Text, u16.
_NAME = const(1)
# Text, u8.
_INSTANCE = const(3)
# Number of the component, u8.
_OWNER = const(4)
# Type, bits 0-2; mutability, bits 3-4; and:
_KIND = const(5)
_IS_LIVE = const(0x20)
_HAS_MIN = const(0x40)
_HAS_MAX = const(0x80)
# Digits behind the point, bits 0-1; key in settings, bits 4-7; and:
_FLAGS = const(6)
_REBOOT = const(0x04)
_ASCII = const(0x08)
# U16.
_ID = const(7)
# Of a list: text, u16.
_VALUES = const(9)
# Of others: text, u8.
_UNIT = const(9)
# Of others: number, u8.
_MAX = const(10)
# Number, u8.
_MIN = const(11)
# Number or text, u16.
_VALUE = const(12)

# Types are in this order: numbers, texts, lists.
_FIRST_TEXT = const(variables.STRING)
_FIRST_LIST = const(variables.SEQUENCE_LIST)
# A bit for each type.
_NUMBERS = const((1 << _FIRST_TEXT) - 1)
_LISTS = const(0xFF & -1 << _FIRST_LIST)


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
    # Of the text itself, MicroPython would keep each character for ever.
    for c in text.encode():
        if not 48 <= c <= 57:
            return None
    return -int(text) if negative else int(text)


def _hash(name, instance):
    if instance:
        name += "\0" + instance
    return crc32(name.lower().encode()) & 0xFF


class Model:
    """The station's variables. An entry is a variable of one component of one EVSE and connector, a
    number from 0 to `count` - 1; an id is a variable, `tables.ids` names them.

    `live(id, evse, connector)` gives the value of a variable that is measured rather than stored, None
    when there is none: an int for boolean, integer and decimal (in units of the last digit), else a str.
    """

    def __init__(self, table: bytes, settings, live, bus=None):
        self._table = table
        self._settings = settings
        self._live = live
        self._bus = bus
        self.count = table[2] | table[3] << 8
        # Why the last set() was rejected, as an OCPP reason code.
        self.reason = ""
        self._components = _HEAD + 2 * (table[4] | table[5] << 8)
        self._entries = self._components + _COMPONENT * table[0]
        self._numbers = self._entries + _ENTRY * self.count
        self._texts = self._numbers + 3 * table[1]

    def _u16(self, at):
        table = self._table
        return table[at] | table[at + 1] << 8

    def _value(self, number):
        table = self._table
        at = self._numbers + 3 * number
        high = table[at + 2]
        return table[at] | table[at + 1] << 8 | (high - 256 if high & 0x80 else high) << 16

    def _text(self, number):
        start = self._texts + number
        return self._table[start : self._table.find(b"\0", start)].decode()

    def _equal(self, number, text):
        # Is it this text, whatever the case?
        if not number:
            return not text
        own = self._text(number)
        return own == text or own.lower() == text.lower()

    def _same(self, at, wanted, name, instance):
        # Does the component or entry at `at` have this hash, name and instance?
        return (
            self._table[at] == wanted
            and self._equal(self._u16(at + _NAME), name)
            and self._equal(self._table[at + _INSTANCE], instance)
        )

    def find(
        self, component: str, c_instance, evse: int, connector: int, variable: str, v_instance
    ) -> int:
        """The entry of a variable, names compared without case; instances are None or "" when not given,
        EVSE and connector 0. -1: unknown component; -2: unknown variable (B05, B06.FR.14, B06.FR.15)."""
        table = self._table
        wanted = _hash(component, c_instance)
        for at in range(self._components, self._entries, _COMPONENT):
            if table[at + _EVSE] == evse and table[at + _CONNECTOR] == connector:
                if self._same(at, wanted, component, c_instance):
                    break
        else:
            return _UNKNOWN_COMPONENT
        first = self._u16(at + _FIRST)
        wanted = _hash(variable, v_instance)
        for entry in range(first, first + table[at + _COUNT]):
            if self._same(self._entries + _ENTRY * entry, wanted, variable, v_instance):
                return entry
        return _UNKNOWN_VARIABLE

    def entry(self, id: int, evse: int = 0, connector: int = 0) -> int:
        """The entry of a variable by its id. KeyError when this board has none."""
        at = _HEAD + 2 * id
        entry = self._u16(at) if at < self._components else _NOTHING
        table = self._table
        while entry < self.count:
            at = self._entries + _ENTRY * entry
            if self._u16(at + _ID) != id:
                break
            owner = self._owner(at)
            if table[owner + _EVSE] == evse and table[owner + _CONNECTOR] == connector:
                return entry
            entry += table[owner + _COUNT]
        raise KeyError(id)

    def _get(self, entry):
        at = self._entries + _ENTRY * entry
        table = self._table
        kind = table[at + _KIND]
        default = self._u16(at + _VALUE)
        if kind & _IS_LIVE:
            owner = self._owner(at)
            value = self._live(
                self._u16(at + _ID), table[owner + _EVSE], table[owner + _CONNECTOR]
            )
            if value is not None or not default:
                # Else it has a default.
                return value
        value = self._settings.get(self._key(at))
        if value is None:
            value = self._text(default) if kind & 7 >= _FIRST_TEXT else self._value(default)
        return value

    def _owner(self, at):
        return self._components + _COMPONENT * self._table[at + _OWNER]

    def _key(self, at):
        # What the value of the entry at `at` is called in settings.
        setting = self._table[at + _FLAGS] >> 4
        if setting:
            return 0x8000 | setting
        return self._u16(at + _ID) * 16 + self._table[self._owner(at) + _EVSE]

    def get(self, id: int, evse: int = 0, connector: int = 0):
        """The present value: an int for boolean, integer and decimal (in units of the last digit), else a
        str; None: a live one that is not known. KeyError when this board has no such variable."""
        return self._get(self.entry(id, evse, connector))

    def text(self, entry: int):
        """The Actual value as OCPP writes it, "" when it is not known; None for a WriteOnly variable."""
        at = self._entries + _ENTRY * entry
        kind = self._table[at + _KIND]
        if kind >> 3 & 3 == variables.WRITE_ONLY:
            return None
        value = self._get(entry)
        kind &= 7
        if value is None:
            return ""
        if kind == variables.BOOLEAN:
            return "true" if value else "false"
        digits = self._table[at + _FLAGS] & 3
        if kind != variables.DECIMAL or not digits:
            return str(value)
        scale = 10**digits
        text = str(abs(value) % scale + scale)[1:]
        return ("-" if value < 0 else "") + str(abs(value) // scale) + "." + text

    def writable(self, entry: int) -> bool:
        """May the CSMS write it?"""
        return self._table[self._entries + _ENTRY * entry + _KIND] >> 3 & 3 != variables.READ_ONLY

    def set(self, entry: int, text: str) -> int:
        """Write the Actual value: 0 Accepted, 1 Rejected (`reason` says why), 2 RebootRequired. What was
        accepted is in flash when this returns (B05)."""
        if not self.writable(entry):
            self.reason = "ReadOnly"
            return variables.REJECTED
        at = self._entries + _ENTRY * entry
        value = self._checked(at, text)
        if value is None:
            return variables.REJECTED
        self.reason = ""
        try:
            self.put(entry, value)
        except OSError:
            self.reason = "OutOfStorage"
            return variables.REJECTED
        return (
            variables.REBOOT_REQUIRED if self._table[at + _FLAGS] & _REBOOT else variables.ACCEPTED
        )

    def put(self, entry: int, value) -> None:
        """Store a value as get() gives it, unchecked and whatever the mutability, and tell it."""
        at = self._entries + _ENTRY * entry
        self._settings.put((self._key(at), value))
        if self._bus is not None:
            self._bus.tell(
                facts.VARIABLE, self._table[self._owner(at) + _EVSE], self._u16(at + _ID)
            )

    def _checked(self, at, text):
        # The value that `text` means for the entry at `at`; None with a reason when it may not be set.
        kind = self._table[at + _KIND]
        flags = self._table[at + _FLAGS]
        least = self._value(self._table[at + _MIN]) if kind & _HAS_MIN else None
        most = self._value(self._table[at + _MAX]) if kind & _HAS_MAX else None
        kind &= 7
        self.reason = "InvalidValue"
        # WRITTEN_TYPES has a bit for each type that the CSMS may write: there is no code for what nobody writes.
        if ids.WRITTEN_TYPES >> variables.BOOLEAN & 1 and kind == variables.BOOLEAN:
            text = text.lower()
            return 1 if text == "true" else 0 if text == "false" else None
        if ids.WRITTEN_TYPES & _NUMBERS and kind < _FIRST_TEXT:
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
        if ids.WRITTEN_TYPES >> variables.OPTION_LIST & 1 and kind == variables.OPTION_LIST:
            return text if text in self._text(self._u16(at + _VALUES)).split(",") else None
        if ids.WRITTEN_TYPES & _LISTS and kind >= _FIRST_LIST:
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
        known = self._text(self._u16(at + _VALUES)).split(",")
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
        owner = self._owner(at)
        kind = table[at + _KIND]
        is_list = kind & 7 >= variables.OPTION_LIST
        return (
            self._text(self._u16(owner + _NAME)),
            self._text(table[owner + _INSTANCE]),
            table[owner + _EVSE],
            table[owner + _CONNECTOR],
            self._text(self._u16(at + _NAME)),
            self._text(table[at + _INSTANCE]),
            word(words.MUTABILITY, kind >> 3 & 3),
            word(words.DATA, kind & 7),
            self._text(0 if is_list else table[at + _UNIT]),
            self._value(table[at + _MIN]) if kind & _HAS_MIN and not is_list else None,
            self._value(table[at + _MAX]) if kind & _HAS_MAX else None,
            self._text(self._u16(at + _VALUES) if is_list else 0),
        )
