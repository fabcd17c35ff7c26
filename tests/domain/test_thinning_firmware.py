"""The image of the firmware thins a full journal at its first start, within the heap of a small controller."""

import pytest

from hostsim.harness import rig, simulate
from tests.domain import bench  # noqa: F401, for tables.ids
from tools.lane32 import lane32

from milliamp.base.flash import Slice  # isort: skip
from milliamp.base.packing import put_number  # isort: skip
from milliamp.domain import transaction  # isort: skip
from milliamp.storage.journal import Journal  # isort: skip
from milliamp.storage.kinds import _TX_EVENT, _TX_UPDATE  # isort: skip


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
    journal._records.make_room = None
    journal.next_transaction()
    journal.append(_TX_EVENT, event(0, 0))
    seq = 1
    with pytest.raises(OSError):
        while True:
            clock.time += 60
            journal.append(_TX_UPDATE, event(1, seq))
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
        state = (await this.device.ask("state"))["journal"]
        assert 100 < state["thinned"] < 200  # half of two sectors
        assert state["created"] > count and not state["damaged"]
        await this.csms.until(
            lambda: any(tx.events for tx in this.csms.ledger.transactions.values())
        )
        assert this.device.crashes == []
