"""CSMSs as there are in the field, which take little, hang up, or fall silent: a charge goes on, and its events arrive."""

import itertools

import pytest

from hostsim.charger import lane32
from hostsim.csms.misbehaviour import CLOSES, EXAMPLE, become, knows_only
from hostsim.lives.harness import CARD, rig, simulate
from hostsim.net.traffic import UP
from tests.hostile.attack import HEAP, lanes, one_lane

SETTINGS = {
    "OCPPCommCtrlr.RetryBackOffWaitMinimum": "1",
    "OCPPCommCtrlr.RetryBackOffRandomRange": "0",
    "OCPPCommCtrlr.RetryBackOffRepeatTimes": "1",
    "OCPPCommCtrlr.MessageAttemptInterval.TransactionEvent": "10",
    "OCPPCommCtrlr.MessageAttempts.TransactionEvent": "3",
}
TOKEN = {"idToken": CARD, "type": "ISO14443"}
REMOTE = {"idToken": TOKEN, "remoteStartId": 1, "evseId": 1}


def station(bits, settings=None, **options):
    """A rig on a lane, without power at first."""
    if bits == 32:
        if lane32.lane32(fetch=False) is None:
            pytest.skip("no 32-bit MicroPython here: `python -m hostsim.charger.lane32` gets one")
        options |= {"lane": 32, "heap": HEAP}
    settings = SETTINGS | (settings or {})
    return rig(settings=settings, power=False, **options)


def sent(this, action):
    """The CALLs of an action, as they passed on the wire."""
    return [
        m
        for m in this.traffic.messages
        if m.direction == UP and m.kind == 2 and m.action == action
    ]


async def queue(this):
    return (await this.station.state())["queue"]


async def came(this, kind, mark=0):
    return await this.csms.seen(
        "TransactionEvent", lambda p: p["eventType"] == kind, since=mark, timeout=120
    )


# --- one that takes little -------------------------------------------------------------------------


@lanes
@pytest.mark.parametrize("code", ["NotImplemented", "NotSupported"])
@simulate
async def test_no_message_that_a_csms_does_not_take_holds_up_transactions(bits, code):
    """It is asked once a connection whether it takes security events, however many wait."""
    async with station(bits) as this:
        this.csms.mood = knows_only(code=code)
        for _ in range(2):  # nobody is there: a security event each
            await this.station.set_network("off")
            await this.device.power_on()
            await this.clock.sleep(5)
            await this.device.power_off()
        await this.device.power_on()
        await this.station.set_network("on")
        await this.booted()
        began = this.clock.now()
        await this.charging()
        await came(this, "Started")
        assert this.clock.now() - began < 5
        await this.drained(10)
        assert len(sent(this, "SecurityEventNotification")) == 1
        assert (await queue(this))["discarded"] == 3
        await this.device.power_cycle()
        await this.station.wait("rebooted")
        await this.booted()
        await this.drained(10)
        assert len(sent(this, "SecurityEventNotification")) == 2
        await this.stopped()
        await this.drained(10)
        lines = [line for line in this.device.log if "takes no SecurityEventNotification" in line]
        assert len(lines) == 2
        assert this.csms.ledger.lost() == 0
        assert this.problems(all_ended=True) == []


