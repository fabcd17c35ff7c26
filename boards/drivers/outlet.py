# The hardware of one EVSE, and the interlock between its parts.
from contactor import Contactor
from micropython import const
from pilot import Pilot, Proximity
from settled import Settled

_A = const(65)
_E = const(69)
_SURE = const(3)  # scans that a button is held


class Outlet:
    """Built from the rows of the profile's [pins], and its meter; what is not fitted is None.

    The contactor opens in the very scan in which the EV stops asking or a fault shows, before any other
    code of the station hears of it.
    """

    def __init__(self, evse: int, current: int, pins, meter, ticks):
        now = ticks()
        self.contactor = Contactor(
            pins.output("contactor", evse), pins.input("contactor_sense", evse), now
        )
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
        self.lock = _lock(evse, pins, ticks)
        self.lamp = _lamp(evse, pins)
        self.cable = False  # is an EV at the cable?
        self.pressed = False  # the stop button, since it was asked for
        self.offered = 0  # mA
        self.fault = None  # name
        self._current = current
        self._wanted = 0  # mA that the station wants to offer
        self._button = pins.input("stop_button", evse)
        self._held = Settled(False)
        self._residual = pins.input("residual_current", evse)
        self._tripped = False
        self._blind = False  # the pilot or the plug cannot be measured
        self.scan(now)

    def scan(self, now: int) -> None:
        """Read everything once; open the contactor if it must not be closed."""
        try:
            self.pilot.scan()
            self._look_at_cable()
            self._blind = False
        except OSError:
            self._blind = True
        if self._residual is not None and self._residual.value():
            self._tripped = True
        self.contactor.scan(now)
        self._judge()
        if self.contactor.closed and not self.safe():
            self.contactor.switch(False, now)
        self.meter.scan(now)
        if (
            self._button is not None
            and self._held.see(bool(self._button.value()), _SURE)
            and self._held.value
        ):
            self.pressed = True
        if self.lamp is not None:
            self.lamp.scan(now)

    def safe(self) -> bool:
        """May the contactor be closed?"""
        return self.pilot.wants and self.fault is None

    def switch(self, closed: bool, now: int) -> None:
        """Close or open the contactor; opening also brings the register to flash, after the contact."""
        self.contactor.switch(closed and self.safe(), now)
        if not closed:
            self.meter.stop()

    def offer(self, milliamps: int) -> None:
        """Offer a current; never more than the EVSE and the cable carry."""
        self._wanted = milliamps
        milliamps = min(milliamps, self._current)
        if self.proximity is not None:
            milliamps = min(milliamps, self.proximity.limit)
        self.offered = milliamps if milliamps >= 6000 else 0
        self.pilot.offer(self.offered)

    def _judge(self):
        if self._tripped:
            self.fault = "ResidualCurrent"
        elif self._blind:
            self.fault = "ControlPilot"
        else:
            self.fault = self.contactor.fault or self.meter.fault

    def _look_at_cable(self):
        if self.proximity is not None:
            limit = self.proximity.limit
            self.proximity.scan()
            if limit != self.proximity.limit:
                self.offer(self._wanted)
        # In E and F nobody knows: what was there is there.
        if self.pilot.state < _E:
            self.cable = self.pilot.state != _A
        if not self.cable:
            # Faults that belong to one charging end with it.
            self._tripped = False
            self.contactor.unplugged()


# Drivers of what is not fitted are not loaded.


def _lock(evse, pins, ticks):
    close, open_ = pins.output("lock_close", evse), pins.output("lock_open", evse)
    if close is None:
        return None
    from lock import Lock

    return Lock(close, open_, pins.input("lock_sense", evse), pins.get("lock_ms", 400), ticks)


def _lamp(evse, pins):
    colours = [pins.output("lamp_" + colour, evse) for colour in ("red", "green", "blue")]
    if colours == [None, None, None]:
        return None
    from lamp import Lamp

    return Lamp(*colours)
