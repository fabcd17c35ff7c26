# Meter values (functional block J): values taken by the clock, outside transactions in MeterValues.
from micropython import const

from milliamp.base.packing import Bytes
from milliamp.domain import charging, meter, samples, transaction
from milliamp.wire import gates, types
from tables import contexts, events, ids

# Seconds behind the begin of an interval in which a value still is one of then.
_LATE = const(10)


class MeterValues:
    """The sample of each EVSE that waits to be sent: (time, its groups, one for each message) or None."""

    def __init__(self, st):
        self.waiting = [None] * len(st.evses)
        # The aligned interval that was sampled last: its length, its begin.
        self.slot = 0, 0
        # The same of the values for Ended events.
        self.kept = 0, 0


def init(st) -> None:
    """The first sample is taken at the next full interval."""
    st.meter_values = MeterValues(st)


def tick(st) -> None:
    """Called once a second: take the samples of an interval that begins (J01). Intervals count from 00:00."""
    if not st.clock_was_set:
        return
    own = st.meter_values
    kept, own.kept = own.kept, _slot(st, ids.ALIGNED_DATA_TX_ENDED_INTERVAL)
    if _begins(st, kept, own.kept):
        for e in st.evses:
            if e.tx is not None and own.kept[1] > e.tx.started:
                variable = ids.ALIGNED_DATA_TX_ENDED_MEASURANDS
                samples.keep(st, e, variable, contexts.SAMPLE_CLOCK, own.kept[1])
    before, own.slot = own.slot, _slot(st, ids.ALIGNED_DATA_INTERVAL)
    if not _begins(st, before, own.slot):
        return
    time = own.slot[1]
    only_idle = st.model.get(ids.ALIGNED_DATA_SEND_DURING_IDLE)
    busy = any(e.tx is not None for e in st.evses)
    for e in st.evses:
        if e.tx is None:
            if st.online and not (busy and only_idle):
                _wait(st, e, time, _sample(st, e, contexts.SAMPLE_CLOCK, 0, st.profile.VALUES))
        elif not only_idle:
            age = max(st.clock.now() - time, 0)
            values = _sample(st, e, contexts.SAMPLE_CLOCK, age, st.profile.VALUES)
            if values:
                charging.trigger_event(st, e, events.METER_VALUE_CLOCK, values)
    st.outbox.wake()


def _slot(st, variable):
    # The interval in which we are, as (length, begin); (0, 0) when the variable says that there is none.
    interval = st.model.get(variable)
    now = st.clock.now()
    return (interval, now - now % 86400 % interval) if interval else (0, 0)


def _begins(st, before, slot):
    # Has an interval begun? Not with the first look at a new length, and not where the clock has jumped over its
    # begin, or back behind it: nothing was read then.
    fresh = before[1] < slot[1] and st.clock.now() - slot[1] < _LATE
    return slot[0] and before[0] == slot[0] and fresh


def _sample(st, e, context, age, most):
    mask = meter.asked(st, ids.ALIGNED_DATA_MEASURANDS)
    return meter.sample(st, e, mask, context, None, age, most)


def _wait(st, e, time, sample):
    # The next sample of an EVSE takes the place of one that was not sent yet.
    groups = tuple(transaction.packed(sample))
    st.meter_values.waiting[e.index - 1] = (time, groups) if groups else None
    return bool(groups)


def _due(st):
    waiting = st.meter_values.waiting
    for n in range(len(waiting)):
        if waiting[n] is not None:
            return n + 1, waiting[n]
    return None


def _render(st, w, cursor):
    index, (time, groups) = cursor
    context, _, mask, values = groups[0]
    w.field("evseId", index)
    w.array("meterValue")
    types.meter_value(st, w, time, context, mask, Bytes(values))


def _answered(st, cursor, r, at):
    index, sample = cursor
    if st.meter_values.waiting[index - 1] is sample:
        time, groups = sample
        st.meter_values.waiting[index - 1] = (time, groups[1:]) if groups[1:] else None


def trigger(st, evse, connector):
    """TriggerMessage MeterValues: what AlignedDataCtrlr lists, of one EVSE or of all (F06.FR.06)."""
    done = False
    for e in st.evses:
        if evse in (0, e.index):
            sample = _sample(st, e, contexts.TRIGGER, 0, 32)
            done = _wait(st, e, st.clock.now(), sample) or done
    return done


TRIGGERS = {"MeterValues": trigger}
SENDS = ((5, gates.WHEN_ACCEPTED, "MeterValues", _due, _render, _answered),)
