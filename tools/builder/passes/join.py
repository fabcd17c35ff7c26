"""Joins the station's modules into one: on the station each module costs about 200 bytes of RAM for ever.

A module of its own has an object, a dict, a path, a row in the table of modules, a slot for each import, and a table
of all names it uses, two bytes each. The modules of `milliamp` that the station needs from its start become one,
`milliamp/__init__.py`, in the order in which they import each other. `step` of `domain/charging.py` is
`_charging__step` there, and `charging.step(..)` elsewhere becomes that name; `mangle` makes it `_7`. What is only
imported inside a function stays a module, as does every block. Numbers that are never assigned again are put in
place. Whatever this cannot follow is a BuildError, not a guess.

A board and its drivers become one module `board` in the same way: `Charger` of `charger.py` is `_charger__Charger` there.
The build ships a driver only where the profile has its part, so drivers that are imported inside a function join it, too.

The generated tables become one module of as few classes as their names allow: `tables.profile.URL` stays what it is.
"""

import ast

from tools import BuildError
from tools.builder.toolkit import (
    BLOCKS,
    BOARD,
    CORE,
    FUNCTIONS,
    PACKAGE,
    TABLES,
    Transformer,
    bound,
    dotted,
    is_error,
    walk,
)

_PACKAGE = "tables/"


def join(trees: dict, drivers=()) -> dict:
    """{path: tree} with the core's modules joined, for {path: tree} of all modules of an image; so are the board and its
    `drivers` (paths), if it has any."""
    image = _Image(_joined_tables(trees), drivers)
    joined, rest = {}, {}
    for home, order in image.orders.items():
        body, used = image.externals(order), set()
        for path in order:
            rewriter = _Rewriter(image, path)
            body += rewriter.visit(image.trees[path]).body
            used |= rewriter.used
        joined[home] = ast.Module([*_imports_of(used), *body], [])
    for path, tree in image.trees.items():
        if path not in image.homes:
            rest[path] = _Rewriter(image, path).visit(tree)
    return {**joined, **rest}


def _imports_of(names) -> list:
    return [ast.Import([ast.alias(name)]) for name in sorted(names)]


def _joined_tables(trees: dict) -> dict:
    """The same, with one class for each module of plain values in the package of the tables."""
    tables = {
        path.removeprefix(_PACKAGE).removesuffix(".py"): tree
        for path, tree in trees.items()
        if path.startswith(_PACKAGE)
    }
    if not tables or "__init__" in tables:
        return trees
    body, shared = [], []
    for name, tree in tables.items():
        if any(not isinstance(node, ast.Assign) for node in tree.body):
            raise BuildError(f"{_PACKAGE}{name}.py: more than values")
        names = bound(tree.body)
        for other, taken in shared:
            if not names & taken:
                taken |= names
                other.body += tree.body
                alias = ast.Assign([ast.Name(name, ast.Store())], ast.Name(other.name, ast.Load()))
                body.append(alias)
                break
        else:
            body.append(ast.ClassDef(name, [], [], tree.body or [ast.Pass()], []))
            shared.append((body[-1], names))
    names = {_PACKAGE.replace("/", ".") + name for name in tables}
    rest = {path: tree for path, tree in trees.items() if not path.startswith(_PACKAGE)}
    for path, tree in rest.items():
        for node in walk(tree):
            if isinstance(node, ast.Import) and any(alias.name in names for alias in node.names):
                if len(node.names) > 1 or node.names[0].asname:
                    raise BuildError(
                        f"{path}:{node.lineno}: import tables one by one, by their names"
                    )
                node.names[0].name = _PACKAGE.rstrip("/")
            elif isinstance(node, ast.ImportFrom) and node.module in names:
                raise BuildError(f"{path}:{node.lineno}: write `import {node.module}` here")
    return {TABLES: ast.Module(body, []), **rest}


