"""Whom to connect to, with what password, and how long to wait before the next attempt."""

import asyncio
import types

import pytest
from hypothesis import given
from hypothesis import strategies as strategies

from hostsim.lives import bench  # noqa: F401, for tables.ids

from milliamp.base.facts import LINK, VARIABLE  # isort: skip
from milliamp.storage.keys import (  # isort: skip
    CSMS_URL,
    GOOD_SLOT,
    IDENTITY,
    OLD_PASSWORD,
    PASSWORD,
    SLOT_SECURITY,
    SLOT_URL,
)
from milliamp.storage import keys  # isort: skip
from milliamp.wire import link as module  # isort: skip
from milliamp.wire.handshake import HandshakeError  # isort: skip
from milliamp.wire.websocket import ConnectionClosed  # isort: skip
from tables.ids import (  # isort: skip
    OCPP_COMM_MESSAGE_TIMEOUT_DEFAULT,
    OCPP_COMM_NETWORK_CONFIGURATION_PRIORITY,
    OCPP_COMM_NETWORK_PROFILE_CONNECTION_ATTEMPTS,
    OCPP_COMM_RETRY_BACK_OFF_RANDOM_RANGE,
    OCPP_COMM_RETRY_BACK_OFF_REPEAT_TIMES,
    OCPP_COMM_RETRY_BACK_OFF_WAIT_MINIMUM,
    OCPP_COMM_WEB_SOCKET_PING_INTERVAL,
    SECURITY_SECURITY_PROFILE,
)

OLD, NEW = "old password here", "new password here"


class Done(BaseException):
    """The script is at its end."""


class Settings(dict):
    def put(self, *pairs):
        self.update(pairs)
        for key, value in pairs:
            if value is None:
                del self[key]


class Station:
    """`script`: what becomes of each attempt to connect. False: nobody is there. 401: refused. True: the CSMS
    speaks, then the connection is lost. 1000 and above: closed with this code before the CSMS has spoken. A function: it
    is called while the CSMS speaks."""

    def __init__(
        self,
        script,
        minimum=10,
        share=0,
        repeat=3,
        networks=(),
        priority="1",
        attempts=3,
        **settings,
    ):
        self.board = self.log = self.bus = self.model = self.rpc = self
        self.settings = Settings(
            {CSMS_URL: "ws://csms:9/a/", IDENTITY: "CS 1/é", PASSWORD: "pass" * 4}
            | {getattr(keys, name): value for name, value in settings.items()}
        )
        self.profile = types.SimpleNamespace(IDENTITY="X", URL="ws://nowhere/", NETWORKS=True)
        self.script = list(script)
        self.networks = list(networks)
        self.values = {
            OCPP_COMM_RETRY_BACK_OFF_WAIT_MINIMUM: minimum,
            OCPP_COMM_RETRY_BACK_OFF_RANDOM_RANGE: 4,
            OCPP_COMM_RETRY_BACK_OFF_REPEAT_TIMES: repeat,
            OCPP_COMM_WEB_SOCKET_PING_INTERVAL: 50,
            OCPP_COMM_MESSAGE_TIMEOUT_DEFAULT: 30,
            OCPP_COMM_NETWORK_CONFIGURATION_PRIORITY: priority,
            OCPP_COMM_NETWORK_PROFILE_CONNECTION_ATTEMPTS: attempts,
        }
        self.get = self.values.get
        self.put = self.values.__setitem__
        self.entry = lambda id: id
        self.share = share
        self.receive = self.transmit = b""
        self.messages = 0
        self.lines = []
        self.facts = []
        self.changed = []  # variables
        self.closed = 0
        self.slept = 0
        self.asked = []  # when the board was asked for a network, in ms slept
        self.attempts = []  # (ms slept before it, what it was given)
        self.served = 0
        self.longest = 0
        self.link = module.Link(self)

    def subscribe(self, mask, function):
        pass

    def tell(self, fact, evse, arg):
        if fact == LINK:
            self.facts.append((arg, self.link.up))
        else:
            assert fact == VARIABLE
            self.changed.append(arg)

    def progress(self, task):
        self.quiet = 0

    def info(self, text):
        self.lines.append(text)

    warn = error = info

    def fault(self, error, where):
        if isinstance(error, (AttributeError, NameError, TypeError)):
            # A mistake, here or there, with which the link would try again for ever.
            raise AssertionError(where) from error
        self.lines.append(f"{where}: {type(error).__name__}")

    def network(self):
        self.asked.append(self.slept)
        return self.networks.pop(0) if self.networks else True

    def random(self, n):
        return self.share.to_bytes(n, "big")

    async def sleep_ms(self, ms):
        self.slept += ms
        self.quiet += ms
        self.longest = max(self.longest, self.quiet)

    async def connect(self, st, *given):
        self.attempts.append((self.slept, given))
        if not self.script:
            raise Done
        self.outcome = self.script.pop(0)
        if not self.outcome:
            raise HandshakeError("nobody there")
        if self.outcome is MemoryError:
            raise MemoryError
        if self.outcome == 401:
            raise HandshakeError("HTTP status 401", 401)
        return types.SimpleNamespace(ping_s=0, close=self.close)

    async def close(self, code):
        self.closed += 1

    async def run(self, socket, alive):
        assert (socket.ping_s, self.link.timeout) == (50, 30)
        self.messages = 0
        closed = self.closed
        alive()
        self.served += 1
        if self.outcome is not True and self.outcome in range(1000, 5000):
            raise ConnectionClosed(self.outcome, "closed")
        self.messages = 1  # the call is in our hands
        if self.outcome is UnicodeError:
            raise UnicodeError
        if callable(self.outcome):
            self.outcome(self)
        alive()
        assert self.closed == closed, "the answer comes first"
        self.messages = 2
        alive()
        await asyncio.sleep(0)
        raise ConnectionClosed(1001 if self.closed > closed else 1006, "lost")

    def live(self, monkeypatch):
        stand_in = types.SimpleNamespace(sleep_ms=self.sleep_ms, create_task=asyncio.create_task)
        monkeypatch.setattr(module, "asyncio", stand_in)
        monkeypatch.setattr(module, "connect", self.connect)
        with pytest.raises(Done):
            asyncio.run(self.link.run())
        times = [ms for ms, _ in self.attempts]
        return [(b - a) / 1000 for a, b in zip(times, times[1:])]

    def tried(self):
        """The slot of each attempt, by its URL."""
        return [1 if "//csms" in given[0] else 2 for _, given in self.attempts]

    def passwords(self):
        return [given[2] and given[2][1] for _, given in self.attempts]


