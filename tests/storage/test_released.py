"""Whatever a station of a released format left in its flash, this one reads, and goes on with it."""

import pytest

from milliamp.storage import records

from . import release
from .release import FOLDER, Journal, contents, in_journal, journal_on, read

from hostsim.lives import bench  # isort: skip
from tests.torture.world import World  # isort: skip
from milliamp.domain import transaction  # isort: skip
from milliamp.storage.kinds import TX_EVENT, TX_UPDATE  # isort: skip

FILES = sorted(FOLDER.glob("format*.json"))
CHIPS = [(file, name) for file in FILES for name in read(file)]


def test_a_flash_of_each_released_format_is_kept():
    """One that is not: `python -m tests.storage.release` writes it."""
    kept = [int(file.stem.removeprefix("format")) for file in FILES]
    assert kept == list(range(4, records._VERSION + 1))


@pytest.mark.parametrize("file, name", CHIPS)
def test_what_is_on_it_is_read(file, name):
    nor, expected = read(file)[name]
    image = bytes(nor.image)
    assert contents(name, nor) == expected
    assert nor.image == image
    assert "journal" not in name or Journal(nor, release.Clock(True, 0), bytes).aside == 0


@pytest.mark.parametrize("file, name", [chip for chip in CHIPS if chip[1].startswith("journal")])
def test_the_queue_goes_on_behind_it(file, name):
    nor, expected = read(file)[name]
    journal = journal_on(nor)
    number = journal.transaction_id(journal.next_transaction())
    assert number[:6] == expected["salt"][:6]
    for n in range(5):
        journal.append(TX_EVENT, b"new %d" % n)
    found = in_journal(nor)["pending"]
    assert [payload for *_, payload in found[-5:]] == [(b"new %d" % n).hex() for n in range(5)]
    assert [list(event) for event in found[:-5]] == expected["pending"]
    while journal.pending:
        journal.ack()
    assert in_journal(nor)["pending"] == []


class Later(World):
    """A station that starts on the chips of an earlier one."""

    start = bench.Bench.start

    def check(self):
        """No list was kept beside those."""


@pytest.mark.parametrize("file", FILES)
def test_a_station_delivers_what_an_earlier_one_knew_and_charges(file):
    kept = read(file)
    chips = {
        name.split("-")[0]: nor
        for name, (nor, _) in kept.items()
        if name.endswith("-of-a-station")
    }
    expected = kept["journal-of-a-station"][1]
    told = []
    for kind, _, _, payload in expected["pending"]:
        if kind in (TX_EVENT, TX_UPDATE):
            event = transaction.Event(bytes.fromhex(payload))
            told.append((f"{expected['salt'][:6]}{event.counter:06x}", event.seq))
    world = Later(chips)
    world.board.outlet(2).cable = 1
    world.start()
    assert not world.st.journal.aside and not world.st.settings.aside
    assert [e.tx is not None for e in world.st.evses] == [False, True]
    world.recover()
    events = [payload for action, payload in world.sent if action == "TransactionEvent"]
    sent = [(event["transactionInfo"]["transactionId"], event["seqNo"]) for event in events]
    assert sent[: len(told)] == told and len(told) > 10
    world.go_on()
