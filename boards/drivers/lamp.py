# The status lamp: red, green and blue, or just one of them.
from micropython import const

_RED = const(1)
_GREEN = const(2)
_BLUE = const(4)
# A bit of the ticks: half a second on, half a second off.
_SLOW = const(9)
_FAST = const(7)

# Available, Occupied, Reserved, Unavailable, Faulted: colours, and what a lamp of one colour blinks.
_LOOKS = bytes((_GREEN, 0, _BLUE, _SLOW, _GREEN | _BLUE, _SLOW, _RED | _GREEN, 255, _RED, _FAST))


class Lamp:
    """Signals of the three colours, None for those there are not."""

    def __init__(self, red, green, blue):
        self._lamps = (red, green, blue)
        self._one = red or green or blue
        if (red, green, blue).count(None) < 2:
            self._one = None
        self._blink = 0
        self.show(3)

    def show(self, status: int) -> None:
        """Show a connector status."""
        colours, self._blink = _LOOKS[status * 2], _LOOKS[status * 2 + 1]
        for lamp in self._lamps:
            if lamp is not None and self._one is None:
                lamp.value(colours & 1)
            colours >>= 1
        self.scan(0)

    def scan(self, now: int) -> None:
        """Let a lamp of one colour blink."""
        if self._one is not None:
            self._one.value(self._blink == 0 or self._blink < 32 and now >> self._blink & 1)
