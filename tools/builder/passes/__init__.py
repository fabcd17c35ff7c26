"""The compiler: what becomes of the station's modules on their way to mpy-cross, pass by pass.

A pass takes the trees of an image, {path: tree}, and gives those of the next: they are parsed once and written once; the
last one takes what mpy-cross made of a tree. What each does, and why it is sound, is in its own head; what it buys, `make
footprint ARGS=--passes` measures (`docs/footprint.md`).
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field

from tools.builder.passes import (
    compact,
    decide,
    flatten,
    fold,
    inline,
    join,
    locals,
    mangle,
    order,
    pool,
    split,
    squeeze,
    strip,
)


@dataclass
class Station:
    """What passes know of an image beside its trees, and what they tell of it.

    `files`: {path: file} of the sources. `blocks`: their tables. `drivers`: paths that join the board. `routes`: the
    source of tables/routes.py where functions went to other places, `routes(places, trees)`: see `tables.routes`.
    """

    facts: decide.Facts
    blocks: list = field(default_factory=list)
    drivers: tuple = ()
    files: dict = field(default_factory=dict)
    routes: "Callable | None" = None
    places: dict = field(
        default_factory=dict
    )  # {block: {function: (its module, "" for the core; its name there)}}
    legend: dict = field(default_factory=dict)  # {path: {short name: names}}


def _plain(run: Callable) -> Callable:
    """A pass that needs nothing but the trees."""
    return lambda trees, station: run(trees)


# In this order: what each does, and the function of the trees and the Station.
ORDER = {
    "fold": ("numbers of constants modules go to who names them", lambda t, s: fold.fold(t, s.files)),
    "split": ("of a resident block only what it does by itself stays", split.split),
    "join": ("what is needed from the start becomes one module", lambda t, s: join.join(t, s.drivers)),
    "decide": ("what is known goes in place, what cannot run goes", lambda t, s: decide.decide(t, s.facts)),
    "strip": ("what nothing names goes", _plain(strip.strip)),
    "inline": ("what is called from one place goes there", _plain(inline.inline)),
    "pool": ("texts for people become pieces of one", _plain(pool.pool)),
    "compact": ("constants, comparisons and locks in less bytecode", _plain(compact.compact)),
    "locals": ("locals that are never needed together are one", _plain(locals.share)),
    "mangle": ("names that never meet become one short one", mangle.mangle),
    "order": ("the most frequent names come first", _plain(order.order)),
    "flatten": ("modules leave their packages", _plain(flatten.flatten)),
}  # fmt: skip
# And of what mpy-cross makes of each tree: frozen sources are compiled elsewhere.
COMPILED = {
    "squeeze": ("jumps, handlers and locals in less bytecode", squeeze.squeeze),
}
# These two go over the image twice: what went decides more.
TWICE = ("decide", "strip")
# Until here image and frozen sources are one; frozen code keeps its names and texts in ROM.
_LAST_COMMON = "inline"
FOR_ROM = ("pool", "mangle", "order")


def begin(trees: dict, station: Station, without=()) -> dict:
    """{path: tree} of what image and frozen sources have in common, for {path: tree} of the sources. Trees that go into a
    pass are used up."""
    return _run(_names()[0], trees, station, without)


def finish(trees: dict, station: Station, without=()) -> dict:
    """{path in the image: tree} of what is compiled, or with `FOR_ROM` frozen, for what was begun."""
    return _run(_names()[1], trees, station, without)


def compiled(data: bytes, without=()) -> bytes:
    """What is shipped of a compiled module."""
    for name, (_, run) in COMPILED.items():
        data = data if name in without else run(data)
    return data


def marks(without=()) -> list:
    """Of what `compiled` does: the sources of its passes."""
    runs = [run for name, (_, run) in COMPILED.items() if name not in without]
    return [inspect.getsource(inspect.getmodule(run)) for run in runs]


def _names() -> tuple:
    names = list(ORDER)
    behind = names.index(TWICE[-1]) + 1
    names[behind:behind] = TWICE
    at = names.index(_LAST_COMMON) + 1
    return names[:at], names[at:]


def _run(names: list, trees: dict, station: Station, without) -> dict:
    for name in names:
        if name not in without:
            trees = ORDER[name][1](trees, station)
    if not station.legend:  # nothing has another name
        station.legend = {path: {} for path in trees}
    return trees
