"""A MicroPython prompt behind a serial port. mpremote's transport carries the commands; what it leaves open is
here: which of many faults it is when nothing answers, and an end to every wait."""

import ast
import contextlib
import errno
import os
import re
import struct
import sys
import time

import serial
import serial.tools.list_ports
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from tools.flashing import Trouble

RAW = b"raw REPL; CTRL-B to exit\r\n"
_TRIES = 6  # to get the prompt
_PROMPT_S = 1  # how long a program may take to stop, and the prompt to come
_QUIET_S = 0.1  # without output, and what ran has stopped
_BOOT_S = 5
_ANSWER_S = 10  # for a command that says nothing meanwhile
_SILENT_S = 2  # without an answer: longer than a byte ever takes
_MOST = 1 << 16  # bytes that are read while waiting for the prompt
_WATCHDOG_MS = 30000  # as boards set it; a station that was stopped does not feed it any more

# A watchdog that a station has started cannot be stopped, and would end what we do here. To make it again is to get
# hold of the same one. A board without one has not got this station's.
_FEED = """
try:
    import machine
    _feed = machine.WDT(timeout={}).feed
except (ImportError, AttributeError, OSError, ValueError):
    _feed = lambda: None
"""


class Fault(Trouble):
    """The board answered with an exception: `kind` is its name, `text` what it says."""

    def __init__(self, trace: str):
        self.trace = trace
        last = trace.strip().splitlines()[-1:] or ["an exception"]
        self.kind, _, self.text = last[0].partition(": ")
        super().__init__(last[0])


class Silent(Trouble):
    """The port is there, but no MicroPython answers."""


class Board:
    """The raw prompt of the board at `port`: what ran is stopped, its memory is free, its files are as they were.

    Trouble says why there is none.
    """

    def __init__(self, port: str):
        self.port = port
        self._transport = _opened(port)
        try:
            with _watched(port):
                self._enter()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _enter(self) -> None:
        if not any(self._stops() for _ in range(_TRIES)):
            raise Silent(
                f"no MicroPython answers at {self.port}: is it the board's port, and is MicroPython on the board?"
            )
        self._transport.in_raw_repl = True
        ran = self.value("'milliamp' in __import__('sys').modules")
        self._feed = _FEED.format(_WATCHDOG_MS) if ran else "_feed = lambda: None"
        self.soft_reset()

    def soft_reset(self) -> None:
        """Start MicroPython anew, without `main.py`: its memory is free again."""
        self._transport.serial.write(b"\x04")
        if not (self._reaches(b"soft reboot\r\n", _BOOT_S) and self._reaches(RAW, _BOOT_S)):
            raise Silent(
                f"the board at {self.port} does not come back from a soft reset: reset it"
            )
        self.run(self._feed)

    def _stops(self) -> bool:
        # Stop what runs, and ask for the raw prompt: the board may still be starting, so once is not enough. Answers to
        # earlier questions may come late: the last one is asked in silence.
        self._transport.serial.write(b"\r\x03\x03")  # twice: the program may catch one
        return self._asks() and self._asks()

    def _asks(self) -> bool:
        wire = self._transport.serial
        until = time.monotonic() + _PROMPT_S
        time.sleep(_QUIET_S)
        while wire.in_waiting and time.monotonic() < until:
            wire.read(wire.in_waiting)
            time.sleep(_QUIET_S)
        wire.write(b"\r\x01")
        return self._reaches(RAW, _PROMPT_S)

    def _reaches(self, ending: bytes, seconds: int) -> bool:
        """Read until `ending` comes; False when it does not, be it silence or noise."""
        wire, data = self._transport.serial, b""
        wire.timeout = 0.1
        until = time.monotonic() + seconds
        while len(data) < _MOST and time.monotonic() < until:
            data += wire.read(1)
            if data.endswith(ending):
                wire.timeout = _SILENT_S
                return True
        return False

    def run(self, code: str, timeout: int = 0) -> str:
        """Run code on the board: what it prints. Fault when it raises, Trouble when the board is silent for
        `timeout` seconds (0: ten)."""
        with _watched(self.port):
            out, err = self._transport.exec_raw(code, timeout=timeout or _ANSWER_S)
        if err:
            raise Fault(err.decode(errors="replace"))
        return out.decode(errors="replace").replace("\r\n", "\n")

    def value(self, expression: str, timeout: int = 0):
        """The value of an expression on the board: numbers, texts, tuples of them."""
        answer = self.run(f"print(repr({expression}))", timeout).strip()
        try:
            return ast.literal_eval(answer)
        except (ValueError, SyntaxError):
            raise Trouble(
                f"the board at {self.port} answers what nobody asked: try again"
            ) from None

    def stream(self, code: str, line, timeout: int) -> None:
        """Run code and hand on each line as it is printed. Fault, Trouble: as `run`."""
        rest = bytearray()

        def take(data):
            rest.extend(data.replace(b"\x04", b""))
            if rest.endswith(b"\n"):
                line(rest.decode(errors="replace").rstrip("\r\n"))
                rest.clear()

        with _watched(self.port):
            _, err = self._transport.exec_raw(code, timeout=timeout, data_consumer=take)
        if err:
            raise Fault(err.decode(errors="replace"))

    def reset(self) -> serial.Serial:
        """Restart the board: it runs what it would after power-up. The prompt is gone; the port, still open, has what
        it says."""
        with _watched(self.port):
            self._transport.exec_raw_no_follow("import machine\nmachine.reset()")
        return self._transport.serial

    def close(self) -> None:
        with contextlib.suppress(OSError, serial.SerialException):
            self._transport.close()


