"""Transactions and their events as bytes, and tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milliamp.base.measurands import row, slots
from milliamp.base.packing import Bytes, put_number
from milliamp.domain import tokens, transaction
from milliamp.storage.kinds import OPEN_TX, TX_EVENT, TX_UPDATE
from tables.measurands import NAMED, SLOTS
from tables.words import ID_TOKEN
from tools.builder import profile

numbers = st.integers(0, 2**31)
hashes = st.binary(min_size=6, max_size=6)


@given(
    counter=st.integers(1, 2**24 - 1),
    seq=numbers,
    evse=st.integers(1, 9),
    connector=st.integers(0, 9),
    flags=st.tuples(st.booleans(), st.booleans()),
    register=numbers,
    start=numbers,
    started=st.integers(0, 2**32 - 1),
    state=st.integers(0, 4),
    reason=st.integers(0, 14),
    token=st.one_of(st.just(b""), hashes),
    group=st.one_of(st.just(b""), hashes),
    limit=st.one_of(st.none(), numbers),
    samples=st.binary(max_size=100),
)
def test_a_checkpoint_says_it_all(
    counter,
    seq,
    evse,
    connector,
    flags,
    register,
    start,
    started,
    state,
    reason,
    token,
    group,
    limit,
    samples,
):
    tx = transaction.Transaction(counter, evse)
    tx.seq, tx.connector, tx.state, tx.reason = seq, connector, state, reason
    tx.authorized, tx.token_sent = flags
    tx.register, tx.start_register, tx.started = register, start, started
    tx.token_hash, tx.group_hash = token, group
    tx.limit, tx.samples = limit, samples
    assert vars(transaction.restore(tx.checkpoint())) == vars(tx)


class Evse:
    cable = 1


class Journal:
    def __init__(self):
        self.records = []

    def append(self, kind, payload, time=None):
        self.records.append((kind, 800_000_000 + len(self.records), bytes(payload)))

    def replay(self):
        return iter(self.records)


class Profile:
    EVSE_IN_EACH = False


class Station:
    profile = Profile

    def __init__(self):
        self.journal = Journal()
        self.evses = [Evse(), Evse()]


def append(
    station,
    tx,
    kind,
    trigger,
    state,
    samples=b"",
    token=None,
    remote_id=None,
    reason=0,
    authorized=False,
):
    """An event that says what the EVSE of the transaction is made to know."""
    e = station.evses[tx.evse - 1]
    e.tx, e.state, e.token, e.remote_id = tx, state, token, remote_id
    e.authorized, e.barred = authorized or remote_id is not None, not authorized
    tx.token_sent = tx.token_sent and not token
    transaction.append(station, e, kind, trigger, samples, reason)


known_types = st.sampled_from(ID_TOKEN.split())
other_types = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=40)
event_fields = st.fixed_dictionaries(
    {
        "trigger": st.integers(0, 20),
        "state": st.integers(0, 4),
        "token": st.one_of(
            st.none(), st.tuples(st.text(max_size=300), st.one_of(known_types, other_types))
        ),
        "remote_id": st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)),
        "reason": st.integers(0, 14),
        "authorized": st.booleans(),
        "register": st.one_of(st.none(), numbers),
    }
)


@given(st.lists(event_fields, min_size=1, max_size=6), st.booleans())
def test_events_are_read_as_they_were_written_and_rebuild_the_transaction(fields, noted):
    station = Station()
    tx = transaction.Transaction(77, 2)
    tx.started = 800_000_000
    for n, field in enumerate(fields):
        field = dict(field)
        register = field.pop("register")
        samples = b""
        if register is not None:
            values = bytearray()
            put_number(values, register)
            samples = transaction.group(0, 1, values)
        if noted and n == 2:  # a sector begins here
            station.journal.records.append((OPEN_TX, 0, tx.checkpoint()))
            first = len(station.journal.records) - 1
        tx.reason = 0
        append(station, tx, min(n, 1), samples=samples, **field)
        if register is not None:
            tx.register = max(tx.register, register)
            tx.start_register = tx.register
        if field["token"] and field["trigger"] != 9:  # StopAuthorized: may be another of the group
            tx.token_hash = tokens.token_hash(field["token"])
        tx.reason = field["reason"]
        kind, _, payload = station.journal.records[-1]
        # Started, what has a token or a remoteStartId, the first with a connector, and what somebody decided stay.
        stays = n == 0 or field["token"] or field["remote_id"] is not None
        stays = stays or field["trigger"] in (0, 3, 5, 9, 10, 11, 14)
        assert kind == (TX_EVENT if stays else TX_UPDATE)
        event = transaction.Event(payload)
        for name in ("trigger", "state", "remote_id", "reason", "authorized"):
            assert getattr(event, name) == field[name]
        assert event.token == (field["token"] or None)
        assert (event.kind, event.seq, event.counter) == (min(n, 1), n, 77)
        known = n == 0 or field["trigger"] == 8  # Trigger: told again
        assert (event.evse, event.connector) == ((2, 1) if known else (0, 0))
        assert transaction.counter_of(payload) == 77
    if noted and len(fields) > 2:
        del station.journal.records[:first]
    (again,), registers = transaction.replay(station)
    assert vars(again) == vars(tx)
    assert registers == {2: tx.register}


@given(numbers, numbers)
def test_an_evse_without_a_transaction_keeps_its_register(idle, ended):
    """A checkpoint of its own, and what the events behind it tell, also the last one."""
    station = Station()
    station.journal.records.append((OPEN_TX, 0, transaction.idle(1, idle)))
    station.journal.records.append((OPEN_TX, 0, transaction.idle(2, idle)))
    assert transaction.replay(station) == ([], {1: idle, 2: idle})
    tx = transaction.Transaction(5, 2)
    append(station, tx, 0, 1, 1)
    values = bytearray()
    put_number(values, ended)
    append(station, tx, 2, 1, 1, transaction.group(0, 1, values))
    assert transaction.replay(station) == ([], {1: idle, 2: max(idle, ended)})


@given(
    st.lists(
        st.tuples(
            st.integers(0, 4),
            st.integers(0, 10**6),
            st.sets(st.integers(0, SLOTS - 1)),
            st.randoms(),
        ),
        max_size=4,
    )
)
def test_sample_groups(groups):
    packed = b""
    expected = []
    for context, age, places, random in groups:
        values = bytearray()
        numbers = [random.randrange(1 << 28) for _ in places]
        for number in numbers:
            put_number(values, number)
        mask = sum(1 << slot for slot in places)
        packed += transaction.group(context, mask, values, age)
        expected.append((context, age, mask, numbers))
    found = []
    walk = Bytes(packed)
    for context, age, mask in transaction.groups(walk):
        found.append((context, age, mask, [walk.number() for _ in range(mask.bit_count())]))
    assert found == expected


@pytest.mark.parametrize(
    "names, count",
    [
        ("", 0),
        ("Energy.Active.Import.Register", 1),
        ("Current.Import", 4),
        ("Voltage,SoC,Frequency", 5),
    ],
)
def test_slots_of_measurands(names, count):
    mask = slots(names)
    assert mask.bit_count() == count
    assert all(row(n)[0] in names.split(",") for n in range(NAMED) if mask >> n & 1)


def test_what_is_measured_are_measurands_of_the_version():
    assert {row(slot)[0] for slot in range(NAMED)} == set(profile.measured())
    assert set(profile.measured()) < set(profile.MEASURANDS)
    assert "Temperature" not in profile.MEASURANDS


def test_tokens_are_told_apart_by_type_and_value_without_case():
    hashed = tokens.token_hash
    assert hashed(("abC", "Local")) == hashed(("ABc", "Local"))
    assert len({hashed(("A", kind)) for kind in ID_TOKEN.split()}) == 8
    assert hashed(("A", "Local")) != hashed(("B", "Local"))
    assert len(hashed(("A", "Local"))) == 6
    assert tokens.group_hash(None) == b""


def test_samples_for_the_end_are_halved_when_there_are_too_many():
    tx = transaction.Transaction(1, 1)
    for n in range(100):
        for context in (2, 3):
            values = bytearray()
            put_number(values, 1000 * n)
            put_number(values, n)
            tx.keep(transaction.group(context, 3, values, n), 512)
        kept = list(transaction.packed(tx.samples))
        assert len(kept) <= 16
        assert kept[-1][:3] == (3, n, 3)
        for context in (2, 3):
            ages = [age for own, age, _, _ in kept if own == context]
            assert ages == sorted(set(ages)) and len(ages) >= min(n + 1, 4)
            assert ages[0] == 0
    walk = Bytes(transaction.aged(tx.samples, 100))
    for _, age, mask in transaction.groups(walk):
        assert (walk.number(), walk.number()) == ((100 - age) * 1000, 100 - age) and mask == 3


@pytest.mark.parametrize("room", [-5, 0, 10, 40, 512])
def test_samples_never_take_more_than_their_room(room):
    tx = transaction.Transaction(1, 1)
    for n in range(40):
        tx.keep(transaction.group(2, 0xFFF, bytes(12), n), room)
        assert len(tx.samples) <= max(room, 0)


@pytest.mark.parametrize("error", [ValueError, MemoryError, KeyError, OSError(5)])
def test_whatever_fails_it_is_said_as_one_thing(error):
    station = Station()
    tx = transaction.Transaction(1, 1)

    def fail(*_):
        raise error

    station.journal.append = fail
    for kind in (0, 1, 2):
        with pytest.raises(OSError):
            append(station, tx, kind, 0, 0, token=("A", "Central"))
    assert tx.seq == 0


@pytest.mark.parametrize(
    "token", [("\ud800", "Central"), ("A", "\ud800"), (None, "Central"), ("A", None)]
)
def test_no_token_breaks_out(token):
    station = Station()
    tx = transaction.Transaction(1, 1)
    with pytest.raises(OSError):
        append(station, tx, 0, 0, 0, token=token)
    assert tx.seq == 0 and station.journal.records == []
