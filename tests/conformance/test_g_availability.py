"""G: availability of the station, its EVSEs and its connectors, and what it reports of them."""

from tests.conformance import states
from tests.conformance.octt import Octt


async def test_TC_G_01_CS(octt):
    await states.ev_connected_pre_session(octt)


async def test_TC_G_02_CS(octt):
    await states.ev_connected_pre_session(octt)
    octt.hardware.unplug(octt.evse)
    await octt.status("Available")


# --- made inoperative ----------------------------------------------------------------------------------


async def test_TC_G_03_CS(octt):
    await states.unavailable(octt, octt.evse)
    await octt.nothing("StatusNotification", 2)


async def test_TC_G_05_CS(octt):
    await states.unavailable(octt)


async def test_TC_G_07_CS(octt):
    await states.unavailable(octt, octt.evse, octt.connector)
    await octt.nothing("StatusNotification", 2)


# --- and operative again -------------------------------------------------------------------------------


async def test_TC_G_04_CS(octt):
    await states.unavailable(octt, octt.evse)
    await _operative(octt, octt.evse)


async def test_TC_G_06_CS(octt):
    await states.unavailable(octt)
    await _operative(octt)


async def test_TC_G_08_CS(octt):
    await states.unavailable(octt, octt.evse, octt.connector)
    await _operative(octt, octt.evse, octt.connector)


# --- what is so already ----------------------------------------------------------------------------------


async def test_TC_G_09_CS(octt):
    await _change(octt, "Operative", octt.evse)


async def test_TC_G_12_CS(octt):
    await _change(octt, "Operative")


async def test_TC_G_15_CS(octt):
    await _change(octt, "Operative", octt.evse, octt.connector)


async def test_TC_G_10_CS(octt):
    await states.unavailable(octt, octt.evse)
    await _change(octt, "Inoperative", octt.evse)


async def test_TC_G_13_CS(octt):
    await states.unavailable(octt)
    await _change(octt, "Inoperative")


async def test_TC_G_16_CS(octt):
    await states.unavailable(octt, octt.evse, octt.connector)
    await _change(octt, "Inoperative", octt.evse, octt.connector)


# --- while a transaction runs ------------------------------------------------------------------------------


async def test_TC_G_11_CS(octt):
    await _during_a_transaction(octt, octt.evse)


async def test_TC_G_14_CS(octt):
    await _during_a_transaction(octt)


async def test_TC_G_17_CS(octt):
    await _during_a_transaction(octt, octt.evse, octt.connector)


# --- over a reboot ---------------------------------------------------------------------------------------------


async def test_TC_G_18_CS(octt):
    await _survives(octt, octt.evse)


async def test_TC_G_19_CS(octt):
    await _survives(octt, octt.evse, octt.connector)


async def test_TC_G_21_CS(octt):
    await _survives(octt)


async def _change(
    octt: Octt, status: str, evse: int = 0, connector: int = 0, answer: str = "Accepted"
):
    request = {"operationalStatus": status} | states.where(evse, connector)
    await octt.call("ChangeAvailability", request, status=answer)


async def _operative(octt: Octt, evse: int = 0, connector: int = 0) -> None:
    await _change(octt, "Operative", evse, connector)
    await octt.statuses(dict.fromkeys(states.within(octt, evse, connector), "Available"))


async def _during_a_transaction(octt: Octt, evse: int = 0, connector: int = 0) -> None:
    """It waits for the end of the transaction where one runs, and nowhere else."""
    await states.energy_transfer_started(octt)
    await _change(octt, "Inoperative", evse, connector, "Scheduled")
    concerned = states.within(octt, evse, connector)
    await octt.statuses({place: "Unavailable" for place in concerned if place[0] != octt.evse})
    own = octt.evse, octt.connector
    await octt.sleep(octt.transaction_duration)
    assert not octt._statuses(own), "it did not wait for the end of the transaction"
    await states.until_ended(octt)
    await octt.statuses({place: "Unavailable" for place in concerned if place[0] == octt.evse})
    if octt.state[octt.evse].connected:
        await octt.station.wait("unlocked")
        octt.hardware.unplug(octt.evse)
        await octt.station.wait("unplugged")
        await octt.quiet()
        assert not octt._statuses(own), "still unavailable, so there is nothing to report"


async def _survives(octt: Octt, evse: int = 0, connector: int = 0) -> None:
    await states.unavailable(octt, evse, connector)
    gone = dict.fromkeys(states.within(octt, evse, connector), "Unavailable")
    await states.booted(octt, statuses=gone)
    if not evse:
        return
    octt.forget()
    await states.booted(octt, "power", statuses=gone)
