# Charging and its transactions: one state machine, driven by what the EVSE, the drivers and the CSMS do.
#
# Every change ends in `step`: it computes which start and stop points hold, what the charging is doing, writes
# the event that follows and then sets the contactor. Opening comes before anything else, closing after the
# event is durable.
#
# The contactor opens at once for a fault, an EV that is gone or has stopped, and pilot states E and F. Every other
# stop (card, button, CSMS, limit, reset) takes the pilot away first and leaves the EV up to three seconds to stop, as
# IEC 61851-1 has it: contacts that open under load weld. The event follows when the contactor is open, so that the
# register of Ended holds all the energy; what was decided is in flash meanwhile.
from micropython import const

from milliamp.base import facts
from milliamp.domain import errors, evse, meter, transaction
from tables import contexts, events, ids, points, words

# For an EV to stop once the pilot is steady.
_FADE_MS = const(3000)
# An EV that takes longer to ask for energy counts as suspending.
_EV_READY_MS = const(5000)


def init(st) -> None:
    """Take up the transactions that a reboot interrupted, then listen to the EVSEs."""
    st.journal.checkpoint = lambda write: _checkpoint(st, write)
    st.journal.stream = transaction.stream
    _scan(st)
    for e in st.evses:
        evse.switch(st, e, False)
    running, registers = transaction.replay(st)
    for e in st.evses:
        evse.drive(st, e, st.board.energy_told, registers.get(e.index, 0))
        # Nobody listens yet: what is plugged in now is no event.
        evse.scan(st, e)
    for tx in running:
        st.evses[tx.evse - 1].tx = tx
    st.bus.subscribe(
        facts.CABLE
        | facts.PILOT
        | facts.STOP_BUTTON
        | facts.FAULT
        | facts.BAY
        | facts.CLOCK
        | facts.ACCEPTED
        | facts.VARIABLE
        | facts.WHO_IS_BUSY,
        _hear,
    )
    for e in st.evses:
        if e.tx is not None and e.tx.seq:
            _resume(st, e, e.tx)
        else:
            # Cut before its first event was durable: it never was.
            e.tx = None
            step(st, e, events.CABLE_PLUGGED_IN if e.cable else events.EV_DETECTED)
        # The plug is the driver's again.
        if not e.authorized:
            for connector in range(len(e.status)):
                unlock(st, e, connector + 1)


def _scan(st):
    try:
        st.board.scan()
    except Exception as error:
        for e in st.evses:
            evse.failed(st, e, error)


def poll(st) -> None:
    """Read all inputs and act on them: what the control task does at every poll."""
    _scan(st)
    for e in st.evses:
        evse.scan(st, e)
        tick(st, e)


def _checkpoint(st, write):
    for e in st.evses:
        write(transaction.idle(e.index, e.wh) if e.tx is None else e.tx.checkpoint())


def _resume(st, e, tx):
    """Power was lost while this transaction ran. It goes on if every stop point that held still holds;
    the power path and the energy transfer were interrupted, that is certain."""
    st.log.warn("power was lost in transaction " + st.journal.transaction_id(tx.counter))
    e.authorized = tx.authorized
    # A meter that lost its memory is one that began anew.
    e.wh = max(e.wh, tx.register)
    e.token_hash, e.group_hash = tx.token_hash, tx.group_hash
    e.sampled = e.kept = e.since = st.clock.ticks()
    # The EV was about to.
    stopping = not tx.authorized and tx.state == events.CHARGING
    authorized = tx.authorized or stopping
    held = (
        points.PARKING_BAY_OCCUPANCY | points.AUTHORIZED
        if authorized
        else points.PARKING_BAY_OCCUPANCY
    )
    if tx.state != events.IDLE:
        held |= points.EV_CONNECTED
    if authorized and tx.state in (events.EV_CONNECTED, events.CHARGING, events.SUSPENDED_EV):
        held |= points.POWER_PATH_CLOSED
    if tx.state == events.CHARGING:
        held |= points.ENERGY_TRANSFER
    lost = held & ~(_points(st, e) & ~(points.POWER_PATH_CLOSED | points.ENERGY_TRANSFER))
    end = lost & points_of(st, ids.TX_TX_STOP_POINT)
    step(st, e, events.ABNORMAL_CONDITION, tx.reason if stopping else events.POWER_LOSS, end)


