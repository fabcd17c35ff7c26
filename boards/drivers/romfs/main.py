# Frozen into the interpreter: starts the station that lies in the ROMFS partition.
import sys

sys.path[:] = ["/rom", ".frozen"]
import main  # noqa: F401
