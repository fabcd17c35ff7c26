# Security (functional block A): security events. All go into the security log; the critical ones are
# delivered for certain.
from micropython import const

from milliamp.base import facts
from milliamp.base.packing import word
from milliamp.storage import kinds, security_log
from milliamp.wire import gates
from tables import ids, security, words

# A bit for each event that is only for the log.
_NOT_CRITICAL = const(1 << security.RECONFIGURATION_OF_SECURITY_PARAMETERS)

# `st.security` is a list of these. A bit for each critical event of the row that waits for room in the journal.
_UNTOLD = const(0)
# MemoryExhaustion was told.
_SHORT = const(1)
# But not noted.
_UNNOTED = const(2)
# By how many seconds the clock was set for the first time. `tick` logs it, for whoever sets it has enough to do.
_MOVED = const(3)

# That wait for the security log at most.
_NOTES = const(8)
# seconds: a clock that is corrected by less was running well.
_TIME_MOVED = const(60)


def init(st) -> None:
    """A start is an event of its own (A04)."""
    st.security = [0, False, False, None]
    st.bus.subscribe(facts.CLOCK | facts.VARIABLE, _hear)
    if st.journal.aside:
        st.log.error("the journal has another format, it begins anew")
        if st.journal.boot == 1:
            happened(st, security.JOURNAL_SET_ASIDE)
    happened(
        st,
        security.STARTUP_OF_THE_DEVICE
        if st.boot_reason in ("PowerUp", "Unknown")
        else security.RESET_OR_REBOOT,
    )
    while st.jobs:
        for _ in st.jobs.pop(0):
            pass


def happened(st, event: int) -> None:
    """Make a security event durable; a critical one is sent when its turn comes."""
    name = word(words.SECURITY_EVENT, event)
    if not _NOT_CRITICAL >> event & 1:
        st.security[_UNTOLD] |= 1 << event
        _send(st)
        if st.security[_UNTOLD] >> event & 1:
            st.log.warn("the journal is short of room: " + name + " waits")
    _note(st, name)


def _send(st):
    """Put into the journal what it has room for. The rest waits in RAM, and is told later: also while it is thinned, for
    a station that starts over and over must not use up the room of transactions before that has begun."""
    own = st.security
    for event in range(security.SECURITY_EVENT_COUNT):
        if own[_UNTOLD] >> event & 1 and not st.journal.crowded():
            try:
                st.journal.append(kinds.SECURITY, bytes((event,)))
            except OSError:
                return
            own[_UNTOLD] ^= 1 << event
            st.outbox.wake()


def tick(st) -> None:
    """The journal began to drop updates, or to refuse events: tell it once, until it is empty again."""
    own = st.security
    if st.journal.short != own[_SHORT]:
        own[_SHORT] = own[_UNNOTED] = not own[_SHORT]
        if own[_SHORT]:
            st.log.warn("the journal is short of room")
            own[_UNTOLD] |= 1 << security.MEMORY_EXHAUSTION
            _send(st)
    elif own[_UNNOTED]:
        # A look later: the journal and the log are a long step each.
        own[_UNNOTED] = False
        _note(st, word(words.SECURITY_EVENT, security.MEMORY_EXHAUSTION))
    elif own[_UNTOLD]:
        _send(st)
    moved = own[_MOVED]
    if moved is not None:
        own[_MOVED] = None
        _note(st, "the clock was set, it moved by %d s" % moved)


def _note(st, text):
    """Have it written into the security log, if the profile has a place for it."""
    if "logs" in st.profile.FLASH:
        if len(st.jobs) < _NOTES:
            st.jobs.append(_write(st, text))
        else:
            st.log.error("no room in the security log: " + text)


def _write(st, text):
    try:
        yield from security_log.append(st.board.flash("logs"), st.clock, text)
    except OSError:
        st.log.error("no room in the security log: " + text)


def _hear(st, fact, evse, arg):
    if fact == facts.VARIABLE:
        if arg in (ids.SECURITY_BASIC_AUTH_PASSWORD, ids.SECURITY_SECURITY_PROFILE):
            happened(st, security.RECONFIGURATION_OF_SECURITY_PARAMETERS)
    elif not st.clock_was_set:
        st.security[_MOVED] = arg
    elif abs(arg) > _TIME_MOVED:
        happened(st, security.SETTING_SYSTEM_TIME)


def _due(st):
    head = st.journal.head()
    return head if head is not None and head[1] == kinds.SECURITY else None


def _render(st, w, head):
    w.field("type", word(words.SECURITY_EVENT, head[4][0] & ~kinds.AGAIN))
    w.key("timestamp").time(head[3])


def _answered(st, head, r, at):
    pass


SENDS = ((9, gates.FROM_JOURNAL, "SecurityEventNotification", _due, _render, _answered),)
