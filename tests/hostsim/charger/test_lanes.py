"""The lanes: which MicroPython runs the firmware, and what is said when there is none."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hostsim.charger import lane32
from tools import ROOT


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\x00\x03\x00", True),
        (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x3e\x00", False),
        (b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\x00\x28\x00", False),  # ARM
        (b"#!/usr/bin/python3\n# a script", False),
        (b"", False),
    ],
)
def test_a_32_bit_program_is_told_by_its_head(tmp_path, head, expected):
    program = tmp_path / "micropython"
    program.write_bytes(head)
    assert lane32.is_32_bit(program) is expected


def test_without_apt_it_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lane32, "FOLDER", tmp_path / "lane32")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert lane32.lane32.__wrapped__() is None
    assert "apt install micropython:i386" in capsys.readouterr().err


def test_it_is_not_fetched_unasked(tmp_path, monkeypatch):
    monkeypatch.setattr(lane32, "FOLDER", tmp_path / "lane32")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert lane32.lane32.__wrapped__(fetch=False) is None
    assert not (tmp_path / "lane32").exists()


def test_the_heap_is_what_was_asked_for(tmp_path):
    command = lane32.command(64, tmp_path, "64k")
    assert command[-4:] == ["-X", "heapsize=64k", str(lane32.BOOT), str(tmp_path)]
    assert "-X" not in lane32.command(64, tmp_path)
    look = [
        *lane32.lane64(),
        "-X",
        "heapsize=64k",
        "-c",
        "import gc; print(gc.mem_free() + gc.mem_alloc())",
    ]
    heap = int(subprocess.run(look, capture_output=True, text=True).stdout)
    assert 60_000 < heap <= 64 * 1024


def test_the_firmware_gets_its_arguments(tmp_path):
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "main.py").write_text("import sys\nprint(sys.argv[1:])\n")
    start = [*lane32.command(64, tmp_path), "7", "x"]
    assert subprocess.run(start, capture_output=True, text=True).stdout == "['7', 'x']\n"


def test_make_lists_every_target():
    makefile = (ROOT / "Makefile").read_text()
    listed = subprocess.run(
        ["make", "-C", ROOT, "--no-print-directory"], capture_output=True, text=True
    ).stdout
    targets = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[0].split()
    for target in targets:
        assert re.search(rf"^  make {target} +\S", listed, re.MULTILINE), target


def test_setup_says_what_is_missing():
    """An interpreter that is too old, or none at all."""
    setup = subprocess.run(
        ["sh", ROOT / "tools" / "setup.sh"],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "PYTHON": "/no/such/python"},
    )
    assert setup.returncode == 1
    assert "Python 3.10 or newer is missing" in setup.stderr


def test_tools_say_what_to_do_about_a_wrong_board():
    for tool in ("tools.builder", "tools.builder.profile", "tools.measure.footprint"):
        run = subprocess.run(
            [sys.executable, "-m", tool, "esp33"], cwd=ROOT, capture_output=True, text=True
        )
        assert run.returncode == 1
        assert (
            run.stderr
            == "unknown board 'esp33': there are esp32_c3, esp32_generic, esp32_s3, sim, stm32_nucleo_h743\n"
        )


def test_nothing_of_this_machine_is_in_the_tools():
    for file in [*Path(ROOT, "tools").iterdir(), ROOT / "Makefile", ROOT / "pyproject.toml"]:
        if file.is_file():
            assert not re.search(r"https?://", file.read_text()), file
