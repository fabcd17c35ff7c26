# The hardware of one EVSE, and the interlock between its parts.
from contactor import Contactor
from micropython import const
from pilot import Pilot, Proximity
from settled import Settled

_A = const(65)
_E = const(69)
_RING = const(0x3FFFFFFF)
# Scans that a button is held.
_SURE = const(3)
# Before the board is made: what is plugged in by then is no event.
_FIRST_LOOKS = const(4)
# An EV has 3 s to stop drawing once the offer ends (IEC 61851-1, table A.6).
_ENDING_MS = const(3500)
# Scans with an EV at a cable that carries nothing: a plug's contacts do not meet at once.
_LOST = const(8)


class Outlet:
    """Built from the rows of the profile's [pins], its contactor's coil, and its meter; what is not fitted is None.

    What the station asks for is one thing, what is safe another. The contactor closes in a later scan than the one in
    which it was asked for, once the EV asks in C or D with a diode that was seen since the offer began, on an offer of
    6 A or more, through a cable that carries it, its plug locked; and not within 5 s of the last time. It opens in
    the very scan in which any of this ends, before other code of the station hears of it; but an EV whose offer the
    station ends has some time to stop drawing first.
    """

    def __init__(self, evse: int, current: int, pins, coil, meter, now: int):
        self.contactor = Contactor(coil, pins.input("contactor_sense", evse), now)
        self.pilot = Pilot(
            pins.pin("pilot_pwm", evse),
            pins.adc("pilot_adc", evse),
            pins.get("pilot_zero_mv", 1300),
            pins.get("pilot_full_mv", 2300),
            pins.get("ventilated", False),
        )
        proximity = pins.adc("proximity_adc", evse)
        pull = pins.get("proximity_pull_ohm", 330)
        self.proximity = None if proximity is None else Proximity(proximity, pull)
        self.meter = meter
        self.lock = _lock(evse, pins)
        self.lamp = _lamp(evse, pins)
        # Is an EV at the cable?
        self.cable = False
        # The stop button, since it was asked for.
        self.pressed = False
        # mA.
        self.offered = 0
        # Name.
        self.fault = None
        self._current = current
        # mA that the station wants to offer.
        self._wanted = 0
        # The station wants the contactor closed.
        self._asked = False
        # Ticks at which it ended its offer.
        self._ended = now
        # Scans in a row without a cable that carries anything.
        self._lost = 0
        self._button = pins.input("stop_button", evse)
        self._held = Settled(False)
        self._residual = pins.input("residual_current", evse)
        self._tripped = False
        # The pilot or the plug cannot be measured.
        self._blind = False
        for _ in range(_FIRST_LOOKS):
            self.scan(now)

    def scan(self, now: int) -> None:
        """Read everything once; close and open the contactor."""
        self.watch(now)
        if self._asked and not self.contactor.closed and self._may_close(now):
            self.contactor.switch(True, now)
        if self.lock is not None:
            self.lock.scan(now)
        self.meter.scan(now)
        if (
            self._button is not None
            and self._held.see(bool(self._button.value()), _SURE)
            and self._held.value
        ):
            self.pressed = True
        if self.lamp is not None:
            self.lamp.scan(now)

    def watch(self, now: int) -> None:
        """Look at what decides whether the contactor may stay closed, and open it if not: a few ms. For drivers that
        wait, too."""
        self._blind = not (self._look() or self._look())
        if self._residual is not None and self._residual.value():
            self._tripped = True
        self.contactor.scan(now)
        self._judge()
        if self.contactor.closed and not self._may_stay(now):
            self.contactor.switch(False, now)

    def switch(self, closed: bool, now: int) -> None:
        """Ask for the contactor to be closed, which a later scan does, or open it; opening also brings the register to
        flash, after the contact."""
        self._asked = closed
        if not closed:
            self.contactor.switch(False, now)
            self.meter.stop()

    def offer(self, milliamps: int, now: int) -> None:
        """Offer a current; never more than the EVSE and the cable carry."""
        if not milliamps and self._wanted:
            self._ended = now
        self._wanted = milliamps
        milliamps = min(milliamps, self._current)
        if self.proximity is not None:
            milliamps = min(milliamps, self.proximity.limit)
        self.offered = milliamps if milliamps >= 6000 else 0
        self.pilot.offer(self.offered)

    def hold(self, locked: bool, now: int):
        """Lock or release the plug, as `Lock.move` does. What is live, or may be, is not released: None, ask again; False
        while its contact is welded."""
        if not locked and not self.contactor.dead(now):
            return False if self.contactor.fault == "ContactorWelded" else None
        return True if self.lock is None else self.lock.move(locked, now)

    def _may_stay(self, now):
        if not self.pilot.wants or self.fault is not None:
            return False
        if self.proximity is not None and not self.proximity.limit:
            return False
        return self.offered > 0 or not self._wanted and (now - self._ended) & _RING < _ENDING_MS

    def _may_close(self, now):
        return (
            self._may_stay(now)
            and self.pilot.proven
            and (self.lock is None or self.lock.locked())
            and self.contactor.rested(now)
        )

    def _judge(self):
        if self._tripped:
            self.fault = "ResidualCurrent"
        elif self._blind:
            self.fault = "ControlPilot"
        elif self._lost >= _LOST:
            self.fault = "ProximityContact"
        else:
            self.fault = self.contactor.fault or self.meter.fault

    def _look(self):
        # False: something cannot be measured.
        try:
            self.pilot.scan()
            if self.proximity is not None:
                limit = self.proximity.limit
                self.proximity.scan()
                if limit != self.proximity.limit:
                    self.offer(self._wanted, self._ended)
        except (OSError, MemoryError):
            return False
        # In E and F nobody knows: what was there is there.
        if self.pilot.state < _E:
            self.cable = self.pilot.state != _A
        if self.cable and self.proximity is not None and not self.proximity.limit:
            self._lost = min(self._lost + 1, _LOST)
        else:
            self._lost = 0
        if not self.cable:
            # Faults that belong to one charging end with it.
            self._tripped = False
            self.contactor.unplugged()
        return True


# Drivers of what is not fitted are not loaded.


def _lock(evse, pins):
    close, open_ = pins.output("lock_close", evse), pins.output("lock_open", evse)
    if close is None:
        return None
    from lock import Lock

    return Lock(close, open_, pins.input("lock_sense", evse), pins.get("lock_ms", 400))


def _lamp(evse, pins):
    colours = [pins.output("lamp_" + colour, evse) for colour in ("red", "green", "blue")]
    if colours == [None, None, None]:
        return None
    from lamp import Lamp

    return Lamp(*colours)
