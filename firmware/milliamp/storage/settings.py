# Settings: a few dozen numbers and texts that survive everything. One dict in RAM; in flash one record
# per change, and a snapshot of all of them wherever a new sector begins.
import struct

from micropython import const

from milliamp.base.packing import Bytes, put_number
from milliamp.storage.records import Records

# The record kind: pairs, one after the other.
_VALUES = const(1)
# Bytes of a snapshot record, roughly.
_PIECE = const(200)
# Bytes of a text.
_LONGEST = const(512)


class Settings:
    """Integer keys below 65,536 and their values: int or str.

    `values` is what holds now. What its owner puts in there by itself, while `empty`, is written with the
    first change that the flash takes.
    """

    def __init__(self, flash):
        self.values = {}
        records = self._records = Records(flash, self._snapshot, self._load, flash.sector // 4)
        # Nothing has a number, but what is damaged may look so.
        records.acked = records.next
        # As on the first boot and after `clear`.
        self.empty = not self.values
        # Sectors of another format.
        self.aside = records.aside

    def get(self, key: int, default=None):
        """The value of `key`."""
        return self.values.get(key, default)

    def put(self, *pairs) -> None:
        """Set all these (key, value) pairs durably, or none of them. None deletes. What does not change
        is not written. OSError(28): too much to keep."""
        changed = [pair for pair in pairs if self.values.get(pair[0]) != pair[1]]
        if not changed:
            return
        values = dict(self.values)
        for key, value in changed:
            if value is not None:
                values[key] = value
            elif key in values:
                del values[key]
        # The next sector must be able to begin with all of it.
        room = self._records.opening
        for piece in _pieces(values):
            room -= self._records.size(len(piece))
        if room < 0:
            raise OSError(28)
        if self.empty:
            changed = values.items()
        record = b"".join([_pack(key, value) for key, value in changed])
        self._records.append(_VALUES, record)
        self.values = values
        self.empty = False

    def clear(self) -> None:
        """Factory reset: forget everything, and leave nothing of it in the flash."""
        self.values = {}
        self.empty = True
        for _ in self._records.renew():
            pass

    def prepare(self) -> bool:
        """For idle moments: erase ahead. True: done, and it blocked for a sector erase."""
        return self._records.prepare()

    def _load(self, kind, payload):
        if kind == _VALUES:
            _unpack(payload, self.values)

    def _snapshot(self, write):
        for piece in _pieces(self.values):
            write(_VALUES, piece)


def _pieces(values):
    piece = b""
    for key in sorted(values):
        piece += _pack(key, values[key])
        if len(piece) > _PIECE:
            yield piece
            piece = b""
    if piece:
        yield piece


def _pack(key, value):
    # Key u16, then a varint: 0 deleted; odd: an integer, zigzag; even: a text of n - 1 bytes.
    text = b""
    if value is None:
        number = 0
    elif isinstance(value, str):
        text = value.encode()
        if len(text) > _LONGEST:
            raise ValueError("text too long")
        number = (len(text) + 1) << 1
    else:
        number = (value << 1 if value >= 0 else ~value << 1 | 1) << 1 | 1
    pair = bytearray(struct.pack("<H", key))
    put_number(pair, number)
    return bytes(pair) + text


def _unpack(payload, values):
    pairs = Bytes(payload)
    while pairs.left():
        key = pairs.byte() | pairs.byte() << 8
        number = pairs.number()
        if number & 1:
            values[key] = ~(number >> 2) if number & 2 else number >> 2
        elif number:
            values[key] = str(pairs.take((number >> 1) - 1), "utf-8")
        elif key in values:
            del values[key]
