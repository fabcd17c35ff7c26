"""`python -m tools.measure.footprint [BOARD ...]`: what a board weighs, against its gates.

Prints the figures, writes build/footprint.json and, when all boards were measured, docs/footprint.md. It fails when a
figure passes its gate in tools/measure/budgets.toml. What this machine cannot measure is skipped, and said.
"""

import argparse
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tools import BUILD, ROOT, BuildError, builder
from tools.builder import profile
from tools.measure import trim
from tools.measure.footprint import (
    frozen,
    gates,
    image,
    instructions,
    memory,
    passes,
    report,
    valgrind,
)

RESULTS = BUILD / "footprint.json"
_FROZEN = "idle_heap_frozen_bytes", "min_heap_frozen_bytes"
_LITE = "-lite"  # behind a board's name: the least that works on it, of which only the image is measured
_LITES = ("sim", "esp32_generic")
_FIRST = 64  # kB: where the search for the smallest heap begins when there is no gate


def measure(board: str, gate: dict, given, pool: ProcessPoolExecutor) -> dict:
    """The figures of one board; `gate`: those it has; `given`: what was asked for. See `report` for what they are."""
    out = builder.build(_folder(board))
    figures = image.measure(out)
    if imported := memory.heap(out):
        figures["import_heap_bytes"] = imported["total"]
        figures["names"] = imported["names"]
        blocks: dict[str, int] = {}
        for name, size in imported["modules"].items():
            room = imported["rooms"][name]
            blocks[room] = blocks.get(room, 0) + size
        figures["import_heap_blocks"] = blocks
    else:
        report.say(f"{board}: heap and instructions are skipped: there is no 32-bit lane")
    if not board.endswith(_LITE) and memory.runs_here(board):
        alive = _lives if given.quick else _alive
        figures |= alive(board, gate, given.search, pool)
    return figures


def _folder(board: str) -> str:
    """A board, or the folder of what is left of it when everything is taken out that may be."""
    name = board.removesuffix(_LITE)
    return board if name == board else str(trim.trimmed(name, trim.minimum(name), "minimum"))


def _boards() -> "list[str]":
    """All that are measured when none is named."""
    return sorted([*profile.boards(), *(name + _LITE for name in _LITES)])


def _lives(board: str, gate: dict, search: bool, pool: ProcessPoolExecutor) -> dict:
    """Only whether a station lives through everything in the smallest heap."""
    _, virtual = memory.at_rest(board)
    smallest = memory.Smallest(board, virtual - memory.simulator(board), pool)
    return {"min_heap_bytes": _smallest(board, gate.get("min_heap_bytes"), search, smallest)}


def _alive(board: str, gate: dict, search: bool, pool: ProcessPoolExecutor) -> dict:
    """What is measured of a station that runs. The frozen one's figures are as they were last when it is skipped."""
    figures: dict = {}
    counted = None
    if reason := valgrind.missing():
        report.say(f"{board}: instructions are skipped: {reason}")
    else:
        counted = pool.submit(instructions.measure, board)
    peaks = pool.submit(memory.peaks, board)
    figures["idle_heap_bytes"], virtual = memory.at_rest(board)
    figures["census"] = memory.census(board, figures["idle_heap_bytes"])
    figures["idle_heap_mpy_bytes"] = memory.idle_from_files(board)
    figures["simulator_heap_bytes"] = memory.simulator(board)
    figures |= peaks.result()
    spare = virtual - figures["simulator_heap_bytes"]
    smallest = memory.Smallest(board, spare, pool)
    figures["min_heap_bytes"] = _smallest(board, gate.get("min_heap_bytes"), search, smallest)
    if reason := frozen.missing():
        report.say(f"{board}: the frozen station is skipped: {reason}")
        figures |= {name: gate[name] for name in _FROZEN if name in gate}
    else:
        by = partial(frozen.command, frozen.program(board))
        smallest = memory.Smallest(board, spare, pool, by)
        least = _smallest(board, gate.get("min_heap_frozen_bytes"), search, smallest)
        figures |= dict(zip(_FROZEN, (memory.at_rest(board, by)[0], least)))
    if counted:
        figures |= counted.result()
    return figures


def _smallest(board: str, gate: "int | None", search: bool, smallest: memory.Smallest) -> int:
    """With a gate: whether that will do, and no search unless asked for."""
    size = gate // 1024 if gate else _FIRST
    if gate and not search:
        fault = smallest.fault(size)
        if not fault:
            return gate
        report.say(f"{board}: a heap of {size} kB is too small: {fault}")
    found = smallest.search(size + bool(gate and not search))
    if found is None:
        raise BuildError(f"{board}: a heap of {memory.MOST} kB is too small")
    return found * 1024


def _profile(board: str) -> str:
    """Core, or lite: of the latter nothing can be written."""
    return "lite" if profile.load(_folder(board)).writable == "none" else "core"


def _print(board: str, figures: dict) -> None:
    print(f"\n{board}")
    for name, value in figures.items():
        if isinstance(value, dict):
            print(f"  {name}")
            for inner, number in sorted(value.items(), key=lambda item: -item[1]):
                print(f"    {number:12,}  {inner}")
        else:
            print(f"  {value:14,}  {name}" if isinstance(value, int) else f"  {value:>14}  {name}")


def run(given) -> int:
    """Measure, tell, and return the exit code."""
    began = time.monotonic()
    held = gates.read()
    boards = _boards()
    chosen = given.board or boards
    found: dict[str, dict] = {}
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        for board in chosen:
            found[board] = measure(board, held.get(board, {}), given, pool)
            _print(board, found[board])
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    complete = set(chosen) == set(boards) and all(
        "instructions" in found[board] for board in chosen if memory.runs_here(board)
    )
    if complete and any("instructions" in figures for figures in found.values()):
        report.document(report.tables(found, {board: _profile(board) for board in found}))
    print(f"\nwritten to {RESULTS.relative_to(ROOT)}, in {time.monotonic() - began:.0f} s")
    faults, slack = [], []
    for board, figures in found.items():
        faults += gates.faults(board, figures, held.get(board, {}))
        slack += gates.slack(board, figures, held.get(board, {}))
    if given.tighten:
        gates.tighten(found)
        print(f"{gates.FILE.relative_to(ROOT)}: {len(slack)} gates lowered or made")
    elif slack:
        print("\n".join([*slack, "--tighten does it"]))
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def buys() -> int:
    """Measure what each pass buys, on the simulator's board and on the least that works there."""
    found = passes.measure({board: _folder(board) for board in ("sim", "sim" + _LITE)})
    text = passes.table(found)
    print(text)
    passes.document(text)
    return 0


def main(argv=None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.measure.footprint",
        description="What a board weighs, against its gates.",
    )
    parser.add_argument(
        "board",
        nargs="*",
        help="a folder of boards/, with -lite behind it the least that works; all when none is named",
    )
    parser.add_argument(
        "--search", action="store_true", help="look for a smaller heap than the gate's, kB by kB"
    )
    parser.add_argument(
        "--tighten", action="store_true", help="lower the gates to what was measured"
    )
    parser.add_argument(
        "--passes",
        action="store_true",
        help="what each pass of the build buys, into docs/footprint.md; nothing else is measured",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="only image, import heap and whether the smallest heap is enough: no instructions, no page is written",
    )
    try:
        given = parser.parse_args(argv)
        return buys() if given.passes else run(given)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
