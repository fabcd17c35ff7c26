"""What may start, what a stop does first, and what a reset that is due changes."""

import asyncio
import inspect
import json

import pytest

from hostsim.lives.bench import CARD, OTHER, Bench
from tests.domain.test_charging import START, STOP, charge, slow, two
from tests.domain.test_full_journal import fill, offline

from milliamp.blocks import provisioning, remote_control  # isort: skip
from milliamp.domain import charging, evse  # isort: skip
from tables.events import REMOTE, REMOTE_STOP  # isort: skip

TOKEN = {"idToken": CARD[0], "type": CARD[1]}


def call(b, handler, payload):
    """Have a block handle a call: its answer, and then what it does."""
    st = b.st
    text = json.dumps([payload]).encode()
    reader, w = st.rpc.reader, st.rpc.writer
    reader.buf[: len(text)] = text
    reader.load(len(text))
    while reader.check(1000) is None:
        pass
    w.start()
    begin = w.at
    w.object()
    then = handler(st, reader, reader.first(0), w)
    if inspect.isawaitable(then):
        then = asyncio.run(then)
    w.finish()
    answer = json.loads(bytes(w._buf[begin : w.at]))
    return answer, lambda: then and then[0](st, then[1])


def start(b, **more):
    """RequestStartTransaction: its status, and the start."""
    request = {"idToken": TOKEN, "remoteStartId": 7} | more
    answer, then = call(b, remote_control.request_start, request)
    then()
    while b.due() == "Authorize":
        b.serve()
    b.poll(500)
    return answer["status"]


def reset(b, kind, **more):
    answer, then = call(b, provisioning.reset, {"type": kind} | more)
    then()
    return answer["status"]


# --- an ordinary stop -------------------------------------------------------------------------------------


def deauthorize(b):
    charging.deauthorize(b.st, b.e, REMOTE_STOP, REMOTE)


STOPS = {
    "card": lambda b: b.board.cards.append((*CARD, 1)),
    "button": lambda b: setattr(b.outlet, "button", True),
    "remote": deauthorize,
    "reset": lambda b: reset(b, "Immediate"),
}


@pytest.mark.parametrize("how", STOPS)
def test_the_pilot_goes_first_and_the_contactor_when_the_ev_has_left_c(how):
    b = charge(Bench())
    b.poll(3000)
    b.outlet.pilot = "C"  # it takes its time
    STOPS[how](b)
    for _ in range(20):
        b.poll(50)
        assert b.outlet.closed and not b.outlet.offered and b.outlet.locked
    wh = b.outlet.wh
    assert b.e.tx is not None
    b.outlet.pilot = "B"
    b.poll(50)
    assert not b.outlet.closed and not b.outlet.locked and b.e.tx is None
    b.events()
    ended = b.last()
    assert (
        ended["eventType"] == "Ended"
        and ended["transactionInfo"]["chargingState"] == "EVConnected"
    )
    assert ended["meterValue"][-1]["sampledValue"][0]["value"] == wh  # all of it


@pytest.mark.parametrize("how", STOPS)
def test_an_ev_that_holds_on_is_left_after_three_seconds(how):
    b = charge(Bench())
    b.poll(3000)
    b.outlet.pilot = "C"
    STOPS[how](b)
    b.poll(2900)
    assert b.outlet.closed
    b.poll(200)
    assert not b.outlet.closed and b.e.tx is None
    b.poll(5000)
    assert not b.outlet.closed
    assert b.done.count(("contactor", 1, True)) == 1


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("cause", ["fault", "A", "B", "E", "F", "cable"])
def test_what_cannot_wait_opens_at_once(cause, late):
    b = charge(Bench())
    if late:  # while an ordinary stop is under way
        b.outlet.pilot = "C"
        deauthorize(b)
        b.poll(500)
        assert b.outlet.closed
    if cause == "fault":
        b.outlet.fault = "EmergencyStop"
    elif cause == "cable":
        b.outlet.cable, b.outlet.pilot = 0, None
    else:
        b.outlet.pilot = cause
    b.done.clear()
    b.poll(50)
    assert not b.outlet.closed and b.done[0] == ("contactor", 1, False)


def test_two_events_of_a_stop_that_does_not_end_the_transaction():
    b = charge(Bench({STOP: "EVConnected"}))
    b.outlet.pilot = "C"
    deauthorize(b)
    assert b.events()[-1] == ("Updated", "RemoteStop", "Charging")  # it still flows
    b.poll(4000)
    assert b.events()[-1] == ("Updated", "ChargingStateChanged", "EVConnected")
    b.outlet.pilot = None
    b.unplug()
    b.events()
    assert b.problems() == []


