"""The blocks as a CSMS sees them: the real firmware under MicroPython, in simulated time."""

import asyncio

import pytest

from hostsim.csms.server import CallError
from hostsim.lives.harness import CARD, rig, simulate
from hostsim.net import schemas
from hostsim.net.traffic import UP
from tests.blocks.payloads import SENT
from tools import builder

FAST = {
    "OCPPCommCtrlr.RetryBackOffWaitMinimum": "1",
    "OCPPCommCtrlr.RetryBackOffRandomRange": "0",
}
OFFLINE = FAST | {"AuthCtrlr.OfflineTxForUnknownIdEnabled": "true"}


def named(component, variable, **more):
    return {"component": {"name": component}, "variable": {"name": variable}} | more


async def get(this, *names, **more):
    items = [named(*name.split("."), **more) for name in names]
    answer = await this.call("GetVariables", {"getVariableData": items})
    return [(r["attributeStatus"], r.get("attributeValue")) for r in answer["getVariableResult"]]


async def put(this, name, value, **more):
    item = named(*name.split("."), attributeValue=value, **more)
    (result,) = (await this.call("SetVariables", {"setVariableData": [item]}))["setVariableResult"]
    return result["attributeStatus"]


async def status(this, action, payload=None):
    return (await this.call(action, payload))["status"]


async def running(this):
    """The id of the transaction that runs."""
    return (await this.station.watcher.snapshot())["evses"][0]["transaction"]["id"]


# --- boot -------------------------------------------------------------------------------------------


@simulate
async def test_pending_then_accepted():
    async with rig(power=False) as this:
        this.csms.boots = [("Pending", 1000), ("Pending", 1000), ("Accepted", 77)]
        await this.device.power_on()
        await this.station.wait("pending")
        assert await get(this, "OCPPCommCtrlr.OfflineThreshold") == [("Accepted", "60")]
        assert await put(this, "OCPPCommCtrlr.OfflineThreshold", "300") == "Accepted"
        start = {"idToken": {"idToken": CARD, "type": "ISO14443"}, "remoteStartId": 1}
        assert await status(this, "RequestStartTransaction", start) == "Rejected"
        assert await status(this, "RequestStopTransaction", {"transactionId": "x"}) == "Rejected"
        # What was asked for may go, and a report.
        assert (
            await status(this, "TriggerMessage", {"requestedMessage": "Heartbeat"}) == "Accepted"
        )
        await this.csms.seen("Heartbeat")
        base = {"requestId": 5, "reportBase": "ConfigurationInventory"}
        assert await status(this, "GetBaseReport", base) == "Accepted"
        await this.csms.seen("NotifyReport", lambda p: not p.get("tbc", False))
        boot = {"requestedMessage": "BootNotification"}
        assert await status(this, "TriggerMessage", boot) == "Accepted"
        await this.csms.until(lambda: len(this.csms.boots) == 1)
        assert await status(this, "TriggerMessage", boot) == "Accepted"
        await this.booted()
        assert await status(this, "TriggerMessage", boot) == "Rejected"
        assert await get(this, "OCPPCommCtrlr.HeartbeatInterval") == [("Accepted", "77")]
        await this.csms.seen("StatusNotification")
        order = [r.action for r in this.csms.received]
        before = order[: max(n for n, action in enumerate(order) if action == "BootNotification")]
        assert set(before) == {"BootNotification", "Heartbeat", "NotifyReport"}
        assert this.problems() == []


@simulate
async def test_rejected_is_silent_and_answers_security_error():
    async with rig(power=False) as this:
        this.csms.boots = [("Rejected", 60), ("Accepted", 300)]
        await this.device.power_on()
        await this.csms.seen("BootNotification")
        await this.device.settled(20)  # until it has the answer
        for action, payload in (
            ("GetBaseReport", {"requestId": 1, "reportBase": "FullInventory"}),
            ("TriggerMessage", {"requestedMessage": "BootNotification"}),
        ):
            with pytest.raises(CallError) as refused:
                await this.call(action, payload)
            assert refused.value.code == "SecurityError"
        await this.booted()
        first, second = [r.time for r in this.csms.received if r.action == "BootNotification"]
        assert 59 < second - first < 70
        await this.csms.seen("SecurityEventNotification")
        assert [r.action for r in this.csms.received[:3]] == [
            "BootNotification",
            "BootNotification",
            "StatusNotification",
        ]


