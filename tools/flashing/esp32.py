"""Stock MicroPython for an ESP32: the image gets a partition for the station's flash regions, esptool writes it.

An image holds the bootloader, the partition table and the application, from the bootloader's place in the flash on.
The table is a list of 32-byte rows and an MD5 of them. MicroPython from 1.26 on takes what lies behind the last
partition for its file system, so a row for the application's end is all that is needed.
"""

import hashlib
import struct
import subprocess
import sys
from pathlib import Path

from tools.builder.profile.hardware import PARTITION
from tools.flashing import Trouble, say

_TABLE = 0x8000  # where the table lies in the flash
_TABLE_SIZE = 0xC00
_ROW = struct.Struct("<HBBII16sI")  # magic, type, subtype, offset, size, label, flags
_MAGIC = 0x50AA
_SUM = b"\xeb\xeb" + b"\xff" * 14
_DATA, _CUSTOM = 1, 0x40  # type and subtype
_SECTOR = 0x1000
_FILES = 0x60000  # bytes that the file system needs for two stations
# Chip number in an image's header -> its name for esptool, where its bootloader lies.
_CHIPS = {
    0: ("esp32", 0x1000),
    2: ("esp32s2", 0x1000),
    5: ("esp32c3", 0),
    9: ("esp32s3", 0),
    12: ("esp32c2", 0),
    13: ("esp32c6", 0),
    16: ("esp32h2", 0),
    18: ("esp32p4", 0x2000),
    23: ("esp32c5", 0x2000),
}


def chip(data: bytes) -> tuple:
    """(esptool's name, offset in the flash) of an image. Trouble: it is none."""
    number = struct.unpack_from("<H", data, 12)[0] if len(data) > 24 and data[0] == 0xE9 else None
    if number not in _CHIPS:
        raise Trouble("it is no MicroPython image for an ESP32 (a .bin file from micropython.org)")
    return _CHIPS[number]


def with_partition(file: Path, chosen) -> bytes:
    """The image in `file`, with a partition that holds the profile's flash regions. Trouble says what is wrong with
    it."""
    try:
        data = file.read_bytes()
        _, start = chip(data)
        return add(data, start, PARTITION, reach(chosen), chosen.flash_chip)
    except OSError as error:
        raise Trouble(f"cannot read {file}: {error.strerror}") from None
    except Trouble as trouble:
        raise Trouble(f"{file}: {trouble}") from None


def reach(chosen) -> int:
    """Bytes that the regions of a profile take, from the first to the last."""
    return max(offset + size for offset, size in chosen.flash.values())


def add(data: bytes, start: int, label: str, size: int, most: int = 0) -> bytes:
    """An image that lies at `start`, with a data partition behind the others; `most`: bytes of the flash, if anybody
    knows. Trouble: it cannot have one."""
    at = _TABLE - start
    rows = _rows(data[at : at + _TABLE_SIZE])
    labels = [row[5].rstrip(b"\0").decode(errors="replace") for row in rows]
    if label in labels:
        return data
    if "vfs" in labels or "ffat" in labels:
        raise Trouble(
            "its table gives all flash to the file system: take a newer image, 1.26 or later"
        )
    end = max(row[3] + row[4] for row in rows)
    if most and end + size + _FILES > most:
        raise Trouble(
            f"the flash has {most >> 10:,} kB: the partition and a file system do not fit behind {end >> 10:,}"
        )
    row = (_MAGIC, _DATA, _CUSTOM, end, -(-size // _SECTOR) * _SECTOR, label.encode(), 0)
    table = b"".join(_ROW.pack(*each) for each in [*rows, row])
    table += _SUM + hashlib.md5(table).digest()
    if len(table) > _TABLE_SIZE:
        raise Trouble("its partition table is full")
    return data[:at] + table.ljust(_TABLE_SIZE, b"\xff") + data[at + _TABLE_SIZE :]


def _rows(table: bytes) -> list:
    """The rows of a partition table. Trouble: it is none."""
    rows: list = []
    for at in range(0, len(table) - _ROW.size + 1, _ROW.size):
        if table.startswith(_SUM, at):
            if table[at + 16 : at + 32] != hashlib.md5(table[:at]).digest():
                break
            if rows:
                return rows
        row = _ROW.unpack_from(table, at)
        if row[0] != _MAGIC:
            break
        rows.append(row)
    raise Trouble("it has no partition table: is it an update (.app-bin) and not the whole image?")


def write(port: str, data: bytes, folder: Path, esptool=(sys.executable, "-m", "esptool")) -> None:
    """Erase the board and write an image. Trouble when esptool cannot."""
    name, start = chip(data)
    file = folder / "micropython.bin"
    file.write_bytes(data)
    say(f"{port}: erasing the {name} and writing MicroPython, {len(data) // 1024:,} kB")
    options = [*esptool, "--chip", name, "--port", port, "--baud", "460800"]
    for step in (["erase-flash"], ["write-flash", hex(start), str(file)]):
        run = subprocess.run([*options, *step], capture_output=True, text=True)
        if run.returncode:
            lines = (run.stdout + run.stderr).strip().splitlines() or ["it gave no reason"]
            fatal = [line for line in lines if "rror" in line] or lines
            raise Trouble(
                f"esptool could not write the board: {fatal[-1].strip()}; hold BOOT, press RESET, and try again"
            )
