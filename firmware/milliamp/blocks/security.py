# Security (functional block A): security events, delivered for certain.
from milliamp.base.facts import _CLOCK
from milliamp.storage.kinds import _SECURITY
from milliamp.wire.gates import _FROM_JOURNAL
from micropython import const

# Critical events (appendix 1). A record holds the place in this row, for ever.
EVENTS = (
    "StartupOfTheDevice",
    "ResetOrReboot",
    "SettingSystemTime",
    "MemoryExhaustion",
    "TamperDetectionActivated",
    "SecurityLogWasCleared",
    "FirmwareUpdated",
    "InvalidFirmwareSignature",
    "InvalidFirmwareSigningCertificate",
    "InvalidCsmsCertificate",
    "InvalidChargingStationCertificate",
    "InvalidTLSVersion",
    "InvalidTLSCipherSuite",
)
_STARTUP = const(0)
_RESET = const(1)
_TIME_SET = const(2)

_TIME_MOVED = const(60)  # seconds: a clock that is corrected by less was running well


def init(st) -> None:
    """A start is an event of its own (A04)."""
    st.bus.subscribe(_CLOCK, _clock)
    happened(st, _STARTUP if st.boot_reason in ("PowerUp", "Unknown") else _RESET)


def happened(st, event: int) -> None:
    """Make a security event durable; it is sent when its turn comes."""
    try:
        st.journal.append(_SECURITY, bytes((event,)))
    except OSError:
        st.log.error("the journal is full: " + EVENTS[event] + " is only in the log")
    st.outbox.wake()


def _clock(st, fact, evse, moved):
    if st.clock_was_set and abs(moved) > _TIME_MOVED:
        happened(st, _TIME_SET)


def _due(st):
    head = st.journal.head()
    return head if head is not None and head[1] == _SECURITY else None


def _render(st, w, head):
    w.object()
    w.field("type", EVENTS[head[4][0]])
    w.key("timestamp").time(head[3])
    w.end()


def _answered(st, head, r, at):
    pass


SENDS = ((9, _FROM_JOURNAL, "SecurityEventNotification", _due, _render, _answered),)
