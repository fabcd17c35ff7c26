"""No step of the control task is long: behind an event the others have their turn, and the contactor waits for nothing."""

import asyncio

import pytest

from hostsim.lives.bench import CARD, OTHER, Bench

from milliamp.domain import sessions  # isort: skip
from milliamp.domain.charging import deauthorize, settle  # isort: skip
from tables.events import REMOTE, REMOTE_STOP  # isort: skip

_EVERY_SECOND = {"SampledDataCtrlr.TxUpdatedInterval": "1"}


def charging(**options):
    b = Bench(**options)
    b.plug()
    b.card()
    b.poll(1000)
    assert b.outlet.closed
    return b


@pytest.mark.parametrize("point", ["EVConnected", "Authorized", "PowerPathClosed"])
def test_a_known_card_offline_is_looked_up_in_one_step_and_starts_in_the_next(point):
    b = Bench({"TxCtrlr.TxStartPoint": point})
    b.plug()
    b.card()
    b.poll(1000)
    b.poll(3000)
    b.card()
    b.unplug()
    b.disconnect()
    b.plug()
    b.poll(3000)
    cache, journal = b.flashes["tokens"], b.flashes["journal"]
    b.board.cards.append((*CARD, 1))
    before = cache.operations, journal.operations
    assert sessions.poll(b.st)
    looked_up = cache.operations, journal.operations
    assert looked_up[0] > before[0] and looked_up[1] == before[1]
    settle(b.st)
    assert cache.operations == looked_up[0] and journal.operations > looked_up[1]
    b.poll()
    assert b.outlet.closed


def test_who_is_stopped_between_look_up_and_start_starts_nothing():
    """The CSMS stops the transaction in the turn that others have between the two."""
    b = Bench({"TxCtrlr.TxStartPoint": "EVConnected", "TxCtrlr.TxStopPoint": "EVConnected"})
    b.plug()
    b.card()
    b.poll(1000)
    b.card()  # ended by the same card, whose row the cache keeps
    b.unplug()
    b.disconnect()
    b.plug()
    b.poll(3000)
    b.board.cards.append((*CARD, 1))
    assert sessions.poll(b.st) and b.e.authorized and b.e.tx is not None
    deauthorize(b.st, b.e, REMOTE_STOP, REMOTE)
    settle(b.st)
    b.poll(4000)
    b.connect()
    triggers = [trigger for _, trigger, _ in b.events()]
    assert "RemoteStop" in triggers
    assert "Authorized" not in triggers[triggers.index("RemoteStop") :]
    assert not b.e.authorized and not b.outlet.closed


def test_a_fault_opens_in_its_own_poll_whatever_else_there_is_to_do():
    b = charging(variables=_EVERY_SECOND)
    b.poll(950)
    b.st.jobs += [iter(range(100))]
    b.board.cards.append((*OTHER, 1))
    b.outlet.fault = "GroundFault"
    b.poll()
    assert not b.outlet.closed


@pytest.mark.parametrize("work", [0, 12, 30, 200])
def test_polls_are_as_far_apart_as_the_board_says_whatever_a_round_takes(monkeypatch, work):
    """An EV that stops waits for the next one; what takes longer than that leaves the others a moment all the same."""
    b = Bench()
    b.board.scan_ms, b.board.trace = 25, lambda error: None
    begun = []

    def scan():
        begun.append(b.board.now)
        if len(begun) > 50:
            raise KeyboardInterrupt
        b.board.now += work

    async def nap(ms):
        b.board.now += ms

    b.board.scan = scan
    monkeypatch.setattr(asyncio, "sleep_ms", nap)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(b.st._control())
    assert {later - at for at, later in zip(begun, begun[1:])} == {max(25, work + 1)}


def test_behind_an_event_the_others_have_their_turn():
    """The control task itself: what it writes is followed by a turn of whoever waits, before it goes on."""
    b = charging(
        online=False,
        variables=_EVERY_SECOND | {"AuthCtrlr.OfflineTxForUnknownIdEnabled": "true"},
    )
    b.board.scan_ms, b.board.trace = 0, lambda error: None
    turns, polls = 0, 0

    def scan():
        nonlocal polls
        polls += 1
        b.board.now += 1000
        b.outlet.ready = not b.outlet.ready
        if polls > 100:
            raise KeyboardInterrupt

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def both():
        task = asyncio.create_task(other())
        try:
            await b.st._control()
        finally:
            task.cancel()

    b.board.scan = scan
    before = b.st.journal.counts()[0]
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(both())
    written = b.st.journal.counts()[0] - before
    assert written > 150  # a state and values in nearly every poll
    assert turns >= written  # and behind each of them
