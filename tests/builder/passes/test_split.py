"""A block in two parts does what it did in one."""

import subprocess
import sys

import pytest

from tests.builder.passes.texts import inline, join, split, stays, strip
from tools import FIRMWARE, BuildError
from tools.builder.passes import fold
from tools.builder.passes.split import RESIDENT
from tools.builder.tables.blocks import read_block
from tools.builder.toolkit import CORE

PATH = "milliamp/blocks/alpha.py"
ALPHA = """
import struct
from milliamp.base import things
from milliamp.base.things import double

_STEP = const(2)
_FAR = const(_STEP << 2)
_NAMES = "one two three"
_PAIRS = ((1, "a"), (2, "b"))

class Own:
    def __init__(self):
        self.seen = []

def init(st):
    st.own = Own()

def tick(st):
    _see(st, _STEP)

def _see(st, what):
    st.own.seen.append((what, double(what)))

def _due(st):
    return len(st.own.seen)

def call(st, n):
    _see(st, n * _FAR)
    return _name(n), isinstance(st.own, Own), struct.pack("B", n), _PAIRS[n % 2]

def _name(n):
    return _NAMES.split(" ")[n]

async def later(st, n):
    return things.double(n), _due(st)

def live(st, n):
    return _due(st) + n

CALLS = {"Reset": call, "GetVariables": later}
LIVE = {"A.B": live}
SENDS = ((1, "Heartbeat", _due),)
"""
SOURCES = {
    "main.py": "from milliamp import station\nimport where\nstation.run(where.WHERE, where.DROPS)\n",
    "milliamp/station.py": """
import sys
from milliamp import resident

class Station:
    pass

def run(where, drops):
    st = Station()
    ticks, sends = [], []
    for init, tick, rows in resident.parts(("alpha", "beta")):
        if init:
            init(st)
        if tick:
            ticks.append(tick)
        sends += rows
    for n in range(3):
        for tick in ticks:
            tick(st)
        for action in sorted(where):
            block, name = where[action]
            if block:
                path = "milliamp.blocks." + block
                __import__(path)
                module = sys.modules[path]
                if drops:
                    del sys.modules[path]
            else:
                module = sys.modules["milliamp"]
            found = getattr(module, name)(st, n)
            if hasattr(found, "send"):
                try:
                    found.send(None)
                except StopIteration as end:
                    found = end.value
            print(action, found)
    print([row[1] for row in sends], [row[2](st) for row in sends], st.own.seen)
""",
    "milliamp/base/things.py": "def double(n):\n    return n * 2\n",
    PATH: ALPHA,
    "milliamp/blocks/beta.py": "def tick(st):\n    st.own.seen.append('beta')\n",
}  # fmt: skip


def blocks(tmp_path, **sources):
    found = []
    for name, text in sources.items():
        (tmp_path / f"{name}.py").write_text(text)
        found.append(read_block(tmp_path / f"{name}.py"))
    return found


def prepared(tmp_path):
    """The block as the build splits it: without its tables."""
    return fold.prepare(tmp_path / "alpha.py", (), True)


def output(place, sources, where, drops=True):
    """What the modules print; `where` says what answers a call, by action; `drops`: and it is let go afterwards."""
    table = f"WHERE, DROPS = {where!r}, {drops}\n"
    for path, text in {**sources, "where.py": table}.items():
        file = place / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    start = "import builtins; builtins.const = int; import main"
    run = subprocess.run([sys.executable, "-c", start], cwd=place, capture_output=True, text=True)
    assert not run.stderr, run.stderr
    return run.stdout


def test_the_same_happens(tmp_path):
    given = blocks(tmp_path, alpha=ALPHA, beta=SOURCES["milliamp/blocks/beta.py"])
    calls = {"call": "call", "later": "later", "live": "live"}
    resident = (FIRMWARE / "milliamp" / "resident.py").read_text()
    expected = output(
        tmp_path / "whole",
        {**SOURCES, RESIDENT: resident},
        {action: ("alpha", name) for action, name in calls.items()},
        False,
    )
    assert "('three', True, b'\\x02', (1, 'a'))" in expected and "'beta'" in expected

    parts = split({**SOURCES, RESIDENT: resident, PATH: prepared(tmp_path)}, given)
    staying = stays(parts, "alpha")
    assert set(staying) == {"init", "tick", "_see", "_due"}
    where = {action: staying.get(name, ("alpha", name)) for action, name in calls.items()}
    joined = join(parts)
    assert set(joined) == {CORE, "main.py", PATH}
    assert "def call" not in joined[CORE] and "def tick" not in joined[PATH]
    assert output(tmp_path / "parts", joined, where) == expected
    table = {"where.py": f"WHERE = {where!r}\n"}
    assert output(tmp_path / "placed", inline(strip({**joined, **table})), where) == expected


