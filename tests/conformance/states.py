"""The reusable and memory states that scripts share: each brings the station there and validates what it says on the
way. A state that needs another one first executes it. All of them take the EVSE, the configured one if left out.

Where TxStartPoint or TxStopPoint decides whether there is a message, the configured points (`octt.start_points`,
`octt.stop_points`) and the transaction that runs do. Two readings are allowed where the scripts leave it open: the
event that starts a transaction at PowerPathClosed says what closed the path (Authorized, CablePluggedIn, RemoteStart)
or ChargingStateChanged with SuspendedEVSE.
"""

from typing import Any

from tests.conformance.octt import Call, Octt, State, Token, at, check

BAY = "ParkingBayOccupancy"
BOOT_EVENTS = ("StartupOfTheDevice", "ResetOrReboot")
_NOT_ENDED = ("Started", "Updated")


# --- boot -------------------------------------------------------------------------------------------


async def booting(octt: Octt) -> None:
    """The station is on its way to boot, and has not connected yet."""
    octt.forget()
    await octt.call("Reset", {"type": "Immediate"}, status="Accepted")


async def booted(
    octt: Octt,
    how: str = "Immediate",
    statuses: dict[tuple[int, int], str] | None = None,
) -> Call:
    """Reboot by a Reset ("Immediate", "OnIdle") or a "power" cycle; the BootNotification. `statuses`: those of the
    connectors that are not Available afterwards."""
    octt.forget()
    if how == "power":
        await octt.rig.device.power_cycle()
    else:
        await octt.call("Reset", {"type": how}, status="Accepted")
    return await reported(octt, statuses)


async def reported(
    octt: Octt, statuses: dict[tuple[int, int], str] | None = None, **wanted: Any
) -> Call:
    """What a station says when it has booted: BootNotification, every connector, a security event."""
    boot = await octt.expect("BootNotification", within=120)
    check(boot, wanted)
    octt.forget(boot)  # free EVSEs are unavailable while a reset waits (B12)
    await octt.statuses(dict.fromkeys(octt.connectors, "Available") | (statuses or {}))
    await octt.expect("SecurityEventNotification", type=BOOT_EVENTS)
    await octt.station.wait("accepted")
    for state in octt.state.values():
        state.authorized = state.energy = state.remote = False
    return boot


# --- availability -------------------------------------------------------------------------------------


def where(evse: int = 0, connector: int = 0) -> dict[str, Any]:
    """The `evse` field of a request: the station, an EVSE or a connector."""
    if not evse:
        return {}
    return {"evse": {"id": evse} | ({"connectorId": connector} if connector else {})}


def within(octt: Octt, evse: int = 0, connector: int = 0) -> list[tuple[int, int]]:
    """The connectors that belong to the station (0, 0), an EVSE or a connector."""
    return [(e, c) for e, c in octt.connectors if evse in (0, e) and connector in (0, c)]


async def unavailable(octt: Octt, evse: int = 0, connector: int = 0) -> None:
    """The station (0, 0), an EVSE or a connector was made inoperative."""
    request = {"operationalStatus": "Inoperative"} | where(evse, connector)
    await octt.call("ChangeAvailability", request, status="Accepted")
    await octt.statuses(dict.fromkeys(within(octt, evse, connector), "Unavailable"))


async def reserved(octt: Octt, evse: int | None = None, token: Token | None = None) -> None:
    """An EVSE is reserved for a token."""
    evse, token = evse or octt.evse, token or octt.token
    request = {
        "id": octt.request_id(),
        "expiryDateTime": "2099-01-01T00:00:00Z",
        "idToken": token.json,
        "evseId": evse,
    }
    await octt.call("ReserveNow", request, status="Accepted")
    await octt.statuses(dict.fromkeys(within(octt, evse), "Reserved"))


# --- start and stop points ------------------------------------------------------------------------------


async def start_at(octt: Octt, *points: str) -> None:
    """TxStartPoint is these points; where it cannot be written, one of them is among what it is."""
    if octt.has("C51"):
        await octt.configure({"TxCtrlr.TxStartPoint": list(points)})
    assert octt.start_points & set(points), octt.start_points


async def stop_at(octt: Octt, *points: str) -> None:
    """TxStopPoint, the same."""
    if octt.has("C52"):
        await octt.configure({"TxCtrlr.TxStopPoint": list(points)})
    assert octt.stop_points & set(points), octt.stop_points


# --- a charging session ---------------------------------------------------------------------------------


