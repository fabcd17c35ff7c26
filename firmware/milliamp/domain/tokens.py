# Who may charge: what a token is, and what is known of it here or must be asked.
import hashlib

from milliamp.base.facts import _ASK_TOKEN
from tables.ids import (
    _AUTH_DISABLE_REMOTE_AUTHORIZATION,
    _AUTH_ENABLED,
    _AUTH_OFFLINE_TX_FOR_UNKNOWN_ID_ENABLED,
)

# IdTokenEnumType; flash holds the place in this row, for ever.
TOKEN_TYPES = (
    "Central",
    "eMAID",
    "ISO14443",
    "ISO15693",
    "KeyCode",
    "Local",
    "MacAddress",
    "NoAuthorization",
)

# What became of a token.
ACCEPTED = 0
REFUSED = 1
UNKNOWN_OFFLINE = 2


class Question:
    """A token that the CSMS is asked about. One an EVSE at most."""

    def __init__(self, token, then):
        self.token = token  # (idToken, type)
        self.then = then  # then(st, evse, token, verdict, group_hash)


def token_hash(token) -> bytes:
    """Six bytes that tell tokens apart: value without case, and type (C01.FR.20 and the type's own rules)."""
    return hashlib.sha256((token[1] + ":" + token[0].lower()).encode()).digest()[:6]


def group_hash(group) -> bytes:
    """The same of a groupIdToken (idToken, type); empty for none."""
    return token_hash(group) if group else b""


def check(st, e, token, then) -> None:
    """Find out whether a token may charge, then call `then(st, e, token, verdict, group_hash)`: at once
    where that is known here, else when the CSMS has answered or cannot be reached."""
    get = st.model.get
    if token[1] in ("NoAuthorization", "Central") or not get(_AUTH_ENABLED):
        then(st, e, token, ACCEPTED, b"")
    elif st.online and not get(_AUTH_DISABLE_REMOTE_AUTHORIZATION):
        e.asking = Question(token, then)
        st.bus.tell(_ASK_TOKEN, e.index)
    else:
        _offline(st, e, token, then)


def answered(st, e, accepted: bool, group=None) -> None:
    """The CSMS has answered the open question of an EVSE."""
    question, e.asking = e.asking, None
    if question is not None:
        verdict = ACCEPTED if accepted else REFUSED
        question.then(st, e, question.token, verdict, group_hash(group))


def unanswered(st, e) -> None:
    """The CSMS could not be asked after all."""
    question, e.asking = e.asking, None
    if question is not None:
        _offline(st, e, question.token, question.then)


def _offline(st, e, token, then):
    known = st.model.get(_AUTH_OFFLINE_TX_FOR_UNKNOWN_ID_ENABLED)  # C15
    then(st, e, token, ACCEPTED if known else UNKNOWN_OFFLINE, b"")
