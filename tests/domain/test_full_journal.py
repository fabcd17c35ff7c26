"""A station whose journal is full, of another format, or fails: what it does, and how it says so."""

import types

import pytest

from hostsim.charger.flash import Nor
from hostsim.lives.bench import CARD, OTHER, Bench
from tests.storage.test_formats import other_format

from milliamp.blocks import transactions  # isort: skip
from milliamp.domain import charging, samples, sessions, tokens, transaction  # isort: skip
from tables.events import (  # isort: skip
    AUTHORIZED,
    CHARGING_STATE_CHANGED,
    ENDED,
    METER_VALUE_PERIODIC,
    STARTED,
    STOP_AUTHORIZED,
    UPDATED,
)
from milliamp.base.packing import put_number  # isort: skip
from milliamp.storage.journal import Journal  # isort: skip
from tables.security import JOURNAL_SET_ASIDE  # isort: skip
from milliamp.storage.kinds import SECURITY, TX_EVENT, TX_UPDATE  # isort: skip


def fill(b):
    """Fill the journal with what cannot be thinned."""
    with pytest.raises(OSError):
        while True:
            b.st.journal.append(TX_EVENT, b"\0\0\0\0")


def security(b):
    return [bytes(p) for kind, p in b.st.journal.each_pending() if kind == SECURITY]


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


def toggle(b, times, seconds=15, evse=1):
    """The EV of a charging car pauses and goes on."""
    outlet = b.board.outlet(evse)
    for _ in range(times):
        outlet.ready = not outlet.ready
        b.board.now += seconds * 1000 - 100
        b.poll(100)
        assert outlet.closed == outlet.ready


def test_an_ev_that_toggles_all_day_leaves_room_for_a_new_driver():
    b = Bench({"AuthCtrlr.OfflineTxForUnknownIdEnabled": "true"}, online=False, sectors=8, evses=2)
    start(b)
    toggle(b, 4001)
    created = b.st.journal.counts()[0]
    b.plug(2)
    b.card(OTHER, evse=2)
    b.poll(1000)
    assert b.board.outlet(2).closed and b.st.evses[1].tx is not None
    toggle(b, 100)
    b.card(OTHER, evse=2)
    b.unplug(2)
    pending, thinned = b.st.journal.pending, b.st.journal.counts()[3]
    assert created > 4000 and thinned > 3000 and pending > 400
    b.connect()
    assert b.last()["eventType"] == "Ended"
    first, second = b.ledger.transactions.values()
    assert first.events[0].kind == "Started"
    assert (second.events[0].kind, second.events[-1].kind) == ("Started", "Ended")
    states = [p["transactionInfo"]["chargingState"] for _, p in b.sent if is_of(p, first.id)]
    assert states[-1] == ("Charging" if b.outlet.ready else "SuspendedEV")
    assert states.count("Charging") > 100 and states.count("SuspendedEV") > 100
    b.card()
    b.unplug()
    assert b.last()["eventType"] == "Ended"
    assert b.ledger.lost() == b.st.journal.counts()[3] == thinned
    assert b.errors() == []


def test_a_station_that_starts_over_and_over_has_room_for_a_driver():
    """Each start leaves a security event. While it is offline, and stays up for no longer than a moment: then nothing
    can be thinned, and what is left of the room is the drivers'."""
    b = Bench({"AuthCtrlr.OfflineTxForUnknownIdEnabled": "true"}, online=False, sectors=8)
    for n in range(1200):
        b.power_cycle()
        if n % 3 == 0 and n < 600:
            b.poll(3000)
    for _ in range(3):
        start(b)
        toggle(b, 4)
        b.card()
        b.unplug()
    b.poll(60_000)
    assert not b.st.journal.crowded()
    thinned = b.st.journal.counts()[3]
    security_left = len(security(b))
    assert thinned > 100 and security_left >= 8
    b.connect()
    b.deliver()
    assert len(b.ledger.transactions) == 3
    assert [tx.ended for tx in b.ledger.transactions.values()] == [True] * 3
    assert b.ledger.lost() == 0 and b.errors() == []
    assert b.st.journal.counts()[2:] == (0, thinned, 0)


def is_of(payload, transaction):
    return payload.get("transactionInfo", {}).get("transactionId") == transaction


