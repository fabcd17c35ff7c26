"""A station whose journal is full, of another format, or fails: what it does, and how it says so."""

import pytest

from tests.domain.bench import CARD, Bench
from tests.storage.test_formats import other_format

from milliamp.blocks.security import EVENTS  # isort: skip
from milliamp.storage.kinds import _SECURITY, _TX_EVENT  # isort: skip


def fill(b):
    """Fill the journal with what cannot be thinned."""
    with pytest.raises(OSError):
        while True:
            b.st.journal.append(_TX_EVENT, b"\0\0\0\0")


def security(b):
    return [bytes(p) for kind, p in b.st.journal.each_pending() if kind == _SECURITY]


def start(b):
    b.plug()
    b.card()
    b.poll(1000)


def offline():
    return Bench({"AuthCtrlr.OfflineTxForUnknownIdEnabled": "true"}, online=False, sectors=4)


def test_a_full_journal_refuses_to_charge():
    b = offline()
    fill(b)
    pending = b.st.journal.pending
    start(b)
    b.poll(60_000)
    assert not b.outlet.closed and b.e.tx is None
    assert b.st.journal.pending == pending


def test_a_full_journal_charges_without_a_transaction_if_the_profile_says_so(monkeypatch):
    b = offline()
    monkeypatch.setattr(b.st.profile, "CHARGE_UNRECORDED", True)
    fill(b)
    start(b)
    assert b.outlet.closed and b.e.tx is None
    b.poll(60_000)
    assert b.outlet.closed
    number = b.st.journal.next_transaction()
    while b.st.journal.pending > 100:
        b.st.journal.ack()
    b.poll(100)  # there is room: from now on it is a transaction
    assert b.outlet.closed and b.e.tx.counter == number + 1  # none was used up by trying
    b.card()
    assert not b.outlet.closed


@pytest.mark.parametrize("stop", ["card", "unplug", "stop_button"])
def test_unrecorded_charging_stops(monkeypatch, stop):
    b = offline()
    monkeypatch.setattr(b.st.profile, "CHARGE_UNRECORDED", True)
    fill(b)
    start(b)
    assert b.outlet.closed
    getattr(b, stop)()
    assert not b.outlet.closed
    b.poll(5000)
    assert not b.outlet.closed


def test_memory_exhaustion_is_told_when_there_is_room_again():
    security_block = pytest.importorskip("milliamp.blocks.security")
    b = offline()
    fill(b)
    before = security(b)
    for _ in range(3):
        security_block.tick(b.st)
    assert b.st.untold and security(b) == before
    while b.st.journal.pending > 50:
        b.st.journal.ack()
    security_block.tick(b.st)
    security_block.tick(b.st)
    assert not b.st.untold and security(b)[-1:] == [b"\3"] and security(b).count(b"\3") == 1


def test_a_flash_that_takes_nothing_does_not_stop_the_station():
    b = Bench()
    start(b)
    assert b.outlet.closed
    b.flashes["journal"].bad = set(range(100))
    b.poll(5000)
    b.card()
    assert not b.outlet.closed  # the contactor waits for nothing
    b.unplug()
    b.plug()
    b.card(CARD)
    b.poll(60_000)
    assert not b.outlet.closed
    b.st.reboot("Watchdog")


def test_a_journal_of_another_format_is_said_and_the_station_charges():
    b = Bench()
    start(b)
    b.card()
    b.unplug()
    other_format(b.flashes["journal"])
    b.power_cycle()
    assert any("another format" in line for line in b.errors())
    assert security(b)[0] == bytes((EVENTS.split().index("JournalSetAside"),))
    b.connect()
    sent = b.serve()
    while sent and sent[0] != "SecurityEventNotification":
        sent = b.serve()
    assert sent[1]["type"] == "JournalSetAside"
    start(b)
    assert b.outlet.closed
