"""B: provisioning: boot, variables, reports, reset, network profiles, reconnection."""

import pytest

from hostsim.csms.server import CallError
from tests.conformance import states
from tests.conformance.octt import EARLY, check, variable

# The variables that Core requires; those of the second group may be read-only, of the third they must be.
WRITABLE = """
    AlignedDataCtrlr.Interval AlignedDataCtrlr.Measurands AlignedDataCtrlr.TxEndedInterval
    AlignedDataCtrlr.TxEndedMeasurands AuthCtrlr.LocalAuthorizeOffline AuthCtrlr.LocalPreAuthorize ClockCtrlr.TimeSource
    OCPPCommCtrlr.MessageAttemptInterval.TransactionEvent OCPPCommCtrlr.MessageAttempts.TransactionEvent
    OCPPCommCtrlr.NetworkConfigurationPriority OCPPCommCtrlr.NetworkProfileConnectionAttempts
    OCPPCommCtrlr.OfflineThreshold OCPPCommCtrlr.ResetRetries OCPPCommCtrlr.RetryBackOffRepeatTimes
    OCPPCommCtrlr.RetryBackOffRandomRange OCPPCommCtrlr.RetryBackOffWaitMinimum OCPPCommCtrlr.WebSocketPingInterval
    SampledDataCtrlr.TxEndedInterval SampledDataCtrlr.TxEndedMeasurands SampledDataCtrlr.TxStartedMeasurands
    SampledDataCtrlr.TxUpdatedInterval SampledDataCtrlr.TxUpdatedMeasurands SecurityCtrlr.OrganizationName
    TxCtrlr.EVConnectionTimeOut TxCtrlr.StopTxOnInvalidId
""".split()
EITHER = """
    AuthCtrlr.AuthorizeRemoteStart OCPPCommCtrlr.UnlockOnEVSideDisconnect TxCtrlr.StopTxOnEVSideDisconnect
    TxCtrlr.TxStartPoint TxCtrlr.TxStopPoint
""".split()
READ_ONLY = """
    ChargingStation.AvailabilityState ChargingStation.Available ChargingStation.SupplyPhases ClockCtrlr.DateTime
    DeviceDataCtrlr.BytesPerMessage.GetReport DeviceDataCtrlr.BytesPerMessage.GetVariables
    DeviceDataCtrlr.BytesPerMessage.SetVariables DeviceDataCtrlr.ItemsPerMessage.GetReport
    DeviceDataCtrlr.ItemsPerMessage.GetVariables DeviceDataCtrlr.ItemsPerMessage.SetVariables
    OCPPCommCtrlr.ActiveNetworkProfile OCPPCommCtrlr.FileTransferProtocols OCPPCommCtrlr.MessageTimeout.Default
    SecurityCtrlr.AdditionalRootCertificateCheck SecurityCtrlr.CertificateEntries SecurityCtrlr.SecurityProfile
""".split()
PER_EVSE = ("AvailabilityState", "Available", "Power", "SupplyPhases")
PER_CONNECTOR = ("AvailabilityState", "Available", "ConnectorType", "SupplyPhases")
LISTS = ("OptionList", "SequenceList", "MemberList")

THRESHOLD = variable("OCPPCommCtrlr.OfflineThreshold")
LOCAL_OFFLINE = variable("AuthCtrlr.LocalAuthorizeOffline")
UNKNOWN_COMPONENT = {
    "component": {"name": "UnknownComponent"},
    "variable": {"name": "OfflineThreshold"},
}
UNKNOWN_VARIABLE = {
    "component": {"name": "OCPPCommCtrlr"},
    "variable": {"name": "UnknownVariable"},
}
ACTUAL = {"attributeType": "Actual"}
TARGET = {"attributeType": "Target"}
NO_ERROR = {"attributeStatusInfo.reasonCode": (None, "NoError")}


# --- boot -------------------------------------------------------------------------------------------


async def test_TC_B_01_CS(octt):
    await states.booted(octt)


