"""What the storage may rely on, for every flash device; then what each of them does for itself."""

import struct
from random import Random

import pytest

from hostsim.charger.flash import Nor, PowerCut
from milliamp.base.flash import Partition, Slice
from milliamp.storage.journal import Journal
from milliamp.storage.settings import Settings

from .backends import BACKENDS
from .chips import Blocks

TORN = ("nothing", "half", "bits", "all")


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.__name__)
def backend(request, tmp_path):
    return request.param(tmp_path)


def content(device, address, size):
    buf = bytearray(size)
    device.read(address, buf)
    return bytes(buf)


def pattern(size, seed=1):
    return Random(seed).randbytes(size)


# --- every device ------------------------------------------------------------------------------------
def test_its_measures_fit(backend):
    device = backend.start()
    assert device.size > 0 and device.size % device.sector == 0
    assert device.unit in (1, 2, 4, 8, 16, 32) and device.sector % 32 == 0


def test_what_is_erased_reads_as_ff(backend):
    device = backend.start()
    for address in range(0, device.size, device.sector):
        device.erase(address)
    for address in range(0, device.size, device.sector):
        assert content(device, address, device.sector) == b"\xff" * device.sector


def test_what_is_programmed_is_there_and_nothing_else_changed(backend):
    device = backend.start()
    sector, unit = device.sector, device.unit
    for address in (0, sector, 2 * sector):
        device.erase(address)
    programmed = {sector: 1, sector + 3 * unit: 1, sector + 5 * unit: 7, 2 * sector - unit: 1}
    expected = bytearray(b"\xff" * 3 * sector)
    for address, units in programmed.items():
        data = pattern(units * unit, address)
        device.program(address, data)
        expected[address : address + len(data)] = data
    for address in (0, sector, 2 * sector):
        assert content(device, address, sector) == expected[address : address + sector]
    for address in range(sector, sector + 8 * unit):  # neither address nor length is aligned
        assert content(device, address, 3) == expected[address : address + 3]
    assert content(device, 2 * sector - 1, 1) == expected[2 * sector - 1 : 2 * sector]


def test_a_whole_sector_at_once_and_in_pieces_of_any_length(backend):
    device = backend.start()
    data = pattern(device.sector)
    device.erase(0)
    device.program(0, data)
    assert content(device, 0, device.sector) == data
    last = device.size - device.sector
    device.erase(last)
    at = 0
    random = Random(2)
    while at < device.sector:
        part = data[at : at + random.randrange(1, 9) * 32]
        device.program(last + at, memoryview(bytearray(part)))
        at += len(part)
    assert content(device, last, device.sector) == data


def test_what_was_just_programmed_and_read_is_gone_after_an_erase(backend):
    device = backend.start()
    device.erase(0)
    device.program(0, bytes(32))
    assert content(device, 0, 32) == bytes(32)
    device.erase(0)
    assert content(device, 0, 32) == b"\xff" * 32


def test_an_erase_takes_one_sector_only(backend):
    device = backend.start()
    data = pattern(device.sector)
    for address in range(0, 3 * device.sector, device.sector):
        device.erase(address)
        device.program(address, data)
    device.erase(device.sector)
    assert content(device, 0, device.sector) == data
    assert content(device, device.sector, device.sector) == b"\xff" * device.sector
    assert content(device, 2 * device.sector, device.sector) == data
    device.program(device.sector, data)
    assert content(device, device.sector, device.sector) == data


def test_it_is_all_there_after_a_reset(backend):
    device = backend.start()
    data = pattern(96)
    device.erase(device.sector)
    device.program(device.sector + 64, data)
    assert content(backend.power_on(), device.sector + 64, 96) == data


@pytest.mark.parametrize("torn", TORN)
def test_a_cut_takes_only_what_was_under_way(backend, torn):
    device = backend.start()
    before, cut = pattern(32, 1), pattern(32, 2)
    for address in (0, device.sector):
        device.erase(address)
    device.program(0, before)
    backend.cut_power(0, torn, Random(3).randrange)
    with pytest.raises(PowerCut):
        device.program(64, cut)
    device = backend.power_on()
    assert content(device, 0, 32) == before
    assert content(device, device.sector, device.sector) == b"\xff" * device.sector
    try:
        assert torn != "nothing" or content(device, 64, 32) == b"\xff" * 32
    except OSError:
        pytest.fail("nothing was torn")
    backend.cut_power(0, torn, Random(4).randrange)
    with pytest.raises(PowerCut):
        device.erase(0)
    device = backend.power_on()
    device.erase(0)  # what it is after a cut is nobody's business: it is erased again
    assert content(device, 0, device.sector) == b"\xff" * device.sector
    device.program(0, cut)
    assert content(device, 0, 32) == cut


class Clock:
    synced = True
    time = 800_000_000

    def now(self):
        self.time += 60
        return self.time


