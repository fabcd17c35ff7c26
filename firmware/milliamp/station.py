# The composition root: builds the rooms, finds the blocks, runs and watches the tasks.
import asyncio
import gc
import sys
from array import array
from binascii import crc32

from micropython import const

from milliamp import resident
from milliamp.base import counts, facts, rare
from milliamp.base.bus import Bus
from milliamp.base.clock import Clock
from milliamp.base.log import Log
from milliamp.domain import charging, evse, samples, sessions
from milliamp.storage import keys
from milliamp.storage.device_model import Model
from milliamp.storage.journal import Journal
from milliamp.storage.settings import Settings
from milliamp.wire.link import Link
from milliamp.wire.outbox import Outbox
from milliamp.wire.rpc import Rpc

# Without progress for so long a task counts as stuck.
_STUCK_MS = const(120000)
# Of tasks, then the station starts over: see `_died`.
_DEATHS = const(10)
# Of memory, then it starts over as soon as nobody charges.
_SHORTAGES = const(4)
# Seconds after which one of them is forgotten.
_FORGOTTEN = const(3600)
# seconds: no reason to set a clock, and times stay in order.
_JITTER = const(2)
# How long it waits for the connection to close.
_CLOSE_MS = const(2000)
# How long a reboot waits for the queue to empty.
_FLUSH_MS = const(10000)


