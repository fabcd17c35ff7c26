"""Drops what nothing in an image names: on the station a function costs about 40 bytes of RAM, called or not.

Works on the joined modules, before `inline`. It goes by words alone: a function, a class or a method stays if its name is
anywhere in the image outside of itself, be it in a text or as somebody else's attribute, or if MicroPython may ask for it.
Of a method no variable is the name.
Methods of a class that is only ever inherited from go, too, if each heir has its own and does not ask `super()` for it:
what `hal.Board` says for boards in general is not needed where this board says something else. A module of the package
whose name is nowhere goes as a whole.
"""

import ast
from collections import Counter

from tools.builder.passes.decide import TOLD
from tools.builder.toolkit import (
    BLOCKS,
    FUNCTIONS,
    PACKAGE,
    TABLES,
    Transformer,
    dotted,
    foreign,
    is_special,
    last,
    walk,
    words,
)

_PROFILE = "tables/profile.py"


def strip(trees: dict) -> dict:
    """{path: tree} without what is named nowhere, for {path: tree} of an image."""
    image = _Image(trees)
    for path in (TABLES, _PROFILE):
        if path in trees:
            _drop_values(trees, path)
    while image.drop_modules() or image.drop_unnamed() or image.drop_overridden():
        pass
    return image.trees


def _drop_values(trees: dict, path: str) -> None:
    """Drop those of a module of plain values that no module of the image names: a value costs RAM."""
    wanted = set(TOLD)
    for tree in trees.values():
        wanted |= {node.attr for node in walk(tree) if isinstance(node, ast.Attribute)}
    tree = trees[path]
    for place in (tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))):
        place.body = [
            node
            for node in place.body
            if not isinstance(node, ast.Assign) or node.targets[0].id in wanted
        ] or [ast.Pass()]


class _Bare(Transformer):
    """Without docstrings, which name much."""

    def visit_Expr(self, node):
        return ast.Pass() if isinstance(node.value, ast.Constant) else node


def _imported(tree) -> set:
    """The modules that a module imports, by a statement or by a dotted name in a text; and more."""
    found = set()
    for node in walk(tree):
        if isinstance(node, ast.ImportFrom):
            found.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    return found


class _Image:
    """The modules, and how often each name is in each of them; `asked`: not as a variable."""

    def __init__(self, trees: dict):
        self.trees = {path: _Bare().visit(tree) for path, tree in trees.items()}
        self._named, self._asked = Counter(), Counter()
        self._words, self._imports = {}, {}
        self._own: dict = {}  # {function: what it names}: nothing is dropped inside of one
        for path in self.trees:
            self._count(path)

    def _count(self, path: str) -> None:
        tree = self.trees[path]
        self._forget(path)
        self._words[path] = named, asked = _words(tree), _words(tree, False)
        self._named.update(named)
        self._asked.update(asked)
        self._imports[path] = _imported(tree)

    def _forget(self, path: str) -> None:
        if path in self._words:
            named, asked = self._words.pop(path)
            self._named.subtract(named)
            self._asked.subtract(asked)
            del self._imports[path]

    def _classes(self) -> list:
        """(path, class) of those at the top of a module."""
        return [
            (path, node)
            for path, tree in self.trees.items()
            for node in tree.body
            if isinstance(node, ast.ClassDef)
        ]

    def _remove(self, path: str, node, is_dead) -> bool:
        kept = [item for item in node.body if not is_dead(item)]
        if len(kept) == len(node.body):
            return False
        node.body = kept or [ast.Pass()]
        return True

    def drop_modules(self) -> bool:
        """Drop modules that nobody imports. Blocks are found by the name that their profile gives them."""
        before = len(self.trees)
        for path in list(self.trees):
            name = dotted(path)
            ours = path.startswith(PACKAGE) and not path.startswith(BLOCKS)
            if ours and not path.endswith("__init__.py"):
                if not any(
                    name in found for other, found in self._imports.items() if other != path
                ):
                    del self.trees[path]
                    self._forget(path)
        return len(self.trees) < before

    def drop_unnamed(self) -> bool:
        """Drop functions, classes and methods that are named nowhere but in themselves."""
        named, asked = self._named, self._asked

        def own(node, variables=True) -> Counter:
            if isinstance(node, ast.ClassDef):
                return _words(node, variables)
            if (node, variables) not in self._own:
                self._own[node, variables] = _words(node, variables)
            return self._own[node, variables]

        def is_dead(node) -> bool:
            return (
                isinstance(node, (*FUNCTIONS, ast.ClassDef))
                and not node.decorator_list
                and named[node.name] == own(node)[node.name]
            )

        def is_dead_method(node) -> bool:
            return (
                isinstance(node, FUNCTIONS)
                and not node.decorator_list
                and asked[node.name] == own(node, False)[node.name]
                and not is_special(node.name)
                and node.name not in foreign()
            )

        changed = {path for path, tree in self.trees.items() if self._remove(path, tree, is_dead)}
        known = {node.name for _, node in self._classes()} | {"object", "Exception"}
        for path, node in self._classes():
            plain = (item for item in node.body if not isinstance(item, FUNCTIONS))
            aliased = {inner.id for item in plain for inner in walk(item) if hasattr(inner, "id")}
            if known.issuperset(map(last, node.bases)) and not aliased & _methods(node):
                if self._remove(path, node, is_dead_method):
                    changed.add(path)
        for path in changed:
            self._count(path)
        return bool(changed)

    def drop_overridden(self) -> bool:
        """Drop methods of classes that are only inherited from, where each heir has its own."""
        named = self._named
        nodes = [node for tree in self.trees.values() for node in walk(tree)]
        classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
        plain = Counter(name for node in classes for name in map(last, node.bases))
        for node in nodes:
            if isinstance(node, ast.ImportFrom):  # for an heir in another module
                plain.update(alias.name for alias in node.names if not alias.asname)
        changed = set()
        for path, node in self._classes():
            heirs = [heir for heir in classes if node.name in map(last, heir.bases)]
            namesakes = sum(other.name == node.name for other in classes)
            if not heirs or namesakes > 1 or named[node.name] != plain[node.name]:
                continue
            if any(len(heir.bases) > 1 for heir in heirs):
                continue
            gone = set.intersection(*map(_methods, heirs)) - set().union(*map(_asked, heirs))
            dead = [
                item for item in node.body if isinstance(item, FUNCTIONS) and item.name in gone
            ]
            dead = [item for item in dead if not is_special(item.name)]
            if self._remove(path, node, dead.__contains__):
                changed.add(path)
        for path in changed:
            self._count(path)
        return bool(changed)


def _words(node, variables=True) -> Counter:
    """How often a piece of source has each name, texts included."""
    found = Counter()
    for inner in walk(node):
        if isinstance(inner, ast.Name):
            found[inner.id] += variables
        elif isinstance(inner, ast.Attribute):
            found[inner.attr] += 1
        elif isinstance(inner, (ast.alias, ast.ImportFrom)):
            text = inner.name if isinstance(inner, ast.alias) else inner.module or ""
            found.update(words(text))
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, (str, bytes)):
            found.update(words(inner.value))
    return found


def _methods(node) -> set:
    """Those that an object of a class certainly has."""
    return {item.name for item in node.body if isinstance(item, FUNCTIONS)}


def _is_super(node) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "super" and not node.args


def _asked(heir) -> set:
    """What a class asks `super()` for; all that it names where that cannot be told."""
    plain = [
        node.attr
        for node in walk(heir)
        if isinstance(node, ast.Attribute) and _is_super(node.value)
    ]
    words = _words(heir)
    return set(plain) if words["super"] == len(plain) else set(words)
