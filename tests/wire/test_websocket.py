import asyncio

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hostsim.clock.virtual import run
from milliamp.wire.jsonwriter import Writer
from milliamp.wire.websocket import HEAD, ConnectionClosed, is_utf8
from tests.wire.peer import BINARY, CLOSE, PING, PONG, TEXT, Peer, frame, websocket


def received(ws, size) -> bytes:
    return bytes(ws._receive[:size])


@st.composite
def messages(draw):
    """A message, the frames that carry it, and the payloads of the pings between them."""
    text = draw(st.text(max_size=300)).encode("utf-8", "replace")
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)])]
    data, pings = b"", []
    for index, part in enumerate(parts):
        for control in draw(st.lists(st.sampled_from([PING, PONG]), max_size=2)):
            payload = draw(st.binary(max_size=125))
            data += frame(control, payload)
            if control == PING:
                pings.append(payload)
        data += frame(TEXT if index == 0 else 0, part, index == len(parts) - 1)
    return text, data, pings


@given(st.lists(messages(), min_size=1, max_size=4), st.integers(0, 9))
def test_any_fragmentation_gives_the_same_messages(sent, piece):
    async def test():
        peer = Peer()
        ws = websocket(peer)
        peer.feed(b"".join(data for _, data, _ in sent), piece)
        for text, _, _ in sent:
            size = await ws.recv()
            assert not ws.oversize and not ws.binary
            assert received(ws, size) == text
        pongs = [payload for final, opcode, payload in peer.frames() if opcode == PONG and final]
        assert pongs == [one for _, _, pings in sent for one in pings]

    run(test())


@given(
    st.binary(max_size=200)
    | st.lists(
        st.builds(
            lambda first, payload: bytes((first, len(payload))) + payload,
            st.integers(0, 255),
            st.binary(max_size=125),
        )
    ).map(b"".join)
)
def test_any_bytes_end_in_a_clean_close(data):
    async def test():
        peer = Peer()
        ws = websocket(peer, receive=64)
        peer.feed(data)
        peer.end()
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await ws.recv()
        frames = peer.frames()
        closes = [payload for _, opcode, payload in frames if opcode == CLOSE]
        assert len(closes) <= 1
        assert not closes or frames[-1][1] == CLOSE
        if closed.value.code in (1002, 1007):
            assert int.from_bytes(closes[0], "big") == closed.value.code or len(closes[0]) > 2

    run(test())


@pytest.mark.parametrize(
    "data, code",
    [
        (frame(3, b""), 1002),  # reserved opcodes
        (frame(11, b""), 1002),
        (frame(0, b"x"), 1002),  # a continuation of nothing
        (frame(TEXT, b"x", False) + frame(TEXT, b"y"), 1002),  # a message in a message
        (frame(PING, b"x", False), 1002),
        (b"\x89\x7e\x00\x7e" + bytes(126), 1002),  # control frame too long
        (b"\xc1\x01x", 1002),  # a reserved bit
        (b"\x81\x81\0\0\0\0x", 1002),  # a masked frame
        (b"\x81\x7f" + b"\xff" * 8, 1002),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xed\xa0\x80"), 1007),
        (frame(TEXT, b"\xc3", False) + frame(0, b"x"), 1007),
        (frame(CLOSE, b"\x03"), 1002),
        (frame(CLOSE, b"\x03\xee"), 1002),  # 1006 is not for the wire
        (frame(CLOSE, b"\x03\xe8\xff"), 1007),
        (frame(CLOSE, b"\x03\xe9bye"), 1001),
        (frame(CLOSE, b""), 1005),
        (b"", 1006),
        (b"\x81", 1006),
        (frame(TEXT, b"abc")[:-1], 1006),
    ],
)
def test_close_codes(data, code):
    async def test():
        peer = Peer()
        ws = websocket(peer)
        peer.feed(data)
        peer.end()
        with pytest.raises(ConnectionClosed) as closed:
            await ws.recv()
        assert closed.value.code == code
        frames = peer.frames()
        if code == 1006:
            assert not frames
        else:
            sent = int.from_bytes(frames[0][2][:2], "big")
            assert sent == (1000 if code == 1005 else code)
            assert len(frames) == 1

    run(test())


def test_a_character_may_be_split_between_fragments():
    async def test():
        peer = Peer()
        ws = websocket(peer)
        text = "é😀".encode()
        for i in range(len(text)):
            peer.feed(frame(TEXT if i == 0 else 0, text[i : i + 1], i == len(text) - 1))
        assert received(ws, await ws.recv()) == text

    run(test())


