"""The charging state machine: what happens at the charger, and which transaction events it makes."""

import pytest

from hostsim.lives.bench import CARD, OTHER, Bench
from milliamp.base.counts import METERS_ANEW

START = "TxCtrlr.TxStartPoint"
STOP = "TxCtrlr.TxStopPoint"
FRIEND = ("04F0F0F0", "ISO14443")  # of the same group as CARD
BOSS = "GROUP1"


def family(**more):
    """A CSMS that knows two cards of one group and a third one."""
    return {
        CARD[0]: ("Accepted", BOSS, None),
        FRIEND[0]: ("Accepted", BOSS, None),
        OTHER[0]: ("Accepted", "GROUP2", None),
    } | more


def charge(b, token=CARD):
    b.plug()
    b.card(token)
    b.poll(1000)
    assert b.outlet.closed
    return b


# --- start points -------------------------------------------------------------------------------------

# TxStartPoint -> events of: plug in, then card. And of: card, then plug in.
STARTS = {
    "PowerPathClosed": (
        [
            ("Started", "Authorized", "EVConnected"),
            ("Updated", "ChargingStateChanged", "Charging"),
        ],
        [
            ("Started", "CablePluggedIn", "EVConnected"),
            ("Updated", "ChargingStateChanged", "Charging"),
        ],
    ),
    "EVConnected": (
        [
            ("Started", "CablePluggedIn", "EVConnected"),
            ("Updated", "Authorized", "EVConnected"),
            ("Updated", "ChargingStateChanged", "Charging"),
        ],
        [
            ("Started", "CablePluggedIn", "EVConnected"),
            ("Updated", "ChargingStateChanged", "Charging"),
        ],
    ),
    "Authorized": (
        [
            ("Started", "Authorized", "EVConnected"),
            ("Updated", "ChargingStateChanged", "Charging"),
        ],
        [
            ("Started", "Authorized", "Idle"),
            ("Updated", "CablePluggedIn", "EVConnected"),
            ("Updated", "ChargingStateChanged", "Charging"),
        ],
    ),
    "EnergyTransfer": (
        [("Started", "ChargingStateChanged", "Charging")],
        [("Started", "ChargingStateChanged", "Charging")],
    ),
    "ParkingBayOccupancy": (
        [
            ("Started", "EVDetected", "Idle"),
            ("Updated", "CablePluggedIn", "EVConnected"),
            ("Updated", "Authorized", "EVConnected"),
            ("Updated", "ChargingStateChanged", "Charging"),
        ],
        [
            ("Started", "EVDetected", "Idle"),
            ("Updated", "Authorized", "Idle"),
            ("Updated", "CablePluggedIn", "EVConnected"),
            ("Updated", "ChargingStateChanged", "Charging"),
        ],
    ),
}


@pytest.mark.parametrize("point", STARTS)
@pytest.mark.parametrize("first", ["plug", "card"])
def test_start_points(point, first):
    b = Bench({START: point})
    if point == "ParkingBayOccupancy":
        b.outlet.bay = True
        b.poll()
    steps = [b.plug, b.card] if first == "plug" else [b.card, b.plug]
    for step in steps:
        step()
    b.poll(1000)
    assert b.events() == STARTS[point][first == "card"]
    assert b.outlet.closed
    told = [payload for action, payload in b.sent if action == "TransactionEvent"]
    assert [p["idToken"]["idToken"] for p in told if "idToken" in p] == [CARD[0]]
    assert [p["evse"] for p in told if "evse" in p] == [{"id": 1, "connectorId": 1}]
    assert [p["seqNo"] for p in told] == list(range(len(told)))
    known = next(
        p for p in told if "evse" in p
    )  # the values of the begin come when the EVSE is known
    assert not any("meterValue" in p for p in told[: told.index(known)])
    begin = known["meterValue"][0]["sampledValue"][0]
    assert begin == {"value": 0, "context": "Transaction.Begin"}


def test_status_comes_before_the_transaction_however_long_nothing_was_due():
    b = Bench({START: "EVConnected"})
    b.deliver()
    for _ in range(5):  # messages that overtake nothing: the journal is empty
        b.st.availability.heartbeat = (b.board.ticks() - 300_000) & 0x3FFFFFFF
        b.deliver()
    b.sent.clear()
    b.plug()
    b.deliver()
    assert [action for action, _ in b.sent] == ["StatusNotification", "TransactionEvent"]


@pytest.mark.parametrize("asks", [True, False])
@pytest.mark.parametrize("plugged", [True, False])
def test_remote_start(asks, plugged):
    from milliamp.domain import sessions

    b = Bench({"AuthCtrlr.AuthorizeRemoteStart": str(asks).lower()})
    if plugged:
        b.plug()
    b.deliver()
    b.sent.clear()
    sessions.remote_start(b.st, b.e, CARD, 4711, None)
    b.deliver()
    if not plugged:
        b.plug()
    b.poll(500)
    b.events()
    actions = [action for action, _ in b.sent]
    assert ("Authorize" in actions) == asks
    told = [payload for action, payload in b.sent if action == "TransactionEvent"]
    assert told[0]["triggerReason"] == "RemoteStart"
    assert [p["transactionInfo"].get("remoteStartId") for p in told] == [4711, None]
    assert [p.get("idToken", {}).get("idToken") for p in told] == [CARD[0], None]
    assert b.outlet.closed


def test_remote_start_with_a_token_that_is_refused_leaves_nothing_behind():
    from milliamp.domain import sessions

    b = Bench({START: "EVConnected"})
    b.plug()
    sessions.remote_start(b.st, b.e, ("stranger", "ISO14443"), 7, None)
    b.deliver()
    assert not b.e.authorized
    b.card()
    b.poll(500)
    b.events()
    assert not [p for _, p in b.sent if "remoteStartId" in p.get("transactionInfo", {})]


