"""The bench of a script: the CSMS, the virtual charger and what has been seen of the station, in simulated time.

Times are those of the tap on the wire, in virtual seconds: what this machine does besides takes none. The station looks
at its inputs and its clock once a second when nothing happens, and rounds timestamps to seconds: `EARLY` and `LATE` are
that. A gap that must be at least n is checked as n - EARLY; one that must be n, as n - EARLY to n + LATE.
"""

import asyncio
import base64
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hostsim.clock import unix_time
from hostsim.csms.misbehaviour import become
from hostsim.lives import harness
from hostsim.net.network import Network
from hostsim.net.traffic import DOWN, UP, MessageSeen, Tap
from tools.measure.conformance.presets import PASSWORD, Preset

EARLY = 1.0  # see above
LATE = 1.5
WITHIN = 60.0  # simulated seconds in which a station does what it does at once

METER_VALUES = ("MeterValuePeriodic", "MeterValueClock", "Trigger")
NOWHERE = "ws://127.0.0.1:9"  # nobody listens there


@dataclass(frozen=True)
class Token:
    """An idToken of the configuration."""

    value: str
    type: str = "ISO14443"

    @property
    def json(self) -> dict[str, str]:
        return {"idToken": self.value, "type": self.type}

    def matches(self, payload: dict[str, Any]) -> bool:
        """Is it this token that a message carries? The value's case does not count."""
        token = payload.get("idToken") or {}
        value, kind = token.get("idToken", ""), token.get("type")
        return value.lower() == self.value.lower() and kind == self.type


class Call:
    """A CALL of the station: what, when (simulated seconds), in which connection, and how it was answered."""

    def __init__(self, seen: MessageSeen):
        self.action: str = seen.action
        self.payload: dict[str, Any] = seen.payload
        self.time = seen.time
        self.connection = seen.connection
        self.id = seen.id
        self.answer: dict[str, Any] | None = None
        self.answered = 0.0
        self.taken = False

    def __getitem__(self, path: str) -> Any:
        """A field by its path, "transactionInfo.chargingState" or "eventData.0.trigger"; None where there is none."""
        return at(self.payload, path)

    def __repr__(self) -> str:
        return f"[{self.time:.2f}] {brief(self.action, self.payload)}"


def at(payload: Any, path: str) -> Any:
    """A field by its dotted path, None where there is none."""
    for name in path.split("."):
        if isinstance(payload, list) and name.isdigit() and int(name) < len(payload):
            payload = payload[int(name)]
        elif isinstance(payload, dict) and name in payload:
            payload = payload[name]
        else:
            return None
    return payload


def brief(action: str, payload: dict[str, Any]) -> str:
    """A message in a line, for a person who looks for what went wrong."""
    parts = ["eventType", "triggerReason", "seqNo", "transactionInfo.chargingState"]
    parts += [
        "transactionInfo.stoppedReason",
        "evse.id",
        "evseId",
        "connectorId",
        "connectorStatus",
    ]
    parts += ["reason", "type", "status", "idToken.idToken"]
    words = [str(value) for part in parts if (value := at(payload, part)) is not None]
    return " ".join([action, *words])


def check(payload: Any, wanted: dict[str, Any], what: str = "") -> None:
    """Assert fields by path. A tuple or a set lists what may be; None: the field is not there; ...: it is."""
    payload = payload.payload if isinstance(payload, Call) else payload
    for path, value in wanted.items():
        seen = at(payload, path)
        assert _fits(seen, value), f"{what or payload}: {path} is {seen!r}, expected {value!r}"


def _fits(seen: Any, wanted: Any) -> bool:
    if wanted is ...:
        return seen is not None
    if isinstance(wanted, (tuple, set, frozenset)):
        return any(_fits(seen, one) for one in wanted)
    if callable(wanted):
        return bool(wanted(seen))
    return seen == wanted


