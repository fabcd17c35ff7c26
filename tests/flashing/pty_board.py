"""A microcontroller to flash: the real MicroPython behind a pseudo-terminal, with a LittleFS of its own in a file.

It resets as boards do: softly into the prompt it was in, hard into its `main.py`. Its supply can be cut, at once or
after so many bytes from the host.
"""

import contextlib
import os
import pty
import select
import signal
import subprocess
import termios
import threading
import tty
from pathlib import Path

from hostsim.charger.lane32 import lane64

BLOCK = 4096

# What a board does at power-up, on the board: mounts its file system, then runs main.py unless the prompt is raw.
_ROM = """
import os, sys, vfs

class _Blocks:
    def __init__(self, name, count):
        self._file, self._count = open(name, 'r+b'), count
    def readblocks(self, n, buf, at=0):
        self._file.seek(n * _BLOCK + at)
        self._file.readinto(buf)
    def writeblocks(self, n, buf, at=None):
        self._file.seek(n * _BLOCK + (at or 0))
        self._file.write(buf)
    def ioctl(self, op, arg):
        if op == 4: return self._count * 4096 // _BLOCK
        if op == 5: return _BLOCK
        if op == 6:
            self.writeblocks(arg, b'\\xff' * 4096)
            return 0

class _Machine:
    lost_regions = ()  # flash regions that this board has not got
    has_network = True
    class WDT:
        def __init__(self, timeout): pass
        def feed(self): pass
    def reset(self): os.system('kill -9 $PPID')
    def unique_id(self): return b'\\x12\\x34\\x56\\x78'
    def reset_cause(self): return 1

sys.modules['machine'] = _Machine()
_raw, _image, _count, *_root = sys.argv[1:]
_root = _root[0] if _root else ''
_BLOCK = 512 if _root else 4096
_blocks = _Blocks(_image, int(_count))
def _mounted():
    return vfs.VfsFat(_blocks) if _root else vfs.VfsLfs2(_blocks, progsize=32, readsize=32, lookahead=32)
try:
    vfs.mount(_mounted(), '/new')
except OSError:
    vfs.VfsFat.mkfs(_blocks) if _root else vfs.VfsLfs2.mkfs(_blocks, progsize=32, readsize=32, lookahead=32)
    vfs.mount(_mounted(), '/new')
vfs.umount('/new')
vfs.umount('/')
vfs.mount(_mounted(), _root or '/')
os.chdir(_root or '/')
sys.path[:] = ['', '.frozen', _root + '/lib']
sys.argv[:] = []
import termios as _termios
_line = _termios.tcgetattr(0)
_line[3] |= 1  # from here on, Ctrl-C interrupts
_termios.tcsetattr(0, _termios.TCSANOW, _line)
"""


class PtyBoard:
    """A board whose serial port is `port`. `blocks`: of 4 kB, in its file system. `root`: where that is mounted when it
    is FAT, as on some STM32."""

    def __init__(self, folder: Path, blocks: int = 128, root: str = ""):
        self._root = [root] if root else []
        self._image = folder / "flash.img"
        self._image.write_bytes(b"\xff" * BLOCK * blocks)
        self._rom = folder / "rom.py"
        self._blocks = blocks
        self.extra = ""  # code that runs at power-up, behind the ROM's
        self.received = 0  # bytes from the host
        self.blown = threading.Event()  # the fuse
        self._fuse: int | None = None
        self._host, self._port = pty.openpty()
        tty.setraw(self._port)
        os.set_blocking(self._host, False)
        self.port = os.ttyname(self._port)
        self._lock = threading.RLock()
        self._child: subprocess.Popen | None = None
        self._inner = -1
        self._closed = False
        self._wake, self._waker = os.pipe()
        self.resets = 0
        self.power()
        self._thread = threading.Thread(target=self._relay, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def power(self, fuse: "int | None" = None) -> None:
        """Supply on; it goes off again after `fuse` bytes from the host."""
        self.blown.clear()
        self._fuse = None if fuse is None else self.received + fuse
        self._start(raw=False)

    def cut(self) -> None:
        """Supply off."""
        with self._lock:
            self._kill()

    def close(self) -> None:
        self._closed = True
        os.write(self._waker, b"x")
        self._thread.join()
        self.cut()
        for number in (self._host, self._port, self._wake, self._waker):
            os.close(number)

    @property
    def is_on(self) -> bool:
        return self._child is not None

    def _start(self, raw: bool) -> None:
        script = _ROM + self.extra + "\n"
        if not raw:
            script += (
                "try:\n    os.stat('main.py')\n    exec(open('main.py').read(), {'__name__': '__main__'})\n"
                "except OSError as _e:\n    if _e.errno != 2: sys.print_exception(_e)\n"
                "except Exception as _e:\n    sys.print_exception(_e)\nexcept KeyboardInterrupt:\n    pass\n"
            )
        self._rom.write_text(script)
        with self._lock:
            self._kill()
            self._inner, slave = pty.openpty()
            settings = termios.tcgetattr(slave)
            settings[0] &= ~(termios.ICRNL | termios.IXON)
            settings[1] &= ~termios.OPOST
            settings[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
            termios.tcsetattr(slave, termios.TCSANOW, settings)
            command = [*lane64(), "-X", "heapsize=2M", "-i", str(self._rom), str(int(raw))]
            self._child = subprocess.Popen(
                [*command, str(self._image), str(self._blocks), *self._root],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
                preexec_fn=lambda: _control(0),
            )
            os.close(slave)
            if raw:
                os.write(self._inner, b"\x01")
            os.write(self._waker, b"x")

    def _kill(self) -> None:
        if self._child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        self._child = None
        os.close(self._inner)
        self._inner = -1

    def _relay(self) -> None:
        while not self._closed:
            with self._lock:
                inner, child = self._inner, self._child
            ends = [number for number in (self._host, self._wake, inner) if number >= 0]
            try:
                ready, _, _ = select.select(ends, [], [])
            except OSError:  # it was cut just now
                continue
            if self._wake in ready:
                os.read(self._wake, 64)
            elif self._host in ready:
                self._from_host(os.read(self._host, 1024))
            else:
                self._from_board(child)

    def _from_host(self, data: bytes) -> None:
        with self._lock:
            self.received += len(data)
            over = 0 if self._fuse is None else self.received - self._fuse
            if self._child is not None:
                os.write(self._inner, data[: len(data) - over] if over > 0 else data)
            if self._fuse is not None and over >= 0:
                self._fuse = None
                self._kill()
                self.blown.set()

    def _from_board(self, child) -> None:
        with self._lock:
            if child is None or child is not self._child:
                return
            try:
                data = os.read(self._inner, 1024)
            except OSError:
                data = b""
            soft = not data and child.wait() == 0
            if soft:
                data = b"MPY: soft reboot\r\n"
            with contextlib.suppress(BlockingIOError):  # nobody reads: as a USB port, it drops
                os.write(self._host, data)
            if child.returncode is not None:
                self.resets += 1
                self._start(raw=soft)


def _control(number: int) -> None:
    """Make a terminal the one that controls this process: Ctrl-C interrupts it."""
    import fcntl

    fcntl.ioctl(number, termios.TIOCSCTTY, 0)
