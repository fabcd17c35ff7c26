"""The network between station and CSMS: a TCP proxy on the loopback that can be cut, refused, stalled, delayed, slowed.

It hands every byte to a `Tap`. The far side may be the bundled CSMS or somebody else's, plain or over TLS (which the
proxy then speaks, verified against the system's authorities).
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Callable
from urllib.parse import urlsplit

from hostsim.clock import SimClock
from hostsim.net.traffic import DOWN, UP, Tap, Traffic

MODES = {
    "on": "everything passes",
    "off": "no network: connections are reset, new ones refused, and the board knows",
    "refuse": "the network is there but nobody listens: connections are reset, new ones refused",
    "stall": "connections stay open but nothing passes, as behind a dead router",
}
_CHUNK = 4096


class Network:
    """`port` is where the station connects. `delay` is in simulated seconds one way, `throttle` in bytes per
    simulated second (0: as fast as it goes). A new `upstream` holds for the next connection."""

    def __init__(self, clock: SimClock, upstream: str, traffic: Traffic | None = None):
        self.clock = clock
        self.traffic = traffic or Traffic(clock)
        self.mode = "on"
        self.delay = 0.0
        self.throttle = 0
        self.port = 0
        self.cuts = 0
        self.on_cut: list[Callable[[], None]] = []
        self.on_unreachable: list[
            Callable[[OSError], None]
        ] = []  # the CSMS itself cannot be connected to
        self.upstream = upstream
        self._passing = asyncio.Event()
        self._passing.set()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task] = set()
        self._taps: set[Tap] = set()  # of connections that both sides still hold
        self._dialling = 0
        self._sockets: set[asyncio.StreamWriter] = set()
        self._place: socket.socket | None = None
        self._fuse: tuple[str, int] | None = None

    async def start(self, port: int = 0) -> None:
        """Listen on `port` of the loopback, 0: any free one; it is kept until `stop`. OSError: it is busy."""
        self._place = _bound(port)
        self.port = self._place.getsockname()[1]
        await self._listen()

    async def stop(self) -> None:
        await self._deafen()
        self._cut()
        for task in list(self._links):
            task.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)
        if self._place:
            self._place.close()

    async def set(self, mode: str) -> None:
        """Change the mode, one of MODES."""
        if mode not in MODES:
            raise ValueError(f"network is one of {', '.join(MODES)}, not {mode!r}")
        self.mode = mode
        if mode in ("off", "refuse"):
            await self._deafen()
            self._cut()
        elif self._server is None:
            await self._listen()
        if mode == "stall":
            self._passing.clear()
        else:
            self._passing.set()

    def cut_after(self, direction: str, size: int) -> None:
        """Reset the connection, and all others, when so many more bytes have passed in a direction (traffic.UP,
        DOWN): anywhere in a frame, or between two."""
        self._fuse = direction, size

    def owed(self) -> frozenset:
        """What the station waits for from the far side: connections, and what was asked in them."""
        asked = {(tap.number, what) for tap in self._taps for what in tap.owed()}
        return frozenset(asked | {("connection", n) for n in range(self._dialling)})

    def url(self, host: str = "127.0.0.1") -> str:
        """The upstream URL with this proxy in the place of its host: what the station is given."""
        parts = urlsplit(self.upstream)
        query = "?" + parts.query if parts.query else ""
        return f"ws://{host}:{self.port}{parts.path.rstrip('/')}{query}"

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accepted, sock=_bound(self.port))

    async def _deafen(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _cut(self) -> None:
        for writer in list(self._sockets):
            self.cuts += 1
            _reset(writer)
            self.clock.lost()
        for task in self._links:
            task.cancel()  # what was on its way is gone
        for callback in self.on_cut:
            callback()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._links.add(task)
        self._sockets.add(writer)
        try:
            await self._link(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the station sees it too
        except asyncio.CancelledError:
            pass
        finally:
            self._links.discard(task)
            self._sockets.discard(writer)
            writer.close()
            if not reader.at_eof():
                self.clock.lost()

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = urlsplit(self.upstream)
        secure = target.scheme == "wss"
        self._dialling += 1
        try:
            up_reader, up_writer = await asyncio.open_connection(
                target.hostname,
                target.port or (443 if secure else 80),
                ssl=ssl.create_default_context() if secure else None,
            )
        except OSError as error:
            _reset(writer)
            self.clock.lost()
            for callback in self.on_unreachable:
                callback(error)
            return
        finally:
            self._dialling -= 1
        for stream in (writer, up_writer):
            stream.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tap = self.traffic.tap()
        self._taps.add(tap)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.clock.arrived(len(head))
            tap.feed(UP, head)
            up_writer.write(_readdressed(head, target.netloc.rpartition("@")[2]))
            upward = asyncio.create_task(self._pump(tap, UP, reader, up_writer))
            downward = asyncio.create_task(self._pump(tap, DOWN, up_reader, writer))
            try:
                await asyncio.wait((upward, downward), return_when=asyncio.FIRST_COMPLETED)
                self._taps.discard(tap)
                tap.ended(DOWN if downward.done() else UP)
                if downward.done():  # the server closed: nothing else will come
                    return
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(downward, 0.2)  # the answer to a station's close
            finally:
                upward.cancel()
                downward.cancel()
                await asyncio.gather(upward, downward, return_exceptions=True)
        finally:
            self._taps.discard(tap)
            up_writer.close()

    async def _pump(
        self, tap: Tap, direction: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await self._read(direction, reader):
            data, cut = self._burn(direction, data)
            tap.feed(direction, data)
            if self.delay:
                await self.clock.sleep(self.delay)
            step = max(1, self.throttle // 10) if self.throttle else len(data)
            for start in range(0, len(data), step):
                if self.throttle:
                    await self.clock.sleep(step / self.throttle)
                await self._passing.wait()
                writer.write(data[start : start + step])
                if direction == DOWN:
                    self.clock.handed(len(data[start : start + step]))
                await writer.drain()
            if cut:
                self._cut()
                return

    async def _read(self, direction: str, reader: asyncio.StreamReader) -> bytes:
        data = await reader.read(_CHUNK)
        if direction == UP:
            self.clock.arrived(len(data) or 1)
        return data

    def _burn(self, direction: str, data: bytes) -> tuple[bytes, bool]:
        """What of the data still passes, and whether the connection is cut behind it."""
        if self._fuse is None or self._fuse[0] != direction:
            return data, False
        left = self._fuse[1] - len(data)
        self._fuse = (direction, left) if left > 0 else None
        return data[: len(data) + min(left, 0)], left <= 0


def url_fault(url: str) -> str:
    """Why a CSMS URL cannot be used; "" when it can."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in ("ws", "wss"):
        return "it must begin with ws:// or wss://"
    if not url.isprintable() or " " in url:
        return "it has a space or a control character in it"
    if not parts.hostname:
        return "it names no host"
    if port == 0:
        return "port 0 cannot be connected to"
    if "@" in parts.netloc:
        return "the user is always the identity, and --password takes the password"
    if "#" in url:
        return "a WebSocket has no fragment (#)"
    return ""


def _bound(port: int) -> socket.socket:
    """A socket bound to the loopback. One that does not listen keeps the port for us while nobody answers."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a broken network does: with RST, and what was on its way is gone."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _readdressed(head: bytes, host: str) -> bytes:
    """The upgrade request with the real CSMS's name in its Host header."""
    lines = head.split(b"\r\n")
    return b"\r\n".join(
        b"Host: " + host.encode() if line.lower().startswith(b"host:") else line for line in lines
    )
