"""The simulator with the real firmware in it."""

import asyncio
import json
import random
from collections import deque
from pathlib import Path

import pytest

from hostsim import jsonlines
from hostsim.charger import lane32, names
from hostsim.charger.station import Options, Station
from hostsim.clock.virtual import VirtualClock
from hostsim.csms.server import Csms
from hostsim.errors import Trouble
from hostsim.lives.harness import CARD, rig, simulate
from hostsim.net.traffic import UP
from tests.programs import Program, csms, really

ROOT = Path(__file__).resolve().parents[3]
FAST = {"SampledDataCtrlr.TxUpdatedInterval": "15", "OCPPCommCtrlr.RetryBackOffWaitMinimum": "1"}
FAST["OCPPCommCtrlr.RetryBackOffRandomRange"] = "0"


def lane(bits: int) -> dict:
    """Options of a lane; skips where there is no such MicroPython."""
    if bits == 64:
        return {}
    if lane32.lane32(fetch=False) is None:
        pytest.skip(
            "no 32-bit MicroPython here: `python -m hostsim.charger.lane32` gets one where it can"
        )
    return {"lane": 32, "heap": "64k"}


@pytest.mark.parametrize("bits", [64, 32])
@simulate
async def test_a_charge_from_plug_to_unplug(bits):
    async with rig(settings=FAST, **lane(bits)) as this:
        await this.charging()
        await this.csms.seen(
            "TransactionEvent", lambda p: p["triggerReason"] == "MeterValuePeriodic"
        )
        await this.stopped()
        await this.station.wait("status:Available")
        await this.drained()
        (tx,) = this.csms.ledger.transactions.values()
        assert tx.ended
        energy = this.hardware.outlet(1).wh
        assert tx.registers()[-1] == energy > 0
        assert this.problems(all_ended=True) == []


@simulate
async def test_a_fact_that_holds_is_not_missed_and_one_that_does_not_says_what_does():
    async with rig() as this:
        for fact in ("connected", "accepted", "unplugged", "unauthorized", "status:Available"):
            await this.station.wait(fact, 30)
        with pytest.raises(TimeoutError, match="EVSE 1 is Available"):
            await this.station.wait("charging", 1)
        with pytest.raises(ValueError, match="unknown fact"):
            await this.station.wait("christmas")
        with pytest.raises(ValueError, match="no EVSE 2; this station has 1"):
            await this.station.wait("tx_ended", evse=2)
        await this.device.restart()
        await this.station.wait("rebooted")
        for event in ("rebooted", "tx_ended", "power_lost"):
            with pytest.raises(TimeoutError, match="EVSE 1 is Available"):
                await this.station.wait(event, 1)
        await this.device.power_off()
        with pytest.raises(TimeoutError, match="has no power"):
            await this.station.wait("rebooted", 1)


@pytest.mark.parametrize("bits", [64, 32])
@simulate
async def test_every_fact_reaches_the_simulator(bits):
    """Wherever its bit is; but for the one that is a vote."""
    async with rig(power=False, **lane(bits)) as this:
        heard = {}
        this.device.on_fact.append(lambda fact: heard.setdefault(fact.fact, []).append(fact.value))
        await this.device.power_on()
        await this.booted()
        this.hardware.set_bay(1, True)
        await this.charging()
        this.hardware.stop_button(1)
        await this.station.wait("tx_ended")
        this.hardware.unplug()
        this.hardware.set_fault(1, "GroundFailure")
        await this.station.wait("faulted")
        this.hardware.set_fault(1, None)
        await this.station.wait("status:Available")
        await this.station.set("OCPPCommCtrlr", "HeartbeatInterval", "77")
        this.hardware.set_lock_fails(1, True)
        this.hardware.plug()
        await this.station.wait("plugged")
        await this.clock.sleep(3)  # else it is the same card
        this.hardware.card(CARD)
        await this.station.wait("authorized")
        await this.device.link.polled(2)
        await this.drained()
        told = {bit: name for name, bit in names.constants("milliamp.base.facts").items()}
        assert max(told) > 0xFFFF
        assert {told[bit] for bit in heard} == {*told.values()} - {"WHO_IS_BUSY"}
        assert heard[names.fact("LOCK_PROBLEM")] == [1]


