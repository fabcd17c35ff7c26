"""The image of every board has what its routes name."""

import json
import subprocess

import pytest

from hostsim.charger.lane32 import BOOT, lane64
from tests.builder.passes.texts import decide
from tools import FIRMWARE
from tools.builder import image as build
from tools.builder import profile, toolkit
from tools.builder.passes import fold
from tools.builder.passes.decide import Facts

TABLES = ("CALLS", "TRIGGERS", "LIVE")
# Prints each route that leads to a function.
LOOK = """
import sys, tables, milliamp
for _table in ({tables}):
    for _line in _table.decode().split("\\n"):
        if _line:
            _name, _block, _function = _line.split(" ")
            _module = milliamp
            if _block:
                _block = {modules}[int(_block)]
                try:
                    _module = __import__(_block)
                except ImportError:
                    _module = __import__("milliamp.blocks." + _block, None, None, (_block,))
            print(_name, callable(getattr(_module, _function.rstrip("*"))), _function.endswith("*"))
"""


def short(out, wanted):
    """What a name of the tables is called in the image."""
    for name, texts in json.loads((out / "names.json").read_text())["tables/__init__.py"].items():
        if wanted in texts.split(", "):
            return name
    return wanted.rpartition(".")[2]


@pytest.mark.parametrize("board", profile.boards())
def test_every_route_leads_to_a_function(board, tmp_path):
    out = build.build(board)
    source = {}
    exec((out / "tables" / "routes.py").read_text(), source)
    expected = []
    for table in TABLES:
        for line in source[table].decode().split("\n"):
            if line:
                name, _, function = line.split(" ")
                expected.append(f"{name} True {function.endswith('*')}")
    assert len(expected) > 20
    owner = short(out, "routes")
    tables = ", ".join(f"tables.{owner}.{short(out, f'model.{name}')}" for name in TABLES)
    script = tmp_path / "look.py"
    modules = f"tables.{owner}.{short(out, 'model.MODULES')}"
    look = LOOK.format(tables=tables, modules=modules)
    script.write_text(BOOT.read_text().replace("import main", "#") + look)
    run = subprocess.run(
        [*lane64(), "-X", "heapsize=256k", str(script), str(out)], capture_output=True, text=True
    )
    assert run.stderr == ""
    assert run.stdout.split("\n")[:-1] == expected


@pytest.mark.parametrize("limits", [0, 15])
def test_forms_that_no_schema_of_an_image_has_cost_it_nothing(tmp_path, limits):
    forms = (build.build_tables("sim") / "tables" / "forms.py").read_text()
    assert forms.endswith("LIMITS = const(0)\n")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "forms.py").write_text(forms.replace("const(0)", f"const({limits})"))
    source = fold.prepare(FIRMWARE / "milliamp" / "wire" / "schema.py", (tmp_path,))
    known = Facts({}, {"profile": {}, "routes": {"RESIDENT": ()}})
    left = decide({toolkit.CORE: source}, known)[toolkit.CORE]
    assert source.count("_beyond(") == 2  # it is defined, and called
    assert left.count("_beyond(") == (2 if limits else 1)
