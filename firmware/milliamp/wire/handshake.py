# Opens a WebSocket. Needed once per connection, so it has a module of its own.
import asyncio
import hashlib
from binascii import b2a_base64

from micropython import const

from milliamp.base import rare
from milliamp.storage import keys
from milliamp.wire.websocket import HandshakeError, WebSocket, is_utf8

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# Bytes that every right answer has: read at once, it cannot be too many.
_SHORTEST = const(96)
# Bytes of a header line that are looked at: it may be long, our heap is not.
_LINE = const(128)
# Bytes of an answer: balancers of load add cookies to it, but it has an end.
_LONGEST = const(16384)


async def connect(
    st, uri: str, subprotocols: str, authorization=None, tls=None, timeout_s: int = 30
):
    """Open a WebSocket to "ws://host[:port]/path" or "wss://...".

    subprotocols: a list in order of preference, "one,two"; the server must choose one of them.
    authorization: (user, password), or None. tls: an ssl.SSLContext, for wss. Raises HandshakeError,
    whose text is fit for a log.
    """
    try:
        return await asyncio.wait_for(
            _connect(st, uri, subprotocols, authorization, tls), timeout_s
        )
    except asyncio.TimeoutError:
        raise HandshakeError("no answer within %d s" % timeout_s)
    except (OSError, ValueError) as e:
        # TLS raises both.
        raise HandshakeError("no connection: %r" % e)


async def _connect(st, uri, subprotocols, authorization, tls):
    host, port, path, secure = split(uri)
    slot = keys.SLOT_ADDRESS + 16 * st.link.slot
    if not secure:
        stream, note = await dial(st, host, port, slot)
    elif not tls:
        raise HandshakeError("wss needs certificates to check the server by")
    else:
        stream, note = await dial(st, host, port, slot, ssl=tls, server_hostname=host)
    try:
        _no_delay(stream)
        key = b2a_base64(st.board.random(16))[:-1]
        request = (
            b"GET %s HTTP/1.1\r\nHost: %s%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: %s\r\n"
        ) % (
            path.encode(),
            host.encode(),
            b"" if port == (443 if secure else 80) else b":%d" % port,
            key,
            subprotocols.encode(),
        )
        if authorization:
            request += b"Authorization: Basic " + b2a_base64(":".join(authorization).encode())[:-1]
            request += b"\r\n"
        stream.write(request + b"\r\n")
        request = None
        await stream.drain()
        subprotocol = await _answer(stream, st.rpc.receive, key, subprotocols)
        try:
            st.settings.put((slot, note))
        except OSError:
            # No room for a precaution.
            pass
        return WebSocket(stream, subprotocol, st.rpc.receive, st.rpc.transmit, st.board.random)
    except BaseException:
        stream.close()
        await stream.wait_closed()
        raise


async def dial(st, host: str, port: int, key=None, **tls):
    """Connect to a host: (stream, what is worth to be kept, see resolver.find). OSError: no such host, or nobody is
    there."""
    note = None
    # Numeric to the letter. What only looks so would be looked up by MicroPython, and that blocks.
    parts = host.split(".")
    for part in parts:
        if not part.isdigit() or str(int(part) & 255) != part:
            parts = ""
    if len(parts) != 4:
        host, note = await rare.load("milliamp.wire.resolver").find(st, host, key)
    stream, _ = await asyncio.open_connection(host, port, **tls)
    return stream, note


def split(uri: str):
    """(host, port, path, secure) of a WebSocket address; HandshakeError if it is none."""
    scheme, _, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    secure = scheme.lower() == "wss"
    if not secure and scheme.lower() != "ws" or min(uri.encode()) <= 32:
        raise HandshakeError("not a WebSocket address")
    if "[" in host or "@" in host or "?" in host or "#" in uri:
        raise HandshakeError("IPv6, a user, fragment or bare query in the address")
    host, colon, port = host.partition(":")
    if not colon:
        port = "443" if secure else "80"
    if not host or not port.isdigit() or not 0 < int(port[:6]) < 65536:
        raise HandshakeError("no host or no such port in the address")
    return host, int(port), slash + path or "/", secure


def _no_delay(stream):
    # TCP_NODELAY, or a fragment waits 40 ms for the acknowledgement of the one before. Level 6 is TCP.
    try:
        stream.s.setsockopt(6, 1, 1)
    except (AttributeError, OSError, TypeError, ValueError):
        # TLS hides the socket.
        pass


async def _answer(stream, buf, key, subprotocols):
    # The subprotocol that the server chose, if its answer is right. Line by line through the beginning of
    # `buf`, and not one byte beyond the last: frames may follow at once.
    view = memoryview(buf)
    left = _LONGEST
    size = status = 0
    want = _SHORTEST
    upgrade = accept = chosen = ""
    connection = done = False
    while not done:
        n = await stream.readinto(view[size : size + want])
        if n == 0:
            raise HandshakeError("closed by the server")
        size += n or 0
        left -= n or 0
        if left < 0:
            raise HandshakeError("answer too long")
        while (stop := buf.find(b"\r\n", 0, size)) >= 0:
            piece = view[: min(stop, _LINE)]
            line = str(piece, "utf-8") if is_utf8(piece) else ""
            size -= stop + 2
            buf[:size] = buf[stop + 2 : stop + 2 + size]
            if not status:
                words = line.split(" ", 2)
                if not line.startswith("HTTP/1.") or len(words) < 2 or not words[1].isdigit():
                    raise HandshakeError("not HTTP")
                status = int(words[1][:9])
                if status // 100 != 1:
                    raise HandshakeError("HTTP status %d" % status, status)
            elif not stop:
                done = status == 101
                # The others only say that it takes a while.
                status = 101 if done else 0
            elif status == 101:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                value = value.strip()
                if name == "upgrade":
                    upgrade = value.lower()
                elif name == "connection":
                    connection |= "upgrade" in value.lower()
                elif name == "sec-websocket-accept":
                    accept = value
                elif name == "sec-websocket-protocol":
                    chosen = value
                    if value not in subprotocols.split(","):
                        raise HandshakeError("a subprotocol that we did not offer", status)
                elif name == "sec-websocket-extensions" and value:
                    raise HandshakeError("an extension that we did not ask for", status)
        # Of a long line only the beginning matters, and how it ends.
        if size > _LINE:
            buf[_LINE - 1] = buf[size - 1]
            size = _LINE
        ends = size and buf[size - 1] == 13
        # So much at least is still to come.
        want = (4 if size > ends else 2) - ends
    if upgrade != "websocket" or not connection:
        raise HandshakeError("not upgraded", status)
    if accept.encode() != b2a_base64(hashlib.sha1(key + _GUID).digest())[:-1]:
        raise HandshakeError("wrong Sec-WebSocket-Accept", status)
    if not chosen:
        raise HandshakeError("no subprotocol", status)
    return chosen
