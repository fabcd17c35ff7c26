"""`python -m tools.measure.baremetal --micropython CHECKOUT [--heap 48k]`: what a whole device takes, the interpreter included.

Builds the image, looks for the smallest heap with which a charge passes, prints a table, writes build/baremetal.json and
docs/baremetal.md. With `--heap` it is one charge with that heap, and nothing is written. What this machine has not got is
said, and nothing is wrong then.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from tools import BUILD, ROOT
from tools.flashing import Trouble, command, firmware, say
from tools.measure import baremetal, page
from tools.measure.baremetal import scenario

RESULTS = BUILD / "baremetal.json"
DOCUMENT = ROOT / "docs" / "baremetal.md"
_BEGIN, _END = "<!-- measured: make baremetal -->", "<!-- end -->"
_LEAST, _MOST = 24, 96  # kB: where the smallest heap is looked for
_RUNS = 2  # that must pass: time is real, so no two are quite the same


def size(text: str) -> int:
    """Bytes of "48k" or "49152"."""
    number = text.lower().removesuffix("k")
    if not number.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 48k")
    return int(number) * (1024 if number != text else 1)


def smallest(file: Path) -> "tuple[int, dict]":
    """The smallest heap in kB with which all runs pass, and the figures of the last one. Trouble: none does."""

    def passes(heap: int) -> "dict | None":
        faults, figures = scenario.play(file, heap * 1024)
        say(f"a heap of {heap} kB: {faults[0] if faults else 'passed'}")
        return None if faults else figures

    low, high, best = _LEAST, _MOST, passes(_MOST)
    while best and low < high:
        middle = (low + high) // 2
        if passes(middle):
            high = middle
        else:
            low = middle + 1
    while best and high <= _MOST:
        figures = [passes(high) for _ in range(_RUNS)]
        if all(figures):
            return high, figures[-1]
        high += 1
    raise Trouble(f"a charge fails with a heap of {_MOST} kB")


def table(found: dict, heap: str) -> "list[str]":
    """The figures, against what the budget allows a device. `heap`: which one it is."""
    ram = found["static"] + found["stack"] + found["heap"]
    rows = [
        ("**flash**", found["flash"], "204,800 to 307,200"),
        ("frozen modules: the station, its tables, asyncio", found["frozen"], ""),
        ("interpreter, port", found["flash"] - found["frozen"], ""),
        ("**RAM**", ram, "51,200"),
        ("static", found["static"], ""),
        ("stack, the most that was used", found["stack"], ""),
        (heap, found["heap"], ""),
        ("of it alive at the end", found["live"], ""),
    ]
    head = [f"| MicroPython {found['micropython']} | bytes | budget |", "|---|---|---|"]
    return head + [f"| {what} | {number:,} | {budget} |" for what, number, budget in rows]


def run(given) -> None:
    """Build, play, tell."""
    place = given.micropython or os.environ.get("MICROPYTHON")
    if reason := baremetal.missing(place):
        say(f"skipped: {reason}")
        return
    sources = firmware.checked(place)
    say("building MicroPython for a Cortex-M3, with the station in it: a minute or two")
    file = baremetal.image(sources)
    found = baremetal.sizes(file)
    found["micropython"] = ".".join(map(str, firmware.version(sources)))
    if given.heap:
        faults, figures = scenario.play(file, given.heap)
        if faults:
            raise Trouble("\n".join(faults))
        found |= figures | {"heap": given.heap}
        lines = table(found, "heap")
    else:
        heap, figures = smallest(file)
        found |= figures | {"heap": heap * 1024}
        lines = table(found, "smallest heap with which everything passes")
        RESULTS.write_text(json.dumps(found, indent=2) + "\n")
        page.put(DOCUMENT, _BEGIN, _END, "\n".join(lines))
    say("\n".join(lines))


def main(argv=None) -> int:
    """Measure the whole device."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.measure.baremetal", description="Measure the whole device in QEMU."
    )
    parser.add_argument(
        "--micropython", metavar="FOLDER", help="MicroPython's sources, 1.28 or later"
    )
    parser.add_argument(
        "--heap", type=size, metavar="SIZE", help="one charge with a heap of that size, as 48k"
    )
    return command(run, parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
