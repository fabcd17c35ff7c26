"""Puts functions that are called from one place into that place: on the station a function costs about 40 bytes of RAM.

Works on the joined modules, before `mangle`. A function goes where it is called if nothing else names it, the call is
the first thing that its statement evaluates, and its returns can be written as branches: `if a: return b` makes an
`else` of the rest. A method goes if it is `self` that calls it, or if no other class has one of its name. What this cannot
follow stays a function: it is never a fault.

It takes for granted that no local is read before it is assigned, and that the words of texts are all that the names
given to `getattr` are made of.
"""

import ast
from collections import Counter

from tools.builder.toolkit import (
    FUNCTIONS,
    SCOPES,
    Transformer,
    bound,
    copied,
    foreign,
    is_special,
    is_text,
    last,
    parameters,
    walk,
    words,
)

_BARRED = (*SCOPES, ast.Global, ast.Nonlocal, ast.Yield, ast.YieldFrom, ast.NamedExpr)
_OWN_FRAME = {"super", "__class__", "locals", "vars", "dir", "eval", "exec"}  # ask where they are
_EATERS = {"sum", "any", "all", "max", "min", "tuple", "list", "set", "sorted", "bytes"}


class _Stays(Exception):
    """This function cannot go where it is called."""


def inline(trees: dict) -> dict:
    """{path: tree} with the functions that are called once put in place, for {path: tree} of an image."""
    uses = _Uses(trees)
    for path, tree in trees.items():
        _Module(path, tree, uses).work()
    return trees


class _Uses:
    """Who names what, over all modules."""

    def __init__(self, trees: dict):
        self.names = {path: Counter() for path in trees}  # by module
        self.attributes = Counter()  # also what is imported, and the words of texts
        self.own = Counter()  # (class, attribute) of `self` in a class that has such a method
        self.methods = Counter()  # in how many classes
        self.unsure = set()  # attributes that may be something else than a method
        self.values = set()  # what is more than called: a class has heirs, or another name
        for path, tree in trees.items():
            plain = set()  # ids of nodes that are only called, caught or asked for something
            for node in walk(tree):
                if isinstance(node, ast.Call):
                    plain.add(id(node.func))
                    if getattr(node.func, "id", "") == "isinstance":
                        plain.update(map(id, walk(node)))
                elif isinstance(node, ast.Attribute):
                    plain.add(id(node.value))
                elif isinstance(node, ast.ExceptHandler) and node.type:
                    plain.update(map(id, walk(node.type)))
            for node in walk(tree):
                self._see(path, node)
                if isinstance(node, (ast.Name, ast.Attribute)) and id(node) not in plain:
                    self.values.add(node.id if isinstance(node, ast.Name) else node.attr)

    def _see(self, path: str, node):
        if isinstance(node, ast.Name):
            self.names[path][node.id] += 1
        elif isinstance(node, ast.Attribute):
            self.attributes[node.attr] += 1
            if not isinstance(node.ctx, ast.Load):
                self.unsure.add(node.attr)
        elif isinstance(node, ast.alias):
            self.attributes.update(words(node.name))
            if node.asname:
                self.values.update(words(node.name))
        elif isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
            self.attributes.update(words(node.value))
        elif isinstance(node, ast.ClassDef):
            self._see_class(node)

    def _see_class(self, node):
        methods = [item for item in node.body if isinstance(item, FUNCTIONS)]
        names = {item.name for item in methods}
        self.methods.update(names)
        for item in node.body:
            if item not in methods:  # what else the class's body names and binds
                self.unsure |= _idents(item)
            else:
                outer = [*item.decorator_list, *item.args.defaults, *item.args.kw_defaults]
                self.unsure.update(*(_idents(part) for part in outer if part))
        self.unsure.update(name for name in names if [m.name for m in methods].count(name) > 1)
        for method in methods:
            if _has_self(method):
                for inner in walk(method):
                    if _is_own(inner) and inner.attr in names:
                        self.own[node.name, inner.attr] += 1

    def function(self, path: str, name: str) -> int:
        """How often a function of a module is named."""
        return self.names[path][name] + self.attributes[name]

    def method(self, owner, name: str) -> int:
        """How often a method is named; at least 2 where that cannot be told."""
        if owner.name in self.values or name in self.unsure or name in foreign():
            return 2
        if any(getattr(base, "id", "") not in ("Exception", "object") for base in owner.bases):
            return 2
        # Only `self` says whose it is, and every use must be such a one: others may have it too.
        resolved = sum(count for (_, attribute), count in self.own.items() if attribute == name)
        if resolved == self.attributes[name]:
            return self.own[owner.name, name]
        return self.attributes[name] if self.methods[name] == 1 else 2  # else there is no other


