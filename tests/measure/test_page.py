"""Figures on pages: written by commands, and where a page cites another's they are the same."""

import re

import pytest

from tools import ROOT, BuildError
from tools.measure import page

TABLE = """# Flash
<!-- in -->
old
<!-- out -->
| design | bytes | erases |
|---|---|---|
| **ours**, unit 8 | 32.9 | 0.009 |

| what | |
|---|---|
| one poll | 217,219 |
"""


def test_a_page_and_who_cites_it(tmp_path):
    flash, design = tmp_path / "flash.md", tmp_path / "design.md"
    flash.write_text(TABLE)
    design.write_text('costs [1](flash.md "ours, unit 8; erases"), or [2](flash.md "one poll").\n')
    flash.write_text(TABLE.replace("**ours**", "ours"))
    page.put(flash, "<!-- in -->", "<!-- out -->", "| a | b |\n|---|---|\n| new | 7 |")
    assert "<!-- in -->\n| a | b |\n|---|---|\n| new | 7 |\n<!-- out -->\n" in flash.read_text()
    assert design.read_text() == (
        'costs [0.009](flash.md "ours, unit 8; erases"), or [217,219](flash.md "one poll").\n'
    )


@pytest.mark.parametrize("what", ["nothing", "ours, unit 8; nothing", "nothing; erases"])
def test_a_citation_of_nothing_is_an_error(tmp_path, what):
    (tmp_path / "flash.md").write_text(TABLE.replace("**ours**", "ours"))
    with pytest.raises(BuildError, match="no figure of '" + re.escape(what)):
        page.cited(f'[1](flash.md "{what}")', tmp_path)


@pytest.mark.parametrize("file", sorted((ROOT / "docs").glob("*.md")), ids=lambda file: file.name)
def test_what_is_cited_is_what_was_measured(file):
    text = file.read_text()
    assert page.cited(text, file.parent) == text
