"""Writes what `mip` needs to install a board's station: `python -m tools.flashing.package BOARD`.

Beside the image in build/<board>/ come the boot file and package.json, which names all files relative to itself, so the
folder may also lie on a web server. The boot file is last: a first installation that is interrupted starts nothing.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from tools import builder
from tools.builder import profile
from tools.flashing import command, image, say

NAME = "package.json"


def write(out: Path, chosen) -> Path:
    """Make the package of a build folder: the path of its package.json.

    It installs where `make flash` puts a first station, so that `make flash`, `console` and `selftest` know it.
    """
    content = image.files(out / "image")
    slot = image.SLOTS[0]
    boot = image.boot(chosen.board, chosen.version, image.mark(content), slot)
    (out / "main.py").write_text(boot)
    urls = [[f"{slot.strip('/')}/{path}", f"image/{path}"] for path in content]
    package = {"version": chosen.version, "urls": [*urls, ["main.py", "main.py"]], "deps": []}
    file = out / NAME
    file.write_text(json.dumps(package, indent=1) + "\n")
    return file


def run(given) -> None:
    """Build the image, write the package and say how it is installed."""
    out = builder.build(given.board)
    file = write(out, profile.load(given.board))
    say(f"{os.path.relpath(file)}: mpremote mip install --target / {os.path.relpath(file)}")


def main(argv=None) -> int:
    """Write the package of the named board."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.flashing.package",
        description="Write what mip needs to install a station.",
    )
    parser.add_argument("board", help="a folder of boards/")
    return command(run, parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