# --- variables and reports ------------------------------------------------------------------------------


@simulate
async def test_variables():
    async with rig(password="p" * 20, settings=FAST) as this:
        items = [
            named("OCPPCommCtrlr", "HeartbeatInterval"),
            named("Nothing", "X"),
            named("OCPPCommCtrlr", "Nothing"),
            named("OCPPCommCtrlr", "HeartbeatInterval", attributeType="Target"),
            named("SecurityCtrlr", "BasicAuthPassword"),
            {
                "component": {"name": "evse", "evse": {"id": 1}},
                "variable": {"name": "availabilitystate"},
            },
            {
                "component": {"name": "EVSE", "evse": {"id": -1}},
                "variable": {"name": "AvailabilityState"},
            },
        ]
        answer = await this.call("GetVariables", {"getVariableData": items})
        results = answer["getVariableResult"]
        assert [r["attributeStatus"] for r in results] == [
            "Accepted",
            "UnknownComponent",
            "UnknownVariable",
            "NotSupportedAttributeType",
            "Rejected",
            "Accepted",
            "UnknownComponent",
        ]
        assert [r["component"] for r in results] == [item["component"] for item in items]
        assert results[5]["attributeValue"] == "Available"
        assert [await put(this, "OCPPCommCtrlr.OfflineThreshold", v) for v in ("-1", "x", "")] == [
            "Rejected"
        ] * 3
        assert await put(this, "ClockCtrlr.DateTime", "2026-01-01T00:00:00Z") == "Rejected"
        assert (
            await put(this, "OCPPCommCtrlr.OfflineThreshold", "1", attributeType="MaxSet")
            == "NotSupportedAttributeType"
        )
        with pytest.raises(CallError) as refused:
            most = int(
                await this.station.get("DeviceDataCtrlr", "ItemsPerMessage", "GetVariables")
            )
            await get(this, *["EVSE.X"] * (most + 1))
        assert refused.value.code == "OccurrenceConstraintViolation"
        # What was accepted is there after a power cut.
        assert await put(this, "OCPPCommCtrlr.OfflineThreshold", "123") == "Accepted"
        await this.device.power_cycle()
        await this.station.wait("rebooted")
        await this.booted()
        assert await get(this, "OCPPCommCtrlr.OfflineThreshold") == [("Accepted", "123")]
        assert this.problems() == []


@simulate
async def test_a_new_password_is_secret_and_a_short_one_is_not_taken():
    async with rig(password="the-old-password-1", settings=FAST) as this:
        assert await put(this, "SecurityCtrlr.BasicAuthPassword", "tooshort") == "Rejected"
        new = "the-new-password-2"
        assert await put(this, "SecurityCtrlr.BasicAuthPassword", new) in (
            "Accepted",
            "RebootRequired",
        )
        this.csms._password = new
        await this.csms.until(lambda: this.csms.connections == 2 and this.csms.peer)
        # Have the station write it into its log: as a time that is none.
        heard = asyncio.get_running_loop().create_future()
        this.station.device.on_log.append(
            lambda line: heard.done() or "no time" not in line or heard.set_result(line)
        )
        this.csms.text = lambda: f"it is {new} o'clock"
        heartbeat = {"requestedMessage": "Heartbeat"}
        assert await status(this, "TriggerMessage", heartbeat) == "Accepted"
        async with this.clock.timeout(10):
            line = await heard
        assert line.endswith("no time: it is *** o'clock")
        del this.csms.text
        base = {"requestId": 1, "reportBase": "FullInventory"}
        assert await status(this, "GetBaseReport", base) == "Accepted"
        report = []
        await this.csms.until(lambda: not this.csms.reports.get(1, [{"tbc": 1}])[-1].get("tbc"))
        for part in this.csms.reports[1]:
            report += part["report_data"]
        (entry,) = [e for e in report if e["variable"]["name"] == "BasicAuthPassword"]
        assert "value" not in entry["variable_attribute"][0]
        assert entry["variable_attribute"][0]["mutability"] == "WriteOnly"
        assert new not in str(this.csms.reports)


