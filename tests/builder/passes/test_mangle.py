"""Shortened sources do what they did, with fewer names, and no two names that can meet become one."""

import ast
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builder.passes.texts import Mangler, mangle, texts
from tools import BuildError
from tools.builder import image as build
from tools.builder import names, passes, profile
from tools.builder.passes import fold
from tools.builder.passes.mangle import is_core
from tools.builder.tables.blocks import read_block
from tools.builder.toolkit import CORE, bound, foreign

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


def called(legend, path, name):
    """What a function is called now."""
    found = [short for short, texts in legend[path].items() if f"{name}()" in texts.split(", ")]
    return found[0] if found else name


def test_the_same_happens():
    sources = {"counter.py": COUNTER, "other.py": OTHER}
    short, legend = mangle(sources)
    for tried in (sources, short):
        counter, other = execute(tried)
        run = getattr(counter, "run" if tried is sources else called(legend, "counter.py", "run"))
        assert run(1, "w") == (7, "w", [(1, "17")], 1)
        assert other.helper({"_value": 5}) == 5
        assert other.helper({}) == "'_value'"
    assert set(legend["other.py"].values()) == {"_inner()"}


def test_names_that_show_stay():
    short, _ = mangle({"counter.py": COUNTER, "other.py": OTHER})
    assert "_value" in short["counter.py"]  # a text elsewhere
    assert "by=" in short["counter.py"]  # a keyword
    assert "helper" in short["counter.py"]  # imported
    assert "_add" not in short["counter.py"]
    assert "twice" not in short["counter.py"]
    assert re.search(r"def \w+\(append, args\)", short["counter.py"])  # twice(self, amount)


def test_modules_share_names():
    short, legend = mangle({"a.py": "def _one(): pass", "b.py": "def _two(): pass"})
    assert short["a.py"] == short["b.py"]
    assert legend == {"a.py": {"append": "_one()"}, "b.py": {"append": "_two()"}}


def test_classes_that_inherit_share_their_names():
    base = "class Base:\n    def __init__(self):\n        self.lamps_lit = 1\n        self.doors_open = 2\n"
    board = "import base\nclass Board(base.Base):\n    def __init__(self):\n        self.seats_taken = 3\n"
    other = "class Other:\n    def __init__(self):\n        self.bells_rung = 4\n"
    found = Mangler({"base.py": base, "board.py": board, "other.py": other})
    assert {"lamps_lit", "doors_open", "seats_taken", "__init__"} in found.namespaces
    assert (
        len({found.attributes[name] for name in ("lamps_lit", "doors_open", "seats_taken")}) == 3
    )
    assert found.attributes["bells_rung"] in {
        found.attributes[name] for name in ("lamps_lit", "doors_open", "seats_taken")
    }


def test_what_is_assigned_to_anybody_is_shared_with_none():
    source = "class A:\n    def __init__(self):\n        self.lamps_lit = 1\n"
    other = "class B:\n    def __init__(self):\n        self.doors_open = 2\n        self.seats_taken = 3\n"
    for store in (
        "x.lamps_lit = 5",
        "for x.lamps_lit in y: pass",
        "del x.lamps_lit",
        "x.lamps_lit += 1",
        "(x.lamps_lit, y) = y",
    ):
        found = Mangler({"a.py": source, "b.py": f"{other}def f(x, y):\n    {store}\n"})
        shorts = [found.attributes[name] for name in ("lamps_lit", "doors_open", "seats_taken")]
        assert len(set(shorts)) == 3


def test_a_self_that_may_be_anything_is_nobody():
    source = "class A:\n    def put(self):\n        self.lamps_lit = 1\n"
    for use in ("A.put(x)", "f = A.put", "f = (A,)"):
        other = f"class B:\n    def go(self, x):\n        self.doors_open = 2\n        {use}\n"
        found = Mangler({"a.py": source + other})
        assert found.attributes["lamps_lit"] != found.attributes["doors_open"]


def test_names_of_micropython_are_left_alone():
    assert {"append", "readinto", "sleep_ms", "duty_u16", "setblocking"} <= foreign()
    source = "class A:\n    def append(self, thing):\n        self.duty_u16 = thing\n"
    assert not Mangler({"a.py": source}).attributes


