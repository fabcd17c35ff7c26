"""Flash operations that fail while the power stays: a sector that takes no erase or program, one operation that fails
and leaves something half done, one read that fails. What was made durable stays so."""

from random import Random

import pytest

from .chips import TORN, Chip
from .life import Home, Life
from .oracle import Dict, Oracle
from .world import World, new_chips

ORACLES = {Life: Oracle, Home: Dict}
KINDS = ((Life, (1, 512, 6)), (Life, (8, 512, 8)), (Life, (32, 1024, 6)), (Home, (8, 1024, 4)))


def new(kind, geometry):
    unit, sector, sectors = geometry
    chip = Chip(sector * sectors, sector, unit)
    chip.oracle = ORACLES[kind]()
    return chip


def live(kind, chip, seed, steps):
    """A life that starts over whenever an operation of the flash failed and it could not help itself."""
    life = None
    failures = 0
    while True:
        try:
            life = life or kind(chip, seed)
            while steps > 0:
                steps -= 1
                life.step()
            return life.finish()
        except OSError as error:
            assert error.args[0] == 5
            failures += 1
            assert failures < 5
            life = None


@pytest.mark.seeds(20)
@pytest.mark.parametrize("kind, geometry", KINDS)
def test_sectors_that_fail(kind, geometry, seed, figures):
    """One from the start, another later."""
    tried = 0
    for first in range(geometry[2]):
        chip = new(kind, geometry)
        chip.bad = {first}
        life = kind(chip, seed)
        for _ in range(60):
            life.step()
        if geometry[2] > 4:
            chip.bad.add(Random(seed + first).randrange(geometry[2]))
        for _ in range(60):
            life.step()
        life.finish()
        tried += 1
    figures(chips=tried)


@pytest.mark.seeds(4)
@pytest.mark.parametrize("geometry", [geometry for kind, geometry in KINDS if kind is Life])
def test_a_full_journal_with_a_sector_that_fails(geometry, seed, figures):
    """It is no place to keep for acknowledgements. (The last two places are first tried when the log is full.)"""
    for bad in range(geometry[2] - 2):
        chip = new(Life, geometry)
        chip.bad = {bad}
        life = Life(chip, seed)
        life.fill(400, True)
        life.thin(500)
        assert life.journal.counts()[3] or chip.oracle.refused
        for _ in range(10):
            life.leave()
        assert chip.oracle.unwritten == 0
        life.finish()
    figures(chips=geometry[2] - 2)


@pytest.mark.seeds(4)
@pytest.mark.parametrize("kind, geometry", KINDS)
def test_each_operation_fails_once(kind, geometry, seed, whole, figures):
    steps = 120
    chip = new(kind, geometry)
    live(kind, chip, seed, steps)
    share = 1 if whole else 12
    tried = 0
    for n in range(0, chip.operations, share):
        for torn in TORN if whole else (TORN[n // share % 4],):
            failing = new(kind, geometry)
            failing.fail(n, torn, Random(n).randrange)
            live(kind, failing, seed, steps)
            tried += 1
    figures(failures=tried)


@pytest.mark.seeds(4)
@pytest.mark.parametrize("kind, geometry", KINDS)
def test_each_read_fails_once(kind, geometry, seed, whole, figures):
    steps = 60
    chip = new(kind, geometry)
    live(kind, chip, seed, steps)
    share = 3 if whole else max(chip.reads // 12, 1)
    tried = 0
    for n in range(1, chip.reads, share):
        deaf = new(kind, geometry)
        deaf.deaf = range(n, n + 1)
        live(kind, deaf, seed, steps)
        tried += 1
    figures(failures=tried)


@pytest.mark.seeds(4)
@pytest.mark.parametrize("kind, geometry", KINDS)
def test_what_was_written_can_not_be_read_back(kind, geometry, seed, whole, figures):
    """It is taken for failed, and is there all the same later."""
    steps = 120
    chip = new(kind, geometry)
    live(kind, chip, seed, steps)
    tried = 0
    for n in range(0, chip.landed, 1 if whole else 3):
        veiled = new(kind, geometry)
        veiled.veiled = n
        live(kind, veiled, seed, steps)
        tried += 1
    figures(failures=tried)


@pytest.mark.seeds(10)
def test_a_station_on_failing_flash(seed, whole, figures):
    """Any operation of any of its chips fails; it goes on, or starts over, and charges."""
    world = World(new_chips()).first_start()
    chips = {name: chip.twin() for name, chip in world.flashes.items()}
    random = Random(seed)
    tried = 0
    for name in chips:
        for n in range(0, 24, 1 if whole else 8):
            twins = {other: chip.twin() for other, chip in chips.items()}
            other = World(twins, world)
            other.recover()
            twins[name].fail(n, random.choice(TORN), random.randrange)
            try:
                other.live(Random(seed), 20)
            except OSError:
                other.power_cycle()
            other.connect()
            other.deliver()
            other.go_on()
            tried += 1
    figures(failures=tried)
