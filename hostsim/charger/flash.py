"""A flash chip: real NOR semantics, counters, and power cuts in the middle of an operation.

Runs under CPython and under MicroPython.
"""

_ERASED = 0xFF


class PowerCut(BaseException):
    """The supply failed in this operation; `Nor.power_on` brings the chip back."""


class Nor:
    """`size` bytes in sectors of `sector`, programmed in units of `unit` bytes.

    Programming only clears bits. Programming a unit twice without an erase, or over the edge of a sector, is a bug of
    the caller and raises ValueError. `image` is the path of a file that holds the contents (created when it is
    not there) or a bytearray; by default a new one. With `ecc`, what a power cut left half done cannot be read.
    """

    def __init__(self, size, sector=4096, unit=1, image=None, ecc=False):
        if size % sector or sector % unit or unit not in (1, 2, 4, 8, 16, 32):
            raise ValueError(f"a flash of {size} bytes, sector {sector}, unit {unit}")
        self.size = size
        self.sector = sector
        self.unit = unit
        self.ecc = ecc
        self.image = bytearray(b"\xff" * size) if image is None else _open(image, size)
        self.bytes_read = 0
        self.bytes_programmed = 0
        self.erases = 0
        self.erased = [0] * (size // sector)  # erases of each sector
        self.operations = 0  # programs and erases
        self.bad = set()  # sectors that no longer take an erase or a program
        self._unreadable = set()  # units
        self.power_on()

    def power_on(self):
        """The supply is back. From here on, programmed is what does not read as erased."""
        self._on = True
        self._fuse = None
        self._fault = None  # what ends the operation that is under way
        self._programmed = bytearray(self.size // self.unit)  # even if all its bits stayed 1

    def cut_power(self, operations=0, torn="nothing", random=None):
        """Let the supply fail in the program or erase that comes after `operations` more of them.

        What is done of it is "nothing", its first "half", random "bits" (`random(n)` gives an integer below n), or
        "all" of it.
        """
        self._fuse = (operations, torn, random, PowerCut())

    def fail(self, operations=0, torn="nothing", random=None):
        """Like `cut_power`, but the supply stays: only that operation fails, with an OSError."""
        self._fuse = (operations, torn, random, OSError(5))

    def read(self, address, buf):
        """Fill `buf`."""
        self._check(address, len(buf))
        if self._unreadable:
            for unit in range(address // self.unit, (address + len(buf) - 1) // self.unit + 1):
                if unit in self._unreadable:
                    raise OSError(5)
        buf[:] = self.image[address : address + len(buf)]
        self.bytes_read += len(buf)

    def program(self, address, data):
        """Clear the bits that are 0 in `data`."""
        self._check(address, len(data))
        if address % self.unit or len(data) % self.unit or not len(data):
            raise ValueError("not whole units")
        end = address + len(data)
        first, behind = address // self.unit, end // self.unit
        units = range(first, behind)
        if (
            any(self._programmed[first:behind])
            or min(self.image[address:end]) != _ERASED
            or self._unreadable
            and any([unit in self._unreadable for unit in units])
        ):
            raise ValueError(f"programmed twice at {address}")
        if address // self.sector in self.bad:
            raise OSError(5)
        self.bytes_programmed += len(data)
        keep = self._blow(len(data), units)
        if self._fault:
            for at in range(len(data)):
                self.image[address + at] &= data[at] | keep(at)
        else:
            self.image[address:end] = data  # over what is erased
        for unit in units:
            self._programmed[unit] = 1
        self._fall()

    def erase(self, address):
        """Set all bits of a sector."""
        self._check(address, self.sector)
        if address // self.sector in self.bad:
            raise OSError(5)
        units = range(address // self.unit, (address + self.sector) // self.unit)
        self._unreadable -= set(units)
        self.erases += 1
        self.erased[address // self.sector] += 1
        keep = self._blow(self.sector, units)
        if self._fault:
            for at in range(self.sector):
                self.image[address + at] |= ~keep(at) & 0xFF
            self._fall()
        self.image[address : address + self.sector] = b"\xff" * self.sector
        for unit in units:
            self._programmed[unit] = 0

    def _check(self, address, length):
        if not self._on:
            raise PowerCut
        if (
            address < 0
            or address % self.sector + length > self.sector
            or address + length > self.size
        ):
            raise ValueError(f"not inside a sector: {length} bytes at {address}")

    def _fall(self):
        # The operation ends here if it is the one that fails.
        fault, self._fault = self._fault, None
        if fault:
            raise fault

    def _blow(self, length, units):
        # Count an operation. Return what says which bits of its nth byte stay as they were.
        self.operations += 1
        if self._fuse:
            left, torn, random, fault = self._fuse
            self._fuse = (left - 1, torn, random, fault)
            if not left:
                self._fault = fault
                self._on = isinstance(fault, OSError)
                if self.ecc and torn in ("half", "bits"):
                    self._unreadable.update(units)
                if torn == "nothing":
                    return lambda at: 0xFF
                if torn == "half":
                    return lambda at: 0 if at < length // 2 else 0xFF
                if torn == "bits":
                    return lambda at: random(256)
        return lambda at: 0


def _open(image, size):
    if isinstance(image, bytearray):
        return image
    import mmap
    import os

    if not os.path.exists(image) or os.path.getsize(image) != size:
        with open(image, "wb") as file:
            file.write(b"\xff" * size)
    with open(image, "r+b") as file:
        return mmap.mmap(file.fileno(), size)