@given(
    st.binary(max_size=12)
    | st.text(max_size=5).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_utf8_is_judged_as_python_judges_it(data):
    try:
        data.decode()
        right = True
    except UnicodeDecodeError:
        right = False
    assert is_utf8(memoryview(data)) == right


@pytest.mark.parametrize("size", [65, 200, 70000, 1 << 20])
@pytest.mark.parametrize("fragment", [1 << 30, 1000])
def test_a_message_that_does_not_fit_is_drained(size, fragment):
    async def test():
        peer = Peer()
        ws = websocket(peer, receive=64)
        text = (b'[2,"id","Action",{' + b"x" * size)[:size]
        for i in range(0, size, fragment):
            peer.feed(frame(TEXT if i == 0 else 0, text[i : i + fragment], i + fragment >= size))
        peer.feed(frame(TEXT, b"next"))
        assert received(ws, await ws.recv()) == text[:32]
        assert ws.oversize
        assert received(ws, await ws.recv()) == b"next"
        assert not ws.oversize

    run(test())


@pytest.mark.parametrize("wide", ["é", "€", "😀"])
@pytest.mark.parametrize("shift", range(4))
def test_what_is_kept_of_a_long_message_ends_at_a_character(wide, shift):
    async def test():
        peer = Peer()
        ws = websocket(peer, receive=64)
        text = "x" * shift + wide * 99
        peer.feed(frame(TEXT, text.encode()))
        kept = received(ws, await ws.recv()).decode()
        assert ws.oversize and text.startswith(kept) and len(kept.encode()) > 28
        peer.feed(frame(TEXT, b"next"))
        assert received(ws, await ws.recv()) == b"next"

    run(test())


@pytest.mark.parametrize("wrong", [b"\xff\xfe", b"\x80", b"\xed\xa0\x80", b"\xc3 "])
@pytest.mark.parametrize("fragment", [1 << 30, 50])
def test_a_long_message_that_is_no_text_ends_the_connection(wrong, fragment):
    async def test():
        peer = Peer()
        ws = websocket(peer, receive=64)
        text = b'[4,"' + wrong + b"x" * 300
        for at in range(0, len(text), fragment):
            last = at + fragment >= len(text)
            peer.feed(frame(0 if at else TEXT, text[at : at + fragment], last))
        with pytest.raises(ConnectionClosed) as closed:
            await ws.recv()
        assert closed.value.code == 1007

    run(test())


def test_a_message_that_just_fits():
    async def test():
        peer = Peer()
        ws = websocket(peer, receive=64)
        peer.feed(frame(TEXT, b"x" * 64))
        assert await ws.recv() == 64 and not ws.oversize

    run(test())


def test_binary_is_told():
    async def test():
        peer = Peer()
        ws = websocket(peer)
        peer.feed(frame(BINARY, b"\xff\x00") + frame(TEXT, b"x"))
        assert await ws.recv() == 2 and ws.binary
        assert await ws.recv() == 1 and not ws.binary

    run(test())


@given(st.text(max_size=400), st.integers(1, 300))
def test_fragments_of_ours(text, room):
    async def test():
        peer = Peer()
        ws = websocket(peer, transmit=HEAD + room)
        writer = Writer(ws._transmit, HEAD, lambda end: ws.send(end, False))
        async with ws.lock:
            writer.value(text)
            ws.send(writer.at, True)
            await ws.drain()
        frames = peer.frames()
        assert [opcode for _, opcode, _ in frames] == [TEXT] + [0] * (len(frames) - 1)
        assert [final for final, _, _ in frames] == [False] * (len(frames) - 1) + [True]
        whole = b"".join(payload for _, _, payload in frames)
        assert len(frames) == (len(whole) - 1) // room + 1
        plain = Writer(bytearray(5000), 0, None)
        plain.value(text)
        assert whole == bytes(plain._buf[: plain.at])

    text = text.encode("utf-8", "replace").decode()
    run(test())


def test_a_ping_waits_for_the_end_of_our_message():
    async def test():
        peer = Peer()
        ws = websocket(peer)
        reader = asyncio.create_task(ws.recv())
        async with ws.lock:
            ws._transmit[HEAD : HEAD + 4] = b'"abc'
            ws.send(HEAD + 4, False)
            peer.feed(frame(PING, b"?"))
            for _ in range(5):
                await asyncio.sleep(0)
            assert len(peer.frames()) == 1
            ws.send(HEAD + 1, True)
        assert (await peer.frame())[:2] == (True, 0)
        assert await peer.frame() == (True, PONG, b"?")
        reader.cancel()

    run(test())


def test_pings_and_their_answers_in_time():
    async def test():
        peer = Peer()
        ws = websocket(peer)
        ws.ping_s = 10
        reader = asyncio.create_task(ws.recv())

        async def seconds(n):
            for _ in range(n):
                if not await ws.keep(1000):
                    return False
            return True

        assert await seconds(9) and not peer.frames()
        assert await seconds(1) and peer.frames() == [(True, PING, b"")]
        peer.feed(frame(PONG, b""))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert await seconds(35)  # pings go on, and are answered by nobody from here on
        assert len(peer.frames()) == 3
        assert not await seconds(10)
        with pytest.raises(ConnectionClosed):
            async with ws.lock:
                ws.send(HEAD, True)
        reader.cancel()

    run(test())


def test_half_a_message_must_grow():
    async def test():
        peer = Peer()
        ws = websocket(peer)
        reader = asyncio.create_task(ws.recv())
        peer.feed(frame(TEXT, b"x" * 2000)[:5])
        alive = 0
        for second in range(100):
            peer.feed(b"x" * (20 if second < 50 else 1))  # fast enough, then one byte a second
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            alive += await ws.keep(1000)
        assert alive == 69  # 30 s after the last 256 bytes
        reader.cancel()

    run(test())


@pytest.mark.parametrize("answers", [True, False])
def test_our_close(answers):
    async def test():
        peer = Peer()
        ws = websocket(peer)
        reader = asyncio.create_task(ws.recv())
        await ws.close(1001, "é" * 200)
        await ws.close(1000)
        ((_, opcode, payload),) = peer.frames()
        assert opcode == CLOSE and payload[:2] == b"\x03\xe9" and len(payload) <= 125
        with pytest.raises(ConnectionClosed):  # nothing follows a Close
            ws.send(HEAD, True)
        if answers:
            peer.feed(frame(CLOSE, b"\x03\xe9"))
            with pytest.raises(ConnectionClosed) as closed:
                await reader
            assert closed.value.code == 1001 and not peer.frames()
        else:
            assert await ws.keep(4000)
            assert not await ws.keep(2000)
            reader.cancel()
        await ws.release()
        assert peer.closed

    run(test())


def test_a_peer_that_does_not_read_is_given_up():
    async def test():
        peer = Peer()
        peer.out_buf = b"full"
        peer.drain = asyncio.Event().wait
        ws = websocket(peer)
        ws.patience_ms = 1
        with pytest.raises(ConnectionClosed):
            await ws.drain()
        assert not await ws.keep(0)

    run(test())


def test_errors_of_the_socket():
    async def test():
        peer = Peer()
        ws = websocket(peer)

        def write(_):
            raise OSError(104)

        peer.write = write
        with pytest.raises(ConnectionClosed) as closed:
            ws.send(HEAD, True)
        assert closed.value.code == 1006 and "104" in str(closed.value)
        assert not await ws.keep(0)

    run(test())


# --- long strings that are taken out --------------------------------------------------------------------


class Sink:
    def __init__(self):
        self.strings = []
        self._open = b""

    def __call__(self, chunk, more):
        self._open += bytes(chunk)
        if not more:
            self.strings.append(self._open)
            self._open = b""


@settings(max_examples=200)
@given(
    st.lists(
        st.builds(
            lambda text, n: (text * n)[:n], st.text('ab"\\\né', max_size=30), st.integers(0, 900)
        ),
        min_size=1,
        max_size=3,
    ),
    st.integers(1, 700),
    st.integers(0, 50),
    st.booleans(),
)
@example([("\\aa" * 274)[:274], ""], 1, 0, False)
def test_long_strings_are_sifted_out(values, fragment, piece, spaced):
    import json

    async def test():
        sink = Sink()
        peer = Peer()
        ws = websocket(peer, receive=400)
        ws.sinks = {"csr": sink}
        payload = [{"csr": value, "n": i} for i, value in enumerate(values)]
        raws = [json.dumps(value, ensure_ascii=False).encode()[1:-1] for value in values]
        text = json.dumps(
            [2, "id", payload], ensure_ascii=False, separators=None if spaced else (",", ":")
        ).encode()
        parts = [text[i : i + fragment] for i in range(0, len(text), fragment)]
        for i, part in enumerate(parts):
            peer.feed(frame(TEXT if i == 0 else 0, part, i == len(parts) - 1), piece)
        peer.feed(frame(TEXT, b"next"))
        size = await ws.recv()
        if not ws.oversize:
            kept = json.loads(received(ws, size))
            assert [one["n"] for one in kept[2]] == list(range(len(values)))
            lengths = dict(ws.diverted)
            assert len(lengths) == len(ws.diverted)
            gone = [raw for raw, one in zip(raws, kept[2]) if one["csr"] == "" and raw]
            # An empty one goes, too, when the buffer is full between its quotes.
            assert [one for one in sink.strings if one] == gone
            assert sorted(filter(None, lengths.values())) == sorted(map(len, gone))
            for place in lengths:
                assert received(ws, size)[place - 1 : place + 2] in (b':""', b' ""')
            assert all(one["csr"] in ("", value) for one, value in zip(kept[2], values))
        else:
            assert len(text) > 400
        assert received(ws, await ws.recv()) == b"next"

    run(test())


def test_what_fits_is_not_sifted_and_what_does_not_need_not_be_refused():
    async def test():
        for length, taken in ((300, False), (5000, True)):
            sink = Sink()
            peer = Peer()
            ws = websocket(peer, receive=400)
            ws.sinks = {"certificate": sink, "csr": sink}
            peer.feed(
                frame(
                    TEXT, b'[2,"1","A",{"x":"certificate","certificate":"%s"}]' % (b"c" * length)
                )
            )
            size = await ws.recv()
            assert not ws.oversize
            assert sink.strings == ([b"c" * length] if taken else [])
            assert list(ws.diverted) == (
                [(received(ws, size).find(b'""'), length)] if taken else []
            )

    run(test())
