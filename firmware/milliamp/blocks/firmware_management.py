# Firmware management (functional block L): so far it only says, when asked, that nothing is going on.
from milliamp.wire import gates


def trigger_status(st, index, connector):
    """TriggerMessage FirmwareStatusNotification, whatever EVSE it names (F06.FR.16)."""
    st.firmware_management = 1
    return True


def _due(st):
    return 1 if st.firmware_management else None


def _render(st, w, cursor):
    # On its way: who asks now wants another (F06.FR.10).
    st.firmware_management = 2
    w.status("Idle")


def _answered(st, cursor, r, at):
    if st.firmware_management == 2:
        st.firmware_management = 0


def busy(st) -> bool:
    """Is there anything that this block must still send?"""
    return st.firmware_management > 0


TRIGGERS = {"FirmwareStatusNotification": trigger_status}
SENDS = ((4, gates.WHEN_ACCEPTED, "FirmwareStatusNotification", _due, _render, _answered),)