def test_remote_start_that_a_card_was_faster_than():
    from milliamp.domain import sessions

    b = charge(Bench({"AuthCtrlr.AuthorizeRemoteStart": "false"}))
    sessions.remote_start(b.st, b.e, OTHER, 7, None)
    assert b.e.token == CARD
    assert b.events()[-1] == ("Updated", "ChargingStateChanged", "Charging")


def test_a_central_token_is_not_asked_for():
    from milliamp.domain import sessions

    b = Bench(csms={"ABC": ("Accepted", None, None)})
    b.plug()
    sessions.remote_start(b.st, b.e, ("ABC", "Central"), 7, None)
    b.deliver()
    assert b.e.authorized
    assert "Authorize" not in [action for action, _ in b.sent]


@pytest.mark.parametrize(
    "answer",
    [
        ("Invalid", None, None),
        ("Blocked", None, None),
        ("Accepted", None, [2]),
        ("Expired", "G", [1]),
    ],
)
def test_tokens_that_the_csms_refuses_or_accepts_elsewhere(answer):
    b = Bench(csms={CARD[0]: answer})
    b.plug()
    b.card()
    b.poll(1000)
    assert not b.e.authorized and not b.outlet.closed and b.outlet.offered == 0
    assert b.events() == []


def test_offline_only_a_station_that_may_guess_starts():
    b = Bench(online=False)
    b.plug()
    b.card()
    assert not b.e.authorized
    b.set("AuthCtrlr.OfflineTxForUnknownIdEnabled", "true")
    b.card()
    b.poll(500)
    assert b.outlet.closed
    b.connect()
    b.events()
    assert all(p["offline"] for a, p in b.sent if a == "TransactionEvent")


def test_a_question_that_is_open_when_the_link_drops_is_answered_offline():
    b = Bench({"AuthCtrlr.OfflineTxForUnknownIdEnabled": "true"})
    b.plug()
    b.board.cards.append((*CARD, 1))
    b.poll()
    assert b.e.asking is not None
    b.disconnect()
    assert b.e.asking is None and b.e.authorized


# --- stop points --------------------------------------------------------------------------------------

# TxStopPoint -> the Ended event of: card again, or EV that suspends, or cable out, or bay left. None: it goes on.
STOPS = {
    "EVConnected": {"card": None, "suspend": None, "unplug": "EVCommunicationLost"},
    "Authorized": {
        "card": "StopAuthorized",
        "suspend": None,
        "unplug": "EVCommunicationLost",
    },
    "PowerPathClosed": {
        "card": "StopAuthorized",
        "suspend": None,
        "unplug": "EVCommunicationLost",
    },
    "EnergyTransfer": {
        "card": "StopAuthorized",
        "suspend": "ChargingStateChanged",
        "unplug": "EVCommunicationLost",
    },
    "ParkingBayOccupancy": {"card": None, "suspend": None, "unplug": None, "leave": "EVDeparted"},
    "EVConnected,Authorized": {
        "card": "StopAuthorized",
        "suspend": None,
        "unplug": "EVCommunicationLost",
    },
}
REASONS = {
    "card": "Local",
    "suspend": "StoppedByEV",
    "unplug": "EVDisconnected",
    "leave": "Local",
}


@pytest.mark.parametrize("point, how", [(p, how) for p, ways in STOPS.items() for how in ways])
def test_stop_points(point, how):
    b = Bench({STOP: point})
    b.outlet.bay = True
    charge(b)
    count = len(b.events())
    if how == "card":
        b.card()
    elif how == "suspend":
        b.outlet.ready = False
        b.poll(500)
    elif how == "unplug":
        b.unplug()
    else:
        b.outlet.bay = False
        b.poll(500)
    assert not b.outlet.closed
    new = b.events()[count:]
    trigger = STOPS[point][how]
    if trigger is None:
        assert {event[0] for event in new} == {"Updated"}
        assert len(new) == (2 if how == "card" else 1)  # the stop, and that the energy has stopped
        assert b.e.tx is not None
    else:
        state = "Idle" if how == "unplug" else "EVConnected"
        assert new == [("Ended", trigger, state)]
        assert b.last()["transactionInfo"]["stoppedReason"] == REASONS[how]
        assert b.e.tx is None and not b.e.authorized
        assert b.outlet.offered == 0
        b.poll(1000)
        b.outlet.ready = True
        b.poll(1000)
        assert b.events()[count:] == new  # nothing starts without a new authorization
        assert not b.outlet.closed and b.outlet.offered == 0


def test_stopped_with_the_card_but_ended_by_the_cable():
    """TxStopPoint EVConnected: E_14."""
    b = charge(Bench({STOP: "EVConnected"}))
    b.card()
    b.unplug()
    assert b.events()[-3:] == [
        ("Updated", "StopAuthorized", "Charging"),
        ("Updated", "ChargingStateChanged", "EVConnected"),
        ("Ended", "EVCommunicationLost", "Idle"),
    ]


@pytest.mark.parametrize("cut", [False, True])
def test_the_reason_of_a_remote_stop_outlives_what_ends_the_transaction(cut):
    from milliamp.domain import charging
    from tables.events import REMOTE, REMOTE_STOP

    b = charge(Bench({STOP: "EVConnected"}))
    charging.deauthorize(b.st, b.e, REMOTE_STOP, REMOTE)
    if cut:
        b.power_cycle()
        b.connect()
    b.unplug()
    assert b.last()["triggerReason"] == "EVCommunicationLost"
    assert b.last()["transactionInfo"]["stoppedReason"] == "Remote"


