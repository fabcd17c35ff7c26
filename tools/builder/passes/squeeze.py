"""Says in fewer bytes of bytecode what the sources say so that people can read it.

- `x is not y` and `x not in y` become `not x is y` and `not x in y`: a jump turns round at no cost.
- `a <= b <= c` becomes `a <= b and b <= c`, where `b` is a name.
- `return a if c else b` becomes two returns, which need no jump.
- What follows an `if` that is left needs no `else`, behind which a function would end once more.
- `a, b = x, y` becomes two assignments, where nobody could tell.
- A private text of a module, `_WORDS = "a b"`, becomes a `const`: what mpy-cross puts in place is no global.
- `async with` a lock becomes `acquire` and `release`: all that it needs for anything else than a lock goes.

Works on the joined modules, before `shorten`.
"""

import ast
import copy
from collections import Counter

from tools.builder.passes.join import bound
from tools.builder.toolkit import walk

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES = (*_FUNCTIONS, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_DECLARED = (ast.Global, ast.Nonlocal)
_TURNED = {ast.IsNot: ast.Is, ast.NotIn: ast.In}


def squeeze(sources: dict) -> dict:
    """{path: source} that does the same, for {path: source} of an image."""
    trees = {path: ast.parse(text) for path, text in sources.items()}
    locks = _locks(list(trees.values()))
    _fold(list(trees.values()))
    return {
        path: ast.unparse(ast.fix_missing_locations(_Squeezer(locks).visit(tree))) + "\n"
        for path, tree in trees.items()
    }


def _fold(trees: list) -> None:
    """Make constants of private texts, and of tuples of such. They come first: mpy-cross knows those that it has seen."""
    asked = {getattr(node, "attr", None) for tree in trees for node in walk(tree)}
    asked |= {
        node.value for tree in trees for node in walk(tree) if isinstance(node, ast.Constant)
    }
    for tree in trees:
        bound = Counter()
        for node in walk(tree):
            if not isinstance(getattr(node, "ctx", None), ast.Load):
                bound.update(
                    {getattr(node, field, None) for field in ("id", "arg", "name", "asname")}
                )
            bound.update(getattr(node, "names", ()) if isinstance(node, _DECLARED) else ())
        folded = [
            node
            for node in tree.body
            if isinstance(node, ast.Assign)
            and (name := getattr(node.targets[0], "id", "")).startswith("_")
            and not name.startswith("__")
            and bound[name] == 1
            and name not in asked
            and _is_text(node.value)
        ]
        for node in folded:
            node.value = ast.Call(ast.Name("const", ast.Load()), [node.value], [])
        tree.body = folded + [node for node in tree.body if node not in folded]


def _is_text(node) -> bool:
    if isinstance(node, ast.Tuple):
        return all(map(_is_text, node.elts))
    return isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))


def _locks(trees: list) -> set:
    """The attributes that are an `asyncio.Lock()` somewhere: whatever else is called so, nobody enters it."""
    nodes = [node for tree in trees for node in walk(tree)]
    if any(getattr(node, "name", "") == "__aenter__" for node in nodes):
        return set()
    return {
        target.attr
        for node in nodes
        if isinstance(node, ast.Assign) and ast.unparse(node.value) == "asyncio.Lock()"
        for target in node.targets
        if isinstance(target, ast.Attribute)
    }


