"""The security log on a NOR chip: it rolls, and loses nothing that was written, whenever the power is cut."""

import pytest

from hostsim.charger.flash import Nor
from milliamp.storage import security_log
from tests.storage.power import Doomed

SECTOR = 512


class Clock:
    synced = True
    time = 800000000

    def now(self):
        self.time += 1
        return self.time


def append(flash, clock, text):
    """All steps of it."""
    return sum(1 for _ in security_log.append(flash, clock, text))


def events(flash):
    return [event for event in security_log.read(flash) if event]


def texts(flash):
    return [text for _, _, text in events(flash)]


def test_events_are_kept_with_their_times():
    flash, clock = Nor(4 * SECTOR, SECTOR, 8), Clock()
    assert texts(flash) == []
    clock.synced = False
    append(flash, clock, "StartupOfTheDevice")
    clock.synced = True
    append(flash, clock, "the clock was set")
    assert events(flash) == [
        (800000001, True, "StartupOfTheDevice"),
        (800000002, False, "the clock was set"),
    ]


@pytest.mark.parametrize("unit", [1, 8, 16, 32])
def test_the_oldest_go_when_it_is_full(unit):
    flash, clock = Nor(4 * SECTOR, SECTOR, unit), Clock()
    for n in range(400):
        append(flash, clock, f"event {n}")
        kept = texts(flash)
        assert kept == [f"event {m}" for m in range(n + 1 - len(kept), n + 1)]
    assert len(kept) >= 2 * (SECTOR - 32) // 32
    assert flash.erases < 400 / len(kept) * 4 + 4


def test_a_long_text_is_cut():
    flash = Nor(4 * SECTOR, SECTOR, 8)
    append(flash, Clock(), "x" * 5000)
    assert texts(flash) == ["x" * 196]


@pytest.mark.parametrize("unit", [1, 8, 32])
def test_power_cuts(unit):
    """At every flash operation of two rounds through the device: what is left is a row of events without gaps
    that ends with the last that was written, or with the one that was just being written."""
    done = 0

    def after(chip):
        kept = texts(chip)
        first = done - len(kept)
        whole = [f"event {n}" for n in range(first, done + 1)]
        assert kept in (whole[:-1], whole[1:])
        assert len(kept) >= min(
            done, 2 * (SECTOR - 32) // 40
        )  # two sectors of three are never touched
        append(chip, Clock(), "and on")
        assert texts(chip)[-1] == "and on"

    chip, clock = Doomed(4 * SECTOR, SECTOR, unit, after), Clock()
    for n in range(100):
        append(chip, clock, f"event {n}")
        done = n + 1


def test_a_broken_sector_is_left_out():
    class Broken(Nor):
        def erase(self, address):
            if address == SECTOR:
                raise OSError(5)
            super().erase(address)

    flash, clock = Broken(5 * SECTOR, SECTOR, 8), Clock()
    for n in range(200):
        append(flash, clock, f"event {n}")
    assert texts(flash)[-1] == "event 199"


def test_a_chip_that_takes_nothing_is_no_endless_loop():
    class Dead(Nor):
        def erase(self, address):
            raise OSError(5)

    with pytest.raises(OSError):
        append(Dead(4 * SECTOR, SECTOR, 8), Clock(), "event")
