"""What each part of a profile costs, and what is lost without it: `python -m tools.measure.trim [BOARD]`.

Builds the board's profile, then once more for each choice that it leaves: a block, a table, a larger buffer. What is
in the profile is taken out, what is not is put in. It prints image bytes, and on the 32-bit lane the heap that importing
the modules keeps and, for boards that run in the simulator, the heap of the registered, idle station; and the
certification scripts that go with it. Without BOARD it is `sim`, and `docs/trimming.md` gets the figures.
"""

import argparse
import ast
import functools
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tools import BOARDS, BUILD, ROOT, BuildError, builder
from tools.builder import profile
from tools.builder.profile import toml
from tools.builder.tables import device_model
from tools.builder.tables.blocks import read_block
from tools.builder.toolkit import walk
from tools.measure import footprint, page

DOCUMENT = ROOT / "docs" / "trimming.md"
RESULTS = BUILD / "trim.json"
BEGIN, END = "<!-- measured: make trim -->", "<!-- end -->"
SCRIPTS = ROOT / "tests" / "conformance"
_ENERGY_AND_POWER = [profile.ENERGY, "Power.Active.Import"]
_SMALL = {"receive": 1024, "transmit": 512}


@dataclass(frozen=True)
class Choice:
    """One thing that a profile may go without. `off` changes the profile; `loses` says what the station cannot do then.

    `features`: those of the certification profile (conformance/presets.toml) that are gone, `words`: texts in a
    script that needs it.
    """

    name: str
    title: str
    loses: str
    has: Callable[[dict], bool]
    off: Callable[[dict], None]
    on: "Callable[[dict], None] | None" = None  # None: what a profile lacks is not tried
    features: dict = field(default_factory=dict)
    words: frozenset = frozenset()
    letter: str = ""  # of OCPP's functional block, for scripts that are not written yet
    saves: bool = True  # False: it is not for the bytes that a profile goes without it


# --- what there is to choose ---------------------------------------------------------------------------

# What a station without the block cannot do: our words, and OCPP's use cases.
_LOSES = {
    "remote_control": "F01 to F06: start and stop from afar, unlocking a connector, TriggerMessage",
    "meter_values": "J01: values at fixed times, outside of transactions and for their end; sampled values stay",
    "firmware_management": "the answer to TriggerMessage that no update is going on; L01 is not there yet",
    "diagnostics": "N01, N09, N10: upload of logs, customer information",
    "data_transfer": "P01: the answer that a vendor's message is unknown",
}
_NO_TRIGGERS = dict.fromkeys(("C29_1", "C29_2", "C29_3", "C29_4", "C29_5", "C29_6"), False)
_FEATURES = {
    "remote_control": {"C36": False, "C38": False, "C48_1": False, "C48_2": False} | _NO_TRIGGERS,
    "meter_values": {"C29_1": False},
    "firmware_management": {"C29_4": False},
    "diagnostics": {"C29_3": False, "C57": False},
}


def _block(name: str) -> Choice:
    file = profile.BLOCK_FILES / f"{name}.py"
    block = read_block(file)
    words = {*block.calls, *block.sends}
    words |= {variable.path for variable in device_model.load() if variable.block == name}
    head = re.search(r"functional block ([A-Z])", file.read_text().splitlines()[0])
    return Choice(
        name,
        f"block `{name}`",
        _LOSES.get(name, "what its head says"),
        lambda raw: name in raw["blocks"]["ship"],
        lambda raw: raw["blocks"]["ship"].remove(name),
        lambda raw: raw["blocks"]["ship"].append(name),
        _FEATURES.get(name, {}),
        frozenset(words),
        head[1] if head else "",
    )


def _without(table: str, region: str = "") -> Callable[[dict], None]:
    def off(raw: dict) -> None:
        raw.pop(table, None)
        raw["flash"].pop(region, None)

    return off


def _put(table: str, **values) -> Callable[[dict], None]:
    return lambda raw: raw.setdefault(table, {}).update(values)


def _twice(raw: dict) -> None:
    raw["evse"].append(dict(raw["evse"][-1]))


def _writable() -> list:
    return [v for v in device_model.load() if v.data.get("mutability") == "ReadWrite"]


