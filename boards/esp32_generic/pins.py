# The [pins] table of the profile. A pin is one number, or a list with one for each EVSE; -1: not fitted.
import machine
from micropython import const

_INPUT_ONLY = const(34)  # from here on the pins of an ESP32 have no pull resistors


class Pins:
    """Reads the table, and remembers what was asked for so that a misspelt row is found."""

    def __init__(self, table: dict):
        self._table = table
        self._asked = []

    def get(self, name: str, default):
        """A row that holds for all EVSEs."""
        self._asked.append(name)
        return self._table.get(name, default)

    def pin(self, name: str, evse: int = 1):
        """The number of a pin, None where there is none."""
        value = self.get(name, -1)
        if not isinstance(value, list):
            value = [value]
        return value[evse - 1] if evse <= len(value) and value[evse - 1] >= 0 else None

    def need(self, name: str, evse: int = 1) -> int:
        """The number of a pin that must be there; ValueError."""
        value = self.pin(name, evse)
        if value is None:
            raise ValueError("profile.toml: [pins] needs " + name + " for EVSE " + str(evse))
        return value

    def input(self, name: str, evse: int = 1):
        """A `machine.Signal`, pulled to where it is off; None where there is none."""
        value = self.pin(name, evse)
        if value is None:
            return None
        low = self._is_low(name)
        pull = machine.Pin.PULL_UP if low else machine.Pin.PULL_DOWN
        pin = machine.Pin(value, machine.Pin.IN, None if value >= _INPUT_ONLY else pull)
        return machine.Signal(pin, invert=low)

    def output(self, name: str, evse: int = 1):
        """A `machine.Signal` that begins off; None where there is none."""
        value = self.pin(name, evse)
        if value is None:
            return None
        low = self._is_low(name)
        return machine.Signal(machine.Pin(value, machine.Pin.OUT, value=int(low)), invert=low)

    def check(self) -> None:
        """ValueError for a row that nobody asked for."""
        for name in self._table:
            if name not in self._asked:
                raise ValueError("profile.toml: [pins] has no use for " + name)

    def _is_low(self, name):
        return name in self.get("active_low", ())
