"""What has broken between stations and CSMSs in the field, where no other test holds it; see docs/interop.md."""

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from hostsim.clock import unix_time
from hostsim.csms.server import CallError
from hostsim.lives.harness import CARD, rig, simulate
from hostsim.net.traffic import UP

FAST = {
    "OCPPCommCtrlr.RetryBackOffWaitMinimum": "1",
    "OCPPCommCtrlr.RetryBackOffRandomRange": "0",
    "OCPPCommCtrlr.MessageAttemptInterval.TransactionEvent": "5",
}
TIME = re.compile(r"\d{4}-\d\d-\d\d(T|$)")
ZULU = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def texts(value):
    """Every string in a payload."""
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return [value] if isinstance(value, str) else []
    return [text for one in value for text in texts(one)]


def intervals(name, value):
    component, variable = name.split(".")
    item = {"component": {"name": component}, "variable": {"name": variable}}
    return {"setVariableData": [item | {"attributeValue": value}]}


@simulate
async def test_a_day_on_the_wire():
    """EVSE and connector once a transaction and never 0, times in UTC without fractions, short message ids that
    never come twice."""
    settings = FAST | {
        "SampledDataCtrlr.TxUpdatedInterval": "20",
        "AlignedDataCtrlr.Interval": "30",
    }
    async with rig(settings=settings, evses=2) as this:
        for evse in (1, 2):
            await this.charging(evse=evse)
            await this.clock.sleep(45)
            await this.stopped(evse=evse)
        await this.call("GetBaseReport", {"requestId": 1, "reportBase": "FullInventory"})
        await this.csms.seen("NotifyReport", lambda p: not p.get("tbc"))
        await this.drained()
        for tx in this.csms.ledger.transactions.values():
            named = [event.payload["evse"] for event in tx.events if "evse" in event.payload]
            assert len(named) == 1 and named[0]["id"] in (1, 2) and named[0]["connectorId"] == 1
            assert [event.seq for event in tx.events] == list(range(len(tx.events)))
        assert set(this.csms.statuses) == {(1, 1), (2, 1)}
        calls = [m for m in this.traffic.messages if m.direction == UP and m.kind == 2]
        assert len({m.id for m in calls}) == len(calls) and max(len(m.id) for m in calls) <= 12
        times = [text for m in calls for text in texts(m.payload) if TIME.match(text)]
        assert len(times) > 20 and all(ZULU.fullmatch(text) for text in times)
        assert this.problems(all_ended=True) == []


@pytest.mark.parametrize(
    "code",
    ["FormationViolation", "OccurenceConstraintViolation", "RpcFrameworkError", "Unheard of", ""],
)
@simulate
async def test_an_error_costs_an_attempt_and_no_event(code):
    """Codes of another version, misspelt ones, and that of a CSMS that takes no CALL while its own is open."""
    async with rig(settings=FAST) as this:
        await this.drained()
        wrong = this.csms.wrong("error", "TransactionEvent", times=2, code=code)
        mark = this.csms.mark()
        await this.charging()
        await this.stopped()
        await this.drained()
        assert wrong.times == 0
        sent = [
            r.payload["seqNo"] for r in this.csms.received[mark:] if r.action == "TransactionEvent"
        ]
        assert sent[:3] == [0, 0, 0] and sent[2:] == list(range(len(sent) - 2))
        assert (await this.station.state())["counters"]["error_answers"] == 2
        assert this.csms.ledger.lost() == 0
        assert this.problems(all_ended=True) == []


OWN = {"ownField": {"status": "Blocked"}, "customData": None}
INFO = {
    "status": "Accepted",
    "cacheExpiryDateTime": None,
    "groupIdToken": None,
    "ownField": [None],
    "personalMessage": {"format": "UTF8", "content": None},  # nobody reads it
    "chargingPriority": "high",
}


@simulate
async def test_answers_with_null_and_with_fields_of_their_own():
    """As serializers of real CSMSs make them: the station is accepted, the driver charges, the event is taken."""
    async with rig(power=False, settings=FAST) as this:
        time = this.clock.text()
        boot = {"currentTime": time, "interval": 77, "status": "Accepted", "statusInfo": None}
        this.csms.wrong("answer", "BootNotification", payload=boot | OWN)
        this.csms.wrong("answer", "StatusNotification", payload={"statusInfo": None})
        this.csms.wrong("answer", "Authorize", payload={"idTokenInfo": INFO} | OWN)
        event = {"totalCost": None, "chargingPriority": "high", "idTokenInfo": INFO}
        this.csms.wrong("answer", "TransactionEvent", payload=event, times=3)
        await this.device.power_on()
        await this.booted()
        assert await this.station.get("OCPPCommCtrlr", "HeartbeatInterval") == "77"
        await trigger(this, "Heartbeat")  # the time of that answer was from before the start
        await this.csms.seen("Heartbeat")
        await this.charging()
        await this.stopped()
        await this.drained()
        assert not this.csms.wrongs
        log = "\n".join(this.device.log)
        for text in (
            "Authorize: wrong type: idTokenInfo.chargingPriority: answered all the same",
            "TransactionEvent: wrong type: chargingPriority: answered all the same",
        ):
            assert text in log
        assert "StatusNotification: " not in log and "BootNotification: " not in log
        assert (await this.station.state())["counters"]["malformed_answers"] == 4
        assert this.csms.ledger.lost() == 0
        assert this.problems(all_ended=True) == []


