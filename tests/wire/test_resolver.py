"""What counts as the answer to a question, and which address is used when there are several, or none."""

import asyncio
import random
import struct
import types

import pytest
from hypothesis import given, settings, strategies

from hostsim.net import nameserver
from milliamp.wire import resolver
from tools import FIRMWARE

HOST = "csms.example"
QUERY = b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + nameserver.labels(HOST) + b"\0\1\0\1"


def right(*addresses, **more):
    return nameserver.answer(QUERY, addresses, **more)


def changed(at, *octets):
    """A right answer with other bytes in it."""
    data = bytearray(right("10.0.0.1"))
    data[at : at + len(octets)] = octets
    return bytes(data)


def record(kind, data, owner=b"\xc0\x0c", cls=1):
    return owner + struct.pack(">HHIH", kind, cls, 60, len(data)) + data


def answer(*records, count=None):
    head = struct.pack(
        ">HHHHHH", 0x1234, 0x8180, 1, len(records) if count is None else count, 0, 0
    )
    return head + QUERY[12:] + b"".join(records)


@pytest.mark.parametrize(
    "data, known",
    [
        (right("10.0.0.1"), ["10.0.0.1"]),
        (right("10.0.0.1", "255.255.255.255", "1.2.3.4"), ["10.0.0.1", "255.255.255.255", "1.2.3.4"]),
        (right("10.0.0.1", through=["a.example", "b.c.d.example"]), ["10.0.0.1"]),
        (right("10.0.0.1", ttl=0), ["10.0.0.1"]),
        (right("10.0.0.1", ttl=0xFFFFFFFF), ["10.0.0.1"]),
        (right(*["10.0.0.1"] * 28), ["10.0.0.1"] * 28),
        (answer(record(28, bytes(16)), record(1, b"\x0a\0\0\1")), ["10.0.0.1"]),
        (answer(record(1, b"\x0a\0\0\1"), record(46, bytes(200))), ["10.0.0.1"]),
        (changed(2, 0x87, 0x80), ["10.0.0.1"]),  # truncated, and by whom it was asked
        (right("10.0.0.1") + b"more", ["10.0.0.1"]),
    ],
)  # fmt: skip
def test_right_answers(data, known):
    assert resolver.addresses(data, QUERY) == known


@pytest.mark.parametrize(
    "data",
    [
        right(),
        right()[:3] + b"\x82" + right()[4:],  # the server fails
        answer(),
        answer(record(5, nameserver.labels("elsewhere.example"))),
        answer(record(28, bytes(16))),
        answer(record(1, b"\x0a\0\0\1", cls=3)),
        answer(record(1, b"\x0a\0\0\1\0")),
        answer(record(1, b"")),
        answer(b"\xc0\x0c\0\x05\0\1\0\0\0\0\xff\xff"),
    ],
)
def test_answers_without_an_address(data):
    with pytest.raises(OSError):
        resolver.addresses(data, QUERY)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        QUERY,  # the question itself
        changed(0, 0x13),  # another id
        changed(1, 0x35),
        changed(2, 0x01),
        changed(13, ord("d")),  # another question
        changed(13, ord("C")),
        changed(len(QUERY) - 1, 3),  # of another class
        changed(len(QUERY) - 3, 28),  # and type
        changed(7, 2),  # more records than there are
        right("10.0.0.1")[:-1],
        right("10.0.0.1")[:-5],
        right("10.0.0.1")[: len(QUERY) + 1],
        right("10.0.0.1")[: len(QUERY)],
        answer(count=0xFFFF),
        answer(record(1, b"\x0a\0\0\1", owner=b"\x3f" * 60)),
    ],
)
def test_what_is_no_answer(data):
    with pytest.raises((ValueError, IndexError)):
        resolver.addresses(data, QUERY)


LOOPS = [
    b"\xc0\x0c",
    struct.pack(">H", 0xC000 | len(QUERY)),  # a name that points at itself
    b"\1a" + struct.pack(">H", 0xC000 | len(QUERY)),
    b"\xff\xff",
]


@pytest.mark.parametrize("owner", LOOPS)
def test_names_that_lead_in_circles_lead_nowhere(owner):
    assert resolver.addresses(answer(record(1, b"\x0a\0\0\1", owner=owner)), QUERY) == ["10.0.0.1"]
    with pytest.raises(OSError):
        resolver.addresses(answer(record(5, owner, owner=owner)), QUERY)


@given(strategies.binary(max_size=512), strategies.integers(0, 40), strategies.randoms())
@settings(max_examples=400, deadline=None)
def test_anything_at_all_ends(data, flips, rng):
    """And says nothing but addresses, that there are none, or that it is no answer."""
    spoilt = bytearray(right("10.0.0.1", "10.0.0.2", through=["a.example"]))
    for _ in range(flips):
        spoilt[rng.randrange(len(QUERY), len(spoilt))] = rng.randrange(256)
    for one in (data, QUERY[:2] + data, answer(data, count=300), bytes(spoilt)):
        try:
            known = resolver.addresses(one, QUERY)
        except (ValueError, IndexError, OSError):
            continue
        assert 0 < len(known) < 50


def test_nothing_else_looks_hosts_up():
    """MicroPython's own look-up blocks: only here is it called, for what is numeric."""
    for word, where in (("getaddrinfo(", "resolver.py"), ("open_connection(", "handshake.py")):
        sources = [file for file in FIRMWARE.rglob("*.py") if word in file.read_text()]
        assert [file.name for file in sources] == [where]


# --- which one is used ------------------------------------------------------------------------------


def found(monkeypatch, kept, *known):
    """(address, note) with this under the key; no known ones: nobody knows any."""

    async def ask(st, host):
        if not known:
            raise OSError("no such host")
        return list(known)

    monkeypatch.setattr(resolver, "_ask", ask)
    st = types.SimpleNamespace(settings={7: kept} if kept else {})
    return asyncio.run(resolver.find(st, HOST, 7))


def test_the_first_of_several_and_it_is_to_be_kept(monkeypatch):
    assert found(monkeypatch, None, "10.0.0.1", "10.0.0.2") == ("10.0.0.1", f"{HOST} 10.0.0.1")


def test_what_is_kept_stays_while_it_is_among_them(monkeypatch):
    """A server that turns its addresses around costs no flash."""
    kept = f"{HOST} 10.0.0.2"
    assert found(monkeypatch, kept, "10.0.0.1", "10.0.0.2") == ("10.0.0.1", kept)
    assert found(monkeypatch, kept, "10.0.0.1") == ("10.0.0.1", f"{HOST} 10.0.0.1")


def test_what_is_kept_is_used_when_nobody_knows_any(monkeypatch):
    kept = f"{HOST} 10.0.0.2"
    assert found(monkeypatch, kept) == ("10.0.0.2", kept)


@pytest.mark.parametrize(
    "kept", [None, "csms.exampl 10.0.0.2", "other.example 10.0.0.2", "csms.example.org 10.0.0.2"]
)
def test_the_address_of_another_host_is_not(monkeypatch, kept):
    with pytest.raises(OSError):
        found(monkeypatch, kept)
    assert found(monkeypatch, kept, "10.0.0.1") == ("10.0.0.1", f"{HOST} 10.0.0.1")


@pytest.mark.parametrize("host", ["", ".", "a..b", ".a", "a" * 64, "a.b."])
def test_what_no_query_can_ask_for(host):
    st = types.SimpleNamespace(board=types.SimpleNamespace(random=random.randbytes), settings={})
    with pytest.raises(OSError, match="no host name"):
        asyncio.run(resolver.find(st, host))