def _is_own(node) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


def _has_self(method) -> bool:
    """Is `self` the object everywhere in a method?"""
    listed = [node.arg for node in walk(method) if isinstance(node, ast.arg)]
    first = parameters(method)[:1] == ["self"] and listed.count("self") == 1
    stored = (
        isinstance(node, ast.Name) and node.id == "self" and not isinstance(node.ctx, ast.Load)
        for node in walk(method)
    )
    return first and not method.decorator_list and not any(stored)


class _Module:
    """One module, in which functions are put in place."""

    def __init__(self, path: str, tree, uses: _Uses):
        # What may change while another function runs.
        self._shared = {
            name
            for node in walk(tree)
            if isinstance(node, (ast.Global, ast.Nonlocal))
            for name in node.names
        }
        bindings = Counter(name for node in tree.body for name in bound([node]))
        self._body = {}  # name, or (class, name): (list that holds it, node)
        self._once = {}  # the same for those that are named once, by name
        for node in tree.body:
            if isinstance(node, FUNCTIONS):
                self._body[None, node.name] = tree.body, node
                if uses.function(path, node.name) == 1 == bindings[node.name]:
                    self._once[None, node.name] = node
            elif isinstance(node, ast.ClassDef):
                for item in node.body:
                    if isinstance(item, FUNCTIONS):
                        self._body[node.name, item.name] = node.body, item
                        if uses.method(node, item.name) == 1:
                            self._once[node.name, item.name] = item
        self._sole = {name: (owner, name) for owner, name in self._once if owner}
        self._done = set()

    def work(self):
        """Put all in place, callees before their callers."""
        for key in list(self._body):
            self._visit(key)

    def _visit(self, key):
        if key in self._done or key not in self._body:
            return
        self._done.add(key)
        caller = self._body[key][1]
        if caller.decorator_list:
            return  # it may be compiled in another way
        tried = {key}
        while found := self._call_in(caller, key[0], tried):
            callee, site = found
            tried.add(callee)
            self._visit(callee)
            if callee not in self._body:
                continue
            home, node = self._body[callee]
            try:
                _put(caller, node, site, self._shared)
            except _Stays:
                continue
            home.remove(node)
            if not home:
                home.append(ast.Pass())
            del self._body[callee]

    def _call_in(self, caller, owner, tried):
        """(key, call) of a call of what is named once, None when there is none left."""
        taken = _locals(caller)
        for node in walk(caller):
            if isinstance(node, ast.Call):
                key = self._key(node.func, caller, owner, taken)
                if key and key in self._once and key not in tried:
                    return key, node
        return None

    def _key(self, func, caller, owner, taken):
        if isinstance(func, ast.Name) and func.id not in taken:
            return None, func.id
        if owner and _is_own(func) and _has_self(caller):
            return owner, func.attr
        if isinstance(func, ast.Attribute) and isinstance(func.value, (ast.Name, ast.Attribute)):
            key = self._sole.get(func.attr)  # of an object, and not by the class's name
            return key if key and last(func.value) not in (key[0], "self") else None
        return None


