# Provisioning (functional block B): boot, variables, reports and reset.
import asyncio

from micropython import const

from milliamp.base import facts, rare
from milliamp.base.packing import word
from milliamp.domain import charging
from milliamp.storage import keys
from milliamp.wire import gates, types
from milliamp.wire.rpc import CallError
from tables import events, ids, registrations, variables, words

# Seconds, where the CSMS names no interval (B02.FR.05) or does not answer.
_BOOT_RETRY = const(60)
# seconds: any interval the CSMS may name is cut to it.
_LONGEST = const(604800)

# Bytes of JSON: no variable takes more, so no more is decoded.
_LONGEST_VALUE = const(600)

# Bytes of an entry of a report besides its texts, and of the message's end; less where there is no text, limit or EVSE.
_ENTRY_BYTES = const(272)


class Provisioning:
    """Where the boot stands, and the report that is being sent."""

    def __init__(self):
        # ms until BootNotification is due, or on its way; None: it was triggered.
        self.wait = 0
        # Ticks from which it counts; the first is due at once.
        self.since = 0
        # (requestId, base) while one is sent.
        self.report = None
        # The entry whose turn it is next.
        self.entry = 0
        self.seq = 0


def init(st) -> None:
    """The first thing that goes over a link is BootNotification."""
    st.provisioning = Provisioning()
    st.bus.subscribe(facts.LINK, _link)


def _link(st, fact, evse, up):
    if not up:
        st.provisioning.report = None
    elif up == 2:
        st.provisioning.wait = 0


# --- boot -------------------------------------------------------------------------------------------


def _boot_due(st):
    own = st.provisioning
    if st.outbox.registration == registrations.ACCEPTED and own.wait is not None:
        return None
    return 1 if not own.wait or st.clock.since(own.since) >= own.wait else None


def _boot_render(st, w, cursor):
    profile, own = st.profile, st.provisioning
    w.field("reason", "Triggered" if own.wait is None else st.boot_reason)
    # What is triggered from now on is another one (F06.FR.10).
    own.wait = 0
    w.object("chargingStation")
    w.field("model", profile.MODEL)
    w.field("vendorName", profile.VENDOR)
    if profile.SERIAL:
        w.field("serialNumber", profile.SERIAL)
    w.field("firmwareVersion", profile.VERSION)


async def _boot_answered(st, cursor, r, at):
    own = st.provisioning
    own.since = st.clock.ticks()
    # Also where what follows fails for want of memory or flash.
    if own.wait is not None:
        own.wait = _BOOT_RETRY * 1000
    interval = status = 0
    if r is not None:
        st.set_clock(r.text(at, "currentTime"))
        interval = min(r.number(at, "interval") or 0, _LONGEST)
        status = r.get(at, "status")
    await asyncio.sleep_ms(0)
    if interval > 0 and own.wait is not None and not (status and r.same(status, "Accepted")):
        own.wait = interval * 1000
    # Nothing was decided.
    if not status:
        return
    if r.same(status, "Accepted"):
        if interval > 0:
            _put(st, ids.OCPP_COMM_HEARTBEAT_INTERVAL, interval)
        st.settings.put((keys.BOOT_REASON, None))
        await asyncio.sleep_ms(0)
        st.outbox.register(registrations.ACCEPTED)
        st.log.info("accepted")
    else:
        st.outbox.register(
            registrations.PENDING if r.same(status, "Pending") else registrations.REJECTED
        )


def _put(st, variable, value):
    if st.model.get(variable) != value:
        st.model.put(st.model.entry(variable), value)


def trigger_boot(st, evse, connector):
    """TriggerMessage BootNotification: only before the station is accepted (F06.FR.17)."""
    if st.outbox.registration == registrations.ACCEPTED:
        return False
    st.provisioning.wait = None
    return True


# --- variables --------------------------------------------------------------------------------------


def _entry(st, r, item):
    # The entry that an item of GetVariables or SetVariables names, negative when there is none.
    component, variable = r.get(item, "component"), r.get(item, "variable")
    where = r.get(component, "evse")
    return st.model.find(
        r.text(component, "name"),
        r.text(component, "instance"),
        types.index(r, r.get(where, "id")),
        types.index(r, r.get(where, "connectorId")),
        r.text(variable, "name"),
        r.text(variable, "instance"),
    )


def _status(st, r, item):
    # The entry of an item, or the status that says why there is none.
    entry = _entry(st, r, item)
    attribute = r.get(item, "attributeType")
    if entry < 0:
        return entry, word(words.SET_VARIABLE_STATUS, variables.UNKNOWN_COMPONENT - 1 - entry)
    if attribute and not r.same(attribute, "Actual"):
        return -1, "NotSupportedAttributeType"
    return entry, "Accepted"


