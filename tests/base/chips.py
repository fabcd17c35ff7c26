"""What flash drivers stand on: memory chips on SPI as their data sheets describe them, and a block device."""

from hostsim.charger.flash import PowerCut


class Bus:
    """A bus with one chip on it, and that chip's select pin: `write`, `readinto` as machine.SPI has them, `value` as
    machine.Pin. A chip takes a command when it is released."""

    def __init__(self):
        self.frame = None  # bytes sent since the chip was selected
        self.at = 0  # bytes that it answered

    def value(self, level):
        if level and self.frame is not None:
            frame, self.frame = self.frame, None
            if frame:
                self.execute(frame[0], bytes(frame))
        elif not level:
            assert self.frame is None, "selected twice"
            self.frame = bytearray()
            self.at = 0

    def write(self, data):
        assert self.frame is not None, "nobody is selected"
        assert self.at == 0
        self.frame += data

    def readinto(self, buf):
        answer = self.answer(self.frame[0], bytes(self.frame), self.at + len(buf))
        buf[:] = answer[self.at :]
        self.at += len(buf)


class SerialNor(Bus):
    """A W25Q: pages of 256 bytes whose addresses wrap round, a latch that each program and erase clears, busy for a
    few looks at its status. `nor` is its array, which minds that no byte is programmed twice."""

    PAGE = 256

    def __init__(self, nor, sfdp=True, ident=b"\xef\x40\x12"):
        super().__init__()
        self.nor = nor
        self.ident = ident
        self.parameters = self.table(nor.size) if sfdp else b"\xff" * 256
        self.asleep = True
        self.latch = False
        self.busy = 0
        self.protected = 0  # bits of the status
        self.stuck = False  # it never gets ready
        self.deaf = False  # commands that change something do not reach it
        self.lost = set()  # nor do these
        self.floating = None  # nobody drives the line: it reads as this
        self.worn = 0  # bits that no longer clear
        self.log = []  # (command, address, bytes)

    @staticmethod
    def table(size, erase=0x20):
        table = bytearray(b"\xff" * 256)
        table[:16] = b"SFDP\x06\x01\x00\xff" + b"\x00\x06\x01\x10\x80\x00\x00\xff"
        table[0x80:0x88] = bytes((0xE5, erase, 0xF1, 0xFF)) + (size * 8 - 1).to_bytes(4, "little")
        return bytes(table)

    def status(self):
        if self.busy and not self.stuck:
            self.busy -= 1
        return bool(self.busy) | self.latch << 1 | self.protected

    def answer(self, command, frame, size):
        if self.floating is not None:
            return bytes((self.floating,)) * size
        if self.asleep:
            return b"\xff" * size
        if command == 0x05:
            return bytes([self.status() for _ in range(size)])
        if self.busy:
            return b"\xff" * size
        if command == 0x9F:
            return (self.ident * size)[:size]
        address = int.from_bytes(frame[1:4], "big")
        if command == 0x5A:
            assert len(frame) == 5, "SFDP wants eight clocks behind the address"
            return self.parameters[address : address + size]
        assert command == 0x03 and len(frame) == 4
        data = bytearray()
        while len(data) < size:
            at = (address + len(data)) % self.nor.size
            part = bytearray(min(size - len(data), self.nor.sector - at % self.nor.sector))
            self.nor.read(at, part)
            data += part
        return bytes(data)

    def execute(self, command, frame):
        if command == 0xAB:
            self.asleep = False
        if (
            self.asleep
            or self.busy
            or self.deaf
            or command in self.lost
            or self.floating is not None
        ):
            return
        if command == 0x06:
            self.latch = True
        elif command == 0x04:
            self.latch = False
        elif command in (0x02, 0x20) and self.latch and not self.protected:
            address = int.from_bytes(frame[1:4], "big") % self.nor.size
            self.log.append((command, address, len(frame) - 4))
            self.busy = 3
            if command == 0x20:
                self.nor.erase(address - address % self.nor.sector)
            else:
                self.program(address, frame[4:])
            self.latch = False

    def program(self, address, data):
        page, at = address - address % self.PAGE, address % self.PAGE
        data = data[-self.PAGE :]
        if at + len(data) <= self.PAGE:
            self.nor.program(address, bytes([byte | self.worn for byte in data]))
        else:
            self.nor.program(address, data[: self.PAGE - at])
            self.nor.program(page, data[self.PAGE - at :])

    def power_on(self):
        self.nor.power_on()
        self.frame, self.latch, self.busy, self.asleep = None, False, 0, True


class Ferro(Bus):
    """An FM25 or MB85RS: writes byte by byte as they come, to any address; behind its last byte comes its first."""

    def __init__(self, size):
        super().__init__()
        self.array = bytearray(size)  # as it comes: not erased
        self.bytes = 3 if size > 0x10000 else 2  # of an address
        self.latch = False
        self.protected = 0
        self.deaf = False
        self.lost = set()
        self.floating = None
        self.fuse = None  # writes until the supply fails, and how much of that one is done: 0 to 1
        self.on = True

    def cut_power(self, operations=0, torn="nothing", random=None):
        self.fuse = operations, {"nothing": 0, "half": 0.5, "bits": 0.25, "all": 1}[torn]

    def power_on(self):
        self.fuse, self.on = None, True
        self.frame, self.latch = None, False

    def answer(self, command, frame, size):
        if not self.on:
            raise PowerCut
        if self.floating is not None:
            return bytes((self.floating,)) * size
        if command == 0x05:
            return bytes((self.latch << 1 | self.protected,)) * size
        assert command == 0x03 and len(frame) == 1 + self.bytes
        address = int.from_bytes(frame[1:], "big")
        return bytes([self.array[(address + at) % len(self.array)] for at in range(size)])

    def execute(self, command, frame):
        if not self.on:
            raise PowerCut
        if self.deaf or command in self.lost or self.floating is not None:
            return
        if command == 0x06:
            self.latch = True
        elif command == 0x04:
            self.latch = False
        elif command == 0x02 and self.latch:
            address = int.from_bytes(frame[1 : 1 + self.bytes], "big")
            data = frame[1 + self.bytes :]
            if self.fuse:
                left, part = self.fuse
                self.fuse = left - 1, part
                if not left:
                    data = data[: int(len(data) * part)]
                    self.on = False
            if not self.protected:
                for at, byte in enumerate(data):
                    self.array[(address + at) % len(self.array)] = byte
            if not self.on:
                raise PowerCut
            self.latch = False


class Blocks:
    """A block device with the extended protocol, as a port has them. `answer`: what it returns."""

    def __init__(self, nor, answer=None):
        self.nor = nor
        self.answer = answer

    def readblocks(self, block, buf, offset=0):
        self.nor.read(block * self.nor.sector + offset, buf)
        return self.answer

    def writeblocks(self, block, buf, offset=None):
        if offset is None:
            raise AssertionError("without an offset a block device erases first")
        self.nor.program(block * self.nor.sector + offset, buf)
        return self.answer

    def ioctl(self, op, arg):
        if op == 4:
            return self.nor.size // self.nor.sector
        if op == 5:
            return self.nor.sector
        if op == 6:
            self.nor.erase(arg * self.nor.sector)
        return 0 if self.answer is None else self.answer
