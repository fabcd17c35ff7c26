"""What must be found: lists that forget nothing, kept beside a journal and beside settings.

`Tapped` and `Kept` are the real journal and settings; they write down in their chip's oracle what they are told to do
before they do it, and compare at every start and at every head. Nothing here asks the engine what it believes.
"""

import copy

from milliamp.storage.journal import Journal
from milliamp.storage.kinds import SECURITY, TX_UPDATE
from milliamp.storage.settings import Settings

_CORRECTIONS = 8  # boots whose times can be put right at once: the first ones
MAY_GO = (TX_UPDATE, SECURITY)  # when it is short of room


class Oracle:
    """What one journal was told. With `tolerant` set, damage to the chip may take events away: they are collected
    in `lost`; otherwise that is a failure. Never may one come back, change places or be made up."""

    def __init__(self):
        self.events = []  # (kind, payload), oldest first; a place is an index in here
        self.stamps = []  # of each event: (seconds, boot in which that was a guess or None)
        self.coming = None  # the event and stamp of which nobody knows whether it is there
        self.gone = 0  # so many of the oldest are delivered or given up
        self.sure = 0  # and so many the flash must know to be gone
        self.leaving = 0  # what `gone` is once the head has left, while it is on its way out
        self.discarded = self.surely_discarded = 0
        self.thinned = set()  # places of what was dropped for want of room
        self.lost = set()  # places of what damage took
        self.again = 0  # so many were gone, and damage brought them back
        self.tolerant = False
        self.salts = {}  # place -> first halves of transactionIds that its event was delivered with: with damage several
        self.numbers = set()  # transactionIds
        self.reused = 0  # those that were given out twice: only where a whole sector vanished
        self.boot = 0
        self.moved = {}  # boot -> what its guesses may be off by
        self.names = {}  # place -> (EVSE, number, name): what the acknowledgement of its event said, if anything
        self.called = set()  # (number, name): all that was ever said
        self.unsaid = set()  # places whose acknowledgement with a name only RAM knows
        self.unnamed = 0  # names that a power cut took with it
        self.refused = 0  # appends to a full log
        self.unwritten = 0  # acknowledgements that only RAM knew at first

    def copy(self):
        """Another one, to go another way."""
        other = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, list | set | dict):
                setattr(other, name, value.copy())
        return other

    def damaged(self):
        """The same, from now on on a chip that may have lost something."""
        other = self.copy()
        other.tolerant = True
        return other

    def waiting(self):
        """What must be delivered yet."""
        dropped = self.thinned | self.lost
        return [self.events[n] for n in range(self.gone, len(self.events)) if n not in dropped]

    def began(self, journal):
        """A journal was mounted: compare it with what it was told before."""
        found = [(kind, bytes(payload)) for kind, payload in journal.each_pending()]
        match = self._match(found, self.events)
        if self.coming:
            also = self._match(found, [*self.events, self.coming[0]])
            if match is None or (also and len(also[1]) < len(match[1])):
                match = also
                self.events.append(self.coming[0])
                self.stamps.append(self.coming[1])
        assert match, "invented, back again or out of order"
        places, missing = match
        first = places[0] if places else len(self.events)
        self._missed(missing)
        if not self.tolerant:
            created, delivered, discarded, thinned, damaged = journal.counts()
            assert damaged == 0
            assert created == len(self.events)
            assert len(found) == journal.pending
            assert delivered == created - discarded - thinned - len(found)
            assert self.surely_discarded <= discarded <= self.discarded + bool(self.leaving)
            doubtful = [n for n in range(self.sure, first) if self.events[n][0] in MAY_GO]
            more = thinned - len(self.thinned)
            assert 0 <= more <= len(doubtful), "the thinned are not counted"
            self.discarded = self.surely_discarded = discarded
        self.again += max(0, self.gone - first)
        self.gone = self.sure = first
        self._compare_names(journal, first)
        if not found:  # its next base begins without
            self.moved.clear()
        self.coming = None
        self.leaving = 0
        self.boot += 1

    def _compare_names(self, journal, first):
        # A name is there when its event is gone, and goes with the event that says so: neither before nor after it.
        known = {evse: (number, name) for evse, number, name in journal.named_transactions()}
        assert self.called.issuperset(known.values()), "a name is made up"
        # In a log so full that the acknowledgement waits in RAM, its sector may be erased before the next one says it.
        gone = {place for place in self.unsaid if place < first}
        if gone and known != self._names(first, ()) and known == self._names(first, gone):
            self.unnamed += len(gone)
            for place in gone:
                del self.names[place]
        self.unsaid.clear()
        if not self.tolerant:
            wanted = self._names(first, ())
            assert known == wanted, "the names are not those of the transactions that go on"

    def _names(self, first, unsaid):
        names = {}
        for place, (evse, number, name) in sorted(self.names.items()):
            if place < first and place not in unsaid:
                names.pop(evse, None)
                if name:
                    names[evse] = number, name
        return names

    def _match(self, found, events):
        # The place of each, from the last on, since what is there must be the end of what was told; and the
        # places that should be there and are not. None where it can not be.
        places = []
        at = len(events)
        lowest = 0 if self.tolerant else self.sure
        for event in reversed(found):
            at -= 1
            while at >= lowest and events[at] != event:
                at -= 1
            if at < lowest:
                return None
            places.insert(0, at)
        gone = min(places[0] if places else len(events), max(self.gone, self.leaving))
        return places, set(range(gone, len(events))) - set(places)

    def delivering(self, event, time=None):
        """The place of what is at the head now."""
        place = self.gone
        dropped = self.thinned | self.lost
        while place < len(self.events) and (self.events[place] != event or place in dropped):
            place += 1
        assert event is None or place < len(self.events), f"not what comes next: {event}"
        self._missed(set(range(self.gone, place)) - dropped)
        if time is not None and not self.tolerant:
            seconds, boot = self.stamps[place]
            off, right = time - seconds, self.moved.get(boot, (0,))
            assert off in right, f"a time is off by {off}, not {right}"
        return place

    def clock_moved(self, offset, certain):
        """The clock was set in this boot."""
        certain = certain and len(self.moved.keys() - {self.boot}) < _CORRECTIONS
        self.moved[self.boot] = (offset,) if certain else (0, offset)

    def _missed(self, places):
        may_go = {n for n in places if self.events[n][0] in MAY_GO}
        if self.tolerant:
            self.lost |= places - self.thinned
        else:
            assert places == may_go, f"lost: {[self.events[n] for n in places - may_go][:3]}"
            self.thinned |= may_go


