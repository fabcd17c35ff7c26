import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milliamp.wire.jsonreader import Reader

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5)
    ),
    max_leaves=20,
)
SPACES = st.text(" \t\r\n", max_size=3).map(str.encode)


def reader(data: bytes, behind: bytes = b"", steps: int = 10**6):
    """A Reader of `data` with something else behind it in the buffer, and what its check said."""
    r = Reader(bytearray(data + behind))
    r.load(len(data))
    good = None
    while good is None:
        good = r.check(steps)
    return r, good


def depth(value) -> int:
    inner = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    )
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def rebuilt(r: Reader, at: int):
    """The value at `at`, made with nothing but the Reader's methods."""
    c = chr(r.buf[at])
    if c == '"':
        text = r.text(at)
        assert r.same(at, text) and not r.same(at, text + "x")
        assert r.length(at) == len(text)
        return text
    if c == "[":
        return [rebuilt(r, one) for one in r.each(at)]
    if c == "{":
        found = {}
        key = r.first(at)
        while key:
            found[r.text(key)] = rebuilt(r, r.value(key))
            key = r.next(r.value(key))
        return found
    if c in "tf":
        return r.boolean(at)
    if c == "n":
        return None
    start, end = r.span(at)
    number = json.loads(bytes(r.buf[start:end]))
    exact = r.number(at)
    if isinstance(number, int):
        assert exact == (number if abs(number) < 10**18 else None)
    elif exact is not None:
        assert math.isclose(exact, number)
    return number


@given(VALUES, st.booleans(), st.sampled_from([None, 2]), SPACES, st.sampled_from([1, 3, 10**6]))
def test_reads_what_json_reads(value, ascii_only, indent, spaces, steps):
    text = (
        b" " + spaces + json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode() + spaces
    )
    r, good = reader(text, b'"]}1', steps)
    assert good == (depth(value) <= 20)
    if good:
        assert rebuilt(r, r.root) == value
        assert r.skip(r.root) == r.end <= len(text)


@given(VALUES, st.data())
def test_damaged_text_is_judged_as_json_judges_it(value, data):
    text = bytearray(json.dumps(value).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        with_ = data.draw(
            st.sampled_from(
                [
                    b"",
                    b'"',
                    b"\\",
                    b"{",
                    b"]",
                    b",",
                    b":",
                    b"0",
                    b"-",
                    b"e",
                    b"\n",
                    b"\x00",
                    b"u12",
                ]
            )
        )
        text[at : at + data.draw(st.integers(0, 2))] = with_
    judge(bytes(text))


@given(st.text('[]{}",:\\ue+-.0123456789tfnrlasE \n').map(str.encode))
def test_garbage_is_judged_as_json_judges_it(text):
    judge(text)


def judge(text: bytes) -> None:
    def no(_):
        raise ValueError

    try:
        value = json.loads(text.decode(), parse_constant=no)
        right = depth(value) <= 20
    except (ValueError, RecursionError):
        right = False
    r, good = reader(text, b'"]}, "a": 1')
    assert good == right
    if not good:
        assert r.end <= len(text)
        survey(r)


def survey(r: Reader) -> None:
    """What a frame's head is read with must stay inside broken text."""
    at = r.root
    for _ in range(5):
        if not at or at >= r.end:
            break
        assert r.skip(at) <= r.end
        assert r.first(at) < r.end
        at = r.next(at)


@given(st.binary(max_size=60))
def test_any_bytes_are_survived(data):
    r, good = reader(data)
    assert good in (True, False)
    survey(r)


@pytest.mark.parametrize("levels, good", [(20, True), (21, False), (2000, False)])
@pytest.mark.parametrize("pair", ["[]", '{"a":}'])
def test_nesting_has_a_cap(levels, good, pair):
    inner = "[]" if pair == "[]" else "{}"
    text = pair[:-1] * (levels - 1) + inner + pair[-1] * (levels - 1)
    assert reader(text.encode())[1] is good


@given(st.integers(-(10**16), 10**16), st.integers(0, 6))
def test_fixed_point(n, places):
    sign, digits = "-" if n < 0 else "", str(abs(n)).zfill(places + 1)
    whole, rest = digits[: len(digits) - places], digits[len(digits) - places :]
    text = sign + whole + ("." + rest if rest else "")
    r, good = reader(text.encode())
    assert good
    assert r.root == 0
    r, _ = reader(b" " + text.encode())  # a value is never at 0: that is "absent"
    assert r.fixed(1, places) == (n if abs(n) < 10**18 else None)


@pytest.mark.parametrize(
    "text, number, milli",
    [
        ("0", 0, 0),
        ("-0.0", 0, 0),
        ("1.0", 1, 1000),
        ("1.5", None, 1500),
        ("-1.9999", None, -1999),
        ("12e2", 1200, 1200000),
        ("1200E-2", 12, 12000),
        ("0.0015", None, 1),
        ("1e999999999", None, None),
        ("0e999999999", 0, 0),
        ("1e-999999999", None, 0),
        ("1" * 19, None, None),
        ("0." + "0" * 300 + "1", None, 0),
        ('"1"', None, None),
        ("null", None, None),
        ("true", None, None),
    ],
)
def test_numbers(text, number, milli):
    r, good = reader(b" " + text.encode())
    assert good
    assert (r.number(1), r.fixed(1, 3)) == (number, milli)


def test_absent_values_need_no_test():
    r, _ = reader(b'{"a":{"b":[{"c":"x"}]},"d":null}')
    assert r.path(0, "a") == 0  # 0 is no value, not even where a text begins there
    r, _ = reader(b' {"a":{"b":[{"c":"x"}]},"d":null}')
    one = list(r.each(r.path(1, "a", "b")))
    assert [r.text(r.get(at, "c")) for at in one] == ["x"]
    assert r.path(1, "a", "nope", "b") == 0
    assert r.get(r.get(1, "d"), "x") == 0
    absent = r.get(1, "nope")
    assert (r.text(absent), r.number(absent), r.boolean(absent)) == (None, None, None)
    assert not r.same(absent, "") and not list(r.each(absent))


@pytest.mark.parametrize(
    "raw, text",
    [
        (r'"\ud83d\ude00"', "😀"),
        (r'"\ud83d"', "\ufffd"),
        (r'"\ude00\ud83d"', "\ufffd\ufffd"),
        (r'"\ud83dx\ude00"', "\ufffdx\ufffd"),
        (r'"\"\\\/\b\f\n\r\t\u00e9"', '"\\/\b\f\n\r\té'),
    ],
)
def test_escapes(raw, text):
    r, good = reader(b" " + raw.encode())
    assert good
    assert r.text(1) == text
    assert r.length(1) == len(text)
    assert r.same(1, text)


@pytest.mark.parametrize("steps", [1, 2, 3, 100])
def test_white_space_is_left_out_and_what_was_taken_out_stays_known(steps):
    text = b' { "a" : [ 1 , "" , "x y" ] ,\n"b" : "" } '
    r = Reader(bytearray(text))
    r.load(len(text))
    r.diverted = [(text.index(b'""'), 700), (text.rindex(b'""'), 800)]
    while (good := r.check(steps)) is None:
        pass
    assert good
    assert bytes(r.buf[r.root : r.end]) == b'{"a":[1,"","x y"],"b":""}'
    _, taken, kept = r.each(r.get(r.root, "a"))
    assert [r.length(at) for at in (taken, kept, r.get(r.root, "b"))] == [700, 3, 800]
