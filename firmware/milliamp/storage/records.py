# The append-only engine under the journal and the settings: a ring of flash sectors full of records.
#
# A sector exists once its header is programmed, and that comes last: erase, then the records with
# which the owner opens it, then the header. So a power cut leaves either no new sector or a complete
# one, and mounting has nothing to repair: it reads the headers and the newest sector, and writes
# nothing. No unit is ever programmed twice. docs/storage-format.md has every byte.
import struct
from array import array
from binascii import crc32

from micropython import const

from milliamp.storage.kinds import _ACK, _FIRST_DELIVERED

# Magic, version, unit, generation, first number, acked, erase count, span, count, spare, CRC-32.
_HEADER = "<2sBBIIIIHHII"
_HEADER_SIZE = const(32)  # the largest program unit: whole units whatever the unit is
_MAGIC = b"mA"
_VERSION = const(1)
_OVERHEAD = const(5)  # of a record: head 2, CRC 3
_PIECE = const(96)  # bytes of a record that are read at once
_FAR = const(0x3FFFFFFF)  # above all generations and numbers
_ENOSPC = const(28)
_EFBIG = const(27)
_EINVAL = const(22)


class Records:
    """Records in one flash device, oldest first.

    `on_open(write)` is called whenever a sector is opened, to `write(kind, payload)` the state that
    must not depend on older sectors; `on_mount(kind, payload)` is told, here and now, all that the
    newest sector holds. None: nobody asks and nothing is ever acknowledged, so the lengths are enough,
    which is twice as fast. `limit` is the largest record in bytes; what it leaves of a sector is
    there for the opening records.

    Kinds below 8 are state: they are worth something only in the newest sector. Kinds from 8 on are
    numbered one by one, and a sector stays until all of its numbered records are acknowledged.
    """

    def __init__(self, flash, on_open, on_mount, limit: int):
        self._flash = flash
        self._on_open = on_open
        self._limit = limit
        self._sector = flash.sector
        # What is left for opening records, in bytes as `size` counts them.
        self.opening = flash.sector - _HEADER_SIZE - limit
        self._generations = array("I", bytes(flash.size // flash.sector * 4))  # by place; 0: free
        self._retired = []  # places that failed since the start
        self._spare = -1  # the place that is erased and waits, -1 for none
        self._erased = -1  # the place that was erased last: they take turns
        self._free = 0  # free places when they were last counted
        self._mark = None  # the record that was last the oldest pending one
        self.wear = 0  # erase count of the youngest sector
        self.damaged = 0  # pending records that could not be read back and were passed over
        self.acked = 0  # all records below this number are done with
        self.next = 0  # the number that the next numbered record will have
        self._generation = 0  # the newest sector's, 0 for none
        self._place = -1
        self._at = flash.sector  # where the newest sector goes on; its end: no room, or given up
        self._mount(on_mount)

    def append(self, kind: int, payload, prefix=b"") -> None:
        """Write a record; it is durable on return. OSError(28): full, and nothing has changed."""
        size = self.size(len(prefix) + len(payload))
        if size > self._limit:
            raise OSError(_EFBIG)
        numbered = kind >= _FIRST_DELIVERED
        for _ in range(2):
            # The last free sector is kept for acknowledgements: without them nothing gets free.
            if self._at + size > self._sector:
                if self._reclaim() <= numbered:
                    raise OSError(_ENOSPC)
                self._open()
            elif numbered and not self._free and not self._reclaim():
                raise OSError(_ENOSPC)
            try:
                return self._write(kind, payload, prefix)
            except OSError:
                self._at = self._sector  # who knows what is there now: go on in the next sector
        raise OSError(5)

    def ack(self, number: int, note=b"") -> None:
        """Every record below `number` is done with. Best effort: in a log so full that not even
        this can be written the acknowledgement waits in RAM for the next sector's header."""
        self.acked = number
        try:
            self.append(_ACK, note, struct.pack("<H", number & 0xFFFF))
        except OSError:
            pass

    def drop(self) -> bool:
        """Be done with all that the oldest sector holds; False: it is the only one. Nothing is written,
        the next sector's header says it."""
        oldest = self._after(0)
        following = self._after(self._generations[oldest]) if oldest >= 0 else -1
        if following >= 0:
            self.acked = max(self.acked, self._start(following)[2])
        return following >= 0

    def head(self):
        """The oldest numbered record not acknowledged, as (number, kind, payload), or None."""
        if self.acked == self.next:
            return None
        if self._mark is None:
            self._reclaim()
            self._mark = self._start(self._after(0))
        for mark, kind, payload in self.walk(*self._mark):
            number = mark[2]
            if kind >= _FIRST_DELIVERED and number >= self.acked:
                self._mark = mark
                self._pass_over(number)
                return number, kind, payload
        self._pass_over(self.next)
        return None

    def pending(self):
        """Yield (number, kind, payload) of what is not acknowledged. Not to be held over a change."""
        if self.head():
            for mark, kind, payload in self.walk(*self._mark):
                if kind >= _FIRST_DELIVERED:
                    yield mark[2], kind, payload

    def newest(self):
        """Yield (kind, payload) of the newest sector: its opening records and all that came since."""
        if self._place >= 0:
            for _, kind, payload in self.walk(*self._start(self._place)):
                yield kind, payload

    def prepare(self) -> bool:
        """Erase the next sector ahead of its need. True: that was done, and blocked as long as it
        takes. For idle moments; an append does it itself if it must."""
        if self._spare >= 0 or self._at < self._sector // 2 or not self._reclaim():
            return False
        try:
            self._erase()
        except OSError:
            pass  # an append will find out
        return True

    def renew(self) -> None:
        """Begin a new sector and erase the others that are done with: nothing dropped is left there."""
        self._reclaim()
        self._open()
        for _ in range(self._reclaim()):
            self._erase()

    def size(self, length: int) -> int:
        """Bytes that a record takes whose payload has `length` bytes."""
        unit = self._flash.unit
        return (length + _OVERHEAD + unit - 1) // unit * unit

    def walk(self, place, at, number):
        # Yield (mark, kind, payload) of all readable records from a mark on; a mark is the place
        # (sector index), the offset there and the number that the next numbered record has.
        while place >= 0:
            generation = self._generations[place]
            following = self._after(generation)
            # Behind the last record a closed sector may hold one whose append failed.
            limit = self.next if following < 0 else self._start(following)[2]
            while True:
                size, kind, payload = self._read(place, at, generation)
                numbered = kind >= _FIRST_DELIVERED
                if not size or (numbered and number >= limit):
                    break
                if payload is not None:
                    yield (place, at, number), kind, payload
                at += size
                if numbered:
                    number += 1
            if following >= 0:
                _, at, number = self._start(following)
            place = following

    def _mount(self, on_mount):
        for place in range(len(self._generations)):
            header = self._header(place)
            if header:
                if header[1] != _VERSION or header[2] != self._flash.unit:
                    raise OSError(_EINVAL)  # never format what another firmware can still read
                self._generations[place] = header[3]
                self.wear = max(self.wear, header[6])
                if header[3] > self._generation:
                    self._generation = header[3]
                    self._place = place
                    self.next = header[4]
                    self.acked = header[5]
        self._erased = self._place
        if self._place < 0:
            return
        end = _HEADER_SIZE
        next_number = self.next
        self.next = _FAR
        if on_mount is None:
            size, kind, _ = self._read(self._place, end, 0)
            while size:
                end += size
                next_number += kind >= _FIRST_DELIVERED
                size, kind, _ = self._read(self._place, end, 0)
        else:
            for mark, kind, payload in self.walk(self._place, end, next_number):
                end = mark[1] + self.size(len(payload))
                next_number = mark[2] + (kind >= _FIRST_DELIVERED)
                if kind == _ACK:
                    self.acked += (struct.unpack_from("<H", payload)[0] - self.acked) & 0xFFFF
                on_mount(kind, payload)
        self.next = max(next_number, self.acked)
        # A sector is erased only when all of it is acknowledged: what is older than the oldest is.
        self.acked = max(self.acked, self._start(self._after(0))[2])
        if self._is_erased(end):
            self._at = end
        self._reclaim()

    def _header(self, place):
        # The fields of _HEADER, None when the sector has no valid header: it is free.
        header = bytearray(_HEADER_SIZE)
        try:
            self._flash.read(place * self._sector, header)
        except OSError:
            return None
        fields = struct.unpack(_HEADER, header)
        return fields if fields[0] == _MAGIC and fields[10] == crc32(header[:28]) else None

    def _start(self, place):
        # The mark of a sector's first record.
        first = bytearray(4)
        self._flash.read(place * self._sector + 8, first)
        return place, _HEADER_SIZE, struct.unpack("<I", first)[0]

    def _after(self, generation):
        # The place of the next younger sector, -1 when there is none. (No enumerate: its tuples are
        # garbage, and this runs for every record that is read.)
        found = -1
        lowest = _FAR
        for place in range(len(self._generations)):
            if generation < self._generations[place] < lowest:
                found = place
                lowest = self._generations[place]
        return found

    def _is_erased(self, at):
        try:
            while at < self._sector:
                part = bytearray(min(64, self._sector - at))
                self._flash.read(self._place * self._sector + at, part)
                if min(part) != 0xFF:
                    return False
                at += len(part)
            return True
        except OSError:
            return False

    def _read(self, place, at, generation):
        # (size, kind, payload): no size where the records end, no payload when it is damaged, or when it
        # is not wanted: no generation.
        size = kind = 0
        payload = None
        if at + _OVERHEAD <= self._sector:
            address = place * self._sector + at
            record = bytearray(2)
            try:
                self._flash.read(address, record)
                end = (record[0] | (record[1] & 0x0F) << 8) + 2
                if record != b"\xff\xff" and at + self.size(end - 2) <= self._sector:
                    size = self.size(end - 2)
                    kind = record[1] >> 4
                    if generation:
                        payload = self._payload(address, end, generation)
            except OSError:
                pass
        return size, kind, payload

    def _payload(self, address, end, generation):
        # What a record of `end` bytes and a CRC carries, None when it is damaged.
        if end > _PIECE and not self._is_sound(address, end, generation):
            return None
        record = memoryview(bytearray(end + 3))
        self._flash.read(address, record)
        if crc32(record[:end], generation) & 0xFFFFFF != _u24(record, end):
            return None
        return record[2:end]

    def _is_sound(self, address, end, generation):
        # The CRC, piece by piece: a length that a torn write left must not take heap.
        piece = memoryview(bytearray(_PIECE))
        for at in range(0, end, _PIECE):
            part = piece[: min(_PIECE, end - at)]
            self._flash.read(address + at, part)
            generation = crc32(part, generation)
        self._flash.read(address + end, piece[:3])
        return generation & 0xFFFFFF == _u24(piece, 0)

    def _write(self, kind, payload, prefix=b""):
        split = 2 + len(prefix)
        end = split + len(payload)
        record = bytearray(b"\xff" * self.size(end - 2))
        struct.pack_into("<H", record, 0, (end - 2) | kind << 12)
        record[2:split] = prefix
        record[split:end] = payload
        # Seeded with the generation: what an older life of the sector left can not pass for new.
        crc = crc32(memoryview(record)[:end], self._generation)
        record[end : end + 3] = (crc & 0xFFFFFF).to_bytes(3, "little")
        self._flash.program(self._place * self._sector + self._at, record)
        self._at += len(record)
        if kind >= _FIRST_DELIVERED:
            self.next += 1

    def _write_opening(self, kind, payload):
        if self._at + self.size(len(payload)) > _HEADER_SIZE + self.opening:
            raise ValueError("opening records too long")
        self._write(kind, payload)

    def _open(self):
        while True:
            if self._spare < 0:
                self._erase()
            old = self._place
            self._place = self._spare
            self._spare = -1
            self._at = _HEADER_SIZE
            self._generation += 1
            try:
                self._on_open(self._write_opening)
                return self._commit()
            except Exception as error:
                # The header may have landed all the same: the number is used up, and so is the old
                # sector, because what it got now would be younger than this one.
                failed = self._place
                self._place = old
                self._at = self._sector
                if not isinstance(error, OSError):
                    raise
                self._retired.append(failed)

    def _commit(self):
        # From here on the sector exists.
        header = bytearray(_HEADER_SIZE)
        fields = (self._generation, self.next, self.acked, self.wear, 1, 0xFFFF, 0, 0)
        struct.pack_into(_HEADER, header, 0, _MAGIC, _VERSION, self._flash.unit, *fields)
        struct.pack_into("<I", header, 28, crc32(header[:28]))
        self._flash.program(self._place * self._sector, header)
        self._generations[self._place] = self._generation
        self._free -= 1

    def _erase(self):
        # Erase the next free place. After a start even one that looks erased: a power cut during an
        # erase leaves cells that read as erased today and not tomorrow.
        places = len(self._generations)
        for step in range(1, places + 1):
            place = (self._erased + step) % places
            if not self._generations[place] and place not in self._retired:
                header = self._header(place)
                try:
                    self._flash.erase(place * self._sector)
                except OSError:
                    self._retired.append(place)
                    continue
                self.wear = header[6] + 1 if header else max(self.wear, 1)
                self._spare = self._erased = place
                return
        raise OSError(_ENOSPC)

    def _reclaim(self):
        # Free the sectors that are done with, count the free places.
        while True:
            oldest = self._after(0)
            if oldest < 0 or oldest == self._place:
                break
            if self._start(self._after(self._generations[oldest]))[2] > self.acked:
                break
            self._generations[oldest] = 0
            if self._mark and self._mark[0] == oldest:
                self._mark = None
        self._free = 0
        for place in range(len(self._generations)):
            if not self._generations[place] and place not in self._retired:
                self._free += 1
        return self._free

    def _pass_over(self, number):
        # Numbers that are missing below the oldest pending record were damaged in the flash.
        self.damaged += number - self.acked
        self.acked = number


def _u24(buf, at):
    return buf[at] | buf[at + 1] << 8 | buf[at + 2] << 16
