"""What an event costs in flash: `python -m tools.measure.flash` measures our designs and the obvious other ones.

One workload for all: TransactionEvents with energy and power, one a minute, as `domain/transaction.py` packs them, each
followed by its acknowledgement. Prints the table, writes `docs/flash.md` between its markers and `build/flash.json`;
exits with 1 when a figure breaks its budget. `--events` makes the workload shorter, for tests: nothing is written then.
"""

import argparse
import json
import struct
import sys
from types import SimpleNamespace

from hostsim.charger import cpython
from tools import BUILD, ROOT, builder
from tools.measure import page

cpython.install(builder.build_tables("sim"))  # for tables.ids, which is the same on every board

from hostsim.charger.flash import Nor  # noqa: E402
from hostsim.charger.littlefs import CONFIG, Filesystem  # noqa: E402
from milliamp.base.packing import put_number  # noqa: E402
from milliamp.domain.transaction import Transaction, append, group  # noqa: E402
from milliamp.storage.journal import Journal  # noqa: E402
from tables.contexts import SAMPLE_PERIODIC  # noqa: E402
from tables.events import CHARGING, METER_VALUE_PERIODIC, UPDATED  # noqa: E402

SEGMENTS = cpython.driver("segments").Segments
DOCUMENT = ROOT / "docs" / "flash.md"
RESULTS = BUILD / "flash.json"
BEGIN, END = "<!-- measured: make measure-flash -->", "<!-- end -->"

EVENTS = 1000
SECTOR = 4096
LARGE, SMALL = 128 * 1024, 64 * 1024  # flash in which events are counted, and whose life is
CYCLES = 100_000  # erases that a sector survives
MINUTES = 525_960  # in a year
ROTATE = 16 * 1024  # bytes of a LittleFS log that is begun anew when all of it is acknowledged

# Of each figure, its head in the table that is printed and in the one that is written.
COLUMNS = {
    "bytes_per_event": ("bytes", "bytes programmed per event"),
    "erases_per_event": ("erases", "erases per event"),
    "worst_append_ops": ("worst", "flash operations of one append, at worst"),
    "mount_read_bytes": ("mount", "bytes read at mount"),
    "events_in_128k": ("room", "events that wait in 128 kB"),
    "years": ("years", "years on 64 kB, an event a minute"),
}


class Clock:
    synced = True

    def __init__(self):
        self.seconds = 850_000_000  # 2026

    def now(self) -> int:
        return self.seconds


class Workload:
    """A charge that goes on, and the events it makes. `journal`: whatever takes them."""

    def __init__(self, journal, clock):
        self.clock = clock
        self.profile = SimpleNamespace(EVSE_IN_EACH=False)  # as profiles have it from the start
        self.journal = journal
        self.tx = Transaction(17, 1)
        self.tx.connector = 1
        self.tx.token_hash = b"\1\2\3\4\5\6"
        self.tx.authorized = self.tx.token_sent = True
        self.tx.state = CHARGING
        self.tx.register = self.tx.start_register = 1_234_000  # Wh
        self.tx.started = clock.now()
        self.evse = SimpleNamespace(
            tx=self.tx,
            cable=1,
            state=CHARGING,
            authorized=True,
            barred=False,
            remote_id=None,
        )

    def event(self) -> None:
        """A minute passes."""
        self.clock.seconds += 60
        self.tx.register += 117 + self.tx.seq % 3
        values = bytearray()
        for value in (self.tx.register, 7_050 + self.tx.seq % 7 * 10):
            put_number(values, value)
        samples = group(SAMPLE_PERIODIC, 0b11, bytes(values))
        append(self, self.evse, UPDATED, METER_VALUE_PERIODIC, samples)


# --- the designs -------------------------------------------------------------------------------------
# Each has `append(kind, payload, time)` and `ack()`, for the events of one station; made anew on the same flash it
# has read what it needs to go on.
class Milliamp:
    """Our journal on a device."""

    def __init__(self, nor, device, clock):
        self.workload = Workload(Journal(device, clock, lambda n: b"\1\2\3"[:n]), clock)
        journal = self.workload.journal
        journal.checkpoint = lambda write: write(self.workload.tx.checkpoint())

    def event(self):
        self.workload.event()

    def ack(self):
        self.workload.journal.head()
        self.workload.journal.ack()