def _tables() -> list:
    return [
        Choice(
            "cache",
            "authorization cache",
            "C10 to C12: known tokens offline, and without waiting for the CSMS",
            lambda raw: bool(raw.get("cache", {}).get("entries")),
            _without("cache", "tokens"),
            features={"C49": False, "C53": False, "C59": False},
        ),
        Choice(
            "writable",
            "variables that can be written",
            "B05 for all but the password: what the profile says holds until the next image",
            lambda raw: raw.get("device_model", {}).get("writable") == "core",
            _put("device_model", writable="none"),
            _put("device_model", writable="core"),
            {"C13": False, "C51": False, "C52": False},
            frozenset(("WRITABLE", *(f"{variable.path}=" for variable in _writable()))),
        ),
        Choice(
            "fragments",
            "answers in fragments",
            "fewer items in a GetVariables or SetVariables: their answer must fit the transmit buffer",
            lambda raw: raw["buffers"].get("fragments", True),
            _put("buffers", fragments=False),
            _put("buffers", fragments=True),
            saves=False,
        ),
        Choice(
            "buffers",
            f"larger buffers than {_SMALL['receive']:,} and {_SMALL['transmit']:,}",
            "messages to the station beyond that, items in one request",
            lambda raw: raw["buffers"]["receive"] > _SMALL["receive"],
            _put("buffers", **_SMALL),
        ),
        Choice(
            "logs",
            "security log",
            "the security log of A04 and its upload; critical events are sent all the same",
            lambda raw: "logs" in raw["flash"],
            lambda raw: raw["flash"].pop("logs"),
            words=frozenset(("SecurityLog",)),
        ),
        Choice(
            "measurands",
            "measurands beyond energy and power",
            "current, voltage, state of charge and temperature in meter values",
            lambda raw: set(raw["meter"]["measurands"]) > set(_ENERGY_AND_POWER),
            _put("meter", measurands=_ENERGY_AND_POWER),
        ),
        Choice(
            "evses",
            "a second EVSE",
            "a second car",
            lambda raw: len(raw["evse"]) > 1,
            lambda raw: raw["evse"].__delitem__(slice(1, None)),
            _twice,
            {"HFS8": 1},
        ),
    ]


@functools.cache
def choices() -> dict:
    """{name: Choice}: the blocks that a profile may leave out, then its tables."""
    optional = [
        name
        for name in profile.BLOCKS
        if name not in profile.REQUIRED_BLOCKS and (profile.BLOCK_FILES / f"{name}.py").is_file()
    ]
    return {choice.name: choice for choice in [*map(_block, optional), *_tables()]}


# --- profiles with something left out ----------------------------------------------------------------


def _folder(board: str) -> Path:
    return Path(board) if "/" in board else BOARDS / board


def _raw(board: str) -> dict:
    """The profile as it is written. BuildError says what is wrong with it."""
    profile.load(board)
    return toml.load(_folder(board) / "profile.toml")[0]


def trimmed(board: str, flipped, name: str, values: "dict | None" = None) -> Path:
    """The folder of a board whose profile differs in the choices `flipped`, under `build/`: a board like any other.
    `values`: {variable: value} that it has besides."""
    raw = _raw(board)
    for path, value in (values or {}).items():
        raw.setdefault("variables", {})[path] = {"value": value}
    for choice in map(choices().__getitem__, flipped):
        (choice.off if choice.has(raw) else choice.on)(raw)
    _drop_variables(raw)
    source = _folder(board)
    folder = BUILD / "trim" / f"{source.name}-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.is_file() and file.name != "profile.toml":
            toml.put(folder / file.name, file.read_bytes())
    toml.put(folder / "profile.toml", toml.dump(raw).encode())
    return folder


def minimum(board: str) -> tuple:
    """The choices to flip for the least that works: everything is left out that may be."""
    raw = _raw(board)
    return tuple(name for name, choice in choices().items() if choice.saves and choice.has(raw))


