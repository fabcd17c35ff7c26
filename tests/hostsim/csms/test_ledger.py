"""The ledger must notice every way in which a station's story cannot be true."""

import pytest

from hostsim.clock import unix_time
from hostsim.csms.ledger import Ledger


def stamp(second: int) -> str:
    return f"2026-11-20T03:{second // 60:02}:{second % 60:02}Z"


def event(
    seq: int,
    kind: str = "Updated",
    *,
    tx: str = "T1",
    at: int | None = None,
    wh=None,
    evse=1,
    **more,
) -> dict:
    time = stamp(seq if at is None else at)
    payload = {
        "eventType": kind,
        "timestamp": time,
        "triggerReason": "Trigger",
        "seqNo": seq,
        "transactionInfo": {"transactionId": tx},
        **more,
    }
    if evse:
        payload["evse"] = {"id": evse}
    if wh is not None:
        payload["meterValue"] = [{"timestamp": time, "sampledValue": [{"value": wh}]}]
    return payload


def problems(*events, all_ended=False) -> list[str]:
    ledger = Ledger()
    for item in events:
        ledger.record(item)
    return ledger.problems(all_ended=all_ended)


def story(tx: str = "T1", **more) -> list[dict]:
    return [
        event(0, "Started", tx=tx, **more),
        event(1, tx=tx, **more),
        event(2, "Ended", tx=tx, **more),
    ]


def test_a_sound_story_has_no_problems():
    assert problems(*story(), *story("T2"), all_ended=True) == []


@pytest.mark.parametrize(
    ("events", "word"),
    [
        ([event(0), event(1)], "not Started"),
        ([event(1, "Started")], "not 0"),
        ([event(0, "Started"), event(2)], "lost, seqNo 1 to 1"),
        ([event(0, "Started"), event(2), event(1)], "reordered"),
        ([*story(), event(3)], "behind Ended"),
        ([event(0, "Started"), event(1, "Started")], "Started again"),
        ([event(0, "Started"), event(0, "Started", tx="T2")], "still has the transaction"),
        ([event(0, "Started", at=30), event(1, at=3)], "older"),
        ([event(0, "Started", wh=100), event(1, wh=90)], "falls"),
        ([event(0, "Started"), event(1), event(1, chargingState="x")], "different contents"),
    ],
)
def test_what_cannot_be_true(events, word):
    found = problems(*events)
    assert any(word in problem for problem in found), found


def test_a_transaction_that_never_ended():
    assert "never ended" in problems(event(0, "Started"), all_ended=True)[0]
    assert problems(event(0, "Started")) == []


def test_a_repetition_counts_once():
    ledger = Ledger()
    assert ledger.record(event(0, "Started"))
    assert not ledger.record(event(0, "Started", offline=True))
    assert (ledger.events, ledger.duplicates, ledger.problems()) == (1, 1, [])


def test_what_is_lost_is_counted():
    ledger = Ledger()
    for item in (event(0, "Started"), event(3), event(1)):
        ledger.record(item)
    assert ledger.lost() == 1


@pytest.mark.parametrize(
    ("offline", "at", "sound"),
    [(False, 0, False), (True, 0, True), (True, 59, False), (False, 59, True)],
)
def test_offline_says_not_delivered_in_the_connection_it_was_made_in(offline, at, sound):
    ledger = Ledger()
    more = {"offline": True} if offline else {}
    since = unix_time(stamp(30))
    ledger.record(event(0, "Started", offline=True), 1, since)
    ledger.record(event(1, at=at, **more), 1, since)
    assert (ledger.problems() == []) == sound


def test_the_first_event_of_a_connection_may_have_been_sent_in_the_one_before():
    ledger = Ledger()
    ledger.record(event(0, "Started"), 1)
    ledger.record(event(1), 2, unix_time(stamp(30)))
    assert ledger.problems() == []
    ledger.record(event(2), 2, unix_time(stamp(30)))
    assert "yet not offline" in ledger.problems()[0]


def begin(wh: float, at: int = 0) -> dict:
    return {
        "timestamp": stamp(at),
        "sampledValue": [{"value": wh, "context": "Transaction.Begin"}],
    }


@pytest.mark.parametrize(("repeated", "sound"), [(100, True), (150, False)])
def test_an_end_may_repeat_the_begin_but_not_change_it(repeated, sound):
    start, end = event(0, "Started"), event(2, "Ended", wh=900)
    start["meterValue"] = [begin(100)]
    end["meterValue"].append(begin(repeated, 1))
    ledger = Ledger()
    for item in (start, event(1, wh=500), end):
        ledger.record(item)
    assert ledger.transactions["T1"].registers() == [100, 500, 900]
    assert (ledger.problems() == []) == sound


def test_samples_of_an_event_are_ordered_by_their_own_time():
    end = event(9, "Ended", wh=900)
    end["meterValue"].insert(0, {"timestamp": stamp(3), "sampledValue": [{"value": 300}]})
    end["meterValue"].append({"timestamp": stamp(6), "sampledValue": [{"value": 600}]})
    ledger = Ledger()
    ledger.record(end)
    assert ledger.transactions["T1"].registers() == [300, 600, 900]


def test_units_and_multipliers():
    start = event(0, "Started", wh=1)
    start["meterValue"][0]["sampledValue"] = [{"value": 1.5, "unitOfMeasure": {"unit": "kWh"}}]
    ledger = Ledger()
    ledger.record(start)
    assert ledger.transactions["T1"].registers() == [1500]
