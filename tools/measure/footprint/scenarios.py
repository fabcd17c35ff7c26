"""The life in which a station is measured: one rig in virtual time, so that all of it repeats."""

import asyncio
import contextlib
import json
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from hostsim.charger import cpython, lane32
from hostsim.clock.virtual import VirtualClock
from hostsim.csms.server import CallError
from hostsim.lives.harness import CARD, Rig, rig
from hostsim.net.uploads import store
from tools.builder import profile

SETTINGS = {
    "SampledDataCtrlr.TxUpdatedInterval": "10",
    "SampledDataCtrlr.TxUpdatedMeasurands": "Energy.Active.Import.Register,Power.Active.Import",
    "OCPPCommCtrlr.RetryBackOffRandomRange": "0",
}
TROUBLES = (OSError, TimeoutError, ValueError, LookupError, RuntimeError, CallError)
OFFLINE = 100  # events
PASSWORD = "0123456789-milliamp"  # of who makes the tour
SALT = b"abc"  # of the transactionIds in a journal that was filled
_HEARTBEAT = 86_400  # s: far away
_COUNTED = (
    18_200  # the port while instructions are counted: its digits are in what the station stores
)
_PORTS = range(18_201, 18_300)  # of all others
_FULL_LOG = 4000  # bytes at least of one that is told
_BUSY = 600  # real seconds to wait for a port
_WANTED = (
    ("OCPPCommCtrlr", "HeartbeatInterval"),
    ("TxCtrlr", "TxStartPoint"),
    ("NoSuchCtrlr", "Enabled"),
    ("SampledDataCtrlr", "TxUpdatedMeasurands"),
    ("SecurityCtrlr", "BasicAuthPassword"),
)


@contextlib.contextmanager
def started(by: "Callable | None") -> Iterator[None]:
    """Have firmware on the 32-bit lane started by the command `by(folder, heap)`, for a while."""
    usual = lane32.command
    if by is not None:
        lane32.command = lambda lane, folder, heap=None: by(folder, heap)
    try:
        yield
    finally:
        lane32.command = usual


@contextlib.asynccontextmanager
async def station(
    board: str,
    heap: "str | None" = None,
    by: "Callable | None" = None,
    counted: bool = False,
    **options,
) -> AsyncIterator[Rig]:
    """A rig with a fresh station of that board on the 32-bit lane, its power off. `counted`: its port is always the same."""
    with (
        tempfile.TemporaryDirectory() as folder,
        _port((_COUNTED,) if counted else _PORTS) as port,
    ):
        state = Path(folder)
        (state / "hardware.json").write_text(json.dumps({"port": port, "meters": []}))
        options = {"settings": SETTINGS, "state": state} | options
        with started(by):
            async with rig(
                clock=VirtualClock(calm=10_000),
                power=False,
                board=board,
                lane=32,
                heap=heap,
                **options,
            ) as this:
                this.csms.boots[:] = [("Accepted", _HEARTBEAT)]
                yield this


@contextlib.contextmanager
def _port(ports) -> Iterator[int]:
    """One of the ports, that nobody else here takes meanwhile; waits for one. OSError when it takes too long."""
    with socket.socket(socket.AF_UNIX) as claim:
        for _ in range(_BUSY):
            if port := next((port for port in ports if _claimed(claim, port)), 0):
                break
            time.sleep(1)
        else:
            raise OSError(f"port {ports[0]} stays busy")
        yield port


def _claimed(claim: socket.socket, port: int) -> bool:
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            claim.bind(f"\0milliamp-{port}")
    except OSError:
        return False
    return True


async def survives(this: Rig, script) -> "list[str]":
    """Run `script`, until something goes wrong with the firmware; return all that went wrong."""
    wrong = asyncio.Event()

    def told(_) -> None:
        if this.device.crashes or this.device.errors:
            wrong.set()

    this.device.on_log.append(told)
    this.device.on_power.append(told)
    play, watch = asyncio.ensure_future(script), asyncio.ensure_future(wrong.wait())
    await asyncio.wait((play, watch), return_when=asyncio.FIRST_COMPLETED)
    faults = []
    if play.done() and isinstance(error := play.exception(), TROUBLES):
        faults = [str(error) or type(error).__name__]
    elif play.done():
        play.result()
    for task in (play, watch):
        task.cancel()
    await asyncio.gather(play, watch, return_exceptions=True)
    return faults + this.problems()


