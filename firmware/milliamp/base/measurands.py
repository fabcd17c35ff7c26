# What a meter may measure. A sample is a set of slots: bit n of its mask is slot n of device_model/versions.
# Of each slot _MEASURAND_SLOT has which measurand it is, and in the high half its phase (0: the sum or the only one).
from milliamp.base.packing import word
from tables.measurands import _NAMED
from tables.words import _MEASURAND, _MEASURAND_DIGITS, _MEASURAND_SLOT, _MEASURAND_UNIT


def slots(names: str) -> int:
    """The slot mask of a list of measurands, as SampledDataCtrlr and AlignedDataCtrlr hold it."""
    wanted = names.split(",")
    known = _MEASURAND.split(" ")
    mask = 0
    for slot in range(_NAMED):
        if known[_MEASURAND_SLOT[slot] & 15] in wanted:
            mask |= 1 << slot
    return mask


def row(slot: int):
    """(OCPP measurand, phase, unit, digits) of a slot."""
    n = _MEASURAND_SLOT[slot] & 15
    phase = _MEASURAND_SLOT[slot] >> 4
    return word(_MEASURAND, n), phase, word(_MEASURAND_UNIT, n), _MEASURAND_DIGITS[n]
