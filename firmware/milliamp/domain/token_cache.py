# The authorization cache: what the CSMS said of tokens, in a bounded table that outlives a reboot (C10).
#
# In flash one record per change, and all rows wherever a new sector begins. Hashes only: no card can be read
# back. A profile without [cache] has neither this file nor a table.
import struct

from micropython import const

from milliamp.storage.records import Records

# Token hash, group hash (zeros: none), status (domain.tokens), 0, EVSEs (bit n: EVSE n; 0: all), expiry
# (0: none), last use; times in seconds since 2000. A row of zeros is free.
_FORMAT = "<6s6sBBHII"
_ROW = const(24)
_STATUS = const(12)
_LAST_USE = const(20)
# The record kind.
_CHANGED = const(1)


class Cache:
    """The rows, and where they lie. `entries` of them. Room is made by what is not accepted (C10.FR.07), of that and
    then of all by what was not used for longest."""

    def __init__(self, flash, entries: int):
        # Flash holds something that `clear` would take.
        self._kept = False
        self._rows = bytearray(entries * _ROW)
        records = self._records = Records(flash, self._snapshot, self._load, flash.sector // 8)
        # Nothing has a number, but what is damaged may look so.
        records.acked = records.next
        self._kept = self._kept or sum(1 for g in records.generations if g) > 1
        self.prepare = records.prepare

    def row(self, hashed: bytes):
        """(token hash, group hash, status, 0, EVSEs, expiry, last use) of a token, None when it has none."""
        at = self._find(hashed)
        return None if at < 0 else struct.unpack_from(_FORMAT, self._rows, at)

    def put(
        self, hashed: bytes, group: bytes, status: int, evses: int, expiry: int, now: int
    ) -> None:
        """Keep what is known of a token, used just now. What flash does not take is lost at the next start."""
        row = struct.pack(_FORMAT, hashed, group, status, 0, evses, expiry, now)
        self._load(_CHANGED, row)
        try:
            self._records.append(_CHANGED, row)
        except OSError:
            pass

    def clear(self, hashed: bytes = b""):
        """Forget a token, or all of them, and leave nothing of it in flash: a generator, each step of which blocks for a
        sector erase. OSError: the flash fails."""
        start, end = 0, len(self._rows)
        if hashed:
            start = self._find(hashed)
            end = start + _ROW
        if start >= 0 and self._kept:
            self._rows[start:end] = bytes(end - start)
            yield from self._records.renew()
            # Something may have come meanwhile.
            self._kept = any(self._rows)

    def used(self) -> int:
        """Bytes of the table that hold something."""
        return sum(_ROW for at in self._taken())

    def _taken(self):
        for at in range(0, len(self._rows), _ROW):
            if any(self._rows[at : at + 6]):
                yield at

    def _find(self, hashed):
        for at in range(0, len(self._rows), _ROW):
            if self._rows[at : at + 6] == hashed:
                return at
        return -1

    def _load(self, kind, row):
        self._kept = True
        for at in range(0, len(row) - _ROW + 1, _ROW):
            if kind == _CHANGED:
                self._keep(bytes(row[at : at + _ROW]))

    def _keep(self, row):
        at = self._find(row[:6])
        if at < 0:
            first = None
            for n in range(0, len(self._rows), _ROW):
                used = struct.unpack_from("<I", self._rows, n + _LAST_USE)[0]
                refused = self._rows[n + _STATUS]
                rank = 0 if not any(self._rows[n : n + 6]) else 1 if refused else 2, used
                if first is None or rank < first:
                    at, first = n, rank
        self._rows[at : at + _ROW] = row

    def _snapshot(self, write):
        # All in one go, for each record is a step by itself.
        rows = b"".join([self._rows[at : at + _ROW] for at in self._taken()])
        if rows:
            write(_CHANGED, rows)
