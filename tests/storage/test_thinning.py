"""A journal that is short of room drops updates, evenly, and nothing else, whenever the power is cut and whatever else
happens meanwhile."""

import struct
from random import Random

import pytest

from hostsim.charger.flash import Nor
from milliamp.storage.journal import Journal
from milliamp.storage.kinds import MESSAGE, SECURITY, TX_EVENT, TX_UPDATE

from .power import Doomed

SECTOR = 512
UNITS = (1, 8, 32)


class Clock:
    synced = True
    time = 800_000_000

    def now(self):
        return self.time


STATE = 0x100  # the bit in the name of a stream


class Owner:
    """Appends numbered records and keeps a list of them: (number, kind). `pace`: so many steps of thinning follow each of
    them, 0: all that there are. Bit 7 of a stream: it tells a state; bits 4 to 6 are its transaction."""

    def __init__(self, nor, number=0, pace=0):
        self.nor = nor
        self.pace = pace
        self.clock = Clock()
        self.number = number
        self.wrote = []
        self.coming = False  # the last one is being appended
        self.start()

    def start(self):
        self.thinning = None
        self.journal = Journal(self.nor, self.clock, bytes)
        self.journal.checkpoint = lambda write: write(b"open")
        self.journal.stream = lambda payload: (
            (payload[4] >> 4 & 7) << 9 | (payload[4] & 128) << 1 | payload[4]
        )

    def thin(self, steps=0):
        """Go on with it, as long as there is something to do or for so many steps."""
        while True:
            if self.thinning is None:
                if not self.journal.crowded():
                    return
                self.thinning = self.journal.thin()
            if next(self.thinning, self) is self:
                self.thinning = None
                if self.journal.crowded() and not steps:
                    return  # something is in its way: acknowledgements, a bad sector
            steps -= 1
            if not steps:
                return

    def append(self, kind, stream=0, size=12, step=60):
        self.clock.time += step
        self.number += 1
        payload = struct.pack("<IB", self.number, stream).ljust(size, b".")
        self.coming = True
        self.wrote.append((self.number, kind))
        self.journal.append(kind, payload)
        self.coming = False
        self.thin(self.pace)

    def deliver(self):
        """Have all of it acknowledged; a full log may be thinned once more for that. Returns the numbers."""
        before, thinned = self.waiting(), self.journal.counts()[3]
        arrived = []
        while self.journal.pending:
            head = self.journal.head()
            arrived.append((struct.unpack_from("<I", head[4])[0], head[1]))
            self.journal.ack()
        assert self.journal.head() is None
        check(before, arrived, self.journal.counts()[3] - thinned)
        return [number for number, _ in arrived]

    def waiting(self):
        return waiting(self.journal)


def waiting(journal):
    return [
        (struct.unpack_from("<I", payload)[0], kind) for kind, payload in journal.each_pending()
    ]


def check(wrote, found, thinned):
    """In order, nothing invented, and only updates gone: as many as are counted."""
    gone = sorted(set(wrote) - set(found))
    assert found == [event for event in wrote if event not in set(gone)]
    assert {kind for _, kind in gone} <= {TX_UPDATE}
    assert len(gone) == thinned


@pytest.mark.parametrize("unit", UNITS)
def test_a_month_without_a_csms(unit):
    """Many times what fits: all events stay, and of the updates an even row."""
    owner = Owner(Nor(32 * SECTOR, SECTOR, unit))
    for n in range(6000):
        owner.append(TX_EVENT if n % 100 == 0 else TX_UPDATE)
    found = owner.waiting()
    check(owner.wrote, found, owner.journal.counts()[3])
    assert len(found) == owner.journal.pending
    gaps = [b[0] - a[0] for a, b in zip(found, found[1:], strict=False)]
    mean = owner.number / len(found)
    assert max(gaps) < 12 * mean  # even over the whole time
    owner.start()
    assert owner.waiting() == found and owner.journal.pending == len(found)
    delivered = owner.deliver()
    assert len(delivered) > 0.8 * len(found)
    counts = owner.journal.counts()
    assert counts == (6000, len(delivered), 0, 6000 - len(delivered), 0)
    owner.append(TX_EVENT)
    owner.start()
    assert owner.journal.counts()[0] == 6001
    assert owner.waiting() == owner.wrote[-1:]


