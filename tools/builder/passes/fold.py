"""Prepares firmware sources for mpy-cross: line numbers stay, what only the build needs goes.

Folding: a *constants module* holds nothing but `_NAME = const(integer)`. It is not shipped; an import from it
becomes the constants themselves, which mpy-cross puts in place and forgets.

Erasing: the dicts `CALLS`, `TRIGGERS` and `LIVE` of a block are read here, go into the generated routes in ROM, and
leave the block. So does `UNREAD`: what the schema table need not know of the block's messages.
"""

import ast
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tools import FIRMWARE, ROOT, BuildError
from tools.builder.toolkit import walk

TABLES = ("CALLS", "TRIGGERS", "LIVE")
_UNREAD = "UNREAD"


def _name(file: Path) -> str:
    return str(file.relative_to(ROOT)) if file.is_relative_to(ROOT) else str(file)


def parse(file: Path) -> ast.Module:
    """The syntax tree of a source file; BuildError names the line of a syntax fault."""
    try:
        return ast.parse(file.read_text(encoding="utf-8"), str(file))
    except SyntaxError as error:
        raise BuildError(f"{_name(file)}:{error.lineno}: {error.msg}") from None


def constants(file: Path):
    """{name: integer} of a constants module, None when the file is something else."""
    stat = file.stat()
    return _constants(file, stat.st_mtime_ns, stat.st_size)


@cache
def _constants(file: Path, _time: int, _size: int):
    values = {}
    for node in parse(file).body:
        if _is_const_import(node) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            continue
        value = _constant(node, values)
        if value is None:
            return None
        values.update(value)
    return values or None


def _constant(node, known: dict):
    """{name: value} of `_NAME = const(integer expression)`, else None."""
    if not (
        isinstance(node, ast.Assign)
        and len(node.targets) == 1
        and isinstance(node.targets[0], ast.Name)
    ):
        return None
    name, call = node.targets[0].id, node.value
    if not name.startswith("_") or not (
        isinstance(call, ast.Call) and getattr(call.func, "id", "") == "const"
    ):
        return None
    if len(call.args) != 1:
        return None
    try:
        value = eval(
            compile(ast.Expression(call.args[0]), "const", "eval"),
            {"__builtins__": {}},
            dict(known),
        )
    except Exception:
        return None
    return {name: value} if isinstance(value, int) and not isinstance(value, bool) else None


def _is_const_import(node) -> bool:
    return (
        isinstance(node, ast.ImportFrom)
        and node.module == "micropython"
        and [alias.name for alias in node.names] == ["const"]
    )


def calls_const(tree) -> bool:
    """Is `const` called anywhere but in `NAME = const(..)`, where the compiler puts the value in place?"""
    plain = {
        id(node.value.func)
        for node in walk(tree)
        if isinstance(node, ast.Assign)
        and len(node.targets) == 1
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Call)
    }
    return any(
        isinstance(node, ast.Name) and node.id == "const" and id(node) not in plain
        for node in walk(tree)
    )


def module_file(module: str, roots) -> "Path | None":
    """The source file of a dotted module under one of the roots."""
    for root in roots:
        file = Path(root, *module.split(".")).with_suffix(".py")
        if file.is_file():
            return file
    return None


