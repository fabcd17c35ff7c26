"""The journal against a list, with the power cut at every program and every erase."""

import contextlib
import struct
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostsim.charger.flash import Nor, PowerCut
from milliamp.storage.journal import Journal
from milliamp.storage.kinds import MESSAGE, OPEN_TX, SECURITY, TX_EVENT, TX_UPDATE

from .power import TORN, Doomed

KINDS = (TX_EVENT, TX_UPDATE, SECURITY, MESSAGE)
# unit, sector size, sectors: small, so that a short run goes round several times
GEOMETRIES = ((1, 256, 8), (8, 256, 9), (16, 512, 6), (32, 512, 7))


class Clock:
    synced = True
    time = 800_000_000

    def now(self):
        self.time += 1
        return self.time


def payload_of(seq, random):
    """An event: its seqNo, and something of any length."""
    return struct.pack("<I", seq) + random.randbytes(random.choice((0, 7, 8, 9, 12, 20, 60)))


class Station:
    """A journal's owner: events with a seqNo, kept beside the journal in a list that forgets only what was thinned.

    What an operation is about to do is noted before; a power cut leaves it in doubt.
    """

    def __init__(self, nor, events=(), acked=0, numbers=(), seed=1, thinned=0):
        self.nor = nor
        self.events = list(events)
        self.acked = acked
        self.thinned = thinned
        self.coming = None  # the event that is being appended
        self.leaving = False  # the head is being acknowledged
        self.numbers = set(numbers)
        self.random = Random(seed)
        self.start()

    def start(self):
        self.journal = journal = Journal(self.nor, Clock(), lambda n: b"\x12\x34\x56"[:n])
        self.seq = self.replayed()
        journal.checkpoint = lambda write: write(struct.pack("<I", self.seq))

    def replayed(self):
        seq = 0
        for _, _, payload in self.journal.replay():
            seq = struct.unpack_from("<I", payload)[0]
        return seq

    def append(self):
        payload = payload_of(self.seq + 1, self.random)
        self.coming = payload
        self.journal.append(KINDS[len(payload) & 3], payload)
        self.coming = None
        self.events.append(payload)
        self.seq += 1
        self.thin()

    def thin(self):
        """Forget what the journal says it dropped; only updates may be missing."""
        count = self.journal.counts()[3] - self.thinned
        if count:
            self.thinned += count
            found = [payload for _, payload in self.journal.each_pending()]
            assert len(found) == self.journal.pending == len(self.events) - self.acked - count
            self.match(found)

    def match(self, found):
        left = list(found)
        kept = self.events[: self.acked]
        for n, payload in enumerate(self.events[self.acked :]):
            if left[:1] == [payload]:
                kept.append(left.pop(0))
            else:
                assert KINDS[len(payload) & 3] == TX_UPDATE and n
        assert not left  # nothing reordered or invented
        self.events = kept

    def ack(self):
        head = self.journal.head()
        if head is None:
            assert self.acked == len(self.events)
            return
        assert head[1] == KINDS[len(head[4]) & 3]
        assert head[4] == self.events[self.acked]
        self.leaving = True
        if self.random.random() < 0.2:
            self.journal.discard()
        else:
            self.journal.ack()
        self.leaving = False
        self.acked += 1
        self.thin()

    def transaction(self):
        number = self.journal.next_transaction()
        assert number not in self.numbers
        self.numbers.add(number)

    def after_cut(self, nor, seed=1, unwritten_acks=0):
        """The station that starts on the chip as the cut left it, once all was found there that must be."""
        image = bytes(nor.image)
        other = Station(nor, self.events, self.acked, self.numbers, seed, self.thinned)
        found = [payload for _, payload in other.journal.each_pending()]
        assert len(found) == other.journal.pending
        if self.coming is not None and found[-1:] == [self.coming]:
            other.events.append(self.coming)
        if found:  # the oldest one is never thinned
            other.acked = other.events.index(found[0])
        else:
            other.acked = len(other.events)
        dropped = len(other.events) - other.acked - len(found)
        assert other.journal.counts()[3] == self.thinned + dropped
        other.thinned += dropped
        other.match(found)  # nothing lost, reordered or invented
        assert self.acked - unwritten_acks <= other.acked <= self.acked + self.leaving
        assert (
            other.seq == struct.unpack_from("<I", (other.events or [bytes(4)])[-1])[0]
        )  # the checkpoint and what follows it tell the seqNo
        # Mounting writes nothing, so it may be cut, and done again, as often as one likes.
        assert nor.image == image
        return other

    def finish(self):
        """Go on, then deliver all of it."""
        for _ in range(3):
            self.append()
            self.transaction()
        while self.journal.pending:
            self.ack()
        assert self.acked == len(self.events)
        assert self.journal.head() is None


