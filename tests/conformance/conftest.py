"""Makes a script of `async def test_TC_X_00_CS(octt)`: once for a product that has its features, or for each.

CONFORMANCE=all in the environment: for every product; otherwise for the widest one. CONFORMANCE_LANE and
CONFORMANCE_HEAP choose what runs the firmware. `make conformance` sets them. CONFORMANCE_CSMS: a CSMS as there are in
the field, one of hostsim.csms.misbehaviour.KINDS.
"""

import inspect
import os

import pytest

from hostsim.clock import virtual
from tests.conformance.octt import Octt
from tools.measure.conformance import catalogue
from tools.measure.conformance.presets import PRESETS, WIDEST_FIRST

LANE = int(os.environ.get("CONFORMANCE_LANE") or 64)
HEAP = os.environ.get("CONFORMANCE_HEAP") or None


def pytest_generate_tests(metafunc):
    if "octt" in metafunc.fixturenames:
        metafunc.parametrize("octt", _chosen(metafunc.function.__name__), indirect=True)


def _chosen(name: str) -> list:
    script = catalogue.SCRIPTS.get(name.removeprefix("test_"))
    if script is None:
        raise ValueError(f"{name} is no script of the catalogue")
    names = [preset for preset in WIDEST_FIRST if PRESETS[preset].has(script.when)]
    if not names:
        return [
            pytest.param(None, id="none", marks=pytest.mark.skip("no product has its features"))
        ]
    if os.environ.get("CONFORMANCE") != "all":
        names = names[:1]
    mark = [pytest.mark.skip(f"waits for {script.pending}")] if script.pending else []
    return [pytest.param(preset, id=preset, marks=mark) for preset in names]


@pytest.fixture
def octt(request):
    options = {"lane": LANE, "heap": HEAP} if LANE != 64 or HEAP else {}
    return Octt(PRESETS[request.param], os.environ.get("CONFORMANCE_CSMS"), **options)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run a script in the bench that its `octt` is."""
    if "octt" not in pyfuncitem.funcargs or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    octt = pyfuncitem.funcargs["octt"]

    async def run():
        async with octt.running():
            await pyfuncitem.obj(octt)

    virtual.run(run())
    return True
