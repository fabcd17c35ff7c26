"""Passes work on trees; what their tests give them, and look at, are texts."""

import ast
import copy
from collections.abc import Callable

from tools.builder import passes, toolkit


def trees(sources: dict) -> dict:
    """{path: tree} of {path: source}."""
    return {path: ast.parse(text) for path, text in sources.items()}


def texts(found: dict) -> dict:
    """{path: source} of {path: tree}, which stays as it is."""
    return {path: toolkit.write(copy.deepcopy(tree)) for path, tree in found.items()}


def through(run: Callable) -> Callable:
    """A pass of {path: tree} as one of {path: source}."""
    return lambda sources, *given: texts(run(trees(sources), *given))


compact = through(passes.compact.compact)
decide = through(passes.decide.decide)
flatten = through(passes.flatten.flatten)
inline = through(passes.inline.inline)
join = through(passes.join.join)
order = through(passes.order.order)
pool = through(passes.pool.pool)
share = through(passes.locals.share)
split = through(passes.split.parted)
strip = through(passes.strip.strip)


def stays(sources: dict, block: str) -> dict:
    return passes.split.stays(trees(sources), block)


class Mangler(passes.mangle.Mangler):
    """With `sources` instead of trees."""

    def __init__(self, sources: dict):
        super().__init__(trees(sources))
        self.sources = texts(self.trees)


def mangle(sources: dict) -> tuple:
    """({path: source}, {path: {short: name}})"""
    found = Mangler(sources)
    return found.sources, found.legend
