"""Flash that does not hold what was written: flipped bits, cells that cannot be read, rubbish, other formats. What is hit
is lost and counted; all else stays, in order, and nothing is made up."""

import struct
from binascii import crc32
from random import Random

import pytest

from .chips import Chip
from .life import GEOMETRIES, Home, Life
from .oracle import Dict, Oracle
from .sectors import HEADER, headers, records
from .world import World, new_chips


def lived(kind, geometry, seed, steps):
    """A chip after such a life; a journal with events in two sectors, so few that none has to be thinned."""
    unit, sector, sectors = geometry
    chip = Chip(sector * sectors, sector, unit)
    chip.oracle = Oracle() if kind is Life else Dict()
    life = kind(chip, seed)
    for _ in range(steps):
        life.step()
    if kind is Life:
        while life.journal.pending > 3:
            life.journal.ack()
        life.fill(sector // (40 + unit), True)
        life.start()  # so that its oracle knows what was thinned before
    return chip


def damaged(chip, **options):
    """Its twin, on which something will not be what it was."""
    twin = chip.twin(**options)
    twin.oracle = chip.oracle.damaged()
    return twin


def lost(kind, chip, seed):
    """Start on it, deliver everything and go on: the events that never came, and how many of them were counted."""
    life = kind(chip, seed)
    life.finish()
    if kind is not Life:
        return [], 0
    return [chip.oracle.events[n] for n in chip.oracle.lost], life.journal.counts()[4]


def parts(chip):
    """(first address, end, what, the events it may take along) of everything that was written."""
    found = []
    generations = headers(chip.image, chip.sector)
    for nth, (_, place) in enumerate(generations):
        here = records(chip.image, chip.sector, chip.unit, place)
        event = {at: (kind, payload[6:]) for at, _, kind, payload in here if kind >= 8}
        start = place * chip.sector
        ends = nth in (0, len(generations) - 1)
        found.append((start, start + HEADER, "end" if ends else "header", list(event.values())))
        last = max(event) if event and place == generations[-1][1] else None
        for at, size, kind, payload in here:
            behind = [event[other] for other in event if other >= at]
            found.append((at, at + 2, "head", behind))
            what = "last" if at == last else "record"  # which may be one that was never complete
            found.append((at + 2, at + 5 + len(payload), what, [event[at]] if kind >= 8 else []))
            found.append((at + 5 + len(payload), at + size, "padding", []))
    return found


@pytest.mark.seeds(2)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_flipped_bits_in_a_journal(geometry, seed, whole, figures):
    chip = lived(Life, geometry, seed, 150)
    random = Random(seed)
    flips = losses = uncounted = 0
    for start, end, what, hit in parts(chip):
        for address in range(start, end):
            if not whole and random.randrange(12):
                continue
            flips += 1
            twin = damaged(chip)
            twin.image[address] ^= 1 << random.randrange(8)
            twin.power_on()
            missing, counted = lost(Life, twin, seed)
            assert all(event in hit for event in missing), what
            assert not twin.oracle.reused, what
            losses += len(missing)
            uncounted += max(len(missing) - counted, 0)
            if what in ("record", "padding", "header"):
                assert counted >= len(missing), what
    figures(flips=flips, lost_events=losses, of_these_uncounted=uncounted)
    assert losses


@pytest.mark.seeds(2)
def test_flipped_bits_in_settings(seed, whole, figures):
    chip = lived(Home, (8, 1024, 3), seed, 100)
    random = Random(seed)
    used = [at for start, end, _, _ in parts(chip) for at in range(start, end)]
    used = used if whole else used[:: len(used) // 50]
    for address in used:
        twin = damaged(chip)
        twin.image[address] ^= 1 << random.randrange(8)
        twin.power_on()
        lost(Home, twin, seed)
    figures(flips=len(used))


@pytest.mark.seeds(2)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_units_that_can_not_be_read(geometry, seed, whole, figures):
    chip = lived(Life, geometry, seed, 150)
    unit, sector, _ = geometry
    cells = losses = 0
    for address in range(0, chip.size, unit if whole else max(unit, 37)):
        address -= address % unit
        twin = damaged(chip)
        twin.unreadable = range(address, address + unit)
        place = address // sector
        here = records(chip.image, sector, unit, place)
        hit = [(kind, payload[6:]) for _, _, kind, payload in here]
        missing, _ = lost(Life, twin, seed)
        assert all(event in hit for event in missing)
        assert not twin.oracle.reused
        cells += 1
        losses += len(missing)
    figures(units=cells, lost_events=losses)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_records_of_an_earlier_life_behind_the_newest(geometry, figures):
    """As an erase leaves them that was cut, and forgotten."""
    chip = lived(Life, geometry, 1, 150)
    unit, sector, _ = geometry
    generations = headers(chip.image, sector)
    newest = generations[-1][1]
    at, size, _, _ = records(chip.image, sector, unit, newest)[-1]
    end = at + size
    tried = 0
    for _, place in generations[:-1]:
        for old, size, kind, _ in records(chip.image, sector, unit, place):
            if kind >= 8 and end + size <= (newest + 1) * sector:
                twin = damaged(chip)
                twin.image[end : end + size] = chip.image[old : old + size]
                twin.power_on()
                assert lost(Life, twin, 1) == ([], 0)
                tried += 1
    figures(tried=tried)
    assert tried


def rubbish(seed):
    """What may be found where a log should be: (name, function of a chip and its dice)."""
    random = Random(seed)

    def noise(chip):
        chip.image[:] = random.randbytes(chip.size)

    def zeros(chip):
        chip.image[:] = bytes(chip.size)

    def half(chip):
        chip.image[: chip.size // 2] = b"\xff" * (chip.size // 2)

    def other_half(chip):
        chip.image[chip.size // 2 :] = random.randbytes(chip.size - chip.size // 2)

    def moved(chip):
        chip.image[:] = chip.image[3:] + chip.image[:3]

    def doubled(chip):
        chip.image[: chip.sector] = chip.image[chip.sector : 2 * chip.sector]

    def header(field, value):
        def change(chip):
            for start in range(0, chip.size, chip.sector):
                if chip.image[start : start + 2] == b"mA":
                    chip.image[start + field] = value
                    crc = crc32(chip.image[start : start + 28])
                    chip.image[start + 28 : start + 32] = struct.pack("<I", crc)

        return change

    changes = [noise, zeros, half, other_half, moved, doubled]
    changes += [header(2, 0), header(2, 1), header(2, 99), header(3, 4), header(3, 0)]
    return changes


@pytest.mark.seeds(5)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_rubbish_in_a_journal(geometry, seed, figures):
    for change in rubbish(seed):
        twin = damaged(lived(Life, geometry, seed, 150))
        change(twin)
        twin.power_on()
        lost(Life, twin, seed)
    figures(images=len(rubbish(seed)))


def spoil(world, name, change):
    """Change a chip of this station: it starts and charges, whatever it finds."""
    chips = {other: damaged(chip) for other, chip in world.flashes.items()}
    change(chips[name])
    chips[name].power_on()
    again = World(chips, world)
    again.recover()
    again.go_on()
    return again


@pytest.mark.seeds(10)
def test_rubbish_in_a_station(seed, figures):
    world = World(new_chips()).first_start()
    world.live(Random(seed), 40)
    for name in world.flashes:
        for change in rubbish(seed):
            spoil(world, name, change)
    figures(images=len(world.flashes) * len(rubbish(seed)))


@pytest.mark.seeds(10)
def test_flipped_bits_in_a_station(seed, whole, figures):
    world = World(new_chips()).first_start()
    world.live(Random(seed), 60)
    random = Random(seed)

    def flip(start, end, *_):
        at, bit = random.randrange(start, end), 1 << random.randrange(8)

        def change(chip):
            chip.image[at] ^= bit

        return change

    flips = 0
    for name, chip in world.flashes.items():
        written = [part for part in parts(chip) if part[0] < part[1]]
        for part in random.sample(written, min(len(written), 60 if whole else 6)):
            again = spoil(world, name, flip(*part))
            assert not again.flashes["journal"].oracle.reused
            flips += 1
    figures(flips=flips)
