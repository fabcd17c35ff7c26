"""A controller and the charger around it, as far as the board's drivers can tell: pins, pilot line, card reader,
meters, NVS, partition, Wi-Fi. `Chip.modules()` are the modules of MicroPython that stand for it."""

import heapq
import struct
import types
from random import Random

from tools.builder.profile.chips import CHIPS

LEVELS = {"A": 12000, "B": 9000, "C": 6000, "D": 3000, "E": 0}  # mV of the positive half


class Reset(Exception):
    """The controller restarted."""


class Chip:
    """Everything outside the firmware, and one clock that runs in every call: in samples, in what the UART, the flash and
    the radio take, in `idle`, and for as long as whoever holds the chip says.

    What happens outside comes by `after`. An interrupt's handler runs between two bytecodes (ports/esp32/machine_pin.c, its
    ISR schedules it); what comes in while C code runs waits, eight deep (MICROPY_SCHEDULER_DEPTH); and while flash is
    written the ISR itself waits, which is not in IRAM (`gpio_install_isr_service(0)`): of many edges of a pin one is left.
    MicroPython at 1c3c201149.
    """

    sample_us = (61, 80)
    adc_floor, adc_top = (
        142,
        3100,
    )  # mV that the converter tells at 11 dB: below and above it says just that

    def __init__(self, seed: int = 0, name: str = "ESP32"):
        self.random = Random(seed)
        self.kind = CHIPS[name]
        self.us = 1_000_000
        self.blocked = 0  # us for which flash was written, and nothing else could be done
        self.world = []  # (us, n, function): what will happen
        self.happened = 0
        self.waiting = []  # pins whose handlers could not run yet
        self.levels = {}  # pin: level that the world puts there
        self.pulls = {}
        self.driven = {}  # pin: level that the chip puts there
        self.on_output = {}  # pin: function of the level
        self.handlers = {}
        self.counters = {}  # pin: what its pulse counter has
        self.duty = {}  # what drives a pin's PWM: duty_u16
        self.adc = {}  # pin: function of nothing, mV
        self.spi = None
        self.uart = None
        self.nvs = {}
        self.nvs_open = {}  # written, not committed
        self.nvs_commits = 0
        self.nvs_broken = False
        self.nvs_unread = 0  # what reading fails with, if not 0
        self.erase_ms = 45  # of a sector; 400 at worst
        self.flash = {"milliamp": bytearray(b"\xff" * 0x80000)}
        self.wlan = Wlan()
        self.dns = "0.0.0.0"  # the name server that DHCP told of
        self.watchdog = None
        self.fed = 0
        self.cause = 1
        self.time = 0
        self.unique = bytes.fromhex("24a16057b3c4")

    @property
    def ms(self) -> int:
        return self.us // 1000

    @ms.setter
    def ms(self, ms: int) -> None:
        self.wait((ms - self.ms) * 1000)

    def after(self, ms: int, function) -> None:
        """Call it in so many ms, whatever the chip does then."""
        self.happened += 1
        heapq.heappush(self.world, (self.us + ms * 1000, self.happened, function))

    def wait(self, us: int, doing: str = "") -> None:
        """So many us pass; `doing` "C" in a call, "flash" while flash is written, else between bytecodes."""
        end = self.us + us
        self.blocked += us if doing == "flash" else 0
        while self.world and self.world[0][0] <= end:
            self.us, _, function = heapq.heappop(self.world)
            self.doing = doing
            function()
        self.doing = ""
        self.us = end
        waiting, self.waiting = self.waiting, []
        for pin in waiting:
            self.handlers[pin](None)

    doing = ""

    def edge(self, pin: int) -> None:
        """A falling edge, just now."""
        if pin in self.counters:
            self.counters[pin] += 1
        elif pin in self.handlers and not self.doing:
            self.handlers[pin](None)
        elif pin in self.handlers and len(self.waiting) < 8:
            if self.doing == "C" or pin not in self.waiting:
                self.waiting.append(pin)

    def pulse(self, pin: int, times: int = 1, ms: int = 60) -> None:
        """Pulses of a meter, which take their time."""
        for _ in range(times):
            self.wait(ms * 1000)
            self.edge(pin)

    def modules(self) -> dict:
        return {"machine": machine(self), "esp32": esp32(self), "network": network(self)}

    def power_cut(self) -> None:
        self.nvs_open.clear()
        self.handlers.clear()
        self.counters.clear()
        self.driven.clear()
        self.duty.clear()

    def level(self, pin: int) -> int:
        return self.levels.get(pin, self.pulls.get(pin) or 0)

    def pwm(self, pin):
        """What drives a pin's PWM: a channel of its own."""
        return pin

    def seen(self, pin) -> int:
        """What the converter tells of a pin, in mV."""
        return min(max(self.adc[pin](), self.adc_floor), self.adc_top)


