"""What a hardware team edits, a board's folder with its `profile.toml`: read and checked.

`reader` is the profile, `hardware` what the folder says of drivers, pins and flash, `chips` the microcontrollers.
"""

from tools.builder.profile.reader import (
    BLOCK_FILES,
    BLOCKS,
    ENERGY,
    MEASURANDS,
    REQUIRED_BLOCKS,
    Profile,
    boards,
    load,
    measured,
)

__all__ = [
    "BLOCKS",
    "BLOCK_FILES",
    "ENERGY",
    "MEASURANDS",
    "REQUIRED_BLOCKS",
    "Profile",
    "boards",
    "load",
    "measured",
]
