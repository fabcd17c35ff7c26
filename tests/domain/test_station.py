"""What the station does at its start and at its end, whatever happens there."""

import pytest

from milliamp import station
from milliamp.storage.keys import _CSMS_URL, _IDENTITY, _PASSWORD
from tests.domain.bench import Bench

OWN = [(_CSMS_URL, "ws://csms"), (_IDENTITY, "CP001"), (_PASSWORD, "hunter2hunter2hunter2")]


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
    assert bench.st.settings.get(_IDENTITY) == "CP001"