def test_a_class_sees_the_globals_of_its_module():
    source = (
        "def helper():\n    return 5\n"
        "class A:\n    first = 1\n    def second(self, x=helper()):\n        return x\n"
        "    third = helper()\n    fourth = first\n"
        "    def all_of_it(self):\n        return self.first, self.second(), self.third, self.fourth\n"
        "def run():\n    return A().all_of_it()\n"
    )
    short, legend = mangle({"a.py": source})
    space = {}
    exec(short["a.py"], space)
    assert space[called(legend, "a.py", "run")]() == (1, 5, 5, 1)


def test_a_class_that_means_a_global_by_the_name_of_its_own_is_refused():
    source = "def helper():\n    return 5\nclass A:\n    first = helper()\n    helper = 3\n"
    with pytest.raises(BuildError, match="both"):
        mangle({"a.py": source})


def test_a_class_inside_a_function_keeps_the_arguments():
    source = "def make(value):\n    class Inner:\n        value = 1\n    return Inner, value\n"
    short, _ = mangle({"a.py": source})
    assert "(value):" in short["a.py"]


NAMES = [f"name{number}" for number in range(12)]


@st.composite
def programs(draw):
    """Classes that inherit, attributes and functions of few names, and `run`, which reads all there is."""
    lines, has, count = [], [], draw(st.integers(1, 6))
    for number in range(count):
        base = draw(st.integers(-1, number - 1))
        attributes = draw(st.sets(st.sampled_from(NAMES), max_size=6))
        constants = draw(st.sets(st.sampled_from(NAMES), max_size=3)) - attributes
        lines.append(f"class Class{number}{f'(Class{base})' if base >= 0 else ''}:")
        lines += [f"    {name} = '{number} constant {name}'" for name in sorted(constants)]
        lines.append("    def __init__(self, value):")
        lines += ["        super().__init__(value)"] if base >= 0 else []
        lines += [
            f"        self.{name} = ('{number} {name}', value)" for name in sorted(attributes)
        ]
        lines.append("        self.made = value")
        methods = draw(st.sets(st.sampled_from(NAMES), max_size=3)) - attributes - constants
        methods = {name + "_method" for name in methods}
        for name in sorted(methods):
            lines += [f"    def {name}(self, given):", f"        return '{number} {name}', given"]
        inherited = has[base] if base >= 0 else (set(), set())
        has.append((inherited[0] | attributes | constants, inherited[1] | methods))
    functions = draw(st.sets(st.sampled_from(NAMES), max_size=4))
    for name in sorted(functions):
        lines += [f"def {name}(first, second):", f"    return '{name}', first, second"]
    lines += ["def run():", "    out = []"]
    lines += [f"    out.append({name}(1, 2))" for name in sorted(functions)]
    for number, (attributes, methods) in enumerate(has):
        lines.append(f"    thing = Class{number}({number})")
        lines += [f"    out.append(thing.{name})" for name in sorted(attributes)]
        lines += [f"    out.append(thing.{name}(7))" for name in sorted(methods)]
    stored = draw(st.sampled_from(NAMES))
    lines += [f"    thing.{stored} = 'stored'", f"    out.append(thing.{stored})"]
    lines += [f"    out.append(thing.{name})" for name in sorted(has[-1][0])]
    return "\n".join([*lines, "    return out"]) + "\n"


@given(programs())
def test_any_program_does_what_it_did(source):
    short, legend = mangle({"a.py": source})
    before, after = {}, {}
    exec(source, before)
    exec(short["a.py"], after)
    assert after[called(legend, "a.py", "run")]() == before["run"]()


# --- the images that are flashed -----------------------------------------------------------------


@pytest.fixture(scope="module", params=["sim", "esp32_generic"])
def image(request):
    """(joined sources, Mangler) of a board, of which nothing was taken out."""
    chosen = profile.load(request.param)
    found, station = build.read(chosen, build.build_tables(request.param))
    joined = texts(passes.begin(found, station, set(passes.ORDER) - {"fold", "join"}))
    return joined, Mangler(joined)


def pairs(image):
    """(path, node, the same node of the shortened tree) of a whole image."""
    sources, short = image
    for path, text in sources.items():
        # As `mangle` writes it: without annotations, which no node of the other has.
        old = ast.parse(text)
        for node in ast.walk(old):
            if isinstance(node, ast.arg):
                node.annotation = None
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                node.returns = None
        new = ast.parse(short.sources[path])
        for one, other in zip(ast.walk(old), ast.walk(new), strict=True):
            assert type(one) is type(other)
            yield path, one, other


