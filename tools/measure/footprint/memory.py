"""What a board needs of RAM, on the 32-bit lane, which allocates byte for byte as a microcontroller does, with the image
mapped as ROMFS. The simulator's own (its link and service commands, and what virtual time takes) is told apart.
"""

import asyncio
import functools
import json
import re
import signal
import subprocess
from concurrent.futures import Executor
from itertools import pairwise
from pathlib import Path

from hostsim.charger.lane32 import BOOT, command, lane32
from hostsim.clock import SimClock
from hostsim.clock.virtual import run
from hostsim.lives import scenario
from hostsim.lives.harness import rig
from tools import BOARDS, BUILD, BuildError, builder
from tools.measure.footprint import gates, scenarios
from tools.measure.footprint.image import DRIVERS, modules

SPY = Path(__file__).parent / "spy.py"
SEEDS = (1, 2, 3)  # of the bundled scenario
LEAST, MOST = 24, 128  # kB that the search tries
_PATIENCE = 300  # real seconds for what takes 5: a firmware that has no memory may try for ever
_HELD = 52 * 1024  # with less, requests in a row or mutated ones find no memory
_ROOMY = "512k"  # nothing is collected there unasked
_BLOCK = 16  # bytes of the garbage collector's
_APART = {  # class -> what the census calls its object
    "station.Station": "names",  # what it does first
    "log.Log": "log",
    "settings.Settings": "settings",
    "clock.Clock": "clock",
    "journal.Journal": "journal",
    "device_model.Model": "device model",
    "evse.Evse": "EVSE",
    "link.Link": "link",
    "outbox.Outbox": "outbox",
    "rpc.Rpc": "RPC",
    "websocket.WebSocket": "WebSocket",
}

# Runs on the lane: argv is the build folder, then the modules.
_PROBE = """
import gc, micropython, sys
_names = sys.argv[2:]
exec(open({boot!r}).read().split("del main")[0])
import asyncio, binascii, struct
gc.collect()
_figures = []
_before = gc.mem_alloc()
print(_before)
micropython.qstr_info()
for _name in _names:
    try:
        __import__(_name)
        _fault = ""
    except Exception as error:
        _fault = repr(error)
    gc.collect()
    _now = gc.mem_alloc()
    _figures.append((_name, _now - _before, _fault))
    _before = _now
micropython.qstr_info()
for _figure in _figures:
    print(*_figure)
"""


def heap(out: Path) -> "dict | None":
    """Heap bytes that importing the image keeps, in all and by module; None without a 32-bit lane.

    Modules are imported one after the other, then garbage is collected: a module's own figure holds what it was the
    first to import. `names` is what the image adds to the interpreter's table of them: its parts hold 20, 40, 80, 160,
    320, ... and are allocated whole.
    """
    start = lane32()
    if start is None:
        return None
    script = BUILD / "probe.py"
    script.write_text(_PROBE.format(boot=str(BOOT)))
    rooms = modules(out)
    run = subprocess.run(
        [*start, "-X", "heapsize=256k", str(script), str(out), *rooms],
        capture_output=True,
        text=True,
    )
    lines = run.stdout.split("\n")
    if run.returncode or len(lines) < 3:
        raise BuildError(
            f"the image does not load on the 32-bit lane: {run.stderr.strip() or run.stdout.strip()}"
        )
    names = [line for line in lines if line.startswith("qstr pool")]
    before, after = (int(line.split("n_qstr=")[1].split(",")[0]) for line in names)
    figures = {}
    for line in lines[1:-1]:
        if line in names:
            continue
        name, size, fault = line.split(" ", 2)
        if name == DRIVERS and fault:
            continue  # drivers of real hardware do not load here
        if fault:
            raise BuildError(f"{name} does not load on the 32-bit lane: {fault}")
        figures[name] = int(size)
    return {
        "interpreter": int(lines[0]),
        "names": after - before,
        "modules": figures,
        "rooms": rooms,
        "total": sum(figures.values()),
    }


def runs_here(board: str) -> bool:
    """Is it a board of the simulator, a name or a folder, and is there a 32-bit lane?"""
    return (BOARDS / board / "probe.py").is_file() and lane32() is not None


def started(folder, heap: "str | None" = None) -> list:
    """What starts the image in a folder."""
    return command(32, folder, heap)


def _spied(mode: str, *more: str):
    return lambda folder, heap: [
        *lane32(),
        *(["-X", f"heapsize={heap}"] if heap else []),
        str(SPY),
        mode,
        str(BOOT),
        *more,
        str(folder),
    ]


def at_rest(board: str, by=None) -> "tuple[int, int]":
    """Live bytes of a station that is registered and idle, the simulator's own left out, and those.

    The least of three looks: what a register or the stack still points to may go meanwhile."""

    async def rest():
        async with scenarios.station(board, by=by, settings={}) as this:
            await scenarios.boot(this)
            looks = []
            for _ in range(3):
                looks.append(await this.station.heap())
                await this.clock.sleep(60)
            least = min(looks, key=lambda look: look["live"])
            return least["live"] - least["board"], least["board"]

    return run(rest())


