"""Drops what nothing in an image names: on the station a function costs about 40 bytes of RAM, called or not.

Works on the joined modules, before `inline`. It goes by words alone: a function, a class or a method stays if its name is
anywhere in the image outside of itself, be it in a text or as somebody else's attribute, or if MicroPython may ask for it.
Of a method no variable is the name.
Methods of a class that is only ever inherited from go, too, if each heir has its own and does not ask `super()` for it:
what `hal.Board` says for boards in general is not needed where this board says something else. A module of the package
whose name is nowhere goes as a whole.
"""

import ast
import re
from collections import Counter

from tools.builder.passes.mangle import foreign
from tools.builder.toolkit import walk

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_PACKAGE, _BLOCKS = "milliamp/", "milliamp/blocks/"
_NAME = re.compile(r"[A-Za-z_]\w*")


def prune(sources: dict) -> dict:
    """{path: source} without what is named nowhere, for {path: source} of an image."""
    image = _Image(sources)
    while image.drop_modules() or image.drop_unnamed() or image.drop_overridden():
        pass
    return {
        path: ast.unparse(ast.fix_missing_locations(tree)) + "\n"
        for path, tree in image.trees.items()
    }


class _Bare(ast.NodeTransformer):
    """Without docstrings, which name much."""

    def visit_Expr(self, node):
        return ast.Pass() if isinstance(node.value, ast.Constant) else node


def _imports(tree, module: str) -> bool:
    """Does it import a module, by a statement or by its dotted name?"""
    package, _, stem = module.rpartition(".")
    for node in walk(tree):
        if isinstance(node, ast.ImportFrom):
            if node.module == module or (
                node.module == package and any(alias.name == stem for alias in node.names)
            ):
                return True
        elif isinstance(node, ast.Import) and any(alias.name == module for alias in node.names):
            return True
        elif isinstance(node, ast.Constant) and node.value == module:
            return True
    return False


class _Image:
    """The modules, and how often each name is in each of them."""

    def __init__(self, sources: dict):
        self.trees = {path: _Bare().visit(ast.parse(text)) for path, text in sources.items()}
        self._words = {path: _words(tree) for path, tree in self.trees.items()}

    def _named(self) -> Counter:
        return sum(self._words.values(), Counter())

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
        self._words[path] = _words(self.trees[path])
        return True

    def drop_modules(self) -> bool:
        """Drop modules that nobody imports. Blocks are found by the name that their profile gives them."""
        before = len(self.trees)
        for path in list(self.trees):
            name = path.removesuffix(".py").replace("/", ".")
            ours = path.startswith(_PACKAGE) and not path.startswith(_BLOCKS)
            if ours and not name.endswith("__init__"):
                others = (tree for other, tree in self.trees.items() if other != path)
                if not any(_imports(tree, name) for tree in others):
                    del self.trees[path], self._words[path]
        return len(self.trees) < before

    def drop_unnamed(self) -> bool:
        """Drop functions, classes and methods that are named nowhere but in themselves."""
        named = self._named()
        asked = sum((_words(tree, False) for tree in self.trees.values()), Counter())

        def is_dead(node) -> bool:
            return (
                isinstance(node, (*_FUNCTIONS, ast.ClassDef))
                and not node.decorator_list
                and named[node.name] == _words(node)[node.name]
            )

        def is_dead_method(node) -> bool:
            return (
                isinstance(node, _FUNCTIONS)
                and not node.decorator_list
                and asked[node.name] == _words(node, False)[node.name]
                and not _is_special(node.name)
                and node.name not in foreign()
            )

        dropped = False
        for path, tree in self.trees.items():
            dropped |= self._remove(path, tree, is_dead)
        known = {node.name for _, node in self._classes()} | {"object", "Exception"}
        for path, node in self._classes():
            plain = (item for item in node.body if not isinstance(item, _FUNCTIONS))
            aliased = {inner.id for item in plain for inner in walk(item) if hasattr(inner, "id")}
            if known.issuperset(map(_last, node.bases)) and not aliased & _methods(node):
                dropped |= self._remove(path, node, is_dead_method)
        return dropped

    def drop_overridden(self) -> bool:
        """Drop methods of classes that are only inherited from, where each heir has its own."""
        named = self._named()
        nodes = [node for tree in self.trees.values() for node in walk(tree)]
        classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
        plain = Counter(name for node in classes for name in map(_last, node.bases))
        for node in nodes:
            if isinstance(node, ast.ImportFrom):  # for an heir in another module
                plain.update(alias.name for alias in node.names if not alias.asname)
        dropped = False
        for path, node in self._classes():
            heirs = [heir for heir in classes if node.name in map(_last, heir.bases)]
            namesakes = sum(other.name == node.name for other in classes)
            if not heirs or namesakes > 1 or named[node.name] != plain[node.name]:
                continue
            if any(len(heir.bases) > 1 for heir in heirs):
                continue
            gone = set.intersection(*map(_methods, heirs)) - set().union(*map(_asked, heirs))
            dead = [
                item for item in node.body if isinstance(item, _FUNCTIONS) and item.name in gone
            ]
            dead = [item for item in dead if not _is_special(item.name)]
            dropped |= self._remove(path, node, dead.__contains__)
        return dropped


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
            found.update(_NAME.findall(text))
        elif isinstance(inner, ast.Constant) and isinstance(inner.value, (str, bytes)):
            text = inner.value if isinstance(inner.value, str) else inner.value.decode("latin-1")
            found.update(_NAME.findall(text))
    return found


def _methods(node) -> set:
    """Those that an object of a class certainly has."""
    return {item.name for item in node.body if isinstance(item, _FUNCTIONS)}


def _asked(heir) -> set:
    """What a class asks `super()` for; all that it names where that cannot be told."""
    plain = [
        node.attr
        for node in walk(heir)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "super()"
    ]
    words = _words(heir)
    return set(plain) if words["super"] == len(plain) else set(words)


def _last(base) -> str:
    """The class that a base is, without its module."""
    return ast.unparse(base).rpartition(".")[2]


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")
