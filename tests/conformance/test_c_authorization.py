"""C: who may charge: what the CSMS says, what the station remembers of it, groups and the master pass."""

from typing import Any

from tests.conformance import states
from tests.conformance.octt import METER_VALUES, Call, Octt, Token, check

ASKING = {"AuthCtrlr.Enabled": True, "AuthCtrlr.DisableRemoteAuthorization": False}
CACHING = {"AuthCacheCtrlr.Enabled": True, "AuthCtrlr.LocalPreAuthorize": True}
POST_AUTHORIZE = {"AuthCacheCtrlr.DisablePostAuthorize": False}
MASTER = "AuthCtrlr.MasterPassGroupId"
STOP_INVALID, MAX_INVALID = "TxCtrlr.StopTxOnInvalidId", "TxCtrlr.MaxEnergyOnInvalidId"
BACK_OFF = 10  # seconds, RetryBackOffWaitMinimum
MESSAGE_TIMEOUT = 30  # seconds for which a script waits that nothing comes


# --- online, without the cache ------------------------------------------------------------------------


async def test_TC_C_02_CS(octt):
    await _refused(octt, octt.invalid)


async def test_TC_C_06_CS(octt):
    await _refused(octt, octt.blocked)


async def test_TC_C_07_CS(octt):
    await _refused(octt, octt.expired)


async def test_TC_C_56_CS(octt):
    await _refused(octt, octt.unknown)


async def test_TC_C_04_CS(octt):
    """Another card that is valid does not stop the transaction."""
    await octt.configure(ASKING, optional=True)
    await states.energy_transfer_started(octt)
    await octt.present(octt.token2)
    await _asks(octt, octt.token2)
    await _goes_on(octt)


# --- through the cache --------------------------------------------------------------------------------


async def test_TC_C_08_CS(octt):
    await _cached(octt)
    await states.ev_connected_pre_session(octt)
    await states.authorized(octt, "local", authorize=False)
    await states.energy_transfer_started(octt)


async def test_TC_C_09_CS(octt):
    await _asks_again(octt, octt.invalid)


async def test_TC_C_10_CS(octt):
    await _asks_again(octt, octt.blocked)


async def test_TC_C_11_CS(octt):
    await _asks_again(octt, octt.expired)


async def test_TC_C_12_CS(octt):
    """It was invalid, and the CSMS accepts it now."""
    await _cached(octt, octt.invalid, **POST_AUTHORIZE)
    await states.ev_connected_pre_session(octt)
    octt.csms.knows(octt.invalid.value)
    await states.authorized(octt, "local", token=octt.invalid)
    await states.energy_transfer_started(octt)


async def test_TC_C_13_CS(octt):
    await _cached(octt)
    await states.parking_bay_occupied(octt)
    await states.authorized(octt, "local", authorize=False)
    await octt.nothing("TransactionEvent", 5, transactionInfo__chargingState="Charging")
    await states.ev_connected_pre_session(octt)
    await states.energy_transfer_started(octt)


async def test_TC_C_57_CS(octt):
    await _cached(octt, octt.invalid, **{"AuthCacheCtrlr.DisablePostAuthorize": True})
    await states.ev_connected_pre_session(octt)
    await octt.present(octt.invalid)
    await octt.nothing("Authorize", 10)
    assert octt.hardware.outlet(octt.evse).current == 0
    await octt.nothing("TransactionEvent", 0)


# --- accepted offline, and the CSMS thinks otherwise (E05) ------------------------------------------------


async def test_TC_C_15_CS(octt):
    """Some energy is left to it, and no more."""
    most = 300  # Wh, counted from the begin of the transaction
    queue = await _found_invalid(octt, {STOP_INVALID: False, MAX_INVALID: most})
    _charged(queue)
    await octt.nothing("TransactionEvent", 10, triggerReason="Deauthorized")
    await octt.nothing("TransactionEvent", 0, transactionInfo__chargingState="SuspendedEVSE")
    await octt.expect(
        "TransactionEvent",
        within=300,
        transactionInfo__chargingState="SuspendedEVSE",
        eventType="Updated",
    )
    await octt.station.wait("contactor_open")
    (began,) = [c for c in octt.calls_of("TransactionEvent") if c["eventType"] == "Started"][-1:]
    delivered = octt.hardware.outlet(octt.evse).wh - began["meterValue.0.sampledValue.0.value"]
    assert most <= delivered <= most + 20, f"{delivered} Wh"