def idle(board: str) -> int:
    """Live bytes on the heap of a station that is registered and idle, the simulator's own left out."""
    return at_rest(board)[0]


def idle_from_files(board: str) -> int:
    """The same, the modules not in a mapped image but in files, as on a LittleFS."""
    return at_rest(board, _spied("files"))[0]


def census(board: str, idle: int) -> dict:
    """Where the heap of the idle station went, `idle` bytes, the simulator's own left out: {step of the start: bytes}. What
    came after the last step is the connection's."""
    laps: list[tuple[int, str]] = []

    def heard(line: str) -> None:
        if line.startswith("lap "):
            _, size, what = line.split(" ", 2)
            laps.append((int(size), what))

    async def look():
        by = _spied("census", _classes(board))
        async with scenarios.station(board, by=by, settings={}) as this:
            this.device.on_log.append(heard)
            await scenarios.boot(this)

    run(look())
    found = {"interpreter": laps[0][0]}
    for (before, _), (after, what) in pairwise(laps):
        found[what] = found.get(what, 0) + after - before
    del found["board"]  # the simulator's
    found["connection"] += idle - sum(found.values())
    return found


def _classes(board: str) -> str:
    """The classes whose objects the census tells apart, "short=what,...", by the names that they have in the core."""
    legend = json.loads((builder.build(board) / "names.json").read_text())
    core = legend["milliamp/__init__.py"]
    shorts = {name: short for short, names in core.items() for name in names.split(", ")}
    return ",".join(
        f"{shorts.get(name, name.rpartition('.')[2])}={what}" for name, what in _APART.items()
    )


def simulator(board: str) -> int:
    """Bytes that the simulator's own takes of the heap when time is scaled, not virtual."""

    async def look():
        async with rig(board=board, lane=32, clock=SimClock(40)) as this:
            return (await this.station.heap())["board"]

    return asyncio.run(look())


@functools.cache
def gated(board: str) -> int:
    """The heap of the gate, and what virtual time takes beside it: the smallest in which a board of the simulator must do,
    for whoever runs it in virtual time."""
    gate = gates.read()[board]
    return max(gate["min_heap_bytes"], _HELD) + at_rest(board)[1] - gate["simulator_heap_bytes"]


def peaks(board: str) -> dict:
    """Of each part of the tour, the largest live heap after a collection at any yield, the simulator's own left out;
    and the largest single allocation that was there at a yield, garbage or not."""
    found, live, largest = {}, [], [0]

    def heard(line: str) -> None:
        if line.startswith("live "):
            live.append(int(line[5:]))
        elif match := re.search(r"max blk sz: (\d+)", line):
            largest[0] = max(largest[0], int(match[1]) * _BLOCK)

    async def look():
        async with scenarios.station(
            board, heap=_ROOMY, by=_spied("heap"), password=scenarios.PASSWORD
        ) as this:
            this.device.on_log.append(heard)

            def reached(name: str) -> None:
                found[name] = max(live)
                live.clear()

            faults = await scenarios.survives(this, scenarios.tour(this, reached))
            if faults:
                raise BuildError(f"{board}: {faults[0]}")
            return (await this.station.heap())["board"]

    board_share = run(look())
    return {
        "peaks": {name: size - board_share for name, size in found.items()},
        "largest_allocation_bytes": largest[0],
    }


def passes(board: str, size: int, seed: int, by=None) -> "list[str]":
    """What goes wrong with a heap of so many bytes: in the tour (seed 0), or in the bundled scenario."""

    async def live():
        more = {"settings": scenario.SETTINGS} if seed else {"password": scenarios.PASSWORD}
        async with scenarios.station(board, heap=str(size), by=by, **more) as this:
            script = scenarios.bundled(this, seed) if seed else scenarios.tour(this)
            return await scenarios.survives(this, script)

    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(_PATIENCE)
    try:
        return run(live())
    except scenarios.TROUBLES as error:
        return [repr(error)]
    finally:
        signal.alarm(0)


def _too_long(number, frame):
    raise TimeoutError(f"not over after {_PATIENCE} real seconds")


class Smallest:
    """Looks for the smallest heap with which everything passes, in kB. `spare`: bytes that virtual time takes."""

    def __init__(self, board: str, spare: int, pool: Executor, by=None):
        self._board = board
        self._spare = spare
        self._pool = pool
        self._by = by

    def fault(self, size: int) -> str:
        """Why so many kB are too few; "" when they will do."""
        heap = size * 1024 + self._spare
        runs = [
            self._pool.submit(passes, self._board, heap, seed, self._by)
            for seed in (SEEDS[0], 0, *SEEDS[1:])
        ]
        fault = ""
        for job in runs:
            if fault and job.cancel():
                continue
            faults = job.result()
            fault = fault or (faults and faults[0].splitlines()[-1]) or ""
        return fault

    def search(self, start: int) -> "int | None":
        """The smallest heap, kB by kB from one to begin with; None when even the largest that is tried is too small.

        Downwards it ends at the first that is too small: what happens to fit below is no heap to rely on."""
        size = start
        if self.fault(size):
            while size < MOST:
                size += 1
                if not self.fault(size):
                    return size
            return None
        while size > LEAST and not self.fault(size - 1):
            size -= 1
        return size
