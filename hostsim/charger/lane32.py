"""The two MicroPython lanes: which binary runs the firmware on this machine.

`python -m hostsim.charger.lane32` gets the 32-bit one. It allocates byte for byte what a microcontroller does, so memory is
gated there. Debian packages it for i386; without root, its packages are unpacked under `build/lane32`, and nothing
of the machine changes. Any `micropython` on the path that is a 32-bit x86 program is taken first.
"""

import contextlib
import functools
import shutil
import subprocess
import sys
from pathlib import Path

from hostsim.charger import debian
from tools import BUILD, ROOT

FOLDER = BUILD / "lane32"
BOOT = Path(__file__).with_name("boot.py")
PACKAGES = "micropython libffi8 libmbedtls21 libmbedcrypto16 libmbedx509-7 libc6 libgcc-s1".split()
_HINT = "install it yourself where you can (Debian, Ubuntu: apt install micropython:i386)"


def lane64() -> list:
    """The command of the pinned 64-bit MicroPython in the local environment. FileNotFoundError when there is none."""
    for place in (Path(sys.executable).parent, ROOT / ".venv" / "bin"):
        if (place / "micropython").is_file():
            return [str(place / "micropython")]
    raise FileNotFoundError("no micropython in the local environment: run `make setup`")


@functools.cache
def lane32(fetch: bool = True) -> "list | None":
    """The command of a 32-bit MicroPython, fetched when needed; None, said why on stderr, when there is none."""
    system = shutil.which("micropython")
    if system and is_32_bit(Path(system)):
        return [system]
    if command := _unpacked():
        return command
    if not fetch:
        return None
    try:
        debian.unpacked(FOLDER, PACKAGES, _say, _unpacked)
    except debian.Impossible as reason:
        _say(f"not available: {reason}; {_HINT}")
        return None
    command = _unpacked()
    if command is None:
        _say("not available: the unpacked micropython does not start here; " + _HINT)
    return command


def command(lane: int, folder: Path, heap: "str | None" = None) -> "list | None":
    """What starts the firmware built in `folder` (see `tools.builder`) on lane 64 or 32; None: no such lane here.

    `heap` is a size as MicroPython's -X heapsize takes it, like "64k". Arguments to the firmware may follow.
    """
    start = lane64() if lane == 64 else lane32()
    if start is None:
        return None
    limit = ["-X", f"heapsize={heap}"] if heap else []
    return [*start, *limit, str(BOOT), str(folder)]


def _say(text: str) -> None:
    print(f"lane 32: {text}", file=sys.stderr, flush=True)


def is_32_bit(file: Path) -> bool:
    """An ELF program for 32-bit x86?"""
    with file.open("rb") as program:
        head = program.read(20)
    return head[:5] == b"\x7fELF\x01" and head[18:20] == b"\x03\x00"


def _unpacked() -> "list | None":
    """The command of the unpacked packages, when they are there and start."""
    root = FOLDER / "root"
    loader = next(iter(sorted(root.rglob("ld-linux.so.2"))), None) if root.is_dir() else None
    program = root / "usr" / "bin" / "micropython"
    if loader is None or not program.is_file():
        return None
    libraries = [
        root / "usr/lib/i386-linux-gnu",
        root / "lib/i386-linux-gnu",
        root / "usr/lib",
        root / "lib",
    ]
    path = ":".join(str(folder) for folder in libraries if folder.is_dir())
    command = [str(loader), "--library-path", path, str(program)]
    check = "import sys; print(sys.maxsize)"
    with contextlib.suppress(OSError):
        run = subprocess.run([*command, "-c", check], capture_output=True, text=True)
        if run.stdout.strip() == str(2**31 - 1):
            return command
    return None


def main() -> int:
    """Get the 32-bit lane and say how it is started."""
    found = lane32()
    if found is None:
        return 1
    print(" ".join(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