def test_only_names_change(image):
    for _, one, other in pairs(image):
        for field in set(one._fields) - {"id", "attr", "arg", "name", "names", "asname"}:
            if not isinstance(getattr(one, field), (ast.AST, list)):
                assert getattr(one, field) == getattr(other, field)
        if isinstance(one, (ast.alias, ast.keyword)):
            assert ast.dump(one) == ast.dump(other) or isinstance(one, ast.keyword)
            assert getattr(one, "arg", None) == getattr(other, "arg", None)


def test_an_attribute_is_called_the_same_everywhere(image):
    found = {}
    for _, one, other in pairs(image):
        if isinstance(one, ast.Attribute) and not is_core(one):
            assert found.setdefault(one.attr, other.attr) == other.attr
    texts = {
        node.value
        for text in image[0].values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    for old, new in found.items():
        if old != new:
            assert old not in foreign() and old not in texts
            assert new not in found and new not in texts  # nobody asked for it before


def test_no_two_names_of_an_object_become_one(image):
    # Each class with everything that it, what it inherits from and what inherits from it defines or assigns to any
    # object, and with what is assigned to objects of unknown kind anywhere.
    classes, bases, owner, stores = {}, [], {}, set()
    for text in image[0].values():
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                methods = {
                    item.args.args[0].arg
                    for item in node.body
                    if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)) and item.args.args
                }
                own = classes.setdefault(node.name, set(bound(node.body)))
                for inner in ast.walk(node):
                    if isinstance(inner, ast.Attribute) and not isinstance(inner.ctx, ast.Load):
                        if getattr(inner.value, "id", None) in methods:
                            own.add(inner.attr)
                            owner[id(inner)] = node.name
                bases += [
                    (node.name, getattr(base, "attr", getattr(base, "id", None)))
                    for base in node.bases
                ]
        stores |= {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and not isinstance(node.ctx, ast.Load)
            and id(node) not in owner
        }
    related = {name: {name} for name in classes}
    for one, other in bases:
        if other in classes:
            together = related[one] | related[other]
            for name in together:
                related[name] = together
    attributes = image[1].attributes
    for name in classes:
        namespace = set().union(*(classes[item] for item in related[name])) | stores
        shorts = [attributes.get(item, item) for item in namespace]
        assert len(set(shorts)) == len(shorts), name


def test_no_two_names_of_a_module_become_one(image):
    found, plain = {}, {}
    for _, one, other in pairs(image):
        if isinstance(one, ast.Attribute) and is_core(one):
            found.setdefault(CORE, {}).setdefault(one.attr, set()).add(other.attr)
    for path, text in image[0].items():
        globals_ = bound(ast.parse(text).body)
        new = bound(ast.parse(image[1].sources[path]).body)
        assert len(globals_) == len(new), path
        plain[path] = globals_
        # A global that has another name now hides nothing: no local or builtin used there is called so.
        used = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
        renamed = image[1].module(path)
        assert not {short for name, short in renamed.items() if short != name} & used
    for name, shorts in found[CORE].items():
        assert shorts == {image[1].module(CORE).get(name, name)} and name in plain[CORE]


def test_a_traceback_can_be_read(image):
    legend = image[1].legend
    for path in image[0]:
        functions = {
            node.name
            for node in ast.walk(ast.parse(image[1].sources[path]))
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        }
        for name in functions & legend[path].keys():
            readings = [text for text in legend[path][name].split(", ") if text.endswith("()")]
            assert 1 <= len(readings) <= 6, (path, name, readings)
    short = next(
        short for short, text in legend[CORE].items() if "station.Station._control()" in text
    )
    line = f'  File "milliamp", line 1, in {short}'
    assert "station.Station._control()" in names.explain(line, legend)
    assert names.explain("I nothing", legend) == "I nothing"


def test_the_routes_name_what_the_image_has():
    out = build.build("sim")
    assert read_block(fold.FIRMWARE / "milliamp/blocks/transactions.py").calls
    legend = json.loads((out / "names.json").read_text())
    assert "get_transaction_status()" in legend["milliamp/blocks/transactions.py"].values()
    assert b"get_transaction_status" not in (out / "romfs.img").read_bytes()
