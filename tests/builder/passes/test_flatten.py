"""Modules leave their packages, and everybody finds them where they are then."""

import subprocess
import sys

from tests.builder.passes.texts import flatten

SOURCES = {
    "main.py": "from milliamp import rare\nfrom milliamp.wire.net import Net as N\n"
    "from milliamp.wire import net, other\nimport board\n"
    "import milliamp\nprint(rare.name(), N().name, net.Net.name, other.name, board.name, milliamp.load('block'))\n",
    "board.py": "name = 'board'\n",
    "milliamp/__init__.py": "import sys\ndef load(name):\n    path = 'milliamp.blocks.' + name\n    __import__(path)\n"
    "    return sys.modules[path].name, __import__('milliamp.wire.net', None, None, ('Net',)).Net.name\n",
    "milliamp/rare.py": "def name():\n    from milliamp.wire import net\n    return net.Net.name\n",
    "milliamp/wire/net.py": "class Net:\n    name = 'net'\n",
    "milliamp/wire/other.py": "name = 'other'\n",
    "milliamp/blocks/block.py": "name = 'block'\n",
}  # fmt: skip


def output(place, sources):
    for path, text in sources.items():
        file = place / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    run = subprocess.run(
        [sys.executable, "-c", "import main"], cwd=place, capture_output=True, text=True
    )
    assert not run.stderr
    return run.stdout


def test_the_same_happens(tmp_path):
    flat = flatten(SOURCES)
    assert set(flat) == {
        "main.py", "board.py", "milliamp/__init__.py", "rare.py", "net.py", "other.py", "block.py"
    }  # fmt: skip
    expected = output(tmp_path / "plain", SOURCES)
    assert expected == "net net net other board ('block', 'net')\n"
    assert output(tmp_path / "flat", flat) == expected


def test_a_module_whose_name_is_taken_stays(tmp_path):
    sources = {
        "main.py": "from milliamp.wire import board as mine\nfrom milliamp import rare\nimport board\n"
        "print(board.name, mine.name, rare.name)\n",
        "board.py": "name = 'the board'\n",
        "milliamp/__init__.py": "",
        "milliamp/wire/board.py": "name = 'of the wire'\n",
        "milliamp/rare.py": "name = 'rare'\n",
    }
    flat = flatten(sources)
    assert set(flat) == {
        "main.py", "board.py", "milliamp/__init__.py", "milliamp/wire/board.py", "rare.py"
    }  # fmt: skip
    assert output(tmp_path, flat) == "the board of the wire rare\n"
