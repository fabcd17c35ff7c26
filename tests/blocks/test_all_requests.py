"""Everything that a CSMS may ask, well and badly: what is handled, what is refused, and with which code."""

import asyncio
import json
from typing import Any

from hostsim.lives.harness import Rig, rig, simulate
from hostsim.net import schemas
from hostsim.net.traffic import UP, MessageSeen
from tests.blocks import payloads

# Core as well, and still to come: certificates and firmware update.
PENDING = {
    "DeleteCertificate",
    "GetInstalledCertificateIds",
    "InstallCertificate",
    "UpdateFirmware",
}
LATER = ("GetTariffs", "NotifyWebPaymentStarted", "OpenPeriodicEventStream")  # of OCPP 2.1


class Asker:
    """Sends CALLs that may be anything, one at a time, and has the answers."""

    def __init__(self, this: Rig):
        self.rig = this
        self._count = 0
        self._open: tuple[str, asyncio.Future] = ("", None)
        this.traffic.on_message.append(self._message)

    def _message(self, seen: MessageSeen) -> None:
        ident, future = self._open
        if seen.direction == UP and seen.id == ident and seen.kind in (3, 4) and not future.done():
            future.set_result(json.loads(seen.text))

    async def ask(self, action: str, payload: Any) -> list:
        """The whole frame of the answer."""
        self._count += 1
        ident = f"a{self._count}"
        self._open = ident, asyncio.get_running_loop().create_future()
        text = json.dumps([2, ident, action, payload])
        if schemas.payload_faults(action, payload):
            await self.rig.csms.peer.send_raw(text)
        else:
            await self.rig.csms.peer._connection.send(text)
        async with self.rig.clock.timeout(60):
            return await self._open[1]


async def code(asker: Asker, action: str, payload: Any) -> str | None:
    """The error code of the answer, None for a CALLRESULT."""
    answer = await asker.ask(action, payload)
    return answer[2] if answer[0] == 4 else None


@simulate
async def test_all_requests_of_a_csms():
    assert len(payloads.ASKED) == 40
    core = set(payloads.CORE) | PENDING
    assert core <= payloads.ASKED
    async with rig() as this:
        asker = Asker(this)
        for action in sorted(payloads.ASKED):
            payload = payloads.least(action)
            assert not schemas.payload_faults(action, payload)
            wanted = None if action in payloads.CORE else "NotSupported"
            assert await code(asker, action, payload) == wanted, action
            if action not in core:  # whatever is in it
                assert await code(asker, action, {"unheardOf": 1}) == "NotSupported", action
        for action in (*LATER, "Nonsense", "reset", "BootNotificationResponse", ""):
            assert await code(asker, action, {}) == "NotImplemented", action
        for action in sorted(payloads.SENT):
            wanted = ("NotSupported", "NotImplemented")
            assert await code(asker, action, payloads.least(action)) in wanted, action
        this.traffic.faults = [text for text in this.traffic.faults if "is no action" not in text]
        assert this.problems() == []


@simulate
async def test_bad_requests():
    """Each field of each request of Core with one thing wrong, in one session. Nothing comes of any of them."""
    async with rig() as this:
        asker = Asker(this)
        largest = int(await this.station.get("DeviceDataCtrlr", "BytesPerMessage", "SetVariables"))
        count, bad = 0, []
        for action in payloads.CORE:
            for case in payloads.wrong(action):
                beyond = case.what.endswith("too large")  # for 32 bits: the schemas know no limit
                assert beyond or schemas.payload_faults(action, case.payload), case.what
                wanted = case.code
                if len(json.dumps(case.payload)) + 60 > largest:
                    wanted = payloads.UNKNOWN  # more than fits
                seen = await code(asker, action, case.payload)
                count += wanted is not None
                if seen != wanted:
                    bad.append(f"{case.what}: {seen}, expected {wanted}")
        assert not bad, "\n".join(bad)
        assert count > 450
        counters = (await this.station.state())["counters"]
        assert counters["refused_calls"] == count and counters["handler_faults"] == 0
        assert this.problems() == []


@simulate
async def test_custom_data_changes_nothing():
    """In each object of each request of Core."""
    async with rig() as this:
        asker = Asker(this)
        for action in payloads.CORE:
            for plain, other in payloads.customised(action):
                answer = (await asker.ask(action, plain))[2]
                with_custom_data = (await asker.ask(action, other))[2]
                assert _bare(with_custom_data) == answer, (action, other)
        assert this.problems() == []


def _bare(value: Any) -> Any:
    """Without the custom data that an answer repeats."""
    if isinstance(value, dict):
        return {name: _bare(one) for name, one in value.items() if name != "customData"}
    return [_bare(one) for one in value] if isinstance(value, list) else value


@simulate
async def test_a_malformed_answer_acknowledges():
    """A CALLRESULT with the id of an open CALL: the CSMS has it, whatever it makes of it."""
    async with rig() as this:
        await this.drained()
        wrongs = [
            this.csms.wrong("malformed", "TransactionEvent", times=2),
            this.csms.wrong("malformed", "StatusNotification"),
            this.csms.wrong("malformed", "MeterValues"),
        ]
        mark = this.csms.mark()
        await this.charging()
        trigger = {"requestedMessage": "MeterValues", "evse": {"id": 1}}
        await this.call("TriggerMessage", trigger)
        await this.csms.seen("MeterValues", since=mark)
        await this.stopped()
        await this.drained()
        await this.clock.sleep(120)  # long enough for any repetition
        assert all(wrong.times == 0 for wrong in wrongs)
        received = this.csms.received[mark:]
        assert len([r for r in received if r.action == "MeterValues"]) == 1
        changes = [
            r.payload["connectorStatus"] for r in received if r.action == "StatusNotification"
        ]
        assert changes == ["Occupied", "Available"]
        assert this.csms.ledger.duplicates == 0
        assert (await this.station.state())["counters"]["malformed_answers"] == 4
        assert this.problems(all_ended=True) == []
