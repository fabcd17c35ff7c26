"""Lets locals that are never needed together share a name: each name is a word in the frame of its function.

The frame of a coroutine lives on the heap as long as its task, and so does that of any large function while it runs; and
bytecode names the first 16 locals in one byte, the others in two. A local may take over the name of another where the two
are mentioned in different stretches of statements, and each stretch begins with an assignment. Works on the joined
modules, before `mangle`.
"""

import ast
from collections import Counter

from tools.builder.toolkit import FUNCTIONS, private, walk

_LISTS = ("body", "orelse", "handlers", "finalbody")
_ENDS = (ast.Return, ast.Raise, ast.Break, ast.Continue)


def share(trees: dict) -> dict:
    """{path: tree} with fewer locals, for {path: tree} of an image."""
    for tree in trees.values():
        for node in walk(tree):
            if isinstance(node, FUNCTIONS):
                _share(node)
    return trees


def _share(function) -> None:
    stretches = _stretches(function)
    given = {}
    ends = []  # [name, where its last stretch ends]
    for name, (start, end) in sorted(stretches.items(), key=lambda item: (item[1], item[0])):
        for slot in ends:
            if slot[1] <= start and start:
                given[name] = slot[0]
                slot[1] = end
                break
        else:
            ends.append([name, end])
    for node in function.body:  # what the arguments have as defaults belongs to others
        for inner in walk(node):
            if isinstance(inner, ast.Name):
                inner.id = given.get(inner.id, inner.id)


def _stretches(function) -> dict:
    """{local: (first, end)} of those that may share, by the numbers of statements; an argument begins at 0."""
    own = private(function)
    for node in walk(function):
        # What is bound by other means than a name in an assignment or a loop.
        if isinstance(node, ast.ExceptHandler):
            own.discard(node.name)
        elif isinstance(node, ast.alias):
            own.discard((node.asname or node.name).split(".")[0])
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            own.difference_update(node.names)
        elif isinstance(node, ast.NamedExpr):
            own.discard(node.target.id)
        elif isinstance(node, ast.Delete):
            own.difference_update(inner.id for inner in walk(node) if isinstance(inner, ast.Name))
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            own.discard(node.name)
    spans = {}  # id of a statement: its number, the number behind it, how often it mentions each name
    _number(function.body, spans, 1)
    arguments = {node.arg for node in walk(function.args) if isinstance(node, ast.arg)}
    found = {}
    for name in own:
        if name in arguments:
            last = [node for node in function.body if name in spans[id(node)][2]]
            found[name] = (0, spans[id(last[-1])][1] if last else 1)
        else:
            statements = _innermost(function.body, name, spans)
            if _assigns(statements, name) or _is_loop(statements, name):
                found[name] = (spans[id(statements[0])][0], spans[id(statements[-1])][1])
    return found


def _number(statements: list, spans: dict, number: int) -> int:
    for node in statements:
        start = number
        number += 1
        for inner in _inner(node):
            number = _number(inner, spans, number)
        names = Counter(part.id for part in walk(node) if isinstance(part, ast.Name))
        spans[id(node)] = start, number, names
    return number


def _inner(node) -> list:
    """The lists of statements in a statement."""
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        return []
    return [getattr(node, name) for name in _LISTS if getattr(node, name, None)]


def _mentions(node, name: str) -> bool:
    return any(isinstance(inner, ast.Name) and inner.id == name for inner in walk(node))


def _innermost(statements: list, name: str, spans: dict) -> list:
    """The shortest stretch of statements that has all mentions of a name."""

    def count(node) -> int:
        return spans[id(node)][2][name]

    while True:
        at = [n for n, node in enumerate(statements) if count(node)]
        stretch = statements[at[0] : at[-1] + 1]
        if len(stretch) > 1:
            return stretch
        inside = [inner for inner in _inner(stretch[0]) if any(map(count, inner))]
        if len(inside) != 1 or count(stretch[0]) != sum(map(count, inside[0])):
            return stretch
        statements = inside[0]


def _assigns(statements: list, name: str) -> bool:
    """Is the first that happens to a name in a stretch an assignment, whatever way the stretch goes?"""
    first = next((node for node in statements if _mentions(node, name)), None)
    if first is None:
        return bool(statements) and isinstance(statements[-1], _ENDS)
    if isinstance(first, ast.Assign):
        return not _reads(first, name)
    if isinstance(first, ast.If):
        return (
            not _mentions(first.test, name)
            and _assigns(first.body, name)
            and _assigns(first.orelse, name)
        )
    return False


def _is_loop(statements: list, name: str) -> bool:
    """Is a name what a loop runs over, and needed by nothing else?"""
    loop = statements[0]
    return (
        len(statements) == 1
        and isinstance(loop, ast.For)
        and _mentions(loop.target, name)
        and not _reads(loop.target, name)
        and not any(_mentions(node, name) for node in (loop.iter, *loop.orelse))
    )


def _reads(node, name: str) -> bool:
    return any(
        isinstance(inner, ast.Name) and inner.id == name and isinstance(inner.ctx, ast.Load)
        for inner in walk(node)
    )