def two(script, priority="2,1", attempts=2, **settings):
    """A station with two network profiles."""
    st = Station(script, priority=priority, attempts=attempts, **settings)
    st.settings[SLOT_URL + 32] = "ws://other/b"
    st.settings.setdefault(SLOT_SECURITY + 32, 1)
    return st


def test_waits_double_up_to_a_limit_and_begin_anew_after_a_connection(monkeypatch):
    st = Station([False] * 6 + [True, False, False, True, True])
    waits = st.live(monkeypatch)
    assert waits == [10, 20, 40, 80, 80, 80, 10, 20, 40, 10, 10]
    assert st.longest <= 5000  # the supervisor sees progress
    assert st.facts == [(2, True), (0, False)] + [(1, True), (0, False)] * 2
    assert st.lines.count("cannot connect: nobody there") == 2  # not every time


@pytest.mark.parametrize("code", [1000, 1006, 1011, 4001])
def test_a_connection_in_which_the_csms_said_nothing_is_no_success(monkeypatch, code):
    st = Station([code] * 4 + [True, code])
    assert st.live(monkeypatch) == [10, 20, 40, 80, 10, 20]
    st = two([code] * 3 + [True])
    st.live(monkeypatch)
    assert st.tried() == [2, 2, 1, 1, 2]


@pytest.mark.parametrize("error", [MemoryError, UnicodeError])
def test_what_nobody_foresaw_is_followed_by_the_back_off(monkeypatch, error):
    """Without memory there is no connection, and in one anything may happen: the task goes on, and waits."""
    st = Station([error] * 4 + [True, False])
    assert st.live(monkeypatch) == [10, 20, 40, 80, 10, 20]
    assert st.lines.count("the link: " + error.__name__) == 4


def test_a_second_at_least_between_two_attempts(monkeypatch):
    for outcome in (True, False, 1000):
        assert Station([outcome] * 3, minimum=0).live(monkeypatch) == [1, 1, 1]
    assert Station([False], minimum=0, share=0x8000).live(monkeypatch) == [
        pytest.approx(2, abs=0.001)
    ]