def journal_on(device):
    """A journal, and the highest event number that it knows of."""
    journal = Journal(device, Clock(), lambda n: b"\1\2\3"[:n])
    newest = 0
    for _, _, payload in journal.replay():
        newest = struct.unpack_from("<I", payload)[0]
    return journal, newest


def live(journal, ledger, random, events):
    """Events and acknowledgements, each noted before it is done (`doubt`) and after."""
    for _ in range(events):
        number = ledger.events[-1] + 1 if ledger.events else 1
        ledger.coming = number
        journal.append(
            (8, 11)[number % 2], struct.pack("<I", number) + bytes(random.randrange(40))
        )
        ledger.events.append(number)
        ledger.coming = None
        while len(ledger.events) - ledger.acked > 12:
            assert struct.unpack_from("<I", journal.head()[4])[0] == ledger.events[ledger.acked]
            ledger.leaving = True
            journal.ack()
            ledger.acked += 1
            ledger.leaving = False
        if number % 5 == 0:
            journal.prepare()


class Ledger:
    def __init__(self, other=None):
        self.events = list(other.events) if other else []
        self.acked = other.acked if other else 0
        self.coming = other.coming if other else None
        self.leaving = other.leaving if other else False

    def settle(self, journal, newest):
        """After a cut: nothing is lost, reordered or invented, and nothing acknowledged comes back."""
        found = [struct.unpack_from("<I", payload)[0] for _, payload in journal.each_pending()]
        if self.coming is not None and found[-1:] == [self.coming]:
            self.events.append(self.coming)
        acked = len(self.events) - len(found)
        assert found == self.events[acked:]
        assert self.acked <= acked <= self.acked + self.leaving
        assert newest == (self.events[-1] if self.events else 0)
        self.acked, self.coming, self.leaving = acked, None, False


def open_journal(device, ledger):
    journal, newest = journal_on(device)
    ledger.settle(journal, newest)
    last = ledger.events
    journal.checkpoint = lambda write: write(struct.pack("<I", last[-1] if last else 0))
    return journal


def test_the_journal_lives_on_it_through_power_cuts(backend):
    """A cut in about every ninth operation, torn in every way, and life goes on behind it."""
    random = Random(7)
    ledger = Ledger()
    journal = open_journal(backend.start(), ledger)
    cuts = 0
    while len(ledger.events) < 900:
        backend.cut_power(random.randrange(2, 160), TORN[cuts % 4], random.randrange)
        try:
            live(journal, ledger, random, 1000)
        except PowerCut:
            cuts += 1
            journal = open_journal(backend.power_on(), ledger)
    assert cuts > 8
    while journal.head():
        assert struct.unpack_from("<I", journal.head()[4])[0] == ledger.events[ledger.acked]
        journal.ack()
        ledger.acked += 1
    assert ledger.acked == len(ledger.events)


def test_settings_live_on_it_through_power_cuts(backend):
    random = Random(8)
    kept = Settings(backend.start())
    values = {}
    coming = {}
    for cut in range(12):
        backend.cut_power(random.randrange(2, 60), TORN[cut % 4], random.randrange)
        try:
            while True:
                coming = {
                    random.randrange(5): random.randrange(10**6),
                    7: "text" * random.randrange(9),
                }
                kept.put(*coming.items())
                values.update(coming)
                kept.prepare()
        except PowerCut:
            kept = Settings(backend.power_on())
            found = {key: kept.get(key) for key in range(8) if kept.get(key) is not None}
            assert found in (values, {**values, **coming})
            values = found


# --- regions and block devices -----------------------------------------------------------------------
def test_a_region_of_a_device_is_where_it_should_be():
    for make in (
        lambda nor: Slice(nor, 1024, 2048),
        lambda nor: Partition(Blocks(nor), 1024, 2048),
    ):
        nor = Nor(4096, 512)
        device = make(nor)
        assert (device.size, device.sector, device.unit) == (2048, 512, 1)
        device.program(520, b"hello")
        assert nor.image[1024 + 520 : 1024 + 525] == b"hello"
        device.erase(512)
        assert nor.erased == [0, 0, 0, 1, 0, 0, 0, 0]


def test_a_region_ends_where_sectors_end():
    nor = Nor(4096, 512)
    for offset, size in ((100, 512), (0, 700), (2048, 4096)):
        with pytest.raises(ValueError):
            Slice(nor, offset, size)
    with pytest.raises(ValueError):
        Partition(Blocks(nor), 0, 700)


def test_a_partition_without_size_goes_to_the_end():
    assert Partition(Blocks(Nor(4096, 512)), 1024, unit=16).size == 3072


@pytest.mark.parametrize("answer", [False, -5, 22])
def test_a_block_device_that_says_no(answer):
    device = Partition(Blocks(Nor(4096, 512), answer))
    for refused in (
        lambda: device.read(0, bytearray(1)),
        lambda: device.program(0, b"x"),
        lambda: device.erase(0),
    ):
        with pytest.raises(OSError):
            refused()