async def test_TC_B_02_CS(octt):
    octt.csms.boots = [("Pending", 120), ("Accepted", 300)]
    await octt.rig.device.power_cycle()
    first = await octt.expect("BootNotification", within=120)
    await octt.station.wait("pending")
    await _set(octt, THRESHOLD | {"attributeValue": "300"}, attributeStatus="Accepted")
    await _get(octt, THRESHOLD, attributeStatus="Accepted", attributeValue="300")
    await states.base_report(octt)
    start = {
        "idToken": octt.token.json,
        "remoteStartId": octt.remote_start_id(),
        "evseId": octt.evse,
    }
    await octt.call("RequestStartTransaction", start, status="Rejected")
    assert {call.action for call in octt.seen_after(first)} <= {"NotifyReport"}
    trigger = {"requestedMessage": "BootNotification"}
    answer = await octt.call("TriggerMessage", trigger, status=("Accepted", "NotImplemented"))
    boot = await octt.expect("BootNotification")
    if answer["status"] == "Accepted":
        check(boot, {"reason": "Triggered"})
        assert boot.time < first.answered + 120
    await octt.statuses(dict.fromkeys(octt.connectors, "Available"))


async def test_TC_B_03_CS(octt):
    interval = 30
    octt.csms.boots = [("Rejected", interval), ("Accepted", 300)]
    await octt.rig.device.power_cycle()
    first = await octt.expect("BootNotification", within=120)
    second = await octt.expect("BootNotification", within=120)
    assert second.time - first.answered >= interval - EARLY
    assert [call for call in octt.seen_after(first) if call.time < second.time] == []
    await octt.statuses(dict.fromkeys(octt.connectors, "Available"))


async def test_TC_B_30_CS(octt):
    octt.csms.boots = [("Rejected", 60), ("Accepted", 300)]
    await octt.rig.device.power_cycle()
    await octt.expect("BootNotification", within=120)
    await octt.station.wait("rejected")
    if octt.csms.peer is None:
        return  # it may hang up until it tries again
    with pytest.raises(CallError) as refused:
        request = {"requestId": octt.request_id(), "reportBase": "FullInventory"}
        await octt.csms.call("GetBaseReport", request)
    assert refused.value.code == "SecurityError"


# --- variables ----------------------------------------------------------------------------------------


async def test_TC_B_06_CS(octt):
    await octt.configure({"OCPPCommCtrlr.OfflineThreshold": 300})
    wanted = {"attributeStatus": "Accepted", "attributeValue": "300"}
    await _get(octt, THRESHOLD | ACTUAL, **wanted | ACTUAL | NO_ERROR)


async def test_TC_B_07_CS(octt):
    await octt.configure(
        {"OCPPCommCtrlr.OfflineThreshold": 300, "AuthCtrlr.LocalAuthorizeOffline": True}
    )
    items = [THRESHOLD | ACTUAL, LOCAL_OFFLINE | ACTUAL]
    answer = await octt.call("GetVariables", {"getVariableData": items})
    wanted = {"attributeStatus": "Accepted"} | ACTUAL | NO_ERROR
    assert len(answer["getVariableResult"]) == 2
    for item, value in zip(items, ("300", "true"), strict=True):
        result = _result(answer["getVariableResult"], item)
        check(result, wanted | {"attributeValue": value})


async def test_TC_B_32_CS(octt):
    await _get(octt, UNKNOWN_COMPONENT, attributeStatus="UnknownComponent")


async def test_TC_B_33_CS(octt):
    await _get(octt, UNKNOWN_VARIABLE, attributeStatus="UnknownVariable")


async def test_TC_B_34_CS(octt):
    await _get(octt, THRESHOLD | TARGET, attributeStatus="NotSupportedAttributeType", **TARGET)


async def test_TC_B_09_CS(octt):
    item = THRESHOLD | ACTUAL | {"attributeValue": "300"}
    await _set(octt, item, attributeStatus="Accepted", **ACTUAL | NO_ERROR)


async def test_TC_B_10_CS(octt):
    items = [
        THRESHOLD | ACTUAL | {"attributeValue": "300"},
        LOCAL_OFFLINE | ACTUAL | {"attributeValue": "true"},
    ]
    answer = await octt.call("SetVariables", {"setVariableData": items})
    assert len(answer["setVariableResult"]) == 2
    for item in items:
        result = _result(answer["setVariableResult"], item)
        check(result, {"attributeStatus": "Accepted"} | ACTUAL | NO_ERROR)


async def test_TC_B_35_CS(octt):
    item = UNKNOWN_COMPONENT | {"attributeValue": "300"}
    await _set(octt, item, attributeStatus="UnknownComponent")


async def test_TC_B_36_CS(octt):
    item = UNKNOWN_VARIABLE | {"attributeValue": "300"}
    await _set(octt, item, attributeStatus="UnknownVariable")


