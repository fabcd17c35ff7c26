# OCPP data types that several blocks write.
from milliamp.base.measurands import row
from milliamp.base.packing import word
from tables import contexts, measurands, words


def evse(w, index: int, connector: int = 0) -> None:
    """EVSEType."""
    w.object("evse")
    w.field("id", index)
    if connector:
        w.field("connectorId", connector)
    w.end()


def index(r, at: int) -> int:
    """The number of an EVSE or a connector: 0 where none is named, -1 for a 0, which is none."""
    number = r.number(at)
    return 0 if number is None else number or -1


def read_evse(st, r, at: int):
    """(EVSE, connector) of an EVSEType, 0 for what it does not name; None when the station has none such."""
    number, connector = index(r, r.get(at, "id")), index(r, r.get(at, "connectorId"))
    evses = st.profile.EVSES
    if 0 <= number <= len(evses) and 0 <= connector <= (len(evses[number - 1]) if number else 0):
        return number, connector
    return None


def id_token(w, token) -> None:
    """IdTokenType of (idToken, type)."""
    w.object("idToken")
    w.field("idToken", token[0])
    w.field("type", token[1])
    w.end()


def read_token(r, at: int):
    """(idToken, type) of an IdTokenType, None when `at` is 0."""
    return (r.text(at, "idToken"), r.text(at, "type")) if at else None


def read_info(st, r, at: int) -> tuple:
    """(status, group or None, mask of EVSEs or 0, expiry or 0) of an IdTokenInfoType; an expiry before 2000 is 1."""
    evses = 0
    where = r.get(at, "evseId")
    if where:
        for n in r.each(where):
            n = r.number(n) or 0
            # The bit of an EVSE that there is not.
            evses |= 1 << n if 0 < n < 16 else 1
    expiry = 0
    until = r.get(at, "cacheExpiryDateTime")
    # What is no time is over, too.
    if until:
        expiry = max(1, min(st.clock.parse(r.text(until) or "") or 0, 0xFFFFFFFF))
    return (
        r.text(at, "status"),
        read_token(r, r.get(at, "groupIdToken")),
        evses,
        expiry,
    )


def meter_value(st, w, time: int, context: int, mask: int, numbers) -> None:
    """MeterValueType of one sample group. What is the default of the schema is left out: it makes frames longer
    and says nothing; but certification asks to see the context. `numbers` is walked: one for each bit of `mask`."""
    w.object()
    w.key("timestamp").time(time)
    w.array("sampledValue")
    for slot in range(measurands.SLOTS):
        if mask >> slot & 1:
            value = numbers.number()
            # 32 bits with a sign.
            if slot:
                value -= value >> 31 << 32
            if slot < measurands.NAMED:
                _sampled_value(st, w, slot, context, value)
    w.end()
    w.end()


def _sampled_value(st, w, slot, context, value):
    measurand, phase, unit, digits = row(slot)
    w.object()
    w.key("value").fixed(value, digits)
    # It is the default.
    if context != contexts.SAMPLE_PERIODIC or st.profile.PERIODIC_CONTEXT:
        w.field("context", word(words.READING_CONTEXT, context))
    # 0 is the default.
    if slot:
        w.field("measurand", measurand)
    if phase:
        w.field("phase", ("L%d-N" if measurand == "Voltage" else "L%d") % phase)
    if unit != "Wh":
        w.object("unitOfMeasure")
        w.field("unit", unit)
        w.end()
    w.end()