@pytest.mark.parametrize("trouble", ["fault", "bay", "cable"])
def test_what_comes_and_goes_leaves_room(trouble):
    """With every other thing that makes updates without an end."""
    b = Bench(
        {
            "AuthCtrlr.OfflineTxForUnknownIdEnabled": "true",
            "TxCtrlr.TxStopPoint": "Authorized",
            "TxCtrlr.StopTxOnEVSideDisconnect": "false",
        },
        online=False,
        sectors=5,
    )
    start(b)
    for n in range(1600):
        if trouble == "fault":
            b.outlet.fault = None if n % 2 else "GroundFailure"
        elif trouble == "bay":
            b.outlet.bay = not n % 2
        else:
            b.outlet.cable = n % 2
        b.board.now += 20_000
        b.poll(200)
    assert b.st.journal.counts()[0] > 1500 and b.st.journal.counts()[3] > 800
    assert b.e.tx is not None and b.e.cause is None and b.outlet.closed


def test_a_full_journal_takes_the_energy_from_nobody():
    """Where nothing more can be dropped, updates that nobody needs are left out, and the end waits for room."""
    b = offline()
    start(b)
    seq = b.e.tx.seq
    fill(b)
    toggle(b, 21)
    assert b.e.tx.seq == seq and not b.outlet.closed
    toggle(b, 1)
    b.card()
    assert not b.outlet.closed and b.e.tx is not None  # the end waits
    while b.st.journal.pending > 50:
        b.st.journal.ack()
    b.poll(100)
    assert b.e.tx is None
    b.poll(30_000)
    assert not b.outlet.closed


def test_what_says_something_that_no_other_event_says_stays():
    b = offline()
    b.set("TxCtrlr.TxStartPoint", "EVConnected")
    b.set("TxCtrlr.TxStopPoint", "EVConnected")
    b.plug()
    b.card()
    b.poll(1000)
    toggle(b, 4)
    b.card()  # stops
    b.unplug()
    found = []
    for kind, payload in b.st.journal.each_pending():
        if kind in (TX_EVENT, TX_UPDATE):
            event = transaction.Event(payload)
            found.append((event.kind, event.trigger, kind == TX_UPDATE))
            if event.token or event.connector or event.kind != UPDATED:
                assert kind == TX_EVENT
    # Plugged in, the token, the state that follows from it; four times the EV; the card again, and what it stopped.
    changed = (UPDATED, CHARGING_STATE_CHANGED, True)
    assert found[-1][0] == ENDED and found[0][0] == STARTED
    assert (UPDATED, AUTHORIZED, False) in found and (UPDATED, STOP_AUTHORIZED, False) in found
    assert found.count(changed) >= 5
    thinned = (CHARGING_STATE_CHANGED, METER_VALUE_PERIODIC)
    assert all(thin == (trigger in thinned) for _, trigger, thin in found[1:-1])


class Asked:
    """A request, the answer to it, and what happens at each pause."""

    def __init__(self, transaction_id, meanwhile):
        self.id = transaction_id
        self.meanwhile = meanwhile
        self.pauses = 0
        self.fields = {}
        self.field = self.fields.__setitem__

    def get(self, at, name):
        return 1 if self.id else 0

    def text(self, at):
        return self.id

    def object(self):
        pass

    end = object

    async def pause(self):
        self.pauses += 1
        self.meanwhile()


def ask(b, transaction_id, meanwhile=lambda: None):
    """GetTransactionStatus: (is it ongoing, are there messages, pauses)."""
    asked = Asked(transaction_id, meanwhile)
    b.st.rpc.pause = asked.pause
    with pytest.raises(StopIteration):
        transactions.get_transaction_status(b.st, asked, 0, asked).send(None)
    fields = asked.fields
    return fields.get("ongoingIndicator"), fields["messagesInQueue"], asked.pauses


def test_a_look_through_a_full_journal_pauses():
    b = Bench({"AuthCtrlr.OfflineTxForUnknownIdEnabled": "true"}, online=False)
    start(b)
    running = b.st.journal.transaction_id(b.e.tx.counter)
    unknown = b.st.journal.transaction_id(0xFFFFFF)
    while b.st.journal.pending < 3000:
        b.st.journal.append(TX_UPDATE, b"\1\2\1\1")
    assert ask(b, running) == (True, True, 0)
    assert ask(b, None)[1:] == (True, 0)
    assert ask(b, "no id of this station") == (False, False, 0)
    ongoing, queued, pauses = ask(b, unknown)
    assert (ongoing, queued) == (False, False) and pauses > 3000 // 20

    def busy():
        for _ in range(5):
            b.st.journal.head()
            b.st.journal.ack()
        b.st.journal.append(TX_UPDATE, b"\1\2\1\1")
        b.thin()

    # What is at the end is found, and what is not there is not, while other things come and go.
    b.st.journal.append(TX_EVENT, b"\1\2\x63\1")
    late = b.st.journal.transaction_id(0x63)
    assert ask(b, late, busy)[:2] == (False, True)
    assert ask(b, unknown, busy)[:2] == (False, False)


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
    assert b.st.security[0] and security(b) == before
    while b.st.journal.pending > 50:
        b.st.journal.ack()
    while b.st.journal.crowded():
        b.thin()  # in vain
    security_block.tick(b.st)
    security_block.tick(b.st)
    assert not b.st.security[0] and security(b)[-1:] == [b"\3"] and security(b).count(b"\3") == 1


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
    assert security(b)[0] == bytes((JOURNAL_SET_ASIDE,))
    b.connect()
    sent = b.serve()
    while sent and sent[0] != "SecurityEventNotification":
        sent = b.serve()
    assert sent[1]["type"] == "JournalSetAside"
    start(b)
    assert b.outlet.closed


