"""The charging station as a box: a power switch, flash, and one firmware process at a time."""

import asyncio
import mmap
import os
import runpy
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

from hostsim.charger.flash import Nor
from hostsim.charger.hardware import Hardware
from hostsim.charger.link import Fact, Link
from hostsim.clock import SimClock
from hostsim.errors import Trouble

_LOG_LINES = 2000
_DEATH = "task died"  # what the firmware's supervisor says
_TRACE = 10  # lines that explain it
_CRASHES = 5  # in a row, without a fact between them, until the board is given up


class Profile:
    """The parts of a built board's `tables/profile.py` that the host needs."""

    def __init__(self, build: Path):
        values = runpy.run_path(str(build / "tables" / "profile.py"))
        self.evses: tuple[tuple[str, ...], ...] = values["EVSES"]
        self.phases: tuple[int, ...] = values["PHASES"]
        self.sector: int = values["FLASH_SECTOR"]
        self.unit: int = values["FLASH_UNIT"]
        regions: dict[str, tuple[int, int]] = values["FLASH"]
        self.offsets = [regions[name][0] for name in sorted(regions)]
        self.flash_size = max(offset + size for offset, size in regions.values())


class Device:
    """Runs the firmware of a build folder. `command`: how to start it; `flash_file`: keeps its flash, else it is
    forgotten with this object. Callbacks: `on_fact(Fact)`, `on_log(line)`, `on_power(what)`."""

    def __init__(
        self,
        clock: SimClock,
        hardware: Hardware,
        profile: Profile,
        command: list[str],
        environment: dict[str, str],
        *,
        flash_file: Path | None = None,
        factory: list[tuple[int, Any]] = (),
    ):
        self.clock = clock
        self.hardware = hardware
        self.profile = profile
        self.flash = _flash(profile, flash_file)
        self.powered = False
        self.boots = 0
        self.crashes: list[
            str
        ] = []  # the firmware ended, or a task of it died, or it misused its flash
        self.errors: list[str] = []  # lines of its log at that level
        self.log: deque[str] = deque(maxlen=_LOG_LINES)
        self.on_fact: list[Callable[[Fact], None]] = []
        self.on_log: list[Callable[[str], None]] = []
        self.on_power: list[Callable[[str], None]] = []
        self.link: Link | None = None
        self.name_server = ""  # "IPv4 port" of the one that the board's network tells of
        self._command = command
        self._environment = environment
        self._factory = factory
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: set[asyncio.Task] = set()
        self._switch = asyncio.Lock()
        self._network_up = True
        self._rtc: float | None = None
        self._silent_crashes = 0
        self._cut_task: asyncio.Task | None = None

    # --- the power switch ------------------------------------------------------------------------
    async def power_on(self) -> None:
        async with self._switch:
            await self._settle_cut()
            if not self.powered:
                self.powered = True
                self.flash.power_on()
                self._tell("power on")
                await self._start("PowerUp")

    async def power_off(self) -> None:
        """Cut the power: the process is killed without warning; flash stays as it is at this very operation."""
        async with self._switch:
            await self._settle_cut()
            self.powered = False
            await self._kill()
            self._lose_power()

    async def power_cycle(self) -> None:
        await self.power_off()
        await self.power_on()

    async def restart(self, cause: str = "LocalReset") -> None:
        """Press the controller's reset button: like a power cut, but its real-time clock goes on."""
        async with self._switch:
            if not self.powered:
                raise ValueError("the power is off")
            await self._kill()
            await self._start(cause)

    def cut_in_write(
        self, writes: int = 1, torn: str = "half", random: Random | None = None
    ) -> None:
        """Cut the power in the middle of the flash operation that is `writes` from now (1: the next). `torn` is how
        much of it happens: "nothing", "half", random "bits" or "all"."""
        self.flash.cut_power(max(writes, 1) - 1, torn, (random or Random(1)).randrange)

    def cut_in_answer(self, answers: int = 1) -> None:
        """Cut the power when the firmware has asked something of its hardware that is answered, like reading its
        inputs or writing flash, that often from now: it is done, and the firmware never knows."""
        if self.link is not None:
            self.link.cut_in = max(answers, 1)

    def network(self, up: bool) -> None:
        """Whether the board sees an IP network."""
        self._network_up = up
        if self.link is not None:
            self.link.network_up = up

    async def close(self) -> None:
        """Switch everything off and put the flash image away."""
        await self.power_off()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if isinstance(self.flash.image, mmap.mmap):
            self.flash.image.close()

    async def failure(self) -> str:
        """Wait until the firmware was given up, because it ends as soon as it starts; return a line about it."""
        given_up = asyncio.Event()

        def told(what: str) -> None:
            if what == "given up":
                given_up.set()

        self.on_power.append(told)
        try:
            await given_up.wait()
        finally:
            self.on_power.remove(told)
        why = self.crashes[-1].splitlines()[-1]
        return (
            f"the firmware ended {_CRASHES} times in a row ({why}): does it need a larger --heap?"
        )

    def flash_counts(self) -> dict[str, int]:
        """What the chip did since this object was made."""
        flash = self.flash
        return {
            "programmed": flash.bytes_programmed,
            "erases": flash.erases,
            "operations": flash.operations,
        }

    # --- talking to the firmware -----------------------------------------------------------------
    async def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """A service command (boards/sim/probe.py). ConnectionError when the firmware does not run, or does not answer
        in all the time that a busy machine may take; ValueError for what the firmware says is wrong."""
        if self.link is None:
            raise ConnectionError("the station has no power")
        answer = await self._patiently(self.link.ask({"cmd": command, **arguments}))
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    async def settled(self, polls: int = 2) -> None:
        """Wait until the firmware has read its inputs and acted on them; at once when it does not run. ConnectionError
        as in `ask`."""
        if self.link is not None:
            await self._patiently(self.link.polled(polls))

    async def _patiently(self, work: Coroutine) -> Any:
        patience = self.clock.patience
        try:
            async with self.clock.timeout(patience):
                return await work
        except TimeoutError:
            raise ConnectionError(f"the firmware has not answered for {patience:g} s") from None

    # --- inside ----------------------------------------------------------------------------------
    async def _start(self, cause: str) -> None:
        self.boots += 1
        link = self.link = Link(
            self.clock,
            self.hardware,
            self.flash,
            self.profile.offsets,
            cause=cause,
            rtc=self._rtc,
            factory=self._factory,
        )
        link.network_up = self._network_up
        link.name_server = self.name_server
        link.on_fact = self._heard
        link.on_fault = self.crashes.append
        link.on_hello = lambda: self._tell("started")
        link.on_reboot = lambda: self._spawn(self._reboot(link))
        link.on_power_cut = lambda: self._cut(link)
        environment = (
            os.environ | self._environment | {"MILLIAMP_LINK": str(link.far_end.fileno())}
        )
        if self.clock.virtual:
            # The module, a seed for random numbers, ms between two scans at most.
            environment["MILLIAMP_BOARD"] = f"virtual {self.boots} {self.clock.calm}"
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                env=environment,
                pass_fds=[link.far_end.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except OSError as error:
            raise Trouble(
                f"cannot start MicroPython ({self._command[0]}: {error.strerror}): run `make` once, it sets it up"
            ) from error
        link.far_end.close()
        self._process = process
        self._spawn(self._watch(process, link))
        self._spawn(self._guard(process, link))
        if self.clock.virtual:
            await self._first_wait(process)

    async def _first_wait(self, process: asyncio.subprocess.Process) -> None:
        """Until virtual time passes, which it does when the firmware waits for the first time; or the firmware ends."""
        ways = [
            asyncio.create_task(self.clock.sleep(0.001)),
            asyncio.create_task(process.wait()),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()

    async def _kill(self) -> None:
        process, link = self._process, self.link
        self._process = self.link = None
        if process is not None and process.returncode is None:
            process.kill()  # before its socket closes: it must not notice
            await self._end(process)
        if link is not None:
            self._rtc = link.rtc
            link.close()
        self.hardware.released()

    def _lose_power(self) -> None:
        self._rtc = None
        self.hardware.dark()
        self._tell("power off")

    def _cut(self, link: Link) -> None:
        """The fuse blew in a flash write: what was on its way is gone, and no answer ever comes."""
        if link is not self.link:
            self.flash.power_on()  # somebody was faster: that was its last write, torn or not
            return
        self.powered = False
        process, self._process, self.link = self._process, None, None
        if process is not None and process.returncode is None:
            process.kill()
        link.close()
        self._lose_power()
        if process is not None:
            self._cut_task = asyncio.create_task(self._end(process))

    async def _settle_cut(self) -> None:
        if self._cut_task is not None:
            await self._cut_task
            self._cut_task = None

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        self.clock.hold(process)
        await process.wait()
        self.clock.release(process)

    async def _reboot(self, link: Link) -> None:
        async with self._switch:
            if link is self.link:
                await self._kill()
                self._tell("reboot")
                await self._start("ApplicationReset")

    async def _watch(self, process: asyncio.subprocess.Process, link: Link) -> None:
        """Keep what the firmware prints, and notice when it ends by itself."""
        recent: deque[str] = deque(maxlen=40)
        while line := await process.stdout.readline():
            text = line.decode("utf-8", "replace").rstrip()
            recent.append(text)
            self.log.append(text)
            if link is not self.link:
                continue  # last words of a process that is being killed
            if _DEATH in text:
                self.crashes.append("\n".join([*recent][-_TRACE:]))
            elif text.startswith("E "):
                self.errors.append(text)
            for callback in self.on_log:
                callback(text)
        code = await process.wait()
        async with self._switch:
            if link is not self.link:
                return
            self.crashes.append(f"exit code {code}\n" + "\n".join(recent))
            self._silent_crashes += 1
            self._tell("crash")
            await self._kill()
            if self._silent_crashes < _CRASHES:
                await self._start("Watchdog")
            else:
                self.powered = False
                self._lose_power()
                self._tell("given up")

    async def _guard(self, process: asyncio.subprocess.Process, link: Link) -> None:
        """The watchdog: armed when it is fed first, it resets a board that starves it."""
        patience = self.clock.patience
        while link is self.link:
            await self.clock.sleep(patience / 20)
            starved = self.clock.now() - link.fed > patience
            if link.armed and starved and link is self.link:
                self.crashes.append("the watchdog was not fed")
                self._tell("watchdog")
                await self.restart("Watchdog")

    def _heard(self, fact: Fact) -> None:
        self._silent_crashes = 0
        for callback in self.on_fact:
            callback(fact)

    def _tell(self, what: str) -> None:
        for callback in self.on_power:
            callback(what)

    def _spawn(self, work) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _flash(profile: Profile, file: Path | None) -> Nor:
    if file is None:
        return Nor(profile.flash_size, profile.sector, profile.unit)
    try:
        if file.exists() and file.stat().st_size != profile.flash_size:
            raise Trouble(
                f"{file} is the flash of another profile: use another --state folder or remove it"
            )
        return Nor(profile.flash_size, profile.sector, profile.unit, image=file)
    except OSError as error:
        raise Trouble(
            f"cannot use the flash image {file}: {error.strerror}: choose another --state folder"
        ) from error
