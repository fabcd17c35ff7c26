"""Splits the blocks that a station has from its start: what stays in RAM, and what is loaded for a call.

What stays is what `init`, `tick`, `busy` and the rows of SENDS lead to: it becomes `milliamp/stay/<block>.py`, which
`merge` joins with the core. The rest, which only CALLS, TRIGGERS and LIVE name, remains `milliamp/blocks/<block>.py` and is
imported when it is asked for. `milliamp/resident.py`, which finds the parts by name elsewhere, is written anew to name them.
"""

import ast
import copy

from tools import BuildError

RESIDENT = "milliamp/resident.py"
_BLOCKS = "milliamp/blocks/"
_STAY = "milliamp/stay/"
_ROOTS = ("init", "tick", "SENDS")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


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
        names = {name for node in stay for name in _bound(node)}
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
    home = {name: node for node in tree.body for name in _bound(node)}
    state = {
        name for inner in ast.walk(tree) if isinstance(inner, ast.Global) for name in inner.names
    }
    if state:
        raise BuildError(
            f"{path}: state belongs on the station, not in {', '.join(sorted(state))}"
        )
    kept, todo = set(), [name for name in _ROOTS if name in home]
    while todo:
        name = todo.pop()
        if name not in kept:
            kept.add(name)
            if not isinstance(home[name], (ast.Import, ast.ImportFrom)):
                todo += [used for used in _used(home[name]) if used in home]
    stay, rest, shared = [], [], set()
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            stay.append(node)  # all that it needs belongs to the core
        elif _bound(node) & kept:
            stay.append(node)
    wanted = set()
    for node in tree.body:
        if not isinstance(node, (ast.Import, ast.ImportFrom)) and not _bound(node) & kept:
            rest.append(node)
            wanted |= _used(node)
    for name in sorted(wanted & set(home)):
        node = home[name]
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            node = copy.deepcopy(node)
            node.names = [a for a in node.names if (a.asname or a.name.split(".")[0]) == name]
            rest.insert(0, node)
        elif name in kept and isinstance(node, ast.Assign) and _is_plain(node.value):
            rest.insert(0, node)
        elif name in kept:
            shared.add(name)
    for name in sorted(shared):
        rest.insert(0, ast.ImportFrom(f"milliamp.stay.{block}", [ast.alias(name)], 0))
    return stay, rest


def _is_plain(value) -> bool:
    """A constant, which costs nothing in a second module?"""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "const":
        value = value.args[0]
    return isinstance(value, ast.Constant)


def _bound(node) -> set:
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
        return {node.name}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {alias.asname or alias.name.split(".")[0] for alias in node.names}
    return set()


def _used(node) -> set:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
