# Modules that are rarely needed: imported where they are used, and let go again.
import sys


def drop(path: str) -> None:
    """Forget a module. Whoever still runs one of its functions holds all that it needs; the rest is free."""
    package, _, name = path.rpartition(".")
    try:
        del sys.modules[path]
        delattr(sys.modules[package], name)
    except (KeyError, AttributeError):
        pass  # it is not there
