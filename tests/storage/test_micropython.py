"""Journal and settings do the same, byte by byte, under MicroPython as under CPython."""

import contextlib
import io
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import FIRMWARE, ROOT, prepare

MICROPYTHON = shutil.which(
    "micropython", path=os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", "")
)
LIFE = Path(__file__).with_name("life.py")


@pytest.mark.skipif(not MICROPYTHON, reason="no micropython on the PATH")
def test_the_same_life_in_both_interpreters(tmp_path):
    for source in (FIRMWARE / "milliamp" / "storage").glob("*.py"):
        target = tmp_path / source.relative_to(FIRMWARE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(prepare.prepare(source))
    shutil.copy(FIRMWARE / "milliamp" / "__init__.py", tmp_path / "milliamp")
    (tmp_path / "hostsim").mkdir()
    (tmp_path / "hostsim" / "__init__.py").touch()
    shutil.copy(ROOT / "hostsim" / "flash.py", tmp_path / "hostsim")
    there = subprocess.run(
        [MICROPYTHON, "-X", "heapsize=256k", str(LIFE)],
        env={"MICROPYPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert there.returncode == 0, there.stderr + there.stdout[-2000:]
    with contextlib.redirect_stdout(io.StringIO()) as here:
        runpy.run_path(str(LIFE))
    assert there.stdout == here.getvalue()