def prepare(file: Path, roots=(FIRMWARE,), block: bool = False) -> str:
    """The source of a module as mpy-cross gets it; `roots` are where imports are looked up.

    `_NAME = const(..)` needs no import under MicroPython, so `from micropython import const` goes too.
    """
    source = file.read_text(encoding="utf-8")
    lines = source.splitlines(keepends=True)
    tree = parse(file)
    top = set(map(id, tree.body))
    keeps_const = calls_const(tree)
    edits = []
    for node in walk(tree):
        if isinstance(node, ast.ImportFrom):
            text = None
            if _is_const_import(node):
                text = None if keeps_const else ""
            elif (
                node.module
                and (target := module_file(node.module, roots))
                and (values := constants(target))
            ):
                text = _folded(file, node, values, target)
            if text is None:
                continue
            if id(node) not in top:
                raise BuildError(
                    f"{_name(file)}:{node.lineno}: constants are imported at the top of a module only"
                )
            edits.append((node, text))
        elif block and id(node) in top and _table_name(node):
            edits.append((node, ""))
    for node, text in sorted(edits, key=lambda edit: -edit[0].lineno):
        first, last = node.lineno - 1, node.end_lineno - 1
        tail = lines[last].encode()[node.end_col_offset :].decode()
        head = lines[first].encode()[: node.col_offset].decode()
        blank = ["\n"] * (last - first)
        lines[first : last + 1] = [
            head + text + ("\n" if blank else tail),
            *blank[:-1],
            *([tail] if blank else []),
        ]
    return "".join(lines)


def _folded(file: Path, node, values: dict, target: Path) -> str:
    parts = []
    for alias in node.names:
        if alias.name not in values:
            raise BuildError(
                f"{_name(file)}:{node.lineno}: {_name(target)} has no constant {alias.name!r}"
            )
        parts.append(f"{alias.asname or alias.name} = const({values[alias.name]})")
    return "; ".join(parts)


def _table_name(node) -> str:
    """Which of the tables this statement defines, "" for none."""
    if (
        isinstance(node, ast.Assign)
        and len(node.targets) == 1
        and isinstance(node.targets[0], ast.Name)
    ):
        name = node.targets[0].id
        if name in TABLES and isinstance(node.value, ast.Dict):
            return name
        if name == _UNREAD and isinstance(node.value, ast.Tuple):
            return name
    return ""


@dataclass
class Block:
    """What a block's tables say: action -> (function, is it async), and so on."""

    name: str
    calls: dict = field(default_factory=dict)
    triggers: dict = field(default_factory=dict)
    live: dict = field(default_factory=dict)
    sends: list = field(default_factory=list)  # actions
    unread: list = field(default_factory=list)  # "Action.field", nobody reads what is in there
    resident: bool = False  # defines init() or tick(): imported at boot
    where: dict = field(default_factory=dict)  # action or name -> file:line


def read_block(file: Path) -> Block:
    """Read the tables of a block without importing it."""
    tree = parse(file)
    functions = {
        node.name: isinstance(node, ast.AsyncFunctionDef)
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    block = Block(file.stem, resident="init" in functions or "tick" in functions)
    tables = {"CALLS": block.calls, "TRIGGERS": block.triggers, "LIVE": block.live}
    for node in tree.body:
        name = _table_name(node)
        if name == _UNREAD:
            block.unread += [item.value for item in node.value.elts]
        elif name:
            for key, value in zip(node.value.keys, node.value.values):
                where = f"{_name(file)}:{value.lineno}"
                if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
                    raise BuildError(f"{where}: the keys of {name} must be texts")
                if not isinstance(value, ast.Name) or value.id not in functions:
                    raise BuildError(
                        f"{where}: {name}[{key.value!r}] must name a function of this module"
                    )
                tables[name][key.value] = (value.id, functions[value.id])
                block.where[key.value] = where
        elif (
            isinstance(node, ast.Assign)
            and getattr(node.targets[0], "id", "") == "SENDS"
            and isinstance(node.value, ast.Tuple)
        ):
            for row in node.value.elts:
                texts = [
                    item.value
                    for item in getattr(row, "elts", ())
                    if isinstance(item, ast.Constant)
                ]
                actions = [text for text in texts if isinstance(text, str)]
                if len(actions) != 1:
                    raise BuildError(
                        f"{_name(file)}:{row.lineno}: a row of SENDS names one action"
                    )
                block.sends.append(actions[0])
                block.where[actions[0]] = f"{_name(file)}:{row.lineno}"
    return block
