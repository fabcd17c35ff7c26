"""What a station computes, in x86 instructions of the 32-bit lane: per operation, and at most between two yields.

Callgrind counts, and spy.py has it dump what each step of a task took. The run is in virtual time, and whatever the
firmware hears, it hears while all its tasks wait: so the figures repeat. The simulator's own is in them where the
firmware calls its board: reading inputs, flash. A collection of garbage that falls into a step is in that step.
"""

import tempfile
from functools import partial
from pathlib import Path

from hostsim.clock.virtual import run
from tools import BuildError
from tools.builder import profile
from tools.measure.footprint import scenarios, valgrind

HEAP = "64k"
_IDLE = 100  # s
_CHARGE = 100  # s for each interval
_INTERVALS = (20, 5)  # s between two TransactionEvents
_GETS = ((1, 4), (20, 2))  # items of a GetVariables, how many of them
_POLLS = 20
_OFFLINE = {  # events of the EV alone: the values of one moment would come on top of another's
    "AuthCtrlr.OfflineTxForUnknownIdEnabled": "true",
    "SampledDataCtrlr.TxUpdatedInterval": "0",
}
_TOGGLES = 40  # of an EV
_APART = 0.95  # s between them, so that they come at any time of a second
_ALIGNED = 5  # s between values by the clock
_SETTLE = 20  # s at the end of each part, so that it is over


class Counter:
    """Reads the dumps that callgrind appends. `parts`: {name: instructions of each step}."""

    def __init__(self, file: Path):
        self._file = file
        self._at = 0
        self.parts: dict[str, list[int]] = {}

    def reached(self, name: str) -> None:
        """All that was dumped since the last time belongs to `name`."""
        with self._file.open("rb") as dumps:
            dumps.seek(self._at)
            text = dumps.read()
        self._at += len(text)
        lines = text.split(b"\n")
        self.parts[name] = [int(line[8:]) for line in lines if line.startswith(b"totals: ")]

    def total(self, name: str) -> int:
        return sum(self.parts[name])


def measure(board: str) -> dict:
    """The figures of a board of the simulator. BuildError when its station fails meanwhile."""
    seen = {}
    counter = _count(board, _life, seen, {})
    full = _count(board, partial(_full_life, board), seen, _OFFLINE)
    return _figures(counter, full, seen)


def _count(board: str, life, seen: dict, settings: dict) -> Counter:
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "callgrind"
        counter = Counter(counts)

        async def count():
            by = partial(valgrind.command, counts)
            options = {"by": by, "counted": True, "settings": scenarios.SETTINGS | settings}
            async with scenarios.station(board, heap=HEAP, **options) as this:
                return await scenarios.survives(this, life(this, counter, seen))

        if faults := run(count()):
            raise BuildError(f"{board}, counting instructions: {faults[0]}")
    return counter


async def _full_life(board: str, this, counter: Counter, seen: dict) -> None:
    """A start with a full journal, a look through all of it, and events that find no room without thinning."""
    scenarios.fill_journal(this, profile.load(board))
    scenarios.fill_log(this, profile.load(board))
    this.csms.boots[:] = [("Pending", 86_400)]  # so that it stays full
    await this.device.power_on()
    await this.station.wait("connected", 600)
    await this.clock.sleep(_SETTLE)
    scenarios.same_ids(this)
    counter.reached("full: boot")
    state = await this.device.ask("state")
    seen["thinned"] = state["journal"]["thinned"]
    unknown = {"transactionId": scenarios.SALT.hex() + "ffffff"}
    answer = await this.call("GetTransactionStatus", unknown)
    if answer["messagesInQueue"] or not seen["thinned"]:
        raise ValueError(f"a full journal that is none: {answer}, {state['journal']}")
    await this.clock.sleep(_SETTLE)
    counter.reached("full: get_transaction_status")
    await this.station.set_network("off")
    await this.charging()
    counter.reached("full: start")
    while (await this.device.ask("state"))["journal"]["thinned"] == seen["thinned"]:
        for n in range(20):
            this.hardware.ready(1, n % 2 == 1)
            await this.clock.sleep(1)
    await this.clock.sleep(_SETTLE)
    counter.reached("full: toggles")