async def test_TC_B_37_CS(octt):
    item = THRESHOLD | TARGET | {"attributeValue": "300"}
    await _set(octt, item, attributeStatus="NotSupportedAttributeType", **TARGET)


async def test_TC_B_11_CS(octt):
    threshold = 60
    time = octt.clock.text()
    values = (str(threshold), str(threshold + 0.1), "true", time, "abc")
    fits = {
        "OCPPCommCtrlr.OfflineThreshold": {str(threshold)},
        "SmartChargingCtrlr.LimitChangeSignificance": {str(threshold), str(threshold + 0.1)},
        "AuthCtrlr.AuthorizeRemoteStart": {"true"},
        "ClockCtrlr.NextTimeOffsetTransitionDateTime": {time},
    }
    for name, good in fits.items():
        item = variable(name)
        if await octt.get(name) is None:
            assert name not in ("OCPPCommCtrlr.OfflineThreshold", "AuthCtrlr.AuthorizeRemoteStart")
            continue
        for value in values:
            status = "Accepted" if value in good else "Rejected"
            await _set(
                octt,
                item | {"attributeValue": value},
                attributeStatus=status,
                attributeType="Actual",
                **{"attributeStatusInfo.reasonCode": lambda code: code in (None, "InvalidValue")},
            )


async def test_TC_B_39_CS(octt):
    item = variable("OCPPCommCtrlr.MessageTimeout.Default") | {"attributeValue": "30"}
    await _set(octt, item, attributeStatus="Rejected")


async def _get(octt, item, **wanted) -> None:
    answer = await octt.call("GetVariables", {"getVariableData": [item]})
    check(_result(answer["getVariableResult"], item), wanted)


async def _set(octt, item, **wanted) -> None:
    answer = await octt.call("SetVariables", {"setVariableData": [item]})
    check(_result(answer["setVariableResult"], item), wanted)


def _result(results, item):
    """The one result that names what the item names."""
    (result,) = (
        result
        for result in results
        if (result["component"], result["variable"]) == (item["component"], item["variable"])
    )
    return result


# --- reports --------------------------------------------------------------------------------------------


async def test_TC_B_12_CS(octt):
    report = await states.base_report(octt, "ConfigurationInventory")
    _described(report)
    for entry in report:
        mutability = entry["variableAttribute"][0]["mutability"]
        assert mutability in ("ReadWrite", "WriteOnly"), states.name_of(entry)
    _reported(report, WRITABLE)


async def test_TC_B_13_CS(octt):
    report = await states.base_report(octt)
    _described(report)
    _reported(report, WRITABLE + EITHER + READ_ONLY)
    _tiers_reported(octt, report)


async def test_TC_B_53_CS(octt):
    report = await states.base_report(octt)
    _described(report)
    _reported(report, WRITABLE + EITHER + READ_ONLY)
    _tiers_reported(octt, report)
    for entry in report:
        name = states.name_of(entry)
        for attribute in entry["variableAttribute"]:
            mutability, value = attribute.get("mutability", "ReadWrite"), attribute.get("value")
            if mutability == "WriteOnly":
                assert value is None, f"{name} is write-only, and here it is"
            elif entry["variableCharacteristics"]["dataType"] in LISTS:
                allowed = entry["variableCharacteristics"]["valuesList"].split(",")
                assert value is not None, name
                assert {v.strip() for v in value.split(",") if v} <= set(allowed), (name, value)
            if name in WRITABLE:
                assert mutability == "ReadWrite", name


async def test_TC_B_15_CS(octt):
    request = {"requestId": octt.request_id(), "reportBase": "SummaryInventory"}
    wanted = {"statusInfo__reasonCode": (None, "UnsupportedParam")}
    await octt.call("GetBaseReport", request, status="NotSupported", **wanted)
    await octt.nothing("NotifyReport", 10)


def _described(report) -> None:
    """Every variable has characteristics, and a list says what it may hold."""
    for entry in report:
        characteristics = entry.get("variableCharacteristics")
        assert characteristics, states.name_of(entry)
        if characteristics["dataType"] in LISTS:
            assert characteristics.get("valuesList"), states.name_of(entry)


def _reported(report, names) -> None:
    missing = set(names) - {states.name_of(entry) for entry in report}
    assert not missing, f"not reported: {sorted(missing)}"


