"""A CSMS for one test bench, on the `ocpp` and `websockets` libraries: it knows tokens, keeps a ledger, and can
misbehave on request."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import ocpp.messages
from ocpp.routing import on
from ocpp.v201 import ChargePoint, call_result, datatypes, enums
from ocpp.v201.enums import Action
from websockets.asyncio.server import ServerConnection, basic_auth, serve
from websockets.exceptions import ConnectionClosed

from hostsim.clock import SimClock
from hostsim.csms.ledger import Ledger
from hostsim.csms.misbehaviour import Wrong, spoil
from tools.builder import versions

SUBPROTOCOL = versions.load().subprotocol

ocpp.messages.ASYNC_VALIDATION = (
    False  # payloads are small: a thread for each costs more than it gives
)
logging.getLogger("ocpp").setLevel(logging.CRITICAL)
logging.getLogger("websockets").setLevel(logging.CRITICAL)


class CallError(Exception):
    """The station answered a CALL with a CALLERROR."""

    def __init__(self, code: str, description: str):
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description


@dataclass
class Token:
    """What the CSMS knows of a token."""

    status: str = "Accepted"
    group: str | None = None
    evses: list[int] = field(default_factory=list)  # where it may charge; empty: everywhere

    def info(self) -> datatypes.IdTokenInfoType:
        group = datatypes.IdTokenType(id_token=self.group, type="Central") if self.group else None
        return datatypes.IdTokenInfoType(
            status=self.status, group_id_token=group, evse_id=self.evses or None
        )


@dataclass(slots=True)
class Received:
    """A CALL of the station: when (simulated seconds), what, and in which connection."""

    time: float
    action: str
    payload: dict[str, Any]
    connection: int


class Peer(ChargePoint):
    """One connection of a station, as the `ocpp` library sees it."""

    def __init__(self, csms: "Csms", identity: str, connection: ServerConnection, number: int):
        super().__init__(identity, connection, response_timeout=csms.clock.wall(csms.call_timeout))
        self.csms = csms
        self.number = number
        self.since = csms.unix()
        self._tasks: set[asyncio.Task] = set()

    # --- the wire --------------------------------------------------------------------------------
    async def route_message(self, raw_msg: str) -> None:
        """Route a message, unless the script has other plans with it."""
        try:
            frame = json.loads(raw_msg)
            kind, unique_id = frame[0], frame[1]
        except (ValueError, LookupError, TypeError):
            return  # the tap has counted it
        if kind != 2 or len(frame) != 4:
            await super().route_message(raw_msg)
            return
        action, payload = frame[2], frame[3]
        wrong = self.csms.next_wrong(action, payload)
        if wrong is not None and wrong.how == "unheard":
            self._connection.transport.abort()
            return
        self.csms.note(Received(self.csms.clock.now(), action, payload, self.number))
        if action == "TransactionEvent":
            self.csms.ledger.record(payload, self.number, self.since)
        self._spoiled = (unique_id, wrong) if wrong else None
        await super().route_message(raw_msg)

    _spoiled: tuple[str, Wrong] | None = None
    silent = False

    async def fall_silent(self, seconds: float) -> None:
        """From then on nothing is read and nothing is said, not even a pong; the connection stays open."""
        await self.csms.clock.sleep(seconds)
        self.silent = True
        self._connection.transport.pause_reading()

    async def _send(self, message: str) -> None:
        if self.silent:
            return
        spoiled = self._spoiled
        if spoiled is None or json.loads(message)[1] != spoiled[0]:
            await self._connection.send(message)
            return
        self._spoiled = None
        await self._misbehave(spoiled[1], message)

    async def _misbehave(self, wrong: Wrong, message: str) -> None:
        texts = spoil(wrong, message)
        if wrong.how == "late":
            task = asyncio.create_task(self._send_later(wrong.delay, message, wrong.action))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        for text in texts:
            if text != message:
                self.csms.excuse(text)
            await self._connection.send(text)
        if wrong.how == "close":
            await self._connection.close(1011, "on purpose")

    async def _send_later(self, delay: float, message: str, action: str) -> None:
        await self.csms.clock.sleep(delay)
        if action == "BootNotification":
            self.since = self.csms.unix()
        with contextlib.suppress(ConnectionClosed):
            await self._connection.send(message)

    async def send_raw(self, text: str | bytes) -> None:
        """Send anything at all; it does not count as a fault of the station or the CSMS."""
        self.csms.excuse(text if isinstance(text, str) else text.decode("utf-8", "replace"))
        await self._connection.send(text)

    def send_bytes(self, data: bytes) -> None:
        """Put bytes on the socket behind the back of the WebSocket: frames that no server would send."""
        self._connection.transport.write(data)

    async def request(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Send a CALL as it is, checked by nobody, and await the answer. One at a time (OCPP-J 4.1.1)."""
        message = ocpp.messages.Call(str(self._unique_id_generator()), action, payload)
        async with self._call_lock:
            while not self._response_queue.empty():  # of calls that a test made by hand
                self._response_queue.get_nowait()
            await self._send(message.to_json())
            response = await self._get_specific_response(message.unique_id, self._response_timeout)
        if response.message_type_id == 4:
            raise CallError(response.error_code, response.error_description)
        return response.payload

    # --- what a station asks ---------------------------------------------------------------------
    @on(Action.boot_notification)
    def on_boot(self, **_):
        status, interval = self.csms.next_boot()
        if status == "Accepted":
            self.since = self.csms.unix()  # what was made before was made offline
        return call_result.BootNotification(self.csms.text(), interval, status)

    @on(Action.heartbeat)
    def on_heartbeat(self, **_):
        return call_result.Heartbeat(self.csms.text())

    @on(Action.authorize)
    def on_authorize(self, id_token, **_):
        return call_result.Authorize(self.csms.token(id_token["id_token"]).info())

    @on(Action.transaction_event)
    def on_transaction_event(self, id_token=None, **_):
        info = self.csms.token(id_token["id_token"]).info() if id_token else None
        return call_result.TransactionEvent(id_token_info=info)

    @on(Action.status_notification)
    def on_status(self, evse_id, connector_id, connector_status, **_):
        self.csms.statuses[evse_id, connector_id] = connector_status
        return call_result.StatusNotification()

    @on(Action.security_event_notification)
    def on_security_event(self, **payload):
        self.csms.ledger.security.append(payload)
        return call_result.SecurityEventNotification()

    @on(Action.meter_values)
    def on_meter_values(self, **_):
        return call_result.MeterValues()

    @on(Action.notify_report)
    def on_report(self, **payload):
        self.csms.reports.setdefault(payload["request_id"], []).append(payload)
        return call_result.NotifyReport()

    @on(Action.notify_event)
    def on_event(self, **_):
        return call_result.NotifyEvent()

    @on(Action.notify_customer_information)
    def on_customer_information(self, **_):
        return call_result.NotifyCustomerInformation()

    @on(Action.firmware_status_notification)
    def on_firmware_status(self, **_):
        return call_result.FirmwareStatusNotification()

    @on(Action.log_status_notification)
    def on_log_status(self, **_):
        return call_result.LogStatusNotification()

    @on(Action.data_transfer)
    def on_data_transfer(self, **_):
        return call_result.DataTransfer(enums.DataTransferStatusEnumType.unknown_vendor_id)


