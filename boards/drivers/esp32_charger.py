# A charge controller on an ESP32, ESP32-C3 or ESP32-S3: Wi-Fi, a raw partition, and NVS for what is this charger's own.
import hashlib
import os

import esp32
import machine
from charger import Charger
from micropython import const
from pins import pulled
from wifi import Wifi

from milliamp.base import flash, hal

# Bytes of the longest provisioned text.
_TEXT = const(256)
_PARTITION = "milliamp"


class ESP32Charger(Charger):
    """Texts that differ from charger to charger (network, CSMS, identity) come from the NVS namespace
    `milliamp`, where a factory writes them, else from the profile."""

    def __init__(self, profile):
        self._nvs = esp32.NVS("milliamp")
        self._own = hashlib.sha256(machine.unique_id()).digest()
        super().__init__(profile)
        self.link = Wifi(
            self.text("ssid") or profile.NETWORK.get("ssid", ""),
            self.text("key") or profile.NETWORK.get("password", ""),
        )

    def text(self, name: str):
        buf = bytearray(_TEXT)
        try:
            return buf[: self._nvs.get_blob(name, buf)].decode()
        except OSError:
            return None

    def random(self, n: int) -> bytes:
        # Until the radio runs the chip's generator is only pseudo-random, and journals draw their salt then: what two chips
        # draw differs in any case.
        data = bytearray(os.urandom(n))
        for i in range(n):
            data[i] ^= self._own[i & 31]
        return bytes(data)

    def meter(self, evse: int):
        from pulse_meter import Meter

        pins = self.pins
        return Meter(
            # S0 is an open collector.
            pulled(pins.pin("meter", evse), machine.Pin.PULL_UP),
            self._nvs,
            "wh" + str(evse),
            pins.get("meter_pulses", 1000),
            pins.get("meter_store_wh", 10),
            pins.get("meter_volts", 230),
            self.profile.PHASES[evse - 1],
            evse - 1,
        )

    def energy_told(self, evse: int, wh: int) -> None:
        if self._line is None:
            self.outlets[evse - 1].meter.at_least(wh)

    def flash(self, region: str):
        if region not in self.profile.FLASH:
            raise OSError("no flash region " + region)
        found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label=_PARTITION)
        if not found:
            raise OSError("no partition " + _PARTITION)
        device = flash.Partition(found[0], unit=self.profile.FLASH_UNIT)
        return flash.Slice(device, *self.profile.FLASH[region])


def make(profile) -> hal.Board:
    """The board of this firmware."""
    return ESP32Charger(profile)
