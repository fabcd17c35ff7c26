"""Takes a board to a running station: `python -m tools.flashing.flash BOARD --port PORT [--stock MICROPYTHON.bin]`.

The image's .mpy files go into a new folder beside the old station's. They are compared there, the new station makes
its board once, and then renaming one small boot file switches over. Whatever fails before that, the old station is
the one that starts.
"""

import argparse
import hashlib
import sys
from binascii import b2a_base64
from pathlib import Path

from tools import builder
from tools.builder import profile
from tools.flashing import Trouble, board, command, console, esp32, image, say

_CHUNK = 1024  # bytes of a file that go over at once
_OLDEST = (1, 25)  # MicroPython
_MPY = 6  # version of the .mpy format
_START_S = 8  # what a station may take until its first line
_FULL = ("28", "[Errno 28] ENOSPC")

_PARTITION = (
    ". A partition of that name comes with MicroPython's image: make flash with MICROPYTHON_BIN=<stock image>"
    " and ARGS=--erase, which erases the whole board"
)

# What the copy needs on the board.
_TOOLS = """
import hashlib, os
from binascii import a2b_base64 as _a
def _is(path):
    try:
        return os.stat(path)[0]
    except OSError:
        return 0
def _remove(path):
    _feed()
    if _is(path) & 0x4000:
        for name in os.listdir(path):
            _remove(path + '/' + name)
        os.rmdir(path)
    elif _is(path):
        os.remove(path)
def _sum(path):
    _feed()
    h = hashlib.sha256()
    with open(path, 'rb') as f:
        b = f.read(512)
        while b:
            h.update(b)
            b = f.read(512)
    return h.digest()
"""

# Is this a station that can be: are all its parts there, its pins right, its flash regions to be had?
_TRY = """
_b = board.{make}(tables.{profile})
for _r in {regions!r}:
    _b.{flash}(_r)
"""


def copy(to: board.Board, out: Path, chosen, progress=board.progress) -> str:
    """Copy the image of `out` beside the old station, try it and switch over: the folder on the board.

    Trouble: the old station is as it was.
    """
    content = image.files(out / "image")
    root = image.root(to)
    was = image.flashed(to)
    slot = next(root + name for name in image.SLOTS if root + name != was.slot)
    station = image.Station(slot, image.Names.read(out))
    new = root + "/main.new"
    to.run(_TOOLS)
    to.run(f"_remove({slot!r}); _remove({new!r})", timeout=120)
    _has_room(to, content)
    try:
        _write(to, slot, content, progress)
        to.run(station.imports + station.names.fill(_TRY, regions=tuple(chosen.flash)))
        text = image.boot(chosen.board, chosen.version, image.mark(content), slot).encode()
        if not was.slot:
            _keep(to, root + "/main.py")
        _file(to, new, text)
        to.run(f"os.rename({new!r}, {root + '/main.py'!r})")
    except board.Fault as fault:
        to.run(f"_remove({slot!r}); _remove({new!r})", timeout=120)
        if fault.kind == "OSError" and fault.text in _FULL:
            raise Trouble(
                "the board's file system is full; the old station is untouched"
            ) from None
        hint = _PARTITION if "partition" in fault.text else ""
        raise Trouble(
            f"the new station does not start: {fault}; the old one is untouched{hint}"
        ) from None
    return slot


