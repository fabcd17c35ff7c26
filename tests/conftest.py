import gc

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
def pytest_sessionstart(session):
    """Before the workers of a whole run start, the images that they need are built."""
    config = session.config
    is_whole = config.args_source is config.ArgsSource.TESTPATHS and not config.option.keyword
    if is_whole and config.getoption("numprocesses", None):
        from tests import images

        images.make()


def pytest_collection_finish(session):
    """The firmware collects its garbage often. Here that is to look at what a test has made, not at all of pytest."""
    gc.collect()
    gc.freeze()