@simulate
async def test_state_and_variables_behind_ocpps_back():
    async with rig(evses=2, serial="SN-7") as this:
        state = await this.station.state()
        assert [evse["status"] for evse in state["evses"]] == [["Available"], ["Available"]]
        assert state["connection"]["online"] is True
        assert state["heap"]["live"] > 0
        assert state["power"] == "on"
        assert "calls" in state["counters"]
        boot = await this.csms.seen("BootNotification")
        assert boot["chargingStation"]["serialNumber"] == "SN-7"
        assert await this.station.set("OCPPCommCtrlr", "HeartbeatInterval", "77") == "Accepted"
        assert await this.station.get("OCPPCommCtrlr", "HeartbeatInterval") == "77"
        assert (await this.station.set("TxCtrlr", "TxStartPoint", "Moon")).startswith("Rejected")
        with pytest.raises(ValueError, match="unknown variable"):
            await this.station.get("OCPPCommCtrlr", "Nothing")


@simulate
async def test_events_queue_while_the_network_is_away():
    async with rig(settings=FAST) as this:
        await this.station.set_network("off")
        await this.station.wait("disconnected")
        await this.station.set("AuthCtrlr", "OfflineTxForUnknownIdEnabled", "true")
        await this.charging()
        await this.station.wait("queued")
        await this.station.set_network("on")
        await this.drained()
        events = [event for tx in this.csms.ledger.transactions.values() for event in tx.events]
        assert any(event.offline for event in events)
        await this.stopped()
        await this.drained()
        assert this.problems(all_ended=True) == []


@pytest.mark.parametrize("torn", ["nothing", "half", "bits", "all"])
@simulate
async def test_power_lost_in_a_flash_write(torn):
    async with rig(settings=FAST) as this:
        await this.charging()
        this.device.cut_in_write(2, torn, random.Random(7))
        await this.station.wait("power_lost", 120)
        assert this.hardware.outlet(1).closed is False
        await this.device.power_on()
        await this.station.wait("rebooted")
        await this.booted()
        state = await this.station.watcher.snapshot()
        if state["evses"][0]["transaction"]:
            await this.station.wait("charging")
            await this.stopped()
        await this.drained()
        assert this.problems(all_ended=True) == []
        assert this.csms.ledger.lost() == 0


@simulate
async def test_a_reset_by_the_csms_restarts_the_firmware():
    async with rig() as this:
        assert (await this.call("Reset", {"type": "Immediate"}))["status"] == "Accepted"
        await this.station.wait("rebooted", 60)
        boot = await this.csms.seen("BootNotification", lambda p: p["reason"] == "RemoteReset")
        assert boot
        await this.booted()
        assert this.device.boots == 2
        assert this.problems() == []


@simulate
async def test_a_state_folder_keeps_flash_and_meter(tmp_path):
    async with rig(state=tmp_path) as this:
        await this.station.set("OCPPCommCtrlr", "OfflineThreshold", "123")
        this.hardware.set_meter(1, 4711)
        port = this.network.port
    async with rig(state=tmp_path, wait=False) as this:
        assert this.network.port == port
        assert this.hardware.outlet(1).wh == 4711
        await this.station.wait("unplugged")
        assert await this.station.get("OCPPCommCtrlr", "OfflineThreshold") == "123"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"board": "nowhere"}, "unknown board"),
        ({"board": "esp32_generic"}, "real hardware"),
        ({"evses": 99}, "evses"),
        ({"settings": {"No.Thing": "1"}}, "unknown variable"),
        ({"settings": {"OCPPCommCtrlr.HeartbeatInterval": "soon"}}, "integer"),
        ({"password": "short"}, "16 to 40"),
        ({"identity": "a:b"}, "colon"),
        ({"state": Path("/dev/null/x")}, "state folder"),
    ],
)
@simulate
async def test_what_cannot_be_set_up_is_one_clear_line(options, word):
    with pytest.raises(Trouble, match=word):
        async with rig(**options):
            pass


@simulate
async def test_a_firmware_that_does_not_answer_holds_up_nobody_for_ever():
    """What is asked of it ends, and with the end of stdin the program."""

    class Unheard(deque):
        def __bool__(self):
            return False

    async def lines():
        variable = {"component": "AuthCtrlr", "variable": "Enabled"}
        yield json.dumps({"id": 1, "cmd": "get", "args": variable})
        yield json.dumps({"id": 2, "cmd": "plug"})

    async with rig() as this:
        answers = []
        this.device.link._commands = Unheard()
        await jsonlines.serve(this.station, lines(), lambda text: answers.append(json.loads(text)))
        assert "has not answered for 300 s" in answers[0]["error"]
        assert answers[1]["id"] == 2 and answers[1]["result"] is None


