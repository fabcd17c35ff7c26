# Availability (functional block G): StatusNotification, Heartbeat, ChangeAvailability, and NotifyEvent for a
# plug that does not lock (G05).
from micropython import const

from milliamp.base import facts
from milliamp.base.packing import word
from milliamp.domain import evse
from milliamp.storage import keys
from milliamp.wire import gates, types
from tables import ids, statuses, words

_NOT_REPORTED = const(255)
_ON_ITS_WAY = const(254)

# The one NotifyEvent there is, whole: a dozen names that nothing else needs would stay in RAM.
_EVENT = (
    '"generatedAt":"%s","seqNo":0,"eventData":[{"eventId":%d,"timestamp":"%s","trigger":"Delta",'
    '"actualValue":"%s","cleared":%s,"eventNotificationType":"HardWiredNotification",'
    '"component":{"name":"ConnectorPlugRetentionLock","evse":{"id":%d,"connectorId":%d}},'
    '"variable":{"name":"Problem"}}]'
)


class Availability:
    """What the CSMS was told last, and when. 3 bytes and a time a connector."""

    def __init__(self, st):
        self.told = [bytearray(b"\xff" * len(e.status)) for e in st.evses]
        # Of each connector, and behind them of the lock.
        self.changed = [[st.clock.now()] * (len(e.status) + 1) for e in st.evses]
        # Connector whose lock failed, as the CSMS knows it.
        self.locks = bytearray(len(st.evses))
        # Sent since the boot.
        self.events = 0
        self.heartbeat = st.clock.ticks()
        self.offline = st.clock.ticks()


def init(st) -> None:
    """Report every connector after the boot, and what changes from then on."""
    st.availability = Availability(st)
    st.bus.subscribe(
        facts.STATUS | facts.LOCK_PROBLEM | facts.ACCEPTED | facts.LINK | facts.CLOCK, _hear
    )


def _hear(st, fact, index, arg):
    own = st.availability
    # What was noted by the old clock is put right.
    if fact == facts.CLOCK:
        for changed in own.changed:
            for n in range(len(changed)):
                changed[n] += arg
    elif fact == facts.STATUS:
        own.changed[index - 1][arg - 1] = st.clock.now()
    elif fact == facts.LOCK_PROBLEM:
        own.changed[index - 1][-1] = st.clock.now()
    elif fact == facts.LINK and not arg:
        own.offline = st.clock.ticks()
    elif fact == facts.ACCEPTED or own.offline is not None:
        # B04: after a long time offline the CSMS is told of every connector, after a short one of changes.
        threshold = st.model.get(ids.OCPP_COMM_OFFLINE_THRESHOLD) * 1000
        if fact == facts.ACCEPTED or st.clock.since(own.offline) > threshold:
            forget(st)
        own.offline = None
    st.outbox.wake()


def forget(st, index: int = 0, connector: int = 0) -> None:
    """Take it that the CSMS knows nothing of these connectors: they are reported again."""
    for e in st.evses:
        if index in (0, e.index):
            told = st.availability.told[e.index - 1]
            for n in range(len(told)):
                if connector in (0, n + 1):
                    told[n] = _NOT_REPORTED


def _status_due(st):
    for e in st.evses:
        told = st.availability.told[e.index - 1]
        for n in range(len(told)):
            if told[n] != e.status[n]:
                return e.index, n + 1, e.status[n]
    return None


def _status_render(st, w, cursor):
    index, connector, status = cursor
    st.availability.told[index - 1][connector - 1] = _ON_ITS_WAY
    w.key("timestamp").time(st.availability.changed[index - 1][connector - 1])
    w.field("connectorStatus", word(words.CONNECTOR_STATUS, status))
    w.field("evseId", index)
    w.field("connectorId", connector)


def _status_answered(st, cursor, r, at):
    index, connector, status = cursor
    told = st.availability.told[index - 1]
    # Else it was asked for again meanwhile.
    if told[connector - 1] == _ON_ITS_WAY:
        told[connector - 1] = status


def _lock_due(st):
    for e in st.evses:
        told = st.availability.locks[e.index - 1]
        if told != e.lock_failed:
            return (e.index, told, False) if told else (e.index, e.lock_failed, True)
    return None


