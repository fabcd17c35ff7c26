"""Joined modules do what they did apart; what cannot be followed is refused."""

import subprocess
import sys

import pytest

from tests.builder.passes.texts import join, mangle
from tools import BuildError
from tools.builder.toolkit import CORE

STATION = """
import gc
from array import array
from milliamp.base.one import Thing, count as counted, LIMIT
from milliamp.base import two
from milliamp.base.two import Trouble

_STEP = const(3)
total = 0

class Station(Thing):
    size = LIMIT + two.TEN

    def __init__(self, board):
        super().__init__(board)
        self.seen = [two.later(n) for n in range(_STEP)]

    def pair(self):
        two = 4  # a local hides the module
        return two, counted(self.seen), LIMIT

    def rare(self):
        from milliamp.base.rare import seldom
        from milliamp.base import two as other

        return seldom(self), other.later(1)

def run(board):
    global total
    total += 1
    station = Station(board)
    try:
        two.fail()
    except Trouble as error:
        text = repr(error)
    return station.size, station.pair(), station.rare(), total, text, bool(gc), list(array("b", (1,)))
"""
SOURCES = {
    "main.py": "from milliamp import station\nimport board\nprint(station.run(board.make()), station.run(2))\n",
    "board.py": "from milliamp.base import one\ndef make():\n    return one.Thing(one.LIMIT)\n",
    "milliamp/station.py": STATION,
    "milliamp/base/one.py": (
        "from array import array\nLIMIT = 5\n_STEP = const(4)\nclass Thing:\n    def __init__(self, board):\n"
        "        self.board = board\n        self.data = array('b', range(_STEP))\n"
        "def count(things, total=LIMIT):\n    return len(things) + total\n"
    ),
    "milliamp/base/two.py": (
        "TEN = 10\nclass Trouble(Exception):\n    pass\ndef fail():\n    raise Trouble(TEN)\n"
        "def later(n):\n    return _values[n % 2]\n_values = [n * 2 for n in (1, 2)]\n"
    ),
    "milliamp/base/rare.py": (
        "from milliamp.base.two import later\nfrom milliamp.base import one\n"
        "def seldom(station):\n    return later(0), one.count(station.data), isinstance(station, one.Thing)\n"
    ),
}


def output(place, sources):
    """What a tree of modules prints."""
    for path, text in sources.items():
        file = place / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    start = "import builtins; builtins.const = int; import main"
    run = subprocess.run(
        [sys.executable, "-c", start], cwd=place, capture_output=True, text=True, check=False
    )
    assert not run.stderr
    return run.stdout


def test_the_same_happens(tmp_path):
    joined = join(SOURCES)
    assert set(joined) == {CORE, "main.py", "board.py", "milliamp/base/rare.py"}
    expected = output(tmp_path / "plain", SOURCES)
    assert "Trouble(10)" in expected
    assert output(tmp_path / "joined", joined) == expected
    assert output(tmp_path / "short", mangle(joined)[0]) == expected


def test_numbers_are_put_in_place():
    joined = join(SOURCES)
    assert "LIMIT" not in joined[CORE] and "TEN" not in joined[CORE]
    assert "_one__count(things, total=5)" in joined[CORE].replace("def ", "")
    assert "milliamp._one__Thing(5)" in joined["board.py"]


