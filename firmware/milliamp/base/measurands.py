# What a meter may measure. A sample is a set of slots: bit n of its mask is slot n of device_model/versions.
# Of each slot words.MEASURAND_SLOT has which measurand it is, and in the high half its phase (0: the sum or the only one).
from milliamp.base.packing import word
from tables import measurands, words


def slots(names: str) -> int:
    """The slot mask of a list of measurands, as SampledDataCtrlr and AlignedDataCtrlr hold it."""
    wanted = names.split(",")
    known = words.MEASURAND.split(" ")
    mask = 0
    for slot in range(measurands.NAMED):
        if known[words.MEASURAND_SLOT[slot] & 15] in wanted:
            mask |= 1 << slot
    return mask


def row(slot: int):
    """(OCPP measurand, phase, unit, digits) of a slot."""
    n = words.MEASURAND_SLOT[slot] & 15
    phase = words.MEASURAND_SLOT[slot] >> 4
    return (
        word(words.MEASURAND, n),
        phase,
        word(words.MEASURAND_UNIT, n),
        words.MEASURAND_DIGITS[n],
    )
