"""What each pass of the build buys: `make footprint ARGS=--passes` leaves out one after the other and writes the table."""

from pathlib import Path

from tools import builder
from tools.builder.passes import COMPILED, ORDER
from tools.measure import page
from tools.measure.footprint import image, memory, report

BEGIN, END = "<!-- measured: make footprint ARGS=--passes -->", "<!-- end of passes -->"
PASSES = ORDER | COMPILED
ALWAYS = ("fold",)  # without it no module would find its numbers
TOGETHER = {"join": ("split", "join")}  # what stays of a block stays in the joined module


def measure(boards: dict) -> dict:
    """{pass, "" for none left out: {board: {"image": bytes without drivers, "heap": of the idle station}}} for {board:
    folder}."""
    found = {}
    for name in ("", *(name for name in PASSES if name not in ALWAYS)):
        without = TOGETHER.get(name, (name,) if name else ())
        found[name] = {board: _figures(folder, without) for board, folder in boards.items()}
        report.say(f"without {name or 'nothing'}: {found[name]}")
    return found


def _figures(board: str, without: tuple) -> dict:
    out = builder.build(board, without=without)
    figures = {"image": image.measure(out)["station_bytes"]}
    if memory.runs_here(board):
        figures["heap"] = memory.at_rest(board, _from(out))[0]
    return figures


def _from(out: Path):
    """Starts that image, whatever the rig has built."""
    return lambda folder, heap: memory.started(out, heap)


def table(found: dict) -> str:
    """The table in Markdown: how much larger all would be without a pass."""
    boards = list(found[""])
    heads = [f"{board}: {what}" for board in boards for what in ("image", "idle heap")]
    lines = [f"| pass | what it does | {' | '.join(heads)} |", "|---|---|" + "---|" * len(heads)]
    for name, figures in found.items():
        cells = [
            _cell(figures[board], found[""][board] if name else {}, what)
            for board in boards
            for what in ("image", "heap")
        ]
        title = f"`{name}`" if name else "with all of them"
        what = PASSES[name][0] if name else ""
        lines.append(f"| {title} | {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(figures: dict, whole: dict, what: str) -> str:
    if what not in figures:
        return "–"
    return f"{figures[what] - whole[what]:+,}" if whole else f"{figures[what]:,}"


def document(text: str) -> None:
    """Put the table into docs/footprint.md. BuildError: it has no markers."""
    page.put(report.DOCUMENT, BEGIN, END, text)
