# The values of a transaction while it runs: when they are taken, what is told at once and what is kept for its end (J02).
from micropython import const

from milliamp.domain import charging, meter
from tables import contexts, events, ids

# bytes: the most that a transaction keeps for its Ended event.
_SAMPLES_ROOM = const(512)


def measure(st) -> None:
    """Take the periodic values that are due. Called at every poll."""
    for e in st.evses:
        if e.tx is None or e.cause is not None:
            continue
        due = _is_due(st, e.kept, ids.SAMPLED_DATA_TX_ENDED_INTERVAL)
        if due is not None:
            e.kept = due
            variable = ids.SAMPLED_DATA_TX_ENDED_MEASURANDS
            keep(st, e, variable, contexts.SAMPLE_PERIODIC, st.clock.now())
        due = _is_due(st, e.sampled, ids.SAMPLED_DATA_TX_UPDATED_INTERVAL)
        if due is not None:
            e.sampled = due
            mask = meter.asked(st, ids.SAMPLED_DATA_TX_UPDATED_MEASURANDS)
            values = meter.sample(st, e, mask, contexts.SAMPLE_PERIODIC, most=st.profile.VALUES)
            if values:
                charging.trigger_event(st, e, events.METER_VALUE_PERIODIC, values)


def keep(st, e, measurands: int, context: int, time: int) -> None:
    """Take a sample for the Ended event of what a variable lists, as of `time`."""
    tx = e.tx
    # A new sector of the journal begins with all of it: three eighths of a sector, less its header and the base, for all
    # EVSEs: each has a name there, and a checkpoint of 48 bytes with its samples.
    unit = st.profile.FLASH_UNIT
    room = (st.profile.FLASH_SECTOR * 3 // 8 - 97 - unit) // len(st.evses) - 66 - unit
    sample = meter.sample(
        st, e, meter.asked(st, measurands), context, age=max(time - tx.started, 0)
    )
    tx.keep(sample, min(room, _SAMPLES_ROOM))


def _is_due(st, since, interval):
    # Has the interval of a variable passed? Then the ticks from which the next one counts, else None.
    ms = st.model.get(interval) * 1000
    if not ms or st.clock.since(since) < ms:
        return None
    # From the last due time, so that the period does not drift.
    since = (since + ms) & 0x3FFFFFFF
    return since if st.clock.since(since) < ms else st.clock.ticks()
