"""The pin table of a board as `docs/boards.md` has it: `python -m tools.builder.profile.pinout BOARD`."""

import sys

from tools import BuildError
from tools.builder.profile import hardware
from tools.builder.profile.reader import boards, load


def pin_table(board: str) -> str:
    """The pins of a board, row by row, as a Markdown table."""
    chosen = load(board)
    chip = hardware.CHIPS[chosen.chip]
    kinds = hardware.Pins(chosen, print, chosen.taken).rows
    low = chosen.pins.get("active_low", [])
    lines = ["| row | pin | |", "|---|---|---|"]
    for row, value in chosen.pins.items():
        if kinds.get(row) not in hardware.PINS:
            continue
        for pin in value if isinstance(value, list) else [value]:
            notes = [kinds[row]] + (["on at 0 V"] if row in low else [])
            if pin in chip.pullless and kinds[row] in ("input", "interrupt"):
                notes.append("fit a pull resistor")
            if pin in chip.strapping:
                notes.append(f"strapping: {chip.strapping[pin]}")
            lines.append(f"| `{row}` | {chip.call(pin)} | {'; '.join(notes)} |")
    return "\n".join(lines)


def main(argv=None) -> int:
    """Print the pin tables of the named boards."""
    try:
        for board in (sys.argv[1:] if argv is None else argv) or boards():
            if load(board).chip:
                print(f"{board}\n\n{pin_table(board)}\n")
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