def points_of(st, variable: int) -> int:
    """The points that TxStartPoint or TxStopPoint (their variable ids) lists, as a mask."""
    listed = st.model.get(variable).split(",")
    mask = 0
    point = 1
    for name in words.TX_START_POINT.split(" "):
        if name in listed:
            mask |= point
        point <<= 1
    return mask


def _hear(st, fact, index, arg):
    """What the EVSEs tell, and what each means."""
    if fact == facts.WHO_IS_BUSY:
        for e in st.evses:
            if index in (0, e.index) and e.tx is not None:
                return 1
        return 0
    if fact == facts.CLOCK:
        for e in st.evses:
            # As the journal rights its records.
            if e.tx is not None and e.tx.guessed:
                e.tx.started += arg
                e.tx.guessed = False
        return 0
    if fact & (facts.ACCEPTED | facts.VARIABLE):
        for e in st.evses:
            e.look = e.look or 1
        return 0
    e = st.evses[index - 1]
    if fact == facts.CABLE:
        if arg:
            step(st, e, events.CABLE_PLUGGED_IN)
        else:
            _unplugged(st, e)
    elif fact == facts.STOP_BUTTON:
        if e.authorized:
            deauthorize(st, e, events.STOP_AUTHORIZED, events.LOCAL)
    elif fact == facts.BAY:
        step(st, e, events.EV_DETECTED if arg else events.EV_DEPARTED, events.LOCAL)
    else:
        step(st, e)
    return 0


def settle(st) -> None:
    """Take the step for which a card was accepted: after it was looked up, for both are long. Who was stopped meanwhile
    starts nothing."""
    for e in st.evses:
        if e.look == 2 and e.authorized:
            e.look = 0
            step(st, e, events.AUTHORIZED)


def _unplugged(st, e):
    """The EV side is gone: E09 ends the authorization with it, E10 keeps it for the next plug. What happens to
    a plug on the station's side, UnlockOnEVSideDisconnect says; if it stays, its driver's token releases it."""
    e.barred = False
    _lock_problem(st, e, 0)
    unlocks = st.model.get(ids.OCPP_COMM_UNLOCK_ON_EV_SIDE_DISCONNECT)
    if e.authorized and e.locked and not unlocks and not evse.is_attached(st, e, e.locked):
        e.holder = e.token_hash
    if e.authorized and st.model.get(ids.TX_STOP_TX_ON_EV_SIDE_DISCONNECT):
        _forget(e)
    else:
        # The time to plug in again runs.
        e.since = st.clock.ticks()
    step(st, e, events.EV_COMMUNICATION_LOST, events.EV_DISCONNECTED)
    if e.authorized:
        # It goes on.
        e.holder = b""
    if not e.cable and not e.holder and (e.tx is None or unlocks):
        release(st, e)


def deauthorize(st, e, trigger: int, reason: int, token=None) -> None:
    """End the authorization of an EVSE, whoever asked for it (`token`: with which card), and with it the energy."""
    if e.authorized or e.tx is not None:
        if e.tx is not None:
            if token is not None:
                # The event names it.
                e.token = token
                e.tx.token_sent = False
            # Holds although another point may end it later.
            e.tx.reason = reason
            # So that a transaction can be stopped that never had it.
            e.points |= points.AUTHORIZED
        e.barred = True
        _forget(e)
        step(st, e, trigger, reason)


def finish(st, e, trigger: int, reason: int) -> None:
    """End the transaction of an EVSE, if one runs, whatever TxStopPoint says (B12: a reset)."""
    if e.tx is not None:
        e.barred = True
        step(st, e, trigger, reason, True)


def _forget(e):
    """The authorization is over. Who it was stays known until the transaction ends."""
    e.authorized = False
    e.remote_id = None
    if e.tx is None:
        e.token, e.token_hash, e.group_hash = None, b"", b""


def usable(st, e) -> bool:
    """May charging begin here at all? Whatever this asks for makes a step when it changes."""
    if e.fault is not None or st.resetting or not evse.operative(st, e, e.cable):
        return False
    if e.tx is not None and e.cause is not None and e.cause[2]:
        # It is about to end, and would take a new authorization along.
        return False
    return bool(st.model.get(ids.TX_TX_BEFORE_ACCEPTED_ENABLED)) or st.accepted


# --- the state machine ------------------------------------------------------------------------------


