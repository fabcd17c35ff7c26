# Modules that are rarely needed: loaded where they are used, and let go with their last user.
import sys


def load(path: str):
    """Import a module and forget it again. Whoever still runs one of its functions holds all that it needs; the rest is
    free. ImportError, MemoryError: it cannot be loaded."""
    __import__(path)
    module = sys.modules.pop(path)
    package, _, name = path.rpartition(".")
    # In an image it is in no package, see tools/builder/passes/flatten.py.
    if package in sys.modules:
        delattr(sys.modules[package], name)
    return module