def test_who_may_charge_again_before_the_contactor_has_opened():
    b = charge(
        Bench(
            {STOP: "EVConnected"},
            csms=dict.fromkeys((CARD[0], OTHER[0]), ("Accepted", None, None)),
        )
    )
    b.outlet.pilot = "C"
    deauthorize(b)
    b.poll(100)
    b.card(OTHER, gap=100)
    assert b.outlet.closed and b.outlet.offered
    b.poll(10_000)
    assert b.outlet.closed and b.done.count(("contactor", 1, False)) == 1  # at the start


def test_nobody_is_accepted_into_a_transaction_that_is_about_to_end():
    b = charge(Bench())
    b.outlet.pilot = "C"
    deauthorize(b)
    assert start(b) == "Rejected"
    b.poll(4000)
    b.outlet.pilot = None
    assert start(b) == "Accepted"
    assert b.outlet.closed


@pytest.mark.parametrize("stop", ["Authorized", "EnergyTransfer", "PowerPathClosed"])
def test_a_stop_outlives_a_power_cut_before_its_event(stop):
    b = charge(Bench({STOP: stop}))
    b.outlet.pilot = "C"
    deauthorize(b)
    b.poll(200)
    assert b.outlet.closed
    b.power_cycle()
    b.connect()
    b.outlet.pilot = None
    b.poll(5000)
    assert not b.outlet.closed
    b.events()
    assert b.last()["transactionInfo"]["stoppedReason"] == "Remote"
    assert b.ledger.problems(all_ended=True) == []


@pytest.mark.parametrize("authorized", [True, False])
def test_never_unlocked_while_it_is_live(monkeypatch, authorized):
    b = offline()
    monkeypatch.setattr(b.st.profile, "CHARGE_UNRECORDED", True)
    fill(b)
    charge(b)
    assert b.e.tx is None and b.outlet.locked
    if not authorized:
        b.outlet.pilot = "C"
        b.stop_button()
    request = {"evseId": 1, "connectorId": 1}
    answer, _ = call(b, remote_control.unlock_connector, request)
    assert answer["status"] == ("OngoingAuthorizedTransaction" if authorized else "UnlockFailed")
    assert b.outlet.locked and b.outlet.closed
    b.outlet.pilot = None
    if authorized:
        b.stop_button()
    b.poll(500)
    assert not b.outlet.locked and not b.outlet.closed


@pytest.mark.parametrize("polls", [0, 8, 10_000], ids=["at once", "late", "never"])
def test_unlock_waits_for_the_plug_and_tells_what_came_of_it(monkeypatch, polls):
    """A contact needs its time to open, and a lock; one that does not come is UnlockFailed, and is still tried."""
    b = slow(Bench(), polls)

    async def sleep_ms(ms):
        b.poll(ms)

    monkeypatch.setattr(asyncio, "sleep_ms", sleep_ms)
    answer, _ = call(b, remote_control.unlock_connector, {"evseId": 1, "connectorId": 1})
    assert answer["status"] == ("UnlockFailed" if polls > 100 else "Unlocked")
    asked = b.asked
    b.poll(1000)
    assert (b.asked > asked) == (polls > 100)


# --- what may start ---------------------------------------------------------------------------------------


def test_an_evse_whose_only_connector_is_inoperative():
    b = two()
    evse.set_operative(b.st, 1, 1, False)
    assert start(b, evseId=1) == "Rejected"
    b.card(evse=1)
    assert not b.e.authorized
    assert start(b) == "Accepted"
    assert [e.authorized for e in b.st.evses] == [False, True]


def test_evse_0_is_none():
    b = Bench()
    b.plug()
    assert start(b, evseId=0) == "Rejected"
    charge(b)
    assert reset(b, "Immediate", evseId=0) == "Rejected"
    assert b.outlet.closed and b.st._reboot is None
    for name, status in (
        ("MeterValues", "Rejected"),
        ("TransactionEvent", "Rejected"),
        ("Heartbeat", "Accepted"),
    ):
        for number in (0, 9):
            request = {"requestedMessage": name, "evse": {"id": number}}
            assert call(b, remote_control.trigger_message, request)[0]["status"] == status, name


