"""What each pass buys: left out one by one, told as a table."""

import ast

import pytest

from tools import BuildError
from tools.builder import image, passes
from tools.measure.footprint import passes as measured
from tools.measure.footprint import report

FIGURES = {
    "": {"sim": {"image": 1000, "heap": 400}, "sim-lite": {"image": 800}},
    "strip": {"sim": {"image": 3000, "heap": 390}, "sim-lite": {"image": 800}},
}


def test_the_table_says_how_much_larger_it_is_without():
    whole, strip = measured.table(FIGURES).splitlines()[2:]
    assert whole == "| with all of them |  | 1,000 | 400 | 800 | – |"
    assert strip == f"| `strip` | {passes.ORDER['strip'][0]} | +2,000 | -10 | +0 | – |"


def test_it_stands_between_its_markers(tmp_path, monkeypatch):
    file = tmp_path / "footprint.md"
    monkeypatch.setattr(report, "DOCUMENT", file)
    file.write_text(f"before\n{measured.BEGIN}\nold\n{measured.END}\nafter\n")
    measured.document("new")
    assert file.read_text() == f"before\n{measured.BEGIN}\nnew\n{measured.END}\nafter\n"
    file.write_text("nothing\n")
    with pytest.raises(BuildError, match="there is no"):
        measured.document("new")


def test_what_is_left_out_does_not_run(monkeypatch):
    ran = []
    for name, (title, _) in list(passes.ORDER.items()):
        monkeypatch.setitem(
            passes.ORDER,
            name,
            (title, lambda trees, station, name=name: ran.append(name) or trees),
        )
    station = passes.Station(passes.decide.Facts({}, {}))
    trees = {"a.py": ast.parse("x = 1\n")}
    without = measured.TOGETHER["join"]
    trees = passes.finish(passes.begin(trees, station, without), station, without)
    expected = [name for name in passes.ORDER if name not in ("split", "join")]
    twice = expected.index(passes.TWICE[-1]) + 1
    expected[twice:twice] = passes.TWICE
    assert ran == expected
    assert station.legend == {"a.py": {}}


def test_an_image_without_a_pass_has_a_folder_of_its_own():
    folders = {image.folder("sim", {}, without) for without in ((), ("pool",), ("strip",))}
    assert len(folders) == 3
