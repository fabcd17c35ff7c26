"""A board's drivers, imported over a modelled chip, and a hand on the charger around them."""

import contextlib
import importlib
import sys
import time
import types

from tools import BOARDS, builder
from tools.builder import profile as profiles
from tools.builder.profile import hardware

from .esp32 import Chip, Line, Reader
from .modbus import Slave

FAKED = ["machine", "esp32", "network"]
RING = 0x3FFFFFFF


@contextlib.contextmanager
def imported(chip, board="esp32_generic"):
    """The board's modules, and the shared drivers it ships, imported anew over the modules of that chip. `board`: a name, or
    the path of a folder."""
    folder = BOARDS / board
    names = ["board", *hardware.drivers(folder)]
    kept = {name: sys.modules.pop(name, None) for name in names + FAKED}
    sys.modules.update(chip.modules())
    sys.path[:0] = paths = [str(folder), str(hardware.DRIVERS)]
    try:
        found = {name: importlib.import_module(name) for name in names}
        for name in ("pulse_meter", "spi_nor"):
            if name in found:
                found[name].time = ticking(chip)
        yield types.SimpleNamespace(**found)
    finally:
        for path in paths:
            sys.path.remove(path)
        for name, module in kept.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module


def ticking(chip):
    """The chip's `time`, as far as it is ticks."""
    return types.SimpleNamespace(
        ticks_ms=lambda: chip.ms & RING,
        ticks_diff=lambda end, start: (end - start + RING // 2 + 1 & RING) - RING // 2 - 1,
    )


def tables(board):
    """The board's generated profile."""
    module = types.ModuleType("profile")
    exec((builder.build_tables(board) / "tables" / "profile.py").read_text(), module.__dict__)
    return module


def wire(chip, board):
    """Put a charger around the chip as the board's profile has it: an EV's line, a cable for 32 A, feedback of
    contactor and lock, a card reader, a meter."""
    pins = profiles.load(board).pins
    low = pins.get("active_low", ())

    def follow(row, sense, closed):
        # The switch of `sense` goes on or off when the output of `row` goes on.
        if row in pins and sense in pins:
            on = closed != (sense in low)
            chip.on_output[pins[row]] = lambda level: (
                level and chip.levels.update({pins[sense]: int(on)})
            )

    chip.line = Line(chip, pins["pilot_pwm"], pins["pilot_adc"])
    if "proximity_adc" in pins:
        chip.adc[pins["proximity_adc"]] = lambda: 3300 * 220 // (220 + 330)
    chip.spi = chip.reader = Reader()
    chip.uart = chip.slave = Slave(chip)
    follow("lock_close", "lock_sense", True)
    follow("lock_open", "lock_sense", False)
    if "lock_sense" in pins:
        chip.levels[pins["lock_sense"]] = int("lock_sense" in low)
    chip.on_output[pins["contactor"]] = lambda on: chip.levels.update(
        {pins["contactor_sense"]: on}
    )
    return chip


class Charger:
    """The board on its chip, and a hand on the charger."""

    def __init__(self, chip, modules, profile):
        self.chip = chip
        self.modules = modules
        self.profile = profile
        self.start()

    def start(self):
        """Power on."""
        modules, chip = self.modules, self.chip
        modules.charger.time = types.SimpleNamespace(
            time=lambda: chip.time,
            gmtime=lambda s: tuple(time.gmtime(s + 946684800))[:8],
        )
        modules.charger.Charger.ticks = lambda board: chip.ms & RING
        self.board = modules.board.make(self.profile)
        return self.board

    def run(self, ms):
        """Let the control task poll for so long."""
        for _ in range(0, ms, self.board.scan_ms):
            self.chip.ms += self.board.scan_ms
            self.board.scan()

    @property
    def pilot(self):
        return chr(self.board.pilot(1))

    @property
    def live(self):
        return bool(self.chip.driven[self.profile.PINS["contactor"]])

    def locks(self, locked=True, evse=1):
        """Lock or release the plug, as the station asks at each poll: how it ends."""
        while True:
            there = self.board.lock(evse, 1, locked)
            if there is not None:
                return there
            self.run(self.board.scan_ms)

    def charge(self, milliamps=16000):
        """Plug in an EV that charges; not sooner than the contactor may close again."""
        self.run(5000)
        self.chip.line.ev = "B"
        self.run(200)
        self.locks()
        self.board.offer(1, milliamps)
        self.chip.line.ev = "C"
        self.run(200)
        self.board.contactor(1, True)
        self.run(self.board.scan_ms)

    def cards(self, ms):
        """What the reader tells in that time."""
        found = []
        for _ in range(0, ms, 25):
            self.chip.ms += 25
            card = self.board.card()
            if card is not None:
                found.append(card)
        return found


def chip_of(board):
    """A modelled chip for a board."""
    from .esp32 import STM32

    name = profiles.load(board).chip
    return STM32(name=name) if name.startswith("STM32") else Chip(name=name)
