# Measured values: which ones are asked for, and reading them.
from milliamp.base.measurands import row, slots
from milliamp.base.packing import put_number
from milliamp.domain.transaction import group
from tables import measurands


def asked(st, variable: int) -> int:
    """The slots of the measurands that a variable lists, as a mask."""
    return slots(st.model.get(variable))


def read(st, e, measurand: str, phase: int):
    """The present value (W, mA, mV, ...), None when the board does not measure it. A value that is no number is
    not measured, and stops nobody."""
    value = None
    try:
        value = st.board.measure(e.index, measurand, phase)
        if value is not None:
            # Takes nothing but integers.
            value |= 0
    except Exception as error:
        value = None
        st.log.error("EVSE %d: %s: %r" % (e.index, measurand, error))
    return value


def sample(st, e, mask: int, context: int, register=None, age: int = 0, most: int = 32) -> bytes:
    """Read what `mask` names and pack it as sample groups of at most `most` values; empty when nothing of it
    is measured.

    `register`: Wh to report in place of the meter's present one. `age`: seconds, of the time that the
    sample is to have.
    """
    out = b""
    values = bytearray()
    measured = count = 0
    for slot in range(measurands.SLOTS):
        if mask >> slot & 1:
            if slot:
                measurand, phase, _, _ = row(slot)
                value = read(st, e, measurand, phase)
            elif register is not None:
                value = register
            else:
                value = e.wh
            if value is not None:
                if count == most:
                    out += group(context, measured, values, age)
                    values = bytearray()
                    measured = count = 0
                measured |= 1 << slot
                count += 1
                put_number(values, value & 0xFFFFFFFF if slot else value)
    return out + group(context, measured, values, age) if measured else out
