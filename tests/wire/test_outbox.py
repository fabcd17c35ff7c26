"""The one sender: whose turn it is, who may send at all, and what becomes of the journal's head (E13)."""

import asyncio
import types

import pytest

from hostsim.lives import bench  # noqa: F401, for tables.ids

from milliamp.base.facts import ACCEPTED, LINK, QUEUE_EMPTY  # isort: skip
from milliamp.storage.kinds import MESSAGE, SECURITY, TX_EVENT, TX_UPDATE  # isort: skip
from milliamp.wire import rpc  # isort: skip
from milliamp.wire.gates import (  # isort: skip
    BEFORE_BOOT,
    FROM_JOURNAL,
    WHEN_ACCEPTED,
    WHEN_PENDING,
)
from milliamp.wire.outbox import Outbox  # isort: skip
from tables.ids import (  # isort: skip
    OCPP_COMM_MESSAGE_ATTEMPT_INTERVAL_TRANSACTION_EVENT,
    OCPP_COMM_MESSAGE_ATTEMPTS_TRANSACTION_EVENT,
)
from tables.registrations import ACCEPTED as ACCEPTED_BY_CSMS  # isort: skip
from tables.registrations import PENDING, REJECTED  # isort: skip

TIMEOUT, INTERVAL, ATTEMPTS = 30, 10, 3
MADE = 7  # when: seconds since 2000


class Journal:
    """`waiting`: the numbers of events, or (number, kind, payload)."""

    def __init__(self):
        self.waiting = []
        self.gone = []  # (number, delivered?)
        self.links = []
        self.full = False

    @property
    def pending(self):
        return len(self.waiting)

    def head(self, most=0):
        if not self.waiting:
            return None
        head = self.waiting[0]
        number, kind, payload = head if isinstance(head, tuple) else (head, TX_EVENT, b"")
        return number, kind, False, MADE, payload

    def append(self, kind, payload, time):
        assert time == MADE
        if self.full:
            raise OSError(28)
        self.waiting.append((self.waiting[0][0], kind, payload))

    def ack(self):
        self._done(True)

    def discard(self):
        self._done(False)

    def _done(self, delivered):
        self.gone.append((self.head()[0], delivered))
        self.waiting.pop(0)

    def connected(self, up):
        self.links.append(bool(up))