async def parking_bay_occupied(octt: Octt, evse: int | None = None) -> None:
    """An EV stands in front of the EVSE; nothing to do where no sensor would see it."""
    evse = evse or octt.evse
    state = octt.state[evse]
    if state.bay or not octt.has("C09_6 or C10_5"):
        return
    state.bay = True
    octt.hardware.set_bay(evse, True)
    await octt.rig.device.settled()
    if BAY in octt.start_points:
        await octt.event("EVDetected", kind="Started", evse=evse)


async def ev_connected_pre_session(
    octt: Octt, evse: int | None = None, connector: int | None = None
) -> Call | None:
    """The cable is plugged in, before or after the authorization; the event that says so, if there is one."""
    evse, connector = evse or octt.evse, connector or octt.connector
    await parking_bay_occupied(octt, evse)
    state = octt.state[evse]
    running = state.transaction
    octt.hardware.plug(evse, connector)
    state.connected = True
    await octt.status("Occupied", evse, connector)
    closes = state.authorized and "PowerPathClosed" in octt.start_points
    if not (running or closes or "EVConnected" in octt.start_points):
        return None
    charging = ("EVConnected", "SuspendedEVSE", "Charging") if state.authorized else "EVConnected"
    call = await octt.event(
        ("CablePluggedIn", "ChargingStateChanged", "RemoteStart"),
        kind="Updated" if running else "Started",
        state=charging,
        evse=evse,
        evse__id=evse,
        evse__connectorId=connector,
    )
    _tells_token(octt, state, call)
    return call


async def authorized(
    octt: Octt,
    how: str | None = None,
    evse: int | None = None,
    token: Token | None = None,
    *,
    authorize: bool | None = True,
    request: dict[str, Any] | None = None,
) -> Call | None:
    """A token may charge: "local" by card or "remote", by default as the product does it. `authorize`: whether the
    CSMS is asked (None: it may); `request`: more for RequestStartTransaction. The event that tells it, if there is
    one."""
    evse, token = evse or octt.evse, token or octt.token
    await parking_bay_occupied(octt, evse)
    if (how or ("local" if octt.reader else "remote")) == "local":
        return await _authorized_local(octt, evse, token, authorize)
    return await _authorized_remote(octt, evse, token, authorize, request)


async def _authorized_local(octt, evse, token, authorize) -> Call | None:
    state = octt.state[evse]
    running = state.transaction
    await octt.present(token, evse)
    await _asked(octt, token, authorize)
    _authorize(state, token, remote=False)
    if running or "Authorized" in octt.start_points:
        call = await octt.event("Authorized", kind="Updated" if running else "Started", evse=evse)
    elif state.connected and "PowerPathClosed" in octt.start_points:
        call = await octt.event(("Authorized", "ChargingStateChanged"), kind="Started", evse=evse)
        if call["triggerReason"] == "ChargingStateChanged":
            check(call, {"transactionInfo.chargingState": ("SuspendedEVSE", "Charging")})
    else:
        return None
    _tells_token(octt, state, call)
    return call


async def _authorized_remote(octt, evse, token, authorize, more=None) -> Call | None:
    state = octt.state[evse]
    running = state.transaction
    state.remote_id = octt.remote_start_id()
    request = {"idToken": token.json, "remoteStartId": state.remote_id, "evseId": evse}
    request |= more or {}
    wanted = {"status": "Accepted"} | ({"transactionId": running} if running else {})
    await octt.call("RequestStartTransaction", request, **wanted)
    if await octt.station.get("AuthCtrlr", "AuthorizeRemoteStart") != "true":
        authorize = False
    if token.type in ("Central", "NoAuthorization"):
        authorize = None
    await _asked(octt, token, authorize)
    _authorize(state, token, remote=True)
    starts = "Authorized" in octt.start_points
    starts = starts or (state.connected and "PowerPathClosed" in octt.start_points)
    if not (running or starts):
        return None
    call = await octt.event("RemoteStart", kind="Updated" if running else "Started", evse=evse)
    _tells_token(octt, state, call)
    return call


async def _asked(octt, token, authorize) -> None:
    if authorize:
        call = await octt.expect("Authorize", answer=True)
        assert token.matches(call.payload), f"{call} asks for another token than {token}"
    else:
        await octt.sleep(1)
        asked = octt.seen("Authorize")
        assert authorize is None or not asked, f"nobody was to be asked: {asked}"
        for _ in asked:
            await octt.expect("Authorize")


def _authorize(state: State, token: Token, remote: bool) -> None:
    state.authorized, state.remote, state.token_told = True, remote, False
    state.token = token