@pytest.mark.parametrize("share, seconds", [(0, 0), (0x8000, 2), (0xFFFF, 4)])
def test_a_random_share_is_added_each_time_and_not_doubled(monkeypatch, share, seconds):
    waits = Station([False] * 3, share=share).live(monkeypatch)
    assert waits == pytest.approx([10 + seconds, 20 + seconds, 40 + seconds], abs=0.001)


def test_the_network_is_asked_for_all_the_time_that_there_is_no_csms(monkeypatch):
    """By that a driver knows that its access point leads nowhere."""
    st = Station([False] * 6, minimum=100)
    st.live(monkeypatch)
    assert st.asked[-1] > 2_000_000
    assert max(b - a for a, b in zip(st.asked, st.asked[1:])) <= 5000


def test_without_doublings(monkeypatch):
    assert Station([False] * 4, repeat=0).live(monkeypatch) == [10] * 4


def test_the_first_attempt_is_made_at_once_when_there_is_a_network(monkeypatch):
    st = Station([], networks=[False, False, True])
    st.live(monkeypatch)
    assert [ms for ms, _ in st.attempts] == [2000]


def test_whom_it_connects_to(monkeypatch):
    st = Station([])
    st.live(monkeypatch)
    ((_, given),) = st.attempts
    assert given[:2] == ("ws://csms:9/a/CS%201%2F%C3%A9", "ocpp2.0.1")
    assert given[2] == ("CS 1/é", "pass" * 4)


# --- network profiles ----------------------------------------------------------------------------------


def test_each_profile_has_its_attempts_then_the_last_good_one_then_the_list_again(monkeypatch):
    st = two([False] * 9)
    waits = st.live(monkeypatch)
    assert st.tried() == [2, 2, 1, 1, 1, 1, 2, 2, 1, 1]
    assert waits == [10, 20, 40, 80, 80, 80, 80, 80, 80]
    assert st.attempts[0][1][0] == "ws://other/b/CS%201%2F%C3%A9"


def test_the_last_good_profile_need_not_be_in_the_list(monkeypatch):
    st = two([False] * 4, priority="2", attempts=1)
    st.live(monkeypatch)
    assert st.tried() == [2, 1, 2, 1, 2]


def test_after_a_loss_the_profile_in_use_comes_first_and_the_csms_knows_the_station(monkeypatch):
    st = two([True, False, True, True])
    st.live(monkeypatch)
    assert st.tried() == [2, 2, 2, 2, 2]
    assert [arg for arg, _ in st.facts] == [2, 0, 1, 0, 1, 0]


def test_after_the_loss_of_a_fallback_what_is_preferred_gets_an_attempt_first(monkeypatch):
    st = two([False, False, True, False, False, True, True, True])
    waits = st.live(monkeypatch)
    assert st.tried() == [2, 2, 1] + [2, 1, 1] + [2, 2, 2]
    assert waits == [10, 20, 10, 20, 40, 10, 10, 10]
    assert [arg for arg, _ in st.facts] == [2, 0, 1, 0, 2, 0, 1, 0]


def test_another_profile_is_another_csms(monkeypatch):
    st = two([True] + [False] * 2 + [True, True] + [True])
    st.live(monkeypatch)
    assert st.tried() == [2] + [2, 2] + [1] + [2, 2, 2]
    assert [arg for arg, _ in st.facts] == [2, 0, 2, 0, 2, 0, 1, 0]


def test_a_new_priority_holds_once_the_connection_is_lost(monkeypatch):
    def prioritize(st):
        st.values[OCPP_COMM_NETWORK_CONFIGURATION_PRIORITY] = "2,1"

    st = two([prioritize, True], priority="1", attempts=3)
    assert st.live(monkeypatch) == [10, 10]
    assert st.tried() == [1, 2, 2]
    assert st.settings[GOOD_SLOT] == 2


def test_a_profile_is_good_when_its_csms_has_spoken(monkeypatch):
    st = two([1000, 1008, 1008, True])
    waits = st.live(monkeypatch)
    assert st.tried() == [2, 2, 1, 1, 2]
    assert waits == [10, 20, 40, 10]
    assert GOOD_SLOT not in st.settings


