import asyncio
import base64
import hashlib

import pytest

from milliamp.wire import handshake
from milliamp.wire.websocket import HandshakeError


def right_answer(key: str, **other) -> str:
    accept = base64.b64encode(
        hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    )
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept.decode(),
        "Sec-WebSocket-Protocol": "ocpp2.0.1",
    }
    headers.update({name.replace("_", "-"): value for name, value in other.items()})
    lines = [f"{name}: {value}\r\n" for name, value in headers.items() if value is not None]
    return "HTTP/1.1 101 Switching Protocols\r\n" + "".join(lines) + "\r\n"


def attempt(answer, then=b"", timeout_s=20, **options):
    """Connect to a server that answers the request with `answer(key)`; the WebSocket, and the request."""

    async def test():
        seen = []

        async def serve(reader, writer):
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            seen.append(request)
            headers = dict(line.split(": ", 1) for line in request.split("\r\n")[1:] if line)
            data = answer(headers["Sec-WebSocket-Key"])
            if data is not None:
                writer.write((data.encode() if isinstance(data, str) else data) + then)
            await reader.read()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            receive = bytearray(1024)
            ws = await handshake.connect(
                f"ws://127.0.0.1:{port}/ocpp/CS%201",
                "ocpp2.1,ocpp2.0.1",
                receive,
                bytearray(256),
                lambda n: bytes(n),
                timeout_s=timeout_s,
                **options,
            )
            try:
                size = await ws.recv() if then else 0
                return ws, seen[0], bytes(receive[:size])
            finally:
                await ws.release()

    return asyncio.run(asyncio.wait_for(test(), 30))


def test_request():
    ws, request, _ = attempt(right_answer, authorization=("CS 1", "pässword"))
    assert ws.subprotocol == "ocpp2.0.1"
    lines = request.split("\r\n")
    assert lines[0] == "GET /ocpp/CS%201 HTTP/1.1"
    assert lines[1].startswith("Host: 127.0.0.1:")
    for line in ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"):
        assert line in lines
    assert "Sec-WebSocket-Protocol: ocpp2.1,ocpp2.0.1" in lines
    secret = base64.b64encode("CS 1:pässword".encode()).decode()
    assert f"Authorization: Basic {secret}" in lines


def test_frames_may_follow_the_answer_at_once():
    _, _, first = attempt(right_answer, then=b"\x81\x05hello")
    assert first == b"hello"


@pytest.mark.parametrize(
    "other",
    [
        {"Upgrade": "WebSocket", "Connection": "keep-alive, upgrade"},
        {"Server": "x" * 700},
        {"sec_websocket_protocol": None, "Date": "today"},
    ],
)
def test_what_is_right_in_another_form(other):
    attempt(lambda key: right_answer(key, **other))


@pytest.mark.parametrize(
    "answer, text, status",
    [
        ("HTTP/1.1 401 Unauthorized\r\nContent-Length: 5\r\n\r\nnope!", "HTTP status 401", 401),
        ("HTTP/1.1 404 Not Found\r\n\r\n", "HTTP status 404", 404),
        ("HTTP/1.1 302 Found\r\nLocation: " + "x" * 5000, "HTTP status 302", 302),
        ({"Sec_WebSocket_Protocol": None}, "no subprotocol", 101),
        ({"Sec_WebSocket_Protocol": "ocpp1.6"}, "a subprotocol that we did not offer", 101),
        ({"Sec_WebSocket_Accept": "nonsense"}, "wrong Sec-WebSocket-Accept", 101),
        (
            {"Sec_WebSocket_Extensions": "permessage-deflate"},
            "an extension that we did not ask for",
            101,
        ),
        ({"Upgrade": "h2c"}, "not upgraded", 101),
        ({"Connection": None}, "not upgraded", 101),
        ({"Server": "x" * 2000}, "answer too long", 0),
        ("SSH-2.0-OpenSSH\r\n", "not HTTP", 0),
        (b"\xff" * 90 + b"\r\n\r\n", "not HTTP", 0),
    ],
)
def test_refusals(answer, text, status):
    def give(key):
        return right_answer(key, **answer) if isinstance(answer, dict) else answer

    with pytest.raises(HandshakeError) as refused:
        attempt(give)
    assert (str(refused.value), refused.value.status) == (text, status)


def test_silence_is_given_up():
    with pytest.raises(HandshakeError, match="no answer within 0 s"):
        attempt(lambda key: None, timeout_s=0)


def test_nobody_there():
    async def test():
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        await handshake.connect(
            f"ws://127.0.0.1:{port}", "x", bytearray(500), bytearray(50), bytes
        )

    with pytest.raises(HandshakeError, match="no connection"):
        asyncio.run(test())


@pytest.mark.parametrize(
    "uri, parts",
    [
        ("ws://host", ("host", 80, "/", False)),
        ("wss://host/a/b?c", ("host", 443, "/a/b?c", True)),
        ("ws://10.0.0.1:8080/x", ("10.0.0.1", 8080, "/x", False)),
    ],
)
def test_addresses(uri, parts):
    assert handshake.split(uri) == parts


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "host",
        "http://host",
        "ws://",
        "ws://h:x/",
        "ws://h:123456/",
        "ws://h/ x",
        "ws://h/\r\nx",
    ],
)
def test_what_is_no_address(uri):
    with pytest.raises(HandshakeError):
        handshake.split(uri)


def test_tls_is_never_opened_without_something_to_check_the_server_by():
    """A connection that only looks safe is worse than none: not even TCP is opened."""
    given = ("ocpp2.0.1", bytearray(512), bytearray(256), lambda n: bytes(n))
    with pytest.raises(handshake.HandshakeError, match="certificates"):
        asyncio.run(handshake.connect("wss://127.0.0.1:1/ocpp/CS", *given))
