"""The host's end of the socket to a firmware process; boards/sim/board.py is the other and has the table of requests.

A request is (op u8, a u8, n u16, v u32) and n bytes of payload if the op carries one, little endian. Requests are
handled one at a time, in order, as they come: what the firmware waits for is never behind something else.
"""

import asyncio
import json
import re
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hostsim.charger.flash import PowerCut
from hostsim.charger.hardware import BREAKS, Hardware
from hostsim.clock import EPOCH_2000, SimClock

_HEAD = struct.Struct("<BBHI")
_EVSE = struct.Struct("<BBBBI")
_U32 = struct.Struct("<I")

HELLO, FACTORY, READ, PROGRAM, ERASE, INPUTS, TEXT, MEASURE = range(1, 9)
CONTACTOR, OFFER, LOCK, INDICATE, FACT, RTC, WATCHDOG, REPLY, REBOOT = range(9, 18)
SLEEP, TIME = 18, 19  # of virtual time
_NETWORK, _CARD_WAITS, _SERVICE_WAITS = 1, 2, 4
_BUTTON, _BAY, _FAULTED = 1, 2, 4
_NOT_SET = 0xFFFFFFFF
_LOOK, _DATA = 1, 2
_LAST, _GIVEN_UP = 1, 2  # of a REPLY
_PAIR = struct.Struct("<II")
_NOT_MEASURED = -0x80000000


@dataclass(slots=True)
class Fact:
    """Something that the firmware told over its bus. `value` is its argument: int, text, tuple of int or None."""

    time: float
    fact: int
    evse: int
    value: Any


