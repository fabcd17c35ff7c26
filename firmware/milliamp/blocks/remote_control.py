# Remote control (functional block F): start and stop, unlock, trigger.
import asyncio

from micropython import const

from milliamp.domain import charging, sessions
from milliamp.wire import types
from tables import events

# Looks of 50 ms for which an answer waits for the plug.
_LOOKS = const(30)


def request_start(st, r, at, w):
    """F01, F02: answer, then start. A transaction that runs without a token is taken over."""
    e = _start_on(st, types.index(r, r.get(at, "evseId")))
    # B02.FR.05.
    if e is None or not st.accepted:
        return w.status("Rejected")
    w.status("Accepted")
    if e.tx is not None:
        w.field("transactionId", st.journal.transaction_id(e.tx.counter))
    token = types.read_token(r, r.get(at, "idToken"))
    group = types.read_token(r, r.get(at, "groupIdToken"))
    # Until the answer has left nobody is faster: Accepted is the truth.
    e.remote_id = r.number(at, "remoteStartId")
    return _start, (e, token, e.remote_id, group)


def _start(st, arg):
    sessions.remote_start(st, *arg)


def _start_on(st, index):
    # The EVSE to start on: the one that is named, else one with an EV, else any that is free.
    free = None
    for e in st.evses:
        if index in (0, e.index) and sessions.startable(st, e):
            if e.cable:
                return e
            free = free or e
    return free


def request_stop(st, r, at, w):
    """F03: of a transaction that runs."""
    e = _running(st, r.text(at, "transactionId"))
    if e is None or not st.accepted:
        return w.status("Rejected")
    w.status("Accepted")
    return _stop, e


def _stop(st, e):
    charging.deauthorize(st, e, events.REMOTE_STOP, events.REMOTE)


def _running(st, name):
    for e in st.evses:
        if e.tx is not None and st.journal.transaction_id(e.tx.counter) == name:
            return e
    return None


async def unlock_connector(st, r, at, w):
    """F05: never under an authorized transaction, nor under energy that no transaction could be written for."""
    index, connector = r.number(at, "evseId"), r.number(at, "connectorId")
    if not 0 < index <= len(st.evses) or not 0 < connector <= len(st.evses[index - 1].status):
        return w.status("UnknownConnector")
    e = st.evses[index - 1]
    if e.authorized and (e.tx is not None or e.closed):
        return w.status("OngoingAuthorizedTransaction")
    looks = _LOOKS
    done = charging.unlock(st, e, connector)
    # A contact needs its time to open, and a lock.
    while done is None and looks:
        await asyncio.sleep_ms(50)
        looks -= 1
        done = charging.unlock(st, e, connector)
    w.status("Unlocked" if done else "UnlockFailed")


def trigger_message(st, r, at, w):
    """F06: the answer, then the message."""
    # One that there is not is left alone by messages that it means nothing to (F06.FR.03).
    where = types.read_evse(st, r, r.get(at, "evse")) or (-1, 0)
    name = r.text(at, "requestedMessage")
    trigger = st.trigger(name)
    if trigger is None:
        return w.status("NotImplemented")
    if not trigger(st, *where):
        return w.status("Rejected")
    w.status("Accepted")
    # The answer holds the transmit buffer, so what was triggered leaves after it.
    st.outbox.ask(name)


CALLS = {
    "RequestStartTransaction": request_start,
    "RequestStopTransaction": request_stop,
    "UnlockConnector": unlock_connector,
    "TriggerMessage": trigger_message,
}
UNREAD = ("RequestStartTransaction.chargingProfile",)
