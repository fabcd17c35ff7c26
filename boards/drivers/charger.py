# A charge controller: what all our boards have in common, whatever their chip.
import time
from binascii import hexlify

import machine
import network
from micropython import const
from outlet import Outlet
from pins import Pins

from milliamp.base import hal
from milliamp.storage import keys

# 2024-01-01 in seconds since 2000: before that it was never set.
_CLOCK_SET = const(757382400)
# For the meters' first answers.
_SETTLE_MS = const(2000)


class Charger(hal.Board):
    """The HAL on real pins; all hardware is named in the profile. A chip's own class adds `text`, `flash`,
    `meter` (only for pulse meters) and `link`, the network's driver."""

    # An EV that stops expects the contactor open within 100 ms.
    scan_ms = 25
    link = None

    def __init__(self, profile):
        self.pins = pins = Pins(profile.PINS)
        self.profile = profile
        self._watchdog = None
        self._line = None
        self.outlets = []
        # First of all: what is live must be nobody's accident, and the meters take their time.
        coils = [pins.output("contactor", n + 1) for n in range(len(profile.CURRENTS))]
        if profile.MODBUS:
            import modbus

            self._line = modbus.line(profile, self.uart, pins.output("modbus_de"))
            self._settle()
        for current in profile.CURRENTS:
            evse = len(self.outlets) + 1
            meter = self._line.meters[evse - 1] if self._line else self.meter(evse)
            coil = coils[evse - 1]
            self.outlets.append(Outlet(evse, current, pins, coil, meter, self.ticks()))
        self._reader = self._card_reader()
        if not profile.SERIAL:
            profile.SERIAL = self.text("serial") or hexlify(machine.unique_id()).decode().upper()
        if not profile.IDENTITY:
            profile.IDENTITY = profile.SERIAL

    # --- what a chip adds -------------------------------------------------------------------------
    def text(self, name: str):
        """A text that was provisioned for this very charger, None when there is none: `serial`, `identity`,
        `url`, `password`, ..."""
        return None

    def meter(self, evse: int):
        """The meter of an EVSE where none is on a Modbus line."""
        raise ValueError("no meter")

    def spi(self, name: str, baudrate: int):
        """The SPI bus of the rows `<name>_spi`, `_sck`, `_mosi` and `_miso`; without the lines, where the chip
        has them."""
        pins = self.pins
        lines = [pins.pin(name + "_" + line) for line in ("sck", "mosi", "miso")]
        bus = pins.get(name + "_spi", 1)
        if lines[0] is None:
            return machine.SPI(bus, baudrate=baudrate)
        sck, mosi, miso = [machine.Pin(line) for line in lines]
        return machine.SPI(bus, baudrate=baudrate, sck=sck, mosi=mosi, miso=miso)

    def uart(self, bus: int, **settings):
        """The UART of the rows `modbus_tx` and `modbus_rx`; without them, where the chip has it."""
        for name in ("tx", "rx"):
            pin = self.pins.pin("modbus_" + name)
            if pin is not None:
                settings[name] = machine.Pin(pin)
        return machine.UART(bus, **settings)

    # --- inputs -----------------------------------------------------------------------------------
    def scan(self) -> None:
        now = self.ticks()
        for outlet in self.outlets:
            outlet.scan(now)
        if self._line:
            try:
                self._line.scan(now)
            except (OSError, MemoryError):
                # A meter that stays away for long is a fault by itself.
                pass

    def watch(self) -> None:
        """For drivers that wait for long: look after the contactors meanwhile."""
        for outlet in self.outlets:
            outlet.watch(self.ticks())

    def cable(self, evse: int) -> int:
        return 1 if self.outlets[evse - 1].cable else 0

    def pilot(self, evse: int) -> int:
        return self.outlets[evse - 1].pilot.state

    def energy(self, evse: int) -> int:
        return self.outlets[evse - 1].meter.register

    def measure(self, evse: int, measurand: str, phase: int):
        outlet = self.outlets[evse - 1]
        if measurand == "Current.Offered":
            return None if phase else outlet.offered
        # At the nominal voltage.
        if measurand == "Power.Offered":
            volts = self.pins.get("meter_volts", 230)
            return (
                None if phase else outlet.offered * volts * self.profile.PHASES[evse - 1] // 1000
            )
        return outlet.meter.measure(measurand, phase)

    def card(self):
        uid = self._reader and self._reader.poll(self.ticks())
        return (uid, "ISO14443", 0) if uid else None

    def stop_button(self, evse: int) -> bool:
        outlet = self.outlets[evse - 1]
        pressed, outlet.pressed = outlet.pressed, False
        return pressed

    def fault(self, evse: int):
        return self.outlets[evse - 1].fault

    # --- outputs ----------------------------------------------------------------------------------
    def contactor(self, evse: int, closed: bool) -> None:
        self.outlets[evse - 1].switch(closed, self.ticks())

    def offer(self, evse: int, milliamps: int) -> None:
        self.outlets[evse - 1].offer(milliamps, self.ticks())

    def lock(self, evse: int, connector: int, locked: bool):
        return self.outlets[evse - 1].hold(locked, self.ticks())

    def indicate(self, evse: int, status: int) -> None:
        lamp = self.outlets[evse - 1].lamp
        if lamp is not None:
            lamp.show(status)

    # --- the controller ---------------------------------------------------------------------------
    def rtc(self):
        # Since 2000 on these ports.
        seconds = time.time()
        return seconds if seconds >= _CLOCK_SET else None

    def set_rtc(self, seconds: int) -> None:
        year, month, day, hour, minute, second, weekday, _ = time.gmtime(seconds)
        machine.RTC().datetime((year, month, day, weekday + 1, hour, minute, second, 0))

    def reset_cause(self) -> str:
        cause = machine.reset_cause()
        # A brown-out too.
        if cause in (machine.PWRON_RESET, machine.DEEPSLEEP_RESET):
            return "PowerUp"
        if cause == machine.WDT_RESET:
            return "Watchdog"
        # From a console.
        if cause == machine.SOFT_RESET:
            return "LocalReset"
        # The reset pin, a panic, or a restart whose reason the settings know.
        return "Unknown"

    def reboot(self) -> None:
        for outlet in self.outlets:
            outlet.switch(False, self.ticks())
        machine.reset()

    def watchdog(self) -> None:
        # Cannot be stopped: not before everything runs.
        if self._watchdog is None:
            self._watchdog = machine.WDT(timeout=self.pins.get("watchdog_ms", 30000))
        self._watchdog.feed()

    def network(self) -> bool:
        return self.link.ready(self.ticks())

    def dns(self):
        server = network.ipconfig("dns")
        return None if server == "0.0.0.0" else (server, 53)

    def factory(self):
        pairs = ((keys.CSMS_URL, "url"), (keys.IDENTITY, "identity"), (keys.PASSWORD, "password"))
        return [(key, self.text(name)) for key, name in pairs if self.text(name)]

    def _card_reader(self):
        # None without one.
        pins = self.pins
        if pins.pin("reader_cs") is None:
            return None
        from mfrc522 import MFRC522

        reset = pins.pin("reader_rst")
        return MFRC522(
            self.spi("reader", 2000000),
            machine.Pin(pins.pin("reader_cs"), machine.Pin.OUT, value=1),
            None if reset is None else machine.Pin(reset, machine.Pin.OUT, value=1),
        )

    def _settle(self):
        # The inputs are right from the first scan on: transactions go on from these registers.
        start = self.ticks()
        while (self.ticks() - start) & 0x3FFFFFFF < _SETTLE_MS and self._line.waits():
            self._line.scan(self.ticks())
            machine.idle()
