"""The house of the host side: which way imports run, and that what is private stays in its file."""

import ast
from pathlib import Path

import pytest

from tools import BOARDS, ROOT

# A room, and the rooms that it may import besides itself. The longest name that fits is a file's room.
MAY_IMPORT = {
    "tools": set(),
    "tools.builder.toolkit": {"tools"},
    "tools.builder.profile": {
        "tools",
        "tools.builder.toolkit",
        "tools.builder.profile.toml",
        "tools.builder.official",
        "tools.builder.versions",
    },
    "tools.builder.profile.toml": {"tools"},
    "tools.builder.official": {"tools"},
    # OCPP's words as data: who speaks or reads OCPP may ask for them.
    "tools.builder.versions": {"tools", "tools.builder.official", "tools.builder.profile.toml"},
    "tools.builder.tables": {
        "tools",
        "tools.builder.toolkit",
        "tools.builder.official",
        "tools.builder.profile",
        "tools.builder.profile.toml",
        "tools.builder.versions",
    },
    "tools.builder.passes": {"tools", "tools.builder.toolkit", "tools.builder.tables"},
    "tools.builder": {
        "tools",
        "tools.builder.toolkit",
        "tools.builder.profile",
        "tools.builder.profile.toml",
        "tools.builder.versions",
        "tools.builder.tables",
        "tools.builder.passes",
    },
    "hostsim.errors": set(),
    "hostsim.clock": {"hostsim.errors"},
    "hostsim.net": {
        "hostsim.clock",
        "hostsim.errors",
        "tools.builder.official",
        "tools.builder.versions",
    },
    "hostsim.csms": {"hostsim.clock", "hostsim.errors", "tools.builder.versions"},
    "hostsim.charger": {
        "tools",
        "tools.builder.*",
        "hostsim.clock",
        "hostsim.errors",
        "hostsim.net",
    },
    "hostsim.lives": {"tools", "tools.builder.*", "hostsim.*"},
    "hostsim": {"tools", "tools.builder.*", "hostsim.*"},
    "tools.flashing": {"tools", "tools.builder.*"},
    "tools.measure": {"tools", "tools.builder.*", "tools.flashing", "hostsim.*"},
    "tools.typecheck": {"tools", "tools.builder.*"},
    "tools.mypy_plugin": set(),
}
OURS = ("tools", "hostsim", "tests")
# They run on the station's side, under MicroPython.
NOT_HOST = ("boot.py", "hog.py", "spies.py", "spy.py")


def files(*roots: str) -> list[Path]:
    found = [file for root in roots for file in (ROOT / root).rglob("*.py")]
    skipped = ("tools/measure/baremetal/qemu_m3", "tests/flashing/bench")
    return sorted(
        file for file in found if file.name not in NOT_HOST and not name(file).startswith(skipped)
    )


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module(file): file for file in files(*OURS)}


def room(dotted: str) -> str:
    while dotted not in MAY_IMPORT:
        dotted = dotted.rpartition(".")[0]
    return dotted


def imported(tree, known) -> list[tuple[int, str]]:
    """(line, module) of each import of one of the modules, wherever it stands."""
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: a relative import"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [item if item in known else node.module for item in inner]
        found += [(node.lineno, item) for item in names if item in known]
    return found


def imports(dotted: str) -> list[tuple[int, str]]:
    return imported(ast.parse(MODULES[dotted].read_text()), MODULES)


def allows(here: str, there: str) -> bool:
    may = MAY_IMPORT[here]
    inside = any(item.endswith(".*") and (there + ".").startswith(item[:-1]) for item in may)
    return here == there or there in may or inside


def wrong(dotted: str, found) -> list[str]:
    """The arrows of a module that the house does not have."""
    here = room(dotted)
    return [
        f"{line}: {here} imports {target}"
        for line, target in found
        if target.startswith("tests") or not allows(here, room(target))
    ]


@pytest.mark.parametrize("file", files("tools", "hostsim"), ids=name)
def test_imports_run_one_way(file):
    assert not wrong(module(file), imports(module(file)))


