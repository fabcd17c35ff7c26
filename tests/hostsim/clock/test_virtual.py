"""Virtual time: hours pass at once, for the host and for the firmware. What happens is the same each time, and in the same
order."""

import asyncio

import pytest

from hostsim.clock.virtual import VirtualClock, virtually
from hostsim.lives.deliveries import Deliveries
from hostsim.lives.harness import rig
from hostsim.lives.soak import soak
from hostsim.net.traffic import DOWN

HOUR = 3600


@virtually
async def test_time_passes_only_while_all_wait():
    clock = VirtualClock()
    order = []

    async def wait(seconds):
        await clock.sleep(seconds)
        order.append((seconds, clock.now()))

    await asyncio.gather(wait(7 * HOUR), wait(0.25), wait(1000))
    assert order == [(0.25, 0.25), (1000, 1000), (7 * HOUR, 7 * HOUR)]
    with pytest.raises(TimeoutError):
        async with clock.timeout(30):
            await asyncio.Event().wait()
    assert clock.now() == 7 * HOUR + 30


async def charge(hours):
    """A kill, and a charge of so many hours: all that happened, and when; what is on the meter."""
    async with rig(clock=VirtualClock(), power=False) as this:
        told = []
        for events in (this.traffic.on_message, this.device.on_fact, this.device.on_log):
            events.append(lambda seen: told.append((this.clock.now_ms(), seen)))
        await this.device.power_on()
        await this.booted()
        this.device.cut_in_answer(3)
        this.hardware.plug(1)
        await this.station.wait("power_lost")
        this.hardware.unplug(1)
        await this.device.power_on()
        await this.booted()
        await this.charging()
        await this.clock.sleep(hours * HOUR)
        await this.stopped()
        await this.drained()
        assert this.problems(all_ended=True) == []
        return told, this.hardware.outlet(1).wh


def test_an_hour_of_charging_is_the_same_twice():
    once, energy = virtually(charge)(1)
    assert (once, energy) == virtually(charge)(1)
    assert 11_000 < energy < 11_100  # 16 A, three phases
    assert len(once) > 60  # a sample a minute


@virtually
async def test_a_silent_router_is_noticed_in_time():
    async with rig(clock=VirtualClock()) as this:
        await this.station.set_network("stall")
        took = await this.station.wait("disconnected", HOUR)
        assert 50 <= took <= 3 * 50  # a ping every 50 s, and as long for its pong


@virtually
async def test_a_connection_that_breaks_within_a_frame():
    async with rig(clock=VirtualClock(), power=False) as this:
        deliveries = Deliveries(this.traffic, this.network, this.device)
        this.network.cut_after(DOWN, 300)  # the handshake's end, and a part of the first answer
        await this.device.power_on()
        await this.booted()
        await this.charging()
        await this.stopped()
        await this.drained()
        assert this.network.cuts == 1
        assert this.problems(all_ended=True) == deliveries.faults == []


@virtually
async def test_firmware_that_ends_before_it_waits():
    async with rig(clock=VirtualClock(), heap="24k", power=False) as this:
        failure = asyncio.create_task(this.device.failure())
        await this.device.power_on()
        assert "larger --heap" in await failure
        assert len(this.device.crashes) == 5


def test_two_days_without_a_leak():
    life, books = virtually(soak)(2, seed=1)
    assert life.faults == []
    assert [night.day for night in life.nights] == [1, 2]
    assert books.delivered == books.created > 50
