"""PUT against servers that are right, wrong, slow, rude."""

import asyncio
import base64

import pytest

from hostsim.clock import time_limit, virtual
from milliamp.wire import http

BODY = b"line\n" * 1000
OK = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"


def put(serve, body=BODY, url="http://127.0.0.1:{port}/logs/a%20b.log?x=1", timeout_s=5):
    """What `http.put` returns or raises, and what the server read before it did `serve(reader, writer)`."""

    async def test():
        seen, serving = [], []

        async def accept(reader, writer):
            serving.append(asyncio.current_task())
            try:
                seen.append(await serve(reader, writer))
            finally:
                writer.close()

        async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            pieces = (body[at : at + 300] for at in range(0, len(body), 300))
            try:
                async with time_limit(timeout_s):
                    stream = await http.put(None, url.format(port=port), len(BODY), pieces)
                    result = await http.status(stream)
            except Exception as error:
                result = error
        await asyncio.gather(*serving, return_exceptions=True)
        return result, seen[0] if seen else None

    return virtual.run(test())


async def request(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if line)
    return lines[0], headers, await reader.readexactly(int(headers["Content-Length"]))


def answering(*answers, pause=0.0):
    async def serve(reader, writer):
        seen = await request(reader)
        for answer in answers:
            writer.write(answer)
            await writer.drain()
            await virtual.sleep(pause)
        return seen

    return serve


def test_the_whole_file_arrives():
    status, (line, headers, body) = put(answering(OK))
    assert status == 201
    assert line == "PUT /logs/a%20b.log?x=1 HTTP/1.1"
    assert headers["Host"].startswith("127.0.0.1:")
    assert headers["Connection"] == "close"
    assert "Authorization" not in headers
    assert body == BODY


def test_user_and_password_of_the_address():
    status, (line, headers, _) = put(answering(OK), url="HTTP://me:p@ss@127.0.0.1:{port}")
    assert status == 201 and line == "PUT / HTTP/1.1"
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"me:p@ss").decode()
    assert "@" not in headers["Host"]


def test_user_and_password_are_decoded():
    status, (_, headers, _) = put(
        answering(OK), url="http://m%65:p%40ss%2f%C3%A9%25@127.0.0.1:{port}/x"
    )
    assert status == 201
    said = headers["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(said).decode() == "me:p@ss/é%"


@pytest.mark.parametrize("status", [200, 204, 400, 401, 403, 404, 405, 500, 501, 302])
def test_the_status_is_what_the_server_says(status):
    assert put(answering(b"HTTP/1.0 %d Whatever\r\n\r\n" % status))[0] == status


@pytest.mark.parametrize("pause", [0, 0.02])
def test_interim_answers_are_passed_over(pause):
    interim = b"HTTP/1.1 102 Processing\r\nX: " + b"y" * 100 + b"\r\n\r\n"
    assert put(answering(b"HTTP/1.1 100 Continue\r\n\r\n", interim, OK, pause=pause))[0] == 201


def test_an_answer_byte_by_byte():
    assert put(answering(*(OK[n : n + 1] for n in range(20)), pause=0.005))[0] == 201


@pytest.mark.parametrize("answer", [b"220 ready for you\r\n", b"HTTP/1.1 xyz\r\n", b"\0" * 5000])
def test_what_is_no_http_has_no_status(answer):
    assert put(answering(answer))[0] == 0


def test_endless_interim_answers_end():
    status, _ = put(answering(b"HTTP/1.1 100 " + b"x" * 100000))
    assert status == 0


def test_a_server_that_says_nothing():
    result, _ = put(answering())
    assert isinstance(result, OSError)


def test_a_server_that_hangs_up_half_way():
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    result, _ = put(serve, BODY)
    assert isinstance(result, OSError)


def test_a_server_that_stalls():
    async def serve(reader, writer):
        await virtual.sleep(2)

    result, _ = put(serve, timeout_s=0.3)
    assert isinstance(result, asyncio.TimeoutError)


def test_nobody_listens():
    assert isinstance(put(answering(OK), url="http://127.0.0.1:9/x")[0], OSError)


def test_a_source_that_ends_early_is_no_success():
    async def serve(reader, writer):
        writer.write(OK)
        return await reader.read()

    assert isinstance(put(serve, BODY[:-5])[0], OSError)


def test_a_source_that_has_more_is_cut():
    status, (_, _, body) = put(answering(OK), BODY + b"more" * 500)
    assert (status, body) == (201, BODY)


def test_cancelling_closes_the_connection():
    async def test():
        begun, closed = asyncio.Event(), asyncio.Event()

        async def accept(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            begun.set()
            await reader.read()
            closed.set()
            writer.close()

        async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            stream = await http.put(None, f"http://127.0.0.1:{port}/x", 3, [b"abc"])
            task = asyncio.create_task(http.status(stream))
            await begun.wait()
            task.cancel()
            await closed.wait()

    virtual.run(test())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "http:",
        "http://",
        "http:///path",
        "https://host/x",
        "ftp://host/x",
        "sftp://host/x",
        "ws://host/x",
        "dummy://dummy",
        "http://host:port/x",
        "http://host:123456/x",
        "http://host/x y",
        "http://host/x\r\nEvil: yes",
        "http://ho\0st/",
        "http://host:0/x",
        "http://host:65536/x",
        "http://[::1]/x",
        "http://host/x#y",
        "http://u%:p@host/",
        "http://u%4:p@host/",
        "http://u%4g:p@host/",
        "http://u:p%@host/",
    ],
)
def test_an_address_that_cannot_be_put_to(url):
    assert http.place(url) is None


def test_places():
    assert http.place("http://host") == ("host", 80, "/", b"")
    assert http.place("HTTP://host:8080/a/b?c") == ("host", 8080, "/a/b?c", b"")
    assert http.place("http://u:p@host/a@b") == ("host", 80, "/a@b", b"u:p")
