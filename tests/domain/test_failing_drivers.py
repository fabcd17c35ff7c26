"""Drivers that raise, or tell what cannot be: a fault of their EVSE, whose contactor opens. Nobody else notices."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostsim.lives.bench import CARD, OTHER, Bench
from hostsim.lives.harness import CARD as KNOWN
from hostsim.lives.harness import rig, simulate
from tests.domain.test_charging import charge, two
from tests.hostsim.charger.test_station import lane

BROKEN = OSError(5)
NONSENSE = {
    "cable": (None, 2, -1, 1.5, "1"),
    "pilot": (None, 64, 71, "C", 67.5),
    "energy": (None, -1, 3.5, "12"),
}


def fails(b, name, value=BROKEN, evse=1, times=None):
    """Let a driver of one EVSE raise an exception or tell a value, for ever or so often."""
    works = getattr(b.board, name)
    left = [times]

    def driver(index, *args):
        if index != evse or left[0] == 0:
            return works(index, *args)
        if left[0] is not None:
            left[0] -= 1
        if isinstance(value, Exception):
            raise value
        return value

    setattr(b.board, name, driver)
    return lambda: setattr(b.board, name, works)


def pair():
    """Two EVSEs that charge."""
    b = two()
    for evse, token in ((1, CARD), (2, OTHER)):
        b.plug(evse)
        b.card(token, evse)
    b.poll(1000)
    assert [outlet.closed for outlet in b.board.outlets] == [True, True]
    return b


@pytest.mark.parametrize(
    "name, value",
    [(name, OSError(5)) for name in ("cable", "pilot", "energy", "fault", "bay", "stop_button")]
    + [(name, value) for name, values in NONSENSE.items() for value in values],
)
def test_an_input_that_fails_is_a_fault_of_its_evse(name, value):
    b = pair()
    repaired = fails(b, name, value)
    b.poll(50)
    assert [outlet.closed for outlet in b.board.outlets] == [False, True]
    b.poll(60_000)
    assert [e.fault for e in b.st.evses] == ["DriverFailed", None]
    assert b.st.evses[0].status[0] == 4 and b.outlet.offered == 0
    assert len(b.errors()) == 1  # not one at every poll
    repaired()
    b.poll(3000)
    assert not b.outlet.closed  # a contactor does not chatter
    b.poll(4000)
    assert [outlet.closed for outlet in b.board.outlets] == [True, True]
    for evse, token in ((1, CARD), (2, OTHER)):
        b.card(token, evse)
        b.unplug(evse)
    b.events()
    assert b.ledger.problems(all_ended=True) == []


def test_an_ev_that_goes_while_its_inputs_fail():
    b = charge(Bench())
    repaired = fails(b, "cable")
    b.outlet.cable = 0
    b.poll(50)
    assert not b.outlet.closed
    repaired()
    b.poll(100)
    assert b.events()[-1] == ("Ended", "EVCommunicationLost", "Idle")


def test_a_scan_that_fails_is_a_fault_of_all():
    b = pair()
    works, b.board.scan = b.board.scan, lambda: 1 // 0
    b.poll(50)
    assert [outlet.closed for outlet in b.board.outlets] == [False, False]
    b.poll(10_000)
    assert len(b.errors()) == 2
    b.board.scan = works
    b.poll(10_000)
    assert [outlet.closed for outlet in b.board.outlets] == [True, True]


@pytest.mark.parametrize("times", [1, 2, 3, 20])
@pytest.mark.parametrize("stop", ["card", "fault", "unplug", "suspend"])
def test_a_contactor_is_opened_until_it_is_open(times, stop):
    b = charge(Bench())
    fails(b, "contactor", times=times)
    if stop == "card":
        b.board.cards.append((*CARD, 1))
        b.poll(3000)
        b.board.cards.append((*CARD, 1))
    elif stop == "fault":
        b.outlet.fault = "GroundFailure"
    elif stop == "unplug":
        b.outlet.cable = 0
    else:
        b.outlet.ready = False
    for _ in range(times + 2):
        b.poll(50)
        assert b.e.closed == b.outlet.closed
        assert not b.outlet.closed or b.outlet.locked
    assert not b.outlet.closed
    b.poll(1000)
    assert stop not in ("card", "unplug") or b.outlet.locked == 0
    b.outlet.fault = None
    b.unplug()
    b.events()
    assert b.ledger.problems(all_ended=True) == []


def test_a_contactor_that_does_not_close_counts_as_open():
    b = Bench()
    repaired = fails(b, "contactor", times=1)
    b.plug()
    b.card()
    b.poll(100)
    assert not b.e.closed and not b.outlet.closed and b.e.fault == "DriverFailed"
    repaired()
    b.poll(6000)
    assert b.e.closed and b.outlet.closed


@pytest.mark.parametrize("name", ["lock", "offer", "indicate"])
def test_an_output_that_fails(name):
    b = two()
    repaired = fails(b, name)
    for evse, token in ((1, CARD), (2, OTHER)):
        b.plug(evse)
        b.card(token, evse)
    b.poll(1000)
    assert [outlet.closed for outlet in b.board.outlets] == [False, True]
    repaired()
    b.poll(6000)
    b.unplug()
    charge(b)
    assert [outlet.closed for outlet in b.board.outlets] == [True, True]


def test_a_start_with_drivers_that_fail():
    b = Bench()
    repairs = [fails(b, name) for name in ("contactor", "lock", "cable", "indicate")]
    works, b.board.scan = b.board.scan, lambda: 1 // 0
    b.power_cycle()
    b.poll(100)
    assert b.e.closed  # who knows
    b.board.scan = works
    for repaired in repairs:
        repaired()
    b.poll(6000)
    assert not b.e.closed
    b.connect()
    charge(b)


@pytest.mark.parametrize("value", [2.5, "much", OSError(5)])
def test_a_value_that_is_no_number_is_not_measured_and_stops_nobody(value):
    b = charge(Bench({"SampledDataCtrlr.TxUpdatedInterval": "20"}))
    b.board.measure = lambda *_: 1 // 0 if isinstance(value, OSError) else value
    b.poll(25_000)
    assert b.outlet.closed
    (group,) = b.last()["meterValue"]
    assert [v.get("measurand") for v in group["sampledValue"]] == [None]  # the register


@pytest.mark.parametrize(
    "card",
    [
        ("04AA", "ISO14444", 0),
        ("4" * 37, "ISO14443", 0),
        (b"04AA", "ISO14443", 0),
        (None, "ISO14443", 0),
        ("04AA", "ISO14443", 2),
        ("04AA", "ISO14443", -1),
        ("04AA", "ISO14443", None),
        ("04AA", "ISO14443"),
        7,
        OSError(5),
    ],
)
def test_a_card_that_is_none(card):
    b = charge(Bench())

    def read():
        if isinstance(card, OSError):
            raise card
        return card

    works, b.board.card = b.board.card, read
    b.poll(5000)
    assert b.outlet.closed and b.e.fault is None
    (line,) = b.errors()
    assert "card reader" in line and "04AA" not in line
    b.board.card = works
    b.card()
    assert not b.outlet.closed


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("ioclsupd"), st.integers(1, 40)), max_size=25))
def test_whatever_fails_and_whenever(plan):
    """The contactor is closed only where a driver said so, for an EV that is authorized and there; the events add up."""
    b = Bench()
    repairs = []
    for what, polls in plan:
        if what in "iocl":
            name = {"i": "pilot", "o": "offer", "c": "contactor", "l": "lock"}[what]
            repairs.append(fails(b, name, times=polls))
        elif what == "s":
            b.board.cards.append((*CARD, 1))
        elif what == "u":
            b.outlet.cable = 0 if not b.outlet.locked else b.outlet.cable
        elif what == "p":
            b.outlet.cable = 1
        else:
            b.outlet.fault = None if b.outlet.fault else "X"
        for _ in range(polls):
            b.poll(50)
            assert b.e.closed or not b.outlet.closed
            assert b.outlet.locked or not b.outlet.closed
            while b.due() == "Authorize":
                b.serve()
    for repaired in reversed(repairs):
        repaired()
    b.outlet.fault = None
    b.poll(12_000)
    if b.e.authorized:
        b.card()
    b.unplug()
    b.poll(12_000)
    b.events()
    assert not b.outlet.closed and not b.outlet.locked
    assert b.ledger.problems(all_ended=True) == []


def test_a_control_task_that_dies_leaves_nothing_closed():
    b = pair()
    b.board.scan_ms, b.board.trace = 0, lambda error: None

    async def dies():
        b.st.journal.prepare = lambda: 1 // 0  # once a second
        b.board.card = lambda: setattr(b.board, "now", b.board.now + 1000)
        await b.st._guarded(b.st._control)
        del b.board.card

    works = b.st.journal.prepare
    asyncio.run(dies())
    b.st.journal.prepare = works
    assert [outlet.closed for outlet in b.board.outlets] == [False, False]
    assert [e.closed for e in b.st.evses] == [False, False]
    b.poll(10_000)  # it was started again
    assert [outlet.closed for outlet in b.board.outlets] == [True, True]


# --- the firmware --------------------------------------------------------------------------------------


async def _until(this, what, polls=200):
    """Wait until something holds of the virtual hardware, and count the polls that it took."""
    for poll in range(polls):
        if what():
            return poll
        await this.device.link.polled(1)
    raise AssertionError("it never came to that")


@pytest.mark.parametrize("bits", [64, 32])
@simulate
async def test_the_firmware_with_drivers_that_fail(bits):
    async with rig(**lane(bits)) as this:
        outlet = this.hardware.outlets[0]
        await this.charging()
        this.hardware.set_broken(1, "inputs")  # and the EV goes
        outlet.cable = outlet.locked = 0
        assert await _until(this, lambda: not outlet.closed) <= 2
        this.hardware.set_broken(1, "")
        await this.station.wait("tx_ended", evse=1)
        await this.station.wait("status:Available")

        await this.charging()
        this.hardware.set_broken(1, "contactor")
        this.hardware.set_fault(1, "GroundFailure")
        await this.device.link.polled(5)
        assert outlet.closed  # it cannot be opened
        this.hardware.set_broken(1, "")
        assert await _until(this, lambda: not outlet.closed) <= 2
        this.hardware.set_fault(1, None)
        await this.station.wait("charging", evse=1)
        this.hardware.set_broken(1, "meter")
        assert await _until(this, lambda: not outlet.closed) <= 2
        this.hardware.set_broken(1, "")
        await this.station.wait("charging", evse=1)
        await this.stopped()

        await this.clock.sleep(3)
        this.hardware.set_broken(1, "lock")
        this.hardware.plug()
        await this.station.wait("plugged", evse=1)
        this.hardware.card(KNOWN)
        await this.station.wait("tx_started", evse=1)
        await this.device.link.polled(5)
        assert not outlet.closed
        this.hardware.set_broken(1, "")
        this.hardware.unplug()
        await this.station.wait("tx_ended", evse=1)
        await this.drained()
        state = await this.device.ask("state")
        assert state["evses"][0]["closed"] is False
        assert this.device.crashes == [] and not any("task" in line for line in this.device.errors)
        assert [h for h in this.hardware.hazards if "unplugged" not in h] == []
        assert this.csms.ledger.problems(all_ended=True) == []


@pytest.mark.parametrize("bits", [64, 32])
@simulate
async def test_the_pilot_goes_before_the_contactor(bits):
    """An EV that holds on to C is given three seconds, and no more; its plug stays locked, and its energy counts."""
    async with rig(**lane(bits)) as this:
        outlet = this.hardware.outlets[0]
        outlet.holds = True
        await this.charging()
        await this.clock.sleep(60)
        this.hardware.stop_button(1)
        await _until(this, lambda: not outlet.offered)
        assert outlet.closed and outlet.locked
        begin = this.clock.now()
        while outlet.closed:
            await this.clock.sleep(0.1)
        assert 3 <= this.clock.now() - begin < 7
        await this.station.wait("tx_ended", evse=1)
        await this.drained()
        (tx,) = this.csms.ledger.transactions.values()
        assert tx.registers()[-1] == this.hardware.outlet(1).wh
        assert this.problems(all_ended=True) == []


class Unsayable(Exception):
    """Of what it is there is no memory to tell."""

    def __repr__(self):
        raise MemoryError


def test_a_failure_that_cannot_be_said_is_one_all_the_same():
    b = pair()
    fails(b, "cable", Unsayable())
    b.poll(50)
    assert [outlet.closed for outlet in b.board.outlets] == [False, True]
    assert b.st.evses[0].fault == "DriverFailed"
    b.poll(1000)
    assert b.board.lines.count("E EVSE: MemoryError") == 1
