"""A whole station in one process, on a board that is only a model: time passes when a test says so.

The rooms are the real ones, flash included. What stands between the sender and the CSMS is not there: `Bench.serve` asks
the blocks what is due, checks it against the official schemas and lets them have an answer.
"""

import importlib.util
import json
import types
from datetime import datetime, timedelta
from functools import cache
from random import Random

from hostsim.charger import cpython
from hostsim.charger.flash import Nor, PowerCut
from hostsim.csms.ledger import Ledger
from hostsim.net import schemas
from tools import builder

cpython.install(builder.build_tables("sim"))  # for tables.ids, which is the same in every variant

from milliamp.base import hal  # noqa: E402
from milliamp.base.facts import LINK  # noqa: E402
from milliamp.domain import charging, samples, sessions  # noqa: E402
from milliamp.station import Station  # noqa: E402
from milliamp.wire import rpc  # noqa: E402
from milliamp.wire.gates import FROM_JOURNAL  # noqa: E402
from milliamp.wire.websocket import HEAD  # noqa: E402
from tables.registrations import ACCEPTED as ACCEPTED_BY_CSMS  # noqa: E402

CARD = ("04AABBCC", "ISO14443")
OTHER = ("04112233", "ISO14443")
NOON = datetime(2026, 11, 20, 12)  # when the bench is made


@cache
def tables(evses=1):
    """The generated tables of the sim board with so many EVSEs."""
    folder = builder.build_tables("sim", **({} if evses == 1 else {"evses": evses})) / "tables"
    found = types.SimpleNamespace()
    for name in ("model", "profile", "routes", "schemas"):
        spec = importlib.util.spec_from_file_location(
            f"tables_{evses}_{name}", folder / f"{name}.py"
        )
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        setattr(found, name, module)
    found.profile.TRANSMIT_BUFFER = 16384  # a message is rendered in one piece here
    return found


class Outlet:
    """One EVSE with its EV: the pilot follows from what is offered, energy flows while the contactor is closed."""

    def __init__(self):
        self.cable = 0
        self.ready = True  # the EV wants energy
        self.pilot = None  # a state that it is held in
        self.fault = None
        self.bay = False
        self.button = False
        self.lock_fails = False
        self.closed = False
        self.offered = 0
        self.locked = 0
        self.ms = 0  # of energy transfer: 3600 W

    @property
    def wh(self):
        return self.ms // 1000

    def state(self):
        if self.pilot or not self.cable:
            return self.pilot or "A"
        return "C" if self.ready and self.offered else "B"


class Board(hal.Board):
    """The board. `done` is the list of what it was told to do and of what its flash did, in order."""

    BEGIN = 1 << 29  # ms

    def __init__(self, evses, flashes, done):
        self.outlets = [Outlet() for _ in range(evses)]
        self.flashes = flashes
        self.done = done
        self.now = self.BEGIN
        self.cards = []
        self.seconds = None  # of its real-time clock
        self.settings = ()
        self.lines = []
        self.cause = "PowerUp"
        self.rebooted = 0

    def outlet(self, index):
        return self.outlets[index - 1]

    def cable(self, evse):
        return self.outlet(evse).cable

    def pilot(self, evse):
        return ord(self.outlet(evse).state())

    def energy(self, evse):
        return self.outlet(evse).wh

    def measure(self, evse, measurand, phase):
        outlet = self.outlet(evse)
        if measurand == "Power.Active.Import" and not phase:
            return 3600 if outlet.closed and outlet.state() == "C" else 0
        return None

    def card(self):
        return self.cards.pop(0) if self.cards else None

    def stop_button(self, evse):
        outlet = self.outlet(evse)
        pressed, outlet.button = outlet.button, False
        return pressed

    def fault(self, evse):
        return self.outlet(evse).fault

    def bay(self, evse):
        return self.outlet(evse).bay

    def contactor(self, evse, closed):
        self.outlet(evse).closed = closed
        self.done.append(("contactor", evse, closed))

    def offer(self, evse, milliamps):
        if not milliamps and self.outlet(evse).offered:
            self.done.append(("offer", evse, 0))
        self.outlet(evse).offered = milliamps

    def lock(self, evse, connector, locked):
        outlet = self.outlet(evse)
        if outlet.lock_fails:
            return False
        outlet.locked = connector if locked else 0
        return True

    def flash(self, region):
        return self.flashes[region]

    def ticks(self):
        return self.now & 0x3FFFFFFF

    def rtc(self):
        return self.seconds

    def set_rtc(self, seconds):
        pass

    def reset_cause(self):
        return self.cause

    def reboot(self):
        self.rebooted += 1

    def random(self, n):
        return bytes(range(1, n + 1))

    def console(self, text):
        self.lines.append(text)

    def factory(self):
        return self.settings

    def lose_power(self):
        """Outputs fall back; what is locked stays locked."""
        for outlet in self.outlets:
            outlet.closed, outlet.offered, outlet.button = False, 0, False
        self.cards.clear()