@simulate
async def test_an_event_whose_answer_refuses_the_token_and_is_wrong_besides():
    async with rig(settings=FAST | {"TxCtrlr.StopTxOnInvalidId": "true"}) as this:
        await this.drained()
        refused = {"idTokenInfo": {"status": "Blocked", "language1": 5}, "totalCost": "0"}
        this.csms.wrong("answer", "TransactionEvent", payload=refused)
        mark = this.csms.mark()
        this.hardware.plug()
        await this.station.wait("plugged")
        this.hardware.card(CARD)
        await this.csms.seen(
            "TransactionEvent", lambda p: p["triggerReason"] == "Deauthorized", since=mark
        )
        assert this.problems() == []


@pytest.mark.parametrize(
    "boot, fault",
    [
        ({"status": "OK", "interval": 40}, "bad value: status"),
        ({"interval": 40}, "missing status"),
        ([], "wrong type"),
    ],
)
@simulate
async def test_a_boot_whose_answer_has_no_status_is_repeated(boot, fault):
    async with rig(power=False) as this:
        if boot:
            boot["currentTime"] = this.clock.text()
        this.csms.wrong("answer", "BootNotification", payload=boot)
        await this.device.power_on()
        await this.booted()
        first, second = (r.time for r in this.csms.received if r.action == "BootNotification")
        assert 39 < second - first < 90
        assert any(f"BootNotification: {fault}" in line for line in this.device.log)
        assert this.problems() == []


async def trigger(this, action):
    answer = await this.call("TriggerMessage", {"requestedMessage": action})
    assert answer["status"] == "Accepted"


async def sent(this, action, since, count):
    """Wait until so many messages of this action have come since then."""
    await this.csms.until(
        lambda: len([r for r in this.csms.received[since:] if r.action == action]) >= count, action
    )


@pytest.mark.parametrize(
    "action", ["BootNotification", "LogStatusNotification", "FirmwareStatusNotification"]
)
@simulate
async def test_what_is_triggered_while_the_same_waits_for_its_answer_is_sent_again(action):
    """F06.FR.10: each TriggerMessage that was accepted has its message."""
    async with rig(power=False) as this:
        this.csms.boots = [("Pending", 900), ("Pending", 900), ("Accepted", 300)]
        await this.device.power_on()
        await this.station.wait("pending", 60)
        mark = this.csms.mark()
        this.csms.wrong("late", action, delay=4, times=2)
        for count in (1, 2, 3):  # the second and the third while the one before is not answered
            await trigger(this, action)
            await sent(this, action, mark, count)
        if action == "BootNotification":
            boots = [r.payload["reason"] for r in this.csms.received[mark:]]
            assert boots[:3] == ["Triggered"] * 3
        assert this.problems() == []


@simulate
async def test_what_was_triggered_is_sent_again_over_the_next_connection():
    async with rig(settings=FAST) as this:
        for action in ("LogStatusNotification", "FirmwareStatusNotification"):
            await this.drained()
            this.csms.wrong("close", action)
            mark = this.csms.mark()
            await trigger(this, action)
            await sent(this, action, mark, 2)
        assert this.problems() == []


ESCAPED = (
    r'[2,"escaped","GetVariables",{"g\u0065tVariableData":[{"\u0063omponent":{"n\u0061me":"OCPPCommCtrlr"},'
    r'"v\u0061riable":{"name":"Heartbeat\u0049nterval"},"attributeType":"Act\u0075al"}]}]'
)


@simulate
async def test_escapes_in_keys_and_enumerations():
    """Some encoders escape what they need not."""
    async with rig() as this:
        await this.booted()
        await this.csms.peer.send_raw(ESCAPED)
        mark = this.csms.mark()
        this.hardware.plug()  # what the CSMS sees next
        await this.csms.seen("StatusNotification", since=mark)
        (answer,) = [m for m in this.traffic.messages if m.direction == UP and m.id == "escaped"]
        (result,) = answer.payload["getVariableResult"]
        assert result["attributeStatus"] == "Accepted" and result["attributeValue"].isdigit()
        assert result["component"] == {"name": "OCPPCommCtrlr"}
        assert this.problems() == []