def test_a_remote_stop_ends_a_transaction_that_nobody_authorized():
    from milliamp.domain import charging
    from tables.events import REMOTE, REMOTE_STOP

    b = Bench({START: "EVConnected"})
    b.plug()
    charging.deauthorize(b.st, b.e, REMOTE_STOP, REMOTE)
    assert b.events()[-1] == ("Ended", "RemoteStop", "EVConnected")


def test_a_second_session_without_unplugging_belongs_to_a_transaction():
    """TxStartPoint EVConnected: the cable stayed in, so only the authorization is new."""
    b = charge(Bench({START: "EVConnected"}))
    b.card()
    b.card()
    b.poll(500)
    assert b.outlet.closed
    assert b.events()[-2:] == [
        ("Started", "Authorized", "EVConnected"),
        ("Updated", "ChargingStateChanged", "Charging"),
    ]
    assert len(b.ledger.transactions) == 2


def test_a_card_taken_back_before_the_transaction_is_forgotten():
    b = Bench({START: "EVConnected"})
    b.card()
    b.card()
    b.plug()
    assert b.events() == [("Started", "CablePluggedIn", "EVConnected")]
    assert "idToken" not in b.last()


# --- cards ------------------------------------------------------------------------------------------


def test_another_card_does_not_stop_and_one_of_the_group_does():
    b = charge(Bench(csms=family()))
    b.card(OTHER)
    assert b.outlet.closed
    b.card(("stranger", "ISO14443"))
    assert b.outlet.closed
    b.card(FRIEND)
    assert not b.outlet.closed
    assert b.events()[-1] == ("Ended", "StopAuthorized", "EVConnected")


@pytest.mark.parametrize("order", ["plug", "card"])
def test_the_group_survives_a_power_cut(order):
    b = Bench(csms=family())
    for step in (b.plug, b.card) if order == "plug" else (b.card, b.plug):
        step()
    b.power_cycle()
    b.connect()
    b.poll(500)
    assert b.outlet.closed
    b.card(FRIEND)
    assert b.events()[-1] == ("Ended", "StopAuthorized", "EVConnected")


def test_cards_without_a_group_do_not_stop_each_other():
    b = charge(Bench(csms={CARD[0]: ("Accepted", None, None), OTHER[0]: ("Accepted", None, None)}))
    b.card(OTHER)
    assert b.outlet.closed


def test_a_card_that_is_read_twice_is_one_card():
    b = Bench()
    b.plug()
    b.card()
    for _ in range(3):
        b.card(gap=1500)  # it lies on the reader
    b.poll(500)
    assert b.outlet.closed
    b.card(gap=2000)
    assert not b.outlet.closed


def test_case_and_type_of_a_token():
    b = charge(Bench(csms={CARD[0]: ("Accepted", None, None)}))
    b.card((CARD[0], "KeyCode"))
    assert b.outlet.closed
    b.card((CARD[0].lower(), "ISO14443"))
    assert not b.outlet.closed


def test_the_stop_button():
    b = Bench()
    b.stop_button()
    assert b.events() == []
    charge(b)
    b.stop_button()
    assert b.events()[-1] == ("Ended", "StopAuthorized", "EVConnected")
    assert b.outlet.locked == 0


# --- time -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["PowerPathClosed", "Authorized"])
@pytest.mark.parametrize("stop", ["EVConnected,Authorized", "EVConnected"])
def test_nobody_plugs_in(start, stop):
    b = Bench({START: start, STOP: stop, "TxCtrlr.EVConnectionTimeOut": "30"})
    b.card()
    b.poll(29_000)
    assert b.e.authorized
    b.poll(2000)
    assert not b.e.authorized
    events = b.events()
    if start == "PowerPathClosed":
        assert events == []
    elif "Authorized" in stop:
        assert events[-1] == ("Ended", "EVConnectTimeout", "Idle")
        assert b.last()["transactionInfo"]["stoppedReason"] == "Timeout"
    else:
        assert events[-1] == ("Updated", "EVConnectTimeout", "Idle")
    # The EVSE can be used again.
    b.csms[OTHER[0]] = ("Accepted", None, None)
    b.card(OTHER)
    b.plug()
    b.poll(500)
    assert b.outlet.closed
    b.events()
    tokens = [p["idToken"]["idToken"] for _, p in b.sent if "seqNo" in p and "idToken" in p]
    assert tokens[-1] == OTHER[0]


def test_an_ev_that_is_not_ready_suspends():
    b = Bench()
    b.outlet.ready = False
    b.card()
    b.poll(20_000)  # looking for the cable is not the EV's time
    b.plug()
    assert b.events()[-1] == ("Started", "CablePluggedIn", "EVConnected")
    b.poll(6000)
    assert b.events()[-1] == ("Updated", "ChargingStateChanged", "SuspendedEV")
    assert b.outlet.offered and not b.outlet.closed
    b.outlet.ready = True
    b.poll(500)
    assert b.events()[-1] == ("Updated", "ChargingStateChanged", "Charging")
    b.outlet.ready = False
    b.poll(500)
    assert b.events()[-1] == ("Updated", "ChargingStateChanged", "SuspendedEV")
    assert not b.outlet.closed


def test_periodic_values():
    b = charge(Bench({"SampledDataCtrlr.TxUpdatedInterval": "20"}))
    b.poll(60_000)
    b.events()
    periodic = [p for _, p in b.sent if p.get("triggerReason") == "MeterValuePeriodic"]
    assert len(periodic) == 3
    times = [int(p["timestamp"][14:16]) * 60 + int(p["timestamp"][17:19]) for p in periodic]
    assert [b - a for a, b in zip(times, times[1:])] == [20, 20]
    values = [p["meterValue"][0]["sampledValue"] for p in periodic]
    assert {v[0]["context"] for v in values} == {"Sample.Periodic"}
    assert [v[0]["value"] for v in values] == sorted(v[0]["value"] for v in values)
    assert values[0][1] == {
        "value": 3600,
        "context": "Sample.Periodic",
        "measurand": "Power.Active.Import",
        "unitOfMeasure": {"unit": "W"},
    }


