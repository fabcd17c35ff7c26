"""The wire rooms do the same under MicroPython as under CPython, and talk to a WebSocket server of others."""

import asyncio
import contextlib
import io
import json
import random
import runpy
import sys
from pathlib import Path

import pytest
from websockets.asyncio.server import serve

from hostsim.charger import lane32
from tests.programs import patiently
from tests.wire import test_schema
from tools import FIRMWARE, builder
from tools.builder.passes import fold

HERE = Path(__file__).parent
ROOTS = FIRMWARE, builder.build_tables("sim")
WIRE = "__init__ jsonreader jsonwriter schema websocket handshake sift rpc".split()


@pytest.fixture(scope="module")
def lane(tmp_path_factory):
    """The command that runs `portable.py` under MicroPython, and the folder for its files."""
    folder = tmp_path_factory.mktemp("wire")
    sources = [
        FIRMWARE / "milliamp" / "__init__.py",
        FIRMWARE / "milliamp" / "base" / "__init__.py",
        FIRMWARE / "milliamp" / "base" / "rare.py",
    ]
    sources += [FIRMWARE / "milliamp" / "wire" / f"{name}.py" for name in WIRE]
    for source in sources:
        target = folder / source.relative_to(FIRMWARE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(fold.prepare(source, ROOTS))
    for source in (HERE / "portable.py", HERE / "station.py"):
        (folder / source.name).write_text(fold.prepare(source))
    (folder / "table").write_bytes(test_schema.TABLE)
    try:
        program = lane32.lane64()
    except FileNotFoundError as reason:
        pytest.skip(str(reason))
    return program + ["-X", "heapsize=256k", "portable.py"], folder


async def micropython(lane, *arguments) -> str:
    command, folder = lane
    process = await asyncio.create_subprocess_exec(
        *command,
        *arguments,
        "table",
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, err.decode() + out.decode()[-2000:]
    return out.decode()


def corpus() -> list[str]:
    """JSON texts and payloads, right and wrong ones, as `portable.py judge` reads them."""
    rng = random.Random(1)
    lines = []
    for action, response in test_schema.KINDS:
        root, _ = test_schema.official(action, response)
        for _ in range(6):
            payload = test_schema.example(root, root, rng)
            text = json.dumps(
                payload, ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, 1])
            ).encode()
            lines.append(f"{action} {int(response)} {text.hex()}")
            lines.append((b" " + text).hex())
            for _ in range(8):
                data = bytearray(text)
                at = rng.randrange(len(data))
                data[at : at + rng.randint(0, 2)] = rng.choice(
                    [b"", b"1", b'"', b"\\", b"}", b",", b"null", b"x", b"\xff", b"-0.5e1"]
                )
                if data:
                    lines.append(f"{action} {int(response)} {data.hex()}")
    for text in (
        r'"\ud83d\ude00\ud83d\u0041\"\n"',
        "-0.000",
        "1e999",
        "1" * 30,
        "[" * 12 + "]" * 12,
        "[" * 13,
    ):
        lines.append((b" " + text.encode()).hex())
    return lines


def test_the_same_verdicts(lane):
    lines = corpus()
    (lane[1] / "corpus").write_text("\n".join(lines))
    there = patiently(micropython(lane, "judge", "corpus")).splitlines()
    judge = runpy.run_path(str(HERE / "portable.py"))["judge"]
    here = [judge(line, test_schema.TABLE) for line in lines]
    assert len(here) == len(there)
    for line, a, b in zip(lines, here, there):
        assert a == b, line
    verdicts = " ".join(here)
    assert all(
        word in verdicts
        for word in ("None", "False", "Type", "Occurrence", "Property", "FormatViolation")
    )


async def session(client) -> tuple:
    """What a CSMS on the `websockets` library and a station say to each other."""
    heard = []

    async def csms(ws):
        heard.append((ws.request.path, ws.request.headers["Authorization"]))
        items = [{"component": {"name": f"C{n}"}, "variable": {"name": "V"}} for n in range(20)]
        for message in (
            [2, "1", "ChangeAvailability", {"operationalStatus": "Inoperative"}],
            [2, "2", "GetVariables", {"getVariableData": items}],
            [2, "3", "Reset", {"type": "Immediate"}],
            [2, "4", "Nope", {}],
            [2, "5", "DataTransfer", {"vendorId": "x", "data": "é" * 100000}],
            [3, 5, {}],
        ):
            await ws.send(json.dumps(message, ensure_ascii=False))
        await ws.send([b"[2,", b'"6","GetVar', b'iables",[]]'], text=True)
        await ws.send(b"binary")
        await (await ws.ping())
        open_calls, answers = 3, 8
        while open_calls or answers > 1:
            message = json.loads(await ws.recv())
            if message[0] == 2:
                open_calls -= 1
                heard.append(message[2:])
                await ws.send(
                    json.dumps([3, message[1], {"currentTime": "now"} if open_calls else {}])
                )
            else:
                answers -= 1
                heard.append(message)
        await ws.send(json.dumps([2, "end", "TriggerMessage", {"requestedMessage": "Heartbeat"}]))
        heard.append(json.loads(await ws.recv()))
        await ws.close(1001, "bye")

    async with serve(csms, "127.0.0.1", 0, subprotocols=["ocpp2.0.1"]) as server:
        said = await client(server.sockets[0].getsockname()[1])
    ours = [one for one in heard if one[0] == "Heartbeat"]
    return said.splitlines(), [one for one in heard if one not in ours], len(ours)


def test_the_same_connection(lane):
    async def there(port):
        return await micropython(lane, "connect", str(port))

    async def here(port):
        sys.path.insert(0, str(HERE))
        try:
            connect = runpy.run_path(str(HERE / "portable.py"))["connect"]
            with contextlib.redirect_stdout(io.StringIO()) as out:
                await connect(port, test_schema.TABLE)
        finally:
            sys.path.remove(str(HERE))
        return out.getvalue()

    a = patiently(session(here))
    b = patiently(session(there))
    assert a[1:] == b[1:]
    assert sorted(a[0][:3]) == sorted(b[0][:3]) == ["0", "0", "0"]
    assert a[0][3:] == b[0][3:]
    assert a[0][3] == "1001 bye"
    kinds = {one[1]: one[2] for one in a[1] if one[0] == 4}
    assert kinds == {
        "3": "InternalError",
        "4": "NotImplemented",
        "5": "FormatViolation",
        "6": "TypeConstraintViolation",
        "-1": "RpcFrameworkError",
    }
