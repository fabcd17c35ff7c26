"""What a CSMS may ask in a row, with the smallest heap that the gate allows: ten times, and the station is online."""

import pytest

from hostsim.virtual import virtually
from tools.footprint import memory, scenarios
from tools.lane32 import lane32

pytestmark = pytest.mark.skipif(lane32(fetch=False) is None, reason="there is no 32-bit lane here")


def test_requests_in_a_row_ten_times():
    heap = str(memory.gated("sim"))

    @virtually
    async def run():
        async with scenarios.station("sim", heap=heap) as this:

            async def script():
                await scenarios.boot(this)
                for _ in range(10):
                    await scenarios.requests(this)

            assert await scenarios.survives(this, script()) == []
            assert this.device.boots == 11

    run()
