# A ferroelectric memory on SPI: FM25, CY15B, MB85RS. It writes as fast as the bus and does not wear, so it has
# neither pages nor sectors: an erase writes 0xFF.
from micropython import const

_READ = const(0x03)
_WRITE = const(0x02)
_WRITE_ENABLE = const(0x06)
_WRITE_DISABLE = const(0x04)
_STATUS = const(0x05)

# Bits of the status.
_ENABLED = const(0x02)
_PROTECTED = const(0x0C)

# Bytes of 0xFF that are sent at once.
_PIECE = const(64)

_EIO = const(5)
_ENODEV = const(19)
_EROFS = const(30)


class FRAM:
    """The chip as base.flash describes a device. `spi`: a bus in mode 0 or 3 as machine.SPI has it; `cs`: an
    output pin; `size` in bytes, from the data sheet: not every chip tells it.

    OSError(19): no such chip there; OSError(30): it is write-protected.
    """

    unit = 1

    def __init__(self, spi, cs, size: int, sector: int = 2048):
        if size % sector:
            raise ValueError("not whole sectors of the FRAM")
        self.size = size
        self.sector = sector
        self._spi = spi
        self._cs = cs
        self._head = bytearray(3 if size <= 0x10000 else 4)
        self._byte = bytearray(1)
        self._erased = b"\xff" * _PIECE
        cs.value(1)
        # Wakes a chip that sleeps.
        self._status()
        self._command(_WRITE_ENABLE)
        enabled = self._status()
        self._command(_WRITE_DISABLE)
        if not enabled & _ENABLED or self._status() & _ENABLED:
            raise OSError(_ENODEV)
        if enabled & _PROTECTED:
            raise OSError(_EROFS)

    def read(self, address: int, buf) -> None:
        self._begin(_READ, address)
        self._spi.readinto(buf)
        self._cs.value(1)

    def program(self, address: int, data) -> None:
        self._enable()
        self._begin(_WRITE, address)
        self._spi.write(data)
        self._done()

    def erase(self, address: int) -> None:
        """2 kB take 2 ms at 8 MHz."""
        self._enable()
        self._begin(_WRITE, address)
        left = self.sector
        while left:
            part = memoryview(self._erased)[:left]
            self._spi.write(part)
            left -= len(part)
        self._done()

    def _begin(self, command, address):
        head = self._head
        head[0] = command
        for at in range(len(head) - 1, 0, -1):
            head[at] = address & 0xFF
            address >>= 8
        self._cs.value(0)
        self._spi.write(head)

    def _command(self, command):
        self._byte[0] = command
        self._cs.value(0)
        self._spi.write(self._byte)
        self._cs.value(1)

    def _status(self):
        self._byte[0] = _STATUS
        self._cs.value(0)
        self._spi.write(self._byte)
        self._spi.readinto(self._byte)
        self._cs.value(1)
        return self._byte[0]

    def _enable(self):
        self._command(_WRITE_ENABLE)
        if not self._status() & _ENABLED:
            raise OSError(_EIO)

    def _done(self):
        # The chip clears its latch at the end of what it took for a write.
        self._cs.value(1)
        if self._status() & _ENABLED:
            raise OSError(_EIO)
