# The `sim` board: Unix MicroPython in the place of a microcontroller. Hardware, flash and power switch
# live in the host simulator, at the other end of one inherited socket.
#
# A request is op u8, a u8, n u16, v u32, then n bytes if the op carries a payload; little endian.
# The answer, where there is one, follows at once. hostsim/charger/link.py is the other end.

import asyncio.core
import gc
import os
import select
import struct
import sys
import time

from micropython import const

from milliamp.base import facts, hal

# -> speed u16, hardware flags u16, RTC u32 (2**32 - 1: not set), n u32, then the reset cause.
_HELLO = const(1)
# -> n u32, then pairs in JSON.
_FACTORY = const(2)
# A region, n wanted, v address -> n bytes.
_READ = const(3)
# A region, v address, payload -> errno u8.
_PROGRAM = const(4)
# A region, v address -> errno u8.
_ERASE = const(5)
# -> flags u8, 3 spare, then per EVSE cable u8, pilot u8, flags u8, broken u8, Wh u32.
_INPUTS = const(6)
# a: 0 card, 1 fault, 2 service command, 3 name server; v EVSE -> n u32, then text.
_TEXT = const(7)
# A EVSE, v phase, payload measurand -> i32.
_MEASURE = const(8)
# A EVSE, v closed.
_CONTACTOR = const(9)
# A EVSE, v mA.
_OFFER = const(10)
# A EVSE, v connector * 2 + locked -> done u8.
_LOCK = const(11)
# A EVSE, v status.
_INDICATE = const(12)
# A EVSE, v fact, payload argument as text.
_FACT = const(13)
# v seconds since 2000.
_RTC = const(14)
_WATCHDOG = const(15)
# payload: a piece of the answer to a service command; v 1: the last, 2: given up.
_REPLY = const(16)
# v 0: soon.
_REBOOT = const(17)
# 18 and 19 are those of virtual.py.

_GIVEN_UP = const(2)

_CARD = const(0)
_FAULT = const(1)
_SERVICE = const(2)
_DNS = const(3)

# Bits of the flags of _INPUTS.
_NETWORK = const(1)
_CARD_WAITS = const(2)
_SERVICE_WAITS = const(4)
_BUTTON = const(1)
_BAY = const(2)
_FAULTED = const(4)

# What is broken of an EVSE's drivers.
_INPUT_BREAKS = const(1)
_CONTACTOR_BREAKS = const(2)
_LOCK_BREAKS = const(3)
_METER_BREAKS = const(4)

_NOT_MEASURED = const(-0x80000000)
# Of milliseconds, as time.ticks_ms has it: 30 bits or 62.
_RING = sys.maxsize >> 1


def _live():
    gc.collect()
    return gc.mem_alloc()


# So that the simulator's own share of the heap can be told.
_code = _live()


class Link:
    """The socket to the host. Strictly question and answer, so nothing here waits but for the host."""

    def __init__(self, fd: int):
        self._stream = open(fd, "r+b")
        self._head = bytearray(8)
        self._word = bytearray(4)

    def send(self, op: int, a: int = 0, v: int = 0, payload=b"") -> None:
        """A request that has no answer, or whose answer is read with the calls below."""
        if isinstance(payload, str):
            payload = payload.encode()
        struct.pack_into("<BBHI", self._head, 0, op, a, len(payload), v)
        self._stream.write(self._head)
        if payload:
            self._stream.write(payload)

    def fill(self, buf) -> None:
        """Read exactly into `buf`. A host that has gone takes the station with it."""
        if self._stream.readinto(buf) != len(buf):
            sys.exit(1)

    def read(self, a: int, n: int, v: int, buf) -> None:
        """Read flash: the one request whose n is what is wanted, not what follows."""
        struct.pack_into("<BBHI", self._head, 0, _READ, a, n, v)
        self._stream.write(self._head)
        self.fill(buf)

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        self.fill(self._word)
        return struct.unpack("<I", self._word)[0]

    def text(self) -> str:
        """A text behind its length."""
        return self.take(self.number()).decode()

    def take(self, n: int) -> bytearray:
        buf = bytearray(n)
        if n:
            self.fill(buf)
        return buf


