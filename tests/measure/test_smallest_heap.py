"""What a CSMS may ask in a row, with the smallest heap that the gate allows: ten times, and the station is online."""

import pytest

from hostsim.charger.lane32 import lane32
from hostsim.clock.virtual import virtually
from hostsim.lives.harness import rig
from tools.measure.footprint import memory, scenarios

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


@pytest.mark.parametrize("heap", ["36k", "42k", "45k"])
@virtually
async def test_a_station_with_too_little_memory_says_so_and_ends_or_starts_over(heap):
    """Five EVSEs where one hardly fits: time goes on, so nobody turns in circles, and no contactor closes."""
    async with rig(power=False, lane=32, heap=heap, evses=5) as this:
        this.hardware.plug(1)
        await this.device.power_on()
        await this.clock.sleep(1200)
        assert this.device.boots > 1
        assert all("MemoryError" in text for text in this.device.crashes)
        assert not any(outlet.closed for outlet in this.hardware.outlets)
