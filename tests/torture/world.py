"""A whole station on chips that fail, its drivers and its CSMS, in virtual time; and the same world a second time, after
a power cut."""

import copy
import types
from functools import cache
from random import Random

from hostsim.csms.ledger import Ledger
from hostsim.lives import bench
from milliamp import station
from milliamp.domain import evse
from milliamp.storage.kinds import TX_EVENT, TX_UPDATE

from .chips import Chip
from .oracle import Dict, Kept, Oracle, Tapped

EVSES = 2
SECTOR = 1024
SECTORS = {"journal": 5, "settings": 3, "logs": 3, "tokens": 3}
VARIABLES = {
    "TxCtrlr.TxStopPoint": "EVConnected,Authorized",
    "SampledDataCtrlr.TxUpdatedInterval": "5",
    "SampledDataCtrlr.TxEndedInterval": "20",
    "AuthCtrlr.OfflineTxForUnknownIdEnabled": "true",
}


@cache
def tables():
    """Those of the bench, for small sectors."""
    found = types.SimpleNamespace(**vars(bench.tables(EVSES)))
    found.profile = types.SimpleNamespace(**vars(found.profile))
    found.profile.FLASH_SECTOR = SECTOR
    return found


def new_chips(unit=8, **journal):
    """Empty chips; the keywords are for the journal's."""
    chips = {}
    for name, sectors in SECTORS.items():
        options = journal if name == "journal" else {}
        chips[name] = Chip(sectors * SECTOR, SECTOR, unit, **options)
        chips[name].oracle = {"journal": Oracle, "settings": Dict}.get(name, Dict)()
    return chips


