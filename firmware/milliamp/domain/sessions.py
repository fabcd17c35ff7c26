# What EV drivers do, at the station or from afar: present a token, start, stop. The state machine is
# domain.charging's, what is known of tokens domain.tokens'.
from micropython import const

from milliamp.base import facts
from milliamp.domain import charging, tokens
from tables import events, ids, words

# A reader that sees one card twice.
_DOUBLE_READ_MS = const(2000)
# Characters of an idToken.
_LONGEST_TOKEN = const(36)


def init(st) -> None:
    """Listen to the card readers."""
    st.bus.subscribe(facts.CARD | facts.LINK, _hear)


def poll(st) -> bool:
    """Ask the card readers; True: there was a card, which `charging.settle` has to go on with. One that fails, or tells what is no token, is passed over, and that is said once."""
    first = st.evses[0]
    try:
        card = st.board.card()
        if card is not None:
            name, kind, index = card
            if (
                len(name + "") > _LONGEST_TOKEN
                or kind not in words.ID_TOKEN.split(" ")
                or not 0 <= index | 0 <= len(st.evses)
            ):
                raise ValueError
    except Exception as error:
        if not first.unread:
            st.log.error("card reader: " + type(error).__name__)
        first.unread = True
        return False
    first.unread = False
    if card is None:
        return False
    st.bus.tell(facts.CARD, index, (name, kind))
    return True


def _hear(st, fact, index, token):
    """A card was read: at an EVSE, or (index 0) at a reader that all share. Or the link is gone, and perhaps an
    answer with it that would have started something."""
    if fact == facts.LINK:
        for e in st.evses:
            if not token and e.asking is None and not e.authorized:
                e.remote_id = None
        return
    e = st.evses[index - 1] if index else _which_evse(st, tokens.token_hash(token))
    if e is None:
        st.log.info("a card, but no EVSE for it")
    else:
        present(st, e, token)


def _which_evse(st, hashed):
    """Where a card at a shared reader belongs: where it is charging or holds a plug, else where an EV waits
    for it, else where nothing goes on, else to another's session: it may be of its group, or a master pass."""
    best, chosen = 0, None
    for e in st.evses:
        if (
            e.authorized
            and e.token_hash == hashed
            or e.holder == hashed
            or _is_double(st, e, hashed)
        ):
            return e
        rank = 1 if e.authorized else 0 if not charging.usable(st, e) else 3 if e.cable else 2
        if rank > best:
            best, chosen = rank, e
    return chosen or (st.evses[0] if len(st.evses) == 1 else None)


def _is_double(st, e, hashed):
    return hashed == e.card_hash and st.clock.since(e.card_at) < _DOUBLE_READ_MS


def present(st, e, token) -> None:
    """A token (idToken, type) is presented to an EVSE: to start, or to stop what it started (C01, C09)."""
    hashed = tokens.token_hash(token)
    again = _is_double(st, e, hashed)
    e.card_hash, e.card_at = hashed, st.clock.ticks()
    if again or e.asking is not None or e.remote_id is not None and not e.authorized:
        return
    if e.authorized and hashed == e.token_hash:
        charging.deauthorize(st, e, events.STOP_AUTHORIZED, events.LOCAL, token)
    elif hashed == e.holder and not e.cable:
        # E09: what it is presented for.
        charging.release(st, e)
    elif e.authorized:
        tokens.check(st, e, token, _second_token)
    elif not charging.usable(st, e):
        st.log.info("a card, but the EVSE cannot be used")
    else:
        tokens.check(st, e, token, _first_token)


def _first_token(st, e, token, verdict, group):
    if verdict == tokens.ACCEPTED and tokens.is_master(st, group):
        _stop_all(st, token)
    elif verdict == tokens.ACCEPTED and not e.authorized and charging.usable(st, e):
        _authorize(st, e, token, group, events.AUTHORIZED)
    elif verdict == tokens.UNKNOWN_OFFLINE:
        st.log.info("a token got no answer")
    else:
        st.log.info("a token was refused")


def _second_token(st, e, token, verdict, group):
    """Another card while charging: it stops the charging only as a member of the same group (C09)."""
    if verdict != tokens.ACCEPTED or not group:
        return
    if tokens.is_master(st, group):
        _stop_all(st, token)
    elif group == e.group_hash and e.authorized:
        charging.deauthorize(st, e, events.STOP_AUTHORIZED, events.LOCAL, token)


def _stop_all(st, token):
    """A master pass: it starts nothing and stops everything (C16.FR.02)."""
    for e in st.evses:
        charging.deauthorize(st, e, events.STOP_AUTHORIZED, events.MASTER_PASS, token)
        charging.release(st, e)


def remote_start(st, e, token, remote_id: int, group) -> None:
    """RequestStartTransaction was accepted, and the EVSE kept for it by `reserve`: start with its token (F01, F02).
    A fault of this very moment shows in the status."""
    e.remote_id = remote_id
    if st.model.get(ids.AUTH_AUTHORIZE_REMOTE_START):
        tokens.check(st, e, token, _remote_token)
    else:
        _remote_token(st, e, token, tokens.ACCEPTED, tokens.group_hash(group))


def _remote_token(st, e, token, verdict, group):
    verdict = tokens.REFUSED if tokens.is_master(st, group) else verdict
    if verdict == tokens.ACCEPTED and not e.authorized and charging.usable(st, e):
        _authorize(st, e, token, group, events.REMOTE_START)
    else:
        e.remote_id = None


def _authorize(st, e, token, group, trigger):
    e.authorized = True
    e.barred = False
    e.token = token
    e.token_hash, e.group_hash = tokens.token_hash(token), group
    e.since = st.clock.ticks()
    e.holder = b""
    if e.tx is not None:
        e.tx.reason = 0
        if e.tx.token_hash != e.token_hash or e.tx.limit is not None:
            e.tx.token_sent = False
        e.tx.limit = None
    if trigger == events.AUTHORIZED:
        # To look the card up was a long step: `charging.settle` takes the other.
        e.look = 2
    else:
        charging.step(st, e, trigger)


def token_answered(st, counter: int, token, info) -> None:
    """What the CSMS says (domain.tokens) of a token that an event of a transaction named: it is kept, and it
    may end or limit the charging (C10, E05)."""
    tokens.learn(st, token, info)
    hashed = tokens.token_hash(token)
    for e in st.evses:
        tx = e.tx
        if tx is None or tx.counter != counter or not e.authorized or e.token_hash != hashed:
            continue
        if tokens.accepts(e, info):
            e.group_hash = tokens.group_hash(info[1]) or e.group_hash
        elif st.model.get(ids.TX_STOP_TX_ON_INVALID_ID):
            charging.deauthorize(st, e, events.DEAUTHORIZED, events.DE_AUTHORIZED)
        else:
            # The transaction stays, the energy does not.
            tx.limit = tx.start_register + st.model.get(ids.TX_MAX_ENERGY_ON_INVALID_ID)
            try:
                st.journal.note(tx.checkpoint())
            except OSError:
                # A power cut would make it forget the limit.
                e.barred = True
            charging.step(st, e)


def startable(st, e) -> bool:
    """May a transaction be started here from afar? (F01.FR.21 to FR.25, F02)"""
    return not e.authorized and e.asking is None and e.remote_id is None and charging.usable(st, e)
