# The plug's retention lock: a motor between two half bridges, driven by a pulse, and its end switch.
from micropython import const

_RING = const(0x3FFFFFFF)


class Lock:
    """`close` and `open_` drive the motor, `sense` (or None) is on while locked. `pulse` in ms."""

    def __init__(self, close, open_, sense, pulse: int):
        self._close = close
        self._open = open_
        self._sense = sense
        self._pulse = pulse
        # What was asked for, True locked, until its result was told.
        self._goal = None
        # Where it was driven to, None while nobody knows.
        self._there = None
        self._moving = False
        # Ticks at which the pulse began.
        self._at = 0
        close.off()
        open_.off()

    def move(self, locked: bool, now: int):
        """Drive to one end. None: it is on its way, ask again; True: it is there; False: the pulse is over and it is not.
        Returns at once."""
        if self._goal != locked:
            if self._there == locked and self._is(locked) is not False:
                return True
            self._goal = locked
            self._there = None
            self._moving = True
            self._at = now
            (self._open if locked else self._close).off()
            (self._close if locked else self._open).on()
            return None
        self.scan(now)
        if self._moving:
            return None
        self._goal = None
        return self._there == locked

    def scan(self, now: int) -> None:
        """End the pulse when the switch tells, or when its time is over."""
        if self._moving:
            there = self._is(self._goal)
            if there or (now - self._at) & _RING >= self._pulse:
                self._close.off()
                self._open.off()
                self._moving = False
                self._there = None if there is False else self._goal

    def locked(self) -> bool:
        """Does it hold the plug? Without a switch: was it driven there?"""
        return self._is(True) if self._sense is not None else bool(self._there)

    def _is(self, locked):
        # None: there is no switch.
        return None if self._sense is None else bool(self._sense.value()) == locked
