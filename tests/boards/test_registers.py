"""The register of a pulse meter lives in the controller. The journal knows what it has told, between transactions too, and the
larger of the two holds: on the chip's model, with the real station over the drivers."""

import pytest

from tools import BOARDS

from .bench import imported
from .lives import CARDS, Life

FOLDER = BOARDS / "esp32_generic"


def charge(life, pulses):
    """Plug, card, so many pulses of 1 Wh, card, unplugged."""
    (place,) = life.places
    place.plugged = place.wants = True
    life.cards.append((*CARDS[0], 1))
    life.run(8000)
    assert place.live
    life.chip.pulse(life.pins["meter"], pulses)
    life.run(1000)
    life.cards.append((*CARDS[0], 1))
    life.run(8000)
    life.unplug(place)
    life.run(1000)
    assert life.station.evses[0].tx is None


@pytest.fixture
def life():
    """A charger that has charged twice, 37 Wh and 4, and is idle."""
    life = Life(FOLDER, 1, 1)
    life.work_ms = life.places[0].line.noise = 0
    life.chip.nvs["wh1"] = 123456
    with imported(life.chip, FOLDER) as modules:
        life.modules = modules
        life.start(modules)
        charge(life, 37)
        charge(life, 4)
        assert life.board.energy(1) == life.chip.nvs["wh1"] == 123497
        yield life


@pytest.mark.parametrize("renewed", [False, True])
@pytest.mark.parametrize("stored", [None, 0, 123456])
def test_a_register_that_flash_has_lost_goes_on_from_what_was_told(life, stored, renewed):
    """Its flash comes up empty, or with an older value; Ended is in the journal's newest sector, or not any more."""
    if renewed:
        life.station.journal._records.renew()
    life.chip.nvs.clear()
    if stored is not None:
        life.chip.nvs["wh1"] = stored
    life.power_cut(life.modules)
    assert life.board.energy(1) == life.station.evses[0].wh == 123497
    assert life.board.fault(1) is None
    charge(life, 12)
    assert life.board.energy(1) == life.chip.nvs["wh1"] == 123509
    life.power_cut(life.modules)
    assert life.board.energy(1) == 123509


def test_a_flash_that_knows_more_holds(life):
    """Energy that no event told: the contactor was opened by hand, say."""
    life.chip.nvs["wh1"] = 123600
    life.power_cut(life.modules)
    assert life.board.energy(1) == life.station.evses[0].wh == 123600


def test_what_was_told_outlives_a_time_in_which_flash_cannot_be_read(life):
    """Nothing is written then; a sector that begins meanwhile must not forget it."""
    life.chip.nvs_unread = -4355
    life.power_cut(life.modules)
    assert life.board.energy(1) == 123497
    life.run(200)
    assert life.board.fault(1) == "EnergyMeter"
    life.station.journal._records.renew()
    life.chip.nvs.clear()
    life.chip.nvs_unread = 0
    life.power_cut(life.modules)
    assert life.board.energy(1) == 123497 and life.board.fault(1) is None
    charge(life, 1)
    assert life.chip.nvs["wh1"] == 123498


def test_a_flash_that_can_be_read_again_goes_on_from_the_larger(life):
    life.chip.nvs_unread = -4355
    life.chip.nvs["wh1"] = 200
    life.power_cut(life.modules)
    life.run(200)
    life.chip.nvs_unread = 0
    life.run(200)
    assert life.board.energy(1) == 123497 and life.board.fault(1) is None


def test_an_idle_charger_writes_nothing(life):
    life.run(20_000)
    before = life.chip.flash["milliamp"][:], life.chip.nvs_commits
    life.run(100_000)
    assert (life.chip.flash["milliamp"], life.chip.nvs_commits) == before
