"""Two passes go over the image twice: what the one drops decides more for the other."""

import ast

from tools.builder import passes
from tools.builder.passes.decide import Facts
from tools.builder.toolkit import CORE

# Nobody calls `refill_it`, so `_spare` is () wherever it is looked at.
SOURCE = """
class Reader:
    def __init__(self):
        self._spare = ()
    def refill_it(self, spare):
        self._spare = spare
    def find(self):
        return 1 if self._spare else 2
def main(reader):
    return Reader().find()
import other
other.start(main)
"""


def test_what_nothing_fills_is_not_looked_at():
    trees = {CORE: ast.parse(SOURCE)}
    station = passes.Station(Facts({}, {"profile": {}}))
    found = passes.begin(trees, station, without=("split", "join", "inline"))
    text = ast.unparse(found[CORE])
    assert "return 2" in text
    assert "_spare" not in text
