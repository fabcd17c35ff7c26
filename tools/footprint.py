"""What a board's image weighs: bytes of flash by room and block, and the heap that its modules keep.

`python -m tools.footprint [BOARD ...]` prints it and writes `build/footprint.json`. The heap is measured on the 32-bit
lane, which allocates as a microcontroller does, with the image mapped as ROMFS: after importing every module, one
after the other, and a collection. A module's own figure holds what it was the first to import. Names are what the
image adds to the interpreter's table of them: its parts hold 20, 40, 80, 160, 320, ... and are allocated whole.

A board that runs in the simulator is also measured at work: registered and idle. `--bisect` looks for the smallest
heap with which the bundled scenario passes, which takes a minute.
"""

import argparse
import asyncio
import json
import subprocess
import sys

from tools import BOARDS, BUILD, ROOT, BuildError, build, profile
from tools.lane32 import BOOT, lane32

ROOMS = ("tables", "core", "base", "storage", "domain", "wire", "blocks", "station")
_LEAST, _MOST = 24, 128  # kB of heap that the search tries
_SEEDS = (1, 2, 3)  # of the scenario that must pass with the heap that is found

# Runs on the lane: argv is the build folder, then the modules.
_PROBE = """
import gc, micropython, sys
_names = sys.argv[2:]
exec(open({boot!r}).read().split("del main")[0])
import asyncio, binascii, struct
gc.collect()
_figures = []
_before = gc.mem_alloc()
print(_before)
micropython.qstr_info()
for _name in _names:
    try:
        __import__(_name)
        _fault = ""
    except Exception as error:
        _fault = repr(error)
    gc.collect()
    _now = gc.mem_alloc()
    _figures.append((_name, _now - _before, _fault))
    _before = _now
micropython.qstr_info()
for _figure in _figures:
    print(*_figure)
"""


def modules(out) -> dict:
    """{dotted module: room} of an image in the order of the import table, the board last, `main` and drivers left out."""
    found = {}
    for name, path in build.homes(out).items():
        if path.startswith(("milliamp/", "tables/")) or path == "board":
            found[name.removesuffix("/__init__").replace("/", ".")] = build.room(path)
    rank = (*ROOMS, "board")
    return dict(sorted(found.items(), key=lambda item: (rank.index(item[1].split("/")[0]), item)))


def heap(out) -> "dict | None":
    """Heap bytes that importing the image keeps, in all and by module; None without a 32-bit lane."""
    start = lane32()
    if start is None:
        return None
    script = BUILD / "probe.py"
    script.write_text(_PROBE.format(boot=str(BOOT)))
    run = subprocess.run(
        [*start, "-X", "heapsize=256k", str(script), str(out), *modules(out)],
        capture_output=True,
        text=True,
    )
    lines = run.stdout.split("\n")
    if run.returncode or len(lines) < 3:
        raise BuildError(
            f"the image does not load on the 32-bit lane: {run.stderr.strip() or run.stdout.strip()}"
        )
    figures = {}
    rooms = modules(out)
    names = [line for line in lines if line.startswith("qstr pool")]
    before, after = (int(line.split("n_qstr=")[1].split(",")[0]) for line in names)
    for line in lines[1:-1]:
        if line in names:
            continue
        name, size, fault = line.split(" ", 2)
        if name == "board" and fault:
            continue  # drivers of real hardware do not load here
        if fault:
            raise BuildError(f"{name} does not load on the 32-bit lane: {fault}")
        figures[name] = int(size)
    return {
        "interpreter": int(lines[0]),
        "names": after - before,
        "modules": figures,
        "rooms": rooms,
        "total": sum(figures.values()),
    }


def runs_here(board: str) -> bool:
    """Is it a board of the simulator, and is there a 32-bit lane?"""
    return (BOARDS / board / "probe.py").is_file() and lane32() is not None


def idle(board: str) -> int:
    """Live bytes on the heap of a station that is registered and idle, the simulator's own left out."""
    from hostsim.harness import rig

    async def run():
        async with rig(board=board, lane=32, speed=40) as this:
            await this.booted()
            await this.drained()
            figures = await this.station.heap()
            return figures["live"] - figures["board"]

    return asyncio.run(run())


def smallest() -> int:
    """The smallest heap in kB with which the bundled scenario passes, by bisection."""

    def passes(size: int, seed: int) -> bool:
        command = [sys.executable, "-m", "hostsim", "run", "--lane", "32", "--heap", f"{size}k"]
        try:
            run = subprocess.run(
                [*command, "--speed", "40", "--seed", str(seed)],
                cwd=ROOT,
                capture_output=True,
                timeout=60,
            )
        except subprocess.TimeoutExpired:
            return False
        return run.returncode == 0

    low, high = _LEAST, _MOST
    while low < high:
        middle = (low + high) // 2
        if passes(middle, _SEEDS[0]):
            high = middle
        else:
            low = middle + 1
    while low < _MOST and not all(passes(low, seed) for seed in _SEEDS[1:]):
        low += 1
    return low


def measure(board: str, bisect: bool = False) -> dict:
    """The figures of one board, in bytes."""
    out = build.build(board)
    figures = {
        "image": (out / "romfs.img").stat().st_size,
        "flash": build.sizes(out),
        "heap": heap(out),
    }
    if runs_here(board):
        figures["idle"] = idle(board)
        if bisect:
            figures["smallest"] = smallest() * 1024
    return figures


def show(board: str, figures: dict) -> None:
    """Print one board's figures as a table, the heaviest first."""
    print(f"\n{board}: image {figures['image']:,} bytes")
    kept = {}
    if figures["heap"]:
        print(
            f"heap kept by all its modules: {figures['heap']['total']:,} bytes (32-bit, mapped ROMFS), "
            f"{figures['heap']['names']} names"
        )
        for name, size in figures["heap"]["modules"].items():
            room = figures["heap"]["rooms"][name]
            kept[room] = kept.get(room, 0) + size
    if "idle" in figures:
        print(f"heap of the idle station: {figures['idle']:,} bytes")
    if "smallest" in figures:
        print(f"smallest heap with which the scenario passes: {figures['smallest']:,} bytes")
    print("   flash    heap")
    for room, size in sorted(figures["flash"].items(), key=lambda item: -item[1]):
        print(f"{size:8,}{f'{kept[room]:,}' if room in kept else '-':>8}  {room}")


def main(argv=None) -> int:
    """Measure the named boards, all when none is named."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.footprint", description="What a board's image weighs."
    )
    parser.add_argument("board", nargs="*", help="a folder of boards/; all when none is named")
    parser.add_argument(
        "--bisect", action="store_true", help="also find the smallest heap that will do"
    )
    given = parser.parse_args(argv)
    found = {}
    try:
        for board in given.board or profile.boards():
            found[board] = measure(board, given.bisect)
            show(board, found[board])
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    file = BUILD / "footprint.json"
    file.write_text(json.dumps(found, indent=1) + "\n")
    print(f"\nwritten to {file.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
