"""Shows a board's log: `python -m tools.flashing.console --port PORT [BOARD]`. Ends with Ctrl-C.

It goes on when the board resets or its port comes back. Short names in a traceback are explained with `tools.builder.names`.
"""

import argparse
import json
import re
import sys
import time
from pathlib import Path

import serial

from tools import BUILD
from tools.builder.names import explain
from tools.flashing import Trouble, board, command, say

_LOG = re.compile(r"[EWID] ")
_AGAIN_S = 0.2  # between two tries to open a port that went away
_LINE = 4096  # bytes of the longest line


def is_log(line: str) -> bool:
    """Is it a line of the station's log?"""
    return bool(_LOG.match(line))


def follow(
    port: str, folder: "Path | None" = None, seconds: "float | None" = None, gone=say, wire=None
):
    """The lines that come from a port, explained with the names of a build folder, for so many seconds: or for
    ever. `gone` is told when the port goes away and comes back; `wire` is the port when it is open already. Trouble:
    it was not there at first."""
    legend = {}
    if folder and (folder / "names.json").is_file():
        legend = json.loads((folder / "names.json").read_text())
    until = None if seconds is None else time.monotonic() + seconds
    wire, rest = wire or board.opened(port), b""
    wire.timeout = _AGAIN_S
    try:
        while until is None or time.monotonic() < until:
            if wire is None:
                wire = _again(port, gone)
                continue
            try:
                data = wire.read(max(1, wire.in_waiting))
            except (OSError, TypeError):  # pulled, or resetting with its own USB port
                wire.close()
                wire, data = None, b"\n" if rest else b""
                gone(f"({port} is gone: waiting for it)")
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > _LINE:
                lines, rest = [rest], b""
            for line in lines:
                yield explain(_text(line), legend)
    finally:
        if wire is not None:
            wire.close()


def _again(port, gone):
    """The port, when it is back; else None, after a little while."""
    try:
        wire = serial.Serial(port, 115200, exclusive=True, timeout=_AGAIN_S)
    except (OSError, ValueError):
        time.sleep(_AGAIN_S)
        return None
    gone(f"({port} is back)")
    return wire


def _text(line: bytes) -> str:
    """A line as it can be shown: nothing in it moves the cursor or colours the screen."""
    text = line.rstrip(b"\r").decode(errors="replace")
    return "".join(
        character if character.isprintable() or character == "\t" else "." for character in text
    )


def run(given) -> None:
    """Print until Ctrl-C."""
    port = board.port_of(given.port)
    folder = BUILD / given.board if given.board else None
    if folder and not (folder / "names.json").is_file():
        raise Trouble(f"there is no build/{given.board}: make image BOARD={given.board}")
    try:
        for line in follow(port, folder):
            say(line)
    except KeyboardInterrupt:
        say("")


def main(argv=None) -> int:
    """Show the log of the board at the port."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.flashing.console", description="Show a board's log."
    )
    parser.add_argument("board", nargs="?", help="whose names explain tracebacks")
    parser.add_argument("--port", help="the board's serial port")
    return command(run, parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