@pytest.mark.parametrize("unit, pace", [(1, 2), (8, 2), (32, 3)])
def test_power_cut_at_every_operation(unit, pace):
    acked = 0

    def cut(nor):
        nonlocal cuts
        cuts += 1
        other = Owner(nor)
        found = other.waiting()
        wrote = owner.wrote
        if owner.coming and found[-1:] != wrote[-1:]:
            wrote = wrote[:-1]
        # Both are as before or as after the operation: an acknowledgement, a merge.
        start = wrote.index(found[0]) if found else len(wrote)
        assert acked <= len(delivered) and start in (positions[0], positions[-1])
        created, done, _, thinned, damaged = other.journal.counts()
        assert damaged == 0
        assert created == len(wrote)
        assert done == created - thinned - len(found)
        gone = [event for event in wrote[start:] if event not in set(found)]
        assert found == [event for event in wrote[start:] if event not in set(gone)]
        assert all(kind == TX_UPDATE for _, kind in gone)
        # And on it goes: more of them, then all is delivered in order.
        other.number, other.wrote = wrote[-1][0] if wrote else 0, list(found)
        other.thin()
        for n in range(12):
            other.append(TX_UPDATE if n % 6 else TX_EVENT)
        again = Owner(nor)
        assert again.waiting() == other.waiting()
        assert again.journal.counts() == other.journal.counts()
        again.deliver()
        assert Owner(nor).journal.pending == 0

    def ack():
        event = owner.waiting()[0]
        behind = owner.waiting()[1:2]
        here = owner.wrote.index(event)
        positions[:] = [here, owner.wrote.index(behind[0]) if behind else len(owner.wrote)]
        owner.journal.ack()
        delivered.append(event)
        positions[:] = positions[1:]

    delivered, positions, cuts = [], [0], 0
    owner = Owner.__new__(Owner)
    owner.wrote, owner.coming = [], False
    nor = Doomed(6 * SECTOR, SECTOR, unit, cut, torn=("nothing", "bits", "all"))
    Owner.__init__(owner, nor, pace=pace)
    for n in range(260):
        owner.append(TX_UPDATE if n % 15 else TX_EVENT, n % 2)
        if n in (150, 151, 200):  # it is online for a moment
            ack()
    assert owner.journal.counts()[3] > 100
    while owner.journal.pending:
        acked += 1
        ack()
        owner.thin(pace)


def test_the_record_on_its_way_stays():
    owner = Owner(Nor(5 * SECTOR, SECTOR, 8))
    for _ in range(50):
        owner.append(TX_UPDATE)
    head = owner.journal.head()
    for _ in range(500):
        owner.append(TX_UPDATE)
    assert owner.journal.counts()[3] > 300
    owner.journal.ack()  # of what was sent before all that
    assert struct.unpack_from("<I", head[4])[0] == 1
    assert all(number > 1 for number, _ in owner.waiting())


def test_streams_are_thinned_each_by_itself():
    """Two EVSEs whose values alternate, and one whose values are told in two parts."""
    owner = Owner(Nor(8 * SECTOR, SECTOR, 8))
    streams = {}
    for n in range(600):
        stream = n % 2 if n % 4 < 2 else 2
        streams[owner.number + 1] = stream
        owner.append(TX_UPDATE, stream, step=0 if n % 4 == 3 else 60)
    left = [streams[number] for number, _ in owner.waiting()]
    for stream, share in ((0, 0.25), (1, 0.25), (2, 0.5)):
        assert abs(left.count(stream) / len(left) - share) < 0.1
    third = [number for number, _ in owner.waiting() if streams[number] == 2]
    assert all(n + 1 in third for n in third if n % 4 == 3)  # both parts, or none


def test_an_event_finds_room_as_long_as_two_sectors_can_be_one():
    owner = Owner(Nor(6 * SECTOR, SECTOR, 8))
    for n in range(100):
        owner.append(TX_UPDATE if n % 3 else TX_EVENT)
    with pytest.raises(OSError) as refused:
        while True:
            owner.append(TX_EVENT)
    assert refused.value.args == (28,)
    owner.wrote.pop()
    check(owner.wrote, owner.waiting(), owner.journal.counts()[3])
    kinds = [kind for _, kind in owner.waiting()]
    # The events of any two neighbours fill more than one sector.
    assert kinds.count(TX_EVENT) > 2 * kinds.count(TX_UPDATE)


@pytest.mark.parametrize("kind", [TX_EVENT, MESSAGE])
def test_a_log_of_nothing_but_events_is_looked_through_once(kind):
    nor = Nor(8 * SECTOR, SECTOR, 8)
    owner = Owner(nor)
    with pytest.raises(OSError):
        while True:
            owner.append(kind)
    assert owner.journal.short and owner.journal.counts()[3] == 0
    read = nor.bytes_read
    for _ in range(10):  # as often as the inputs are polled
        with pytest.raises(OSError):
            owner.append(kind)
    assert nor.bytes_read - read < 10 * 1024
    while owner.journal.pending:
        owner.journal.ack()
    assert not owner.journal.short
    owner.append(kind)