class LittleFSAppend:
    """Events in a log file that stays open, flushed one by one; how far it is acknowledged in a file of its own."""

    def __init__(self, nor, files, clock):
        self.files = files
        self.workload = Workload(self, clock)
        self.clock = clock
        self.size = self.acked = 0
        self.file = files.open("log", "ab")
        try:
            with files.open("acked", "rb") as file:
                buf = bytearray(4)
                if file.readinto(buf):
                    (self.acked,) = struct.unpack("<I", buf)
        except OSError:
            pass  # nothing yet

    def event(self):
        self.workload.event()

    def append(self, kind, payload, time=None):
        record = struct.pack("<HBHI", len(payload), kind, 1, self.clock.now()) + payload
        if self.size >= ROTATE and self.acked == self.size:
            self.file.close()
            self.file = self.files.open("log", "wb")
            self.size = self.acked = 0
        self.file.write(record)
        self.file.flush()
        self.size += len(record)

    def ack(self):
        self.acked = self.size
        with self.files.open("acked", "wb") as file:
            file.write(struct.pack("<I", self.acked))


class FilePerEvent:
    """A file for each event, removed when it is acknowledged."""

    def __init__(self, nor, files, clock):
        self.files = files
        self.workload = Workload(self, clock)
        self.clock = clock
        try:
            files.mkdir("events")
        except OSError:
            pass
        self.names = sorted(files.listdir("events"))
        self.next = int(self.names[-1], 16) + 1 if self.names else 0

    def event(self):
        self.workload.event()

    def append(self, kind, payload, time=None):
        name = f"{self.next:08x}"
        with self.files.open("events/" + name, "wb") as file:
            file.write(struct.pack("<BHI", kind, 1, self.clock.now()) + payload)
        self.names.append(name)
        self.next += 1

    def ack(self):
        self.files.remove("events/" + self.names.pop(0))


def raw(unit):
    def make(nor, clock):
        return Milliamp(nor, nor, clock)

    make.unit = unit
    return make