def sampled(payload, context):
    """(seconds, Wh) of the values of a context in a message."""
    found = []
    for value in payload["meterValue"]:
        time, first = value["timestamp"], value["sampledValue"][0]
        if first.get("context", "Sample.Periodic") == context:
            hours, minutes, seconds = time[11:13], time[14:16], time[17:19]
            found.append(
                (int(hours) * 3600 + int(minutes) * 60 + int(seconds) - 43200, first["value"])
            )
    return found


@pytest.mark.parametrize("cut", [False, True])
def test_values_for_the_end(cut):
    b = Bench(
        {
            "SampledDataCtrlr.TxEndedInterval": "10",
            "SampledDataCtrlr.TxEndedMeasurands": "Energy.Active.Import.Register,Power.Active.Import",
            "SampledDataCtrlr.TxUpdatedInterval": "0",
        }
    )
    charge(b)
    b.poll(55_000)
    if cut:
        b.st.journal._records._at = b.st.journal._records._sector  # a new sector begins
        b.outlet.ready = False
        b.poll()
        b.power_cycle()
        b.connect()
        b.outlet.ready = True
        b.poll(1000)
    b.card()
    values = sampled(b.last(), "Sample.Periodic")
    assert len(values) == 5
    assert [b[0] - a[0] for a, b in zip(values, values[1:])] == [10] * 4
    assert [b[1] - a[1] for a, b in zip(values, values[1:])] == [10] * 4
    (begin,) = sampled(b.last(), "Transaction.Begin")
    (end,) = sampled(b.last(), "Transaction.End")
    assert begin[0] < values[0][0] and values[-1][0] < end[0] and begin[1] == 0
    assert "Sample.Clock" not in str(b.last())


def test_values_for_the_end_of_a_long_transaction_are_few():
    b = Bench(
        {
            "SampledDataCtrlr.TxEndedInterval": "1",
            "SampledDataCtrlr.TxUpdatedInterval": "0",
            "SampledDataCtrlr.TxEndedMeasurands": "Energy.Active.Import.Register,Power.Active.Import",
        },
        evses=15,
    )
    charge(b)
    b.poll(200_000)
    b.card()
    values = sampled(b.last(), "Sample.Periodic")
    assert 2 <= len(values) <= 16
    assert values == sorted(set(values))
    assert b.problems() == []


def test_without_measurands_for_the_end_there_are_no_values():
    b = Bench({"SampledDataCtrlr.TxEndedMeasurands": "", "SampledDataCtrlr.TxEndedInterval": "5"})
    charge(b)
    b.poll(20_000)
    b.card()
    assert "meterValue" not in b.last()


def test_a_long_sample_leaves_in_several_events_of_the_same_time():
    b = Bench(
        {
            "SampledDataCtrlr.TxUpdatedInterval": "20",
            "SampledDataCtrlr.TxUpdatedMeasurands": "Energy.Active.Import.Register,Power.Active.Import",
        }
    )
    b.tables.profile.VALUES, most = 1, b.tables.profile.VALUES
    try:
        charge(b)
        b.poll(60_000)
    finally:
        b.tables.profile.VALUES = most
    b.events()
    periodic = [p for _, p in b.sent if p.get("triggerReason") == "MeterValuePeriodic"]
    assert len(periodic) == 6
    for one, two in zip(periodic[::2], periodic[1::2]):
        assert one["timestamp"] == two["timestamp"]
        (a,), (c,) = one["meterValue"], two["meterValue"]
        assert a["timestamp"] == c["timestamp"]
        assert [len(a["sampledValue"]), len(c["sampledValue"])] == [1, 1]
        assert c["sampledValue"][0]["measurand"] == "Power.Active.Import"


def test_times_from_before_the_clock_was_set_are_put_right():
    b = Bench({"AuthCtrlr.OfflineTxForUnknownIdEnabled": "true"}, online=False)
    charge(b)
    b.poll(30_000)
    b.connect()
    b.poll(10_000)
    b.card()
    b.unplug()
    b.events()
    assert b.problems() == []
    times = [p["timestamp"] for a, p in b.sent if a == "TransactionEvent"]
    assert times == sorted(times)
    assert times[0].startswith("2026-11-20T12:00:0")
    begin, _ = b.last()["meterValue"]
    assert begin["timestamp"] == times[0]
    statuses = [p["timestamp"] for a, p in b.sent if a == "StatusNotification"]
    assert all(time.startswith("2026-11-20T") for time in statuses)


# --- cable, faults, lock ------------------------------------------------------------------------------


def test_pulled_out_at_the_ev_with_stop_on_ev_side_disconnect_off():
    b = Bench({"TxCtrlr.StopTxOnEVSideDisconnect": "false", STOP: "Authorized"})
    charge(b)
    b.unplug()
    assert not b.outlet.closed and b.outlet.offered == 0
    assert b.events()[-1] == ("Updated", "EVCommunicationLost", "Idle")
    b.plug()
    b.poll(500)
    assert b.outlet.closed
    assert b.events()[-2:] == [
        ("Updated", "CablePluggedIn", "EVConnected"),
        ("Updated", "ChargingStateChanged", "Charging"),
    ]
    b.unplug()
    b.poll(61_000)
    assert b.events()[-1] == ("Ended", "EVConnectTimeout", "Idle")
    assert len(b.ledger.transactions) == 1