async def boot(this: Rig) -> None:
    """Power on, until registered and everything is delivered."""
    await this.device.power_on()
    await this.booted()
    await this.drained()
    await this.clock.sleep(10)
    same_ids(this)


def same_ids(this: Rig) -> None:
    """Have the CSMS number its messages: random ids are never the same."""
    numbers = iter(range(1, 1 << 30))
    this.csms.peer._unique_id_generator = lambda: f"{next(numbers):036d}"


def fill_journal(this: Rig, made) -> None:
    """Fill the journal of a station that has no power with what an EV makes that toggles every 15 s, until there is room
    for hardly more."""
    cpython.install()
    from milliamp.base.flash import Slice
    from milliamp.base.packing import put_number
    from milliamp.storage import journal, kinds

    class Clock:
        synced = True
        time = 820_000_000

        def now(self) -> int:
            return self.time

    clock = Clock()
    place = Slice(this.device.flash, *made.flash["journal"])
    full = journal.Journal(place, clock, lambda n: SALT[:n])
    full.checkpoint = lambda write: None
    number = full.next_transaction()
    kind, seq = kinds.TX_EVENT, 0
    while not full.crowded() or seq % 200:
        # docs/storage-format.md: Started of connector 1 of EVSE 1, then states of Updated, Charging and SuspendedEV
        event = bytearray((1, 2 | (2 + seq % 2) << 5) if seq else (4, 1 | 1 << 5))
        put_number(event, number)
        put_number(event, seq)
        full.append(kind, bytes(event) if seq else bytes(event) + b"\1\1")
        kind, seq, clock.time = kinds.TX_UPDATE, seq + 1, clock.time + 15


def fill_log(this: Rig, made) -> None:
    """Fill the security log of a station that has no power, until its newest sector has hardly any room."""
    cpython.install()
    from milliamp.base.flash import Slice
    from milliamp.storage import security_log

    class Clock:
        synced = True
        time = 820_000_000

        def now(self):
            self.time += 1
            return self.time

    clock, sector = Clock(), made.sector
    place = Slice(this.device.flash, *made.flash["logs"])
    newest = bytearray(b"\xff" * sector)
    while newest[sector - 512] == 0xFF:
        for _ in security_log.append(place, clock, "SettingSystemTime"):
            pass
        place.read(0, newest)


async def charge(this: Rig) -> None:
    """Plug in, present a card, a minute of energy, present it again, unplug."""
    await this.charging()
    await this.clock.sleep(60)
    await this.stopped()
    await this.drained()


async def offline(this: Rig) -> None:
    """100 events without a network, then all of them delivered."""
    await this.station.set_network("off")
    await this.charging()
    await this.clock.sleep(10 * OFFLINE)
    await this.stopped()
    state = await this.station.watcher.snapshot()
    if state["queue"]["pending"] < OFFLINE:
        raise ValueError(f"only {state['queue']['pending']} events are queued")
    await this.station.set_network("on")
    await this.station.wait("accepted", 600)
    await this.drained()


def variables(items: int) -> dict:
    """A GetVariables: every kind of answer, in turn."""
    pairs = (_WANTED * items)[:items]
    return {
        "getVariableData": [
            {"component": {"name": component}, "variable": {"name": variable}}
            for component, variable in pairs
        ]
    }


async def get_variables(this: Rig) -> None:
    """As many items as BytesPerMessage and ItemsPerMessage allow."""
    items, longest = [
        int(await this.station.get("DeviceDataCtrlr", name, "GetVariables"))
        for name in ("ItemsPerMessage", "BytesPerMessage")
    ]
    while len(_message(items)) > longest:
        items -= 1
    answer = await this.call("GetVariables", variables(items))
    if len(answer["getVariableResult"]) != items:
        raise ValueError(f"{len(answer['getVariableResult'])} answers to {items} items")