class Line:
    """The pilot line: an EV's state, its diode, and noise, as the ADC sees it at 1300 + 1000 mV for 0 and 12 V."""

    def __init__(self, chip: Chip, pwm=25, adc=34):
        self.chip = chip
        self.pwm = pwm
        self.ev = "A"
        self.diode = True
        self.noise = 0  # mV, standard deviation
        self.spikes = 0  # a spike in so many samples
        chip.adc[adc] = self.sample

    def millivolts(self) -> int:
        if self.ev == "F":
            return -12000
        duty = self.chip.duty[self.chip.pwm(self.pwm)]
        high = self.chip.us % 1000 * 65535 < duty * 1000
        if high:
            return LEVELS[self.ev]
        if self.ev == "E":
            return 0
        return -12000 if self.diode else -LEVELS[self.ev]

    def sample(self) -> int:
        random = self.chip.random
        low, high = self.chip.sample_us
        self.chip.wait(low + int(random.random() * (high - low)), "C")
        line = self.millivolts()
        if self.noise:
            line += int(random.gauss(0, self.noise))
        if self.spikes and not random.randrange(self.spikes):
            line = random.choice((-12500, 12500))
        return 1300 + line * 1000 // 12000


def machine(chip):
    class Pin:
        IN, OUT, PULL_UP, PULL_DOWN, IRQ_FALLING = 1, 3, 2, 1, 2

        def __init__(self, number, mode=None, pull=None, value=None):
            assert number in chip.kind.pins, f"the chip has no pin {number}"
            assert mode != self.OUT or number not in chip.kind.inputs
            self.number = number
            self.mode = mode
            # ports/esp32/machine_pin.c asks for the pull and does not look whether there is one.
            if pull is not None and number not in chip.kind.pullless:
                chip.pulls[number] = 1 if pull == self.PULL_UP else 0
            if value is not None:
                self.value(value)

        def value(self, level=None):
            if level is None:
                return (chip.driven if self.mode == self.OUT else {}).get(
                    self.number, chip.level(self.number)
                )
            chip.driven[self.number] = int(bool(level))
            chip.on_output.get(self.number, lambda level: None)(int(bool(level)))

        def irq(self, handler, trigger):
            chip.handlers[self.number] = handler

    class Signal:
        def __init__(self, pin, invert=False):
            self.pin = pin
            self.invert = invert

        def value(self, on=None):
            if on is None:
                return self.pin.value() ^ self.invert
            self.pin.value(bool(on) ^ self.invert)

        def on(self):
            self.value(1)

        def off(self):
            self.value(0)

    class PWM:
        def __init__(self, pin, freq, duty_u16):
            assert freq == 1000 and pin.number in chip.kind.pwm
            self.channel = chip.pwm(pin.number)
            self.duty_u16(duty_u16)

        def duty_u16(self, duty):
            assert isinstance(duty, int) and 0 <= duty <= 65535
            chip.duty[self.channel] = duty

    class ADC:
        ATTN_11DB = 3

        def __init__(self, pin, atten):
            assert pin.number in chip.kind.adc, "the other converter does not work beside Wi-Fi"
            self.read_uv = lambda: chip.seen(pin.number) * 1000

    class SPI:
        def __init__(self, bus, baudrate, sck, mosi, miso):
            self.answer = 0

        def write(self, data):
            chip.spi.write(data[0] >> 1, data[1])

        def write_readinto(self, data, into):
            into[1] = chip.spi.read(data[0] >> 1 & 0x3F)

    def uart(bus, baudrate, bits, parity, stop, timeout, tx, rx):
        assert (bits, timeout) == (8, 0) and tx.number != rx.number
        chip.uart.settings = (bus, baudrate, parity, stop)
        return chip.uart

    class WDT:
        def __init__(self, timeout):
            assert timeout <= 32000
            chip.watchdog = timeout

        def feed(self):
            chip.fed += 1

    class RTC:
        def datetime(self, given):
            chip.datetime = given

    def reset():
        raise Reset

    def idle():
        chip.ms += 1

    class Counter:
        """As ports/esp32/modules/machine.py has it, over a PCNT unit."""

        FALLING = 2

        def __init__(self, unit, pin, edge, filter_ns):
            assert edge == self.FALLING and unit < 4 and filter_ns * 80 // 1000 <= 1023
            self.pin = pin.number
            chip.counters[self.pin] = 0

        def value(self, new=None):
            count = chip.counters[self.pin]
            if new is not None:
                chip.counters[self.pin] = new
            return count

    found = types.SimpleNamespace(
        Pin=Pin,
        Signal=Signal,
        PWM=PWM,
        ADC=ADC,
        SPI=SPI,
        UART=uart,
        WDT=WDT,
        RTC=RTC,
        reset=reset,
        idle=idle,
        reset_cause=lambda: chip.cause,
        unique_id=lambda: chip.unique,
        PWRON_RESET=1,
        HARD_RESET=2,
        WDT_RESET=3,
        DEEPSLEEP_RESET=4,
        SOFT_RESET=5,
    )
    if chip.kind.counters:
        found.Counter = Counter
    return found


