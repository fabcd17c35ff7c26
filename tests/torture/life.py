"""The lives of a journal and of settings, each step chosen by dice: small sectors, so that the log goes round often."""

import struct
from random import Random

from milliamp.storage.kinds import MESSAGE, OPEN_TX, SECURITY, TX_EVENT, TX_UPDATE

from .chips import Chip
from .oracle import Dict, Kept, Oracle, Tapped

# unit, sector size, sectors
GEOMETRIES = ((1, 512, 5), (8, 512, 5), (16, 1024, 5), (32, 1024, 4))
STARTED, UPDATED, ENDED = range(3)
_EVENT = struct.Struct("<BHHB")  # what happened, transaction, seqNo, EVSE


class Clock:
    """It stands still unless a step moves it."""

    def __init__(self, synced, time):
        self.synced = synced
        self.time = time

    def now(self):
        return self.time


class Life:
    """A journal and its owner: transactions, other events, a CSMS that is there or not. `truth`: the seconds that have
    really passed; a life that begins anew does not know them."""

    def __init__(self, chip, seed, truth=800_000_000):
        self.chip = chip
        self.random = Random(seed)
        self.truth = truth
        self.start()

    def start(self):
        """As after a reboot: what the flash says is all that is known."""
        self.clock = Clock(False, 0)
        # Another salt where damage took the first.
        dice = Random(self.truth + self.chip.oracle.tolerant)
        self.journal = Tapped(self.chip, self.clock, dice.randbytes)
        self.clock.time = self.journal.last
        self.thinning = None
        self.open = {}  # transaction -> seqNo of its next event
        self.evses = {}  # transaction -> EVSE
        for kind, _, payload in self.journal.replay():
            if kind == OPEN_TX:
                number, seq, evse = struct.unpack_from("<HHB", payload)
                self.open[number] = seq
                self.evses[number] = evse
            elif kind in (TX_EVENT, TX_UPDATE):
                self._follow(payload)
        if not self.chip.oracle.tolerant:
            assert self.open == open_in(self.chip.oracle.events)
        self.journal.checkpoint = self._checkpoint
        self.journal.stream = _stream

    def _checkpoint(self, write):
        for number in self.open:
            write(self._state(number))

    def _state(self, number):
        return struct.pack("<HHB", number, self.open[number], self.evses[number]) + bytes(3)

    def _follow(self, payload):
        what, number, seq, evse = _EVENT.unpack_from(payload)
        if what == ENDED:
            self.open.pop(number, None)
        else:
            self.open[number] = seq + 1
            self.evses[number] = evse

    def leave(self, discards=False):
        """The head is delivered, or given up. What begins gets a name, which goes with the end."""
        head = self.journal.head()
        if head and head[1] in (TX_EVENT, TX_UPDATE):
            what, number, _, evse = _EVENT.unpack_from(head[4])
            if what == ENDED:
                self.journal.name_transaction(evse)
            elif what == STARTED and not discards:
                name = self.random.randbytes(self.random.choice((1, 4, 4, 4, 8)))
                self.journal.name_transaction(evse, number, name)
        self.journal.discard() if discards else self.journal.ack()

    def thin(self, steps):
        """Go on with the thinning, as its task does while other things happen."""
        for _ in range(steps):
            if self.thinning is None and self.journal.crowded():
                self.thinning = self.journal.thin()
            if self.thinning is not None and next(self.thinning, self) is self:
                self.thinning = None

    def event(self, what, number):
        """Write an event of a transaction; False: the log is full."""
        self.thin(self.random.randrange(5))
        evse = self.evses.get(number, 0)
        if what == STARTED:  # at one where none goes on
            taken = [self.evses[other] for other in self.open]
            evse = min(n for n in range(1, 4) if n not in taken)
        payload = _EVENT.pack(what, number, self.open.get(number, 0), evse)
        payload += self.random.randbytes(self.random.choice((0, 3, 8, 20, 60)))
        try:
            self.journal.append(TX_UPDATE if what == UPDATED else TX_EVENT, payload)
        except OSError:
            return False
        self._follow(payload)
        return True

    def step(self):
        """Something happens."""
        random, journal = self.random, self.journal
        passed = 1 + random.randrange(30)
        self.truth += passed
        self.clock.time += passed
        backlog = journal.pending
        what = random.randrange(20)
        if what < 3:
            if len(self.open) < 3:
                try:
                    self.event(STARTED, journal.next_transaction())
                except OSError:
                    pass
        elif what < 9:
            if self.open:
                self.event(UPDATED, random.choice(list(self.open)))
        elif what < 11:
            if self.open:
                self.event(ENDED, random.choice(list(self.open)))
        elif what == 11:
            self._try(journal.append, random.choice((SECURITY, MESSAGE)), b"%d" % self.truth)
        elif what == 12:
            if self.open:
                number = random.choice(list(self.open))
                self._try(journal.note, self._state(number))
        elif what == 13:
            journal.connected(random.randrange(2))
        elif what == 14:
            if not self.clock.synced:
                offset = self.truth - self.clock.time
                self.clock.synced, self.clock.time = True, self.truth
                journal.clock_set(offset)
        elif what == 15:
            journal.prepare()
        elif what == 16:
            if random.randrange(3) == 0:
                self.start()
        else:
            for _ in range(min(backlog, random.randrange(2, 6) if backlog > 8 else 1)):
                self.leave(random.randrange(8) == 0)
                self.thin(random.randrange(2))

    def _try(self, write, *args):
        try:
            write(*args)
        except OSError:
            pass

    def fill(self, events, updates):
        """No CSMS for so many events, whether the log takes them or not: with updates, which may be thinned, or without."""
        for _ in range(events):
            if self.open and self.random.randrange(12 if updates else 2):
                what = UPDATED if updates else ENDED
                self.event(what, self.random.choice(list(self.open)))
            elif len(self.open) < 3:
                try:
                    self.event(STARTED, self.journal.next_transaction())
                except OSError:
                    pass  # nor does a full log take out new numbers

    def finish(self):
        """End it all, deliver it all, and find nothing after the next start."""
        while self.journal.head():
            self.leave()
        for number in list(self.open):
            assert self.event(ENDED, number)
        self.event(STARTED, self.journal.next_transaction())
        while self.journal.head():
            self.leave()
        assert self.chip.oracle.waiting() == []
        self.start()
        assert self.chip.oracle.sure == len(self.chip.oracle.events)
        assert self.chip.oracle.tolerant or not self.chip.oracle.lost


