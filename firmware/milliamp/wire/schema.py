# Checks a payload against a compact form of the official JSON schemas, where it lies in the buffer.
#
# The table is made by tools/builder/tables/schemas.py and never leaves ROM: types, and a directory for each version.
# Offsets are two bytes, high one first. No byte of them is a quote, and each name is stored with its quotes and followed
# by a byte below 32, which no name has: what `find` finds is a name.
#   head       the field that each object of 2.x may have, "customData" index, offset of its type; or 0s;
#              and the type of an object without fields, which the responses have that are not listed
#   directory  per action: "Action" version, offset of its request, offset of its response
#   b n i x    boolean, number, 32-bit integer, anything
#   l          number with limits, a bit each: not below 0, not above 0, not above 100, tenths
#   r          integer: u8 minimum, u8 maximum (255: none)
#   s          string: u16 longest (0: any)            e  enumeration: u16 size, "A"B"C"
#   a          array: u8 fewest, u16 most (0: any), offset of the element's type
#   y z {      objects: open, closed, closed also to customData: u8 number of required fields, u16 size, then
#              per field "name" index (the required ones come first), offset of its type
import asyncio

from micropython import const

from tables import forms

# Fields and elements.
_YIELD_EVERY = const(12)
# Bytes of "customData" with its quotes.
_COMMON = const(12)
# Where the type of an object without fields is.
_EMPTY = const(15)
# Null begins so, and nothing else does.
_NULL = const(110)
# Bytes of a name or enumeration value, quotes included: see tools/builder.
_LONGEST = const(64)

_ARRAY = const(97)
_BOOLEAN = const(98)
_ENUM = const(101)
_LIMITED = const(108)
_NUMBER = const(110)
_RANGE = const(114)
_STRING = const(115)
_ANY = const(120)
# And above: objects.
_OPEN = const(121)
_OBJECT = const(122)

MISSING = "OccurrenceConstraintViolation"
TYPE = "TypeConstraintViolation"
VALUE = "PropertyConstraintViolation"
UNKNOWN = "FormatViolation"


def find(table: bytes, action: str, response: bool = False, version: int = 0) -> int:
    """The type of an action's request, 0 when the table has none; or of its response, which has no fields when the
    table has none. `version`: its place among those of the table."""
    at = table.find(b'"%s"%c' % (action.encode(), version))
    if at < 0:
        return _EMPTY if response else 0
    return _u16(table, at + len(action) + (5 if response else 3))


async def check(r, at: int, table: bytes, kind: int, lenient=False):
    """Check the value at `at` of Reader `r` against the type `kind` that `find` gave.

    Returns None, or (error code of OCPP 2.0.1, "what is wrong: where"), which repeats no value and no
    unknown name. Yields to other tasks every few fields; needs no stack for nested payloads.

    What is wrong, and an object that lacks what it must have, is crossed out where it lies: it reads as absent
    and hides nothing that is right. `lenient`, for answers: null and unknown fields are no fault.
    """
    # The containers around the innermost one, each as the four names below.
    around = []
    # The key or element that is being looked at.
    place = 0
    # The type of its container.
    outer = 0
    # Which fields were seen (a bit each), or how many elements.
    seen = 0
    # Of the field that is being looked at.
    bit = 0
    # Where something begins that is crossed out, 0: there is nothing.
    bad = 0
    fault = None
    steps = 0
    while True:
        steps += 1
        if steps % _YIELD_EVERY == 0:
            await asyncio.sleep_ms(0)
        t = table[kind]
        c = r.buf[at]
        opens = 91 if t == _ARRAY else 123 if t >= _OPEN else 0
        if c == opens:
            if outer:
                around.append((place, outer, seen, bit))
            outer = kind
            seen = bit = 0
            place = r.first(at)
            at += 1
        else:
            bad = at
            at = r.skip(at)
            code = TYPE if opens else _scalar(r, bad, at, table, kind)
            if not code:
                bad = 0
            elif not (lenient and outer and c == _NULL):
                what = "wrong type" if code is TYPE else "bad value"
                fault = fault or _say(r, table, around + [(place, outer, seen, bit)], code, what)
            if not outer:
                return fault
            place = r.more(at)
        # On to the next value. Here `at` is behind the last one, and a `place` of 0 ends a container.
        while True:
            if bad:
                seen -= bit
                for i in range(bad, at):
                    r.buf[i] = _NULL
                bad = 0
            t = table[outer]
            if place and t == _ARRAY:
                seen += 1
                most = _u16(table, outer + 2)
                if most and seen > most:
                    what = "too many elements"
                    fault = fault or _say(r, table, around, MISSING, what)
                at = place
                kind = _u16(table, outer + 4)
                break
            if place:
                at = r.skip(place)
                start = outer + 4
                name = _name(r, place, at)
                n = table.find(name, start, start + _u16(table, outer + 2))
                if n < 0 and t == _OBJECT:
                    n = table.find(name, 0, _COMMON)
                if n >= 0:
                    n += len(name)
                    bit = 1 << table[n]
                    if not seen & bit:
                        seen |= bit
                        at = r.value(place)
                        kind = _u16(table, n + 1)
                        break
                if not lenient and (n >= 0 or t > _OPEN):
                    what = "unknown field" if n < 0 else "field twice"
                    inner = [] if n < 0 else [(place, outer, seen, bit)]
                    fault = fault or _say(r, table, around + inner, UNKNOWN, what)
                at = r.skip(r.value(place))
                place = r.more(at)
                continue
            what = ""
            if t == _ARRAY:
                if seen < table[outer + 1]:
                    what = "too few elements"
            elif ~seen & (1 << table[outer + 1]) - 1:
                what = "missing " + _missing(table, outer, seen)
            if what:
                fault = fault or _say(r, table, around, MISSING, what)
            if not around:
                return fault
            at += 1
            place, outer, seen, bit = around.pop()
            if what:
                bad = place if table[outer] == _ARRAY else r.value(place)
            place = r.more(at)


