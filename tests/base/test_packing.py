"""Numbers and bytes packed tightly."""

from hypothesis import given
from hypothesis import strategies as st

from milliamp.base.packing import Bytes, put_number


@given(st.lists(st.one_of(st.integers(0, 2**63), st.binary(max_size=20))))
def test_what_goes_in_comes_out(items):
    out = bytearray()
    for item in items:
        if isinstance(item, int):
            put_number(out, item)
        else:
            out.append(len(item))
            out.extend(item)
    data = Bytes(bytes(out))
    for item in items:
        assert data.left()
        assert (data.number() if isinstance(item, int) else data.take(data.byte())) == item
    assert not data.left()


@given(st.integers(0, 2**32))
def test_seven_bits_a_byte(number):
    out = bytearray()
    put_number(out, number)
    assert len(out) == max(1, -(-number.bit_length() // 7))


def test_a_negative_number_becomes_zero():
    out = bytearray()
    put_number(out, -5)
    assert out == b"\0"