def busy(station, steps, backlog=4):
    """A life in which the log is never full: append, acknowledge behind, erase ahead at times."""
    for step in range(steps):
        station.append()
        if step % 5 == 0:
            station.transaction()
        if step % 7 == 0:
            station.journal.prepare()
        if step % 3 == 0:
            station.journal.connected(step % 2)
        while station.journal.pending > backlog:
            station.ack()


@pytest.mark.parametrize("unit, sector, sectors", GEOMETRIES)
def test_power_cut_at_every_operation(unit, sector, sectors):
    cuts = 0

    def cut(nor):
        nonlocal cuts
        cuts += 1
        recovered = station.after_cut(nor, seed=cuts)
        if cuts % 4 != cuts // 4 % 4:  # every torn variant in turn
            recovered.finish()
            return
        # This time the power fails again in everything that the recovered station does.

        def cut_again(nor):
            recovering.after_cut(nor).finish()

        again = Doomed(
            nor.size, sector, unit, cut_again, nor.image, seed=cuts, torn=("half", "bits")
        )
        recovering = recovered.after_cut(again, seed=cuts)
        busy(recovering, 4)

    nor = Doomed(sector * sectors, sector, unit, cut)
    station = Station(nor)
    while nor.erases <= 2 * sectors:  # all round, more than twice
        busy(station, 10)
    assert max(nor.erased) - min(nor.erased) <= 1
    assert cuts == 4 * nor.operations


@pytest.mark.parametrize("torn", ["half", "bits"])
def test_what_a_cut_made_unreadable_is_passed_over(torn):
    def cut(nor):
        station.after_cut(nor).finish()

    station = Station(Doomed(256 * 9, 256, 8, cut, ecc=True, torn=(torn,)))
    busy(station, 40)


