"""`make run`: the bundled scenario. The real firmware charges a virtual car through network loss and a power cut, and
the books must balance: nothing lost, reordered or invented, every frame valid.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from rich.console import Console

from hostsim.charger import names
from hostsim.clock import SimClock, off_the_quarter
from hostsim.csms.server import CallError
from hostsim.lives.accounts import Accounts
from hostsim.lives.harness import CARD, Rig, rig
from hostsim.net.schemas import CALL
from hostsim.net.traffic import DOWN, UP, MessageSeen

SETTINGS = {  # what keeps the scenario under a minute
    "SampledDataCtrlr.TxUpdatedInterval": "15",
    "OCPPCommCtrlr.RetryBackOffWaitMinimum": "2",
    "OCPPCommCtrlr.RetryBackOffRandomRange": "0",
    "SampledDataCtrlr.TxUpdatedMeasurands": "Energy.Active.Import.Register,Power.Active.Import",
}
ITEMS = 20  # of the large GetVariables
_TORN = ("nothing", "half", "bits", "all")


class Scenario:
    """The steps, in order. Each waits for facts, never for time alone."""

    def __init__(self, rig: Rig, seed: int, say: Callable[[str], None]):
        self.rig = rig
        self.station = rig.station
        self.csms = rig.csms
        self.random = random.Random(seed)
        self.say = say
        self._events = 0
        rig.device.on_fact.append(self._count)

    def _count(self, fact) -> None:
        if fact.fact == names.fact("TX"):
            self._events += 1

    async def _more_events(self, count: int, timeout: float = 180) -> None:
        """Wait until the firmware has made so many more transaction events, sent or not."""
        target = self._events + count
        async with self.rig.clock.timeout(timeout):
            while self._events < target:
                await asyncio.sleep(0.01)

    def steps(self) -> list[tuple[str, Callable[[], Awaitable[str | None]]]]:
        return [
            ("boot: BootNotification, status, security event", self.boot),
            ("plug in", self.plug),
            ("present a card, energy flows", self.card),
            ("meter values", self.meter_values),
            ("the network is lost, charging goes on, events queue", self.network_lost),
            ("power is lost in the middle of a flash write", self.power_lost),
            ("power is back, the network is not", self.power_back),
            ("the network is back, the queue is delivered", self.network_back),
            ("stop by card", self.stop),
            ("unplug", self.unplug),
            ("the CSMS starts and stops a charge", self.remote),
            (f"GetVariables with {ITEMS} items", self.get_variables),
            ("FullInventory", self.full_inventory),
            ("soft reset", self.reset),
        ]

    async def boot(self) -> str:
        await self.rig.device.power_on()
        await self.rig.booted()
        boot = await self.csms.seen("BootNotification")
        await self.csms.seen("StatusNotification")
        await self.csms.seen("SecurityEventNotification")
        await self.rig.drained()
        return f"reason {boot['reason']}"

    async def plug(self) -> None:
        self.rig.hardware.plug(1)
        await self.station.wait("status:Occupied")

    async def card(self) -> str:
        self.rig.hardware.card(CARD)
        await self.station.wait("charging")
        event = await self.csms.seen("TransactionEvent", lambda p: p["eventType"] == "Started")
        return f"transaction {event['transactionInfo']['transactionId']}"

    async def meter_values(self) -> str:
        mark = self.csms.mark()
        for _ in range(2):
            event = await self.csms.seen("TransactionEvent", _periodic, since=mark)
            mark = (
                self.csms.received.index(next(r for r in self.csms.received if r.payload is event))
                + 1
            )
        values = event["meterValue"][-1]["sampledValue"]
        return ", ".join(f"{value['value']:g}{_unit(value)}" for value in values)

    async def network_lost(self) -> str:
        await self.station.set_network("off")
        await self.station.wait("disconnected")
        await self._more_events(3)
        state = await self.station.watcher.snapshot()
        return f"{state['queue']['pending']} events queued"

    async def power_lost(self) -> str:
        torn = self.random.choice(_TORN)
        self.rig.device.cut_in_write(self.random.randint(1, 3), torn, self.random)
        await self.station.wait("power_lost", 300)
        return {"nothing": "none of it was written", "all": "all of it was written"}.get(
            torn, f"torn: {torn}"
        )

    async def power_back(self) -> str:
        await self.rig.device.power_on()
        await self.station.wait("rebooted")
        state = await self.station.watcher.snapshot()
        if state["evses"][0]["transaction"] is None:
            return "the transaction ended with PowerLoss"
        await self.station.wait("charging")
        await self._more_events(2)
        return "the transaction goes on"

    async def network_back(self) -> str:
        mark, offline = self.csms.mark(), _offline(self.csms)
        await self.station.set_network("on")
        await self.station.wait("accepted", 240)
        await self.rig.drained()
        await self.csms.seen("TransactionEvent", since=mark)
        return f"{_offline(self.csms) - offline} events, marked offline"

    async def stop(self) -> str | None:
        state = await self.station.watcher.snapshot()
        if state["evses"][0]["transaction"] is None:
            return "nothing to stop"
        mark = self.csms.mark()
        self.rig.hardware.card(CARD)
        await self.station.wait("tx_ended")
        event = await self.csms.seen(
            "TransactionEvent", lambda p: p["eventType"] == "Ended", since=mark
        )
        return event["triggerReason"]

    async def unplug(self) -> None:
        await self.station.wait("unlocked")
        self.rig.hardware.unplug(1)
        await self.station.wait("status:Available")

    async def remote(self) -> str:
        self.rig.hardware.plug(1)
        await self.station.wait("plugged")
        token = {"idToken": CARD, "type": "ISO14443"}
        mark = self.csms.mark()
        answer = await self.csms.call(
            "RequestStartTransaction", {"idToken": token, "remoteStartId": 7, "evseId": 1}
        )
        _expect(answer["status"], "Accepted")
        await self.station.wait("charging")
        event = await self.csms.seen("TransactionEvent", _with_id, since=mark)
        _expect(event["transactionInfo"]["remoteStartId"], 7)
        key = event["transactionInfo"]["transactionId"]
        await self.csms.seen("TransactionEvent", _periodic, since=mark)
        answer = await self.csms.call("GetTransactionStatus", {"transactionId": key})
        _expect(answer["ongoingIndicator"], True)
        answer = await self.csms.call("RequestStopTransaction", {"transactionId": key})
        _expect(answer["status"], "Accepted")
        event = await self.csms.seen(
            "TransactionEvent", lambda p: p["eventType"] == "Ended", since=mark
        )
        _expect(event["triggerReason"], "RemoteStop")
        await self.unplug()
        return f"transaction {key}"

    async def get_variables(self) -> str:
        wanted = [
            ("OCPPCommCtrlr", "HeartbeatInterval"),
            ("TxCtrlr", "TxStartPoint"),
            ("NoSuchCtrlr", "Enabled"),
        ]
        wanted += [
            ("SampledDataCtrlr", "TxUpdatedMeasurands"),
            ("SecurityCtrlr", "BasicAuthPassword"),
        ]
        items = [
            {"component": {"name": component}, "variable": {"name": variable}}
            for component, variable in (wanted * ITEMS)[:ITEMS]
        ]
        answer = await self.csms.call("GetVariables", {"getVariableData": items})
        results = answer["getVariableResult"]
        _expect(len(results), ITEMS)
        statuses = [result["attributeStatus"] for result in results[:5]]
        _expect(statuses, ["Accepted", "Accepted", "UnknownComponent", "Accepted", "Rejected"])
        size = max(
            m.size
            for m in self.rig.traffic.messages
            if m.action == "GetVariables" and m.direction == UP
        )
        return f"answered in {size} bytes"

    async def full_inventory(self) -> str:
        answer = await self.csms.call(
            "GetBaseReport", {"requestId": 42, "reportBase": "FullInventory"}
        )
        _expect(answer["status"], "Accepted")
        await self.csms.seen("NotifyReport", lambda p: not p.get("tbc", False), timeout=300)
        parts = [r.payload for r in self.csms.received if r.action == "NotifyReport"]
        _expect([part["seqNo"] for part in parts], list(range(len(parts))))
        variables = sum(len(part["reportData"]) for part in parts)
        return f"{variables} variables in {len(parts)} messages"

    async def reset(self) -> str:
        mark = self.csms.mark()
        answer = await self.csms.call("Reset", {"type": "Immediate"})
        _expect(answer["status"], "Accepted")
        boot = await self.csms.seen("BootNotification", since=mark)
        await self.rig.booted()
        await self.csms.seen("SecurityEventNotification", since=mark)
        await self.rig.drained()
        return f"reason {boot['reason']}"


async def play(lane: int, heap: str | None, speed: int | None, seed: int | None) -> int:
    """Play the scenario and return 0 if the books balance. `speed` None: in virtual time."""
    console = Console(highlight=False, soft_wrap=True)
    seed = random.randrange(1 << 16) if seed is None else seed
    pace = f"{speed} times as fast as life" if speed else "in virtual time"
    words = f"lane {lane}, heap {heap or 'as it comes'}, {pace}, seed {seed}"
    console.print(f"[bold]Milliamp[/bold]: the real firmware in MicroPython, {words}")
    began = time.monotonic()
    failure = ""
    async with rig(
        clock=SimClock(speed, off_the_quarter()) if speed else None,
        power=False,
        lane=lane,
        heap=heap,
        settings=SETTINGS,
    ) as this:
        this.traffic.on_message.append(lambda message: console.print(_line(message)))
        scenario = Scenario(this, seed, console.print)
        for number, (title, step) in enumerate(scenario.steps(), 1):
            console.print(f"[bold cyan]{number:2} {title}[/bold cyan]")
            try:
                note = await step()
                if this.device.powered:
                    await this.station.heap()
            except (
                TimeoutError,
                ConnectionError,
                ValueError,
                KeyError,
                RuntimeError,
                CallError,
            ) as error:
                failure = f"step {number}, {title}: {error or type(error).__name__}"
                console.print(f"   [red]{failure}[/red]")
                break
            console.print(f"   [green]done[/green] {note or ''}")
        accounts = await Accounts.of(this, failure)
        if failure or this.device.crashes:
            console.print("[bold]the firmware's last words[/bold]")
            console.print("\n".join(list(this.device.log)[-30:]), markup=False)
    console.print(accounts.table())
    for fault in accounts.faults:
        console.print(f"[red]{fault}[/red]", markup=True)
    verdict = (
        "[bold green]passed[/bold green]" if accounts.balance else "[bold red]failed[/bold red]"
    )
    console.print(f"{verdict} in {time.monotonic() - began:.0f} s")
    return 0 if accounts.balance else 1


def _line(message: MessageSeen) -> str:
    arrow = {UP: "[green]>[/green]", DOWN: "[blue]<[/blue]"}[message.direction]
    detail = ""
    if message.kind == CALL and message.action == "TransactionEvent":
        payload = message.payload
        offline = " offline" if payload.get("offline") else ""
        detail = f" {payload['eventType']} {payload['seqNo']} {payload['triggerReason']}{offline}"
    elif message.kind == CALL and message.action == "StatusNotification":
        detail = f" {message.payload['connectorStatus']}"
    fault = f" [red]{message.faults[0]}[/red]" if message.faults else ""
    pieces = f" in {message.frames} frames" if message.frames > 1 else ""
    return f"   [dim]{arrow} {message.size:5} {message.label}{detail}{pieces}[/dim]{fault}"


def _periodic(payload: dict[str, Any]) -> bool:
    return payload["triggerReason"] == "MeterValuePeriodic"


def _with_id(payload: dict[str, Any]) -> bool:
    return "remoteStartId" in payload["transactionInfo"]


def _unit(value: dict[str, Any]) -> str:
    return " " + value.get("unitOfMeasure", {}).get("unit", "Wh")


def _offline(csms) -> int:
    return sum(event.offline for tx in csms.ledger.transactions.values() for event in tx.events)


def _expect(found: Any, wanted: Any) -> None:
    if found != wanted:
        raise ValueError(f"expected {wanted!r}, found {found!r}")
