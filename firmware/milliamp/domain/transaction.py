# A transaction and its events, as bytes in the journal. What is packed here, blocks.transactions renders.
#
# An event: type | flags, trigger | state << 5, transaction counter, seqNo, then what the flags announce
# (EVSE and connector; token type, length, token; remoteStartId; reason), then sample groups to the end. A type that is
# not in the row of types is 64 there, and stands before the token with a zero behind it.
# Started always has the EVSE; a connector of 0 is not known yet. Numbers are varints, low bits first.
# A sample group: context | 8 if it is older than the event, [age in seconds], slot mask, one value per slot: the
# register of slot 0 as it is, others as 32 bits with a sign.
from micropython import const

from milliamp.base.packing import Bytes, put_number, word
from milliamp.domain import errors
from milliamp.domain.tokens import token_hash
from milliamp.storage import kinds
from tables import contexts, events, measurands, words

_HAS_EVSE = const(4)
_HAS_TOKEN = const(8)
_HAS_REMOTE_ID = const(16)
_HAS_REASON = const(32)
# After this event.
_IS_AUTHORIZED = const(64)
_OLDER = const(8)
# That a transaction keeps for its end.
_SAMPLES = const(16)
# Triggers (a bit for each) of what a driver or the CSMS did. All others may come again and again.
_DECISIONS = const(
    1 << events.AUTHORIZED
    | 1 << events.DEAUTHORIZED
    | 1 << events.EV_CONNECT_TIMEOUT
    | 1 << events.STOP_AUTHORIZED
    | 1 << events.REMOTE_START
    | 1 << events.REMOTE_STOP
    | 1 << events.RESET_COMMAND
)
_ENOSPC = const(28)
# With the EVSE of a checkpoint: no transaction runs there.
_NONE = const(128)
# The place of a token's type that is not in the row.
_AS_TEXT = const(64)


class Transaction:
    """A running transaction: what must be known to go on with it, also after a reboot."""

    def __init__(self, counter: int, evse: int):
        # journal.transaction_id(counter) is its transactionId.
        self.counter = counter
        self.evse = evse
        # Of the next event.
        self.seq = 0
        # 0: not known yet, so not reported yet.
        self.connector = 0
        self.authorized = False
        self.token_sent = False
        self.token_hash = b""
        self.group_hash = b""
        # Wh, the last durable one.
        self.register = 0
        # Wh at its begin.
        self.start_register = 0
        # Seconds since 2000.
        self.started = 0
        # `started` is: the clock was not set yet.
        self.guessed = False
        # Charging state last reported.
        self.state = 0
        # Why it was stopped, where another point than the authorization ends it.
        self.reason = 0
        # Wh register at which the energy ends: its token was refused.
        self.limit = None
        # For the Ended event: groups whose age counts from `started`.
        self.samples = b""

    def checkpoint(self) -> bytes:
        """What a new sector repeats, so that nothing depends on an old one. 24 to 41 bytes and the samples."""
        out = bytearray()
        put_number(out, self.counter)
        put_number(out, self.seq)
        out.append(self.evse)
        out.append(self.connector)
        limited = self.limit is not None
        out.append(self.authorized | self.token_sent << 1 | self.state << 2 | limited << 5)
        out.append(self.reason)
        put_number(out, self.register)
        put_number(out, self.start_register)
        put_number(out, self.started)
        if limited:
            put_number(out, self.limit)
        for part in (self.token_hash, self.group_hash):
            out.append(len(part))
            out.extend(part)
        out.extend(self.samples)
        return bytes(out)

    def keep(self, sample: bytes, room: int) -> None:
        """Keep a sample for the Ended event, in `room` bytes; when they are full, every second one goes (J02.FR.20)."""
        count = sum(1 for _ in packed(self.samples))
        if count >= _SAMPLES or len(self.samples) + len(sample) > room:
            self.samples = _halved(self.samples)
        if len(self.samples) + len(sample) <= room:
            self.samples += sample