def _message(items: int) -> str:
    return json.dumps([2, "0" * 36, "GetVariables", variables(items)], separators=(",", ":"))


def _log(kind: str, number: int) -> dict:
    log = {"remoteLocation": "{server}/logs/"}
    return {"logType": kind, "requestId": number, "retries": 3, "retryInterval": 5, "log": log}


def _network(slot: int, url: str = "ws://127.0.0.1:9/" + "x" * 100) -> dict:
    return {
        "configurationSlot": slot,
        "connectionData": {
            "ocppVersion": "OCPP20",
            "ocppTransport": "JSON",
            "ocppCsmsUrl": url,
            "messageTimeout": 30,
            "securityProfile": 1,
            "ocppInterface": "Wired0",
        },
    }


def _settings(items: int, variable: str = "OfflineThreshold", value: str = "60") -> dict:
    item = {
        "component": {"name": "OCPPCommCtrlr"},
        "variable": {"name": variable},
        "attributeValue": value,
    }
    return {"setVariableData": [item] * items}


async def full_inventory(this: Rig) -> int:
    """The whole device model; returns how many entries it has."""
    mark = this.csms.mark()
    await this.call("GetBaseReport", {"requestId": 42, "reportBase": "FullInventory"})
    await this.csms.seen("NotifyReport", lambda p: not p.get("tbc", False), since=mark)
    parts = [r.payload for r in this.csms.received[mark:] if r.action == "NotifyReport"]
    return sum(len(part["reportData"]) for part in parts)


async def oversize(this: Rig, size: int = 65_536) -> None:
    """A message that is longer than `size` bytes is refused, and the connection stays."""
    connections = this.csms.connections
    long = [2, "too-long", "DataTransfer", {"vendorId": "x", "data": "y" * size}]
    await this.csms.peer.send_raw(json.dumps(long))
    await this.call("GetVariables", variables(1))
    refused = [m for m in this.traffic.messages if m.id == "too-long" and m.kind == 4]
    if not refused or this.csms.connections != connections:
        raise ValueError("a message that is too long was not refused, or ended the connection")


async def get_log(this: Rig) -> None:
    """Both logs, put on a server while a car charges."""
    await this.charging()
    async with store() as server:
        for number, kind in enumerate(("DiagnosticsLog", "SecurityLog"), 100):
            mark = this.csms.mark()
            wanted = {
                "logType": kind,
                "requestId": number,
                "log": {"remoteLocation": server.location},
            }
            answer = await this.call("GetLog", wanted)
            told = await this.csms.seen("LogStatusNotification", _is_over, since=mark)
            if told["status"] != "Uploaded" or not server.uploads[-1].path.endswith(
                answer["filename"]
            ):
                raise ValueError(f"{kind}: {told}")
        sizes = [len(upload.body) for upload in server.uploads]
    if len(sizes) != 2 or sizes[1] < _FULL_LOG:
        raise ValueError(f"logs of {sizes} bytes")
    await this.stopped()


def _is_over(payload: dict) -> bool:
    return payload["status"] != "Uploading"


async def customer_information(this: Rig) -> None:
    """What is known of the driver who charges, then once more and forgotten."""
    await this.charging()
    for number, clear in enumerate((False, True), 200):
        mark = this.csms.mark()
        who = {"idToken": {"idToken": CARD, "type": "ISO14443"}}
        await this.call(
            "CustomerInformation", {"requestId": number, "report": True, "clear": clear} | who
        )
        await this.csms.seen("NotifyCustomerInformation", lambda p: not p.get("tbc"), since=mark)
        told = [
            r.payload["data"]
            for r in this.csms.received[mark:]
            if r.action == "NotifyCustomerInformation"
        ]
        if not any("transaction" in text for text in told):
            raise ValueError(f"of who charges is known: {told}")
    await this.stopped()