def _points(st, e):
    """Which start and stop points hold."""
    hold = points.PARKING_BAY_OCCUPANCY if e.bay else 0
    if e.cable:
        hold |= points.EV_CONNECTED
    if e.authorized:
        hold |= points.AUTHORIZED
        able = e.fault is None if e.tx is not None else usable(st, e)
        able = able and not e.barred and not _is_used_up(e)
        if e.cable and able and e.pilot < 69:
            hold |= points.POWER_PATH_CLOSED
            if e.pilot > 66:
                hold |= points.ENERGY_TRANSFER
    return hold


def _is_used_up(e):
    """Has a transaction whose token was refused had all its energy?"""
    tx = e.tx
    return tx is not None and tx.limit is not None and e.wh >= tx.limit


def _state(st, e):
    """What the charging is doing, from the points that hold."""
    if not e.cable:
        return events.IDLE
    if e.points & points.ENERGY_TRANSFER:
        return events.CHARGING
    if e.points & points.POWER_PATH_CLOSED:
        was = e.state
        waited = st.clock.since(e.since) >= _EV_READY_MS
        return (
            events.SUSPENDED_EV
            if was in (events.CHARGING, events.SUSPENDED_EV) or waited
            else events.EV_CONNECTED
        )
    return events.SUSPENDED_EVSE if e.authorized and e.tx is not None else events.EV_CONNECTED


def step(
    st, e, trigger: int = events.CHARGING_STATE_CHANGED, reason: int = events.OTHER, end=False
) -> None:
    """Take one step after a change: what holds now, what must open for that, the event that tells it, and what may close.
    `trigger` is its most specific cause; it makes an event even where the charging state stays the same, unless it is
    the default. `reason` counts if it ends the transaction, which `end` asks for whatever the stop points say."""
    # A step that could not be finished goes on with its own cause, for that is what the event tells (E01.FR.15). What ends
    # a transaction is not undone by a later change.
    if e.cause is not None and (e.cause[2] or trigger == events.CHARGING_STATE_CHANGED):
        trigger, reason, end = e.cause
    hold, reason, end = _decide(st, e, reason, end)
    # Opening waits for nothing: not for flash, not for the event that tells it.
    if e.closed and not hold & points.ENERGY_TRANSFER:
        # A fault, an EV that is gone and the states E and F open at once. Else the pilot goes first, and the EV has its
        # time to stop: contacts that open under load weld (IEC 61851-1).
        fades = e.fault is None and e.failed is None and e.cable and 66 < e.pilot < 69
        if fades:
            if e.fading is None:
                e.fading = st.clock.ticks()
                evse.drive(st, e, st.board.offer, 0)
                trigger = _fade(st, e, trigger, reason, end)
            fades = st.clock.since(e.fading) < _FADE_MS
        if not fades:
            evse.switch(st, e, False)
        # Until the EV has stopped, or the driver has obeyed.
        if e.closed:
            e.cause = trigger, reason, end
            return
    if e.fading is not None:
        e.fading = e.cause = None
    hold = _record(st, e, hold, trigger, reason, end)
    _allow(st, e, hold)


def _decide(st, e, reason, end):
    """The first part of a step: the points that hold after it, why the transaction ends if it does, and does it?"""
    before = e.points
    hold = _points(st, e)
    if e.tx is not None:
        # Nobody took the power away, so it was the EV.
        if hold & points.POWER_PATH_CLOSED and reason == events.OTHER:
            reason = events.STOPPED_BY_EV
        # A stop point is one that held and does not any more (E06.FR.01 to 07): one that never held ends nothing.
        if before & ~hold & points_of(st, ids.TX_TX_STOP_POINT):
            end = True
        # And with it the authorization: a point that still holds starts nothing new.
        if end:
            _forget(e)
            hold = _points(st, e)
    elif not usable(st, e):
        # What comes now may start something when it is usable again.
        hold &= before
    return hold, reason, end


