# The contactor, and the auxiliary contact or mains sensor that tells whether it obeyed.
from micropython import const
from settled import Settled

_RING = const(0x3FFFFFFF)
# What a contactor and its feedback may take.
_TRAVEL_MS = const(500)
# And until it is open where nobody can see it: 20 to 30 as a rule.
_RELEASE_MS = const(60)
# 5 s between two closings, whatever the cause: contacts weld by chattering; a scan takes its time.
_REST_MS = const(5050)
# Scans of wrong feedback.
_SURE = const(3)


class Contactor:
    """`coil` closes it, `sense` (or None) is on while its output is live. Signals of `machine`."""

    def __init__(self, coil, sense, now: int):
        self.closed = False
        # Name.
        self.fault = None
        self._coil = coil
        self._sense = sense
        # Ticks of the last switching.
        self._at = now
        # Ticks of the last closing.
        self._closed_at = (now - _REST_MS) & _RING
        # The feedback had its time since the start.
        self._judged = sense is None
        self._wrong = Settled(False)
        coil.off()

    def switch(self, closed: bool, now: int) -> None:
        """Close or open."""
        if closed:
            self._coil.on()
        else:
            self._coil.off()
        if closed != self.closed:
            self.closed = closed
            self._at = now
            if closed:
                self._closed_at = now

    def rested(self, now: int) -> bool:
        """May it close again?"""
        return (now - self._closed_at) & _RING >= _REST_MS

    def dead(self, now: int) -> bool:
        """Is its output without voltage, for certain? Not before a welded one would have been found."""
        if self.closed or self.fault == "ContactorWelded" or not self._judged:
            return False
        if self._sense is not None:
            return not self._sense.value()
        return (now - self._at) & _RING >= _RELEASE_MS

    def scan(self, now: int) -> None:
        """Compare with the feedback, once it had its time."""
        # Neither span may wrap, however long nothing is switched.
        if self.rested(now):
            self._closed_at = (now - _REST_MS) & _RING
        if (now - self._at) & _RING < _TRAVEL_MS:
            return
        self._at = (now - _TRAVEL_MS) & _RING
        if self._sense is None:
            return
        if self._wrong.see(bool(self._sense.value()) != self.closed, _SURE) and self._wrong.value:
            self.fault = "ContactorFailed" if self.closed else "ContactorWelded"
        self._judged = self._judged or not self._sense.value()

    def unplugged(self) -> None:
        """A contactor that did not close may try again with the next EV; one that did not open may not."""
        if self.fault == "ContactorFailed":
            self.fault = None
