# Transactions (functional block E): TransactionEvent and GetTransactionStatus.
from micropython import const

from milliamp.base import facts
from milliamp.base.packing import word
from milliamp.domain import charging, meter, sessions, transaction
from milliamp.storage import kinds
from milliamp.wire import gates, types
from tables import contexts, events, ids, words

# Records of the journal between two yields.
_PIECE = const(6)


def init(st) -> None:
    """Send what the journal gets."""
    st.bus.subscribe(facts.TX, _tx)


def _tx(st, fact, evse, arg):
    st.outbox.wake()


def _due(st):
    head = st.journal.head()
    return head if head is not None and head[1] in (kinds.TX_EVENT, kinds.TX_UPDATE) else None


def _render(st, w, head):
    _, _, offline, time, payload = head
    event = transaction.Event(payload)
    w.field("eventType", word(words.TRANSACTION_EVENT, event.kind))
    w.key("timestamp").time(time)
    w.field("triggerReason", word(words.TRIGGER_REASON, event.trigger))
    w.field("seqNo", event.seq)
    if offline:
        w.field("offline", True)
    w.object("transactionInfo")
    w.field("transactionId", st.journal.transaction_id(event.counter))
    w.field("chargingState", word(words.CHARGING_STATE, event.state))
    if event.kind == events.ENDED:
        w.field("stoppedReason", word(words.REASON, event.reason))
    if event.remote_id is not None:
        w.field("remoteStartId", event.remote_id)
    w.end()
    if event.connector:
        types.evse(w, event.evse, event.connector)
    if event.token is not None:
        types.id_token(w, event.token)
    if event.left():
        w.array("meterValue")
        for context, age, mask in transaction.groups(event):
            types.meter_value(st, w, time - age, context, mask, event)


def _answered(st, head, r, at):
    """The answer may tell more of the token, or refuse it after all (C10, E05)."""
    info = r.get(at, "idTokenInfo") if r is not None else 0
    if info:
        event = transaction.Event(head[4])
        if event.token is not None:
            sessions.token_answered(st, event.counter, event.token, types.read_info(st, r, info))


async def get_transaction_status(st, r, at, w):
    """E14: whether a transaction goes on, and whether messages of it (or any) are still queued."""
    wanted = r.get(at, "transactionId")
    counter = None
    if wanted:
        counter = _counter(st, r.text(wanted))
        # Before the queue: what ends meanwhile is told as going on, not as delivered.
        w.field("ongoingIndicator", any(e.tx and e.tx.counter == counter for e in st.evses))
    w.field("messagesInQueue", counter != -1 and await _is_queued(st, counter))


def _counter(st, name):
    """The number of a transaction of this station, -1 if it is none."""
    try:
        counter = int(name[6:], 16)
    except ValueError:
        return -1
    return counter if st.journal.transaction_id(counter) == name else -1


async def _is_queued(st, counter):
    # While it looks, events come and go. None is missed: each is looked at in its turn or was delivered before.
    looked_at = 0
    for kind, payload in st.journal.each_pending():
        if kind in (kinds.TX_EVENT, kinds.TX_UPDATE):
            if counter is None or transaction.counter_of(payload) == counter:
                return True
        looked_at += 1
        if not looked_at % _PIECE:
            await st.rpc.pause()
    return False


def trigger(st, evse, connector):
    """TriggerMessage TransactionEvent: an Updated event of each running transaction (F06.FR.07)."""
    done = False
    mask = meter.asked(st, ids.SAMPLED_DATA_TX_UPDATED_MEASURANDS)
    for e in st.evses:
        if evse in (0, e.index) and e.tx is not None:
            values = meter.sample(st, e, mask, contexts.TRIGGER)
            done = charging.trigger_event(st, e, events.TRIGGER, values) or done
    return done


CALLS = {"GetTransactionStatus": get_transaction_status}
TRIGGERS = {"TransactionEvent": trigger}
UNREAD = (
    "TransactionEvent.idTokenInfo.personalMessage",
    "TransactionEvent.updatedPersonalMessage",
)
SENDS = ((9, gates.FROM_JOURNAL, "TransactionEvent", _due, _render, _answered),)
