"""Pages with figures that a command wrote: between its markers, and wherever another page cites one of them.

A citation is a link with a title, `[32.9](flash.md "Milliamp, raw flash, unit 8; bytes programmed per event")`: the row of a
table on that page, and the column where there is more than one. Each command that writes a page writes the citations, too.
"""

import re
from pathlib import Path

from tools import BuildError

_CITED = re.compile(r'\[[^]]+\]\(([\w-]+\.md) "([^"]+)"\)')


def put(document: Path, begin: str, end: str, text: str) -> None:
    """Write `text` between the markers of a page, and its figures to where other pages beside it cite them. BuildError: there
    are no markers, or a citation names no figure."""
    before, mark, rest = document.read_text(encoding="utf-8").partition(begin)
    _, last, after = rest.partition(end)
    if not mark or not last:
        raise BuildError(f"{document}: there is no {begin} with an {end} behind it")
    document.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
    for page in sorted(document.parent.glob("*.md")):
        old = page.read_text(encoding="utf-8")
        new = cited(old, document.parent)
        if new != old:
            page.write_text(new, encoding="utf-8")


def cited(text: str, folder: Path) -> str:
    """The same text, each citation with the figure that the page in `folder` has. BuildError: it has none."""

    def renew(match: re.Match) -> str:
        page, what = match.groups()
        found = figure((folder / page).read_text(encoding="utf-8"), what)
        if found is None:
            raise BuildError(f"{page} has no figure of {what!r}, which a page cites")
        return f'[{found}]({page} "{what}")'

    return _CITED.sub(renew, text)


def figure(page: str, what: str) -> str | None:
    """The cell of a page's table in the row and column that `what` names, "row" or "row; column"; None: there is none."""
    row, _, column = what.partition("; ")
    heads: list = []
    for line in page.splitlines():
        if not line.startswith("|"):
            heads = []
            continue
        cells = [cell.strip(" *`") for cell in line.strip("|").split("|")]
        heads = heads or cells
        if cells[0] == row and cells is not heads:
            at = heads.index(column) if column in heads else 1 if not column else 0
            if at and at < len(cells):
                return cells[at]
    return None
