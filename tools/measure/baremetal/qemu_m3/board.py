# A charger whose hardware is a script: one letter on the console for each thing that happens to it.
import gc

import mcu
import nor
from micropython import const

from milliamp.base import flash, hal

_W = const(22080)
_MA = const(32000)
_MV = const(230000)


class BareBoard(hal.Board):
    def __init__(self, profile):
        self._profile = profile
        self._station = None
        self._cable = 0
        self._pilot = 65
        self._card = None
        self._closed = False
        self._at = self.ticks()
        # That the contactor was closed.
        self._ms = 0

    def scan(self) -> None:
        now = self.ticks()
        if self._closed:
            self._ms += (now - self._at) & 0x3FFFFFFF
        self._at = now
        command = mcu.read()
        # p: plug in, the EV wants energy.
        if command == 112:
            self._cable = 1
            self._pilot = 67
        elif command == 117:
            # u: unplug.
            self._cable = 0
            self._pilot = 65
        elif command == 99:
            # c: a card.
            self._card = ("04A2B3C4D5E6F7", "ISO14443", 0)
        elif command == 113:
            # q: figures, and off.
            gc.collect()
            st = self._station
            print("figures", gc.mem_alloc(), mcu.stack_use(), st.journal.pending, int(st.online))
            mcu.exit(0)

    def cable(self, evse: int) -> int:
        return self._cable

    def pilot(self, evse: int) -> int:
        return self._pilot

    def energy(self, evse: int) -> int:
        # W x ms in Wh.
        return self._ms * (_W // 960) // 3750

    def measure(self, evse: int, measurand: str, phase: int):
        if measurand.startswith("Voltage"):
            return _MV
        if not self._closed:
            return 0
        return _W if measurand.startswith("Power") else _MA

    def card(self):
        card, self._card = self._card, None
        return card

    def contactor(self, evse: int, closed: bool) -> None:
        self._closed = closed

    def flash(self, region: str):
        if region not in self._profile.FLASH:
            raise OSError("no flash region " + region)
        return flash.Partition(nor, *self._profile.FLASH[region])

    def random(self, n: int) -> bytes:
        return mcu.urandom(n)

    def reboot(self) -> None:
        mcu.exit(1)

    def started(self, station) -> None:
        self._station = station


def make(profile) -> hal.Board:
    """The board of this process."""
    return BareBoard(profile)
