"""Block N against the real firmware: logs that are uploaded, customer information, and a plug that does not lock."""

import asyncio
import contextlib
import random
from urllib.parse import unquote

import pytest

from hostsim.clock import time_limit, unix_time, virtual
from hostsim.lives.harness import CARD, rig, simulate

OK = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
FAST = {
    "OCPPCommCtrlr.RetryBackOffWaitMinimum": "1",
    "OCPPCommCtrlr.RetryBackOffRandomRange": "0",
}
TOKEN = {"idToken": CARD, "type": "ISO14443"}


class Server:
    """A file server on the loopback. `answers`: what it says to one upload after the other, the last for ever:
    bytes; "stall" takes all and says nothing; "reset" hangs up behind the head."""

    def __init__(self, *answers):
        self.answers = list(answers) or [OK]
        self.files = {}  # path -> body, of what came in whole
        self.begun = 0
        self.open = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/logs/"
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _accept(self, reader, writer):
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.begun += 1
        self.open += 1
        with contextlib.suppress(OSError, EOFError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            if answer == "reset":
                writer.transport.abort()
            else:
                length = next(x for x in head.split("\r\n") if x.startswith("Content-Length"))
                body = await reader.readexactly(int(length.split(":")[1]))
                if answer == "stall":
                    await reader.read()
                else:
                    self.files[unquote(head.split(" ")[1])] = body.decode()
                    writer.write(answer)
                    await writer.drain()
        self.open -= 1
        writer.close()

    async def until(self, holds):
        """Wait until something is true of this server."""
        async with time_limit(10):
            while not holds(self):
                await virtual.sleep(0.01)


async def get_log(this, url, kind="DiagnosticsLog", number=1, log=(), **more):
    log = {"remoteLocation": url} | dict(log)
    return await this.call("GetLog", {"logType": kind, "requestId": number, "log": log} | more)


def told(this):
    """Every LogStatusNotification so far: (requestId, status)."""
    return [
        (r.payload.get("requestId"), r.payload["status"])
        for r in this.csms.received
        if r.action == "LogStatusNotification"
    ]


async def tell(this, *statuses, timeout=120.0):
    """Wait for that many notifications; they must be these, and nothing follows."""
    await this.csms.until(lambda: len(told(this)) >= len(statuses), "status", timeout)
    await this.clock.sleep(3)
    assert told(this) == list(statuses)


async def fetch(this, server, kind="SecurityLog", **log):
    """The text of a log."""
    mark = this.csms.mark()
    answer = await get_log(this, server.url, kind, 99, log)
    assert answer["status"] == "Accepted"
    await this.csms.seen("LogStatusNotification", lambda p: p["status"] == "Uploaded", since=mark)
    return server.files["/logs/" + answer["filename"]]


# --- logs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["DiagnosticsLog", "SecurityLog"])
@simulate
async def test_a_log_is_uploaded(kind):
    async with rig(identity="CS/1%") as this, Server() as server:
        await this.clock.sleep(2)  # the log is told of the clock
        answer = await get_log(this, server.url, kind, 5)
        assert answer["status"] == "Accepted"
        await tell(this, (5, "Uploading"), (5, "Uploaded"))
        name = answer["filename"]
        assert name.startswith("CS/1%-" + kind[:-3].lower())
        (path, text), *rest = server.files.items()
        assert path == "/logs/" + name and not rest
        lines = text.splitlines()
        assert lines[0].startswith("Milliamp Sim SIM-0001 0.1.0 20") and text.endswith("\n")
        if kind == "SecurityLog":
            assert lines[1].endswith("Z? StartupOfTheDevice")
            assert "Z the clock was set, it moved by " in lines[2]
        else:
            assert lines[-1] == "I accepted"
            assert any(line.startswith("counters ") for line in lines)
        assert this.problems() == []


@simulate
async def test_an_address_that_names_the_file_is_taken_as_it_is():
    async with rig() as this, Server() as server:
        assert (await get_log(this, server.url + "a/b.txt?key=1"))["filename"] == "b.txt"
        await tell(this, (1, "Uploading"), (1, "Uploaded"))
        assert [*server.files] == ["/logs/a/b.txt?key=1"]
        port = server.url.split("/")[2]
        assert (await get_log(this, "http://" + port))["filename"].endswith(".log")
        await server.until(lambda s: "/" in s.files)


@pytest.mark.parametrize(
    "url", ["ftp://host/", "https://host/", "dummy://dummy", "http://", "http://a b/", "x" * 500]
)
@simulate
async def test_an_address_that_it_cannot_upload_to_is_rejected(url):
    async with rig() as this:
        assert await get_log(this, url) == {
            "status": "Rejected",
            "statusInfo": {"reasonCode": "InvalidURL"},
        }
        await this.clock.sleep(5)
        assert told(this) == [] and this.problems() == []


@simulate
async def test_what_the_server_says():
    says = {
        b"HTTP/1.1 200 OK\r\n\r\n": "Uploaded",
        b"HTTP/1.1 404 Not Found\r\n\r\n": "UploadFailure",
        b"HTTP/1.1 500 Oh\r\n\r\n": "UploadFailure",
        b"HTTP/1.1 400 Bad Request\r\n\r\n": "BadMessage",
        b"220 FTP server ready\r\n": "BadMessage",
        b"HTTP/1.1 401 Unauthorized\r\n\r\n": "PermissionDenied",
        b"HTTP/1.1 403 Forbidden\r\n\r\n": "PermissionDenied",
        b"HTTP/1.1 405 Method Not Allowed\r\n\r\n": "NotSupportedOperation",
        b"HTTP/1.1 501 Not Implemented\r\n\r\n": "NotSupportedOperation",
        "reset": "UploadFailure",
    }
    async with rig() as this, Server(*says) as server:
        for status in says.values():
            mark = this.csms.mark()
            assert (await get_log(this, server.url))["status"] == "Accepted"
            seen = await this.csms.seen(
                "LogStatusNotification", lambda p: p["status"] != "Uploading", since=mark
            )
            assert seen["status"] == status
            await this.clock.sleep(1)
        assert (await get_log(this, "http://127.0.0.1:9/"))["status"] == "Accepted"
        await this.clock.sleep(5)
        assert told(this)[-2:] == [(1, "Uploading"), (1, "UploadFailure")]
        assert this.problems() == []


@simulate
async def test_what_is_to_be_told_takes_no_memory_while_there_is_no_link():
    """A connection needs it; what came of the upload is told afterwards."""
    async with rig(settings=FAST) as this, Server("stall") as server:
        await get_log(this, server.url, number=4)
        await server.until(lambda s: s.begun)
        await this.station.set_network("off")
        with_it = (await this.station.heap())["live"]
        await this.clock.sleep(120)
        assert (await this.station.heap())["live"] < with_it - 2000  # twice what it is on 32 bits
        await this.station.set_network("on")
        await tell(this, (4, "Uploading"), (4, "UploadFailure"))
        assert this.problems() == []


@simulate
async def test_a_server_that_stalls_holds_nobody_up():
    async with rig() as this, Server("stall") as server:
        await get_log(this, server.url)
        began = this.clock.now()
        await server.until(lambda s: s.begun)
        await this.charging()
        for _ in range(5):
            before = this.clock.now()
            wanted = {"component": {"name": "ClockCtrlr"}, "variable": {"name": "DateTime"}}
            await this.call("GetVariables", {"getVariableData": [wanted]})
            assert this.clock.now() - before < 2
        await this.stopped()
        await this.csms.seen(
            "LogStatusNotification", lambda p: p["status"] == "UploadFailure", timeout=90
        )
        assert 55 < this.clock.now() - began < 75
        assert server.open == 0
        assert this.problems(all_ended=True) == []


@simulate
async def test_retries():
    no = b"HTTP/1.1 503 Later\r\n\r\n"
    async with rig() as this, Server(no, no, OK) as server:
        await get_log(this, server.url, number=3, retries=5, retryInterval=20)
        again = [(3, "Uploading"), (3, "UploadFailure")]
        await tell(this, *again, *again, (3, "Uploading"), (3, "Uploaded"))
        times = [
            r.time
            for r in this.csms.received
            if r.action == "LogStatusNotification" and r.payload["status"] == "Uploading"
        ]
        assert [19 < b - a < 23 for a, b in zip(times, times[1:])] == [True, True]
        await this.clock.sleep(30)
        assert server.begun == 3

        del this.csms.received[:]
        server.answers = [no]
        await get_log(this, server.url, number=4, retries=1, retryInterval=0)
        await tell(this, *[(4, "Uploading"), (4, "UploadFailure")] * 2)
        del this.csms.received[:]
        await get_log(this, server.url, number=5, retries=-1, retryInterval=-1)
        await tell(this, (5, "Uploading"), (5, "UploadFailure"))
        assert this.problems() == []


@simulate
async def test_a_second_request_cancels_the_first():
    trigger = {"requestedMessage": "LogStatusNotification"}
    async with rig() as this, Server("stall", OK) as server:
        await this.call("TriggerMessage", trigger)
        await tell(this, (None, "Idle"))
        await get_log(this, server.url, number=1, retries=3)
        await server.until(lambda s: s.open)
        await tell(this, (None, "Idle"), (1, "Uploading"))
        assert await this.call("TriggerMessage", trigger) == {"status": "Accepted"}
        await tell(this, (None, "Idle"), *[(1, "Uploading")] * 2)
        del this.csms.received[:]
        answer = await get_log(this, server.url, "SecurityLog", 2)
        assert answer["status"] == "AcceptedCanceled"
        await tell(this, (1, "AcceptedCanceled"), (2, "Uploading"), (2, "Uploaded"))
        assert server.open == 0 and [*server.files] == ["/logs/" + answer["filename"]]
        del this.csms.received[:]
        await this.call("TriggerMessage", trigger)
        await tell(this, (None, "Idle"))
        assert this.problems() == []


@simulate
async def test_a_request_between_two_attempts_cancels_too():
    async with rig() as this, Server(b"HTTP/1.1 503 Later\r\n\r\n", OK) as server:
        await get_log(this, server.url, number=1, retries=1, retryInterval=1000)
        failed = [(1, "Uploading"), (1, "UploadFailure")]
        await tell(this, *failed)
        answer = await get_log(this, server.url, number=2)
        assert answer["status"] == "AcceptedCanceled"
        await tell(this, *failed, (1, "AcceptedCanceled"), (2, "Uploading"), (2, "Uploaded"))
        assert this.problems() == []


@simulate
async def test_requests_in_quick_succession():
    """Bounded, whatever a CSMS does: the last request wins, and the last word on others may be left out."""
    async with rig() as this, Server() as server:
        answers = [(await get_log(this, server.url, number=n))["status"] for n in range(8)]
        assert answers[0] == "Accepted" and set(answers) <= {"Accepted", "AcceptedCanceled"}
        await this.csms.seen(
            "LogStatusNotification", lambda p: p == {"status": "Uploaded", "requestId": 7}
        )
        await this.clock.sleep(5)
        assert told(this)[-1] == (7, "Uploaded")
        assert this.problems() == []


@simulate
async def test_the_last_status_waits_for_the_link():
    async with rig(settings=FAST) as this, Server("stall") as server:
        await get_log(this, server.url)
        await server.until(lambda s: s.open)
        await this.station.set_network("refuse")
        await this.clock.sleep(70)
        await server.until(lambda s: not s.open)
        await this.station.set_network("on")
        await this.csms.seen("LogStatusNotification", lambda p: p["status"] == "UploadFailure")
        assert told(this) == [(1, "Uploading"), (1, "UploadFailure")]
        assert this.problems() == []


@simulate
async def test_a_power_cut_ends_an_upload():
    async with rig(settings=FAST) as this, Server("stall", OK) as server:
        await get_log(this, server.url, retries=3)
        await server.until(lambda s: s.open)
        await this.device.power_cycle()
        await this.booted()
        await this.call("TriggerMessage", {"requestedMessage": "LogStatusNotification"})
        await tell(this, (1, "Uploading"), (None, "Idle"))
        assert (await fetch(this, server)).count("StartupOfTheDevice") == 2
        assert this.problems() == []


# --- the security log -------------------------------------------------------------------------------


@simulate
async def test_the_security_log_survives_power_cuts_while_it_is_written():
    dice = random.Random(7)
    async with rig(settings=FAST) as this, Server() as server:
        sure = 1
        for torn in ("nothing", "half", "bits", "all") * 5:
            await this.device.power_off()
            this.device.cut_in_write(dice.randint(1, 4), torn, dice)
            await this.device.power_on()
            with contextlib.suppress(TimeoutError):
                await this.station.wait("accepted", 20)
            if this.device.powered:
                sure += 1
                await this.device.power_off()
            await this.device.power_on()
            await this.booted()
            sure += 1
        text = await fetch(this, server)
        assert sure <= text.count(" StartupOfTheDevice\n") <= this.device.boots
        assert all(line[10] == "T" for line in text.splitlines()[1:])
        assert this.problems() == []


@simulate
async def test_a_new_password_is_in_the_security_log_only():
    secret = "a_password_of_the_csms"
    async with rig(settings=FAST) as this, Server() as server:
        name = {"component": {"name": "SecurityCtrlr"}, "variable": {"name": "BasicAuthPassword"}}
        data = [name | {"attributeValue": secret}]
        (result,) = (await this.call("SetVariables", {"setVariableData": data}))[
            "setVariableResult"
        ]
        assert result["attributeStatus"] == "Accepted"
        await this.clock.sleep(5)
        await this.booted()
        text = await fetch(this, server)
        assert "Z ReconfigurationOfSecurityParameters\n" in text and secret not in text
        assert secret not in await fetch(this, server, "DiagnosticsLog")
        assert not [e for e in this.csms.ledger.security if e["type"].startswith("Reconf")]


@simulate
async def test_only_what_lies_between_the_timestamps():
    async with rig() as this, Server() as server:
        await this.clock.sleep(2)  # the log is told of the clock
        assert "the clock was set" in await fetch(this, server)
        assert "StartupOfTheDevice" in await fetch(
            this, server, latestTimestamp="2010-01-01T00:00:00Z"
        )
        late = await fetch(this, server, oldestTimestamp="2010-01-01T00:00:00Z")
        assert "StartupOfTheDevice" not in late and "the clock was set" in late
        none = await fetch(this, server, oldestTimestamp="2090-01-01T00:00:00Z")
        assert len(none.splitlines()) == 1


# --- customer information ---------------------------------------------------------------------------


async def inquire(this, report, clear, **who):
    request = {"requestId": 8, "report": report, "clear": clear} | who
    return (await this.call("CustomerInformation", request))["status"]


async def heard(this, mark):
    """All parts of what is known: their texts."""
    await this.csms.seen("NotifyCustomerInformation", lambda p: not p.get("tbc"), since=mark)
    parts = [
        r.payload for r in this.csms.received[mark:] if r.action == "NotifyCustomerInformation"
    ]
    assert [p["seqNo"] for p in parts] == [*range(len(parts))]
    assert {p["requestId"] for p in parts} == {8}
    assert [p.get("tbc", False) for p in parts] == [True] * (len(parts) - 1) + [False]
    return [p["data"] for p in parts]


@simulate
async def test_customer_information():
    certificate = {
        "hashAlgorithm": "SHA256",
        "issuerNameHash": "a",
        "issuerKeyHash": "b",
        "serialNumber": "1",
    }
    others = ({"customerIdentifier": "c"}, {"customerCertificate": certificate})
    async with rig(evses=2) as this:
        for who in (
            {},
            {"idToken": TOKEN} | others[0],
            {"idToken": TOKEN} | others[1],
            others[0] | others[1],
        ):
            assert await inquire(this, True, True, **who) == "Invalid"
        assert await inquire(this, False, False, idToken=TOKEN) == "Rejected"
        stranger = {"idToken": "stranger", "type": "ISO14443"}
        for who in ({"idToken": stranger}, *others):
            mark = this.csms.mark()
            assert await inquire(this, True, False, **who) == "Accepted"
            assert await heard(this, mark) == ["No data"]
            mark = this.csms.mark()
            assert await inquire(this, False, True, **who) == "Accepted"
            assert await heard(this, mark) == ["Cleared"]
        await this.charging()
        await this.charging(evse=2)
        state = await this.station.watcher.snapshot()
        mark = this.csms.mark()
        lower = TOKEN | {"idToken": CARD.lower()}
        assert await inquire(this, True, False, idToken=lower) == "Accepted"
        texts = "\n".join(await heard(this, mark))
        for n in (0, 1):
            name = state["evses"][n]["transaction"]["id"]
            assert f"transaction {name} on EVSE {n + 1} since 20" in texts
        assert this.problems() == []


@simulate
async def test_what_is_cached_of_a_customer():
    async with rig(settings={"AuthCacheCtrlr.Enabled": "true"}) as this:
        this.csms.knows("other")
        await this.charging()
        await this.stopped()
        await this.charging("other")
        await this.stopped("other")
        other = {"idToken": "other", "type": "ISO14443"}
        for token, report, clear, said in (
            (TOKEN, True, False, "authorization cache: Accepted, last used 20"),
            (TOKEN, True, True, "authorization cache: Accepted, last used 20"),
            (TOKEN, True, True, "No data"),
            (other, False, True, "Cleared"),
            (other, True, False, "No data"),
        ):
            mark = this.csms.mark()
            assert await inquire(this, report, clear, idToken=token) == "Accepted"
            (text,) = await heard(this, mark)
            assert text.startswith(said)
        await this.device.power_cycle()
        await this.booted()
        mark = this.csms.mark()
        assert await inquire(this, True, False, idToken=TOKEN) == "Accepted"
        assert await heard(this, mark) == ["No data"]
        assert this.problems(all_ended=True) == []


@simulate
async def test_one_inquiry_at_a_time():
    async with rig() as this:
        this.csms.wrong("silent", "NotifyCustomerInformation")
        assert await inquire(this, True, False, idToken=TOKEN) == "Accepted"
        assert await inquire(this, True, False, idToken=TOKEN) == "Rejected"
        await this.csms.seen("NotifyCustomerInformation")
        await this.clock.sleep(35)
        assert await inquire(this, True, False, idToken=TOKEN) == "Accepted"


# --- a plug that does not lock ------------------------------------------------------------------------


async def problem(this):
    place = {"evse": {"id": 1, "connectorId": 1}}
    component = {"name": "ConnectorPlugRetentionLock"} | place
    data = [{"component": component, "variable": {"name": "Problem"}}]
    (result,) = (await this.call("GetVariables", {"getVariableData": data}))["getVariableResult"]
    return result["attributeValue"]


def lock_events(this):
    events = [r.payload for r in this.csms.received if r.action == "NotifyEvent"]
    assert all(e["seqNo"] == 0 and not e.get("tbc") and len(e["eventData"]) == 1 for e in events)
    return [dict(e["eventData"][0]) for e in events]


@simulate
async def test_a_plug_that_does_not_lock_is_told():
    async with rig(settings=FAST) as this:
        this.hardware.set_lock_fails(1, True)
        this.hardware.plug(1)
        await this.station.wait("plugged")
        this.hardware.card(CARD)
        await this.csms.seen("NotifyEvent")
        (event,) = lock_events(this)
        assert event.pop("timestamp") and event.pop("eventId") > 0
        assert not event.pop("cleared", False)
        assert event == {
            "trigger": "Delta",
            "actualValue": "true",
            "eventNotificationType": "HardWiredNotification",
            "component": {
                "name": "ConnectorPlugRetentionLock",
                "evse": {"id": 1, "connectorId": 1},
            },
            "variable": {"name": "Problem"},
        }
        assert await problem(this) == "true"
        await this.clock.sleep(10)
        assert len(lock_events(this)) == 1
        assert not this.hardware.outlet(1).closed
        this.hardware.set_lock_fails(1, False)
        this.hardware.unplug(1)
        await this.csms.until(lambda: len(lock_events(this)) == 2)
        first, second = lock_events(this)
        assert second["actualValue"] == "false" and second["cleared"]
        assert await problem(this) == "false"

        await this.station.set_network("refuse")
        await this.station.wait("disconnected")
        this.hardware.set_lock_fails(1, True)
        await this.clock.sleep(3)
        this.hardware.plug(1)
        await this.station.wait("plugged")
        await this.station.set("AuthCtrlr", "OfflineTxForUnknownIdEnabled", "true")
        this.hardware.card(CARD)
        await this.clock.sleep(10)
        before = this.clock.unix()
        await this.station.set_network("on")
        await this.csms.until(lambda: len(lock_events(this)) == 3)
        third = lock_events(this)[2]
        assert third["actualValue"] == "true" and unix_time(third["timestamp"]) < before - 5
        assert len({e["eventId"] for e in lock_events(this)}) == 3
        assert [p for p in this.problems() if "did not lock" not in p] == []
