# Security (functional block A): security events. All go into the security log; the critical ones are
# delivered for certain.
from micropython import const

from milliamp.base.facts import _CLOCK, _VARIABLE
from milliamp.storage import security_log
from milliamp.storage.kinds import _SECURITY
from milliamp.wire.gates import _FROM_JOURNAL
from tables.ids import _SECURITY_BASIC_AUTH_PASSWORD, _SECURITY_SECURITY_PROFILE

# Appendix 1. A journal record holds the place in this row, for ever. One text, for a tuple takes RAM.
EVENTS = (
    "StartupOfTheDevice ResetOrReboot SettingSystemTime MemoryExhaustion TamperDetectionActivated "
    "SecurityLogWasCleared FirmwareUpdated InvalidFirmwareSignature InvalidFirmwareSigningCertificate "
    "InvalidCsmsCertificate InvalidChargingStationCertificate InvalidTLSVersion InvalidTLSCipherSuite "
    "MaintenanceLoginAccepted MaintenanceLoginFailed FailedToAuthenticateAtCsms CsmsFailedToAuthenticate "
    "ReconfigurationOfSecurityParameters InvalidMessages AttemptedReplayAttacks"
)
_STARTUP = const(0)
_RESET = const(1)
_TIME_SET = const(2)
_RECONFIGURED = const(17)
_NOT_CRITICAL = const(0xF8000)  # a bit for each event of the row that is only for the log

_TIME_MOVED = const(60)  # seconds: a clock that is corrected by less was running well


def init(st) -> None:
    """A start is an event of its own (A04)."""
    st.bus.subscribe(_CLOCK | _VARIABLE, _hear)
    happened(st, _STARTUP if st.boot_reason in ("PowerUp", "Unknown") else _RESET)


def happened(st, event: int) -> None:
    """Make a security event durable; a critical one is sent when its turn comes."""
    name = _name(event)
    if not _NOT_CRITICAL >> event & 1:
        try:
            st.journal.append(_SECURITY, bytes((event,)))
        except OSError:
            st.log.error("the journal is full: " + name + " is only in the log")
        st.outbox.wake()
    _note(st, name)


def _name(event):
    return EVENTS.split(" ")[event]


def _note(st, text):
    """Write into the security log, if the profile has a place for it."""
    if "logs" in st.profile.FLASH:
        try:
            security_log.append(st.board.flash("logs"), st.clock, text)
        except OSError:
            st.log.error("no room in the security log: " + text)


def _hear(st, fact, evse, arg):
    if fact == _VARIABLE:
        if arg in (_SECURITY_BASIC_AUTH_PASSWORD, _SECURITY_SECURITY_PROFILE):
            happened(st, _RECONFIGURED)
    elif not st.clock_was_set:
        _note(st, "the clock was set, it moved by %d s" % arg)
    elif abs(arg) > _TIME_MOVED:
        happened(st, _TIME_SET)


def _due(st):
    head = st.journal.head()
    return head if head is not None and head[1] == _SECURITY else None


def _render(st, w, head):
    w.object()
    w.field("type", _name(head[4][0]))
    w.key("timestamp").time(head[3])
    w.end()


def _answered(st, head, r, at):
    pass


SENDS = ((9, _FROM_JOURNAL, "SecurityEventNotification", _due, _render, _answered),)
