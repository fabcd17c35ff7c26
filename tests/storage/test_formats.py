"""Sectors of another format, and chips that take back what they took."""

from binascii import crc32
from random import Random

import pytest

from hostsim.charger.flash import Nor
from milliamp.storage.journal import Journal
from milliamp.storage.kinds import TX_EVENT
from milliamp.storage.settings import Settings


class Clock:
    synced = True

    def now(self):
        return 800_000_000


def journal_on(nor, random=bytes):
    journal = Journal(nor, Clock(), random)
    journal.checkpoint = lambda write: None
    return journal


def waiting(journal):
    return [payload for _, payload in journal.each_pending()]


def other_format(nor, version=3):
    """Make every header on the chip one of another version."""
    for at in range(0, nor.size, nor.sector):
        if nor.image[at : at + 2] == b"mA":
            nor.image[at + 2] = version
            nor.image[at + 28 : at + 32] = crc32(nor.image[at : at + 28]).to_bytes(4, "little")
    nor.power_on()


@pytest.mark.parametrize("version", [1, 2, 3, 5, 255])
def test_another_format_is_set_aside_until_its_place_is_needed(version):
    nor = Nor(8 * 512, 512, 8)
    old = journal_on(nor)
    for n in range(40):
        old.append(TX_EVENT, b"old event %02d" % n)
    other_format(nor, version)
    old_sectors = sum(nor.image[at] == 0x6D for at in range(0, nor.size, 512))
    image = bytes(nor.image)
    journal = journal_on(nor)
    assert journal.aside == old_sectors > 1
    assert journal.pending == 0 and nor.image == image
    for _ in range(200):  # in turn, on what is free
        journal.append(TX_EVENT, b"new event")
        journal.ack()
        journal.prepare()
    assert journal_on(nor).aside == old_sectors
    events = []
    with pytest.raises(OSError):
        while True:
            journal.append(TX_EVENT, b"%d" % len(events))
            events.append(b"%d" % len(events))
    assert waiting(journal) == waiting(journal_on(nor)) == events
    assert journal_on(nor).aside <= 1  # the place that is kept free
    assert len(events) > 60


def test_a_chip_full_of_another_format_takes_a_log():
    nor = Nor(4 * 512, 512, 8)
    journal = journal_on(nor)
    with pytest.raises(OSError):
        while True:
            journal.append(TX_EVENT, bytes(20))
    journal.ack()
    other_format(nor)
    journal = journal_on(nor)
    journal.append(TX_EVENT, b"new")
    assert waiting(journal_on(nor)) == [b"new"]


def test_another_unit_is_another_format():
    nor = Nor(8 * 512, 512, 8)
    journal_on(nor).append(TX_EVENT, b"event")
    nor = Nor(nor.size, 512, 16, nor.image)
    journal = journal_on(nor)
    assert journal.aside == 1 and journal.pending == 0
    journal.append(TX_EVENT, b"new")
    assert waiting(journal_on(nor)) == [b"new"]


def test_settings_of_another_format_are_gone_after_a_factory_reset():
    nor = Nor(8192)
    Settings(nor).put((1, "hunter"))
    other_format(nor)
    kept = Settings(nor)
    assert kept.empty and kept.aside == 1
    kept.put((2, "new"))
    assert b"hunter" in nor.image
    kept.clear()
    assert b"hunter" not in nor.image
    assert Settings(nor).empty and not Settings(nor).aside


@pytest.mark.parametrize("seed", range(20))
def test_garbage_in_the_partition(seed):
    random = Random(seed)
    nor = Nor(8 * 512, 512, 8, bytearray(random.randbytes(8 * 512)))
    for at in range(0, nor.size, 512):
        if random.random() < 0.5:
            nor.image[at : at + 4] = b"mA\2\x08"
    journal = journal_on(nor)
    assert journal.pending == journal.aside == 0
    for n in range(50):
        journal.append(TX_EVENT, b"%d" % n)
    assert waiting(journal_on(nor)) == [b"%d" % n for n in range(50)]


def test_transaction_ids_stay_unique_over_a_factory_reset():
    nor, store = Nor(8 * 512, 512, 8), Nor(8192)
    journal = journal_on(nor, lambda n: b"abc")
    ids = {journal.transaction_id(journal.next_transaction()) for _ in range(3)}
    Settings(store).clear()  # the journal stays, with salt and counter
    journal = journal_on(nor, lambda n: b"xyz")
    assert journal.transaction_id(journal.next_transaction()) not in ids
    assert journal.transaction_id(1)[:6] == b"abc".hex()
    nor = Nor(8 * 512, 512, 8)  # the flash was erased: another salt
    journal = journal_on(nor, lambda n: b"xyz")
    assert journal.transaction_id(journal.next_transaction()) not in ids


class Weak(Nor):
    """Says that all went well, and left a bit as it was in some programs."""

    every = 0
    count = 0

    def program(self, address, data):
        super().program(address, data)
        self.count += 1
        if self.every and self.count % self.every == 0:
            self.image[address] ^= 0x02


@pytest.mark.parametrize("every", [7, 10, 23])
def test_what_did_not_read_back_is_written_again(every):
    nor = Weak(16 * 512, 512, 8)
    nor.every = every
    journal = journal_on(nor)
    kept = []
    for n in range(150):
        try:
            journal.append(TX_EVENT, b"%d" % n)
            kept.append(b"%d" % n)
        except OSError:
            continue
        if n % 2:
            assert journal.head()[4] == kept.pop(0)
            journal.ack()
    assert len(kept) > 30
    nor.every = 0
    assert waiting(journal) == kept
    journal = journal_on(nor)
    assert waiting(journal)[-len(kept) :] == kept and journal.counts()[4] == 0


def test_damage_is_counted_over_a_restart():
    nor = Nor(16384)
    journal = journal_on(nor)
    for n in range(3):
        journal.append(TX_EVENT, b"event %d" % n)
    nor.image[nor.image.index(b"event 0")] ^= 1
    journal = journal_on(nor)
    assert journal.head()[4] == b"event 1"
    journal.ack()
    counts = journal.counts()
    assert counts == (3, 1, 0, 0, 1)
    assert journal_on(nor).counts() == counts
