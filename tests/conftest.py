import gc
import os

import hypothesis
import pytest

from hostsim.charger import cpython
from tools import builder

cpython.install(builder.build_tables("sim"))

# A busy machine is no failing test: how long an example takes is nobody's fault.
hypothesis.settings.register_profile(
    "milliamp",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    print_blob=True,
)
hypothesis.settings.load_profile("milliamp")


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config):
    """One more than there are cores: while one waits for a serial port or a socket, another has its turn."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session):
    """Before the workers of a whole run start, the images that they need are built."""
    config = session.config
    is_whole = config.args_source is config.ArgsSource.TESTPATHS and not config.option.keyword
    if is_whole and config.getoption("numprocesses", None):
        from tests import images

        images.make()


def pytest_collection_finish(session):
    _freeze()


def pytest_runtest_teardown(item, nextitem):
    if nextitem is not None and nextitem.module is not item.module:
        _freeze()


def _freeze():
    """The firmware collects its garbage often. Here that is to look at what the tests of a file have made, not at all of
    pytest and of what others have left."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