@pytest.mark.parametrize("value", ["true", "false"])
def test_unlock_on_ev_side_disconnect(value):
    b = Bench(
        {
            "TxCtrlr.StopTxOnEVSideDisconnect": "false",
            STOP: "Authorized",
            "OCPPCommCtrlr.UnlockOnEVSideDisconnect": value,
        }
    )
    charge(b)
    assert b.outlet.locked == 1
    b.unplug()
    assert b.outlet.locked == (value == "false")


@pytest.mark.parametrize("stop", ["EVConnected,Authorized", "Authorized", "PowerPathClosed"])
@pytest.mark.parametrize("unlocks", ["true", "false"])
def test_pulled_out_at_the_ev_ends_the_authorization(stop, unlocks):
    b = Bench({STOP: stop, "OCPPCommCtrlr.UnlockOnEVSideDisconnect": unlocks})
    charge(b)
    b.unplug()
    assert b.events()[-1] == ("Ended", "EVCommunicationLost", "Idle")
    assert b.last()["transactionInfo"]["stoppedReason"] == "EVDisconnected"
    count = len(b.events())
    assert b.outlet.locked == (unlocks == "false")
    if unlocks == "false":
        b.card(OTHER)
        assert b.outlet.locked
        b.card()
        assert not b.outlet.locked and not b.e.authorized
        assert len(b.events()) == count
    b.plug()
    b.card()
    b.poll(500)
    assert b.outlet.closed


@pytest.mark.parametrize("unlocks", ["true", "false"])
def test_a_plug_stays_in_the_socket_when_the_ev_is_gone(unlocks):
    b = charge(Bench({"OCPPCommCtrlr.UnlockOnEVSideDisconnect": unlocks}))
    b.outlet.pilot = "A"
    b.poll(200)
    assert b.events()[-1] == ("Ended", "EVCommunicationLost", "Idle")
    b.deliver()
    assert b.e.status[0] == 1  # occupied
    assert bool(b.outlet.locked) == (unlocks == "false")
    b.card()
    if unlocks == "false":  # that was to release it
        assert not b.outlet.locked and not b.e.authorized
        b.unplug()
        assert b.e.status[0] == 0
    else:  # that was to charge
        assert b.e.authorized
        b.outlet.pilot = None
        b.poll(500)
        assert b.outlet.closed


def test_an_attached_cable_without_an_ev_is_free():
    b = Bench()
    b.tables.profile.EVSES, kinds = (("cType2",),), b.tables.profile.EVSES
    try:
        charge(b)
        b.outlet.pilot = "A"
        b.poll(200)
        assert b.e.status[0] == 0
        b.card()  # nothing to release: this is the next session
        assert b.e.authorized
    finally:
        b.tables.profile.EVSES = kinds


def test_a_suspended_transaction_takes_up_the_ev_again():
    b = Bench(
        {
            "TxCtrlr.StopTxOnEVSideDisconnect": "false",
            "OCPPCommCtrlr.UnlockOnEVSideDisconnect": "false",
            STOP: "Authorized",
        }
    )
    charge(b)
    b.outlet.pilot = "A"
    b.poll(200)
    assert b.events()[-1] == ("Updated", "EVCommunicationLost", "Idle")
    assert b.outlet.locked and b.e.status[0] == 1
    b.outlet.pilot = None
    b.poll(500)
    assert b.events()[-2:] == [
        ("Updated", "CablePluggedIn", "EVConnected"),
        ("Updated", "ChargingStateChanged", "Charging"),
    ]


def test_who_left_the_plug_locked_may_charge_again():
    b = charge(Bench({"OCPPCommCtrlr.UnlockOnEVSideDisconnect": "false"}))
    b.unplug()
    b.plug()
    assert b.outlet.locked
    b.card()
    b.poll(500)
    assert b.outlet.closed
    b.card()
    assert not b.outlet.locked


def test_a_fault_stops_the_energy_and_not_the_transaction():
    b = charge(Bench())
    b.outlet.fault = "GroundFailure"
    b.poll()
    assert not b.outlet.closed and b.outlet.offered == 0
    assert b.events()[-1] == ("Updated", "ChargingStateChanged", "SuspendedEVSE")
    b.deliver()
    assert b.st.availability.told[0][0] == 4
    b.outlet.fault = None
    b.poll(500)
    assert b.outlet.closed
    assert b.events()[-1] == ("Updated", "ChargingStateChanged", "Charging")


@pytest.mark.parametrize("pilot", ["E", "F"])
def test_a_pilot_that_is_not_available_opens_the_contactor(pilot):
    b = charge(Bench())
    b.outlet.pilot = pilot
    b.poll()
    assert not b.outlet.closed


def test_a_plug_that_does_not_lock_gets_no_energy():
    b = Bench()
    b.outlet.lock_fails = True
    b.plug()
    b.card()
    b.poll(1000)
    assert ("contactor", 1, True) not in b.done
    assert b.outlet.offered == 0
    assert b.events()[-1] == ("Updated", "ChargingStateChanged", "SuspendedEVSE")
    assert b.st.availability and b.e.lock_failed
    b.outlet.lock_fails = False
    b.unplug()
    assert b.events()[-1] == ("Ended", "EVCommunicationLost", "Idle")
    b.board.lines.clear()
    charge(b)
    assert not b.e.lock_failed


def slow(b, polls=8):
    """A lock that is on its way for so many polls, and one that lets nothing go that is live. `asked` counts."""
    lock, moving = b.board.lock, {}

    def asked(evse, connector, locked):
        b.asked += 1
        if not locked and b.outlet.closed:
            return None
        left = moving.setdefault((connector, locked), polls)
        moving[connector, locked] = left - 1
        if left:
            return None
        moving.clear()
        return lock(evse, connector, locked)

    b.asked = 0
    b.board.lock = asked
    return b


