"""A queue of weeks: it is delivered as fast as round trips allow, and costs no heap while it waits."""

import pytest

from hostsim.charger import lane32
from hostsim.lives.harness import CARD, rig, simulate
from tools.measure.flush import flush

from milliamp.wire import outbox  # isort: skip

CARDS = [CARD, "04000001", "04000002", "04000003"]


@pytest.mark.parametrize("events", [300, 1000])
def test_a_queue_is_flushed_at_one_event_a_round_trip(events):
    share, problems = flush(events)
    assert 0.95 <= share <= 1
    assert problems == []


def test_a_sender_that_rests_between_events_is_noticed(monkeypatch):
    acknowledge = outbox.Outbox._journal

    def and_rest(self, *outcome):
        acknowledge(self, *outcome)
        self._attempt_at = self._st.clock.ticks()
        self._gap = 50  # ms

    monkeypatch.setattr(outbox.Outbox, "_journal", and_rest)
    share, _ = flush(60)
    assert share < 0.8


@pytest.mark.parametrize("lane", [64, 32])
@simulate
async def test_the_heap_does_not_grow_with_the_queue(lane):
    """After a collection, in the firmware as it runs, with 100 and with 1,000 events that wait. What differs is
    what a moment of its life leaves: a timer, an integer above 2**30, a mark in the journal."""
    if lane == 32 and lane32.lane32(fetch=False) is None:
        pytest.skip(
            "no 32-bit MicroPython here: `python -m hostsim.charger.lane32` gets one where it can"
        )
    settings = {"SampledDataCtrlr.TxUpdatedInterval": "1"}
    async with rig(lane=lane, evses=len(CARDS), settings=settings) as this:
        for n, card in enumerate(CARDS):
            this.csms.knows(card)
            await this.charging(card, evse=n + 1)
        await this.station.set_network("off")
        live = []
        for events in (100, 1000):
            while (await this.device.ask("state"))["journal"]["pending"] < events:
                await this.clock.sleep(5)
            live.append(min([(await this.device.ask("heap"))["live"] for _ in range(5)]))
        assert abs(live[1] - live[0]) <= 1024  # 900 records would be 27 kB
        assert this.problems() == []
