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

from hostsim.charger.lane32 import lane32
from tools import FIRMWARE, ROOT
from tools.builder.passes import fold

MICROPYTHON = shutil.which(
    "micropython", path=os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", "")
)
LIFE = Path(__file__).with_name("life.py")
MOUNT = Path(__file__).with_name("mount.py")


def run(command, script, folder, heap):
    """What a script prints that needs the storage and the model of a chip."""
    sources = [*(FIRMWARE / "milliamp" / "storage").glob("*.py")]
    sources += [
        FIRMWARE / "milliamp" / "base" / name for name in ("__init__.py", "packing.py", "rare.py")
    ]
    for source in sources:
        target = folder / source.relative_to(FIRMWARE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(fold.prepare(source))
    shutil.copy(FIRMWARE / "milliamp" / "__init__.py", folder / "milliamp")
    (folder / "hostsim" / "charger").mkdir(parents=True)
    (folder / "hostsim" / "__init__.py").touch()
    (folder / "hostsim" / "charger" / "__init__.py").touch()
    shutil.copy(ROOT / "hostsim" / "charger" / "flash.py", folder / "hostsim" / "charger")
    done = subprocess.run(
        [*command, "-X", f"heapsize={heap}", str(script)],
        env={**os.environ, "MICROPYPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr + done.stdout[-2000:]
    return done.stdout


@pytest.mark.skipif(not MICROPYTHON, reason="no micropython on the PATH")
def test_the_same_life_in_both_interpreters(tmp_path):
    there = run([MICROPYTHON], LIFE, tmp_path, "256k")
    with contextlib.redirect_stdout(io.StringIO()) as here:
        runpy.run_path(str(LIFE))
    assert there == here.getvalue()


def test_what_mounting_a_thousand_events_takes(tmp_path):
    """128 kB of flash: under 8 kB are read, and under 1 kB of heap is needed beyond the journal itself."""
    command = lane32(fetch=False)
    if command is None:
        pytest.skip("no 32-bit lane")
    figures = [line.split() for line in run(command, MOUNT, tmp_path, "700k").splitlines()]
    assert [int(unit) for unit, *_ in figures] == [1, 8, 16, 32]
    for _, read, kept, room in figures:
        assert int(read) < 8192
        assert int(kept) <= 832  # bytes: the journal, with 32 sectors
        assert int(room) <= 960  # the holes in the heap included
