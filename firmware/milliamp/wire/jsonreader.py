# JSON without objects: a scanner that reads the receive buffer where it lies. Nothing from outside
# becomes a dict or a list, so no input costs heap.
from micropython import const

# Containers in containers: OCPP needs 12, customData brings its own.
_MAX_DEPTH = const(20)
_MAX_DIGITS = const(18)

_SPACE = b" \t\r\n"
_STOP = b",]}"

# What the syntax check expects next; odd: or the end of the container.
_VALUE = const(0)
# The first element.
_FIRST = const(1)
_KEY = const(2)
_FIRST_KEY = const(3)
_NOTHING = const(4)
# A comma.
_AFTER = const(5)


class Reader:
    """Reads one JSON text at the start of `buf`. A value is known by its index; 0 means "absent", and
    asking an absent value gives None (or 0, or nothing to iterate), so optional fields need no test.

    `load()` and `check()` come first. All else expects text whose syntax is right, or stays inside it.
    """

    def __init__(self, buf):
        self.buf = buf
        self._view = memoryview(buf)
        self.load(0)

    def load(self, end: int) -> None:
        """Take the first `end` bytes as the next text."""
        self.end = end
        # A list of pairs (index, length) of strings that were taken out of it on arrival, see `wire.sift`.
        self.diverted: list = ()  # type: ignore[assignment]
        # Is there one at all?
        self.escapes = self.buf.find(b"\\", 0, end) >= 0
        # White space behind the first value's begin is left out as `check` goes: nothing else must look for it.
        self.root = self._at = self._kept = self._from = self._gap(0)
        # A one, then a bit for each open container: 1 an object, 0 an array.
        self._nest = 1
        self.commas = (
            # Between the elements of an array that is all of the text, as far as it was checked.
            0
        )
        self._wants = _VALUE
        # Must strings be looked through?
        self._controls = end > 0 and min(self._view[:end]) < 32

    def check(self, steps: int):
        """Check the syntax of up to `steps` more tokens: None when there are more, else True or False.
        After False, `end` is the place of the fault: what lies before it can still be read."""
        buf = self.buf
        end = self.end
        at = self._at
        nest = self._nest
        wants = self._wants
        while steps > 0:
            steps -= 1
            if at < end and buf[at] <= 32:
                at = self._close(at)
            if at == end:
                break
            c = buf[at]
            if wants & 1 and c == (125 if nest & 1 else 93):
                nest >>= 1
                at += 1
            elif wants == _AFTER:
                if c != 44:
                    break
                wants = _KEY if nest & 1 else _VALUE
                if nest == 2:
                    self.commas += 1
                at += 1
                continue
            elif wants == _KEY or wants == _FIRST_KEY:
                stop = self._string(at) if c == 34 else 0
                if not stop:
                    break
                at = stop
                if at < end and buf[at] <= 32:
                    at = self._close(at)
                if at == end or buf[at] != 58:
                    break
                wants = _VALUE
                at += 1
                continue
            elif wants == _NOTHING:
                break
            elif c == 123 or c == 91:
                if nest >> _MAX_DEPTH:
                    break
                nest = nest << 1 | (c >> 5 & 1)
                wants = _FIRST_KEY if nest & 1 else _FIRST
                at += 1
                continue
            else:
                stop = self._string(at) if c == 34 else self._scalar(at)
                if not stop:
                    break
                at = stop
            wants = _AFTER if nest > 1 else _NOTHING
        else:
            self._at = at
            self._nest = nest
            self._wants = wants
            return None
        good = wants == _NOTHING and at == end
        self._close(at)
        self.end = self._kept
        return good

    # --- places: from one value to another ----------------------------------------------------------
    def first(self, at: int) -> int:
        """The first element of the array, or the first key of the object, at `at`; 0 if it is empty."""
        at += 1
        return 0 if at >= self.end or self.buf[at] in b"]}" else at

    def next(self, at: int) -> int:
        """The element or key after the value at `at`, 0 when that was the last."""
        return self.more(self.skip(at))

    def more(self, at: int) -> int:
        """The element or key after the value that ends before `at`, 0 when that was the last."""
        return at + 1 if at + 1 < self.end and self.buf[at] == 44 else 0

    def value(self, at: int) -> int:
        """The value of the key at `at`."""
        at = self.skip(at)
        return at + 1 if at + 1 < self.end and self.buf[at] == 58 else 0

    def skip(self, at: int) -> int:
        """The index just behind the value at `at`."""
        buf = self.buf
        end = self.end
        c = buf[at]
        if c == 34:
            return self._behind(at)
        if c != 123 and c != 91:
            while at < end and buf[at] not in _STOP:
                at += 1
            return at
        depth = 0
        while at < end:
            c = buf[at]
            if c == 34:
                at = self._behind(at)
                continue
            at += 1
            # Most of what is between strings.
            if c < 91:
                continue
            if c == 123 or c == 91:
                depth += 1
            elif c == 125 or c == 93:
                depth -= 1
                if not depth:
                    return at
        return end

    def get(self, at: int, key: str) -> int:
        """The value of `key` in the object at `at`, 0 when it has none, or null."""
        if not at or self.buf[at] != 123:
            return 0
        name = key.encode()
        size = len(name) + 2
        at = self.first(at)
        while at:
            stop = self.skip(at)
            if (
                stop - at == size
                and self.buf.startswith(name, at + 1)
                or self.escapes
                and self.same(at, key)
            ):
                return stop + 1 if self.buf[stop + 1] != 110 else 0
            at = self.next(stop + 1)
        return 0

    def path(self, at: int, *keys) -> int:
        """`get` through objects in objects."""
        for key in keys:
            at = self.get(at, key)
        return at

    def each(self, at: int):
        """Iterate over the elements of the array at `at`."""
        if at and self.buf[at] == 91:
            at = self.first(at)
            while at:
                yield at
                at = self.next(at)

    def span(self, at: int) -> tuple:
        """(start, end) of the value's bytes in `buf`."""
        return at, self.skip(at)

    # --- values -------------------------------------------------------------------------------------
    def text(self, at: int, key=None):
        """The string at `at`, or that of its field `key`, escapes decoded (half a surrogate pair becomes U+FFFD);
        None if it is absent or no string."""
        if key:
            at = self.get(at, key)
        if not at or self.buf[at] != 34:
            return None
        stop = self._behind(at) - 1
        if self.buf.find(b"\\", at, stop) >= 0:
            return self._decoded(at + 1, stop)
        return str(self._view[at + 1 : stop], "utf-8")

    def _decoded(self, at, stop):
        # By itself, as all is that is rare: who has many locals takes room for them from the heap, each time.
        buf = self.buf
        # An escape is never shorter than what it stands for.
        out = bytearray(stop - at)
        n = 0
        while at < stop:
            c = buf[at]
            at += 1
            if c == 92:
                c = buf[at]
                at += 1
                if c == 117:
                    c = self._hex(at)
                    at += 4
                    if c >> 10 == 0x36 and at < stop and buf[at] == 92 and buf[at + 1] == 117:
                        low = self._hex(at + 2)
                        if low >> 10 == 0x37:
                            c = 0x10000 + ((c & 0x3FF) << 10 | low & 0x3FF)
                            at += 6
                    if c >> 11 == 0x1B:
                        c = 0xFFFD
                    # UTF-8 by hand: MicroPython keeps every character that chr() ever made.
                    shift = 0 if c < 0x80 else 6 if c < 0x800 else 12 if c < 0x10000 else 18
                    out[n] = b"\0\xc0\xe0\xf0"[shift // 6] | c >> shift
                    n += 1
                    while shift:
                        shift -= 6
                        out[n] = 0x80 | c >> shift & 63
                        n += 1
                    continue
                i = b"bfnrt".find(buf[at - 1 : at])
                if i >= 0:
                    c = b"\b\f\n\r\t"[i]
            out[n] = c
            n += 1
        return str(memoryview(out)[:n], "utf-8")

    def same(self, at: int, text: str) -> bool:
        """Is the value at `at` this very string?"""
        buf = self.buf
        if not at or buf[at] != 34:
            return False
        stop = self._behind(at) - 1
        if buf.find(b"\\", at, stop) >= 0:
            return self._decoded(at + 1, stop) == text
        data = text.encode()
        return stop - at - 1 == len(data) and buf.startswith(data, at + 1)

    def length(self, at: int) -> int:
        """The length of the string at `at` in characters; of a diverted one, in bytes as it came."""
        for place, size in self.diverted:
            if place == at:
                return size
        buf = self.buf
        n = high = 0
        stop = self.skip(at) - 1
        at += 1
        while at < stop:
            c = buf[at]
            at += 1
            was_high, high = high, 0
            if c == 92:
                at += 1
                if buf[at - 1] == 117:
                    c = self._hex(at) >> 10
                    at += 4
                    # The other half of a surrogate pair: one character, as the schema's maxLength counts them.
                    if c == 0x37 and was_high:
                        continue
                    high = c == 0x36
            n += c & 0xC0 != 0x80 or c < 64
        return n

    def boolean(self, at: int):
        """True, False, or None if it is absent or no boolean."""
        c = self.buf[at] if at else 0
        return True if c == 116 else False if c == 102 else None

    def number(self, at: int, key=None):
        """The integer at `at`, or that of its field `key` (1.0 and 1e0 are integers too); None if it is absent, none, or
        beyond 18 digits."""
        if key:
            at = self.get(at, key)
        return self.fixed(at, 0, True) if at else None

    def fixed(self, at: int, places: int, exact: bool = False):
        """The number at `at` times 10**`places`, what is left over cut (None instead, if `exact`)."""
        buf = self.buf
        if not at or not (buf[at] == 45 or 48 <= buf[at] <= 57):
            return None
        stop = self.skip(at)
        minus = buf[at] == 45
        if minus:
            at += 1
        n = digits = rest = 0
        # Digits behind the point, once there is one.
        point = -1
        while at < stop:
            c = buf[at]
            at += 1
            if c == 46:
                point = 0
            elif c > 57:
                # "e".
                minus_e = buf[at] == 45
                e = 0
                for i in range(at + (buf[at] < 48), stop):
                    e = min(e * 10 + buf[i] - 48, 999)
                places += -e if minus_e else e
                break
            elif digits < _MAX_DIGITS:
                n = n * 10 + c - 48
                digits += n > 0
                point += point >= 0
            elif point >= 0:
                rest |= c - 48
            else:
                return None
        if point > 0:
            places -= point
        while places > 0 and n:
            n *= 10
            digits += 1
            if digits > _MAX_DIGITS:
                return None
            places -= 1
        while places < 0 and n:
            rest |= n % 10
            n //= 10
            places += 1
        if exact and rest:
            return None
        return -n if minus else n

    # --- below ----------------------------------------------------------------------------------------
    def _gap(self, at):
        # The first index from `at` on that is no white space.
        while at < self.end and self.buf[at] in _SPACE:
            at += 1
        return at

    def _close(self, at):
        # White space begins at `at`: what lies before it joins what was kept. Returns where it ends.
        view = self._view
        kept = self._kept
        move = self._from - kept
        self._kept = at - move
        if move:
            view[kept : at - move] = view[kept + move : at]
            for i in range(len(self.diverted)):
                place, size = self.diverted[i]
                if self._from <= place < at:
                    self.diverted[i] = place - move, size
        self._from = at = self._gap(at)
        return at

    def _behind(self, at):
        # The index behind the string at `at`, which was checked.
        stop = self.buf.find(b'"', at + 1, self.end) + 1
        return stop if stop and self.buf[stop - 2] != 92 else self._odd_string(at + 1) or self.end

    def _string(self, at):
        # The index behind the string at `at`, 0 if it is none. Looks for quotes and backslashes in C.
        stop = self.buf.find(b'"', at + 1, self.end)
        if stop < 0 or not self._controls and self.buf.find(b"\\", at, stop) < 0:
            return stop + 1
        return self._odd_string(at + 1)

    def _odd_string(self, at):
        # The same for one that begins before `at` and has escapes, or maybe control characters.
        buf = self.buf
        end = self.end
        start = at
        stop = buf.find(b'"', at, end)
        while stop >= 0:
            at = buf.find(b"\\", at, stop)
            if at < 0:
                if self._controls:
                    for i in range(start, stop):
                        if buf[i] < 32:
                            return 0
                return stop + 1
            c = buf[at + 1]
            if c == 117:
                if at + 6 > end:
                    return 0
                for i in range(at + 2, at + 6):
                    if buf[i] not in b"0123456789abcdefABCDEF":
                        return 0
                at += 6
            elif c in b'"\\/bfnrt':
                at += 2
            else:
                return 0
            if at > stop:
                stop = buf.find(b'"', at, end)
        return 0

    def _scalar(self, at):
        # The index behind the number or literal at `at`, 0 if it is none.
        buf = self.buf
        c = buf[at]
        if c > 57:
            word = b"true" if c == 116 else b"false" if c == 102 else b"null"
            stop = at + len(word)
            return stop if stop <= self.end and buf.startswith(word, at) else 0
        start = at + (c == 45)
        at = self._digits(start)
        if at == start or (buf[start] == 48 and at > start + 1):
            return 0
        if at < self.end and buf[at] == 46:
            start = at + 1
            at = self._digits(start)
            if at == start:
                return 0
        if at < self.end and buf[at] in b"eE":
            start = at + 1
            if start < self.end and buf[start] in b"+-":
                start += 1
            at = self._digits(start)
            if at == start:
                return 0
        return at

    def _digits(self, at):
        while at < self.end and 48 <= self.buf[at] <= 57:
            at += 1
        return at

    def _hex(self, at):
        n = 0
        for i in range(at, at + 4):
            c = self.buf[i]
            n = n << 4 | (c & 15) + (9 if c > 57 else 0)
        return n
