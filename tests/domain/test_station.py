"""What the station does at its start and at its end, whatever happens there."""

import asyncio

import pytest

from hostsim.lives.bench import Bench
from milliamp import station
from milliamp.blocks import provisioning
from milliamp.storage.keys import CSMS_URL, IDENTITY, PASSWORD

OWN = [(CSMS_URL, "ws://csms"), (IDENTITY, "CP001"), (PASSWORD, "hunter2hunter2hunter2")]


@pytest.mark.parametrize("end", [KeyboardInterrupt, MemoryError, SystemExit])
def test_no_contactor_stays_closed(monkeypatch, end):
    bench = Bench(evses=2)
    for outlet in bench.board.outlets:
        outlet.closed = True

    async def run(self):
        raise end

    monkeypatch.setattr(station.Station, "run", run)
    with pytest.raises(end):
        station.run(bench.board, bench.tables, (bytearray(2560), bytearray(1024)))
    assert [outlet.closed for outlet in bench.board.outlets] == [False, False]


@pytest.mark.parametrize("own", [OWN, [*OWN, *((key, "x" * 500) for key in range(8))]])
def test_a_first_start_on_flash_that_takes_no_settings(own):
    """A chip that is broken, or settings that are too much for it: it is what its factory says, says so, and charges."""
    bench = Bench(online=False)
    chip = bench.flashes["settings"]
    assert bench.st.settings.empty
    bench.board.settings = own
    if own is OWN:
        chip.bad = set(range(chip.size // chip.sector))
    for _ in range(2):
        bench.power_cycle()
        (line,) = (line for line in bench.board.lines if line.startswith("E "))
        assert "settings" in line and "hunter" not in line
        assert [bench.st.settings.get(key) for key, _ in OWN] == [text for _, text in OWN]
        bench.connect()
        bench.plug()
        bench.card()
        assert bench.outlet.closed
        bench.card()
        bench.unplug()
        bench.deliver()
        assert bench.ledger.problems(all_ended=True) == []
    chip.bad.clear()
    bench.board.settings = OWN
    bench.power_cycle()
    assert not [line for line in bench.board.lines if line.startswith("E ")]
    bench.board.settings = ()
    bench.power_cycle()
    assert bench.st.settings.get(IDENTITY) == "CP001"


class Over(BaseException):
    """The time of a test is up."""


def supervised(bench, monkeypatch, deaths, seconds):
    """Run the supervisor while the link task dies at these seconds; how often the board was reset in that time."""
    begin, due = bench.board.now, list(deaths)

    async def link():
        while not due or bench.board.now < begin + due[0] * 1000:
            await asyncio.sleep(0)
        due.pop(0)
        raise ValueError

    async def idle():
        while True:
            for task in range(3):
                bench.st.progress(task)
            await asyncio.sleep(0)

    async def nap(ms):
        bench.board.now += ms
        if bench.board.now > begin + seconds * 1000:
            raise Over
        for _ in range(3):
            await asyncio.sleep(0)

    for owner, name, task in (
        (bench.st, "_control", idle),
        (bench.st.outbox, "run", idle),
        (bench.st.link, "run", link),
        (asyncio, "sleep_ms", nap),
    ):
        monkeypatch.setattr(owner, name, task)
    with pytest.raises(Over):
        asyncio.run(bench.st.run())
    assert not due
    return bench.board.rebooted


def test_ten_deaths_in_a_minute_are_a_reset_and_ten_in_a_day_are_none(monkeypatch):
    bench = Bench()
    assert supervised(bench, monkeypatch, range(3600, 36001, 3600), 40000) == 0
    bench = Bench()
    assert supervised(bench, monkeypatch, range(3, 30, 3), 40) == 0
    bench = Bench()
    assert supervised(bench, monkeypatch, range(3, 33, 3), 40) == 1


def test_memory_that_is_short_again_and_again_is_a_reset_when_nobody_charges(monkeypatch):
    bench = Bench()
    asked = []
    monkeypatch.setattr(bench.st, "reboot", lambda *given: asked.append(given))
    for error in (MemoryError(), ValueError(), MemoryError(), ValueError(), MemoryError()):
        bench.st.fault(error, "a test")
    assert asked == []
    supervised(bench, monkeypatch, (), 3601)
    bench.st.fault(MemoryError(), "a test")
    assert asked == []  # the first was an hour ago
    bench.st.fault(MemoryError("secret"), "a test")
    assert asked == [("ApplicationReset", True)]
    assert not [line for line in bench.board.lines if "secret" in line]


def test_the_supervisor_survives_a_shortage(monkeypatch):
    """Time is that of the supervisor's sleeps: a look at the journal finds no memory, then one does."""
    bench = Bench()
    fails = [MemoryError(), MemoryError()]

    def crowded():
        if fails:
            raise fails.pop()
        return False

    monkeypatch.setattr(bench.st.journal, "crowded", crowded)
    assert supervised(bench, monkeypatch, (), 60) == 0
    assert fails == []
    assert bench.board.lines.count("E the supervisor: MemoryError") == 2


class Answer:
    """Of a BootNotification: Accepted, and a long interval."""

    def get(self, at, name):
        return name

    def text(self, at, key=None):
        return "2026-03-01T00:00:00Z"

    def number(self, at, key=None):
        return 86_400

    def same(self, at, text):
        return text == "Accepted"


@pytest.mark.parametrize("where", ["set_clock", "settings.put"])
@pytest.mark.parametrize("error", [MemoryError(), OSError(28)])
def test_a_boot_whose_answer_cannot_be_kept_is_tried_again_in_a_minute(monkeypatch, where, error):
    """Not in the interval that the answer names, which is a day, and not at once."""
    bench = Bench()
    answered = next(row[5] for row in provisioning.SENDS if row[2] == "BootNotification")

    def fail(*_):
        raise error

    thing, _, name = where.rpartition(".")
    monkeypatch.setattr(getattr(bench.st, thing) if thing else bench.st, name, fail)
    bench.st.provisioning.wait = 0
    with pytest.raises(type(error)):
        asyncio.run(answered(bench.st, 1, Answer(), 1))
    assert bench.st.provisioning.wait == 60_000
