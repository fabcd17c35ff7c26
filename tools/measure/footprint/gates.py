"""The gates: what each board's figures may be at most, in tools/measure/budgets.toml; and what they must and shall be one day."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools import ROOT, BuildError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = ROOT / "tools" / "measure" / "budgets.toml"
_KB = 1024


@dataclass(frozen=True)
class Limit:
    """A row of the budget. `profile`: "core", "lite" or "" for every board that has the figure."""

    title: str
    figure: str
    profile: str
    must: int
    aim: int


LIMITS = (
    Limit("smallest heap, ROMFS", "min_heap_bytes", "core", 50 * _KB, 46 * _KB),
    Limit("smallest heap, frozen", "min_heap_frozen_bytes", "core", 48 * _KB, 32 * _KB),
    Limit("image without drivers", "station_bytes", "core", 80 * _KB, 64 * _KB),
    Limit("image without drivers", "station_bytes", "lite", 60 * _KB, 48 * _KB),
    Limit("longest run between two yields", "longest_run_instructions", "", 3_000_000, 1_500_000),
)

# What a figure may differ by from one machine to the next: the load shifts a wait by one step, paths and the environment
# have other lengths, and so a register or the stack still points to something else while garbage is collected, or a
# collection falls elsewhere. Image bytes and names have no such noise.
_NOISE = {  # prefix of the name: bytes, or a share of the gate in hundredths
    "import_heap_bytes": (128, 0),
    "idle_heap_mpy_bytes": (1024, 0),
    "idle_heap_": (256, 0),
    "peaks.": (256, 0),
    "largest_allocation_bytes": (256, 0),
    "simulator_heap_bytes": (256, 0),
    "min_heap_": (1024, 0),  # the step of the search
    "instructions.": (0, 10),
    "longest_run_instructions": (0, 20),  # one collection more
}
_GATED = ("image_bytes", "station_bytes", "driver_bytes", "names", *_NOISE)


def gated(figures: dict) -> "Iterator[tuple[str, int]]":
    """(name, figure) of all that has a gate; of groups like `peaks` each member, as peaks.boot."""
    for name, value in figures.items():
        if isinstance(value, dict):
            pairs = [(f"{name}.{inner}", number) for inner, number in value.items()]
        else:
            pairs = [(name, value)]
        for full, number in pairs:
            if full.startswith(_GATED):
                yield full, number


def tolerance(name: str, gate: int) -> int:
    """How far above its gate a figure is still taken for the same."""
    for prefix, (plain, share) in _NOISE.items():
        if name.startswith(prefix):
            return plain + gate * share // 100
    return 0


def read(file: Path = FILE) -> dict:
    """{board: {figure: gate}}. BuildError names what is wrong with the file."""
    try:
        boards = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BuildError(f"{file}: {error}") from None
    for board, gates in boards.items():
        if not isinstance(gates, dict):
            raise BuildError(f"{file}: {board} is no table of gates")
        for name, gate in gates.items():
            if not isinstance(gate, int) or isinstance(gate, bool) or gate < 0:
                raise BuildError(f"{file}: [{board}] {name}: a gate is a number from 0 on")
    return boards


def faults(board: str, figures: dict, gates: dict) -> "list[str]":
    """Which gates are passed, in words."""
    return [
        f"{board}: {name} is {number:,}, and its gate {gates[name]:,}: {number - gates[name]:,} too many"
        for name, number in gated(figures)
        if name in gates and number > gates[name] + tolerance(name, gates[name])
    ]


def slack(board: str, figures: dict, gates: dict) -> "list[str]":
    """Which gates can be lowered, or made, in words."""
    found = []
    for name, number in gated(figures):
        gate = gates.get(name)
        if gate is None:
            found.append(f"{board}: {name} has no gate yet: {number:,}")
        elif number + tolerance(name, gate) < gate:
            found.append(f"{board}: the gate of {name} can be lowered by {gate - number:,}")
    return found


def tighten(found: dict, file: Path = FILE) -> None:
    """Lower the gates of the measured boards to their figures, and make those that are missing."""
    boards = read(file)
    for board, figures in found.items():
        gates = boards.setdefault(board, {})
        for name, number in gated(figures):
            gates[name] = min(number, gates.get(name, number))
    head = [line for line in file.read_text().splitlines() if line.startswith("#")]
    lines = [*head]
    for board in sorted(boards):
        lines += ["", f"[{board}]"]
        for name, gate in boards[board].items():
            lines.append(f"{_key(name)} = {gate}")
    file.write_text("\n".join(lines) + "\n")


def _key(name: str) -> str:
    return f'"{name}"' if "." in name else name
