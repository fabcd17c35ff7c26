"""The build: from the firmware's sources and a board's folder to what is flashed. `python -m tools.builder [BOARD ...]`.

`profile` reads and checks what a hardware team edits, `tables` makes the generated modules, `passes` is the compiler,
`image` puts them together and packs the result, `shelf` keeps it, `names` reads a traceback back.
"""

from tools.builder.image import build, build_tables, homes, room, sizes

__all__ = ["build", "build_tables", "homes", "room", "sizes"]
