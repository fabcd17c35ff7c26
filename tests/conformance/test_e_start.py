"""E: what starts a transaction, the order of cable and token, and what does not start one."""

from tests.conformance import states
from tests.conformance.octt import EARLY, LATE, Call, Octt, check

ASKING = {"AuthCtrlr.Enabled": True, "AuthCtrlr.DisableRemoteAuthorization": False}


# --- start points ------------------------------------------------------------------------------------


async def test_TC_E_01_CS(octt):
    await states.start_at(octt, "PowerPathClosed")
    await states.authorized(octt)
    await states.ev_connected_pre_session(octt)
    assert octt.state[octt.evse].transaction, "the power path is closed, yet no transaction runs"


async def test_TC_E_02_CS(octt):
    await states.start_at(octt, "EnergyTransfer")
    await states.authorized(octt)
    await octt.nothing("TransactionEvent", 1)
    octt.hardware.plug(octt.evse, octt.connector)
    await octt.status("Occupied")
    triggers = (
        ("RemoteStart",)
        if octt.state[octt.evse].remote
        else ("ChargingStateChanged", "Authorized")
    )
    started = await octt.event(triggers, kind="Started", state="Charging")
    assert octt.token.matches(started.payload), repr(started)
    _names_connector(octt, started)


async def test_TC_E_09_CS(octt):
    await states.start_at(octt, "EVConnected")
    await states.parking_bay_occupied(octt)
    octt.hardware.plug(octt.evse, octt.connector)
    await octt.status("Occupied")
    started = await octt.event(
        ("CablePluggedIn", "ChargingStateChanged"), kind="Started", state="EVConnected"
    )
    _names_connector(octt, started)


async def test_TC_E_10_CS(octt):
    await octt.configure(ASKING, optional=True)
    await states.start_at(octt, "Authorized")
    await octt.present()
    asked = await octt.expect("Authorize")
    assert octt.token.matches(asked.payload), repr(asked)
    started = await octt.event("Authorized", kind="Started")
    assert octt.token.matches(started.payload), repr(started)


async def test_TC_E_13_CS(octt):
    await octt.configure(ASKING, optional=True)
    await states.start_at(octt, "Authorized")
    number = octt.remote_start_id()
    request = {"idToken": octt.token.json, "remoteStartId": number, "evseId": octt.evse}
    await octt.call("RequestStartTransaction", request, status="Accepted")
    if await octt.get("AuthCtrlr.AuthorizeRemoteStart") == "true":
        asked = await octt.expect("Authorize")
        assert octt.token.matches(asked.payload), repr(asked)
    started = await octt.event(
        "RemoteStart", kind="Started", transactionInfo__remoteStartId=number
    )
    assert octt.token.matches(started.payload), repr(started)


async def test_TC_E_12_CS(octt):
    await states.start_at(octt, states.BAY)
    octt.hardware.set_bay(octt.evse, True)
    await octt.event("EVDetected", kind="Started")


# --- cable and token --------------------------------------------------------------------------------------


async def test_TC_E_03_CS(octt):
    await octt.configure(ASKING, optional=True)
    await states.ev_connected_pre_session(octt)
    await states.authorized(octt, "local")
    await states.energy_transfer_started(octt)


async def test_TC_E_04_CS(octt):
    await octt.configure(ASKING, optional=True)
    await states.parking_bay_occupied(octt)
    await states.authorized(octt, "local")
    await states.energy_transfer_started(octt)


async def test_TC_E_05_CS(octt):
    """Nobody plugs in: the authorization is over, and the next one is asked for and counts (E03.FR.05)."""
    await _token_first(octt)
    await octt.configure(
        {"AuthCacheCtrlr.Enabled": False, "AuthCtrlr.LocalPreAuthorize": False}, optional=True
    )
    started = await states.authorized(octt, "local")
    await _timed_out(octt, started)
    await states.authorized(octt, "local", authorize=True)
    await states.energy_transfer_started(octt)


async def test_TC_E_38_CS(octt):
    await states.authorized(octt)
    octt.hardware.ready(octt.evse, False)
    await states.ev_connected_pre_session(octt)
    await octt.event("ChargingStateChanged", state="SuspendedEV")


async def test_TC_E_39_CS(octt):
    """The time to plug in is over: who plugs in afterwards charges nothing (E06.FR.04)."""
    await _token_first(octt)
    if octt.has("C52"):
        await states.stop_at(octt, "Authorized")
    started = await states.authorized(octt)
    await _timed_out(octt, started)
    octt.hardware.plug(octt.evse, octt.connector)
    await octt.status("Occupied")
    await octt.sleep(10)
    for call in octt.seen("TransactionEvent"):
        kind = "Updated" if states.BAY in octt.start_points else "Ended"
        check(call, {"triggerReason": "CablePluggedIn", "eventType": kind}, what=repr(call))
        assert call["transactionInfo.chargingState"] != "Charging", repr(call)
    await octt.station.wait("contactor_open")


async def test_TC_E_52_CS(octt):
    """Nobody may be asked, and nothing is known of the token: it is refused (C01)."""
    await octt.configure({"AuthCtrlr.Enabled": True}, optional=True)
    await octt.configure({"AuthCtrlr.DisableRemoteAuthorization": True})
    await states.parking_bay_occupied(octt)
    octt.forget()
    await octt.present()
    await octt.nothing(("Authorize", "TransactionEvent"), 5)
    await octt.station.wait("unauthorized")
    octt.hardware.plug(octt.evse, octt.connector)
    await octt.status("Occupied")
    await octt.nothing(("Authorize", "TransactionEvent"), 10)
    await octt.station.wait("contactor_open")


# --- what they share -----------------------------------------------------------------------------------------


def _names_connector(octt: Octt, call: Call) -> None:
    check(call, {"evse.id": octt.evse, "evse.connectorId": octt.connector}, what=repr(call))


async def _token_first(octt: Octt) -> None:
    """The transaction starts with the authorization, where that can be chosen, and there is little time to plug in."""
    await octt.configure(ASKING, optional=True)
    await octt.configure({"TxCtrlr.EVConnectionTimeOut": octt.connection_timeout})
    if octt.has("C51 and C09_2"):
        await states.start_at(octt, "Authorized")


async def _timed_out(octt: Octt, started: Call | None) -> None:
    """EVConnectionTimeOut passes after an authorization; with a transaction, it says so, in time."""
    state = octt.state[octt.evse]
    timeout = octt.connection_timeout
    if started is None:
        await octt.station.wait("unauthorized", timeout + LATE + 5)
        await octt.nothing("TransactionEvent", 1)
    else:
        call = await octt.event("EVConnectTimeout", within=timeout + 30)
        assert timeout - EARLY <= call.time - started.time <= timeout + LATE, repr(call)
        ends = "Authorized" in octt.stop_points
        check(call, {"eventType": "Ended" if ends else "Updated"}, what=repr(call))
        if ends:
            check(call, {"transactionInfo.stoppedReason": "Timeout"}, what=repr(call))
    state.authorized = state.remote = False