def test_accepted_is_the_truth_even_if_a_card_comes_before_the_answer_has_left():
    b = Bench(
        {"AuthCtrlr.AuthorizeRemoteStart": "false"}, csms={OTHER[0]: ("Accepted", None, None)}
    )
    b.plug()
    answer, then = call(b, remote_control.request_start, {"idToken": TOKEN, "remoteStartId": 7})
    assert answer["status"] == "Accepted"
    b.card(OTHER)
    assert not b.e.authorized
    assert start(b) == "Rejected"
    then()
    b.poll(500)
    assert b.e.token == CARD and b.events()[0] == ("Started", "RemoteStart", "EVConnected")


def test_an_answer_that_never_left_keeps_no_evse():
    b = Bench(csms={OTHER[0]: ("Accepted", None, None)})
    b.plug()
    call(b, remote_control.request_start, {"idToken": TOKEN, "remoteStartId": 7})
    b.disconnect()
    b.connect()
    b.card(OTHER)
    b.poll(500)
    assert b.e.token == OTHER and b.events()[0][1] == "Authorized"


def operative(b, on):
    evse.set_operative(b.st, 1, 0, on)


def fault(b, on):
    b.outlet.fault = None if on else "X"


@pytest.mark.parametrize("able", [operative, fault])
def test_what_came_while_it_could_not_starts_when_it_can(able):
    """Card, Inoperative, plug, Operative."""
    b = Bench()
    b.card()
    able(b, False)
    b.plug()
    b.poll(1000)
    assert b.events() == []
    able(b, True)
    b.poll(500)
    assert b.outlet.closed
    assert b.events()[0] == ("Started", "CablePluggedIn", "EVConnected")


@pytest.mark.parametrize("able", [operative, fault])
def test_a_cable_that_came_while_it_could_not(able):
    b = Bench({START: "EVConnected"})
    able(b, False)
    b.plug()
    b.poll(1000)
    able(b, True)
    b.poll(100)
    assert b.events() == [("Started", "CablePluggedIn", "EVConnected")]
    assert start(b) == "Accepted"
    b.card()
    for _ in range(2):  # what has ended does not begin again
        able(b, False)
        b.poll(100)
        able(b, True)
        b.poll(100)
    assert [event[0] for event in b.events()].count("Started") == 1


@pytest.mark.parametrize("how", ["accepted", "variable"])
def test_a_cable_that_came_before_the_csms_had_accepted(how):
    b = Bench({START: "EVConnected", "TxCtrlr.TxBeforeAcceptedEnabled": "false"}, online=False)
    pending = b.st.journal.pending
    b.plug()
    assert b.st.journal.pending == pending
    if how == "accepted":
        b.connect()
    else:
        b.set("TxCtrlr.TxBeforeAcceptedEnabled", "true")
    b.poll(100)
    assert b.st.journal.pending > pending
    b.connect()
    assert b.events() == [("Started", "CablePluggedIn", "EVConnected")]


# --- a reset that is due -------------------------------------------------------------------------------------


def test_while_a_reset_waits_nobody_starts_and_free_evses_are_unavailable():
    b = two()
    b.plug(1)
    b.card(CARD, 1)
    b.poll(500)
    b.deliver()
    assert reset(b, "OnIdle") == "Scheduled"
    b.poll(100)
    b.sent.clear()
    b.deliver()
    statuses = [
        (p["evseId"], p["connectorStatus"]) for a, p in b.sent if a == "StatusNotification"
    ]
    assert statuses == [(2, "Unavailable")]
    assert start(b, evseId=2) == start(b) == "Rejected"
    b.plug(2)
    b.card(OTHER, 2)
    assert b.board.outlets[0].closed and not b.st.evses[1].authorized
    b.card(CARD, 1)
    b.unplug(1)
    assert start(b, evseId=1) == "Rejected"
    b.power_cycle()  # nothing of it stays
    b.connect()
    b.poll(100)
    assert b.st.evses[1].status[0] == 1
    b.card(OTHER, 2)
    b.poll(500)
    assert b.board.outlets[1].closed


def test_an_immediate_reset_ends_what_runs_and_starts_nothing():
    b = charge(Bench())
    b.outlet.pilot = "C"
    assert reset(b, "Immediate") == "Accepted"
    assert start(b) == "Rejected"
    b.board.cards.append((*OTHER, 1))
    b.poll(4000)
    assert b.e.tx is None and not b.outlet.closed and not b.e.authorized
    b.events()
    assert b.last()["transactionInfo"]["stoppedReason"] == "ImmediateReset"