def test_profiles_of_a_lower_security_profile_are_given_up(monkeypatch):
    st = two([True])
    st.settings[SLOT_SECURITY + 16] = 0
    st.live(monkeypatch)
    assert st.values[OCPP_COMM_NETWORK_CONFIGURATION_PRIORITY] == "2"
    assert st.changed == [SECURITY_SECURITY_PROFILE]
    assert st.link.security(1) == 0 and st.link.security(2) == 1


def test_without_security_no_password_is_sent(monkeypatch):
    st = two([], **{"PASSWORD": NEW})
    st.settings[SLOT_SECURITY + 32] = 0
    st.live(monkeypatch)
    assert st.passwords() == [None]


def test_an_empty_slot_is_passed_over(monkeypatch):
    st = two([False], attempts=1)
    del st.settings[SLOT_URL + 32]
    st.live(monkeypatch)
    assert st.attempts[0][1][0].startswith("/")  # which no handshake takes


# --- a new password ------------------------------------------------------------------------------------------


def renew(st):
    """What SetVariables does."""
    st.settings.put((OLD_PASSWORD, OLD), (PASSWORD, NEW))


def test_a_new_password_is_used_at_once(monkeypatch):
    st = Station([renew, True, True], PASSWORD=OLD)
    assert st.live(monkeypatch) == [0, 10, 10]
    assert st.passwords() == [OLD, NEW, NEW, NEW]
    assert st.closed == 1
    assert OLD_PASSWORD not in st.settings


def test_a_password_that_is_refused_takes_turns_with_the_old_one(monkeypatch):
    st = Station([renew, 401, True, 401, 401, True], PASSWORD=OLD)
    assert st.live(monkeypatch) == [0, 10, 10, 20, 40, 10]
    assert st.passwords() == [OLD, NEW, OLD, NEW, OLD, NEW, NEW]
    assert OLD_PASSWORD not in st.settings


def test_the_old_password_is_kept_over_a_reboot(monkeypatch):
    st = Station([401, True], PASSWORD=NEW, OLD_PASSWORD=OLD)
    st.live(monkeypatch)
    assert st.passwords() == [NEW, OLD, NEW]
    assert st.settings[OLD_PASSWORD] == OLD


def test_an_absent_csms_says_nothing_about_a_password(monkeypatch):
    st = Station([False, False, 1006, 1000], PASSWORD=NEW, OLD_PASSWORD=OLD)
    st.live(monkeypatch)
    assert st.passwords() == [NEW] * 5
    assert st.settings[OLD_PASSWORD] == OLD


def test_a_csms_that_still_holds_the_old_connection_has_taken_the_password(monkeypatch):
    """It upgrades and closes with 1008 until that one has timed out: nobody tries another password meanwhile."""
    st = Station([renew, 1008, 1008, 1008, 1008, True], PASSWORD=OLD)
    assert st.live(monkeypatch) == [0, 10, 20, 40, 80, 10]
    assert st.passwords() == [OLD] + [NEW] * 6
    assert OLD_PASSWORD not in st.settings


@pytest.mark.parametrize("code", [1000, 1008, 4001])
def test_a_csms_that_refuses_a_password_only_by_closing_gets_the_old_one_after_a_while(
    monkeypatch, code
):
    st = Station([renew] + [code] * 8 + [True, code], PASSWORD=OLD)
    st.live(monkeypatch)
    assert st.passwords() == [OLD] + [NEW] * 8 + [OLD, NEW, NEW]


@given(strategies.text(strategies.characters(exclude_categories=("Cs",)), min_size=1, max_size=48))
def test_the_identity_is_one_segment_of_the_path(identity):
    from urllib.parse import unquote

    url = module.url("wss://csms.example/ocpp", identity)
    assert url.isascii() and url.startswith("wss://csms.example/ocpp/")
    last = url.rpartition("/")[2]
    assert unquote(last) == identity
    assert not set(last) & set("?# /:@")


@pytest.mark.parametrize(
    ("base", "whole"),
    [
        ("ws://csms.example/ocpp?tenant=1&x=a/b", "ws://csms.example/ocpp/CS%201?tenant=1&x=a/b"),
        ("ws://csms.example/ocpp/?tenant=1", "ws://csms.example/ocpp/CS%201?tenant=1"),
        ("ws://csms.example?tenant=1", "ws://csms.example/CS%201?tenant=1"),
    ],
)
def test_a_query_stays_behind_the_path(base, whole):
    assert module.url(base, "CS 1") == whole
