"""The import table and the house rules of the firmware, read from its sources."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

from tools import BOARDS, FIRMWARE, ROOT
from tools.builder import toolkit
from tools.builder.tables import device_model, words

PACKAGE = FIRMWARE / "milliamp"
FILES = sorted(FIRMWARE.rglob("*.py"))
BOARD_FILES = sorted(BOARDS.rglob("*.py"))

# A room may import these rooms.
MAY_IMPORT = {
    "base": {"base"},
    "storage": {"base", "storage"},
    "domain": {"base", "storage", "domain"},
    "wire": {"base", "storage", "wire"},
    "blocks": {"base", "storage", "domain", "wire"},
    "station": {"base", "storage", "domain", "wire", "blocks", "station"},
    "main": {"base", "station"},
}
# Inside storage a module imports only what stands before it.
STORAGE_ORDER = (
    {"records"},
    {"thinning"},
    {"journal", "settings", "blobs", "security_log"},
    {"rows"},
    {"device_model"},
)
# Generated constants, which everybody may name: {module: names}.
WORDS = {
    name: set(re.findall(r"^(\w+) = ", source, re.MULTILINE))
    for name, source in words.sources().items()
}
WORDS["forms"] = {"LIMITS"}
WORDS["ids"] = {variable.const for variable in device_model.load()} | {"WRITTEN_TYPES"}
# Other generated tables are passed down by these.
MAY_IMPORT_TABLES = {"station", "main"}

# What a room may touch of the station that its functions are given.
STATE = {
    "board",
    "profile",
    "log",
    "bus",
    "clock",
    "settings",
    "journal",
    "model",
    "counters",
    "accepted",
    "resetting",
    "online",
}
CONTEXT = {
    "domain": STATE | {"evses", "tokens"},
    "wire": STATE | {"link", "rpc", "outbox", "schemas", "handler", "refuse", "progress", "fault"},
    # And one of its own name.
    "blocks": STATE
    | {"evses", "tokens", "link", "rpc", "outbox", "jobs", "trigger", "reboot", "boot_reason"}
    | {"set_clock", "clock_was_set"},
}
STATION_NAMES = {"st", "_st", "station", "_station"}

MAY_IMPORT_TIME = {"base/hal.py", "base/clock.py"}
TICKS_ARITHMETIC = {"ticks_diff", "ticks_add"}  # read no clock
FORBIDDEN_MODULES = {
    "json",
    "ujson",
    "typing",
    "dataclasses",
    "enum",
    "abc",
    "contextlib",
    "unittest",
}
# json.dumps; what comes in is never made objects of
MAY_DUMP = {"firmware/milliamp/wire/jsonwriter.py"}
FORBIDDEN_CALLS = {"setattr", "float", "eval", "exec"}


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def room(file: Path) -> str:
    parts = file.relative_to(FIRMWARE).with_suffix("").parts
    if parts[0] == "milliamp":
        return parts[1] if len(parts) > 2 else "station"
    return parts[0]


def imports(file: Path):
    """(line, dotted module) of every import, wherever it stands; `from package import module` gives the module."""
    for node in ast.walk(toolkit.parse(file)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(file)}:{node.lineno}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = node.module == "tables" or toolkit.module_file(inner, [FIRMWARE])
                yield node.lineno, inner if is_module else node.module
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "rare.load":
            if isinstance(node.args[0], ast.Constant):
                yield node.lineno, node.args[0].value


def reads_time(file: Path):
    """Lines that import more of `time` than the arithmetic of ticks."""
    for node in ast.walk(toolkit.parse(file)):
        if isinstance(node, ast.Import) and {"time", "utime"} & {
            alias.name for alias in node.names
        }:
            yield node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module in ("time", "utime"):
            if not {alias.name for alias in node.names} <= TICKS_ARITHMETIC:
                yield node.lineno


def constants(module: str) -> set:
    """The names of a constants module, none of another."""
    if module.startswith("tables."):
        return WORDS.get(module.removeprefix("tables."), set())
    file = toolkit.module_file(module, [FIRMWARE])
    return set(file and toolkit.constants(file) or ())


def is_constants(module: str) -> bool:
    return bool(constants(module))


@pytest.mark.parametrize("file", FILES, ids=name)
def test_rooms_import_as_the_table_says(file):
    faults = []
    here = room(file)
    for line, module in imports(file):
        parts = module.split(".")
        if parts[0] == "tables":
            if module.removeprefix("tables.") not in WORDS and here not in MAY_IMPORT_TABLES:
                faults.append(f"{line}: {module} is passed down by station, not imported")
            continue
        if parts[0] == "hostsim" or parts[0] == "tools":
            faults.append(f"{line}: {module} is not on the station")
        if parts[0] != "milliamp":
            continue
        target = (
            parts[1]
            if len(parts) > 2 or (len(parts) == 2 and (PACKAGE / parts[1]).is_dir())
            else "station"
        )
        if target not in MAY_IMPORT[here]:
            faults.append(f"{line}: {here} imports {module}")
        elif here == target == "storage" and not is_constants(module):
            order = {item: rank for rank, items in enumerate(STORAGE_ORDER) for item in items}
            if order[parts[2]] >= order[file.stem]:
                faults.append(f"{line}: {file.stem} comes before {parts[2]}")
    assert not faults, "\n".join(f"{name(file)}:{fault}" for fault in faults)


def test_there_is_a_file_for_every_room():
    assert {room(file) for file in FILES} == set(MAY_IMPORT)


@pytest.mark.parametrize("file", [file for file in FILES if room(file) in CONTEXT], ids=name)
def test_a_room_touches_only_its_part_of_the_station(file):
    own = {file.stem} if room(file) == "blocks" else set()
    faults = []
    for node in ast.walk(toolkit.parse(file)):
        if isinstance(node, ast.Attribute):
            owner = node.value
            owner = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            # A block keeps what it knows in its own place, and changes nobody else's.
            changes = own and not isinstance(node.ctx, ast.Load)
            allowed = own if changes else CONTEXT[room(file)] | own
            if owner in STATION_NAMES and node.attr not in allowed:
                faults.append(f"{name(file)}:{node.lineno}: {owner}.{node.attr}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("file", FILES, ids=name)
def test_house_rules(file):
    faults = []
    for node in ast.walk(toolkit.parse(file)):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            faults.append(f"{line}: a float: {node.value}")
        elif isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.Div):
            faults.append(f"{line}: a true division")
        elif isinstance(node, ast.Assert):
            faults.append(f"{line}: an assert, which -O drops")
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in FORBIDDEN_CALLS
        ):
            faults.append(f"{line}: {node.func.id}()")
        elif isinstance(node, ast.Attribute) and node.attr in ("loads", "sleep_us"):
            faults.append(f"{line}: {node.attr}")
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            faults.append(f"{line}: a bare except")
    faults += [
        f"{line}: {module}"
        for line, module in imports(file)
        if module in FORBIDDEN_MODULES and not (module == "json" and name(file) in MAY_DUMP)
    ]
    if file.relative_to(FIRMWARE).as_posix().removeprefix("milliamp/") not in MAY_IMPORT_TIME:
        faults += [
            f"{line}: reads time, which only the clock and the board do"
            for line in reads_time(file)
        ]
    assert not faults, "\n".join(f"{name(file)}:{fault}" for fault in faults)


@pytest.mark.parametrize("file", FILES + BOARD_FILES, ids=name)
def test_private_names_are_imported_from_nowhere(file):
    faults = [
        f"{name(file)}:{node.lineno}: {alias.name} is private to {node.module}"
        for node in ast.walk(toolkit.parse(file))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name.startswith("_")
    ]
    assert not faults, "\n".join(faults)


# Constants are named through their module, `events.ENDED`: the build puts them in place. What else a module needs of another in
# so many pieces is asked of the module as well.
MOST_NAMES = 6


@pytest.mark.parametrize("file", FILES + BOARD_FILES, ids=name)
def test_import_lists_are_short(file):
    faults = [
        f"{name(file)}:{node.lineno}: {len(node.names)} names of {node.module}"
        for node in ast.walk(toolkit.parse(file))
        if isinstance(node, ast.ImportFrom)
        and (len(node.names) > MOST_NAMES or is_constants(node.module))
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("file", FILES + BOARD_FILES, ids=name)
def test_constants_that_are_named_are_there(file):
    tree = toolkit.parse(file)
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if values := constants(f"{node.module}.{alias.name}"):
                    known[alias.asname or alias.name] = values
    faults = [
        f"{name(file)}:{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and getattr(node.value, "id", "") in known
        and node.attr not in known[node.value.id]
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("file", FILES + BOARD_FILES, ids=name)
def test_private_attributes_are_used_on_self_only(file):
    """The build gives them other names in every module."""
    faults = [
        f"{name(file)}:{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(toolkit.parse(file))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and not (isinstance(node.value, ast.Name) and node.value.id == "self")
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("file", FILES + BOARD_FILES, ids=name)
def test_const_is_used_as_the_compiler_folds_it(file):
    """`_NAME = const(..)`, one a line: anything else costs a name and a call at run time."""
    assert not toolkit.calls_const(toolkit.parse(file))


def test_files_that_say_so_hold_nothing_but_constants():
    said = [file for file in FILES if "A file of nothing but constants" in file.read_text()]
    assert said
    assert not [name(file) for file in said if toolkit.constants(file) is None]


def test_every_board_has_its_files():
    folders = [
        folder
        for folder in BOARDS.iterdir()
        if folder.is_dir() and folder.name not in ("__pycache__", "drivers")
    ]
    assert {folder.name for folder in folders} >= {"sim", "esp32_generic"}
    missing = [
        f"boards/{folder.name}/{needed}"
        for folder in folders
        for needed in ("profile.toml", "board.py")
        if not (folder / needed).is_file()
    ]
    assert not missing


MOST_PARAMETERS = 7


@pytest.mark.parametrize("file", FILES + BOARD_FILES, ids=name)
def test_functions_ask_for_few_things(file):
    """But for constructors: what a part is made of is named where it is made."""
    faults = [
        f"{name(file)}:{node.lineno}: {node.name} has {count} parameters"
        for node in ast.walk(toolkit.parse(file))
        if isinstance(node, toolkit.FUNCTIONS) and node.name != "__init__"
        if (count := len(toolkit.parameters(node))) > MOST_PARAMETERS
    ]
    assert not faults, "\n".join(faults)


# What stays behind code is not for people.
PRAGMA = re.compile(r"#\s*(noqa|type:|fmt:)")


@pytest.mark.parametrize("file", FILES + BOARD_FILES, ids=name)
def test_comments_stand_above_what_they_are_about(file):
    source = file.read_text()
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    faults = [
        f"{name(file)}:{token.start[0]}: {token.string}"
        for token in tokens
        if token.type == tokenize.COMMENT
        and token.line[: token.start[1]].strip()
        and not PRAGMA.match(token.string)
    ]
    assert not faults, "\n".join(faults)