def _tells_token(octt: Octt, state: State, call: Call) -> None:
    """The first event behind an authorization names the token, and the remote start that it came from."""
    if not state.authorized or state.token_told:
        return
    state.token_told = True
    assert state.token.matches(call.payload), f"{call} does not name {state.token}"
    if state.remote:
        check(call, {"triggerReason": "RemoteStart"}, what=repr(call))
        check(call, {"transactionInfo.remoteStartId": state.remote_id}, what=repr(call))


async def energy_transfer_started(
    octt: Octt,
    evse: int | None = None,
    how: str | None = None,
    token: Token | None = None,
    connector: int | None = None,
) -> Call | None:
    """Energy flows: authorized and plugged in, in this order where neither holds yet."""
    evse = evse or octt.evse
    state = octt.state[evse]
    before: Call | None = None
    if not state.authorized:
        before = await authorized(octt, how, evse, token)
    if not state.connected:
        before = await ev_connected_pre_session(octt, evse, connector)
    state.energy = True
    call = None
    started = "EnergyTransfer" in octt.start_points or state.transaction
    charging = before is not None and before["transactionInfo.chargingState"] == "Charging"
    if started and not charging:
        running = state.transaction
        triggers = ("ChargingStateChanged",)
        if not running:
            triggers += ("Authorized", "RemoteStart")
        call = await octt.event(
            triggers, kind="Updated" if running else "Started", state="Charging", evse=evse
        )
        _tells_token(octt, state, call)
    await octt.station.wait("charging", evse=evse)
    return call


async def energy_transfer_suspended(octt: Octt, evse: int | None = None) -> Call:
    """The EV has had enough for now."""
    evse = evse or octt.evse
    if not octt.state[evse].energy:
        await energy_transfer_started(octt, evse)
    await octt.sleep(octt.transaction_duration)
    octt.hardware.ready(evse, False)
    ends = "EnergyTransfer" in octt.stop_points
    call = await octt.event(
        "ChargingStateChanged",
        kind="Ended" if ends else "Updated",
        state=("EVConnected", "SuspendedEV"),
        evse=evse,
    )
    if ends:
        check(call, {"transactionInfo.stoppedReason": "StoppedByEV"}, what=repr(call))
        octt.state[evse].authorized = False
    octt.state[evse].energy = False
    return call


async def stop_authorized(
    octt: Octt, evse: int | None = None, how: str | None = None, token: Token | None = None
) -> Call:
    """The driver ("local") or the CSMS ("remote") stops the charging; the first event that says so."""
    evse = evse or octt.evse
    state = octt.state[evse]
    if not state.energy:
        await energy_transfer_started(octt, evse)
    await octt.sleep(octt.transaction_duration)
    if (how or ("local" if octt.reader else "remote")) == "local":
        token = token or state.token
        await octt.present(token, evse)
        call = await octt.event("StopAuthorized", kind=("Updated", "Ended"), evse=evse)
        assert call["idToken"] is None or token.matches(call.payload), repr(call)
        if call["eventType"] == "Ended":
            check(call, {"transactionInfo.stoppedReason": ("Local", None)}, what=repr(call))
        state.stopped_remote = False
    else:
        request = {"transactionId": state.transaction or state.actual}
        await octt.call("RequestStopTransaction", request, status="Accepted")
        call = await octt.event("RemoteStop", kind=("Updated", "Ended"), evse=evse)
        state.stopped_remote = True
    state.authorized = state.energy = state.remote = False
    return call


async def ev_connected_post_session(octt: Octt, evse: int | None = None) -> Call | None:
    """No energy flows any more, and none will without a new authorization."""
    evse = evse or octt.evse
    state = octt.state[evse]
    if state.energy or state.authorized:
        await stop_authorized(octt, evse)
    call = None
    if state.transaction:
        call = await octt.event("ChargingStateChanged", state="EVConnected", evse=evse)
    await octt.station.wait("contactor_open", evse=evse)
    return call


async def ev_disconnected(octt: Octt, evse: int | None = None) -> Call | None:
    """The cable is out again, after a session that was stopped."""
    evse = evse or octt.evse
    state = octt.state[evse]
    if state.energy or state.authorized:
        await ev_connected_post_session(octt, evse)
    await octt.station.wait("unlocked", evse=evse)
    connector = octt.hardware.outlet(evse).cable
    octt.hardware.unplug(evse)
    state.connected = False
    await octt.status("Available", evse, connector)
    if not state.transaction:
        return None
    ends = "EVConnected" in octt.stop_points
    return await octt.event(
        "EVCommunicationLost", kind="Ended" if ends else "Updated", state="Idle", evse=evse
    )


