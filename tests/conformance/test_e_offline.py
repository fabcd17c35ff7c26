"""E: what waits in the queue: what the CSMS is told of it when it asks, and what comes when it is back."""

import secrets
from typing import Any

from tests.conformance import states
from tests.conformance.octt import Call, Octt, Token, check

BACK_OFF = 30  # seconds, RetryBackOffWaitMinimum; longer than an interval of meter values
MARGIN = 5  # seconds: the CSMS is there before the station comes back to it
DELAY = 10  # seconds until the first event of the queue is answered


# --- the status of a transaction (E14) ----------------------------------------------------------------------


async def test_TC_E_28_CS(octt):
    name = secrets.token_hex(16)
    await _status(octt, name, ongoingIndicator=False, messagesInQueue=False)


async def test_TC_E_29_CS(octt):
    await octt.configure(_away(octt) | _sampled(octt))
    await states.energy_transfer_started(octt)
    name = octt.state[octt.evse].transaction
    await _lost(octt)
    answer = await _asked_at_once(octt, {"transactionId": name})
    check(answer, {"ongoingIndicator": True, "messagesInQueue": True}, what=repr(answer))
    await _only_meter_values(octt)


async def test_TC_E_30_CS(octt):
    await states.energy_transfer_started(octt)
    await octt.quiet()
    name = octt.state[octt.evse].transaction
    await _status(octt, name, ongoingIndicator=True, messagesInQueue=False)


async def test_TC_E_31_CS(octt):
    duration = octt.transaction_duration
    await octt.configure(_away(octt, duration) | _sampled(octt))
    await states.energy_transfer_started(octt)
    state = octt.state[octt.evse]
    name = state.transaction
    await _lost(octt, 0)
    if octt.reader:
        await _stopped_by_card(octt)
    else:
        await _left(octt)
    await octt.sleep(duration)
    answer = await _asked_at_once(octt, {"transactionId": name})
    check(answer, {"ongoingIndicator": False, "messagesInQueue": True}, what=repr(answer))
    events = await _queue(octt)
    if octt.reader:
        call = await octt.event("StopAuthorized", kind=("Updated", "Ended"))
        assert call["idToken"] is None or state.token.matches(call.payload), repr(call)
        if state.transaction:
            await octt.event("ChargingStateChanged", state="EVConnected")
    else:
        await octt.event("ChargingStateChanged", state=("SuspendedEV", "EVConnected"))
    if state.transaction:
        await octt.event("EVCommunicationLost", state="Idle")
    if state.transaction:
        await octt.event("EVDeparted")
    _ended_offline(events, ("Local", None) if octt.reader else "EVDisconnected")


async def test_TC_E_32_CS(octt):
    await states.energy_transfer_started(octt)
    name = octt.state[octt.evse].transaction
    await states.parking_bay_unoccupied(octt)
    await octt.quiet()
    await _status(octt, name, ongoingIndicator=False, messagesInQueue=False)


async def test_TC_E_33_CS(octt):
    await octt.configure(_away(octt) | _sampled(octt))
    await states.energy_transfer_started(octt)
    await _lost(octt)
    answer = await _asked_at_once(octt, {})
    check(answer, {"ongoingIndicator": None, "messagesInQueue": True}, what=repr(answer))
    await _only_meter_values(octt)


async def test_TC_E_34_CS(octt):
    await _status(octt, ongoingIndicator=None, messagesInQueue=False)


# --- offline (E08, E11, E12) -----------------------------------------------------------------------------------


async def test_TC_E_40_CS(octt):
    await octt.configure(_away(octt) | _sampled(octt))
    await octt.configure({"SampledDataCtrlr.Enabled": True}, optional=True)
    await states.energy_transfer_started(octt)
    await _lost(octt)
    await octt.online()
    await _only_meter_values(octt)


async def test_TC_E_43_CS(octt):
    await states.transaction_events_in_queue_ended(octt, return_online=False)
    octt.forget()
    await octt.online()
    events = await _queue(octt)
    _ended_offline(events, ("Local", None))
    assert [call["eventType"] for call in events].count("Started") == 1, events


async def test_TC_E_44_CS(octt):
    await octt.configure(_away(octt))
    await states.energy_transfer_started(octt, how="local")
    await _lost(octt, 0)
    await _stopped_by_card(octt)
    await octt.online()
    _ended_offline(await _queue(octt), ("Local", None))


