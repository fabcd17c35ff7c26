"""What nothing names is dropped, and nothing else."""

import ast

import pytest

from tests.builder.passes.texts import strip


def left(source, **others):
    """Functions, classes and methods that are left of a module beside others."""
    tree = ast.parse(
        strip({"module.py": source, **{f"{k}.py": v for k, v in others.items()}})["module.py"]
    )
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    found = {node.name for node in tree.body if isinstance(node, kinds)}
    for owner in tree.body:
        if isinstance(owner, ast.ClassDef):
            found |= {
                f"{owner.name}.{node.name}" for node in owner.body if isinstance(node, kinds)
            }
    return found


def test_what_only_the_dead_call_is_dead():
    source = "def a1():\n    b1()\ndef b1():\n    b1()\n    c1()\ndef c1():\n    pass\ndef d1():\n    c1()\nd1()\n"
    assert left(source) == {"c1", "d1"}


@pytest.mark.parametrize(
    "other", ["from module import a1\n", "x = y.a1\n", "x = 'a1'\n", "x = b'Reset block a1*'\n", "def f():\n    return a1\nf()\n"]
)  # fmt: skip
def test_any_mention_keeps(other):
    assert left("def a1():\n    pass\n", other=other) == {"a1"}
    assert left("class A:\n    def a1(self):\n        pass\nA()\n", other=other) == {"A", "A.a1"}


def test_a_variable_is_no_mention_of_a_method():
    source = "class A:\n    def seldom(self):\n        pass\n"
    assert left(source + "A()\n", other="def f(seldom):\n    return seldom\nf(1)\n") == {"A"}
    assert left(source + "A().seldom()\n") == {"A", "A.seldom"}
    assert left(source + "    other = seldom\nA().other()\n") == {"A", "A.seldom"}


def test_a_docstring_is_no_mention():
    assert (
        left("def a1():\n    pass\n", other="'''calls a1'''\ndef f():\n    '''a1'''\nf()\n")
        == set()
    )


def test_methods_that_micropython_asks_for_stay():
    source = "class A:\n    def __init__(self):\n        pass\n    def ioctl(self):\n        pass\n    def seldom(self):\n        pass\nA()\n"
    assert left(source) == {"A", "A.__init__", "A.ioctl"}
    assert left("import io\n" + source.replace("A:", "A(io.Base):")) == {
        "A", "A.__init__", "A.ioctl", "A.seldom",
    }  # fmt: skip


def test_decorated_functions_stay():
    assert left("def use(f):\n    return f\n@use\ndef a1():\n    pass\n") == {"use", "a1"}


BASE = "class Base:\n    def a1(self):\n        return 1\n    def b1(self):\n        return 2\n    def run(self):\n        return self.a1(), self.b1()\n"
HEIR = "class Heir(Base):\n    def a1(self):\n        return 5\nHeir().run()\n"


def test_what_each_heir_has_itself_goes():
    assert "Base.a1" not in left(BASE + HEIR)
    assert {"Base.b1", "Heir.a1"} <= left(BASE + HEIR)
    assert "Base.a1" not in left(BASE, other="from module import Base\n" + HEIR)
    assert "Base.a1" not in left(
        BASE, other="import module\n" + HEIR.replace("(Base)", "(module.Base)")
    )


@pytest.mark.parametrize(
    "more",
    [
        "Base()\n",
        "x = Base\n",
        "class Other(Base):\n    pass\nOther()\n",
        "class Other(Base, Heir):\n    def a1(self):\n        pass\nOther()\n",
        "class Base:\n    pass\n",
        "def f():\n    class Other(Base):\n        pass\n    return Other()\nf()\n",
    ],
)
def test_what_an_object_may_still_have_stays(more):
    assert "Base.a1" in left(BASE + HEIR, other="from module import Base\n" + more)


def test_what_an_heir_asks_super_for_stays():
    heir = HEIR.replace("return 5", "return super().a1()")
    assert "Base.a1" in left(BASE + heir)
    heir = HEIR.replace("return 5", "above = super()\n        return above.a1()")
    assert "Base.a1" in left(BASE + heir)
    grandchild = (
        "class Child(Heir):\n    def a1(self):\n        return super().a1()\nChild().run()\n"
    )
    assert "Base.a1" not in left(BASE + HEIR + grandchild)


def test_modules_that_nobody_imports_go():
    sources = {
        "main.py": "from milliamp.wire import one\nname = 'milliamp.wire.two'\n",
        "milliamp/wire/one.py": "def f():\n    pass\n",
        "milliamp/wire/two.py": "x = 1\n",
        "milliamp/wire/three.py": "from milliamp.wire import four\n",
        "milliamp/wire/four.py": "x = 1\n",
        "milliamp/blocks/five.py": "x = 1\n",
        "driver.py": "x = 1\n",
    }
    assert set(strip(sources)) == {
        "main.py", "milliamp/wire/one.py", "milliamp/wire/two.py", "milliamp/blocks/five.py", "driver.py",
    }  # fmt: skip


def test_the_same_happens():
    source = (
        BASE
        + HEIR
        + "def main():\n    return Heir().run(), Used().get()\nclass Used:\n    def get(self):\n        return 3\n    def seldom(self):\n        return 4\n"
    )
    results = []
    for text in (source + "main()\n", strip({"module.py": source + "main()\n"})["module.py"]):
        space = {}
        exec(text, space)
        results.append(space["main"]())
    assert results == [((5, 2), 3)] * 2
