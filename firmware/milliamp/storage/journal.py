# What must reach the CSMS, in order, whatever fails: transaction events and the like wait here until
# they are delivered or given up. Each record remembers its connection and its time.
import struct

from micropython import const

from milliamp.base import rare
from milliamp.storage import kinds
from milliamp.storage.records import Records

# Boot, salt, transactions, discarded, damaged, time; behind it come the corrections, then the names.
_BASE_FORMAT = "<H3sIIII"
_BASE_SIZE = const(21)
# Boot number's low 7 bits, seconds modulo 2**32, as times are.
_CORRECTION = "<BI"
# Boots whose times can be put right at once.
_CORRECTIONS = const(8)
# Connection, time.
_PREFIX = "<HI"
_PREFIX_SIZE = const(6)
# Seconds.
_LATE = const(60)
# Of a connection: the time was a guess, the clock was not set yet.
_GUESSED = const(0x8000)
# Bytes of 64 events.
_AHEAD = const(2560)
# Transaction numbers that a base takes out at once.
_RESERVE = const(32)
# 128 + EVSE, transaction number, length; the text follows.
_NAME = "<BIB"
_NAME_SIZE = const(6)
_LONGEST_NAME = const(8)


class Journal:
    """The log of what is still to be delivered. `random(n)` gives n random bytes.

    After a start the owner walks `replay()` to rebuild the open transactions, then sets `checkpoint`
    to a function `checkpoint(write)` that calls `write(payload)` once for each open transaction, as it
    is before the event that is just being appended. Only then can anything be appended. `stream`, a function
    `stream(payload)`, names what is thinned each by itself when the journal is short of room: bits 9 and up are
    the transaction, bit 8 is set where it tells a state and not only values.
    """

    def __init__(self, flash, clock, random):
        if flash.size < 3 * flash.sector:
            raise ValueError("the journal needs three sectors")
        self.checkpoint = None
        self.stream = len
        # Counts the starts that wrote something.
        self.boot = 0
        self.discarded = 0
        # It dropped or refused something, and was not empty since.
        self.short = False
        # The newest time that the newest sector knows: it can not be earlier now.
        self.last = 0
        self._clock = clock
        self._salt = b""
        # The last transaction number given out.
        self._transactions = 0
        # Numbers up to here are taken out: none more, until this boot has its base.
        self._reserved = 0
        # (boot number's low 7 bits, seconds) of boots with guessed times.
        self._corrections = []
        # Packed, at most one an EVSE: what the CSMS calls its transaction.
        self._names = b""
        # (number of the head, the names with its acknowledgement); -1: with the next, the log was too full.
        self._coming = None
        # A record of this boot has a guessed time.
        self._guessed = False
        # Connections of this boot.
        self._links = 0
        self._head = None
        # The last record that was the head in the connection it was made in.
        self._tried = -1
        # As the newest sector says.
        self._damaged = 0
        self._records = Records(flash, self._on_open, self._on_mount, flash.sector * 5 // 8)
        # There may have been bases, whose transaction numbers are given out: less than two for each byte.
        self._reserved += 2 * self._records.damaged
        self._records.damaged = self._damaged
        self._records.reserved = True
        # Free sectors from which on it is thinned: what else is free has room for 64 events.
        sectors = flash.size // flash.sector
        self._ahead = min(1 - -_AHEAD // flash.sector, sectors // 4)
        # Sectors of another format, which are left alone.
        self.aside = self._records.aside
        # Up to this generation of sectors there is nothing to thin.
        self._dense = 0
        self._transactions = self._reserved
        self._salt = self._salt or random(3)
        self.boot = (self.boot + 1) & 0xFFFF
        # And the connection's number, 0 for none.
        self._connection = (self.boot & 0x7F) << 8

    def append(self, kind: int, payload, time=None) -> int:
        """Make it durable, with the present time or the `time` that was the present a moment ago; return the
        record's number. OSError(28): the journal is full."""
        if self._transactions == self._reserved:
            self._write_base()
        connection = self._connection
        if not self._clock.synced:
            connection |= _GUESSED
            self._guessed = True
        prefix = struct.pack(_PREFIX, connection, time or self._clock.now())
        try:
            self._records.append(kind, payload, prefix)
        except OSError:
            self.short = True
            raise
        return self._records.next - 1

    def head(self, most: int = 0):
        """The oldest record not delivered, None when there is none: (number, kind, offline, time,
        payload). Time in seconds since 2000; offline: it was not made and first sent in one connection.
        False: it is not among the next `most` records, 0 for all; ask again, for many may be done with.
        """
        if self._head is None:
            head = self._records.head(most)
            if head is False:
                return head
            if head:
                connection, time, payload = self._split(head[2])
                # What is asked for is sent. Where only the answer is lost it stays what it was, for it did happen
                # online. A reboot forgets that and says offline, which is no worse: nobody knows that it arrived.
                if connection & 0xFF and connection == self._connection:
                    self._tried = head[0]
                self._head = head[0], head[1], self._tried != head[0], time, payload
        return self._head

    def ack(self) -> None:
        """The head is delivered."""
        self._done(0)

    def discard(self) -> None:
        """The head is given up. Counted."""
        if self.head():
            self._done(kinds.DISCARDED)
            self.discarded += 1

    def name_transaction(self, evse: int, number: int = 0, name: bytes = b"") -> None:
        """What the CSMS calls transaction `number`, in up to 8 bytes; at an `evse` (1 to 127) there is one. No name: the
        EVSE's is forgotten. It counts from the `ack` or `discard` of the present head on, which is what began the
        transaction or its end, and is durable with that."""
        if len(name) > _LONGEST_NAME:
            raise ValueError("name too long")
        names = b""
        for other, called, text in self.named_transactions():
            if other != evse:
                names += struct.pack(_NAME, 0x80 | other, called, len(text)) + text
        if name:
            names += struct.pack(_NAME, 0x80 | evse, number, len(name)) + name
        head = self.head()
        self._coming = head and (head[0], names)

    def named_transactions(self):
        """Yield (EVSE, transaction number, name) of the transactions that the CSMS gave a name."""
        at = 0
        while at < len(self._names):
            evse, number, length = struct.unpack_from(_NAME, self._names, at)
            at += _NAME_SIZE + length
            yield evse & 0x7F, number, self._names[at - length : at]

    @property
    def pending(self) -> int:
        """How many records wait."""
        return self._records.next - self._records.acked - self._records.gaps

    def each_pending(self):
        """Yield (kind, payload) of all that waits. It may be appended, delivered and thinned meanwhile: what waits
        all the time is told, some of it maybe twice."""
        for _, kind, payload in self._records.pending():
            yield kind, bytes(payload[_PREFIX_SIZE:])

    def replay(self):
        """Yield (kind, time, payload) of the checkpoint and of the events and notes after it."""
        for _, kind, payload in self._records.newest():
            if kind == kinds.OPEN_TX:
                yield kind, 0, bytes(payload)
            elif kind >= kinds.FIRST_DELIVERED:
                _, time, payload = self._split(payload)
                yield kind, time, payload

    def note(self, payload) -> None:
        """Keep a new checkpoint of an open transaction: it changed in a way that no event tells."""
        if self._transactions == self._reserved:
            self._write_base()
        self._records.append(kinds.OPEN_TX, payload)

    def connected(self, up: bool) -> None:
        """The connection to the CSMS is open (a new one each time), or it is gone."""
        number = 0
        if up:
            self._links = number = self._links % 255 + 1
        self._connection = (self.boot & 0x7F) << 8 | number
        self._head = None

    def clock_set(self, offset: int) -> None:
        """The clock moved by `offset` seconds: right what this boot stamped when it only guessed."""
        if self._guessed:
            self._guessed = False
            if -_LATE <= offset <= 0:
                # Older than what the boot before stamped they cannot be: the answer took its time.
                return
            self._head = None
            boot = self.boot & 0x7F
            offset &= 0xFFFFFFFF
            try:
                self._records.append(kinds.CLOCK_SET, struct.pack(_CORRECTION, boot, offset))
            except OSError:
                # full: the next base says it.
                pass
            # Not before: a sector that this opens would say it twice.
            self._correct(boot, offset)

    def next_transaction(self) -> int:
        """A transaction number never used before, below 2**24. OSError(28): the journal is full."""
        if self._transactions == self._reserved:
            self._write_base()
        self._transactions += 1
        return self._transactions

    def give_back(self, number: int) -> None:
        """The number was not used after all."""
        if number == self._transactions:
            self._transactions -= 1

    def transaction_id(self, number: int) -> str:
        """The transactionId: 12 hexadecimal digits, unique among all stations and resets."""
        return "%06x%06x" % (int.from_bytes(self._salt, "big"), number)

    def counts(self):
        """(created, delivered, discarded, thinned, damaged) since the journal was formatted."""
        records = self._records
        delivered = records.acked - self.discarded - records.damaged
        delivered -= records.thinned - records.gaps
        return records.next, delivered, self.discarded, records.thinned, records.damaged

    def prepare(self) -> bool:
        """For idle moments: erase ahead. True: done, and it blocked for a sector erase."""
        return self._records.prepare()

    def crowded(self) -> bool:
        """Is it time to `thin`?"""
        records = self._records
        return 0 < records.free() <= self._ahead and self._dense < records.generation - 1

    def thin(self):
        """Drop what is least needed, until there is room again: a generator that does a little at each step. What
        is appended, delivered and read between its steps is safe; another thinning begins when this one is over."""
        thinning = rare.load("milliamp.storage.thinning")
        records = self._records
        done = True
        while done and self.crowded():
            yield
            newest, thinned = records.generation, records.thinned
            done = yield from thinning.make_room(records, self.stream, self._dense)
            if done is False:
                self._dense = newest - 1
            self.short = self.short or records.thinned > thinned

    def _done(self, flags):
        head = self.head()
        if head:
            self._head = None
            note, coming = b"", self._coming
            if coming and coming[0] in (head[0], -1):
                # A sector that this opens begins with the names, and its header is the acknowledgement.
                note = self._names = coming[1]
                flags |= kinds.NAMED
            self._coming = None
            if not self._records.ack(head[0] + 1, flags, note) and flags & kinds.NAMED:
                self._coming = -1, note
            if not self.pending:
                self.short = False

    def _split(self, payload):
        # (connection, time put right, what the owner wrote)
        connection, time = struct.unpack_from(_PREFIX, payload)
        if connection & _GUESSED:
            connection ^= _GUESSED
            for boot, offset in self._corrections:
                if boot == connection >> 8:
                    time = (time + offset) & 0xFFFFFFFF
        return connection, time, bytes(payload[_PREFIX_SIZE:])

    def _correct(self, boot, offset):
        # The oldest stay: times that were told do not move, and what is not put right is still behind them.
        if len(self._corrections) < _CORRECTIONS:
            self._corrections.append((boot, offset))

    def _write_base(self):
        self._records.append(kinds.BASE, self._base())
        self._reserved = self._transactions + _RESERVE

    def _on_mount(self, kind, payload):
        if kind == kinds.BASE:
            base = struct.unpack_from(_BASE_FORMAT, payload)
            self.boot, self._salt, self._reserved, self.discarded, self._damaged, time = base
            self.last = max(self.last, time)
            self._corrections.clear()
            at = _BASE_SIZE
            while at < len(payload) and payload[at] < 0x80:
                self._corrections.append(struct.unpack_from(_CORRECTION, payload, at))
                at += 5
            self._names = bytes(payload[at:]) or b""
        elif kind == kinds.CLOCK_SET:
            boot, offset = struct.unpack(_CORRECTION, payload)
            self._correct(boot, offset)
            # Guesses so far, which ran on from the times before.
            self.last = max(self.last, (self.last + offset) & 0xFFFFFFFF)
        elif kind == kinds.ACK:
            self.discarded += payload[0] & kinds.DISCARDED
            more = payload[0] & kinds.LONG and 8
            if more:
                self._damaged = struct.unpack_from("<I", payload, 6)[0]
            if payload[0] & kinds.NAMED:
                self._names = bytes(payload[2 + more :])
        elif kind >= kinds.FIRST_DELIVERED:
            self.last = max(self.last, self._split(payload)[1])

    def _on_open(self, write):
        write(kinds.BASE, self._base())
        self.checkpoint(lambda payload: write(kinds.OPEN_TX, payload))

    def _base(self):
        if self.checkpoint is None:
            raise ValueError("replay, then set checkpoint")
        if not self.pending:
            # Nothing left to put right.
            self._corrections.clear()
        reserved = self._transactions + _RESERVE
        counts = self.discarded, self._records.damaged, self._clock.now()
        base = struct.pack(_BASE_FORMAT, self.boot, self._salt, reserved, *counts)
        for correction in self._corrections:
            base += struct.pack(_CORRECTION, *correction)
        return base + self._names