@lanes
@simulate
async def test_a_charge_with_a_csms_that_knows_five_actions(bits):
    """Remote start and stop, an outage, a reset; NotImplemented to all else."""
    async with station(bits) as this:
        become("example", this.csms, this.network)
        await this.device.power_on()
        await this.booted()
        this.hardware.plug()
        await this.station.wait("plugged")
        assert (await this.call("RequestStartTransaction", REMOTE))["status"] == "Accepted"
        await this.station.wait("charging")
        started = await came(this, "Started")
        await this.station.set_network("off")
        await this.station.wait("disconnected", 120)
        await this.clock.sleep(300)
        await this.station.set_network("on")
        await this.booted()
        await this.drained()
        mark = this.csms.mark()
        name = started["transactionInfo"]["transactionId"]
        answer = await this.call("RequestStopTransaction", {"transactionId": name})
        assert answer["status"] == "Accepted"
        await this.station.wait("unlocked")
        this.hardware.unplug()
        assert (await came(this, "Ended", mark))["transactionInfo"]["transactionId"] == name
        await this.drained()
        boots = this.device.boots
        assert (await this.call("Reset", {"type": "Immediate"}))["status"] == "Accepted"
        await this.station.wait("rebooted", 120)
        await this.booted()
        assert this.device.boots == boots + 1
        await this.charging()
        await this.stopped()
        await this.drained()
        assert len(this.csms.ledger.transactions) == 2 and this.csms.ledger.lost() == 0
        refused = {m.action for m in this.traffic.messages if m.kind == 2 and m.direction == UP}
        assert refused - set(EXAMPLE) == {"SecurityEventNotification"}
        assert this.problems(all_ended=True) == []


@lanes
@pytest.mark.parametrize("code", ["NotImplemented", "NotSupported", "InternalError"])
@simulate
async def test_a_transaction_event_that_is_refused_twice_and_taken_then(bits, code):
    async with station(bits) as this:
        await this.device.power_on()
        await this.booted()
        await this.drained()
        wrong = this.csms.wrong("error", "TransactionEvent", times=2, code=code)
        await this.charging()
        await this.csms.until(lambda: not wrong.times)
        await this.stopped()
        await this.drained()
        assert [m.payload["seqNo"] for m in sent(this, "TransactionEvent")][:4] == [0, 0, 0, 1]
        assert (await queue(this))["discarded"] == 0
        assert this.csms.ledger.lost() == 0
        assert this.problems(all_ended=True) == []


@one_lane
@pytest.mark.parametrize("code", ["NotImplemented", "InternalError"])
@simulate
async def test_a_transaction_event_that_is_always_refused_and_a_link_that_breaks(bits, code):
    """Its attempts are over after three, whatever is between them."""
    async with station(bits) as this:
        await this.device.power_on()
        await this.booted()
        await this.drained()
        this.csms.wrong(
            "error", "TransactionEvent", times=99, code=code, only=lambda p: p["seqNo"] == 0
        )
        mark = this.csms.mark()
        await this.charging()
        for attempt in (1, 2, 3):
            await this.csms.until(lambda n=attempt: len(sent(this, "TransactionEvent")) == n)
            await this.clock.sleep(2)
            await this.station.set_network("refuse")
            await this.station.wait("disconnected")
            await this.station.set_network("on")
        await this.csms.seen(
            "TransactionEvent", lambda p: p["seqNo"] == 1, since=mark, timeout=120
        )
        times = [m.time for m in sent(this, "TransactionEvent")]
        assert times[1] - times[0] >= 10 and times[2] - times[1] >= 20
        assert (await queue(this))["discarded"] == 1


@one_lane
@simulate
async def test_security_events_that_nobody_answers(bits):
    """They are tried once more, behind the transactions that wait, and then given up."""
    async with station(bits, {"AuthCtrlr.OfflineTxForUnknownIdEnabled": "true"}) as this:
        this.csms.wrong("silent", "SecurityEventNotification", times=99)
        await this.station.set_network("refuse")
        await this.device.power_on()
        await this.charging()
        await this.stopped()
        await this.station.set_network("on")
        await this.booted()
        await this.drained()
        order = [m for m in this.traffic.messages if m.direction == UP and m.kind == 2]
        events = [
            m for m in order if m.action in ("SecurityEventNotification", "TransactionEvent")
        ]
        first, again = events[0], events[-1]
        assert first.payload == again.payload == sent(this, "SecurityEventNotification")[1].payload
        assert len(sent(this, "SecurityEventNotification")) == 2
        assert (await queue(this))["discarded"] == 2
        assert this.problems(all_ended=True) == []


# --- silence ---------------------------------------------------------------------------------------


