# An energy meter with a pulse output (S0, IEC 62053-31): the register in flash, power from the time between pulses.
#
# The register that is shown is the one that flash holds, so it never falls, whatever happens when: a power
# cut takes less than `store` Wh that nobody has seen. Opening the contactor stores what is left.
import time

import machine
from micropython import const

# ESP_ERR_NVS_NOT_FOUND: the register was never written.
_NOT_FOUND = const(-4354)
# Between two pulses: S0 has 30 at least; what is nearer is a contact that bounces.
_SHORTEST_MS = const(20)
# Of a pulse, at least.
_LENGTH_MS = const(30)
# The most that a counter of an ESP32 filters.
_FILTER_NS = const(12000)
_RING = const(0x3FFFFFFF)
# Over at least so long power is averaged.
_WINDOW_MS = const(1000)
# Without a pulse: no power.
_IDLE_MS = const(600000)


class Meter:
    """`pulses` per kWh on `pin`; the register lives under `key` in `nvs` and is written each `store` Wh. It
    knows the sum of the `phases`; their current is that at the nominal `volts`. `unit`: a pulse counter of the chip
    that is to spare, where it has any."""

    def __init__(
        self, pin, nvs, key: str, pulses: int, store: int, volts: int, phases: int, unit: int = 0
    ):
        # Name.
        self.fault = None
        # W.
        self.power = 0
        # Where the chip has no counter, only the interrupt handler writes it.
        self.pulses = 0
        self._nvs = nvs
        self._key = key
        self._per_kwh = pulses
        self._store = store
        self._volts = volts
        self._phases = phases
        self.register = self._least = 0
        # Wh when no pulse was counted; None while flash does not say.
        self._origin = None
        # Pulses seen by the scan before,.
        self._last = 0
        # And when they were first seen.
        self._last_at = 0
        # Pulses that the power already knows of,.
        self._counted = 0
        # Until when: ticks of a pulse; None while idle.
        self._counted_at = None
        self._recall()
        self._counter = None
        # Of the last pulse, and of the last look at the counter.
        self._edge = self._seen = time.ticks_ms()
        # Counts while flash is erased, when interrupts wait and merge.
        if hasattr(machine, "Counter"):
            falling = machine.Counter.FALLING
            self._counter = machine.Counter(unit, pin, edge=falling, filter_ns=_FILTER_NS)
        else:
            pin.irq(handler=self._pulse, trigger=machine.Pin.IRQ_FALLING)

    def _pulse(self, pin):
        now = time.ticks_ms()
        if time.ticks_diff(now, self._edge) >= _SHORTEST_MS:
            self.pulses += 1
        self._edge = now

    def _take(self):
        # What the counter has, as far as an S0 output can have made it since the last look.
        now = time.ticks_ms()
        most = max(time.ticks_diff(now, self._seen) // _LENGTH_MS, 1)
        count = min(self._counter.value(0), most, time.ticks_diff(now, self._edge) // _LENGTH_MS)
        self._seen = now
        if count:
            self._edge = now
            self.pulses += count

    def _recall(self):
        # Only a register that was never written is a first start: whatever else fails is no reason to begin at 0.
        try:
            self._origin = self._nvs.get_i32(self._key)
        except OSError as error:
            if error.args[0] != _NOT_FOUND:
                self.fault = "EnergyMeter"
                return
            self._origin = 0
        self.register = self._origin = max(self._origin, self._least)
        self.fault = None

    def at_least(self, register: int) -> None:
        """So many Wh were told once: it goes on from there if flash has less, or nothing."""
        self._least = register
        if register > self.register:
            if self._origin is not None:
                self._origin += register - self.register
            self.register = register

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
        if self._counter is not None:
            self._take()
        if self._origin is None:
            self._recall()
            return
        pulses = self.pulses
        if self._origin + pulses * 1000 // self._per_kwh - self.register >= self._store:
            self.store()
        # W * ms of a pulse.
        unit = 3600000000 // self._per_kwh
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
        if self._counter is not None:
            self._take()
        if self._origin is None:
            return
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
