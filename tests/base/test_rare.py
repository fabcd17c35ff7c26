"""Modules that are loaded for a while."""

import sys

import pytest

from milliamp.base import rare


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A module in a package, and one in none."""
    folder = tmp_path / "rarely"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "needed.py").write_text(
        "loaded = []\n\n\ndef more():\n    loaded.append(1)\n    return len(loaded)\n"
    )
    (tmp_path / "seldom.py").write_text("x = 1\n")
    (tmp_path / "broken.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "rarely.needed"
    sys.modules.pop("rarely", None)


def test_a_module_is_forgotten_as_it_is_loaded(package):
    module = rare.load(package)
    assert package not in sys.modules and not hasattr(sys.modules["rarely"], "needed")
    assert rare.load("seldom").x == 1 and "seldom" not in sys.modules
    # Who has it goes on with it; the next one begins anew.
    assert module.more() == 1 and module.more() == 2
    assert rare.load(package).more() == 1


@pytest.mark.parametrize("name", ["rarely.other", "broken", "none.such"])
def test_what_cannot_be_loaded_is_told(package, name):
    with pytest.raises(ImportError):
        rare.load(name)