def _scalar(r, at, behind, table, kind):
    # None, or the code of what is wrong with the value in buf[at:behind].
    c = r.buf[at]
    t = table[kind]
    if t == _STRING or t == _ENUM:
        if c != 34:
            return TYPE
        size = _u16(table, kind + 1)
        if t == _ENUM:
            start = kind + 3
            return None if table.find(_name(r, at, behind), start, start + size) >= 0 else VALUE
        if size and (behind - at - 2 > size or r.diverted) and r.length(at) > size:
            return VALUE
        return None
    if t == _ANY:
        return None
    if t == _BOOLEAN:
        return None if c == 116 or c == 102 else TYPE
    if c != 45 and not 48 <= c <= 57:
        return TYPE
    if t == _NUMBER:
        return None
    # LIMITS has a bit for each limit in the table: there is no code for none.
    if forms.LIMITS and t == _LIMITED:
        return VALUE if _beyond(r, at, table[kind + 1]) else None
    n = r.number(at)
    # A fraction, or far too large.
    if n is None:
        return TYPE if r.fixed(at, 0) is not None else VALUE
    least = -0x80000000
    most = 0x7FFFFFFF
    if t == _RANGE:
        least = table[kind + 1]
        most = table[kind + 2] if table[kind + 2] < 255 else most
    return None if least <= n <= most else VALUE


def _beyond(r, at, limits):
    # Is a number outside of its limits?
    exact = r.fixed(at, 0, True)
    if r.buf[at] == 45:
        wrong = limits & 1 and exact != 0
    else:
        whole = r.fixed(at, 0)
        wrong = limits & 2 and exact != 0
        wrong = wrong or limits & 4 and (whole is None or whole > 99 and exact != 100)
    return wrong or limits & 8 and r.fixed(at, 1, True) is None


def _name(r, at, stop):
    # A name or an enumeration value with its quotes, as the table has it: escapes decoded. What is longer
    # than any there is not copied out of the buffer.
    if r.escapes and stop - at <= 6 * _LONGEST and r.buf.find(b"\\", at, stop) >= 0:
        name = r.text(at).encode()
        return b'""' if b'"' in name or min(name) < 32 else b'"%s"' % name
    return r.buf[at:stop] if stop - at <= _LONGEST else b'""'


def _say(r, table, around, code, what):
    # (code, "what: where"). The path holds only names that are in the table.
    path = ""
    for place, outer, seen, _ in around:
        if place:
            path += "[%d]" % (seen - 1) if table[outer] == _ARRAY else "." + r.text(place)
    return code, (what + ": " + path[1:] if path else what)[:200]


def _missing(table, outer, seen):
    # The name of the first required field that was not seen.
    at = outer + 4
    while True:
        stop = table.find(b'"', at + 1)
        if not seen >> table[stop + 1] & 1:
            return str(table[at + 1 : stop], "utf-8")
        at = stop + 4


def _u16(table, at):
    return table[at] << 8 | table[at + 1]
