"""The clock: RFC 3339 both ways, and time that goes on when ticks wrap."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milliamp.base.clock import Clock

UTC = timezone.utc
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
LAST = datetime(2135, 12, 31, 23, 59, 59)
instants = st.datetimes(datetime(2000, 1, 3), LAST)
offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59)


class Board:
    def __init__(self, rtc=None):
        self.now = 0
        self.seconds = rtc

    def ticks(self):
        return self.now & 0x3FFFFFFF

    def rtc(self):
        return self.seconds

    def set_rtc(self, seconds):
        self.seconds = seconds


CLOCK = Clock(Board())


def seconds_of(instant):
    return int((instant - EPOCH).total_seconds())


@given(instants)
def test_text_is_what_the_library_says_and_parse_reads_it(instant):
    instant = instant.replace(microsecond=0, tzinfo=UTC)
    text = CLOCK.text(seconds_of(instant))
    assert text == instant.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert CLOCK.parse(text) == seconds_of(instant)


@given(
    instants, offsets, st.sampled_from("Tt "), st.integers(0, 9), st.sampled_from(["Z", "z", "+"])
)
def test_any_offset_and_any_fraction(instant, offset, separator, digits, zone):
    local = instant.replace(tzinfo=timezone(timedelta(minutes=offset)))
    text = local.strftime(f"%Y-%m-%d{separator}%H:%M:%S")
    if digits:
        text += "." + "123456789"[:digits]
    if zone == "+":
        text += "{}{:02}:{:02}".format("-" if offset < 0 else "+", *divmod(abs(offset), 60))
    else:
        text += zone
        local = instant.replace(tzinfo=UTC)
    assert CLOCK.parse(text) == seconds_of(local.replace(microsecond=0))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-20",
        "2026-11-20T12:00Z",
        "2026-13-20T12:00:00Z",
        "2026-00-20T12:00:00Z",
        "2026-02-29T12:00:00Z",
        "2026-11-00T12:00:00Z",
        "2026-11-20T24:00:00Z",
        "2026-11-20T12:60:00Z",
        "2026-11-20T12:00:61Z",
        "2026-11-20T-1:00:00Z",
        "2026-11-20T12:00: 1Z",
        "+026-11-20T12:00:00Z",
        "2026/11/20T12:00:00Z",
        "2026-11-20X12:00:00Z",
        "2026-11-20T12.00.00Z",
        "2026-11-20T12:00:00Zz",
        "2026-11-20T12:00:00 Z",
        "2026-11-20T12:00:00+1:00",
        "2026-11-20T12:00:00+0100",
        "2026-11-20T12:00:00+ 1:00",
        "２０２６-11-20T12:00:00Z",
    ],
)
def test_what_is_no_time(text):
    assert CLOCK.parse(text) is None


@given(st.text(max_size=40))
def test_nothing_that_comes_in_raises(text):
    CLOCK.parse(text)


@given(st.text(alphabet="0123456789-+:.TZ ", min_size=19, max_size=32))
def test_nothing_that_looks_like_a_time_raises(text):
    CLOCK.parse(text)


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)))
def test_times_of_all_centuries(moment):
    seconds = (moment.replace(microsecond=0) - datetime(2000, 1, 1)) // timedelta(seconds=1)
    assert CLOCK.parse(moment.replace(microsecond=0).isoformat() + "Z") == seconds


@given(st.lists(st.integers(0, 11 * 86_400_000), max_size=30))
def test_time_goes_on_by_what_passed(steps):
    board = Board(rtc=1000)
    clock = Clock(board)
    for ms in steps:
        board.now += ms
        assert clock.now() == 1000 + board.now // 1000
        assert clock.since(clock.ticks()) == 0


def test_until_it_is_set_it_goes_on_from_what_flash_knows():
    board = Board()
    clock = Clock(board)
    assert not clock.synced
    board.now = 5000
    clock.not_before(800_000_000)
    clock.not_before(700_000_000)
    board.now = 7500
    assert clock.now() == 800_000_002
    assert clock.set(850_000_000) == 49_999_998
    assert clock.synced and board.seconds == 850_000_000
    clock.not_before(900_000_000)
    board.now += 1000
    assert clock.now() == 850_000_001