def test_a_lock_that_takes_its_time_is_asked_at_each_poll():
    b = slow(Bench())
    b.plug()
    b.board.cards.append((*CARD, 1))
    b.poll()
    while b.due() == "Authorize":
        b.serve()
    assert b.e.authorized and not b.outlet.closed and not b.outlet.offered
    b.poll(300)
    assert not b.outlet.locked and not b.outlet.closed and not b.outlet.offered
    b.poll(300)
    assert b.outlet.locked and b.outlet.closed and b.outlet.offered
    assert b.asked == 9
    b.card()
    b.poll(4000)
    assert not b.outlet.closed and not b.outlet.locked
    asked = b.asked
    b.poll(5000)
    assert b.asked == asked  # it is open: nobody asks any more
    b.unplug()
    assert b.problems() == []


def test_who_comes_back_before_the_lock_has_opened_keeps_it():
    b = charge(Bench())
    slow(b, 200)
    b.card()
    b.poll(4000)
    assert not b.outlet.closed and b.outlet.locked and b.e.opening
    b.board.lock = lambda evse, connector, locked: True
    b.card()
    b.poll(1000)
    assert b.outlet.closed and not b.e.opening


def test_a_lock_that_is_stuck_is_not_driven_for_ever():
    b = charge(Bench())
    b.outlet.lock_fails = True
    asked = []
    lock = b.board.lock
    b.board.lock = lambda *args: asked.append(args) or lock(*args)
    b.card()
    b.poll(10000)
    assert 1 <= len(asked) <= 3


def test_a_plug_that_was_locked_when_the_power_went_is_free_when_nobody_charges():
    b = charge(Bench({STOP: "PowerPathClosed"}))
    assert b.outlet.locked
    b.power_cycle()
    b.poll()
    assert b.e.tx is None and b.outlet.locked == 0


def test_a_finished_transaction_is_finished_whatever_the_stop_point_says():
    from milliamp.domain import charging
    from tables.events import IMMEDIATE_RESET, RESET_COMMAND

    b = charge(Bench({STOP: "ParkingBayOccupancy"}))
    charging.finish(b.st, b.e, RESET_COMMAND, IMMEDIATE_RESET)
    b.poll()
    assert not b.outlet.closed
    assert b.events()[-1] == ("Ended", "ResetCommand", "EVConnected")
    assert b.last()["transactionInfo"]["stoppedReason"] == "ImmediateReset"
    assert "idToken" not in b.last()


# --- tokens that turn out to be bad -------------------------------------------------------------------


@pytest.mark.parametrize("stops", [True, False])
@pytest.mark.parametrize("cut", [False, True])
def test_a_token_that_the_answer_to_an_event_refuses(stops, cut):
    b = Bench(
        {
            "AuthCtrlr.OfflineTxForUnknownIdEnabled": "true",
            "TxCtrlr.StopTxOnInvalidId": str(stops).lower(),
        },
        online=False,
        csms={CARD[0]: ("Blocked", None, None)},
    )
    charge(b)
    b.connect()
    b.deliver()
    b.poll()
    events = b.events()
    assert not b.outlet.closed
    if stops:
        assert events[-1] == ("Ended", "Deauthorized", "EVConnected")
        assert b.last()["transactionInfo"]["stoppedReason"] == "DeAuthorized"
        return
    assert events[-1] == ("Updated", "ChargingStateChanged", "SuspendedEVSE")
    if cut:
        b.power_cycle()
        b.connect()
    b.poll(5000)
    assert not b.outlet.closed and b.outlet.offered == 0  # no energy for it, ever
    b.unplug()
    assert b.events()[-1] == ("Ended", "EVCommunicationLost", "Idle")
    assert b.problems() == []


def refused(most, stops="false", **more):
    """Charging began offline, with a token that the CSMS then does not know: the energy is limited."""
    b = Bench(
        {
            "AuthCtrlr.OfflineTxForUnknownIdEnabled": "true",
            "TxCtrlr.StopTxOnInvalidId": stops,
            "TxCtrlr.MaxEnergyOnInvalidId": str(most),
        }
        | more,
        online=False,
        csms={CARD[0]: ("Invalid", None, None)},
    )
    charge(b)
    b.poll(5000)
    b.connect()
    b.deliver()
    b.poll()
    return b


@pytest.mark.parametrize("cut", [False, True])
def test_a_refused_token_may_have_some_energy_and_no_more(cut):
    b = refused(30)
    assert b.outlet.closed
    assert b.events()[-1] == ("Updated", "ChargingStateChanged", "Charging")
    assert all("Deauthorized" not in event for event in b.events())
    b.poll(10_000)
    assert b.outlet.closed
    if cut:
        b.power_cycle()
        b.connect()
        b.poll(1000)
        assert b.outlet.closed
    b.poll(40_000)
    assert not b.outlet.closed and b.outlet.offered == 0
    assert b.events()[-1] == ("Updated", "ChargingStateChanged", "SuspendedEVSE")
    assert 30 <= b.outlet.wh <= 31  # from the begin of the transaction
    b.card()  # its driver may still end it
    assert b.events()[-1] == ("Ended", "StopAuthorized", "EVConnected")


def test_the_limit_holds_for_the_next_plug_of_the_same_transaction():
    b = refused(0, **{"TxCtrlr.StopTxOnEVSideDisconnect": "false", STOP: "Authorized"})
    assert not b.outlet.closed
    b.unplug()
    b.plug()
    b.poll(2000)
    assert not b.outlet.closed and b.outlet.offered == 0


@pytest.mark.parametrize("cut", [False, True])
def test_another_token_in_the_same_transaction_has_no_limit(cut):
    b = refused(0, **{STOP: "EVConnected"})
    b.csms[OTHER[0]] = ("Accepted", None, None)
    b.card()
    b.card(OTHER)
    b.poll(500)
    assert b.outlet.closed
    if cut:
        b.power_cycle()
        b.connect()
        b.poll(1000)
        assert b.outlet.closed
    assert b.problems() == ["transaction 010203000001 has not ended"] or b.errors() == []


