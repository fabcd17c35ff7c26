"""`make baremetal`: what it asks for is said; the rest of it where a MicroPython checkout is named in the environment."""

import os

import pytest

from tools import builder
from tools.builder import profile
from tools.measure import baremetal
from tools.measure.baremetal import __main__ as command
from tools.measure.baremetal import scenario

SOURCES = os.environ.get("MICROPYTHON")
GIVEN = {"flash": 190_000, "frozen": 100_000, "static": 500, "stack": 4_500, "heap": 43_008}


def programs(folder, *names):
    """A folder with programs of those names, as a search path."""
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return str(folder)


def test_sources_are_asked_for():
    assert "MICROPYTHON=<folder>" in baremetal.missing(None)


@pytest.mark.parametrize(
    "there, lacks",
    [((), "arm-none-eabi-gcc"), (("arm-none-eabi-gcc",), "qemu-system-arm")],
)
def test_a_program_that_is_missing_is_named(there, lacks, tmp_path):
    reason = baremetal.missing("/sources", path=programs(tmp_path, *there))
    assert reason.startswith(f"there is no {lacks}: install ")


def test_nothing_is_missing(tmp_path):
    path = programs(tmp_path, "arm-none-eabi-gcc", "qemu-system-arm")
    assert baremetal.missing("/sources", path=path) == ""


def test_what_is_missing_is_no_failure(capsys, monkeypatch):
    monkeypatch.delenv("MICROPYTHON", raising=False)
    assert command.main([]) == 0
    assert capsys.readouterr().out.startswith("skipped: no MicroPython sources")


def test_a_folder_of_something_else_is_a_failure(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(baremetal, "missing", lambda place: "")
    assert command.main(["--micropython", str(tmp_path)]) == 1
    assert "no MicroPython sources" in capsys.readouterr().err


@pytest.mark.parametrize("text, number", [("48k", 49_152), ("48K", 49_152), ("49152", 49_152)])
def test_a_size(text, number):
    assert command.size(text) == number


@pytest.mark.parametrize("text", ["", "k", "much", "-1k"])
def test_no_size(text, capsys):
    with pytest.raises(SystemExit):
        command.main([f"--heap={text}"])
    assert "is not a size such as 48k" in capsys.readouterr().err


@pytest.mark.parametrize("enough", [43, 61, 96])
def test_the_smallest_heap_is_found(enough, monkeypatch):
    def play(file, heap):
        return ([] if heap >= enough * 1024 else ["MemoryError"]), {"live": heap}

    monkeypatch.setattr(scenario, "play", play)
    assert command.smallest(None) == (enough, {"live": enough * 1024})


def test_a_heap_that_passes_only_sometimes_is_too_small(monkeypatch):
    tries = []

    def play(file, heap):
        tries.append(heap)
        lucky = heap == 40 * 1024 and tries.count(heap) == 1
        return ([] if heap > 40 * 1024 or lucky else ["MemoryError"]), {"live": heap}

    monkeypatch.setattr(scenario, "play", play)
    assert command.smallest(None)[0] == 41


def test_the_table_adds_up():
    found = GIVEN | {"live": 39_000, "micropython": "1.29"}
    text = "\n".join(command.table(found, "heap"))
    assert "| **RAM** | 48,008 | 51,200 |" in text
    assert "| interpreter, port | 90,000 |" in text


def test_the_document_has_a_place_for_it():
    text = command.DOCUMENT.read_text()
    assert text.index(command._BEGIN) < text.index(command._END)


def test_its_board_builds():
    chosen = profile.load(str(baremetal.BOARD))
    assert chosen.writable == "core"
    out = builder.build(str(baremetal.BOARD), frozen=True)
    assert "extmod/asyncio" in (baremetal.BOARD / "manifest.py").read_text()
    assert str(baremetal.BOARD / "manifest.py") in (out / "manifest.py").read_text()


@pytest.mark.skipif(
    bool(baremetal.missing(SOURCES)), reason=baremetal.missing(SOURCES) or "nothing is missing"
)
def test_it_charges_a_car_on_the_bare_metal():
    file = baremetal.image(baremetal.firmware.checked(SOURCES))
    sizes = baremetal.sizes(file)
    assert sizes["flash"] < 200 * 1024 and sizes["static"] < 1024
    faults, figures = scenario.play(file, 48 * 1024)
    assert faults == []
    assert figures["pending"] == 0 and figures["live"] < 44 * 1024 and figures["stack"] < 6 * 1024
    faults, figures = scenario.play(file, 24 * 1024)
    assert "MemoryError" in faults[0] or faults[0].startswith("Traceback")
    assert not figures
