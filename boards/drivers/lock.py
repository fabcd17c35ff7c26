# The plug's retention lock: a motor between two half bridges, driven by a pulse, and its end switch.
import machine
from micropython import const

_RING = const(0x3FFFFFFF)


class Lock:
    """`close` and `open_` drive the motor, `sense` (or None) is on while locked. `pulse` in ms, 500 at most."""

    def __init__(self, close, open_, sense, pulse: int, ticks):
        self._close = close
        self._open = open_
        self._sense = sense
        self._pulse = pulse
        self._ticks = ticks
        close.off()
        open_.off()

    def move(self, locked: bool) -> bool:
        """Drive to one end; False when it was not reached. Blocks for a pulse, less if the switch tells."""
        coil = self._close if locked else self._open
        start = self._ticks()
        coil.on()
        try:
            while (self._ticks() - start) & _RING < self._pulse and not self._at(locked):
                machine.idle()
        finally:
            coil.off()
        return self._sense is None or self._at(locked)

    def _at(self, locked):
        return self._sense is not None and bool(self._sense.value()) == locked
