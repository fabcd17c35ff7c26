"""What only an STM32 has: flash chips on SPI, Ethernet, a file for what is this charger's own."""

import builtins
import io

import pytest

from hostsim.charger.flash import Nor
from milliamp.storage.keys import CSMS_URL, IDENTITY, PASSWORD

from ..base.chips import Ferro, SerialNor
from .bench import Charger, imported, tables, wire
from .esp32 import STM32, Bus

BOARD = "stm32_nucleo_h743"


@pytest.fixture
def chip():
    chip = wire(STM32(), BOARD)
    chip.buses[4] = Bus(chip)
    return chip


@pytest.fixture
def charger(chip):
    with imported(chip, BOARD) as modules:
        yield Charger(chip, modules, tables(BOARD))


def fit(chip, device):
    """Put a memory chip on SPI3, selected by PA4."""
    chip.buses[3] = device
    chip.on_output["PA4"] = device.value


def use(flash):
    flash.erase(0)
    flash.program(16, b"0123456789abcdef")
    buf = bytearray(4)
    flash.read(20, buf)
    assert buf == b"4567"


def test_flash_is_a_slice_of_the_chip(charger, chip):
    nor = Nor(0x400000)
    fit(chip, SerialNor(nor, ident=b"\xef\x40\x16"))
    settings = charger.board.flash("settings")
    assert (settings.size, settings.sector, settings.unit) == (0x8000, 4096, 1)
    use(settings)
    assert nor.image[0x100010:0x100014] == b"0123"
    journal = charger.board.flash("journal")  # the same chip, not started again
    use(journal)
    assert journal.size == 0x100000


def test_an_erase_does_not_keep_the_contactors_from_being_looked_after(charger, chip):
    """A NOR chip takes up to 400 ms, and the journal erases whenever it must."""
    nor = SerialNor(Nor(0x400000), ident=b"\xef\x40\x16")
    fit(chip, nor)
    flash = charger.board.flash("journal")
    charger.charge()
    assert charger.live
    status = nor.status

    def slow():
        chip.wait(1000)
        return status()

    nor.status = slow
    execute = nor.execute

    def begin(command, frame):
        execute(command, frame)
        nor.busy = 300 if command == 0x20 else nor.busy

    nor.execute = begin
    opened = []
    follow = chip.on_output["PE11"]
    chip.on_output["PE11"] = lambda on: (opened.append(chip.ms), follow(on))
    stop = chip.ms + 50
    chip.after(50, lambda: setattr(chip.line, "ev", "B"))
    flash.erase(0)
    assert chip.ms - stop > 150
    assert opened and opened[0] - stop <= 30


def test_a_chip_with_ecc_of_its_own(charger, chip):
    charger.profile.FLASH_UNIT = 16
    fit(chip, SerialNor(Nor(0x400000), ident=b"\xef\x40\x16"))
    assert charger.board.flash("journal").unit == 16


def test_a_fram_in_its_place(charger, chip):
    charger.profile.PINS = {**charger.profile.PINS, "flash_fram": True}
    charger.profile.FLASH_SIZE, charger.profile.FLASH_SECTOR = 0x20000, 2048
    charger.profile.FLASH = {"settings": (0x1000, 0x2000)}
    board = charger.start()
    fit(chip, Ferro(0x20000))
    settings = board.flash("settings")
    assert (settings.size, settings.sector) == (0x2000, 2048)
    use(settings)


def test_no_chip_is_told(charger, chip):
    class Nothing:
        def write(self, data):
            pass

        def readinto(self, buf):
            buf[:] = b"\xff" * len(buf)

    chip.buses[3] = Nothing()
    with pytest.raises(OSError):
        charger.board.flash("journal")


def test_ethernet_is_started_once_and_again_when_it_stays_away(charger, chip):
    def seconds(count):
        for _ in range(count):
            chip.ms += 1000
            up = charger.board.network()
        return up

    assert not seconds(50)
    assert chip.lan.calls == [True]
    chip.lan.up = True
    assert seconds(1)
    chip.lan.up = False
    assert not seconds(179) and chip.lan.calls == [True]
    assert not seconds(2) and chip.lan.calls == [True, False, True]


def test_the_name_server_is_the_one_that_the_network_told_of(charger, chip):
    assert charger.board.dns() is None
    chip.dns = "10.0.0.1"
    assert charger.board.dns() == ("10.0.0.1", 53)


@pytest.mark.parametrize("failing", ["LAN", "active"])
def test_ethernet_that_cannot_start_is_tried_again_but_not_all_the_time(charger, chip, failing):
    """It may wait a second for a PHY that has no clock, and nothing else goes on meanwhile."""
    begun = []

    def broken(*_):
        begun.append(chip.ms)
        chip.wait(1_000_000, "C")
        raise OSError(110)

    works = chip.lan.active
    if failing == "LAN":
        charger.modules.ethernet.network.LAN = broken
    else:
        chip.lan.active = lambda on: broken() if on else works(on)
    for _ in range(400):
        chip.ms += 1000
        assert not charger.board.network()
    assert len(begun) == 3
    assert all(later - at >= 180_000 for at, later in zip(begun, begun[1:]))
    charger.modules.ethernet.network.LAN, chip.lan.active = lambda: chip.lan, works
    chip.ms += 180_000
    assert not charger.board.network() and chip.lan.calls[-1]
    chip.lan.up = True
    assert charger.board.network()


def test_what_is_in_the_chargers_own_file_comes_first(charger, monkeypatch):
    assert charger.board.factory() == []
    text = "serial=SN-9\nurl=wss://csms.example/x=1\npassword=secret \nidentity=CP-9\nurl2=no\n"

    def fake(name, *mode):
        assert name == "/flash/milliamp.txt"
        return io.StringIO(text)

    charger.profile.SERIAL = charger.profile.IDENTITY = ""
    monkeypatch.setattr(charger.modules.stm32_charger, "open", fake, raising=False)
    board = charger.start()
    assert dict(board.factory()) == {
        CSMS_URL: "wss://csms.example/x=1",
        IDENTITY: "CP-9",
        PASSWORD: "secret",
    }
    assert charger.profile.SERIAL == "SN-9"
    assert builtins.open is not fake


def test_a_short_high_plateau_is_found_by_a_fast_converter(charger, chip):
    """6 A are 100 us of a millisecond; 160 samples of 6 us would miss it."""
    pilot = charger.board.outlets[0].pilot
    pilot.offer(6000)
    for ev in "CB" * 40:
        chip.line.ev = ev
        chip.us += chip.random.randrange(1000)
        for _ in range(4):
            pilot.scan()
        assert chr(pilot.state) == ev
