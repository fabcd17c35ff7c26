"""Somebody between a station and its CSMS: passes bytes on, or answers in the CSMS's place, as badly as told."""

import asyncio
import base64
import contextlib
import hashlib
import socket
import struct
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from hostsim.lives.harness import Rig

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Part = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Middle:
    """`script` holds what becomes of the next connections, one after the other: a function of (reader, writer)
    that plays the server. When it is empty, connections are passed on. `played` counts the parts that ended."""

    def __init__(self, this: Rig):
        self.script: list[Part] = []
        self.played = 0
        self.connections = 0
        self._rig = this
        self._upstream = urlsplit(this.network.upstream)
        self._tasks: set[asyncio.Task] = set()
        self._change = asyncio.Event()

    async def __aenter__(self) -> "Middle":
        place = socket.create_server(("127.0.0.1", 0))
        place.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # who is deaf has small ears
        self._server = await asyncio.start_server(self._accepted, sock=place, limit=4096)
        port = self._server.sockets[0].getsockname()[1]
        self._rig.network.upstream = f"ws://127.0.0.1:{port}{self._upstream.path}"
        return self

    async def __aexit__(self, *_) -> None:
        self._rig.network.upstream = self._upstream.geturl()
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def play(self, *script: Part) -> None:
        """Have the station connect anew, and wait until every part was played."""
        self.script += script
        self.played = 0
        await self._rig.network.set("refuse")
        await self._rig.network.set("on")
        async with self._rig.clock.timeout(900):
            while self.played < len(script):
                self._change.clear()
                await self._change.wait()

    async def _accepted(self, reader, writer) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        self.connections += 1
        self._change.set()
        part = self.script.pop(0) if self.script else None
        try:
            await (part or self.forward)(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the station had enough of it
        finally:
            self._tasks.discard(task)
            writer.close()
            if part:
                self.played += 1
                self._change.set()

    async def forward(self, reader, writer, up: int = 1 << 60, down: int = 1 << 60) -> None:
        """Pass everything on, until `up` bytes have come from the station or `down` from the CSMS."""
        far_reader, far_writer = await asyncio.open_connection(
            self._upstream.hostname, self._upstream.port
        )
        try:
            await first(
                pump(reader, far_writer, up),
                pump(far_reader, writer, down),
            )
        finally:
            far_writer.close()
            reset(writer)

    def deaf(self, *data: bytes) -> Part:
        """Accepts the station, sends these bytes, and reads nothing more: not even that the station has gone, so
        the part ends with the next connection."""

        async def part(reader, writer):
            here = self.connections
            accept = await upgrade(reader)
            writer.transport.pause_reading()
            writer.write(GOOD.replace(b"{accept}", accept))
            for piece in data:
                writer.write(piece)
            while self.connections == here:
                self._change.clear()
                await self._change.wait()

        return part

    def cut(self, up: int = 1 << 60, down: int = 1 << 60) -> Part:
        """A connection that breaks after so many bytes."""
        return lambda reader, writer: self.forward(reader, writer, up, down)


async def first(*work: Awaitable[None]) -> None:
    """Run all until one has ended."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int) -> None:
    while limit > 0 and (data := await reader.read(min(limit, 4096))):
        limit -= len(data)
        writer.write(data)
        await writer.drain()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST."""
    with contextlib.suppress(OSError):
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


# --- parts: what a server may do --------------------------------------------------------------------


def says(answer: bytes, hold: bool = False) -> Part:
    """Answers the upgrade with these bytes; `{accept}` in them is what the station expects. Then hangs up, or says
    nothing more until the station does."""

    async def part(reader, writer):
        accept = await upgrade(reader)
        writer.write(answer.replace(b"{accept}", accept))
        await writer.drain()
        if hold:
            await until_closed(reader)

    return part


def drips(answer: bytes, clock, seconds: float) -> Part:
    """Answers a byte at a time."""

    async def part(reader, writer):
        accept = await upgrade(reader)
        gone = asyncio.ensure_future(until_closed(reader))
        for byte in answer.replace(b"{accept}", accept):
            writer.write(bytes((byte,)))
            await asyncio.wait([gone], timeout=clock.wall(seconds))
            if gone.done():
                return
        gone.cancel()

    return part


def frames(*data: bytes, hold: bool = False, linger: int = 0) -> Part:
    """Accepts the station as a CSMS does, then sends these bytes whatever it hears. `linger`: so many bytes of the
    station are awaited first."""

    async def part(reader, writer):
        accept = await upgrade(reader)
        writer.write(GOOD.replace(b"{accept}", accept))
        if linger:
            await reader.readexactly(linger)
        for piece in data:
            writer.write(piece)
            await writer.drain()
        if hold:
            await until_closed(reader)

    return part


async def silence(reader, writer) -> None:
    """Accepts the connection and says nothing at all."""
    await until_closed(reader)


async def upgrade(reader) -> bytes:
    """Read the station's request: the right Sec-WebSocket-Accept."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"sec-websocket-key":
            return base64.b64encode(hashlib.sha1(value.strip() + _GUID).digest())
    raise AssertionError("no Sec-WebSocket-Key")


async def until_closed(reader) -> None:
    while await reader.read(4096):
        pass


GOOD = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: ocpp2.0.1\r\n\r\n"
)


def frame(opcode: int, payload: bytes = b"", final: bool = True) -> bytes:
    """A frame as a server sends it."""
    size = len(payload)
    head = bytes(((0x80 if final else 0) | opcode,))
    if size < 126:
        head += bytes((size,))
    elif size < 0x10000:
        head += b"\x7e" + struct.pack(">H", size)
    else:
        head += b"\x7f" + struct.pack(">Q", size)
    return head + payload