@simulate
async def test_reports_one_at_a_time():
    async with rig(settings=FAST) as this:
        ask = lambda n, base: status(  # noqa: E731
            this, "GetBaseReport", {"requestId": n, "reportBase": base}
        )
        assert await ask(1, "SummaryInventory") == "NotSupported"
        assert await ask(2, "ConfigurationInventory") == "Accepted"
        assert await ask(3, "FullInventory") == "Rejected"
        await this.csms.seen("NotifyReport", lambda p: not p.get("tbc", False))
        assert await ask(4, "FullInventory") == "Accepted"
        await this.csms.seen(
            "NotifyReport", lambda p: p["requestId"] == 4 and not p.get("tbc", False), timeout=300
        )
        for number in (2, 4):
            parts = this.csms.reports[number]
            assert [p["seq_no"] for p in parts] == list(range(len(parts)))
            assert [p.get("tbc", False) for p in parts] == [True] * (len(parts) - 1) + [False]
            entries = sum(len(p["report_data"]) for p in parts)
            assert len(parts) * 2.4 < entries  # round trips take time on a mobile link
        some, every = [
            [(str(e["component"]), str(e["variable"])) for p in parts for e in p["report_data"]]
            for parts in (this.csms.reports[2], this.csms.reports[4])
        ]
        assert len(every) == len(set(every)) > len(some) > 20
        assert set(some) < set(every)
        reports = [
            m for m in this.traffic.messages if m.action == "NotifyReport" and m.direction == UP
        ]
        assert {m.frames for m in reports} == {1}
        assert this.problems() == []


# --- remote control ---------------------------------------------------------------------------------


@simulate
async def test_remote_start_and_stop():
    async with rig(settings=FAST | {"TxCtrlr.TxStartPoint": "EVConnected"}) as this:
        this.hardware.plug()
        await this.station.wait("tx_started")
        tx = await running(this)
        start = {"idToken": {"idToken": CARD, "type": "ISO14443"}, "remoteStartId": 4711}
        answer = await this.call("RequestStartTransaction", start | {"evseId": 1})
        assert answer == {"status": "Accepted", "transactionId": tx}
        await this.station.wait("charging")
        event = await this.csms.seen(
            "TransactionEvent", lambda p: p["triggerReason"] == "RemoteStart"
        )
        assert event["transactionInfo"]["remoteStartId"] == 4711
        assert event["idToken"]["idToken"] == CARD
        assert await status(this, "RequestStartTransaction", start) == "Rejected"
        for evse in (0, 2, -1):
            assert (
                await status(this, "RequestStartTransaction", start | {"evseId": evse})
                == "Rejected"
            )
        assert await status(this, "RequestStopTransaction", {"transactionId": "x"}) == "Rejected"
        unlock = {"evseId": 1, "connectorId": 1}
        assert await status(this, "UnlockConnector", unlock) == "OngoingAuthorizedTransaction"
        assert await status(this, "RequestStopTransaction", {"transactionId": tx}) == "Accepted"
        await this.station.wait("tx_ended")
        assert await status(this, "RequestStopTransaction", {"transactionId": tx}) == "Rejected"
        event = await this.csms.seen("TransactionEvent", lambda p: p["eventType"] == "Ended")
        assert event["triggerReason"] == "RemoteStop"
        assert event["transactionInfo"]["stoppedReason"] == "Remote"
        assert await status(this, "UnlockConnector", unlock) == "Unlocked"
        for evse, connector in ((2, 1), (1, 2), (0, 1), (-1, 1), (1, -1)):
            place = {"evseId": evse, "connectorId": connector}
            assert await status(this, "UnlockConnector", place) == "UnknownConnector"
        this.hardware.set_lock_fails(1, True)
        assert await status(this, "UnlockConnector", unlock) == "UnlockFailed"
        await this.drained()
        assert this.problems(all_ended=True) == []


