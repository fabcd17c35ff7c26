# Who may charge: what a token is, and what is known of it here or must be asked.
import hashlib

from milliamp.base import facts

# Flash holds of a status where in this text it stands.
from tables import ids, tokens, words

# In a row of the cache.
_NO_GROUP = b"\0\0\0\0\0\0"

# What became of a token.
ACCEPTED = 0
REFUSED = 1
UNKNOWN_OFFLINE = 2


class Question:
    """A token that the CSMS is asked about. One an EVSE at most."""

    def __init__(self, token, then):
        # (idToken, type).
        self.token = token
        # then(st, evse, token, verdict, group_hash).
        self.then = then


def token_hash(token) -> bytes:
    """Six bytes that tell tokens apart: value without case, and type (C01.FR.20 and the type's own rules)."""
    return hashlib.sha256((token[1] + ":" + token[0].lower()).encode()).digest()[:6]


def group_hash(group) -> bytes:
    """The same of a groupIdToken (idToken, type), whatever its type; empty for none, which one without a name is too."""
    return token_hash((group[0], "")) if group and group[0] else b""


def is_master(st, group: bytes) -> bool:
    """Is it the hash of the group that may stop everything and start nothing (C16)?"""
    name = st.model.get(ids.AUTH_MASTER_PASS_GROUP_ID)
    return bool(name) and group == token_hash((name, ""))


def check(st, e, token, then) -> None:
    """Find out whether a token may charge, then call `then(st, e, token, verdict, group_hash)`: at once
    where that is known here, else when the CSMS has answered or cannot be reached."""
    if not _is_kept(token) or not st.model.get(ids.AUTH_ENABLED):
        return then(st, e, token, ACCEPTED, b"")
    if st.online and not st.model.get(ids.AUTH_DISABLE_REMOTE_AUTHORIZATION):
        row = _known(st, token) if st.model.get(ids.AUTH_LOCAL_PRE_AUTHORIZE) else None
        known = row is not None and (
            st.model.get(ids.AUTH_CACHE_DISABLE_POST_AUTHORIZE) or not _is_refused(e, row)
        )
        if not known:
            e.asking = Question(token, then)
            st.bus.tell(facts.ASK_TOKEN, e.index)
            return None
    return _locally(st, e, token, then, st.online)


def _locally(st, e, token, then, online):
    """What is known here decides: C12 online, C13 offline; and unknown tokens offline as C15 says."""
    row = _known(st, token)
    group = row[1] if row is not None and row[1] != _NO_GROUP else b""
    verdict = UNKNOWN_OFFLINE
    if row is not None and _is_refused(e, row):
        verdict = REFUSED
    elif row is not None and (online or st.model.get(ids.AUTH_LOCAL_AUTHORIZE_OFFLINE)):
        verdict = ACCEPTED
        st.tokens.put(row[0], row[1], 0, row[4], row[5], st.clock.now())
    elif not online and st.model.get(ids.AUTH_OFFLINE_TX_FOR_UNKNOWN_ID_ENABLED):
        verdict = ACCEPTED
    then(st, e, token, verdict, group)


def answered(st, e, info) -> None:
    """The CSMS has answered the open question of an EVSE with `info`, which `learn` has taken."""
    question, e.asking = e.asking, None
    if question is not None:
        verdict = ACCEPTED if accepts(e, info) else REFUSED
        question.then(st, e, question.token, verdict, group_hash(info[1]))


def unanswered(st, e) -> None:
    """The CSMS could not be asked after all."""
    question, e.asking = e.asking, None
    if question is not None:
        _locally(st, e, question.token, question.then, False)


def accepts(e, info) -> bool:
    """Does this answer let a token charge at an EVSE?"""
    return info[0] == "Accepted" and _is_here(e, info[2])


def _is_here(e, evses):
    return not evses or evses >> e.index & 1


def _is_refused(e, row):
    return row[2] or not _is_here(e, row[4])


# --- the cache (C10 to C12) ---------------------------------------------------------------------------


def _is_kept(token):
    # Is it a token that the CSMS is asked about, and its answer kept?
    return token[1] not in ("NoAuthorization", "Central")


def is_caching(st) -> bool:
    """Is there a cache, and is it enabled?"""
    has = st.profile.CACHE and st.tokens is not None
    return bool(has and st.model.get(ids.AUTH_CACHE_ENABLED))


def _known(st, token):
    # The row of a token in the cache, unless it has expired, was not used for too long (C10.FR.08: only one without an
    # expiry), or says no more than how it was at that moment.
    row = st.tokens.row(token_hash(token)) if is_caching(st) else None
    if row is not None:
        now = st.clock.now()
        life = st.model.get(ids.AUTH_CACHE_LIFE_TIME)
        if row[5] <= now if row[5] else 0 < life <= now - row[6]:
            return None
        if row[2] in (tokens.CONCURRENT_TX, tokens.NOT_AT_THIS_TIME):
            return None
    return row


def learn(st, token, info) -> None:
    """Keep what the CSMS says of a token: (status, group as (idToken, type) or None, mask of the EVSEs where
    it may charge or 0, expiry or 0)."""
    if is_caching(st) and _is_kept(token):
        status, group, evses, expiry = info
        if 0 < expiry <= st.clock.now() and st.tokens.row(token_hash(token)) is None:
            # C10.FR.13: it would be gone at once.
            return
        group = group_hash(group) or _NO_GROUP
        status = words.AUTHORIZATION_STATUS.find(status)
        st.tokens.put(token_hash(token), group, status, evses, expiry, st.clock.now())


def describe(st, token) -> str:
    """What is stored of a token, in words; empty when there is nothing."""
    row = st.tokens.row(token_hash(token)) if st.tokens is not None else None
    if row is None:
        return ""
    text = "authorization cache: %s, last used %s" % (
        words.AUTHORIZATION_STATUS[row[2] :].split(" ")[0],
        st.clock.text(row[6]),
    )
    return text if row[1] == _NO_GROUP else text + ", member of a group"


def forget(st, token):
    """Remove what is stored of a token: `Cache.clear`."""
    return st.tokens.clear(token_hash(token)) if st.tokens is not None else ()
