"""`python -m hostsim station` as another program drives it, in a process of its own."""

import asyncio
import contextlib
import functools
import json
import sys
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

from hostsim.clock import SimClock, time_limit
from hostsim.clock.virtual import EPOCH
from hostsim.csms.server import Csms
from hostsim.lives.harness import CARD

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 600  # real seconds


class Following(SimClock):
    """The clock of a CSMS beside a program in virtual time: it stands where the program's last answer left it."""

    def __init__(self) -> None:
        super().__init__(epoch=EPOCH)
        self.at = 0.0

    def now(self) -> float:
        return self.at

    def now_ms(self) -> int:
        return round(self.at * 1000)

    def timeout(self, seconds: float):
        return time_limit(PATIENCE)


@contextlib.asynccontextmanager
async def csms(**options: Any) -> AsyncIterator[Csms]:
    """A CSMS for a program; `Program(follow=csms.clock)` moves its clock."""
    this = Csms(Following(), **options)
    this.call_timeout = PATIENCE
    this.knows(CARD)
    await this.start()
    try:
        yield this
    finally:
        await this.stop()


class Program:
    """The program in virtual time; `command` raises ValueError with its error. stderr is kept for who waits for the
    `end`. `follow`: a clock that goes with the program's."""

    def __init__(self, *flags: str, follow: Following | None = None):
        self.flags = flags
        self._follow = follow or Following()

    async def __aenter__(self) -> "Program":
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hostsim", "station", "--virtual", *self.flags, cwd=ROOT, limit=1 << 22,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self._said = asyncio.ensure_future(self.process.stderr.read())
        return self

    async def __aexit__(self, *_) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self._said
        await self.process.wait()

    async def ask(self, line: str | bytes) -> dict[str, Any]:
        """Send a line as it is and return the answer."""
        self.process.stdin.write((line.encode() if isinstance(line, str) else line) + b"\n")
        answer = json.loads(await self.process.stdout.readline())
        self._follow.at = answer.pop("time")
        return answer

    async def command(self, cmd: str, **args: Any) -> Any:
        answer = await self.ask(json.dumps({"id": cmd, "cmd": cmd, "args": args}))
        assert answer["id"] == cmd
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["result"]

    async def end(self) -> tuple[bytes, bytes]:
        """Wait until it ends by itself: what else it said on stdout, and all that it said on stderr."""
        out = await self.process.stdout.read()
        await self.process.wait()
        return out, await self._said


def patiently(work: Coroutine) -> Any:
    """Run something in real time, because another program is not in ours. It has minutes before it counts as stuck."""

    async def run() -> Any:
        async with time_limit(PATIENCE):
            return await work

    return asyncio.run(run())


def really(test) -> Any:
    """`patiently`, for an `async def` test."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        patiently(test(*arguments, **named))

    return run
