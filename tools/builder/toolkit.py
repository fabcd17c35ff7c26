"""What all of the build looks at sources with: the one way to parse and to write, to walk, to tell what a scope binds."""

import ast
import builtins
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tools import ROOT, BuildError

# Paths in an image: what the station's modules, a board's and the generated ones become.
CORE = "milliamp/__init__.py"
BOARD = "board.py"
TABLES = "tables/__init__.py"
ROUTES = "tables/routes.py"
PACKAGE = "milliamp/"
BLOCKS = "milliamp/blocks/"

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.Lambda, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
IMPORTS = (ast.Import, ast.ImportFrom)
WORD = re.compile(r"[A-Za-z_]\w*")


def write(tree: ast.AST) -> str:
    """The source of a tree."""
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def copied(node):
    """A copy of a node, or of a list or dict of them, that shares nothing with it."""
    if isinstance(node, list):
        return [copied(item) for item in node]
    if isinstance(node, dict):
        return {key: copied(item) for key, item in node.items()}
    if not isinstance(node, ast.AST):
        return node
    new = node.__class__.__new__(node.__class__)
    for field, value in node.__dict__.items():
        new.__dict__[field] = value if value.__class__ in _ATOMS else copied(value)
    return new


_ATOMS = (str, int, bool, bytes, type(None))


def tidy(tree: ast.AST) -> None:
    """Make the constants of a tree such as the parser makes them: a tuple is no constant, nor is a negative number."""
    for node in walk(tree):
        for field in node._fields:
            value = getattr(node, field, None)
            if isinstance(value, ast.Constant):
                setattr(node, field, _plain(value))
            elif isinstance(value, list):
                value[:] = [_plain(v) if isinstance(v, ast.Constant) else v for v in value]


def _plain(node):
    value = node.value
    return literal(value) if isinstance(value, tuple) or type(value) is int and value < 0 else node


def literal(value) -> ast.expr:
    """The expression that a value is written as."""
    return ast.parse(repr(value), mode="eval").body


def last(node) -> str:
    """The last name of `a.b.c`."""
    return getattr(node, "attr", getattr(node, "id", ""))


def dotted(path: str) -> str:
    """The name by which a module of an image is imported."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def is_special(name: str) -> bool:
    """One that the language itself gives a meaning?"""
    return name == "_" or name.startswith("__") and name.endswith("__")


def is_text(node) -> bool:
    """A docstring?"""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def is_const(value) -> bool:
    """`const(..)`, which the compiler puts in place everywhere?"""
    return isinstance(value, ast.Call) and getattr(value.func, "id", "") == "const"


def is_error(node) -> bool:
    """An exception's class: logs show its name."""
    return isinstance(node, ast.ClassDef) and any(
        last(base).endswith(("Error", "Exception", "Closed")) for base in node.bases
    )


def words(text) -> list:
    """The identifiers in a text, or in bytes."""
    return WORD.findall(text if isinstance(text, str) else text.decode("latin-1"))


@cache
def foreign() -> frozenset:
    """The names that MicroPython or Python has."""
    lines = Path(__file__).with_name("micropython_names.txt").read_text().splitlines()
    names = {name for line in lines if not line.startswith("#") for name in line.split()}
    types = (object, type, int, str, bytes, bytearray, memoryview, list, tuple, dict, set, range)
    types += (float, BaseException, OSError, StopIteration, property)
    return frozenset(names.union(dir(builtins), *map(dir, types)))


def parameters(function) -> list:
    """The names of a function's arguments."""
    a = function.args
    listed = [*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg]
    return [argument.arg for argument in listed if argument]


def private(function) -> set:
    """The locals of a function that no scope inside of it has."""
    own = bound(function.body) | {
        node.arg for node in walk(function.args) if isinstance(node, ast.arg)
    }
    for node in walk(function):
        if node is not function and isinstance(node, (*SCOPES, *COMPREHENSIONS)):
            own -= {inner.id for inner in walk(node) if isinstance(inner, ast.Name)}
    return own


