# One EVSE: its cable, its EV, its faults, whether it may be used, and what it reports of its connectors.
#
# All that a driver tells of an EVSE is checked here, and nothing that one raises leaves here: it is a fault of
# that EVSE, whose contactor opens at once.
from micropython import const

from milliamp.base import counts, facts
from milliamp.storage import keys
from tables import statuses

# A meter that has counted on for so long from less than before is followed.
_ANEW_MS = const(60000)
# A driver that failed is a fault for so long: no contactor chatters.
_FAILED_MS = const(5000)


class Evse:
    """The state of one EVSE; its functions stand beside it. `index` counts from 1. About 320 bytes."""

    def __init__(self, index: int, connectors: int):
        self.index = index
        # What the hardware said last.

        # Connector that a plug is in, 0 for none.
        self.plug = 0
        # The same while an EV is at its other end.
        self.cable = 0
        # ord() of the control pilot state.
        self.pilot = 65
        # Name.
        self.fault = None
        # Parking bay occupied.
        self.bay = False
        # Import register, as it is told.
        self.wh = 0
        # Wh that this is ahead of the meter's own.
        self.ahead = 0
        # Wh that a meter began with which counts less than it did.
        self.low = None
        # Ticks.
        self.low_at = 0
        # Ticks at which a driver failed, while that is a fault.
        self.failed = None
        # Last effective status of each connector.
        self.status = bytearray(connectors)
        # Charging: domain.charging owns these.

        # The running Transaction.
        self.tx = None
        # (idToken, type) that charging is authorized with.
        self.token = None
        # Of that token, also known after a reboot.
        self.token_hash = b""
        # Of its group, if it has one.
        self.group_hash = b""
        self.authorized = False
        # No energy until the EV is unplugged (deauthorized, refused).
        self.barred = False
        # Ticks of the authorization, or of being ready without the EV being so.
        self.since = 0
        # Which of the start and stop points hold.
        self.points = 0
        # Charging state.
        self.state = 0
        # (trigger, reason, end) of a step that the journal could not take.
        self.cause = None
        # contactor: it may be, until a driver has opened it.
        self.closed = True
        # Ticks from which the EV is to stop by itself, before the contactor opens.
        self.fading = None
        # Due at the next poll. 1: something has changed that charging.usable asks for; 2: a card was accepted.
        self.look = 0
        # Connector whose plug is locked.
        self.locked = 0
        # Hash of the token that releases a plug whose EV is gone.
        self.holder = b""
        # A bit for each connector whose plug is to be released as soon as it may.
        self.opening = 0
        # Connector whose plug should be locked and is not.
        self.lock_failed = 0
        # RemoteStartId to report.
        self.remote_id = None
        # Ticks of the last periodic sample.
        self.sampled = 0
        # Ticks of the last one for the Ended event.
        self.kept = 0
        # Tokens: domain.tokens owns these.

        # The question to the CSMS that is open.
        self.asking = None
        # Ticks at which the last card was read, against double reads.
        self.card_at = 0
        self.card_hash = b""
        # Of the first EVSE: the card reader failed, and the log has it.
        self.unread = False


def scan(st, e: Evse) -> None:
    """Read the inputs of one EVSE and tell what changed."""
    board, index, tell = st.board, e.index, st.bus.tell
    fault, bay, pilot, pressed = e.fault, e.bay, e.pilot, False
    try:
        fault = board.fault(index)
        bay = bool(board.bay(index))
        plug, pilot, wh = board.cable(index), board.pilot(index), board.energy(index)
        # `|` takes nothing but integers.
        if not (0 <= plug <= len(e.status) and 64 < pilot < 71) or plug | pilot | wh < 0:
            raise ValueError("cable %d, pilot %d, energy %d" % (plug, pilot, wh))
        e.plug, e.wh = plug, _follow(st, e, wh)
        pressed = board.stop_button(index)
    except Exception as error:
        pilot = e.pilot
        failed(st, e, error)
    if e.failed is not None:
        if st.clock.since(e.failed) < _FAILED_MS:
            fault = fault or "DriverFailed"
        else:
            e.failed = None
    if fault != e.fault:
        e.fault = fault
        tell(facts.FAULT, index, fault)
    if bay != e.bay:
        e.bay = bay
        tell(facts.BAY, index, bay)
    cable = e.plug if pilot != 65 else 0
    if cable != e.cable:
        e.cable = cable
        # The status message comes before the transaction's.
        refresh(st, e)
        tell(facts.CABLE, index, cable)
    if pilot != e.pilot:
        e.pilot = pilot
        tell(facts.PILOT, index, pilot)
    if pressed:
        tell(facts.STOP_BUTTON, index)
    refresh(st, e)


