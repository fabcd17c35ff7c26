# The network profiles: what may be stored in a slot, and which slots may be used (A01, A05, B09, B10). Rarely
# needed, so it is imported on use.
from micropython import const

from milliamp.base import facts
from milliamp.storage import keys
from milliamp.wire.handshake import split
from milliamp.wire.websocket import HandshakeError
from tables import ids, words

# seconds: a message timeout.
_LONGEST = const(3600)


def store(st, r, at: int):
    """Store the profile of a SetNetworkProfile request: (status, reason code)."""
    slot = r.number(at, "configurationSlot")
    data = r.get(at, "connectionData")
    security = r.number(data, "securityProfile")
    if str(slot) not in _slots(st):
        return "Rejected", "InvalidConfSlot"
    if security is None or not 0 <= security <= 3 or not _fits(r, data, security):
        return "Rejected", "InvalidNetworkConf"
    if security < st.link.security(st.link.slot):
        return "Rejected", "NoSecurityDowngrade"
    # Without it there would be no way back.
    if slot == st.link.slot:
        return "Rejected", "PriorityNetworkConf"
    order = st.model.get(ids.OCPP_COMM_NETWORK_CONFIGURATION_PRIORITY)
    reason = str(slot) in order.split(",") and _lacks(st, security)
    if reason:
        return "Rejected", reason
    try:
        st.settings.put(
            (keys.SLOT_URL + 16 * slot, r.text(data, "ocppCsmsUrl")),
            (keys.SLOT_TIMEOUT + 16 * slot, r.number(data, "messageTimeout")),
            (keys.SLOT_SECURITY + 16 * slot, security),
        )
    except OSError:
        return "Failed", "OutOfStorage"
    return "Accepted", ""


def _slots(st):
    # The numbers of the slots there are, as texts.
    entry = st.model.entry(ids.OCPP_COMM_NETWORK_CONFIGURATION_PRIORITY)
    return st.model.fields(entry)[-1].split(",")


def _fits(r, data, security):
    # Can a station like this one use the profile at all? It has one network, set up by itself.
    if r.get(data, "apn") or r.get(data, "vpn"):
        return False
    if not (
        r.same(r.get(data, "ocppVersion"), words.NETWORK)
        and r.same(r.get(data, "ocppTransport"), "JSON")
    ):
        return False
    if not r.text(data, "ocppInterface").endswith("0"):
        return False
    if not 0 < (r.number(data, "messageTimeout") or 0) <= _LONGEST:
        return False
    url = r.text(data, "ocppCsmsUrl")
    # Of the text itself, MicroPython would keep each character for ever.
    for c in url.encode():
        if not 33 <= c <= 126 or c in b"#@":
            return False
    try:
        return split(url)[3] == (security > 1)
    except HandshakeError:
        return False


def _lacks(st, security):
    # Why no connection can be made with a security profile, "" when it can. A05: the certificates.
    if security > 1:
        return "InvalidCertificate"
    return "InvalidNetworkConf" if security and not st.settings.get(keys.PASSWORD) else ""


def refuses(st, text: str) -> str:
    """Why NetworkConfigurationPriority may not be written, "" when it may or the device model knows why."""
    settings = st.settings
    for slot in text.split(","):
        slot = slot.strip()
        if slot not in _slots(st):
            # The device model refuses it.
            continue
        slot = int(slot)
        security = st.link.security(slot)
        if slot != 1 and not settings.get(keys.SLOT_URL + 16 * slot):
            return "InvalidNetworkConf"
        if security < st.link.security(st.link.slot):
            return "NoSecurityDowngrade"
        if reason := _lacks(st, security):
            return reason
    return ""


def settle(st) -> None:
    """The profile in use is good: from now on it is the one to fall back to, and those of a lower security
    profile are not used any more (A05). OSError: there is no room for that."""
    link, model, settings = st.link, st.model, st.settings
    before = settings.get(keys.GOOD_SLOT, 1)
    security = link.security(link.slot)
    order = model.get(ids.OCPP_COMM_NETWORK_CONFIGURATION_PRIORITY)
    kept = [slot for slot in order.split(",") if link.security(int(slot)) >= security]
    kept = ",".join(kept) or str(link.slot)
    if kept != order:
        model.put(model.entry(ids.OCPP_COMM_NETWORK_CONFIGURATION_PRIORITY), kept)
    settings.put((keys.GOOD_SLOT, link.slot if link.slot != 1 else None))
    if link.security(before) != security:
        st.bus.tell(facts.VARIABLE, 0, ids.SECURITY_SECURITY_PROFILE)
