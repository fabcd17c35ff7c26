# Meter values (functional block J): values taken by the clock, outside transactions in MeterValues.
from milliamp.base.packing import Bytes
from milliamp.domain import charging, meter, transaction
from milliamp.domain.events import _METER_VALUE_CLOCK, _SAMPLE_CLOCK, _SAMPLE_TRIGGER
from milliamp.wire import types
from milliamp.wire.gates import _WHEN_ACCEPTED
from tables.ids import (
    _ALIGNED_DATA_INTERVAL,
    _ALIGNED_DATA_MEASURANDS,
    _ALIGNED_DATA_SEND_DURING_IDLE,
)


class MeterValues:
    """The sample of each EVSE that waits to be sent: (time, packed sample group) or None."""

    def __init__(self, st):
        self.waiting = [None] * len(st.evses)
        self.slot = 0, 0  # the aligned interval that was sampled last: its length, its begin


def init(st) -> None:
    """The first sample is taken at the next full interval."""
    st.meter_values = MeterValues(st)


def tick(st) -> None:
    """Called once a second: take the sample of an interval that begins (J01). Intervals count from 00:00."""
    interval = st.model.get(_ALIGNED_DATA_INTERVAL)
    if not interval or not st.clock_was_set:
        return
    own = st.meter_values
    now = st.clock.now()
    time = now - now % 86400 % interval
    before, own.slot = own.slot, (interval, time)
    if before[0] != interval or before[1] == time:
        return
    busy = any(e.tx is not None for e in st.evses)
    for e in st.evses:
        if e.tx is None:
            if st.online and not (busy and st.model.get(_ALIGNED_DATA_SEND_DURING_IDLE)):
                own.waiting[e.index - 1] = time, _sample(st, e, _SAMPLE_CLOCK)
        elif not st.model.get(_ALIGNED_DATA_SEND_DURING_IDLE):
            charging.trigger_event(st, e, _METER_VALUE_CLOCK, _sample(st, e, _SAMPLE_CLOCK))
    st.outbox.wake()


def _sample(st, e, context):
    return meter.sample(st, e, meter.slots(st.model.get(_ALIGNED_DATA_MEASURANDS)), context)


def _due(st):
    waiting = st.meter_values.waiting
    for n in range(len(waiting)):
        if waiting[n] is not None and waiting[n][1]:
            return n + 1, waiting[n]
    return None


def _render(st, w, cursor):
    index, (time, packed) = cursor
    walk = Bytes(packed)
    w.object()
    w.field("evseId", index)
    w.array("meterValue")
    for context, age, mask in transaction.groups(walk):
        types.meter_value(w, time, context, mask, walk)
    w.end()
    w.end()


def _answered(st, cursor, r, at):
    index, sample = cursor
    if st.meter_values.waiting[index - 1] is sample:
        st.meter_values.waiting[index - 1] = None


def trigger(st, evse, connector):
    """TriggerMessage MeterValues: what AlignedDataCtrlr lists, of one EVSE or of all (F06.FR.06)."""
    done = False
    for e in st.evses:
        if evse in (0, e.index):
            sample = _sample(st, e, _SAMPLE_TRIGGER)
            st.meter_values.waiting[e.index - 1] = st.clock.now(), sample
            done = done or bool(sample)
    return done


def power(st, index, connector):
    """EVSE.Power in W."""
    return st.board.measure(index, "Power.Active.Import", 0)


LIVE = {"EVSE.Power": power}
TRIGGERS = {"MeterValues": trigger}
SENDS = ((5, _WHEN_ACCEPTED, "MeterValues", _due, _render, _answered),)