def failed(st, e: Evse, error) -> None:
    """A driver of this EVSE raised, or told what cannot be: a fault, and the contactor opens. Said once; None: it
    is said elsewhere."""
    if e.closed:
        try:
            st.board.contactor(e.index, False)
            e.closed = False
        except Exception:
            # The next poll tries again.
            pass
    is_new, e.failed = e.failed is None, st.clock.ticks()
    if is_new and error is not None:
        try:
            text = "EVSE %d: %r" % (e.index, error)
        except MemoryError:
            # That may be all that is wrong: who asks goes on.
            text = "EVSE: MemoryError"
        st.log.error(text)


def drive(st, e: Evse, driver, *args):
    """What a driver of this EVSE answers, None when it raised."""
    try:
        return driver(e.index, *args)
    except Exception as error:
        failed(st, e, error)
        return None


def switch(st, e: Evse, closed: bool) -> bool:
    """Close or open the contactor; False: it did not. Until a driver has opened it, it counts as closed."""
    if e.closed != closed:
        e.closed = True
        try:
            st.board.contactor(e.index, closed)
            e.closed = closed
            # A register that is shown in steps is whole now, and the event that follows tells it.
            if not closed:
                e.wh = _follow(st, e, st.board.energy(e.index) | 0)
        except Exception as error:
            failed(st, e, error)
    return e.closed == closed


def _follow(st, e, wh):
    """The register that is told where the meter shows `wh`: it never falls. A meter that shows less than before is
    held; one that has counted on from there a minute later has begun anew, and is followed from where it was."""
    told = wh + e.ahead
    if told < e.wh:
        if e.low is None or wh < e.low:
            e.low, e.low_at = wh, st.clock.ticks()
        if wh == e.low or st.clock.since(e.low_at) < _ANEW_MS:
            return e.wh
        st.counters[counts.METERS_ANEW] += 1
        e.ahead = e.wh - e.low
        told = wh + e.ahead
    e.low = None
    return told


def status(st, e: Evse, connector: int) -> int:
    """The effective status of a connector. What follows from a running transaction wins over an
    ordered unavailability, which waits for its end (G03.FR.05)."""
    if e.fault is not None or e.pilot == 70:
        return statuses.FAULTED
    if not _busy(e, connector) and not operative(st, e, connector):
        return statuses.UNAVAILABLE
    in_use = e.cable if is_attached(st, e, connector) else e.plug
    if in_use == connector:
        return statuses.OCCUPIED
    return statuses.UNAVAILABLE if st.resetting >> e.index & 1 else statuses.AVAILABLE


def is_attached(st, e: Evse, connector: int) -> bool:
    """Has this connector a fixed cable, and not a socket that a plug may stay in without an EV?"""
    return st.profile.EVSES[e.index - 1][connector - 1].startswith("c")


def _busy(e, connector):
    # Does a transaction use this connector, or (0) any? It may not be known yet which.
    return e.tx is not None and (not connector or e.tx.connector in (0, connector))


def refresh(st, e: Evse) -> None:
    """Compute the status of every connector and tell those that changed."""
    connector = 0
    for old in e.status:
        connector += 1
        new = status(st, e, connector)
        if new != old:
            e.status[connector - 1] = new
            st.bus.tell(facts.STATUS, e.index, connector)
            drive(st, e, st.board.indicate, new)


def operative(st, e: Evse, connector: int = 0) -> bool:
    """Are the station, the EVSE and the connector all operative? 0: any of its connectors."""
    get = st.settings.get
    if not (get(keys.OPERATIVE, 1) and get(keys.OPERATIVE + e.index * 16, 1)):
        return False
    connectors = (connector,) if connector else range(1, len(e.status) + 1)
    return any(get(keys.OPERATIVE + e.index * 16 + n, 1) for n in connectors)


def set_operative(st, evse: int, connector: int, on: bool) -> bool:
    """Make the station (0, 0), an EVSE (n, 0) or a connector operative or not, for good.

    Returns True when it holds at once, False when it waits for a transaction to end (G03.FR.05, G04.FR.06).
    """
    st.settings.put((keys.OPERATIVE + evse * 16 + connector, None if on else 0))
    at_once = True
    for e in st.evses:
        if evse in (0, e.index):
            refresh(st, e)
            e.look = e.look or 1
            if not on and _busy(e, connector):
                at_once = False
    return at_once
