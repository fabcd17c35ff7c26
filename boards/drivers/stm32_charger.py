# A charge controller on an STM32: Ethernet, a flash chip or FRAM on SPI, a meter on Modbus, and a file for what is
# this charger's own. The chip's own flash holds the program and that file: a write there may lose a whole sector.
import machine
from charger import Charger
from ethernet import Ethernet

from milliamp.base import flash, hal

# A line for each text: name=value.
_OWN = "/flash/milliamp.txt"


class STM32Charger(Charger):
    """Rows `flash_spi`, `flash_cs`: where the chip is that holds [flash]; `flash_fram`: it is a FRAM."""

    def __init__(self, profile):
        self._chip = None
        super().__init__(profile)
        self.link = Ethernet()

    def text(self, name: str):
        try:
            with open(_OWN) as file:
                for line in file:
                    if line.startswith(name + "="):
                        return line[len(name) + 1 :].strip()
        except OSError:
            pass
        return None

    def flash(self, region: str):
        if region not in self.profile.FLASH:
            raise OSError("no flash region " + region)
        if self._chip is None:
            self._chip = self._start_chip()
        return flash.Slice(self._chip, *self.profile.FLASH[region])

    def _start_chip(self):
        spi = self.spi("flash", 20000000)
        cs = machine.Pin(self.pins.pin("flash_cs"), machine.Pin.OUT, value=1)
        if self.pins.get("flash_fram", False):
            from fram import FRAM

            return FRAM(spi, cs, self.profile.FLASH_SIZE, self.profile.FLASH_SECTOR)
        from spi_nor import SPINor

        return SPINor(spi, cs, self.profile.FLASH_UNIT, self.watch)


def make(profile) -> hal.Board:
    """The board of this firmware."""
    return STM32Charger(profile)
