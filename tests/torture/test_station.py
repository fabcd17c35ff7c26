"""The whole station with the power cut at every program and erase of any of its chips: each time it starts, delivers what
it knew, and charges a car."""

import pytest

from .chips import Plan
from .world import torture


def told(figures, plan, world):
    operations = sum(chip.operations for chip in world.flashes.values())
    events = len(world.flashes["journal"].oracle.events)
    figures(operations=operations, cuts=plan.cuts[0], second_cuts=plan.cuts[1], events=events)
    assert plan.cuts[0] and plan.cuts[1]


@pytest.mark.seeds(3)
def test_cuts_in_the_life_of_a_station(seed, whole, figures):
    plan = Plan(whole, share=3, again=20, depth=2)
    world = torture(plan, seed, lambda world, random: world.live(random, 120))
    told(figures, plan, world)


@pytest.mark.seeds(2)
def test_cuts_in_a_station_that_is_offline_for_long(seed, whole, figures):
    plan = Plan(False, share=1 if whole else 6, again=20, depth=2)

    def live(world, random):
        world.offline(random, 300_000)
        for _ in range(20):
            world.happen(random)

    world = torture(plan, seed, live)
    told(figures, plan, world)
    assert world.flashes["journal"].oracle.refused or world.flashes["journal"].oracle.thinned
