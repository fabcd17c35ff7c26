"""Locals share a name only where nobody can tell."""

import pytest

from tests.builder.passes.texts import share


def names(function):
    return function.__code__.co_nlocals


def both(source):
    plain, other = {}, {}
    exec(source, plain)
    exec(share({"it.py": source})["it.py"], other)
    return plain["f"], other["f"]


def same(source, calls):
    """How many locals are left of a function that gives the same."""
    plain, other = both(source)
    for call in calls:
        results = []
        for function in (plain, other):
            try:
                results.append(function(*call))
            except ZeroDivisionError as error:
                results.append(repr(error))
        assert results[0] == results[1], call
    assert names(other) <= names(plain)
    return names(other)


CALLS = [(n,) for n in range(6)]


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("a = n + 1\nc = a * 2\nd = c + n\nreturn d", 3),  # `d` is `a`
        ("a = n + 1\nprint(end=str(a)[:0])\nb = n + 2\nprint(end=str(b)[:0])\nreturn n", 2),
        ("m = n\nb = 2\nb += b\nreturn b", 2),
        ("b = n + 2\nreturn b", 2),  # the argument is needed in the same statement
        ("t = n\nx = t + 1\nprint(end='')\ny = 5\nreturn y", 2),
        ("if n:\n    a = 1\n    return a\nelse:\n    b = 2\n    return b", 2),
        ("if n > 2:\n    a = 1\nelse:\n    a = 2\nb = 3\nreturn a + b", 2),
        ("r = []\nfor i in range(n):\n    r.append(i)\nfor j in range(3):\n    r.append(j)\nreturn r", 3),
        ("r = []\nfor i in range(n):\n    for j in range(i):\n        r.append((i, j))\nreturn r", 4),
        # What is carried from one turn of a loop to the next.
        ("r = []\nlast = 0\nfor i in range(n):\n    a = i * 2\n    r.append(a + last)\n    b = i\n    last = b\nreturn r", 5),
        ("r = []\nfor i in range(n):\n    if i > 1:\n        r.append(a)\n    b = 7\n    r.append(b)\n    a = i\nreturn r", 5),
        ("a = n\ntry:\n    b = 1 // n\n    c = b\nexcept ZeroDivisionError:\n    return a\nreturn c + a", 4),
        ("a = 5\ng = lambda: a\nb = 6\nreturn g() + b", 2),
        ("a = 5\nr = [a for _ in range(n)]\nb = 6\nreturn r, b", 3),
        ("for i in range(n):\n    pass\nelse:\n    i = 9\nb = 4\nreturn b, i", 2),
        ("while n < 9:\n    a = n\n    n += 1 + a * 0\nb = 3\nreturn b, n", 2),
    ],
)  # fmt: skip
def test_it_gives_the_same_with_fewer(body, left):
    source = "def f(n):\n    " + body.replace("\n", "\n    ") + "\n"
    assert same(source, CALLS) == left


def test_defaults_belong_to_others():
    source = "a = 3\nb = 4\ndef f(n, m=b):\n    x = n\n    print(end=str(x)[:0])\n    b = m\n    return b\n"
    same(source, CALLS)


def test_names_of_others_are_left_alone():
    source = """
total = 0
def f(n):
    global total
    a = n
    total = a
    import json
    text = json.dumps(n)
    try:
        b = 1 // n
    except ZeroDivisionError as error:
        b = repr(error)
    del a
    return total, text, b
"""
    same(source, CALLS)