@simulate
async def test_trigger_message():
    async with rig(settings=FAST) as this:
        ask = lambda name, **evse: status(  # noqa: E731
            this, "TriggerMessage", {"requestedMessage": name} | ({"evse": evse} if evse else {})
        )
        await this.csms.seen("SecurityEventNotification")
        for name, evse, wanted in (
            ("Heartbeat", {}, "Accepted"),
            ("StatusNotification", {"id": 1, "connectorId": 1}, "Accepted"),
            ("StatusNotification", {}, "Rejected"),
            ("StatusNotification", {"id": 2, "connectorId": 1}, "Rejected"),
            ("StatusNotification", {"id": -1, "connectorId": 1}, "Rejected"),
            ("MeterValues", {}, "Accepted"),
            ("MeterValues", {"id": 1}, "Accepted"),
            ("TransactionEvent", {}, "Rejected"),  # none runs
            ("SignCombinedCertificate", {}, "NotImplemented"),
        ):
            mark = this.csms.mark()
            assert await ask(name, **evse) == wanted, (name, evse)
            if wanted == "Accepted":
                await this.csms.seen(name, since=mark)
        values = await this.csms.seen("MeterValues")
        assert values["evseId"] == 1
        assert values["meterValue"][0]["sampledValue"][0]["context"] == "Trigger"
        await this.charging()
        assert await ask("TransactionEvent", id=1) == "Accepted"
        event = await this.csms.seen("TransactionEvent", lambda p: p["triggerReason"] == "Trigger")
        assert event["transactionInfo"]["chargingState"] == "Charging"
        assert event["meterValue"][0]["sampledValue"][0]["context"] == "Trigger"
        await this.stopped()
        await this.drained()
        assert this.problems(all_ended=True) == []


@simulate
async def test_change_availability():
    async with rig(settings=FAST, evses=2) as this:
        order = lambda state, **evse: status(  # noqa: E731
            this,
            "ChangeAvailability",
            {"operationalStatus": state} | ({"evse": evse} if evse else {}),
        )
        statuses = this.csms.statuses
        await this.csms.seen("SecurityEventNotification")
        for evse in (
            {"id": 3},
            {"id": 1, "connectorId": 2},
            {"id": -1},
            {"id": 0, "connectorId": 1},
        ):
            assert await order("Inoperative", **evse) == "Rejected"
        assert await order("Inoperative", id=1) == "Accepted"
        await this.csms.until(lambda: statuses == {(1, 1): "Unavailable", (2, 1): "Available"})
        statuses.clear()
        await this.device.power_cycle()
        await this.booted()
        await this.csms.until(lambda: statuses == {(1, 1): "Unavailable", (2, 1): "Available"})
        assert await order("Operative", id=1) == "Accepted"
        await this.csms.until(lambda: statuses[1, 1] == "Available")
        await this.charging(evse=2)
        assert await order("Inoperative") == "Scheduled"
        await this.csms.until(
            lambda: statuses == {(1, 1): "Unavailable", (2, 1): "Occupied"}, timeout=60
        )
        await this.stopped(evse=2)
        await this.csms.until(lambda: statuses[2, 1] == "Unavailable")
        await this.drained()
        assert this.problems(all_ended=True) == []


