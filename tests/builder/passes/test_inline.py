"""Functions that were put where they are called do what they did, in the same order; what cannot be followed stays."""

import ast
import asyncio
import gc
import json
import random
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builder.passes.texts import inline
from tools.builder import image as build

# Before each of the sources below.
HEAD = """
trace = []
def say(*what):
    trace.append(what)
    return what[0]
"""


def execute(source, name="main"):
    """What `main` of a module did: its trace, and its result or how it failed."""
    space = {}
    exec(compile(HEAD + source, "module", "exec", dont_inherit=True), space)
    try:
        result = space[name]()
        if asyncio.iscoroutine(result):
            result = asyncio.run(result)
    except Exception as error:
        result = repr(error)
    return space["trace"], result


def functions(source):
    """The names of functions, `Class.name` for methods."""
    tree = ast.parse(source)
    found = {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    for owner in tree.body:
        if isinstance(owner, ast.ClassDef):
            for node in owner.body:
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    found.add(f"{owner.name}.{node.name}")
    return found


def gone(source, **others):
    """The functions that went, of a source that does the same before and after."""
    after = inline({"module.py": source, **{f"{name}.py": text for name, text in others.items()}})
    assert execute(after["module.py"]) == execute(source), after["module.py"]
    return functions(source) - functions(after["module.py"])


# Source, and the functions that go.
GO = {
    "arguments in their order": (
        "def inner(a, b, c=3):\n    say('ran')\n    return a, b, c\n"
        "def main():\n    x = 7\n    return inner(b=say(1), a=say(x))\n"
    ),
    "a local by name that is assigned": (
        "def inner(a):\n    if a > 4:\n        return a - 1\n    say(a)\n    return a + 1\n"
        "def main():\n    x = 5\n    x = inner(x)\n    return x\n"
    ),
    "a parameter that is assigned": (
        "def inner(a):\n    a += 1\n    return a\ndef main():\n    x = 5\n    y = inner(x)\n    return x, y\n"
    ),
    "locals of the same name": (
        "def inner(a):\n    x = a * 2\n    for y in range(x):\n        say(y)\n    return x\n"
        "def main():\n    x = y = 1\n    z = inner(3)\n    return x, y, z\n"
    ),
    "a new name that the function has as a global": (
        "x_1 = 9\ndef inner():\n    x = 2\n    return x + x_1\ndef main():\n    x = 1\n    y = inner()\n    return x, y\n"
    ),
    "a comprehension's name that a new name would have": (
        "def inner(x):\n    x += 1\n    return [x + x_1 for x_1 in range(2)]\n"
        "def main():\n    x = 1\n    y = inner(x)\n    return x, y\n"
    ),
    "names of exceptions": (
        "def inner():\n    try:\n        say(1 // 0)\n    except ZeroDivisionError as e:\n        return repr(e)\n"
        "def main():\n    e = 4\n    x = inner()\n    return e, x\n"
    ),
    "imports": (
        "def inner(x):\n    from math import gcd\n    return gcd(x, 12)\ndef main():\n    x = inner(8)\n    return x\n"
    ),
    "returns in branches": (
        "def inner(a):\n    if a == 0:\n        return 'no'\n    elif a == 1:\n        say('one')\n    else:\n        return 'many'\n"
        "    say('rest')\n    return 'one'\n"
        "def main():\n    out = []\n    for n in range(3):\n        x = inner(n)\n        out.append(x)\n    return out\n"
    ),
    "returns in try": (
        "def inner(a):\n    try:\n        return say(6 // a)\n    except ZeroDivisionError:\n        say('zero')\n    except TypeError:\n"
        "        return 't'\n"
        "def main():\n    out = []\n    for n in (2, 0, 'x'):\n        x = inner(n)\n        out.append(x)\n    return out\n"
    ),
    "returns in handlers only": (
        "def inner(a):\n    try:\n        b = 6 // a\n    except ZeroDivisionError:\n        return 'zero'\n    say(b)\n    return b // (b - 3)\n"
        "def main():\n    x = inner(0)\n    try:\n        y = f2()\n    except ZeroDivisionError:\n        y = 'outside'\n    return x, y\n"
        "def f2():\n    try:\n        b = 3\n    except ZeroDivisionError:\n        return 'inside'\n    return b // (b - 3)\n"
    ),
    "nothing but a return in try": (
        "def inner(a):\n    try:\n        return\n    except KeyError:\n        say(a)\ndef main():\n    inner(1)\n    return say(2)\n"
    ),
    "a loop with returns, where it is returned": (
        "def inner(a):\n    for n in range(a):\n        if say(n) == 2:\n            return 'two'\n"
        "def main():\n    for _ in range(2):\n        return inner(4)\n"
    ),
    "finally, where it is returned": (
        "def inner():\n    try:\n        return say(1)\n    finally:\n        say(2)\ndef main():\n    try:\n        return inner()\n"
        "    finally:\n        say(3)\n"
    ),
    "an assignment that fails is not in the try": (
        "def inner(a):\n    try:\n        return a\n    except (TypeError, ValueError):\n        say('caught')\n        return 1, 2\n"
        "def main():\n    x, y = inner((1, 2, 3))\n    return x, y\n"
    ),
    "a target with a call, for several returns": (
        "def g(a):\n    say('went')\n    return a\ndef inner(a):\n    if a:\n        return 1\n    return 2\n"
        "def main():\n    d = {}\n    d[g(say(3))] = inner(say(0))\n    return d\n"
    ),
    "called where the result is dropped": (
        "def inner(a):\n    if a:\n        return say(1)\n    return say(2)\ndef main():\n    inner(0)\n    f2()\ndef f2():\n    pass\n"
    ),
    "in a test, an iteration and a sum": (
        "def inner(a):\n    say(a)\n    return a > 1\ndef g(n):\n    say(n)\n    return range(n)\ndef h(n):\n    say(n)\n    return n\n"
        "def main():\n    x = 3\n    if x == 2:\n        say('two')\n    elif inner(x) and x:\n        say('more')\n"
        "    for n in g(2):\n        x += h(n)\n    return x\n"
    ),
    "one in the other": (
        "def inner(a):\n    say('ran')\n    return a + 1\ndef g(a):\n    say('went')\n    return a * 2\n"
        "def main():\n    x = inner(g(say(4)))\n    return x\n"
    ),
    "del, and again in a loop": (
        "def inner(a):\n    b = [a]\n    del a\n    return b\ndef main():\n    out = []\n    for n in range(3):\n"
        "        out.append(n)\n        m = inner(n)\n        out.append(m)\n    return out\n"
    ),
    "a generator's caller": (
        "def inner(a):\n    say(a)\n    return a\ndef h():\n    for n in range(2):\n        x = inner(n)\n        yield x\n"
        "def main():\n    return list(h())\n"
    ),
    "a name that is a word of Python without its underscore": (
        "def _import(a):\n    say(a)\n    return a\ndef main():\n    return len([_import(2)]) + 1\n"
    ),
    "a method": (
        "class A:\n    def __init__(me):\n        me.x = 1\n    def inner(me, add=1):\n        me.x += add\n        return me.x\n"
        "    def run(self):\n        y = self.inner(4)\n        return y\n"
        "def main():\n    return A().run()\n"
    ),
    "methods of the same name in two classes": (
        "class A:\n    def inner(self):\n        return 'A'\n    def run(self):\n        x = self.inner()\n        return x\n"
        "class B:\n    def inner(self):\n        return 'B'\n    def go(self):\n        x = self.inner()\n        return x\n"
        "def main():\n    a, b = A(), B()\n    return a.run(), b.go()\n"
    ),
    "await": (
        "import asyncio\nasync def inner(a):\n    try:\n        await asyncio.sleep(0)\n        say('slept')\n        return a // 0\n"
        "    except ZeroDivisionError:\n        return 'zero'\nasync def g():\n    return [say(2)]\n"
        "async def main():\n    for n in await g():\n        x = await inner(n)\n        say(x)\n    return x\n"
    ),
}  # fmt: skip
GONE = {
    "returns in handlers only": {"inner", "f2"},
    "called where the result is dropped": {"inner", "f2"},
    "in a test, an iteration and a sum": {"inner", "g", "h"},
    "one in the other": {"inner", "g"},
    "a name that is a word of Python without its underscore": {"_import"},
    "a method": {"A.inner"},
    "methods of the same name in two classes": {"A.inner", "B.inner"},
    "await": {"inner", "g"},
}


@pytest.mark.parametrize("title", GO)
def test_what_goes_does_the_same(title):
    assert gone(GO[title]) == GONE.get(title, {"inner"})


# What would be wrong if it went.
STAY = {
    "a global that is a local of the caller": (
        "x = 5\ndef inner():\n    return x\ndef main():\n    x = 1\n    y = inner()\n    return x, y\n"
    ),
    "a global that is a function in the caller": (
        "def g():\n    return 5\ndef inner():\n    return g\ndef main():\n    def g():\n        return 1\n    y = inner()\n"
        "    return y(), g()\n"
    ),
    "a global that is the caller's rest of arguments": (
        "x = 5\ndef inner():\n    return x\ndef h(*x):\n    y = inner()\n    return x, y\ndef main():\n    return h(1)\n"
    ),
    "an argument that is called like it": (
        "def inner(a=1):\n    return say('wrong')\ndef h(inner):\n    x = inner(2)\n    return x\ndef main():\n    return h(say)\n"
    ),
    "`self` of something else": (
        "def inner():\n    return say('wrong')\nclass A:\n    def __init__(self):\n        setattr(self, 'in' + 'ner', lambda: 'right')\n"
        "def h(self):\n    x = self.inner()\n    return x\ndef main():\n    return h(A())\n"
    ),
    "`self` that is another": (
        "class A:\n    n = 1\n    def inner(self):\n        return 'A'\n    def run(self, other):\n        self = other\n        x = self.inner()\n"
        "        return x\nclass B:\n    pass\nb = B()\nsetattr(b, 'in' + 'ner', lambda: 'right')\ndef main():\n    return A().run(b)\n"
    ),
    "an attribute of the object": (
        "class A:\n    def inner(self):\n        return 'wrong'\n    def run(self):\n        x = self.inner()\n        return x\n"
        "def main():\n    a = A()\n    a.inner = lambda: 'right'\n    return a.run()\n"
    ),
    "an heir's": (
        "class A:\n    def inner(self):\n        return 'wrong'\n    def run(self):\n        x = self.inner()\n        return x\n"
        "class B(A):\n    def inner(self):\n        return 'right'\ndef main():\n    return B().run()\n"
    ),
    "an heir's by another name": (
        "class A:\n    def inner(self):\n        return 'wrong'\n    def run(self):\n        x = self.inner()\n        return x\n"
        "Other = A\nclass B(Other):\n    def inner(self):\n        return 'right'\ndef main():\n    return B().run()\n"
    ),
    "a base's": (
        "class A:\n    def inner(self):\n        return 'right'\nclass B(A):\n    def run(self):\n        x = self.inner()\n        return x\n"
        "def main():\n    return B().run()\n"
    ),
    "a method by its class": (
        "class A:\n    def inner(self, a=1):\n        return self, a\n    def run(self):\n        x = A.inner(3)\n        return x\n"
        "def main():\n    return A().run()\n"
    ),
    "a method that the class names": (
        "class A:\n    def inner(self):\n        return 1\n    g = inner\n    def run(self):\n        x = self.inner()\n        return x\n"
        "def main():\n    a = A()\n    return a.run(), a.g()\n"
    ),
    "a method's other definition": (
        "class A:\n    def inner(self):\n        return 1\n    h = property(lambda self: self.inner())\n    def run(self):\n        return self.h\n"
        "def main():\n    return A().run()\n"
    ),
    "a name in a text": (
        "class A:\n    def inner(self):\n        return 1\n    def run(self):\n        x = self.inner()\n        return x\n"
        "def main():\n    return getattr(A(), 'inner')(), A().run()\n"
    ),
    "a name in a table": (
        "TABLE = b'Reset block inner*'\ndef inner():\n    return 1\ndef main():\n    x = inner()\n    return x, globals()['in' + 'ner']()\n"
    ),
    "a generator": (
        "def inner():\n    yield 1\ndef main():\n    x = inner()\n    return list(x)\n"
    ),
    "a property": (
        "class A:\n    @property\n    def inner(self):\n        return lambda: 3\n    def run(self):\n        x = self.inner()\n        return x\n"
        "def main():\n    return A().run()\n"
    ),
    "a closure": (
        "def inner(a):\n    return lambda: a\ndef main():\n    out = []\n    for n in range(2):\n        x = inner(n)\n        out.append(x)\n"
        "    return [g() for g in out]\n"
    ),
    "a generator expression that is kept": (
        "def inner(a):\n    return say(a) == 9 or (a for _ in range(1))\ndef main():\n    out = []\n    for n in range(2):\n        x = inner(n)\n"
        "        out.append(x)\n    del trace[:]\n    return [list(x) for x in out]\n"
    ),
    "in a nested function": (
        "def inner(a):\n    return a + 1\ndef main():\n    a = 5\n    def g(a):\n        x = inner(a)\n        return x\n    return g(2)\n"
    ),
    "in a lambda": "def inner(a):\n    return a\ndef main():\n    g = lambda a: inner(a)\n    return g(2)\n",
    "in a comprehension": (
        "def inner(a):\n    say(a)\n    return a\ndef main():\n    return [inner(n) for n in range(2)]\n"
    ),
    "in the test of a loop": (
        "def inner(a):\n    say(a)\n    return a < 2\ndef main():\n    n = 0\n    while inner(n):\n        n += 1\n    return n\n"
    ),
    "what comes second": (
        "def inner():\n    say('ran')\n    return 1\ndef main():\n    return say(2) + inner()\n"
    ),
    "what comes if at all": (
        "def inner():\n    say('ran')\n    return 1\ndef main():\n    x = trace and inner()\n    return x\n"
    ),
    "what is added to a global that it changes": (
        "n = 1\ndef add():\n    global n\n    n += 5\n    return 1\ndef inner():\n    say(add())\n    return 1\n"
        "def main():\n    global n\n    n += inner()\n    return n\n"
    ),
    "what is added to an attribute": (
        "class A:\n    def __init__(self):\n        self.n = 1\n    def inner(self):\n        self.n = 7\n        return 1\n"
        "    def run(self):\n        self.n += self.inner()\n        return self.n\ndef main():\n    return A().run()\n"
    ),
    "what may be another function by then": (
        "def add(a):\n    return a\ndef change():\n    global add\n    add = len\ndef inner():\n    change()\n    return 'x'\n"
        "def main():\n    x = add(inner())\n    return x\n"
    ),
    "an assignment in the arguments": (
        "def inner(a, b):\n    return a, b\ndef main():\n    y = 1\n    x = inner(y, (y := 2))\n    return x, y\n"
    ),
    "stars": "def inner(a, b):\n    return a, b\ndef main():\n    x = inner(*(1, 2))\n    return x\n",
    "a rest of arguments": "def inner(*a):\n    return a\ndef main():\n    x = inner(1, 2)\n    return x\n",
    "a default that is computed once": (
        "def inner(a=[]):\n    a.append(1)\n    return a\ndef main():\n    out = []\n    for _ in range(2):\n        x = inner()\n        out.append(x)\n"
        "    return out\n"
    ),
    "a loop with returns, where more follows": (
        "def inner():\n    for n in range(3):\n        if n:\n            return n\ndef main():\n    x = inner()\n    return x\n"
    ),
    "finally with returns, where more follows": (
        "def inner():\n    try:\n        return 1\n    finally:\n        say(2)\ndef main():\n    x = inner()\n    return x\n"
    ),
    "recursion": (
        "def inner(n):\n    x = inner(n - 1) if n else 0\n    return x + 1\ndef main():\n    return [inner(n) for n in range(3)]\n"
    ),
    "a second definition": (
        "def inner():\n    return 1\nif True:\n    def inner():\n        return 2\ndef main():\n    x = inner()\n    return x\n"
    ),
    "its locals": "def inner():\n    return sorted(locals())\ndef main():\n    x = inner()\n    return x\n",
    "an imported name of the caller": (
        "def inner():\n    from math import gcd\n    return gcd(4, 6)\ndef main():\n    gcd = 1\n    x = inner()\n    return x, gcd\n"
    ),
    "a task": (
        "import asyncio\nasync def inner():\n    say('ran')\n    return 1\nasync def main():\n    task = asyncio.create_task(inner())\n"
        "    say('main')\n    return await task\n"
    ),
    "too few arguments": "def inner(a, b):\n    return a\ndef main():\n    x = inner(1)\n    return x\n",
    "too many arguments": "def inner(a, *, b=1):\n    return a\ndef main():\n    x = inner(1, 2)\n    return x\n",
}  # fmt: skip


@pytest.mark.parametrize("title", STAY)
def test_what_would_be_wrong_stays(title):
    assert not gone(STAY[title]) & {"inner", "A.inner"}


def test_a_global_by_name_is_read_before():
    source = (
        "n = 1\ndef change():\n    global n\n    n = 2\ndef inner(a):\n    change()\n    return a\n"
        "def main():\n    global n\n    n = 1\n    x = inner(n)\n    return x\n"
    )
    assert "inner" in gone(source)


def test_a_cell_by_name_is_read_before():
    source = (
        "def inner(a, change):\n    change()\n    return a\n"
        "def main():\n    n = 1\n    def change():\n        nonlocal n\n        n = 2\n    x = inner(n, change)\n    return x, n\n"
    )
    assert "inner" in gone(source)


def test_others_that_name_it():
    source = "def inner():\n    return 1\ndef main():\n    x = inner()\n    return x\n"
    assert gone(source) == {"inner"}
    for other in (
        "from module import inner\n",
        "import module\nmodule.inner()\n",
        "x = 'inner'\n",
    ):
        assert gone(source, other=other) == set()


def test_who_calls_each_other_and_nobody_else():
    source = "def inner():\n    x = g()\n    return x\ndef g():\n    x = inner()\n    return x\ndef main():\n    return 1\n"
    assert gone(source) == {"inner", "g"}


def test_a_method_of_another_object_goes_if_no_other_class_has_one():
    source = (
        "class A:\n    def __init__(self):\n        self.n = 5\n    def only_here(self, a):\n        self.n += a\n"
        "        return self.n\n{}"
        "class C:\n    def __init__(self):\n        self.a = A()\n    def run(self):\n        x = self.a.only_here(2)\n"
        "        return x, self.a.n\ndef main():\n    return C().run()\n"
    )
    assert "A.only_here" in gone(source.format(""))
    assert "A.only_here" not in gone(
        source.format("class B:\n    def only_here(self, a):\n        return a\n")
    )


def test_a_task_lets_go_of_what_the_function_let_go_of():
    source = (
        "import gc\nclass Large:\n    pass\nkept = []\nasync def inner():\n    large = Large()\n    kept.append(weak(large))\n    return 1\n"
        "async def main():\n    x = await inner()\n    gc.collect()\n    return x, kept[0]() is None\n"
    )
    after = inline({"module.py": source})["module.py"]
    assert functions(after) == {"main"}
    space = {"weak": weakref.ref}
    exec(after, space)
    gc.collect()
    assert asyncio.run(space["main"]()) == (1, True)


def test_it_can_be_cancelled_where_it_waits():
    source = (
        "import asyncio\nasync def inner():\n    try:\n        say('waits')\n        await asyncio.sleep(100)\n    finally:\n        say('cancelled')\n"
        "async def task():\n    await inner()\n    say('never')\n"
        "async def main():\n    t = asyncio.create_task(task())\n    await asyncio.sleep(0)\n    t.cancel()\n"
        "    try:\n        await t\n    except asyncio.CancelledError:\n        say('seen')\n"
    )
    assert "inner" in gone(source)
    assert execute(source)[0] == [("waits",), ("cancelled",), ("seen",)]


# --- programs that chance wrote ---------------------------------------------------------------------

NAMES = "abcd"  # of globals and locals alike


class Program:
    """Functions f0, f1, .. of which each calls the next once; `dice` decides the rest."""

    def __init__(self, dice):
        self.dice = dice
        count = dice.randint(2, 5)
        tasks = dice.randint(0, count)  # so many are coroutines
        self.lines = [
            "class Wait:",
            "    def __await__(self):",
            "        yield",
            "a, b, c, d = 100, 200, 300, 400",
        ]
        self.asynchronous = [n < tasks for n in range(count)]
        self.parameters = [dice.sample(NAMES, dice.randint(0, 3)) for _ in range(count)]
        for n in range(count):
            self.function(n, n + 1 < count)
        self.main(count)

    def main(self, count):
        is_async = self.asynchronous[0]
        self.lines.append(("async " if is_async else "") + "def main():")
        self.lines.append("    out = []")
        self.lines.append("    for n in range(4):")
        call = f"f0({', '.join(['n'] * len(self.parameters[0]))})"
        self.lines.append("        try:")
        self.lines.append(f"            x = {'await ' if is_async else ''}{call}")
        self.lines.append("        except Exception as error:")
        self.lines.append("            x = repr(error)")
        self.lines.append("        out.append(x)")
        self.lines.append("    return out")

    def function(self, n, calls):
        own = sorted(self.dice.sample(NAMES, self.dice.randint(0, 2)))
        self.own = sorted({*own, *self.parameters[n]})
        self.number, self.call = n, calls
        head = "async def" if self.asynchronous[n] else "def"
        self.lines.append(f"{head} f{n}({', '.join(self.parameters[n])}):")
        for name in own:
            if name not in self.parameters[n]:
                self.lines.append(f"    {name} = say({self.dice.randint(0, 3)})")
        body = self.block("    ", 3, False)
        if self.call:  # nothing has called the next one yet
            body += self.simple("    ", self.called())
        self.lines += body

    def called(self):
        """The call of the next function, once."""
        self.call = False
        following = self.number + 1
        given = [self.value() for _ in self.parameters[following]]
        if self.dice.random() < 0.3:
            given = [f"{name}={value}" for name, value in zip(self.parameters[following], given)]
            self.dice.shuffle(given)
        call = f"f{following}({', '.join(given)})"
        return f"(await {call})" if self.asynchronous[following] else call

    def value(self):
        kind = self.dice.randint(0, 5)
        name = self.dice.choice(NAMES)
        if kind == 0:
            return str(self.dice.randint(0, 3))
        if kind == 1:
            return f"say({name}, {self.dice.randint(10, 99)})"
        if kind == 2:
            other = self.dice.choice(NAMES)
            return f"sum([{other} + {name} for {other} in (1, 2)])"
        if kind == 3:
            return (
                f"sum({other} * 2 for {other} in ({name}, 1))"
                if (other := self.dice.choice(NAMES))
                else ""
            )
        return name

    def expression(self):
        if self.call and self.dice.random() < 0.4:
            call = self.called()
            return self.dice.choice(
                [
                    call,
                    call,
                    call,
                    f"say({call}, 1)",
                    f"{call} + {self.value()}",
                    f"{self.value()} + {call}",
                    f"[{call}][0]",
                ]
            )
        return self.value()

    def simple(self, indent, value):
        kind = self.dice.randint(0, 4)
        if kind == 0 or not self.own:
            return [
                f"{indent}say({value}, 'here')" if self.dice.random() < 0.5 else f"{indent}{value}"
            ]
        if kind == 1:
            return [f"{indent}return {value}"]
        if kind == 2:
            return [f"{indent}{self.dice.choice(self.own)} += {value}"]
        if kind == 3 and len(self.own) > 1:
            one, other = self.dice.sample(self.own, 2)
            return [f"{indent}{one} = {other} = {value}"]
        return [f"{indent}{self.dice.choice(self.own)} = {value}"]

    def block(self, indent, depth, in_loop):
        lines = []
        for _ in range(self.dice.randint(1, 3)):
            lines += self.statement(indent, depth, in_loop)
        return lines

    def statement(self, indent, depth, in_loop):
        kind = self.dice.randint(0, 11)
        deeper = indent + "    "
        inside = (deeper, depth - 1)
        if kind < 4 or not depth:
            return self.simple(indent, self.expression())
        if kind < 6:
            lines = [
                f"{indent}if {self.expression()} > {self.dice.randint(0, 3)}:",
                *self.block(*inside, in_loop),
            ]
            if self.dice.random() < 0.5:
                lines += [f"{indent}else:", *self.block(*inside, in_loop)]
            return lines
        if kind < 9:
            lines = [f"{indent}try:", *self.block(*inside, in_loop)]
            final = self.dice.random() < 0.2
            if not final or self.dice.random() < 0.5:
                name = f" as {self.dice.choice('ef')}" if self.dice.random() < 0.5 else ""
                lines += [
                    f"{indent}except {self.dice.choice(['ValueError', 'KeyError', 'Exception'])}{name}:"
                ]
                lines += self.block(*inside, in_loop)
                if self.dice.random() < 0.4:
                    lines += [f"{indent}else:", *self.block(*inside, in_loop)]
            if final:
                lines += [f"{indent}finally:", f"{deeper}say('finally')"]
            return lines
        if kind == 9 and self.own:
            lines = [
                f"{indent}for {self.dice.choice(self.own)} in range({self.dice.randint(0, 2)}):"
            ]
            return lines + self.block(*inside, True)
        if kind == 10:
            if in_loop and self.dice.random() < 0.5:
                return [
                    f"{indent}if {self.value()} > 1:",
                    deeper + self.dice.choice(["break", "continue"]),
                ]
            return [
                f"{indent}raise {self.dice.choice(['ValueError', 'KeyError'])}({self.value()})"
            ]
        if self.asynchronous[self.number]:
            return [f"{indent}await Wait()"]
        return [f"{indent}return {self.value()}"]

    def source(self):
        return "\n".join(self.lines) + "\n"


@given(st.randoms(use_true_random=False))
@settings(max_examples=120)
def test_programs_do_the_same(dice):
    gone(Program(dice).source())


def test_functions_of_such_programs_go():
    went = [len(gone(Program(random.Random(seed)).source())) for seed in range(200)]
    assert sum(map(bool, went)) > 60
    assert max(went) > 2


# --- the image ----------------------------------------------------------------------------------------


def test_functions_of_the_station_go():
    out = build.build("sim")
    left = {
        name
        for names in json.loads((out / "names.json").read_text()).values()
        for text in names.values()
        for name in text.split(", ")
    }
    source = (build.FIRMWARE / "milliamp" / "station.py").read_text()
    for name in ("_know_names", "_drop_idle_blocks"):
        assert f"def {name}(" in source
        assert f"station.Station.{name}()" not in left
    assert "station.Station.progress()" in left