def _put(caller, callee, call, shared: set) -> None:
    """Replace the statement with `call` in the caller by the body of the callee; _Stays."""
    if callee.decorator_list or is_special(callee.name):
        raise _Stays
    body = [node for node in copied(callee.body) if not is_text(node)]
    inner = [node for statement in body for node in walk(statement)]
    if any(isinstance(node, _BARRED) for node in inner) or _escapes(inner):
        raise _Stays
    taken = _locals(caller)
    free = {node.id for node in inner if isinstance(node, ast.Name)} - _locals(callee)
    if free & (taken | _OWN_FRAME):
        raise _Stays  # a global of the one is a local of the other
    holder, at, unit = _site(caller, call, isinstance(callee, ast.AsyncFunctionDef), shared)
    before, given = _bind(callee, call, taken - shared)
    used = taken | free | _idents(caller)
    body = _renamed(body, _locals(callee), given, used)
    before = [
        ast.Assign([ast.Name(_fresh(name, given, used), ast.Store())], value)
        for name, value in before
    ]
    statement = holder[at]
    expression = getattr(statement, "value", None)
    if isinstance(statement, ast.Return) and expression is unit:
        after = body if _ends(body) else [*body, ast.Return(None)]
    elif isinstance(statement, ast.Expr) and expression is unit:
        after = _tail(body, _drop)
    elif isinstance(statement, ast.Assign) and expression is unit and _is_plain(statement, inner):
        targets = statement.targets
        after = _tail(body, lambda value: [ast.Assign(copied(targets), value or _NONE())])
    elif len(body) == 1 and isinstance(body[0], ast.Return) and body[0].value and not before:
        after = [_Swap(unit, body[0].value).visit(statement)]
    else:
        given[""] = name = _unused("value", used)
        after = _tail(
            body, lambda value: [ast.Assign([ast.Name(name, ast.Store())], value or _NONE())]
        )
        after.append(_Swap(unit, ast.Name(name, ast.Load())).visit(statement))
    over = any(isinstance(node, ast.Return) for node in holder[at : at + 2])
    if isinstance(caller, ast.AsyncFunctionDef) and not over:
        # A task lives long: what a function let go of at its end it lets go of, too.
        for name in sorted(set(given.values()) & _held([*before, *after])):
            after.append(ast.Assign([ast.Name(name, ast.Store())], _NONE()))
    holder[at : at + 1] = [*before, *after] or [ast.Pass()]


