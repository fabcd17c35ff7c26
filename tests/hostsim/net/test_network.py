"""The network between station and CSMS, and the bundled CSMS, with a `websockets` client in the station's place."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from hostsim.clock import time_limit
from hostsim.clock.virtual import VirtualClock
from hostsim.csms.server import CallError, Csms
from hostsim.lives.harness import simulate
from hostsim.net.network import Network, url_fault
from hostsim.net.traffic import UP

BOOT = {"reason": "PowerUp", "chargingStation": {"model": "M", "vendorName": "V"}}


class Bench:
    """A CSMS behind a network, and a client that says what a test wants."""

    def __init__(self, **options):
        self.clock = VirtualClock()
        self.csms = Csms(self.clock, **options)

    async def __aenter__(self):
        await self.csms.start()
        self.network = Network(self.clock, self.csms.url())
        self.csms.excuse = self.network.traffic.excuse
        await self.network.start()
        return self

    async def __aexit__(self, *_):
        await self.network.stop()
        await self.csms.stop()

    def connect(self, **options):
        usual = {"compression": None, "proxy": None, "ping_interval": None}
        options = {"subprotocols": ["ocpp2.0.1"]} | usual | options
        return connect(self.network.url() + "/CS1", **options)

    async def ask(self, client, action: str, payload: dict, unique_id: str = "1") -> list:
        await client.send(json.dumps([2, unique_id, action, payload]))
        return json.loads(await client.recv())


@simulate
async def test_a_call_through_the_network_is_seen_and_answered():
    async with Bench() as bench, bench.connect() as client:
        answer = await bench.ask(client, "BootNotification", BOOT)
        assert answer[2]["status"] == "Accepted"
        assert client.subprotocol == "ocpp2.0.1"
        assert [m.label for m in bench.network.traffic.messages] == [
            "BootNotification",
            "BootNotification answer",
        ]
        assert bench.network.traffic.faults == []
        assert (await bench.csms.seen("BootNotification"))["reason"] == "PowerUp"


@simulate
async def test_boot_answers_follow_their_script():
    async with Bench() as bench, bench.connect() as client:
        bench.csms.boots = [("Pending", 5), ("Rejected", 6), ("Accepted", 7)]
        answers = [
            (await bench.ask(client, "BootNotification", BOOT, str(n)))[2] for n in range(4)
        ]
        assert [answer["status"] for answer in answers] == [
            "Pending",
            "Rejected",
            "Accepted",
            "Accepted",
        ]


@simulate
async def test_tokens_and_the_ledger():
    async with Bench() as bench, bench.connect() as client:
        bench.csms.knows("good", group="fleet")
        known = await bench.ask(
            client, "Authorize", {"idToken": {"idToken": "GOOD", "type": "ISO14443"}}
        )
        assert known[2]["idTokenInfo"]["status"] == "Accepted"
        assert known[2]["idTokenInfo"]["groupIdToken"]["idToken"] == "fleet"
        stranger = await bench.ask(
            client, "Authorize", {"idToken": {"idToken": "x", "type": "ISO14443"}}, "2"
        )
        assert stranger[2]["idTokenInfo"]["status"] == "Unknown"
        event = {
            "eventType": "Started",
            "timestamp": bench.clock.text(),
            "triggerReason": "CablePluggedIn",
            "seqNo": 0,
            "transactionInfo": {"transactionId": "T"},
        }
        await bench.ask(client, "TransactionEvent", event, "3")
        assert bench.csms.ledger.events == 1


@simulate
async def test_the_csms_calls_the_station():
    async with Bench() as bench, bench.connect() as client:

        async def answer(make):
            kind, unique_id, action, payload = json.loads(await client.recv())
            await client.send(json.dumps(make(unique_id)))
            return action, payload

        await bench.csms.until(lambda: bench.csms.peer)
        call = asyncio.create_task(bench.csms.call("Reset", {"type": "OnIdle"}))
        assert await answer(lambda uid: [3, uid, {"status": "Scheduled"}]) == (
            "Reset",
            {"type": "OnIdle"},
        )
        assert await call == {"status": "Scheduled"}
        call = asyncio.create_task(bench.csms.call("Reset", {"type": "OnIdle"}))
        await answer(lambda uid: [4, uid, "SecurityError", "no", {}])
        with pytest.raises(CallError, match="SecurityError"):
            await call
        assert bench.network.traffic.faults == []


@pytest.mark.parametrize(
    "how", ["silent", "duplicate", "malformed", "garbage", "wrong_id", "error"]
)
@simulate
async def test_a_csms_that_misbehaves_on_purpose_is_no_fault(how):
    async with Bench() as bench, bench.connect() as client:
        bench.csms.wrong(how, "Heartbeat")
        await client.send('[2,"1","Heartbeat",{}]')
        await client.send('[2,"2","Heartbeat",{}]') if how == "silent" else None
        first = await client.recv()
        if how == "duplicate":
            assert first == await client.recv()
        elif how == "error":
            assert json.loads(first)[2] == "InternalError"
        elif how == "silent":
            assert json.loads(first)[1] == "2"
        elif how == "wrong_id":
            assert json.loads(first)[1] != "1"
        faults = [
            fault for fault in bench.network.traffic.faults if "not answered yet" not in fault
        ]
        assert faults == []


@simulate
async def test_an_answer_that_comes_late_holds_up_nothing():
    async with Bench() as bench, bench.connect() as client:
        bench.csms.wrong("late", "Heartbeat", delay=10)
        await client.send('[2,"1","Heartbeat",{}]')
        assert (await bench.ask(client, "BootNotification", BOOT, "2"))[1] == "2"
        assert json.loads(await client.recv())[1] == "1"


@pytest.mark.parametrize("how", ["close", "unheard"])
@simulate
async def test_a_csms_that_hangs_up(how):
    async with Bench() as bench, bench.connect() as client:
        bench.csms.wrong(how, "Heartbeat")
        await client.send('[2,"1","Heartbeat",{}]')
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert len(bench.csms.received) == (how == "close")


@simulate
async def test_a_wrong_password_is_refused():
    async with Bench(password="0123456789abcdef") as bench:
        with pytest.raises(InvalidStatus):
            async with bench.connect():
                pass
        host = bench.network.url().removeprefix("ws://")
        uri = f"ws://CS1:0123456789abcdef@{host}/CS1"
        async with connect(
            uri, subprotocols=["ocpp2.0.1"], compression=None, proxy=None
        ) as client:
            assert (await bench.ask(client, "Heartbeat", {}))[0] == 3


@pytest.mark.parametrize("mode", ["off", "refuse"])
@simulate
async def test_a_cut_resets_and_refuses_and_the_same_port_comes_back(mode):
    async with Bench() as bench:
        async with bench.connect() as client:
            await bench.ask(client, "Heartbeat", {})
            port = bench.network.port
            await bench.network.set(mode)
            with pytest.raises(ConnectionClosed):
                await client.recv()
        with pytest.raises(OSError):
            async with bench.connect():
                pass
        await bench.network.set("on")
        assert bench.network.port == port
        async with bench.connect() as client:
            assert (await bench.ask(client, "Heartbeat", {}))[0] == 3


@simulate
async def test_a_stalled_network_keeps_everything_back_and_loses_nothing():
    async with Bench() as bench, bench.connect() as client:
        await bench.ask(client, "Heartbeat", {})
        await bench.network.set("stall")
        await client.send('[2,"2","Heartbeat",{}]')
        with pytest.raises(TimeoutError):
            async with bench.clock.timeout(3600):
                await client.recv()
        await bench.network.set("on")
        assert json.loads(await client.recv())[1] == "2"


@simulate
async def test_delay_and_throttle_cost_simulated_time():
    async with Bench() as bench, bench.connect() as client:
        bench.network.delay = 2.0
        before = bench.clock.now()
        await bench.ask(client, "Heartbeat", {})
        assert bench.clock.now() - before >= 4
        bench.network.delay, bench.network.throttle = 0.0, 20
        before = bench.clock.now()
        await bench.ask(client, "Heartbeat", {}, "2")
        assert bench.clock.now() - before >= 2


@simulate
async def test_anything_can_be_sent_on_purpose():
    async with Bench() as bench, bench.connect() as client:
        await bench.csms.until(lambda: bench.csms.peer)
        await bench.csms.peer.send_raw("[3,5,{}]")
        assert await client.recv() == "[3,5,{}]"
        assert bench.network.traffic.messages[-1].deliberate
        assert bench.network.traffic.faults == []
        assert bench.network.traffic.largest_message[UP] == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://x/",
        "localhost:9000",
        "ws://",
        "ws://h:99999/",
        "ws://h:0/",
        "",
        "ws://me:it@h/",
        "ws://h/#a",
    ],
)
def test_urls_that_cannot_be(url):
    assert url_fault(url)


@pytest.mark.parametrize(
    "url", ["ws://localhost:9000/ocpp", "wss://csms.example/x?y=z", "ws://[::1]:80/"]
)
def test_urls_that_can_be(url):
    assert url_fault(url) == ""


@simulate
async def test_nobody_to_talk_to_is_told():
    clock = VirtualClock()
    network = Network(clock, "ws://127.0.0.1:1/ocpp")
    told = []
    network.on_unreachable.append(told.append)
    await network.start()
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", network.port)
        async with time_limit(5):
            while not told:
                await asyncio.sleep(0)
        writer.close()
        assert isinstance(told[0], OSError)
    finally:
        await network.stop()
