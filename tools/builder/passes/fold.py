"""Folds constants, and erases what only the build needs.

Folding: a *constants module* holds nothing but `NAME = const(value)`, a number, a text or bytes. It is not shipped: where
a module says `from tables import events` and `events.ENDED`, the number goes in place, and the import goes. A text becomes
a private global of the module that names it: once, however often it is named.

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
    IMPORTS,
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
        # A constants module lives on in those who name it; an empty module has nothing to say.
        if known[dotted(path)] or all(map(is_text, tree.body)):
            continue
        is_block = path.startswith(BLOCKS) and not path.endswith("__init__.py")
        out[path] = _fold(tree, names[path], known, targets, is_block)
    return out


def prepare(file: Path, roots=(FIRMWARE,), block: bool = False) -> str:
    """The source of one module with the constants that it names put in place; `roots` are where imports are looked up."""
    tree = parse(file)
    known, names = {}, {}
    for node in toolkit.walk(tree):
        modules = [alias.name for alias in node.names] if isinstance(node, IMPORTS) else []
        if isinstance(node, ast.ImportFrom):
            modules = [node.module, *(f"{node.module}.{inner}" for inner in modules)]
        for module in modules:
            if target := module_file(module, roots):
                known[module], names[module] = constants(target), toolkit.name(target)
    return write(_fold(tree, toolkit.name(file), known, names, block))


def _fold(tree, name: str, known: dict, names: dict, block: bool):
    """The tree with constants in place. `known`: {module: constants, if it has nothing else}, `names`: what it is called.

    `_NAME = const(..)` needs no import under MicroPython, so `from micropython import const` goes too.
    """
    keeps_const = calls_const(tree)
    modules = {}  # {name here: constants module}
    body = []
    for node in tree.body:
        if is_const_import(node) and not keeps_const or block and table_name(node):
            continue
        if isinstance(node, ast.ImportFrom):
            found = {
                alias.asname or alias.name: module
                for alias in node.names
                if known.get(module := f"{node.module}.{alias.name}")
            }
            node.names = [
                alias for alias in node.names if (alias.asname or alias.name) not in found
            ]
            modules |= found
            if not node.names:
                continue
        body.append(node)
    tree.body = body
    for node in toolkit.walk(tree):
        if isinstance(node, IMPORTS):
            _check_import(name, node, known, keeps_const)
    if modules:
        place = _InPlace(
            name, {here: (known[module], names[module]) for here, module in modules.items()}
        )
        place.visit(tree)
        first = next(
            (n for n, node in enumerate(body) if not isinstance(node, IMPORTS)), len(body)
        )
        first += bool(body[first:]) and is_text(body[first])
        body[first:first] = place.texts.values()
    return tree


def _check_import(name: str, node, known: dict, keeps_const: bool) -> None:
    """BuildError, where an import that is left would bring in constants."""
    if is_const_import(node):
        inside = not keeps_const
    elif isinstance(node, ast.Import):
        inside = any(known.get(alias.name) for alias in node.names)
    else:
        inside = any(known.get(f"{node.module}.{alias.name}") for alias in node.names)
        if known.get(node.module):
            package, _, module = node.module.rpartition(".")
            raise BuildError(
                f"{name}:{node.lineno}: write `from {package} import {module}` and "
                f"`{module}.{node.names[0].name}`: constants are put in place"
            )
    if inside:
        raise BuildError(
            f"{name}:{node.lineno}: constants are imported at the top of a module only, with `from`"
        )


class _InPlace(ast.NodeTransformer):
    """Puts `events.ENDED` in place. `modules`: {name here: (constants, what their file is called)}. `texts`: {name: the
    statement that gives it its text}."""

    def __init__(self, name: str, modules: dict):
        self.texts: dict = {}
        self._name = name
        self._modules = modules

    def visit_Attribute(self, node):
        here = getattr(node.value, "id", "")
        if here not in self._modules:
            return self.generic_visit(node)
        values, file = self._modules[here]
        if node.attr not in values:
            raise self._fault(node, f"{file} has no constant {node.attr!r}")
        if not isinstance(node.ctx, ast.Load):
            raise self._fault(node, f"{here}.{node.attr} is a constant")
        value = literal(values[node.attr])
        if isinstance(values[node.attr], int):
            return ast.copy_location(value, node)
        text = f"_{here}__{node.attr}"
        assign = ast.Assign([ast.Name(text, ast.Store())], value)
        self.texts.setdefault(text, ast.copy_location(assign, node))
        return ast.copy_location(ast.Name(text, ast.Load()), node)

    def generic_visit(self, node):
        for field in ("id", "arg", "name", "asname"):
            if (here := getattr(node, field, None)) in self._modules and not isinstance(
                node, ast.keyword
            ):
                raise self._fault(node, f"{here!r} is a constants module here, and nothing else")
        return super().generic_visit(node)

    def _fault(self, node, text: str):
        return BuildError(f"{self._name}:{getattr(node, 'lineno', '?')}: {text}")