class Tapped(Journal):
    """A journal whose chip has an `oracle`."""

    def __init__(self, flash, clock, random):
        super().__init__(flash, clock, random)
        self._chip = flash
        self._called = None  # what the next acknowledgement says
        self.oracle = flash.oracle
        self.oracle.began(self)

    def append(self, kind, payload, time=None):
        oracle = self.oracle
        stamp = time or self._clock.now(), None if self._clock.synced else oracle.boot
        oracle.coming = (kind, bytes(payload)), stamp
        try:
            number = super().append(kind, payload, time)
        except OSError as error:
            if error.args[0] == 28:  # and nothing has changed
                oracle.coming = None
                oracle.refused += 1
            raise
        oracle.coming = None
        oracle.events.append((kind, bytes(payload)))
        oracle.stamps.append(stamp)
        return number

    def head(self, most=0):
        head = super().head(most)
        if head is False:
            return head
        oracle = self.oracle
        if head:
            oracle.delivering((head[1], head[4]), head[3])
        else:
            oracle.gone = oracle.delivering(None)
        return head

    def ack(self):
        self._leave(super().ack, 0)

    def discard(self):
        self._leave(super().discard, 1)

    def name_transaction(self, evse, number=0, name=b""):
        self._called = evse, number, name
        super().name_transaction(evse, number, name)

    def _leave(self, leave, discarded):
        called, self._called = self._called, None
        oracle = self.oracle
        head = self.head()
        if head is None:
            return leave()
        place = oracle.delivering((head[1], head[4]))
        oracle.leaving = place + 1
        oracle.salts[place] = oracle.salts.get(place, frozenset()) | {self.transaction_id(0)[:6]}
        landed = self._chip.landed
        oracle.names.pop(place, None)
        if called:
            oracle.names[place] = called
            oracle.called.add(called[1:])
            oracle.unsaid.add(place)
        leave()
        oracle.leaving = 0
        oracle.gone = place + 1
        oracle.discarded += discarded
        if self._chip.landed > landed:
            oracle.sure = oracle.gone
            oracle.unsaid.clear()
            oracle.surely_discarded = oracle.discarded
        elif not oracle.unsaid:
            # It waits in RAM: the log is full. Names may be too long for the room that is kept in these short sectors.
            oracle.unwritten += 1

    def clock_set(self, offset):
        self.oracle.clock_moved(offset, False)
        landed = self._chip.landed
        super().clock_set(offset)
        self.oracle.clock_moved(offset, self._chip.landed > landed)

    def next_transaction(self):
        number = super().next_transaction()
        name = self.transaction_id(number)
        again = name in self.oracle.numbers
        assert not again or self.oracle.tolerant, f"transaction {name} again"
        self.oracle.reused += again
        self.oracle.numbers.add(name)
        return number


class Dict:
    """What settings were told: all old or all new."""

    def __init__(self):
        self.old = {}
        self.new = {}
        self.tolerant = False  # of damage: then values may be older ones
        self.ever = {}  # key -> every value it ever had

    def copy(self):
        """Another one, to go another way."""
        other = copy.copy(self)
        other.old, other.new = self.old.copy(), self.new.copy()
        other.ever = {key: set(values) for key, values in self.ever.items()}
        return other

    def damaged(self):
        """The same, from now on on a chip that may have lost something."""
        other = self.copy()
        other.tolerant = True
        return other

    def change(self, pairs):
        """This is about to be written."""
        self.new = dict(self.old)
        for key, value in pairs:
            self.ever.setdefault(key, {None}).add(value)
            self.new[key] = value
            if value is None:
                del self.new[key]

    def began(self, settings):
        """Settings were mounted: compare them."""
        now = {key: settings.get(key) for key in self.ever if settings.get(key) is not None}
        assert settings.empty == (not now)
        if self.tolerant:
            assert all(value in self.ever[key] for key, value in now.items())
        else:
            assert now in (self.old, self.new), "settings are mixed"
        self.old = self.new = now


class Kept(Settings):
    """Settings whose chip has an `oracle`."""

    def __init__(self, flash):
        super().__init__(flash)
        self.oracle = flash.oracle
        self.oracle.began(self)

    def put(self, *pairs):
        self.oracle.change(pairs)
        super().put(*pairs)
        self.oracle.old = self.oracle.new

    def clear(self):
        self.oracle.new = {}
        super().clear()
        self.oracle.old = {}