async def test_TC_C_16_CS(octt):
    queue = await _found_invalid(octt, {STOP_INVALID: True, MAX_INVALID: 0})
    _charged(queue)
    await octt.expect("TransactionEvent", triggerReason="Deauthorized")
    await octt.station.wait("contactor_open")


async def test_TC_C_17_CS(octt):
    queue = await _found_invalid(octt, {STOP_INVALID: False, MAX_INVALID: 0})
    assert any(octt.token.matches(call.payload) and call["offline"] for call in queue), queue
    suspended = [c for c in queue if c["transactionInfo.chargingState"] == "SuspendedEVSE"]
    if not suspended:
        await octt.expect("TransactionEvent", transactionInfo__chargingState="SuspendedEVSE")
    await octt.station.wait("contactor_open")
    await octt.nothing("TransactionEvent", 10, transactionInfo__chargingState="Charging")


async def test_TC_C_18_CS(octt):
    """That it has to stop comes before that some energy is left to it."""
    queue = await _found_invalid(octt, {STOP_INVALID: True, MAX_INVALID: 500})
    _charged(queue)
    await octt.expect("TransactionEvent", triggerReason="Deauthorized", offline=(None, False))
    await octt.station.wait("contactor_open")


async def test_TC_C_26_CS(octt):
    """Unknown ids may charge offline: the CSMS refuses this one later, and its driver ends it."""
    token = octt.unknown
    octt.csms.knows(token.value, "Invalid")
    await octt.configure({"AuthCtrlr.LocalPreAuthorize": True}, optional=True)
    await octt.configure(
        {
            "AuthCtrlr.OfflineTxForUnknownIdEnabled": True,
            "AuthCtrlr.LocalAuthorizeOffline": True,
            STOP_INVALID: False,
            "OCPPCommCtrlr.RetryBackOffWaitMinimum": BACK_OFF,
            "OCPPCommCtrlr.RetryBackOffRandomRange": 0,
        }
    )
    await octt.configure({MAX_INVALID: 0}, optional=True)
    octt.forget()
    await states.start_offline_transaction(octt, token)
    queue = await _queue(octt)
    assert any(token.matches(call.payload) for call in queue), queue
    suspended = await octt.expect(
        "TransactionEvent", transactionInfo__chargingState="SuspendedEVSE"
    )
    assert all(call["offline"] for call in queue if call["seqNo"] < suspended["seqNo"]), queue
    await octt.station.wait("contactor_open")
    await octt.present(token)
    stopped = await octt.expect("TransactionEvent", triggerReason="StopAuthorized")
    assert stopped["idToken"] is None or token.matches(stopped.payload), repr(stopped)
    await octt.station.wait("unlocked")
    octt.hardware.unplug(octt.evse)


# --- what the cache stores ------------------------------------------------------------------------------


async def test_TC_C_32_CS(octt):
    """It outlives a reboot."""
    await _cached(octt)
    await states.booted(octt)
    await octt.quiet()
    await states.authorized(octt, "local", authorize=False)
    await states.ev_connected_pre_session(octt)
    await states.energy_transfer_started(octt)


async def test_TC_C_33_CS(octt):
    """The answer to Authorize is stored."""
    await octt.configure(CACHING)
    await states.ev_connected_pre_session(octt)
    await states.authorized(octt, "local")
    await states.energy_transfer_started(octt)
    await states.parking_bay_unoccupied(octt)
    await states.parking_bay_occupied(octt)
    await states.ev_connected_pre_session(octt)
    octt.csms.knows(octt.token.value, "Invalid")
    await states.authorized(octt, "local", authorize=False)


async def test_TC_C_34_CS(octt):
    """The answer to a TransactionEvent is stored."""
    await _cached(octt)
    await states.ev_connected_pre_session(octt)
    octt.csms.knows(octt.token.value, "Invalid")
    await states.authorized(octt, "local", authorize=False)
    await octt.expect("TransactionEvent", triggerReason="Deauthorized")
    state = octt.state[octt.evse]
    state.authorized = state.energy = False
    await octt.quiet()
    octt.forget()
    await states.parking_bay_unoccupied(octt)
    await states.parking_bay_occupied(octt)
    await states.ev_connected_pre_session(octt)
    await octt.present()
    await _asks(octt, octt.token)