def test_a_call_that_the_ticking_part_makes_too_stays(tmp_path):
    text = ALPHA.replace("    _see(st, _STEP)\n\n", "    _see(st, live(st, 0))\n\n")
    given = blocks(tmp_path, alpha=text)
    parts = split({PATH: prepared(tmp_path)}, given)
    assert stays(parts, "alpha")["live"] == ("", "_alpha__live")
    assert "def live" not in parts[PATH]


def test_constants_are_in_both_parts_and_the_rest_is_shared(tmp_path):
    given = blocks(tmp_path, alpha=ALPHA)
    parts = split({PATH: prepared(tmp_path)}, given)
    rest = parts[PATH]
    assert 0 < rest.index("_STEP = const(2)") < rest.index("_FAR = const(_STEP << 2)")
    assert "_STEP = const(2)" in parts["milliamp/stay/alpha.py"]
    assert "import Own" in rest and "class Own" not in rest


def test_what_is_loaded_for_a_call_anyway_is_left_alone(tmp_path):
    text = "def call(st):\n    pass\nCALLS = {'Reset': call}\n"
    sources = {PATH: text, RESIDENT: "x = 1\n"}
    assert split(sources, blocks(tmp_path, alpha=text)) == sources


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("def seen(st):\n    global n\n    n = 1\n", "alpha.py:2: state belongs on the station, not in n"),
        ("if 1:\n    n = 1\n", "alpha.py:1: a block has only definitions at its top"),
        ("seen = []\ndef call(st):\n    seen.append(1)\n", "alpha.py:1: seen would be forgotten with its module"),
        ("buffer: bytearray = bytearray(5)\ndef call(st):\n    return buffer\n", "buffer would be forgotten"),
    ],
)  # fmt: skip
def test_state_is_refused(tmp_path, more, message):
    text = more + "def init(st):\n    pass\n"
    with pytest.raises(BuildError, match=message):
        split({PATH: text}, blocks(tmp_path, alpha=text))


MANY = """
import struct
from milliamp.base.things import double

_ROW = (1, 2, 3)

def init(st):
    st.own = []

%s

def alone(st, n):
    return double(n)

%s

CALLS = {"Reset": a0, "GetVariables": alone, "ClearCache": a1}
TRIGGERS = {"Heartbeat": b0}
"""


def test_what_belongs_together_and_is_much_has_a_module_of_its_own(tmp_path):
    helpers = "\n".join(f"def a{n}(st, n):\n    return a{n + 1}(st, n) + 1\n" for n in range(7))
    helpers += "def a7(st, n):\n    return _ROW[n % 3] + struct.pack('B', n)[0]\n"
    others = "\n".join(f"def b{n}(st, n):\n    return {n}\n" for n in range(6))
    text = MANY % (helpers, others)
    (block,) = blocks(tmp_path, alpha=text)
    sources = {**SOURCES, PATH: prepared(tmp_path)}
    parts = split(sources, [block])
    more = parts["milliamp/blocks/alpha2.py"]
    assert "def a0" in more and "struct" in more and "_ROW" in more
    assert "alone" not in more and "double" not in more
    rest = parts[PATH]
    assert "def alone" in rest and "def b5" in rest and "double" in rest
    assert "def a" not in rest.replace("def alone", "") and "struct" not in rest
    assert stays(parts, "alpha") == {
        **{f"a{n}": ("alpha2", f"a{n}") for n in range(8)},
        "init": ("", "_alpha__init"),
    }
    few = MANY % (helpers, "def b0(st, n):\n    return 1\n")
    (block,) = blocks(tmp_path, alpha=few)
    sources = {**SOURCES, PATH: prepared(tmp_path)}
    assert "milliamp/blocks/alpha2.py" not in split(sources, [block])