class Station:
    """One charging station: the rooms, and what they must know of each other.

    `tables` is the package that the build generated from the board's profile, `buffers` two bytearrays: the
    messages that it receives and those that it sends have room there.
    """

    def __init__(self, board, tables, buffers):
        profile = tables.profile
        self.board = board
        self.profile = profile
        self.schemas = tables.schemas
        self._routes = tables.routes
        self._know_names()
        self.log = Log(board, profile.LOG_BUFFER)
        self.bus = Bus(self)
        self.settings = Settings(board.flash("settings"))
        if self.settings.empty:
            if self.settings.aside:
                self.log.error("the settings have another format, they begin anew")
            factory = board.factory()
            try:
                self.settings.put(*factory)
            except OSError as error:
                # It is what its factory says all the same, but may learn nothing.
                for key, value in factory:
                    self.settings.values[key] = value
                self.log.error("settings not kept: " + str(error))
        self.log.secret(self.settings.get(keys.OLD_PASSWORD))
        self.log.secret(self.settings.get(keys.PASSWORD))
        self.clock = Clock(board)
        self.clock_was_set = self.clock.synced
        self.journal = Journal(board.flash("journal"), self.clock, board.random)
        self.clock.not_before(self.journal.last)
        self.model = Model(tables.model.MODEL, self.settings, self._live, self.bus)
        self.boot_reason = self.settings.get(keys.BOOT_REASON) or board.reset_cause()
        # By the CSMS, since this boot.
        self.accepted = False
        # Accepted, and the link is up.
        self.online = False
        self.resetting = (
            # A reset is due: bit 0, and bit n for an EVSE that is unavailable for it.
            0
        )
        self.evses = []
        for connectors in profile.EVSES:
            self.evses.append(evse.Evse(len(self.evses) + 1, len(connectors)))
        # domain.token_cache.
        self.tokens = None
        if profile.CACHE:
            self._cache_tokens(profile.CACHE)
        self.counters = array("I", bytes(4 * counts.COUNTS))
        self.link = Link(self)
        self.outbox = Outbox(self)
        self.rpc = Rpc(self, *buffers)
        # What blocks keep that are not here from the start: each has one place, of its own name. diagnostics: the upload
        # and the inquiry that it is busy with; firmware_management: it has something to say, 2: says it.
        self.diagnostics = None, None
        self.firmware_management = 0
        # Ticks at which each task last went on.
        self._progress = array("I", (0, 0, 0))
        # Seconds until all are forgotten.
        self._deaths = self._shortages = 0
        # The reason of a reboot that is due.
        self._reboot = None
        # Ticks from which it waits for the queue; None: for transactions to end.
        self._reboot_at = None
        # Those that were loaded and have something to send: name -> module.
        self._blocks = {}
        self._ticking = []
        # generators: what a task goes on with step by step, one after the other.
        self.jobs = []
        charging.init(self)
        sessions.init(self)
        for init, tick, sends in resident.parts(self._routes.RESIDENT):
            if tick:
                self._ticking.append(tick)
            if init:
                init(self)
            self.outbox.add(sends)

    def _cache_tokens(self, entries):
        from milliamp.domain.token_cache import Cache

        try:
            self.tokens = Cache(self.board.flash("tokens"), entries)
        except OSError as error:
            # It charges without one, too.
            self.log.error("no authorization cache: " + str(error))

    def _know_names(self):
        # Names are kept for ever, in a table that grows by large steps: it grows now, while the heap has no
        # holes, and not in the middle of a call.
        gc.collect()
        routes = self._routes
        for name in routes.MODULES:
            if name in routes.RESIDENT:
                continue
            rare.load("milliamp.blocks." + name)
        if self.profile.NETWORKS:
            rare.load("milliamp.wire.network_profiles")

    # --- blocks: what the build found in their tables -------------------------------------------------

    def _block(self, name):
        # The module of a block. What is loaded for a call goes again, but for what has something to send.
        module = self._blocks.get(name)
        if module is None:
            path = "milliamp.blocks." + name
            if name in self._routes.RESIDENT:
                return sys.modules[path]
            module = rare.load(path)
            if hasattr(module, "SENDS"):
                self.outbox.add(module.SENDS)
                self._blocks[name] = module
        return module

    def _drop_idle_blocks(self):
        # Blocks that have nothing to send any more.
        # While there is no link none is needed: a connection needs memory, too.
        for name in tuple(self._blocks):
            module = self._blocks[name]
            if module is None:
                try:
                    if self.link.up:
                        self._block(name)
                except MemoryError:
                    # In a second, then.
                    pass
            elif not module.busy(self):
                self.outbox.remove(module.SENDS)
                if self.link.up:
                    del self._blocks[name]
                else:
                    self._blocks[name] = None

    def _route(self, table, name):
        # (function, is it async) of a name in a table of tables.routes, None when it is not there.
        at = table.find(b"\n" + name.encode() + b" ")
        if at < 0:
            return None
        _, block, function = table[at + 1 : table.find(b"\n", at + 1)].decode().split(" ")
        name = function.rstrip("*")
        module = (
            self._block(self._routes.MODULES[int(block)]) if block else sys.modules["milliamp"]
        )
        return getattr(module, name), name != function

    def handler(self, action: str):
        """Who answers a call: (function, is it async); False for what OCPP knows and this profile does
        not, None for what OCPP does not know."""
        found = self._route(self._routes.CALLS, action)
        if found is None and crc32(action.encode()).to_bytes(4, "big")[1:] in self._routes.KNOWN:
            return False
        return found

    def refuse(self, action: str):
        """The error code for any call while the CSMS has rejected this station (B03.FR.03), else None."""
        return "SecurityError" if self.outbox.refused else None

    def trigger(self, name: str):
        """What TriggerMessage calls for a message, None when it cannot be triggered."""
        found = self._route(self._routes.TRIGGERS, name)
        return found[0] if found else None

    def _live(self, variable, index, connector):
        # The value of a variable that is measured rather than stored.
        found = self._route(self._routes.LIVE, str(variable))
        return found[0](self, index, connector) if found else None

    # --- what several blocks ask of the station -------------------------------------------------------

    def set_clock(self, text) -> None:
        """The CSMS told the time. The journal learns by how much earlier records of this boot were off."""
        seconds = self.clock.parse(text or "")
        # The years 2000 to 2135.
        if seconds is None or not 0 <= seconds < 1 << 32:
            self.log.warn("no time: " + str(text))
            return
        moved = seconds - self.clock.now()
        if self.clock.synced and abs(moved) <= _JITTER:
            return
        self.clock.set(seconds)
        self.journal.clock_set(moved)
        self.bus.tell(facts.CLOCK, 0, moved)
        self.clock_was_set = True

    def reboot(self, reason: str, when_idle: bool = False) -> None:
        """Restart soon: once the queue is empty or ten seconds have passed; `when_idle`: and no sooner
        than nobody objects. The next BootNotification gives `reason`. Nothing is started any more, and who waits
        for transactions shows the EVSEs that are free as unavailable (B12)."""
        self._reboot = reason
        self._reboot_at = None if when_idle else self.clock.ticks()
        self.resetting = 1
        for e in self.evses:
            if when_idle and e.tx is None:
                self.resetting |= 1 << e.index

    def fault(self, error, where: str) -> None:
        """Something failed that nobody foresaw, and all goes on. Where memory is short again and again the station starts
        over as soon as nobody charges."""
        gc.collect()
        # Not the error's text: it may hold what came from outside.
        self.counters[counts.HANDLER_FAULTS] += 1
        self.log.error(where + ": " + type(error).__name__)
        if isinstance(error, MemoryError):
            self._shortages += _FORGOTTEN
            if self._shortages > (_SHORTAGES - 1) * _FORGOTTEN and self._reboot is None:
                self.reboot("ApplicationReset", True)

    def progress(self, task: int) -> None:
        """A task went on: 0 control, 1 sender, 2 link."""
        self._progress[task] = self.clock.ticks()

    # --- tasks ----------------------------------------------------------------------------------------

    async def _control(self):
        # Reads the hardware and lets the domain act: the task that must never wait for another.
        clock = self.clock
        second = clock.ticks()
        try:
            while True:
                self.progress(0)
                begun = clock.ticks()
                # To write an event is a long step by itself: behind one the others have their turn.
                news = self.outbox.news
                charging.poll(self)
                if news.is_set():
                    await asyncio.sleep_ms(0)
                samples.measure(self)
                if sessions.poll(self):
                    await asyncio.sleep_ms(0)
                    charging.settle(self)
                if news.is_set():
                    await asyncio.sleep_ms(0)
                if clock.since(second) >= 1000:
                    second = clock.ticks()
                    clock.now()
                    for tick in self._ticking:
                        tick(self)
                    self._drop_idle_blocks()
                    self.outbox.wake()
                    if not (self.journal.prepare() or self.settings.prepare()) and self.tokens:
                        self.tokens.prepare()
                    if self._reboot is not None:
                        await self._reboot_if_due()
                # To a deadline: what a round takes must not be added to what an EV waits for.
                await asyncio.sleep_ms(max(self.board.scan_ms - clock.since(begun), 1))
        finally:
            self.open_all()

    async def _reboot_if_due(self):
        if self._reboot_at is None:
            if self.bus.tell(facts.WHO_IS_BUSY):
                return
            self._reboot_at = self.clock.ticks()
        waits = self.online and self.journal.pending or self.bus.tell(facts.WHO_IS_BUSY)
        if waits and self.clock.since(self._reboot_at) < _FLUSH_MS:
            return
        self._keep_reason(self._reboot)
        self.log.info("reboot: " + self._reboot)
        try:
            await asyncio.wait_for_ms(self.link.close(), _CLOSE_MS)
        except asyncio.TimeoutError:
            # A CSMS that does not read keeps nobody from a reset.
            pass
        self.open_all()
        self.board.reboot()

    async def run(self) -> None:
        """Run for ever: start the tasks, restart one that dies, feed the watchdog while all go on."""
        starts = (self._control, self.outbox.run, self.link.run)
        tasks: list = [None] * len(starts)
        # The task that does the jobs, while there are any.
        work = None
        self.board.started(self)
        while True:
            try:
                work = self._supervise(starts, tasks, work)
                await asyncio.sleep_ms(1000)
            except MemoryError as error:
                # It may be there after a while.
                self.fault(error, "the supervisor")

    def _supervise(self, starts, tasks, work):
        # What is done each second; `work`: the task that does the jobs.
        alive = True
        for n in range(len(starts)):
            task = tasks[n]
            if task is None or task.done():
                if task is not None:
                    tasks[n] = None
                    self._died(n)
                tasks[n] = asyncio.create_task(self._guarded(starts[n]))
                self.progress(n)
            alive = alive and self.clock.since(self._progress[n]) < _STUCK_MS
        if alive:
            self.board.watchdog()
        self._deaths -= self._deaths > 0
        self._shortages -= self._shortages > 0
        if work is None or work.done():
            # A task that is done still has its frames.
            work = None
            if self.journal.crowded():
                self.jobs.append(self.journal.thin())
            if self.jobs:
                work = asyncio.create_task(self._guarded(self._work))
        return work

    async def _work(self):
        while self.jobs:
            for _ in self.jobs.pop(0):
                await asyncio.sleep_ms(0)

    async def _guarded(self, start):
        try:
            await start()
        except Exception as error:
            self.board.trace(error)
            self.fault(error, "task died")

    def _died(self, n):
        # One is forgotten each hour: ten in a day are not ten in a minute.
        self._deaths += _FORGOTTEN
        if self._deaths > (_DEATHS - 1) * _FORGOTTEN:
            self._keep_reason("Watchdog")
            self.open_all()
            self.board.reboot()

    def open_all(self) -> None:
        """Nothing stays live that nobody watches."""
        for e in self.evses:
            evse.failed(self, e, None)

    def _keep_reason(self, reason):
        try:
            self.settings.put((keys.BOOT_REASON, reason))
        except OSError as error:
            # It starts over all the same.
            self.log.error("no boot reason: " + str(error))


def run(board, tables, buffers) -> None:
    """Be a charging station, for ever. `buffers`: to receive and to transmit, see Station."""
    station = Station(board, tables, buffers)
    try:
        asyncio.run(station.run())
    finally:
        # Ctrl-C at the console, a fault that nobody foresaw: nothing stays live that nobody
        # watches.
        for e in station.evses:
            e.closed = True
        station.open_all()
