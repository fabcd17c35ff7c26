# The control pilot and the proximity contact of IEC 61851-1: what is offered, and what answers.
import machine
from micropython import const
from settled import Settled

_A = const(65)
_B = const(66)
_C = const(67)
_D = const(68)
_E = const(69)
_F = const(70)
# An oscillating pilot without its negative half: told as E.
_NO_DIODE = const(101)

# Duty cycle of a steady +12 V: nothing is offered.
_STEADY = const(65535)
# An EV's diode keeps the negative half at -12 V; without, it is -9 V.
_DIODE_MV = const(-10500)
# Between a plateau and the 0 V of an error.
_EDGE_MV = const(1500)
# Samples of each plateau that are enough.
_PLATEAU = const(3)
# Of a steady voltage; of an oscillating one, at most those of 11 ms.
_STEADY_SAMPLES = const(12)

# Looks before a new state counts.
_SURE = const(4)


def duty(milliamps: int) -> int:
    """The duty cycle that offers a current, in 1/65536: 6 to 51 A are 10 % to 85 %, up to 80 A is 96 %.
    Less than 6 A cannot be offered: steady."""
    if milliamps < 6000:
        return _STEADY
    if milliamps <= 51000:
        # A / 0.6 in percent.
        return milliamps * 4096 // 3750
    # A / 2.5 + 64 in percent.
    return (min(milliamps, 80000) + 160000) * 4096 // 15625


def state_of(high: int, low: int, oscillates: bool) -> int:
    """The state that the plateaus (mV on the pilot) mean, 101 for an EV without its diode. B to D need the diode;
    only a pilot that oscillates shows it."""
    if high >= 10500:
        return _A
    if high < _EDGE_MV:
        return _E if high > -_EDGE_MV else _F
    if oscillates and low > _DIODE_MV:
        return _NO_DIODE
    return _B if high >= 7500 else _C if high >= 4500 else _D


class Pilot:
    """One pilot line: a PWM output into a +-12 V driver, and an ADC input that sees the line scaled down.

    `pwm` is a pin, `adc` what `Pins.adc` gives; `zero` and `full` are the mV at the ADC while the line is at
    0 V and at +12 V. Without ventilation an EV that needs it (state D) counts as one that wants no energy (B).
    States are `ord("A")` to `ord("F")`. An EV without a diode is E until it is unplugged: while nothing is offered
    nobody can see that it has none (IEC 61851-1, table A.4). Nothing is known before four looks.
    """

    def __init__(self, pwm, adc, zero: int, full: int, ventilated: bool):
        self._pwm = machine.PWM(machine.Pin(pwm), freq=1000, duty_u16=_STEADY)
        self._adc = adc
        self._zero = zero
        self._span = full - zero
        self._unventilated = not ventilated
        self._duty = _STEADY
        # The settled state.
        self.state = _A
        # Does the EV want energy?
        self.wants = False
        # Its diode was seen since the present offer began.
        self.proven = False
        # It has none.
        self._barred = False
        self._settled = Settled(_A)

    def offer(self, milliamps: int) -> None:
        value = duty(milliamps)
        if value == _STEADY:
            self.proven = False
        # An unchanged cycle is not disturbed.
        if value != self._duty:
            self._duty = value
            self._pwm.duty_u16(value)

    def scan(self) -> None:
        """Measure once. An EV that had energy and wants none is looked at a second time, at once: the way out of C and D
        is short, and open to any mixture of other states. OSError: the ADC fails."""
        seen = self._look()
        sure = _SURE
        if self.wants and seen not in (_C, _D):
            seen = self._look()
            if seen not in (_C, _D):
                sure = 1
        if self._settled.see(seen, sure):
            self._barred = seen == _NO_DIODE or self._barred and seen != _A
            self.state = _E if self._barred and seen != _F else seen
            self.wants = self.state in (_C, _D)
            self.proven = self.proven and seen != _A

    def _look(self):
        # Samples fall anywhere into the cycle: go on until both plateaus were met. The second highest and
        # the second lowest count, so that one spike does not.
        read, factor, divisor, most = self._adc
        zero = self._zero
        oscillates = self._duty != _STEADY
        edge = self._span * _EDGE_MV // 12000
        highest = high = -10000
        lowest = low = 10000
        above = below = 0
        for _ in range(most if oscillates else _STEADY_SAMPLES):
            v = read() * factor // divisor - zero
            if v > highest:
                highest, high = v, highest
            elif v > high:
                high = v
            if v < lowest:
                lowest, low = v, lowest
            elif v < low:
                low = v
            if v > edge:
                above += 1
            elif v < -edge:
                below += 1
            if above >= _PLATEAU and below >= _PLATEAU:
                break
        seen = state_of(high * 12000 // self._span, low * 12000 // self._span, oscillates)
        if oscillates and _B <= seen <= _D:
            self.proven = True
        return _B if seen == _D and self._unventilated else seen


# Ohms of the plug's resistor below which it means a current (mA); below the first row it is a short.
_CABLES = ((75, 0), (150, 63000), (330, 32000), (1000, 20000), (2700, 13000))


class Proximity:
    """The resistor in the plug of a detachable cable: what may the cable carry?

    `adc` is what `Pins.adc` gives, `pull` the resistor (ohm) between the contact and the 3.3 V that the ADC sees at
    most.
    """

    def __init__(self, adc, pull: int):
        self._adc = adc
        self._pull = pull
        # mA that the cable may carry, 0 without a plug, and with a shorted one.
        self.limit = 0
        self._settled = Settled(0)

    def scan(self) -> None:
        """Measure once. A contact that was good and is none is looked at twice more, at once: it has to be off within
        100 ms, and two scans with all that goes on between them may take longer. OSError: the ADC fails."""
        seen = self._look()
        if self.limit and not seen:
            seen = self._look() or self._look()
        if self._settled.see(seen, _SURE if seen else 1):
            self.limit = seen

    def _look(self):
        read, factor, divisor, _ = self._adc
        mv = min(read() * factor // divisor, 3299)
        ohms = self._pull * mv // (3300 - mv)
        for below, milliamps in _CABLES:
            if ohms < below:
                return milliamps
        # open: no plug.
        return 0
