"""Makes CPython enough of a MicroPython that the firmware's own files can be imported.

`install()` puts the firmware and a board's generated tables on the import path and fills in the few names that
CPython lacks. The firmware itself knows nothing of this.
"""

import asyncio
import importlib.util
import sys
import time
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_TICKS_PERIOD = 1 << 30


def ticks_diff(end: int, start: int) -> int:
    """Signed milliseconds from `start` to `end`, as `time.ticks_diff` has it on a 30-bit ring."""
    return ((end - start + _TICKS_PERIOD // 2) % _TICKS_PERIOD) - _TICKS_PERIOD // 2


class Stream:
    """MicroPython's asyncio stream: reader and writer in one, which copies what the socket does not take."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._reader = reader
        self._writer = writer
        writer.transport.set_write_buffer_limits(0)  # drain() means drained
        self.s = writer.get_extra_info("socket")
        self.read = reader.read
        self.readexactly = reader.readexactly
        self.readline = reader.readline
        self.get_extra_info = writer.get_extra_info
        self.drain = writer.drain

    async def readinto(self, buf) -> int:
        data = await self._reader.read(len(buf))
        buf[: len(data)] = data
        return len(data)

    def write(self, buf) -> None:
        self._writer.write(bytes(buf))  # a copy: the caller goes on in the same buffer

    @property
    def out_buf(self) -> bool:
        """Is something still to be drained? (in MicroPython: the bytes themselves)"""
        return self._writer.transport.get_write_buffer_size() > 0

    def close(self) -> None:
        self._writer.close()

    async def wait_closed(self) -> None:
        self._writer.transport.abort()  # at once, as MicroPython closes a socket
        try:
            await self._writer.wait_closed()
        except OSError:
            pass


_open_connection = asyncio.open_connection


async def open_connection(
    host: str, port: int, ssl=None, server_hostname=None
) -> tuple[Stream, Stream]:
    """`asyncio.open_connection` of MicroPython."""
    stream = Stream(*await _open_connection(host, port, ssl=ssl, server_hostname=server_hostname))
    return stream, stream


def ticks_ms() -> int:
    """`time.ticks_ms` of MicroPython, by the clock of the event loop that runs: it may be a virtual one."""
    try:
        now = asyncio.get_running_loop().time()
    except RuntimeError:
        now = time.monotonic()
    return int(now * 1000) % _TICKS_PERIOD


def install(tables: Path | None = None) -> None:
    """Make `import milliamp` work here; with `tables`, the folder that holds a board's `tables` package too."""
    for folder in (ROOT / "firmware", tables):
        if folder is not None and str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    if "micropython" not in sys.modules:
        module = types.ModuleType("micropython")
        module.const = lambda value: value
        sys.modules["micropython"] = module
    if not hasattr(time, "ticks_ms"):
        time.ticks_ms = ticks_ms
        time.ticks_diff = ticks_diff
        time.ticks_add = lambda ticks, delta: (ticks + delta) % _TICKS_PERIOD
    if not hasattr(asyncio, "sleep_ms"):
        asyncio.open_connection = open_connection
        asyncio.sleep_ms = lambda ms: asyncio.sleep(ms / 1000)
        asyncio.wait_for_ms = lambda awaitable, ms: asyncio.wait_for(awaitable, ms / 1000)


def driver(name: str) -> types.ModuleType:
    """A module of `boards/drivers`, imported anew, after `install()`."""
    file = ROOT / "boards" / "drivers" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"driver_{name}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
