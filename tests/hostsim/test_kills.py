"""Killing the firmware at random moments, over and over: every event arrives, in order, once its time has come."""

import random

import pytest

from hostsim.harness import CARD, rig, simulate

KILLS = 50  # a test; four of them make two hundred
FAST = {
    "SampledDataCtrlr.TxUpdatedInterval": "5",
    "OCPPCommCtrlr.RetryBackOffWaitMinimum": "1",
    "OCPPCommCtrlr.RetryBackOffRandomRange": "0",
    "AuthCtrlr.OfflineTxForUnknownIdEnabled": "true",
}
TORN = ("nothing", "half", "bits", "all")


async def live(this, dice: random.Random) -> None:
    """Something that happens to a station, at random."""
    hardware = this.hardware
    outlet = hardware.outlet(1)
    what = dice.randrange(5)
    if what == 0 and not outlet.cable:
        hardware.plug(1)
    elif what == 1 and outlet.cable and not outlet.locked:
        hardware.unplug(1)
    elif what == 2:
        hardware.card(CARD)
    elif what == 3:
        hardware.ready(1, dice.random() < 0.7)
    elif what == 4:
        await this.station.set_network(dice.choice(("on", "on", "off", "refuse")))


@pytest.mark.parametrize("seed", range(4))
@simulate
async def test_killed_at_random_moments(seed):
    dice = random.Random(seed)
    async with rig(speed=40, settings=FAST) as this:
        await this.charging()
        for _ in range(KILLS):
            if dice.random() < 0.5:
                this.device.cut_in_write(dice.randint(1, 6), dice.choice(TORN), dice)
            for _ in range(dice.randint(1, 4)):
                await live(this, dice)
                await this.clock.sleep(dice.uniform(0, 8))
            if this.device.powered:
                await this.device.power_off()
            await this.device.power_on()
        await this.station.set_network("on")
        await this.booted()
        await this.clock.sleep(3)
        state = await this.station.watcher.snapshot()
        if state["evses"][0]["authorized"]:
            this.hardware.card(CARD)
            await this.station.wait("unauthorized")
        if this.hardware.outlet(1).cable:
            await this.station.wait("unlocked")
            this.hardware.unplug(1)
        await this.station.wait("status:Available")
        await this.drained()
        queue = (await this.station.watcher.snapshot())["queue"]
        arrived = this.csms.ledger.events
        assert this.problems(all_ended=True) == []
        assert this.csms.ledger.lost() == 0
        assert queue["discarded"] == queue["thinned"] == queue["damaged"] == 0
        security = {(event["type"], event["timestamp"]) for event in this.csms.ledger.security}
        assert queue["created"] == queue["delivered"]
        assert arrived <= queue["created"] <= arrived + len(this.csms.ledger.security)
        assert len(security) <= this.device.boots