class Octt:
    """What a script holds in its hand. See README.md."""

    evse, connector = 1, 1  # the configured ones
    transaction_duration = 5.0  # simulated seconds that energy flows before a script stops it
    connection_timeout = 30  # EVConnectionTimeOut, where a script sets it
    meter_interval = 10  # of aligned and sampled values

    def __init__(self, preset: Preset, kind: str | None = None, **options: Any):
        self.preset = preset
        self.kind = kind  # of CSMS, one of hostsim.csms.misbehaviour.KINDS
        self.options = options
        self.password = PASSWORD
        self.token = Token("04A2B3C4D5E6F7")
        self.token2 = Token("04A2B3C4D5E6F8")  # also valid
        self.group = "GROUP-1"  # of both, where a script gives them one
        self.invalid = Token("0BADBADBADBAD0")
        self.unknown = Token("0123456789ABCD")
        self.blocked = Token("0B10C8ED000000")
        self.expired = Token("0E8F16ED000000")
        self.master = Token("0A57E8FA550000")
        self.master_group = "MASTERS"
        # Where a script stands; states.py keeps it. EVSE -> what holds there.
        self.state: dict[int, State] = {}
        self.calls: list[Call] = []
        self.places: dict[str, int] = {}  # transactionId -> EVSE
        self._ended: set[str] = set()  # transactionIds
        self.attempts: list[
            tuple[float, int]
        ] = []  # connection attempts that found nobody: when, port
        self.upgrades: list[tuple[float, int]] = []  # those that became a connection
        self.second = None  # hostsim.net.network.Network of the other endpoint
        self.excused: list[Callable[[str], bool]] = []
        self._pulse: set[asyncio.Future] = set()
        self._open: dict[tuple[int, str], Call] = {}
        self._remote_ids = 100
        self._requests = 1000
        self._fault_count = 0

    # --- the product -------------------------------------------------------------------------------
    def has(self, when: str) -> bool:
        """Whether the product has the features of an expression, "C30 and HFS8 > 1"."""
        return self.preset.has(when)

    @property
    def reader(self) -> bool:
        """Is there a card reader? If not, authorization is remote."""
        return self.has("C30 or C31 or C32")

    @property
    def evses(self) -> range:
        return range(1, len(self.preset.evses) + 1)

    @property
    def connectors(self) -> list[tuple[int, int]]:
        """Every (evse, connector) of the station."""
        return [
            (e, c + 1) for e, kinds in enumerate(self.preset.evses, 1) for c in range(len(kinds))
        ]

    # --- life --------------------------------------------------------------------------------------
    @contextlib.asynccontextmanager
    async def running(self):
        """Power up, be accepted, be quiet; at the end, what holds for every script."""
        async with harness.rig(**self.preset.rig() | self.options, power=False) as rig:
            self.rig = rig
            if self.kind:
                become(self.kind, rig.csms, rig.network)
            rig.traffic.on_message.append(self._message)
            self._watch(rig.network)
            rig.traffic.on_handshake.append(self._upgraded)
            self._tokens()
            await rig.device.power_on()
            await rig.booted()
            self.state = {evse: State() for evse in self.evses}
            self.start_points = await self._points("TxStartPoint")
            self.stop_points = await self._points("TxStopPoint")
            await self.quiet()
            self.forget()
            self.began = len(self.calls)
            try:
                yield self
            finally:
                if self.second is not None:
                    await self.second.stop()
            problems = [
                text for text in rig.problems() if not any(ok(text) for ok in self.excused)
            ]
            assert not problems, problems
            self._check_transactions()

    def _tokens(self) -> None:
        for token in (self.token, self.token2):
            self.csms.knows(token.value)
        self.csms.knows(self.invalid.value, "Invalid")
        self.csms.knows(self.blocked.value, "Blocked")
        self.csms.knows(self.expired.value, "Expired")
        self.csms.knows(self.master.value, "Accepted", self.master_group)

    async def _points(self, variable: str) -> set[str]:
        return set((await self.station.get("TxCtrlr", variable)).split(","))

    @property
    def csms(self):
        return self.rig.csms

    @property
    def station(self):
        return self.rig.station

    @property
    def hardware(self):
        return self.rig.hardware

    @property
    def clock(self):
        return self.rig.clock

    def now(self) -> float:
        """Simulated seconds, as the times of messages."""
        return self.clock.now()

    async def sleep(self, seconds: float) -> None:
        """Let simulated time pass."""
        await self.clock.sleep(seconds)

    def excuse(self, *words: str) -> None:
        """Let problems that contain one of these words be part of the script."""
        self.excused += [lambda text, word=word: word in text for word in words]

    # --- what the station says -----------------------------------------------------------------------
    def _message(self, seen: MessageSeen) -> None:
        if seen.direction == UP and seen.kind == 2:
            call = Call(seen)
            self.calls.append(call)
            self._open[seen.connection, seen.id] = call
            if call.action == "TransactionEvent":
                self._follow(call)
        elif seen.direction == DOWN and seen.kind in (3, 4):
            call = self._open.pop((seen.connection, seen.id), None)
            if call is not None:
                call.answer, call.answered = seen.payload, seen.time
        for future in self._pulse:
            if not future.done():
                future.set_result(None)

    def _follow(self, call: Call) -> None:
        """Where a transaction runs, from what the station says. The EVSE may come later than the start."""
        name = call["transactionInfo.transactionId"]
        evse = self.places[name] = call["evse.id"] or self.places.get(name, self.evse)
        ended = call["eventType"] == "Ended"
        self.state.setdefault(evse, State()).actual = None if ended else name

    def _take(self, call: Call) -> Call:
        """The script has seen it: for the script, a transaction starts and ends with the events that it took."""
        call.taken = True
        if call.action == "TransactionEvent":
            name = call["transactionInfo.transactionId"]
            place = self.state[self.places[name]]
            if call["eventType"] == "Ended":
                self._ended.add(name)
                place.transaction = None if place.transaction == name else place.transaction
            # An Updated may be taken after the Ended that it came before.
            elif name not in self._ended:
                place.transaction = name
        return call

    async def until(self, holds: Callable[[], Any], what: str, within: float = WITHIN) -> Any:
        """Wait until `holds()`, looked at whenever a message passes."""
        try:
            async with self.clock.timeout(within):
                while not (result := holds()):
                    future = asyncio.get_running_loop().create_future()
                    self._pulse.add(future)
                    try:
                        await future
                    finally:
                        self._pulse.discard(future)
                return result
        except TimeoutError:
            seen = [call for call in self.calls if not call.taken][-12:]
            raise AssertionError(
                f"no {what} within {within:g} s; not taken yet: {seen or 'nothing'}"
            ) from None

    def forget(self, before: "Call | None" = None) -> None:
        """What has come so far, or before a call, is no longer of interest."""
        for call in self.calls:
            if call is before:
                return
            if not call.taken:
                self._take(call)

    def seen(
        self, action: str, where: Callable[[Call], bool] | None = None, **wanted: Any
    ) -> list[Call]:
        """All CALLs that came and nobody has taken yet."""
        return [
            call
            for call in self.calls
            if not call.taken
            and call.action == action
            and _all(call, wanted)
            and (where is None or where(call))
        ]

    def calls_of(self, action: str) -> list[Call]:
        """All CALLs of the script since it began, taken or not."""
        return [call for call in self.calls[self.began :] if call.action == action]

    def seen_after(self, call: Call) -> list[Call]:
        """All CALLs behind that one, taken or not."""
        return self.calls[self.calls.index(call) + 1 :]

    async def expect(
        self,
        action: str,
        where: Callable[[Call], bool] | None = None,
        *,
        within: float = WITHIN,
        answer: bool = True,
        **wanted: Any,
    ) -> Call:
        """The first CALL that fits and that nobody has taken, past or to come; it is taken. Messages of other kinds
        may come before it. `wanted` are fields (`evse__id` for evse.id), as `check` takes them; with `answer`, our
        answer has left too. What must hold of the very next one is for `check`."""
        call = (
            await self.until(
                lambda: self.seen(action, where, **wanted), _what(action, wanted), within
            )
        )[0]
        self._take(call)
        if answer:
            await self._answered(call)
        return call

    async def _answered(self, call: Call) -> None:
        """Let our answer leave, if one does: a CSMS that is silent on purpose sends none."""
        for _ in range(20):
            if call.answer is None:
                await self.sleep(0.005)

    async def nothing(
        self,
        action: str | Iterable[str] | None,
        for_seconds: float,
        where: Callable[[Call], bool] | None = None,
        **wanted: Any,
    ) -> None:
        """Nothing that fits comes for so long, and nothing of the kind is left from before (None: any CALL)."""
        await self.sleep(for_seconds)
        actions = (action,) if isinstance(action, str) else action
        found = [
            call
            for call in self.calls
            if not call.taken
            and (actions is None or call.action in actions)
            and _all(call, wanted)
            and (where is None or where(call))
        ]
        assert not found, f"expected none of these: {found}"

    async def quiet(self, seconds: float = 2.0) -> None:
        """Wait until the station has had nothing to say for so long."""
        count = -1
        while count != len(self.calls):
            count = len(self.calls)
            await self.sleep(seconds)

    async def event(
        self,
        trigger: str | tuple[str, ...] | None = None,
        *,
        kind: str | tuple[str, ...] | None = None,
        state: str | tuple[str, ...] | None = None,
        evse: int | None = None,
        within: float = WITHIN,
        **wanted: Any,
    ) -> Call:
        """The very next TransactionEvent (of that EVSE) that is no meter value, and it must be this one."""
        fits = lambda call: (  # noqa: E731
            (call["triggerReason"] not in METER_VALUES or call["triggerReason"] == trigger)
            and (evse is None or self.places[call["transactionInfo.transactionId"]] == evse)
        )
        what = f"TransactionEvent {trigger or ''} {kind or ''} {state or ''}"
        call = (await self.until(lambda: self.seen("TransactionEvent", fits), what, within))[0]
        self._take(call)
        fields = {
            "triggerReason": trigger,
            "eventType": kind,
            "transactionInfo.chargingState": state,
        }
        fields = {name: value for name, value in fields.items() if value is not None}
        check(call, fields | _paths(wanted), what=repr(call))
        await self._answered(call)
        return call

    async def status(
        self,
        status: str,
        evse: int | None = None,
        connector: int | None = None,
        within: float = WITHIN,
    ) -> Call:
        """The next report of that connector's status, by StatusNotification or NotifyEvent, and it must be this."""
        evse, connector = evse or self.evse, connector or self.connector
        what = f"status {status} of connector {evse}/{connector}"
        found = await self.until(lambda: self._statuses((evse, connector)), what, within)
        call, seen = found[0]
        self._take(call)
        assert seen == status, f"{what}: the station says {seen}"
        await self._answered(call)
        return call

    async def statuses(self, wanted: dict[tuple[int, int], str], within: float = WITHIN) -> None:
        """The next report of each of these connectors."""
        for (evse, connector), status in wanted.items():
            await self.status(status, evse, connector, within)

    def _statuses(self, place: tuple[int, int]) -> list[tuple[Call, str]]:
        found = []
        for call in self.calls:
            if call.taken:
                continue
            if call.action == "StatusNotification":
                if (call["evseId"], call["connectorId"]) == place:
                    found.append((call, call["connectorStatus"]))
            elif call.action == "NotifyEvent":
                for data in call["eventData"]:
                    wanted = {
                        "trigger": "Delta",
                        "component.name": "Connector",
                        "variable.name": "AvailabilityState",
                        "component.evse.id": place[0],
                        "component.evse.connectorId": place[1],
                    }
                    if all(at(data, path) == value for path, value in wanted.items()):
                        found.append((call, data["actualValue"]))
        return found

    # --- what the CSMS says --------------------------------------------------------------------------
    async def call(
        self, action: str, payload: dict[str, Any] | None = None, **wanted: Any
    ) -> dict[str, Any]:
        """Call the station; its answer's payload, of which `wanted` must hold. CallError for a CALLERROR."""
        answer = await self.csms.call(action, payload)
        check(answer, _paths(wanted), what=f"answer to {action}: {answer}")
        return answer

    async def configure(self, values: dict[str, Any], *, optional: bool = False) -> None:
        """The configuration state, by SetVariables: "Component.Variable[.Instance]" -> value. What cannot be written
        must have the value already; with `optional`, it may have another, or not be there at all."""
        items = list(values.items())
        for start in range(0, len(items), 4):
            await self._set(items[start : start + 4], optional)
        for variable, points in (("TxStartPoint", "start_points"), ("TxStopPoint", "stop_points")):
            if f"TxCtrlr.{variable}" in values:
                setattr(self, points, await self._points(variable))

    async def _set(self, items: list[tuple[str, Any]], optional: bool) -> None:
        data = [variable(name) | {"attributeValue": text(value)} for name, value in items]
        answer = await self.csms.call("SetVariables", {"setVariableData": data})
        for (name, value), result in zip(items, answer["setVariableResult"], strict=True):
            status = result["attributeStatus"]
            if status == "Rejected":
                same = await self.get(name) == text(value)
                status = "Accepted" if same or optional else status
            elif optional and status in ("UnknownComponent", "UnknownVariable"):
                status = "Accepted"
            assert status in ("Accepted", "RebootRequired"), f"{name} = {value}: {result}"

    async def get(self, name: str, evse: int = 0, connector: int = 0) -> str | None:
        """The value of a variable, by GetVariables; None when there is none to read."""
        item = variable(name)
        if evse:
            place = {"id": evse} | ({"connectorId": connector} if connector else {})
            item["component"]["evse"] = place
        answer = await self.csms.call("GetVariables", {"getVariableData": [item]})
        result = answer["getVariableResult"][0]
        return (
            result.get("attributeValue", "") if result["attributeStatus"] == "Accepted" else None
        )

    async def moment(self, times: list, count: int, within: float = 300.0) -> float:
        """The time of entry `count` (from 0) of `attempts` or `upgrades`, waited for."""
        async with self.clock.timeout(within):
            while len(times) <= count:
                await self.sleep(0.005)
        return times[count][0]

    def request_id(self) -> int:
        """A fresh requestId."""
        self._requests += 1
        return self._requests

    def remote_start_id(self) -> int:
        """A fresh remoteStartId."""
        self._remote_ids += 1
        return self._remote_ids

    # --- the connection ------------------------------------------------------------------------------
    async def close(self, *, refuse: bool = False) -> float:
        """The CSMS closes the WebSocket; with `refuse`, nobody is there until `accept`. When it happened."""
        if refuse:
            self.refuse()
        peer = self.csms.peer
        when = self.now()
        await peer._connection.close(1001, "on purpose")
        await self.csms.until(lambda: self.csms.peer is not peer, "end of the connection", 30)
        return when

    def refuse(self, network: Network | None = None) -> None:
        """Let connection attempts (at `second`, say) find nobody; `attempts` has their times."""
        (network or self.rig.network).upstream = NOWHERE

    def accept(self, network: Network | None = None) -> None:
        """The CSMS is there again."""
        (network or self.rig.network).upstream = self.csms.url()

    def _watch(self, network: Network) -> None:
        network.on_unreachable.append(lambda _: self.attempts.append((self.now(), network.port)))

    def _upgraded(self, tap: Tap) -> None:
        host = next(line for line in tap.request if line.lower().startswith("host:"))
        if tap.status == 101:
            self.upgrades.append((self.now(), int(host.rpartition(":")[2])))

    async def endpoint(self) -> str:
        """A second endpoint of the CSMS, `second`, which can refuse by itself; its URL."""
        self.second = Network(self.clock, self.csms.url(), self.rig.traffic)
        await self.second.start()
        self._watch(self.second)
        return self.second.url()

    def authorization(self) -> tuple[str, str]:
        """User and password of the Authorization header of the present connection."""
        header = self.csms.peer._connection.request.headers["Authorization"]
        scheme, _, coded = header.partition(" ")
        assert scheme == "Basic", header
        user, _, word = base64.b64decode(coded).decode().partition(":")
        return user, word

    async def connected(self, within: float = 300.0) -> None:
        """Wait until the station has connected and is accepted."""
        await self.csms.until(lambda: self.csms.peer is not None, "connection", within)
        await self.station.wait("accepted", within)

    async def offline(self) -> None:
        """Close the WebSocket and stay away, until the station has noticed."""
        await self.close(refuse=True)
        await self.station.wait("disconnected")

    async def online(self, within: float = 300.0) -> None:
        """Be there again, and wait for the station."""
        self.accept()
        await self.connected(within)

    # --- the driver ----------------------------------------------------------------------------------
    async def present(self, token: Token | None = None, evse: int | None = None) -> None:
        """Hold a card to the reader. One that is held twice within 2 s counts once, so that much time passes first."""
        await self.sleep(2.5)
        token = token or self.token
        self.hardware.card(token.value, token.type, evse or self.evse)
        await self.rig.device.settled()

    # --- what holds for every script ---------------------------------------------------------------
    def _check_transactions(self) -> None:
        """A transaction begins with Started, its seqNos count, and what the end was is said where it ends."""
        events: dict[str, list[Call]] = {}
        for call in self.calls:
            if call.action == "TransactionEvent":
                events.setdefault(call["transactionInfo.transactionId"], []).append(call)
        for name, calls in events.items():
            first = min(calls, key=lambda call: call["seqNo"])
            assert first["eventType"] == "Started", f"{name} does not begin with Started: {first}"
            assert (
                len({call["seqNo"] for call in calls}) == max(call["seqNo"] for call in calls) + 1
            )