class Flash:
    """A region of the host's NOR model, as base.flash describes a device."""

    def __init__(self, link: Link, region: int, size: int, sector: int, unit: int):
        self._link = link
        self._region = region
        self.size = size
        self.sector = sector
        self.unit = unit

    def read(self, addr: int, buf) -> None:
        self._link.read(self._region, len(buf), addr, buf)

    def program(self, addr: int, data) -> None:
        self._done(_PROGRAM, addr, data)

    def erase(self, addr: int) -> None:
        self._done(_ERASE, addr, b"")

    def _done(self, op, addr, data):
        self._link.send(op, self._region, addr, data)
        errno = self._link.byte()
        if errno:
            raise OSError(errno)


class SimBoard(hal.Board):
    """The virtual charger of hostsim/charger/hardware.py, read over the link once a poll."""

    def __init__(self, profile, link: Link):
        self._profile = profile
        self._link = link
        self._inputs = bytearray(4 + 8 * len(profile.EVSES))
        self._station = None
        # Bytes of it that this board takes.
        self.heap = 0
        link.send(_HELLO)
        self._speed, _, self._seconds = struct.unpack("<HHI", link.take(8))
        self._cause = link.text()
        self._run_time()
        # The station looks at its inputs before it polls them.
        self.scan()

    # --- inputs -----------------------------------------------------------------------------------
    def scan(self) -> None:
        self._link.send(_INPUTS)
        self._link.fill(self._inputs)
        if self._inputs[0] & _SERVICE_WAITS and self._station:
            self._serve()

    def _works(self, evse, part):
        if self._inputs[evse * 8 - 1] == part:
            raise OSError(5)

    def cable(self, evse: int) -> int:
        self._works(evse, _INPUT_BREAKS)
        return self._inputs[evse * 8 - 4]

    def pilot(self, evse: int) -> int:
        return self._inputs[evse * 8 - 3]

    def energy(self, evse: int) -> int:
        if self._inputs[evse * 8 - 1] == _METER_BREAKS:
            return None
        return struct.unpack_from("<I", self._inputs, evse * 8)[0]

    def measure(self, evse: int, measurand: str, phase: int):
        self._link.send(_MEASURE, evse, phase, measurand)
        value = struct.unpack("<i", self._link.take(4))[0]
        return None if value == _NOT_MEASURED else value

    def card(self):
        if not self._inputs[0] & _CARD_WAITS:
            return None
        self._link.send(_TEXT, _CARD)
        token, kind, evse = self._link.text().split("\n")
        return token, kind, int(evse)

    def stop_button(self, evse: int) -> bool:
        at = evse * 8 - 2
        pressed = bool(self._inputs[at] & _BUTTON)
        self._inputs[at] &= ~_BUTTON
        return pressed

    def fault(self, evse: int):
        if not self._inputs[evse * 8 - 2] & _FAULTED:
            return None
        self._link.send(_TEXT, _FAULT, evse)
        return self._link.text()

    def bay(self, evse: int) -> bool:
        return bool(self._inputs[evse * 8 - 2] & _BAY)

    # --- outputs ----------------------------------------------------------------------------------
    def contactor(self, evse: int, closed: bool) -> None:
        self._works(evse, _CONTACTOR_BREAKS)
        self._link.send(_CONTACTOR, evse, int(closed))

    def offer(self, evse: int, milliamps: int) -> None:
        self._link.send(_OFFER, evse, milliamps)

    def lock(self, evse: int, connector: int, locked: bool) -> bool:
        self._works(evse, _LOCK_BREAKS)
        self._link.send(_LOCK, evse, connector * 2 + int(locked))
        return bool(self._link.byte())

    def indicate(self, evse: int, status: int) -> None:
        self._link.send(_INDICATE, evse, status)

    # --- the controller ---------------------------------------------------------------------------
    def flash(self, region: str):
        flash = self._profile.FLASH
        if region not in flash:
            raise OSError("no flash region " + region)
        number = sorted(flash).index(region)
        return Flash(
            self._link,
            number,
            flash[region][1],
            self._profile.FLASH_SECTOR,
            self._profile.FLASH_UNIT,
        )

    def ticks(self) -> int:
        now = time.ticks_ms()
        return (now + time.ticks_diff(now, self._origin) * (self._speed - 1)) & _RING

    def _run_time(self):
        # Time is that of the host, `speed` times as fast as ours.
        speed = self._speed
        self._origin = time.ticks_ms()
        own_time(self.ticks, lambda queue, ms: ms if ms < 0 else (ms + speed - 1) // speed)

    def rtc(self):
        return None if self._seconds == 0xFFFFFFFF else self._seconds

    def set_rtc(self, seconds: int) -> None:
        self._link.send(_RTC, 0, seconds)

    def reset_cause(self) -> str:
        return self._cause

    def reboot(self) -> None:
        self._link.send(_REBOOT)
        # Never comes: the host ends this process.
        self._link.byte()

    def watchdog(self) -> None:
        self._link.send(_WATCHDOG)

    def network(self) -> bool:
        return bool(self._inputs[0] & _NETWORK)

    def dns(self):
        self._link.send(_TEXT, _DNS)
        address, _, port = self._link.text().partition(" ")
        return (address, int(port)) if port else None

    def factory(self):
        import json

        self._link.send(_FACTORY)
        return json.loads(self._link.text())

    def started(self, station) -> None:
        self._station = station
        # A vote is no news.
        station.bus.subscribe(~facts.WHO_IS_BUSY, self._tell)

    def _tell(self, station, fact, evse, arg):
        self._link.send(_FACT, evse, fact, b"" if arg is None else str(arg))

    def _serve(self):
        """Answer one service command of the host. The module is only there while it is wanted, and the station comes
        first: where the heap has no room for the answer there is none."""
        gc.collect()
        self._link.send(_TEXT, _SERVICE)
        text = self._link.text()
        try:
            import probe

            probe.serve(self._station, text, self._reply)
        except MemoryError:
            self._reply("", _GIVEN_UP)
        sys.modules.pop("probe", None)

    def _reply(self, piece: str, last: int = 0) -> None:
        self._link.send(_REPLY, 0, last, piece)


def own_time(ticks, nap):
    """Make asyncio live in a time of its own: its clock, how long it sleeps (`nap(queue, ms)` -> real ms) for it,
    and when it takes a task to be due whose socket is ready. By the real clock that would always be long
    ago, before any timer."""
    core = asyncio.core
    core.ticks = ticks
    due = getattr(core, "_task_queue")

    def take(queue, ms):
        taken = False
        for stream, event in queue.poller.ipoll(ms):
            taken = True
            tasks = queue.map[id(stream)]
            for n, other in ((0, select.POLLOUT), (1, select.POLLIN)):
                if event & ~other and tasks[n] is not None:
                    due.push(tasks[n], ticks())
                    tasks[n] = None
            if tasks[0] is None and tasks[1] is None:
                queue.poller.unregister(stream)
                del queue.map[id(stream)]
            else:
                queue.poller.modify(stream, select.POLLOUT if tasks[0] is None else select.POLLIN)
        return taken

    def wait_io_event(queue, ms):
        if not take(queue, 0) and ms:
            take(queue, nap(queue, ms))

    core.IOQueue.wait_io_event = wait_io_event


def make(profile) -> hal.Board:
    """The board of this process: the host passes the number of its socket in the environment, and where another module
    than this one has the board, its name and what that takes: see virtual.py."""
    fd = os.getenv("MILLIAMP_LINK")
    if fd is None:
        print("this image only runs in the host simulator: python -m hostsim")
        sys.exit(1)
    before = _live()
    told = os.getenv("MILLIAMP_BOARD")
    if told is None:
        board = SimBoard(profile, Link(int(fd)))
    else:
        module, seed, calm = told.split()
        board = __import__(module).SimBoard(profile, int(fd), int(seed), int(calm))
    board.heap = _live() - before + _code
    return board


_code = _live() - _code