def _result(w, r, item, status, value=None, reason=""):
    # One result: the status, and what the item named, as it named it.
    w.object()
    w.field("attributeStatus", status)
    if reason:
        w.object("attributeStatusInfo")
        w.field("reasonCode", reason)
        w.end()
    if value is not None:
        w.field("attributeValue", value)
    if not r.get(item, "attributeType"):
        # B05.FR.12, B06.FR.11.
        w.field("attributeType", "Actual")
    for key in ("attributeType", "component", "variable"):
        at = r.get(item, key)
        if at:
            w.key(key).echo(r, at)
    w.end()


def _limited(st, r, items, limit):
    count = 0
    for _ in r.each(items):
        count += 1
    most = st.model.get(limit)
    if count > most:
        raise CallError("OccurrenceConstraintViolation", "at most %d items" % most)


async def get_variables(st, r, at, w):
    """B06: one result for each item, in their order."""
    items = r.get(at, "getVariableData")
    _limited(st, r, items, ids.DEVICE_DATA_ITEMS_PER_MESSAGE_GET_VARIABLES)
    # They were all passed over to be counted.
    await st.rpc.pause()
    w.array("getVariableResult")
    for item in r.each(items):
        entry, status = _status(st, r, item)
        value = None
        if entry >= 0:
            value = st.model.text(entry)
            if value is None:
                # Write-only (B06.FR.09).
                status = "Rejected"
        _result(w, r, item, status, value)
        await st.rpc.pause()


def _set(st, r, entry, value):
    # Write one variable: (status, reason code).
    if r.skip(value) - value > _LONGEST_VALUE:
        return "Rejected", "TooLargeElement"
    text = r.text(value)
    reason = ""
    if st.profile.NETWORKS and entry == st.model.entry(
        ids.OCPP_COMM_NETWORK_CONFIGURATION_PRIORITY
    ):
        reason = rare.load("milliamp.wire.network_profiles").refuses(st, text)
    elif entry == st.model.entry(ids.SECURITY_BASIC_AUTH_PASSWORD):
        # The last that the CSMS took is kept until it has taken the new one (A01).
        get = st.settings.get
        try:
            st.settings.put((keys.OLD_PASSWORD, get(keys.OLD_PASSWORD) or get(keys.PASSWORD)))
        except OSError:
            reason = "OutOfStorage"
    if reason:
        return "Rejected", reason
    status = word(words.SET_VARIABLE_STATUS, st.model.set(entry, text))
    # What nobody may read is a secret.
    if not st.model.reason and st.model.text(entry) is None:
        st.log.secret(text)
    return status, st.model.reason


async def set_variables(st, r, at, w):
    """B05: each item is written, or not, by itself."""
    items = r.get(at, "setVariableData")
    _limited(st, r, items, ids.DEVICE_DATA_ITEMS_PER_MESSAGE_SET_VARIABLES)
    # They were all passed over to be counted.
    await st.rpc.pause()
    w.array("setVariableResult")
    for item in r.each(items):
        entry, status = _status(st, r, item)
        reason = ""
        if entry >= 0:
            status, reason = _set(st, r, entry, r.get(item, "attributeValue"))
        _result(w, r, item, status, None, reason)
        await st.rpc.pause()


def date_time(st, evse, connector):
    """ClockCtrlr.DateTime."""
    return st.clock.text(st.clock.now())


def network_profile(st, evse, connector):
    """OCPPCommCtrlr.ActiveNetworkProfile."""
    return st.link.slot


def message_timeout(st, evse, connector):
    """OCPPCommCtrlr.MessageTimeout: that of the network profile in use."""
    return st.settings.get(keys.SLOT_TIMEOUT + 16 * st.link.slot)


def security_profile(st, evse, connector):
    """SecurityCtrlr.SecurityProfile: that of the network profile in use."""
    return st.link.security(st.link.slot)


def set_network_profile(st, r, at, w):
    """B09: stored or not; it is used once NetworkConfigurationPriority names it, so not where that cannot be."""
    if not st.profile.NETWORKS:
        return w.status("Rejected", "InvalidConfSlot")
    w.status(*rare.load("milliamp.wire.network_profiles").store(st, r, at))
    return None


# --- reports ----------------------------------------------------------------------------------------


def get_base_report(st, r, at, w):
    """B07: the inventories, as many variables a message as fit it."""
    own = st.provisioning
    base = r.get(at, "reportBase")
    if r.same(base, "SummaryInventory"):
        return w.status("NotSupported", "UnsupportedParam")
    if own.report is not None:
        return w.status("Rejected")
    own.report = r.number(at, "requestId"), r.same(base, "FullInventory")
    own.entry, own.seq = _next_reported(st, 0), 0
    if own.entry < st.model.count:
        return w.status("Accepted")
    own.report = None
    w.status("EmptyResultSet")


