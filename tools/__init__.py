"""Build, footprint and code generation: the small commands that the Makefile calls."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRMWARE = ROOT / "firmware"
BOARDS = ROOT / "boards"
BUILD = ROOT / "build"


class BuildError(Exception):
    """What is wrong with the input of a tool, one line a fault: where it is and what to do."""
