"""What ends the station, whatever it is, leaves nothing live."""

import pytest

from milliamp import station
from tests.domain.bench import Bench


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