async def parking_bay_unoccupied(octt: Octt, evse: int | None = None) -> Call | None:
    """The EV has left."""
    evse = evse or octt.evse
    state = octt.state[evse]
    if state.connected:
        await ev_disconnected(octt, evse)
    if not state.bay:
        return None
    octt.hardware.set_bay(evse, False)
    state.bay = False
    await octt.rig.device.settled()
    if not (state.transaction and BAY in octt.stop_points):
        return None
    call = await octt.event("EVDeparted", kind="Ended", evse=evse)
    reason = "Remote" if state.stopped_remote else ("Local", None)
    check(call, {"transactionInfo.stoppedReason": reason}, what=repr(call))
    return call


async def until_ended(octt: Octt, evse: int | None = None, how: str | None = None) -> None:
    """StopAuthorized, EVConnectedPostSession, EVDisconnected, ParkingBayUnoccupied: as far as it takes to end the
    transaction."""
    evse = evse or octt.evse
    await stop_authorized(octt, evse, how)
    for further in (ev_connected_post_session, ev_disconnected, parking_bay_unoccupied):
        if octt.state[evse].transaction:
            await further(octt, evse)


# --- the connection ----------------------------------------------------------------------------------------


async def renew_connection(octt: Octt) -> None:
    """The CSMS closes the connection, and the station comes back."""
    await octt.close()
    await octt.connected()


async def start_offline_transaction(
    octt: Octt, token: Token | None = None, *, return_online: bool = True
) -> None:
    """A transaction is started while the CSMS is away."""
    await octt.offline()
    _drive_in(octt)
    await octt.present(token)
    octt.hardware.plug(octt.evse, octt.connector)
    await octt.station.wait("charging")
    octt.state[octt.evse].connected = True
    _authorize(octt.state[octt.evse], token or octt.token, remote=False)
    octt.state[octt.evse].energy = True
    if return_online:
        await octt.online()


async def transaction_events_in_queue_ended(octt: Octt, *, return_online: bool = True) -> None:
    """A whole transaction ran while the CSMS was away; its events wait."""
    await octt.configure({"AuthCtrlr.OfflineTxForUnknownIdEnabled": True}, optional=True)
    if octt.has("C49"):
        await id_token_cached(octt, octt.token)
    await octt.offline()
    _drive_in(octt)
    octt.hardware.plug(octt.evse, octt.connector)
    await octt.station.wait("plugged")
    await octt.present()
    await octt.station.wait("charging")
    await octt.sleep(octt.transaction_duration)
    await octt.present()
    await octt.station.wait("unauthorized")
    await octt.station.wait("unlocked")
    octt.hardware.unplug(octt.evse)
    await octt.station.wait("unplugged")
    octt.hardware.set_bay(octt.evse, False)
    await octt.rig.device.settled()
    if return_online:
        await octt.online()


def _drive_in(octt: Octt) -> None:
    if octt.has("C09_6 or C10_5"):
        octt.hardware.set_bay(octt.evse, True)


async def id_token_cached(octt: Octt, token: Token | None = None) -> None:
    """The station has seen what the CSMS thinks of a token, in a session or in the attempt of one."""
    token = token or octt.token
    accepted = octt.csms.token(token.value).status == "Accepted"
    await parking_bay_occupied(octt)
    if accepted:
        await authorized(octt, "local" if octt.reader else "remote", token=token, authorize=None)
        await ev_connected_pre_session(octt)
        await parking_bay_unoccupied(octt)
    else:
        await octt.present(token)
        await octt.expect("Authorize", lambda call: token.matches(call.payload))
        await octt.sleep(2)
        octt.hardware.set_bay(octt.evse, False)
        octt.state[octt.evse].bay = False
        await octt.rig.device.settled()
    await octt.quiet()
    octt.forget()


# --- reports ---------------------------------------------------------------------------------------------------


async def base_report(octt: Octt, base: str = "FullInventory") -> list[dict[str, Any]]:
    """The variables of a base report: GetBaseReport is accepted, the messages count from 0 and end without tbc."""
    number = octt.request_id()
    await octt.call(
        "GetBaseReport",
        {"requestId": number, "reportBase": base},
        status="Accepted",
        statusInfo__reasonCode=(None, "NoError"),
    )
    found: list[dict[str, Any]] = []
    expected = 0
    while True:
        call = await octt.expect("NotifyReport", answer=False)
        check(call, {"requestId": number, "seqNo": expected, "generatedAt": ...})
        found += call["reportData"] or []
        expected += 1
        if not call["tbc"]:
            return found


def name_of(entry: dict[str, Any]) -> str:
    """Component.Variable[.Instance] of a reported variable."""
    parts = [entry["component"]["name"], entry["variable"]["name"], at(entry, "variable.instance")]
    return ".".join(part for part in parts if part)