def _next_reported(st, entry):
    # The first entry from `entry` on that belongs to the report.
    while entry < st.model.count and not (st.provisioning.report[1] or st.model.writable(entry)):
        entry += 1
    return entry


def _report_due(st):
    own = st.provisioning
    return own.entry if own.report is not None else None


async def _report_render(st, w, entry):
    own = st.provisioning
    w.field("requestId", own.report[0])
    w.key("generatedAt").time(st.clock.now())
    w.field("seqNo", own.seq)
    w.array("reportData")
    first, left = w.at, st.profile.REPORT_ENTRIES
    while entry < st.model.count and left:
        fields, value = st.model.fields(entry), st.model.text(entry)
        text = str(fields)
        size = _ENTRY_BYTES + len(text) + len(str(value)) - 10 * text.count("''")
        size -= 16 * text.count("None") + (0 if fields[2] else 32)
        if w.at != first and w.at + size > w.cap:
            break
        own.entry = entry = _next_reported(st, entry + 1)
        _report_entry(w, fields, value)
        left -= 1
        # An entry is a long step by itself.
        await asyncio.sleep_ms(0)
    w.end()
    if entry < st.model.count:
        w.field("tbc", True)


def _report_entry(w, fields, value):
    (
        component,
        c_instance,
        evse,
        connector,
        variable,
        v_instance,
        mutability,
        kind,
        unit,
        least,
        most,
        values,
    ) = fields
    w.object()
    w.object("component")
    _name(w, component, c_instance)
    if evse:
        types.evse(w, evse, connector)
    w.end()
    w.object("variable")
    _name(w, variable, v_instance)
    w.end()
    w.array("variableAttribute")
    w.object()
    if value is not None:
        w.field("value", value)
    w.field("mutability", mutability)
    if mutability != "ReadOnly":
        w.field("persistent", True)
    w.end()
    w.end()
    w.object("variableCharacteristics")
    w.field("dataType", kind)
    w.field("supportsMonitoring", False)
    if unit:
        w.field("unit", unit)
    if least is not None:
        w.field("minLimit", least)
    if most is not None:
        w.field("maxLimit", most)
    if values:
        w.field("valuesList", values)
    w.end()
    w.end()


def _name(w, name, instance):
    w.field("name", name)
    if instance:
        w.field("instance", instance)


def _report_answered(st, entry, r, at):
    """Whatever the answer: the CSMS has it, or does not want it."""
    own = st.provisioning
    if own.report is None:
        return
    own.seq += 1
    # Also when there was nothing to send: it failed, and would again.
    if own.entry in (entry, st.model.count):
        own.report = None


# --- reset ------------------------------------------------------------------------------------------


def reset(st, r, at, w):
    """B11, B12: at once, or when no transaction is in the way; answered first."""
    index = types.index(r, r.get(at, "evseId"))
    if not 0 <= index <= len(st.evses) or index and not st.model.get(ids.EVSE_ALLOW_RESET, index):
        return w.status("Rejected")
    if r.same(r.get(at, "type"), "OnIdle") and st.bus.tell(facts.WHO_IS_BUSY, index):
        w.status("Scheduled")
        # An EVSE has nothing to reset but its transaction, and that ends by itself.
        if not index:
            st.reboot("ScheduledReset", True)
        return None
    w.status("Accepted")
    return _reset_now, index


def _reset_now(st, index):
    if not index:
        st.reboot("RemoteReset")
    for e in st.evses:
        if index in (0, e.index):
            charging.finish(st, e, events.RESET_COMMAND, events.IMMEDIATE_RESET)


CALLS = {
    "GetVariables": get_variables,
    "SetVariables": set_variables,
    "SetNetworkProfile": set_network_profile,
    "GetBaseReport": get_base_report,
    "Reset": reset,
}
LIVE = {
    "ClockCtrlr.DateTime": date_time,
    "OCPPCommCtrlr.ActiveNetworkProfile": network_profile,
    "OCPPCommCtrlr.MessageTimeout.Default": message_timeout,
    "SecurityCtrlr.SecurityProfile": security_profile,
}
TRIGGERS = {"BootNotification": trigger_boot}
UNREAD = (
    "BootNotification.statusInfo",
    "SetNetworkProfile.connectionData.apn",
    "SetNetworkProfile.connectionData.vpn",
)
SENDS = (
    (0, gates.BEFORE_BOOT, "BootNotification", _boot_due, _boot_render, _boot_answered),
    (4, gates.WHEN_PENDING, "NotifyReport", _report_due, _report_render, _report_answered),
)
