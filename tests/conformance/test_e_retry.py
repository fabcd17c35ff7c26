"""E13: an event that the CSMS does not take in is sent again, later each time, and not for ever."""

from tests.conformance import states
from tests.conformance.octt import EARLY, LATE, Call, Octt

ATTEMPTS = 3
INTERVAL = 10  # seconds


async def test_TC_E_41_CS(octt):
    octt.excuse("given up")
    timeout = await _prepared(octt)
    await _sent(octt, "silent", ATTEMPTS, ATTEMPTS, timeout)


async def test_TC_E_50_CS(octt):
    octt.excuse("given up")
    await _prepared(octt)
    await _sent(octt, "error", ATTEMPTS, ATTEMPTS, 0)


async def test_TC_E_42_CS(octt):
    timeout = await _prepared(octt)
    await _sent(octt, "silent", 1, 2, timeout)


async def test_TC_E_51_CS(octt):
    """An error is an answer, so only the interval counts, as in E_50; the script adds the timeout (E13.FR.02)."""
    await _prepared(octt)
    await _sent(octt, "error", 1, 2, 0)


async def _prepared(octt: Octt) -> int:
    """So many attempts at such an interval; the time that an answer may take."""
    await octt.configure(
        {
            "OCPPCommCtrlr.MessageAttempts.TransactionEvent": ATTEMPTS,
            "OCPPCommCtrlr.MessageAttemptInterval.TransactionEvent": INTERVAL,
        }
    )
    return int(await octt.get("OCPPCommCtrlr.MessageTimeout.Default"))


async def _sent(octt: Octt, wrong: str, wrongs: int, times: int, timeout: int) -> None:
    """The event that energy flows goes wrong so often: it is sent that many times, each gap an interval longer."""
    octt.csms.wrong(wrong, "TransactionEvent", times=wrongs, only=_energy_flows)
    await states.authorized(octt)
    await states.ev_connected_pre_session(octt)
    first = await octt.expect(
        "TransactionEvent", lambda call: _energy_flows(call.payload), answer=False
    )
    again = [first]
    for count in range(1, times):
        wanted = timeout + INTERVAL * count
        again.append(await octt.expect("TransactionEvent", _same(first), within=wanted + 30))
        gap = again[-1].time - again[-2].time
        assert wanted - EARLY <= gap <= wanted + LATE, f"{gap:.1f} s instead of {wanted}: {again}"
        assert again[-1].payload == first.payload
    await octt.nothing("TransactionEvent", timeout + INTERVAL * times + LATE, _same(first))


def _energy_flows(payload: dict) -> bool:
    info = payload["transactionInfo"]
    return (payload["triggerReason"], info["chargingState"]) == (
        "ChargingStateChanged",
        "Charging",
    )


def _same(first: Call):
    name, number = first["transactionInfo.transactionId"], first["seqNo"]
    return lambda call: (call["transactionInfo.transactionId"], call["seqNo"]) == (name, number)