@pytest.mark.parametrize("unit, sector, sectors", GEOMETRIES)
def test_a_full_log_refuses_and_recovers(unit, sector, sectors):
    unwritten = 0

    def cut(nor):
        recovered = station.after_cut(nor, unwritten_acks=unwritten)
        while recovered.journal.pending:
            recovered.ack()
        recovered.finish()

    nor = Doomed(sector * sectors, sector, unit, cut, torn=("nothing", "bits", "all"))
    station = Station(nor)
    full = 0
    for _ in range(3):
        for _ in range(80):
            try:
                station.append()
            except OSError as error:
                assert error.args == (28,)
                station.coming = None
                station.thin()
                assert station.journal.pending == len(station.events) - station.acked
                full += 1
        for _ in range(len(station.events) // 2):
            if station.acked < len(station.events):
                unwritten = len(station.events)  # where all is full, acknowledgements wait in RAM
                station.ack()
    assert full > 3
    while station.journal.pending:
        station.ack()
    unwritten = len(station.events)
    busy(station, 20)


@settings(max_examples=60)
@given(
    geometry=st.sampled_from(GEOMETRIES),
    operations=st.lists(
        st.tuples(st.sampled_from("aaaaakkkktpcmr"), st.integers(0, 3), st.sampled_from(TORN)),
        min_size=40,
        max_size=200,
    ),
    seed=st.integers(0, 1000),
)
def test_any_life(geometry, operations, seed):
    unit, sector, sectors = geometry
    nor = Nor(sector * sectors, sector, unit)
    station = Station(nor, seed=seed)
    random = Random(seed)
    refused = 0
    for operation, number, torn in operations:
        try:
            if operation == "a":
                station.append()
            elif operation == "k":
                station.ack()
            elif operation == "t":
                station.transaction()
            elif operation == "p":
                station.journal.prepare()
            elif operation == "m":
                nor.power_on()
                station = station.after_cut(nor, seed, unwritten_acks=refused)
            elif operation == "r":
                station.journal.connected(number)
            else:
                nor.cut_power(number, torn, random.randrange)
        except PowerCut:
            nor.power_on()
            station = station.after_cut(nor, seed, unwritten_acks=refused)
        except OSError as error:
            assert error.args == (28,)
            station.coming = None
            station.thin()
            refused = 1000  # it was full: acknowledgements may have waited in RAM
    nor.power_on()
    station = station.after_cut(nor, seed, unwritten_acks=refused)
    while station.journal.pending:
        station.ack()
    station.finish()


def journal_on(nor, clock=None):
    journal = Journal(nor, clock or Clock(), lambda n: bytes(range(n)))
    journal.checkpoint = lambda write: None
    return journal


def test_offline_is_what_was_not_made_in_this_connection():
    nor = Nor(16384)
    journal = journal_on(nor)
    journal.append(TX_EVENT, b"before")
    journal.connected(True)
    assert journal.head()[2]
    journal.ack()
    journal.append(TX_EVENT, b"in it")
    assert not journal.head()[2]
    journal.ack()
    journal.append(TX_EVENT, b"in it, and not tried there")
    journal.connected(False)
    assert journal.head()[2]
    journal.connected(True)
    assert journal.head()[2]  # another connection
    journal.ack()
    journal.append(TX_EVENT, b"in the second")
    assert not journal.head()[2]
    journal = journal_on(nor)
    journal.connected(True)
    journal.connected(True)
    assert journal.head()[2]  # the second, but of another boot


def test_what_was_made_and_tried_in_one_connection_is_not_offline_later():
    nor = Nor(16384)
    journal = journal_on(nor)
    journal.connected(True)
    for name in (b"first", b"second"):
        journal.append(TX_EVENT, name)
    assert not journal.head()[2]
    for up in (False, True, False, True):  # the answer never comes
        journal.connected(up)
        assert journal.head()[2:] == (False, journal.head()[3], b"first")
    journal.ack()
    assert journal.head()[2:] == (True, journal.head()[3], b"second")
    journal = journal_on(nor)
    journal.connected(True)
    assert journal.head()[2]


def test_times_that_were_guessed_are_put_right():
    nor = Nor(16384)
    clock = Clock()
    clock.synced = False
    clock.time = 100
    journal = journal_on(nor, clock)
    journal.append(TX_EVENT, b"guessed")
    clock.synced = True
    clock.time += 5000
    journal.clock_set(5000)
    journal.append(TX_EVENT, b"known")
    guessed = journal.head()[3]
    assert 5100 < guessed < 5110
    for _ in range(3):  # as long as it waits, over restarts and into new sectors
        clock = Clock()
        clock.time = 900_000
        journal = journal_on(nor, clock)
        for _ in range(100):
            journal.append(TX_EVENT, bytes(20))
        assert journal.head()[3] == guessed
    assert journal.last > 900_000
    journal.ack()
    assert 5100 < journal.head()[3] < 5110 and journal.head()[4] == b"known"


@pytest.mark.parametrize("offset", [-90, -2000, 1, 2**31 - 1, 2**31, 4_000_000_000])
def test_corrections_of_any_size(offset):
    """A clock that stood at its beginning may be off by more than 68 years."""
    nor, clock = Nor(16384), Clock()
    clock.synced = False
    clock.time = 3000
    journal = journal_on(nor, clock)
    journal.append(TX_EVENT, b"guessed")
    guessed = journal.head()[3]
    clock.synced = True
    clock.time += offset
    journal.clock_set(offset)
    for _ in range(2):
        assert journal.head()[3] == guessed + offset
        journal = journal_on(nor, Clock())
    assert journal.last >= guessed + max(offset, 0)


def test_corrections_are_bounded():
    nor = Nor(65536)
    for boot in range(20):
        clock = Clock()
        clock.synced = False
        clock.time = 1000
        journal = journal_on(nor, clock)
        journal.append(TX_EVENT, bytes((boot,)))
        journal.clock_set(1_000_000 * (boot + 1))
    times = []
    while journal.pending:
        times.append(journal.head()[3] // 1_000_000)
        journal.ack()
    assert times == [
        *range(1, 9),
        *[0] * 12,
    ]  # the first eight boots: what was told of them may not move


def test_counts_survive():
    nor = Nor(16384)
    journal = journal_on(nor)
    for number in range(1000):
        journal.append(TX_EVENT, b"some event")
        journal.discard() if number % 10 == 0 else journal.ack()
        if number % 97 == 0:
            journal = journal_on(nor)
    journal.append(TX_EVENT, b"waits")
    for _ in range(2):
        assert journal.counts() == (1001, 900, 100, 0, 0)
        assert journal.pending == 1
        journal = journal_on(nor)


def test_transaction_ids_are_unique_over_restarts():
    nor = Nor(16384)
    ids = set()
    for boot in range(10):
        journal = journal_on(nor)
        for _ in range(boot * 10 + 1):
            ids.add(journal.transaction_id(journal.next_transaction()))
    assert len(ids) == sum(boot * 10 + 1 for boot in range(10))
    assert {len(text) for text in ids} == {12}
    assert all(text.startswith("000102") for text in ids)


def test_transaction_ids_stay_unique_whatever_bit_flips():
    nor = Nor(1536, 512, 8)
    given = set()
    for boot in range(20):  # into the second sector
        journal = journal_on(nor)
        given |= {journal.next_transaction() for _ in range(boot % 3 + 1)}
    salt = journal._salt
    for at in range(8 * 1024):
        twin = Nor(1536, 512, 8)
        twin.image[:] = nor.image
        twin.image[at // 8] ^= 1 << at % 8
        twin.power_on()
        journal = journal_on(twin)
        number = journal.next_transaction()
        assert journal._salt != salt or number not in given, at


@pytest.mark.parametrize("bit", range(3, 7))
def test_a_damaged_length_does_not_hide_what_comes_next(bit):
    nor = Nor(16384, unit=8)
    journal = journal_on(nor)
    for number in range(40):
        journal.append(TX_EVENT, b"event %03d" % number)
        journal.ack()
    nor.image[nor.image.index(b"event 020") - 8] ^= 1 << bit  # its head
    nor.power_on()
    journal = journal_on(nor)
    journal.append(TX_EVENT, b"new")
    for _ in range(2):
        assert list(journal.each_pending())[-1] == (TX_EVENT, b"new")
        journal = journal_on(nor)
    while journal.pending:
        last = journal.head()[4]
        journal.ack()
    assert last == b"new"


def test_nothing_is_appended_before_the_open_transactions_are_known():
    journal = Journal(Nor(16384), Clock(), bytes)
    with pytest.raises(ValueError, match="checkpoint"):
        journal.append(TX_EVENT, b"too early")
    assert journal.pending == 0


def test_a_note_is_replayed_after_the_checkpoint():
    nor = Nor(16384)
    journal = journal_on(nor)
    journal.checkpoint = lambda write: write(b"opened")
    journal.append(TX_EVENT, b"event")
    journal.note(b"noted")
    journal = journal_on(nor)
    time = journal.head()[3]
    assert list(journal.replay()) == [
        (OPEN_TX, 0, b"opened"),
        (TX_EVENT, time, b"event"),
        (OPEN_TX, 0, b"noted"),
    ]
    assert journal.pending == 1


def test_large_records_fit():
    nor = Nor(8 * 4096, unit=32)
    station = Station(nor)
    events = [bytes([n]) * 2500 for n in range(6)]
    for event in events:
        station.journal.append(TX_EVENT, event)
    journal = journal_on(nor)
    assert [payload for _, payload in journal.each_pending()] == events
    with pytest.raises(OSError):
        journal.append(TX_EVENT, bytes(4000))
    assert journal.pending == 6
    journal.append(TX_EVENT, b"and on it goes")


@pytest.mark.parametrize("rot", [1, 3])
def test_a_damaged_record_does_not_hide_the_others(rot):
    nor = Nor(16384, unit=8)
    journal = journal_on(nor)
    events = [b"event %03d" % number for number in range(300)]
    for event in events:
        journal.append(TX_EVENT, event)
    for number in range(50, 50 + rot):
        nor.image[nor.image.index(b"event %03d" % number) + 4] ^= 0x10
    nor.image[nor.image.index(b"event 290") + 2] ^= 0x10  # in the newest sector
    journal = journal_on(nor)
    delivered = []
    while journal.pending:
        delivered.append(journal.head()[4])
        journal.ack()
    lost = [event for event in events if event not in delivered]
    assert delivered == [event for event in events if event in set(delivered)]
    assert b"event 290" in lost and b"event 291" in delivered
    assert len(lost) == rot + 1
    assert journal.counts()[4] == len(lost)


def test_sectors_that_fail_are_left_out():
    nor = Nor(256 * 8, 256, 8)
    nor.bad = {2, 5}
    station = Station(nor)
    busy(station, 60)
    assert nor.erased[2] == nor.erased[5] == 0
    station = station.after_cut(nor)
    nor.bad.add(station.journal._records._place)  # the one in use fails now
    station.finish()


class Encrypted(Nor):
    """A chip behind transparent encryption: what is erased reads as noise."""

    def read(self, address, buf):
        super().read(address, buf)
        buf[:] = self.crypt(address, buf)

    def program(self, address, data):
        super().program(address, self.crypt(address, data))

    def crypt(self, address, data):
        noise = Random(17).randbytes(self.size)[address : address + len(data)]
        return bytes(a ^ b for a, b in zip(data, noise))


def test_on_encrypted_flash_each_start_begins_a_sector():
    nor = Encrypted(512 * 8, 512, 16)
    station = Station(nor)
    for _ in range(20):
        busy(station, 7, backlog=2)
        station = station.after_cut(nor)
    station.finish()
    assert station.journal.counts()[4] == 0


class Liar(Nor):
    """A chip that programs well and reports a failure, when it is told to."""

    lies = 0

    def program(self, address, data):
        super().program(address, data)
        if self.lies:
            self.lies -= 1
            raise OSError(5)


@pytest.mark.parametrize("lies", [1, 2, 3, 99])
@pytest.mark.parametrize("before", range(12))
def test_what_was_said_to_have_failed_is_not_there_twice(lies, before):
    nor = Liar(256 * 8, 256, 8)
    station = Station(nor)
    busy(station, before)
    nor.lies = lies
    with contextlib.suppress(OSError):
        station.append()
    in_doubt = station.coming
    nor.lies = 0
    station.after_cut(Nor(nor.size, 256, 8, bytearray(nor.image))).finish()
    with contextlib.suppress(OSError):  # after so many failures no sector may be left
        station.append()
    station.coming = in_doubt
    station = station.after_cut(nor)
    station.finish()
    assert station.journal.counts()[4] == 0


@pytest.mark.parametrize("unit, deliveries", [(1, 300), (8, 300), (16, 200), (32, 120)])
def test_a_full_log_still_takes_acknowledgements(unit, deliveries):
    nor = Nor(4 * 4096, unit=unit)
    journal = journal_on(nor)
    with pytest.raises(OSError):
        while True:
            journal.append(TX_EVENT, bytes(12))
    programmed = nor.bytes_programmed, nor.erases
    with pytest.raises(OSError):
        journal.append(TX_EVENT, bytes(12))
    assert (nor.bytes_programmed, nor.erases) == programmed  # refused, and nothing changed
    for _ in range(deliveries):
        with contextlib.suppress(OSError):
            journal.append(TX_EVENT, bytes(12))
        journal.ack()
        assert journal_on(nor).pending == journal.pending


@pytest.mark.parametrize("unit", [1, 32])
def test_acknowledgements_that_only_ram_knows_damage_nothing(unit):
    nor = Nor(512 * 4, 512, unit)
    journal = journal_on(nor)
    with pytest.raises(OSError):
        while True:
            journal.append(TX_EVENT, b"")
    journal.checkpoint = lambda write: write(bytes(90))  # less room than the old sectors had
    while journal.pending:
        journal.ack()
        journal.prepare()
        other = journal_on(nor)
        assert other.pending == len(list(other.each_pending())) >= journal.pending
        assert other.counts()[4] == 0


def test_a_newest_sector_without_a_header_leaves_the_others():
    nor = Nor(512 * 8, 512, 8)
    journal = journal_on(nor)
    station = Station(nor)
    busy(station, 60)
    while (
        not station.journal.prepare()
    ):  # the sector that is erased now was acknowledged in the newest only
        station.append()
        station.ack()
    nor.image[station.journal._records._place * 512 + 20] ^= 1
    journal = journal_on(nor)
    waiting = [payload for _, payload in journal.each_pending()]
    assert journal.pending == len(waiting)
    assert waiting and waiting == [event for event in station.events if event in waiting]
    assert journal.counts()[4] == 0


def test_budgets():
    """Flash programmed for an event with energy and power, its acknowledgement included; erases; capacity."""
    budgets = {
        1: (40, 0.01, 5000),
        8: (40, 0.01, 5000),
        16: (64, 0.02, 3000),
        32: (80, 0.02, 3000),
    }
    for unit, (programmed, erases, capacity) in budgets.items():
        nor = Nor(128 * 1024, unit=unit)
        journal = journal_on(nor)
        for _ in range(3000):
            journal.append(TX_UPDATE, bytes(12))
            journal.ack()
        assert nor.bytes_programmed / 3000 < programmed
        assert nor.erases / 3000 < erases
        nor = Nor(128 * 1024, unit=unit)
        journal = journal_on(nor)
        journal.checkpoint = lambda write: write(bytes(60))
        with pytest.raises(OSError):
            while True:
                journal.append(TX_EVENT, bytes(12))
        assert journal.pending >= capacity
        before = nor.bytes_read
        journal = journal_on(nor)
        assert nor.bytes_read - before < 8192
        assert journal.pending >= capacity


class Named(Station):
    """One whose CSMS gives each transaction a name: a transaction at an EVSE is three records, its begin, something and
    its end. `said`: what is said of the EVSE's name with each record."""

    names: dict

    def start(self):
        super().start()
        self.names = {
            evse: (number, name) for evse, number, name in self.journal.named_transactions()
        }

    def what(self, n):
        """(EVSE, transaction, 0 begin to 2 end) of the nth record: two EVSEs, one behind the other."""
        return n % 2 + 1, n // 6 + 1, n // 2 % 3

    def expected(self, acked):
        """The names when so many records are acknowledged."""
        names = {}
        for n in range(acked):
            evse, number, part = self.what(n)
            names.pop(evse, None)
            if part < 2:
                names[evse] = number, self.name(number)
        return names

    def name(self, number):
        return b"%d" % (number * 97 % 10 ** (number % 8 + 1))

    def ack(self):
        evse, number, part = self.what(self.acked)
        if part != 1 and self.acked < len(self.events):
            self.journal.name_transaction(evse, number, self.name(number) if part == 0 else b"")
        super().ack()
        assert {e: (n, name) for e, n, name in self.journal.named_transactions()} == self.expected(
            self.acked
        )

    def after_cut(self, nor, seed=1, unwritten_acks=0):
        other = super().after_cut(nor, seed, unwritten_acks)
        named = Named(nor, other.events, other.acked, other.numbers, seed, other.thinned)
        assert named.names == named.expected(named.acked)  # neither sooner nor later
        return named


@pytest.mark.parametrize("unit, sector, sectors", GEOMETRIES)
def test_a_name_is_as_durable_as_the_acknowledgement_it_comes_with(unit, sector, sectors):
    cuts = 0

    def cut(nor):
        nonlocal cuts
        cuts += 1
        station.after_cut(nor, seed=cuts)

    # No record may be thinned here.
    station = Named(Doomed(sector * sectors, sector, unit, cut))
    while station.nor.erases <= sectors + 2:
        busy(station, 10, backlog=2 + station.nor.erases % 3)
    assert cuts == 4 * station.nor.operations


def test_names_are_bounded_and_forgotten():
    nor = Nor(16384)
    journal = journal_on(nor)
    journal.name_transaction(1, 5, b"nothing")  # nothing begins here
    journal.append(TX_EVENT, b"begin")
    with pytest.raises(ValueError):
        journal.name_transaction(1, 5, bytes(9))
    journal.name_transaction(1, 5, b"12345678")
    assert list(journal.named_transactions()) == []  # not before the acknowledgement
    assert list(journal_on(nor).named_transactions()) == []
    journal.ack()
    for _ in range(3):
        assert list(journal.named_transactions()) == [(1, 5, b"12345678")]
        for _ in range(400):  # into the next sector
            journal.append(TX_EVENT, bytes(20))
            journal.ack()
        journal = journal_on(nor)
    journal.append(TX_EVENT, b"begin")
    journal.name_transaction(1, 6, b"6")  # the end of the other was lost
    journal.discard()
    assert list(journal_on(nor).named_transactions()) == [(1, 6, b"6")]
    journal = journal_on(nor)
    journal.append(TX_EVENT, b"end")
    journal.name_transaction(1)
    journal.ack()
    for each in (journal, journal_on(nor)):
        assert list(each.named_transactions()) == []


def test_what_was_said_of_another_head_does_not_count():
    journal = journal_on(Nor(16384))
    for name in (b"begin", b"next"):
        journal.append(TX_EVENT, name)
    journal.ack()
    journal.name_transaction(1, 1, b"1")
    for _ in range(2):
        journal.append(TX_EVENT, b"more")
    assert list(journal.named_transactions()) == []
    journal.ack()
    assert list(journal.named_transactions()) == [(1, 1, b"1")]
    journal.ack()
    assert list(journal.named_transactions()) == [(1, 1, b"1")]


def test_acknowledgements_are_told_apart_over_thousands():
    """They hold 13 bits of the number."""
    nor = Nor(16384)
    journal = journal_on(nor)
    for number in range(9000):
        journal.append(TX_EVENT, b"")
        journal.append(TX_EVENT, b"")
        journal.ack()
        journal.ack() if number % 500 else journal.discard()
        if number % 250 == 0:
            journal = journal_on(nor)
    assert journal_on(nor).counts() == (18000, 17982, 18, 0, 0)


def test_an_acknowledgement_says_all_of_the_number_when_one_before_it_was_not_written():
    nor = Nor(8 * 4096, unit=8)
    journal = journal_on(nor)
    for _ in range(20):
        journal.append(TX_EVENT, b"event")
    at = []
    program = nor.program
    nor.program = lambda address, data: at.append(bytes(data)) or program(address, data)
    journal.ack()
    assert len(at[-1]) == 8
    append = journal._records.append

    def refuse(*args):
        raise OSError(28)

    journal._records.append = refuse
    journal.ack()
    journal._records.append = append
    journal.ack()
    assert len(at[-1]) == 16
    journal.ack()
    assert len(at[-1]) == 8
    assert journal_on(nor).pending == 16


def test_no_memory_in_the_middle_of_an_append_is_no_reason_to_program_twice():
    nor = Nor(8 * 4096, unit=8)
    journal = journal_on(nor)
    journal.append(TX_EVENT, b"before")
    is_sound = journal._records._is_sound

    def short(*args):
        journal._records._is_sound = is_sound
        raise MemoryError

    journal._records._is_sound = short
    journal.append(TX_EVENT, b"event")
    journal.append(TX_EVENT, b"after")
    for each in (journal, journal_on(nor)):
        assert [payload for _, payload in each.each_pending()] == [b"before", b"event", b"after"]
        assert each.counts()[4] == 0


def test_names_that_found_no_room_are_told_with_what_finds_some():
    """In a log so full that only the shortest acknowledgements fit."""
    nor = Nor(4 * 512, 512, 1)
    journal = journal_on(nor)
    with contextlib.suppress(OSError):
        for n in range(1000):
            journal.append(TX_EVENT, struct.pack("<I", n))
    untold = 0
    for n in range(journal.pending):
        if n % 4 == 0:
            journal.name_transaction(n // 4 % 3 + 1, n, b"%08d" % n)
        journal.ack()
        after = journal_on(Nor(nor.size, 512, 1, bytearray(nor.image)))
        if after.pending == journal.pending:
            assert list(after.named_transactions()) == list(journal.named_transactions()), n
        untold += after.pending != journal.pending
    assert untold
