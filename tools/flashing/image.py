"""Which station a board runs. `make flash` writes the folder of one beside that of the last, and then the boot file
`main.py`, whose first line says what was written and whose rename is what switches over."""

import hashlib
import json
import re
from pathlib import Path
from string import Formatter

from tools import BUILD
from tools.flashing import Trouble
from tools.flashing.board import Board

SLOTS = ("/milliamp-a", "/milliamp-b")
_BOOT = """\
# Milliamp {board} {version} {mark}
import sys

sys.path.insert(0, "{slot}")
import main
"""
_ASKED = ("board.py", "tables/__init__.py")
_BUILT_IN = """
import sys
_path = sys.path[:]
for _p in '.frozen', '/rom':
    sys.path[:] = [_p]
    try:
        import tables
        print(_p)
        break
    except ImportError:
        pass
sys.path[:] = _path
"""
_HEAD = re.compile(r"# Milliamp (\S+) (\S+) ([0-9a-f]{12})\n")
_PLACE = re.compile(r'insert\(0, "([^"]+)"\)')


class Flashed:
    """What the boot file says: board, version, mark of the image and the slot; all "" when it is none of ours."""

    def __init__(self, text: str = ""):
        head, place = _HEAD.match(text), _PLACE.search(text)
        self.board, self.version, self.mark = head.groups() if head and place else ("", "", "")
        self.slot = place[1] if head and place else ""


def boot(board: str, version: str, image_mark: str, slot: str) -> str:
    """The boot file that starts what is in a slot."""
    return _BOOT.format(board=board, version=version, mark=image_mark, slot=slot)


def files(folder: Path) -> dict:
    """{path: bytes} of an image folder."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def mark(content: dict) -> str:
    """Twelve digits that tell one image from another."""
    digest = hashlib.sha256()
    for path, data in content.items():
        digest.update(f"{path}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()[:12]


def root(board: Board) -> str:
    """Where the board's file system begins, without a slash at the end: "" or "/flash"."""
    return board.value("__import__('os').getcwd()").rstrip("/")


def flashed(board: Board) -> Flashed:
    """What is on the board."""
    return Flashed(
        board.run(
            f"try:\n    with open({root(board) + '/main.py'!r}) as _f:\n        print(_f.read(400), end='')\n"
            "except OSError:\n    pass"
        )
    )


def built_in(board: Board) -> str:
    """Where the station is that comes with the board's MicroPython: ".frozen", "/rom"; "" when none does."""
    return board.run(_BUILT_IN).strip()


class Names:
    """What names of ours are called on the board: the .mpy tree has short ones, a frozen station keeps them all.

    They are attributes, which are called the same everywhere, or globals of `board` and `tables`.
    """

    def __init__(self, legend: dict):
        self._short = {}
        for path, names in legend.items():
            for short, meanings in names.items():
                for meaning in meanings.split(", "):
                    *owners, name = meaning.rstrip("()").split(".")
                    if path in _ASKED or owners and owners[-1][:1].isupper():
                        self._short[name] = short

    @classmethod
    def read(cls, folder: Path):
        """Those of a build folder's .mpy tree."""
        return cls(json.loads((folder / "names.json").read_text()))

    def __getitem__(self, name: str) -> str:
        return self._short.get(name, name)

    def fill(self, code: str, **values) -> str:
        """Code with each `{name}` as it is called on the board, or as `values` has it."""
        fields = {field for _, field, _, _ in Formatter().parse(code) if field}
        return code.format(**{name: values.get(name, self[name]) for name in fields})


class Station:
    """The station on a board, for code that runs there: `imports` makes its main modules known, `names` says what is
    called what, `modules` are all that it has, as far as its build folder is known."""

    def __init__(self, place: str, names: Names, folder: "Path | None" = None):
        self.names = names
        tree = folder / ("frozen" if place == ".frozen" else "image") if folder else None
        parts = (
            [file.relative_to(tree).with_suffix("").parts for file in tree.rglob("*.*py")]
            if tree
            else []
        )
        self.modules = tuple(
            sorted(".".join(part).removesuffix(".__init__") for part in parts if part != ("main",))
        )
        self.imports = (
            f"import sys\nsys.path.insert(0, {place!r})\nimport milliamp, board, tables\n"
        )


def station(board: Board, chosen: "str | None" = None) -> "Station | None":
    """The station on the board; None: there is none. `chosen` is the name of the board, when the user gave one.

    Trouble: it is not the one that was built here last, so nobody knows its names.
    """
    chosen = Path(chosen).name if chosen else ""
    place = built_in(board)
    if place == ".frozen":
        return Station(place, Names({}), BUILD / chosen if chosen else None)
    if place:
        if not chosen:
            raise Trouble("the station is in the board's ROMFS: name the board, BOARD=...")
        folder = BUILD / chosen
        same = _same(board, place, folder / "image")
    else:
        found = flashed(board)
        if not found.slot:
            return None
        if chosen and chosen != found.board:
            raise Trouble(
                f"the board runs {found.board}, not {chosen}: leave BOARD out, or flash it first"
            )
        place, folder = found.slot, BUILD / found.board
        same = mark(files(folder / "image")) == found.mark
    if not same or not (folder / "names.json").is_file():
        raise Trouble(
            f"the station on the board is not the one in build/{folder.name}: write that one to it first"
        )
    return Station(place, Names.read(folder), folder)


def _same(board: Board, place: str, folder: Path) -> bool:
    """Are the files in a place of the board those of an image folder?"""
    board.run(
        "import hashlib\ndef _sum(path):\n    try:\n        with open(path, 'rb') as f:\n"
        "            return hashlib.sha256(f.read()).digest()\n    except OSError:\n        return b''"
    )
    content = files(folder)
    return bool(content) and all(
        board.value(f"_sum({place + '/' + path!r})") == hashlib.sha256(data).digest()
        for path, data in content.items()
    )
