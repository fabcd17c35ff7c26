"""Builds the product image: MicroPython with the station frozen in, by MicroPython's own build.

`python -m tools.flashing.firmware BOARD --micropython CHECKOUT`. The board's folder is the board definition that
MicroPython's build is given: `mpconfigboard.cmake` makes it one of the esp32 port, `mpconfigboard.mk` one of the stm32
port. The `sim` board goes into the unix port, to try frozen code here.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tools import builder
from tools.builder import profile
from tools.flashing import Trouble, command, say

_OLDEST = (1, 28)
_VERSION = re.compile(r"#define MICROPY_VERSION_(?:MAJOR|MINOR) +(\d+)")
_FAULT = re.compile(r"[Ee]rror(: | at )|cannot find |undefined reference|\*\*\* ")
_PORTS = {"mpconfigboard.cmake": "esp32", "mpconfigboard.mk": "stm32"}
_RESULTS = {
    "esp32": ("firmware.bin",),
    "stm32": ("firmware.dfu", "firmware.hex"),
    "unix": ("micropython",),
}
_COMPILERS = {
    "esp32": ("idf.py", "ESP-IDF: install it, then run its export.sh in this shell"),
    "stm32": ("arm-none-eabi-gcc", "the Arm GNU toolchain (Debian, Ubuntu: gcc-arm-none-eabi)"),
    "unix": ("gcc", "GCC (Debian, Ubuntu: build-essential)"),
}
_SUBMODULES = {
    "esp32": ("micropython-lib",),
    "stm32": ("micropython-lib", "stm32lib", "CMSIS_6", "lwip", "mbedtls", "tinyusb"),
    "unix": ("micropython-lib", "mbedtls"),
}


def checked(place: "str | None") -> Path:
    """The folder of MicroPython's sources. Trouble: there is none that will do."""
    if not place:
        raise Trouble(
            "this builds MicroPython itself, with the station in it, and needs its sources, 1.28 or later: "
            "git clone https://github.com/micropython/micropython, then name the folder: MICROPYTHON=<folder>"
        )
    folder = Path(place).expanduser().resolve()
    header = folder / "py" / "mpconfig.h"
    if not header.is_file():
        raise Trouble(f"{place} holds no MicroPython sources: there is no py/mpconfig.h")
    found = version(folder)
    if found < _OLDEST:
        raise Trouble(
            f"{place} is MicroPython {'.'.join(map(str, found))}: 1.28 or later is needed"
        )
    return folder


def version(sources: Path) -> tuple:
    """(major, minor) of MicroPython's sources."""
    text = (sources / "py" / "mpconfig.h").read_text()
    return tuple(int(number) for number in _VERSION.findall(text))


def port_of(chosen) -> str:
    """The MicroPython port that a board belongs to. Trouble: it has no board definition."""
    folder = chosen.file.parent
    if (folder / "probe.py").is_file():
        return "unix"
    for name, port in _PORTS.items():
        if (folder / name).is_file():
            return port
    raise Trouble(
        f"{folder}: there is no board definition for MicroPython's build: add {' or '.join(_PORTS)}, as other boards have it"
    )


def complete(sources: Path, port: str, path: "str | None" = None) -> None:
    """Trouble when something that the build needs is not there."""
    program, what = _COMPILERS[port]
    for needed, name in ((program, what), ("make", "make")):
        if shutil.which(needed, path=path) is None:
            raise Trouble(f"there is no {needed}: the {port} port is built with {name}")
    filled(sources, _SUBMODULES[port])


def filled(sources: Path, names) -> None:
    """Trouble when submodules of those names are empty; older sources have not all of them."""
    folders = [sources / "lib" / name for name in names]
    empty = [f"lib/{one.name}" for one in folders if one.is_dir() and not any(one.iterdir())]
    if empty:
        raise Trouble(
            f"{sources} lacks {', '.join(empty)}: git -C {sources} submodule update --init {' '.join(empty)}"
        )


def _manifest(out: Path, port: str) -> Path:
    """The manifest of a build folder; the unix port keeps what it freezes by itself elsewhere than the others."""
    file = out / "manifest.py"
    if port != "unix":
        return file
    text = file.read_text().replace("/boards/manifest.py", "/variants/standard/manifest.py")
    file = out / "manifest-unix.py"
    file.write_text(text)
    return file


def make(folder: Path, *given) -> list:
    """The command that runs a makefile of MicroPython, with as many jobs as there are processors."""
    return ["make", "-C", str(folder), f"-j{os.cpu_count() or 1}", *given]


def arguments(sources: Path, port: str, chosen, out: Path, bits: int) -> list:
    """The command that builds."""
    result = make(sources / "ports" / port, f"BUILD={out / 'firmware'}")
    result.append(f"FROZEN_MANIFEST={_manifest(out, port)}")
    if port != "unix":
        return [*result, f"BOARD_DIR={chosen.file.parent.resolve()}"]
    if bits == 32:
        # What a 64-bit machine seldom has for 32 bits is left out: libffi.
        result += ["CC=gcc -m32", "LD=gcc -m32", "MICROPY_PY_FFI=0"]
    return [*result, "VARIANT=standard", "MICROPY_PY_BTREE=0"]


def compiled(sources: Path, command: list, log: Path) -> None:
    """Run what builds; all that it says goes into `log`. Trouble: the first fault that is in there."""
    # The cross compiler comes first and beside the log, or the port's makefile would have it built with the port's
    # own options, into the port's own folder.
    cross = log.parent / "mpy-cross"
    environment = {**os.environ, "MICROPY_MPYCROSS": str(cross / "mpy-cross")}
    with log.open("w") as file:
        for step in (make(sources / "mpy-cross", f"BUILD={cross}"), command):
            done = subprocess.run(step, env=environment, stdout=file, stderr=subprocess.STDOUT)
            if done.returncode:
                break
    if done.returncode:
        said = log.read_text(errors="replace").splitlines()
        fault = next(filter(_FAULT.search, said), "it gave no reason").strip()
        raise Trouble(f"MicroPython's build failed: {fault} (all of it: {os.path.relpath(log)})")


def run(given) -> None:
    """Check everything, build, and say what came out."""
    sources = checked(given.micropython or os.environ.get("MICROPYTHON"))
    chosen = profile.load(given.board)
    port = port_of(chosen)
    complete(sources, port)
    out = builder.build(given.board, frozen=True)
    say(
        f"building the {port} port in {os.path.relpath(out)}/firmware, with the station in it: minutes"
    )
    compiled(sources, arguments(sources, port, chosen, out, given.bits), out / "firmware.log")
    for name in _RESULTS[port]:
        file = out / "firmware" / name
        if file.is_file():
            say(f"{os.path.relpath(file)}: {file.stat().st_size:,} bytes")


def main(argv=None) -> int:
    """Build the product image of a board."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.flashing.firmware", description="Build the product image."
    )
    parser.add_argument("board", help="a folder of boards/")
    parser.add_argument(
        "--micropython", metavar="FOLDER", help="MicroPython's sources, 1.28 or later"
    )
    parser.add_argument(
        "--bits", type=int, choices=[64, 32], default=64, help="of the unix port (%(default)s)"
    )
    return command(run, parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