def _record(st, e, hold, trigger, reason, end):
    """The second part: the event that follows from the points, made durable. Returns those by which outputs may be set."""
    before, e.points = e.points, hold
    if not hold & points.POWER_PATH_CLOSED:
        evse.drive(st, e, st.board.offer, 0)
    elif not before & points.POWER_PATH_CLOSED:
        # The EV has some time to get ready.
        e.since = st.clock.ticks()
    old, e.state = e.state, _state(st, e)
    unrecorded = False
    cause = None
    try:
        if e.tx is None:
            # A start point is one that holds now and did not (E01.FR.01 to 06). A new authorization may start what held
            # before: the EV came first and nobody was there. Energy always belongs to a transaction, whatever
            # TxStartPoint says.
            new = hold if hold & ~before & points.AUTHORIZED else hold & ~before
            start = new & (points_of(st, ids.TX_TX_START_POINT) | points.ENERGY_TRANSFER)
            if start and usable(st, e):
                # It came before, and could start nothing.
                if trigger == events.CHARGING_STATE_CHANGED:
                    if start & points.PARKING_BAY_OCCUPANCY:
                        trigger = events.EV_DETECTED
                    elif new & points.EV_CONNECTED:
                        trigger = events.CABLE_PLUGGED_IN
                _start(st, e, trigger)
        elif end:
            _end(st, e, trigger, reason)
        elif trigger != events.CHARGING_STATE_CHANGED or e.state != old:
            if trigger in (events.STOP_AUTHORIZED, events.REMOTE_STOP) and e.state != old:
                # Two events, since each has one trigger (E01.FR.15): the stop, and then that the energy has stopped
                # (E01.FR.18).
                state, e.state = e.state, old
                _write(st, e, events.UPDATED, trigger)
                e.state, trigger = state, events.CHARGING_STATE_CHANGED
            _write(st, e, events.UPDATED, trigger)
    except OSError as error:
        # Nothing may happen that is not durable: no start, no energy, unless the profile wants energy
        # without a transaction. All is as before this step, and `tick` tries again with its cause.
        # An update that was left out for want of room is none: a full journal takes the energy from nobody (E04.FR.07).
        if error.args[0] != errors.LEFT_OUT:
            if e.cause is None:
                st.log.error("the journal takes no event: " + str(error))
            e.points, e.state = before, old
            cause = trigger, reason, end
            unrecorded = e.tx is None and st.profile.CHARGE_UNRECORDED
            if not unrecorded:
                evse.switch(st, e, False)
                hold = 0
    e.cause = cause
    if e.state != old:
        st.bus.tell(facts.CHARGING_STATE, e.index, e.state)
    # Energy belongs to a transaction.
    if e.tx is None and not unrecorded:
        hold &= ~points.ENERGY_TRANSFER
    return hold


def _allow(st, e, hold):
    """The third part: what may be locked, offered and closed, now that the event is durable."""
    if hold & points.POWER_PATH_CLOSED:
        # No offer to a plug that somebody may pull (G05.FR.01).
        if e.locked == e.cable or _lock(st, e):
            evse.drive(st, e, st.board.offer, st.profile.CURRENTS[e.index - 1])
            if hold & points.ENERGY_TRANSFER and e.failed is None:
                evse.switch(st, e, True)
    elif not e.authorized and e.locked and not e.holder:
        release(st, e)


def _fade(st, e, trigger, reason, end):
    """What is written while energy still flows that is to stop: that somebody stopped it, or just for a power cut
    that nobody is authorized any more. The trigger of the event that follows."""
    tx = e.tx
    if tx is not None:
        try:
            if not end and trigger in (events.STOP_AUTHORIZED, events.REMOTE_STOP):
                _write(st, e, events.UPDATED, trigger)
                trigger = events.CHARGING_STATE_CHANGED
            else:
                tx.authorized = e.authorized and not e.barred
                if end:
                    tx.reason = reason
                st.journal.note(tx.checkpoint())
        except OSError:
            # There is no room: it is written when it has stopped.
            pass
    return trigger


def _lock(st, e):
    """Is the plug locked? Not while the lock is on its way: it is asked again at each poll."""
    e.opening = 0
    done = evse.drive(st, e, st.board.lock, e.cable, True)
    if done is None:
        return False
    _lock_problem(st, e, 0 if done else e.cable)
    if done:
        e.locked = e.cable
        return True
    # G05.
    st.log.error("the plug did not lock: no charging")
    e.barred = True
    step(st, e)
    return False


def _lock_problem(st, e, connector):
    if connector != e.lock_failed:
        e.lock_failed = connector
        st.bus.tell(facts.LOCK_PROBLEM, e.index, connector)


def unlock(st, e, connector: int):
    """Release the plug of a connector, locked or not (F05); True: it is free; False: it is not; None: not yet, it is
    tried again at each poll. Never while the contactor is closed."""
    if e.closed:
        return False
    done = evse.drive(st, e, st.board.lock, connector, False)
    bit = 1 << connector
    if done is None:
        e.opening |= bit
        return None
    e.opening &= ~bit
    if e.locked == connector:
        e.locked = 0
        e.holder = b""
    return done


