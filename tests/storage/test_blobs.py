"""Blobs against a dict, with the power cut at every program and every erase."""

from random import Random

import pytest

from hostsim.charger.flash import Nor
from milliamp.storage.blobs import Blobs

from .power import Doomed

CERTIFICATE = 5600  # bytes: more than a sector


def put(blobs, name, data, piece=100):
    blobs.begin()
    for at in range(0, len(data), piece):
        blobs.write(data[at : at + piece])
    blobs.commit(name)


def get(blobs, name):
    return b"".join(blobs.read(name))


def found(nor):
    blobs = Blobs(nor)
    for name in blobs.names():
        assert blobs.size(name) == len(get(blobs, name))
    return {name: get(blobs, name) for name in blobs.names()}


@pytest.mark.parametrize("unit", [1, 8, 16, 32])
@pytest.mark.parametrize("piece", [1, 57, 256, 1000, CERTIFICATE])
def test_a_certificate_is_what_it_was(unit, piece):
    nor = Nor(8 * 4096, unit=unit)
    data = Random(piece).randbytes(CERTIFICATE)
    blobs = Blobs(nor)
    put(blobs, "csms-root", data, piece)
    put(blobs, "empty", b"")
    for each in (blobs, Blobs(nor)):
        assert get(each, "csms-root") == data and each.size("csms-root") == CERTIFICATE
        assert max(len(piece) for piece in each.read("csms-root")) <= 256
        assert each.size("other") == -1
        with pytest.raises(OSError):
            each.read("other")
    assert set(found(nor)) <= {"csms-root", "empty"}


def test_they_are_replaced_and_deleted_for_years():
    """Three certificates, one that never changes: it does not stand in the way of the others."""
    random = Random(1)
    nor = Nor(16 * 4096, unit=8)
    blobs = Blobs(nor)
    kept = {"old": random.randbytes(CERTIFICATE)}
    put(blobs, "old", kept["old"])
    for n in range(150):
        name = random.choice(("a", "b"))
        if n % 10 == 9:
            blobs.delete(name)
            kept.pop(name, None)
        else:
            kept[name] = random.randbytes(random.randrange(1, CERTIFICATE))
            put(blobs, name, kept[name], random.randrange(1, 2000))
        if n % 7 == 0:
            blobs = Blobs(nor)
        assert found(nor) == kept
    assert max(nor.erased) <= 2 * min(nor.erased) + 8


def test_what_does_not_fit_is_refused_and_harms_nothing():
    nor = Nor(10 * 4096, unit=8)
    blobs = Blobs(nor)
    put(blobs, "good", bytes(CERTIFICATE))
    with pytest.raises(OSError):
        put(blobs, "huge", bytes(40_000))
    assert found(nor) == {"good": bytes(CERTIFICATE)}
    for n in range(20):
        put(blobs, "good", b"%d" % (n % 10) * CERTIFICATE)
        with pytest.raises(OSError):
            put(blobs, "huge", bytes(40_000))
        assert found(nor) == {"good": b"%d" % (n % 10) * CERTIFICATE}


def test_what_was_never_committed_is_not_there():
    nor = Nor(8 * 4096)
    blobs = Blobs(nor)
    blobs.begin()
    blobs.write(bytes(3000))
    blobs = Blobs(nor)
    assert blobs.names() == []
    for _ in range(30):  # and takes no room for ever
        blobs.begin()
        blobs.write(bytes(3000))
    put(blobs, "now", b"it is")
    assert found(nor) == {"now": b"it is"}


def test_a_damaged_piece_is_not_read():
    nor = Nor(8 * 4096)
    blobs = Blobs(nor)
    put(blobs, "cert", bytes(range(250)) * 20)
    nor.image[nor.image.index(bytes(range(100)))] ^= 1
    with pytest.raises(OSError):
        get(Blobs(nor), "cert")


def test_a_factory_reset_leaves_nothing_in_the_flash():
    nor = Nor(8 * 4096)
    blobs = Blobs(nor)
    put(blobs, "key", b"hunter" * 800)
    put(blobs, "key", b"hunter" * 900)
    blobs.clear()
    assert blobs.names() == [] and found(nor) == {}
    assert b"hunter" not in nor.image
    put(blobs, "key", b"next")
    assert found(nor) == {"key": b"next"}


@pytest.mark.parametrize("unit", [1, 8, 32])
def test_power_cut_at_every_operation(unit):
    random = Random(unit)
    before = {}
    after = {}
    cuts = 0

    def cut(nor):
        nonlocal cuts
        cuts += 1
        now = found(nor)
        assert now in (before, after)  # never mixed
        if cuts % 5 == 0:  # and on it goes
            blobs = Blobs(nor)
            put(blobs, "next", b"certificate" * 140)
            assert found(nor) == {**now, "next": b"certificate" * 140}

    nor = Doomed(14 * 1536, 1536, unit, cut, torn=("nothing", "bits", "all"))
    blobs = Blobs(nor)
    for n in range(40):
        name = random.choice("abc")
        data = random.randbytes(random.randrange(1, 1800))
        after = {**before, name: data}
        if n % 8 == 7:
            del after[name]
            blobs.delete(name)
        else:
            put(blobs, name, data)
        before = after
    assert nor.erases > 24
    assert found(nor) == before