def bound(body: list) -> set:
    """The names that statements bind in their own scope: not those of functions and classes inside."""
    names, outside = set(), set()

    def look(node):
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            names.add(node.name)
            inner = [*node.decorator_list, *getattr(node, "bases", ())]
            if isinstance(node, FUNCTIONS):
                inner += [*node.args.defaults, *(item for item in node.args.kw_defaults if item)]
            for item in inner:
                look(item)
            return
        if isinstance(node, ast.Lambda):
            return
        if isinstance(node, COMPREHENSIONS):
            for item in walk(node):
                if isinstance(item, ast.NamedExpr):
                    names.add(item.target.id)
            return
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, IMPORTS):
            names.update(alias.asname or alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            outside.update(node.names)
        for item in children(node):
            look(item)

    for item in body:
        look(item)
    return names - outside


def children(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes right below one; not whether it is loaded or stored (`ctx`), which is a flag and has nothing below."""
    for field in _parts(node.__class__):
        value = getattr(node, field, None)
        if value.__class__ is list:
            for item in value:
                if isinstance(item, ast.AST):
                    yield item
        elif isinstance(value, ast.AST):
            yield value


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it, in the order of `ast.walk`: a node's children are looked up before it is yielded."""
    nodes = [node]
    tree = ast.AST
    for node in nodes:
        parts = _PARTS.get(node.__class__)
        for field in _parts(node.__class__) if parts is None else parts:
            value = getattr(node, field, None)
            if value.__class__ is list:
                for item in value:
                    if isinstance(item, tree):
                        nodes.append(item)
            elif isinstance(value, tree):
                nodes.append(value)
        yield node


class Transformer(ast.NodeTransformer):
    """An `ast.NodeTransformer` that looks only where nodes may be. `visit_Load` and its like are never called."""

    def generic_visit(self, node):
        for field in _parts(node.__class__):
            old = getattr(node, field, None)
            if old.__class__ is list:
                new: list = []
                for item in old:
                    if isinstance(item, ast.AST):
                        item = self.visit(item)
                        if item is None:
                            continue
                        if not isinstance(item, ast.AST):
                            new.extend(item)
                            continue
                    new.append(item)
                old[:] = new
            elif isinstance(old, ast.AST):
                new_node = self.visit(old)
                if new_node is None:
                    delattr(node, field)
                else:
                    setattr(node, field, new_node)
        return node

    def visit_Constant(self, node):
        return node


# Fields of a node that never hold another one, but for `ctx`.
_PLAIN = {"arg", "attr", "ctx", "id", "kind", "level", "module", "name", "type_comment"}
_PARTS: dict = {}  # {class of a node: its fields that may hold others}


def _parts(kind: type) -> tuple:
    if kind not in _PARTS:
        plain = _PLAIN | ({"value"} if kind is ast.Constant else set())
        _PARTS[kind] = tuple(field for field in kind._fields if field not in plain)
    return _PARTS[kind]


def name(file: Path) -> str:
    return str(file.relative_to(ROOT)) if file.is_relative_to(ROOT) else str(file)


def parse(file: Path) -> ast.Module:
    """The syntax tree of a source file; BuildError names the line of a syntax fault."""
    try:
        return ast.parse(file.read_text(encoding="utf-8"), str(file))
    except SyntaxError as error:
        raise BuildError(f"{name(file)}:{error.lineno}: {error.msg}") from None


def constants(file: Path):
    """{name: integer, text or bytes} of a constants module, None when the file is something else."""
    stat = file.stat()
    return _constants_in(file, stat.st_mtime_ns, stat.st_size)


@cache
def _constants_in(file: Path, _time: int, _size: int):
    return constants_of(parse(file))


def constants_of(tree: ast.Module):
    """{name: integer, text or bytes} of the tree of a constants module, None when it is something else."""
    values = {}
    for node in tree.body:
        if is_const_import(node) or is_text(node):
            continue
        value = _constant(node, values)
        if value is None:
            return None
        values.update(value)
    return values or None


def _constant(node, known: dict):
    """{name: value} of `NAME = const(value)`, where the value is a text, bytes or an expression of integers, else None."""
    if not (
        isinstance(node, ast.Assign)
        and len(node.targets) == 1
        and isinstance(node.targets[0], ast.Name)
        and is_const(node.value)
        and len(node.value.args) == 1
    ):
        return None
    try:
        value = eval(
            compile(ast.Expression(node.value.args[0]), "const", "eval"),
            {"__builtins__": {}},
            dict(known),
        )
    except Exception:
        return None
    return {node.targets[0].id: value} if type(value) in (int, str, bytes) else None


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
