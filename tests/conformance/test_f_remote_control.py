"""F: remote start and stop, unlocking from afar, triggered messages; K_38: a remote start with a profile."""

from hostsim.net.uploads import store
from tests.conformance import states
from tests.conformance.octt import LATE, Octt, check

REMOTE = {"AuthCtrlr.Enabled": True, "AuthCtrlr.DisableRemoteAuthorization": False}


# --- remote start ------------------------------------------------------------------------------------


async def test_TC_F_01_CS(octt):
    await octt.configure(REMOTE, optional=True)
    await states.ev_connected_pre_session(octt)
    await states.authorized(octt, "remote")
    await states.energy_transfer_started(octt)


async def test_TC_F_02_CS(octt):
    await octt.configure(REMOTE, optional=True)
    await octt.configure({"AuthCtrlr.AuthorizeRemoteStart": True})
    await states.parking_bay_occupied(octt)
    await states.authorized(octt, "remote", authorize=True)
    await states.energy_transfer_started(octt)


async def test_TC_F_03_CS(octt):
    await octt.configure(REMOTE, optional=True)
    await octt.configure({"AuthCtrlr.AuthorizeRemoteStart": False})
    await states.parking_bay_occupied(octt)
    await states.authorized(octt, "remote", authorize=False)
    await states.energy_transfer_started(octt)


async def test_TC_F_04_CS(octt):
    await octt.configure(REMOTE, optional=True)
    await octt.configure({"TxCtrlr.EVConnectionTimeOut": octt.connection_timeout})
    if octt.has("C09_1 or C09_6"):  # a transaction may begin before the cable is there
        point = "Authorized" if octt.has("C09_1") else states.BAY
        await octt.configure({"TxCtrlr.TxStartPoint": point})
    await states.authorized(octt, "remote")
    since = octt.now()
    state = octt.state[octt.evse]
    if state.transaction:
        ended = await octt.event("EVConnectTimeout", within=octt.connection_timeout + 30)
        check(ended, {"eventType": "Ended"})
        waited = ended.time - since
    else:
        await octt.station.wait("unauthorized", octt.connection_timeout + 30)
        waited = octt.now() - since
        await octt.nothing("TransactionEvent", 2)
    assert octt.connection_timeout - LATE < waited < octt.connection_timeout + LATE
    state.authorized = state.remote = False
    await states.authorized(octt, "remote")


async def test_TC_K_38_CS(octt):
    """The profile is ignored, the start is not."""
    await states.ev_connected_pre_session(octt)
    period = {"startPeriod": 0, "limit": 6, "numberPhases": 3}
    profile = {
        "id": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": [
            {"id": 1, "chargingRateUnit": "A", "chargingSchedulePeriod": [period]}
        ],
    }
    await states.authorized(octt, "remote", request={"chargingProfile": profile})
    await states.energy_transfer_started(octt)
    assert octt.hardware.outlet(octt.evse).offered > 6000, "the profile was applied"


# --- remote stop -------------------------------------------------------------------------------------


async def test_TC_F_08_CS(octt):
    await states.energy_transfer_started(octt)
    await states.stop_authorized(octt, how="remote")


async def test_TC_F_09_CS(octt):
    await states.energy_transfer_started(octt)
    other = octt.state[octt.evse].transaction[::-1] + "0"
    await octt.call("RequestStopTransaction", {"transactionId": other}, status="Rejected")
    await octt.nothing("TransactionEvent", 2, lambda call: call["triggerReason"] == "RemoteStop")
    await octt.station.wait("charging")


# --- unlock ------------------------------------------------------------------------------------------


async def test_TC_F_05_CS(octt):
    await states.energy_transfer_started(octt)
    await _unlock(octt, "OngoingAuthorizedTransaction")
    assert octt.hardware.outlet(octt.evse).locked == octt.connector
    await octt.station.wait("charging")


async def test_TC_F_06_CS(octt):
    """The plug is in and stuck, and nobody charges."""
    await octt.configure({"TxCtrlr.TxStartPoint": "PowerPathClosed"})
    await states.ev_connected_pre_session(octt)
    assert octt.state[octt.evse].transaction is None
    octt.hardware.lock(octt.evse, octt.connector, True)
    await _unlock(octt, "Unlocked")
    assert not octt.hardware.outlet(octt.evse).locked


async def test_TC_F_07_CS(octt):
    octt.hardware.lock(octt.evse, octt.connector, True)
    await _unlock(octt, "Unlocked")
    assert not octt.hardware.outlet(octt.evse).locked


async def test_TC_F_10_CS(octt):
    await _unlock(octt, "UnknownConnector", 999)


async def _unlock(octt: Octt, status: str, connector: int = 0) -> None:
    place = {"evseId": octt.evse, "connectorId": connector or octt.connector}
    await octt.call("UnlockConnector", place, status=status)