def test_what_cannot_be_read_is_not_merged():
    nor = Nor(8 * SECTOR, SECTOR, 8)
    owner = Owner(nor)
    for _ in range(40):
        owner.append(TX_UPDATE)
    nor.image[nor.image.index(struct.pack("<I", 9)) + 6] ^= 4
    owner.start()
    for _ in range(200):
        owner.append(TX_UPDATE)
    numbers = [number for number, _ in owner.waiting()]
    assert numbers[:12] == [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13]
    while owner.journal.pending:
        owner.journal.head()
        owner.journal.ack()
    created, delivered, _, thinned, damaged = owner.journal.counts()
    assert damaged == 1 and created == 240 == delivered + thinned + damaged


@pytest.mark.parametrize("unit", UNITS)
def test_thousands_of_starts_take_nobodys_room(unit):
    """Each leaves a security event. The oldest go, counted; the last ones stay, and all that is no security event."""
    owner = Owner(Nor(16 * SECTOR, SECTOR, unit))
    owner.append(TX_EVENT)
    owner.append(MESSAGE)
    for _ in range(3000):
        owner.start()
        owner.append(SECURITY, size=5)
    for n in range(60):
        owner.append(TX_UPDATE if n % 3 else TX_EVENT)
    found = owner.waiting()
    gone = [kind for number, kind in owner.wrote if (number, kind) not in set(found)]
    assert gone.count(SECURITY) > 2700 and not {TX_EVENT, MESSAGE} & set(gone)
    assert not owner.journal.crowded()
    last = [event for event in owner.wrote if event[1] == SECURITY][-8:]
    assert set(last) <= set(found)
    owner.start()
    assert owner.waiting() == found
    assert owner.journal.counts()[3] == len(gone)
    while owner.journal.pending:
        owner.journal.head()
        owner.journal.ack()
    assert owner.journal.counts()[1:] == (len(found), 0, len(gone), 0)


def test_some_security_events_among_others_all_stay():
    owner = Owner(Nor(8 * SECTOR, SECTOR, 8))
    for n in range(400):
        owner.append(SECURITY if n % 50 == 0 else TX_UPDATE)
    assert owner.journal.counts()[3] > 200
    assert [kind for _, kind in owner.waiting()].count(SECURITY) == 8


def test_values_go_before_states():
    owner = Owner(Nor(8 * SECTOR, SECTOR, 8))
    for n in range(400):
        owner.append(TX_UPDATE, 0x81 if n % 8 == 0 else 1)
    assert owner.journal.counts()[3] > 200
    found = owner.waiting()
    assert [number for number, _ in found if number % 8 == 1] == list(range(1, 401, 8))
    assert any(number % 8 != 1 for number, _ in found)


def test_of_what_toggles_both_states_stay():
    """Every second one of each, not every second one of all: which would be one state alone."""
    owner = Owner(Nor(8 * SECTOR, SECTOR, 8))
    for n in range(600):
        owner.append(TX_UPDATE, 0x81 if n % 2 else 0x82, step=15)
    assert owner.journal.counts()[3] > 400
    odd = sum(number % 2 for number, _ in owner.waiting())
    assert abs(2 * odd - owner.journal.pending) < 10


def test_the_last_state_of_each_transaction_stays():
    owner = Owner(Nor(8 * SECTOR, SECTOR, 8))
    last = []
    for transaction in range(1, 7):
        for n in range(9):
            owner.append(TX_UPDATE, 0x80 | transaction << 4 | n % 2)
        last.append(owner.number)
    for n in range(3000):
        owner.append(TX_UPDATE, 0x80 | n % 2)
    numbers = [number for number, _ in owner.waiting()]
    assert set(last) <= set(numbers)
    assert len([number for number in numbers if number <= 54]) < 20


def test_what_happens_at_once_stays_bounded():
    """An append opens one sector at most, and looks at none of the others; a step of thinning takes a few records."""
    nor = Nor(32 * 4096)
    owner = Owner(nor, pace=4)
    begun = nor.erases, nor.bytes_programmed, nor.bytes_read

    def bounded(do, erases, programmed, read):
        nonlocal begun
        begun = nor.erases, nor.bytes_programmed, nor.bytes_read
        do()
        assert nor.erases - begun[0] <= erases
        assert nor.bytes_programmed - begun[1] <= programmed
        assert nor.bytes_read - begun[2] <= read

    for _ in range(6_000):
        owner.journal.prepare()
        bounded(lambda: owner.journal.append(TX_UPDATE, b"payload with 16"), 1, 300, 700)
        for _ in range(5):
            bounded(lambda: owner.thin(1), 1, 300, 2500)
    assert owner.journal.counts()[3] > 2000
    assert max(nor.erased) < 12


