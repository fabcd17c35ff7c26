"""What the hostile tests share: a station that charges, somebody who attacks it, and the question whether it lives."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from hostsim.charger import lane32
from hostsim.lives.harness import Rig, rig
from hostsim.net import schemas
from hostsim.net.traffic import DOWN, UP, MessageSeen

FAST = {
    "SampledDataCtrlr.TxUpdatedInterval": "5",
    "OCPPCommCtrlr.RetryBackOffWaitMinimum": "1",
    "OCPPCommCtrlr.RetryBackOffRandomRange": "0",
    "OCPPCommCtrlr.RetryBackOffRepeatTimes": "0",
    "OCPPCommCtrlr.WebSocketPingInterval": "10",
}
LANES = [64, 32]
HEAP = "64k"  # of the 32-bit lane
_GROWTH = {64: 4096, 32: 2048}  # bytes of heap that may differ: what runs at that instant

_OUTPUT = {
    "component": {"name": "ClockCtrlr"},
    "variable": {"name": "DateTime"},
}
_TOKEN = {"idToken": "NOBODY", "type": "Central"}
# A request of each action that is answered and changes nothing, so that every block is in the heap.
HARMLESS: dict[str, dict[str, Any]] = {
    "GetVariables": {"getVariableData": [_OUTPUT | {"attributeType": "Actual"}]},
    "SetVariables": {"setVariableData": [_OUTPUT | {"attributeValue": "never"}]},
    "GetBaseReport": {"requestId": 1, "reportBase": "SummaryInventory"},
    "RequestStartTransaction": {"idToken": _TOKEN, "remoteStartId": 1, "evseId": 99},
    "RequestStopTransaction": {"transactionId": "no-such"},
    "GetTransactionStatus": {"transactionId": "no-such"},
    "TriggerMessage": {"requestedMessage": "Heartbeat", "evse": {"id": 1, "connectorId": 1}},
    "ChangeAvailability": {"operationalStatus": "Operative", "evse": {"id": 99, "connectorId": 1}},
    "Reset": {"type": "OnIdle", "evseId": 99},
    "UnlockConnector": {"evseId": 99, "connectorId": 1},
    "DataTransfer": {"vendorId": "x", "messageId": "y", "data": {"any": [1, None]}},
}


class Attack:
    """A rig under attack: its station charges, and `survived` says whether it still does."""

    def __init__(self, this: Rig, bits: int):
        self.rig = this
        self.csms = this.csms
        self.station = this.station
        self._bits = bits
        self._heap = 0
        self._ids = 0
        self._pulse: set[asyncio.Future] = set()
        self._excused: tuple[str, ...] = ()
        self._excused_words: tuple[str, ...] = ()
        this.traffic.on_message.append(self._message)

    async def begin(self) -> None:
        """Charge, use everything once, and remember the heap."""
        await self.rig.charging()
        await self.use_everything()
        await self.remember_heap()

    async def remember_heap(self) -> None:
        """From here on the heap must not grow."""
        self._heap = (await self.station.heap())["live"]

    async def use_everything(self) -> None:
        for action, payload in HARMLESS.items():
            await self.call(action, payload)
        await self.refused([2, self.id(), "Nonsense", {}], "NotImplemented")

    # --- attacking -------------------------------------------------------------------------------
    def id(self) -> str:
        """A message id that was never used."""
        self._ids += 1
        return f"h{self._ids}"

    async def say(self, message: Any) -> None:
        """Send a message as it is (str, bytes) or as JSON; whatever it is, it is no fault of the CSMS."""
        await self.connected()
        text = message if isinstance(message, str | bytes) else json.dumps(message)
        await self.csms.peer.send_raw(text)

    async def call(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """A good call of the CSMS; once more when the attack has just cost the connection."""
        for _ in range(10):
            await self.connected()
            with contextlib.suppress(ConnectionError):
                return await self.csms.call(action, payload)
        raise AssertionError("no connection holds")

    async def put(self, data: bytes) -> None:
        """Put bytes on the socket, below the WebSocket."""
        await self.connected()
        self.csms.peer.send_bytes(data)

    def excuse_times(self) -> None:
        """This test's CSMS gives the wrong time: what the station then writes is old, or of the future."""
        self._excused_words += ("is older than", "was made before this connection", "yet offline")

    def excuse_frames(self) -> None:
        """This test breaks the WebSocket protocol itself, from the CSMS to the station."""
        self._excused = ("CSMS ? :", *(f"connection {n} {DOWN}" for n in range(1, 1000)))

    def excuse_answers(self) -> None:
        """Its calls and answers are so odd that whoever looks on cannot tell what belongs together."""
        self._excused_words += (
            "is not answered yet",
            "answers no CALL",
            "message id is not a",
            "is no action",
        )

    def says(self, action: str, payload: Any) -> None:
        """Answer the next CALL of `action` with this payload, whatever the schema says."""
        self.csms.wrong("answer", action, payload=payload)

    async def connected(self) -> None:
        await self.csms.until(lambda: self.csms.peer, "connection")

    async def heard(self, holds: Callable[[MessageSeen], bool], what: str, timeout: float = 120):
        """The first message of the station, past or to come, for which `holds`."""
        try:
            async with self.rig.clock.timeout(timeout):
                while True:
                    for message in self.rig.traffic.messages:
                        if message.direction == UP and holds(message):
                            return message
                    future = asyncio.get_running_loop().create_future()
                    self._pulse.add(future)
                    try:
                        await future
                    finally:
                        self._pulse.discard(future)
        except (TimeoutError, asyncio.TimeoutError):
            raise AssertionError(f"no {what} from the station") from None

    def _message(self, message: MessageSeen) -> None:
        for future in self._pulse:
            if not future.done():
                future.set_result(None)

    async def answer(self, ident: str) -> MessageSeen:
        """The station's answer with this message id."""
        answers = (schemas.CALLRESULT, schemas.CALLERROR)
        return await self.heard(lambda m: m.kind in answers and m.id == ident, f"answer {ident}")

    async def refused(self, message: list, *codes: str) -> None:
        """Send a CALL that must be answered with one of these error codes."""
        await self.say(message)
        answer = json.loads((await self.answer(message[1])).text)
        assert answer[0] == schemas.CALLERROR and answer[2] in codes, (message, answer)

    # --- what must hold --------------------------------------------------------------------------
    async def survived(self, heap: bool = True) -> None:
        """The station answers, its queue drains in order, no task died, and its heap is what it was."""
        await self.station.wait("accepted", 600)
        mark = self.csms.mark()
        answer = await self.call("GetVariables", HARMLESS["GetVariables"])
        assert answer["getVariableResult"][0]["attributeStatus"] == "Accepted"
        trigger = {"requestedMessage": "Heartbeat"}
        assert (await self.call("TriggerMessage", trigger))["status"] == "Accepted"
        await self.csms.seen("Heartbeat", since=mark)
        await self.csms.seen("TransactionEvent", since=mark)
        await self.rig.drained(900)
        state = await self.station.state()
        assert not (problems := self.problems()), "\n".join(problems)
        assert state["power"] == "on"
        assert state["counters"]["handler_faults"] == 0
        queue = state["queue"]
        assert queue["discarded"] == queue["thinned"] == queue["damaged"] == 0
        assert self.csms.ledger.lost() == 0
        if heap:
            # A whole turn of the sender and of the control task first: nothing of the attack is in flight.
            live = min([(await self.station.heap())["live"] for _ in range(3)])
            assert live - self._heap < _GROWTH[self._bits], (self._heap, live)

    def problems(self) -> list[str]:
        return [
            text
            for text in self.rig.problems()
            if not text.startswith(self._excused)
            and not any(words in text for words in self._excused_words)
        ]

    async def counted(self, name: str) -> int:
        return (await self.station.state())["counters"][name]


@contextlib.asynccontextmanager
async def attack(
    bits: int = 64, *, settings: dict[str, str] | None = None, heap: str = HEAP, **options: Any
) -> AsyncIterator[Attack]:
    """A station that charges, on a lane; whoever leaves in peace finds that it survived."""
    if bits == 32:
        if lane32.lane32(fetch=False) is None:
            pytest.skip("no 32-bit MicroPython here: `python -m hostsim.charger.lane32` gets one")
        options |= {"lane": 32, "heap": heap}
    async with rig(settings=FAST | (settings or {}), **options) as this:
        attack = Attack(this, bits)
        await attack.begin()
        yield attack
        await attack.survived()


lanes = pytest.mark.parametrize("bits", LANES)
# For what takes long: one lane, the small one where there is one.
one_lane = pytest.mark.parametrize("bits", [32 if lane32.lane32(fetch=False) else 64])


def invalid(action: str, payload: Any) -> bool:
    """Does the official schema refuse this payload?"""
    return bool(schemas.payload_faults(action, payload))
