"""`python -m hostsim station` as its users get it wrong: one clear line, an exit code, no traceback. And every command,
against the real firmware."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hostsim.lives.harness import CARD
from tests.programs import PATIENCE, Program, csms, really

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ("station", "--id", "CS1", "--virtual", "--url", "ws://127.0.0.1:9/")


def run(*flags: str, **more) -> subprocess.CompletedProcess:
    """Run a command whose stdin is a terminal's or a pipe that nobody writes to."""
    reader, writer = os.pipe()
    try:
        return subprocess.run(
            [sys.executable, "-m", "hostsim", *flags],
            cwd=ROOT,
            stdin=reader,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            **more,
        )
    finally:
        os.close(reader)
        os.close(writer)


def refused(done: subprocess.CompletedProcess, word: str) -> None:
    """It said in one last line what to do, and failed."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert lines[-1].startswith("hostsim: ") and word in lines[-1], done.stderr
    assert done.stdout == ""
    assert len([line for line in lines if line.startswith("hostsim: ")]) == 1


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ((), "command"),
        (("fly",), "'fly'"),
        (("station", "--id", "CS1"), "--url"),
        (("run", "--speed", "fast"), "'fast' is not 1 to 1000"),
        (("sim", "--port", "99999"), "not 0 to 65535"),
        (("sim", "--csms", "http://x/"), "ws://"),
        (
            ("station", "--identity", "CS1", "--url", "ws://x/"),
            "there is no --identity: is it --id?",
        ),
        (("station", "--id", "CS1", "-url", "ws://x/"), "there is no -url: is it --url?"),
        (("sim", "--cmss", "ws://x/"), "there is no --cmss: is it --csms?"),
        (("run", "--frobnicate"), "there are --"),
        (("station", "--id", "CS1", "--csms", "http://x/"), "ws://"),
        (("sim", "--url", "http://x/"), "ws://"),
        ((*FLAGS, "--url", ""), "ws://"),
        ((*FLAGS, "--url", "ws://"), "no host"),
        ((*FLAGS, "--url", "ws://[::1"), "IPv6"),
        ((*FLAGS, "--url", "ws://host:99999/"), "65535"),
        ((*FLAGS, "--url", "ws://ho st/"), "space"),
        ((*FLAGS, "--url", "ws://nobody.invalid/"), "nobody answers"),
        ((*FLAGS,), "nobody answers"),
        ((*FLAGS, "--id", ""), "identity"),
        ((*FLAGS, "--id", "a b"), "identity"),
        ((*FLAGS, "--board", "nowhere"), "unknown board"),
        ((*FLAGS, "--board", "../sim"), "unknown board"),
        ((*FLAGS, "--board", "esp32_generic"), "real hardware"),
        ((*FLAGS, "--evses", "0"), "'0' is not 1"),
        ((*FLAGS, "--evses", "99"), "evses"),
        ((*FLAGS, "--lane", "16"), "--lane"),
        ((*FLAGS, "--heap", "much"), "64k"),
        ((*FLAGS, "--heap", "4k"), "--heap"),
        ((*FLAGS, "--protocol", "ocpp1.6"), "ocpp2.0.1"),
        ((*FLAGS, "--password", "short"), "16 to 40"),
        ((*FLAGS, "--password", "\u00e4" * 20), "ASCII"),
        ((*FLAGS, "--vendor", "x" * 99), "vendor"),
        ((*FLAGS, "--set", "nonsense"), "Component.Variable=value"),
        ((*FLAGS, "--set", "No.Thing=1"), "unknown variable"),
        ((*FLAGS, "--set", "OCPPCommCtrlr.HeartbeatInterval=-5"), "1 to 604800"),
        ((*FLAGS, "--set", "ClockCtrlr.DateTime=now"), "cannot be set"),
        ((*FLAGS, "--state", "/dev/null/x"), "state folder"),
    ],
    ids=lambda value: " ".join(value[-2:])[:40] if isinstance(value, tuple) else None,
)
def test_bad_flags(flags, word):
    refused(run(*flags), word)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "remove the folder"),
        ("[]", "remove the folder"),
        ('{"port": 99999, "meters": [0]}', "no port 99999"),
        ('{"port": 0, "meters": [-1]}', "-1 Wh"),
        ('{"port": 0, "meters": {}}', "remove the folder"),
    ],
)
def test_a_state_folder_that_somebody_edited(tmp_path, text, word):
    (tmp_path / "hardware.json").write_text(text)
    refused(run(*FLAGS, "--state", str(tmp_path)), word)


def test_a_state_folder_with_another_flash(tmp_path):
    (tmp_path / "flash.bin").write_bytes(b"x")
    refused(run(*FLAGS, "--state", str(tmp_path)), "another profile")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_state_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    refused(run(*FLAGS, "--state", str(tmp_path)), "choose another")


def test_busy_ports(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused(run("sim", "--port", str(port)), "busy")
        (tmp_path / "hardware.json").write_text(json.dumps({"port": port, "meters": [0]}))
        refused(run(*FLAGS, "--state", str(tmp_path)), "busy")


def test_a_tool_that_is_missing(tmp_path):
    """Without the local environment's MicroPython there is a line that says how to get it."""
    code = (
        "import sys; sys.argv = ['x', *sys.argv[1:]]\n"
        "from hostsim.charger import lane32\n"
        "def none(): raise FileNotFoundError('no micropython in the local environment')\n"
        "lane32.lane64 = none\n"
        "from hostsim.__main__ import main\n"
        "sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *FLAGS],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    refused(done, "make")


BAD_LINES = [
    "{",
    "null",
    "[]",
    '"plug"',
    "[" * 5000,
    b"\xff\xfe",
    "x" * (1 << 20),
    "y" * (3 << 20),
    '{"id":1}',
    '{"id":1,"cmd":null}',
    '{"id":1,"cmd":["plug"]}',
    '{"id":1,"cmd":"fly"}',
    '{"id":1,"cmd":"__init__"}',
    '{"id":1,"cmd":"plug","args":[1]}',
    '{"id":1,"cmd":"plug","args":0}',
    '{"id":1,"cmd":"plug","args":""}',
    '{"id":1,"cmd":"plug","args":{"evse":null}}',
    '{"id":1,"cmd":"plug","args":{"evse":0}}',
    '{"id":1,"cmd":"plug","args":{"evse":-1}}',
    '{"id":1,"cmd":"plug","args":{"evse":3}}',
    '{"id":1,"cmd":"plug","args":{"evse":1e400}}',
    '{"id":1,"cmd":"plug","args":{"connector":0}}',
    '{"id":1,"cmd":"plug","args":{"connector":2}}',
    '{"id":1,"cmd":"plug","args":{"station":1}}',
    '{"id":1,"cmd":"ev","args":{"state":"AB"}}',
    '{"id":1,"cmd":"ev","args":{"state":""}}',
    '{"id":1,"cmd":"load","args":{"milliamps":-1}}',
    '{"id":1,"cmd":"load","args":{"milliamps":NaN}}',
    '{"id":1,"cmd":"meter","args":{"wh":-1}}',
    '{"id":1,"cmd":"meter","args":{"wh":1e9}}',
    '{"id":1,"cmd":"meter","args":{"wh":99999999999}}',
    '{"id":1,"cmd":"card","args":{"token":"a\\nb"}}',
    '{"id":1,"cmd":"card","args":{"token":"\\ud800"}}',
    '{"id":1,"cmd":"card","args":{"token":"%s"}}' % ("x" * 37),
    '{"id":1,"cmd":"card","args":{"token":"x","type":"Smell"}}',
    '{"id":1,"cmd":"card","args":{"token":"x","evse":7}}',
    '{"id":1,"cmd":"fault","args":{"name":"a\\u0000b"}}',
    '{"id":1,"cmd":"network","args":{"mode":"slow"}}',
    '{"id":1,"cmd":"network","args":{"mode":"on","delay":NaN}}',
    '{"id":1,"cmd":"network","args":{"mode":"on","delay":-1}}',
    '{"id":1,"cmd":"network","args":{"mode":"on","throttle":-5}}',
    '{"id":1,"cmd":"power","args":{"mode":"maybe"}}',
    '{"id":1,"cmd":"get","args":{"component":"No","variable":"Thing"}}',
    '{"id":1,"cmd":"get","args":{"component":"","variable":""}}',
    '{"id":1,"cmd":"get","args":{"component":"SecurityCtrlr","variable":"BasicAuthPassword"}}',
    '{"id":1,"cmd":"set","args":{"component":"AuthCtrlr","variable":"Enabled"}}',
    '{"id":1,"cmd":"set","args":{"component":"AuthCtrlr","variable":"Enabled","value":true}}',
    '{"id":1,"cmd":"set","args":{"component":"AuthCtrlr","variable":"Enabled","value":"%s"}}' % ("x" * 9999),
    '{"id":1,"cmd":"wait","args":{"fact":"christmas"}}',
    '{"id":1,"cmd":"wait","args":{"fact":"charging","timeout":0.1}}',
    '{"id":1,"cmd":"wait","args":{"fact":"charging","evse":9}}',
    '{"id":1,"cmd":"frames","args":{"since":"yesterday"}}',
]  # fmt: skip


@really
async def test_lines_that_are_no_commands():
    """Each gets one answer, an error in one line, and the station goes on."""
    async with csms() as this:
        async with Program("--id", "CS1", "--url", this.url()) as program:
            await program.command("wait", fact="accepted", timeout=300)
            for line in BAD_LINES:
                answer = await program.ask(line)
                assert set(answer) == {"id", "error"}, (line[:99], answer)
                assert answer["error"] and "\n" not in answer["error"]
                assert "bug" not in answer["error"], (line[:99], answer)
                assert len(answer["error"]) < 12000
            state = await program.command("state")
            assert state["crashes"] == 0 and state["connection"]["online"]
            assert state["counters"]["handler_faults"] == 0
            program.process.stdin.close()  # the end of the lines is the end
            assert await program.process.wait() == 0


@pytest.mark.parametrize(
    "lane", [("--lane", "64"), ("--lane", "32", "--heap", "64k")], ids=["64", "32"]
)
@really
async def test_every_command_with_the_real_firmware(lane, tmp_path):
    from hostsim.charger import lane32

    if "32" in lane and lane32.lane32(fetch=False) is None:
        pytest.skip("no 32-bit MicroPython here: `python -m hostsim.charger.lane32` gets one")
    flags = (
        "--id", "CS9", "--evses", "2", "--state", str(tmp_path), "--protocol", "ocpp2.0.1",
        "--password", "0123456789abcdef", "--vendor", "V", "--model", "M", "--serial", "S-1", "--board", "sim", *lane,
        "--set", "SampledDataCtrlr.TxUpdatedInterval=5", "--set", "OCPPCommCtrlr.MessageTimeout.Default=20",
        "--set", "OCPPCommCtrlr.RetryBackOffWaitMinimum=1", "--set", "OCPPCommCtrlr.RetryBackOffRandomRange=0",
    )  # fmt: skip
    async with csms(password="0123456789abcdef") as this:
        async with Program(*flags, "--url", this.url(), follow=this.clock) as program:
            do = program.command
            await do("wait", fact="accepted", timeout=300)
            boot = (await this.seen("BootNotification"))["chargingStation"]
            assert (boot["vendorName"], boot["model"], boot["serialNumber"]) == ("V", "M", "S-1")
            # --set holds whatever the mutability.
            timeout = {
                "component": "OCPPCommCtrlr",
                "variable": "MessageTimeout",
                "instance": "Default",
            }
            assert await do("get", **timeout) == "20"
            assert (await do("set", **timeout, value="21")).startswith("Rejected")
            assert (
                await do("set", component="AuthCtrlr", variable="Enabled", value="true")
                == "Accepted"
            )

            await do("bay", occupied=True, evse=2)
            await do("plug", evse=2, connector=1)
            await do("wait", fact="plugged", evse=2)
            await do("load", milliamps=10000, evse=2)
            await do("meter", wh=1000, evse=2)
            await do("card", token=CARD, type="ISO14443", evse=2)
            await do("wait", fact="charging", evse=2)
            await do("ready", ev=False, evse=2)
            await do("wait", fact="suspended_ev", evse=2)
            await do("ready", ev=True, evse=2)
            await do("wait", fact="charging", evse=2)
            await do("ready", evse_ready=False, evse=2)
            await do("wait", fact="suspended_evse", evse=2)
            await do("ready", evse_ready=True, evse=2)
            await do("wait", fact="charging", evse=2)
            state = await do("state")
            assert {"evses", "transactions", "queue", "heap", "connection", "counters"} <= set(
                state
            )
            (tx,) = state["transactions"]
            assert tx["evse"] == 2 and state["hardware"][1]["current"] == 10000

            await do("network", mode="refuse")
            await do("wait", fact="disconnected")
            await do("network", mode="off")
            await do("wait", fact="queued")
            await do("power", mode="off")
            with pytest.raises(ValueError, match="no power"):
                await do("get", component="AuthCtrlr", variable="Enabled")
            await do("network", mode="on")
            await do("power", mode="on")
            await do("wait", fact="accepted", timeout=300)
            await do("wait", fact="queue_empty", timeout=300)
            assert this.ledger.lost() == 0 and tx["id"] in this.ledger.transactions
            await do("restart")
            await do("wait", fact="rebooted")
            await do("power", mode="cycle")
            await do("wait", fact="accepted", timeout=300)

            await do("fault", name="GroundFailure")
            await do("wait", fact="status:Faulted")
            await do("clear_fault")
            await do("wait", fact="status:Available")
            await do("lock_fails", on=True)
            await do("lock_fails", on=False)
            await do("plug")
            await do("wait", fact="status:Occupied")
            await do("ev", state="E")
            await do("ev", state="A")
            await do("wait", fact="unplugged")
            await do("unplug")
            await do("stop_button")
            frames = await do("frames", since=3)
            assert frames[0]["number"] == 4 and {"direction", "size", "opcode"} <= set(frames[0])
            text = await do("help")
            assert text["version"] == 1 and "unplug" in text["commands"]
            # A transaction that runs is kept in --state, over the end of the program.
            state = await do("state")
            assert await do("quit") is None
            assert await program.process.wait() == 0
        async with Program(*flags, "--url", this.url(), follow=this.clock) as program:
            await program.command("wait", fact="accepted", timeout=300)
            await program.command("wait", fact="queue_empty", timeout=300)
            later = await program.command("state")
            assert later["hardware"][1]["meter"] >= 1000
            assert (
                await program.command("get", component="AuthCtrlr", variable="Enabled") == "true"
            )
            assert this.ledger.lost() == 0
            await program.command("quit")
        assert this.ledger.problems() == []


@really
async def test_commands_from_a_file(tmp_path):
    """stdin may be a file: its end is the end."""
    lines = tmp_path / "lines"
    lines.write_text('{"id":1,"cmd":"help"}\n{"id":2,"cmd":"quit"}\n')
    async with csms() as this:
        with lines.open() as stdin:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "hostsim", *FLAGS[:-1], this.url(), cwd=ROOT, stdin=stdin,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, err = await process.communicate()
    assert [json.loads(line)["id"] for line in out.splitlines()] == [1, 2]
    assert process.returncode == 0 and b"Traceback" not in err


def test_the_scenario_in_virtual_time():
    done = run("run", "--virtual", "--seed", "3")
    assert done.returncode == 0 and "passed" in done.stdout, done.stdout + done.stderr


def test_a_charge_in_the_terminal_program():
    """Its commands come from a pipe; between them no time passes, however long that takes."""
    lines = ["plug", f"card {CARD}", "wait charging", "wait unplugged 1200", "state", "quit"]
    done = subprocess.run(
        [sys.executable, "-m", "hostsim", "sim", "--virtual"],
        cwd=ROOT,
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert "unplugged did not come about within 1200 s" in done.stdout
    assert '"time": "2026-03-01T00:21' in done.stdout
    assert done.stdout.count("TransactionEvent answer") > 20  # a sample a minute