@pytest.mark.parametrize(
    ("dotted", "target"),
    [
        ("hostsim.charger.station", "tools.measure.trim"),
        ("hostsim.charger.station", "hostsim.csms.server"),
        ("hostsim.net.network", "hostsim.charger.device"),
        ("hostsim.clock", "hostsim.net.traffic"),
        ("tools.builder.image", "hostsim.clock"),
        ("tools.builder.image", "tools.flashing.board"),
        ("tools.builder.profile.hardware", "tools.builder.tables.schemas"),
        ("tools.builder.tables.schemas", "tools.builder.passes.fold"),
        ("tools.builder.passes.inline", "tools.builder.profile.reader"),
        ("tools.builder.toolkit", "tools.builder.passes.fold"),
        ("tools.flashing.board", "hostsim.clock"),
        ("tools.flashing.board", "tools.measure.trim"),
        ("tools.measure.trim", "tests.conftest"),
    ],
)
def test_other_arrows_are_refused(dotted, target):
    assert dotted in MODULES and target in MODULES
    assert wrong(dotted, [(1, target)])


def circles(arrows: dict) -> list[str]:
    """Modules that come back to themselves, each with the way there."""
    found, done = [], set()

    def visit(here, way):
        if here in way:
            found.append(" -> ".join([*way[way.index(here) :], here]))
        elif here not in done:
            for target in sorted(arrows[here]):
                visit(target, [*way, here])
            done.add(here)

    for start in sorted(arrows):
        visit(start, [])
    return found


def test_no_module_comes_back_to_itself():
    arrows = {
        dotted: {target for _, target in imports(dotted)} - {dotted}
        for dotted in MODULES
        if not dotted.startswith("tests")
    }
    assert not circles(arrows)


def test_no_file_of_a_board_comes_back_to_itself():
    for folder in [folder for folder in BOARDS.iterdir() if (folder / "board.py").is_file()]:
        own = {
            file.stem: file for file in [*(BOARDS / "drivers").glob("*.py"), *folder.glob("*.py")]
        }
        trees = {stem: ast.parse(file.read_text()) for stem, file in own.items()}
        assert not circles({s: {t for _, t in imported(tree, own)} for s, tree in trees.items()})


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a -> b -> c -> a"]
    assert not circles({"a": {"b", "c"}, "b": {"c"}, "c": set()})


# Private names of what is not ours: of `ast` and `ocpp`; and of the firmware where the bench stands in for its socket.
FOREIGN = {"_fields", "_unique_id_generator"}
OF_THE_FIRMWARE = {"hostsim/lives/bench.py": {"_next", "_journal", "_buf"}}


def is_private(word: str) -> bool:
    """`_x`, but for the constants of the firmware, which MicroPython would have called so."""
    return word.startswith("_") and not word.startswith("__") and not word.isupper()


def strangers(tree, of_objects=True) -> list[str]:
    """Private names of our host side's other files that a file uses: imported, or asked of a module or of an object whose
    class is elsewhere."""
    bound = set()  # names of imported modules
    own = set()  # private names that this file gives something itself
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            inner = [alias for alias in node.names if f"{node.module}.{alias.name}" in MODULES]
            bound |= {alias.asname or alias.name for alias in inner}
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            own.add(node.name)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            own.add(node.id)
        elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                own.add(node.attr)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OURS:
            found += [f"{node.lineno}: {a.name}" for a in node.names if is_private(a.name)]
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            if isinstance(node.value, ast.Name) and node.value.id in bound:
                found.append(f"{node.lineno}: {ast.unparse(node)}")
            elif (
                of_objects
                and node.attr not in own
                and ast.unparse(node.value) not in ("self", "cls")
            ):
                found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("file", files("tools", "hostsim"), ids=name)
def test_what_is_private_stays_in_its_file(file):
    known = FOREIGN | OF_THE_FIRMWARE.get(name(file), set())
    found = strangers(ast.parse(file.read_text()))
    assert not [fault for fault in found if fault.rpartition(".")[2] not in known]


@pytest.mark.parametrize("file", files("tests"), ids=name)
def test_tests_ask_no_module_for_what_is_private(file):
    found = strangers(ast.parse(file.read_text()), of_objects=False)
    assert not found


def test_private_names_of_others_are_found():
    of_a_module = "from tools.builder import image\nimage._clear(1)\n"
    of_an_object = "def f(books):\n    books._balance()\n"
    imported_one = "from hostsim.net.schemas import _folder\n"
    own = "class A:\n    def _b(self):\n        pass\n\n\nA()._b()\n"
    assert [len(strangers(ast.parse(t))) for t in (of_a_module, of_an_object, imported_one)] == [
        1,
        1,
        1,
    ]
    assert not strangers(ast.parse(own))