async def migrate(this: Rig) -> None:
    """To another network profile, the same CSMS by another URL, and back: each time by SetNetworkProfile, a new priority
    and Reset."""
    for slot, other in ((2, 1), (1, 2)):
        url = f"{this.network.url()}?to={'x' * 100}"
        answers = [
            await this.call("SetNetworkProfile", _network(slot, url)),
            *(
                await this.call(
                    "SetVariables", _settings(1, "NetworkConfigurationPriority", f"{slot},{other}")
                )
            )["setVariableResult"],
            await this.call("Reset", {"type": "OnIdle"}),
        ]
        await this.station.wait("rebooted", 600)
        await this.booted()
        await this.drained()
        used = await this.station.get("OCPPCommCtrlr", "ActiveNetworkProfile")
        if used != str(slot):
            raise ValueError(f"it uses profile {used}: {answers}")


# What a CSMS may ask in a row, each of it valid, while a car charges and a file server takes what comes and says nothing:
# all that is loaded on demand is asked for. "{server}" is that server's address.
_TOKEN = {"idToken": "NOBODY", "type": "Central"}
REQUESTS: "tuple[tuple[str, dict], ...]" = (
    ("GetLog", _log("DiagnosticsLog", 1)),
    ("GetBaseReport", {"requestId": 43, "reportBase": "FullInventory"}),
    ("SetNetworkProfile", _network(2)),
    ("RequestStartTransaction", {"idToken": _TOKEN, "remoteStartId": 1, "evseId": 1}),
    ("CustomerInformation", {"requestId": 44, "report": True, "clear": True, "idToken": _TOKEN}),
    ("TriggerMessage", {"requestedMessage": "LogStatusNotification"}),
    ("TriggerMessage", {"requestedMessage": "FirmwareStatusNotification"}),
    ("TriggerMessage", {"requestedMessage": "MeterValues", "evse": {"id": 1}}),
    ("TriggerMessage", {"requestedMessage": "TransactionEvent", "evse": {"id": 1}}),
    ("GetVariables", variables(20)),
    ("SetVariables", _settings(10)),
    ("GetTransactionStatus", {}),
    ("ChangeAvailability", {"operationalStatus": "Operative", "evse": {"id": 1}}),
    ("UnlockConnector", {"evseId": 1, "connectorId": 1}),
    ("DataTransfer", {"vendorId": "org.example", "data": "x" * 200}),
    ("GetLog", _log("SecurityLog", 2)),
    ("ClearCache", {}),
    ("Reset", {"type": "OnIdle"}),
)


async def requests(this: Rig) -> None:
    """REQUESTS, one right behind the answer to the other, in a real charge; then the reset that they ended with."""
    boots = this.device.boots
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        await this.charging()
        for action, payload in REQUESTS:
            text = json.dumps(payload).replace("{server}", address)
            await this.call(action, json.loads(text))
        await this.clock.sleep(90)
        await this.stopped()
    await this.station.wait("rebooted", 600)
    await this.booted()
    await this.drained()
    if this.device.boots != boots + 1:
        raise ValueError("it started over, and nobody had asked for it")


TOUR = {
    "boot": boot,
    "charge": charge,
    f"offline_{OFFLINE}": offline,
    "get_variables": get_variables,
    "full_inventory": full_inventory,
    "oversize": oversize,
    "get_log": get_log,
    "customer_information": customer_information,
    "migrate": migrate,
    "requests": requests,
}


async def tour(this: Rig, reached: Callable = lambda name: None) -> None:
    """All of TOUR, one after the other, with a full security log; `reached(name)` when one is over and the firmware waits."""
    fill_log(this, profile.load(this.station.options.board))
    for name, step in TOUR.items():
        await step(this)
        await this.clock.sleep(5)
        reached(name)


async def bundled(this: Rig, seed: int) -> None:
    """The scenario of `python -m hostsim run`. ValueError when the books do not balance."""
    from hostsim.lives.accounts import Accounts
    from hostsim.lives.scenario import Scenario

    for _, step in Scenario(this, seed, lambda text: None).steps():
        await step()
    books = await Accounts.of(this)
    if not books.balance:
        raise ValueError(f"the books do not balance: {books.faults}")