def flippable(board: str) -> list:
    """The choices that this board has: what it lacks, it may have no pins for."""
    raw, found = _raw(board), []
    for name, choice in choices().items():
        if not choice.has(raw):
            if choice.on is None:
                continue
            try:
                profile.load(str(trimmed(board, (name,), name)))
            except BuildError:
                continue
        found.append(name)
    return found


def _drop_variables(raw: dict) -> None:
    # Those of what is gone.
    present = [*raw["blocks"]["ship"], *(["cache"] if "cache" in raw else [])]
    owners = {variable.path: variable.block for variable in device_model.load()}
    for path in list(raw.get("variables", ())):
        if owners.get(path) and owners[path] not in present:
            del raw["variables"][path]


# --- what it loses ------------------------------------------------------------------------------------


@functools.cache
def needs() -> dict:
    """{script: the words of the texts that it, and the functions and values of its file that it names, hold, and
    those names}, of those that are written.

    A variable that it must be able to write is there once more, with a `=` behind it.
    """
    found = {}
    for file in sorted(SCRIPTS.glob("test_*.py")):
        tree = ast.parse(file.read_text())
        home = {}
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                home[node.name] = node
            elif isinstance(node, ast.Assign):
                home |= {
                    target.id: node for target in node.targets if isinstance(target, ast.Name)
                }
        for name, node in home.items():
            if name.startswith("test_TC_"):
                words = _texts(node, home, set())
                if "SetVariables" in words:
                    words |= {f"{word}=" for word in words}
                found[name.removeprefix("test_")] = words
    return found


def _texts(node, home: dict, seen: set) -> set:
    found = set()
    for inner in walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            found.update(inner.value.split())
        elif isinstance(inner, ast.Name) and inner.id in home and inner.id not in seen:
            seen.add(inner.id)
            found |= {inner.id} | _texts(home[inner.id], home, seen)
        elif isinstance(inner, ast.Call) and getattr(inner.func, "attr", "") == "configure":
            if not inner.keywords:  # else it says that it can do without
                found |= {f"{text}=" for text in _texts(inner.args[0], home, set())}
    if "remote" in found:  # states.authorized(octt, "remote")
        found.add("RequestStartTransaction")
    return found


def lost(names, features: dict) -> dict:
    """{script: its kind, "M" or "C"} of what a product with these features cannot pass without the choices `names`."""
    from tools.measure.conformance.catalogue import SCRIPTS as scripts

    gone = [choices()[name] for name in names]
    left = functools.reduce(lambda all, choice: all | choice.features, gone, features)
    found = {}
    for name, script in scripts.items():
        if not _applies(script, features):
            continue
        texts = needs().get(name)
        for choice in gone:
            needed = choice.letter == name[3] if texts is None else texts & choice.words
            if needed or not _applies(script, left):
                found[name] = script.kind
    return found


def _applies(script, features: dict) -> bool:
    return script.when is None or bool(eval(script.when, {"__builtins__": {}}, features))


def listed(scripts) -> str:
    """`F_01 to F_04, F_08` for TC_F_01_CS and so on."""
    rows = []
    for name in sorted(scripts):
        letter, number = name[3], int(name[5:7])
        if rows and rows[-1][0] == letter and rows[-1][2] + 1 == number:
            rows[-1][2] = number
        else:
            rows.append([letter, number, number])
    return ", ".join(
        f"{letter}_{first:02}" + (f" to {letter}_{last:02}" if last > first else "")
        for letter, first, last in rows
    )


# --- figures ------------------------------------------------------------------------------------------


def measure(board: str) -> dict:
    """{"figures": .., "choices": {name: {"has": .., "figures": .., "lost": ..}}, "minimum": ..}. Figures are bytes:
    "image", "driver" (the board's own part of it), and where there is a lane for it "heap" and "idle"."""
    from tools.measure.conformance.presets import PRESETS, WIDEST_FIRST

    features = PRESETS[WIDEST_FIRST[0]].features
    raw = _raw(board)
    found = {"board": Path(board).name, "figures": figures(board), "choices": {}}
    for name in flippable(board):
        found["choices"][name] = {
            "has": choices()[name].has(raw),
            "figures": figures(str(trimmed(board, (name,), name))),
            "lost": lost((name,), features),
        }
    gone = minimum(board)
    found["minimum"] = {
        "without": gone,
        "figures": figures(str(trimmed(board, gone, "minimum"))),
        "lost": lost(gone, features),
    }
    if image(board) != found["figures"]["image"]:
        raise BuildError(
            "the sources changed meanwhile, so the figures do not fit together: again"
        )
    return found


