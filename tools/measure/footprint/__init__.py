"""What a board weighs: bytes of flash, heap and instructions, held by gates. `python -m tools.measure.footprint [BOARD ...]`.

`image` is what is flashed, `memory` what is kept and needed of RAM, `instructions` what is computed, `scenarios` the life
in which both are measured, `spy` what looks on from inside of the firmware's process, `gates` what may not grow, `report`
the tables.
"""

from tools.measure.footprint.image import modules
from tools.measure.footprint.memory import heap, idle, runs_here

__all__ = ["heap", "idle", "modules", "runs_here"]
