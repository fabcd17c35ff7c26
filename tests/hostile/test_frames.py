"""Below OCPP: frames that no server should send, too many of them, too large, or never ending."""

import asyncio
import json
import struct

import pytest

from hostsim.lives.harness import simulate
from tests.hostile.attack import HARMLESS, attack, lanes, one_lane
from tests.hostile.middle import (
    BINARY,
    CLOSE,
    GOOD,
    PING,
    PONG,
    TEXT,
    Middle,
    frame,
    frames,
    says,
)

CALL = json.dumps([2, "f", "GetVariables", HARMLESS["GetVariables"]]).encode()


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack(">H", code) + reason)


CLOSES = [
    frame(CLOSE),
    frame(CLOSE, b"\x03"),
    close(1000),
    close(1001, b"bye"),
    close(1002),
    close(1003, "gr\u00fc\u00df \U0001f40d".encode()),
    close(1005),
    close(1006),
    close(1012),
    close(1015),
    close(999),
    close(0),
    close(65535),
    close(4999, b"x" * 123),
    close(1000, b"\xff\xfe"),
    close(1000, b"\nE task died: not really"),
    frame(CLOSE, b"\x03\xe8" + b"x" * 124),
    frame(CLOSE, b"\x03\xe8", False),
    close(1000) + close(1001) + CALL,
    close(1000) + frame(TEXT, CALL),
]

BROKEN = [
    frame(3, b"x"),
    frame(7),
    frame(11, b"x"),
    frame(15),
    b"\xc1\x00",  # reserved bits
    b"\x91\x00",
    b"\xf1\x05hello",
    b"\x81\x85\0\0\0\0hello",  # masked
    frame(0, b"continues nothing"),
    frame(TEXT, b"[", False) + frame(TEXT, b"]"),  # begins again in the middle
    frame(TEXT, b"[", False) + frame(BINARY, b"]"),
    frame(PING, b"x" * 126),
    frame(PING, b"", False),
    frame(TEXT, b"\xff\xfe"),
    frame(TEXT, b"\xed\xa0\x80"),
    frame(TEXT, b"\xf4\x90\x80\x80"),
    b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff",  # a frame of 9 exabytes
    bytes(range(256)) * 4,
    b"GET / HTTP/1.1\r\n\r\n",
]


@one_lane
@pytest.mark.parametrize("kind", ["closes", "broken"])
@simulate
async def test_frames_that_end_a_connection(bits, kind):
    async with attack(bits) as it:
        it.excuse_frames()
        async with Middle(it.rig) as between:
            for data in CLOSES if kind == "closes" else BROKEN:
                await between.play(frames(data, hold=True))


@lanes
@simulate
async def test_frames_that_are_odd_and_allowed(bits):
    async with attack(bits) as it:
        calls = await it.counted("calls")
        pieces = [CALL[n : n + 1] for n in range(len(CALL))]
        await it.put(
            frame(PONG, b"nobody asked")
            + b"\x81\x7e\x00\x05[2,5]"  # lengths in more bytes than they need
            + b"\x81\x7f\x00\x00\x00\x00\x00\x00\x00\x05[2,5]"
            + frame(PING, b"x" * 125)
            + frame(TEXT, b"", False)
            + frame(0, b"", False) * 50
            + frame(0, b"[2]")
            + frame(TEXT, pieces[0], False)
            + b"".join(frame(PING, piece) + frame(0, piece, False) for piece in pieces[1:-1])
            + frame(0, pieces[-1])
        )
        it.rig.traffic.excuse("[2,5]")
        it.rig.traffic.excuse("[2]")
        await it.answer("f")
        await it.refused(
            [2, it.id(), "Nonsense", {}], "NotImplemented"
        )  # so the other was counted
        assert await it.counted("calls") == calls + 1


@lanes
@simulate
async def test_a_megabyte(bits):
    """In one frame, in fragments, as a call, as an answer, as binary: drained, refused, forgotten."""
    async with attack(bits) as it:
        blob = "x" * (1 << 20)
        for ident, data in (("m1", blob), ("m2", {"deep": [blob]}), ("m3", ["[" * 99, blob])):
            call = [2, ident, "DataTransfer", {"vendorId": "v", "data": data}]
            await it.refused(call, "FormatViolation")
        await it.say(blob)
        await it.say(blob.encode())
        await it.say("[" * (1 << 20))
        await it.say([3, "nobody", {"data": blob}])
        await it.say([2, blob, "DataTransfer", {}])
        await it.refused([2, it.id(), "Nonsense", {}], "NotImplemented")
        assert await it.counted("oversize") == 8


@lanes
@simulate
async def test_a_flood_of_fragments(bits):
    """20 000 fragments of a byte make one message that is too long; it has an id all the same."""
    async with attack(bits) as it:
        text = json.dumps([2, "m", "DataTransfer", {"vendorId": "v", "data": "y" * 20000}])
        it.rig.traffic.excuse(text)
        data = text.encode()
        parts = [frame(0, data[n : n + 1], n == len(data) - 1) for n in range(1, len(data))]
        await it.put(frame(TEXT, data[:1], False) + b"".join(parts))
        answer = await it.answer("m")
        assert json.loads(answer.text)[2] == "FormatViolation"


@lanes
@simulate
async def test_a_message_that_never_ends(bits):
    """Fragments for ever keep the connection, and cost what they cost the sender; charging goes on."""
    async with attack(bits) as it:
        it.excuse_frames()
        enough = asyncio.Event()

        async def endless(reader, writer):
            await says(GOOD + frame(TEXT, b"[", False))(reader, writer)
            while not enough.is_set():
                writer.write((frame(0, b" ", False) + frame(0, b"", False)) * 20)
                await writer.drain()
                await it.rig.clock.sleep(0.01)

        async with Middle(it.rig) as between:
            playing = asyncio.ensure_future(between.play(endless))
            await it.station.wait("connected")
            await it.rig.stopped()
            await it.station.wait("contactor_open")
            enough.set()
            await playing
            await it.station.wait("accepted", 300)
            await it.rig.clock.sleep(3)
            await it.rig.charging()


@lanes
@simulate
async def test_a_flood_of_pings(bits):
    async with attack(bits) as it:
        pongs = []
        it.rig.traffic.on_frame.append(lambda seen: seen.opcode == "pong" and pongs.append(seen))
        await it.put(frame(PING, b"x" * 125) * 5000)
        await it.refused([2, it.id(), "Nonsense", {}], "NotImplemented")
        assert len(pongs) >= 5000