async def test_TC_C_36_CS(octt):
    """LocalPreAuthorize is false: it is not looked at while the CSMS is there."""
    await octt.configure(CACHING | {"AuthCtrlr.LocalPreAuthorize": False})
    await states.id_token_cached(octt)
    octt.csms.knows(octt.token.value, "Invalid")
    await octt.present()
    await _asks(octt, octt.token)


async def test_TC_C_46_CS(octt):
    """What was not used for as long as AuthCacheCtrlr.LifeTime says is no longer known."""
    await _cached(octt, **{"AuthCacheCtrlr.LifeTime": int(octt.transaction_duration)})
    await states.ev_connected_pre_session(octt)
    await octt.sleep(octt.transaction_duration)
    await states.authorized(octt, "local")


async def test_TC_C_37_CS(octt):
    await _cached(octt)
    await octt.call("ClearCache", {}, status="Accepted")
    await states.parking_bay_occupied(octt)
    await states.ev_connected_pre_session(octt)
    await states.authorized(octt, "local")
    await states.energy_transfer_started(octt)


async def test_TC_C_38_CS(octt):
    await _cached(octt)
    await octt.configure({"AuthCacheCtrlr.Enabled": False})
    await octt.call("ClearCache", {}, status="Rejected")


# --- groups -----------------------------------------------------------------------------------------------


async def test_TC_C_39_CS(octt):
    _one_group(octt, octt.token, octt.token2)
    await states.ev_connected_pre_session(octt)
    await states.authorized(octt, "local")
    await states.energy_transfer_started(octt)
    stopped = await states.stop_authorized(octt, how="local", token=octt.token2)
    assert octt.token2.matches(stopped.payload), repr(stopped)
    await _asks(octt, octt.token2)
    await states.parking_bay_unoccupied(octt)


async def test_TC_C_41_CS(octt):
    """Both are known to be of one group: nobody is asked."""
    _one_group(octt, octt.token, octt.token2)
    await _cached(octt)
    await states.id_token_cached(octt, octt.token2)
    await states.ev_connected_pre_session(octt)
    await states.authorized(octt, "local", authorize=False)
    await states.energy_transfer_started(octt)
    stopped = await states.stop_authorized(octt, how="local", token=octt.token2)
    assert octt.token2.matches(stopped.payload), repr(stopped)
    await octt.nothing("Authorize", 0)
    await states.parking_bay_unoccupied(octt)


async def test_TC_C_42_CS(octt):
    _one_group(octt, octt.token)
    octt.csms.knows(octt.invalid.value, "Invalid", octt.group)
    await states.ev_connected_pre_session(octt)
    await states.authorized(octt, "local")
    await states.energy_transfer_started(octt)
    await octt.present(octt.invalid)
    await _asks(octt, octt.invalid)
    await _goes_on(octt)


async def test_TC_C_44_CS(octt):
    _one_group(octt, octt.token)
    octt.csms.knows(octt.invalid.value, "Invalid", octt.group)
    await _cached(octt, **POST_AUTHORIZE)
    await states.id_token_cached(octt, octt.invalid)
    await states.ev_connected_pre_session(octt)
    await states.authorized(octt, "local", authorize=False)
    await states.energy_transfer_started(octt)
    await octt.present(octt.invalid)
    await _asks(octt, octt.invalid)
    await _goes_on(octt)


# --- the master pass ------------------------------------------------------------------------------------


async def test_TC_C_45_CS(octt):
    """It starts nothing."""
    await states.start_at(octt, "Authorized", "PowerPathClosed")
    await octt.configure({MASTER: octt.master_group})
    await octt.present(octt.master)
    await _asks(octt, octt.master)
    await octt.nothing("TransactionEvent", 5)
    octt.hardware.plug(octt.evse, octt.connector)
    await octt.status("Occupied")
    await octt.nothing("TransactionEvent", 10, transactionInfo__chargingState="Charging")


