"""Folds constants, and erases what only the build needs.

Folding: a *constants module* holds nothing but `_NAME = const(integer)` and `_NAME = "text"`. It is not shipped; an
import from it becomes the constants themselves, which mpy-cross puts in place and forgets.

Erasing: the dicts `CALLS`, `TRIGGERS` and `LIVE` of a block were read, went into the generated routes in ROM, and
leave the block. So does `UNREAD`: what the schema table need not know of the block's messages.
"""

import ast
from pathlib import Path

from tools import FIRMWARE, BuildError
from tools.builder import toolkit
from tools.builder.tables.blocks import table_name
from tools.builder.toolkit import (
    BLOCKS,
    calls_const,
    constants,
    constants_of,
    dotted,
    is_const_import,
    is_text,
    literal,
    module_file,
    parse,
    write,
)


def fold(trees: dict, files: "dict | None" = None) -> dict:
    """{path: tree} without constants modules and empty ones, for {path: tree} of all modules of an image. `files`: those
    that the trees are of, for messages."""
    known = {dotted(path): constants_of(tree) for path, tree in trees.items()}
    names = {path: toolkit.name(files[path]) if files else path for path in trees}
    targets = {dotted(path): name for path, name in names.items()}
    out = {}
    for path, tree in trees.items():
        # A constants module lives on in those who import it; an empty module has nothing to say.
        if known[dotted(path)] or all(map(is_text, tree.body)):
            continue
        is_block = path.startswith(BLOCKS) and not path.endswith("__init__.py")
        out[path] = _fold(tree, names[path], known, targets, is_block)
    return out


def prepare(file: Path, roots=(FIRMWARE,), block: bool = False) -> str:
    """The source of one module with the constants that it imports put in place; `roots` are where imports are looked up."""
    tree = parse(file)
    known, names = {}, {}
    for node in toolkit.walk(tree):
        if isinstance(node, ast.ImportFrom) and (target := module_file(node.module, roots)):
            known[node.module], names[node.module] = constants(target), toolkit.name(target)
    return write(_fold(tree, toolkit.name(file), known, names, block))


def _fold(tree, name: str, known: dict, names: dict, block: bool):
    """The tree with constants in place. `known`: {module: constants, if it has nothing else}, `names`: what it is called.

    `_NAME = const(..)` needs no import under MicroPython, so `from micropython import const` goes too.
    """
    keeps_const = calls_const(tree)
    body = []
    for node in tree.body:
        if is_const_import(node) and not keeps_const:
            continue
        if isinstance(node, ast.ImportFrom) and (values := known.get(node.module)):
            body += _constants(name, node, values, names[node.module])
        elif not (block and table_name(node)):
            body.append(node)
    for node in (inner for outer in body for inner in toolkit.walk(outer)):
        if isinstance(node, ast.ImportFrom) and (known.get(node.module) or is_const_import(node)):
            if not keeps_const or not is_const_import(node):
                raise BuildError(
                    f"{name}:{node.lineno}: constants are imported at the top of a module only"
                )
    tree.body = body
    return tree


def _constants(name: str, node, values: dict, target: str) -> list:
    """Statements that say what an import takes from a constants module."""
    found = []
    for alias in node.names:
        if alias.name not in values:
            raise BuildError(f"{name}:{node.lineno}: {target} has no constant {alias.name!r}")
        value = literal(values[alias.name])
        if isinstance(values[alias.name], int):
            value = ast.Call(ast.Name("const", ast.Load()), [value], [])
        target_name = ast.Name(alias.asname or alias.name, ast.Store())
        found.append(ast.copy_location(ast.Assign([target_name], value), node))
    return found
