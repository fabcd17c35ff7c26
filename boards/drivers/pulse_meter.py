# An energy meter with a pulse output (S0): the register in flash, power from the time between pulses.
#
# The register that is shown is the one that flash holds, so it never falls, whatever happens when: a power
# cut takes less than `store` Wh that nobody has seen. Opening the contactor stores what is left.
import machine
from micropython import const

_RING = const(0x3FFFFFFF)
_WINDOW_MS = const(1000)  # over at least so long power is averaged
_IDLE_MS = const(600000)  # without a pulse: no power


class Meter:
    """`pulses` per kWh on `pin`; the register lives under `key` in `nvs` and is written each `store` Wh. It
    knows the sum of the `phases`; their current is that at the nominal `volts`."""

    def __init__(self, pin, nvs, key: str, pulses: int, store: int, volts: int, phases: int):
        self.fault = None  # name
        self.power = 0  # W
        self.pulses = 0  # only the interrupt handler writes it
        self._nvs = nvs
        self._key = key
        self._per_kwh = pulses
        self._store = store
        self._volts = volts
        self._phases = phases
        try:
            self.register = nvs.get_i32(key)
        except OSError:  # the first start
            self.register = 0
        self._origin = self.register  # Wh when no pulse was counted
        self._last = 0  # pulses seen by the scan before,
        self._last_at = 0  # and when they were first seen
        self._counted = 0  # pulses that the power already knows of,
        self._counted_at = None  # until when: ticks of a pulse; None while idle
        pin.irq(handler=self._pulse, trigger=machine.Pin.IRQ_FALLING)

    def _pulse(self, pin):
        self.pulses += 1

    def measure(self, measurand: str, phase: int):
        """As the HAL has it."""
        if phase > 1 or phase and self._phases > 1:
            return None
        if measurand == "Power.Active.Import":
            return self.power
        if measurand == "Current.Import":
            return self.power * 1000 // (self._volts * self._phases)
        return None

    def scan(self, now: int) -> None:
        """Look at the count: at most one flash write, each `store` Wh."""
        pulses = self.pulses
        if self._origin + pulses * 1000 // self._per_kwh - self.register >= self._store:
            self.store()
        unit = 3600000000 // self._per_kwh  # W * ms of a pulse
        if pulses != self._last:
            self._last, self._last_at = pulses, now
            if self._counted_at is None:
                self._counted, self._counted_at = pulses, now
            elapsed = (now - self._counted_at) & _RING
            if elapsed >= _WINDOW_MS:
                self.power = (pulses - self._counted) * unit // elapsed
                self._counted, self._counted_at = pulses, now
        elif self._counted_at is not None:
            # No pulse for so long: it cannot be more than one in this time.
            elapsed = (now - self._last_at) & _RING
            self.power = min(self.power, unit // (elapsed or 1))
            if elapsed >= _IDLE_MS:
                self.power, self._counted_at = 0, None

    def stop(self) -> None:
        """The contactor is open: no power, and the whole register is shown."""
        self.power, self._counted_at = 0, None
        self.store()

    def store(self) -> None:
        """Bring the register to flash, then show it. A few ms, rarely some tens."""
        register = self._origin + self.pulses * 1000 // self._per_kwh
        if register == self.register:
            return
        try:
            self._nvs.set_i32(self._key, register)
            self._nvs.commit()
        except OSError:
            self.fault = "EnergyMeter"
            return
        self.fault = None
        self.register = register