async def test_TC_E_45_CS(octt):
    """Another token of the group stops the charging, known from the cache (E08.FR.02)."""
    await octt.configure(_away(octt))
    for token in (octt.token, octt.token2):
        octt.csms.knows(token.value, "Accepted", octt.group)
    await states.id_token_cached(octt, octt.token2)
    await states.energy_transfer_started(octt, how="local")
    await _lost(octt, 0)
    await _stopped_by_card(octt, octt.token2)
    await octt.online()
    _ended_offline(await _queue(octt), ("Local", None))


# --- what they share ------------------------------------------------------------------------------------------


def _away(octt: Octt, longer: float = 0) -> dict[str, Any]:
    """The station comes back after so long, and what it has of connectors is no news then."""
    wait = BACK_OFF + int(longer)
    return {
        "OCPPCommCtrlr.OfflineThreshold": wait + 60,
        "OCPPCommCtrlr.RetryBackOffWaitMinimum": wait,
        "OCPPCommCtrlr.RetryBackOffRandomRange": 0,
    }


def _sampled(octt: Octt) -> dict[str, Any]:
    return {
        "SampledDataCtrlr.TxUpdatedMeasurands": "Energy.Active.Import.Register",
        "SampledDataCtrlr.TxUpdatedInterval": octt.meter_interval,
    }


async def _lost(octt: Octt, for_seconds: float = BACK_OFF - MARGIN) -> None:
    """The CSMS hangs up and is not there for so long."""
    await octt.quiet(1)
    octt.forget()
    await octt.offline()
    await octt.sleep(for_seconds)


async def _status(octt: Octt, name: str | None = None, **wanted: Any) -> None:
    request = {} if name is None else {"transactionId": name}
    await octt.call("GetTransactionStatus", request, **wanted)


async def _asked_at_once(octt: Octt, request: dict[str, Any]) -> dict[str, Any]:
    """Ask as soon as the station is back; the answer, which does not wait for ours to its first event."""
    octt.csms.wrong("late", "TransactionEvent", delay=DELAY)
    octt.accept()
    await octt.csms.until(lambda: octt.csms.peer is not None, "connection", 300)
    answer = await octt.csms.call("GetTransactionStatus", request)
    events = octt.seen("TransactionEvent")
    assert all(call.answer is None for call in events), (
        "it answered only when its own call was answered"
    )
    return answer


async def _queue(octt: Octt) -> list[Call]:
    """The events that come when the CSMS is back, until none waits any more."""
    await octt.connected()
    await octt.station.wait("queue_empty", 120)
    await octt.quiet()
    return octt.seen("TransactionEvent")


async def _only_meter_values(octt: Octt) -> None:
    """The queue held meter values and nothing else, each marked as offline; what is made now is not."""
    events = await _queue(octt)
    queued = [call for call in events if call["offline"]]
    assert queued == events[: len(queued)], f"made offline, not said so: {events}"
    assert len(queued) >= (BACK_OFF - MARGIN) // octt.meter_interval, f"too few: {queued}"
    for call in queued:
        check(call, {"eventType": "Updated", "meterValue": ...}, what=repr(call))


def _ended_offline(events: list[Call], reason: Any) -> None:
    """All of them were made offline, and one is the end."""
    for call in events:
        check(call, {"offline": True}, what=repr(call))
    (ended,) = [call for call in events if call["eventType"] == "Ended"]
    check(ended, {"transactionInfo.stoppedReason": reason}, what=repr(ended))


async def _stopped_by_card(octt: Octt, token: Token | None = None) -> None:
    """The driver stops the charging and drives away."""
    await octt.present(token)
    await octt.station.wait("unauthorized")
    await octt.station.wait("contactor_open")
    await octt.station.wait("unlocked")
    octt.hardware.unplug(octt.evse)
    await _drive_away(octt)


async def _left(octt: Octt) -> None:
    """The EV has enough, is unplugged at its end and drives away."""
    octt.hardware.ready(octt.evse, False)
    await octt.station.wait("contactor_open")
    octt.hardware.ev(octt.evse, "A")
    await _drive_away(octt)


async def _drive_away(octt: Octt) -> None:
    await octt.station.wait("unplugged")
    octt.hardware.set_bay(octt.evse, False)
    await octt.rig.device.settled()
