"""What stands in the CSMS's place is no CSMS, or breaks: handshakes, silence, resets at any byte."""

import asyncio
import json
import random

import pytest

from hostsim.lives.harness import simulate
from tests.hostile import middle
from tests.hostile.attack import attack, lanes, one_lane
from tests.hostile.middle import CLOSE, GOOD, TEXT, Middle, drips, frame, says

OUTPUT = [{"component": {"name": "ClockCtrlr"}, "variable": {"name": "DateTime"}}]

STATUS = b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n"

# Answer to the upgrade -> what the station says of it.
ANSWERS = {
    b"": "closed by the server",
    b"\r\n\r\n": "not HTTP",
    b"\0" * 300: "closed by the server",
    b"\xff" * 20_000: "too long",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 700: "too long",
    b"HTTP/1.1 100 Continue\r\n\r\n": "closed by the server",
    b"HTTP/1.1 103 Early Hints\r\n\r\n" + STATUS % b"403 Forbidden": "HTTP status 403",
    b"SSH-2.0-OpenSSH_9.2\r\n": "not HTTP",
    b"220 mail ESMTP\r\n" * 20: "not HTTP",
    b"HTTP/1.1\r\n\r\n": "not HTTP",
    b"HTTP/1.1 abc\r\n\r\n": "not HTTP",
    b"HTTP/1.1 9999999999999 No\r\n\r\n": "HTTP status",
    STATUS % b"301 Moved\r\nLocation: ws://evil.example/": "HTTP status 301",
    STATUS % b"400 Bad Request": "HTTP status 400",
    STATUS % b"401 Unauthorized": "HTTP status 401",
    STATUS % b"404 Not Found": "HTTP status 404",
    STATUS % b"500 Internal Server Error": "HTTP status 500",
    STATUS % b"200 OK": "HTTP status 200",
    GOOD[:60]: "closed by the server",
    GOOD[:-2]: "closed by the server",
    GOOD.replace(b"{accept}", b"bm90IHRoZSByaWdodCBvbmUhISE="): "wrong Sec-WebSocket-Accept",
    GOOD.replace(b"{accept}", b""): "wrong Sec-WebSocket-Accept",
    GOOD.replace(b"Sec-WebSocket-Accept: {accept}\r\n", b""): "wrong Sec-WebSocket-Accept",
    GOOD.replace(b"Upgrade: websocket\r\n", b""): "not upgraded",
    GOOD.replace(b"Connection: Upgrade", b"Connection: close"): "not upgraded",
    GOOD.replace(b"Sec-WebSocket-Protocol: ocpp2.0.1\r\n", b"X: 1\r\n"): "no subprotocol",
    GOOD.replace(b"ocpp2.0.1", b"ocpp1.6"): "did not offer",
    GOOD.replace(b"ocpp2.0.1", b"ocpp2.0.1, ocpp1.6"): "did not offer",
    GOOD.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"): "extension",
    GOOD.replace(b"\r\n\r\n", b"\r\n" + b"X-Pad: " + b"y" * 100_000 + b"\r\n\r\n"): "too long",
    GOOD.replace(b"\r\n\r\n", b"\r\n" + b"X: y\r\n" * 5000 + b"\r\n"): "too long",
    GOOD.replace(b"Connection", b"Conn\xffection"): "not upgraded",
    b"\xff" + GOOD: "not HTTP",
}  # fmt: skip


@one_lane
@simulate
async def test_answers_to_the_upgrade(bits):
    async with attack(bits) as it:
        it.excuse_frames()
        async with Middle(it.rig) as between:
            for answer, words in ANSWERS.items():
                log = len(it.rig.device.log)
                # The second time it says nothing new: a log must not fill with a server that is down.
                await between.play(says(answer), says(answer))
                await it.station.wait("accepted", 600)
                said = [line for line in list(it.rig.device.log)[log:] if "cannot connect" in line]
                assert len(said) == 1 and words in said[0], (answer[:80], said)