class Csms:
    """`boots`: what BootNotification is answered, one (status, interval) after the other, the last for ever.
    `tokens`: idToken (any case) -> Token; others are `stranger`. `password` None: no basic authentication.
    `call_timeout`: simulated seconds that `call` waits for an answer."""

    call_timeout = 60.0

    def __init__(
        self,
        clock: SimClock,
        *,
        password: str | None = None,
        subprotocols: tuple[str, ...] = (SUBPROTOCOL,),
        excuse: Callable[[str], None] = lambda text: None,
    ):
        self.clock = clock
        self.excuse = excuse
        self.boots: list[tuple[str, int]] = [("Accepted", 300)]
        self.tokens: dict[str, Token] = {}
        self.stranger = Token("Unknown")
        self.wrongs: list[Wrong] = []
        self.mood: Callable[[str], Wrong | None] = lambda action: (
            None
        )  # when no script has a wrong
        self.closes: Iterator[int | None] = iter(())  # the next connections, at once, with a code
        self.silent_after: Callable[[], float] | None = (
            None  # seconds for which a connection lives
        )
        self.ledger = Ledger()
        self.received: list[Received] = []
        self.statuses: dict[tuple[int, int], str] = {}
        self.reports: dict[int, list[dict]] = {}
        self.connections = 0
        self.ahead = 0.0  # seconds, of its clock
        self.port = 0
        self.peer: Peer | None = None
        self._password = password
        self._subprotocols = subprotocols
        self._server = None
        self._pulse: set[asyncio.Future] = set()

    async def start(self, port: int = 0) -> None:
        """Listen on the loopback; `port` 0: any free one."""
        auth = None
        if self._password is not None:
            auth = basic_auth(
                realm="csms", check_credentials=lambda _, word: word == self._password
            )
        self._server = await serve(
            self._connected,
            "127.0.0.1",
            port,
            select_subprotocol=self._select,
            process_request=auth,
            compression=None,
            ping_interval=None,
            close_timeout=0.5,
            max_size=1 << 22,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def unix(self) -> float:
        """What its clock shows, in Unix time."""
        return self.clock.unix() + self.ahead

    def text(self) -> str:
        """What its clock shows, as OCPP writes it."""
        return self.clock.text(self.ahead)

    def jump(self, seconds: float) -> None:
        """Put its clock forward, or back."""
        self.ahead += seconds
        if self.peer is not None:
            self.peer.since += seconds

    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ocpp"

    def knows(self, id_token: str, status: str = "Accepted", group: str | None = None) -> None:
        """Register a token."""
        self.tokens[id_token.lower()] = Token(status, group)

    def token(self, id_token: str) -> Token:
        if not id_token:  # a start button
            return Token()
        return self.tokens.get(id_token.lower(), self.stranger)

    def next_boot(self) -> tuple[str, int]:
        return self.boots.pop(0) if len(self.boots) > 1 else self.boots[0]

    def wrong(self, how: str, action: str = "*", **more: Any) -> Wrong:
        """Script a wrong (misbehaviour.WRONGS) for the next CALL of `action`; see Wrong for the rest."""
        wrong = Wrong(how, action, **more)
        self.wrongs.append(wrong)
        return wrong

    def next_wrong(self, action: str, payload: dict[str, Any]) -> Wrong | None:
        for wrong in self.wrongs:
            if wrong.applies(action, payload):
                wrong.times -= 1
                if not wrong.times:
                    self.wrongs.remove(wrong)
                return wrong
        return self.mood(action)

    async def call(self, action: str, payload: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request to the station and return its answer's payload.

        Raises CallError for a CALLERROR, TimeoutError, and ConnectionError when no station is connected.
        """
        if self.peer is None:
            raise ConnectionError("no station is connected to the CSMS")
        try:
            return await self.peer.request(action, payload or {})
        except ConnectionClosed as error:
            raise ConnectionError(f"the connection was lost while waiting for {action}") from error

    def note(self, received: Received) -> None:
        """Remember a CALL of the station and wake whoever waits for it."""
        self.received.append(received)
        self._wake()

    def mark(self) -> int:
        """The present place in what was received, for `seen(..., since=mark)`."""
        return len(self.received)

    async def seen(
        self,
        action: str,
        only: Callable[[dict[str, Any]], bool] = lambda payload: True,
        *,
        since: int = 0,
        timeout: float = 120.0,
    ) -> dict[str, Any]:
        """The payload of the first CALL behind `since` that fits, past or to come (simulated seconds)."""
        at = since

        def found() -> Received | None:
            nonlocal at
            while at < len(self.received):
                item = self.received[at]
                at += 1
                if item.action == action and only(item.payload):
                    return item  # not its payload: a Heartbeat's is empty
            return None

        what = f"{action} from the station"
        return (await self.until(found, what, timeout)).payload

    async def until(self, holds: Callable[[], Any], what: str = "", timeout: float = 120.0) -> Any:
        """Wait until `holds()` is true, looked at whenever something arrives or a connection changes."""
        try:
            async with self.clock.timeout(timeout):
                while not (result := holds()):
                    future = asyncio.get_running_loop().create_future()
                    self._pulse.add(future)
                    try:
                        await future
                    finally:
                        self._pulse.discard(future)
                return result
        except TimeoutError:
            raise TimeoutError(
                f"no {what or 'change'} within {timeout:g} simulated seconds"
            ) from None

    def _wake(self) -> None:
        for future in self._pulse:
            if not future.done():
                future.set_result(None)

    def _select(self, connection: ServerConnection, offered: list[str]) -> str | None:
        """The subprotocol that both speak. None: complete the handshake and then hang up, as OCPP-J has it."""
        return next((name for name in self._subprotocols if name in offered), None)

    async def _connected(self, connection: ServerConnection) -> None:
        self.connections += 1
        code = next(self.closes, None)
        if code:
            self._wake()
            await connection.close(code, "on purpose")
            return
        identity = connection.request.path.partition("?")[0].rpartition("/")[2]
        peer = self.peer = Peer(self, identity, connection, self.connections)
        self._wake()
        silence = None
        if self.silent_after is not None:
            silence = asyncio.create_task(peer.fall_silent(self.silent_after()))
        try:
            if connection.subprotocol is None:
                await connection.close(1002, "no common subprotocol")
                return
            await peer.start()
        except (ConnectionClosed, OSError):
            pass
        finally:
            if silence is not None:
                silence.cancel()
            if self.peer is peer:
                self.peer = None
            self._wake()
