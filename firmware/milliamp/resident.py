# The parts of blocks that a station has from its start. In an image the build writes this file anew: these parts are joined
# with the core there, and what only a call needs is loaded for that call.
import sys


def parts(names):
    """(init, tick, SENDS) of each block in `names`; None, None and () for what one does not have."""
    found = []
    for name in names:
        path = "milliamp.blocks." + name
        __import__(path)
        module = sys.modules[path]
        init = getattr(module, "init", None)
        found.append((init, getattr(module, "tick", None), getattr(module, "SENDS", ())))
    return found