async def test_TC_C_49_CS(octt):
    """It stops all transactions of a station that has no display to choose from."""
    await octt.configure({MASTER: octt.master_group})
    tokens = {1: octt.token, 2: octt.token2}
    running = {evse: token for evse, token in tokens.items() if evse in octt.evses}
    for evse, token in running.items():
        await states.energy_transfer_started(octt, evse, "local", token)
    octt.forget()
    await octt.present(octt.master)
    await _asks(octt, octt.master)
    for evse in running:
        stopped = await octt.event("StopAuthorized", evse=evse)
        assert stopped["idToken"] is None or octt.master.matches(stopped.payload), repr(stopped)
        last = stopped
        state = octt.state[evse]
        state.authorized = state.energy = False
        if state.transaction:
            last = await states.ev_connected_post_session(octt, evse)
        if state.transaction:
            last = await states.ev_disconnected(octt, evse)
        if state.transaction:
            octt.hardware.set_bay(evse, False)
            last = await octt.event("EVDeparted", evse=evse)
        check(
            last,
            {"eventType": "Ended", "transactionInfo.stoppedReason": "MasterPass"},
            what=repr(last),
        )


# --- what they share --------------------------------------------------------------------------------------


async def _asks(octt: Octt, token: Token) -> Call:
    """The CSMS is asked about this token."""
    call = await octt.expect("Authorize")
    assert token.matches(call.payload), repr(call)
    return call


async def _refused(octt: Octt, token: Token) -> None:
    """A token that the CSMS refuses starts nothing."""
    await octt.configure(ASKING, optional=True)
    await states.ev_connected_pre_session(octt)
    await octt.present(token)
    await _asks(octt, token)
    await octt.nothing("TransactionEvent", MESSAGE_TIMEOUT)


async def _goes_on(octt: Octt) -> None:
    """The card that was shown changes nothing: energy flows."""
    await octt.nothing(
        "TransactionEvent",
        MESSAGE_TIMEOUT,
        lambda call: call["triggerReason"] not in METER_VALUES or call["idToken"] is not None,
    )
    assert octt.hardware.outlet(octt.evse).current > 0


async def _cached(octt: Octt, token: Token | None = None, **variables: Any) -> None:
    """The cache is in use, and what the CSMS thinks of a token is in it."""
    await octt.configure(CACHING | variables)
    await states.id_token_cached(octt, token)


async def _asks_again(octt: Octt, token: Token) -> None:
    """What the cache knows as not accepted is asked for again (C12.FR.05)."""
    await _cached(octt, token, **POST_AUTHORIZE)
    await states.ev_connected_pre_session(octt)
    await octt.present(token)
    await _asks(octt, token)
    await octt.nothing("TransactionEvent", 5)


def _one_group(octt: Octt, *tokens: Token) -> None:
    for token in tokens:
        octt.csms.knows(token.value, "Accepted", octt.group)


async def _found_invalid(octt: Octt, variables: dict[str, Any]) -> list[Call]:
    """A token that the cache knows starts while the CSMS is away, which has invalidated it meanwhile. The queue."""
    wait = {
        "OCPPCommCtrlr.OfflineThreshold": BACK_OFF + 60,
        "OCPPCommCtrlr.RetryBackOffWaitMinimum": BACK_OFF,
        "OCPPCommCtrlr.RetryBackOffRandomRange": 0,
    }
    await octt.configure(wait | variables | {"AuthCtrlr.LocalAuthorizeOffline": True})
    await octt.configure({"AuthCtrlr.OfflineTxForUnknownIdEnabled": True}, optional=True)
    await _cached(octt)
    await states.ev_connected_pre_session(octt)
    await octt.offline()
    octt.forget()
    await octt.present()
    await octt.station.wait("charging")
    await octt.sleep(octt.transaction_duration)
    octt.csms.knows(octt.token.value, "Invalid")
    await octt.online()
    return await _queue(octt)


async def _queue(octt: Octt) -> list[Call]:
    """The events that were made while the CSMS was away; the first ones that come, and they say so."""
    await octt.until(lambda: octt.seen("TransactionEvent", offline=True), "event of the queue")
    await octt.quiet()
    queue = octt.seen("TransactionEvent", offline=True)
    first = octt.seen("TransactionEvent")[: len(queue)]
    assert queue == first, f"a later event came before one of the queue: {first}"
    for _ in queue:
        await octt.expect("TransactionEvent", offline=True)
    return queue


def _charged(queue: list[Call]) -> None:
    """Energy began to flow while the CSMS was away."""
    assert any(
        call["triggerReason"] == "ChargingStateChanged" and call["offline"] for call in queue
    ), queue
