"""Flash that does not hold what was written: flipped bits, cells that cannot be read, rubbish, other formats. What is hit
is lost and counted; all else stays, in order, and nothing is made up."""

import struct
from binascii import crc32
from random import Random

import pytest

from .chips import Chip
from .life import GEOMETRIES, Home, Life
from .oracle import MAY_GO, Dict, Oracle
from .sectors import ACK, HEADER, NUMBERED, headers, records
from .world import World, new_chips


def lived(kind, geometry, seed, steps):
    """A chip after such a life; a journal with events in two sectors, or with an even seed as it was when some waited:
    always so few that none has to be thinned."""
    unit, sector, sectors = geometry
    chip = Chip(sector * sectors, sector, unit)
    chip.oracle = Oracle() if kind is Life else Dict()
    life = kind(chip, seed)
    for _ in range(steps):
        life.step()
    if kind is Life:
        while life.journal.pending > (3 if seed % 2 else 10):
            life.leave()
        if seed % 2:
            life.fill(sector // (48 + unit), True)
        life.start()  # so that its oracle knows what was thinned before
    return chip


def damaged(chip, **options):
    """Its twin, on which something will not be what it was."""
    twin = chip.twin(**options)
    twin.oracle = chip.oracle.damaged()
    return twin


def lost(chip, seed, hit=None):
    """Start on it, deliver everything and go on: the events that never came, and how many of them were counted. What
    is thinned because a damaged sector takes no more is not among them. `hit`: the damage comes behind the start."""
    life = Life(chip, seed)
    if hit:
        hit(chip)
        for _ in range(30):
            life.step()
    life.finish()
    *_, thinned, counted = life.journal.counts()
    missing = [chip.oracle.events[n] for n in sorted(chip.oracle.lost)]
    for _ in range(thinned - len(chip.oracle.thinned)):
        missing.remove(next(event for event in missing if event[0] in MAY_GO))
    return missing, counted


def parts(chip):
    """(first address, end, what, the event it may take along) of everything that was written."""
    found = []
    generations = headers(chip.image, chip.sector)
    for _, place in generations:
        start = place * chip.sector
        found.append((start, start + HEADER, "header", []))
        here = records(chip.image, chip.sector, chip.unit, place)
        for at, size, kind, payload in here:
            what = "ack" if kind == ACK else "state"
            if kind >= NUMBERED:
                what = "event"
                # Nobody knows whether it was ever complete.
                if place == generations[-1][1] and at == here[-1][0]:
                    what = "newest"
            event = [(kind, payload[6:])] if kind >= NUMBERED else []
            found.append((at, at + 5 + len(payload), what, event))
            found.append((at + 5 + len(payload), at + size, "padding", []))
    return found


@pytest.mark.seeds(6)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_flipped_bits_in_a_journal(geometry, seed, whole, figures):
    """A bit takes along no other record than its own. What it brings back is one event: the acknowledgement that it hit
    let it go, or nobody knows whether the state that it hit had a number."""
    chip = lived(Life, geometry, seed, 150)
    random = Random(seed)
    flips = losses = uncounted = again = 0
    for start, end, what, hit in parts(chip):
        for address in range(start, end):
            if not whole and random.randrange(12):
                continue
            flips += 1
            twin = damaged(chip)
            twin.image[address] ^= 1 << random.randrange(8)
            twin.power_on()
            missing, counted = lost(twin, seed)
            assert all(event in hit for event in missing), what
            assert not twin.oracle.reused, what
            assert twin.oracle.again <= (what in ("ack", "state")), what
            assert counted >= len(missing) or what == "newest"
            losses += len(missing)
            again += twin.oracle.again
            uncounted += max(len(missing) - counted, 0)
    figures(flips=flips, lost_events=losses, of_these_uncounted=uncounted, told_again=again)
    assert losses


@pytest.mark.seeds(6)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_bits_that_flip_while_it_runs(geometry, seed, whole, figures):
    chip = lived(Life, geometry, seed, 150)
    random = Random(seed)
    flips = losses = 0
    for start, end, what, hit in parts(chip):
        # The head, which says where the next record is and what its number, and anything.
        for behind in (start + 2, end) if start < end else ():
            if not whole and random.randrange(6):
                continue
            address, bit = random.randrange(start, min(behind, end)), 1 << random.randrange(8)

            def flip(twin, address=address, bit=bit):
                twin.image[address] ^= bit

            twin = damaged(chip)
            missing, _ = lost(twin, seed, flip)
            assert all(event in hit for event in missing), what
            assert not twin.oracle.reused, what
            flips += 1
            losses += len(missing)
    figures(flips=flips, lost_events=losses)
    assert flips


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
        life = Home(twin, seed)
        for number in range(3 * 1024 // 16):  # round and round
            life.kept.put((1, number))
        life.finish()
    figures(flips=len(used))


@pytest.mark.seeds(6)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_units_that_can_not_be_read(geometry, seed, whole, figures):
    chip = lived(Life, geometry, seed, 150)
    unit, sector, _ = geometry
    cells = losses = again = 0
    events = {place: [] for place in range(geometry[2])}
    for start, end, _, hit in parts(chip):
        if start < end:
            events[start // sector] += hit
    for start, end, what, hit in parts(chip):
        if what == "padding":  # always in a unit of its record
            continue
        for address in range(start, end, unit if whole else max(unit, 37)):
            address -= address % unit
            twin = damaged(chip)
            twin.unreadable = range(address, address + unit)
            missing, counted = lost(twin, seed)
            taken = events[address // sector] if what == "header" else hit
            assert all(event in taken for event in missing), what
            assert not twin.oracle.reused
            if what != "header":
                assert counted >= len(missing) or what == "newest"
                assert twin.oracle.again <= (what != "event"), what
            cells += 1
            losses += len(missing)
            again += twin.oracle.again
    figures(units=cells, lost_events=losses, told_again=again)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_records_of_an_earlier_life_behind_the_newest(geometry, figures):
    """As an erase leaves them that was cut, and forgotten."""
    unit, sector, _ = geometry
    tried = 0
    for steps in (150, 160, 170):  # the newest may just be full
        chip = lived(Life, geometry, 1, steps)
        generations = headers(chip.image, sector)
        newest = generations[-1][1]
        at, size, _, _ = records(chip.image, sector, unit, newest)[-1]
        end = at + size
        for _, place in generations[:-1]:
            for old, size, kind, _ in records(chip.image, sector, unit, place):
                if kind >= NUMBERED and end + size <= (newest + 1) * sector:
                    twin = damaged(chip)
                    twin.image[end : end + size] = chip.image[old : old + size]
                    twin.power_on()
                    assert lost(twin, 1) == ([], 0)
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
        lost(twin, seed)
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