def segments(nor, clock):
    # A folder takes two blocks; four are for LittleFS's superblock and the folder of all, the others stay free.
    files = Filesystem(nor)
    sectors = (nor.size // nor.sector - 8) // 2
    return Milliamp(nor, SEGMENTS("journal", sectors * 1536, 1536, files, files.open), clock)


def littlefs_append(nor, clock):
    return LittleFSAppend(nor, Filesystem(nor), clock)


def file_per_event(nor, clock):
    return FilePerEvent(nor, Filesystem(nor), clock)


DESIGNS = {
    "milliamp_raw": ("Milliamp, raw flash, unit 1", raw(1)),
    "milliamp_raw_8": ("Milliamp, raw flash, unit 8", raw(8)),
    "milliamp_raw_16": ("Milliamp, raw flash, unit 16", raw(16)),
    "milliamp_raw_32": ("Milliamp, raw flash, unit 32", raw(32)),
    "milliamp_segments": ("Milliamp, segment files on LittleFS", segments),
    "littlefs_append": ("LittleFS, append and flush", littlefs_append),
    "file_per_event": ("LittleFS, a file per event", file_per_event),
}
# The budgets, of raw flash: (figure, designs, at most or at least, limit).
_RAW = ("milliamp_raw", "milliamp_raw_8", "milliamp_raw_16", "milliamp_raw_32")
BUDGETS = (
    ("bytes_per_event", _RAW[:2], "at most", 40),
    ("bytes_per_event", _RAW[2:3], "at most", 64),
    ("bytes_per_event", _RAW[3:], "at most", 80),
    ("erases_per_event", _RAW, "at most", 0.02),
    ("mount_read_bytes", _RAW, "less than", 8192),
    ("events_in_128k", _RAW[:2], "at least", 3000),
)


# --- measuring ---------------------------------------------------------------------------------------
def chip(make, size):
    """A new chip, formatted for the design."""
    unit = getattr(make, "unit", None)
    nor = Nor(size, SECTOR, unit or CONFIG["prog_size"])
    if unit is None:
        Filesystem(nor, format=True)
    return nor


def worn(make, size, events):
    """The workload on so much flash: (bytes programmed and erases per event, operations of the worst append)."""
    nor = chip(make, size)
    design = make(nor, Clock())
    programmed, erases, worst = nor.bytes_programmed, nor.erases, 0
    for _ in range(events):
        before = nor.operations
        design.event()
        worst = max(worst, nor.operations - before)
        design.ack()
    return (nor.bytes_programmed - programmed) / events, (nor.erases - erases) / events, worst


def mounted(make, size, events):
    """Bytes read from power-on until it is known what waits, with so many events in 128 kB, or where they do not
    fit, in 512."""
    nor = chip(make, size)
    design = make(nor, Clock())
    for _ in range(events):
        design.event()
    nor.bytes_read = 0
    make(nor, Clock())
    return nor.bytes_read


def room(make, limit):
    """How many events wait in 128 kB before one is refused; not more than `limit`."""
    design = make(chip(make, LARGE), Clock())
    for count in range(limit):
        try:
            design.event()
        except OSError:
            return count
    return limit


def measure(events: int = EVENTS, most: int = 100_000) -> dict:
    """{design: {figure: value}}. `most`: how many events are tried to fit."""
    figures = {}
    for name, (_, make) in DESIGNS.items():
        programmed, erases, worst = worn(make, LARGE, events)
        small = worn(make, SMALL, events)[1]
        waits = room(make, most)
        figures[name] = {
            "bytes_per_event": round(programmed, 1),
            "erases_per_event": round(erases, 4),
            "worst_append_ops": worst,
            "mount_read_bytes": mounted(make, LARGE if waits > events else 4 * LARGE, events),
            "events_in_128k": waits,
            "years": round(CYCLES * (SMALL // SECTOR) / (small * MINUTES), 1),
        }
    return figures


def faults(figures: dict) -> list:
    """The budgets that these figures break."""
    found = []
    for figure, designs, sense, limit in BUDGETS:
        for name in designs:
            value = figures[name][figure]
            good = value <= limit if sense == "at most" else value < limit
            if not (value >= limit if sense == "at least" else good):
                found.append(f"{name}: {figure} is {value:,}, {sense} {limit:,} is the budget")
    return found


# --- telling -----------------------------------------------------------------------------------------
def table(figures: dict) -> str:
    """The table in Markdown."""
    heads = [head for _, head in COLUMNS.values()]
    lines = [f"| design | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name, (label, _) in DESIGNS.items():
        cells = [f"{figures[name][column]:,}" for column in COLUMNS]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def document(figures: dict, shares: dict) -> None:
    """Write the figures into docs/flash.md, between its markers."""
    flushed = "\n".join(
        f"- {events:,} queued events: {share:.1%} of one event a round trip"
        for events, share in shares.items()
    )
    page.put(DOCUMENT, BEGIN, END, f"{table(figures)}\n\n{flushed}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make measure-flash", description=__doc__.split("\n")[0])
    parser.add_argument("--events", type=int, default=EVENTS, help="of the workload")
    events = parser.parse_args().events
    if events < 1:
        parser.error(f"--events is at least 1, not {events}")
    figures = measure(events)
    from rich.console import Console
    from rich.table import Table

    from tools.measure.flush import ROUND_TRIP, flush

    rows = Table("design", *[head for head, _ in COLUMNS.values()], box=None)
    for name, (label, _) in DESIGNS.items():
        rows.add_row(label, *[f"{figures[name][column]:,}" for column in COLUMNS])
    console = Console(highlight=False)
    console.print(f"{events:,} events, each followed by its acknowledgement:")
    console.print(", ".join([f"{head}: {text}" for head, text in COLUMNS.values()]) + "\n")
    console.print(rows)
    console.print()
    found = faults(figures)
    shares = {}
    for queued in (300, 1000):
        shares[queued], problems = flush(queued)
        found += problems
        console.print(
            f"{queued:,} queued events at a round trip of {ROUND_TRIP * 1000:.0f} ms: flushed at"
            f" {shares[queued]:.1%} of one event a round trip"
        )
        if shares[queued] < 0.8:
            found.append(f"a queue of {queued} is flushed at {shares[queued]:.1%}, not 80 %")
    if events == EVENTS:
        BUILD.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(figures, indent=1) + "\n")
        document(figures, shares)
    for fault in found:
        console.print(fault, style="red")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
