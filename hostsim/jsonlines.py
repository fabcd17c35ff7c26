"""One station, driven by another program: JSON lines in on stdin, answers out on stdout.

`{"id": 7, "cmd": "plug", "args": {"evse": 1}}` is answered `{"id": 7, "result": ...}` or `{"id": 7, "error": "..."}`
when it is done. Commands run one after the other, in order, except `wait`, which lets others pass. The answer to
`quit`, or the end of stdin, is the last one.

In virtual time (`--virtual`) time passes only while a command is carried out, so most of all in `wait`, and each answer
also has the `time`, in seconds since the start. What is sent before the answer to a `wait` is there comes at any time.
"""

import asyncio
import json
import os
import stat
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

from hostsim import commands
from hostsim.charger.station import Station

_LONGEST_LINE = 1 << 20
_PASSING = (
    "wait",
    "help",
    "frames",
)  # do not wait for the command before, and hold up none behind


async def serve(station: Station, lines: AsyncIterator[str], write: Callable[[str], None]) -> None:
    """Run every command in `lines` and `write` its answer; return after quit or the last line."""
    running: set[asyncio.Task] = set()
    clock = station.clock

    def ended(task: asyncio.Task) -> None:
        running.discard(task)
        clock.stand(not running)

    clock.stand(True)
    before: asyncio.Task | None = None
    async for line in lines:
        if not line.strip():
            continue
        request, fault = _parse(line)
        if fault:
            write(_text(station, {"id": request.get("id"), "error": fault}))
            continue
        passing = request["cmd"] in _PASSING
        task = asyncio.create_task(_answer(station, request, None if passing else before, write))
        running.add(task)
        task.add_done_callback(ended)
        clock.stand(False)
        if not passing:
            before = task
        if request["cmd"] == "quit":
            await task
            break
    else:
        await asyncio.gather(*running)
    for task in running:
        task.cancel()
    clock.stand(False)


async def _answer(
    station: Station,
    request: dict[str, Any],
    before: asyncio.Task | None,
    write: Callable[[str], None],
) -> None:
    if before is not None:
        await asyncio.wait([before])
    answer: dict[str, Any] = {"id": request.get("id")}
    try:
        given = request.get("args")
        answer["result"] = await commands.run(
            station, request["cmd"], {} if given is None else given
        )
    except (ValueError, ConnectionError, TimeoutError, OSError) as error:
        answer["error"] = str(error) or type(error).__name__
    except Exception as error:  # a bug of ours must not leave the other program waiting
        answer["error"] = f"bug in {request['cmd']}: {error!r}"
    write(_text(station, answer))


def _text(station: Station, answer: dict[str, Any]) -> str:
    return json.dumps(answer | ({"time": station.clock.now()} if station.clock.virtual else {}))


def _parse(line: str) -> tuple[dict[str, Any], str]:
    """A request and "", or what can be told of it and why it is none."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {}, f"not JSON: {error}"
    if not isinstance(request, dict):
        return {}, 'not an object like {"id": 1, "cmd": "help"}'
    if not isinstance(request.get("cmd"), str):
        return request, '"cmd" is missing; {"cmd": "help"} lists the commands'
    return request, ""


async def stdin_lines() -> AsyncIterator[str]:
    """The lines of stdin as they come."""
    if sys.stdin is None:  # closed
        return
    if not _can_be_awaited(sys.stdin):
        for line in sys.stdin.buffer:
            yield line.decode("utf-8", "replace")
        return
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    too_long = False
    while True:
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as error:
            await reader.readexactly(error.consumed)
            too_long = True
            continue
        except asyncio.IncompleteReadError as error:
            line = error.partial
            if not line and not too_long:
                return
        yield "too long" if too_long else line.decode("utf-8", "replace")
        too_long = False


def _can_be_awaited(stream) -> bool:
    """Pipes, sockets and terminals can; files and /dev/null cannot, and are always ready."""
    mode = os.fstat(stream.fileno()).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stream.isatty()


def to_stdout(text: str) -> None:
    """Write one answer at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
