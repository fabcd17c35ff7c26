# Reads the UID of ISO 14443 A cards with an MFRC522 on SPI.
#
# A poll never waits for a card that is not there: one poll asks, a later one looks for the answer. Only when
# a card has answered is its UID read at one go, which takes a few ms.
from binascii import hexlify

from micropython import const

_RING = const(0x3FFFFFFF)
# A card that was not seen for so long was taken away.
_GONE_MS = const(1000)
# Polls without any sign of life of the chip: start it again.
_MUTE = const(20)
# Looks for an answer; the chip's own timer ends each exchange after 5 ms.
_TRIES = const(100)

# Registers.
_COMMAND = const(0x01)
_IRQ = const(0x04)
_ERROR = const(0x06)
_FIFO = const(0x09)
_LEVEL = const(0x0A)
_FRAMING = const(0x0D)
_MODE = const(0x11)
_TX_CONTROL = const(0x14)
_TX_ASK = const(0x15)
_T_MODE = const(0x2A)
_T_PRESCALER = const(0x2B)
_T_RELOAD_H = const(0x2C)
_T_RELOAD_L = const(0x2D)

_IDLE = const(0x00)
_TRANSCEIVE = const(0x0C)
_SOFT_RESET = const(0x0F)

# Bits of _IRQ.
_RECEIVED = const(0x20)
_TIMER = const(0x01)
# Bits of _ERROR: overflow, collision, parity, protocol.
_BROKEN = const(0x1B)

# Wakes halted cards too: a card that lies there is seen to lie there.
_WUPA = b"\x52"
_HLTA = b"\x50\x00\x57\xcd"


class MFRC522:
    """`spi` in mode 0 at up to 10 MHz; `cs` and `reset` (or None) are pins."""

    def __init__(self, spi, cs, reset):
        self._spi = spi
        self._cs = cs
        self._reset = reset
        self._pair = bytearray(2)
        # Of the card that lies there.
        self._uid = None
        # Ticks at which it, or something, last answered.
        self._seen = 0
        self._asked = False
        self._mute = 0
        self._start()

    def poll(self, now: int):
        """The UID of a card that has just been presented, in upper-case hexadecimal, else None. Two cards
        at once are none."""
        if not self._asked:
            self._send(_WUPA, 7)
            self._asked = True
            return None
        irq = self._read(_IRQ)
        if not irq & (_RECEIVED | _TIMER):
            self._mute += 1
            if self._mute >= _MUTE:
                self._start()
            return None
        self._mute = 0
        self._asked = False
        if not irq & _RECEIVED:
            if self._uid and (now - self._seen) & _RING >= _GONE_MS:
                self._uid = None
            return None
        self._seen = now
        uid = None if self._read(_ERROR) & _BROKEN else self._select()
        if uid is None or uid == self._uid:
            return None
        self._uid = uid
        return uid

    def _start(self):
        if self._reset is not None:
            self._reset.value(0)
            self._reset.value(1)
        self._write(_COMMAND, _SOFT_RESET)
        for _ in range(_TRIES):
            # It is up.
            if not self._read(_COMMAND) & 0x10:
                break
        # The timer starts when a frame was sent.
        self._write(_T_MODE, 0x80)
        # And counts 25 us:
        self._write(_T_PRESCALER, 0xA9)
        self._write(_T_RELOAD_H, 0)
        # 5 ms.
        self._write(_T_RELOAD_L, 200)
        # 100 % ASK.
        self._write(_TX_ASK, 0x40)
        self._write(_MODE, 0x3D)
        # Antenna on.
        self._write(_TX_CONTROL, 0x83)
        self._asked = False
        self._mute = 0

    def _select(self):
        # Anticollision and selection, level by level; 4, 7 or 10 bytes of UID.
        uid = b""
        for level in b"\x93\x95\x97":
            part = self._exchange(bytes((level, 0x20)))
            if part is None or len(part) != 5 or part[0] ^ part[1] ^ part[2] ^ part[3] ^ part[4]:
                return None
            frame = bytes((level, 0x70)) + part
            sak = self._exchange(frame + crc(frame))
            if sak is None or len(sak) != 3 or crc(sak[:1]) != sak[1:]:
                return None
            if not sak[0] & 0x04:
                # Nothing answers to that.
                self._send(_HLTA)
                return hexlify(uid + part[:4]).decode().upper()
            # Behind the cascade tag; the UID goes on.
            uid += part[1:4]
        return None

    def _exchange(self, frame):
        # Send a frame and wait for its answer; None when none came in one piece.
        self._send(frame)
        for _ in range(_TRIES):
            irq = self._read(_IRQ)
            if irq & _RECEIVED:
                if self._read(_ERROR) & _BROKEN:
                    return None
                return bytes([self._read(_FIFO) for _ in range(self._read(_LEVEL) & 0x7F)])
            if irq & _TIMER:
                break
        return None

    def _send(self, frame, bits=0):
        # `bits`: how many of the last byte, 0 for all.
        self._write(_COMMAND, _IDLE)
        self._write(_IRQ, 0x7F)
        # Empties the FIFO.
        self._write(_LEVEL, 0x80)
        for byte in frame:
            self._write(_FIFO, byte)
        self._write(_COMMAND, _TRANSCEIVE)
        self._write(_FRAMING, 0x80 | bits)

    def _write(self, register, value):
        self._pair[0], self._pair[1] = register << 1, value
        self._cs.value(0)
        self._spi.write(self._pair)
        self._cs.value(1)

    def _read(self, register):
        self._pair[0], self._pair[1] = register << 1 | 0x80, 0
        self._cs.value(0)
        self._spi.write_readinto(self._pair, self._pair)
        self._cs.value(1)
        return self._pair[1]


def crc(data) -> bytes:
    """CRC_A of ISO 14443-3."""
    value = 0x6363
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0x8408 if value & 1 else value >> 1
    return bytes((value & 0xFF, value >> 8))