def release(st, e) -> None:
    """Release the plug that is locked here, if one is. While energy flows it stays: the step that stops it follows."""
    if e.locked:
        unlock(st, e, e.locked)


def _start(st, e, trigger):
    tx = transaction.Transaction(st.journal.next_transaction(), e.index)
    tx.start_register = tx.register = e.wh
    tx.started = st.clock.now()
    tx.guessed = not st.clock.synced
    e.tx = tx
    if e.remote_id is not None and e.authorized:
        trigger = events.REMOTE_START
    try:
        _write(st, e, events.STARTED, trigger)
    except Exception:
        # Whatever it is: what is not durable never was.
        e.tx = None
        st.journal.give_back(tx.counter)
        raise
    e.sampled = e.kept = st.clock.ticks()
    evse.refresh(st, e)


def _end(st, e, trigger, reason):
    tx = e.tx
    mask = meter.asked(st, ids.SAMPLED_DATA_TX_ENDED_MEASURANDS)
    now = st.clock.now()
    age = now - tx.started
    samples = b""
    if mask & 1:
        begin = bytearray()
        transaction.put_number(begin, tx.start_register)
        samples = transaction.group(contexts.TRANSACTION_BEGIN, 1, begin, max(age, 0))
    samples += transaction.aged(tx.samples, age)
    samples += meter.sample(st, e, mask, contexts.TRANSACTION_END)
    _write(st, e, events.ENDED, trigger, samples, tx.reason or reason, now)
    e.tx = None
    _forget(e)
    evse.refresh(st, e)


def _write(st, e, kind, trigger, samples=b"", reason=0, time=None):
    """One event, with what is due to be told once: token, remoteStartId, the values of the begin."""
    tx = e.tx
    # No event tells it.
    note = tx.group_hash != e.group_hash or kind == events.STARTED
    # Now it is known where (J02.FR.10).
    if not tx.connector and e.cable and kind != events.ENDED:
        mask = meter.asked(st, ids.SAMPLED_DATA_TX_STARTED_MEASURANDS)
        samples = (
            meter.sample(st, e, mask, contexts.TRANSACTION_BEGIN, tx.start_register) + samples
        )
        note = tx.group_hash != e.group_hash or not mask & 1
    transaction.append(st, e, kind, trigger, samples, reason, time)
    if samples:
        tx.register = e.wh
    tx.token_hash, tx.group_hash = e.token_hash, e.group_hash
    if e.authorized:
        e.remote_id = None
    if note and kind != events.ENDED:
        try:
            st.journal.note(tx.checkpoint())
        except OSError:
            # Without it a power cut makes it forget the group.
            pass
    st.bus.tell(facts.TX, e.index, (kind, trigger))


def trigger_event(st, e, trigger: int, samples: bytes) -> bool:
    """Write an Updated event that somebody asked for (F06, J01), one for each of these sample groups and all
    of the same time (J01.FR.15, J02.FR.14); False: the journal is full, and it was left out."""
    now = st.clock.now()
    try:
        for context, age, mask, values in transaction.packed(samples):
            _write(
                st,
                e,
                events.UPDATED,
                trigger,
                transaction.group(context, mask, values, age),
                0,
                now,
            )
        if not samples:
            _write(st, e, events.UPDATED, trigger)
    except OSError:
        return False
    return True


def tick(st, e) -> None:
    """What time brings: timeouts, an EV or a lock that is not there yet. Called at every poll."""
    if e.opening:
        for connector in range(len(e.status)):
            if e.opening >> connector + 1 & 1:
                unlock(st, e, connector + 1)
    if e.cause is not None or e.look or e.closed and not e.points & points.ENERGY_TRANSFER:
        e.look = 0
        step(st, e)
    elif e.authorized and not e.cable:
        timeout = st.model.get(ids.TX_EV_CONNECTION_TIME_OUT)
        if timeout and st.clock.since(e.since) >= timeout * 1000:
            if e.tx is not None:
                e.tx.reason = events.TIMEOUT
            _forget(e)
            step(st, e, events.EV_CONNECT_TIMEOUT, events.TIMEOUT)
    elif e.points & points.POWER_PATH_CLOSED and (
        e.state == events.EV_CONNECTED or e.locked != e.cable or _is_used_up(e)
    ):
        step(st, e)
