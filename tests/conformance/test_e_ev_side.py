"""E: the cable is pulled out at the EV: the transaction ends, or waits for the EV to come back."""

from tests.conformance import states
from tests.conformance.octt import EARLY, LATE, Call, Octt, check
from tools.measure.conformance.presets import SOCKET, TETHERED

STOP = "TxCtrlr.StopTxOnEVSideDisconnect"
UNLOCK = "OCPPCommCtrlr.UnlockOnEVSideDisconnect"
ENDED = {"eventType": "Ended", "transactionInfo.stoppedReason": "EVDisconnected"}


# --- it deauthorizes the transaction (E09) ---------------------------------------------------------------


async def test_TC_E_17_CS(octt):
    await states.stop_at(octt, "Authorized")
    await octt.configure({STOP: True, UNLOCK: False})
    await octt.configure(
        {"AuthCtrlr.Enabled": True, "AuthCtrlr.DisableRemoteAuthorization": False}, optional=True
    )
    lost = await _pulled_out(octt)
    check(lost, ENDED, what=repr(lost))
    await _freed_by_token(octt)


async def test_TC_E_24_CS(octt):
    await octt.configure({STOP: True, UNLOCK: True})
    await _pulled_out(octt)
    await octt.station.wait("unlocked")
    await _cable_taken(octt)


async def test_TC_E_25_CS(octt):
    await octt.configure({STOP: True, UNLOCK: False})
    await _pulled_out(octt)
    await _freed_by_token(octt)


# --- it suspends the transaction (E10) ------------------------------------------------------------------------


async def test_TC_E_26_CS(octt):
    await states.stop_at(octt, "Authorized", states.BAY)
    await octt.configure({STOP: False, UNLOCK: False})
    lost = await _pulled_out(octt)
    check(lost, {"eventType": "Updated"}, what=repr(lost))
    if _detachable(octt):
        await _still_occupied(octt)
    else:
        await octt.status("Available")
    octt.hardware.ready(octt.evse, True)
    await octt.event("CablePluggedIn", kind="Updated", state="EVConnected")
    await octt.event("ChargingStateChanged", kind="Updated", state="Charging")


async def test_TC_E_27_CS(octt):
    """The EV does not come back to a fixed cable in time (E10.FR.02)."""
    octt.connector = octt.preset.evses[octt.evse - 1].index(TETHERED) + 1
    await states.stop_at(octt, "Authorized", states.BAY)
    await octt.configure({STOP: False, UNLOCK: False})
    await octt.configure({"TxCtrlr.EVConnectionTimeOut": octt.connection_timeout})
    lost = await _pulled_out(octt)
    check(lost, {"eventType": "Updated"}, what=repr(lost))
    await octt.status("Available")
    over = await octt.event("EVConnectTimeout", within=octt.connection_timeout + 30)
    waited = over.time - lost.time
    assert octt.connection_timeout - EARLY <= waited <= octt.connection_timeout + LATE, waited
    check(
        over, {"eventType": "Ended", "transactionInfo.stoppedReason": "Timeout"}, what=repr(over)
    )


# --- a stop point comes to pass with it (E06) -----------------------------------------------------------------------


async def test_TC_E_20_CS(octt):
    await states.stop_at(octt, "EVConnected")
    await octt.configure({STOP: False}, optional=True)
    lost = await _pulled_out(octt)
    check(lost, ENDED, what=repr(lost))


async def test_TC_E_37_CS(octt):
    await states.stop_at(octt, "PowerPathClosed")
    await octt.configure({STOP: False}, optional=True)
    lost = await _pulled_out(octt)
    reasons = ("EVDisconnected", "StoppedByEV")
    check(lost, {"eventType": "Ended", "transactionInfo.stoppedReason": reasons}, what=repr(lost))


# --- what they share ------------------------------------------------------------------------------------------------


def _detachable(octt: Octt) -> bool:
    return octt.preset.evses[octt.evse - 1][octt.connector - 1] == SOCKET


async def _pulled_out(octt: Octt) -> Call:
    """The EV suspends, then the cable is pulled out at its end; the event that says so."""
    await states.ev_connected_pre_session(octt)
    await states.energy_transfer_suspended(octt)
    assert octt.state[octt.evse].transaction, "suspended, and the transaction is over"
    octt.hardware.ev(octt.evse, "A")
    return await octt.event("EVCommunicationLost", state="Idle")


async def _still_occupied(octt: Octt) -> None:
    """The plug stays locked in the socket, and the connector occupied (E09.FR.03)."""
    await octt.nothing("StatusNotification", 5)
    outlet = octt.hardware.outlet(octt.evse)
    assert outlet.locked == octt.connector, "the plug is free"


async def _freed_by_token(octt: Octt) -> None:
    """The plug is locked until the driver shows the token; then the cable can go too."""
    if _detachable(octt):
        await _still_occupied(octt)
        await octt.present()
        await octt.station.wait("unlocked")
    await _cable_taken(octt)


async def _cable_taken(octt: Octt) -> None:
    """The cable leaves the socket, too, where there is one: the connector is available, as soon as the plug is free."""
    if _detachable(octt):
        octt.hardware.unplug(octt.evse)
    await octt.status("Available")
