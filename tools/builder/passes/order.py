"""Gives a module's most frequent names the first places in its table of names: each mention of them is a byte shorter.

Bytecode names a row of its module's table, in one byte for the first 128. mpy-cross fills the table as it meets names, texts
and attributes before globals. So the module begins with a line that names the most frequent ones, behind a jump: such code
is dropped, its names are not. Works on the sources that are compiled, after `mangle`.
"""

import ast
from collections import Counter
from keyword import iskeyword

from tools.builder.toolkit import FUNCTIONS, children, is_const, walk

_FIRST = 126  # rows: two are taken by what the module itself is called
_FEW = 160  # names: what they gain is less than what the line costs
_KEPT_AS_NAME = 10  # characters, of a text
_UNNAMED = {
    ast.Lambda: ("<lambda>",),
    ast.GeneratorExp: ("<genexpr>", "*"),
    ast.ListComp: ("<listcomp>", "*"),
    ast.SetComp: ("<setcomp>", "*"),
    ast.DictComp: ("<dictcomp>", "*"),
}


def order(trees: dict) -> dict:
    """{path: tree} with such a beginning where it pays, for {path: tree} of an image."""
    for tree in trees.values():
        tree.body[:0] = ast.parse(_seed(tree)).body
    return trees


def _seed(tree) -> str:
    counted = Counter()
    _count(tree, set(), counted)
    for node in tree.body:
        if isinstance(node, ast.Assign) and is_const(node.value):
            del counted["const"], counted[node.targets[0].id]
    if len(counted) <= _FEW:
        return ""
    names = "".join(map(_mention, sorted(counted, key=lambda name: -counted[name])[:_FIRST]))
    return f"while 1:\n    break\n    {{}}{names}\n"


def _mention(name: str) -> str:
    # As a text a long name would not be a name.
    return f".{name}" if name.isidentifier() and not iskeyword(name) else f"[{name!r}]"


def _count(node, own: set, counted: Counter) -> None:
    """Count the names that bytecode mentions. `own`: the locals of the function around, which are numbers there."""
    for inner in children(node):
        known = own
        if isinstance(inner, (*FUNCTIONS, ast.Lambda)):
            known = {part.arg for part in walk(inner) if isinstance(part, ast.arg)}
            counted.update(known)
            known |= {
                part.id
                for part in walk(inner)
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            }
            known |= {part.name for part in walk(inner) if isinstance(part, ast.ExceptHandler)}
        if isinstance(inner, FUNCTIONS):
            counted[inner.name] += 2  # stored, and its own
        elif isinstance(inner, ast.ClassDef):
            counted.update([inner.name] * 3 + ["__name__", "__module__", "__qualname__"])
        elif type(inner) in _UNNAMED:
            counted.update(_UNNAMED[type(inner)])
        elif isinstance(inner, ast.Name) and inner.id not in own:
            counted[inner.id] += 1
        elif isinstance(inner, ast.Attribute):
            counted[inner.attr] += 1
        elif isinstance(inner, ast.alias):
            counted[inner.asname or inner.name] += 2
        elif isinstance(inner, ast.keyword) and inner.arg:
            counted[inner.arg] += 1
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            if len(inner.value) <= _KEPT_AS_NAME:
                counted[inner.value] += 1
        _count(inner, known, counted)
