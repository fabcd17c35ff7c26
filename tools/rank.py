"""Gives the core's most frequent names the first places in its table of names: each mention of them is a byte shorter.

Bytecode names a row of its module's table, in one byte for the first 128. mpy-cross fills the table as it meets names, so
the module begins with lists of the most frequent ones, which are made and forgotten when it is imported. Works on the
sources that are compiled, after `shorten`.
"""

import ast
from collections import Counter

from tools.merge import CORE

_FIRST = 120  # names; a few rows are taken by what the module itself is called
_AT_ONCE = 30  # in one list: it is on the stack
_KEPT_AS_NAME = 10  # characters, of a text
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def rank(sources: dict) -> dict:
    """{path: source} with such a beginning of the core, for {path: source} of an image."""
    if CORE not in sources:
        return sources
    counted = Counter()
    _count(ast.parse(sources[CORE]), set(), counted)
    first = [name for name, _ in counted.most_common(_FIRST)]
    lists = [first[at : at + _AT_ONCE] for at in range(0, len(first), _AT_ONCE)]
    return {**sources, CORE: "".join(f"{names!r}\n" for names in lists) + sources[CORE]}


def _count(node, own: set, counted: Counter) -> None:
    """Count the names that bytecode mentions. `own`: the locals of the function around, which are numbers there."""
    for inner in ast.iter_child_nodes(node):
        known = own
        if isinstance(inner, _FUNCTIONS):
            known = {part.arg for part in ast.walk(inner) if isinstance(part, ast.arg)}
            counted.update(known)
            known |= {
                part.id
                for part in ast.walk(inner)
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            }
        if isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            counted[inner.name] += 1
        elif isinstance(inner, ast.Name) and inner.id not in own:
            counted[inner.id] += 1
        elif isinstance(inner, ast.Attribute):
            counted[inner.attr] += 1
        elif isinstance(inner, ast.keyword) and inner.arg:
            counted[inner.arg] += 1
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            if len(inner.value) <= _KEPT_AS_NAME:
                counted[inner.value] += 1
        _count(inner, known, counted)
