"""Says the same in less bytecode, where that is plain to see.

- A private text of a module, `_WORDS = "a b"`, or a tuple of such, becomes a `const`: what mpy-cross puts in place is no
  global, and costs no row in its module's table. They come first: mpy-cross knows those that it has seen.
- `x is not y` and `x not in y` become `not x is y` and `not x in y`: a jump turns round at no cost.
- A function whose result nobody looks at ends by giving what its last call gave, not by dropping that for None.
- `async with` a lock becomes `acquire` and `release`: all that it needs for anything else than a lock goes.

Works on the joined modules, before `mangle`.
"""

import ast
from collections import Counter

from tools.builder.toolkit import FUNCTIONS, Transformer, foreign, is_special, walk, words

_TURNED = {ast.IsNot: ast.Is, ast.NotIn: ast.In}


def compact(trees: dict) -> dict:
    """{path: tree} that does the same, for {path: tree} of an image."""
    nodes = [node for tree in trees.values() for node in walk(tree)]
    _make_constants(trees, nodes)
    looked_at = _looked_at(nodes)
    for node in nodes:
        if isinstance(node, FUNCTIONS) and node.name not in looked_at and _gives_none(node):
            _give(node.body)
    locks = _locks(nodes)
    return {path: _Compact(locks).visit(tree) for path, tree in trees.items()}


def _make_constants(trees: dict, nodes: list) -> None:
    asked = {getattr(node, "attr", None) for node in nodes}
    asked |= {node.value for node in nodes if isinstance(node, ast.Constant)}
    for tree in trees.values():
        bound = _bound(tree)
        made = [
            node
            for node in tree.body
            if isinstance(node, ast.Assign)
            and (name := getattr(node.targets[0], "id", "")).startswith("_")
            and not name.startswith("__")
            and bound[name] == 1
            and name not in asked
            and _is_words(node.value)
        ]
        for node in made:
            node.value = ast.Call(ast.Name("const", ast.Load()), [node.value], [])
        tree.body = made + [node for node in tree.body if node not in made]


def _bound(tree) -> Counter:
    """How often each name is bound, in whatever scope."""
    found: Counter = Counter()
    for node in walk(tree):
        if not isinstance(getattr(node, "ctx", None), ast.Load):
            found.update({getattr(node, field, None) for field in ("id", "arg", "name", "asname")})
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            found.update(node.names)
    return found


def _is_words(node) -> bool:
    """A text, or a tuple of such?"""
    if isinstance(node, ast.Tuple):
        return all(map(_is_words, node.elts))
    return isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))


def _looked_at(nodes: list) -> set:
    """The names of functions whose result may be looked at: what is more than called by a statement of its own."""
    called = {id(call.func) for node in nodes if (call := _call(node))}
    found = set(foreign())
    for node in nodes:
        if isinstance(node, (ast.Name, ast.Attribute)) and id(node) not in called:
            found.add(getattr(node, "attr", getattr(node, "id", "")))
        elif isinstance(node, ast.alias):
            found.update(words(node.name))
        elif isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
            found.update(words(node.value))
    return found


def _call(statement):
    """The call, awaited or not, that a statement is; None."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    value = value.value if isinstance(value, ast.Await) else value
    return value if isinstance(value, ast.Call) else None


def _gives_none(function) -> bool:
    """Does it never give anything else, and is it no generator?"""
    return not (function.decorator_list or is_special(function.name)) and not any(
        isinstance(node, (ast.Yield, ast.YieldFrom))
        or isinstance(node, ast.Return)
        and node.value is not None
        for node in walk(function)
    )


def _give(body: list) -> None:
    """Give what is called last, by whatever branch that is."""
    if len(body) > 1 and isinstance(body[-1], ast.Return) and _call(body[-2]):
        del body[-1]
    if body and _call(body[-1]):
        body[-1] = ast.Return(body[-1].value)
    elif body and isinstance(body[-1], ast.If):
        _give(body[-1].body)
        _give(body[-1].orelse)


def _locks(nodes: list) -> set:
    """The attributes that are an `asyncio.Lock()` somewhere: whatever else is called so, nobody enters it."""
    if any(getattr(node, "name", "") == "__aenter__" for node in nodes):
        return set()
    return {
        target.attr
        for node in nodes
        if isinstance(node, ast.Assign) and _is_lock(node.value)
        for target in node.targets
        if isinstance(target, ast.Attribute)
    }


def _is_lock(node) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node) == "asyncio.Lock()"


class _Compact(Transformer):
    """Rewrites one module. `locks`: attributes that are locks."""

    def __init__(self, locks: set):
        self._locks = locks
        self._function = None  # the one around

    def _visit_function(self, node):
        around, self._function = self._function, node
        self.generic_visit(node)
        self._function = around
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = _visit_function

    def visit_Compare(self, node):
        self.generic_visit(node)
        turned = _TURNED.get(type(node.ops[0]))
        if turned is None or len(node.ops) > 1:
            return node
        node.ops = [turned()]
        return ast.UnaryOp(ast.Not(), node)

    def visit_AsyncWith(self, node):
        self.generic_visit(node)
        lock = node.items[0].context_expr
        if len(node.items) > 1 or node.items[0].optional_vars:
            return node
        if not isinstance(lock, ast.Attribute) or lock.attr not in self._locks:
            return node
        name = "lock"
        while name in _named(self._function):
            name += "_"

        def call(method):
            return ast.Call(ast.Attribute(ast.Name(name, ast.Load()), method, ast.Load()), [], [])

        return [
            ast.Assign([ast.Name(name, ast.Store())], lock),
            ast.Expr(ast.Await(call("acquire"))),
            ast.Try(node.body, [], [], [ast.Expr(call("release"))]),
        ]


def _named(function) -> set:
    """All names in a function."""
    return {
        getattr(node, field)
        for node in walk(function)
        for field in ("id", "arg", "name")
        if isinstance(getattr(node, field, None), str)
    }
