# Opens a WebSocket. Needed once per connection, so it has a module of its own.
import asyncio
import hashlib
from binascii import b2a_base64

from micropython import const

from milliamp.wire.websocket import HandshakeError, WebSocket, is_utf8

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SHORTEST = const(96)  # bytes that every right answer has: read at once, it cannot be too many
_LINE = const(128)  # bytes of a header line that are looked at: it may be long, our heap is not


async def connect(
    uri: str,
    subprotocols: str,
    receive: bytearray,
    transmit: bytearray,
    random,
    authorization=None,
    tls=None,
    timeout_s: int = 30,
):
    """Open a WebSocket to "ws://host[:port]/path" or "wss://...".

    subprotocols: a comma separated list in order of preference; the server must choose one of them.
    random: function that gives n unpredictable bytes. authorization: (user, password), or None.
    tls: an ssl.SSLContext, for wss. Raises HandshakeError, whose text is fit for a log. Looking up a
    host name blocks.
    """
    try:
        return await asyncio.wait_for(
            _connect(uri, subprotocols, receive, transmit, random, authorization, tls), timeout_s
        )
    except asyncio.TimeoutError:
        raise HandshakeError("no answer within %d s" % timeout_s)
    except (OSError, ValueError, MemoryError) as e:  # TLS raises any of them
        raise HandshakeError("no connection: %r" % e)


async def _connect(uri, subprotocols, receive, transmit, random, authorization, tls):
    host, port, path, secure = split(uri)
    if not secure:
        stream, _ = await asyncio.open_connection(host, port)
    elif not tls:
        raise HandshakeError("wss needs certificates to check the server by")
    else:
        stream, _ = await asyncio.open_connection(host, port, ssl=tls, server_hostname=host)
    try:
        _no_delay(stream)
        key = b2a_base64(random(16))[:-1]
        request = (
            b"GET %s HTTP/1.1\r\nHost: %s%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: %s\r\n"
        ) % (
            path.encode(),
            host.encode(),
            b"" if port in (80, 443) else b":%d" % port,
            key,
            subprotocols.encode(),
        )
        if authorization:
            request += b"Authorization: Basic " + b2a_base64(":".join(authorization).encode())[:-1]
            request += b"\r\n"
        stream.write(request + b"\r\n")
        request = None
        await stream.drain()
        size = await _read_head(stream, receive)
        subprotocol = _judge(receive, size, key, subprotocols)
        return WebSocket(stream, subprotocol, receive, transmit, random)
    except BaseException:
        stream.close()
        await stream.wait_closed()
        raise


def split(uri: str):
    """(host, port, path, secure) of a WebSocket address; HandshakeError if it is none."""
    scheme, _, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    if scheme not in ("ws", "wss") or not host or min(uri) <= " ":
        raise HandshakeError("not a WebSocket address")
    host, _, port = host.partition(":")
    port = port or ("443" if scheme == "wss" else "80")
    if not port.isdigit() or len(port) > 5:
        raise HandshakeError("not a WebSocket address")
    return host, int(port), slash + path or "/", scheme == "wss"


def _no_delay(stream):
    # TCP_NODELAY, or a fragment waits 40 ms for the acknowledgement of the one before. Level 6 is TCP.
    try:
        stream.s.setsockopt(6, 1, 1)
    except (AttributeError, OSError, TypeError, ValueError):
        pass  # TLS hides the socket


async def _read_head(stream, buf):
    # The HTTP header is read into buf[:size], and not one byte more: frames may follow at once.
    view = memoryview(buf)
    size = 0
    want = _SHORTEST
    while want:
        if size + want > len(buf):
            raise HandshakeError("answer too long")
        n = await stream.readinto(view[size : size + want])
        if n == 0:
            raise HandshakeError("closed by the server")
        size += n or 0
        want = 4
        for end in (b"\r\n\r\n", b"\r\n\r", b"\r\n", b"\r"):
            if buf[max(0, size - len(end)) : size] == end:
                want -= len(end)
                break
        if buf.find(b"\r\n", 0, size) >= 0 and not buf.startswith(b"HTTP/1.1 101"):
            break  # refused: only the status matters
    return size


def _judge(buf, size, key, subprotocols):
    # The subprotocol that the server chose, if its answer is right.
    view = memoryview(buf)
    status = at = 0
    upgrade = connection = accept = chosen = ""
    while at < size:
        stop = buf.find(b"\r\n", at, size)
        stop = size if stop < 0 else stop
        piece = view[at : min(stop, at + _LINE)]
        line = str(piece, "utf-8") if is_utf8(piece) else ""
        at = stop + 2
        if not status:
            words = line.split(" ", 2)
            if not line.startswith("HTTP/1.") or len(words) < 2 or not words[1].isdigit():
                raise HandshakeError("not HTTP")
            status = int(words[1][:9])
            if status != 101:
                raise HandshakeError("HTTP status %d" % status, status)
        name, _, value = line.partition(":")
        name = name.strip().lower()
        value = value.strip()
        if name == "upgrade":
            upgrade = value.lower()
        elif name == "connection":
            connection += value.lower()
        elif name == "sec-websocket-accept":
            accept = value
        elif name == "sec-websocket-protocol":
            chosen += value
        elif name == "sec-websocket-extensions" and value:
            raise HandshakeError("an extension that we did not ask for", status)
    if upgrade != "websocket" or "upgrade" not in connection:
        raise HandshakeError("not upgraded", status)
    expected = b2a_base64(hashlib.sha1(key + _GUID).digest())[:-1]
    if accept.encode() != expected:
        raise HandshakeError("wrong Sec-WebSocket-Accept", status)
    if not chosen:
        raise HandshakeError("no subprotocol", status)
    if chosen not in [one.strip() for one in subprotocols.split(",")]:
        raise HandshakeError("a subprotocol that we did not offer", status)
    return chosen