def _has_room(to: board.Board, content: dict) -> None:
    """Trouble when the new station does not fit beside the old one."""
    block, free = to.value(
        f"(lambda s: (s[1], s[0] * s[3]))(os.statvfs({image.root(to) or '/'!r}))"
    )
    folders = {parent for path in content for parent in Path(path).parents}
    need = sum(-(-len(data) // block) * block for data in content.values())
    need += block * (2 * len(folders) + 2)  # a folder takes two blocks; the boot file
    if need > free:
        raise Trouble(
            f"the board's file system is too full: the new station needs {need // 1024:,} kB beside the old one, "
            f"{free // 1024:,} kB are free; the old station is untouched"
        )


def _write(to: board.Board, slot: str, content: dict, progress) -> None:
    """Write and compare all files of a station."""
    folders = {parent.as_posix() for path in content for parent in Path(path).parents}
    for folder in sorted(folders):
        to.run(f"os.mkdir({(slot + '/' + folder).removesuffix('/.')!r})")
    of, done = sum(map(len, content.values())), 0
    for path, data in content.items():
        _file(to, f"{slot}/{path}", data)
        done += len(data)
        progress(done, of)


def _file(to: board.Board, path: str, data: bytes) -> None:
    """Write one file, and read it back on the board."""
    to.run(f"_f = open({path!r}, 'wb')")
    for at in range(0, len(data), _CHUNK):
        text = b2a_base64(data[at : at + _CHUNK], newline=False).decode()
        to.run(f"_f.write(_a('{text}')); _feed()")
    to.run("_f.close()")
    if to.value(f"_sum({path!r})") != hashlib.sha256(data).digest():
        raise Trouble(
            f"{path} did not arrive as it was sent: try again; the old station is untouched"
        )


def _keep(to: board.Board, path: str) -> None:
    """A boot file that is none of ours stays as main.py.before."""
    if to.value(f"_is({path!r})"):
        say(f"{path} was not written by make flash: it is kept as {path}.before")
        to.run(
            f"with open({path!r}, 'rb') as _f:\n    with open({path + '.before'!r}, 'wb') as _g:\n"
            "        _g.write(_f.read())"
        )


def fits(to: board.Board) -> str:
    """The board's MicroPython, when it is one for us; else Trouble."""
    version, mpy, machine = to.value(
        "(lambda i: (i.version, getattr(i, '_mpy', 0), i._machine))(__import__('sys').implementation)"
    )
    name = "MicroPython " + ".".join(str(part) for part in version[:3])
    if tuple(version[:2]) < _OLDEST or mpy & 0xFF != _MPY:
        raise Trouble(f"{name} is on the board: 1.25 or newer is needed")
    return f"{name}, {machine}"


def run(given) -> None:
    """The whole way; Trouble or BuildError says where it ended."""
    port = board.port_of(given.port)
    out = builder.build(given.board)
    chosen = profile.load(given.board)
    if given.erase and not given.stock:
        raise Trouble("--erase needs an image to write afterwards: MICROPYTHON_BIN=<file>")
    try:
        to = None if given.erase else board.Board(port)
    except board.Silent as silent:
        if not given.stock:
            raise Trouble(
                f"{silent} For an ESP32 without it, name a stock image: MICROPYTHON_BIN=<file>"
            ) from None
        to = None
    written = to is None
    if to is None:
        esp32.write(port, esp32.with_partition(Path(given.stock), chosen), out)
        to = board.Board(port)
    with to:
        say(f"{port}: {fits(to)}")
        if not image.built_in(to):
            slot = copy(to, out, chosen)
            say(f"{Path(given.board).name} is in {slot}: the board starts it")
        elif written:
            say(f"{Path(given.board).name} is part of the image: the board starts it")
        else:
            raise Trouble(
                "the board's MicroPython has a station of its own, and that one starts, not files: to write another "
                "image, MICROPYTHON_BIN=<file> and ARGS=--erase"
            )
        _watch(port, out, to.reset())


def _watch(port: str, out: Path, wire) -> None:
    """Show the first that the station says. Trouble: it is a traceback."""
    dies = False
    for line in console.follow(port, out, _START_S, wire=wire):
        say(line)
        dies = dies or line.startswith("Traceback")
        if dies and line[:1] not in (" ", "T"):
            raise Trouble("the station does not start: the line above says why")
        if console.is_log(line):
            break


def main(argv=None) -> int:
    """Flash the named board."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.flashing.flash", description="Take a board to a running station."
    )
    parser.add_argument("board", help="a folder of boards/")
    parser.add_argument("--port", help="the board's serial port")
    parser.add_argument(
        "--stock",
        metavar="FILE",
        help="image for an ESP32 that has none: stock, or of make firmware",
    )
    parser.add_argument(
        "--erase", action="store_true", help="erase the whole board first, whatever is on it"
    )
    return command(run, parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
