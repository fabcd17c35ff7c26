"""Whom to connect to, and how long to wait before the next attempt (B57)."""

import asyncio
import types

import pytest
from hypothesis import given
from hypothesis import strategies as strategies

from tests.domain import bench  # noqa: F401, for tables.ids

from milliamp.base.facts import _LINK  # isort: skip
from milliamp.storage.keys import _CSMS_URL, _IDENTITY, _PASSWORD  # isort: skip
from milliamp.wire import link as module  # isort: skip
from milliamp.wire.handshake import HandshakeError  # isort: skip
from milliamp.wire.websocket import ConnectionClosed  # isort: skip
from tables.ids import (  # isort: skip
    _OCPP_COMM_RETRY_BACK_OFF_RANDOM_RANGE,
    _OCPP_COMM_RETRY_BACK_OFF_REPEAT_TIMES,
    _OCPP_COMM_RETRY_BACK_OFF_WAIT_MINIMUM,
    _OCPP_COMM_WEB_SOCKET_PING_INTERVAL,
)


class Done(Exception):
    """The script is at its end."""


class Station:
    """`script`: what becomes of each attempt to connect: False: refused, True: served and lost."""

    def __init__(self, script, minimum=10, share=0, repeat=3, networks=()):
        self.board = self.log = self.bus = self.model = self.rpc = self
        self.settings = types.SimpleNamespace(
            get={_CSMS_URL: "ws://csms:9/a/", _IDENTITY: "CS 1/é", _PASSWORD: "pass" * 4}.get
        )
        self.profile = types.SimpleNamespace(IDENTITY="X", URL="ws://nowhere/")
        self.script = list(script)
        self.networks = list(networks)
        self.values = {
            _OCPP_COMM_RETRY_BACK_OFF_WAIT_MINIMUM: minimum,
            _OCPP_COMM_RETRY_BACK_OFF_RANDOM_RANGE: 4,
            _OCPP_COMM_RETRY_BACK_OFF_REPEAT_TIMES: repeat,
            _OCPP_COMM_WEB_SOCKET_PING_INTERVAL: 60,
        }
        self.get = self.values.get
        self.share = share
        self.receive = self.transmit = b""
        self.lines = []
        self.facts = []
        self.slept = 0
        self.attempts = []  # (ms slept before it, what it was given)
        self.served = 0
        self.longest = 0
        self.link = module.Link(self)

    def subscribe(self, mask, function):
        pass

    def tell(self, fact, evse, arg):
        assert fact == _LINK
        self.facts.append((arg, self.link.up))

    def progress(self, task):
        self.quiet = 0

    def info(self, text):
        self.lines.append(text)

    warn = info

    def network(self):
        return self.networks.pop(0) if self.networks else True

    def random(self, n):
        return self.share.to_bytes(n, "big")

    async def sleep_ms(self, ms):
        self.slept += ms
        self.quiet += ms
        self.longest = max(self.longest, self.quiet)

    async def connect(self, *given):
        self.attempts.append((self.slept, given))
        if not self.script:
            raise Done
        if not self.script.pop(0):
            raise HandshakeError("refused")
        return types.SimpleNamespace(ping_s=0)

    async def run(self, socket, alive):
        assert socket.ping_s == 60
        alive()
        self.served += 1
        raise ConnectionClosed(1006, "lost")

    def live(self, monkeypatch):
        monkeypatch.setattr(module, "asyncio", types.SimpleNamespace(sleep_ms=self.sleep_ms))
        monkeypatch.setattr(module, "connect", self.connect)
        with pytest.raises(Done):
            asyncio.run(self.link.run())
        times = [ms for ms, _ in self.attempts]
        return [(b - a) / 1000 for a, b in zip(times, times[1:])]


def test_waits_double_up_to_a_limit_and_begin_anew_after_a_connection(monkeypatch):
    st = Station([False] * 6 + [True, False, False, True, True])
    waits = st.live(monkeypatch)
    assert waits == [10, 20, 40, 80, 80, 80, 10, 20, 40, 10, 10]
    assert st.longest <= 5000  # the supervisor sees progress
    assert st.facts == [(1, True), (0, False)] * 3
    assert st.lines.count("cannot connect: refused") == 2  # not every time


@pytest.mark.parametrize("share, seconds", [(0, 0), (0x8000, 2), (0xFFFF, 4)])
def test_a_random_share_is_added_each_time_and_not_doubled(monkeypatch, share, seconds):
    waits = Station([False] * 3, share=share).live(monkeypatch)
    assert waits == pytest.approx([10 + seconds, 20 + seconds, 40 + seconds], abs=0.001)


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
    assert given[5] == ("CS 1/é", "pass" * 4)


@given(strategies.text(strategies.characters(exclude_categories=("Cs",)), min_size=1, max_size=48))
def test_the_identity_is_one_segment_of_the_path(identity):
    from urllib.parse import unquote

    url = module.url("wss://csms.example/ocpp", identity)
    assert url.isascii() and url.startswith("wss://csms.example/ocpp/")
    last = url.rpartition("/")[2]
    assert unquote(last) == identity
    assert not set(last) & set("?# /:@")
