"""The log: levels, a ring of fixed size, and secrets that never get in."""

from hypothesis import given
from hypothesis import strategies as st

from milliamp.base.log import Log


class Board:
    def __init__(self):
        self.lines = []

    def console(self, text):
        self.lines.append(text)


def test_levels():
    board = Board()
    log = Log(board, level=1)
    for write in (log.error, log.warn, log.info):
        write("x")
    assert board.lines == ["E x", "W x"]
    assert log.tail() == "E x\nW x\n"


lines = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=200)


@given(st.lists(lines, max_size=40))
def test_the_ring_holds_the_last_lines_whole(texts):
    log = Log(Board(), 512)
    for text in texts:
        log.info(text)
    wanted = "".join("I " + text[:120] + "\n" for text in texts)
    tail = log.tail()
    assert wanted.endswith(tail)
    assert tail == "" or tail.startswith("I ")
    if len(wanted.encode()) < 512:
        assert tail == wanted
    else:
        assert len(tail.encode()) > 512 - 490


@given(st.text(min_size=1, max_size=40), lines, lines)
def test_a_secret_gets_nowhere(secret, before, after):
    secret = "§" + secret.replace("*", "")
    board = Board()
    log = Log(board)
    log.secret(secret)
    log.error(before[:50] + secret + after)
    log.error("x" * 119 + secret)  # not cut into something that is not recognized
    assert secret not in "".join(board.lines) and secret not in log.tail()
    assert secret[:2] not in board.lines[1]


def test_the_last_secrets_count():
    board = Board()
    log = Log(board)
    log.secret(None)
    log.secret("")
    for n in range(6):
        log.secret(f"secret-{n}")
        log.secret(f"secret-{n}")
    log.info("secret-5 secret-2")
    assert board.lines == ["I *** ***"]
