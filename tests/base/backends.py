"""Every flash device there is, each on a model of what it stands on: made, cut off from its supply, and made again."""

import itertools
import types

from hostsim.charger.cpython import driver
from hostsim.charger.flash import Nor
from hostsim.charger.littlefs import Filesystem
from milliamp.base.flash import Partition, Slice

from .chips import Blocks, Ferro, SerialNor

FRAM = driver("fram").FRAM
_spi_nor = driver("spi_nor")
SPINor = _spi_nor.SPINor
Segments = driver("segments").Segments
# Its waits pass by looks, a millisecond each, and not by how busy the machine is.
_looks = itertools.count()
_spi_nor.time = types.SimpleNamespace(
    ticks_ms=lambda: next(_looks), ticks_diff=lambda end, start: end - start
)
SIZE = 8 * 4096


class Backend:
    """`start()` gives the device as it is after a reset; `cut_power` as hostsim.charger.flash.Nor has it, `power_on` ends it."""

    def __init__(self, model, start):
        self.model = model
        self.start = start

    def cut_power(self, operations, torn="nothing", random=None):
        self.model.cut_power(operations, torn, random)

    def power_on(self):
        self.model.power_on()
        return self.start()


def host(folder):
    nor = Nor(SIZE, 4096)
    return Backend(nor, lambda: nor)


def host_wide(folder):
    nor = Nor(SIZE, 4096, 32, ecc=True)
    return Backend(nor, lambda: nor)


def file(folder):
    nor = Nor(SIZE, 4096, 8, image=folder / "flash.bin")
    return Backend(nor, lambda: nor)


def partition(folder):
    nor = Nor(SIZE + 8192, 4096, 16)
    return Backend(nor, lambda: Partition(Blocks(nor), 4096, SIZE, 16))


def region(folder):
    nor = Nor(SIZE + 8192, 4096)
    return Backend(nor, lambda: Slice(nor, 8192, SIZE))


def serial_nor(folder):
    nor = Nor(SIZE, 4096)
    chip = SerialNor(nor)

    def start():
        chip.power_on()
        return SPINor(chip, chip)

    return Backend(nor, start)


def fram(folder):
    chip = Ferro(SIZE)
    return Backend(chip, lambda: FRAM(chip, chip, SIZE, 2048))


def large_fram(folder):
    chip = Ferro(1 << 17)
    device = lambda: FRAM(chip, chip, 1 << 17, 4096)  # noqa: E731
    return Backend(chip, lambda: Slice(device(), (1 << 17) - SIZE, SIZE))


def segments(folder):
    nor = Nor(64 * 4096, 4096, 32)
    Filesystem(nor, format=True)

    def start():
        files = Filesystem(nor)
        return Segments("/journal", 12 * 1536, 1536, files, files.open)

    return Backend(nor, start)


BACKENDS = (host, host_wide, file, partition, region, serial_nor, fram, large_fram, segments)
