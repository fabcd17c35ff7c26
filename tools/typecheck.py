"""mypy of the firmware against MicroPython's stubs: `python -m tools.typecheck`.

Names, attributes and arguments are checked against what MicroPython has, not CPython; `pyproject.toml` has the
settings. It runs once for each board, with the board's drivers and its generated tables.
"""

import os
import subprocess
import sys

from tools import BOARDS, FIRMWARE, ROOT, BuildError, builder
from tools.builder import profile
from tools.builder.profile import hardware


def main() -> int:
    """1 when mypy finds something; its messages go to the terminal."""
    failed = False
    for board in profile.boards():
        try:
            tables = builder.build_tables(board)
        except BuildError as error:
            print(error, file=sys.stderr)
            return 1
        print(f"mypy, {board}: ", end="", flush=True)
        place = BOARDS / board
        paths = os.pathsep.join(map(str, (place, hardware.DRIVERS, tables)))
        own = [file for file in sorted(place.glob("*.py")) if file.name != "manifest.py"]
        files = [FIRMWARE, *own, *hardware.drivers(place).values()]
        run = subprocess.run(
            [
                sys.executable,
                "-m",
                "mypy",
                "--cache-dir",
                f".mypy_cache/{board}",
                *map(str, files),
            ],
            cwd=ROOT,
            env={**os.environ, "MYPYPATH": paths},
        )
        failed |= bool(run.returncode)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
