# Blobs: named byte strings of any length, such as certificates, over the record engine. They are written and
# read in pieces, and nothing of one ever stands in RAM but a piece.
#
# A piece is a numbered record. A state record says which pieces are a blob: written last, it makes the new one
# valid and the old one garbage. A sector goes when no blob needs a piece of it; one that stands in the way of
# all others is copied behind them.
import struct

from micropython import const

from milliamp.storage.records import Records

# The record kind: first number, pieces, bytes; then the name.
_ENTRY = const(1)
_ENTRY_FORMAT = "<IHI"
_ENTRY_SIZE = const(10)
# The record kind.
_PIECE = const(8)
# Bytes of a piece.
_MOST = const(256)
# Of a sector.
_HEADER_SIZE = const(32)
_ENOENT = const(2)
_EIO = const(5)
_ENOSPC = const(28)


class Blobs:
    """The blobs of one flash region. It has room for all of them, three times the largest and two sectors."""

    def __init__(self, flash):
        # (name, first number, pieces, bytes), oldest first.
        self._entries = []
        # Of the one that is being written.
        self._first = self._bytes = 0
        # Free sectors that it must leave, so that others can be moved; twice, for power cuts.
        self._reserve = 0
        # What does not fill a piece yet.
        self._rest = b""
        self._records = Records(flash, self._snapshot, self._load, flash.sector // 4)
        self._let_go()

    def names(self) -> list:
        """The names of all blobs."""
        return [entry[0] for entry in self._entries]

    def size(self, name: str) -> int:
        """Bytes of a blob, -1 when there is none of that name."""
        entry = self._find(name)
        return entry[3] if entry else -1

    def begin(self) -> None:
        """Begin to write a blob; one that was begun and not committed is forgotten. May copy others."""
        self._let_go()
        # Half of the space or more free is the aim, as far as moving the oldest ones helps.
        for _ in range(len(self._entries)):
            if self._records.free() * 2 >= len(self._records.firsts):
                break
            try:
                self._move(self._entries[0])
            except OSError:
                # It is damaged: it stays where it is until its owner replaces it.
                break
        largest = max([entry[3] for entry in self._entries] or (0,))
        self._reserve = 2 * largest // self._records.room + 2
        self._first = self._records.next
        self._bytes = 0
        self._rest = b""

    def write(self, data) -> None:
        """Add to the blob that was begun. OSError(28): there is no room for it."""
        self._bytes += len(data)
        data = self._rest + data
        while len(data) >= _MOST:
            if self._records.free() < self._reserve:
                raise OSError(_ENOSPC)
            self._records.append(_PIECE, data[:_MOST])
            data = data[_MOST:]
        self._rest = bytes(data)

    def commit(self, name: str) -> None:
        """What was written is from now on the blob `name`: durable on return, and until then the old one is."""
        if self._rest:
            self._records.append(_PIECE, self._rest)
            self._rest = b""
        self._enter(name, self._first, self._records.next - self._first, self._bytes)

    def delete(self, name: str) -> None:
        """Forget a blob. Its bytes stay in the flash until their sector is erased."""
        if self._find(name):
            self._enter(name, 0, 0, 0)

    def read(self, name: str, at: int = 0):
        """Yield a blob in pieces, from byte `at` on. OSError(2): there is none of that name; OSError(5): it is damaged."""
        entry = self._find(name)
        if entry is None:
            raise OSError(_ENOENT)
        return self._pieces(entry, at)

    def clear(self) -> None:
        """Factory reset: forget all, and leave nothing of it in the flash."""
        self._entries.clear()
        self._let_go()
        for _ in self._records.renew():
            pass

    def prepare(self) -> bool:
        """For idle moments: erase ahead. True: done, and it blocked for a sector erase."""
        return self._records.prepare()

    def _find(self, name):
        for entry in self._entries:
            if entry[0] == name:
                return entry
        return None

    def _pieces(self, entry, at=0):
        # All but the last have the same size.
        _, number, pieces, _ = entry
        end = number + pieces
        number += at // _MOST
        at %= _MOST
        records = self._records
        place = following = records.after(0)
        while following >= 0 and records.firsts[following] <= number:
            place = following
            following = records.after(records.generations[place])
        if number < end:
            for mark, kind, payload in records.walk(place, _HEADER_SIZE, records.firsts[place]):
                if kind == _PIECE and mark[2] >= number:
                    if mark[2] > number:
                        break
                    yield bytes(payload[at:])
                    at = 0
                    number += 1
                    if number == end:
                        return
            raise OSError(_EIO)

    def _move(self, entry):
        # Copy a blob behind all others.
        first = self._records.next
        for piece in self._pieces(entry):
            self._records.append(_PIECE, piece)
        self._enter(entry[0], first, entry[2], entry[3])

    def _enter(self, name, first, pieces, size):
        entry = _pack(name, first, pieces, size)
        room = self._records.opening - self._records.size(len(entry))
        for other in self._entries:
            room -= self._records.size(len(_pack(*other)))
        if pieces and room < 0:
            # The next sector must be able to begin with all of them.
            raise OSError(_ENOSPC)
        self._records.append(_ENTRY, entry)
        self._load(_ENTRY, entry)
        self._let_go()

    def _let_go(self):
        # The sectors below the oldest piece that is needed are free.
        self._records.acked = self._entries[0][1] if self._entries else self._records.next

    def _load(self, kind, payload):
        if kind == _ENTRY:
            entry = struct.unpack_from(_ENTRY_FORMAT, payload)
            name = str(payload[_ENTRY_SIZE:], "utf-8")
            self._entries = [other for other in self._entries if other[0] != name]
            if entry[1]:
                self._entries.append((name,) + entry)
                self._entries.sort(key=_first_of)

    def _snapshot(self, write):
        for entry in self._entries:
            write(_ENTRY, _pack(*entry))


def _first_of(entry):
    return entry[1]


def _pack(name, first, pieces, size):
    return struct.pack(_ENTRY_FORMAT, first, pieces, size) + name.encode()