def test_to_stop_comes_before_some_energy():
    b = refused(500, "true")
    assert not b.outlet.closed
    assert b.events()[-1] == ("Ended", "Deauthorized", "EVConnected")


def test_an_answer_about_a_token_that_is_gone_stops_nobody():
    from milliamp.domain import sessions

    b = charge(Bench())
    counter = b.e.tx.counter
    sessions.token_answered(b.st, counter, OTHER, ("Blocked", None, 0, 0))
    sessions.token_answered(b.st, counter + 1, CARD, ("Blocked", None, 0, 0))
    assert b.outlet.closed
    sessions.token_answered(b.st, counter, CARD, ("Accepted", None, 4, 0))  # at EVSE 2
    b.poll()
    assert not b.outlet.closed


# --- durable before visible ---------------------------------------------------------------------------


@pytest.mark.parametrize("point", STARTS)
def test_the_contactor_closes_after_the_event_is_durable_and_opens_before(point):
    b = Bench({START: point})
    b.outlet.bay = True
    b.done.clear()
    charge(b)
    at = b.done.index(("contactor", 1, True))
    assert b.done[at - 1][0] == "program"
    for stop in (b.card, b.unplug):
        b.done.clear()
        stop()
        if ("contactor", 1, False) in b.done:
            at = b.done.index(("contactor", 1, False))
            assert b.done[0] in (("contactor", 1, False), ("offer", 1, 0))
            assert "program" in [what for what, *_ in b.done[at:]]


class Full:
    """Makes a journal refuse every event from now on, and `room` lets it take them again."""

    def __init__(self, b):
        self.journal = b.st.journal
        self.append = self.journal.append
        self.journal.append = self.refuse
        self.refused = 0

    def refuse(self, *_):
        self.refused += 1
        raise OSError(28)

    def room(self):
        self.journal.append = self.append


@pytest.mark.parametrize("point", STARTS)
def test_without_room_for_started_nothing_charges_and_with_it_all_does(point):
    b = Bench({START: point})
    full = Full(b)
    b.outlet.bay = True
    b.plug()
    b.card()
    b.poll(5000)
    assert full.refused
    assert b.e.tx is None
    assert ("contactor", 1, True) not in b.done
    assert len(b.errors()) == 1  # not one at every poll
    full.room()
    b.poll(500)
    assert b.outlet.closed
    events = b.events()
    assert events[0][0] == "Started" and events[-1][2] == "Charging"
    assert b.ledger.problems() == []


def test_without_room_for_charging_the_event_is_left_out():
    b = Bench({START: "EVConnected"})
    b.outlet.ready = False
    b.plug()
    b.card()
    b.poll(500)
    full = Full(b)
    b.outlet.ready = True
    b.poll(2000)
    assert b.outlet.closed and full.refused
    full.room()
    b.outlet.ready = False
    b.poll(500)
    assert b.events()[-1] == ("Updated", "ChargingStateChanged", "SuspendedEV")
    assert not b.ledger.lost()  # it never had a seqNo


@pytest.mark.parametrize("how", ["card", "remote", "finish", "unplug", "suspend"])
def test_without_room_for_ended_the_energy_stops_and_the_event_follows(how):
    from milliamp.domain import charging
    from tables.events import IMMEDIATE_RESET, REMOTE, REMOTE_STOP, RESET_COMMAND

    b = charge(Bench({STOP: "EnergyTransfer" if how == "suspend" else "EVConnected,Authorized"}))
    full = Full(b)
    if how == "card":
        b.card()
    elif how == "remote":
        charging.deauthorize(b.st, b.e, REMOTE_STOP, REMOTE)
    elif how == "finish":
        charging.finish(b.st, b.e, RESET_COMMAND, IMMEDIATE_RESET)
    elif how == "unplug":
        b.unplug()
    else:
        b.outlet.ready = False
        b.poll()
        b.outlet.ready = True
    b.poll()
    assert not b.outlet.closed
    if how != "suspend":
        assert b.outlet.locked == 0  # the driver gets his cable whatever the flash does
    wh = b.outlet.wh
    b.poll(70_000)  # periodic values would be due
    assert not b.outlet.closed and b.outlet.wh == wh
    full.room()
    b.poll()
    trigger, reason = {
        "card": ("StopAuthorized", "Local"),
        "remote": ("RemoteStop", "Remote"),
        "finish": ("ResetCommand", "ImmediateReset"),
        "unplug": ("EVCommunicationLost", "EVDisconnected"),
        "suspend": ("ChargingStateChanged", "StoppedByEV"),
    }[how]
    b.events()
    assert b.last()["eventType"] == "Ended"
    assert b.last()["triggerReason"] == trigger
    assert b.last()["transactionInfo"]["stoppedReason"] == reason
    assert b.ledger.problems(all_ended=True) == []
    b.poll(1000)
    assert not b.outlet.closed
    assert len(b.errors()) == 1


def test_without_room_for_periodic_values_charging_goes_on():
    from milliamp.domain import charging
    from tables.events import TRIGGER

    b = charge(Bench({"SampledDataCtrlr.TxUpdatedInterval": "5"}))
    full = Full(b)
    b.poll(20_000)
    assert full.refused >= 3
    assert b.outlet.closed
    assert charging.trigger_event(b.st, b.e, TRIGGER, b"") is False
    full.room()
    b.card()
    b.unplug()
    b.events()
    assert b.problems() == []  # no gap in seqNo either


