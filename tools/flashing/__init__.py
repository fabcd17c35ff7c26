"""The way onto real hardware: the commands behind `make flash`, `package`, `provision`, `console`, `selftest` and `firmware`.

board.py      a MicroPython prompt behind a serial port, which all of them share
image.py      which station a board runs, and what its short names are
esp32.py      stock MicroPython for an ESP32: a partition for the log, and esptool
flash.py, package.py, provision.py, console.py, selftest.py, firmware.py: a command each
"""

import sys


class Trouble(Exception):
    """What went wrong, in one line that says what to do."""


def command(run, *given) -> int:
    """Run a command and return its exit code; what goes wrong is one line on stderr."""
    from tools import BuildError

    try:
        return run(*given) or 0
    except (Trouble, BuildError) as trouble:
        print(trouble, file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    except BrokenPipeError:
        sys.stderr.close()
    return 1


def say(text: str) -> None:
    """A line of progress."""
    print(text, flush=True)