def esp32(chip):
    class NVS:
        def __init__(self, namespace):
            assert namespace == "milliamp"

        def _get(self, key, kind):
            if chip.nvs_unread:
                raise OSError(chip.nvs_unread, "ESP_ERR_NVS")
            value = {**chip.nvs, **chip.nvs_open}.get(key)
            if not isinstance(value, kind):
                raise OSError(-4354, "ESP_ERR_NVS_NOT_FOUND")
            return value

        def get_i32(self, key):
            return self._get(key, int)

        def get_blob(self, key, buf):
            value = self._get(key, bytes)
            buf[: len(value)] = value
            return len(value)

        def set_i32(self, key, value):
            assert len(key) <= 15
            struct.pack("<i", value)
            if chip.nvs_broken:
                raise OSError(-4357)
            chip.nvs_open[key] = value

        def commit(self):
            chip.wait(3000, "flash")
            chip.nvs.update(chip.nvs_open)
            chip.nvs_open.clear()
            chip.nvs_commits += 1

    class Partition:
        TYPE_DATA = 1

        def __init__(self, data):
            self.data = data

        @classmethod
        def find(cls, kind, label):
            return [cls(chip.flash[label])] if label in chip.flash else []

        def readblocks(self, block, buf, offset=0):
            at = block * 4096 + offset
            buf[:] = self.data[at : at + len(buf)]

        def writeblocks(self, block, buf, offset=None):
            assert offset is not None  # without, the block would be erased
            at = block * 4096 + offset
            self.data[at : at + len(buf)] = buf

        def ioctl(self, op, arg):
            if op == 4:
                return len(self.data) // 4096
            if op == 5:
                return 4096
            assert op == 6
            chip.wait(chip.erase_ms * 1000, "flash")
            self.data[arg * 4096 : arg * 4096 + 4096] = b"\xff" * 4096
            return 0

    return types.SimpleNamespace(NVS=NVS, Partition=Partition)


