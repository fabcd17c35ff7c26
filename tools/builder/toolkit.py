"""Syntax trees: the walk that every pass takes. `ast.walk` does the same through two generators a node, in half of a build's time."""

import ast
from collections.abc import Iterator


def children(node: ast.AST) -> Iterator[ast.AST]:
    """What `ast.iter_child_nodes` yields."""
    for field in node._fields:
        value = getattr(node, field, None)
        if isinstance(value, ast.AST):
            yield value
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, ast.AST):
                    yield item


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """What `ast.walk` yields, in its order: a node's children are looked up before it is yielded."""
    nodes = [node]
    tree = ast.AST
    for node in nodes:
        for field in node._fields:
            value = getattr(node, field, None)
            if value.__class__ is list:
                for item in value:
                    if isinstance(item, tree):
                        nodes.append(item)
            elif isinstance(value, tree):
                nodes.append(value)
        yield node