def restore(payload) -> Transaction:
    """A transaction from its checkpoint."""
    data = Bytes(payload)
    tx = Transaction(data.number(), 0)
    tx.seq = data.number()
    tx.evse = data.byte()
    tx.connector = data.byte()
    flags = data.byte()
    tx.authorized = bool(flags & 1)
    tx.token_sent = bool(flags & 2)
    tx.state = flags >> 2 & 7
    tx.reason = data.byte()
    tx.register = data.number()
    tx.start_register = data.number()
    tx.started = data.number()
    if flags & 32:
        tx.limit = data.number()
    tx.token_hash = data.take(data.byte())
    tx.group_hash = data.take(data.byte())
    tx.samples = data.take(len(payload) - data.at)
    return tx


def idle(evse: int, register: int) -> bytes:
    """The checkpoint of an EVSE without a transaction: the register in Wh, in case the meter forgets it."""
    out = bytearray((0, 0, _NONE | evse, 0, 0, 0))
    put_number(out, register)
    out.extend(b"\0\0\0\0")
    return out


def append(
    st, e, kind: int, trigger: int, samples: bytes = b"", reason: int = 0, time=None
) -> None:
    """Make an event of the transaction of an EVSE durable; only then does its seqNo count. Raises OSError, whatever the
    reason that it is not, with errors.LEFT_OUT when the log is full and the event is one that may be dropped when memory
    is short (E04.FR.07): an update that says nothing which no other event says.

    `samples`: packed groups of domain.meter. `time`: now, by which the ages of samples count.
    """
    thin = False
    tx = e.tx
    try:
        # Each is told once.
        token = None if tx.token_sent else e.token
        remote_id = e.remote_id if e.authorized else None
        authorized = e.authorized and not e.barred
        reason = reason or tx.reason
        connector = tx.connector or e.cable
        if tx.connector and trigger != events.TRIGGER and not st.profile.EVSE_IN_EACH:
            # It was told; who asks for all events wants to know whose they are (F06).
            connector = 0
        out = bytearray(2)
        out[0] = (
            kind
            | (_HAS_EVSE if connector or kind == events.STARTED else 0)
            | (_HAS_TOKEN if token else 0)
            | (_HAS_REMOTE_ID if remote_id is not None else 0)
            | (_HAS_REASON if reason else 0)
            | (_IS_AUTHORIZED if authorized else 0)
        )
        out[1] = trigger | e.state << 5
        put_number(out, tx.counter)
        put_number(out, tx.seq)
        if out[0] & _HAS_EVSE:
            out.append(tx.evse)
            out.append(connector)
        if token:
            text, name = token
            types = words.ID_TOKEN.split(" ")
            place = _AS_TEXT
            if name in types:
                place = types.index(name)
            else:
                text = name + "\0" + text
            out.append(place)
            text = text.encode()
            put_number(out, len(text))
            out.extend(text)
        if remote_id is not None:
            put_number(out, remote_id & 0xFFFFFFFF)
        if reason:
            out.append(reason)
        out.extend(samples)
        told_first = token or remote_id is not None or connector and not tx.connector
        thin = kind == events.UPDATED and not told_first and not _DECISIONS >> trigger & 1
        st.journal.append(kinds.TX_UPDATE if thin else kinds.TX_EVENT, out, time)
    except OSError as error:
        raise OSError(errors.LEFT_OUT) if thin and error.args[0] == _ENOSPC else error
    except Exception as error:
        # No memory, say: it is no less missing.
        raise OSError(type(error).__name__)
    tx.seq += 1
    tx.state = e.state
    tx.authorized = authorized
    tx.connector = tx.connector or connector
    tx.token_sent = tx.token_sent or bool(token)


class Event(Bytes):
    """An event as it is read back; the sample groups are left to walk."""

    def __init__(self, payload):
        super().__init__(payload)
        flags = self.byte()
        trigger = self.byte()
        self.kind = flags & 3
        self.authorized = bool(flags & _IS_AUTHORIZED)
        self.trigger = trigger & 31
        self.state = trigger >> 5
        self.counter = self.number()
        self.seq = self.number()
        self.evse = self.connector = 0
        if flags & _HAS_EVSE:
            self.evse = self.byte()
            self.connector = self.byte()
        self.token = None
        if flags & _HAS_TOKEN:
            place = self.byte()
            text = self.take(self.number()).decode()
            if place == _AS_TEXT:
                kind, text = text.split("\0", 1)
            else:
                kind = word(words.ID_TOKEN, place)
            self.token = (text, kind)
        self.remote_id = None
        # 32 bits with a sign.
        if flags & _HAS_REMOTE_ID:
            number = self.number()
            self.remote_id = number - (number >> 31 << 32)
        self.reason = self.byte() if flags & _HAS_REASON else 0


