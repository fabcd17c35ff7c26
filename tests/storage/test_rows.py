"""Lists and tables in flash against lists and dicts, with the power cut at every program and every erase."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostsim.charger.flash import Nor
from milliamp.storage import rows
from milliamp.storage.blobs import Blobs

from .power import TORN, Doomed

WIDTH, KEY = 20, 6


def all_of(row):
    return row


def found(nor, names):
    """What a start finds in these lists."""
    blobs = Blobs(nor)
    return {name: list(rows.read(blobs, name)) for name in names}


def table_in(nor):
    blobs = Blobs(nor)
    return {row[:KEY]: row for row in rows.read(blobs, "table", WIDTH)}


def change_of(key, random):
    """A change for the row of a key: it goes, or it is another."""
    name = b"%06d" % key
    return name if random.random() < 0.3 else name + random.randbytes(WIDTH - KEY)


def after(table, changes):
    """What becomes of a dict."""
    table = dict(table)
    for change in changes:
        table.pop(change[:KEY], None)
        if len(change) > KEY:
            table[change[:KEY]] = change
    return dict(sorted(table.items()))


@pytest.mark.parametrize("unit", [1, 8, 32])
def test_rows_of_any_length_are_what_they_were(unit):
    nor = Nor(12 * 4096, unit=unit)
    blobs = Blobs(nor)
    random = Random(unit)
    model = []
    for length in (0, 1, 20, 127, 128, 254, 255, 256, 300, 1000):
        model.append(random.randbytes(length))
        assert rows.append(blobs, "list", model[-1]) == len(model)
    assert list(rows.read(blobs, "list")) == model
    assert found(nor, ["list", "none"]) == {"list": model, "none": []}


def test_a_filter_drops_changes_and_keeps():
    nor = Nor(12 * 4096, unit=8)
    blobs = Blobs(nor)
    rows.replace(blobs, "list", all_of, [b"%d" % n for n in range(30)])

    def keep(row):
        if int(row) % 3 == 0:
            return None
        return b"changed " + row if int(row) % 3 == 1 else row

    assert rows.replace(blobs, "list", keep, [b"new"]) == 21
    model = [b"changed %d" % n if n % 3 == 1 else b"%d" % n for n in range(30) if n % 3]
    assert found(nor, ["list"]) == {"list": [*model, b"new"]}
    assert rows.replace(blobs, "list", lambda row: None) == 0
    assert found(nor, ["list"]) == {"list": []}
    assert Blobs(nor).names() == []  # an empty list takes no place


def test_what_has_no_room_changes_nothing():
    nor = Nor(10 * 4096, unit=8)
    blobs = Blobs(nor)
    rows.replace(blobs, "list", all_of, [b"row"] * 10)
    for _ in range(3):
        with pytest.raises(OSError) as error:
            rows.replace(blobs, "list", all_of, (bytes(1000) for _ in range(60)))
        assert error.value.args == (28,)
        assert found(nor, ["list"]) == {"list": [b"row"] * 10}
    assert rows.append(Blobs(nor), "list", b"and on") == 11


def test_a_damaged_list_is_said_and_not_cut_short():
    nor = Nor(12 * 4096, unit=8)
    blobs = Blobs(nor)
    model = [b"row %03d" % n for n in range(200)]
    rows.replace(blobs, "list", all_of, model)
    nor.image[nor.image.index(b"row 100")] ^= 1
    read = []
    with pytest.raises(OSError):
        for row in rows.read(Blobs(nor), "list"):
            read.append(row)
    assert read == model[: len(read)]
    with pytest.raises(OSError):
        rows.append(Blobs(nor), "list", b"more")
    blobs = Blobs(nor)
    blobs.delete("list")
    assert rows.append(blobs, "list", b"anew") == 1


def test_a_table_is_searched_and_read_at_an_index():
    nor = Nor(40 * 4096, unit=8)
    blobs = Blobs(nor)
    random = Random(1)
    model = [b"%06d" % (3 * n) + random.randbytes(WIDTH - KEY) for n in range(2000)]
    assert rows.merge(blobs, "table", WIDTH, KEY, model) == 2000
    assert blobs.size("table") == 2000 * WIDTH
    blobs = Blobs(nor)
    for n in (0, 1, 12, 13, 999, 1998, 1999):
        assert rows.row(blobs, "table", WIDTH, n) == model[n]
        assert rows.find(blobs, "table", WIDTH, model[n][:KEY]) == model[n]
    assert rows.row(blobs, "table", WIDTH, 2000) == rows.row(blobs, "table", WIDTH, -1) == b""
    for key in (b"000001", b"999999", b"000000!", b"!"):
        assert rows.find(blobs, "table", WIDTH, key) == b""
    assert rows.find(blobs, "none", WIDTH, b"000000") == rows.row(blobs, "none", WIDTH, 0) == b""
    before = nor.bytes_read
    rows.find(blobs, "table", WIDTH, model[1234][:KEY])
    assert nor.bytes_read - before < 96 * 1024  # and not all of it at each step


def test_what_is_not_in_order_changes_nothing():
    nor = Nor(12 * 4096, unit=8)
    blobs = Blobs(nor)
    good = [bytes((n,)) * WIDTH for n in range(1, 20)]
    rows.merge(blobs, "table", WIDTH, KEY, good)
    for wrong in (reversed(good), [good[3], good[3]]):
        with pytest.raises(ValueError):
            rows.merge(blobs, "table", WIDTH, KEY, wrong)
        assert list(table_in(nor).values()) == good


names = st.sampled_from(["one", "two"])
contents = st.binary(max_size=300)


@settings(max_examples=60)
@given(
    unit=st.sampled_from([1, 8, 32]),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("append"), names, contents),
            st.tuples(st.just("drop"), names, st.integers(1, 4)),
            st.tuples(st.just("more"), names, st.lists(contents, max_size=4)),
            st.tuples(st.just("delete"), names, st.none()),
            st.tuples(st.just("start"), names, st.none()),
        ),
        max_size=30,
    ),
)
def test_any_life_of_lists(unit, steps):
    nor = Nor(24 * 2048, 2048, unit)
    blobs = Blobs(nor)
    model: dict[str, list] = {"one": [], "two": []}
    for what, name, arg in steps:
        kept = model[name]
        if what == "append":
            kept.append(arg)
            assert rows.append(blobs, name, arg) == len(kept)
        elif what == "drop":
            model[name] = [row for row in kept if len(row) % arg]
            count = rows.replace(blobs, name, lambda row, n=arg: row if len(row) % n else None)
            assert count == len(model[name])
        elif what == "more":
            model[name] = [row[1:] for row in kept] + arg
            rows.replace(blobs, name, lambda row: row[1:], arg)
        elif what == "delete":
            model[name] = []
            blobs.delete(name)
        else:
            blobs = Blobs(nor)
        assert {name: list(rows.read(blobs, name)) for name in model} == model
    assert found(nor, model) == model


@settings(max_examples=60)
@given(
    unit=st.sampled_from([1, 8, 32]),
    changes=st.lists(st.sets(st.integers(0, 120), max_size=60), max_size=6),
    seed=st.integers(0, 1000),
)
def test_any_life_of_a_table(unit, changes, seed):
    random = Random(seed)
    nor = Nor(16 * 2048, 2048, unit)
    blobs = Blobs(nor)
    table: dict = {}
    for keys in changes:
        some = [change_of(key, random) for key in sorted(keys)]
        table = after(table, some)
        assert rows.merge(blobs, "table", WIDTH, KEY, some) == len(table)
        assert table_in(nor) == table
        for n, (key, row) in enumerate(table.items()):
            if n % 7 == 0:
                assert rows.row(blobs, "table", WIDTH, n) == row
                assert rows.find(blobs, "table", WIDTH, key) == row
        assert rows.find(blobs, "table", WIDTH, b"%06d" % 500) == b""


@pytest.mark.parametrize("unit", [1, 8, 32])
def test_power_cut_at_every_operation(unit):
    random = Random(unit)
    before: dict = {"list": [], "table": {}}
    coming: dict = {"list": [], "table": {}}
    cuts = 0

    def cut(nor):
        nonlocal cuts
        cuts += 1
        now = {**found(nor, ["list"]), "table": table_in(nor)}
        assert now in (before, coming)  # all of a change or nothing
        if cuts % 9 == 0:  # and on it goes
            blobs = Blobs(nor)
            rows.append(blobs, "list", b"next")
            rows.merge(blobs, "table", WIDTH, KEY, [b"999999" + bytes(WIDTH - KEY)])
            assert found(nor, ["list"])["list"] == [*now["list"], b"next"]
            assert list(table_in(nor))[:-1] == list(now["table"])

    nor = Doomed(12 * 1536, 1536, unit, cut, torn=TORN, seed=unit)
    blobs = Blobs(nor)
    for n in range(45):
        coming = dict(before)
        if n % 3 == 0:
            coming["list"] = [*before["list"], random.randbytes(random.randrange(90))]
            rows.append(blobs, "list", coming["list"][-1])
        elif n % 3 == 1:
            some = [change_of(key, random) for key in sorted(random.sample(range(90), 12))]
            coming["table"] = after(before["table"], some)
            rows.merge(blobs, "table", WIDTH, KEY, some)
        else:
            odd = n % 2
            coming["list"] = [row for row in before["list"] if len(row) % 2 == odd] + [b"more"]
            keep = lambda row, odd=odd: row if len(row) % 2 == odd else None  # noqa: E731
            rows.replace(blobs, "list", keep, [b"more"])
        before = coming
    assert nor.erases > 8
    assert {**found(nor, ["list"]), "table": table_in(nor)} == before


@pytest.mark.parametrize("unit", [1, 8])
def test_each_operation_fails_once(unit):
    """The flash fails and the power stays: what was not changed is as it was."""

    def live(nor, fails):
        blobs = Blobs(nor)
        model: list = []
        for n in range(12):
            row = b"%d" % n * 40
            try:
                rows.append(blobs, "list", row)
            except OSError:
                assert fails
                assert found(nor, ["list"])["list"] in (model, [*model, row])
                blobs = Blobs(nor)
                model = list(rows.read(blobs, "list"))
                continue
            model.append(row)
        assert found(nor, ["list"])["list"] == model

    nor = Nor(10 * 1536, 1536, unit)
    live(nor, False)
    for n in range(nor.operations):
        failing = Nor(10 * 1536, 1536, unit)
        failing.fail(n, TORN[n % 4], Random(n).randrange)
        live(failing, True)
