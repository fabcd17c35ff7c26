"""The station frozen into MicroPython, for the 32-bit unix port: where the user names a checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools import BUILD, BuildError


def missing() -> str:
    """Why it cannot be built here; "" when it can be tried."""
    if not os.environ.get("MICROPYTHON"):
        return "no MicroPython sources are named (MICROPYTHON=<folder>)"
    if shutil.which("gcc") is None:
        return "there is no gcc"
    check = ["gcc", "-m32", "-x", "c", "-", "-o", os.devnull]
    done = subprocess.run(
        check, input="#include <stdio.h>\nint main(){}", capture_output=True, text=True
    )
    return "gcc has no 32-bit libraries (Debian, Ubuntu: gcc-multilib)" if done.returncode else ""


def program(board: str) -> Path:
    """Build it. BuildError says why not."""
    command = [sys.executable, "-m", "tools.flashing.firmware", board, "--bits", "32"]
    done = subprocess.run(command, capture_output=True, text=True)
    file = BUILD / board / "firmware" / "micropython"
    if done.returncode or not file.is_file():
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise BuildError(f"{board}, frozen: {lines[-1] if lines else 'no program came out'}")
    return file


def command(file: Path, folder: Path, heap: "str | None" = None) -> list:
    """What starts the station that is frozen into `file`."""
    limit = ["-X", f"heapsize={heap}"] if heap else []
    return [str(file), *limit, "-c", "import sys\nsys.path[:] = ['.frozen']\nimport main"]