@pytest.mark.parametrize("kind", ["Immediate", "OnIdle"])
@simulate
async def test_reset_with_a_transaction(kind):
    async with rig(settings=FAST) as this:
        await this.charging()
        for evse in (1, 2, -1):
            assert await status(this, "Reset", {"type": kind, "evseId": evse}) == "Rejected"
        wanted = "Accepted" if kind == "Immediate" else "Scheduled"
        assert await status(this, "Reset", {"type": kind}) == wanted
        if kind == "OnIdle":
            await this.clock.sleep(5)
            assert this.device.boots == 1 and this.hardware.outlet(1).closed
            await this.clock.sleep(3)
            this.hardware.card(CARD)
        await this.station.wait("rebooted", 120)
        await this.booted()
        event = await this.csms.seen("TransactionEvent", lambda p: p["eventType"] == "Ended")
        reason = "RemoteReset"
        if kind == "Immediate":
            assert event["triggerReason"] == "ResetCommand"
            assert event["transactionInfo"]["stoppedReason"] == "ImmediateReset"
            assert event["transactionInfo"]["chargingState"] == "EVConnected"
        else:
            reason = "ScheduledReset"
            assert event["triggerReason"] == "StopAuthorized"
        await this.csms.seen("BootNotification", lambda p: p["reason"] == reason)
        await this.csms.until(lambda: this.csms.statuses[1, 1] == "Occupied")
        await this.drained()
        assert this.problems(all_ended=True) == []
        # The reason holds for one boot.
        await this.device.power_cycle()
        await this.station.wait("rebooted")
        await this.booted()
        boots = [r.payload["reason"] for r in this.csms.received if r.action == "BootNotification"]
        assert boots[-1] == "PowerUp"


@simulate
async def test_reset_without_a_transaction_and_data_transfer():
    async with rig(settings=FAST) as this:
        assert await status(this, "DataTransfer", {"vendorId": "x"}) == "UnknownVendorId"
        assert await status(this, "Reset", {"type": "OnIdle"}) == "Accepted"
        await this.station.wait("rebooted", 60)
        await this.booted()
        assert this.problems() == []


# --- what there is and what there is not --------------------------------------------------------------

CORE = {
    "ChangeAvailability",
    "DataTransfer",
    "GetBaseReport",
    "GetTransactionStatus",
    "GetVariables",
    "RequestStartTransaction",
    "RequestStopTransaction",
    "Reset",
    "SetVariables",
    "TriggerMessage",
    "UnlockConnector",
}


@simulate
async def test_not_supported_and_not_implemented():
    routes = (builder.build_tables("sim") / "tables" / "routes.py").read_text()
    served = {action for action in schemas.actions() if f"n{action} " in routes} - SENT | CORE
    assert len(schemas.actions() - SENT) == 40
    async with rig() as this:
        for action in [*sorted(schemas.actions()), "Nonsense", "reset", "Reset2"]:
            faults = action not in served or schemas.payload_faults(action, {})
            if not faults:
                continue
            with pytest.raises(CallError) as refused:
                await this.call(action, {})
            if action in served:
                wanted = {"OccurrenceConstraintViolation"}
            elif action in SENT:
                wanted = {"NotSupported", "NotImplemented"}
            else:
                wanted = {"NotSupported" if action in schemas.actions() else "NotImplemented"}
            assert refused.value.code in wanted, action


# --- the queue --------------------------------------------------------------------------------------


@simulate
async def test_events_from_before_a_connection_are_offline_and_in_order():
    async with rig(settings=OFFLINE) as this:
        await this.charging()
        await this.station.set_network("off")
        await this.station.wait("disconnected")
        await this.stopped()
        await this.clock.sleep(3)  # the same card
        await this.charging()
        await this.station.wait("queued")
        await this.station.set_network("on")
        await this.drained()
        await this.stopped()
        await this.drained()
        flags = [
            (event.kind, event.offline)
            for tx in this.csms.ledger.transactions.values()
            for event in tx.events
        ]
        assert flags[0] == ("Started", False)
        ended = flags.index(("Ended", True))
        assert flags[ended + 1] == ("Started", True)
        assert flags[-1] == ("Ended", False)
        assert this.problems(all_ended=True) == []


