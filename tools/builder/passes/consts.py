"""Makes constants of private texts: what mpy-cross puts in place is no global, and costs no row in its module's table.

`_WORDS = "a b"` becomes `_WORDS = const("a b")`, and so does a tuple of texts. They come first in their module: mpy-cross
knows those that it has seen. Works on the joined modules, before `mangle`.
"""

import ast
from collections import Counter

from tools.builder.toolkit import walk


def consts(trees: dict) -> dict:
    """{path: tree} with private texts as constants, for {path: tree} of an image."""
    nodes = [node for tree in trees.values() for node in walk(tree)]
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
    return trees


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
