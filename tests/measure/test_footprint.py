"""The footprint: gates hold, what is measured repeats, and a heap that is too small is found out."""

from concurrent.futures import Future
from functools import partial

import pytest

from hostsim.charger import debian
from hostsim.charger.lane32 import lane32
from hostsim.clock.virtual import run
from tools import BuildError, builder
from tools.measure.footprint import (
    gates,
    image,
    instructions,
    memory,
    modules,
    report,
    scenarios,
    valgrind,
)

FIGURES = {
    "image_bytes": 1000,
    "station_bytes": 800,
    "idle_heap_bytes": 5000,
    "peaks": {"boot": 6000},
    "longest_run_instructions": 2_000_000,
    "longest_run_in": "boot",
    "longest_runs": {"boot": 2_000_000},
    "blocks": {"core": 900},
}
GATES = {
    "image_bytes": 1000,
    "station_bytes": 800,
    "idle_heap_bytes": 5000,
    "peaks.boot": 6000,
    "longest_run_instructions": 2_000_000,
}
needs_lane = pytest.mark.skipif(lane32(fetch=False) is None, reason="there is no 32-bit lane here")


def test_modules_come_in_the_order_of_the_rooms():
    names = list(modules(builder.build("sim")))
    assert "main" not in names
    assert names[-1] == "board"
    assert names.index("tables") < names.index("milliamp") < names.index("transactions")


def test_drivers_are_apart_and_nothing_is_left_out():
    out = builder.build("esp32_generic")
    figures = image.measure(out)
    whole = (out / "romfs.img").stat().st_size
    assert figures["image_bytes"] == whole == figures["station_bytes"] + figures["driver_bytes"]
    assert figures["driver_bytes"] == figures["blocks"]["board"] > 0
    overhead = whole - sum(figures["blocks"].values())
    assert 0 < overhead < 40 * len(builder.homes(out)) + 100  # the names of the files


# --- gates -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name, gate, passed",
    [
        ("image_bytes", 1000, False),
        ("image_bytes", 999, True),
        ("idle_heap_bytes", 4744, False),
        ("idle_heap_bytes", 4743, True),
        ("peaks.boot", 5744, False),
        ("peaks.boot", 5743, True),
        ("longest_run_instructions", 1_666_667, False),
        ("longest_run_instructions", 1_666_666, True),
    ],
)
def test_a_gate_is_passed_beyond_what_is_noise(name, gate, passed):
    found = gates.faults("sim", FIGURES, GATES | {name: gate})
    assert bool(found) is passed
    if passed:
        assert found[0].startswith(f"sim: {name} is ") and f"its gate {gate:,}: " in found[0]


def test_what_has_no_gate_passes_and_is_told():
    assert gates.faults("sim", FIGURES, {}) == []
    told = gates.slack("sim", FIGURES, {})
    assert len(told) == len(GATES)
    assert "sim: image_bytes has no gate yet: 1,000" in told


def test_a_gate_that_can_be_lowered_is_told():
    told = gates.slack("sim", FIGURES, GATES | {"image_bytes": 1300})
    assert told == ["sim: the gate of image_bytes can be lowered by 300"]


def test_tightening_lowers_makes_and_never_raises(tmp_path):
    file = tmp_path / "budgets.toml"
    file.write_text(
        "# Why.\n\n[other]\nimage_bytes = 7\n\n[sim]\nimage_bytes = 900\nidle_heap_bytes = 9000\n"
    )
    gates.tighten({"sim": FIGURES}, file)
    assert gates.read(file) == {
        "other": {"image_bytes": 7},
        "sim": GATES | {"image_bytes": 900},
    }
    assert file.read_text().startswith("# Why.\n")
    before = file.read_text()
    gates.tighten({"sim": FIGURES}, file)
    assert file.read_text() == before


@pytest.mark.parametrize(
    "text, message",
    [
        ("[sim", "budgets.toml: "),
        ("sim = 3", "sim is no table of gates"),
        ("[sim]\nimage_bytes = 1.5", "[sim] image_bytes: a gate is a number from 0 on"),
        ("[sim]\nimage_bytes = -1", "[sim] image_bytes: a gate is a number from 0 on"),
        ("[sim]\nimage_bytes = true", "[sim] image_bytes: a gate is a number from 0 on"),
    ],
)
def test_a_wrong_gate_names_its_place(tmp_path, text, message):
    file = tmp_path / "budgets.toml"
    file.write_text(text)
    with pytest.raises(BuildError) as raised:
        gates.read(file)
    assert message in str(raised.value)


def test_every_gate_of_the_project_is_of_a_board_that_there_is():
    from tools.builder import profile

    boards = set(profile.boards())
    assert {board.removesuffix("-lite") for board in gates.read()} <= boards


# --- the document ------------------------------------------------------------------------------------
def test_the_budget_says_what_is_missed():
    lines = report.budget(
        {"sim": FIGURES, "tiny": {"station_bytes": 62_000}}, {"sim": "core", "tiny": "lite"}
    )
    text = "\n".join(lines)
    assert "| image without drivers | sim | 800 | 81,920 | 65,536 | aim |" in text
    assert "| image without drivers | tiny | 62,000 | 61,440 | 49,152 | **missed** |" in text
    assert (
        "| longest run between two yields | sim | 2,000,000 | 3,000,000 | 1,500,000 | must |"
        in text
    )
    assert "| smallest heap, ROMFS | core | – |" in text


