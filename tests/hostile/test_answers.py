"""Answers that are wrong, late, doubled or mad: the queue goes on, in order, and nothing is believed."""

import pytest

from hostsim.lives.harness import CARD, simulate
from hostsim.net.schemas import CALL
from hostsim.net.traffic import UP
from tests.hostile.attack import HARMLESS, attack, lanes, one_lane
from tests.hostile.middle import TEXT, frame

EVERY = [
    "silent",
    "late",
    "duplicate",
    "malformed",
    "garbage",
    "wrong_id",
    "error",
    "close",
    "unheard",
]
TIMES = [
    "1970-01-01T00:00:00Z",
    "2099-12-31T23:59:59.999999999999Z",
    "9999-12-31T23:59:59Z",
    "0000-00-00T00:00:00Z",
    "2026-02-31T25:61:61Z",
    "2026-01-01T00:00:00+99:99",
    "2026-01-01T00:00:00\U0001f40d\U0001f40e",
    "yesterday",
    "",
    "-",
    "2026-01-01T00:00:00." + "9" * 2000 + "Z",
    "x" * 2000,
]


@lanes
@pytest.mark.parametrize("how", EVERY)
@simulate
async def test_every_answer_that_can_be_wrong(bits, how):
    """Each action of a day is answered wrongly once; what was journalled arrives once more, or it was heard."""
    settings = {
        "OCPPCommCtrlr.MessageAttemptInterval.TransactionEvent": "1",
        "OCPPCommCtrlr.HeartbeatInterval": "20",
        "AuthCtrlr.OfflineTxForUnknownIdEnabled": "true",
    }
    async with attack(bits, settings=settings) as it:
        connections = it.csms.connections + (3 if how in ("close", "unheard") else 0)
        for action in ("TransactionEvent", "StatusNotification", "Heartbeat", "Authorize"):
            it.csms.wrong(how, action, delay=35)
        await it.csms.until(lambda: len(it.csms.wrongs) < 4, "TransactionEvent", 300)
        await it.rig.stopped()
        await it.station.wait("status:Available")
        await it.csms.until(lambda: len(it.csms.wrongs) < 3, "StatusNotification", 300)
        await it.station.set("OCPPCommCtrlr", "HeartbeatInterval", "20")
        await it.csms.until(lambda: len(it.csms.wrongs) < 2, "Heartbeat", 900)
        await it.csms.until(
            lambda: it.csms.connections >= connections and it.csms.peer, "connection"
        )
        await it.station.wait("accepted", 300)
        # With or without the CSMS's word for it, which is waited for behind the Heartbeat's answer.
        await it.rig.charging(within=2 * 30 + 5)
        await it.csms.until(lambda: not it.csms.wrongs, "Authorize", 300)


@one_lane
@simulate
async def test_boot_notifications_that_are_answered_badly(bits):
    async with attack(bits) as it:
        for how in EVERY:
            it.csms.wrong(how, "BootNotification", delay=35)
            await it.rig.device.restart()
            await it.station.wait("rebooted")
            await it.station.wait("accepted", 900)
            await it.station.wait("charging", 60)
        assert not it.csms.wrongs


@one_lane
@simulate
async def test_intervals_that_make_no_sense(bits):
    async with attack(bits) as it:
        for interval in (0, -1, -(1 << 31), (1 << 31) - 1):
            it.csms.boots = [("Rejected", 0), ("Pending", -5), ("Accepted", interval)]
            await it.rig.device.restart()
            await it.station.wait("rebooted")
            await it.station.wait("accepted", 900)
            assert 1 <= int(await it.station.get("OCPPCommCtrlr", "HeartbeatInterval")) <= 1 << 31


@lanes
@simulate
async def test_times_that_make_no_sense(bits):
    """Neither a clock that jumps nor one that tells no time takes a task, an event or their order with it."""
    async with attack(bits) as it:
        it.excuse_times()
        for text in TIMES:
            for current in (text, it.rig.clock.text()):
                mark = it.csms.mark()
                it.says("Heartbeat", {"currentTime": current})
                await it.csms.call("TriggerMessage", {"requestedMessage": "Heartbeat"})
                await it.csms.seen("Heartbeat", since=mark)


INFOS = [
    {"status": "Maybe"},
    {"status": ""},
    {"status": None},
    {"status": "accepted"},
    {},
    None,
    "Accepted",
    {"Status": "Accepted"},
    {"status": ["Accepted"]},
    {"status": "Blocked", "personalMessage": None, "unheardOf": {"status": "Accepted"}},
    {"status": "Accepted", "evseId": ["1"]},
]


@lanes
@simulate
async def test_tokens_that_the_csms_says_nothing_clear_of(bits):
    """An Authorize whose answer breaks the schema where it counts lets nobody charge who was never here before."""
    async with attack(bits) as it:
        await it.rig.stopped()
        await it.station.wait("status:Available")
        it.rig.hardware.plug()
        await it.station.wait("plugged")
        for number, info in enumerate(INFOS):
            it.says("Authorize", {"idTokenInfo": info})
            it.rig.hardware.card(f"STRANGER{number}")
            await it.csms.until(lambda: not it.csms.wrongs, "Authorize")
            await it.station.wait("unauthorized", 60)
            assert it.rig.hardware.outlet(1).closed is False
        assert await it.counted("malformed_answers") == len(INFOS) - 1
        it.rig.hardware.card(CARD)
        await it.station.wait("charging")


@lanes
@simulate
async def test_calls_before_the_boot_is_answered(bits):
    """A CSMS that cannot wait: answered or refused, and the boot goes on."""
    async with attack(bits) as it:
        it.csms.wrong("late", "BootNotification", delay=4)
        connections = it.csms.connections
        await it.rig.device.restart()
        await it.csms.until(
            lambda: it.csms.connections > connections and it.csms.peer, "connection"
        )
        idents = [it.id() for _ in range(6)]
        for n, action in enumerate(
            (
                "GetVariables",
                "SetVariables",
                "RequestStopTransaction",
                "TriggerMessage",
                "GetBaseReport",
                "Nonsense",
            )
        ):
            await it.say([2, idents[n], action, HARMLESS.get(action, {})])
        for ident in idents:
            await it.answer(ident)
        await it.station.wait("accepted", 300)


# Long answers and calls that are no UTF-8: "%s" is the id of the call that is open.
NO_TEXT = [
    b'[4,"%s","\xff\xfe","",{"x":"' + b"y" * 4000 + b'"}]',
    b'[3,"\\u0041\xff",{"x":"' + b"y" * 4000 + b'"}]',
    b'[3,"%s\xff",{"x":"' + b"y" * 4000 + b'"}]',
    b'[2,"\xff","DataTransfer",{"vendorId":"x","data":"' + b"y" * 4000 + b'"}]',
]


@lanes
@simulate
async def test_long_answers_that_are_no_text(bits):
    """Each ends its connection; more of them than there may be deaths, and no task dies."""
    async with attack(bits) as it:
        it.excuse_frames()
        for form in NO_TEXT * 3:
            await it.station.wait("accepted", 300)
            it.csms.wrong("silent", "Heartbeat")
            mark, next_one = it.csms.mark(), it.csms.connections + 1
            await it.call("TriggerMessage", {"requestedMessage": "Heartbeat"})
            await it.csms.seen("Heartbeat", since=mark)
            calls = [m for m in it.rig.traffic.messages if m.direction == UP and m.kind == CALL]
            await it.put(frame(TEXT, form.replace(b"%s", calls[-1].id.encode())))
            await it.csms.until(lambda n=next_one: it.csms.connections >= n, "connection")
        assert it.rig.device.boots == 1
