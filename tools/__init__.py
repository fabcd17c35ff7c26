"""The commands that the Makefile calls: `builder` makes what is flashed, `flashing` brings it onto a board, `measure` says
what it costs. `tests/test_house.py` has which of them may import which."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRMWARE = ROOT / "firmware"
BOARDS = ROOT / "boards"
BUILD = ROOT / "build"


class BuildError(Exception):
    """What is wrong with the input of a tool, one line a fault: where it is and what to do."""
