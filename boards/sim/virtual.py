# Virtual time for the `sim` board: it passes only while every task waits, and then at once. So a month of
# a station's life takes minutes, and happens in the same way each time.
#
# The host grants stretches of time in which nothing will come of it; whatever is said to it or to the
# CSMS ends the stretch. hostsim/clock/virtual.py is the other end.

import asyncio.core
import random
import struct
import sys
import time

import board
from micropython import const

# Every task waits; payload: bytes written to sockets u32 and read from them u32 since the last time
# -> flags u32, ms u32 that may pass without asking again, 0: look at the sockets first
_SLEEP = const(18)
# v ms have passed since this was said last.
_TIME = const(19)

# flag: the inputs have changed.
_LOOK = const(1)
# flag: something is on its way to a socket.
_DATA = const(2)

_DAY = const(86400000)
# Real ms that it takes at most.
_ARRIVAL = const(300)
# ms between two feeds of the watchdog that the host hears of.
_FEED = const(60000)
# ms after the start the ticks wrap around for the first time.
_WRAP = const(90000)
# Of the flags of the inputs: the one that is no event.
_NETWORK = const(1)
# ms between two scans after something has changed; then twice as long each time, up to what the host says.
_BUSY = const(50)
_RING = sys.maxsize >> 1


class Link(board.Link):
    """Tells the host how late it is before it says anything else."""

    def __init__(self, fd: int):
        super().__init__(fd)
        # ms that may pass without asking the host.
        self.granted = 0
        # ms that have passed and that the host does not know of.
        self.untold = 0
        self.written = 0
        self.received = 0

    def send(self, op: int, a: int = 0, v: int = 0, payload=b"") -> None:
        self.granted = 0
        if self.untold:
            passed, self.untold = self.untold, 0
            super().send(_TIME, 0, passed)
        super().send(op, a, v, payload)

    def ask(self) -> int:
        """Have time granted, and return flags. All that the host had to do at this moment is done then."""
        self.send(_SLEEP, 0, 0, struct.pack("<II", self.written, self.received))
        self.written = self.received = 0
        flags = self.number()
        self.granted = self.number()
        return flags


class SimBoard(board.SimBoard):
    """Its clocks are its own. `seed` makes its random numbers; `calm`: ms between two scans at most."""

    def __init__(self, profile, fd: int, seed: int, calm: int):
        random.seed(seed)
        # What the firmware is told.
        self._ticks = _RING + 1 - _WRAP
        # What asyncio goes by. It compares with real ticks, too, so this stays some days ahead of them.
        self._due = (time.ticks_diff(time.ticks_ms(), 0) + _DAY) & _RING
        self._fed = None
        # A bit for each EVSE that may draw energy.
        self._closed = 0
        self._scan_ms = _BUSY
        self._calm = calm
        # The task that scans, while it sleeps.
        self._scanner = None
        # Somebody waits for that, or to write, and has been waited for.
        self._connects = False
        # By the last scan.
        self._seen = b""
        self._time = Link(fd)
        super().__init__(profile, self._time)

    def ticks(self) -> int:
        return self._ticks

    def _run_time(self):
        board.own_time(lambda: self._due, self._nap)
        link = self._time
        queue = asyncio.core.IOQueue
        look = queue.wait_io_event

        def wait_io_event(queue, ms):
            if not link.granted:
                look(queue, ms)
            elif ms:
                # Nothing comes to a socket meanwhile.
                self._pass(ms)

        queue.wait_io_event = wait_io_event
        _watch(asyncio.StreamReader, link)

    def _nap(self, queue, ms):
        # Every task waits, for so long at least. Returns how long in real ms the sockets are to be waited for.
        self._connects = not self._connects and any([tasks[1] for tasks in queue.map.values()])
        # That is done at once, but for a socket that is stuck.
        if self._connects:
            return _ARRIVAL
        flags = self._time.ask()
        if flags & _LOOK and self._scanner and not self._scanner.done():
            due = getattr(asyncio.core, "_task_queue")
            due.remove(self._scanner)
            due.push(self._scanner, self._due)
            self._scanner = None
        if time.ticks_diff(self._due, time.ticks_ms()) > 4 * _DAY:
            self._step_back()
        if self._time.granted:
            self._pass(ms)
        return _ARRIVAL if flags & _DATA else 0

    def _pass(self, ms):
        link = self._time
        passed = link.granted if ms < 0 else min(ms, link.granted)
        link.granted -= passed
        link.untold += passed
        self._ticks = self._ticks + passed & _RING
        self._due = self._due + passed & _RING

    def _step_back(self):
        # No further ahead than half of the ring of 32 bits: asyncio's time and all that waits for it.
        due = getattr(asyncio.core, "_task_queue")
        tasks = []
        while due.peek():
            tasks.append(due.pop())
        for task in tasks:
            due.push(task, task.ph_key - 3 * _DAY & _RING)
        self._due = self._due - 3 * _DAY & _RING

    @property
    def scan_ms(self) -> int:  # type: ignore[override]
        # Asked for just before it sleeps so long.
        self._scanner = asyncio.core.cur_task
        return self._scan_ms

    def scan(self) -> None:
        self._scanner = None
        self._scan_ms = min(2 * self._scan_ms, self._calm)
        if self._time.granted and not self._closed:
            self._inputs[0] &= _NETWORK
            # What has not changed need not be read.
            return
        super().scan()
        seen = self._seen
        self._seen = now = bytes(self._inputs)
        changed = now[:4] != seen[:4]
        # All but the registers.
        for at in range(4, len(now), 8):
            changed = changed or now[at : at + 4] != seen[at : at + 4]
        if changed:
            self._scan_ms = _BUSY

    def contactor(self, evse: int, closed: bool) -> None:
        super().contactor(evse, closed)
        self._closed = self._closed & ~(1 << evse) | closed << evse

    def network(self) -> bool:
        if not super().network():
            return False
        # A connection is about to be made.
        self._time.granted = 0
        return True

    def watchdog(self) -> None:
        if self._fed is None or time.ticks_diff(self._ticks, self._fed) >= _FEED:
            self._fed = self._ticks
            super().watchdog()

    def random(self, n: int) -> bytes:
        return bytes(random.getrandbits(8) for _ in range(n))


def _watch(stream, link):
    """Count what is written to streams and read from them; the host hears of what is written."""
    write, read, readinto = stream.write, stream.read, stream.readinto

    def counted_write(self, buf):
        link.granted = 0
        write(self, buf)
        link.written += len(buf)

    async def counted_read(self, n=-1):
        data = await read(self, n)
        # Somebody waits for a datagram.
        link.received += len(data) if n else 1
        return data

    async def counted_readinto(self, buf):
        n = await readinto(self, buf)
        link.received += n or 0
        return n

    async def wait_closed(self):
        link.granted = 0
        # The end.
        link.written += 1
        self.s.close()

    stream.write, stream.read, stream.readinto = counted_write, counted_read, counted_readinto
    stream.wait_closed = wait_closed