def test_a_journal_that_is_really_full():
    """Four sectors, offline: charging until nothing goes in any more, then the CSMS comes back."""
    b = Bench(
        {
            "AuthCtrlr.OfflineTxForUnknownIdEnabled": "true",
            "SampledDataCtrlr.TxUpdatedInterval": "1",
        },
        online=False,
        sectors=4,
    )
    charge(b)
    b.poll(400_000)
    assert b.outlet.closed
    b.card()
    assert not b.outlet.closed
    b.unplug()
    b.connect()
    for _ in range(400):
        b.serve()
    b.poll(500)
    b.events()
    problems = b.ledger.problems(all_ended=True)
    assert [line for line in problems if ": lost, seqNo" not in line] == []
    assert b.ledger.lost() == b.st.journal.counts()[3] > 100
    assert b.last()["eventType"] == "Ended"


def test_a_meter_that_forgot_does_not_take_energy_back():
    b = charge(Bench({"SampledDataCtrlr.TxUpdatedInterval": "5"}))
    b.poll(20_000)
    b.outlet.ms = 0
    b.poll(6000)
    b.card()
    b.unplug()
    b.events()
    assert b.problems() == []
    (tx,) = b.ledger.transactions.values()
    assert tx.registers()[-1] >= 15


def restarts(b):
    return b.st.counters[METERS_ANEW]


@pytest.mark.parametrize("cut", [False, True])
def test_a_meter_that_began_anew_is_followed_and_no_energy_of_the_transaction_is_lost(cut):
    """Reset in the middle of a charge, and maybe found so after a power cut: held for a minute, then followed."""
    b = charge(Bench({"SampledDataCtrlr.TxUpdatedInterval": "20"}))
    b.poll(100_000)
    before = b.outlet.wh
    b.events()
    b.outlet.ms = 7_000
    if cut:
        b.power_cycle()
        b.connect()
    b.poll(30_000)
    lost = 21 if cut else 1  # what the last durable event does not know yet
    assert before - lost <= b.st.evses[0].wh <= before
    b.poll(70_000)
    assert restarts(b) == 1
    told, own = b.st.evses[0].wh, b.outlet.wh
    b.poll(100_000)
    assert b.st.evses[0].wh - told == b.outlet.wh - own >= 90
    b.card()
    b.unplug()
    b.events()
    assert b.problems() == []
    (tx,) = b.ledger.transactions.values()
    registers = tx.registers()
    assert registers == sorted(registers)
    assert -lost - 1 <= registers[-1] - (before + b.outlet.wh - 7) <= 1


def test_single_wrong_registers_are_held():
    b = charge(Bench())
    b.poll(10_000)
    for wrong in (0, 9_000, 0, 3_000):
        right, b.outlet.ms = b.outlet.ms, wrong
        told = b.st.evses[0].wh
        b.poll(100)
        assert b.st.evses[0].wh == told
        b.outlet.ms = right
        b.poll(70_000)
        assert b.st.evses[0].wh == b.outlet.wh
    assert restarts(b) == 0


def test_a_meter_that_shows_nothing_for_minutes_and_comes_back():
    """What does not count has not begun anew: its register is right again at once."""
    b = charge(Bench())
    b.poll(30_000)
    told, energy = b.outlet.wh, b.board.energy
    b.board.energy = lambda evse: 0
    b.poll(200_000)
    assert b.st.evses[0].wh == told
    b.board.energy = energy
    b.poll(1000)
    assert b.st.evses[0].wh == b.outlet.wh and restarts(b) == 0


# --- two EVSEs ----------------------------------------------------------------------------------------


def two(**more):
    return Bench(
        evses=2,
        csms={CARD[0]: ("Accepted", None, None), OTHER[0]: ("Accepted", None, None)},
        **more,
    )


def test_a_shared_reader_means_the_evse_that_waits_and_then_the_one_that_charges():
    b = two()
    b.plug(evse=2)
    b.card(CARD, evse=0)
    b.poll(500)
    assert [outlet.closed for outlet in b.board.outlets] == [False, True]
    b.plug(evse=1)
    b.card(OTHER, evse=0)
    b.poll(500)
    assert [outlet.closed for outlet in b.board.outlets] == [True, True]
    b.card(CARD, evse=0)
    assert [outlet.closed for outlet in b.board.outlets] == [True, False]
    b.card(OTHER, evse=0)
    b.unplug(1)
    b.unplug(2)
    b.events()
    assert b.problems() == []
    assert sorted(tx.evse for tx in b.ledger.transactions.values()) == [1, 2]


def test_a_card_that_stopped_one_evse_does_not_start_the_other_when_it_is_read_twice():
    b = two()
    b.plug(evse=2)
    b.card(CARD, evse=0)
    b.plug(evse=1)
    b.card(CARD, evse=0)
    b.card(CARD, evse=0, gap=500)
    assert [e.authorized for e in b.st.evses] == [False, False]


def test_a_card_when_every_evse_is_taken():
    b = two()
    for evse in (1, 2):
        b.plug(evse)
        b.card(CARD if evse == 1 else OTHER, evse=evse)
    b.card(("third", "ISO14443"), evse=0)
    b.poll(500)
    assert [outlet.closed for outlet in b.board.outlets] == [True, True]


def test_both_evses_survive_a_power_cut():
    b = two()
    for evse in (1, 2):
        b.plug(evse)
        b.card(CARD if evse == 1 else OTHER, evse=evse)
    b.poll(10_000)
    b.power_cycle()
    b.connect()
    b.poll(500)
    assert [outlet.closed for outlet in b.board.outlets] == [True, True]
    for evse in (1, 2):
        b.card(CARD if evse == 1 else OTHER, evse=evse)
        b.unplug(evse)
    b.events()
    assert b.problems() == []
    assert len(b.ledger.transactions) == 2
