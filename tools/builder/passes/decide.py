"""Puts what is known when an image is built into its place: what is hard-coded costs no code.

A variable that is read-only in this profile, neither measured nor kept by the station itself, has one value: `st.model.get(..)`
becomes that value; so does what the profile says (`st.profile.CACHE`). A function that gives the same whatever the rest of
the station is like (`points_of(st, ids.TX_TX_STOP_POINT)`) is run here, and its result stands where it was called. An attribute
that nothing in the image gives another value than one is that value, and one that nothing reads is not kept. Conditions on
all that are decided, what can never run goes, and `strip` drops what it needed.

Works on the joined modules, before `strip`. Takes for granted, like `inline`, that no local is read before it is assigned,
and that an index is within its list: of equal elements any will do.
"""

import ast
import builtins
import contextlib
import operator
from collections import Counter

from tools.builder.toolkit import (
    CORE,
    Transformer,
    copied,
    foreign,
    last,
    literal,
    private,
    tidy,
    walk,
)

_PLAIN = (int, bool, str, bytes, type(None))
_PURE = (
    "abs bool bytes int len max min ord range reversed sorted str sum tuple zip enumerate".split()
)
_ENDS = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_STATE = (ast.Yield, ast.YieldFrom, ast.Global, ast.Nonlocal, ast.Import, ast.ImportFrom)
_QUIET = (ast.Constant, ast.Name, ast.Attribute, ast.Compare, ast.BoolOp, ast.UnaryOp)
_QUIET += (ast.expr_context, ast.cmpop, ast.boolop, ast.unaryop)
_DECIDABLE = (
    ast.Name,
    ast.Attribute,
    ast.Subscript,
    ast.Compare,
    ast.UnaryOp,
    ast.BinOp,
    ast.BoolOp,
    ast.Call,
)
_SMALL = range(-16, 48)  # what bytecode says in one byte
# Of the profile: what the tools ask a board for, see `tools.flashing.selftest`.
TOLD = ("EVSES", "FLASH")
_UNKNOWN = object()
_OPERATORS = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda item, owner: item in owner,
    ast.NotIn: lambda item, owner: item not in owner,
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}


class _Unknown(BaseException):
    """It depends on what only the running station knows."""


def _refuse(*_):
    raise _Unknown


class _Something:
    """What a function is given here: the station, if it asks for what is known of that, or anything else."""

    def __init__(self, known: dict):
        self.__dict__["_known"] = known

    def __getattr__(self, name):
        if name in self._known:
            return self._known[name]
        raise _Unknown


for _name in (
    "bool eq ne lt le gt ge hash iter len getitem contains call str repr format index int".split()
):
    setattr(_Something, f"__{_name}__", _refuse)
for (
    _name
) in "add radd sub rsub mul rmul and rand or ror lshift rshift mod floordiv setattr".split():
    setattr(_Something, f"__{_name}__", _refuse)


def _is(one, other):
    if isinstance(one, _Something) or isinstance(other, _Something):
        raise _Unknown
    return one is other


class Facts:
    """What is known of a station: `values` {id: value} of its hard-coded variables, and `tables` {"profile": {name: value}, ..}
    of the generated modules."""

    def __init__(self, values: dict, tables: dict):
        self.values = values
        self.tables = tables

    def get(self, id, *place):
        if id not in self.values:
            raise _Unknown
        return self.values[id]


def decide(trees: dict, facts: Facts) -> dict:
    """{path: tree} with what is known put in place, for {path: tree} of an image."""
    told = set().union(*facts.tables.values())
    attributes = [node for tree in trees.values() for node in walk(tree) if _is_attribute(node)]
    stored = {node.attr for node in attributes if not isinstance(node.ctx, ast.Load)}
    for table in facts.tables.values():
        for name in stored & table.keys():
            del table[name]
    known = {name: _Something(table) for name, table in facts.tables.items()}
    station = _Something({"model": facts} | known)
    functions = _Functions(trees.get(CORE))
    settle = _Attributes(trees, told)
    for tree in trees.values():
        settle.visit(tree)
    for tree in trees.values():
        _Decider(_numbers(tree), facts, station, functions).visit(tree)
    named = Counter(
        node.attr for tree in trees.values() for node in walk(tree) if _is_attribute(node)
    )
    for tree in trees.values():
        _Mover(named, facts.tables).visit(tree)
    for tree in trees.values():
        tidy(tree)
    return trees