def _held(body: list) -> set:
    """The locals that statements bind to what may be on the heap; a number hardly is."""
    heavy = bound(body)
    assigned = {}
    for node in (inner for statement in body for inner in walk(statement)):
        if isinstance(node, (ast.Assign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            value = node.value
        elif isinstance(node, ast.For):
            is_range = getattr(getattr(node.iter, "func", None), "id", "") == "range"
            targets, value = [node.target], ast.Constant(0) if is_range else node.iter
        else:
            targets = [node] if isinstance(node, ast.ExceptHandler) else []
            value = node
        for target in targets:
            known = isinstance(target, ast.Name)
            for inner in [target] if known else walk(target):
                name = getattr(inner, "id", getattr(inner, "name", None))
                assigned.setdefault(name, []).append(value if known else None)
    while light := {
        name
        for name in heavy
        if name in assigned and all(_is_number(v, heavy, assigned) for v in assigned[name])
    }:
        heavy -= light
    return heavy


def _is_number(value, heavy: set, assigned: dict) -> bool:
    """Is it a number, a truth or a constant, for certain?"""

    def every(*parts):
        return all(_is_number(part, heavy, assigned) for part in parts)

    if isinstance(value, ast.Name):
        return value.id in assigned and value.id not in heavy
    if isinstance(value, ast.BinOp):
        plain = isinstance(value.op, (ast.Sub, ast.BitAnd, ast.RShift, ast.FloorDiv))
        return plain or every(value.left, value.right)
    if isinstance(value, ast.BoolOp):
        return every(*value.values)
    if isinstance(value, ast.IfExp):
        return every(value.body, value.orelse)
    if isinstance(value, ast.UnaryOp):
        return isinstance(value.op, ast.Not) or every(value.operand)
    if isinstance(value, ast.Call):
        return getattr(value.func, "id", "") == "len"
    return isinstance(value, (ast.Constant, ast.Compare))


def _NONE():
    return ast.Constant(None)


def _drop(value):
    return (
        [] if value is None or isinstance(value, (ast.Constant, ast.Name)) else [ast.Expr(value)]
    )


def _is_plain(statement, inner: list) -> bool:
    """May an assignment stand where a function returns: several times, and in its `try`?"""
    targets = [node for target in statement.targets for node in walk(target)]
    if any(isinstance(node, ast.Try) for node in inner):
        return all(isinstance(target, ast.Name) for target in statement.targets)
    return not any(isinstance(node, (ast.Call, ast.Await)) for node in targets)


def _escapes(inner: list) -> bool:
    """Could a generator expression outlive the statement in which it stands?"""
    eaten = set()
    for node in inner:
        if isinstance(node, ast.For):
            eaten.add(id(node.iter))
        elif isinstance(node, ast.Call):
            if getattr(node.func, "id", "") in _EATERS or getattr(node.func, "attr", "") == "join":
                eaten.update(map(id, node.args))
    return any(isinstance(node, ast.GeneratorExp) and id(node) not in eaten for node in inner)


def _locals(function) -> set:
    return bound(function.body) | set(parameters(function))


def _idents(node) -> set:
    """All names in a piece of source."""
    found = set()
    for inner in walk(node):
        for field in ("id", "arg", "name", "asname", "names"):
            value = getattr(inner, field, None)
            found.update([value] if isinstance(value, str) else [])
            found.update(name for name in value or () if isinstance(name, str))
    return found


def _bind(callee, call, steady: set):
    """What the parameters are: ([(name, expression)] to be assigned, {name: expression} to stand for it).

    `steady`: locals of the caller, which only the caller changes.
    """
    a = callee.args
    if a.vararg or a.kwarg:
        raise _Stays
    if any(isinstance(node, (ast.Starred, ast.NamedExpr)) for node in walk(call)):
        raise _Stays
    names = [argument.arg for argument in (*a.posonlyargs, *a.args)]
    defaults = dict(zip(names[len(names) - len(a.defaults) :], a.defaults))
    values = [call.func.value] if isinstance(call.func, ast.Attribute) else []
    values += call.args
    if len(values) > len(names):
        raise _Stays
    names += [argument.arg for argument in a.kwonlyargs]
    defaults.update(
        {argument.arg: value for argument, value in zip(a.kwonlyargs, a.kw_defaults) if value}
    )
    given = dict(zip(names, values))
    for keyword in call.keywords:
        if keyword.arg is None or keyword.arg in given:
            raise _Stays
        given[keyword.arg] = keyword.value
    if set(given) - set(names):
        raise _Stays
    assigned = bound(callee.body)
    before, stand = [], {}
    # In the order in which the call evaluates them.
    for name in [*given, *(name for name in names if name not in given)]:
        if name not in given and name not in defaults:
            raise _Stays
        value = given.get(name, defaults.get(name))
        if name not in given and not isinstance(value, ast.Constant):
            raise _Stays
        plain = isinstance(value, ast.Constant) and not isinstance(value.value, (str, bytes))
        plain = plain or isinstance(value, ast.Name) and value.id in steady
        if plain and name not in assigned:
            stand[name] = value
        else:
            before.append((name, value))
    return before, stand


def _unused(name: str, used: set) -> str:
    number = 0
    new = name
    while new in used:
        number += 1
        new = f"{name}_{number}"
    used.add(new)
    return new


def _fresh(name: str, given: dict, used: set) -> str:
    if not isinstance(given.get(name), str):
        given[name] = _unused(name, used)
    return given[name]


def _renamed(body, own: set, given: dict, used: set):
    """The body with its locals as names that the caller does not use. `given` gets the new names."""
    stand = dict(given)
    given.clear()

    class Rename(Transformer):
        def visit_Name(self, node):
            if node.id in stand:
                if not isinstance(node.ctx, ast.Load):
                    raise _Stays
                return copied(stand[node.id])
            if node.id in own:
                node.id = _fresh(node.id, given, used)
            return node

        def visit_ExceptHandler(self, node):
            if node.name:
                node.name = _fresh(node.name, given, used)
            return self.generic_visit(node)

        def visit_alias(self, node):
            name = (node.asname or node.name).split(".")[0]
            if name in used and given.get(name) != name:
                raise _Stays
            given[name] = name
            used.add(name)
            return node

    # Imports first: their names cannot change.
    for node in (inner for statement in body for inner in walk(statement)):
        if isinstance(node, ast.alias):
            Rename().visit_alias(node)
    return [Rename().visit(statement) for statement in body]


def _site(caller, call, is_async: bool, shared: set):
    """(list of statements, index, the call or its await) where the call is what a statement evaluates first."""
    todo = [caller.body]
    while todo:
        statements = todo.pop()
        for at, statement in enumerate(statements):
            if unit := _unit(statement, call, is_async, shared):
                return statements, at, unit
            if not isinstance(statement, SCOPES):
                for part in (statement, *getattr(statement, "handlers", ())):
                    for field in ("body", "orelse", "finalbody"):
                        todo.append(getattr(part, field, []))
    raise _Stays


def _unit(statement, call, is_async: bool, shared: set):
    if isinstance(statement, (ast.Expr, ast.Assign, ast.Return)):
        first = statement.value
    elif isinstance(statement, ast.If):
        first = statement.test
    elif isinstance(statement, ast.For):
        first = statement.iter
    elif isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
        # The target is read before the value is computed, but only the caller changes its locals.
        first = None if statement.target.id in shared else statement.value
    else:
        return None
    while first is not None:
        if first is call:
            return None if is_async else first
        if isinstance(first, ast.Await) and first.value is call and is_async:
            return first
        if isinstance(first, ast.Call) and getattr(first.func, "id", "") in shared:
            return None
        first = _first(first)
    return None


def _first(node):
    """What an expression evaluates first, passing over what cannot change."""
    if isinstance(node, (ast.Await, ast.Attribute, ast.Subscript, ast.Starred)):
        return node.value
    if isinstance(node, ast.UnaryOp):
        return node.operand
    if isinstance(node, ast.BinOp):
        return node.right if isinstance(node.left, ast.Constant) else node.left
    if isinstance(node, ast.Compare):
        return node.left if not isinstance(node.left, ast.Constant) else node.comparators[0]
    if isinstance(node, ast.BoolOp):
        return node.values[0]
    if isinstance(node, ast.IfExp):
        return node.test
    if isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Name):
            return node.func
        parts = [*node.args, *(keyword.value for keyword in node.keywords)]
    elif isinstance(node, (ast.Tuple, ast.List)):
        parts = node.elts
    else:
        return None
    for part in parts:
        if not isinstance(part, ast.Constant):
            return part
    return None


class _Swap(Transformer):
    """One expression instead of another."""

    def __init__(self, old, new):
        self._old = old
        self._new = new

    def visit(self, node):
        return self._new if node is self._old else self.generic_visit(node)


def _ends(body) -> bool:
    """Does it never come to its end?"""
    if not body:
        return False
    last = body[-1]
    if isinstance(last, (ast.Return, ast.Raise)):
        return True
    if isinstance(last, ast.If):
        return _ends(last.body) and _ends(last.orelse)
    if isinstance(last, ast.Try) and not last.finalbody:
        return _ends(last.body + last.orelse) and all(_ends(part.body) for part in last.handlers)
    return False


def _returns(node) -> bool:
    return any(isinstance(inner, ast.Return) for inner in walk(node))


def _tail(body, emit) -> list:
    """The statements with `emit(value)` for each return, at whose place nothing more follows."""
    out = []
    for at, node in enumerate(body):
        rest = body[at + 1 :]
        if isinstance(node, ast.Return):
            return out + emit(node.value)
        if not _returns(node):
            out.append(node)
            if isinstance(node, ast.Raise):
                return out
            continue
        if isinstance(node, ast.If):
            _branch(node, rest, emit)
        elif isinstance(node, ast.Try) and not node.finalbody:
            _attempt(node, rest, emit)
        else:
            raise _Stays
        return [*out, node]
    return out + emit(None)


def _branch(node, rest, emit):
    body, orelse = node.body, node.orelse
    if rest and not _ends(body) and not _ends(orelse):
        raise _Stays  # it would be there twice
    node.body = _tail(body if _ends(body) else body + rest, emit) or [ast.Pass()]
    node.orelse = _tail(orelse if _ends(orelse) else orelse + rest, emit)


def _attempt(node, rest, emit):
    if any(map(_returns, node.body)):
        if node.orelse or (rest and not _ends([node])):
            raise _Stays
        node.body = _tail(node.body, emit) or [ast.Pass()]
    elif all(_ends(part.body) for part in node.handlers):
        node.orelse = _tail(node.orelse + rest, emit)
    elif rest:
        raise _Stays
    else:
        node.orelse = _tail(node.orelse, emit)
    for part in node.handlers:
        part.body = _tail(part.body, emit) or [ast.Pass()]
