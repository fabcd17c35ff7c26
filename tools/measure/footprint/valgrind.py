"""Callgrind for the 32-bit lane: counts the instructions of an unmodified MicroPython.

Debian's own package is unpacked under `build/valgrind`: older ones than 3.24, which machines still have, die of the
lane's C library.
"""

import functools
import sys
from pathlib import Path

from hostsim.charger import debian
from hostsim.charger.lane32 import BOOT, lane32
from tools import BUILD

FOLDER = BUILD / "valgrind"
PACKAGES = ["valgrind"]
SPY = Path(__file__).parent / "spy.py"
_TOOLS = FOLDER / "root" / "usr" / "libexec" / "valgrind"
_PROGRAM = _TOOLS / "callgrind-x86-linux"


@functools.cache
def missing() -> str:
    """Why instructions cannot be counted here; "" when they can. Fetches what is needed."""
    if lane32() is None:
        return "there is no 32-bit lane"
    try:
        debian.unpacked(FOLDER, PACKAGES, _say, _PROGRAM.is_file)
    except debian.Impossible as reason:
        return f"no Valgrind: {reason}"
    return "" if _PROGRAM.is_file() else "no Valgrind: the unpacked package is another one"


def command(counts: Path, folder: Path, heap: "str | None" = None) -> list:
    """What starts the firmware built in `folder` with a dump of each step appended to `counts`."""
    return [
        "/usr/bin/env",
        f"VALGRIND_LIB={_TOOLS}",
        f"VALGRIND_LAUNCHER={_PROGRAM}",
        str(_PROGRAM),
        "--tool=callgrind",
        "--quiet",
        "--combine-dumps=yes",
        "--compress-strings=yes",
        f"--callgrind-out-file={counts}",
        *lane32(),
        *(["-X", f"heapsize={heap}"] if heap else []),
        str(SPY),
        "steps",
        str(BOOT),
        str(folder),
    ]


def _say(text: str) -> None:
    print(f"valgrind: {text}", file=sys.stderr, flush=True)