def _numbers(tree) -> dict:
    """{name: integer} of a module's constants."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = node.value
            if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "const":
                value = value.args[0]
                if isinstance(value, ast.Constant) and type(value.value) is int:
                    found[node.targets[0].id] = value.value
    return found


class _Functions:
    """The functions of the joined module that can be run here: compiled when one is asked for, with those that it names."""

    def __init__(self, core):
        self._space = {
            "__builtins__": {name: getattr(builtins, name) for name in _PURE},
            "_is": _is,
        }
        self._space |= _numbers(core) if core else {}
        self._waiting = {}
        for node in core.body if core else ():
            if isinstance(node, ast.FunctionDef) and not node.decorator_list:
                if not any(isinstance(inner, _STATE) for inner in walk(node)):
                    self._waiting[node.name] = node
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                for target in filter(lambda target: isinstance(target, ast.Name), node.targets):
                    self._space[target.id] = node.value.value
        self._known = set()

    def __getitem__(self, name: str):
        self._compile(name)
        if name not in self._known:
            raise KeyError(name)
        return self._space[name]

    def _compile(self, name: str) -> None:
        if name not in self._waiting:
            return
        tree = ast.Module([_Identity().visit(copied(self._waiting.pop(name)))], [])
        for node in walk(tree):
            if isinstance(node, ast.Name):
                self._compile(node.id)
        with contextlib.suppress(NameError):  # a default that only the station has
            exec(compile(ast.fix_missing_locations(tree), CORE, "exec"), self._space)
            self._known.add(name)


class _Identity(Transformer):
    """`a is b` through a function that knows what is not known."""

    def visit_Compare(self, node):
        self.generic_visit(node)
        if len(node.ops) > 1 or not isinstance(node.ops[0], (ast.Is, ast.IsNot)):
            return node
        call = ast.Call(ast.Name("_is", ast.Load()), [node.left, *node.comparators], [])
        return ast.UnaryOp(ast.Not(), call) if isinstance(node.ops[0], ast.IsNot) else call


class _Decider(Transformer):
    """Works on one module."""

    def __init__(self, numbers: dict, facts: Facts, station, functions: dict):
        self._numbers = numbers
        self._facts = facts
        self._station = station
        self._functions = functions

    def visit(self, node):
        node = super().visit(node)
        if not isinstance(node, _DECIDABLE):
            return node
        if isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del)):
            return node
        value = self._value(node)
        if value is _UNKNOWN or type(value) not in _PLAIN:
            return node
        if isinstance(node, ast.Attribute) and not isinstance(value, (int, type(None))):
            return node  # what takes room is not said twice
        return ast.Constant(value)

    def _value(self, node):
        """What an expression is for certain; _UNKNOWN."""
        try:
            return self._known(node)
        except (_Unknown, Exception):
            return _UNKNOWN

    def _known(self, node):
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self._numbers[node.id]
        if isinstance(node, ast.Attribute):
            return self._facts.tables[_table(node)][node.attr]
        elif isinstance(node, ast.Subscript):
            owner = self._known(node.value)
            if isinstance(owner, tuple) and owner and owner.count(owner[0]) == len(owner):
                if all(
                    isinstance(part, (*_QUIET, ast.BinOp, ast.operator))
                    for part in walk(node.slice)
                ):
                    return owner[0]
        elif isinstance(node, (ast.Compare, ast.UnaryOp)):
            if (
                _is_membership(node)
                and _is_quiet(node.left)
                and not self._known(node.comparators[0])
            ):
                return isinstance(node.ops[0], ast.NotIn)
            return self._computed(node)
        elif isinstance(node, ast.BinOp):
            value = self._computed(node)
            if isinstance(value, int):
                return value
        elif isinstance(node, ast.BoolOp):
            last = self._known(node.values[-1])
            stops = isinstance(node.op, ast.Or)
            if bool(last) == stops and all(_is_quiet(p) and _is_bool(p) for p in node.values[:-1]):
                return last
        elif isinstance(node, ast.Call) and not node.keywords:
            return self._called(node)
        raise _Unknown

    def _computed(self, node):
        if isinstance(node, ast.UnaryOp):
            return _OPERATORS[type(node.op)](self._known(node.operand))
        if isinstance(node, ast.BinOp):
            return _OPERATORS[type(node.op)](self._known(node.left), self._known(node.right))
        values = [self._known(part) for part in (node.left, *node.comparators)]
        return all(_OPERATORS[type(op)](a, b) for op, a, b in zip(node.ops, values, values[1:]))

    def _called(self, node):
        func = node.func
        if isinstance(func, ast.Attribute):
            if last(func.value) == "model" and func.attr == "get":
                if all(
                    isinstance(part, _QUIET + (ast.BinOp, ast.operator))
                    for arg in node.args
                    for part in walk(arg)
                ):
                    return self._facts.get(self._known(node.args[0]))
            elif getattr(func.value, "id", "") == "milliamp":
                return self._run(func.attr, node.args)
            elif isinstance(func.value, ast.Constant):
                return getattr(func.value.value, func.attr)(*map(self._known, node.args))
        elif func.id in ("len", "bool", "int", "min", "max"):
            return getattr(builtins, func.id)(*map(self._known, node.args))
        else:
            return self._run(func.id, node.args)
        raise _Unknown

    def _run(self, name: str, args: list):
        """What one of our functions gives, whatever is in variables."""
        given = []
        for arg in args:
            value = self._value(arg)
            if value is _UNKNOWN:
                if not all(isinstance(p, (ast.Name, ast.Attribute, ast.Load)) for p in walk(arg)):
                    raise _Unknown
                value = self._station
            given.append(value)
        return self._functions[name](*given)

    def visit_IfExp(self, node):
        self.generic_visit(node)
        test = self._value(node.test)
        return node if test is _UNKNOWN else node.body if test else node.orelse

    def visit_BoolOp(self, node):
        self.generic_visit(node)
        stops = isinstance(node.op, ast.Or)
        values = []
        for number, part in enumerate(node.values):
            value = self._value(part)
            if value is not _UNKNOWN and bool(value) != stops and number < len(node.values) - 1:
                continue
            values.append(part)
            if value is not _UNKNOWN and bool(value) == stops:
                break
        if len(values) > 1 and all(map(_is_bool, values[:-1])):
            value = self._value(values[-1])
            if isinstance(value, bool) and value != stops:
                values.pop()  # `a == b or False`
        node.values = values
        return node if len(values) > 1 else values[0]

    def visit_If(self, node):
        self.generic_visit(node)
        test = self._value(node.test)
        if test is not _UNKNOWN:
            return node.body if test else node.orelse
        if not node.orelse and _is_idle(node.body) and _is_quiet(node.test):
            return None
        node.body = node.body or [ast.Pass()]
        return node

    def visit_For(self, node):
        self.generic_visit(node)
        empty = self._value(node.iter) == () or _is_range_of_0(node.iter)
        return node.orelse if empty else node

    def visit_While(self, node):
        self.generic_visit(node)
        test = self._value(node.test)
        if test is not _UNKNOWN and not test:
            return node.orelse
        node.body = node.body or [ast.Pass()]
        return node

    def visit_Assign(self, node):
        self.generic_visit(node)
        same = len(node.targets) == 1 and isinstance(node.value, ast.Name)
        return (
            ast.Pass() if same and getattr(node.targets[0], "id", None) == node.value.id else node
        )

    def visit_Expr(self, node):
        self.generic_visit(node)
        return None if isinstance(node.value, ast.Constant) else node

    def generic_visit(self, node):
        super().generic_visit(node)
        for field in ("body", "orelse", "finalbody"):
            body = getattr(node, field, None)
            if isinstance(body, list):
                _cut(body)
                needed = field == "body" and isinstance(node, (ast.stmt, ast.ExceptHandler))
                if not body and (
                    needed
                    and not isinstance(node, (ast.If, ast.While))
                    or field == "finalbody"
                    and isinstance(node, ast.Try)
                    and not node.handlers
                ):
                    body.append(ast.Pass())
        return node

    def visit_FunctionDef(self, node):
        yields = _yields(node)
        before = copied(node.body) if yields else None
        while True:
            self.generic_visit(node)
            if yields and not _yields(node):  # it would be no generator any more
                node.body = before
                return node
            if not _settle(node):
                return node

    visit_AsyncFunctionDef = visit_FunctionDef


class _Attributes(Transformer):
    """Puts attributes in place that have one value wherever they are assigned, and assigns none that nothing reads. Not
    those whose name something else may have: a table, MicroPython, a function, a class or a module, or a text."""

    def __init__(self, trees: dict, known: set):
        values, read, others = {}, set(), known | foreign()
        nodes = [node for tree in trees.values() for node in walk(tree)]
        for node in nodes:
            if isinstance(node, ast.Assign):
                for target in filter(_is_attribute, node.targets):
                    copied = _is_attribute(node.value) and node.value.attr == target.attr
                    values[target] = [] if copied else [_simple(node.value)]
            elif isinstance(node, (ast.AugAssign, ast.Delete)):
                read.update(map(last, walk(node)))
            elif isinstance(node, ast.Constant):
                others.add(node.value)
            else:
                others.update((getattr(node, "name", None), getattr(node, "asname", None)))
        for place in (*trees.values(), *(n for n in nodes if isinstance(n, ast.ClassDef))):
            for node in place.body:
                others.update(map(last, getattr(node, "targets", ())))
        found = {}
        for node in filter(_is_attribute, nodes):
            if not isinstance(node.ctx, ast.Load):
                found.setdefault(node.attr, []).extend(values.get(node, [None]))
            elif _is_quiet(node.value):
                read.add(node.attr)
            else:
                others.add(node.attr)
        self._same = {
            name: given[0]
            for name, given in found.items()
            if given and None not in given and len({repr(item.value) for item in given}) == 1
        }
        self._same = {name: item for name, item in self._same.items() if name not in others}
        self._unread = found.keys() - read - others | self._same.keys()

    def visit_Attribute(self, node):
        self.generic_visit(node)
        if node.attr in self._same and isinstance(node.ctx, ast.Load) and _is_quiet(node.value):
            return ast.Constant(self._same[node.attr].value)
        return node

    def visit_Assign(self, node):
        node.value = self.visit(node.value)
        if _is_quiet(node.value) or _simple(node.value):
            node.targets = [target for target in node.targets if not self._is_unread(target)]
        return node if node.targets else ast.Pass()

    def _is_unread(self, target) -> bool:
        return _is_attribute(target) and _is_quiet(target.value) and target.attr in self._unread


def _simple(node):
    """A value that takes no room wherever it is said, as a constant; None."""
    if isinstance(node, ast.Tuple) and not node.elts:
        return ast.Constant(())
    if isinstance(node, ast.Constant) and (not node.value or isinstance(node.value, int)):
        return node
    return None


def _put(function, values: dict) -> None:
    """Put constants in the place of locals, in the body of a function."""

    class Put(Transformer):
        def visit_Name(self, node):
            return ast.Constant(values[node.id].value) if node.id in values else node

        def visit_Assign(self, node):
            if node.value in values.values() and getattr(node.targets[0], "id", None) in values:
                return ast.Pass()
            return self.generic_visit(node)

    if values:
        function.body = [Put().visit(node) for node in function.body]


class _Mover(Transformer):
    """Moves what is left of a table's values, and stands in one place only, to that place: a board's pins are on the heap
    only while it looks at them."""

    def __init__(self, named: Counter, tables: dict):
        self._count = named
        self._tables = tables

    def visit_Attribute(self, node):
        self.generic_visit(node)
        value = self._tables.get(_table(node), {}).get(node.attr)
        if value is None or self._count[node.attr] > 1 or not isinstance(node.ctx, ast.Load):
            return node
        return node if node.attr in TOLD else literal(value)


def _table(node) -> str:
    """The table that an attribute may be of: `st.profile.URL`, `self._profile.URL`."""
    return last(node.value).lstrip("_")


def _is_attribute(node) -> bool:
    return isinstance(node, ast.Attribute)


def _is_range_of_0(node) -> bool:
    return (
        isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "range"
        and [getattr(arg, "value", None) for arg in node.args] == [0]
    )


def _is_membership(node) -> bool:
    return isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.In, ast.NotIn))


def _cut(body: list) -> None:
    """Drop what stands behind the end of a list of statements."""
    for at, node in enumerate(body):
        if isinstance(node, _ENDS) or isinstance(node, ast.If) and _ends(node):
            del body[at + 1 :]
            return


def _ends(node) -> bool:
    """Does nothing behind a statement run?"""
    if isinstance(node, ast.If):
        return all(part and _ends(part[-1]) for part in (node.body, node.orelse))
    return isinstance(node, _ENDS)


def _is_idle(body: list) -> bool:
    return all(isinstance(node, ast.Pass) for node in body)


def _is_quiet(node) -> bool:
    """Does nothing happen but that it is computed?"""
    return all(isinstance(part, _QUIET) for part in walk(node))


def _is_bool(node) -> bool:
    """Is it True or False, and nothing else?"""
    return (
        isinstance(node, ast.Compare)
        or isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.Not)
    )


def _yields(function) -> bool:
    return any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in walk(function))


def _settle(function) -> bool:
    """Put locals that are only ever one constant in place. Was there one?"""
    constants = [
        node
        for node in walk(function)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    ]
    if not constants:
        return False
    own = private(function) - {
        node.arg for node in walk(function.args) if isinstance(node, ast.arg)
    }
    stores, loads = {}, {}
    for node in walk(function):
        if isinstance(node, ast.Name):
            kind = loads if isinstance(node.ctx, ast.Load) else stores
            kind.setdefault(node.id, []).append(node)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            own.difference_update(node.names)
        elif isinstance(node, ast.ExceptHandler):
            own.discard(node.name)
        elif isinstance(node, ast.alias):
            own.discard((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            own.discard(node.target.id)
    values = {}
    for node in constants:
        if (
            isinstance(node, ast.Assign)
            and len(node.targets) == 1
            and isinstance(node.value, ast.Constant)
        ):
            name = getattr(node.targets[0], "id", None)
            if name in own and len(stores[name]) == 1:
                count, value = len(loads.get(name, ())), node.value.value
                if (
                    not value
                    or isinstance(value, int)
                    and (value in _SMALL or count == 2)
                    or count < 2
                ):
                    values[name] = node.value

    _put(function, values)
    return bool(values)