@simulate
async def test_a_report_is_asked_for_as_soon_as_the_boot_is_accepted():
    """It comes although no status has been answered yet."""
    async with rig(power=False) as this:
        silent = this.csms.wrong("silent", "StatusNotification")
        await this.device.power_on()
        await this.csms.until(lambda: silent.times == 0, "StatusNotification")
        base = {"requestId": 7, "reportBase": "ConfigurationInventory"}
        assert (await this.call("GetBaseReport", base))["status"] == "Accepted"
        await this.csms.seen("NotifyReport", lambda p: not p.get("tbc"))
        assert this.problems() == []


@pytest.mark.parametrize("status", ["Pending", "Rejected"])
@simulate
async def test_the_boot_is_repeated_at_the_interval_and_at_one_of_ours_for_none(status):
    async with rig(power=False) as this:
        this.csms.boots = [(status, 40), (status, 0), ("Accepted", 300)]
        await this.device.power_on()
        await this.station.wait("accepted", 300)
        first, second, third = (
            r.time for r in this.csms.received if r.action == "BootNotification"
        )
        assert 39 < second - first < 55
        assert 59 < third - second < 90
        order = [r.action for r in this.csms.received]
        assert order[:3] == ["BootNotification"] * 3  # and nothing in between


@simulate
async def test_a_status_has_the_time_of_the_change():
    async with rig(settings=FAST) as this:
        await this.csms.seen("SecurityEventNotification")
        await this.station.set_network("off")
        await this.station.wait("disconnected", 120)
        this.hardware.plug()
        await this.station.wait("plugged")
        changed = this.clock.unix()
        await this.clock.sleep(30)
        mark = this.csms.mark()
        await this.station.set_network("on")
        status = await this.csms.seen("StatusNotification", since=mark)
        assert status["connectorStatus"] == "Occupied"
        assert abs(unix_time(status["timestamp"]) - changed) < 4
        assert this.problems() == []


@pytest.mark.parametrize(
    "hours, form", [(0, "microseconds"), (2, "seconds"), (-11, "milliseconds")]
)
@simulate
async def test_times_of_the_csms_in_other_forms(hours, form):
    """Offsets and fractions of a second: the station's clock is right after the boot."""
    async with rig(power=False) as this:
        zone = timezone(timedelta(hours=hours))
        time = datetime.fromtimestamp(this.clock.unix(), zone).isoformat(timespec=form)
        answer = {"currentTime": time, "interval": 300, "status": "Accepted"}
        this.csms.wrong("answer", "BootNotification", payload=answer)
        await this.device.power_on()
        await this.booted()
        this.hardware.plug()
        status = await this.csms.seen(
            "StatusNotification", lambda p: p["connectorStatus"] == "Occupied"
        )
        assert abs(unix_time(status["timestamp"]) - this.clock.unix()) < 30
        assert this.problems() == []


LIVE = [
    ("AlignedDataCtrlr.Measurands", "Energy.Active.Import.Register,Voltage"),
    ("SampledDataCtrlr.TxUpdatedMeasurands", "Energy.Active.Import.Register,Power.Active.Import"),
    ("SampledDataCtrlr.TxStartedMeasurands", "Energy.Active.Import.Register"),
    ("SampledDataCtrlr.TxEndedMeasurands", "Energy.Active.Import.Register"),
    ("SampledDataCtrlr.TxUpdatedInterval", "7"),
    ("AlignedDataCtrlr.Interval", "10"),
    ("OCPPCommCtrlr.HeartbeatInterval", "15"),
    ("OCPPCommCtrlr.WebSocketPingInterval", "9"),
]


@simulate
async def test_what_is_measured_and_how_often_changes_at_once():
    """No reboot, an answer within seconds, and it holds for the transaction that runs."""
    async with rig(settings=FAST) as this:
        await this.charging()
        for name, value in LIVE:
            began = this.clock.now()
            (result,) = (await this.call("SetVariables", intervals(name, value)))[
                "setVariableResult"
            ]
            assert result["attributeStatus"] == "Accepted", name
            assert this.clock.now() - began < 5
        mark = this.csms.mark()
        for _ in range(3):
            await this.csms.seen("Heartbeat", since=mark)
            event = await this.csms.seen(
                "TransactionEvent",
                lambda p: p["triggerReason"] == "MeterValuePeriodic",
                since=mark,
            )
            names = {v.get("measurand") for m in event["meterValue"] for v in m["sampledValue"]}
            assert "Power.Active.Import" in names
            mark = this.csms.mark()
        await this.stopped()
        await this.drained()
        assert this.problems(all_ended=True) == []