class Link:
    """Serves one firmware process. `regions` is the flash map: offset of each region, by name in sorted order.

    `on_fact(Fact)`, `on_hello()`, `on_reboot()` and `on_power_cut()` are called as it happens; `ask` sends a service command.
    """

    def __init__(
        self,
        clock: SimClock,
        hardware: Hardware,
        flash: Any,
        regions: list[int],
        *,
        cause: str = "PowerUp",
        rtc: float | None = None,
        factory: list[tuple[int, Any]] = (),
    ):
        self.clock = clock
        self.hardware = hardware
        self.flash = flash
        self.network_up = True
        self.name_server = ""
        self.rtc = rtc  # simulated Unix time minus what the board's clock shows; None: not set
        self.fed = clock.now()  # when the watchdog was fed last
        self.armed = False
        self.programs = 0
        self.cut_in = 0  # the power goes instead of this answer from now; 0: it stays
        self.on_fact: Callable[[Fact], None] = lambda fact: None
        self.on_hello: Callable[[], None] = lambda: None
        self.on_fault: Callable[[str], None] = lambda text: None
        self.on_reboot: Callable[[], None] = lambda: None
        self.on_power_cut: Callable[[], None] = lambda: None
        self._regions = regions
        self._cause = cause
        self._factory = factory
        self._buffer = bytearray()
        self._polled = 0
        self._seen: list[Any] = []  # the inputs at the last scan
        self._polls: list[tuple[int, asyncio.Future]] = []
        self._commands: deque[tuple[str, asyncio.Future]] = deque()
        self._answering: asyncio.Future | None = None
        self._answer = bytearray()
        self._socket, self.far_end = socket.socketpair()
        self._socket.setblocking(False)
        self._open = True
        clock.hold(self, self._socket)
        asyncio.get_running_loop().add_reader(self._socket, self._readable)

    def close(self) -> None:
        """Hang up. Whoever still waits for an answer gets ConnectionError."""
        if not self._open:
            return
        self._open = False
        self.clock.release(self)
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self.far_end.close()
        for _, future in self._polls:
            if not future.done():
                future.set_result(None)
        waiting = [future for _, future in self._commands] + [self._answering]
        for future in waiting:
            if future is not None and not future.done():
                future.set_exception(ConnectionError("the station has no power or is restarting"))

    async def polled(self, times: int) -> None:
        """Wait until the firmware has read its inputs that often; less if it goes away meanwhile."""
        if self._open and times > 0:
            future = asyncio.get_running_loop().create_future()
            self._polls.append((self._polled + times, future))
            await future

    async def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """Have the firmware answer a service command at its next poll of the inputs."""
        if not self._open:
            raise ConnectionError("the station has no power or is restarting")
        future = asyncio.get_running_loop().create_future()
        self._commands.append((json.dumps(command), future))
        return json.loads(await future)

    def _readable(self) -> None:
        """Take in one request, as far as it is here. Only one: what it wakes up is to run before the next."""
        buffer = self._buffer
        try:
            if not self._receive(_HEAD.size):
                return
            op, a, n, v = _HEAD.unpack_from(buffer)
            if not self._receive(_HEAD.size + (0 if op == READ else n)):
                return
        except BlockingIOError:
            return
        payload = bytes(buffer[_HEAD.size :])
        buffer.clear()
        try:
            answer = self._handle(op, a, n, v, payload)
            self._count(answer)
        except PowerCut:
            self.on_power_cut()
            return
        if answer and self._open:
            self._send(answer)

    def _receive(self, size: int) -> bool:
        """Are so many bytes of a request here? BlockingIOError: not yet. False: and there will be no more."""
        while len(self._buffer) < size:
            try:
                data = self._socket.recv(size - len(self._buffer))
            except ConnectionError:
                data = b""
            if not data:
                asyncio.get_running_loop().remove_reader(self._socket)
                return False
            self._buffer += data
        return True

    def _count(self, answer: bytes) -> None:
        if answer and self.cut_in:
            self.cut_in -= 1
            if not self.cut_in:
                raise PowerCut

    def _send(self, data: bytes) -> None:
        try:
            self._socket.setblocking(True)
            self._socket.sendall(data)
        except OSError:
            pass  # the process is gone; its end is noticed elsewhere
        finally:
            self._socket.setblocking(False)

    def _handle(self, op: int, a: int, n: int, v: int, payload: bytes) -> bytes:
        hardware = self.hardware
        if op == INPUTS:
            return self._inputs()
        if op == READ:
            data = bytearray(n)
            self._flash(self.flash.read, self._regions[a] + v, data)
            return data
        if op == PROGRAM:
            self.programs += 1
            return self._flash(self.flash.program, self._regions[a] + v, payload)
        if op == ERASE:
            return self._flash(self.flash.erase, self._regions[a] + v)
        if op == FACT:
            self.on_fact(Fact(self.clock.now(), v, a, _argument(payload.decode(), n)))
        elif op == MEASURE:
            value = hardware.measure(a, payload.decode(), v)
            return struct.pack("<i", _NOT_MEASURED if value is None else value)
        elif op == CONTACTOR:
            hardware.contactor(a, bool(v))
        elif op == OFFER:
            hardware.offer(a, v)
        elif op == LOCK:
            return bytes([hardware.lock(a, v >> 1, bool(v & 1))])
        elif op == INDICATE:
            hardware.indicate(a, v)
        elif op == WATCHDOG:
            self.fed, self.armed = self.clock.now(), True
        elif op == TEXT:
            return self._text(a, v)
        elif op == REPLY:
            self._reply(payload, v)
        elif op == RTC:
            self.rtc = self.clock.unix() - EPOCH_2000 - v
        elif op == HELLO:
            self.on_hello()
            return self._hello()
        elif op == FACTORY:
            return _counted(json.dumps(list(self._factory)))
        elif op == REBOOT:
            self.on_reboot()
        elif op == TIME:
            self.clock.passed(v)
        elif op == SLEEP:
            self.clock.park(self, self._grant, *_PAIR.unpack(payload))
        else:
            raise RuntimeError(
                f"the firmware sent the unknown request {op}: is boards/sim/board.py newer?"
            )
        return b""

    def _hello(self) -> bytes:
        seconds = _NOT_SET
        if self.rtc is not None:
            seconds = int(self.clock.unix() - EPOCH_2000 - self.rtc)
        return struct.pack("<HHI", self.clock.speed, 0, seconds) + _counted(self._cause)

    def _grant(self, ms: int, data: bool) -> None:
        """Let the firmware sleep for so long, unless there is something new to scan, or data on its way."""
        look = self._polls or self._state() != self._seen
        flags = (_LOOK if look else 0) | (_DATA if data else 0)
        self._send(_PAIR.pack(flags, 0 if flags else ms))

    def _inputs(self) -> bytes:
        hardware = self.hardware
        self._polled += 1
        if self._polls:
            self._wake_polled()
        hardware.advance()
        flags, *states = self._state()
        out = bytearray((flags, 0, 0, 0))
        for state, outlet in zip(states, hardware.outlets, strict=True):
            out += _EVSE.pack(*state, outlet.wh)
            outlet.button = False
        self._seen = [flags & _NETWORK, *self._state()[1:]]  # what waits is about to be fetched
        return bytes(out)

    def _state(self) -> list[Any]:
        """All that the firmware reads in a scan but the registers."""
        hardware = self.hardware
        flags = _NETWORK if self.network_up else 0
        flags |= _CARD_WAITS if hardware.cards else 0
        flags |= _SERVICE_WAITS if self._commands else 0
        state: list[Any] = [flags]
        for outlet in hardware.outlets:
            bits = _BUTTON if outlet.button else 0
            bits |= _BAY if outlet.bay else 0
            bits |= _FAULTED if outlet.fault else 0
            broken = BREAKS.index(outlet.broken)
            state.append((outlet.cable, ord(outlet.pilot), bits, broken))
        return state

    def _wake_polled(self) -> None:
        for item in [item for item in self._polls if item[0] <= self._polled]:
            self._polls.remove(item)
            if not item[1].done():
                item[1].set_result(None)

    def _flash(self, operation: Callable, *arguments: Any) -> bytes:
        try:
            operation(*arguments)
        except OSError as error:
            return bytes([error.errno or 5])
        except ValueError as error:  # no flash chip allows it: a bug of the firmware
            self.on_fault(f"flash: {error}")
            return b"\x16"
        return b"\0"

    def _text(self, what: int, evse: int) -> bytes:
        if what == 0:
            return _counted("\n".join(map(str, self.hardware.cards.popleft())))
        if what == 1:
            return _counted(self.hardware.outlet(evse).fault or "")
        if what == 3:
            return _counted(self.name_server)
        text, self._answering = self._commands.popleft()
        self._answer.clear()
        return _counted(text)

    def _reply(self, piece: bytes, what: int) -> None:
        self._answer += piece
        if what and self._answering is not None:
            future, self._answering = self._answering, None
            if future.done():
                return
            if what == _LAST:
                future.set_result(self._answer.decode())
            else:
                future.set_exception(
                    ConnectionError(
                        "the firmware has no memory left to answer the simulator: "
                        "does it need a larger --heap?"
                    )
                )


def _counted(text: str) -> bytes:
    data = text.encode()
    return _U32.pack(len(data)) + data


def _argument(text: str, length: int) -> Any:
    """The argument of a fact, from how MicroPython prints it."""
    if not length:
        return None
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    if re.fullmatch(r"\((-?\d+, )*-?\d+,?\)", text):
        return tuple(map(int, re.findall(r"-?\d+", text)))
    return {"True": 1, "False": 0}.get(text, text)