@simulate
async def test_a_question_that_the_heap_has_no_room_for_is_no_harm():
    """The simulator's questions never take the station's tasks with them."""
    async with rig(heap="256k") as this:
        with pytest.raises(ConnectionError, match="larger --heap"):
            await this.device.ask("get", component=[[]] * 5000, variable="")
        assert await this.station.get("AuthCtrlr", "Enabled") == "true"
        assert this.problems() == []


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("silent", "got no answer"),
        ("error", "got no answer"),
        ("Invalid", "was refused"),
    ],
)
@simulate
async def test_why_a_card_does_not_start(how, words):
    """A CSMS that does not answer has refused nothing."""
    async with rig(settings={"OCPPCommCtrlr.MessageTimeout.Default": "5"}) as this:
        if how == "Invalid":
            this.csms.stranger.status = how
        else:
            this.csms.wrong(how, "Authorize")
        lines = asyncio.Queue()
        this.device.on_log.append(lines.put_nowait)
        this.hardware.card("DEADBEEF")
        while not (line := await lines.get()).startswith("I a token"):
            pass
        assert line == "I a token " + words


@simulate
async def test_a_query_stays_behind_the_identity():
    clock = VirtualClock()
    csms = Csms(clock)
    await csms.start()
    station = Station(clock, csms.url() + "?tenant=a/b", Options(identity="CS7"))
    asked = []
    station.traffic.on_handshake.append(lambda tap: asked.append(tap.request[0]))
    try:
        async with station:
            await station.wait("accepted")
            assert asked == ["GET /ocpp/CS7?tenant=a/b HTTP/1.1"]
            assert csms.peer.id == "CS7"
    finally:
        await csms.stop()


@really
async def test_another_program_drives_a_station_on_somebody_elses_csms():
    async with csms() as this:
        url = this.url()
        flags = (
            "--url",
            url,
            "--id",
            "CS7",
            "--set",
            "SampledDataCtrlr.TxUpdatedInterval=15",
        )
        async with Program(*flags) as program:
            await program.command("wait", fact="accepted", timeout=200)
            assert this.peer.id == "CS7"
            await program.command("plug")
            await program.command("card", token=CARD)
            await program.command("wait", fact="charging")
            frames = await program.command("frames", since=0)
            assert frames[0]["direction"] == UP
            state = await program.command("state")
            assert state["evses"][0]["transaction"]["seqNo"] >= 1
            await program.command("power", mode="cycle")
            await program.command("wait", fact="rebooted")
            assert "commands" in await program.command("help")
            with pytest.raises(ValueError, match="unknown command"):
                await program.command("fly")
            assert await program.command("quit") is None
            assert await program.process.wait() == 0


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--url", "http://localhost/"], b"ws://"),
        (["--url", "ws://127.0.0.1:1/"], b"nobody answers"),
        (["--url", "ws://127.0.0.1:1/", "--set", "nonsense"], b"Component.Variable=value"),
    ],
)
@really
async def test_bad_input_is_one_line_and_an_exit_code(flags, word):
    async with Program("--id", "CS1", *flags) as program:
        out, err = await program.end()
        assert program.process.returncode == 2
        assert out == b""
        assert word in err.strip().splitlines()[-1]
        assert b"Traceback" not in err


@pytest.mark.parametrize(
    ("options", "flags", "word"),
    [
        ({"password": "0123456789abcdef"}, ["--password", "fedcba9876543210"], b"--password"),
        ({"password": "0123456789abcdef"}, [], b"--password"),
        ({"subprotocols": ("ocpp1.6",)}, [], b"ocpp2.0.1"),
    ],
)
@really
async def test_a_csms_that_will_not_have_the_station(options, flags, word):
    async with csms(**options) as other:
        async with Program("--id", "CS1", "--url", other.url(), *flags) as program:
            _, err = await program.end()
            assert program.process.returncode == 2
            assert word in err.strip().splitlines()[-1]
