# A WebSocket client (RFC 6455) that keeps to two buffers: messages are received into one and written
# from the other, in place, whole or in fragments. `wire.handshake` opens it.
#
# One task receives. Everyone who sends holds `lock` from the first byte of a message to the end of
# `drain()`: an asyncio stream must not be written while another task drains it.
import asyncio

from micropython import const

# Where a payload begins in the transmit buffer: room for its frame header.
HEAD = 8

# Bytes of a message that is too long: enough to answer it.
_KEPT = const(256)
# Bytes that must come within `patience_ms` while the peer owes us something.
_PROGRESS = const(256)
_CLOSE_MS = const(5000)

_TEXT = const(1)
_BINARY = const(2)
_CLOSE = const(8)
_PING = const(9)
_PONG = const(10)


class ConnectionClosed(Exception):
    """The connection is over. `code`: a WebSocket close code, 1006 when it broke without one."""

    def __init__(self, code: int, reason: str):
        super().__init__("%d %s" % (code, reason))
        self.code = code
        self.reason = reason


class HandshakeError(Exception):
    """There is no WebSocket; the text is fit for a log. `status`: of the HTTP answer, 0 without one."""

    def __init__(self, text: str, status: int = 0):
        super().__init__(text)
        self.status = status


class WebSocket:
    """An open connection; `handshake.connect` makes it."""

    def __init__(self, stream, subprotocol: str, receive, transmit, random):
        self.subprotocol = subprotocol
        # See above.
        self.lock = asyncio.Lock()
        # Seconds between our pings, 0 for none; may be changed at any time.
        self.ping_s = 0
        # How long the peer may owe us a pong or the rest of a message.
        self.patience_ms = 30000
        # Names of long strings to take out of messages, see `wire.sift`.
        self.sinks = None
        # Why we gave the connection up, once we have.
        self.dead = ""
        # Something came, since whoever wants to know took it back.
        self.heard = False
        # About the message that `recv` returned:

        # It was too long, only its first bytes were kept.
        self.oversize = False
        self.binary = False
        # (index, length) of each string that was taken out.
        self.diverted: tuple | list = ()
        self._stream = stream
        self._buf = receive
        self._receive = memoryview(receive)
        self._transmit = transmit
        self._frame = memoryview(transmit)
        self._random = random
        self._head = memoryview(bytearray(8))
        self._control = bytearray(6 + 125)
        # Fragments of our message have left, its end has not.
        self.continued = False
        # In the middle of a message of the peer.
        self._partial = False
        # Our ping is unanswered.
        self._pinged = False
        # Our Close has left.
        self._closing = False
        # Bytes received since progress was last seen.
        self._got = 0
        self._owed_ms = 0
        self._ping_ms = 0

    # --- receiving ------------------------------------------------------------------------------------
    async def recv(self) -> int:
        """Wait for the next message and return its size; it lies at the start of the receive buffer
        until the next call. Answers pings meanwhile. Raises ConnectionClosed."""
        head = self._head
        room = len(self._receive)
        size = kind = kept = 0
        sift = None
        self.oversize = False
        self.diverted = ()
        while True:
            await self._fill(head[:2])
            first = head[0]
            length = head[1]
            opcode = first & 15
            if first & 0x70 or length & 0x80:
                await self._fail(1002, "reserved bit or mask")
            if opcode >= _CLOSE:
                if length > 125 or first < 0x80:
                    await self._fail(1002, "control frame too long or in fragments")
                await self._on_control(opcode, length)
                continue
            if opcode > _BINARY or (opcode == 0) != (kind != 0):
                await self._fail(1002, "unexpected opcode")
            kind = kind or opcode
            self._partial = True
            if length > 125:
                n = 2 if length == 126 else 8
                await self._fill(head[:n])
                if head[0] > 127 and n == 8:
                    await self._fail(1002, "frame length")
                length = 0
                for c in head[:n]:
                    length = length << 8 | c
            while length:
                if size == room and not self.oversize:
                    if self.sinks:
                        if not sift:
                            from milliamp.wire.sift import Sift

                            sift = Sift(self._buf, self.sinks)
                        size = sift.make_room(size)
                        self.diverted = sift.diverted
                    if size == room:
                        # What is kept ends where a character does: it is read, and repeated, as text.
                        self.oversize = True
                        kept = min(_KEPT, room // 2)
                        while kept and self._buf[kept] >> 6 == 2:
                            kept -= 1
                start = kept if self.oversize else size
                n = await self._some(self._receive[start : min(room, start + length)])
                length -= n
                if not self.oversize:
                    size = sift.took(size, n) if sift else size + n
            if first & 0x80:
                break
        self._partial = False
        self._pinged = False
        self.binary = kind == _BINARY
        if self.oversize:
            size = kept
        if kind == _TEXT and not is_utf8(self._receive[:size]):
            await self._fail(1007, "not UTF-8")
        return size

    async def _on_control(self, opcode, size):
        frame = self._control
        payload = memoryview(frame)[6 : 6 + size]
        await self._fill(payload)
        if opcode == _PING:
            if not self._closing:
                await self._send(_PONG, frame, size)
        elif opcode == _PONG:
            self._pinged = False
        elif opcode != _CLOSE:
            await self._fail(1002, "unexpected opcode")
        else:
            code = 1005
            if size:
                code = payload[0] << 8 | payload[1] if size > 1 else 0
                if not (1000 <= code < 1015 and not 1003 < code < 1007 or 3000 <= code < 5000):
                    await self._fail(1002, "close code")
                if not is_utf8(payload[2:]):
                    await self._fail(1007, "not UTF-8")
            reason = str(payload[2:], "utf-8")
            await self.close(1000 if code == 1005 else code)
            raise ConnectionClosed(code, reason)

    async def _fill(self, view):
        got = 0
        while got < len(view):
            got += await self._some(view[got:])

    async def _some(self, view):
        while True:
            try:
                n = await self._stream.readinto(view)
            except OSError as e:
                raise ConnectionClosed(1006, "lost: %r" % e)
            if n:
                self._got += n
                self.heard = True
                return n
            if n == 0:
                raise ConnectionClosed(1006, "lost: end of stream")
            # None: the socket had nothing for us after all (TLS)

    # --- sending --------------------------------------------------------------------------------------
    def send(self, end: int, final: bool) -> None:
        """Send transmit[HEAD:end] as a frame of a text message; under `lock`. The payload is masked
        where it lies. Never waits: what the socket does not take at once is for `drain`."""
        if self._closing:
            raise ConnectionClosed(1006, "closing")
        frame = self._transmit
        size = end - HEAD
        first = (0 if self.continued else _TEXT) | (0x80 if final else 0)
        self.continued = not final
        start = 2
        if size < 126:
            frame[3] = 0x80 | size
        else:
            start = 0
            frame[1] = 0xFE
            frame[2] = size >> 8
            frame[3] = size & 255
        frame[start] = first
        frame[4:8] = self._random(4)
        _mask(frame, 4, HEAD, end)
        self._write(self._frame[start:end])

    async def drain(self) -> None:
        """Let other tasks run, and wait until the socket has taken what was sent; under `lock`."""
        stream = self._stream
        if not stream.out_buf:
            await asyncio.sleep_ms(0)
            return
        try:
            await asyncio.wait_for_ms(stream.drain(), self.patience_ms)
        except asyncio.TimeoutError:
            self._give_up("the peer does not read")
        except OSError as e:
            self._give_up("lost: %r" % e)

    async def keep(self, passed: int, doubt: bool = False) -> bool:
        """To be called about once a second, with the milliseconds since the last time: sends a ping
        when it is due, or when there is `doubt` that anybody is there and none is unanswered. False
        when the connection is dead: whoever is in `recv` must be cancelled, for the peer will not end
        it."""
        if self._got >= _PROGRESS or not (self._partial or self._pinged or self._closing):
            self._got = 0
            self._owed_ms = 0
        else:
            self._owed_ms += passed
            if self._owed_ms > (_CLOSE_MS if self._closing else self.patience_ms):
                self.dead = self.dead or "no pong, or half a message"
        if self.dead:
            return False
        self._ping_ms += passed
        due = self.ping_s and self._ping_ms >= self.ping_s * 1000 or doubt and not self._pinged
        if due and not self.lock.locked():
            self._ping_ms = 0
            await self.ping()
        return True

    async def ping(self) -> None:
        """Send a ping; the peer owes us a pong within `patience_ms`, which `keep` watches."""
        self._pinged = True
        await self._send(_PING, bytearray(6), 0)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a Close, once. The connection ends when the peer answers, or soon after if it does not:
        whoever is in `recv` sees ConnectionClosed."""
        if not self._closing and not self.dead:
            self._closing = True
            self._owed_ms = 0
            data = reason.encode()[:123]
            frame = bytearray(8 + len(data))
            frame[6] = code >> 8
            frame[7] = code & 255
            frame[8:] = data
            try:
                await self._send(_CLOSE, frame, 2 + len(data))
            except ConnectionClosed:
                pass

    async def release(self) -> None:
        """Close the socket, when nobody receives and every sender has been cancelled or will see
        ConnectionClosed: a socket must not be closed while a task waits for it."""
        self.dead = self.dead or "closed"
        async with self.lock:
            try:
                self._stream.close()
                await self._stream.wait_closed()
            except OSError:
                pass

    async def _send(self, opcode, frame, size):
        # A control frame whose payload lies in frame[6:]; it is masked there.
        frame[0] = 0x80 | opcode
        frame[1] = 0x80 | size
        frame[2:6] = self._random(4)
        _mask(frame, 2, 6, 6 + size)
        async with self.lock:
            self._write(memoryview(frame)[: 6 + size])
            await self.drain()

    async def _fail(self, code, reason):
        await self.close(code, reason)
        raise ConnectionClosed(code, reason)

    def _write(self, data):
        if self.dead:
            raise ConnectionClosed(1006, self.dead)
        try:
            self._stream.write(data)
        except OSError as e:
            self._give_up("lost: %r" % e)

    def _give_up(self, why):
        self.dead = why
        raise ConnectionClosed(1006, why)


def _mask(buf, key, at, end):
    # XOR buf[at:end] with the four bytes at buf[key:], without garbage.
    a = buf[key]
    b = buf[key + 1]
    c = buf[key + 2]
    d = buf[key + 3]
    last = end - 3
    while at < last:
        buf[at] ^= a
        buf[at + 1] ^= b
        buf[at + 2] ^= c
        buf[at + 3] ^= d
        at += 4
    while at < end:
        buf[at] ^= buf[key]
        key += 1
        at += 1


def is_utf8(view) -> bool:
    """Is this UTF-8? Strictly: MicroPython's own check lets surrogates and overlong forms pass."""
    if not len(view) or max(view) < 0x80:
        return True
    more = 0
    least = 0x80
    most = 0xBF
    for c in view:
        if more:
            if not least <= c <= most:
                return False
            more -= 1
            least = 0x80
            most = 0xBF
        elif c >= 0x80:
            if not 0xC2 <= c <= 0xF4:
                return False
            more = 1 if c < 0xE0 else 2 if c < 0xF0 else 3
            if c == 0xE0 or c == 0xF0:
                least = 0xA0 if c == 0xE0 else 0x90
            elif c == 0xED or c == 0xF4:
                most = 0x9F if c == 0xED else 0x8F
    return not more
