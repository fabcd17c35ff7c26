"""Cuts the power at every program and erase of whatever runs on a flash chip."""

from random import Random

from hostsim.charger.flash import Nor, PowerCut

TORN = ("nothing", "half", "bits", "all")


class Doomed(Nor):
    """A chip that tries, before each program and erase, what would be left if the power failed just then.

    `after(nor)` gets the chip as it comes back, once for each way in which the operation can be torn.
    """

    def __init__(self, size, sector, unit, after, image=None, ecc=False, seed=0, torn=TORN):
        self.after = after
        self.random = Random(seed)
        self.torn = torn
        super().__init__(size, sector, unit, image, ecc)

    def program(self, address, data):
        self._die(lambda nor: nor.program(address, data))
        super().program(address, data)

    def erase(self, address):
        self._die(lambda nor: nor.erase(address))
        super().erase(address)

    def _die(self, operation):
        for torn in self.torn:
            nor = Nor(self.size, self.sector, self.unit, bytearray(self.image), self.ecc)
            nor._unreadable = set(self._unreadable)
            nor.power_on()
            nor.cut_power(0, torn, self.random.randrange)
            try:
                operation(nor)
            except PowerCut:
                nor.power_on()
            try:
                self.after(nor)
            except OSError as error:  # not to be mistaken for a failure of this chip
                raise AssertionError("after the cut") from error
