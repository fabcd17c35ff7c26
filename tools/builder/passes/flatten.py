"""Takes what is not joined out of its packages: on the station a package is an object, and its dotted names are kept for ever.

`milliamp/blocks/reservation.py` becomes `reservation.py`, and whoever imports it is rewritten. A module stays where it is when
another has its name.
"""

import ast
from collections import Counter

from tools.builder.toolkit import CORE, PACKAGE, Transformer


def flatten(trees: dict) -> dict:
    """{path: tree} with modules outside of packages, for {path: tree} of an image."""
    stems = Counter(path.split("/")[-1] for path in trees)
    moved = {}
    for path in trees:
        file = path.split("/")[-1]
        if path.startswith(PACKAGE) and path != CORE and stems[file] == 1:
            moved[path.removesuffix(".py").replace("/", ".")] = file.removesuffix(".py")
    out = {}
    for path, tree in trees.items():
        path = moved.get(path.removesuffix(".py").replace("/", "."), path.removesuffix(".py"))
        out[f"{path}.py"] = _Imports(moved).visit(tree)
    return out


class _Imports(Transformer):
    """Imports modules from where they are now. `moved`: {dotted name: new name}."""

    def __init__(self, moved: dict):
        self._moved = moved
        self._packages = {name.rpartition(".")[0] + "." for name in moved}

    def visit_ImportFrom(self, node):
        if node.module in self._moved:
            node.module = self._moved[node.module]
            return node
        gone = [a for a in node.names if f"{node.module}.{a.name}" in self._moved]
        if not gone:
            return node
        node.names = [alias for alias in node.names if alias not in gone]
        new = [
            ast.Import([ast.alias(self._moved[f"{node.module}.{a.name}"], a.asname)]) for a in gone
        ]
        return [*([node] if node.names else []), *new]

    def visit_Constant(self, node):
        # What is imported by name: a module, or the package that its name follows.
        if node.value in self._moved:
            return ast.Constant(self._moved[node.value])
        return ast.Constant("") if node.value in self._packages else node
