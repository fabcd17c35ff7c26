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

from milliamp.storage import kinds

# Magic, version, unit, generation, first number, acked, erase count, span, count, thinned, CRC-32.
_HEADER = "<2sBBIIIIHHII"
# The largest program unit: whole units whatever the unit is.
_HEADER_SIZE = const(32)
_MAGIC = b"mA"
# The last that a newer station may set aside: tests/storage/released has a flash of each since, and all are read.
_VERSION = const(4)
# As the count of a sector that nothing was dropped from.
_UNCOUNTED = const(0xFFFF)
# Of a record: head 2, CRC 3.
_OVERHEAD = const(5)
# Numbered records that a mount reads at once.
_STEP = const(16)
# Bytes of a record that are read at once.
_PIECE = const(96)
# Above all generations and numbers.
_FAR = const(0x3FFFFFF0)
# Bit n: there may be a kind n.
_KINDS = const(0x6996)
# The kind of what is so damaged that it has none; it counts as numbered.
_UNKNOWN = const(15)
# In place of a generation: it did not take an erase or a program since the start.
_FAILED = const(0x3FFFFFF0)
_ENOSPC = const(28)
_EFBIG = const(27)
_EIO = const(5)


class Records:
    """Records in one flash device, oldest first.

    `on_open(write)` is called whenever a sector is opened, to `write(kind, payload)` the state that
    must not depend on older sectors; `on_mount(kind, payload)` is told, here and now, all that the
    newest sector holds; None: the owner calls `mount` itself. `limit` is the largest record in bytes; what it leaves
    of a sector is there for the opening records.

    Kinds 1, 2, 4 and 7 are state: they are worth something only in the newest sector. Kinds 8, 11, 13 and 14 are
    numbered one by one, and a sector stays until all of its numbered records are acknowledged. There are no others.

    Thinning makes two sectors one while all else goes on: `target` is where it writes. `reserved`, where the owner
    sets it, keeps the last free sector for acknowledgements alone.
    """

    def __init__(self, flash, on_open, on_mount, limit: int):
        self._flash = flash
        self._on_open = on_open
        self._sector = flash.sector
        # What a sector has for records, and what of it is left for opening records, in bytes as `size` counts.
        self.room = flash.sector - _HEADER_SIZE
        self.opening = self.room - limit
        self.reserved = False
        places = flash.size // flash.sector
        # By place; 0: free.
        self.generations = array("I", bytes(places * 4))
        # By place: the first number; of a free one when its turn to be erased is, lowest first. Those without a header
        # and those that a merged sector replaces come before all (should that go first, they would count again); then
        # it goes by the generation in the header, and what has another format is last.
        self.firsts = array("I", bytes(places * 4))
        # The place that is erased and waits, -1 for none.
        self.spare = -1
        # The place in which two sectors become one, -1 for none.
        self.target = -1
        # The place that was erased last: they take turns.
        self._erased = -1
        # Free places when they were last counted.
        self._free = 0
        # The record that was last the oldest pending one.
        self.mark = None
        # Erase count of the youngest sector.
        self.wear = 0
        # Sectors that were found in another format or for another program unit.
        self.aside = 0
        # At the start bytes that could not be read and may have been state; then pending records that were passed over.
        self.damaged = 0
        # Numbered records that were dropped for room.
        self.thinned = 0
        # Those of them whose numbers are still to be passed over.
        self.gaps = 0
        # The number went on in a way that no acknowledgement tells yet.
        self._leapt = False
        # All records below this number are done with.
        self.acked = 0
        # The number that the next numbered record will have.
        self.next = 0
        # The newest sector's, 0 for none.
        self.generation = 0
        self._place = -1
        # Where the newest sector goes on; its end: no room, or given up.
        self._at = flash.sector
        if on_mount:
            for _ in self.mount(on_mount):
                pass

    def append(self, kind: int, payload, prefix=b"") -> None:
        """Write a record; it is durable on return. OSError(28): full, and nothing has changed."""
        size = self.size(len(prefix) + len(payload))
        if size > self.room - self.opening:
            raise OSError(_EFBIG)
        numbered = kind >= kinds.FIRST_DELIVERED
        for _ in range(2):
            # The last free sector is kept for acknowledgements: without them nothing gets free.
            if self._at + size > self._sector:
                if self.free() <= (numbered or self.reserved and kind != kinds.ACK):
                    raise OSError(_ENOSPC)
                self._open()
            elif numbered and not self._free and not self.free():
                raise OSError(_ENOSPC)
            try:
                return self._add(kind, payload, prefix)
            except (OSError, MemoryError):
                # Who knows what is there now: go on in the next sector.
                self._at = self._sector
        raise OSError(_EIO)

    def ack(self, number: int, flags: int = 0, note=b"") -> bool:
        """Every record below `number` is done with; `flags` and `note` are its owner's. Best effort: in a log so full
        that not even this can be written, and it is False, the acknowledgement waits in RAM for the next sector's header."""
        self.acked = number
        flags |= number << 3
        said = struct.pack("<H", flags & 0xFFFF)
        # Maybe further than 13 bits tell.
        if self._leapt:
            said = struct.pack("<HII", (flags | kinds.LONG) & 0xFFFF, number, self.damaged)
        self._leapt = True
        try:
            self.append(kinds.ACK, note, said)
            self._leapt = False
        except OSError:
            pass
        return not self._leapt

    def drop(self) -> bool:
        """Be done with all that the oldest sector holds; False: it is the only one. Nothing is written,
        the next sector's header says it."""
        oldest = self.after(0)
        following = self.after(self.generations[oldest])
        if following >= 0:
            self.acked = max(self.acked, self.firsts[following])
        return following >= 0

    def head(self, most: int = 0):
        """The oldest numbered record not acknowledged, as (number, kind, payload), or None. False: it is not among
        the next `most` records behind the one that it was last; the next call goes on there."""
        if self.acked == self.next:
            return None
        if self.mark is None:
            self.free()
            oldest = self.after(0)
            self.mark = oldest, _HEADER_SIZE, self.firsts[oldest]
        for self.mark, kind, payload in self.walk(*self.mark):
            number = self.mark[2]
            if kind >= kinds.FIRST_DELIVERED and number >= self.acked:
                self._pass_over(number)
                return number, kind, payload
            most -= 1
            if not most:
                return False
        self._pass_over(self.next)
        return None

    def pending(self):
        """Yield (number, kind, payload) of what is not acknowledged. Whatever changes meanwhile: what waits all the
        time is told, some of it maybe twice."""
        if self.head():
            for mark, kind, payload in self.walk(*self.mark):
                if kind >= kinds.FIRST_DELIVERED and mark[2] >= self.acked:
                    yield mark[2], kind, payload

    def newest(self):
        """Yield (mark, kind, payload) of the newest sector: its opening records and all that came since."""
        return self.walk(self._place, _HEADER_SIZE, self.firsts[self._place])

    def prepare(self) -> bool:
        """Erase the next sector ahead of its need. True: that was done, and blocked as long as it
        takes. For idle moments; an append does it itself if it must."""
        if self.spare >= 0 or self._at < self._sector // 2 or not self.free():
            return False
        try:
            self.erase()
        except OSError:
            # An append will find out.
            pass
        return True

    def renew(self):
        """Begin a new sector and erase the others that are done with: nothing dropped is left there. A generator, for each
        of them is a long step; what is appended meanwhile is safe."""
        self.free()
        self._open()
        self.free()
        for place in range(len(self.generations)):
            if not self.generations[place]:
                yield
                if not self.generations[place]:
                    self._erase_at(place)

    def size(self, length: int) -> int:
        """Bytes that a record takes whose payload has `length` bytes."""
        unit = self._flash.unit
        return -(length + _OVERHEAD) // unit * -unit

    def walk(self, place, at, number):
        """Yield (mark, kind, payload) of all readable records from a mark on. A mark is the place (sector
        index), the offset there and the number that the next numbered record has. Where sectors are delivered or
        merged meanwhile it goes on behind what is gone, or at the beginning of what came for it."""
        while place >= 0:
            generation = self.generations[place]
            newest = True
            while self.generations[place] == generation:
                # So far: behind the last record a closed sector may hold one whose append failed.
                if newest:
                    newest = place == self._place
                    limit = self.next if newest else self.end(place, self.after(generation))
                size, kind, payload = self.read(place, at, generation)
                numbered = kind >= kinds.FIRST_DELIVERED
                if not size or (numbered and number >= limit):
                    break
                if payload is not None:
                    yield (place, at, number), kind, payload
                at += size
                if kind == _UNKNOWN:
                    # Was it numbered? So that the last one comes out right.
                    number = max(number, limit - self._numbered(place, at))
                elif numbered:
                    number += 1
            else:
                # It is delivered, or one with another: that one has its generation, or the younger
                # one's.
                generation -= 1
            place = self.after(generation)
            at = _HEADER_SIZE
            number = self.firsts[place]

    def after(self, generation):
        """The place of the sector that comes after a generation, -1 when there is none."""
        # No enumerate: its tuples are garbage, and this runs for every record that is read.
        generations = self.generations
        found = -1
        lowest = _FAR
        for place in range(len(generations)):
            if generation < generations[place] < lowest:
                found = place
                lowest = generations[place]
        return found

    def read(self, place, at, generation):
        """(size, kind, payload) of what is there up to the next record. No size: the records end; no payload: it
        is damaged. With no generation no payload is wanted, and only the lengths tell where the records are."""
        record = self._record(place, at, generation)
        if generation and record[0] and record[2] is None:
            return self._damage(place, at, generation), record[1], None
        return record

    def end(self, place, following):
        """The number behind the last record of a sector; `following` is the place of the next one."""
        if following < 0:
            return self.next
        count = self.span(place)[1]
        return self.firsts[following] if count == _UNCOUNTED else self.firsts[place] + count

    def span(self, place):
        """(span, count) as a sector's header has them."""
        header = self._header(place)
        return header[7:9] if header else (1, _UNCOUNTED)

    def _record(self, place, at, generation):
        # As `read`, but the size is what the head says, -1 when that can not be.
        size = 0
        kind = _UNKNOWN
        payload = None
        if at + _OVERHEAD <= self._sector:
            address = place * self._sector + at
            head = bytearray(2)
            try:
                size = -1
                self._fill(address, head)
                if _KINDS >> (head[1] >> 4) & 1:
                    kind = head[1] >> 4
                end = (head[0] | (head[1] & 0x0F) << 8) + 2
                if head == b"\xff\xff":
                    size = 0
                elif at + self.size(end - 2) <= self._sector:
                    size = self.size(end - 2)
                    if generation and kind < _UNKNOWN:
                        payload = self._payload(address, end, generation)
            except OSError:
                pass
        return size, kind, payload

    def _damage(self, place, at, generation):
        # How far it goes, maybe the length is wrong, too: to the next sound record, 0 when there is none. What follows
        # that one must be sound as well, or erased: where erased flash reads as noise there are many to try, and a CRC
        # of 24 bits alone would make one up some day.
        size = 0
        torn = self._torn(place, at)
        while size < torn:
            size += self._flash.unit
            found = self._record(place, at + size, generation)
            if found[2] is not None:
                found = self._record(place, at + size + found[0], generation)
                if not found[0] or found[2] is not None:
                    return size
        return 0

    def _numbered(self, place, at):
        # How many numbered records a sector has from `at` on.
        count = 0
        size = 1
        while size:
            size, kind, _ = self.read(place, at, self.generations[place])
            at += size
            count += size and kind >= kinds.FIRST_DELIVERED
        return count

    def mount(self, on_mount):
        """Find out what is there, and what `on_mount` is to be told: a generator that reads a few records at each step."""
        generations = self.generations
        merged = []
        newest_span = 0
        for place in range(len(generations)):
            header = self._header(place)
            if not header:
                # It may have been the newest.
                if header is not None:
                    self.damaged += self._sector
                continue
            _, version, unit, generation, first, acked, wear, span, count, thinned, _ = header
            # Of another format, or for other flash: it stays as long as there is room elsewhere.
            if version != _VERSION or unit != self._flash.unit:
                self.firsts[place] = _FAR
                self.aside += 1
                continue
            generations[place] = generation
            self.firsts[place] = first
            self.wear = max(self.wear, wear)
            self.thinned = max(self.thinned, thinned)
            if count != _UNCOUNTED:
                merged.append((span, place))
            # A merged sector has the generation of the younger of the two, so the span tells which came later.
            if (generation, span) > (self.generation, newest_span):
                self.generation, newest_span = generation, span
                self._place = place
                self.next, self.acked = first, acked
        # What a merged sector replaces may not have been erased yet: the power may go right behind its header. With both,
        # events would be told twice. Widest first: it may have been made of a merged one.
        merged.sort(reverse=True)
        for span, place in merged:
            generation = generations[place]
            for other in range(len(generations)):
                if other != place and generation - span < generations[other] <= generation:
                    generations[other] = self.firsts[other] = 0
        self._erased = self._place
        if self._place < 0:
            return
        # No `walk`: its generator and its marks are heap, and there may be little.
        at = _HEADER_SIZE
        number = self.next
        while True:
            size, kind, payload = self.read(self._place, at, self.generation)
            if not size:
                break
            at += size
            number += kind >= kinds.FIRST_DELIVERED
            if not number % _STEP:
                yield
            if payload is None:
                self.damaged += size
            else:
                if kind == kinds.ACK:
                    # Those that a merged sector keeps are older than its header.
                    if payload[0] & kinds.LONG:
                        acked = struct.unpack_from("<I", payload, 2)[0]
                    else:
                        acked = (struct.unpack_from("<H", payload)[0] >> 3) - self.acked
                        acked = self.acked + (acked + 0x1000 & 0x1FFF) - 0x1000
                    self.acked = max(self.acked, acked)
                on_mount(kind, payload)
            payload = None
        self.next = max(number, self.acked)
        # A sector is erased only when all of it is acknowledged: what is older than the oldest is.
        self.acked = max(self.acked, self.firsts[self.after(0)])
        # A merged sector is the newest only if a younger one was lost: it stays as it is. So does one that
        # lost count: what came next would count as acknowledged.
        torn = self._torn(self._place, at)
        self.damaged += torn
        if not torn and number == self.next and self.span(self._place)[1] == _UNCOUNTED:
            self._at = at
        self.free()
        if merged:
            self.gaps = self.dropped(self.acked, self.next, self.after(0))

    def _header(self, place):
        # The fields of _HEADER; when it is not valid the sector is free: () if there was one, else None.
        # One flipped bit is put right, since a whole sector hangs on it: 256 ways, after one that changes nothing.
        header = bytearray(_HEADER_SIZE)
        try:
            self._fill(place * self._sector, header)
        except OSError:
            return ()
        # Half of _MAGIC.
        if header[0] != 0x6D and header[1] != 0x41:
            return None
        header.append(0)
        for bit in range(256, -1, -1):
            header[bit >> 3] ^= 1 << (bit & 7)
            fields = struct.unpack_from(_HEADER, header)
            if fields[10] == crc32(header[:28]):
                return fields
            header[bit >> 3] ^= 1 << (bit & 7)
        return ()

    def _torn(self, place, at):
        # Bytes from `at` on that are not erased, as far as a record may reach whose append was cut short.
        start = at
        torn = 0
        end = min(self._sector, at + self.room - self.opening)
        try:
            while at < end:
                part = bytearray(min(64, end - at))
                self._fill(place * self._sector + at, part)
                at += len(part)
                if part.count(b"\xff") < len(part):
                    torn = at - start
        except OSError:
            torn = self._sector - start
        return torn

    def _fill(self, address, buf):
        # Once more when it fails: a moment's fault must not pass for the end of a log.
        try:
            self._flash.read(address, buf)
        except OSError:
            self._flash.read(address, buf)

    def _payload(self, address, end, generation):
        # What a record of `end` bytes and a CRC carries, None when it is damaged.
        if end > _PIECE and not self._is_sound(address, end, generation):
            return None
        record = memoryview(bytearray(end + 3))
        self._fill(address, record)
        if crc32(record[:end], generation) & 0xFFFFFF != _u24(record, end):
            return None
        return record[2:end]

    def _is_sound(self, address, end, generation):
        # The CRC, piece by piece: a length that a torn write left must not take heap.
        piece = memoryview(bytearray(min(_PIECE, end + 3)))
        for at in range(0, end, _PIECE):
            part = piece[: min(_PIECE, end - at)]
            self._fill(address + at, part)
            generation = crc32(part, generation)
        self._fill(address + end, piece[:3])
        return generation & 0xFFFFFF == _u24(piece, 0)

    def _add(self, kind, payload, prefix=b""):
        self._at += self.write(self._place, self._at, self.generation, kind, payload, prefix)
        if kind >= kinds.FIRST_DELIVERED:
            self.next += 1

    def write(self, place, at, generation, kind, payload, prefix=b"") -> int:
        """Program a record; return the bytes that it takes. OSError: it is not there."""
        split = 2 + len(prefix)
        end = split + len(payload)
        record = bytearray(b"\xff" * self.size(end - 2))
        struct.pack_into("<H", record, 0, (end - 2) | kind << 12)
        record[2:split] = prefix
        record[split:end] = payload
        # Seeded with the generation: what an older life of the sector left can not pass for new.
        crc = crc32(memoryview(record)[:end], generation)
        record[end : end + 3] = (crc & 0xFFFFFF).to_bytes(3, "little")
        address = place * self._sector + at
        self._flash.program(address, record)
        if not self._is_sound(address, end, generation):
            raise OSError(_EIO)
        return len(record)

    def _write_opening(self, kind, payload):
        if self._at + self.size(len(payload)) > _HEADER_SIZE + self.opening:
            raise ValueError("opening records too long")
        self._add(kind, payload)

    def _open(self):
        while True:
            if self.spare < 0:
                self.erase()
            old = self._place
            self._place = self.spare
            self.spare = -1
            self._at = _HEADER_SIZE
            self.generation += 1
            try:
                self._on_open(self._write_opening)
                self.commit(self._place, self.generation, self.next, 1, _UNCOUNTED, self.wear)
                self._free -= 1
                return
            except Exception as error:
                # A program that failed may have worked. What the old sector got now would be younger than this one, which
                # may come back: so the old one is used up, like the generation.
                failed = self._place
                self._place = old
                self._at = self._sector
                if not isinstance(error, OSError):
                    raise
                self.generations[failed] = _FAILED

    def commit(self, place, generation, first, span, count, wear) -> None:
        """Program the header of a sector: from here on it exists. Whatever the device says, what can be read back does;
        else OSError."""
        header = bytearray(_HEADER_SIZE)
        fields = (generation, first, self.acked, wear, span, count, self.thinned, 0)
        struct.pack_into(_HEADER, header, 0, _MAGIC, _VERSION, self._flash.unit, *fields)
        struct.pack_into("<I", header, 28, crc32(header[:28]))
        try:
            self._flash.program(place * self._sector, header)
        except OSError:
            pass
        if self._header(place) != struct.unpack(_HEADER, header):
            raise OSError(_EIO)
        self.generations[place] = generation
        self.firsts[place] = first

    def erase(self) -> None:
        """Have a `spare` place, erased and free. OSError: there is none."""
        # Not one that is newer than others, so that a cut before the next header leaves the newest
        # there were: a mount takes all below the oldest sector for acknowledged, and the highest count of dropped
        # records for the last.
        places = len(self.generations)
        while True:
            oldest = -1
            for step in range(1, places + 1):
                place = (self._erased + step) % places
                if not self.generations[place] and place != self.target:
                    if oldest < 0 or self.firsts[place] < self.firsts[oldest]:
                        oldest = place
            if oldest < 0:
                raise OSError(_ENOSPC)
            if self._erase_at(oldest):
                return

    def _erase_at(self, place):
        # Even one that looks erased: a power cut during an erase leaves cells that read as erased today
        # and not tomorrow.
        header = self._header(place)
        try:
            self._flash.erase(place * self._sector)
        except OSError:
            self.generations[place] = _FAILED
            return False
        self.generations[place] = self.firsts[place] = 0
        self.wear = header[6] + 1 if header else max(self.wear, 1)
        self.spare = self._erased = place
        return True

    def free(self) -> int:
        """Free the sectors that are done with. How many are free?"""
        generations = self.generations
        while True:
            oldest = self.after(0)
            if oldest < 0 or oldest == self._place:
                break
            if self.firsts[self.after(generations[oldest])] > self.acked:
                break
            self.firsts[oldest] = generations[oldest]
            generations[oldest] = 0
            if self.mark and self.mark[0] == oldest:
                self.mark = None
        self._free = 0
        for generation in generations:
            if not generation:
                self._free += 1
        return self._free

    def dropped(self, low, high, place):
        """How many of the numbers from `low` to below `high`, of which `place` has the first, thinning dropped: the last
        ones of their sectors."""
        dropped = 0
        following = self.after(self.generations[place])
        while following >= 0 and self.firsts[place] < high:
            end = self.end(place, following)
            dropped += max(0, min(high, self.firsts[following]) - max(low, end))
            place = following
            following = self.after(self.generations[place])
        return dropped

    def _pass_over(self, number):
        # Numbers that are missing below the oldest pending record were dropped, or damaged in the flash.
        if number != self.acked:
            dropped = self.dropped(self.acked, number, self.after(0)) if self.gaps else 0
            self.gaps -= dropped
            self.damaged += number - self.acked - dropped
            self.acked = number
            self._leapt = True


def _u24(buf, at):
    return buf[at] | buf[at + 1] << 8 | buf[at + 2] << 16
