# Energy meters on a Modbus RTU line. One question at a time, and nothing ever waits for its answer: that is looked
# for once a scan. Modbus answers do not say to which question they belong, so after any fault the line rests for
# longer than a meter may think, and then the same question is asked again.
from micropython import const

_RING = const(0x3FFFFFFF)
_REST_MS = const(1000)
# Questions to one meter in a row without an answer: it is lost.
_TRIES = const(5)
# A register may gain beyond what the EVSE can draw: coarse steps.
_MARGIN_WH = const(100)
# Readings in a row, one a second, that follow one another: the meter has begun anew.
_ANEW = const(60)
# W, mA and mV beyond which a value is none.
_MOST = const(20000000)

_ENERGY = const(0)
_POWER = const(1)
_CURRENT = const(2)
_VOLTAGE = const(3)

# Formats: words of 16 bits, and how they are meant.
_WORDS = const(7)
_SIGNED = const(16)
_FLOAT = const(32)
_LOW_FIRST = const(64)


def crc(data) -> int:
    """The CRC-16 of Modbus; over a frame with its CRC it is 0."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value


def number(data, at: int, form: int, ten: int):
    """The number at `at` of the registers in `data`, times 10 ** ten, rounded; None when it is none (NaN)."""
    words = form & _WORDS
    value = 0
    for n in range(words):
        n = at + 2 * (words - 1 - n if form & _LOW_FIRST else n)
        value = value << 16 | data[n] << 8 | data[n + 1]
    up = down = 1
    if form & _FLOAT:
        sign, exponent, value = value >> 31, value >> 23 & 0xFF, value & 0x7FFFFF
        # Infinite, or beyond anything a meter counts.
        if exponent > 190:
            return None
        if exponent:
            value |= 0x800000
        exponent = max(exponent, 1) - 150
        if exponent < 0:
            down <<= -exponent
        else:
            up <<= exponent
        if sign:
            value = -value
    elif form & _SIGNED and value >> 16 * words - 1:
        value -= 1 << 16 * words
    if ten < 0:
        down *= 10**-ten
    else:
        up *= 10**ten
    return (2 * value * up + down) // (2 * down)


class Meter:
    """One meter. `rows`: (register, format, ten) of energy, power, current and voltage, () for what it does not
    measure; current and voltage are of as many `phases`, one behind the other. `watts`: what its EVSE can draw.

    The register that is shown never falls. A meter that counts less than before, or leaps, is lost, until it has
    counted on from there for a minute: it was reset or replaced, or rolled over, and is followed from then on.
    """

    def __init__(self, address: int, rows, phases: int, watts: int):
        # Until all of it has answered.
        self.fault = "EnergyMeter"
        # Wh.
        self.register = 0
        self.address = address
        # What is asked next.
        self.row = _ENERGY
        # In a row.
        self.failures = 0
        self._rows = rows
        self._phases = phases
        self._watts = watts
        # Ticks of the last register.
        self._at = None
        # Wh that it is ahead of the meter's own.
        self._ahead = 0
        # Readings that follow one another, but not the register:
        self._anew = 0
        # The meter's own, and ticks.
        self._first = self._last = self._last_at = 0
        self._forget()

    def _forget(self):
        # -, W, mA of each phase, mV of each phase
        self._values = [None] * (_CURRENT + 2 * self._phases)

    def measure(self, measurand: str, phase: int):
        """As the HAL has it; of three phases, current and voltage are told one by one."""
        if measurand == "Power.Active.Import":
            return None if phase else self._values[_POWER]
        # Of the only phase, 0 or 1.
        at = phase or self._phases == 1
        if at and phase <= self._phases:
            if measurand == "Current.Import":
                return self._values[_CURRENT + at - 1]
            if measurand == "Voltage":
                return self._values[_CURRENT + self._phases + at - 1]
        return None

    def scan(self, now: int) -> None:
        """Nothing: the line does it."""

    def stop(self) -> None:
        """Nothing: the meter keeps its register."""

    def question(self):
        """(register, how many) of what is asked next."""
        register, form, _ = self._rows[self.row]
        return register, (form & _WORDS) * (self._phases if self.row >= _CURRENT else 1)

    def take(self, data, now: int) -> bool:
        """The registers that were asked for. False: that is no answer."""
        row = self.row
        _, form, ten = self._rows[row]
        if row == _ENERGY:
            if not self._count(number(data, 0, form, ten), now):
                return False
        else:
            found = []
            for at in range(0, len(data), 2 * (form & _WORDS)):
                value = number(data, at, form, ten)
                if value is None or not -_MOST <= value <= _MOST:
                    return False
                found.append(value)
            at = row if row < _VOLTAGE else _CURRENT + self._phases
            self._values[at : at + len(found)] = found
        self.failures = 0
        self.row = (row + 1) % len(self._rows)
        while not self._rows[self.row]:
            self.row = (self.row + 1) % len(self._rows)
        # All of it answers.
        if self.row == _ENERGY:
            self.fault = None
        return True

    def _count(self, value, now):
        # A register that falls, or leaps, is none, unless it is a new beginning.
        if value is None or value < 0:
            return False
        register = value + self._ahead
        if self._at is not None and not self._follows(self.register, self._at, register, now):
            if not (self._anew and self._follows(self._last, self._last_at, value, now)):
                self._anew = 0
                self._first = value
            self._anew += 1
            self._last, self._last_at = value, now
            if self._anew < _ANEW:
                return False
            self._ahead = self.register - self._first
            register = value + self._ahead
        self._anew = 0
        self.register = register
        self._at = now
        return True

    def _follows(self, before, at, value, now):
        # Can a register of now have been `before` at those ticks?
        seconds = ((now - at) & _RING) // 1000 + 1
        return 0 <= value - before <= self._watts * seconds // 3600 + _MARGIN_WH

    def fail(self) -> None:
        """It did not answer, or not right."""
        self.failures += 1
        if self.failures >= _TRIES:
            self.fault = "EnergyMeter"
            self.row = _ENERGY
            self._forget()


class Line:
    """The master. `uart` never waits; `enable` (or None) is on while the transceiver shall send; `function` is 3
    or 4; `timeout` in ms."""

    def __init__(self, uart, enable, function: int, timeout: int, meters: list):
        self.meters = meters
        self._uart = uart
        self._enable = enable
        self._function = function
        self._timeout = timeout
        # Whose meter's turn it is.
        self._turn = 0
        self._asked = False
        # ms that the line rests.
        self._rest = 0
        # Ticks since when, or at which was asked.
        self._at = 0
        self._frame = bytearray(8)
        self._answer = bytearray(5 + 24)
        self._got = 0

    def waits(self) -> bool:
        """Is there a meter that never answered, and may still do so?"""
        return any([meter.fault and meter.failures < _TRIES for meter in self.meters])

    def scan(self, now: int) -> None:
        """Look for the answer, or ask the next question."""
        meter = self.meters[self._turn]
        if not self._asked:
            if (now - self._at) & _RING >= self._rest:
                self._ask(meter, now)
            return
        _, count = meter.question()
        size = 5 + 2 * count
        good = self._listen(meter, size)
        if good:
            good = meter.take(memoryview(self._answer)[3 : size - 2], now)
        elif good is None:
            if (now - self._at) & _RING < self._timeout:
                return
            good = False
        if not good:
            meter.fail()
        self._rest = 0 if good else _REST_MS
        self._asked = False
        self._at = now
        self._turn = (self._turn + 1) % len(self.meters)

    def _ask(self, meter, now):
        # What nobody asked for.
        while self._uart.any():
            self._uart.read(self._uart.any())
        register, count = meter.question()
        frame = self._frame
        frame[0], frame[1] = meter.address, self._function
        frame[2], frame[3] = register >> 8, register & 0xFF
        frame[4], frame[5] = 0, count
        check = crc(memoryview(frame)[:6])
        frame[6], frame[7] = check & 0xFF, check >> 8
        if self._enable is not None:
            self._enable.on()
        self._uart.write(frame)
        if self._enable is not None:
            # 9 ms at 9,600 baud.
            self._uart.flush()
            self._enable.off()
        self._asked = True
        self._got = 0
        self._at = now

    def _listen(self, meter, size):
        # True: the answer is there; False: something else is; None: not yet.
        answer, waiting = self._answer, self._uart.any()
        if self._got + waiting > size:
            return False
        if waiting:
            part = self._uart.read(waiting)
            answer[self._got : self._got + len(part)] = part
            self._got += len(part)
        head = memoryview(answer)[:3]
        if self._got >= 3 and head != bytes((meter.address, self._function, size - 5)):
            # An exception, another meter, noise.
            return False
        if self._got < size:
            return None
        return crc(memoryview(answer)[:size]) == 0


def line(profile, uart, enable) -> Line:
    """The line of the profile's [modbus]; `uart(bus, ...)` opens a UART."""
    bus, settings, function, timeout, addresses, rows = profile.MODBUS
    meters = []
    for address in addresses:
        at = len(meters)
        phases = profile.PHASES[at] or 1
        # At 250 V.
        watts = profile.CURRENTS[at] * phases // 4
        meters.append(Meter(address, rows, phases, watts))
    baud, parity, stop = settings
    port = uart(bus, baudrate=baud, bits=8, parity=parity, stop=stop, timeout=0)
    return Line(port, enable, function, timeout, meters)
