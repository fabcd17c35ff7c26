"""What the drivers of memory chips on SPI say to the chip, and what they make of one that does not do as told."""

import types

import pytest

from hostsim.charger.cpython import driver
from hostsim.charger.flash import Nor

from .chips import Ferro, SerialNor

SPI_NOR, FRAM = driver("spi_nor"), driver("fram")
SIZE = 1 << 18


@pytest.fixture
def ticks(monkeypatch):
    """Time passes as the driver looks at it: a millisecond a look."""
    clock = types.SimpleNamespace(now=0)

    def ticks_ms():
        clock.now += 1
        return clock.now

    fake = types.SimpleNamespace(ticks_ms=ticks_ms, ticks_diff=lambda end, start: end - start)
    monkeypatch.setattr(SPI_NOR, "time", fake)
    return clock


def nor(**options):
    chip = SerialNor(Nor(SIZE, 4096), **options)
    return chip, SPI_NOR.SPINor(chip, chip)


def errno_of(function, *arguments):
    with pytest.raises(OSError) as caught:
        function(*arguments)
    return caught.value.args[0]


def test_a_program_never_goes_over_the_end_of_a_page():
    chip, device = nor()
    device.program(250, bytes(600))
    assert chip.log == [(2, 250, 6), (2, 256, 256), (2, 512, 256), (2, 768, 82)]
    assert chip.nor.image[:1024] == b"\xff" * 250 + bytes(600) + b"\xff" * 174
    chip.log.clear()
    device.program(4096, bytes(256))
    assert chip.log == [(2, 4096, 256)]


def test_the_model_wraps_round_in_a_page_as_the_chip_does():
    chip, device = nor()
    chip.execute(0x06, b"\x06")
    chip.execute(0x02, b"\x02\x00\x00\xfe" + b"\1\2\3\4")
    assert chip.nor.image[:2] == b"\3\4" and chip.nor.image[254:258] == b"\1\2\xff\xff"


@pytest.mark.parametrize(
    "ident, sfdp, size",
    [
        (b"\xef\x40\x12", True, SIZE),
        (b"\xef\x40\x12", False, SIZE),
        (b"\xc2\x20\x19", False, 1 << 24),  # 32 MB: what three bytes of address reach
    ],
)
def test_it_finds_the_size(ident, sfdp, size):
    assert nor(ident=ident, sfdp=sfdp)[1].size == size


def test_sfdp_tells_large_sizes_as_a_power_of_two_and_the_code_of_the_erase():
    chip = SerialNor(Nor(SIZE, 4096))
    chip.parameters = chip.table(0x10000000 >> 3)[:0x84] + (0x80000023).to_bytes(4, "little")
    chip.parameters += b"\xff" * 16
    assert SPI_NOR.SPINor(chip, chip).size == 1 << 24
    chip = SerialNor(Nor(SIZE, 4096))
    chip.parameters = chip.table(SIZE, erase=0x21)
    SPI_NOR.SPINor(chip, chip)._begin(SPI_NOR.SPINor(chip, chip)._erase, 4096)
    assert chip.frame[0] == 0x21


def test_a_chip_without_small_sectors_is_none():
    chip = SerialNor(Nor(SIZE, 4096))
    table = bytearray(chip.table(SIZE))
    table[0x80] |= 3
    chip.parameters = bytes(table)
    assert errno_of(SPI_NOR.SPINor, chip, chip) == 19


@pytest.mark.parametrize("line", [0x00, 0xFF])
def test_no_chip(line):
    chip = SerialNor(Nor(SIZE, 4096))
    chip.floating = line
    assert errno_of(SPI_NOR.SPINor, chip, chip) == 19
    chip = Ferro(SIZE)
    chip.floating = line
    assert errno_of(FRAM.FRAM, chip, chip, SIZE) == 19


def test_a_protected_chip_is_not_written_silently():
    chip = SerialNor(Nor(SIZE, 4096))
    chip.protected = 0x0C
    assert errno_of(SPI_NOR.SPINor, chip, chip) == 30
    chip = Ferro(SIZE)
    chip.protected = 0x08
    assert errno_of(FRAM.FRAM, chip, chip, SIZE) == 30


def test_a_chip_that_does_not_take_commands_any_more():
    for chip, device in (nor(), (Ferro(SIZE), None)):
        device = device or FRAM.FRAM(chip, chip, SIZE)
        chip.deaf = True
        assert errno_of(device.program, 0, b"x") == 5
        assert errno_of(device.erase, 0) == 5
        chip.deaf = False
        device.erase(0)
        device.program(0, b"x")


def test_a_command_that_the_chip_did_not_get_is_noticed():
    chip, device = nor()
    chip.lost = {0x20}
    assert errno_of(device.erase, 0) == 5
    chip.lost = {0x02}
    assert errno_of(device.program, 0, b"x") == 5
    chip = Ferro(SIZE)
    device = FRAM.FRAM(chip, chip, SIZE)
    chip.lost = {0x02}
    assert errno_of(device.program, 0, b"x") == 5
    assert errno_of(device.erase, 0) == 5


def test_a_chip_that_never_gets_ready(ticks):
    chip, device = nor()
    chip.stuck = True
    assert errno_of(device.program, 0, b"x") == 5
    assert ticks.now < 20
    chip, device = nor()
    chip.stuck = True
    assert errno_of(device.erase, 0) == 5
    assert 400 < ticks.now < 2000
    chip.busy = 1
    assert errno_of(SPI_NOR.SPINor, chip, chip) == 5


def test_a_reset_in_an_erase_waits_for_its_end():
    chip, device = nor()
    device.program(0, bytes(8))
    chip.execute(0x06, b"\x06")
    chip.execute(0x20, b"\x20\0\0\0")
    assert chip.busy
    again = SPI_NOR.SPINor(chip, chip)
    buf = bytearray(8)
    again.read(0, buf)
    assert buf == b"\xff" * 8


def test_bits_that_do_not_clear_are_found():
    chip, device = nor()
    device.program(0, bytes(300))
    chip.worn = 1
    device.program(512, b"\xff\x01")  # nothing that is lost
    assert errno_of(device.program, 1024, b"\x01" * 40 + b"\x00") == 5


@pytest.mark.parametrize("size, length", [(8192, 3), (65536, 3), (131072, 4), (524288, 4)])
def test_the_length_of_an_address_follows_from_the_size(size, length):
    chip = Ferro(size)
    device = FRAM.FRAM(chip, chip, size)
    device.program(size - 4, b"last")
    device.program(0, b"first")
    assert chip.array[-4:] == b"last" and chip.array[:5] == b"first"
    buf = bytearray(4)
    device.read(size - 4, buf)
    assert buf == b"last"


def test_an_fram_has_whole_sectors():
    chip = Ferro(8192)
    with pytest.raises(ValueError):
        FRAM.FRAM(chip, chip, 8192, 3000)
