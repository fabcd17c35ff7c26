"""What the tables at a block's end say: `CALLS`, `TRIGGERS`, `LIVE`, `SENDS` and `UNREAD`, read without importing it."""

import ast
from dataclasses import dataclass, field
from pathlib import Path

from tools import BuildError
from tools.builder.toolkit import name, parse

TABLES = ("CALLS", "TRIGGERS", "LIVE")
_UNREAD = "UNREAD"


def table_name(node) -> str:
    """Which of the tables this statement defines, "" for none."""
    if (
        isinstance(node, ast.Assign)
        and len(node.targets) == 1
        and isinstance(node.targets[0], ast.Name)
    ):
        table = node.targets[0].id
        if table in TABLES and isinstance(node.value, ast.Dict):
            return table
        if table == _UNREAD and isinstance(node.value, ast.Tuple):
            return table
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
        table = table_name(node)
        if table == _UNREAD:
            block.unread += [item.value for item in node.value.elts]
        elif table:
            for key, value in zip(node.value.keys, node.value.values):
                where = f"{name(file)}:{value.lineno}"
                if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
                    raise BuildError(f"{where}: the keys of {table} must be texts")
                if not isinstance(value, ast.Name) or value.id not in functions:
                    raise BuildError(
                        f"{where}: {table}[{key.value!r}] must name a function of this module"
                    )
                tables[table][key.value] = (value.id, functions[value.id])
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
                    raise BuildError(f"{name(file)}:{row.lineno}: a row of SENDS names one action")
                block.sends.append(actions[0])
                block.where[actions[0]] = f"{name(file)}:{row.lineno}"
    return block