def test_tables_become_classes_of_one_module():
    tables = {
        "tables/model.py": "MODEL = b'x'\n",
        "tables/profile.py": "MODEL = 'Sim'\nURL = 'ws'\n",
        "tables/routes.py": "CALLS = b''\n",
        "main.py": "import tables\nimport tables.model\nimport tables.profile\n",
    }
    joined = join(tables)
    assert set(joined) == {"tables/__init__.py", "main.py"}
    space = {}
    exec(joined["tables/__init__.py"], space)
    assert (space["model"].MODEL, space["profile"].MODEL) == (b"x", "Sim")
    assert (space["profile"].URL, space["routes"].CALLS) == ("ws", b"")
    assert "tables." not in joined["main.py"]


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("milliamp/station.py", "from milliamp.base import two\nx = [two]\n", "used as a value"),
        (
            "milliamp/station.py",
            "from milliamp.base import two\nx = two.nothing\n",
            "no 'nothing'",
        ),
        ("milliamp/station.py", "import milliamp.base.two\n", "from package import module"),
        (
            "milliamp/station.py",
            "from milliamp.base import two\ndef f():\n    two.later = 1\n",
            "assigned at run time",
        ),
        (
            "milliamp/station.py",
            "from milliamp.base.two import _values\n",
            "assigned at run time",
        ),
        ("board.py", "from milliamp.base import two\nx = two\n", "used as a value"),
        ("milliamp/base/two.py", "from milliamp import station\n", "imports itself"),
    ],
)
def test_what_cannot_be_followed_is_refused(path, text, message):
    sources = {**SOURCES, path: text}
    if "_values" in text:
        sources["milliamp/base/two.py"] += "def change():\n    global _values\n    _values = 1\n"
        sources["milliamp/station.py"] += "x = _values\n"
    with pytest.raises(BuildError, match=message):
        join(sources)


BOARD = {
    "main.py": "import board\nfrom milliamp import station\nprint(board.make(2), station.run(1))\n",
    "board.py": "from charger import make\n",
    "charger.py": (
        "import gc\nfrom milliamp.base import hal\nfrom outlet import Outlet\nimport pins\n_SIZE = const(2)\n"
        "class Charger(hal.Board):\n    def __init__(self, n):\n        super().__init__(n)\n"
        "        import line as bus\n        from meter import Meter, LIMIT\n"
        "        self.all = [Outlet(pins.pin(n)).n, bus.line(n).n, Meter().n, LIMIT, bool(gc), _SIZE]\n"
        "def make(n):\n    from spare import spare\n    charger = Charger(n)\n    return charger.all, charger.n, spare()\n"
    ),
    "outlet.py": "class Outlet:\n    def __init__(self, n):\n        self.n = n\n",
    "pins.py": "def pin(n):\n    return n + 1\n",
    "line.py": "from outlet import Outlet\ndef line(n):\n    return Outlet(n * 2)\n",
    "meter.py": "LIMIT = 9\nclass Meter:\n    n = 7\n",
    "spare.py": "import pins\ndef spare():\n    return pins.pin(40)\n",
    "milliamp/station.py": "from milliamp.base import hal\ndef run(n):\n    return hal.Board(n).n\n",
    "milliamp/base/hal.py": "class Board:\n    def __init__(self, n):\n        self.n = n\n",
}
DRIVERS = ("charger.py", "outlet.py", "pins.py", "line.py", "meter.py")


def test_a_board_and_its_drivers_become_one_module(tmp_path):
    joined = join(BOARD, DRIVERS)
    assert set(joined) == {CORE, "main.py", "board.py", "spare.py"}  # a driver of its own stays
    assert "import meter" not in joined["board.py"] and "LIMIT" not in joined["board.py"]
    assert "milliamp._hal__Board" in joined["board.py"]
    expected = output(tmp_path / "plain", BOARD)
    assert expected == "([3, 4, 7, 9, True, 2], 2, 41) 1\n"
    assert output(tmp_path / "joined", joined) == expected
    short, legend = mangle(joined)
    assert output(tmp_path / "short", short) == expected
    assert any("charger.make()" in text.split(", ") for text in legend["board.py"].values())


def test_a_board_without_drivers_stays_a_module():
    joined = join({**BOARD, "board.py": "def make(n):\n    return n\n"})
    assert joined["board.py"] == "def make(n):\n    return n\n"


def test_modules_are_imported_in_the_order_of_the_source():
    sources = {**BOARD, "main.py": "import gc\nbuffer = bytearray(9)\n" + BOARD["main.py"]}
    lines = join(sources, DRIVERS)["main.py"].splitlines()
    assert lines[:4] == ["import gc", "buffer = bytearray(9)", "import board", "import milliamp"]


def test_drivers_that_import_each_other_are_refused():
    sources = {**BOARD, "pins.py": "import outlet\n", "outlet.py": "import pins\n"}
    with pytest.raises(BuildError, match="imports itself"):
        join(sources, DRIVERS)
