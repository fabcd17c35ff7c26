"""Who may be used: station, EVSE and connector combine, transactions come first, and it survives a reboot."""

from itertools import product

import pytest

from hostsim.lives.bench import Bench
from milliamp.domain import evse

AVAILABLE, OCCUPIED, UNAVAILABLE, FAULTED = 0, 1, 3, 4
PLACES = ((0, 0), (1, 0), (1, 1))


def status(b, index=1):
    return b.st.evses[index - 1].status[0]


@pytest.mark.parametrize("off", list(product((False, True), repeat=3)))
@pytest.mark.parametrize("reboot", [False, True])
def test_the_three_combine_and_stay(off, reboot):
    b = Bench()
    for place, down in zip(PLACES, off):
        assert evse.set_operative(b.st, *place, not down)
    if reboot:
        b.power_cycle()
        b.connect()
    b.poll()
    assert status(b) == (UNAVAILABLE if any(off) else AVAILABLE)
    b.plug()
    b.card()
    b.poll(500)
    assert b.outlet.closed == (not any(off))
    if any(off):
        for place in PLACES:
            evse.set_operative(b.st, *place, True)
        assert status(b) == OCCUPIED


def test_every_change_is_told_once():
    b = Bench()
    b.deliver()
    b.sent.clear()
    evse.set_operative(b.st, 0, 0, False)
    evse.set_operative(b.st, 1, 0, False)
    b.deliver()
    evse.set_operative(b.st, 0, 0, True)  # the EVSE's own order holds
    b.deliver()
    evse.set_operative(b.st, 1, 0, True)
    b.deliver()
    assert [p["connectorStatus"] for _, p in b.sent] == ["Unavailable", "Available"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("cut", [False, True])
def test_an_order_waits_for_the_transaction(place, cut):
    b = Bench()
    b.plug()
    b.card()
    b.poll(500)
    assert evse.set_operative(b.st, *place, False) is False
    assert evse.set_operative(b.st, *place, False) is False
    if cut:
        b.power_cycle()
        b.connect()
    b.poll(500)
    assert status(b) == OCCUPIED and b.outlet.closed
    b.card()
    assert status(b) == UNAVAILABLE
    b.card()
    assert not b.e.authorized
    b.unplug()
    assert status(b) == UNAVAILABLE


@pytest.mark.parametrize("place", PLACES)
def test_a_transaction_that_has_no_cable_yet_is_waited_for_too(place):
    b = Bench({"TxCtrlr.TxStartPoint": "Authorized"})
    b.card()
    assert evse.set_operative(b.st, *place, False) is False
    assert status(b) == AVAILABLE
    b.poll(61_000)  # nobody plugs in
    assert status(b) == UNAVAILABLE


def test_another_evse_goes_at_once():
    b = Bench(evses=2)
    b.plug(1)
    b.card()
    assert evse.set_operative(b.st, 0, 0, False) is False
    assert (status(b, 1), status(b, 2)) == (OCCUPIED, UNAVAILABLE)
    assert evse.set_operative(b.st, 2, 0, False) is True


@pytest.mark.parametrize("point", ["EVConnected", "ParkingBayOccupancy"])
def test_what_is_not_operative_starts_nothing(point):
    b = Bench({"TxCtrlr.TxStartPoint": point})
    evse.set_operative(b.st, 1, 0, False)
    b.outlet.bay = True
    b.plug()
    assert b.events() == []
    evse.set_operative(b.st, 1, 0, True)
    b.poll()
    trigger = "CablePluggedIn" if point == "EVConnected" else "EVDetected"
    assert b.events() == [("Started", trigger, "EVConnected")]  # what was there starts it now
    b.card()
    b.poll(500)
    assert b.outlet.closed


def test_an_order_between_card_and_energy_stops_it():
    """TxStartPoint EnergyTransfer: no transaction runs yet, so nothing is waited for."""
    b = Bench({"TxCtrlr.TxStartPoint": "EnergyTransfer"})
    b.outlet.ready = False
    b.plug()
    b.card()
    assert evse.set_operative(b.st, 1, 1, False) is True
    b.outlet.ready = True
    b.poll(1000)
    assert ("contactor", 1, True) not in b.done
    assert b.events() == []


def test_faults_win():
    b = Bench()
    b.outlet.fault = "Overheated"
    b.poll()
    assert status(b) == FAULTED
    b.outlet.fault, b.outlet.pilot = None, "F"
    b.poll()
    assert status(b) == FAULTED
    b.outlet.pilot = None
    b.poll()
    assert status(b) == AVAILABLE


@pytest.mark.parametrize("accepted", [False, True])
def test_before_the_csms_has_accepted(accepted):
    b = Bench(
        {
            "TxCtrlr.TxBeforeAcceptedEnabled": str(accepted).lower(),
            "AuthCtrlr.OfflineTxForUnknownIdEnabled": "true",
        },
        online=False,
    )
    b.plug()
    b.card()
    b.poll(500)
    assert b.outlet.closed == accepted
