"""Splits the blocks that a station has from its start: what stays in RAM, and what is loaded for a call.

What stays is what `init`, `tick` and the rows of SENDS lead to: it becomes `milliamp/stay/<block>.py`, which `join`
joins with the core. The rest, which only CALLS, TRIGGERS and LIVE name, remains `milliamp/blocks/<block>.py`: it is
imported when it is asked for and let go afterwards, so it must not remember anything. `milliamp/resident.py`, which finds
the parts by name elsewhere, is written anew to name them.
"""

import ast

from tools import BuildError
from tools.builder.tables.routes import MORE
from tools.builder.toolkit import (
    BLOCKS,
    FUNCTIONS,
    IMPORTS,
    ROUTES,
    bound,
    copied,
    is_const,
    is_text,
    walk,
)

RESIDENT = "milliamp/resident.py"
_STAY = "milliamp/stay/"
_WORTH = 6  # functions: a module of its own costs 150 bytes of image
_ROOTS = ("init", "tick", "SENDS")
_DEFINITIONS = (*FUNCTIONS, *IMPORTS, ast.ClassDef, ast.Assign, ast.AnnAssign)
_VALUES = (ast.Constant, ast.Tuple, ast.Name, ast.Attribute, ast.operator, ast.unaryop, ast.Load)
_VALUES += (ast.BinOp, ast.UnaryOp)


def split(trees: dict, station) -> dict:
    """{path: tree} with the blocks that stay in two parts, for {path: tree} of an image; its routes say where."""
    out = parted(trees, station.blocks)
    station.places = {block.name: stays(out, block.name) for block in station.blocks}
    station.facts.tables["routes"] = {"RESIDENT": ()}  # they are imported, not looked for
    out[ROUTES] = ast.parse(station.routes(station.places, out))
    return out


def parted(trees: dict, blocks: list) -> dict:
    """{path: tree} with the blocks in two parts, for the tables of the blocks."""
    out = dict(trees)
    parts = []
    for block in blocks:
        path = f"{BLOCKS}{block.name}.py"
        if not block.resident or path not in out:
            continue
        stay, rest = _parts(path, out.pop(path), block.name)
        out[f"{_STAY}{block.name}.py"] = ast.Module(stay, [])
        for more, part in _groups(rest):
            out[f"{BLOCKS}{block.name}{more}.py"] = ast.Module(part, [])
        names = bound(stay)
        row = [f"{block.name}.{root}" if root in names else "None" for root in _ROOTS[:2]]
        row.append(f"{block.name}.SENDS" if "SENDS" in names else "()")
        parts.append((block.name, f"({', '.join(row)})"))
    if parts:
        imports = "".join(f"from milliamp.stay import {name}\n" for name, _ in parts)
        rows = "".join(f"{row}, " for _, row in parts)
        out[RESIDENT] = ast.parse(f"{imports}\n\ndef parts(names):\n    return ({rows})\n")
    return out


def stays(trees: dict, block: str) -> dict:
    """{function of a block: (its module, "" for the core; its name there)}, for `trees` that were split, of all that is
    not in the block's own module."""
    found = {name: (block + MORE, name) for name in _functions(trees, f"{BLOCKS}{block}{MORE}.py")}
    names = _functions(trees, f"{_STAY}{block}.py")
    return found | {name: ("", f"_{block}__{name}") for name in names}


def _functions(trees: dict, path: str) -> list:
    body = trees[path].body if path in trees else ()
    return [node.name for node in body if isinstance(node, FUNCTIONS)]


def _groups(body: list) -> list:
    """[(what comes behind the block's name, statements)]: what answers calls, in two modules where what belongs together is
    so much that the rest need not be loaded with it."""
    functions = {node.name: node for node in body if isinstance(node, FUNCTIONS)}
    if not functions:
        return []
    called = set().union(*(_used(node) - {node.name} for node in functions.values()))
    groups: list = []
    for root in functions:
        if root in called:
            continue
        group = _reached([root], functions)
        for other in [other for other in groups if other & group]:
            groups.remove(other)
            group |= other
        groups.append(group)
    most = max(groups, key=len)
    others = set(functions) - most
    if min(len(most), len(others)) < _WORTH:
        return [("", body)]
    return [("", _only(body, others)), (MORE, copied(_only(body, most)))]


def _only(body: list, functions: set) -> list:
    """The statements without the functions that are not named, and without what only those use."""
    kept: list = []
    wanted: set = set()
    for node in reversed(body):
        if isinstance(node, FUNCTIONS):
            if node.name not in functions:
                continue
        elif isinstance(node, IMPORTS):
            node = copied(node)
            node.names = [a for a in node.names if (a.asname or a.name.split(".")[0]) in wanted]
            if not node.names:
                continue
        elif not bound([node]) & wanted:
            continue
        wanted |= _used(node)
        kept.insert(0, node)
    return kept


def _parts(path: str, tree, block: str):
    """The statements that stay, and those of the rest."""
    body = [node for node in tree.body if not is_text(node)]
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
    stay = [node for node in body if isinstance(node, IMPORTS) or bound([node]) & kept]
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
        if isinstance(node, IMPORTS):
            node = copied(node)
            node.names = [a for a in node.names if (a.asname or a.name.split(".")[0]) in names]
        elif not _is_plain(node):
            aliases = [ast.alias(name) for name in sorted(names)]
            node = ast.ImportFrom(f"milliamp.stay.{block}", aliases, 0)
        else:
            node = copied(node)
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


def _is_plain(node) -> bool:
    """A constant, which costs nothing in a second module?"""
    return isinstance(node, ast.Assign) and (
        isinstance(node.value, ast.Constant) or is_const(node.value)
    )


def _is_fixed(value) -> bool:
    """Something that cannot change?"""
    return value is None or is_const(value) or all(isinstance(v, _VALUES) for v in walk(value))


def _used(node) -> set:
    return {inner.id for inner in walk(node) if isinstance(inner, ast.Name)}