@pytest.mark.parametrize("error", [ValueError, MemoryError, OSError(5)])
def test_a_transaction_that_never_was_durable_is_none_whatever_failed(error):
    b = Bench()
    append = b.st.journal.append

    def fail(*_):
        raise error

    b.st.journal.append = fail
    start(b)
    assert b.e.tx is None and not b.outlet.closed
    b.st.journal.append = append
    b.poll(200)
    assert b.e.tx is not None and b.outlet.closed  # it is tried again
    b.card()
    b.unplug()
    b.deliver()
    assert b.ledger.problems(all_ended=True) == []


def test_a_type_of_token_that_is_in_no_row_is_charged_and_kept_as_text():
    b = Bench({"AuthCtrlr.AuthorizeRemoteStart": "false"})
    b.plug()
    sessions.remote_start(b.st, b.e, ("04AABBCC", "Autocharge"), 7, None)
    b.poll(1000)
    assert b.outlet.closed
    b.power_cycle()
    (event,) = [
        transaction.Event(payload)
        for kind, payload in b.st.journal.each_pending()
        if kind == TX_EVENT and payload[0] & 8
    ]
    assert event.token == ("04AABBCC", "Autocharge")
    assert b.e.token_hash == tokens.token_hash(event.token)


def test_a_transaction_whose_first_event_could_not_be_made_is_none(monkeypatch):
    b = Bench()
    sample = charging.meter.sample

    def fail(*_, **__):
        raise MemoryError

    b.plug()
    monkeypatch.setattr(charging.meter, "sample", fail)
    with pytest.raises(MemoryError):
        b.card()
    assert b.e.tx is None and not b.outlet.closed
    monkeypatch.setattr(charging.meter, "sample", sample)
    b.unplug()
    start(b)
    assert b.e.tx.counter == 1 and b.outlet.closed


@pytest.mark.parametrize("unit", [1, 8, 32])
@pytest.mark.parametrize("sector, evses", [(1024, 1), (2048, 2), (4096, 1), (4096, 3), (4096, 9)])
def test_a_sector_begins_with_all_that_runs_however_much_that_is(monkeypatch, sector, evses, unit):
    """Full samples, names, corrections and registers at every EVSE."""
    nor = Nor(8 * sector, sector, unit)
    clock = types.SimpleNamespace(synced=False, now=lambda: 0xFFFFFFF0)
    for _ in range(9):
        journal = Journal(nor, clock, bytes)
        journal.checkpoint = lambda write: None
        journal.append(TX_EVENT, b"")
        journal.clock_set(1000)
    values = bytearray()
    for _ in range(8):
        put_number(values, 0xFFFFFFF)
    sample = transaction.group(0, 0xFF, values, 10_000)
    monkeypatch.setattr(charging.meter, "sample", lambda *_, **__: sample)
    monkeypatch.setattr(charging.meter, "asked", lambda *_: 0xFF)
    profile = types.SimpleNamespace(FLASH_SECTOR=sector, FLASH_UNIT=unit)
    st = types.SimpleNamespace(profile=profile, evses=[])
    for evse in range(1, evses + 1):
        tx = transaction.Transaction((1 << 24) - evse, evse)
        tx.seq = (1 << 21) - 1
        tx.register = tx.start_register = tx.limit = tx.started = 0xFFFFFFFF
        tx.token_hash = tx.group_hash = bytes(6)
        st.evses.append(types.SimpleNamespace(tx=tx))
    for e in st.evses * 20:
        samples.keep(st, e, 0, 0, 0xFFFFFFFF)
        journal.name_transaction(e.tx.evse, e.tx.counter, b"12345678")
        journal.ack()
        journal.append(TX_EVENT, b"")
    assert len(list(journal.named_transactions())) == evses
    assert evses > 3 or all(len(e.tx.samples) > 0 for e in st.evses)
    journal.checkpoint = lambda write: [write(e.tx.checkpoint()) for e in st.evses]
    for _ in range(3 * sector // 16):
        journal.ack()
        journal.append(TX_EVENT, bytes(40))
    assert nor.erases > 4
