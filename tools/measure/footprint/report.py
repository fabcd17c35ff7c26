"""What was measured, as tables: on the terminal, and in docs/footprint.md between its markers."""

import sys

from tools import ROOT
from tools.measure import page
from tools.measure.footprint import gates

DOCUMENT = ROOT / "docs" / "footprint.md"
BEGIN, END = "<!-- measured: make footprint -->", "<!-- end -->"
_INSTRUCTIONS = {
    "start": "from power-on to the first task",
    "start_full": "the same with a full journal",
    "boot": "from power-on to registered, everything delivered",
    "idle_second": "a second of the idle station, without polls",
    "poll": "one poll of the inputs (the simulator's link included)",
    "transaction_event": "a TransactionEvent: measured, stored, sent, acknowledged",
    "get_variables_1": "GetVariables of 1 item",
    "get_variables_20": "GetVariables of 20 items",
    "report_entry": "an entry of a FullInventory, sent",
    "collection": "one collection of garbage (heap of 64 kB)",
}
_HEAP = {
    "import_heap_bytes": "all modules imported, none used",
    "idle_heap_bytes": "registered and idle",
    "idle_heap_mpy_bytes": "the same from `.mpy` files, not from a mapped image",
    "idle_heap_frozen_bytes": "the same with the station frozen into MicroPython",
    "largest_allocation_bytes": "largest single allocation",
    "simulator_heap_bytes": "the simulator's own beside it: link, service commands",
    "min_heap_bytes": "**smallest heap with which everything passes**, the simulator's own in it",
    "min_heap_frozen_bytes": "the same with the station frozen into MicroPython",
}

CENSUS = {
    "core": "code: classes and functions of what is there from the start; bytecode and texts are in ROM",
    "interpreter": "the interpreter and `asyncio`",
    "boot program": "what mounts the image, and `main`",
    "tables": "tables: modules of constants, which are in ROM",
    "buffers": "the two buffers",
    "names": "names of what is loaded on demand: each is loaded once and let go",
    "token cache": "authorization cache: its code, 16 rows, where it lies in flash",
    "log": "log",
    "settings": "settings",
    "clock": "clock",
    "journal": "journal",
    "device model": "device model",
    "EVSE": "EVSE",
    "link": "link",
    "outbox": "outbox",
    "RPC": "RPC: reader, writer",
    "station": "the station object, counters, blocks that are there from the start",
    "tasks": "tasks",
    "connection": "the connection: stream, socket, what registering left",
    "WebSocket": "WebSocket",
}


def budget(found: dict, profiles: dict) -> "list[str]":
    """The table of must and aim. `profiles`: {board: "core" or "lite"}."""
    lines = ["| what | profile | measured | must | aim | |", "|---|---|---|---|---|---|"]
    for limit in gates.LIMITS:
        boards = [
            board
            for board, figures in found.items()
            if limit.figure in figures and limit.profile in ("", profiles[board])
        ]
        if not boards:
            lines.append(
                f"| {limit.title} | {limit.profile or 'all'} | – | {limit.must:,} | {limit.aim:,} | not measured |"
            )
        for board in boards:
            number = found[board][limit.figure]
            verdict = (
                "aim" if number <= limit.aim else "must" if number <= limit.must else "**missed**"
            )
            lines.append(
                f"| {limit.title} | {board} | {number:,} | {limit.must:,} | {limit.aim:,} | {verdict} |"
            )
    return lines


def _rows(title: str, words: dict, figures: dict) -> "list[str]":
    lines = [f"| {title} | |", "|---|---|"]
    return lines + [
        f"| {word} | {figures[name]:,} |" for name, word in words.items() if name in figures
    ]


def _images(found: dict) -> "list[str]":
    lines = [
        "| board | image | without its drivers | names | heap of all modules |",
        "|---|---|---|---|---|",
    ]
    for board, figures in found.items():
        kept = (
            f"{figures[name]:,}" if name in figures else "–"
            for name in ("names", "import_heap_bytes")
        )
        lines.append(
            f"| {board} | {figures['image_bytes']:,} | {figures['station_bytes']:,} | {' | '.join(kept)} |"
        )
    return lines


def _blocks(figures: dict) -> "list[str]":
    kept = figures.get("import_heap_blocks", {})
    lines = ["| room or block | bytes of the image | heap when imported |", "|---|---|---|"]
    for room, size in sorted(figures["blocks"].items(), key=lambda item: -item[1]):
        lines.append(f"| {room} | {size:,} | {f'{kept[room]:,}' if room in kept else '–'} |")
    return lines


def tables(found: dict, profiles: dict) -> str:
    """All tables, in Markdown."""
    parts = [budget(found, profiles), _images(found)]
    for board, figures in found.items():
        if "idle_heap_bytes" not in figures:
            continue
        parts.append([f"### `{board}`"])
        parts.append(_rows("heap, in bytes", _HEAP, figures))
        parts.append(
            _rows(
                "largest live heap at a yield, in bytes",
                {name: f"`{name}`" for name in figures["peaks"]},
                figures["peaks"],
            )
        )
        if "census" in figures:
            parts.append(
                _rows(
                    "registered and idle: where each byte went, by step of the start",
                    CENSUS,
                    figures["census"],
                )
            )
        if "instructions" in figures:
            parts.append(_rows("instructions", _INSTRUCTIONS, figures["instructions"]))
            parts.append(
                _rows(
                    "longest run between two yields, in instructions",
                    {name: f"`{name}`" for name in figures["longest_runs"]},
                    figures["longest_runs"],
                )
            )
        parts.append(_blocks(figures))
    return "\n\n".join("\n".join(part) for part in parts)


def document(text: str) -> None:
    """Put the tables into docs/footprint.md. BuildError: it has no markers."""
    page.put(DOCUMENT, BEGIN, END, text)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
