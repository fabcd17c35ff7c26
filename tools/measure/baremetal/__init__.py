"""The whole device without hardware: the station and MicroPython on a Cortex-M3 in QEMU, and what it takes.

port/        a port of MicroPython for it, with what the station imports and no more
qemu_m3/     its board: hardware is a script, flash a NOR chip in memory
scenario.py  starts it and has the host simulator's CSMS charge a car
"""

import shutil
import subprocess
import zlib
from pathlib import Path

from tools import builder
from tools.flashing import firmware
from tools.measure.baremetal import scenario

HERE = Path(__file__).resolve().parent
BOARD = HERE / "qemu_m3"
_TOOLS = {
    "arm-none-eabi-gcc": "the Arm GNU toolchain (Debian, Ubuntu: gcc-arm-none-eabi)",
    scenario.PROGRAM: "QEMU (Debian, Ubuntu: qemu-system-arm)",
}


def missing(place: "str | None", path: "str | None" = None) -> str:
    """Why this cannot run here; "" when it can be tried. `path`: where programs are looked for."""
    if not place:
        return "no MicroPython sources are named: MICROPYTHON=<folder>, 1.28 or later"
    for program, what in _TOOLS.items():
        if shutil.which(program, path=path) is None:
            return f"there is no {program}: install {what}"
    return ""


def image(sources: Path) -> Path:
    """Build the station and the port, and return the ELF file. Trouble, BuildError: what stands in the way."""
    firmware.filled(sources, ("mbedtls", "micropython-lib"))
    out = builder.build(str(BOARD), frozen=True)
    made = out / f"micropython-{zlib.crc32(str(sources).encode()):08x}"  # objects of each apart
    command = firmware.make(
        HERE / "port",
        f"MICROPYTHON={sources}",
        f"BUILD={made}",
        f"FROZEN_MANIFEST={out / 'manifest.py'}",
    )
    firmware.compiled(sources, command, out / "firmware.log")
    return made / "firmware.elf"


def sizes(file: Path) -> "dict[str, int]":
    """Bytes of an image: what it takes of `flash`, the `frozen` modules in there, and `static` RAM."""
    text, data, bss = _sections(file)
    return {
        "flash": text + data,
        "frozen": sum(_sections(file.parent / "frozen_content.o")),
        "static": data + bss,
    }


def _sections(file: Path) -> "list[int]":
    done = subprocess.run(
        ["arm-none-eabi-size", str(file)], capture_output=True, text=True, check=True
    )
    return [int(number) for number in done.stdout.splitlines()[1].split()[:3]]