@lanes
@simulate
async def test_good_upgrades_behind_cookies_and_interim_answers(bits):
    """As balancers of load give them: kilobytes that do not matter, and frames right behind."""
    cookie = b"\r\nSet-Cookie: balancer=" + b"y" * 4000 + b"; Path=/; HttpOnly"
    async with attack(bits) as it:
        it.excuse_frames()
        log = len(it.rig.device.log)
        async with Middle(it.rig) as between:
            end = frame(CLOSE, b"\x03\xe9")
            await between.play(
                says(GOOD.replace(b"\r\n\r\n", cookie * 3 + b"\r\n\r\n") + end, hold=True),
                says(GOOD.replace(b"\r\nUpgrade", cookie + b"\r\nUpgrade") + end, hold=True),
                says(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + GOOD + end, hold=True),
            )
            await it.station.wait("accepted", 600)
            said = [line for line in list(it.rig.device.log)[log:] if "connection closed" in line]
            assert len(said) == 4 and all("1001" in line for line in said[1:]), said


@lanes
@simulate
async def test_good_upgrades_that_come_to_nothing(bits):
    """101 and then: the end, a close, garbage, or the beginning of a frame."""
    async with attack(bits) as it:
        it.excuse_frames()
        losses = await it.counted("link_losses")
        async with Middle(it.rig) as between:
            await between.play(
                says(GOOD),
                says(GOOD + b"\x88\x00"),
                says(GOOD + b"\x88\x02\x03\xe9", hold=True),
                says(GOOD + b"\xff" * 100, hold=True),
                says(GOOD + b"HTTP/1.1 200 OK\r\n\r\n", hold=True),
                says(GOOD + b"\x81\x7e\x0f\xff[2,"),
                says(GOOD + b"\x81"),
            )
        assert await it.counted("link_losses") > losses


@one_lane
@simulate
async def test_slow_servers(bits):
    """Nobody holds the station for ever by being slow: it has a patience of 30 s."""
    async with attack(bits) as it:
        it.excuse_frames()
        async with Middle(it.rig) as between:
            clock = it.rig.clock
            await between.play(
                middle.silence,
                drips(GOOD, clock, 2),
                drips(STATUS % b"401 Unauthorized", clock, 5),
                drips(GOOD + frame(TEXT, b" " * 1024), clock, 0.3),
                says(GOOD, hold=True),  # never answers a ping
                says(GOOD + frame(TEXT, b"[2]")[:-1], hold=True),
                says(GOOD + frame(TEXT, b"[", False), hold=True),
                between.deaf(),
            )


@one_lane
@simulate
async def test_a_csms_that_asks_and_does_not_listen(bits):
    """Its calls are answered until the socket is full; then it is given up, and nothing else was held up by it."""
    call = json.dumps([2, "d", "GetVariables", {"getVariableData": OUTPUT * 12}])
    async with attack(bits) as it:
        it.rig.traffic.excuse(call)
        it.excuse_frames()
        async with Middle(it.rig) as between:
            deaf = asyncio.ensure_future(
                between.play(between.deaf(*[frame(TEXT, call.encode())] * 400))
            )
            await it.station.wait("connected", 60)
            await it.rig.stopped()  # somebody may always stop charging, and the contactor opens
            await it.station.wait("contactor_open", 5)
            assert (await it.station.state())["counters"]["link_losses"] <= 1  # it still waits
            await deaf
            await it.rig.clock.sleep(3)
            await it.rig.charging()


@one_lane
@simulate
async def test_a_reset_by_a_csms_that_does_not_listen(bits):
    """The answer to Reset never gets out: the station resets, or gives the connection up first, but it goes on."""
    call = json.dumps([2, "d", "GetVariables", {"getVariableData": OUTPUT * 12}])
    reset = '[2,"r","Reset",{"type":"Immediate"}]'
    async with attack(bits) as it:
        it.rig.traffic.excuse(call)
        it.rig.traffic.excuse(reset)
        it.excuse_frames()
        async with Middle(it.rig) as between:
            data = [frame(TEXT, reset.encode()), *[frame(TEXT, call.encode())] * 400]
            deaf = asyncio.ensure_future(between.play(between.deaf(*data)))
            await it.station.wait("rebooted", 900)
            await deaf
            await it.station.wait("accepted", 900)
            it.rig.hardware.unplug()
            await it.station.wait("unplugged")
            await it.begin()


@one_lane
@pytest.mark.parametrize("direction", ["up", "down"])
@simulate
async def test_connections_that_break_at_any_byte(direction, bits):
    """In the request, in the handshake, in a frame's head, in a payload: nothing is lost or out of order."""
    dice = random.Random(direction)
    async with attack(bits) as it:
        async with Middle(it.rig) as between:
            for _ in range(20):
                limit = int(2 ** dice.uniform(0, 11 if direction == "up" else 8))
                await between.play(between.cut(**{direction: limit}))
