"""What all of the build looks at sources with: the one way to parse, to walk, to tell what a scope binds."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tools import ROOT, BuildError


def children(node: ast.AST) -> Iterator[ast.AST]:
    """What `ast.iter_child_nodes` yields."""
    for field in node._fields:
        value = getattr(node, field, None)
        if isinstance(value, ast.AST):
            yield value
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, ast.AST):
                    yield item


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """What `ast.walk` yields, in its order: a node's children are looked up before it is yielded."""
    nodes = [node]
    tree = ast.AST
    for node in nodes:
        for field in node._fields:
            value = getattr(node, field, None)
            if value.__class__ is list:
                for item in value:
                    if isinstance(item, tree):
                        nodes.append(item)
            elif isinstance(value, tree):
                nodes.append(value)
        yield node


def name(file: Path) -> str:
    return str(file.relative_to(ROOT)) if file.is_relative_to(ROOT) else str(file)


def parse(file: Path) -> ast.Module:
    """The syntax tree of a source file; BuildError names the line of a syntax fault."""
    try:
        return ast.parse(file.read_text(encoding="utf-8"), str(file))
    except SyntaxError as error:
        raise BuildError(f"{name(file)}:{error.lineno}: {error.msg}") from None


def constants(file: Path):
    """{name: integer} of a constants module, None when the file is something else."""
    stat = file.stat()
    return _constants(file, stat.st_mtime_ns, stat.st_size)


@cache
def _constants(file: Path, _time: int, _size: int):
    values = {}
    for node in parse(file).body:
        if is_const_import(node) or (
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
    target, call = node.targets[0].id, node.value
    if not target.startswith("_") or not (
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
    return {target: value} if isinstance(value, int) and not isinstance(value, bool) else None


def is_const_import(node) -> bool:
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
