import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milliamp.wire.jsonreader import Reader
from milliamp.wire.jsonwriter import Writer

HEAD = 8
VALUES = st.recursive(
    st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("aZé09_ ", max_size=5), inner, max_size=4)
    ),
    max_leaves=15,
)


class Buffer:
    """A Writer and the text that it has written, whatever the size of its buffer."""

    def __init__(self, size=2000):
        self._buf = bytearray(HEAD + size)
        self._gone = b""
        self.flushes = 0
        self.w = Writer(self._buf, HEAD, self._flush, lambda seconds: f"at {seconds}")

    def _flush(self, end):
        assert end == len(self._buf)  # only a full buffer is flushed
        self._gone += bytes(self._buf[HEAD:end])
        self._buf[HEAD:end] = b"#" * (end - HEAD)  # masked, say
        self.flushes += 1

    @property
    def text(self) -> bytes:
        return self._gone + bytes(self._buf[HEAD : self.w.at])


def write(w: Writer, value, key=None) -> None:
    if isinstance(value, dict):
        w.object(key)
        for name, one in value.items():
            write(w, one, name)
        w.end()
    elif isinstance(value, list):
        w.array(key)
        for one in value:
            write(w, one)
        w.end()
    elif key is None:
        w.value(value)
    else:
        w.field(key, value)


@given(VALUES, st.integers(1, 70))
def test_what_is_written_is_json_whatever_the_buffer(value, size):
    small, large = Buffer(size), Buffer(20000)
    write(small.w, value)
    write(large.w, value)
    assert json.loads(large.text) == value
    assert large.flushes == 0
    assert small.text == large.text
    assert small.flushes == (len(small.text) - 1) // size  # what just fits is not flushed


@given(VALUES)
def test_echo_is_the_same_bytes(value):
    text = json.dumps([value]).encode()
    r = Reader(bytearray(text))
    r.load(len(text))
    out = Buffer(20)
    out.w.array()
    out.w.echo(r, 1)
    out.w.end()
    assert out.text == text


@given(st.integers(-(10**18), 10**18), st.integers(0, 9))
def test_fixed(value, places):
    out = Buffer()
    out.w.fixed(value, places)
    whole, _, rest = out.text.decode().partition(".")
    assert not rest.endswith("0")
    assert int(whole + rest.ljust(places, "0")) == value
    assert json.loads(out.text, parse_float=Decimal) == Decimal(value).scaleb(-places)


def test_api():
    out = Buffer()
    w = out.w
    w.object()
    w.field("absent", None)
    w.field("yes", True)
    assert w.key("time").time(7) is None
    w.key("energy").fixed(-1500, 3)
    w.array("list")
    w.value(0)
    w.object()
    w.finish()
    assert json.loads(out.text) == {"yes": True, "time": "at 7", "energy": -1.5, "list": [0, {}]}
    w.start()
    assert out.text == b""
    w.object()
    w.status("Accepted")
    w.finish()
    assert out.text == b'{"status":"Accepted"}'
    w.start()
    w.object()
    w.status("Rejected", "Busy")
    w.finish()
    assert out.text == b'{"status":"Rejected","statusInfo":{"reasonCode":"Busy"}}'


@pytest.mark.parametrize("value", [False, True, 0, -5, "", "0"])
def test_values_of_every_type(value):
    out = Buffer()
    out.w.value(value)
    written = json.loads(out.text)
    assert written == value and type(written) is type(value)