@simulate
async def test_transaction_status_before_while_and_after_the_queue_is_delivered():
    async with rig(settings=OFFLINE) as this:

        async def ask(tx=None):
            answer = await this.call("GetTransactionStatus", {"transactionId": tx} if tx else {})
            return answer.get("ongoingIndicator"), answer["messagesInQueue"]

        assert await ask() == (None, False)
        assert await ask("nothing") == (False, False)
        await this.charging()
        await this.drained()
        tx = await running(this)
        assert await ask(tx) == (True, False)
        await this.station.set_network("off")
        await this.station.wait("disconnected")
        await this.stopped()
        await this.station.wait("queued")
        # The CSMS is back, and for now it leaves the first event unanswered.
        late = this.csms.wrong("late", "TransactionEvent", delay=10)
        await this.station.set_network("on")
        await this.csms.until(lambda: late.times == 0)
        assert await ask(tx) == (False, True)
        assert await ask() == (None, True)
        assert await ask("nothing") == (False, False)
        await this.drained()
        assert await ask(tx) == (False, False)
        assert await ask() == (None, False)
        assert this.problems(all_ended=True) == []


@pytest.mark.parametrize("how, gaps", [("silent", (40, 50)), ("error", (10, 20))])
@simulate
async def test_events_that_the_csms_does_not_take(how, gaps):
    """E_41, E_50: three attempts, then the next event."""
    settings = FAST | {
        "OCPPCommCtrlr.MessageAttempts.TransactionEvent": "3",
        "OCPPCommCtrlr.MessageAttemptInterval.TransactionEvent": "10",
    }
    async with rig(settings=settings) as this:
        timeout = int(await this.station.get("OCPPCommCtrlr", "MessageTimeout", "Default"))
        await this.drained()
        wrong = this.csms.wrong(how, "TransactionEvent", times=3)
        mark = this.csms.mark()
        await this.charging()
        await this.csms.until(lambda: not wrong.times, timeout=200)
        await this.csms.seen(
            "TransactionEvent", lambda p: p["seqNo"] == 1, since=mark, timeout=120
        )
        sent = [r for r in this.csms.received[mark:] if r.action == "TransactionEvent"]
        assert [r.payload["seqNo"] for r in sent[:4]] == [0, 0, 0, 1]
        extra = timeout - 30 if how == "silent" else 0
        found = [b.time - a.time for a, b in zip(sent[:3], sent[1:3])]
        for gap, wanted in zip(found, gaps):
            assert wanted + extra - 2 < gap < wanted + extra + 6, found
        await this.drained()
        assert (await this.station.watcher.snapshot())["queue"]["discarded"] == 1
        assert len([line for line in this.device.errors if "given up" in line]) == 1


@simulate
async def test_a_short_time_offline_reports_changes_and_a_long_one_all():
    """B_51, B_52."""
    async with rig(settings=FAST | {"OCPPCommCtrlr.OfflineThreshold": "60"}, evses=2) as this:
        await this.csms.seen("SecurityEventNotification")
        for seconds, connectors in ((5, {(1, 1)}), (70, {(1, 1), (2, 1)})):
            await this.station.set_network("off")
            await this.station.wait("disconnected", 120)
            if this.hardware.outlet(1).cable:
                this.hardware.unplug(1)
            else:
                this.hardware.plug(1)
            await this.clock.sleep(seconds)
            this.csms.statuses.clear()
            await this.station.set_network("on")
            await this.station.wait("accepted", 120)
            await this.csms.until(lambda: (1, 1) in this.csms.statuses)
            mark = this.csms.mark()
            trigger = {"requestedMessage": "Heartbeat"}
            assert await status(this, "TriggerMessage", trigger) == "Accepted"
            await this.csms.seen("Heartbeat", since=mark)  # statuses come first
            assert set(this.csms.statuses) == connectors
        assert this.problems() == []


@simulate
async def test_calls_are_answered_while_authorize_is_open():
    async with rig(settings=FAST) as this:
        late = this.csms.wrong("late", "Authorize", delay=10)
        this.hardware.plug()
        this.hardware.card(CARD)
        await this.csms.until(lambda: late.times == 0)
        start = {"idToken": {"idToken": CARD, "type": "ISO14443"}, "remoteStartId": 1, "evseId": 1}
        answers = [
            await get(this, "OCPPCommCtrlr.OfflineThreshold"),
            await status(this, "RequestStartTransaction", start),
        ]
        assert answers == [[("Accepted", "60")], "Rejected"]
        await this.station.wait("charging")
        await this.stopped()
        await this.drained()
        assert this.problems(all_ended=True) == []
