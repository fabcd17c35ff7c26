"""A modelled day on the real firmware, at a twentieth of its length: how large are the frames?

One EVSE, four charges of three hours, energy and power each minute, a clock-aligned value each quarter of an hour, a
heartbeat each five minutes, and what a CSMS asks in a day. All intervals are divided by `PACE`, so the counts are those
of a day; what a frame says is the same, but for its timestamps. Reports are told apart: they fill the buffer on purpose.
"""

import json
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hostsim.clock import SimClock, off_the_quarter
from hostsim.lives.harness import rig
from hostsim.net.traffic import DOWN, UP

PACE = 20
SPEED = 60
MINUTE = 60 // PACE  # in simulated seconds
HOUR = 60 * MINUTE
SHORT = 500  # bytes
MUST = 0.95  # share of the frames that are no longer

# Answers that are as long as the CSMS makes its questions.
UNSPLIT = ("GetVariables answer", "SetVariables answer")

SETTINGS = {
    "SampledDataCtrlr.TxUpdatedInterval": str(MINUTE),
    "AlignedDataCtrlr.Interval": str(15 * MINUTE),
    "OCPPCommCtrlr.HeartbeatInterval": str(5 * MINUTE),
}

ASKED = [
    ("OCPPCommCtrlr", "HeartbeatInterval"),
    ("OCPPCommCtrlr", "OfflineThreshold"),
    ("OCPPCommCtrlr", "WebSocketPingInterval"),
    ("TxCtrlr", "TxStartPoint"),
    ("TxCtrlr", "TxStopPoint"),
    ("TxCtrlr", "EVConnectionTimeOut"),
    ("SampledDataCtrlr", "TxUpdatedInterval"),
    ("SampledDataCtrlr", "TxUpdatedMeasurands"),
    ("AlignedDataCtrlr", "Interval"),
    ("ClockCtrlr", "DateTime"),
]


async def live(lane: int, heap: str | None, transmit: int):
    """Live the day; return (sizes of all data frames but reports', those of reports, largest of each kind of
    message, faults)."""
    sizes: list[int] = []
    reports: list[int] = []
    pieces: dict[str, list[int]] = {UP: [], DOWN: []}  # frames of the message that is on its way
    longest: Counter = Counter()
    faults: list[str] = []
    async with rig(
        clock=SimClock(SPEED, off_the_quarter()),
        lane=lane,
        heap=heap,
        settings=SETTINGS,
        power=False,
    ) as r:
        r.csms.boots[:] = [("Accepted", 5 * MINUTE)]

        def frame(seen):
            if seen.opcode in ("text", "cont"):
                pieces[seen.direction].append(seen.size)
                if seen.direction == UP and seen.size > transmit:
                    faults.append(f"a frame of {seen.size} bytes left the buffer of {transmit}")

        def message(seen):
            is_report = seen.action == "NotifyReport" and seen.direction == UP
            (reports if is_report else sizes).extend(pieces[seen.direction])
            pieces[seen.direction].clear()
            if seen.direction == UP:
                longest[seen.label] = max(longest[seen.label], seen.size)

        r.traffic.on_frame.append(frame)
        r.traffic.on_message.append(message)
        await r.device.power_on()
        await r.booted()
        await r.call("GetBaseReport", {"requestId": 1, "reportBase": "FullInventory"})
        items = [{"component": {"name": c}, "variable": {"name": v}} for c, v in ASKED]
        await r.call("GetVariables", {"getVariableData": items})
        for _ in range(4):
            await r.charging()
            await r.clock.sleep(3 * HOUR)
            await r.stopped()
            await r.drained()
            await r.clock.sleep(3 * HOUR)
        faults += r.problems(all_ended=True)
    for label, size in longest.items():
        if size > transmit and label not in UNSPLIT:
            faults.append(f"{label} has {size} bytes: it could have been split")
    return sizes, reports, longest, faults


async def measure(lane: int, heap: str | None) -> int:
    """Live the day, print the figures and write `build/frames.json`. The exit code: 1 when a figure is not met."""
    from tools import builder

    console = Console(highlight=False)
    console.print(f"a modelled day at {PACE} times its pace and {SPEED} times the speed of life")
    profile: dict = {}
    exec((builder.build_tables("sim") / "tables" / "profile.py").read_text(), profile)
    sizes, reports, longest, faults = await live(lane, heap, profile["TRANSMIT_BUFFER"])
    share = sum(size <= SHORT for size in sizes) / len(sizes)
    if share < MUST:
        faults.append(f"only {share:.1%} of the frames have at most {SHORT} bytes")
    figures = {
        "frames": len(sizes),
        "report_frames": len(reports),
        "share_500": round(share, 4),
        "largest_frame": max(sizes),
        "largest_message": max(longest.values()),
    }
    Path("build/frames.json").write_text(json.dumps(figures, indent=1) + "\n")
    table = Table("longest message", "bytes", show_header=True)
    for label, size in longest.most_common(8):
        table.add_row(label, f"{size:,}")
    console.print(table)
    console.print(
        f"{len(sizes):,} frames, {share:.1%} of at most {SHORT} bytes, the largest {max(sizes):,}; "
        f"{len(reports)} of a report, the largest {max(reports):,}"
    )
    for fault in faults:
        console.print(fault, style="red")
    return 1 if faults else 0
