"""The virtual charger: energy is exact, and the EV follows the offer."""

import pytest

from hostsim.charger.hardware import Hardware


class HandClock:
    """A clock that a test moves."""

    def __init__(self):
        self.ms = 0

    def now_ms(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def hardware(clock) -> Hardware:
    return Hardware(clock, evses=2)


def charge(hardware: Hardware, milliamps: int = 16_000) -> None:
    hardware.plug(1)
    hardware.offer(1, milliamps)
    hardware.contactor(1, True)


def test_an_hour_of_eleven_kilowatts(hardware, clock):
    charge(hardware)
    clock.ms += 3_600_000
    assert hardware.outlet(1).wh == 11_040
    assert hardware.outlet(2).wh == 0


def test_no_energy_is_lost_to_rounding(hardware, clock):
    charge(hardware)
    for _ in range(3_600):
        clock.ms += 1000
        hardware.advance()
    assert hardware.outlet(1).wh == 11_040


@pytest.mark.parametrize(
    ("load", "offer", "current"),
    [(16_000, 32_000, 16_000), (32_000, 10_000, 10_000), (0, 9000, 0)],
)
def test_the_ev_draws_what_it_likes_of_what_is_offered(hardware, load, offer, current):
    charge(hardware, offer)
    hardware.draw(1, load)
    assert hardware.outlet(1).current == current
    assert hardware.measure(1, "Current.Import", 1) == current
    assert hardware.measure(1, "Power.Active.Import", 0) == current * 230 * 3 // 1000


def test_a_change_of_load_counts_from_when_it_happens(hardware, clock):
    charge(hardware)
    clock.ms += 1_800_000
    hardware.draw(1, 8_000)
    clock.ms += 1_800_000
    assert hardware.outlet(1).wh == 5_520 + 2_760


def test_the_pilot_follows_plug_offer_and_ev(hardware):
    outlet = hardware.outlets[0]
    assert outlet.pilot == "A"
    hardware.plug(1)
    assert outlet.pilot == "B"
    hardware.offer(1, 16_000)
    assert outlet.pilot == "C"
    hardware.ready(1, False)
    assert outlet.pilot == "B"
    hardware.ev(1, "c")
    assert outlet.pilot == "C"
    hardware.ev(1, "F")
    assert outlet.pilot == "F"
    hardware.unplug(1)
    assert outlet.pilot == "A"


def test_an_ev_that_pulls_the_plug_at_its_own_end(hardware):
    charge(hardware)
    hardware.ev(1, "A")
    outlet = hardware.outlets[0]
    assert (outlet.cable, outlet.pilot, outlet.current) == (1, "A", 0)
    hardware.ev(1, "C")
    assert (outlet.cable, outlet.pilot) == (1, "C")


def test_a_locked_plug_stays(hardware):
    hardware.plug(1)
    assert hardware.lock(1, 1, True)
    with pytest.raises(ValueError, match="locked"):
        hardware.unplug(1)
    assert hardware.lock(1, 1, False)
    hardware.unplug(1)
    assert hardware.outlets[0].cable == 0


def test_a_jammed_lock(hardware):
    hardware.set_lock_fails(1, True)
    hardware.plug(1)
    assert not hardware.lock(1, 1, True)
    hardware.unplug(1)


def test_power_loss_opens_the_contactor_and_keeps_the_meter(hardware, clock):
    charge(hardware)
    hardware.card("TOKEN")
    clock.ms += 3_600_000
    hardware.dark()
    clock.ms += 3_600_000
    outlet = hardware.outlet(1)
    assert (outlet.closed, outlet.offered, outlet.wh) == (False, 0, 11_040)
    assert not hardware.cards


def test_hazards_are_noticed(hardware):
    hardware.contactor(1, True)
    assert "state A" in hardware.hazards[0]


@pytest.mark.parametrize("call", [("plug", 3), ("ev", 1, "G"), ("draw", 1, -1)])
def test_what_cannot_be(hardware, call):
    with pytest.raises(ValueError):
        getattr(hardware, call[0])(*call[1:])