async def _life(this, counter: Counter, seen: dict) -> None:
    async def over(name: str) -> None:
        await this.clock.sleep(_SETTLE)
        counter.reached(name)

    await scenarios.boot(this)
    await over("boot")
    await this.clock.sleep(_IDLE - _SETTLE)
    await over("idle")
    await this.device.settled(_POLLS)
    await over("polls")
    for items, times in _GETS:
        await this.call("GetVariables", scenarios.variables(items))
        await over(f"first {items}")
        for _ in range(times):
            await this.call("GetVariables", scenarios.variables(items))
        await over(f"get_variables_{items}")
    seen["entries"] = await scenarios.full_inventory(this)
    await over("full_inventory")
    await scenarios.oversize(this)
    await over("oversize")
    for interval in _INTERVALS:
        await this.call("SetVariables", _every(interval))
        await over(f"set {interval}")
        if interval == _INTERVALS[0]:
            await this.charging()
            await over("start")
        mark = this.csms.mark()
        await this.clock.sleep(_CHARGE - _SETTLE)
        await over(f"charge {interval}")
        events = [r for r in this.csms.received[mark:] if r.action == "TransactionEvent"]
        seen[interval] = len(events)
    await this.call("SetVariables", _every(1, aligned=_ALIGNED))
    await over("set 1")
    for n in range(_TOGGLES):  # so that states come with values and between them
        this.hardware.ready(1, n % 2 == 1)
        await this.clock.sleep(_APART)
    await over("states and values")
    await this.call("SetVariables", _every(_INTERVALS[-1], aligned=0))
    await over("set back")
    await this.stopped()
    await over("stop")
    await this.station.set_network("off")
    await over("lost")
    await this.charging()  # with a card that the cache knows
    await over("offline: start")
    await this.stopped()
    await over("offline: stop")
    await this.station.set_network("on")
    await this.station.wait("accepted", 600)
    await over("back")
    if (await this.call("ClearCache"))["status"] != "Accepted":
        raise ValueError("a cache that is not cleared")
    await over("clear_cache")


def _every(interval: int, **more: int) -> dict:
    """SetVariables: `interval` of values in transactions, `aligned` that of the clock's."""
    intervals = [("SampledDataCtrlr", "TxUpdatedInterval", interval)]
    intervals += [("AlignedDataCtrlr", "Interval", more[name]) for name in more]
    data = [
        {
            "component": {"name": component},
            "variable": {"name": variable},
            "attributeValue": str(value),
        }
        for component, variable, value in intervals
    ]
    return {"setVariableData": data}


def _figures(counter: Counter, full: Counter, seen: dict) -> dict:
    start, collection, *boot = counter.parts.pop("boot")
    idle = counter.total("idle") // _IDLE
    figures = {"start": start, "boot": start + sum(boot), "idle_second": idle}

    def each(name: str, times: int) -> int:
        return (counter.total(name) - idle * _SETTLE) // times

    figures["poll"] = each("polls", _POLLS)
    for items, times in _GETS:
        figures[f"get_variables_{items}"] = each(f"get_variables_{items}", times)
    figures["report_entry"] = each("full_inventory", seen["entries"])
    rare, often = (counter.total(f"charge {interval}") for interval in _INTERVALS)
    figures["transaction_event"] = (often - rare) // (seen[_INTERVALS[1]] - seen[_INTERVALS[0]])
    figures["collection"] = collection
    figures["start_full"], _, *boot_full = full.parts.pop("full: boot")
    runs = {"boot": max(boot)} | {name: max(steps) for name, steps in counter.parts.items()}
    runs["full: boot"] = max(boot_full)
    runs |= {name: max(steps) for name, steps in full.parts.items()}
    return {
        "instructions": figures,
        "longest_run_instructions": max(runs.values()),
        "longest_run_in": max(runs, key=runs.get),
        "longest_runs": runs,
    }
