"""The model of a flash chip: NOR semantics, and power that fails in an operation."""

import pytest

from hostsim.charger.flash import Nor, PowerCut


def test_nor_semantics():
    nor = Nor(1024, 256, 8)
    nor.program(8, b"12345678")
    for address, data in (
        (8, b"\0" * 8),
        (0, b"x" * 16),
        (4, b"x" * 8),
        (16, b"x"),
        (248, b"x" * 16),
    ):
        with pytest.raises(ValueError):
            nor.program(address, data)
    assert bytes(nor.image[:24]) == b"\xff" * 8 + b"12345678" + b"\xff" * 8
    nor.erase(0)
    nor.program(8, b"87654321")
    assert (nor.bytes_programmed, nor.erases, nor.operations) == (16, 1, 3)


@pytest.mark.parametrize(
    "torn, left",
    [("nothing", b"\xff" * 8), ("half", b"\0\0\0\0\xff\xff\xff\xff"), ("all", b"\0" * 8)],
)
def test_power_fails_in_a_program(torn, left):
    nor = Nor(1024, 256, 4)
    nor.cut_power(1, torn)
    nor.program(0, b"1234")
    with pytest.raises(PowerCut):
        nor.program(8, b"\0" * 8)
    for dead in (lambda: nor.erase(0), lambda: nor.read(0, bytearray(1))):
        with pytest.raises(PowerCut):
            dead()
    nor.power_on()
    assert nor.image[8:16] == left
    with pytest.raises(ValueError):
        nor.program(0, b"1234")  # what was programmed before the cut still is


def test_power_fails_in_an_erase():
    nor = Nor(512, 256)
    nor.program(0, b"\0" * 256)
    nor.cut_power(0, "half")
    with pytest.raises(PowerCut):
        nor.erase(0)
    nor.power_on()
    assert nor.image[:256] == b"\xff" * 128 + b"\0" * 128


def test_torn_bits_change_only_towards_what_was_written():
    nor = Nor(512, 256)
    nor.cut_power(0, "bits", lambda n: 0xF0)
    with pytest.raises(PowerCut):
        nor.program(0, b"\x00\xff\x0f\xf0")
    nor.power_on()
    assert nor.image[:4] == b"\xf0\xff\xff\xf0"


def test_ecc_flash_cannot_read_what_was_torn_until_it_is_erased():
    nor = Nor(512, 256, 16, ecc=True)
    nor.cut_power(0, "half")
    with pytest.raises(PowerCut):
        nor.program(16, b"\0" * 32)
    nor.power_on()
    nor.read(0, bytearray(16))
    with pytest.raises(OSError):
        nor.read(40, bytearray(1))
    nor.erase(0)
    nor.read(40, bytearray(1))


def test_an_image_file_keeps_what_was_programmed(tmp_path):
    nor = Nor(1024, 256, 4, image=tmp_path / "flash.bin")
    nor.program(256, b"abcd")
    nor.image.flush()
    again = Nor(1024, 256, 4, image=tmp_path / "flash.bin")
    assert again.image[256:260] == b"abcd"
    with pytest.raises(ValueError):
        again.program(256, b"abcd")