# --- trigger: values of meters and transactions --------------------------------------------------------


async def test_TC_F_11_CS(octt):
    await _trigger(octt, "MeterValues", id=octt.evse)
    call = await octt.expect("MeterValues")
    check(call, {"evseId": octt.evse, "meterValue.0.sampledValue.0.context": "Trigger"})
    await octt.nothing("MeterValues", 3)


async def test_TC_F_12_CS(octt):
    await _trigger(octt, "MeterValues")
    for evse in octt.evses:
        call = await octt.expect("MeterValues", evseId=evse)
        check(call, {"meterValue.0.sampledValue.0.context": "Trigger"})
    await octt.nothing("MeterValues", 3)


async def test_TC_F_13_CS(octt):
    await states.energy_transfer_started(octt)
    await _trigger(octt, "TransactionEvent", id=octt.evse)
    await _triggered_event(octt, octt.evse, evse__id=(None, octt.evse))
    await octt.nothing("TransactionEvent", 3, triggerReason="Trigger")


async def test_TC_F_14_CS(octt):
    for evse, token in zip(octt.evses, (octt.token, octt.token2), strict=False):
        await states.energy_transfer_started(octt, evse, token=token)
    await _trigger(octt, "TransactionEvent")
    for evse in octt.evses:
        await _triggered_event(octt, evse, evse__id=evse)
    await octt.nothing("TransactionEvent", 3, triggerReason="Trigger")


async def _triggered_event(octt: Octt, evse: int, **wanted) -> None:
    call = await octt.event("Trigger", state="Charging", evse=evse, **wanted)
    check(call, {"transactionInfo.transactionId": octt.state[evse].transaction})
    check(call, {"meterValue": ..., "meterValue.0.sampledValue.0.context": "Trigger"})


# --- trigger: the rest -------------------------------------------------------------------------------


async def test_TC_F_15_CS(octt):
    await _trigger(octt, "LogStatusNotification")
    check(await octt.expect("LogStatusNotification"), {"status": "Idle", "requestId": None})


async def test_TC_F_16_CS(octt):
    async with store() as place:
        place.hold = True
        number = octt.request_id()
        request = {
            "logType": "DiagnosticsLog",
            "requestId": number,
            "log": {"remoteLocation": place.location},
        }
        await octt.call("GetLog", request, status="Accepted")
        uploading = {"status": "Uploading", "requestId": number}
        check(await octt.expect("LogStatusNotification"), uploading)
        await _trigger(octt, "LogStatusNotification")
        check(await octt.expect("LogStatusNotification"), uploading)
        place.hold = False
        uploaded = {"status": "Uploaded", "requestId": number}
        check(await octt.expect("LogStatusNotification"), uploaded)


async def test_TC_F_17_CS(octt):
    await _trigger(octt, "FirmwareStatusNotification", id=octt.evse)
    call = await octt.expect("FirmwareStatusNotification")
    check(call, {"status": "Idle", "requestId": None})


async def test_TC_F_18_CS(octt):
    await _trigger(octt, "FirmwareStatusNotification")
    call = await octt.expect("FirmwareStatusNotification")
    check(call, {"status": "Idle", "requestId": None})


async def test_TC_F_20_CS(octt):
    await _trigger(octt, "Heartbeat")
    await octt.expect("Heartbeat")


async def test_TC_F_23_CS(octt):
    await _trigger(octt, "StatusNotification", id=octt.evse, connectorId=octt.connector)
    await octt.status("Available")


async def test_TC_F_24_CS(octt):
    await states.ev_connected_pre_session(octt)
    await _trigger(octt, "StatusNotification", id=octt.evse, connectorId=octt.connector)
    await octt.status("Occupied")


async def test_TC_F_26_CS(octt):
    await _trigger(octt, "BootNotification", "Rejected")
    await octt.nothing("BootNotification", 5)


async def test_TC_F_27_CS(octt):
    await _trigger(octt, "SignCombinedCertificate", "NotImplemented")
    await octt.nothing(None, 2, lambda call: call.action != "TransactionEvent")


async def _trigger(octt: Octt, message: str, status: str = "Accepted", **evse: int) -> None:
    """Ask for a message. What is triggered comes behind the answer (F06.FR.04, FR.05)."""
    await octt.quiet()
    octt.forget()
    request = {"requestedMessage": message} | ({"evse": evse} if evse else {})
    asked = octt.now()
    await octt.call("TriggerMessage", request, status=status)
    answers = [
        m for m in octt.rig.traffic.messages if m.kind == 3 and m.action == "TriggerMessage"
    ]
    early = [call for call in octt.seen(message) if asked < call.time < answers[-1].time]
    assert not early, f"before the answer: {early}"