@simulate
async def test_a_firmware_update_from_nowhere_right_after_the_boot():
    """A location that is none and a signature that is not ASCII: a plain answer, and life goes on."""
    async with rig(power=False) as this:
        await this.device.power_on()
        await this.csms.seen("BootNotification")
        firmware = {
            "location": "dummy://dummy",
            "retrieveDateTime": "2026-11-20T02:47:51Z",
            "signingCertificate": "-----BEGIN CERTIFICATE-----\nGrüße\n-----END CERTIFICATE-----",
            "signature": "\u2713\U0001f40d" * 20,
        }
        try:
            answer = await this.call("UpdateFirmware", {"requestId": 1, "firmware": firmware})
            assert answer["status"] in ("Rejected", "InvalidCertificate")
        except CallError as refused:
            assert refused.code == "NotSupported"
        await this.booted()
        await this.charging()
        assert this.problems() == []


@simulate
async def test_a_reservation_without_an_evse():
    """Nothing is there to reserve, and it says so."""
    async with rig() as this:
        request = {
            "id": 1,
            "expiryDateTime": "2099-11-20T02:47:51Z",
            "idToken": {"idToken": CARD, "type": "ISO14443"},
        }
        with pytest.raises(CallError) as refused:
            await this.call("ReserveNow", request)
        assert refused.value.code == "NotSupported"
        assert this.problems() == []


@simulate
async def test_event_ids_differ_over_a_restart():
    async with rig(settings=FAST) as this:
        seen, boot = [], 0
        for _ in range(2):
            await this.csms.seen("SecurityEventNotification", since=boot)
            this.hardware.set_lock_fails(1, True)
            this.hardware.plug()
            await this.station.wait("plugged")
            mark = this.csms.mark()
            this.hardware.card(CARD)
            event = await this.csms.seen("NotifyEvent", since=mark)
            seen.append(event["eventData"][0]["eventId"])
            this.hardware.set_lock_fails(1, False)
            this.hardware.unplug()
            event = await this.csms.seen(
                "NotifyEvent", lambda p: p["eventData"][0].get("cleared"), since=mark
            )
            seen.append(event["eventData"][0]["eventId"])
            boot = this.csms.mark()
            await this.device.power_cycle()
        assert len(set(seen)) == 4


@simulate
async def test_no_back_off_after_a_reset():
    """Waits are for connections that were lost."""
    settings = {"OCPPCommCtrlr.RetryBackOffWaitMinimum": "100"}
    async with rig(settings=settings) as this:
        await this.call("Reset", {"type": "Immediate"})
        await this.station.wait("rebooted")
        assert await this.station.wait("accepted", 60) < 30
        assert this.problems() == []


@simulate
async def test_statuses_come_before_it_is_asked_for_them():
    """After every boot each connector is reported, and again to whoever asks."""
    async with rig(evses=2) as this:
        await this.csms.until(lambda: len(this.csms.statuses) == 2, "statuses")
        mark = this.csms.mark()
        where = {"id": 2, "connectorId": 1}
        ask = {"requestedMessage": "StatusNotification", "evse": where}
        assert (await this.call("TriggerMessage", ask))["status"] == "Accepted"
        status = await this.csms.seen("StatusNotification", since=mark)
        assert (status["evseId"], status["connectorId"]) == (2, 1)
        assert this.problems() == []


def test_the_tests_that_the_document_names_are_there():
    root = Path(__file__).parents[2]
    named = set(re.findall(r"`(test_\w+)`", (root / "docs" / "interop.md").read_text()))
    sources = "".join(file.read_text() for file in (root / "tests").rglob("test_*.py"))
    assert len(named) > 50
    assert named <= set(re.findall(r"def (test_\w+)\(", sources)), "no such test"


def test_the_lines_of_the_log_that_the_page_on_csmss_explains_are_there():
    root = Path(__file__).resolve().parents[2]
    section = (root / "docs" / "csms.md").read_text().partition("\n## What the log says\n")[2]
    rows = [
        row.split("|")[1] for row in section.partition("\n## ")[0].splitlines() if row[:3] == "| `"
    ]
    said = "".join(file.read_text() for file in (root / "firmware").rglob("*.py"))
    for line in re.findall("`(.+?)`", "".join(rows)):
        for piece in re.split(r"\.\.\.|: |\b\d+\b", line):
            assert piece.strip() in said, line
    assert len(rows) >= 12


def test_each_trap_has_a_number_of_its_own():
    page = (Path(__file__).resolve().parents[2] / "docs" / "interop.md").read_text()
    rows = re.findall(r"^\| ([\d, ]+) \|", page, re.MULTILINE)
    numbers = [number for row in rows for number in row.split(", ")]
    assert len(numbers) > 90 and len(set(numbers)) == len(numbers)