def test_thinning_begins_while_there_is_room_for_64_events():
    nor = Nor(32 * 4096, unit=8)
    owner = Owner(nor)
    while not owner.journal.crowded():
        owner.journal.append(TX_UPDATE, bytes(20))
    for _ in range(64):
        owner.journal.append(TX_UPDATE, bytes(20))
    owner.thin()
    assert not owner.journal.crowded() and owner.journal.counts()[3] > 50


def test_what_is_delivered_while_two_sectors_become_one():
    """At every step of a merge: what was at the head stays there until it is acknowledged, and goes with that alone."""
    disturbed = 0
    for step in range(1, 60):
        owner = Owner(Nor(8 * SECTOR, SECTOR, 8))
        while not owner.journal.crowded():
            owner.clock.time += 60
            owner.journal.append(TX_UPDATE, struct.pack("<IB", owner.number, 0))
            owner.wrote.append((owner.number, TX_UPDATE))
            owner.number += 1
        delivered = []
        owner.thin(step)
        for _ in range(4):
            head = struct.unpack_from("<I", owner.journal.head()[4])[0]
            owner.thin(1)
            owner.journal.ack()
            delivered.append((head, TX_UPDATE))
        merged = owner.journal.counts()[3]
        disturbed += not merged
        owner.thin()
        assert not owner.journal.crowded()
        owner.start()
        check(owner.wrote, delivered + owner.waiting(), owner.journal.counts()[3])
        assert delivered[0][0] == 0 and (merged or delivered[3][0] == 3)
    assert 5 < disturbed < 55


def test_a_walk_misses_nothing_that_waits():
    """Whatever is delivered, thinned and appended between two steps of it."""
    for seed in range(40):
        dice = Random(seed)
        owner = Owner(Nor(8 * SECTOR, SECTOR, 8))
        for n in range(140):
            owner.append(TX_UPDATE if n % 5 else TX_EVENT)
        waited = set(owner.waiting())
        seen = set()
        walk = owner.journal.each_pending()
        for kind, payload in walk:
            seen.add((struct.unpack_from("<I", payload)[0], kind))
            what = dice.randrange(6)
            if what == 0:
                owner.journal.head()
                owner.journal.ack()
            elif what == 1:
                owner.append(TX_UPDATE)
            elif what == 2:
                owner.thin(dice.randrange(1, 20))
            waited &= set(owner.waiting())
        assert waited and waited <= seen, seed


def test_the_way_to_the_head_is_made_in_pieces():
    nor = Nor(8 * 4096, unit=8)
    owner = Owner(nor)
    for _ in range(150):
        owner.append(TX_EVENT)
    for _ in range(100):
        owner.journal.ack()
    owner.start()
    steps, read = 0, nor.bytes_read
    while owner.journal.head(6) is False:
        assert nor.bytes_read - read < 2048
        steps, read = steps + 1, nor.bytes_read
    assert steps > 5
    head = owner.journal.head()
    assert nor.bytes_read - read < 2048 and struct.unpack_from("<I", head[4])[0] == 101


def test_what_was_merged_does_not_come_back():
    """The sectors that a merge replaced are erased before the merged one can be."""
    nor = Nor(6 * SECTOR, SECTOR, 8)
    owner = Owner(nor)
    while not owner.journal.counts()[3]:
        owner.append(TX_UPDATE)
    for _ in range(300):
        while owner.journal.pending > 10:
            owner.journal.ack()
        owner.append(TX_EVENT)
        owner.journal.prepare()
        pending, counts = owner.waiting(), owner.journal.counts()
        owner.start()
        assert owner.waiting() == pending and owner.journal.counts() == counts


@pytest.mark.parametrize("unit", UNITS)
def test_a_merged_sector_without_the_newest_has_nothing_acknowledged_that_was_not(unit):
    """Its header knows more than the acknowledgements in it, which are those of the sector it was made of."""
    nor = Nor(16 * SECTOR, SECTOR, unit)
    owner = Owner(nor)
    records = owner.journal._records
    tried = 0
    for n in range(1000):
        owner.append(TX_UPDATE if n % 12 else TX_EVENT, 0x10)
        if n % 5 == 0 and n < 200 or n % 13 == 0:
            owner.journal.ack()
        place = records._place
        before = records.after(0)
        while records.after(records.generations[before]) not in (place, -1):
            before = records.after(records.generations[before])
        if records.span(before)[1] == 0xFFFF:
            continue
        twin = Nor(nor.size, SECTOR, unit, bytearray(nor.image))
        twin.image[place * SECTOR : place * SECTOR + 4] = bytes(4)  # the newest is lost
        journal = Journal(twin, Clock(), bytes)
        # What the lost one acknowledged comes again.
        assert 0 < journal._records.acked <= records.acked
        found = waiting(journal)
        assert journal.pending == len(found) and set(found) & set(owner.waiting())
        tried += 1
    assert tried
