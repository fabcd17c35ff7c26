# The contactor, and the auxiliary contact or mains sensor that tells whether it obeyed.
from micropython import const
from settled import Settled

_RING = const(0x3FFFFFFF)
_TRAVEL_MS = const(500)  # what a contactor and its feedback may take
_SURE = const(3)  # scans of wrong feedback


class Contactor:
    """`coil` closes it, `sense` (or None) is on while its output is live. Signals of `machine`."""

    def __init__(self, coil, sense, now: int):
        self.closed = False
        self.fault = None  # name
        self._coil = coil
        self._sense = sense
        self._at = now  # ticks of the last switching
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

    def scan(self, now: int) -> None:
        """Compare with the feedback, once it had its time."""
        if self._sense is None or (now - self._at) & _RING < _TRAVEL_MS:
            return
        self._at = (now - _TRAVEL_MS) & _RING  # stays past it, however long nothing is switched
        if self._wrong.see(bool(self._sense.value()) != self.closed, _SURE) and self._wrong.value:
            self.fault = "ContactorFailed" if self.closed else "ContactorWelded"

    def unplugged(self) -> None:
        """A contactor that did not close may try again with the next EV; one that did not open may not."""
        if self.fault == "ContactorFailed":
            self.fault = None