class Wlan:
    """A station as ports/esp32/network_wlan.c of MicroPython 1.25 to 1.29 has it (1.22 with fewer reasons): what it
    answers, and what `lose` and `hear` make of events. `status` keeps the last reason until there is an address."""

    IF_STA = PM_NONE = 0
    IDLE, CONNECTING, GOT_IP = 1000, 1001, 1010
    ASSOC_LEAVE, NO_AP_FOUND, AUTH_FAIL = 8, 201, 202
    # Those that come before anything else; others only count when nothing is requested any more.
    _KEPT = {201: 201, 202: 202, 205: 202, 210: 210, 211: 211, 212: 212, ASSOC_LEAVE: IDLE}

    def __init__(self):
        self.calls = []
        self.settings = {}
        self.busy = 0  # so many calls of connect fail
        self.connecting = False
        self.associated = False
        self.has_address = False
        self._reason = 0
        self._requested = False
        self._tried = 0

    def __call__(self, interface):
        return self

    def active(self, on):
        self.calls.append("active")

    def config(self, **settings):
        self.settings.update(settings)

    def connect(self, ssid, key):
        self.calls.append("connect")
        if self.busy:
            self.busy -= 1
            raise OSError("Wifi Internal Error")
        if self.connecting:
            raise OSError("Wifi Internal State Error")
        self.joins = (ssid, key)
        self._tried = 0
        self._requested = self.connecting = True

    def disconnect(self):
        self.calls.append("disconnect")
        self._requested = False
        if self.connecting or self.associated:
            self.lose(self.ASSOC_LEAVE)

    def isconnected(self):
        return self.has_address

    def status(self):
        limit = self.settings["reconnects"] + 1  # 0: for ever
        if self.has_address:
            return self.GOT_IP
        if self._reason in self._KEPT:
            return self._KEPT[self._reason]
        if self._requested and (not limit or self._tried < limit):
            return self.CONNECTING
        return self._reason or self.IDLE

    # Events.

    def hear(self, address=True):
        """The access point takes the station, and it gets an address."""
        assert self.connecting, "nobody tries"
        self.connecting = False
        self.associated = True
        if address:
            self.has_address = True
            self._reason = 0

    def lose(self, reason):
        """The attempt failed, or the connection is lost."""
        self.connecting = self.associated = self.has_address = False
        self._reason = reason
        limit = self.settings["reconnects"] + 1
        if self._requested:
            self._tried += 1
            self.connecting = not limit or self._tried < limit


def network(chip):
    return types.SimpleNamespace(
        WLAN=chip.wlan, STAT_CONNECTING=1001, ipconfig=lambda what: chip.dns
    )


