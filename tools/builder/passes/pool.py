"""Joins what the station says in errors and in its log into one text: each text of its own costs 20 bytes of RAM.

A constant is an object and a row in its module's table, even where its characters stay in ROM; a short one is a name in a
table that is kept for ever, even if its module is not. What only an error or a line of the log needs, what a function of
the core says in words with blanks between (it is for people, and seldom said), and short texts of modules that are loaded
for a call, are pieces of `_TEXTS`, cut out when they are said: `text_at(120)` is the one that begins there. Works on the
joined modules, before `mangle`.
"""

import ast
from collections import Counter

from tools.builder.toolkit import CORE, Transformer, foreign, last, walk

_SHORTEST = 4  # characters
_NAME_LENGTH = 10  # up to which MicroPython keeps a text as a name
_OFTEN = 3
_RARE = ("milliamp/blocks/", "milliamp/wire/")
_LOG = ("error", "warn", "info", "debug")
_NAME = "text_at"
_END = "\0"
_SAID = f"""
_TEXTS = ""
def {_NAME}(at):
    return _TEXTS[at : _TEXTS.find({_END!r}, at)]
"""


def pool(trees: dict) -> dict:
    """{path: tree} with `_TEXTS` in the core, for {path: tree} of an image."""
    if CORE not in trees:
        return trees
    texts = _Pool(_names(trees))
    for path, tree in trees.items():
        texts.inside = path == CORE
        texts.rare = path.startswith(_RARE)
        texts.moved = False
        texts.visit(tree)
        imported = any(
            isinstance(node, ast.Import) and node.names[0].name == "milliamp" for node in tree.body
        )
        if texts.moved and not texts.inside and not imported:
            tree.body.insert(0, ast.Import([ast.alias("milliamp")]))
    said = ast.parse(_SAID).body
    said[0].value = ast.Constant(texts.text)
    trees[CORE].body[:0] = said
    return trees


def _names(trees: dict) -> set:
    """What is a name anyway: identifiers, and texts of the core; and what that says so often that it had better be one."""
    found = set(foreign())
    for path, tree in trees.items():
        for node in walk(tree):
            for field in ("id", "attr", "name", "arg"):
                if isinstance(name := getattr(node, field, None), str):
                    found.update(name.split("."))
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if node.value.isidentifier() and not path.startswith(_RARE):
                    found.add(node.value)
    core = [node.value for node in walk(trees[CORE]) if isinstance(node, ast.Constant)]
    said = Counter(text for text in core if isinstance(text, str) and len(text) <= _NAME_LENGTH)
    return found | {text for text, count in said.items() if count >= _OFTEN}


class _Pool(Transformer):
    """Moves texts. `inside`: in the core itself; `rare`: in a module that is loaded for a call; `moved`: it did."""

    def __init__(self, names: set):
        self.text = ""
        self.inside = self.rare = self.moved = False
        self._names = names
        self._cold = 0  # raises and calls of the log around
        self._functions = 0

    def visit_FunctionDef(self, node):
        self._functions += 1
        node.body = [self.visit(item) for item in node.body]
        self._functions -= 1
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Raise(self, node):
        return self._visit_cold(node)

    def visit_Call(self, node):
        if isinstance(node.func, ast.Attribute) and node.func.attr in _LOG:
            if last(node.func.value).endswith("log"):
                return self._visit_cold(node)
        return self.generic_visit(node)

    def _visit_cold(self, node):
        self._cold += 1
        self.generic_visit(node)
        self._cold -= 1
        return node

    def visit_Subscript(self, node):
        return node  # a key is looked up, not said

    def visit_JoinedStr(self, node):
        return node  # its pieces must be texts

    def visit_Constant(self, node):
        text = node.value
        if not self._functions or not isinstance(text, str):
            return node
        if not text.isascii() or _END in text:
            return node
        if text in self._names:
            return node  # `mangle` must see it: it may name an attribute
        is_name = 1 < len(text) <= _NAME_LENGTH
        is_name = is_name and (self.rare or not (text.isidentifier() or text[0] == "<"))
        is_prose = " " in text and len(text) > _NAME_LENGTH and not self.rare
        if not (is_name or is_prose or self._cold and len(text) >= _SHORTEST):
            return node
        start = self.text.find(text + _END)
        if start < 0:
            start = len(self.text)
            self.text += text + _END
        self.moved = True
        home = ast.Name(_NAME, ast.Load())
        if not self.inside:
            home = ast.Attribute(ast.Name("milliamp", ast.Load()), _NAME, ast.Load())
        return ast.Call(home, [ast.Constant(start)], [])
