# What a meter may measure. A sample is a set of slots: bit n of its mask is slot n here.
# Slots are for ever: records in flash hold the numbers. Slots 0 to 6 cost one byte of mask, later ones two.
from milliamp.base.packing import word

# OCPP measurands, their units, and the digits behind the point of the integer. Texts, because tuples take RAM.
_NAMES = (
    "Energy.Active.Import.Register Power.Active.Import Current.Import Voltage Current.Offered SoC "
    "Power.Offered"
)
_UNITS = "Wh W A V A Percent W"
_DIGITS = b"\0\0\3\3\3\1\0"

# For each slot a byte: which measurand, and in the high half its phase (0: the sum or the only one).
_SLOTS = b"\x00\x01\x02\x03\x04\x05\x06\x12\x22\x32\x13\x23\x33"
NAMED = 13
SLOTS = 14  # slot 13 was the temperature, no measurand of OCPP 2.0.1: records may hold it


def slots(names: str) -> int:
    """The slot mask of a list of measurands, as SampledDataCtrlr and AlignedDataCtrlr hold it."""
    wanted = names.split(",")
    known = _NAMES.split(" ")
    mask = 0
    for slot in range(NAMED):
        if known[_SLOTS[slot] & 15] in wanted:
            mask |= 1 << slot
    return mask


def row(slot: int):
    """(OCPP measurand, phase, unit, digits) of a slot."""
    n = _SLOTS[slot] & 15
    return word(_NAMES, n), _SLOTS[slot] >> 4, word(_UNITS, n), _DIGITS[n]