class Recorder(Nor):
    """A flash chip that writes into `done` what it programs."""

    done = ()

    def program(self, address, data):
        super().program(address, data)
        self.done.append(("program", len(data)))


class Bench:
    """`variables`: written before the first boot, "Component.Variable" -> text. `csms`: what the CSMS answers about a
    token: (status, group, EVSEs)."""

    def __init__(self, variables=None, *, evses=1, online=True, sectors=32, csms=None):
        self.done = []
        self.tables = tables(evses)
        self.flashes = {}
        for name, (_, size) in self.tables.profile.FLASH.items():
            flash = self.flashes[name] = Recorder(
                sectors * 4096 if name == "journal" else size, 4096, 8
            )
            flash.done = self.done if name == "journal" else []
        self.board = Board(evses, self.flashes, self.done)
        self.csms = csms or {CARD[0]: ("Accepted", None, None)}
        self.sent = []  # (action, payload)
        self.ledger = Ledger()
        self.start()
        for name, text in (variables or {}).items():
            self.set(name, text)
        if online:
            self.connect()

    # --- power and link --------------------------------------------------------------------------
    def start(self):
        """Power is on: the station is composed anew from what is in its flash."""
        for flash in self.flashes.values():
            flash.power_on()
        self.board.lines.clear()
        sizes = self.tables.profile.RECEIVE_BUFFER, self.tables.profile.TRANSMIT_BUFFER
        self.job = None
        self.st = Station(self.board, self.tables, [bytearray(size) for size in sizes])

    def power_cycle(self):
        self.board.lose_power()
        self.start()

    def connect(self):
        """The link is up and the CSMS accepts the station."""
        self.st.link.up = True
        self.st.bus.tell(LINK, 0, 1)
        if not self.st.accepted:
            self.st.set_clock(self.time())
            self.st.outbox.register(ACCEPTED_BY_CSMS)

    def disconnect(self):
        self.st.link.up = False
        self.st.bus.tell(LINK, 0, 0)

    def time(self):
        """What the CSMS takes the time to be."""
        passed = timedelta(milliseconds=self.board.now - Board.BEGIN)
        return (NOON + passed).strftime("%Y-%m-%dT%H:%M:%SZ")

    # --- variables -------------------------------------------------------------------------------
    def entry(self, name):
        component, variable, *instance = name.split(".")
        entry = self.st.model.find(component, "", 0, 0, variable, "".join(instance))
        assert entry >= 0, name
        return entry

    def set(self, name, text):
        assert self.st.model.set(self.entry(name), text) == 0, (name, self.st.model.reason)

    # --- time ------------------------------------------------------------------------------------
    def poll(self, ms=50):
        """Let time pass, one poll of the inputs after the other, as the control task does."""
        st, board = self.st, self.board
        for _ in range(max(1, ms // 50)):
            board.now += 50
            for outlet in board.outlets:
                if outlet.closed and outlet.state() == "C":
                    outlet.ms += 50
            charging.poll(st)
            samples.measure(st)
            sessions.poll(st)
            charging.settle(st)
            self.thin()

    def thin(self):
        """Some steps of the jobs of the station, of which one is there when its journal is short of room."""
        for _ in range(5):
            if self.job is None:
                jobs = self.st.jobs
                if not jobs and self.st.journal.crowded():
                    jobs.append(self.st.journal.thin())
                if jobs:
                    self.job = jobs.pop(0)
            if self.job is not None and next(self.job, self) is self:
                self.job = None

    # --- the world -------------------------------------------------------------------------------
    @property
    def e(self):
        return self.st.evses[0]

    @property
    def outlet(self):
        return self.board.outlets[0]

    def plug(self, evse=1, connector=1):
        self.board.outlet(evse).cable = connector
        self.poll(200)

    def unplug(self, evse=1):
        self.board.outlet(evse).cable = 0
        self.poll(200)

    def card(self, token=CARD, evse=1, gap=3000):
        """Present a card, a while after the last one, and let the CSMS answer what it is asked."""
        self.poll(gap)
        self.board.cards.append((*token, evse))
        self.poll()
        while self.due() == "Authorize":
            self.serve()
        self.poll(200)

    def stop_button(self):
        self.outlet.button = True
        self.poll(200)

    # --- the CSMS --------------------------------------------------------------------------------
    def due(self):
        """The action that would be sent now."""
        first = self.st.outbox._next() if self.st.link.up else None
        return first and first[0][2]

    def serve(self):
        """Send one message and answer it; None when nothing is due."""
        st = self.st
        first = st.outbox._next() if st.link.up else None
        if first is None:
            return None
        (_, gate, action, _, render, answered), cursor = first
        w = st.rpc.writer
        w.start()
        w.object()
        finished(render(st, w, cursor))
        w.finish()
        payload = json.loads(bytes(w._buf[HEAD : w.at]))
        assert schemas.payload_faults(action, payload) == []
        self.sent.append((action, payload))
        if action == "TransactionEvent":
            self.ledger.record(payload)
        self.answer(answered, cursor, self.reply(action, payload))
        if gate == FROM_JOURNAL:
            st.outbox._journal(rpc.OK, action, cursor)
        return action, payload

    def reply(self, action, payload):
        token = payload.get("idToken")
        if token is None:
            return {}
        status, group, where = self.csms.get(token["idToken"], ("Unknown", None, None))
        info = {"status": status}
        if group:
            info["groupIdToken"] = {"idToken": group, "type": "Central"}
        if where:
            info["evseId"] = where
        return {"idTokenInfo": info}

    def answer(self, answered, cursor, payload):
        """Let a block read the payload of an answer."""
        st = self.st
        reader = st.rpc.reader
        text = json.dumps([payload]).encode()
        reader.buf[: len(text)] = text
        reader.load(len(text))
        while reader.check(1000) is None:
            pass
        finished(answered(st, cursor, reader, reader.first(0)))

    def deliver(self):
        """Send all there is."""
        while self.serve() is not None:
            pass

    def events(self):
        """Everything that the journal holds and all that was sent of it, as (eventType, triggerReason, chargingState)."""
        self.deliver()
        return [brief(payload) for action, payload in self.sent if action == "TransactionEvent"]

    def last(self):
        self.deliver()
        return [payload for action, payload in self.sent if action == "TransactionEvent"][-1]

    def problems(self):
        return [*self.ledger.problems(all_ended=True), *self.errors()]

    def errors(self):
        return [line for line in self.board.lines if line.startswith("E ")]


def finished(coroutine):
    """Run what only yields to its end; None is at its end."""
    while coroutine:
        try:
            coroutine.send(None)
        except StopIteration:
            coroutine = None


def brief(payload):
    return (
        payload["eventType"],
        payload["triggerReason"],
        payload["transactionInfo"]["chargingState"],
    )


def dice(seed):
    return Random(seed).randrange


__all__ = ["CARD", "NOON", "OTHER", "Bench", "PowerCut", "brief", "dice", "finished", "tables"]