def _stream(payload):
    # Every other update tells a state.
    _, number, seq, _ = _EVENT.unpack_from(payload)
    return number << 9 | (seq & 1) << 8


def open_in(events):
    """Transactions without an end: number -> next seqNo."""
    found = {}
    for kind, payload in events:
        if kind in (TX_EVENT, TX_UPDATE):
            what, number, seq, _ = _EVENT.unpack_from(payload)
            if what == ENDED:
                del found[number]
            else:
                found[number] = seq + 1
    return found


class Home:
    """Settings and their owner."""

    KEYS = (*range(6), 0x8000, 0xFFFF)
    VALUES = (
        None,
        0,
        1,
        -1,
        300,
        -(1 << 31),
        (1 << 40) + 1,
        "",
        "short",
        "für Ökostrom ⚡",
        "x" * 40,
    )

    def __init__(self, chip, seed, truth=0):
        self.chip = chip
        self.random = Random(seed)
        self.truth = truth
        self.start()

    def start(self):
        """As after a reboot."""
        self.kept = Kept(self.chip)

    def step(self):
        """Something happens."""
        random = self.random
        self.truth += 1
        what = random.randrange(40)
        if what < 30:
            keys = random.sample(self.KEYS, random.randint(1, 4))
            self.kept.put(*[(key, random.choice(self.VALUES)) for key in keys])
        elif what < 36:
            self.kept.prepare()
        elif what < 39:
            self.start()
        else:
            self.kept.clear()

    def finish(self):
        """It still takes a change."""
        self.kept.put((1, self.truth), (2, "well"))
        self.start()
        assert (self.kept.get(1), self.kept.get(2)) == (self.truth, "well")


ORACLES = {Life: Oracle, Home: Dict}


def torture(kind, plan, geometry, seed, live, ecc=False):
    """Let `live` lead a life of this kind, with the power cut at its programs and erases, and in what follows a cut."""
    unit, sector, sectors = geometry

    def survive(nor, life, depth):
        image = bytes(nor.image)
        oracle = life.chip.oracle

        def reborn(after=None, ways=None):
            chip = Chip(nor.size, sector, unit, bytearray(image), after, ways, seed, ecc)
            chip._unreadable = set(nor._unreadable)
            chip.power_on()
            chip.oracle = oracle.copy()
            lived = kind(chip, seed + plan.cuts[depth], life.truth)
            assert (
                chip.image == image
            )  # mounting writes nothing: it may be cut as often as one likes
            return lived

        again = plan.cut(depth)
        other = reborn()
        if plan.cuts[depth] % 4 == 0:
            other.finish()
        else:
            other.step()
            other.start()
        if again:
            second = reborn(lambda nor: survive(nor, second, depth + 1), plan.ways(depth + 1))
            for _ in range(3 - depth):
                second.step()
            second.chip.ways = None
            second.finish()

    chip = Chip(
        sector * sectors,
        sector,
        unit,
        None,
        lambda nor: survive(nor, life, 0),
        plan.ways(),
        seed,
        ecc,
    )
    chip.oracle = ORACLES[kind]()
    life = kind(chip, seed)
    live(life)
    chip.ways = None
    life.finish()
    return life
