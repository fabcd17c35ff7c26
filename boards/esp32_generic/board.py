# An ESP32 on a charge controller board. All hardware is named in the profile: see [pins].
import time
from binascii import hexlify

import esp32
import machine
from micropython import const
from outlet import Outlet
from pins import Pins
from wifi import Wifi

from milliamp.base import flash, hal
from milliamp.storage.keys import _CSMS_URL, _IDENTITY, _PASSWORD

_CLOCK_SET = const(757382400)  # 2024-01-01 in seconds since 2000: before that it was never set
_TEXT = const(256)  # bytes of the longest provisioned text


class ESP32Board(hal.Board):
    """The HAL on real pins. Values that differ from charger to charger (network, CSMS, identity) come from
    the NVS namespace `milliamp`, where a factory writes them, else from the profile."""

    scan_ms = 25  # an EV that stops expects the contactor open within 100 ms

    def __init__(self, profile):
        pins = Pins(profile.PINS)
        self._profile = profile
        self._nvs = nvs = esp32.NVS("milliamp")
        self._partition = pins.get("partition", "milliamp")
        self._watchdog = None
        self._watchdog_ms = pins.get("watchdog_ms", 30000)
        self._volts = pins.get("meter_volts", 230)
        self.outlets = []
        for current in profile.CURRENTS:
            self.outlets.append(Outlet(len(self.outlets) + 1, current, pins, nvs, self.ticks))
        self._reader = _reader(pins)
        pins.check()
        self._wifi = Wifi(
            self._text("ssid") or profile.NETWORK.get("ssid", ""),
            self._text("key") or profile.NETWORK.get("password", ""),
        )
        if not profile.SERIAL:
            profile.SERIAL = self._text("serial") or hexlify(machine.unique_id()).decode().upper()
        if not profile.IDENTITY:
            profile.IDENTITY = profile.SERIAL

    # --- inputs -----------------------------------------------------------------------------------
    def scan(self) -> None:
        now = self.ticks()
        for outlet in self.outlets:
            outlet.scan(now)

    def cable(self, evse: int) -> int:
        return 1 if self.outlets[evse - 1].cable else 0

    def pilot(self, evse: int) -> int:
        return self.outlets[evse - 1].pilot.state

    def energy(self, evse: int) -> int:
        return self.outlets[evse - 1].meter.register

    def measure(self, evse: int, measurand: str, phase: int):
        outlet = self.outlets[evse - 1]
        phases = self._profile.PHASES[evse - 1]
        if phase > phases or phase and phases > 1:
            return None  # one meter for all phases
        if measurand == "Power.Active.Import":
            return outlet.meter.power
        if measurand == "Current.Import":  # at the nominal voltage
            return outlet.meter.power * 1000 // (self._volts * phases)
        if measurand == "Current.Offered":
            return outlet.offered
        if measurand == "Power.Offered":
            return outlet.offered * self._volts * phases // 1000
        return None

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
        self.outlets[evse - 1].offer(milliamps)

    def lock(self, evse: int, connector: int, locked: bool) -> bool:
        lock = self.outlets[evse - 1].lock
        return lock is None or lock.move(locked)

    def indicate(self, evse: int, status: int) -> None:
        lamp = self.outlets[evse - 1].lamp
        if lamp is not None:
            lamp.show(status)

    # --- the controller ---------------------------------------------------------------------------
    def flash(self, region: str):
        if region not in self._profile.FLASH:
            raise OSError("no flash region " + region)
        found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label=self._partition)
        if not found:
            raise OSError("no partition " + self._partition)
        device = flash.Partition(found[0], unit=self._profile.FLASH_UNIT)
        return flash.Slice(device, *self._profile.FLASH[region])

    def rtc(self):
        seconds = time.time()  # since 2000 on this port
        return seconds if seconds >= _CLOCK_SET else None

    def set_rtc(self, seconds: int) -> None:
        year, month, day, hour, minute, second, weekday, _ = time.gmtime(seconds)
        machine.RTC().datetime((year, month, day, weekday, hour, minute, second, 0))

    def reset_cause(self) -> str:
        cause = machine.reset_cause()
        if cause in (machine.PWRON_RESET, machine.DEEPSLEEP_RESET):  # a brown-out too
            return "PowerUp"
        if cause == machine.WDT_RESET:
            return "Watchdog"
        if cause == machine.SOFT_RESET:  # from a console
            return "LocalReset"
        return "Unknown"  # a panic, or a restart whose reason the settings know

    def reboot(self) -> None:
        for outlet in self.outlets:
            outlet.switch(False, self.ticks())
        machine.reset()

    def watchdog(self) -> None:
        if self._watchdog is None:  # cannot be stopped: not before everything runs
            self._watchdog = machine.WDT(timeout=self._watchdog_ms)
        self._watchdog.feed()

    def network(self) -> bool:
        return self._wifi.ready(self.ticks())

    def factory(self):
        pairs = ((_CSMS_URL, "url"), (_IDENTITY, "identity"), (_PASSWORD, "password"))
        return [(key, self._text(name)) for key, name in pairs if self._text(name)]

    def _text(self, name):
        # A provisioned text, None when there is none.
        buf = bytearray(_TEXT)
        try:
            return buf[: self._nvs.get_blob(name, buf)].decode()
        except OSError:
            return None


def _reader(pins):
    # The card reader, None without one.
    bus = pins.get("reader_spi", 1)
    cs, reset = pins.pin("reader_cs"), pins.pin("reader_rst")
    lines = [pins.pin("reader_" + line) for line in ("sck", "mosi", "miso")]
    if cs is None:
        return None
    from mfrc522 import MFRC522

    sck, mosi, miso = [machine.Pin(line) for line in lines]
    spi = machine.SPI(bus, baudrate=2000000, sck=sck, mosi=mosi, miso=miso)
    cs = machine.Pin(cs, machine.Pin.OUT, value=1)
    return MFRC522(
        spi, cs, None if reset is None else machine.Pin(reset, machine.Pin.OUT, value=1)
    )


def make(profile) -> hal.Board:
    """The board of this firmware; ValueError when the profile's [pins] cannot be it."""
    for connectors in profile.EVSES:
        if len(connectors) != 1:
            raise ValueError("profile.toml: this board has one connector for each EVSE")
    return ESP32Board(profile)