def counter_of(payload) -> int:
    """Which transaction an event belongs to, without unpacking the rest."""
    data = Bytes(payload)
    data.at = 2
    return data.number()


def stream(payload) -> int:
    """What is thinned by itself: the events that one transaction has for one reason in one state. With bit 8 set
    where it is more than values, and the transaction above."""
    values = payload[1] & 31 in (events.METER_VALUE_PERIODIC, events.METER_VALUE_CLOCK)
    return counter_of(payload) << 9 | (0 if values else 256) | payload[1]


def replay(st):
    """The transactions that were open when the journal was last written, at most one an EVSE; and the largest register
    (Wh) that it knows of each EVSE, by its index."""
    open_txs = {}
    registers = {}
    for kind, time, payload in st.journal.replay():
        tx = None
        if kind == kinds.OPEN_TX:
            tx = restore(payload)
            open_txs[tx.counter] = tx
        elif kind in (kinds.TX_EVENT, kinds.TX_UPDATE):
            event = Event(payload)
            tx = open_txs.get(event.counter)
            if event.kind == events.STARTED:
                open_txs[event.counter] = tx = Transaction(event.counter, event.evse)
                tx.started = time
            if tx is not None:
                _follow(tx, event)
            if event.kind == events.ENDED:
                open_txs.pop(event.counter, None)
        if tx is not None:
            evse = tx.evse & ~_NONE
            registers[evse] = max(registers.get(evse, 0), tx.register)
    return [tx for tx in open_txs.values() if 0 < tx.evse <= len(st.evses)], registers


def _follow(tx, event):
    """What an event says of the transaction that goes on after it."""
    tx.seq = event.seq + 1
    tx.state = event.state
    tx.connector = tx.connector or event.connector
    tx.authorized = event.authorized
    tx.reason = event.reason
    if event.token is not None:
        tx.token_sent = True
        # That may be another one of the group.
        if event.trigger != events.STOP_AUTHORIZED:
            tx.token_hash = token_hash(event.token)
            tx.limit = None
    for context, _, mask in groups(event):
        # The energy register comes first.
        if mask & 1:
            tx.register = max(tx.register, event.number())
            if context == contexts.TRANSACTION_BEGIN:
                tx.start_register = tx.register
        for _ in range(measurands.SLOTS):
            mask >>= 1
            if mask & 1:
                event.number()


def groups(event: Bytes):
    """Walk sample groups: yields (context, age in seconds, slot mask); read a number for each bit of it."""
    while event.left():
        context = event.byte()
        age = event.number() if context & _OLDER else 0
        yield context & 7, age, event.number()


def group(context: int, mask: int, values: bytes, age: int = 0) -> bytes:
    """Pack a sample group: the values (varints) of the slots in `mask`, read `age` seconds ago."""
    out = bytearray(1)
    out[0] = context | (_OLDER if age else 0)
    if age:
        put_number(out, age)
    put_number(out, mask)
    out.extend(values)
    return bytes(out)


def packed(samples):
    """Walk sample groups without reading them: yields (context, age, slot mask, packed values)."""
    walk = Bytes(samples)
    for context, age, mask in groups(walk):
        start = walk.at
        slots = mask
        while slots:
            if slots & 1:
                walk.number()
            slots >>= 1
        yield context, age, mask, samples[start : walk.at]


def aged(samples, age: int) -> bytes:
    """The same groups, their ages counted back from `age` instead of forward from 0."""
    out = b""
    for context, since, mask, values in packed(samples):
        out += group(context, mask, values, max(age - since, 0))
    return out


def _halved(samples):
    # The first, third, ... group of each context.
    out = b""
    # Contexts whose next group goes.
    drop = 0
    for context, age, mask, values in packed(samples):
        if not drop >> context & 1:
            out += group(context, mask, values, age)
        drop ^= 1 << context
    return out