def test_the_tables_go_between_the_markers(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "DOCUMENT", tmp_path / "footprint.md")
    report.DOCUMENT.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nbehind\n")
    report.document("new")
    assert report.DOCUMENT.read_text() == f"before\n{report.BEGIN}\nnew\n{report.END}\nbehind\n"
    report.DOCUMENT.write_text("nothing")
    with pytest.raises(BuildError, match="there is no <!-- measured"):
        report.document("new")


# --- the search --------------------------------------------------------------------------------------
class _Pool:
    """Passes with so many kB or more."""

    def __init__(self, least: int):
        self.least = least

    def submit(self, function, board, heap, seed, by):
        job = Future()
        job.set_result([] if heap - 100 >= self.least * 1024 else ["too\nsmall"])
        return job


@pytest.mark.parametrize("start", [24, 40, 47, 48, 90])
def test_the_smallest_heap_is_found_from_anywhere(start):
    smallest = memory.Smallest("sim", 100, _Pool(47))
    assert smallest.search(start) == 47
    assert smallest.fault(46) == "small" and smallest.fault(47) == ""


def test_a_heap_that_is_never_enough_is_told():
    assert memory.Smallest("sim", 100, _Pool(1000)).search(60) is None


@needs_lane
def test_a_heap_that_is_too_small_does_not_pass(monkeypatch):
    assert memory.passes("sim", 96 * 1024, 0) == []
    monkeypatch.setattr(memory, "_PATIENCE", 10)  # it may also try for ever
    assert memory.passes("sim", 24 * 1024, 0)


# --- on the lane -------------------------------------------------------------------------------------
@needs_lane
def test_the_idle_heap_repeats_and_files_take_more():
    first, simulator = memory.at_rest("sim")
    assert abs(memory.idle("sim") - first) <= 128
    assert 20_000 < first < 64_000 and 1_000 < simulator < 16_000
    assert memory.idle_from_files("sim") > first + 30_000  # bytecode and texts


@needs_lane
def test_the_most_is_looked_for_at_every_step_without_holding_time():
    """The station prints its heap each time: that is nothing that virtual time would have to wait for."""
    found = memory.peaks("sim")
    rest = memory.idle("sim")
    assert set(found["peaks"]) == set(scenarios.TOUR)
    # A station that is looked at has not all of what another keeps.
    assert all(rest * 9 // 10 < peak < 64_000 for peak in found["peaks"].values())
    assert found["largest_allocation_bytes"] >= 2560  # the receive buffer


@needs_lane
def test_the_census_gives_each_byte_of_the_idle_heap_to_a_step():
    idle = memory.idle("sim")
    found = memory.census("sim", idle)
    assert sum(found.values()) == idle
    assert set(found) == set(report.CENSUS), "what is told apart has words"
    assert all(size >= 0 for size in found.values())
    assert max(found, key=found.get) == "core"
    assert found["buffers"] >= 2560 + 1024


def test_dumps_belong_to_what_was_reached(tmp_path):
    file = tmp_path / "callgrind"
    file.write_text("part: 1\ntotals: 5\nfn=(1) x\n1 5\npart: 2\ntotals: 7\n")
    counter = instructions.Counter(file)
    counter.reached("boot")
    with file.open("a") as more:
        more.write("part: 3\ntotals: 11\n")
    counter.reached("idle")
    assert counter.parts == {"boot": [5, 7], "idle": [11]}
    assert counter.total("boot") == 12


def test_without_a_lane_it_says_so(monkeypatch):
    monkeypatch.setattr(valgrind, "lane32", lambda: None)
    assert valgrind.missing.__wrapped__() == "there is no 32-bit lane"


def test_without_valgrind_it_says_so(tmp_path, monkeypatch):
    def nothing(*_):
        raise debian.Impossible("there is no apt-get")

    monkeypatch.setattr(valgrind, "lane32", lambda: ["micropython"])
    monkeypatch.setattr(debian, "unpacked", nothing)
    assert valgrind.missing.__wrapped__() == "no Valgrind: there is no apt-get"


@needs_lane
@pytest.mark.skipif(not (valgrind.FOLDER / "root").is_dir(), reason="Valgrind is not unpacked")
def test_instructions_repeat(tmp_path):
    """Of a start, step by step: nothing comes from a clock, a random id or the load of this machine."""

    def boot(name: str) -> "list[int]":
        counter = instructions.Counter(tmp_path / name)
        by = partial(valgrind.command, tmp_path / name)

        async def live():
            async with scenarios.station(
                "sim", heap=instructions.HEAP, by=by, counted=True
            ) as this:
                return await scenarios.survives(this, scenarios.boot(this))

        assert run(live()) == []
        counter.reached("boot")
        return counter.parts["boot"]

    first, second = boot("first"), boot("second")
    assert len(first) == len(second) > 20
    assert abs(sum(first) - sum(second)) < sum(first) // 10_000
    assert first[0] > 10_000_000 and max(first[2:]) < first[0]
