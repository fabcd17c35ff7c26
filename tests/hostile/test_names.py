"""A CSMS that has a name, and the name servers that there are: silent, slow, lying, broken. Nobody waits for them but
the connection that is to be made."""

import asyncio
import contextlib

import pytest

from hostsim.charger import lane32
from hostsim.lives.harness import rig, simulate
from hostsim.net.nameserver import Reply, answer, silent
from tests.blocks.test_diagnostics import Server
from tests.hostile.attack import FAST, HEAP, lanes

HOST = "csms.test"
TRAP = "127.0.0.2"  # nobody listens there


@contextlib.asynccontextmanager
async def named(bits, **options):
    """A station that knows its CSMS by name."""
    if bits == 32:
        if lane32.lane32(fetch=False) is None:
            pytest.skip("no 32-bit MicroPython here: `python -m hostsim.charger.lane32` gets one")
        options |= {"lane": 32, "heap": HEAP}
    async with rig(host=HOST, settings=FAST, **options) as this:
        yield this
        assert this.problems() == []


async def redial(this):
    """Cut the connection, and wait until the station looks for its CSMS."""
    seen = asyncio.ensure_future(this.station.name_server.seen(HOST))
    await this.network.set("refuse")
    await this.network.set("on")
    await seen


async def fault(this):
    this.hardware.set_fault(1, "GroundFault")


async def button(this):
    this.hardware.stop_button(1)


async def ev(this):
    this.hardware.ev(1, "B")


STOPS = [fault, button, ev]
stops = pytest.mark.parametrize("stop", STOPS, ids=[stop.__name__ for stop in STOPS])


async def opens(this, stop):
    """It opens within two polls: they have been read when a third begins."""
    assert this.hardware.outlet(1).closed
    await stop(this)
    await this.device.settled(3)
    assert not this.hardware.outlet(1).closed


@lanes
@stops
@simulate
async def test_the_contactor_opens_while_the_csms_is_looked_up(stop, bits):
    async with named(bits) as this:
        names = this.station.name_server
        await this.charging()
        names.behave = silent
        await redial(this)
        asked = len(names.asked)
        await opens(this, stop)
        await names.seen(HOST)  # it was still at it
        assert len(names.asked) == asked + 1
        this.hardware.set_fault(1, None)
        await this.station.wait("accepted")
        await this.drained()


@lanes
@stops
@simulate
async def test_the_contactor_opens_while_the_host_of_an_upload_is_looked_up(stop, bits):
    async with named(bits) as this:
        names = this.station.name_server
        await this.charging()
        names.behave = silent
        seen = asyncio.ensure_future(names.seen("logs.test"))
        log = {"remoteLocation": "http://logs.test/a/"}
        request = {"requestId": 1, "logType": "DiagnosticsLog", "retries": 0, "log": log}
        assert (await this.call("GetLog", request))["status"] == "Accepted"
        await seen
        await opens(this, stop)
        await names.seen("logs.test")
        failed = await this.csms.seen(
            "LogStatusNotification", lambda p: p["status"] != "Uploading"
        )
        assert failed["status"] == "UploadFailure"
        await this.drained()


@simulate
async def test_an_upload_to_a_host_with_a_name():
    async with named(64) as this, Server() as server:
        this.station.name_server.hosts["logs.test"] = ["127.0.0.1"]
        log = {"remoteLocation": server.url.replace("127.0.0.1", "me:p%40ss@logs.test")}
        request = {"requestId": 1, "logType": "DiagnosticsLog", "log": log}
        assert (await this.call("GetLog", request))["status"] == "Accepted"
        await this.csms.seen("LogStatusNotification", lambda p: p["status"] == "Uploaded")
        assert len(server.files) == 1


@lanes
@simulate
async def test_the_last_good_address_is_used_when_nobody_answers(bits):
    """After a loss, after a power cut, for as long as it takes."""
    async with named(bits) as this:
        names = this.station.name_server
        for names.behave in (silent, lambda query: [Reply(answer(query, []))]):
            await redial(this)
            await this.station.wait("accepted")
            await this.device.power_cycle()
            await this.station.wait("accepted")
        names.behave = None
        names.hosts[HOST] = [
            TRAP
        ]  # it is said to have moved, and nobody is there: that proves nothing
        await redial(this)
        await names.seen(HOST)
        names.behave = silent
        await this.station.wait("accepted", 300)


@simulate
async def test_a_name_that_nobody_knows_is_looked_up_again():
    async with named(64, power=False) as this:
        names = this.station.name_server
        this.device.name_server = ""  # the network tells of none
        await this.device.power_on()
        await this.clock.sleep(60)
        assert not this.csms.connections and not names.asked
        this.device.link.name_server = names.address
        names.behave = lambda query: [Reply(answer(query, []))]
        await names.seen(HOST)
        await names.seen(HOST)
        names.behave = None
        await this.station.wait("accepted")


def spoilt(query, at, octet, addresses=(TRAP,)):
    data = bytearray(answer(query, addresses))
    data[at] ^= octet
    return bytes(data)


LIES = {
    "id": lambda query: spoilt(query, 0, 1),
    "question": lambda query: spoilt(query, 13, 1),
    "type": lambda query: spoilt(query, len(query) - 3, 1),
    "query": lambda query: query,
    "failure": lambda query: spoilt(query, 1, 1, ()),
    "cut": lambda query: answer(query, [TRAP])[:-1],
    "empty": lambda query: b"",
    "noise": lambda query: b"\xff" * 300,
    "endless": lambda query: query[:2] + b"\x81\x80\0\1\xff\xff\0\0\0\0" + query[12:] + b"\xc0\x0c" * 200,
    "large": lambda query: query[:3] + bytes(40_000),
}  # fmt: skip


@lanes
@simulate
async def test_lies_are_not_listened_to(bits):
    """From whoever: the right answer comes behind them, and is waited for."""
    async with named(bits) as this:
        names = this.station.name_server
        for lie in LIES.values():

            def behave(query, lie=lie):
                flood = [Reply(lie(query)) for _ in range(2)]
                return [*flood, Reply(answer(query, ["127.0.0.1"]), delay=0.9)]

            names.behave = behave
            await redial(this)
            assert await this.station.wait("accepted", 30) >= 0.9
        names.behave = lambda query: [
            Reply(answer(query, [TRAP]), elsewhere=True),
            Reply(answer(query, ["127.0.0.1"]), delay=0.5),
        ]
        await redial(this)
        await this.station.wait("accepted", 5)


@simulate
async def test_answers_in_many_forms():
    async with named(64) as this:
        names = this.station.name_server
        for form in (
            lambda query: answer(query, ["127.0.0.1"], through=["a.test", "b.c.test"], ttl=0),
            lambda query: answer(query, ["127.0.0.1"] * 20, ttl=0xFFFFFFFF),
            lambda query: spoilt(query, 2, 2, ["127.0.0.1"]),  # truncated
        ):
            names.behave = lambda query, form=form: [Reply(form(query), delay=7)]  # and late
            await redial(this)
            assert await this.station.wait("accepted", 30) >= 7


@lanes
@simulate
async def test_many_look_ups_leave_nothing_behind(bits):
    async with named(bits) as this:
        names = this.station.name_server
        names.behave = lambda query: [Reply(answer(query, []), delay=0.1)]
        await redial(this)
        await this.station.wait("accepted")
        before = (await this.station.heap())["live"]
        for _ in range(20):
            await redial(this)
            await this.station.wait("accepted")
        live = min([(await this.station.heap())["live"] for _ in range(3)])
        assert live - before < (512 if bits == 32 else 1024)
