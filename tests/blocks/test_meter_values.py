"""Values taken by the clock (J01), in modelled time."""

import pytest

from hostsim.lives.bench import Bench
from milliamp.base.packing import put_number
from milliamp.domain import transaction

INTERVAL = "AlignedDataCtrlr.Interval"


def live(b, seconds):
    """Time passes, and the blocks have their tick each second."""
    b.deliver()
    for _ in range(seconds):
        b.poll(1000)
        for tick in b.st._ticking:
            tick(b.st)
        b.deliver()


def taken(b):
    """What was taken by the clock: (action, EVSE, time)."""
    found = []
    for action, payload in b.sent:
        for value in payload.get("meterValue", ()):
            if value["sampledValue"][0].get("context") == "Sample.Clock":
                evse = payload.get("evseId", 1)
                found.append((action, evse, value["timestamp"][11:19]))
    return found


def test_one_message_an_interval_and_evse_at_full_intervals():
    b = Bench({INTERVAL: "60"}, evses=2)
    live(b, 185)
    assert taken(b) == [
        ("MeterValues", evse, f"12:0{minute}:00") for minute in (1, 2, 3) for evse in (1, 2)
    ]


@pytest.mark.parametrize("only_idle", [False, True])
def test_in_a_transaction(only_idle):
    b = Bench({INTERVAL: "60", "AlignedDataCtrlr.SendDuringIdle": str(only_idle).lower()}, evses=2)
    b.plug()
    b.card()
    live(b, 70)
    events = [p for _, p in b.sent if p.get("triggerReason") == "MeterValueClock"]
    if only_idle:
        assert taken(b) == events == []
    else:
        assert sorted(taken(b)) == [
            ("MeterValues", 2, "12:01:00"),
            ("TransactionEvent", 1, "12:01:00"),
        ]
        assert events[0]["eventType"] == "Updated"
    assert b.ledger.problems() + b.errors() == []


@pytest.mark.parametrize("jump", [3600 - 30, 3600 + 40, -3600, -30, 86_400])
@pytest.mark.parametrize("busy", [False, True])
def test_no_value_of_a_time_that_the_clock_has_jumped_over(jump, busy):
    b = Bench({INTERVAL: "900", "AlignedDataCtrlr.TxEndedInterval": "900"})
    if busy:
        b.plug()
        b.card()
    live(b, 60)
    b.st.set_clock(b.st.clock.text(b.st.clock.now() + jump))
    live(b, 5)
    assert taken(b) == []
    live(b, 901)
    assert len(taken(b)) == 1
    if busy:
        assert b"" == b.e.tx.samples or len(list(transaction.packed(b.e.tx.samples))) == 1


def test_a_new_interval_begins_at_its_next_full_one():
    b = Bench({INTERVAL: "3600"})
    live(b, 90)
    b.set(INTERVAL, "60")
    live(b, 60)
    b.set(INTERVAL, "0")
    live(b, 120)
    assert taken(b) == [("MeterValues", 1, "12:02:00")]


def test_nothing_is_taken_before_the_time_is_known_nor_while_offline():
    b = Bench({INTERVAL: "10"}, online=False)
    live(b, 30)
    b.connect()
    live(b, 2)
    b.disconnect()
    live(b, 30)
    b.connect()
    live(b, 9)
    assert len(taken(b)) == 1


def test_a_full_journal_costs_a_value_and_nothing_else():
    b = Bench({INTERVAL: "10"})
    b.plug()
    b.card()
    b.deliver()
    append = b.st.journal.append

    def refuse(*_):
        raise OSError(28)

    b.st.journal.append = refuse
    live(b, 25)
    assert b.outlet.closed
    b.st.journal.append = append
    live(b, 10)
    assert len(taken(b)) == 1


def test_values_of_the_clock_for_the_end_of_a_transaction():
    b = Bench(
        {
            INTERVAL: "0",
            "AlignedDataCtrlr.TxEndedInterval": "30",
            "SampledDataCtrlr.TxEndedMeasurands": "",
        }
    )
    live(b, 10)
    b.plug()
    b.card()
    live(b, 100)
    b.card()
    b.deliver()
    ended = [p for _, p in b.sent if p.get("eventType") == "Ended"][0]
    times = [value["timestamp"][14:19] for value in ended["meterValue"]]
    assert times == ["00:30", "01:00", "01:30"]
    assert taken(b) == [("TransactionEvent", 1, "12:" + time) for time in times]


