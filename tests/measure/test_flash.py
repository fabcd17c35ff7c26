"""`make measure-flash` in short: the figures are there, keep their budgets, and a broken budget is told."""

import json

import pytest

from tools import BuildError
from tools.measure import flash

KEYS = {
    "bytes_per_event",
    "erases_per_event",
    "worst_append_ops",
    "mount_read_bytes",
    "events_in_128k",
    "years",
}
DESIGNS = {
    "milliamp_raw",
    "milliamp_raw_8",
    "milliamp_raw_16",
    "milliamp_raw_32",
    "milliamp_segments",
    "littlefs_append",
    "file_per_event",
}


GOOD = dict.fromkeys(KEYS, 1) | {"events_in_128k": 3000, "erases_per_event": 0.02}


def test_a_short_run_has_every_figure_and_keeps_the_budgets():
    figures = flash.measure(events=200, most=3000)
    assert set(figures) == DESIGNS
    for row in json.loads(json.dumps(figures)).values():
        assert set(row) == KEYS
        assert all(isinstance(value, (int, float)) and value > 0 for value in row.values())
    assert flash.faults(figures) == []
    ours, segments, plain = (
        figures[name] for name in ("milliamp_raw", "milliamp_segments", "littlefs_append")
    )
    assert plain["bytes_per_event"] > 3 * segments["bytes_per_event"]
    assert segments["bytes_per_event"] > 3 * ours["bytes_per_event"]
    assert plain["years"] < segments["years"] < ours["years"]


@pytest.mark.parametrize(
    "design, figure, value",
    [
        ("milliamp_raw", "bytes_per_event", 40.1),
        ("milliamp_raw_8", "bytes_per_event", 40.1),
        ("milliamp_raw_16", "bytes_per_event", 64.1),
        ("milliamp_raw_32", "bytes_per_event", 80.1),
        ("milliamp_raw_32", "erases_per_event", 0.021),
        ("milliamp_raw_16", "mount_read_bytes", 8192),
        ("milliamp_raw_8", "events_in_128k", 2999),
    ],
)
def test_a_broken_budget_is_told(design, figure, value):
    broken = {name: dict(GOOD) for name in DESIGNS}
    assert flash.faults(broken) == []
    broken[design][figure] = value
    (fault,) = flash.faults(broken)
    assert design in fault and figure in fault


def test_the_document_gets_its_table_between_its_markers(tmp_path, monkeypatch):
    file = tmp_path / "flash.md"
    monkeypatch.setattr(flash, "DOCUMENT", file)
    file.write_text(f"before\n{flash.BEGIN}\nold\n{flash.END}\nafter\n")
    flash.document({name: GOOD for name in DESIGNS}, {300: 0.987})
    before, *rows, share, end, after = [line for line in file.read_text().splitlines() if line]
    assert (before, end, after) == ("before", flash.END, "after")
    assert "98.7%" in share and "old" not in file.read_text()
    rows = [row for row in rows if row.startswith("|")]
    assert len(rows) == 2 + len(DESIGNS)
    assert all(row.count("|") == 2 + len(KEYS) for row in rows)
    file.write_text("no markers")
    with pytest.raises(BuildError, match="there is no"):
        flash.document({name: GOOD for name in DESIGNS}, {})
