"""What is flashed, in bytes: in all, and by room and block."""

from pathlib import Path

from tools import builder

ROOMS = ("tables", "core", "base", "storage", "domain", "wire", "blocks", "station")
DRIVERS = "board"  # the room of what only this board has


def modules(out: Path) -> dict:
    """{dotted module: room} of an image in the order of the import table, the board last, `main` and drivers left out."""
    found = {}
    for name, path in builder.homes(out).items():
        if path.startswith(("milliamp/", "tables/")) or path == DRIVERS:
            found[name.removesuffix("/__init__").replace("/", ".")] = builder.room(path)
    rank = (*ROOMS, DRIVERS)
    return dict(sorted(found.items(), key=lambda item: (rank.index(item[1].split("/")[0]), item)))


def measure(out: Path) -> dict:
    """The image's figures: `image_bytes` is all of it, `driver_bytes` what only this board has, `station_bytes` the rest,
    the tables and the file system's own in it."""
    blocks = builder.sizes(out)
    whole, drivers = (out / "romfs.img").stat().st_size, blocks.get(DRIVERS, 0)
    return {
        "image_bytes": whole,
        "station_bytes": whole - drivers,
        "driver_bytes": drivers,
        "blocks": blocks,
    }
