# Flash devices. Whatever stores bytes is used through the five names that `Flash` documents: a chip's
# driver has them, the host's NOR model has them, and `Partition` gives them to MicroPython's own
# block devices.


class Flash:
    """What the storage expects of a device. Drivers need not derive from this: it is the description.

    An erased byte reads 0xFF. A read or a program stays inside one sector. What is not possible, or
    did not work, raises OSError; so does reading what a power cut left unreadable (ECC flash).
    """

    # Bytes, whole sectors.
    size = 0
    # Bytes that are erased together.
    sector = 4096
    # Bytes that are programmed together: 1, 2, 4, 8, 16 or 32.
    unit = 1

    def read(self, address: int, buf) -> None:
        """Fill the buffer from `address`; neither has to be aligned."""

    def program(self, address: int, data) -> None:
        """Write whole units. Nobody programs a unit twice without an erase between."""

    def erase(self, address: int) -> None:
        """Erase the sector at `address`. It may block for as long as that takes."""


class Slice:
    """A region of a larger device: `offset` and `size` in bytes, both whole sectors."""

    def __init__(self, device, offset: int, size: int):
        if offset % device.sector or size % device.sector or offset + size > device.size:
            raise ValueError("not whole sectors of the flash")
        self.size = size
        self.sector = device.sector
        self.unit = device.unit
        self._device = device
        self._offset = offset

    def read(self, address: int, buf) -> None:
        self._device.read(self._offset + address, buf)

    def program(self, address: int, data) -> None:
        self._device.program(self._offset + address, data)

    def erase(self, address: int) -> None:
        self._device.erase(self._offset + address)


class Partition:
    """A block device with MicroPython's extended protocol, such as `esp32.Partition`: all of it, or
    `size` bytes from `offset`. `unit` is what the hardware asks for: 1 for plain NOR, 16 or 32 when
    the partition is encrypted."""

    def __init__(self, blocks, offset: int = 0, size: int = 0, unit: int = 1):
        self.sector = blocks.ioctl(5, 0)
        self.size = size or blocks.ioctl(4, 0) * self.sector - offset
        self.unit = unit
        self._blocks = blocks
        self._first = offset // self.sector
        if offset % self.sector or self.size % self.sector:
            raise ValueError("not whole blocks of the partition")

    def read(self, address: int, buf) -> None:
        block = self._first + address // self.sector
        _check(self._blocks.readblocks(block, buf, address % self.sector))

    def program(self, address: int, data) -> None:
        block = self._first + address // self.sector
        _check(self._blocks.writeblocks(block, data, address % self.sector))

    def erase(self, address: int) -> None:
        _check(self._blocks.ioctl(6, self._first + address // self.sector))


def _check(result):
    # Block devices say "it failed" in three ways: an exception, False, or an error number.
    if result is False or (result is not True and result):
        raise OSError(5)
