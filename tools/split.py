"""Splits the blocks that a station has from its start: what stays in RAM, and what is loaded for a call.

What stays is what `init`, `tick` and the rows of SENDS lead to: it becomes `milliamp/stay/<block>.py`, which `merge`
joins with the core. The rest, which only CALLS, TRIGGERS and LIVE name, remains `milliamp/blocks/<block>.py`: it is
imported when it is asked for and let go afterwards, so it must not remember anything. `milliamp/resident.py`, which finds
the parts by name elsewhere, is written anew to name them.
"""

import ast
import copy

from tools import BuildError
from tools.merge import bound
from tools.trees import walk

RESIDENT = "milliamp/resident.py"
_BLOCKS = "milliamp/blocks/"
_STAY = "milliamp/stay/"
_ROOTS = ("init", "tick", "SENDS")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_IMPORTS = (ast.Import, ast.ImportFrom)
_DEFINITIONS = (*_FUNCTIONS, *_IMPORTS, ast.ClassDef, ast.Assign, ast.AnnAssign)
_VALUES = (ast.Constant, ast.Tuple, ast.Name, ast.Attribute, ast.operator, ast.unaryop, ast.Load)
_VALUES += (ast.BinOp, ast.UnaryOp)


def split(sources: dict, blocks: list) -> dict:
    """{path: source} with the blocks that stay in two parts, for {path: source} and the tables of the blocks."""
    out = dict(sources)
    parts = []
    for block in blocks:
        path = f"{_BLOCKS}{block.name}.py"
        if not block.resident or path not in out:
            continue
        stay, rest = _parts(path, ast.parse(out.pop(path)), block.name)
        out[f"{_STAY}{block.name}.py"] = _text(stay)
        if any(isinstance(node, _FUNCTIONS) for node in rest):
            out[path] = _text(rest)
        names = bound(stay)
        row = [f"{block.name}.{root}" if root in names else "None" for root in _ROOTS[:2]]
        row.append(f"{block.name}.SENDS" if "SENDS" in names else "()")
        parts.append((block.name, f"({', '.join(row)})"))
    if parts:
        imports = "".join(f"from milliamp.stay import {name}\n" for name, _ in parts)
        rows = "".join(f"{row}, " for _, row in parts)
        out[RESIDENT] = f"{imports}\n\ndef parts(names):\n    return ({rows})\n"
    return out


def stays(sources: dict, block: str) -> dict:
    """{function of a block that stays: ("", its name in the core)}, for `sources` that were split."""
    tree = ast.parse(sources.get(f"{_STAY}{block}.py", ""))
    names = [node.name for node in tree.body if isinstance(node, _FUNCTIONS)]
    return {name: ("", f"_{block}__{name}") for name in names}


def _text(body: list) -> str:
    return ast.unparse(ast.fix_missing_locations(ast.Module(body, []))) + "\n"


def _parts(path: str, tree, block: str):
    """The statements that stay, and those of the rest."""
    body = [node for node in tree.body if not _is_text(node)]
    for node in body:
        if not isinstance(node, _DEFINITIONS):
            raise BuildError(f"{path}:{node.lineno}: a block has only definitions at its top")
    for node in walk(tree):
        if isinstance(node, ast.Global):
            names = ", ".join(node.names)
            raise BuildError(f"{path}:{node.lineno}: state belongs on the station, not in {names}")
    home = {name: node for node in body for name in bound([node])}
    kept = _reached([name for name in _ROOTS if name in home], home)
    # All that it imports belongs to the core.
    stay = [node for node in body if isinstance(node, _IMPORTS) or bound([node]) & kept]
    rest = [node for node in body if node not in stay]
    for node in rest:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and not _is_fixed(node.value):
            names = ", ".join(sorted(bound([node])))
            raise BuildError(f"{path}:{node.lineno}: {names} would be forgotten with its module")
    plain = {name: node for name, node in home.items() if _is_plain(node)}
    wanted = set().union(*map(_used, rest)) & set(home)
    wanted |= _reached([name for name in wanted if name in plain], plain)
    before = []
    for node in stay:
        names = bound([node]) & wanted
        if not names:
            continue
        if isinstance(node, _IMPORTS):
            node = copy.deepcopy(node)
            node.names = [a for a in node.names if (a.asname or a.name.split(".")[0]) in names]
        elif not _is_plain(node):
            aliases = [ast.alias(name) for name in sorted(names)]
            node = ast.ImportFrom(f"milliamp.stay.{block}", aliases, 0)
        before.append(node)
    return stay, before + rest


def _reached(todo: list, home: dict) -> set:
    """The names of `home` that those in `todo` lead to."""
    found = set()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [used for used in _used(home[name]) if used in home]
    return found


def _is_text(node) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_plain(node) -> bool:
    """A constant, which costs nothing in a second module?"""
    return isinstance(node, ast.Assign) and (
        isinstance(node.value, ast.Constant) or _is_const(node.value)
    )


def _is_const(value) -> bool:
    return isinstance(value, ast.Call) and getattr(value.func, "id", "") == "const"


def _is_fixed(value) -> bool:
    """Something that cannot change?"""
    return value is None or _is_const(value) or all(isinstance(v, _VALUES) for v in walk(value))


def _used(node) -> set:
    return {inner.id for inner in walk(node) if isinstance(inner, ast.Name)}
