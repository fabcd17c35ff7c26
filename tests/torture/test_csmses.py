"""Days with the CSMSs that there are: those that take little, hang up, fall silent, or are far away."""

import pytest

from hostsim.clock.virtual import virtually
from hostsim.csms.misbehaviour import KINDS
from hostsim.lives.soak import soak

HARDEST = ("silent", "slow")  # the others are met in tests/hostile, too


@pytest.mark.parametrize("kind", KINDS)
def test_days_with_each_csms_that_there_is(kind, whole, figures):
    if not whole and kind not in HARDEST:
        pytest.skip("`make torture` has it")
    life, books = virtually(soak)(3 if whole else 1, seed=2, kind=kind)
    figures(events=books.delivered, restarts=books.boots - 1)
    assert life.faults == []
    assert books.delivered > 30
