"""Shortened sources do what they did, with fewer names."""

import re

from tools.shorten import shorten

COUNTER = """
from other import helper
_STEP = const(2)
_total = 0

class Counter:
    _made = 0

    def __init__(self, start: int = 0, *, by=None):
        self._value: int = start
        self.by = by
        Counter._made += 1

    def _add(self, amount=_STEP):
        self._value += amount
        return self._value

    def twice(self, amount):
        def once(other):
            return self._add(other) and amount
        once(amount)
        return (lambda amount: self._add(amount))(amount)

    def pairs(self, amounts):
        return [(amount, f"{amount}{self._value}") for amount in amounts]

def run(start, word):
    global _total
    counter = Counter(start, by=word)
    _total += counter.twice(3)
    return _total, counter.by, counter.pairs([1]), Counter._made
"""
OTHER = """
def helper(argument):
    return _inner(argument)

def _inner(value):
    try:
        return value["_value"]
    except KeyError as _error:
        return str(_error)
"""


def execute(sources):
    """The namespaces of modules that were run."""
    import sys
    import types

    made = {}
    for path in ("other.py", "counter.py"):
        module = types.ModuleType(path.removesuffix(".py"))
        module.const = lambda value: value
        sys.modules[module.__name__] = module
        exec(sources[path], module.__dict__)
        made[path] = module
    return made["counter.py"], made["other.py"]


def test_the_same_happens():
    sources = {"counter.py": COUNTER, "other.py": OTHER}
    short, legend = shorten(sources)
    for counter, other in (execute(sources), execute(short)):
        assert counter.run(1, "w") == (7, "w", [(1, "17")], 1)
        assert other.helper({"_value": 5}) == 5
        assert other.helper({}) == "'_value'"
    assert set(legend["other.py"].values()) == {"_inner"}


def test_names_that_show_stay():
    short, _ = shorten({"counter.py": COUNTER, "other.py": OTHER})
    assert "_value" in short["counter.py"]  # a text elsewhere
    assert "_made" in short["counter.py"]  # used on another than self
    assert "by=" in short["counter.py"]  # a keyword
    assert "_add" not in short["counter.py"]
    assert "def twice(_a, _b)" in short["counter.py"]


def test_modules_share_names():
    short, legend = shorten({"a.py": "def _one(): pass", "b.py": "def _two(): pass"})
    assert short["a.py"] == short["b.py"]
    assert legend == {"a.py": {"_0": "_one"}, "b.py": {"_0": "_two"}}


def test_classes_that_inherit_share_their_names():
    base = "class Base:\n    def __init__(self):\n        self._a = 1\n        self._b = 2\n"
    board = "import base\nclass Board(base.Base):\n    def __init__(self):\n        self._c = 3\n"
    short, _ = shorten({"base.py": base, "board.py": board})
    names = set(re.findall(r"_a\.(_\d)", short["base.py"]))
    assert len(names) == 2
    assert not names & set(re.findall(r"_a\.(_\d)", short["board.py"]))


def test_a_class_inside_a_function_keeps_the_arguments():
    source = "def make(value):\n    class Inner:\n        value = 1\n    return Inner, value\n"
    short, _ = shorten({"a.py": source})
    assert "def make(value)" in short["a.py"]
