"""A month of a station's life in minutes: the real firmware in virtual time, looked at each midnight.

Sessions, strangers' cards, outages of hours and days, restarts of the CSMS, clock jumps and what a CSMS asks for now and
then. On the middle day there is a power cut, and resets. So two processes live for two weeks each, and their milliseconds
wrap around 90 seconds after the start (boards/sim/virtual.py sees to that) and again after twelve days.
"""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from hostsim.clock import unix_time
from hostsim.clock.virtual import VirtualClock, run
from hostsim.csms.misbehaviour import become
from hostsim.lives.accounts import Accounts
from hostsim.lives.deliveries import Deliveries
from hostsim.lives.harness import CARD, Rig, rig

MINUTE, HOUR, DAY = 60, 3600, 86400
RESTARTS = 4  # on purpose: a power cut, two resets by the CSMS, a reset button
# Bytes by which the live heap may differ between two nights. What the stack still points to is up to 224.
SETTLED = 256
FIRST = 512  # the same when one of them is the process's first
STRANGERS = ("0BADC0FFEE", "0B10C0ED")  # the second is known to be blocked
SETTINGS = {
    "SampledDataCtrlr.TxUpdatedInterval": str(5 * MINUTE),
    "AlignedDataCtrlr.Interval": str(HOUR),
    "OCPPCommCtrlr.WebSocketPingInterval": str(2 * MINUTE),
    "OCPPCommCtrlr.RetryBackOffRandomRange": "5",
    "AuthCtrlr.OfflineTxForUnknownIdEnabled": "true",
}
UNWATCHED = {"OCPPCommCtrlr.WebSocketPingInterval": "0"}  # where a line goes dead
HEARTBEAT = 15 * MINUTE
JUMPS = (HOUR, -HOUR, 300, -300, 30, -30)


def _variables(*names: str) -> dict[str, Any]:
    pairs = [name.split(".") for name in names]
    return {
        "getVariableData": [{"component": {"name": c}, "variable": {"name": v}} for c, v in pairs]
    }


QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("GetVariables", _variables("ClockCtrlr.DateTime", "TxCtrlr.TxStartPoint", "No.Such")),
    ("GetVariables", _variables(*SETTINGS)),
    ("GetBaseReport", {"requestId": 1, "reportBase": "FullInventory"}),
    ("GetBaseReport", {"requestId": 2, "reportBase": "ConfigurationInventory"}),
    ("TriggerMessage", {"requestedMessage": "Heartbeat"}),
    ("TriggerMessage", {"requestedMessage": "MeterValues", "evse": {"id": 1}}),
    (
        "TriggerMessage",
        {"requestedMessage": "StatusNotification", "evse": {"id": 1, "connectorId": 1}},
    ),
    ("ChangeAvailability", {"operationalStatus": "Inoperative", "evse": {"id": 1}}),
    ("GetTransactionStatus", {}),
    ("ClearCache", {}),
    ("DataTransfer", {"vendorId": "nobody"}),
    (
        "SetVariables",
        {
            "setVariableData": [
                {
                    "component": {"name": "OCPPCommCtrlr"},
                    "variable": {"name": "OfflineThreshold"},
                    "attributeValue": "61",
                }
            ]
        },
    ),
]


@dataclass
class Night:
    """What was found at a midnight, all being idle: live bytes on the heap after a collection."""

    day: int
    boot: int
    live: int
    board: int


