import asyncio
import base64
import hashlib
import types

import pytest
from hypothesis import given, settings, strategies

from hostsim.clock import virtual
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


def station():
    """What a connection needs of a station."""
    space = types.SimpleNamespace
    return space(
        rpc=space(receive=bytearray(1024), transmit=bytearray(256)),
        board=space(random=bytes),
        link=space(slot=1),
        settings=space(put=lambda pair: None),
    )


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
            st = station()
            ws = await handshake.connect(
                st,
                f"ws://127.0.0.1:{port}/ocpp/CS%201",
                "ocpp2.1,ocpp2.0.1",
                timeout_s=timeout_s,
                **options,
            )
            try:
                size = await ws.recv() if then else 0
                return ws, seen[0], bytes(st.rpc.receive[:size])
            finally:
                await ws.release()

    return virtual.run(test())


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
        {"Set-Cookie": "AWSALB=" + "y" * 4000 + "; Path=/", "Server": "z" * 8000},
        {f"Set-Cookie{n}": f"balancer{n}=" + "é" * n for n in range(90)},
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
        ({"Server": "x" * 17000}, "answer too long", 0),
        ({f"X{n}": "y" for n in range(3000)}, "answer too long", 0),
        ("HTTP/1.1 100 Continue\r\n\r\n" * 1000, "answer too long", 0),
        ("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 503 Busy\r\n\r\n", "HTTP status 503", 503),
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


@pytest.mark.parametrize(
    "scheme, port, host",
    [
        ("ws", 80, "h"),
        ("ws", 443, "h:443"),
        ("wss", 443, "h"),
        ("WSS", 80, "h:80"),
        ("ws", 9000, "h:9000"),
    ],
)
def test_the_port_is_in_the_host_header_unless_it_goes_without_saying(
    scheme, port, host, monkeypatch
):
    said = []

    class Stream:
        s = None
        write = said.append

        async def drain(self):
            raise OSError

        def close(self):
            pass

        wait_closed = drain

    async def connect(given, at, **tls):
        assert (given, at, bool(tls)) == ("1.2.3.4", port, scheme.lower() == "wss")
        return Stream(), None

    monkeypatch.setattr(asyncio, "open_connection", connect)
    uri = f"{scheme}://1.2.3.4:{port}/x"
    with pytest.raises(HandshakeError):
        asyncio.run(handshake.connect(station(), uri, "x", None, object()))
    assert b"\r\nHost: %s\r\n" % host.replace("h", "1.2.3.4").encode() in said[0]


def test_nobody_there():
    async def test():
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        await handshake.connect(station(), f"ws://127.0.0.1:{port}", "x")

    with pytest.raises(HandshakeError, match="no connection"):
        virtual.run(test())


@pytest.mark.parametrize(
    "interim",
    [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 102 Processing\r\n\r\n" * 3,
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nUpgrade: h2c\r\nSec-WebSocket-Protocol: x\r\n\r\n",
    ],
)
def test_interim_answers_are_passed_over(interim):
    _, _, first = attempt(lambda key: interim + right_answer(key), then=b"\x81\x05hello")
    assert first == b"hello"


@given(strategies.lists(strategies.integers(1, 400), max_size=12), strategies.integers(0, 150))
@settings(max_examples=60, deadline=None)
def test_not_one_byte_more_than_the_answer_is_read(sizes, extra):
    """However its lines are long, and however it arrives."""

    class Stream:
        def __init__(self, data):
            self.data = data
            self.sizes = list(sizes)

        async def readinto(self, view):
            n = min(len(view), len(self.data), self.sizes.pop() if self.sizes else 1 << 20)
            view[:n] = self.data[:n]
            self.data = self.data[n:]
            return n

    key = b"dGhlIHNhbXBsZSBub25jZQ=="
    head, *lines = right_answer(key.decode())[:-4].split("\r\n")
    for n, size in enumerate([*sizes, extra]):
        lines.insert(n * 7 % (len(lines) + 1), "XSecs"[n % 5 :] + ": " + "y" * size)
    stream = Stream("\r\n".join([head, *lines, "", ""]).encode() + b"\x81\x02{}")
    buf = bytearray(512)
    call = handshake._answer(stream, buf, key, "ocpp2.0.1")
    assert asyncio.run(call) == "ocpp2.0.1"
    assert stream.data == b"\x81\x02{}"


@pytest.mark.parametrize(
    "uri, parts",
    [
        ("WSS://Host:80", ("Host", 80, "/", True)),
        ("Ws://host:65535/x", ("host", 65535, "/x", False)),
        ("ws://h/a@b", ("h", 80, "/a@b", False)),
        ("ws://host", ("host", 80, "/", False)),
        ("wss://host/a/b?c", ("host", 443, "/a/b?c", True)),
        ("ws://10.0.0.1:8080/x", ("10.0.0.1", 8080, "/x", False)),
    ],
)
def test_addresses(uri, parts):
    assert handshake.split(uri) == parts


@pytest.mark.parametrize(
    "uri, word",
    [
        ("", "WebSocket"),
        ("host", "WebSocket"),
        ("http://host", "WebSocket"),
        ("ws://", "host"),
        ("ws:///path", "host"),
        ("ws://:80/", "host"),
        ("ws://h:x/", "port"),
        ("ws://h:/", "port"),
        ("ws://h:0/", "port"),
        ("ws://h:00000/", "port"),
        ("ws://h:65536/", "port"),
        ("ws://h:123456/", "port"),
        ("ws://h:-1/", "port"),
        ("ws://[::1]/", "IPv6"),
        ("ws://[2001:db8::1]:9000/ocpp", "IPv6"),
        ("ws://me@h/", "user"),
        ("ws://me:secret@h:80/", "user"),
        ("ws://h/#a", "fragment"),
        ("ws://h?a=b", "query"),
        ("ws://h/ x", "WebSocket"),
        ("ws://h/\r\nx", "WebSocket"),
        ("ws://h\0/x", "WebSocket"),
    ],
)
def test_what_is_no_address(uri, word):
    with pytest.raises(HandshakeError, match=word):
        handshake.split(uri)


def test_tls_is_never_opened_without_something_to_check_the_server_by():
    """A connection that only looks safe is worse than none: not even TCP is opened."""
    with pytest.raises(handshake.HandshakeError, match="certificates"):
        asyncio.run(handshake.connect(station(), "wss://127.0.0.1:1/ocpp/CS", "ocpp2.0.1"))