def _tiers_reported(octt, report) -> None:
    """What each EVSE and each connector must have; of EVSE.Power the limit as well."""
    found = {}
    for entry in report:
        component, evse = entry["component"], entry["component"].get("evse", {})
        place = evse.get("id"), evse.get("connectorId")
        found[(component["name"], *place, entry["variable"]["name"])] = entry
    for evse in octt.evses:
        for name in PER_EVSE:
            assert ("EVSE", evse, None, name) in found, (evse, name)
        limits = found["EVSE", evse, None, "Power"]["variableCharacteristics"]
        assert limits.get("maxLimit"), limits
    for evse, connector in octt.connectors:
        for name in PER_CONNECTOR:
            assert ("Connector", evse, connector, name) in found, (evse, connector, name)


# --- reset ------------------------------------------------------------------------------------------------


async def test_TC_B_20_CS(octt):
    await states.booted(octt, "OnIdle")


async def test_TC_B_21_CS(octt):
    await states.energy_transfer_started(octt)
    await octt.call("Reset", {"type": "OnIdle"}, status="Scheduled")
    octt.forget()
    await states.until_ended(octt)
    await _scheduled_reset(octt, octt.evse)


async def test_TC_B_22_CS(octt):
    await states.energy_transfer_started(octt)
    octt.forget()
    await octt.call("Reset", {"type": "Immediate"}, status="Accepted")
    await _ended_by_reset(octt, None)
    occupied = {(octt.evse, octt.connector): "Occupied"}
    await states.reported(octt, occupied, reason="RemoteReset")


async def test_TC_B_23_CS(octt):
    await states.unavailable(octt, octt.evse, octt.connector)
    gone = {(octt.evse, octt.connector): "Unavailable"}
    boot = await states.booted(octt, "OnIdle", gone)
    check(boot, {"reason": "RemoteReset"})


async def test_TC_B_41_CS(octt):
    await states.energy_transfer_started(octt, 1)
    await states.energy_transfer_started(octt, 2, token=octt.token2)
    await octt.call("Reset", {"type": "OnIdle"}, status="Scheduled")
    await states.stop_authorized(octt, 1)
    await states.ev_connected_post_session(octt, 1)
    await states.ev_disconnected(octt, 1)
    await states.parking_bay_unoccupied(octt, 1)
    octt.forget()
    await states.until_ended(octt, 2)
    await _scheduled_reset(octt, 2)


async def _scheduled_reset(octt, evse) -> None:
    """The station boots behind the end of its last transaction; a cable that is still in is reported."""
    connected = octt.state[evse].connected
    occupied = {(evse, octt.connector): "Occupied"} if connected else {}
    await states.reported(octt, occupied, reason="ScheduledReset")


async def _ended_by_reset(octt, token=...) -> None:
    call = await octt.event("ResetCommand", kind="Ended", state="EVConnected", within=120)
    check(call, {"transactionInfo.stoppedReason": "ImmediateReset"})
    if token is None:
        check(call, {"idToken": None})


async def test_TC_B_25_CS(octt):
    await octt.call("Reset", {"type": "OnIdle", "evseId": octt.evse}, status="Accepted")


async def test_TC_B_26_CS(octt):
    await states.energy_transfer_started(octt)
    await octt.call("Reset", {"type": "OnIdle", "evseId": octt.evse}, status="Scheduled")
    await states.parking_bay_unoccupied(octt)


async def test_TC_B_27_CS(octt):
    await states.energy_transfer_started(octt)
    await octt.call("Reset", {"type": "Immediate", "evseId": octt.evse}, status="Accepted")
    await _ended_by_reset(octt)


async def test_TC_B_28_CS(octt):
    await octt.call("Reset", {"type": "OnIdle", "evseId": octt.evse}, status="Rejected")


async def test_TC_B_29_CS(octt):
    await states.energy_transfer_started(octt)
    await octt.call("Reset", {"type": "OnIdle", "evseId": octt.evse}, status="Rejected")


# --- network profiles -----------------------------------------------------------------------------------------


async def test_TC_B_43_CS(octt):
    request = _profile(999, octt.rig.network.url())
    await octt.call("SetNetworkProfile", request, status="Rejected")


async def test_TC_B_45_CS(octt):
    await _prioritize_second(octt)
    octt.forget()
    await octt.call("Reset", {"type": "OnIdle"}, status="Accepted")
    await states.reported(octt)
    assert octt.upgrades[-1][1] == octt.second.port, "it did not connect to the new endpoint"


