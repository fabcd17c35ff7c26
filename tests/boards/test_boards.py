"""Every board: its drivers, its profile and its files, through one charge on a modelled chip."""

import json
import re

import pytest

from tools import BOARDS, ROOT, builder
from tools.builder import profile as profiles
from tools.builder.profile import hardware, pinout
from tools.builder.profile.chips import CHIPS

from .bench import Charger, chip_of, imported, tables, wire
from .esp32 import Bus, Card

REAL = [board for board in profiles.boards() if profiles.load(board).chip]
GUIDE = (ROOT / "docs" / "boards.md").read_text()


@pytest.fixture(params=REAL)
def charger(request):
    board = request.param
    chip = wire(chip_of(board), board)
    if hasattr(chip, "buses"):
        chip.buses[4] = Bus(chip)
    with imported(chip, board) as modules:
        yield Charger(chip, modules, tables(board))


def test_a_charge_on_every_board(charger):
    chip, board, pins = charger.chip, charger.board, charger.profile.PINS
    modbus = bool(charger.profile.MODBUS)
    assert board.fault(1) is None and board.cable(1) == 0 and not charger.live
    before = board.energy(1)
    assert before == (1234567 if modbus else 0)
    chip.reader.cards = [Card("04A1B2C3")]
    assert charger.cards(1000) == [("04A1B2C3", "ISO14443", 0)]
    assert charger.locks()
    board.indicate(1, 1)
    charger.charge()
    assert charger.live and charger.pilot == "C" and board.cable(1) == 1
    assert board.measure(1, "Current.Offered", 0) == 16000
    chip.slave.set(energy=before + 30, power=11000, current=(16000, 15900, 15800))
    for _ in range(0 if modbus else 30):
        chip.pulse(pins["meter"])
    charger.run(1500)
    assert board.energy(1) == before + 30
    if modbus:
        assert board.measure(1, "Power.Active.Import", 0) == 11000
        assert [board.measure(1, "Current.Import", phase) for phase in range(4)] == [
            None,
            16000,
            15900,
            15800,
        ]
        assert board.measure(1, "Voltage", 3) == 229000
    chip.line.ev = "B"
    charger.run(75)
    assert not charger.live
    board.contactor(1, False)
    assert charger.locks(False)
    chip.levels[pins["residual_current"]] = 1
    charger.run(25)
    assert board.fault(1) == "ResidualCurrent"
    chip.levels[pins["residual_current"]] = 0
    chip.line.ev = "A"
    charger.run(200)
    assert board.fault(1) is None and board.cable(1) == 0


def test_each_duty_cycle_and_state_is_seen_on_every_board(charger):
    pilot = charger.board.outlets[0].pilot
    for milliamps in (0, 6000, 16000, 32000, 63000):
        pilot.offer(milliamps)
        for ev in "ABCEF":
            charger.chip.line.ev = ev
            for _ in range(4):
                pilot.scan()
            assert chr(pilot.state) == ev


def test_the_controller_of_every_board(charger):
    board, chip = charger.board, charger.chip
    assert board.reset_cause() == "PowerUp"
    chip.cause = 3
    assert board.reset_cause() == "Watchdog"
    board.watchdog()
    assert chip.watchdog == 30000
    assert charger.profile.SERIAL == charger.profile.IDENTITY == chip.unique.hex().upper()
    assert len(board.random(16)) == 16
    assert not board.network()
    with pytest.raises(OSError, match="no flash region firmware"):
        board.flash("firmware")


@pytest.mark.parametrize("board", REAL)
def test_the_image_holds_the_drivers_of_what_is_fitted(board):
    chosen = profiles.load(board)
    shipped = {file.stem for file in hardware.shipped(chosen)}
    assert ("modbus" in shipped) == bool(chosen.modbus) != ("pulse_meter" in shipped)
    assert ("lock" in shipped) == ("lock_close" in chosen.pins)
    out = builder.build(board)
    assert {path for path in builder.homes(out).values() if builder.room(path) == "board"} == {
        "board"
    }
    legend = json.loads((out / "names.json").read_text())["board.py"]
    told = {text.split(".")[0] for texts in legend.values() for text in texts.split(", ")}
    drivers = {file.stem for file in hardware.DRIVERS.glob("*.py")}
    assert shipped == told & drivers


@pytest.mark.parametrize("board", REAL)
def test_the_manifest_freezes_every_source(board):
    """As MicroPython's manifest language has it; the board's own manifest comes first."""
    out = builder.build(board, frozen=True)
    frozen, included = [], []
    names = {
        "include": included.append,
        "package": lambda name, base_path, opt: frozen.extend(
            (out / base_path / name).rglob("*.py")
        ),
        "module": lambda name, base_path, opt: frozen.append(out / base_path / name),
    }
    exec((out / "manifest.py").read_text(), names)
    own = BOARDS / board / "manifest.py"
    assert included == [str(own) if own.is_file() else "$(PORT_DIR)/boards/manifest.py"]
    assert sorted(frozen) == sorted((out / "frozen").rglob("*.py"))


@pytest.mark.parametrize("board", REAL)
def test_every_board_has_what_micropython_builds(board):
    folder = BOARDS / board
    files = {file.name for file in folder.iterdir()}
    assert "mpconfigboard.h" in files
    if profiles.load(board).chip.startswith("STM32"):
        text = (folder / "mpconfigboard.mk").read_text()
        assert "build/$(BOARD)/manifest.py" in text and "pins.csv" in files
        known = re.findall(r",(P[A-Z]\d+)$", (folder / "pins.csv").read_text(), re.M)
        assert CHIPS["STM32H743"].reserved.keys() | set(known) == CHIPS["STM32H743"].pins
    else:
        assert "../esp32.cmake" in (folder / "mpconfigboard.cmake").read_text()
        assert "${MICROPY_BOARD}/manifest.py" in (BOARDS / "esp32.cmake").read_text()
        assert "partitions.csv" in files


def test_the_nucleos_button_is_the_chargers_alone():
    """Else, held at power-up, it makes the file system anew, and what the factory wrote is gone."""
    board = "stm32_nucleo_h743"
    assert profiles.load(board).pins["stop_button"] == "PC13"
    lines = (BOARDS / board / "mpconfigboard.h").read_text().splitlines()
    told = [line.split() for line in lines if "MICROPY_HW_HAS_SWITCH" in line]
    assert told == [
        ["#undef", "MICROPY_HW_HAS_SWITCH"],
        ["#define", "MICROPY_HW_HAS_SWITCH", "(0)"],
    ]


@pytest.mark.parametrize("board", REAL)
def test_the_guide_shows_the_pins_that_the_profile_has(board):
    assert pinout.pin_table(board) in GUIDE


def test_the_guide_names_every_row_and_every_board():
    rows = {row for group in hardware.ROWS.values() for row in group}
    assert [row for row in rows if f"`{row}`" not in GUIDE] == []
    assert [board for board in profiles.boards() if f"`{board}`" not in GUIDE] == []