class Soak:
    """The life of one station. `nights`, `done` (what has happened how often) and `faults` are what comes of it."""

    def __init__(self, this: Rig, days: int, seed: int):
        self.this = this
        self.days = days
        self.nights: list[Night] = []
        self.done: Counter[str] = Counter()
        self.faults: list[str] = []
        self._dice = random.Random(seed)
        self._outage: asyncio.Task | None = None
        self._away = False  # for days, so that there are nights without a look
        self._restarts = 1 if days < 4 else days // 2  # the day of the power cuts and resets

    async def live(self) -> None:
        """All the days, one after the other."""
        for day in range(1, self.days + 1):
            if day == self._restarts:
                for restart in (self._power_cut, self._reset, self._reset_when_idle, self._crash):
                    await restart()
            if self.days > 9 and day in (self.days // 6, 2 * self.days // 3):
                self._lose_network("off", 2 * DAY)
                self._away = True
            while self._now() < day * DAY - 3 * HOUR:
                await self._event()
                await self._sleep(MINUTE, 2 * HOUR)
            await self._night(day)

    # --- what happens ----------------------------------------------------------------------------
    async def _event(self) -> None:
        events = (
            self._session,
            self._question,
            self._stranger,
            self._short_outage,
            self._new_csms,
        )
        event = self._dice.choices(events, (10, 7, 2, 2, 1))[0]
        self.done[event.__name__.strip("_").replace("_", " ")] += 1
        await event()

    async def _session(self) -> None:
        """A car comes, charges, and goes."""
        this, dice = self.this, self._dice
        this.hardware.plug(1)
        await self._sleep(5, MINUTE)
        if dice.random() < 0.2:
            await self._stranger()
        if dice.random() < 0.3 and not self._away:
            token = {"idToken": CARD, "type": "ISO14443"}
            await self._call(
                "RequestStartTransaction", {"remoteStartId": 7, "idToken": token, "evseId": 1}
            )
            await self._sleep(20, 30)
        if not await self._holds("authorized"):
            this.hardware.card(CARD)
        await self._wait("charging")
        await self._sleep(5 * MINUTE, 2 * HOUR)
        if dice.random() < 0.3:  # the battery is warm
            this.hardware.ready(1, False)
            await self._sleep(MINUTE, HOUR)
            this.hardware.ready(1, True)
            await self._sleep(MINUTE, HOUR)
        if dice.random() < 0.2:
            await self._question()
        running = [tx for tx in this.csms.ledger.transactions.values() if not tx.ended]
        if running and dice.random() < 0.3:
            await self._call("RequestStopTransaction", {"transactionId": running[-1].id})
            await self._sleep(20, 30)
        if await self._holds("authorized"):
            this.hardware.card(CARD)
        await self._wait("unlocked")
        await self._sleep(5, MINUTE)
        this.hardware.unplug(1)
        await self._wait("status:Available")

    async def _stranger(self) -> None:
        """A card that nobody knows, or that the CSMS has blocked."""
        if not self._away:  # nobody could tell
            self.this.hardware.card(self._dice.choice(STRANGERS))
            await self._sleep(MINUTE, 2 * MINUTE)
            await self._wait("unauthorized")

    async def _question(self) -> None:
        """The CSMS asks for something."""
        action, payload = self._dice.choice(QUESTIONS)
        await self._call(action, payload)
        await self._sleep(10, MINUTE)
        if payload.get("operationalStatus") == "Inoperative":
            await self._until_called(
                "ChangeAvailability", payload | {"operationalStatus": "Operative"}
            )

    async def _short_outage(self) -> None:
        mode = self._dice.choice(("off", "refuse", "stall"))
        self._lose_network(mode, self._dice.uniform(MINUTE, 8 * HOUR))

    async def _new_csms(self) -> None:
        """The CSMS restarts: connections are closed in order."""
        csms = self.this.csms
        await csms.stop()
        await self._sleep(1, 20 * MINUTE)
        await csms.start(csms.port)

    async def _power_cut(self) -> None:
        """In the midst of a session."""
        await self.this.charging()
        await self._sleep(HOUR, 2 * HOUR)
        await self.this.device.power_cycle()
        await self.this.booted()
        await self._sleep(MINUTE, HOUR)
        if await self._holds("authorized"):
            self.this.hardware.card(CARD)
        await self._wait("unlocked")
        self.this.hardware.unplug(1)

    async def _reset(self) -> None:
        await self._until_called("Reset", {"type": "Immediate"})
        await self._sleep(MINUTE, HOUR)

    async def _reset_when_idle(self) -> None:
        """With a car that charges: the station waits for its end."""
        boots = self.this.device.boots
        await self.this.charging()
        await self._until_called("Reset", {"type": "OnIdle"})
        await self._sleep(HOUR, 2 * HOUR)
        if self.this.device.boots != boots:
            self.faults.append("a reset when idle interrupted a session")
        await self.this.stopped()
        await self._sleep(MINUTE, HOUR)
        if self.this.device.boots == boots:
            self.faults.append("a reset when idle never came")

    async def _crash(self) -> None:
        """The reset button of the controller."""
        await self.this.device.restart()
        await self.this.booted()

    def _lose_network(self, mode: str, seconds: float) -> None:
        if self._outage is None or self._outage.done():
            self._outage = asyncio.create_task(self._without_network(mode, seconds))

    async def _without_network(self, mode: str, seconds: float) -> None:
        await self.this.station.set_network(mode)
        await self.this.clock.sleep(seconds)
        await self.this.station.set_network("on")
        self._away = False

    # --- a night ---------------------------------------------------------------------------------
    async def _night(self, day: int) -> None:
        """Put all right, deliver all, move the clock sometimes, then look."""
        this = self.this
        if not self._away:
            if self._outage is not None:
                self._outage.cancel()
                await this.station.set_network("on")
            await self._wait("accepted", HOUR)
            await self._wait("queue_empty", HOUR)
            if day % 3 == 0:
                this.csms.jump(self._dice.choice(JUMPS))
                self.done["clock jump"] += 1
                # Where lines go dead, the next heartbeats may be lost with one.
                beats = 1 if this.csms.silent_after is None else 4
                await this.clock.sleep(beats * (HEARTBEAT + MINUTE))
                await self._wait("queue_empty", HOUR)
            shown = unix_time((await this.device.ask("state"))["clock"])
            if abs(shown - this.csms.unix()) > 70:  # a minute back is caught up with slowly
                self.faults.append(
                    f"day {day}: the clock is {shown - this.csms.unix():+.0f} s off"
                )
        await this.clock.sleep(day * DAY - self._now())
        if not self._away:
            await self._wait("accepted")  # a connection has its share of the heap
            heaps = []
            for _ in range(3):  # what a register or the stack still points to may go meanwhile
                heaps.append(await this.station.heap())
                await this.clock.sleep(MINUTE)
            least = min(heaps, key=lambda heap: heap["live"])
            self.nights.append(Night(day, this.device.boots, least["live"], least["board"]))

    # --- helpers ---------------------------------------------------------------------------------
    def _now(self) -> float:
        return self.this.clock.now()

    async def _sleep(self, least: float, most: float) -> None:
        await self.this.clock.sleep(self._dice.uniform(least, most))

    async def _wait(self, fact: str, timeout: float = 10 * MINUTE) -> None:
        try:
            await self.this.station.wait(fact, timeout)
        except TimeoutError as error:
            self.faults.append(f"day {self._now() / DAY + 1:.2f}: {error}")

    async def _holds(self, fact: str) -> bool:
        try:
            await self.this.station.wait(fact, 2)
        except TimeoutError:
            return False
        return True

    async def _call(self, action: str, payload: dict[str, Any]) -> bool:
        """False: there was no connection, or not for long enough."""
        try:
            await self.this.call(action, payload)
        except (ConnectionError, TimeoutError):
            return False
        self.done["answers"] += 1
        return True

    async def _until_called(self, action: str, payload: dict[str, Any]) -> None:
        while not await self._call(action, payload):
            await self._sleep(MINUTE, 5 * MINUTE)


def _excused(kind: str, books: Accounts) -> set[str]:
    """What is right with a CSMS that takes no security events: they are given up, and only they."""
    if kind != "example" or books.missing or books.created != books.delivered + books.discarded:
        return set()
    return {f"{books.discarded} events discarded", f"{books.lost} events lost"}


def lives(nights: list[Night]) -> list[tuple[Night, Night, int]]:
    """A first and the last night of each process that lived for more than one, and how far their heaps may differ. On its
    first day a process meets most of what there is for the first time, and some of that stays: where there are three
    nights, the second one is the first."""
    found = []
    for boot in sorted({night.boot for night in nights}):
        mine = [night for night in nights if night.boot == boot]
        if len(mine) > 1:
            late = len(mine) > 2
            found.append((mine[late], mine[-1], SETTLED if late else FIRST))
    return found


async def soak(
    days: int, seed: int, kind: str | None = None, **lane: Any
) -> tuple[Soak, Accounts]:
    """Live so many days; the result's `faults` are all that was wrong. `kind`: of CSMS, one of misbehaviour.KINDS."""
    settings = SETTINGS | (UNWATCHED if kind == "silent" else {})
    async with rig(
        clock=VirtualClock(calm=10_000), settings=settings, power=False, **lane
    ) as this:
        this.csms.boots[:] = [("Accepted", HEARTBEAT)]
        this.csms.knows(STRANGERS[1], "Blocked")
        if kind:
            become(kind, this.csms, this.network, seed)
        deliveries = Deliveries(this.traffic, this.network, this.device)
        await this.device.power_on()
        await this.booted()
        life = Soak(this, days, seed)
        await life.live()
        books = await Accounts.of(this)
        excused = _excused(kind, books)
        life.faults += [fault for fault in books.faults if fault not in excused]
        life.faults += deliveries.faults
        if this.device.boots != 1 + RESTARTS:
            life.faults.append(f"{this.device.boots - 1 - RESTARTS} restarts without a cause")
        for first, last, allowed in lives(life.nights):
            if abs(last.live - first.live) > allowed:
                life.faults.append(
                    f"the heap of boot {first.boot} went from {first.live} to {last.live} bytes "
                    f"between day {first.day} and day {last.day}"
                )
        return life, books


def endure(days: int, seed: int, lane: int, heap: str | None, kind: str | None = None) -> int:
    """Soak, print what came of it, and return the exit code: 1 when something was wrong."""
    began = time.monotonic()
    life, books = run(soak(days, seed, kind, lane=lane, heap=heap))
    console = Console(highlight=False)
    table = Table(title=f"{days} days, seed {seed}", show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    table.add_row("real seconds", f"{time.monotonic() - began:.0f}")
    for what, count in sorted(life.done.items()):
        table.add_row(what, f"{count:,}")
    for first, last, _ in lives(life.nights):
        table.add_row(
            f"live heap, night {first.day} to night {last.day}",
            f"{first.live:,} to {last.live:,} bytes ({last.live - first.live:+d})",
        )
    console.print(books.table())
    console.print(table)
    for fault in life.faults:
        console.print(fault, style="red")
    return 1 if life.faults else 0
