"""What a board's image weighs: bytes of flash by room and block, and the heap that its modules keep.

`python -m tools.footprint [BOARD ...]` prints it and writes `build/footprint.json`. The heap is measured on the 32-bit
lane, which allocates as a microcontroller does, with the image mapped as ROMFS: after importing every module, one
after the other, and a collection. A module's own figure holds what it was the first to import.
"""

import json
import subprocess
import sys

from tools import BUILD, ROOT, BuildError, build, profile
from tools.lane32 import BOOT, lane32

ROOMS = ("tables", "base", "storage", "domain", "wire", "blocks", "station")

# Runs on the lane: argv is the build folder, then the modules.
_PROBE = """
import gc, sys
_names = sys.argv[2:]
exec(open({boot!r}).read().split("del _folder")[0])
import asyncio, binascii, struct
gc.collect()
_figures = []
_before = gc.mem_alloc()
print(_before)
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
for _figure in _figures:
    print(*_figure)
"""


def modules(out) -> list:
    """The dotted modules of an image in the order of the import table, the board last, `main` left out."""
    names = {}
    for file in sorted((out / "image").rglob("*.mpy")):
        parts = file.relative_to(out / "image").with_suffix("").parts
        if parts[0] == "milliamp":
            names[".".join(parts)] = ROOMS.index(parts[1]) if parts[1] in ROOMS else len(ROOMS)
        elif parts[0] == "tables":
            names[".".join(parts)] = 0
        elif parts == ("board",):
            names["board"] = len(ROOMS) + 1
    return sorted(names, key=lambda name: (names[name], name))


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
    for line in lines[1:-1]:
        name, size, fault = line.split(" ", 2)
        if name == "board" and fault:
            continue  # drivers of real hardware do not load here
        if fault:
            raise BuildError(f"{name} does not load on the 32-bit lane: {fault}")
        figures[name] = int(size)
    return {"interpreter": int(lines[0]), "modules": figures, "total": sum(figures.values())}


def measure(board: str) -> dict:
    """The figures of one board, in bytes."""
    out = build.build(board)
    return {
        "image": (out / "romfs.img").stat().st_size,
        "flash": build.sizes(out),
        "heap": heap(out),
    }


def show(board: str, figures: dict) -> None:
    """Print one board's figures as a table, the heaviest first."""
    print(f"\n{board}: image {figures['image']:,} bytes")
    kept = {}
    if figures["heap"]:
        print(
            f"heap kept by all its modules: {figures['heap']['total']:,} bytes (32-bit, mapped ROMFS)"
        )
        for name, size in figures["heap"]["modules"].items():
            parts = name.split(".")
            if parts == ["board"]:
                room = "board"
            elif parts[0] == "tables" or parts[1] == "blocks":
                room = "/".join(parts[-2:])
            else:
                room = parts[1] if len(parts) > 2 else "station"
            kept[room] = kept.get(room, 0) + size
    print("   flash    heap")
    for room, size in sorted(figures["flash"].items(), key=lambda item: -item[1]):
        print(f"{size:8,}{f'{kept[room]:,}' if room in kept else '-':>8}  {room}")


def main(argv=None) -> int:
    """Measure the named boards, all when none is named."""
    found = {}
    try:
        for board in (sys.argv[1:] if argv is None else argv) or profile.boards():
            found[board] = measure(board)
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
