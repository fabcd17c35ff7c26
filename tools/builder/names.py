"""Says what a traceback's short names are: `python -m tools.builder.names build/<board> < log`.

Names are shared (see `tools.builder.passes.mangle`), so a line may have several readings; the line above it calls one of them.
"""

import json
import re
import sys
from pathlib import Path

_FRAME = re.compile(r'File "([^"]+)", (?:line \d+, )?in (\w+)')


def explain(line: str, legend: dict) -> str:
    """A line of a log; that of a traceback with the functions it may mean."""
    found = _FRAME.search(line)
    if not found:
        return line
    module, short = found.groups()
    readings = []
    for path, names in legend.items():
        if Path(path.removesuffix("/__init__.py")).stem == module:
            readings += [name for name in names.get(short, "").split(", ") if name.endswith("()")]
    return f"{line}: {' or '.join(readings)}" if readings else line


def main() -> int:
    """Copy stdin to stdout, explained."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    legend = json.loads(Path(sys.argv[1], "names.json").read_text())
    for line in sys.stdin:
        print(explain(line.rstrip("\n"), legend), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
