"""The settings against a dict, with the power cut at every program and every erase."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostsim.charger.flash import Nor, PowerCut
from milliamp.storage.settings import Settings

from .power import TORN, Doomed

KEYS = (0, 1, 0x10, 0x8000, 0xFFFF)
VALUES = (None, 0, 1, -1, 300, -(1 << 31), (1 << 40) + 1, "", "short", "für Ökostrom ⚡", "x" * 40)


def found(nor, keys=KEYS):
    kept = Settings(nor)
    assert kept.empty == all(kept.get(key) is None for key in keys)
    return {key: kept.get(key) for key in keys if kept.get(key) is not None}


def after(values, pairs):
    values = dict(values)
    for key, value in pairs:
        values[key] = value
    return {key: value for key, value in values.items() if value is not None}


def some_pairs(random):
    return [(key, random.choice(VALUES)) for key in random.sample(KEYS, random.randint(1, 4))]


def test_values_are_what_they_were():
    nor = Nor(8192)
    kept = Settings(nor)
    assert kept.empty and kept.get(7) is None and kept.get(7, 42) == 42
    kept.put(*[(number, value) for number, value in enumerate(VALUES)])
    assert not kept.empty
    for each in (kept, Settings(nor)):
        for number, value in enumerate(VALUES):
            assert each.get(number) == value
            assert type(each.get(number)) is type(value)


def test_what_does_not_change_is_not_written():
    nor = Nor(8192)
    Settings(nor).put((1, 5), (2, "five"))
    programmed = nor.bytes_programmed
    kept = Settings(nor)
    kept.put((2, "five"))
    kept.put((1, 5), (3, None))
    kept.put()
    assert nor.bytes_programmed == programmed
    kept.put((1, "5"))
    assert nor.bytes_programmed > programmed


def test_too_much_is_refused_and_harms_nothing():
    nor = Nor(8192)
    kept = Settings(nor)
    with pytest.raises(ValueError):
        kept.put((1, "x" * 513))
    with pytest.raises(OSError):
        for key in range(100):
            kept.put((key, "x" * 500))
    assert 5 <= key <= 6
    for _ in range(50):  # whatever was taken goes on into new sectors
        kept.put((0, "y" * 500))
        kept.put((0, "z" * 500))
    assert Settings(nor).get(key - 1) == "x" * 500
    assert Settings(nor).get(key) is None
    assert Settings(nor).get(0) == "z" * 500


def test_a_factory_reset_leaves_nothing_in_the_flash():
    nor = Nor(8192)
    kept = Settings(nor)
    for number in range(300):
        kept.put((1, f"hunter{number}"), (2, number))
    kept.clear()
    assert kept.empty and kept.get(1) is None
    assert Settings(nor).empty
    assert b"hunter" not in nor.image
    kept.put((3, "new"))
    assert found(nor, (1, 2, 3)) == {3: "new"}


def test_what_the_flash_did_not_take_goes_with_the_first_change_that_it_takes():
    nor = Nor(8192)
    nor.bad = {0, 1}
    kept = Settings(nor)
    with pytest.raises(OSError):
        kept.put((1, "own"), (2, 2))
    assert kept.empty and kept.get(1) is None
    kept.values.update([(1, "own"), (2, 2)])
    nor.bad.clear()
    assert Settings(nor).empty
    later = Settings(nor)
    later.values.update(kept.values)
    later.put((2, 3), (4, None))
    assert found(nor, (1, 2, 4)) == {1: "own", 2: 3}


@pytest.mark.parametrize(
    "unit, sector, sectors", [(1, 1024, 2), (8, 1024, 2), (16, 1024, 3), (32, 1024, 2)]
)
def test_power_cut_at_every_operation(unit, sector, sectors):
    old = new = {}
    random = Random(unit)

    def cut(nor):
        image = bytes(nor.image)
        now = found(nor)
        assert now in (old, new)  # never mixed
        assert nor.image == image  # reading repairs nothing

        def cut_again(nor):
            assert found(nor) in (now, after(now, pairs))

        pairs = some_pairs(random)
        recovering = Settings(
            Doomed(nor.size, sector, unit, cut_again, nor.image, torn=("half", "bits"))
        )
        recovering.put(*pairs)
        assert found(nor) == after(now, pairs)

    nor = Doomed(sector * sectors, sector, unit, cut)
    kept = Settings(nor)
    while nor.erases <= 3 * sectors:
        pairs = some_pairs(random)
        new = after(old, pairs)
        kept.put(*pairs)
        old = new
        if nor.operations % 5 == 0:
            kept.prepare()
        if nor.operations % 90 == 0:
            new = {}
            kept.clear()
            old = {}
    assert found(nor) == old


@settings(max_examples=60)
@given(
    unit=st.sampled_from((1, 8, 32)),
    changes=st.lists(
        st.tuples(
            st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)), max_size=4),
            st.none() | st.tuples(st.integers(0, 3), st.sampled_from(TORN)),
        ),
        min_size=15,
        max_size=60,
    ),
    seed=st.integers(0, 1000),
)
def test_any_life(unit, changes, seed):
    nor = Nor(2048, 1024, unit)
    kept = Settings(nor)
    values = {}
    random = Random(seed)
    for pairs, cut in changes:
        pairs = list(dict(pairs).items())
        if cut:
            nor.cut_power(*cut, random.randrange)
        try:
            kept.put(*pairs)
            values = after(values, pairs)
        except PowerCut:
            nor.power_on()
            now = found(nor)
            assert now in (values, after(values, pairs))
            values = now
            kept = Settings(nor)
    nor.power_on()
    assert found(nor) == values
