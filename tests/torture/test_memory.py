"""Memory ends anywhere: the 32-bit lane's heap is taken until so many bytes are left, again and again, in the midst of whatever
the station does. It lives, loses nothing and says why."""

import json

import pytest

from hostsim.charger.lane32 import BOOT, lane32
from hostsim.clock.virtual import virtually
from hostsim.csms.server import CallError
from hostsim.lives.harness import CARD
from tools import ROOT, builder
from tools.measure.footprint import scenarios

pytestmark = pytest.mark.skipif(lane32(fetch=False) is None, reason="there is no 32-bit lane here")

HEAP = "80k"  # with what virtual time and the hog take
CHARGES = 4
STRIDE = 150  # waits from one time to the next
PATIENCE = 10  # times that a driver presents the card, and that the CSMS asks
# What a shortage may do: it ends a task, which opens what it would have watched, and is told.
TOLD = "MemoryError", "contactor opened under load"


def hog(seed: int):
    """What starts the station with the heap taken at points that depend on the seed."""
    out = builder.build("sim")
    legend = json.loads((out / "names.json").read_text())

    def short(path: str, what: str) -> str:
        found = (name for name, all in legend[path].items() if what in all.split(", "))
        return next(found, what.rpartition(".")[2].removesuffix("()"))

    core = "milliamp/__init__.py"
    names = [short(core, "station.Station"), short(core, "station.Station.fault()")]
    for kind in ("SimBoard", "Link"):
        names += [f"{module}.{short(module + '.py', kind)}" for module in ("board", "virtual")]
    program = ROOT / "tests" / "torture" / "hog.py"
    more = [",".join(names), 60 + 12 * seed, STRIDE, seed]
    return lambda folder, heap: [
        *[*lane32(), "-X", f"heapsize={heap}", str(program), str(BOOT)],
        *[*map(str, more), str(folder)],
    ]


@pytest.mark.seeds(40)
def test_memory_ends_anywhere(seed, figures):
    lines: list[str] = []

    @virtually
    async def run():
        async with scenarios.station("sim", heap=HEAP, by=hog(seed)) as this:
            this.device.on_log.append(lines.append)
            await this.device.power_on()
            try:
                await this.station.wait("accepted", 600)
                for _ in range(CHARGES):
                    await charge(this)
                await this.drained(3600)
            except (TimeoutError, ConnectionError):
                if "hog lost" not in lines:
                    raise
            return this.problems(all_ended="hog lost" not in lines)

    problems = run()
    met = [line.split(" ", 2) for line in lines if line.startswith("hog ") and "lost" not in line]
    if "hog lost" not in lines:
        assert [text for text in problems if not text.endswith(TOLD) and TOLD[0] not in text] == []
        assert not [text for text in problems if "exit code" in text]
        for _, _, where in met:
            assert where == "nothing" or f"E {where}: MemoryError" in lines, "it says why"
        assert met
    figures(shortages=len(met), lost="hog lost" in lines)


async def charge(this) -> None:
    """A charge by a driver and a CSMS who try again."""
    this.hardware.plug(1)
    await this.station.wait("plugged", 600)
    await again(this, "charging")
    await this.clock.sleep(20)
    for _ in range(PATIENCE):
        try:
            await this.call("GetVariables", scenarios.variables(5))
            break
        except (CallError, TimeoutError, ConnectionError):
            await this.clock.sleep(10)
    await again(this, "tx_ended")
    await this.station.wait("unlocked", 600)
    this.hardware.unplug(1)
    await this.station.wait("unplugged", 600)


async def again(this, fact: str) -> None:
    """Present the card until it has worked."""
    for left in range(PATIENCE, 0, -1):
        await this.clock.sleep(3)
        this.hardware.card(CARD)
        try:
            await this.station.wait(fact, 40)
            return
        except TimeoutError:
            if left == 1:
                raise