def _lock_render(st, w, cursor):
    index, connector, failed = cursor
    own = st.availability
    own.events += 1
    event = (st.journal.boot & 0x3FFF) << 16 | own.events & 0xFFFF
    now, time = st.clock.text(st.clock.now()), st.clock.text(own.changed[index - 1][-1])
    value, cleared = ("true", "false") if failed else ("false", "true")
    w.raw((_EVENT % (now, event, time, value, cleared, index, connector)).encode())


def _lock_answered(st, cursor, r, at):
    index, connector, failed = cursor
    st.availability.locks[index - 1] = connector if failed else 0


def _heartbeat_due(st):
    interval = st.model.get(ids.OCPP_COMM_HEARTBEAT_INTERVAL) * 1000
    due = interval and st.clock.since(st.availability.heartbeat) >= interval
    return 1 if due else None


def _heartbeat_render(st, w, cursor):
    st.availability.heartbeat = st.clock.ticks()


def _heartbeat_answered(st, cursor, r, at):
    if r is not None:
        st.set_clock(r.text(at, "currentTime"))


def change_availability(st, r, at, w):
    """G03, G04: Accepted at once, Scheduled behind a transaction; the state survives a reboot."""
    where = types.read_evse(st, r, r.get(at, "evse"))
    if where is None:
        return w.status("Rejected")
    on = r.same(r.get(at, "operationalStatus"), "Operative")
    at_once = evse.set_operative(st, where[0], where[1], on)
    w.status("Accepted" if at_once else "Scheduled")


def trigger_heartbeat(st, index, connector):
    """TriggerMessage Heartbeat."""
    interval = st.model.get(ids.OCPP_COMM_HEARTBEAT_INTERVAL) * 1000
    st.availability.heartbeat = (st.clock.ticks() - interval) & 0x3FFFFFFF
    return True


def trigger_status(st, index, connector):
    """TriggerMessage StatusNotification, which names an EVSE and a connector (F06.FR.12)."""
    if not index or not connector:
        return False
    forget(st, index, connector)
    return True


def station_state(st, index, connector):
    """ChargingStation.AvailabilityState."""
    if not st.settings.get(keys.OPERATIVE, 1):
        return "Unavailable"
    states = [evse_state(st, e.index, 0) for e in st.evses]
    for state in ("Available", "Occupied", "Unavailable"):
        if state in states:
            return state
    return "Faulted"


def evse_state(st, index, connector):
    """EVSE.AvailabilityState: of its connectors, the one in use."""
    states = list(st.evses[index - 1].status)
    return word(
        words.CONNECTOR_STATUS, statuses.OCCUPIED if statuses.OCCUPIED in states else min(states)
    )


def connector_state(st, index, connector):
    """Connector.AvailabilityState."""
    return word(words.CONNECTOR_STATUS, st.evses[index - 1].status[connector - 1])


def lock_problem(st, index, connector):
    """ConnectorPlugRetentionLock.Problem: the plug did not lock when it should have (G05)."""
    return int(st.evses[index - 1].lock_failed == connector)


def power(st, index, connector):
    """EVSE.Power in W."""
    return st.board.measure(index, "Power.Active.Import", 0)


CALLS = {"ChangeAvailability": change_availability}
TRIGGERS = {"Heartbeat": trigger_heartbeat, "StatusNotification": trigger_status}
LIVE = {
    "ChargingStation.AvailabilityState": station_state,
    "EVSE.AvailabilityState": evse_state,
    "EVSE.Power": power,
    "Connector.AvailabilityState": connector_state,
    "ConnectorPlugRetentionLock.Problem": lock_problem,
}
SENDS = (
    (2, gates.WHEN_ACCEPTED, "StatusNotification", _status_due, _status_render, _status_answered),
    (2, gates.WHEN_ACCEPTED, "NotifyEvent", _lock_due, _lock_render, _lock_answered),
    (3, gates.WHEN_ACCEPTED, "Heartbeat", _heartbeat_due, _heartbeat_render, _heartbeat_answered),
)