def image(board: str) -> int:
    """Bytes of what is flashed."""
    return (builder.build(board) / "romfs.img").stat().st_size


def figures(board: str) -> dict:
    """The bytes of one profile."""
    out = builder.build(board)
    heap = footprint.heap(out)
    found = {"image": image(board), "driver": builder.sizes(out)["board"]}
    if heap:
        found["heap"] = heap["total"]
        if footprint.runs_here(board):
            found["idle"] = footprint.idle(board)
    return found


def rows(found: dict) -> list:
    """The table: (choice, image, heap by import, heap of the idle station, scripts, what is lost), as texts."""
    base = found["figures"]
    out = [("the profile as it is", *(_bytes(base.get(key)) for key in KEYS), "", "")]
    for name, row in found["choices"].items():
        choice = choices()[name]
        with_it, without = (base, row["figures"]) if row["has"] else (row["figures"], base)
        costs = [with_it[key] - without[key] if key in base else None for key in KEYS]
        title = choice.title if row["has"] else f"{choice.title} (not in this profile)"
        out.append((title, *map(_difference, costs), _counted(row["lost"]), choice.loses))
    least = found["minimum"]
    out.append(
        (
            "the least that works",
            *(_bytes(least["figures"].get(key)) for key in KEYS),
            _counted(least["lost"]),
            "",
        )
    )
    return out


KEYS = ("image", "heap", "idle")
HEADS = (
    "what",
    "image",
    "heap by import",
    "heap, idle",
    "scripts",
    "what a station cannot do without it",
)


def _bytes(value) -> str:
    return "–" if value is None else f"{value:,}"


def _difference(value) -> str:
    return "–" if value is None else f"{value:+,}".replace("-", "−") if value else "0"


def _counted(scripts: dict) -> str:
    mandatory = list(scripts.values()).count("M")
    return f"{mandatory} + {len(scripts) - mandatory}"


def document(found: dict) -> None:
    """Put the figures into docs/trimming.md, between its markers."""
    lines = [f"| {' | '.join(HEADS)} |", "|---|" + "---:|" * 4 + "---|"]
    lines += [f"| {' | '.join(row)} |" for row in rows(found)]
    least = found["minimum"]["figures"]
    lines += [
        "",
        f"Of the images, {found['figures']['driver']:,} bytes are the simulator's own drivers: without them the smallest is"
        f" {least['image'] - least['driver']:,} bytes.",
        "",
        "| without | mandatory scripts that are gone | conditional ones |",
        "|---|---|---|",
    ]
    for name, row in found["choices"].items():
        if row["lost"]:
            kinds = (listed(n for n, kind in row["lost"].items() if kind == k) for k in "MC")
            lines.append(f"| {choices()[name].title} | {' | '.join(kinds)} |")
    page.put(DOCUMENT, BEGIN, END, "\n".join(lines))


def show(found: dict) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(HEADS[0], box=None, title=f"{found['board']}: what it costs, in bytes")
    for head in HEADS[1:-1]:
        table.add_column(head, justify="right")
    for row in rows(found):
        table.add_row(*row[:-1])
    console = Console(highlight=False)
    console.print(table)
    console.print("\nscripts: certification scripts that are gone, mandatory + conditional\n")
    for name in found["choices"]:
        console.print(f"without {choices()[name].title}: {choices()[name].loses}")


def main(argv=None) -> int:
    """Measure a board's profile with each choice flipped."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.measure.trim", description="What each part of a profile costs."
    )
    parser.add_argument("board", nargs="?", help="a folder of boards/; without it sim, for docs/")
    given = parser.parse_args(argv)
    try:
        found = measure(given.board or "sim")
        show(found)
        if not given.board:
            document(found)
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
            print(f"written to {DOCUMENT.relative_to(ROOT)} and {RESULTS.relative_to(ROOT)}")
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
