# The [pins] table of the profile. A pin is a GPIO number of an ESP32 or a name such as "PA3" of an STM32, which all
# EVSEs share, or a list with one for each EVSE; -1, "" or no row: not fitted. The build has checked all of it, and
# what may be shared: tools/builder/profile/hardware.py.
import machine


class Pins:
    """Reads the table."""

    def __init__(self, table: dict):
        self._table = table

    def get(self, name: str, default):
        """A row that holds for all EVSEs."""
        return self._table.get(name, default)

    def pin(self, name: str, evse: int = 1):
        """What the chip calls a pin, None where there is none."""
        value = self._table.get(name, -1)
        if isinstance(value, list):
            value = value[evse - 1] if evse <= len(value) else -1
        return None if value in (-1, "") else value

    def input(self, name: str, evse: int = 1):
        """A `machine.Signal`, pulled to where it is off; None where there is none."""
        value = self.pin(name, evse)
        if value is None:
            return None
        low = self._is_low(name)
        pull = machine.Pin.PULL_UP if low else machine.Pin.PULL_DOWN
        return machine.Signal(pulled(value, pull), invert=low)

    def output(self, name: str, evse: int = 1):
        """A `machine.Signal` that begins off; None where there is none."""
        value = self.pin(name, evse)
        if value is None:
            return None
        low = self._is_low(name)
        return machine.Signal(machine.Pin(value, machine.Pin.OUT, value=int(low)), invert=low)

    def adc(self, name: str, evse: int = 1):
        """An analog input as (function, factor, divisor, samples of 11 ms): mV are what the function gives, times
        the factor, by the divisor. None where there is none."""
        value = self.pin(name, evse)
        if value is None:
            return None
        # An ESP32: calibrated.
        if hasattr(machine.ADC, "ATTN_11DB"):
            adc = machine.ADC(machine.Pin(value), atten=machine.ADC.ATTN_11DB)
            return adc.read_uv, 1, 1000, 160
        return machine.ADC(machine.Pin(value)).read_u16, 3300, 65536, 1600

    def _is_low(self, name):
        return name in self.get("active_low", ())


def pulled(pin, pull: int):
    """A `machine.Pin` that is an input with a pull resistor, where the chip has one."""
    try:
        return machine.Pin(pin, machine.Pin.IN, pull)
    except ValueError:
        # 34 to 39 of an ESP32 have none, and a port may say so.
        return machine.Pin(pin, machine.Pin.IN)
