"""`--torture` (make torture) runs all of the campaign; otherwise a short one. What was done is told in figures."""

import importlib

import pytest

from milliamp.base import rare

_figures = {}


def pytest_addoption(parser):
    parser.addoption("--torture", action="store_true", help="the whole flash fault campaign")


def is_whole(config):
    """Is this the whole campaign?"""
    return config.getoption("torture", False)


def pytest_generate_tests(metafunc):
    """A test with a `seed` runs with one of them, or with as many as its mark says: seeds(whole campaign)."""
    if "seed" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("seeds")
        metafunc.parametrize(
            "seed", range(1, 1 + (mark.args[0] if is_whole(metafunc.config) else 1))
        )


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "seeds(whole): as many lives in the whole campaign, else one"
    )


@pytest.fixture(autouse=True)
def modules_stay(monkeypatch):
    """What is rare on a station is used all the time here."""
    monkeypatch.setattr(rare, "load", importlib.import_module)


@pytest.fixture
def whole(request):
    """Is this the whole campaign?"""
    return is_whole(request.config)


@pytest.fixture
def figures(record_property):
    """figures(cuts=12): what was done, for the summary."""

    def record(**numbers):
        for name, number in numbers.items():
            record_property(name, number)

    return record


def pytest_runtest_logreport(report):
    if report.when == "call":
        name = report.nodeid.split("::")[-1].split("[")[0]
        for figure, number in report.user_properties:
            sums = _figures.setdefault(name, {})
            sums[figure] = sums.get(figure, 0) + number


def pytest_terminal_summary(terminalreporter):
    if _figures:
        terminalreporter.section("faults that were tried")
    for name, sums in sorted(_figures.items()):
        text = ", ".join(f"{number:,} {figure}" for figure, number in sums.items())
        terminalreporter.write_line(f"{name.removeprefix('test_').replace('_', ' ')}: {text}")
