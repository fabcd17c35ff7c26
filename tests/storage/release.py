"""A flash of each released format, which every later station reads: `python -m tests.storage.release` writes that of the
present one to tests/storage/released. Once a station with that format has left the house its file stays as it is."""

import base64
import json
import sys
import zlib
from pathlib import Path
from random import Random

from hostsim.charger.flash import Nor
from hostsim.lives import bench
from tests.torture import sectors
from tests.torture.chips import Chip
from tests.torture.life import GEOMETRIES, Clock, Life
from tests.torture.oracle import Oracle
from tests.torture.world import World, new_chips

from milliamp.domain.token_cache import Cache  # isort: skip
from milliamp.domain.tokens import token_hash  # isort: skip
from milliamp.storage import records, rows, security_log  # isort: skip
from milliamp.storage.blobs import Blobs  # isort: skip
from milliamp.storage.journal import Journal  # isort: skip
from milliamp.storage.settings import Settings  # isort: skip

FOLDER = Path(__file__).with_name("released")
WIDTH, KEY = 20, 6
LISTS = ("list", "none")


# --- what is found on a chip, by the means that its owner has ---------------------------------------


def journal_on(nor):
    """A journal of which nothing is open."""
    journal = Journal(nor, Clock(True, 900_000_000), bytes)
    journal.checkpoint = lambda write: None
    return journal


def in_journal(nor):
    """All that a start asks a journal, and then the queue as it is delivered."""
    journal = journal_on(nor)
    found = {
        "counts": list(journal.counts()),
        "boot": journal.boot,
        "salt": journal.transaction_id(0),
        "names": sorted((e, n, name.hex()) for e, n, name in journal.named_transactions()),
        "replayed": [(kind, time, payload.hex()) for kind, time, payload in journal.replay()],
        "pending": [],
    }
    twin = Nor(nor.size, nor.sector, nor.unit, bytearray(nor.image))
    journal = journal_on(twin)
    while journal.pending:
        _, kind, offline, time, payload = journal.head()
        found["pending"].append((kind, offline, time, payload.hex()))
        journal.ack()
    return found


def in_settings(nor):
    """The values, their keys as texts."""
    return {str(key): value for key, value in Settings(nor).values.items()}


def in_logs(nor):
    """The lines."""
    return list(security_log.read(nor))


def in_tokens(nor):
    """The rows of the authorization cache."""
    cache = Cache(nor, 16)
    found = [cache.row(token_hash(token)) for token in (bench.CARD, bench.OTHER)]
    return [
        row and [part.hex() if isinstance(part, bytes) else part for part in row] for row in found
    ]


def in_blobs(nor):
    """The names, the bytes of a certificate, lists, a table."""
    blobs = Blobs(nor)
    return {
        "names": sorted(blobs.names()),
        "certificate": b"".join(blobs.read("certificate")).hex(),
        "lists": {name: [row.hex() for row in rows.read(blobs, name)] for name in LISTS},
        "table": [row.hex() for row in rows.read(blobs, "table", WIDTH)],
    }


READERS = {
    "journal": in_journal,
    "settings": in_settings,
    "logs": in_logs,
    "tokens": in_tokens,
    "blobs": in_blobs,
}


def contents(name, nor):
    """What is on the chip of a region, as JSON keeps it."""
    return json.loads(json.dumps(READERS[name.split("-")[0]](nor)))


# --- lives that leave one of each behind ------------------------------------------------------------


def journal_of(geometry):
    """A chip with each kind of record, acknowledgements with each flag, a merged sector, names."""
    unit, sector, count = geometry
    for seed in range(1000):
        chip = Chip(sector * count, sector, unit)
        chip.oracle = Oracle()
        life = Life(chip, seed)
        for _ in range(80):
            life.step()
        life.fill(sector * count // (24 + unit), True)
        life.thin(500)
        for _ in range(25):
            life.leave()
        for _ in range(60):
            life.step()
        found = {
            "merged" for _, place in sectors.headers(chip.image, sector) if is_merged(chip, place)
        }
        for _, place in sectors.headers(chip.image, sector):
            for _, _, kind, payload in sectors.records(chip.image, sector, unit, place):
                found.add(kind)
                if kind == 7:
                    found |= {("flag", bit) for bit in (1, 2, 4) if payload[0] & bit}
                if kind == 1 and any(payload[at] >= 128 for at in range(21, len(payload), 5)):
                    found.add("named")
        lacks = {1, 2, 4, 7, 8, 11, 13, 14, "merged", "named", *(("flag", n) for n in (1, 2, 4))}
        if found >= lacks and list(life.journal.named_transactions()) and life.journal.pending > 5:
            return chip
    raise AssertionError(f"no such life: it lacks {lacks - found}")


def is_merged(chip, place):
    """Does a sector's header count its records?"""
    return chip.image[place * chip.sector + 22 : place * chip.sector + 24] != b"\xff\xff"


def blobs_of(unit):
    """A chip with a certificate, a list and a table, each of them changed."""
    nor = Nor(12 * 2048, 2048, unit)
    random = Random(unit)
    blobs = Blobs(nor)
    table = [b"%06d" % (7 * n) + random.randbytes(WIDTH - KEY) for n in range(60)]
    rows.merge(blobs, "table", WIDTH, KEY, table)
    blobs.begin()
    blobs.write(random.randbytes(1500))
    blobs.commit("certificate")
    for n in range(12):
        rows.append(blobs, "list", random.randbytes(40 * n))
    rows.replace(blobs, "list", lambda row: row[1:] if len(row) % 80 else None, [b"", b"last"])
    rows.merge(blobs, "table", WIDTH, KEY, [table[3][:KEY], table[9][:KEY] + bytes(WIDTH - KEY)])
    return nor


def station():
    """The chips of a station that was switched off while it charged at one EVSE and had much to tell."""
    world = World(new_chips())
    world.first_start()
    random = Random(4)
    world.live(random, 30)
    world.offline(random, 60_000)
    for evse in (1, 2):
        world.unplug(evse)
    world.plug(2)
    world.card(("HOME", "ISO14443"), 2)
    assert world.st.evses[1].tx is not None and world.st.journal.pending > 10
    return world.flashes


def write():
    """Keep the flash of the present format, and what is on it."""
    chips = {f"journal-{geometry[0]}": journal_of(geometry) for geometry in GEOMETRIES}
    chips |= {f"blobs-{unit}": blobs_of(unit) for unit in (1, 32)}
    chips |= {f"{name}-of-a-station": chip for name, chip in station().items()}
    kept = {}
    for name, chip in chips.items():
        image = base64.b64encode(zlib.compress(bytes(chip.image), 9)).decode()
        kept[name] = {
            "sector": chip.sector,
            "unit": chip.unit,
            "image": [image[at : at + 100] for at in range(0, len(image), 100)],
            "contents": contents(
                name, Nor(chip.size, chip.sector, chip.unit, bytearray(chip.image))
            ),
        }
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / f"format{records._VERSION}.json"
    file.write_text(json.dumps(kept, indent=0) + "\n")
    return file


def read(file):
    """{name: (chip, its contents)} of a released format."""
    found = {}
    for name, kept in json.loads(file.read_text()).items():
        image = bytearray(zlib.decompress(base64.b64decode("".join(kept["image"]))))
        nor = Nor(len(image), kept["sector"], kept["unit"], image)
        found[name] = nor, kept["contents"]
    return found


if __name__ == "__main__":
    sys.exit(print(write()))
