# Authorization (functional block C): asks the CSMS about a token, clears the cache.
import asyncio

from milliamp.base import facts
from milliamp.domain import charging, tokens
from milliamp.wire import gates, types


def init(st) -> None:
    """Listen for questions, and for the link that may drop with one open."""
    st.bus.subscribe(facts.ASK_TOKEN | facts.LINK, _hear)


def _hear(st, fact, evse, arg):
    if fact == facts.LINK and not arg:
        for e in st.evses:
            tokens.unanswered(st, e)
        charging.settle(st)
    else:
        st.outbox.wake()


def _due(st):
    for e in st.evses:
        if e.asking is not None:
            return e, e.asking
    return None


def _render(st, w, cursor):
    types.id_token(w, cursor[1].token)


async def _answered(st, cursor, r, at):
    """An answer counts for the question it was asked for: meanwhile there may be another."""
    e, question = cursor
    info = r.get(at, "idTokenInfo") if r is not None else 0
    if info and e.asking is question:
        info = types.read_info(st, r, info)
        tokens.learn(st, question.token, info)
        # To start is a long step by itself.
        await asyncio.sleep_ms(0)
    if e.asking is question:
        if info:
            tokens.answered(st, e, info)
        else:
            tokens.unanswered(st, e)
        charging.settle(st)


async def clear_cache(st, r, at, w):
    """C11: nothing is left of the cache, in flash neither."""
    done = tokens.is_caching(st)
    try:
        if done:
            for _ in st.tokens.clear():
                await asyncio.sleep_ms(0)
    except OSError:
        done = False
    w.status("Accepted" if done else "Rejected")


def storage(st, index, connector):
    """AuthCacheCtrlr.Storage: bytes in use."""
    return st.tokens.used() if st.tokens is not None else 0


CALLS = {"ClearCache": clear_cache}
LIVE = {"AuthCacheCtrlr.Storage": storage}
UNREAD = ("Authorize.idTokenInfo.personalMessage", "Authorize.certificateStatus")
SENDS = ((1, gates.WHEN_ACCEPTED, "Authorize", _due, _render, _answered),)