class World(bench.Bench):
    """On these chips; `before`: the world that it goes on from, where its power was cut."""

    def __init__(self, chips, before=None):
        self.done = []
        self.tables = tables()
        self.flashes = chips
        self.board = bench.Board(EVSES, chips, self.done)
        self.csms = {bench.CARD[0]: ("Accepted", None, None)}
        self.sent = []
        self.ledger = Ledger()
        if before:
            self.sent = before.sent[:]
            self.board.now = before.board.now
            self.board.outlets = [copy.copy(outlet) for outlet in before.board.outlets]
            self.board.lose_power()
        self.board.random = Random(self.board.now).randbytes

    def start(self):
        """The station, with the journal and the settings that compare themselves."""
        real = station.Journal, station.Settings
        station.Journal, station.Settings = Tapped, Kept
        try:
            super().start()
        finally:
            station.Journal, station.Settings = real

    def first_start(self):
        """As it leaves the factory, set up for these tests."""
        self.start()
        for name, text in VARIABLES.items():
            self.set(name, text)
        self.connect()
        self.deliver()
        return self

    # --- what happens --------------------------------------------------------------------------------
    def live(self, random, steps):
        """So many things happen, as the dice have it."""
        for _ in range(steps):
            self.happen(random)
            if self.st.link.up:
                for _ in range(random.randrange(12)):
                    self.serve()

    def happen(self, random):
        """One of them."""
        index = random.randrange(EVSES)
        outlet, e = self.board.outlets[index], self.st.evses[index]
        what = random.randrange(20)
        if what < 7:
            if not outlet.cable:
                self.plug(e.index)
            elif not e.authorized and random.randrange(3):
                self.card(evse=e.index)
            else:
                self.poll(random.randrange(1, 30) * 1000)
        elif what < 9:
            self.card(evse=e.index)
        elif what < 11:
            self.unplug(e.index)
        elif what == 11:
            outlet.ready = not outlet.ready
            self.poll(6000)
        elif what == 12:
            outlet.button = True
            self.poll(200)
        elif what < 15:
            self.disconnect() if self.st.link.up else self.connect()
        elif what == 15:
            self.set("SampledDataCtrlr.TxUpdatedInterval", str(random.randrange(2, 20)))
        elif what == 16:
            evse.set_operative(self.st, e.index, 0, random.randrange(4) > 0)
        elif what == 17:
            self.power_cycle()
        elif what == 18:
            self.st.settings.prepare()
        else:
            self.st.journal.prepare()

    def offline(self, random, ms):
        """Charge, while nobody listens, for so long."""
        self.disconnect()
        for index in range(EVSES):
            evse.set_operative(self.st, index + 1, 0, True)
            self.board.outlets[index].ready = True
            self.plug(index + 1)
            if not self.st.evses[index].authorized:
                self.card(evse=index + 1)
        self.poll(ms)

    # --- what must hold ------------------------------------------------------------------------------
    def recover(self, messages=1000):
        """Power is back: it starts, finds the CSMS and delivers."""
        self.start()
        self.poll(1000)
        self.connect()
        while messages and self.serve():
            messages -= 1

    def go_on(self):
        """What was going on comes to its end; then it charges a car and tells all of it."""
        for place in ((0, 0), (1, 0), (1, 1), (2, 0), (2, 1)):
            evse.set_operative(self.st, *place, True)
        for e in self.st.evses:
            if e.authorized:
                self.card(evse=e.index)
            self.board.outlet(e.index).ready = True
            self.unplug(e.index)
        self.poll(1000)
        self.deliver()
        before = len(self.sent)
        self.plug()
        self.card()
        self.poll(6000)
        assert self.outlet.closed and self.outlet.locked
        self.card()
        assert not self.outlet.closed
        self.unplug()
        self.deliver()
        kinds = [
            p["eventType"] for action, p in self.sent[before:] if action == "TransactionEvent"
        ]
        assert kinds[0] == "Started" and kinds[-1] == "Ended" and set(kinds[1:-1]) == {"Updated"}
        assert self.st.journal.head() is None
        self.check()

    def check(self):
        """What the CSMS got: all that was ever durable, in order, and nothing else."""
        oracle = self.flashes["journal"].oracle
        assert oracle.waiting() == []
        ledger = Ledger()
        for action, payload in self.sent:
            if action == "TransactionEvent":
                ledger.record(payload)
        salts = set().union(*oracle.salts.values())
        missing = oracle.thinned | oracle.lost
        told, left_out, made, anew = set(), set(), set(), set()  # (transactionId, seqNo)
        for place, (kind, payload) in enumerate(oracle.events):
            if kind in (TX_EVENT, TX_UPDATE):
                counter, seq = _numbers(payload)
                names = {(f"{salt}{counter:06x}", seq) for salt in salts}
                anew |= names & made
                made |= names
                if place in missing:
                    left_out |= names
                else:
                    told |= {(f"{salt}{counter:06x}", seq) for salt in oracle.salts[place]}
        got = {(tx.id, event.seq) for tx in ledger.transactions.values() for event in tx.events}
        assert told <= got, f"never told: {sorted(told - got)}"
        assert got <= told | left_out, f"made up: {sorted(got - told - left_out)}"
        problems = ledger.problems(all_ended=not oracle.tolerant)
        if missing:
            problems = [line for line in problems if ": lost, seqNo" not in line]
        if (
            oracle.tolerant
        ):  # what was lost behind the last event that is left is told anew, delivered or not
            twice = [
                f"{name}: seqNo {seq} came twice with different contents"
                for name, seq in left_out | anew
            ]
            problems = [line for line in problems if " came twice " in line and line not in twice]
        assert problems == []
        assert oracle.tolerant or ledger.lost() == len(left_out - got)


def _numbers(payload):
    # Transaction and seqNo of an event, from docs/storage-format.md's side: two varints behind two bytes.
    numbers = []
    at = 2
    for _ in range(2):
        number = shift = 0
        while True:
            number |= (payload[at] & 0x7F) << shift
            shift += 7
            at += 1
            if not payload[at - 1] & 0x80:
                break
        numbers.append(number)
    return numbers


def torture(plan, seed, live):
    """Let `live(world, random)` happen, with the power cut at the programs and erases of all its chips."""

    def survive(name, nor, world, depth):
        def reborn(ways=None):
            chips = {}
            for other, chip in world.flashes.items():
                after = lambda nor, other=other: survive(other, nor, second, depth + 1)  # noqa: E731
                options = {"after": after, "ways": ways} if ways else {}
                chips[other] = chip.twin(**options)
                if other == name:
                    chips[other].image[:] = nor.image
                    chips[other].power_on()
            return World(chips, world)

        again = plan.cut(depth)
        other = reborn()
        other.recover()
        other.go_on()
        if again:
            second = reborn(plan.ways(depth + 1))
            second.recover(messages=6)

    world = World(new_chips())
    world.first_start()
    ways = plan.ways()
    for name, chip in world.flashes.items():
        chip.after = lambda nor, name=name: survive(name, nor, world, 0)
        chip.ways = ways
    live(world, Random(seed))
    for chip in world.flashes.values():
        chip.ways = None
    world.connect()
    world.deliver()
    world.go_on()
    return world
