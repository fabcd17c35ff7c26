"""The other end of a WebSocket, without a network: frames by hand, in whatever pieces a test likes."""

import asyncio
import json
import struct
from collections import deque

from hostsim.clock import virtual
from milliamp.wire.websocket import WebSocket

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame(opcode: int, payload: bytes, final: bool = True) -> bytes:
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


class Peer:
    """An asyncio stream for the WebSocket under test, and what a test needs of its other end."""

    out_buf = b""

    def __init__(self):
        self._incoming = deque()
        self._sent = bytearray()
        self._ended = False
        self._news = asyncio.Event()
        self._heard = asyncio.Event()
        self._frames = []
        self.closed = False
        self.pongs = []
        self.fragments = 0

    # The stream.
    async def readinto(self, view):
        while not self._incoming:
            if self._ended:
                return 0
            self._news.clear()
            await self._news.wait()
        chunk = self._incoming[0]
        n = min(len(chunk), len(view))
        view[:n] = chunk[:n]
        if n == len(chunk):
            self._incoming.popleft()
        else:
            self._incoming[0] = chunk[n:]
        return n

    def write(self, data):
        self._sent += data
        while (one := self._parse()) is not None:
            self._frames.append(one)
        self._heard.set()

    def close(self):
        self.closed = True

    async def wait_closed(self):
        pass

    # The test's side.
    def feed(self, data: bytes, piece: int = 0) -> None:
        """Let bytes arrive, `piece` at a time."""
        piece = piece or len(data) or 1
        self._incoming.extend(data[i : i + piece] for i in range(0, len(data), piece))
        self._news.set()

    def end(self) -> None:
        """No more bytes come."""
        self._ended = True
        self._news.set()

    def say(self, message) -> None:
        """Send a message: text as it is, anything else as JSON."""
        text = message if isinstance(message, str) else json.dumps(message)
        self.feed(frame(TEXT, text.encode()))

    async def frame(self):
        """The next frame that the station sent: (final, opcode, payload)."""
        while not self._frames:
            self._heard.clear()
            await self._heard.wait()
            await virtual.sleep(0.001)  # what the station does behind it is done too
        return self._frames.pop(0)

    async def hear(self):
        """The next message that the station sent, whole."""
        whole = b""
        self.fragments = 0
        while True:
            final, opcode, payload = await self.frame()
            if opcode == PONG:
                self.pongs.append(payload)
                continue
            if opcode == CLOSE:
                return ("close", int.from_bytes(payload[:2], "big"))
            assert (opcode == TEXT) == (self.fragments == 0)
            whole += payload
            self.fragments += 1
            if final:
                return json.loads(whole)

    def frames(self):
        """All frames that were sent and not heard yet."""
        frames, self._frames = self._frames, []
        return frames

    def _parse(self):
        data = self._sent
        if len(data) < 6:
            return None
        assert data[1] & 0x80, "a client masks"
        size, at = data[1] & 0x7F, 2
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
        mask = data[at : at + 4]
        if len(data) < at + 4 + size:
            return None
        payload = bytes(c ^ mask[i % 4] for i, c in enumerate(data[at + 4 : at + 4 + size]))
        first = data[0]
        del data[: at + 4 + size]
        return bool(first & 0x80), first & 15, payload


def websocket(peer: Peer, receive=2560, transmit=1024) -> WebSocket:
    """A WebSocket whose handshake is done."""
    return WebSocket(
        peer,
        "ocpp2.0.1",
        bytearray(receive),
        bytearray(transmit),
        lambda n: bytes(range(7, 7 + n)),
    )
