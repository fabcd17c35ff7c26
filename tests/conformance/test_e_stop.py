"""E: what stops a transaction at the station, from afar, or because the CSMS refuses the token afterwards."""

from tests.conformance import states
from tests.conformance.octt import Call, Octt, check

LOCAL = ("Local", None)  # the default need not be said


async def test_TC_E_06_CS(octt):
    await octt.configure(
        {"AuthCtrlr.Enabled": True, "AuthCtrlr.DisableRemoteAuthorization": False}, optional=True
    )
    await states.energy_transfer_started(octt)
    await states.stop_authorized(octt, how="local")
    await states.ev_connected_post_session(octt)
    await states.ev_disconnected(octt)
    await states.parking_bay_unoccupied(octt)
    await octt.quiet()
    (last,) = [call for call in octt.calls_of("TransactionEvent") if call["eventType"] == "Ended"]
    check(last, {"transactionInfo.stoppedReason": LOCAL}, what=repr(last))


# --- stop point Authorized -----------------------------------------------------------------------------


async def test_TC_E_15_CS(octt):
    await states.stop_at(octt, "Authorized")
    await states.energy_transfer_started(octt)
    await octt.sleep(octt.transaction_duration)
    await octt.present()
    ended = await octt.event("StopAuthorized", kind="Ended")
    check(ended, {"transactionInfo.stoppedReason": "Local"}, what=repr(ended))


async def test_TC_E_21_CS(octt):
    await states.stop_at(octt, "Authorized")
    await states.energy_transfer_started(octt)
    await _request_stop(octt)
    ended = await octt.event("RemoteStop", kind="Ended")
    check(ended, {"transactionInfo.stoppedReason": "Remote"}, what=repr(ended))


async def test_TC_E_16_CS(octt):
    """What was accepted offline, the CSMS refuses when it hears of it (E06.FR.04, C15.FR.04)."""
    await states.stop_at(octt, "Authorized")
    await octt.configure(
        {
            "AuthCtrlr.Enabled": True,
            "AuthCtrlr.DisableRemoteAuthorization": False,
            "AuthCtrlr.OfflineTxForUnknownIdEnabled": True,
        },
        optional=True,
    )
    await octt.configure({"TxCtrlr.StopTxOnInvalidId": True})
    if octt.has("C49"):
        await states.id_token_cached(octt)
    octt.csms.knows(octt.token.value, "Invalid")
    await states.start_offline_transaction(octt, return_online=False)
    octt.forget()
    await octt.online()
    queued = []
    while True:
        call = await octt.event()
        if call["triggerReason"] == "Deauthorized":
            break
        check(call, {"offline": True, "eventType": ("Started", "Updated")}, what=repr(call))
        queued.append(call)
    assert [call for call in queued if call["idToken"] is not None], "nothing to refuse"
    wanted = {"eventType": "Ended", "transactionInfo.stoppedReason": "DeAuthorized"}
    check(call, wanted, what=repr(call))
    await octt.station.wait("contactor_open")


# --- stop point PowerPathClosed ---------------------------------------------------------------------------


async def test_TC_E_07_CS(octt):
    await states.stop_at(octt, "PowerPathClosed")
    await states.energy_transfer_started(octt)
    await _ends(octt, await states.stop_authorized(octt, how="local"))


async def test_TC_E_35_CS(octt):
    await states.stop_at(octt, "PowerPathClosed")
    await states.energy_transfer_started(octt)
    await _request_stop(octt)
    events = [await octt.event()]
    while events[-1]["eventType"] != "Ended":
        events.append(await octt.event())
    assert "RemoteStop" in [call["triggerReason"] for call in events], events
    check(events[-1], {"transactionInfo.stoppedReason": "Remote"}, what=repr(events[-1]))


# --- stop point EnergyTransfer -----------------------------------------------------------------------------


async def test_TC_E_08_CS(octt):
    await states.stop_at(octt, "EnergyTransfer")
    await states.energy_transfer_started(octt)
    await _ends(octt, await states.stop_authorized(octt))


async def test_TC_E_22_CS(octt):
    await states.stop_at(octt, "EnergyTransfer")
    await states.energy_transfer_started(octt)
    await octt.sleep(octt.transaction_duration)
    octt.hardware.ready(octt.evse, False)
    call = await octt.event("ChargingStateChanged", state=("EVConnected", "SuspendedEV"))
    if call["transactionInfo.chargingState"] == "SuspendedEV":
        check(
            call,
            {"transactionInfo.stoppedReason": "StoppedByEV", "eventType": "Updated"},
            what=repr(call),
        )
    else:
        check(call, {"eventType": "Ended"}, what=repr(call))


# --- stop points EVConnected and ParkingBayOccupancy -----------------------------------------------------------


async def test_TC_E_14_CS(octt):
    await states.stop_at(octt, "EVConnected")
    await states.energy_transfer_started(octt)
    await states.ev_connected_post_session(octt)
    state = octt.state[octt.evse]
    assert state.transaction, "it ended although the EV is still connected"
    await octt.station.wait("unlocked")
    octt.hardware.unplug(octt.evse)
    await octt.status("Available")
    ended = await octt.event("EVCommunicationLost", kind="Ended", state="Idle")
    reasons = ("Remote",) if state.stopped_remote else ("EVDisconnected", *LOCAL)
    check(ended, {"transactionInfo.stoppedReason": reasons}, what=repr(ended))


async def test_TC_E_19_CS(octt):
    await states.stop_at(octt, states.BAY)
    await states.energy_transfer_started(octt)
    await states.ev_disconnected(octt)
    state = octt.state[octt.evse]
    assert state.transaction, "it ended although the EV is still there"
    octt.hardware.set_bay(octt.evse, False)
    ended = await octt.event("EVDeparted", kind="Ended")
    reason = "Remote" if state.stopped_remote else "Local"
    check(ended, {"transactionInfo.stoppedReason": reason}, what=repr(ended))


# --- what they share ---------------------------------------------------------------------------------------------


async def _request_stop(octt: Octt) -> None:
    await octt.sleep(octt.transaction_duration)
    request = {"transactionId": octt.state[octt.evse].transaction}
    await octt.call("RequestStopTransaction", request, status="Accepted")


async def _ends(octt: Octt, stop: Call) -> None:
    """The stop ended the transaction, or the charging state that followed did."""
    if stop["eventType"] != "Ended":
        stop = await octt.event("ChargingStateChanged", kind="Ended", state="EVConnected")
    reason = "Remote" if octt.state[octt.evse].stopped_remote else LOCAL
    check(stop, {"transactionInfo.stoppedReason": reason}, what=repr(stop))
