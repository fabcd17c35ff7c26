"""The power cut at every program and every erase of long lives, and again in what follows a cut."""

import pytest

from .chips import Plan
from .life import GEOMETRIES, Home, Life, torture


def told(figures, plan, life):
    first, second, third = plan.cuts
    operations = life.chip.operations
    figures(lives=1, operations=operations, cuts=first, second_cuts=second, third_cuts=third)
    assert first and second and third


@pytest.mark.seeds(6)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_cuts_in_a_journal(geometry, seed, whole, figures):
    plan = Plan(whole)

    def live(life):
        for _ in range(700 if whole else 250):
            life.step()

    life = torture(Life, plan, geometry, seed, live)
    told(figures, plan, life)
    figures(events=len(life.chip.oracle.events))
    assert life.chip.erases > geometry[2]  # round and round


@pytest.mark.seeds(3)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_cuts_in_a_full_journal(geometry, seed, whole, figures):
    plan = Plan(whole, share=5)

    def live(life):
        room = geometry[1] * geometry[2] // (24 + geometry[0])
        for updates, delivered in ((True, 3), (False, 15), (True, 40), (False, 1000))[
            -2 - 2 * whole :
        ]:
            life.fill(room, updates)
            life.thin(500)  # as soon as it has nothing else to do
            for _ in range(delivered):
                life.leave()
            for _ in range(5):
                life.step()

    life = torture(Life, plan, geometry, seed, live)
    told(figures, plan, life)
    oracle = life.chip.oracle
    figures(events=len(oracle.events), refused=oracle.refused, thinned=len(oracle.thinned))
    assert oracle.refused and oracle.thinned
    assert oracle.unwritten == 0  # a place is kept for acknowledgements


@pytest.mark.seeds(4)
@pytest.mark.parametrize("geometry", GEOMETRIES[1:3])
def test_cuts_that_leave_it_unreadable(geometry, seed, whole, figures):
    plan = Plan(whole)

    def live(life):
        for _ in range(500 if whole else 150):
            life.step()

    told(figures, plan, torture(Life, plan, geometry, seed, live, ecc=True))


@pytest.mark.seeds(6)
@pytest.mark.parametrize("geometry", ((1, 1024, 2), (8, 1024, 3), (32, 2048, 2)))
def test_cuts_in_settings(geometry, seed, whole, figures):
    plan = Plan(whole)

    def live(life):
        for _ in range(400 if whole else 150):
            life.step()

    told(figures, plan, torture(Home, plan, geometry, seed, live))
