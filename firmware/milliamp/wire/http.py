# HTTP, as far as a station speaks it: it puts one file somewhere.
from binascii import b2a_base64, unhexlify

from micropython import const

from milliamp.wire.handshake import dial, split
from milliamp.wire.websocket import HandshakeError

# Bytes of an interim answer: more is no HTTP.
_LONGEST = const(512)
_RESET = const(104)
_IO = const(5)


def place(url: str):
    """(host, port, path, b"user:password") of an address that can be put to, None when it is none: not
    http, or malformed. https waits for the certificates that it has to be checked against."""
    if url[:7].lower() != "http://":
        return None
    host, slash, path = url[7:].partition("/")
    user, _, host = host.rpartition("@")
    try:
        return split("ws://" + host + slash + path)[:3] + (_decoded(user),)
    except (HandshakeError, ValueError):
        return None


def _decoded(text):
    # Percent-encoded text as bytes; ValueError when it is not.
    first, *rest = text.encode().split(b"%")
    for piece in rest:
        if len(piece) < 2:
            raise ValueError
        first += unhexlify(piece[:2]) + piece[2:]
    return first


async def put(st, url: str, size: int, pieces):
    """PUT `size` bytes, piece by piece as `pieces` yields them. Returns a stream, of which `status` must be asked; OSError
    when they do not get there, or are fewer. A server may take for ever: whoever started the task cancels it, here and
    in `status`."""
    host, port, path, user = place(url)
    stream, _ = await dial(st, host, port)
    try:
        head = (
            b"PUT %s HTTP/1.1\r\nHost: %s%s\r\nConnection: close\r\n"
            b"Content-Type: text/plain\r\nContent-Length: %d\r\n"
        ) % (path.encode(), host.encode(), b"" if port == 80 else b":%d" % port, size)
        if user:
            head += b"Authorization: Basic " + b2a_base64(user)[:-1] + b"\r\n"
        stream.write(head + b"\r\n")
        head = None
        await stream.drain()
        for piece in pieces:
            stream.write(piece[:size])
            size -= len(piece[:size])
            await stream.drain()
        if size:
            raise OSError(_IO)
        return stream
    except BaseException:
        stream.close()
        await stream.wait_closed()
        raise


async def status(stream) -> int:
    """The status of the answer, 0 when it is no HTTP; interim ones (1xx) are passed over. OSError when there is none.
    By itself, so that what sending took is free while a server takes its time."""
    try:
        head = b""
        while len(head) < 12 or head[9] == 49:
            end = head.find(b"\r\n\r\n")
            if end >= 0:
                head = head[end + 4 :]
                continue
            piece = await stream.read(64)
            if not piece:
                raise OSError(_RESET)
            head += piece
            if len(head) > _LONGEST:
                return 0
        code = head[9:12]
        return int(code) if head.startswith(b"HTTP/1.") and code.isdigit() else 0
    finally:
        stream.close()
        await stream.wait_closed()
