"""A charge on the bare metal: QEMU runs the image, its second UART is a TCP connection to the host simulator's CSMS."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from hostsim.clock import SimClock
from hostsim.csms.server import CallError, Csms
from hostsim.lives.harness import CARD
from hostsim.net.network import Network
from hostsim.net.traffic import Traffic
from tools.measure.footprint.scenarios import full_inventory, oversize, variables

PROGRAM = "qemu-system-arm"
_HEAP_AT = 0x20100000  # where the image finds the size of its heap: port/main.c
_ITEMS = 20  # of the large GetVariables
_LONG = 4096  # bytes of a message that is longer than the receive buffer
_EVENTS = 3  # with meter values, while energy flows
_LIMIT = 180.0  # seconds for all of it
_ERRORS = ("E ", "Traceback")  # how such lines of the log begin
_TROUBLES = (OSError, TimeoutError, asyncio.TimeoutError, ValueError, LookupError, CallError)


class Guest:
    """The machine in QEMU. `log`: the lines of its console; `figures`: what it said at its end; `wrong`: it has said an
    error, or ended."""

    def __init__(self, process: asyncio.subprocess.Process):
        self._process = process
        self.log: list[str] = []
        self.figures: dict[str, int] = {}
        self.wrong = asyncio.Event()
        self.over = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for line in self._process.stdout:
            text = line.decode(errors="replace").rstrip()
            name, _, numbers = text.partition(" ")
            if name == "figures":
                names = ("live", "stack", "pending", "online")
                self.figures = dict(zip(names, map(int, numbers.split())))
            else:
                self.log.append(text)
                if text.startswith(_ERRORS):
                    self.wrong.set()
        if not self.figures:
            self.wrong.set()

    def press(self, letter: str) -> None:
        """Something happens to the charger: see qemu_m3/board.py."""
        self._process.stdin.write(letter.encode())

    @property
    def faults(self) -> "list[str]":
        """The errors in its log, or why it has no figures."""
        said = [line for line in self.log if line.startswith(_ERRORS)]
        if self.over.done() and not self.figures:
            said.append("it ended: " + (self.log[-1] if self.log else "without a word"))
        return said


class Bench:
    """What a step holds in its hand."""

    def __init__(self, csms: Csms, traffic: Traffic, guest: Guest):
        self.csms = csms
        self.traffic = traffic
        self.guest = guest
        self.call = csms.call

    def problems(self) -> "list[str]":
        """All that went wrong."""
        faults = [*self.guest.faults, *self.traffic.faults]
        return faults + self.csms.ledger.problems(all_ended=True)


@contextlib.asynccontextmanager
async def bench(image: Path, heap: int) -> "AsyncIterator[Bench]":
    """A CSMS, a network that checks each frame, and a machine that was just switched on. `heap` in bytes."""
    clock = SimClock()
    csms = Csms(clock)
    csms.knows(CARD)
    await csms.start()
    network = Network(clock, csms.url())
    csms.excuse = network.traffic.excuse
    await network.start()
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, "-machine", "mps2-an385", "-display", "none", "-monitor", "none"),
        *("-semihosting", "-kernel", str(image)),
        *("-device", f"loader,addr={_HEAP_AT:#x},data={heap},data-len=4"),
        *("-serial", "stdio", "-serial", f"tcp:127.0.0.1:{network.port}"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    guest = Guest(process)
    try:
        yield Bench(csms, network.traffic, guest)
    finally:
        if not guest.over.done():
            process.kill()
        await process.wait()
        await guest.over
        await network.stop()
        await csms.stop()


async def charge(this: Bench) -> None:
    """Register, answer the CSMS, charge a car, deliver everything, switch off. ValueError: something was missing."""
    csms, guest = this.csms, this.guest
    await csms.seen("BootNotification")
    await csms.seen("StatusNotification", lambda p: p["connectorStatus"] == "Available")
    interval = {
        "component": {"name": "SampledDataCtrlr"},
        "variable": {"name": "TxUpdatedInterval"},
        "attributeValue": "1",
    }
    answer = await this.call("SetVariables", {"setVariableData": [interval]})
    if answer["setVariableResult"][0]["attributeStatus"] != "Accepted":
        raise ValueError(f"SetVariables: {answer}")
    answer = await this.call("GetVariables", variables(_ITEMS))
    if len(answer["getVariableResult"]) != _ITEMS:
        raise ValueError(f"GetVariables: {len(answer['getVariableResult'])} answers")
    await full_inventory(this)
    await oversize(this, _LONG)
    guest.press("p")
    await csms.seen("StatusNotification", lambda p: p["connectorStatus"] == "Occupied")
    guest.press("c")
    await csms.seen("TransactionEvent", lambda p: p["eventType"] == "Started")
    mark = csms.mark()
    for _ in range(_EVENTS):
        event = await csms.seen(
            "TransactionEvent", lambda p: p["triggerReason"] == "MeterValuePeriodic", since=mark
        )
        if not event["meterValue"]:
            raise ValueError("an event without meter values")
        mark = next(n for n, one in enumerate(csms.received) if one.payload is event) + 1
    guest.press("c")
    await csms.seen("TransactionEvent", lambda p: p["eventType"] == "Ended")
    mark = csms.mark()
    guest.press("u")
    await csms.seen(
        "StatusNotification", lambda p: p["connectorStatus"] == "Available", since=mark
    )
    while (await this.call("GetTransactionStatus"))["messagesInQueue"]:
        pass
    guest.press("q")
    await guest.over
    if guest.figures.get("pending") != 0 or not guest.figures["online"]:
        raise ValueError(f"it is not done: {guest.figures}")


async def _play(image: Path, heap: int) -> "tuple[list[str], dict]":
    async with bench(image, heap) as this:
        script = asyncio.ensure_future(asyncio.wait_for(charge(this), _LIMIT))
        wrong = asyncio.ensure_future(this.guest.wrong.wait())
        await asyncio.wait((script, wrong), return_when=asyncio.FIRST_COMPLETED)
        faults = []
        if script.done() and isinstance(error := script.exception(), _TROUBLES):
            faults = [str(error) or type(error).__name__]
        elif script.done():
            script.result()
        for task in (script, wrong):
            task.cancel()
        await asyncio.gather(script, wrong, return_exceptions=True)
        return this.problems() + faults, this.guest.figures


def play(image: Path, heap: int) -> "tuple[list[str], dict]":
    """Run it all with a heap of so many bytes. Returns what went wrong, and the machine's figures: `live` bytes of the heap
    at its end, the most `stack` it ever had, events `pending`, whether it is `online`."""
    return asyncio.run(_play(image, heap))
