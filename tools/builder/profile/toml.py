"""TOML as people write it: read with the line of each key, for messages, and written again."""

import difflib
import json
import os
import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from tools import ROOT, BuildError


class Lines:
    """Where each key of a TOML file stands, for messages; `tomllib` does not tell."""

    _TABLE = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]")
    _KEY = re.compile(r"""\s*("[^"]*"|'[^']*'|[A-Za-z0-9_-]+)\s*=""")
    _PART = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*\.?""")

    def __init__(self, file: Path, text: str):
        self.file = file
        self._at = {}
        table, counts = (), {}
        for number, line in enumerate(text.splitlines(), 1):
            if head := self._TABLE.match(line):
                table = tuple(a or b or c for a, b, c in self._PART.findall(head[2]))
                if head[1] == "[[":
                    index = counts[table] = counts.get(table, -1) + 1
                    table += (index,)
                self._at.setdefault(table, number)
                if len(table) > 1:
                    self._at.setdefault(table[:-1], number)
            elif key := self._KEY.match(line):
                self._at.setdefault((*table, key[1].strip("\"'")), number)

    def where(self, path: tuple) -> str:
        """`file:line` of the key, or of the table around it."""
        while path and path not in self._at:
            path = path[:-1]
        name = self.file.relative_to(ROOT) if self.file.is_relative_to(ROOT) else self.file
        return f"{name}:{self._at.get(path, 1)}"


def load(file: Path):
    """A TOML file as (dict, Lines). BuildError names the line of a syntax fault."""
    try:
        text = file.read_text(encoding="utf-8")
        return tomllib.loads(text), Lines(file, text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        name = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
        raise BuildError(f"{name}:{line[1] if line else 1}: not TOML: {error}") from None


def put(file: Path, data: bytes) -> None:
    """Write what has changed, in one piece and with nothing beside it: other processes build from the folder."""
    if not file.is_file() or file.read_bytes() != data:
        part = file.parent.with_name(f"{file.parent.name}-{file.name}.{os.getpid()}")
        part.write_bytes(data)
        part.replace(file)


def dump(table: dict, path: str = "") -> str:
    """A profile as TOML."""
    lines, below = [], []
    for key, value in table.items():
        name = key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)
        if isinstance(value, dict):
            below.append(f"\n[{path}{name}]\n" + dump(value, f"{path}{name}."))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            below += [f"\n[[{path}{name}]]\n" + dump(item, f"{path}{name}.") for item in value]
        else:  # JSON's numbers, texts, lists and truth values are TOML's
            lines.append(f"{name} = {json.dumps(value, ensure_ascii=False)}\n")
    return "".join(lines + below)


def like(name, known) -> str:
    """A hint what was meant, or what there is."""
    near = difflib.get_close_matches(str(name), [str(k) for k in known], 1)
    if near:
        return f": did you mean {near[0]!r}?"
    known = [str(k) for k in known]
    return ": there are " + ", ".join(known) if len(known) <= 20 else ": take it out"