def test_a_long_sample_leaves_in_several_messages_of_the_same_time():
    b = Bench(
        {
            INTERVAL: "60",
            "AlignedDataCtrlr.Measurands": "Energy.Active.Import.Register,Power.Active.Import",
        }
    )
    b.tables.profile.VALUES, most = 1, b.tables.profile.VALUES
    try:
        live(b, 65)
    finally:
        b.tables.profile.VALUES = most
    assert taken(b) == [("MeterValues", 1, "12:01:00")] * 2


PLACES = ("Power.Active.Import", 0), ("Current.Import", 1), ("Current.Import", 2), ("Voltage", 3)
MEASURED = dict(zip(PLACES, (-3680, -16000, 5, 230123), strict=True))
SHOWN = {
    ("Power.Active.Import", None): -3680,
    ("Current.Import", "L1"): -16,
    ("Current.Import", "L2"): 0.005,
    ("Voltage", "L3-N"): 230.123,
}


def shown(payload):
    """What the last sample of a payload says, without the register."""
    return {
        (value["measurand"], value.get("phase")): value["value"]
        for value in payload["meterValue"][-1]["sampledValue"]
        if "measurand" in value
    }


def test_what_flows_back_is_negative():
    """In updates, in what is kept for the end, and in values by the clock."""
    names = "Energy.Active.Import.Register,Power.Active.Import,Current.Import,Voltage"
    b = Bench(
        {
            INTERVAL: "60",
            "AlignedDataCtrlr.Measurands": names,
            "SampledDataCtrlr.TxUpdatedInterval": "20",
            "SampledDataCtrlr.TxUpdatedMeasurands": names,
            "SampledDataCtrlr.TxEndedInterval": "20",
            "SampledDataCtrlr.TxEndedMeasurands": names,
        },
        evses=2,
    )
    b.board.measure = lambda evse, measurand, phase: MEASURED.get((measurand, phase))
    b.plug()
    b.card()
    live(b, 70)
    b.unplug()
    b.deliver()
    for action, only in (
        ("MeterValues", {}),
        ("TransactionEvent", {"triggerReason": "MeterValuePeriodic"}),
        ("TransactionEvent", {"eventType": "Ended"}),
    ):
        (payload, *_) = [
            p for a, p in b.sent if a == action and all(p[k] == v for k, v in only.items())
        ]
        assert shown(payload) == SHOWN
        if only.get("eventType"):
            assert len(payload["meterValue"]) > 3
    assert b.ledger.problems() + b.errors() == []


def test_a_record_of_before_with_a_temperature_reads_right():
    """Slot 13 is no measurand of 2.0.1: it is passed over, what is around it stays."""
    b = Bench()
    b.plug()
    b.card()
    b.deliver()
    old = b""
    for context in (2, 4):
        values = bytearray()
        for number in (1234, 3600, 215):
            put_number(values, number)
        old += transaction.group(context, 1 | 2 | 1 << 13, values)
    transaction.append(b.st, b.st.evses[0], 1, 6, old)
    groups = b.last()["meterValue"]
    for group in groups:
        assert [value["value"] for value in group["sampledValue"]] == [1234, 3600]
    assert len(groups) == 2
    b.power_cycle()
    assert b.st.evses[0].tx.register == 1234


@pytest.mark.parametrize("written", [False, True])
def test_the_context_that_is_the_default(written):
    b = Bench({"SampledDataCtrlr.TxUpdatedInterval": "20"})
    b.tables.profile.PERIODIC_CONTEXT = written
    b.plug()
    b.card()
    live(b, 30)
    (event,) = [p for _, p in b.sent if p.get("triggerReason") == "MeterValuePeriodic"]
    (value, *_) = event["meterValue"][0]["sampledValue"]
    assert value.get("context") == ("Sample.Periodic" if written else None)


@pytest.mark.parametrize("each", [False, True])
def test_the_evse_in_each_event(each):
    b = Bench({"SampledDataCtrlr.TxUpdatedInterval": "20"}, evses=2)
    b.tables.profile.EVSE_IN_EACH = each
    b.plug(2)
    b.card(evse=2)
    live(b, 50)
    b.unplug(2)
    b.deliver()
    events = [p for a, p in b.sent if a == "TransactionEvent"]
    assert len(events) > 4
    named = [p["evse"] for p in events if "evse" in p]
    assert named == [{"id": 2, "connectorId": 1}] * (len(events) if each else 1)
    assert b.ledger.problems() + b.errors() == []