@contextlib.contextmanager
def _watched(port: str):
    """What a cable that is pulled, or a board that resets, raises in mpremote and below."""
    try:
        yield
    except (TransportError, OSError, struct.error) as error:
        if isinstance(error, Trouble):
            raise
        raise Trouble(
            f"the board at {port} stopped answering: check cable and supply, then try again"
        ) from error


def opened(port: str, **options) -> serial.Serial:
    """The serial port. Trouble: it is not there, not ours to use, or in use."""
    try:
        return serial.Serial(port, 115200, exclusive=True, **options)
    except (OSError, ValueError) as error:
        raise Trouble(_why_closed(port, error)) from None


def _opened(port: str) -> SerialTransport:
    try:
        return SerialTransport(port, timeout=_SILENT_S)
    except (TransportError, OSError, ValueError):
        opened(port).close()  # says why not
        raise Trouble(f"cannot open {port}: try again") from None


def _why_closed(port: str, error) -> str:
    """One line for what keeps a port from being opened."""
    found = re.search(r"\((\d+), |Errno (\d+)", str(error))  # pyserial puts it into a text, mostly
    number = getattr(error, "errno", None) or (found and int(found[1] or found[2]))
    if number == errno.EACCES:
        return f"no permission for {port}: {_group(port)}"
    if number in (errno.EAGAIN, errno.EBUSY) or "exclusively lock" in str(error):
        return f"{port} is in use: close the other program (a console, an editor), then try again"
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV) or "FileNotFound" in str(error):
        ports = ", ".join(sorted(found.device for found in serial.tools.list_ports.comports()))
        return f"there is no port {port}: plug the board in; ports here: {ports or 'none'}"
    if number in (errno.ENOTTY, errno.EINVAL, errno.EISDIR) or isinstance(error, ValueError):
        return f"{port} is no serial port"
    return f"cannot open {port}: {error}"


def _group(port: str) -> str:
    """Who may use a port, and how to become one of them."""
    try:
        import grp

        name = grp.getgrgid(os.stat(port).st_gid).gr_name
    except (ImportError, KeyError, OSError):
        return "run this as a user who may use it"
    return f"sudo usermod -aG {name} $USER, then log in again"


def port_of(given: "str | None") -> str:
    """The port that was named. Trouble lists those there are when none was."""
    if given:
        return given
    ports = sorted(found.device for found in serial.tools.list_ports.comports())
    raise Trouble(
        f"name the board's port: PORT=/dev/ttyUSB0, or the like; ports here: {', '.join(ports) or 'none'}"
    )


def progress(done: int, of: int) -> None:
    """How far a copy is, on a terminal."""
    if sys.stdout.isatty():
        print(
            f"\r  {done * 100 // max(of, 1):3d} %",
            end="\r" if done < of else "\r      \r",
            flush=True,
        )