@dataclass
class State:
    """Where a script stands at one EVSE."""

    bay: bool = False
    connected: bool = False
    authorized: bool = False
    energy: bool = False
    remote: bool = False  # authorized from afar
    token_told: bool = False
    transaction: str | None = None  # that runs, by the events that the script took
    actual: str | None = None  # that runs, by all events
    token: Token | None = None  # that charging is authorized with
    remote_id: int = 0
    stopped_remote: bool = False


def variable(name: str) -> dict[str, Any]:
    """The component and variable of "Component.Variable[.Instance]"."""
    component, _, rest = name.partition(".")
    name, _, instance = rest.partition(".")
    named = {"name": name} | ({"instance": instance} if instance else {})
    return {"component": {"name": component}, "variable": named}


def text(value: Any) -> str:
    """A value as a variable has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return ",".join(value)
    return str(value)


def when(call: Call, path: str = "timestamp") -> float:
    """A dateTime of a message in Unix time."""
    return unix_time(call[path])


def _all(call: Call, wanted: dict[str, Any]) -> bool:
    return all(_fits(at(call.payload, path), value) for path, value in _paths(wanted).items())


def _paths(wanted: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("__", "."): value for name, value in wanted.items()}


def _what(action: str, wanted: dict[str, Any]) -> str:
    return action + (
        "" if not wanted else " with " + ", ".join(f"{k}={v!r}" for k, v in _paths(wanted).items())
    )