async def test_TC_B_46_CS(octt):
    await octt.configure(_quick(octt, 2))
    await _prioritize_second(octt)
    octt.refuse(octt.second)
    octt.forget()
    await octt.call("Reset", {"type": "OnIdle"}, status="Accepted")
    await states.reported(octt)
    assert [port for _, port in octt.attempts] == [octt.second.port] * 2
    assert octt.upgrades[-1][1] == octt.rig.network.port


async def test_TC_B_49_CS(octt):
    wait = 10
    await octt.configure(_quick(octt, 1, wait))
    await _prioritize_second(octt)
    octt.refuse(octt.second)
    octt.refuse()
    octt.forget()
    await octt.call("Reset", {"type": "OnIdle"}, status="Accepted")
    await octt.moment(octt.attempts, 1)
    (_, first), (failed, second) = octt.attempts[:2]
    assert (first, second) == (octt.second.port, octt.rig.network.port)
    octt.accept()
    await states.reported(octt)
    times = [time for time, _ in octt.attempts[2:] + octt.upgrades if time > failed]
    assert min(times) - failed >= wait - EARLY
    assert octt.upgrades[-1][1] == octt.rig.network.port


def _profile(slot: int, url: str) -> dict:
    data = {
        "ocppVersion": "OCPP20",
        "ocppTransport": "JSON",
        "ocppCsmsUrl": url,
        "messageTimeout": 30,
        "securityProfile": 1,
        "ocppInterface": "Wired0",
    }
    return {"configurationSlot": slot, "connectionData": data}


async def _prioritize_second(octt) -> None:
    """The slot that is not in use gets the second endpoint and the first place."""
    used = int(await octt.get("OCPPCommCtrlr.ActiveNetworkProfile"))
    slot = 2 if used == 1 else 1
    await octt.call("SetNetworkProfile", _profile(slot, await octt.endpoint()), status="Accepted")
    item = variable("OCPPCommCtrlr.NetworkConfigurationPriority")
    status = lambda status: status in ("Accepted", "RebootRequired")  # noqa: E731
    await _set(octt, item | {"attributeValue": f"{slot},{used}"}, attributeStatus=status)


def _quick(octt, attempts: int, wait: int = 2) -> dict:
    """Few attempts, and little time between them."""
    return {
        "OCPPCommCtrlr.NetworkProfileConnectionAttempts": attempts,
        "OCPPCommCtrlr.RetryBackOffRepeatTimes": 0,
        "OCPPCommCtrlr.RetryBackOffRandomRange": 0,
        "OCPPCommCtrlr.RetryBackOffWaitMinimum": wait,
    }


# --- offline and back ------------------------------------------------------------------------------------------


async def test_TC_B_51_CS(octt):
    await _away(octt, threshold=20, wait=22)
    own = octt.evse, octt.connector
    await octt.statuses(dict.fromkeys(octt.connectors, "Available") | {own: "Occupied"})


async def test_TC_B_52_CS(octt):
    await _away(octt, threshold=30, wait=28)
    await octt.status("Occupied")
    await octt.nothing("StatusNotification", 10)


async def _away(octt, threshold: int, wait: int) -> None:
    """The connection is gone until the back-off ends, and meanwhile a cable is plugged in."""
    await octt.configure(
        {
            "OCPPCommCtrlr.OfflineThreshold": threshold,
            "OCPPCommCtrlr.RetryBackOffWaitMinimum": wait,
            "OCPPCommCtrlr.RetryBackOffRandomRange": 0,
        }
    )
    octt.forget()
    await octt.offline()
    octt.hardware.plug(octt.evse, octt.connector)
    await octt.online()


async def test_TC_B_57_CS(octt):
    wait = 10
    await octt.configure(
        {
            "OCPPCommCtrlr.RetryBackOffRepeatTimes": 2,
            "OCPPCommCtrlr.RetryBackOffRandomRange": 0,
            "OCPPCommCtrlr.RetryBackOffWaitMinimum": wait,
        }
    )
    count = len(octt.upgrades)
    closed = await octt.close()
    assert await octt.moment(octt.upgrades, count) - closed >= wait - EARLY
    await octt.connected()
    closed = await octt.close(refuse=True)
    refused = await octt.moment(octt.attempts, 0)
    assert refused - closed >= wait - EARLY
    octt.accept()
    again = await octt.moment(octt.upgrades, count + 1)
    assert again - refused >= 2 * (refused - closed) - 2 * EARLY
    await octt.connected()
