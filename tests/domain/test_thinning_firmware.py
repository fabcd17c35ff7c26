"""The image of the firmware thins a full journal at its first start, within the heap of a small controller."""

import pytest

from hostsim.charger.lane32 import lane32
from hostsim.lives import bench  # noqa: F401, for tables.ids
from hostsim.lives.harness import rig, simulate

from milliamp.base.flash import Slice  # isort: skip
from milliamp.base.packing import put_number  # isort: skip
from milliamp.domain import transaction  # isort: skip
from milliamp.storage.journal import Journal  # isort: skip
from milliamp.storage.kinds import TX_EVENT, TX_UPDATE  # isort: skip


class Clock:
    synced = True
    time = 810_000_000

    def now(self):
        return self.time


def event(kind, seq):
    """An event of transaction 1 with its energy register."""
    out = bytearray((kind | (4 if kind == 0 else 0), 6))
    put_number(out, 1)
    put_number(out, seq)
    if kind == 0:
        out += b"\1\1"
    values = bytearray()
    put_number(values, 100 * seq)
    return bytes(out + transaction.group(0, 1, values))


def fill(nor, size):
    """A transaction with as many periodic values as there is room for. Returns how many events it has."""
    clock = Clock()
    journal = Journal(Slice(nor, 0, size), clock, lambda n: b"abc"[:n])
    journal.checkpoint = lambda write: None
    journal.next_transaction()
    journal.append(TX_EVENT, event(0, 0))
    seq = 1
    with pytest.raises(OSError):
        while True:
            clock.time += 60
            journal.append(TX_UPDATE, event(1, seq))
            seq += 1
    return seq


@simulate
async def test_the_firmware_thins():
    if lane32(fetch=False) is None:
        pytest.skip("no 32-bit lane")
    async with rig(lane=32, heap="64k", power=False) as this:
        count = fill(this.device.flash, 32 * 4096)
        await this.device.power_on()
        await this.booted()
        await this.clock.sleep(5)
        state = (await this.device.ask("state"))["journal"]
        assert 200 < state["thinned"] < 500  # half of two sectors, until two more are free
        assert state["created"] > count and not state["damaged"]
        await this.csms.until(
            lambda: any(tx.events for tx in this.csms.ledger.transactions.values())
        )
        assert this.device.crashes == []


OTHER = "04112233445566"
SMALL = {
    "AuthCtrlr.OfflineTxForUnknownIdEnabled": "true",
    "SampledDataCtrlr.TxUpdatedInterval": "900",
}


@pytest.mark.parametrize("lane, hours, sectors", [(64, 5, 5), (32, 8, 5)])
@simulate
async def test_an_ev_that_toggles_for_hours_without_a_network(lane, hours, sectors):
    """Of its journal few sectors are left. It goes on charging, a second driver comes and goes, and then all is told."""
    if lane == 32 and lane32(fetch=False) is None:
        pytest.skip("no 32-bit lane")
    heap = "64k" if lane == 32 else None
    async with rig(lane=lane, heap=heap, evses=2, power=False, settings=SMALL) as this:
        this.device.flash.bad = set(range(32 - sectors))
        await this.device.power_on()
        await this.booted()
        await this.drained()
        await this.station.set_network("off")
        await this.charging()
        toggles = hours * 240
        for n in range(toggles):
            this.hardware.ready(1, n % 2 == 1)
            await this.clock.sleep(15)
        state = (await this.device.ask("state"))["journal"]
        assert state["created"] > toggles and state["pending"] + state["thinned"] > toggles
        assert state["thinned"] > toggles // 3 and state["pending"] > 250
        await this.charging(OTHER, evse=2)
        await this.clock.sleep(60)
        await this.stopped(OTHER, evse=2)
        this.hardware.ready(1, False)
        await this.clock.sleep(20)
        await this.station.set_network("on")
        await this.station.wait("accepted", 600)
        await this.drained(3600)
        first, second = this.csms.ledger.transactions.values()
        assert first.events[-1].payload["transactionInfo"]["chargingState"] == "SuspendedEV"
        assert (second.events[0].kind, second.events[-1].kind) == ("Started", "Ended")
        for tx in (first, second):
            seqs = [event.seq for event in tx.events]
            times = [event.time for event in tx.events]
            assert seqs == sorted(set(seqs)) and times == sorted(times)
        state = (await this.device.ask("state"))["journal"]
        assert this.csms.ledger.lost() == state["thinned"]
        await this.stopped()
        await this.drained()
        assert first.ended and this.device.crashes == [] and this.device.errors == []