class _Image:
    """The modules, which of them are joined, and what their globals are called then."""

    def __init__(self, trees: dict, drivers=()):
        self.trees = trees
        self.modules = {dotted(path): path for path in trees}
        self.homes = {}  # of the modules that are joined: the path of what they become
        self.orders = {}  # {joined: its modules, what is imported first}
        for path in trees:
            if not path.startswith(PACKAGE) or self._is_resident(path):
                self._reach(path, ())
        if drivers:
            self._reach_board(BOARD, drivers, ())
        self.globals = {path: bound(tree.body) for path, tree in self.trees.items()}
        self.imports = {path: {} for path in trees}  # {name: (module path, its global or None)}
        for path in trees:
            for node in self.trees[path].body:
                self.imports[path].update(self.bindings(path, node))
        self.numbers = {path: self._numbers(path) for path in self.homes}
        self.rebound = {path: _rebound(tree) for path, tree in self.trees.items()}
        self.names = {path: self._names(path) for path in self.homes}
        for home, order in self.orders.items():
            taken = [name for path in order for name in self.names[path].values()]
            if twice := {name for name in taken if taken.count(name) > 1}:
                raise BuildError(
                    f"two modules in {home} would be called the same: {sorted(twice)}"
                )

    def _is_resident(self, path: str) -> bool:
        """A block that is imported at boot?"""
        return path.startswith(BLOCKS) and any(
            isinstance(node, FUNCTIONS) and node.name in ("init", "tick")
            for node in self.trees[path].body
        )

    def _reach(self, path: str, above: tuple) -> None:
        self._once(path, above)
        for node in self.trees[path].body:
            for target, _ in self._targets(node).values():
                if not target.startswith(BLOCKS) and target not in (path, *self.homes):
                    self._reach(target, (*above, path))
        if path.startswith(PACKAGE) and not path.startswith(BLOCKS) and path != CORE:
            self._join(path, CORE)

    def _reach_board(self, path: str, drivers, above: tuple) -> None:
        self._once(path, above)
        top = self.trees[path].body
        for node in walk(self.trees[path]):
            for target, _ in self._targets(node).values():
                ours = target in drivers or "/" not in target and node in top
                if ours and target not in (path, *self.homes):
                    self._reach_board(target, drivers, (*above, path))
        self._join(path, BOARD)

    @staticmethod
    def _once(path: str, above: tuple) -> None:
        if path in above:
            raise BuildError(f"{path} imports itself, by way of {', '.join(above)}")

    def _join(self, path: str, home: str) -> None:
        if path not in self.homes:
            self.homes[path] = home
            self.orders.setdefault(home, []).append(path)

    def _targets(self, node) -> dict:
        """{bound name: (module path, its global or None)} of an import of a module of the image's package."""
        found = {}
        if isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                inner = self.modules.get(f"{node.module}.{alias.name}")
                outer = self.modules.get(node.module)
                if inner:
                    found[alias.asname or alias.name] = (inner, None)
                elif outer:
                    found[alias.asname or alias.name] = (outer, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in self.modules:
                    found[alias.asname or alias.name.split(".")[0]] = (
                        self.modules[alias.name],
                        None,
                    )
        return found

    def bindings(self, path: str, node) -> dict:
        """What an import binds to something that is joined."""
        found = {
            name: target for name, target in self._targets(node).items() if target[0] in self.homes
        }
        if isinstance(node, ast.Import):
            if any(
                "." in alias.name and self.modules.get(alias.name) in self.homes
                for alias in node.names
            ):
                raise BuildError(f"{path}:{node.lineno}: write `from package import module` here")
        return found

    def others(self, path: str, node) -> list:
        """The aliases of an import that bind something else."""
        joined = self.bindings(path, node)
        return [alias for alias in node.names if (alias.asname or alias.name) not in joined]

    def _numbers(self, path: str) -> dict:
        """{name: int} of the globals that are a number for ever."""
        tree, found = self.trees[path], {}
        for node in tree.body:
            if (
                isinstance(node, ast.Assign)
                and len(node.targets) == 1
                and isinstance(node.targets[0], ast.Name)
                and isinstance(node.value, ast.Constant)
                and type(node.value.value) is int
            ):
                found[node.targets[0].id] = node.value.value
        return {name: value for name, value in found.items() if _assignments(tree, name) == 1}

    def _names(self, path: str) -> dict:
        """{global of a module that is joined: its name in the joined module}."""
        errors = {node.name for node in self.trees[path].body if is_error(node)}
        stem = path.removesuffix(".py").rsplit("/", 1)[-1]
        own = self.globals[path] - set(self.imports[path]) - set(self._external(path))
        return {
            name: name if name in errors else f"_{stem}__{name}"
            for name in own
            if name not in self.numbers[path]
        }

    def _external(self, path: str) -> dict:
        """{name: statement} that a module's other imports bind."""
        found = {}
        for node in self.trees[path].body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                for alias in self.others(path, node):
                    name = alias.asname or alias.name.split(".")[0]
                    if isinstance(node, ast.Import):
                        found[name] = ast.Import([alias])
                    else:
                        found[name] = ast.ImportFrom(node.module, [alias], 0)
        return found

    def externals(self, order: list) -> list:
        """The imports from outside of modules that are joined, each once."""
        found = {}
        for path in order:
            for name, node in self._external(path).items():
                other = found.setdefault(name, node)
                if ast.dump(other) != ast.dump(node):
                    raise BuildError(f"{path}: {name!r} is imported from elsewhere too")
        return list(found.values())

    def resolve(self, path: str, name: str):
        """(module path, global) that a name of a joined module stands for, through imports."""
        while name in self.imports[path]:
            path, inner = self.imports[path][name]
            if inner is None:
                return path, None
            name = inner
        return path, name


class _Rewriter(Transformer):
    """Gives globals of what is joined their new names, in one module. `used`: other joined modules that it names."""

    def __init__(self, image: _Image, path: str):
        self.used = set()
        self._image = image
        self._path = path
        self._home = image.homes.get(path)  # None: it stays a module of its own
        self._imported = set()  # of `used`: those whose import is in place
        self._scopes = []  # functions and classes around: (is a class, names, imports of what is joined)

    def _fault(self, node, text: str):
        return BuildError(f"{self._path}:{getattr(node, 'lineno', '?')}: {text}")

    def _lookup(self, name: str):
        """What a name means here: (module path, global), None for a local or what is not joined."""
        innermost = True
        for is_class, names, imports in reversed(self._scopes):
            if name in imports:
                return self._chase(*imports[name])
            if name in names and is_class and innermost and self._is_global(name):
                raise BuildError(f"{self._path}: {name!r} is both: a class's and a global")
            if name in names and (innermost or not is_class):
                return None
            innermost = False
        if name in self._image.imports[self._path]:
            return self._chase(*self._image.imports[self._path][name])
        if self._home and name in self._image.globals[self._path]:
            return self._path, name
        return None

    def _is_global(self, name: str) -> bool:
        own = self._home and name in self._image.globals[self._path]
        return own or name in self._image.imports[self._path]

    def _chase(self, path: str, name):
        return (path, None) if name is None else self._image.resolve(path, name)

    def _expression(self, node, path: str, name: str):
        """The expression for a global of what is joined."""
        image = self._image
        if name in image.numbers[path]:
            if not isinstance(node.ctx, ast.Load):
                raise self._fault(node, f"{name} is a number for ever")
            return ast.Constant(image.numbers[path][name])
        home = image.homes[path]
        if home == self._home and name in image._external(path):
            return ast.Name(name, node.ctx)
        if name not in image.names[path]:
            raise self._fault(node, f"{path} has no {name!r}")
        if path != self._path and (
            not isinstance(node.ctx, ast.Load) or name in image.rebound[path]
        ):
            raise self._fault(node, f"{name!r} of {path} is assigned at run time")
        new = image.names[path][name]
        if home == self._home:
            return ast.Name(new, node.ctx)
        self.used.add(dotted(home))
        return ast.Attribute(ast.Name(dotted(home), ast.Load()), new, node.ctx)

    def visit_Module(self, node):
        body = []
        for item in node.body:
            if self._home and self._is_number(item):
                continue
            item = self.visit(item)
            body += item if isinstance(item, list) else [item] if item is not None else []
        # Where a module was first imported, else before anything that uses it.
        node.body = body if self._home else [*_imports_of(self.used - self._imported), *body]
        return node

    def _is_number(self, node) -> bool:
        return (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id in self._image.numbers[self._path]
        )

    def _import(self, node):
        homes = {
            self._image.homes[path] for path, _ in self._image.bindings(self._path, node).values()
        }
        names = {dotted(home) for home in homes - {self._home}} - self._imported
        self.used |= names
        found = []
        if not self._home and not self._scopes:
            found = _imports_of(names)
            self._imported |= names
        node.names = self._image.others(self._path, node)
        if node.names and (self._scopes or not self._home):
            found.append(node)
        return found or (ast.Pass() if self._scopes else None)

    visit_Import = visit_ImportFrom = _import

    def visit_Name(self, node):
        found = self._lookup(node.id)
        if found is None:
            return node
        if found[1] is None:
            raise self._fault(node, f"the module {node.id!r} is used as a value")
        return self._expression(node, *found)

    def visit_Attribute(self, node):
        if isinstance(node.value, ast.Name):
            found = self._lookup(node.value.id)
            if found is not None and found[1] is None:
                path, name = self._image.resolve(found[0], node.attr)
                if name is None:
                    raise self._fault(node, f"{node.attr!r} is a module of {found[0]}")
                return self._expression(node, path, name)
        return self.generic_visit(node)

    def visit_Global(self, node):
        if self._home:
            names = self._image.names[self._path]
            if missing := [name for name in node.names if name not in names]:
                raise self._fault(node, f"{missing[0]!r} is no global")
            node.names = [names[name] for name in node.names]
        return node

    def _own_name(self, node):
        if self._home and not self._scopes:
            node.name = self._image.names[self._path][node.name]

    def visit_ClassDef(self, node):
        node.bases = [self.visit(item) for item in node.bases]
        node.keywords = [self.visit(item) for item in node.keywords]
        node.decorator_list = [self.visit(item) for item in node.decorator_list]
        self._own_name(node)
        self._scopes.append((True, bound(node.body), {}))
        node.body = self._statements(node.body)
        self._scopes.pop()
        return node

    def _statements(self, body: list) -> list:
        result = []
        for item in body:
            item = self.visit(item)
            result += item if isinstance(item, list) else [item] if item is not None else []
        return result

    def _function(self, node):
        arguments = node.args
        is_lambda = isinstance(node, ast.Lambda)
        if not is_lambda:
            node.decorator_list = [self.visit(item) for item in node.decorator_list]
            node.returns = None
            self._own_name(node)
        arguments.defaults = [self.visit(item) for item in arguments.defaults]
        arguments.kw_defaults = [item and self.visit(item) for item in arguments.kw_defaults]
        listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        listed += [item for item in (arguments.vararg, arguments.kwarg) if item]
        for item in listed:
            item.annotation = None
        names = {item.arg for item in listed}
        imports = {}
        if not is_lambda:
            names |= bound(node.body)
            for inner in walk(node):
                if isinstance(inner, (ast.Import, ast.ImportFrom)):
                    imports.update(self._image.bindings(self._path, inner))
        self._scopes.append((False, names, imports))
        node.body = self.visit(node.body) if is_lambda else self._statements(node.body)
        self._scopes.pop()
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _function

    def _comprehension(self, node):
        names = {
            item.id
            for part in node.generators
            for item in walk(part.target)
            if isinstance(item, ast.Name)
        }
        self._scopes.append((False, names, {}))
        self.generic_visit(node)
        self._scopes.pop()
        return node

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_AnnAssign(self, node):
        # MicroPython drops annotations anyway.
        node.annotation = ast.Constant(0)
        self.generic_visit(node)
        return (
            ast.Assign([node.target], node.value, lineno=node.lineno) if node.value else ast.Pass()
        )


def _rebound(tree) -> set:
    """The globals that functions of a module assign."""
    return {name for node in walk(tree) if isinstance(node, ast.Global) for name in node.names}


def _assignments(tree, name: str) -> int:
    """How often a module binds a global, more or less: locals of the same name count too."""
    count = sum(
        isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load)
        for node in walk(tree)
    )
    return count + sum(name in node.names for node in walk(tree) if isinstance(node, ast.Global))
