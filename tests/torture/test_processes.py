"""The firmware as a process, killed at any moment, on a network that breaks anywhere, with a CSMS that answers late, twice,
wrongly or never: every event arrives, in order, and comes again only when its answer was lost."""

import contextlib
import random

import pytest

from hostsim.charger import lane32
from hostsim.clock.virtual import VirtualClock, virtually
from hostsim.csms.misbehaviour import Moody
from hostsim.lives.deliveries import Deliveries
from hostsim.lives.harness import CARD, rig
from hostsim.net.traffic import DOWN, UP

FAST = {
    "SampledDataCtrlr.TxUpdatedInterval": "5",
    "OCPPCommCtrlr.RetryBackOffWaitMinimum": "1",
    "OCPPCommCtrlr.RetryBackOffRandomRange": "2",
    "OCPPCommCtrlr.RetryBackOffRepeatTimes": "2",
    "OCPPCommCtrlr.MessageAttempts.TransactionEvent": "1000",  # what is given up would be lost, rightly
    "OCPPCommCtrlr.MessageAttemptInterval.TransactionEvent": "1",
    "AuthCtrlr.OfflineTxForUnknownIdEnabled": "true",
}
HEAP = "67k"  # 64 kB, and what virtual time takes: boards/sim/virtual.py
TORN = ("nothing", "half", "bits", "all")
CALLS = [
    ("TriggerMessage", {"requestedMessage": "Heartbeat"}),
    ("ChangeAvailability", {"operationalStatus": "Operative"}),
    (
        "GetVariables",
        {
            "getVariableData": [
                {"component": {"name": "TxCtrlr"}, "variable": {"name": "TxStartPoint"}}
            ]
        },
    ),
]


class Life:
    """What happens to a station, at random."""

    def __init__(self, this, dice):
        self.this = this
        self.dice = dice
        self.cuts = dict.fromkeys(("in a flash write", "in an answer", "while it waits"), 0)
        self.broken = 0

    async def happen(self):
        """One thing."""
        this, dice = self.this, self.dice
        hardware = this.hardware
        outlet = hardware.outlet(1)
        what = dice.randrange(8)
        if what == 0 and not outlet.cable:
            hardware.plug(1)
        elif what == 1 and outlet.cable and not outlet.locked:
            hardware.unplug(1)
        elif what in (2, 3):
            hardware.card(CARD)
        elif what == 4:
            hardware.ready(1, dice.random() < 0.7)
        elif what == 5 or this.network.mode != "on" and dice.random() < 0.3:
            await self.network(dice.choice(("on", "on", "on", "off", "refuse", "stall")))
        elif what == 6:
            self.broken += 1
            this.network.cut_after(dice.choice((UP, DOWN)), int(2 ** dice.uniform(0, 12)))
        elif what == 7:
            with contextlib.suppress(ConnectionError, TimeoutError):
                await this.call(*dice.choice(CALLS))

    async def network(self, mode):
        """Change it; what it held back is lost, for whoever has sent that may be gone."""
        if self.this.network.mode == "stall":
            await self.this.station.set_network("refuse")
        await self.this.station.set_network(mode)

    async def until_killed(self):
        """Live for a while, and end at whatever point of the program, a flash write's midst among them."""
        this, dice = self.this, self.dice
        how = dice.choice(tuple(self.cuts))
        if how == "in a flash write":
            this.device.cut_in_write(int(2 ** dice.uniform(0, 5)), dice.choice(TORN), dice)
        elif how == "in an answer":
            this.device.cut_in_answer(int(2 ** dice.uniform(0, 10)))
        for _ in range(dice.randint(1, 12)):
            if not this.device.powered:
                break
            await self.happen()
            await this.clock.sleep(dice.choice((0.05, 1, 5, 40)) * dice.random())
        self.cuts[how if not this.device.powered else "while it waits"] += 1
        if this.device.powered:
            await this.device.power_off()

    async def rest(self):
        """All is well again: end what runs, and have everything delivered."""
        this = self.this
        this.csms.mood = lambda action: None
        await self.network("on")
        await this.station.wait("accepted", 3600)
        await this.clock.sleep(3)
        if (await this.station.watcher.snapshot())["evses"][0]["authorized"]:
            this.hardware.card(CARD)
            await this.station.wait("unauthorized")
        if this.hardware.outlet(1).cable:
            await this.station.wait("unlocked")
            this.hardware.unplug(1)
        await this.station.wait("status:Available")
        await this.drained(3600)


async def torture(seed, kills, **lane):
    """A life with so many kills, and what was wrong with it."""
    dice = random.Random(seed)
    async with rig(clock=VirtualClock(), settings=FAST, power=False, **lane) as this:
        this.csms.call_timeout = 20.0
        deliveries = Deliveries(this.traffic, this.network, this.device)
        mood = this.csms.mood = Moody(dice, 5)
        life = Life(this, dice)
        await this.device.power_on()
        await this.station.wait("accepted", 3600)
        await this.charging()
        for _ in range(kills):
            await life.until_killed()
            await this.device.power_on()
        await life.rest()
        queue = (await this.station.watcher.snapshot())["queue"]
        faults = this.problems(all_ended=True) + deliveries.faults
        lost = {name: queue[name] for name in ("thinned", "damaged", "pending")}
        lost["discarded"] = max(queue["discarded"] - deliveries.given_up, 0)
        faults += [f"{count} events {name}" for name, count in lost.items() if count]
        faults += ["a seqNo is missing"] * bool(this.csms.ledger.lost())
        made = queue["created"]
        if not deliveries.new <= made <= deliveries.new + deliveries.unclear:
            faults.append(f"{made} events were made, {deliveries.new} arrived")
        counts = {
            "kills": sum(life.cuts.values()),
            **{f"of them {how}": count for how, count in life.cuts.items()},
            "connections cut mid-byte": life.broken,
            "wrong answers": sum(mood.done.values()),
            "events": made,
            "repeated": deliveries.repeated + deliveries.unclear,
        }
    return faults, counts


@pytest.mark.seeds(11)
@pytest.mark.parametrize("bits", [64, 32])
def test_killed_at_any_moment(seed, bits, whole, figures):
    lane = {}
    if bits == 32:
        if lane32.lane32(fetch=False) is None:
            pytest.skip("no 32-bit MicroPython here: `python -m hostsim.charger.lane32` gets one")
        lane = {"lane": 32, "heap": HEAP}
    # Both lanes do the same with the same dice: each has its own.
    faults, counts = virtually(torture)(bits * 100 + seed, 50 if whole else 45, **lane)
    figures(**counts)
    assert faults == []
