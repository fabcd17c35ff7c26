# A board without hardware. Its flash regions are files, its factory values what `make provision` wrote.
import os
import sys

import machine

from milliamp.base import hal
from milliamp.storage import keys


class File:
    """A flash region in a file of the board's file system."""

    def __init__(self, region, size, sector):
        self.size = size
        self.sector = sector
        self.unit = 1
        self._path = region + ".bin"
        try:
            os.stat(self._path)
        except OSError:
            with open(self._path, "wb") as file:
                for _ in range(size // 256):
                    file.write(b"\xff" * 256)

    def read(self, address, buf):
        with open(self._path, "rb") as file:
            file.seek(address)
            file.readinto(buf)

    def program(self, address, data):
        self._write(address, data)

    def erase(self, address):
        self._write(address, b"\xff" * self.sector)

    def _write(self, address, data):
        with open(self._path, "r+b") as file:
            file.seek(address)
            file.write(data)


class Bench(hal.Board):
    def __init__(self, profile):
        self._profile = profile
        self._watchdog = None
        if not profile.SERIAL:
            profile.SERIAL = "BENCH"
        if not profile.IDENTITY:
            profile.IDENTITY = profile.SERIAL

    def flash(self, region):
        if region not in self._profile.FLASH or region in machine.lost_regions:
            raise OSError("no partition " + region)
        return File(region, self._profile.FLASH[region][1], self._profile.FLASH_SECTOR)

    def watchdog(self):
        if self._watchdog is None:
            self._watchdog = machine.WDT(timeout=30000)
        self._watchdog.feed()

    def network(self):
        return machine.has_network

    def reboot(self):
        machine.reset()

    def factory(self):
        values = {}
        try:
            with open("milliamp.txt") as file:
                for line in file:
                    name, text = line.rstrip("\n").split("=", 1)
                    values[name] = text
        except OSError:
            pass
        pairs = ((keys.CSMS_URL, "url"), (keys.IDENTITY, "identity"), (keys.PASSWORD, "password"))
        return [(key, values[name]) for key, name in pairs if name in values]

    def started(self, station):
        settings = station.settings
        station.log.info("started from " + sys.path[0])
        values = [settings.get(key, "") for key in (keys.IDENTITY, keys.CSMS_URL, keys.PASSWORD)]
        values[2] = str(len(values[2]))
        station.log.info(
            "identity " + values[0] + ", csms " + values[1] + ", password of " + values[2]
        )


def make(profile):
    return Bench(profile)
