"""A Modbus RTU slave behind a UART: registers, and everything that may happen on a line."""

import struct


def crc16(data: bytes) -> bytes:
    """With a table, otherwise than the driver's."""
    value = 0xFFFF
    for byte in data:
        value = value >> 8 ^ TABLE[(value ^ byte) & 0xFF]
    return struct.pack("<H", value)


def _row(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0xA001 if byte & 1 else 0)
    return byte


TABLE = [_row(byte) for byte in range(256)]


class Slave:
    """An SDM630, `latency` ms after the question. The UART's side is `any`, `read`, `write` and `flush`.

    `spoil(answer)` may change an answer; `mute`: it does not answer; `late`: ms by which the next answers come later.
    """

    def __init__(self, chip, address=1, function=4):
        self.chip = chip
        self.address = address
        self.function = function
        self.settings = None
        self.latency = 40
        self.late = []
        self.mute = False
        self.spoil = None
        self.asked = []  # (ms, frame)
        self.arriving = []  # (ms, bytes)
        self.values = {}  # register: float
        self.set(energy=1234567, power=0, current=(0, 0, 0), voltage=(230000, 231000, 229000))

    def set(self, energy=None, power=None, current=None, voltage=None):
        """What it measures, in Wh, W, mA, mV."""
        if energy is not None:
            self.values[0x48] = energy / 1000
        if power is not None:
            self.values[0x34] = power
        for register, phases in ((6, current), (0, voltage)):
            for n, value in enumerate(phases or ()):
                self.values[register + 2 * n] = value / 1000

    # --- the UART ------------------------------------------------------------------------------------
    def any(self):
        return sum(len(data) for at, data in self.arriving if at <= self.chip.ms)

    def read(self, count):
        got = b"".join(data for at, data in self.arriving if at <= self.chip.ms)
        self.arriving = [(at, data) for at, data in self.arriving if at > self.chip.ms]
        if len(got) > count:
            self.arriving.insert(0, (self.chip.ms, got[count:]))
        return got[:count] or None

    def write(self, frame):
        # ports/stm32/machine_uart.c waits here, ports/esp32/machine_uart.c in `flush`.
        if self.chip.kind.writes_wait:
            self.wait()
        frame = bytes(frame)
        assert crc16(frame[:-2]) == frame[-2:]
        self.asked.append((self.chip.ms, frame))
        address, function, register, count = struct.unpack(">BBHH", frame[:-2])
        if self.mute or address != self.address or function != self.function:
            return
        answer = self.answer(register, count)
        if self.spoil is not None:
            answer = self.spoil(answer)
        late = self.late.pop(0) if self.late else 0
        if answer:
            self.arriving.append((self.chip.ms + self.latency + late, answer))

    def flush(self):
        if not self.chip.kind.writes_wait:
            self.wait()

    def wait(self):
        """Until the last byte has left: at 9,600 baud."""
        self.chip.wait(9000, "C")

    def answer(self, register, count):
        data = b""
        for at in range(register, register + count, 2):
            if at not in self.values:
                return self.frame(bytes((self.function | 0x80, 2)))
            data += struct.pack(">f", self.values[at])
        return self.frame(bytes((self.function, len(data))) + data)

    def frame(self, body):
        body = bytes((self.address,)) + body
        return body + crc16(body)
