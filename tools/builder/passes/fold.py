"""Prepares firmware sources for mpy-cross: line numbers stay, what only the build needs goes.

Folding: a *constants module* holds nothing but `_NAME = const(integer)`. It is not shipped; an import from it
becomes the constants themselves, which mpy-cross puts in place and forgets.

Erasing: the dicts `CALLS`, `TRIGGERS` and `LIVE` of a block are read here, go into the generated routes in ROM, and
leave the block. So does `UNREAD`: what the schema table need not know of the block's messages.
"""

import ast
from pathlib import Path

from tools import FIRMWARE, BuildError
from tools.builder.tables.blocks import table_name
from tools.builder.toolkit import (
    calls_const,
    constants,
    is_const_import,
    module_file,
    name,
    parse,
    walk,
)


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
            if is_const_import(node):
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
                    f"{name(file)}:{node.lineno}: constants are imported at the top of a module only"
                )
            edits.append((node, text))
        elif block and id(node) in top and table_name(node):
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
                f"{name(file)}:{node.lineno}: {name(target)} has no constant {alias.name!r}"
            )
        parts.append(f"{alias.asname or alias.name} = const({values[alias.name]})")
    return "; ".join(parts)