@lanes
@pytest.mark.parametrize("interval", [0, 300, 3600])
@simulate
async def test_nothing_is_given_up_on_a_dead_line(bits, interval):
    """Nothing passes, and nobody says so: a whole charge waits, and arrives when there is a line again."""
    settings = {
        "OCPPCommCtrlr.WebSocketPingInterval": str(interval),
        "AuthCtrlr.OfflineTxForUnknownIdEnabled": "true",
    }
    async with station(bits, settings) as this:
        await this.device.power_on()
        await this.booted()
        await this.drained()
        await this.station.set_network("stall")
        await this.charging()
        await this.clock.sleep(600)
        await this.stopped()
        await this.clock.sleep(600)
        assert not (await this.station.state())["connection"]["up"]
        await this.station.set_network("on")
        await this.booted()
        await this.drained(600)
        assert (await queue(this))["discarded"] == 0
        (tx,) = this.csms.ledger.transactions.values()
        assert tx.ended and this.csms.ledger.lost() == 0
        assert this.problems(all_ended=True) == []


@one_lane
@simulate
async def test_an_idle_station_pings_before_a_minute_is_over(bits):
    """Some servers hang up on who says nothing for 60 s."""
    async with station(bits) as this:
        await this.device.power_on()
        await this.booted()
        await this.drained()
        begun = this.clock.now()
        await this.clock.sleep(3600)
        up = [frame.time for frame in this.traffic.frames if frame.direction == UP]
        times = [begun, *(time for time in up if time > begun), this.clock.now()]
        assert max(b - a for a, b in zip(times, times[1:], strict=False)) < 55


@one_lane
@simulate
async def test_a_csms_that_only_answers_pings(bits):
    """Where the line lives, an attempt is one: three, then the next event (E13)."""
    async with station(bits, {"OCPPCommCtrlr.WebSocketPingInterval": "0"}) as this:
        await this.device.power_on()
        await this.booted()
        await this.drained()
        this.csms.wrong("silent", "TransactionEvent", times=3)
        connections = this.csms.connections
        await this.charging()
        await this.csms.seen("TransactionEvent", lambda p: p["seqNo"] == 1, timeout=300)
        assert [m.payload["seqNo"] for m in sent(this, "TransactionEvent")][:4] == [0, 0, 0, 1]
        assert this.csms.connections == connections
        assert (await queue(this))["discarded"] == 1


@one_lane
@pytest.mark.parametrize("how", ["close", "unheard"])
@simulate
async def test_an_event_whose_answer_was_lost_comes_again_as_it_was(bits, how):
    async with station(bits) as this:
        await this.device.power_on()
        await this.booted()
        await this.drained()
        wrong = this.csms.wrong(how, "TransactionEvent")
        await this.charging()
        await this.csms.until(lambda: not wrong.times)
        await this.stopped()
        await this.drained()
        first, again = sent(this, "TransactionEvent")[:2]
        assert first.connection != again.connection
        assert first.payload == again.payload and "offline" not in again.payload
        assert this.problems(all_ended=True) == []


# --- hanging up ------------------------------------------------------------------------------------


@one_lane
@simulate
async def test_the_wait_grows_where_a_csms_hangs_up_before_it_has_said_anything(bits):
    settings = {
        "OCPPCommCtrlr.RetryBackOffWaitMinimum": "10",
        "OCPPCommCtrlr.RetryBackOffRepeatTimes": "3",
    }
    async with station(bits, settings) as this:
        this.csms.closes = iter(CLOSES * 2)
        upgrades = []
        this.traffic.on_handshake.append(lambda *_: upgrades.append(this.clock.now()))
        await this.device.power_on()
        await this.station.wait("accepted", 900)
        gaps = [b - a for a, b in itertools.pairwise(upgrades)]
        assert [round(gap) for gap in gaps] == [10, 20, 40, 80, 80, 80]


@one_lane
@simulate
async def test_a_second_at_least_between_two_connections(bits):
    settings = {"OCPPCommCtrlr.RetryBackOffWaitMinimum": "0"}
    async with station(bits, settings) as this:
        this.csms.closes = itertools.repeat(1000)
        await this.device.power_on()
        await this.clock.sleep(60)
        assert 40 < this.csms.connections <= 61