class _Squeezer(ast.NodeTransformer):
    """Rewrites one module. `locks`: attributes that are locks."""

    def __init__(self, locks: set):
        self._locks = locks
        self._own = set()  # locals of the function around that no other scope sees
        self._names = set()  # all that it has
        self._tries = 0  # statements around that may catch an exception

    def _function(self, node):
        around = self._own, self._names, self._tries
        self._own, self._names, self._tries = private(node), _named(node), 0
        self.generic_visit(node)
        self._own, self._names, self._tries = around
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def visit_Compare(self, node):
        self.generic_visit(node)
        if len(node.ops) == 1:
            turned = _TURNED.get(type(node.ops[0]))
            if turned is None:
                return node
            node.ops = [turned()]
            return ast.UnaryOp(ast.Not(), node)
        if not all(isinstance(middle, ast.Name) for middle in node.comparators[:-1]):
            return node
        lefts = [node.left, *copy.deepcopy(node.comparators[:-1])]
        pairs = zip(lefts, node.ops, node.comparators)
        return ast.BoolOp(ast.And(), [ast.Compare(a, [op], [b]) for a, op, b in pairs])

    def visit_Return(self, node):
        self.generic_visit(node)
        return _returns(node.value)

    def visit_If(self, node):
        self.generic_visit(node)
        if not _ends(node.body):
            return node
        rest, node.orelse = node.orelse, []
        return [node, *rest]

    def visit_Try(self, node):
        self._tries += 1
        self.generic_visit(node)
        self._tries -= 1
        return node

    visit_With = visit_Try

    def visit_Assign(self, node):
        self.generic_visit(node)
        targets = getattr(node.targets[0], "elts", ())
        values = getattr(node.value, "elts", ())
        if len(node.targets) > 1 or not targets or len(targets) != len(values):
            return node
        pairs = list(zip(targets, values))
        if all(self._is_apart(target, pairs[at + 1 :]) for at, (target, _) in enumerate(pairs)):
            return [ast.Assign([target], value) for target, value in pairs]
        return node

    def _is_apart(self, target, later) -> bool:
        """May it be assigned before the values of `later` are known?"""
        values = [value for _, value in later]
        plain = all(isinstance(value, (ast.Name, ast.Constant)) for value in values)
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            known = {value.id for value in values if isinstance(value, ast.Name)} <= self._own
            return plain and known and target.value.id in self._own
        if not isinstance(target, ast.Name) or target.id not in self._own:
            return False
        if not plain and self._tries:
            return False
        inner = [name for value in values for name in walk(value)]
        if any(isinstance(name, (ast.Starred, ast.NamedExpr)) for name in inner):
            return False
        return all(getattr(name, "id", None) != target.id for name in inner)

    def visit_AsyncWith(self, node):
        self.visit_Try(node)
        lock = node.items[0].context_expr
        if len(node.items) > 1 or node.items[0].optional_vars:
            return node
        if not isinstance(lock, ast.Attribute) or lock.attr not in self._locks:
            return node
        name = "lock"
        while name in self._names:
            name += "_"
        self._names.add(name)

        def call(method):
            return ast.Call(ast.Attribute(ast.Name(name, ast.Load()), method, ast.Load()), [], [])

        return [
            ast.Assign([ast.Name(name, ast.Store())], lock),
            ast.Expr(ast.Await(call("acquire"))),
            ast.Try(node.body, [], [], [ast.Expr(call("release"))]),
        ]


def _returns(value) -> list:
    """Statements that return a value, which may be one of several."""
    if not isinstance(value, ast.IfExp):
        return [ast.Return(value)]
    return [ast.If(value.test, _returns(value.body), []), *_returns(value.orelse)]


def _ends(body: list) -> bool:
    """Does nothing behind these statements run?"""
    last = body[-1]
    if isinstance(last, ast.If):
        return bool(last.orelse) and _ends(last.body) and _ends(last.orelse)
    return isinstance(last, (ast.Return, ast.Raise, ast.Break, ast.Continue))


def _named(function) -> set:
    return {
        name
        for node in walk(function)
        for name in (
            getattr(node, "id", None),
            getattr(node, "arg", None),
            getattr(node, "name", None),
        )
        if isinstance(name, str)
    }


def private(function) -> set:
    """The locals of a function that no scope inside of it has."""
    own = bound(function.body) | {
        node.arg for node in walk(function.args) if isinstance(node, ast.arg)
    }
    for node in walk(function):
        if node is not function and isinstance(node, (*_SCOPES, *_COMPREHENSIONS)):
            own -= {inner.id for inner in walk(node) if isinstance(inner, ast.Name)}
    return own
