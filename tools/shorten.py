"""Shares names between modules: on the station each distinct one costs about 14 bytes of RAM for ever.

Private names (`_fill`) belong to their module, so every module may call its own `_0`, `_1`, ...; names of arguments
that nobody gives by keyword become `_a`, `_b`, ... The interpreter then stores those few once. A name stays as it is
where that would show: in a text, as a keyword, or when another module uses it. Classes that inherit from another
module share its private names. Only the .mpy tree is shortened, the sources for freezing are not: there, names are
in ROM. `names.json` says what is what when a traceback names `_7`.
"""

import ast
import string

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_ARGUMENTS = [f"_{letter}" for letter in string.ascii_lowercase]


def shorten(sources: dict) -> tuple:
    """({path: source}, {path: {short: name}}) for all modules of an image, {path: source}."""
    trees = {path: ast.parse(text) for path, text in sources.items()}
    groups = _groups(trees)
    defined = {path: _defined(tree) for path, tree in trees.items()}
    kept = set().union(*(_shown(tree) for tree in trees.values()))
    owners = {}
    for path, names in defined.items():
        for name in names:
            owners.setdefault(name, set()).add(groups[path])
    for path, tree in trees.items():
        kept |= {name for name in _attributes(tree) if groups[path] not in owners.get(name, ())}
    shorts = {}
    for group in set(groups.values()):
        own = set().union(*(defined[path] for path in sources if groups[path] == group)) - kept
        shorts[group] = {name: f"_{number}" for number, name in enumerate(sorted(own))}
    needed = kept.union(*(_interned(tree) for tree in trees.values()))
    result, legend = {}, {}
    for path, tree in trees.items():
        own = shorts[groups[path]]
        legend[path] = {own[name]: name for name in sorted(defined[path]) if name in own}
        result[path] = ast.unparse(_Names(own, needed).visit(tree)) + "\n"
    return result, legend


def _is_private(name: str) -> bool:
    return name.startswith("_") and len(name) > 1 and not name.startswith("__")


def _groups(trees: dict) -> dict:
    """{path: group}: modules whose classes inherit from each other are in one."""
    modules = {path.removesuffix(".py").replace("/", "."): path for path in trees}
    group = {path: path for path in trees}
    for path, tree in trees.items():
        known = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    inner = modules.get(f"{node.module}.{alias.name}")
                    known[alias.asname or alias.name] = inner or modules.get(node.module)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    known[alias.asname or alias.name.split(".")[0]] = modules.get(alias.name)
        for node in ast.walk(tree):
            for base in node.bases if isinstance(node, ast.ClassDef) else ():
                while isinstance(base, ast.Attribute):
                    base = base.value
                if target := known.get(getattr(base, "id", None)):
                    old, new = group[path], group[target]
                    group = {item: new if name == old else name for item, name in group.items()}
    return group


def _defined(tree) -> set:
    """The private names that a module defines; not its constants, which mpy-cross puts in place."""
    names, constants = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_own(node):
            names.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            if getattr(node.value.func, "id", "") == "const":
                constants |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {name for name in names - constants if _is_private(name)}


def _is_own(node) -> bool:
    """`self._name`"""
    return isinstance(node.value, ast.Name) and node.value.id == "self"


def _attributes(tree) -> set:
    """The private attributes that a module uses."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and _is_private(node.attr)
    }


def _shown(tree) -> set:
    """Names that show: whole texts, keywords, what imports bind, attributes of others."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)
        elif isinstance(node, ast.keyword) and node.arg:
            names.add(node.arg)
        elif isinstance(node, ast.arg) and _is_private(node.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Attribute) and _is_private(node.attr) and not _is_own(node):
            names.add(node.attr)
        elif isinstance(node, ast.alias):
            names |= {node.name, *node.name.split("."), node.asname or ""}
    return names


def _interned(tree) -> set:
    """Names that cost RAM whether an argument has them too or not."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
    for node in tree.body:
        names |= {
            target.id for target in ast.walk(node) if isinstance(target, ast.Name)
        } - _locals(node)
    return names


def _locals(node) -> set:
    """Names that are arguments or assigned inside a function somewhere below."""
    found = set()
    for inner in ast.walk(node):
        if isinstance(inner, _FUNCTIONS):
            for item in ast.walk(inner):
                if isinstance(item, ast.arg):
                    found.add(item.arg)
                elif isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store):
                    found.add(item.id)
    return found


class _Names(ast.NodeTransformer):
    """Puts the short names into a module's tree; annotations go, which MicroPython drops anyway."""

    def __init__(self, private: dict, needed: set):
        self._private = private
        self._needed = needed
        self._scopes = []  # of the functions around: {argument: short}

    def _short(self, name: str) -> str:
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        return self._private.get(name, name)

    def visit_Name(self, node):
        node.id = self._short(node.id)
        return node

    def visit_Attribute(self, node):
        self.generic_visit(node)
        node.attr = self._private.get(node.attr, node.attr)
        return node

    def visit_ClassDef(self, node):
        self.generic_visit(node)
        node.name = self._private.get(node.name, node.name)
        return node

    def visit_Nonlocal(self, node):
        node.names = [self._short(name) for name in node.names]
        return node

    def visit_Global(self, node):
        node.names = [self._private.get(name, name) for name in node.names]
        return node

    def visit_ExceptHandler(self, node):
        node.name = node.name and self._short(node.name)
        return self.generic_visit(node)

    def visit_AnnAssign(self, node):
        self.generic_visit(node)
        return (
            ast.Assign([node.target], node.value, lineno=node.lineno) if node.value else ast.Pass()
        )

    def _function(self, node):
        arguments = node.args
        # Decorators and defaults belong to the scope around.
        if not isinstance(node, ast.Lambda):
            node.decorator_list = [self.visit(item) for item in node.decorator_list]
        arguments.defaults = [self.visit(item) for item in arguments.defaults]
        arguments.kw_defaults = [item and self.visit(item) for item in arguments.kw_defaults]
        if not isinstance(node, ast.Lambda):
            node.name = self._short(node.name)
            node.returns = None
        listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        listed += [item for item in (arguments.vararg, arguments.kwarg) if item]
        for item in listed:
            item.annotation = None
        # A class inside would make attributes of the names that it sees.
        plain = not any(isinstance(inner, ast.ClassDef) for inner in ast.walk(node))
        taken = {short for scope in self._scopes for short in scope.values()}
        free = iter(short for short in _ARGUMENTS if short not in taken)
        scope = {item.arg: item.arg for item in listed}
        for item in listed:
            if plain and item.arg not in self._needed and item not in arguments.kwonlyargs:
                scope[item.arg] = next(free, item.arg)
        for item in listed:
            item.arg = scope[item.arg]
        self._scopes.append(scope)
        body = node.body if isinstance(node.body, list) else [node.body]
        body = [self.visit(item) for item in body]
        node.body = body if isinstance(node.body, list) else body[0]
        self._scopes.pop()
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _function