class STM32(Chip):
    """An STM32H743 with Ethernet, whose UART and SPI have their pins from the board."""

    sample_us = (6, 10)
    adc_floor, adc_top = 0, 3300

    def __init__(self, seed: int = 0, name: str = "STM32H743"):
        super().__init__(seed, name)
        self.lan = Lan()
        self.unique = bytes(range(12))
        self.buses = {}  # number of an SPI: its device

    def pwm(self, pin):
        """Two pins of one timer's channel have one compare register between them (ports/stm32/machine_pwm.c)."""
        return self.kind.pwm[pin]

    def modules(self) -> dict:
        modules = machine(self)
        chip = self

        class ADC:
            def __init__(self, pin):
                assert pin.number in chip.kind.adc
                self.read_u16 = lambda: min(chip.seen(pin.number) * 65536 // 3300, 65535)

        def spi(bus, baudrate):
            return chip.buses[bus]

        def uart(bus, baudrate, bits, parity, stop, timeout):
            assert (bits, timeout) == (8, 0)
            chip.uart.settings = (bus, baudrate, parity, stop)
            return chip.uart

        modules.ADC, modules.SPI, modules.UART = ADC, spi, uart
        net = types.SimpleNamespace(LAN=lambda: self.lan, ipconfig=lambda what: self.dns)
        return {"machine": modules, "network": net}


class Lan:
    """The Ethernet driver."""

    def __init__(self):
        self.calls = []
        self.up = False

    def active(self, on):
        self.calls.append(on)

    def isconnected(self):
        return self.up


class Bus:
    """A card reader's registers behind an SPI bus of an STM32."""

    def __init__(self, chip):
        self.write = lambda data: chip.spi.write(data[0] >> 1, data[1])
        self.chip = chip

    def write_readinto(self, data, into):
        into[1] = self.chip.spi.read(data[0] >> 1 & 0x3F)


class Card:
    """An ISO 14443 A card with 4, 7 or 10 bytes of UID."""

    def __init__(self, uid: str):
        self.uid = bytes.fromhex(uid)
        self.level = 0

    def part(self) -> bytes:
        start = 3 * self.level
        rest = self.uid[start:]
        part = rest[:4] if len(rest) == 4 else b"\x88" + rest[:3]
        return part + bytes((part[0] ^ part[1] ^ part[2] ^ part[3],))

    def answer(self, frame: bytes, bits: int) -> bytes:
        if bits == 7:
            self.level = 0
            return b"\x44\x00"
        if frame[0] != 0x93 + 2 * self.level:
            return b""
        if frame[1:] == b"\x20":
            return self.part()
        assert frame[1] == 0x70 and crc_a(frame) == b"\0\0" and frame[2:7] == self.part()
        last = len(self.uid) == 4 + 3 * self.level
        self.level += 1
        sak = bytes((0x20 if last else 0x04,))
        return sak + crc_a(sak)


def crc_a(data: bytes) -> bytes:
    """Written otherwise than the driver's: over a frame with its CRC it is zero."""
    crc = 0x6363
    for byte in data:
        byte ^= crc & 0xFF
        byte = (byte ^ byte << 4) & 0xFF
        crc = (crc >> 8 ^ byte << 8 ^ byte << 3 ^ byte >> 4) & 0xFFFF
    return struct.pack("<H", crc)


class Reader:
    """The register model of an MFRC522 with the cards in its field."""

    def __init__(self):
        self.cards = []
        self.garble = None  # function of an answer
        self.hung = False
        self.power_on()

    def power_on(self):
        self.registers = bytearray(64)
        self.fifo = bytearray()
        self.pending = 0

    def write(self, register, value):
        if register == 0x01 and value == 0x0F:
            self.power_on()
            self.hung = False
        elif register == 0x04:
            self.registers[4] = 0
        elif register == 0x09:
            self.fifo.append(value)
        elif register == 0x0A and value & 0x80:
            self.fifo.clear()
        else:
            self.registers[register] = value
            if register == 0x0D and value & 0x80 and self.registers[1] == 0x0C:
                self.transceive(value & 7)

    def read(self, register):
        if register == 0x09:
            return self.fifo.pop(0)
        if register == 0x0A:
            return len(self.fifo)
        if register == 0x04 and self.pending:
            self.pending -= 1  # takes its time
            return 0
        return self.registers[register]

    def transceive(self, bits):
        if self.hung or not self.registers[0x14] & 3 or self.registers[0x2A] != 0x80:
            return
        frame = bytes(self.fifo)
        self.fifo.clear()
        answers = {card.answer(frame, bits) for card in self.cards} - {b""}
        self.pending = 0 if bits else 3
        self.registers[6] = 0
        if not answers:
            self.registers[4] = 0x01
            return
        self.registers[4] = 0x20
        self.registers[6] = 0x08 if len(answers) > 1 else 0
        answer = answers.pop()
        self.fifo += self.garble(answer) if self.garble else answer
