# A serial NOR flash chip on SPI: W25Q, GD25Q, MX25L, IS25LP and whatever else says by SFDP that it erases 4 kB.
import time

from micropython import const

_READ = const(0x03)
_PROGRAM = const(0x02)
_WRITE_ENABLE = const(0x06)
_STATUS = const(0x05)
_JEDEC_ID = const(0x9F)
_SFDP = const(0x5A)
_WAKE = const(0xAB)

# Bits of the status.
_BUSY = const(0x01)
_ENABLED = const(0x02)
_PROTECTED = const(0x1C)

# bytes: a program that goes on behind its page's end begins at its start again.
_PAGE = const(256)
# Bytes that an address of 24 bits reaches.
_FAR = const(1 << 24)
# Data sheets: 3 to 5 at most.
_PROGRAM_MS = const(10)
# 400 at most.
_ERASE_MS = const(1000)
_LOOK_MS = const(10)
# Bytes that are read back at once.
_PIECE = const(32)

_EIO = const(5)
_ENODEV = const(19)
_EROFS = const(30)


class SPINor:
    """The chip as base.flash describes a device, at most its first 16 MB. `spi`: a bus in mode 0 or 3 as
    machine.SPI has it, at most 33 MHz; `cs`: an output pin; `unit`: bytes, 16 for a chip with ECC of its own (S25FL);
    `meanwhile`: called each 10 ms of an erase, for what cannot wait. What was programmed is read back.

    OSError(19): no such chip there; OSError(30): it is write-protected.
    """

    sector = 4096

    def __init__(self, spi, cs, unit: int = 1, meanwhile=None):
        self.unit = unit
        self._meanwhile = meanwhile
        self._spi = spi
        self._cs = cs
        self._head = bytearray(4)
        self._byte = bytearray(1)
        self._back = bytearray(_PIECE)
        cs.value(1)
        self._begin(_WAKE)
        cs.value(1)
        if self._status() == 0xFF:
            raise OSError(_ENODEV)
        # A reset of the controller does not end an erase.
        self._wait(_ERASE_MS)
        ident = bytearray(3)
        self._begin(_JEDEC_ID)
        self._end(ident)
        if ident[0] in (0x00, 0xFF):
            raise OSError(_ENODEV)
        self._erase = 0x20
        self.size = min(self._parameters() or 1 << (ident[2] & 31), _FAR)
        if self.size < self.sector:
            raise OSError(_ENODEV)
        if self._status() & _PROTECTED:
            raise OSError(_EROFS)

    def read(self, address: int, buf) -> None:
        self._begin(_READ, address)
        self._end(buf)

    def program(self, address: int, data) -> None:
        data = memoryview(data)
        while len(data):
            part = data[: _PAGE - address % _PAGE]
            self._enable()
            self._begin(_PROGRAM, address)
            self._spi.write(part)
            self._done(_PROGRAM_MS)
            self._compare(address, part)
            data = data[len(part) :]
            address += len(part)

    def erase(self, address: int) -> None:
        """Blocks for 45 ms as a rule, 400 at worst."""
        self._enable()
        self._begin(self._erase, address)
        self._done(_ERASE_MS)

    def _parameters(self):
        # The size as SFDP tells it, None from a chip without; and the code of its 4 kB erase.
        buf = bytearray(16)
        self._begin_sfdp(0)
        self._end(buf)
        if buf[:4] != b"SFDP":
            return None
        self._begin_sfdp(buf[12] | buf[13] << 8 | buf[14] << 16)
        self._end(buf)
        if buf[0] & 3 != 1:
            # No 4 kB erase.
            raise OSError(_ENODEV)
        self._erase = buf[1]
        bits = buf[4] | buf[5] << 8 | buf[6] << 16 | (buf[7] & 0x7F) << 24
        return 1 << min(bits - 3, 24) if buf[7] & 0x80 else (bits + 1) >> 3

    def _begin_sfdp(self, address):
        self._begin(_SFDP, address)
        self._byte[0] = 0
        # Eight clocks for nothing.
        self._spi.write(self._byte)

    def _begin(self, command, address=None):
        # Select the chip and send a command; it ends when the chip is released.
        head = self._head
        head[0] = command
        self._cs.value(0)
        if address is None:
            self._spi.write(memoryview(head)[:1])
        else:
            head[1] = address >> 16
            head[2] = address >> 8 & 0xFF
            head[3] = address & 0xFF
            self._spi.write(head)

    def _end(self, buf):
        self._spi.readinto(buf)
        self._cs.value(1)

    def _status(self):
        self._begin(_STATUS)
        self._end(self._byte)
        return self._byte[0]

    def _enable(self):
        self._begin(_WRITE_ENABLE)
        self._cs.value(1)
        if self._status() & (_ENABLED | _BUSY) != _ENABLED:
            raise OSError(_EIO)

    def _done(self, limit):
        # The chip takes up what it was told, and clears its latch when it has done it.
        self._cs.value(1)
        if self._wait(limit) & _ENABLED:
            raise OSError(_EIO)

    def _wait(self, limit):
        start = looked = time.ticks_ms()
        while True:
            status = self._status()
            if not status & _BUSY:
                return status
            now = time.ticks_ms()
            if time.ticks_diff(now, start) > limit:
                raise OSError(_EIO)
            if self._meanwhile is not None and time.ticks_diff(now, looked) >= _LOOK_MS:
                self._meanwhile()
                looked = time.ticks_ms()

    def _compare(self, address, data):
        for at in range(0, len(data), _PIECE):
            back = memoryview(self._back)[: min(_PIECE, len(data) - at)]
            self.read(address + at, back)
            if back != data[at : at + len(back)]:
                raise OSError(_EIO)
