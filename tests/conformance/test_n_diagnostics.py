"""N: logs that the station uploads, and what it knows of a customer."""

from urllib.parse import unquote, urlsplit

from hostsim.net.uploads import Store, store
from tests.conformance import states
from tests.conformance.octt import EARLY, LATE, Octt, Token, check

FAILURES = ("UploadFailure", "BadMessage", "PermissionDenied", "NotSupportedOperation")
RETRY_INTERVAL = 20  # simulated seconds: longer than an attempt takes
CUSTOMER = "customer-0815"


# --- logs --------------------------------------------------------------------------------------------


async def test_TC_N_25_CS(octt):
    body = await _uploaded(octt, "DiagnosticsLog")
    assert b"Milliamp" in body


async def test_TC_N_35_CS(octt):
    await states.booted(octt)  # something for the log
    body = await _uploaded(octt, "SecurityLog")
    assert any(event.encode() in body for event in states.BOOT_EVENTS)


async def test_TC_N_26_CS(octt):
    """A place that does not exist: four attempts in all."""
    async with store(404) as place:
        number, _ = await _get_log(
            octt, place, "DiagnosticsLog", retries=3, retryInterval=RETRY_INTERVAL
        )
        begun, failed = [], []
        began = octt.now()
        while octt.now() - began < 3 * RETRY_INTERVAL + 10:
            await octt.sleep(1)
            for call in octt.seen("LogStatusNotification"):
                call = await octt.expect("LogStatusNotification")
                check(call, {"requestId": number, "status": ("Uploading", *FAILURES)})
                (begun if call["status"] == "Uploading" else failed).append(call)
                assert begun, "it failed before it began"
        assert len(begun) in (1, 4) and len(failed) in (1, 4), (begun, failed)
        assert place.begun == 4, "attempts that were made"
        span = failed[-1].time - begun[0].time
        assert 3 * RETRY_INTERVAL - EARLY < span < 3 * RETRY_INTERVAL + LATE
        await octt.nothing("LogStatusNotification", 2 * RETRY_INTERVAL)


async def test_TC_N_36_CS(octt):
    """The second request takes the place of the first."""
    async with store() as place, store() as other:
        place.hold = True
        first, _ = await _get_log(octt, place, "DiagnosticsLog")
        await _status(octt, "Uploading", first)
        await octt.until(lambda: place.uploads, "upload")
        second, _ = await _get_log(octt, other, "DiagnosticsLog", status="AcceptedCanceled")
        await _status(octt, "AcceptedCanceled", first)
        await _status(octt, "Uploading", second)
        await _status(octt, "Uploaded", second)
        assert len(other.uploads) == 1
        place.hold = False
        await octt.nothing("LogStatusNotification", 5)


async def _uploaded(octt: Octt, kind: str) -> bytes:
    """A log is asked for and arrives; its text."""
    assert "HTTP" in (await octt.get("OCPPCommCtrlr.FileTransferProtocols")).split(",")
    octt.forget()
    async with store() as place:
        number, answer = await _get_log(octt, place, kind)
        assert answer.get("filename")
        await _status(octt, "Uploading", number)
        await _status(octt, "Uploaded", number)
        await octt.nothing("LogStatusNotification", 3)
        (upload,) = place.uploads
        assert unquote(upload.path) == urlsplit(place.location).path + answer["filename"]
        assert upload.body
        return upload.body


async def _get_log(
    octt: Octt, place: Store, kind: str, status: str = "Accepted", **more: int
) -> tuple[int, dict]:
    """GetLog: its requestId and the answer."""
    number = octt.request_id()
    log = {"remoteLocation": place.location}
    request = {"logType": kind, "requestId": number, "log": log} | more
    return number, await octt.call("GetLog", request, status=status)


async def _status(octt: Octt, status: str, number: int) -> None:
    """The very next LogStatusNotification."""
    call = await octt.expect("LogStatusNotification")
    check(call, {"status": status, "requestId": number})


# --- customer information ------------------------------------------------------------------------------


async def test_TC_N_27_CS(octt):
    await _customer_was_here(octt)
    found = await _information(octt, octt.token, report=True)
    assert found and found != await _nothing(octt)


async def test_TC_N_28_CS(octt):
    await _information(octt, octt.token, clear=True)
    assert await _information(octt, octt.token, report=True) == await _nothing(octt)


async def test_TC_N_30_CS(octt):
    """Reported once more, then forgotten."""
    await _customer_was_here(octt)
    await octt.station.wait("unauthorized", 120)  # what remains is in the memory
    found = await _information(octt, octt.token, report=True, clear=True)
    nothing = await _nothing(octt)
    assert found and found != nothing
    assert await _information(octt, octt.token, report=True) == nothing


async def test_TC_N_31_CS(octt):
    found = await _information(octt, octt.token, report=True, clear=True)
    assert found == await _nothing(octt)


async def test_TC_N_32_CS(octt):
    found = await _information(octt, octt.token, clear=True)
    assert octt.token.value not in found
    await octt.nothing("NotifyCustomerInformation", 5)


async def test_TC_N_62_CS(octt):
    """By the identifier of a customer, which somebody has entered at the station."""
    found = await _information(octt, CUSTOMER, report=True, clear=True)
    assert found and found != await _nothing(octt)
    assert await _information(octt, CUSTOMER, report=True) == ""


async def _customer_was_here(octt: Octt) -> None:
    """The station has something to tell of the token: it was authorized, and the EV has left."""
    switches = (
        "LocalAuthListCtrlr.Enabled",
        "AuthCtrlr.LocalPreAuthorize",
        "AuthCacheCtrlr.Enabled",
    )
    await octt.configure(dict.fromkeys(switches, True), optional=True)
    if octt.has("C49"):
        await states.id_token_cached(octt)
    await states.authorized(octt, "local", authorize=None)
    await states.parking_bay_unoccupied(octt)


async def _nothing(octt: Octt) -> str:
    """What the station says where it has nothing to say: of a token that it never saw."""
    return await _information(octt, octt.unknown, report=True)


async def _information(
    octt: Octt, whom: Token | str, *, report: bool = False, clear: bool = False
) -> str:
    """CustomerInformation, accepted; all parts of what is told. Without data, one message says so."""
    number = octt.request_id()
    who = {"idToken": whom.json} if isinstance(whom, Token) else {"customerIdentifier": whom}
    request = {"requestId": number, "report": report, "clear": clear} | who
    octt.forget()
    await octt.call("CustomerInformation", request, status="Accepted")
    parts: list[str] = []
    while True:
        call = await octt.expect("NotifyCustomerInformation")
        check(call, {"requestId": number, "seqNo": len(parts), "generatedAt": ...})
        parts.append(call["data"])
        if not call["tbc"]:
            break
        assert report, "a message that confirms is one"
    await octt.nothing("NotifyCustomerInformation", 2)
    return "".join(parts)