class Station:
    """Its own clock, log, model, bus, link and rpc; `outcomes` scripts how calls end, OK when there is none left."""

    def __init__(self):
        self.clock = self.log = self.model = self.bus = self.link = self.rpc = self
        self.profile = types.SimpleNamespace(EVSES=(("sType2",),))
        self.now = 0
        self.up = False
        self.timeout = TIMEOUT
        self.accepted = self.online = False
        self.journal = Journal()
        self.facts = []
        self.lines = []
        self.subscriber = None
        self.calls = []  # (seconds, action, cursor)
        self.outcomes = []
        self.loop = asyncio.new_event_loop()
        self.outbox = Outbox(self)

    def ticks(self):
        return self.now & 0x3FFFFFFF

    def since(self, ticks):
        return (self.now - ticks) & 0x3FFFFFFF

    def error(self, text):
        self.lines.append(text)

    warn = error

    def get(self, variable):
        return {
            OCPP_COMM_MESSAGE_ATTEMPTS_TRANSACTION_EVENT: ATTEMPTS,
            OCPP_COMM_MESSAGE_ATTEMPT_INTERVAL_TRANSACTION_EVENT: INTERVAL,
        }[variable]

    def subscribe(self, mask, function):
        assert mask == LINK
        self.subscriber = function

    def tell(self, fact, evse=0, arg=None):
        self.facts.append((fact, arg))
        if fact == LINK:
            self.up = bool(arg)
            self.subscriber(self, fact, evse, arg)

    def progress(self, task):
        assert task == 1

    async def call(self, action, render, cursor, answered, timeout_s):
        assert timeout_s == TIMEOUT
        self.calls.append(
            (self.now // 1000, action, cursor[0] if isinstance(cursor, tuple) else cursor)
        )
        outcome = self.outcomes.pop(0) if self.outcomes else rpc.OK
        await asyncio.sleep(0)
        if outcome == rpc.TIMEOUT:
            self.now += TIMEOUT * 1000
        elif outcome == rpc.DOWN:
            self.tell(LINK, 0, 0)
        elif outcome == rpc.OK:
            answered(self, cursor, "reader", 1)
        return outcome

    # --- what tests say --------------------------------------------------------------------------
    def row(self, priority, gate, action, due):
        """A row that is due as long as the list `due` has something in it, and notes what it was answered."""
        answers = []

        def answered(st, cursor, r, at):
            answers.append((cursor, r))
            if due and due[0] == cursor:
                due.pop(0)

        self.outbox.add(
            ((priority, gate, action, lambda st: due[0] if due else None, None, answered),)
        )
        return answers

    def events(self):
        """The journal's rows: of transaction events, security events and another kind."""
        answers = []
        note = lambda st, cursor, r, at: answers.append((cursor[0], r))  # noqa: E731
        for action, kinds in (
            ("TransactionEvent", (TX_EVENT, TX_UPDATE)),
            ("SecurityEvent", (SECURITY,)),
            ("Firmware", (MESSAGE,)),
        ):

            def due(st, kinds=kinds):
                head = st.journal.head()
                return head if head and head[1] in kinds else None

            self.outbox.add(((9, FROM_JOURNAL, action, due, None, note),))
        return answers

    def connect(self, registration=ACCEPTED_BY_CSMS):
        self.tell(LINK, 0, 1)
        if registration is not None:
            self.outbox.register(registration)

    def run(self, seconds=60):
        """Let the sender work for so long, waking it each second as the control task does."""

        async def live():
            task = asyncio.create_task(self.outbox.run())
            end = self.now + seconds * 1000
            while self.now < end:
                for _ in range(200):
                    await asyncio.sleep(0)
                self.now += 1000
                self.outbox.wake()
            assert not task.done()
            task.cancel()

        self.loop.run_until_complete(live())

    def order(self):
        return [(action, cursor) for _, action, cursor in self.calls]


@pytest.fixture
def st(monkeypatch):
    station = Station()
    station.slept = 0

    async def at_once(ms):
        station.slept += ms
        await asyncio.sleep(0)

    monkeypatch.setattr(asyncio, "sleep_ms", at_once)
    yield station
    station.loop.close()


@pytest.mark.parametrize(
    "registration, sent",
    [
        (None, ["Boot"]),
        (REJECTED, ["Boot"]),
        (PENDING, ["Boot", "Report"]),
        (ACCEPTED_BY_CSMS, ["Boot", "Report", "Status", "TransactionEvent"]),
    ],
)
def test_gates(st, registration, sent):
    for priority, gate, action in (
        (0, BEFORE_BOOT, "Boot"),
        (4, WHEN_PENDING, "Report"),
        (2, WHEN_ACCEPTED, "Status"),
    ):
        st.row(priority, gate, action, [action])
    st.events()
    st.journal.waiting = [1]
    st.run(5)
    assert st.calls == []  # the link is down
    st.connect(registration)
    st.run(5)
    assert sorted(action for action, _ in st.order()) == sorted(sent)
    assert st.outbox.refused == (registration == REJECTED)


def test_what_fails_again_and_again_leaves_the_others_their_time(st):
    st.row(2, WHEN_ACCEPTED, "Status", [*range(1, 21)])
    st.outcomes = [rpc.ERROR] * 20
    st.connect()
    st.run(5)
    assert len(st.calls) >= 20 and st.slept >= 20 * 100


def test_while_pending_goes_what_was_asked_for_and_that_once(st):
    st.row(2, WHEN_ACCEPTED, "Status", ["a", "b"])
    st.row(3, WHEN_ACCEPTED, "Heartbeat", ["a"])
    st.connect(PENDING)
    st.outbox.ask("Status")
    st.run(5)
    assert st.order() == [("Status", "a")]


def test_priorities_and_the_journal_is_not_starved(st):
    st.row(3, WHEN_ACCEPTED, "Heartbeat", [*"xyz"])
    st.row(2, WHEN_ACCEPTED, "Status", [*"ab"])
    st.events()
    st.journal.waiting = [1, 2]
    st.connect()
    st.run(5)
    assert [cursor for _, cursor in st.order()] == ["a", "b", 1, "x", "y", 2, "z"]


def test_after_the_boot_the_status_of_every_connector_comes_first(st):
    st.profile.EVSES = (("sType2", "cCCS2"), ("sType2",))
    st.outbox = Outbox(st)
    boot = ["boot"]
    st.row(0, BEFORE_BOOT, "Boot", boot)
    st.row(2, WHEN_ACCEPTED, "Status", [*"abc"])
    st.events()
    st.journal.waiting = [1]
    st.connect(PENDING)
    st.run(2)
    st.outbox.register(ACCEPTED_BY_CSMS)
    st.run(5)
    assert [cursor for _, cursor in st.order()] == ["boot", "a", "b", "c", 1]


def test_what_was_sent_while_the_journal_was_empty_does_not_count(st):
    due = [*"abcdef"]
    st.row(2, WHEN_ACCEPTED, "Status", due)
    st.events()
    st.connect()
    st.run(5)
    st.journal.waiting = [1]
    due.append("g")
    st.run(5)
    assert [cursor for _, cursor in st.order()][-2:] == ["g", 1]


def test_the_queue_is_empty(st):
    st.events()
    st.journal.waiting = [1, 2]
    st.connect()
    st.run(3)
    assert st.facts.count((QUEUE_EMPTY, None)) == 1
    assert st.journal.gone == [(1, True), (2, True)]


@pytest.mark.parametrize(
    "outcome, times",
    [
        # MessageTimeout + interval * attempts so far
        (rpc.TIMEOUT, [0, 40, 90]),
        # without the timeout
        (rpc.ERROR, [0, 10, 30]),
        # another version's CSMS may stand behind a switch, so it is no different
        (rpc.NEVER, [0, 10, 30]),
    ],
)
def test_an_event_that_is_not_answered_is_sent_again_and_given_up(st, outcome, times):
    answers = st.events()
    st.journal.waiting = [1, 2]
    st.outcomes = [outcome] * ATTEMPTS
    st.connect()
    st.run(200)
    assert [seconds for seconds, _, cursor in st.calls if cursor == 1] == times
    assert st.journal.gone == [(1, False), (2, True)]
    assert answers == [(1, None)] * ATTEMPTS + [(2, "reader")]
    assert len(st.lines) == 1


def test_success_before_the_last_attempt_and_a_new_count_for_the_next_event(st):
    st.events()
    st.journal.waiting = [1, 2]
    st.outcomes = [rpc.ERROR, rpc.ERROR, rpc.OK, rpc.ERROR, rpc.ERROR, rpc.OK]
    st.connect()
    st.run(200)
    assert [seconds for seconds, _, _ in st.calls] == [0, 10, 30, 30, 40, 60]
    assert st.journal.gone == [(1, True), (2, True)]


def test_others_go_on_in_the_gap(st):
    due = []
    st.row(2, WHEN_ACCEPTED, "Status", due)
    st.events()
    st.journal.waiting = [1]
    st.outcomes = [rpc.ERROR]
    st.connect()
    st.run(3)
    due += [*"abcd"]
    st.run(3)
    assert [cursor for _, cursor in st.order()] == [1, "a", "b", "c", "d"]
    st.run(10)
    assert st.journal.gone == [(1, True)]


def test_an_attempt_that_the_connection_did_not_survive_does_not_count(st):
    st.events()
    st.journal.waiting = [1]
    for _ in range(ATTEMPTS + 2):
        st.outcomes = [rpc.DOWN]
        st.connect(None if st.accepted else ACCEPTED_BY_CSMS)
        st.run(60)
        assert not st.online
    assert st.journal.gone == []
    st.connect(None)
    st.run(3)
    assert st.journal.gone == [(1, True)]
    assert st.journal.links == [True, False] * (ATTEMPTS + 2) + [True]


@pytest.mark.parametrize("outcome", [rpc.ERROR, rpc.NEVER])
def test_attempts_outlive_a_connection_and_so_do_the_gaps_between_them(st, outcome):
    st.events()
    st.journal.waiting = [1, 2]
    st.outcomes = [outcome] * ATTEMPTS
    for _ in range(6):
        st.connect(None if st.accepted else ACCEPTED_BY_CSMS)
        st.run(7)
        st.tell(LINK, 0, 0)
    assert [seconds for seconds, _, cursor in st.calls if cursor == 1] == [0, 10, 30]
    assert st.journal.gone == [(1, False), (2, True)]


# --- what is no transaction event ------------------------------------------------------------------


def test_what_the_csms_never_takes_is_done_with_and_not_tried_again_in_this_connection(st):
    answers = st.events()
    st.journal.waiting = [(1, SECURITY, b"s"), 2, (3, SECURITY, b"s"), (4, MESSAGE, b"f"), 5]
    st.outcomes = [rpc.NEVER]
    st.connect()
    st.run(1)
    assert [cursor for _, _, cursor in st.calls] == [1, 2, 4, 5]
    assert st.journal.gone == [(1, False), (2, True), (3, False), (4, True), (5, True)]
    assert answers[0] == (1, None) and len(answers) == 4
    assert st.lines == ["the CSMS takes no SecurityEvent"]
    assert st.facts.count((QUEUE_EMPTY, None)) == 1
    st.journal.waiting = [(6, SECURITY, b"s")]
    st.run(1)
    assert st.facts.count((QUEUE_EMPTY, None)) == 2
    st.tell(LINK, 0, 0)
    st.journal.waiting = [(7, SECURITY, b"s")]
    st.connect(None)
    st.run(1)
    assert st.calls[-1][1:] == ("SecurityEvent", 7)
    assert st.journal.gone[-2:] == [(6, False), (7, True)]


def test_what_no_block_of_this_image_tells_stands_in_nobodys_way(st):
    st.row(9, FROM_JOURNAL, "TransactionEvent", [])
    st.journal.waiting = [(1, MESSAGE, b"\x03f"), (2, MESSAGE, b"\x02r")]
    st.run(5)
    assert st.journal.gone == []  # nobody is asked before the CSMS has accepted the station
    st.connect()
    st.run(5)
    assert st.journal.gone == [(1, False), (2, False)]
    assert st.calls == []


def test_it_is_one_message_that_a_csms_never_takes_and_not_all_of_its_kind(st):
    for action, which in (("Firmware", 1), ("Reservation", 2)):

        def due(st, which=which):
            head = st.journal.head()
            return head if head and head[4][0] == which else None

        note = lambda st, cursor, r, at: None  # noqa: E731
        st.outbox.add(((9, FROM_JOURNAL, action, due, None, note),))
    st.journal.waiting = [(n, MESSAGE, bytes((n % 2 + 1,))) for n in range(4)]
    st.outcomes = [rpc.NEVER]
    st.connect()
    st.run(1)
    assert [cursor for _, _, cursor in st.calls] == [0, 1, 3]
    assert st.journal.gone == [(0, False), (1, True), (2, False), (3, True)]


@pytest.mark.parametrize("kind", [SECURITY, MESSAGE])
def test_any_error_is_the_end_of_what_is_no_transaction_event(st, kind):
    st.events()
    st.journal.waiting = [(1, kind, b"s"), 2, (3, kind, b"s")]
    st.outcomes = [rpc.ERROR]
    st.connect()
    st.run(1)
    assert st.calls == [(0, st.calls[0][1], 1), (0, "TransactionEvent", 2), (0, st.calls[0][1], 3)]
    assert st.journal.gone == [(1, False), (2, True), (3, True)]


@pytest.mark.parametrize("kind", [SECURITY, MESSAGE])
def test_what_nobody_answers_goes_behind_the_others_and_not_for_ever(st, kind):
    st.events()
    st.journal.waiting = [(1, kind, b"\x02more"), 2, 3]
    st.outcomes = [rpc.TIMEOUT, rpc.OK, rpc.OK, rpc.TIMEOUT]
    st.connect()
    told, append = [], st.journal.append
    st.journal.append = lambda *record: told.append(record) or append(*record)
    st.run(200)
    assert told == [(kind, b"\x82more", MADE)]  # marked as told again
    assert [(seconds, cursor) for seconds, _, cursor in st.calls] == [
        (0, 1),
        (30, 2),
        (30, 3),
        (30, 1),
    ]
    assert st.journal.gone == [(1, False), (2, True), (3, True), (1, False)]


def test_where_there_is_no_room_behind_the_others_it_is_given_up(st):
    st.events()
    st.journal.waiting = [(1, SECURITY, b"s"), 2]
    st.journal.full = True
    st.outcomes = [rpc.TIMEOUT]
    st.connect()
    st.run(60)
    assert st.journal.gone == [(1, False), (2, True)]


def test_attempts_at_an_event_are_not_those_at_the_next(st):
    st.events()
    st.journal.waiting = [1, (2, SECURITY, b"s"), 3]
    st.outcomes = [rpc.ERROR, rpc.ERROR, rpc.OK, rpc.ERROR, rpc.ERROR, rpc.ERROR, rpc.OK]
    st.connect()
    st.run(200)
    assert st.journal.gone == [(1, True), (2, False), (3, True)]


def test_other_messages_are_told_that_they_failed_unless_the_link_did(st):
    due = [*"abc"]
    answers = st.row(2, WHEN_ACCEPTED, "Status", due)
    st.outcomes = [rpc.TIMEOUT, rpc.ERROR, rpc.DOWN]
    st.connect()
    st.run(100)
    assert answers == [("a", None), ("b", None)]
    assert due == ["c"]


def test_accepted_and_online_are_told_apart(st):
    st.connect(None)
    assert (st.accepted, st.online) == (False, False)
    st.outbox.register(ACCEPTED_BY_CSMS)
    assert (st.accepted, st.online) == (True, True)
    st.tell(LINK, 0, 0)
    assert (st.accepted, st.online) == (True, False)
    st.tell(LINK, 0, 1)
    assert (st.accepted, st.online) == (True, True)
    assert [fact for fact in st.facts if fact[0] == ACCEPTED] == [(ACCEPTED, 1)]
    assert st.journal.links == [True, False, True]
