"""Values taken by the clock (J01), in modelled time."""

import pytest

from tests.domain.bench import Bench

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
