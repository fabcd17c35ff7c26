# What a meter may measure. A sample is a set of slots: bit n of its mask is row n here.
# Rows are for ever: records in flash hold the numbers. Rows 0 to 6 cost one byte of mask, later ones two.
from micropython import const

SLOTS = 14
_WIDTH = const(42)

# OCPP measurand, phase (0: the sum or the only one), unit, digits behind the point of the integer.
# One text, because fourteen tuples are 700 bytes of RAM.
_ROWS = (
    "Energy.Active.Import.Register 0 Wh      0 "
    "Power.Active.Import           0 W       0 "
    "Current.Import                0 A       3 "
    "Voltage                       0 V       3 "
    "Current.Offered               0 A       3 "
    "SoC                           0 Percent 1 "
    "Power.Offered                 0 W       0 "
    "Current.Import                1 A       3 "
    "Current.Import                2 A       3 "
    "Current.Import                3 A       3 "
    "Voltage                       1 V       3 "
    "Voltage                       2 V       3 "
    "Voltage                       3 V       3 "
    "Temperature                   0 Celsius 1 "
)


def row(slot: int):
    """(OCPP measurand, phase, unit, digits) of a slot."""
    name, phase, unit, digits = _ROWS[slot * _WIDTH : (slot + 1) * _WIDTH].split()
    return name, int(phase), unit, int(digits)
