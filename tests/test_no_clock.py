"""No clock decides a test: none waits for real time to pass, or looks at how much has."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

# Calls that wait by, or read, the host's clock; the last two parts of what is called are enough.
REFUSED = {
    "time.sleep",
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "loop.time",
    "get_running_loop.time",
    "get_event_loop.time",
    "new_event_loop.time",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "asyncio.wait_for",
    "asyncio.wait_for_ms",
    "clock.SimClock",
}
_MODULES = {"time", "asyncio", "datetime", "hostsim.clock"}
_NAP = {"asyncio.sleep", "asyncio.sleep_ms"}  # refused unless it is 0

# (file, function) -> why it may.
EXCEPTIONS = {
    (
        "wire/station.py",
        "unlock",
    ): "a handler that waits, on MicroPython too; here the loop's time is virtual",
}


def faults(source: str) -> list[tuple[str, int, str]]:
    """(function, line, call) of each that is refused. Function: the outermost, with its class."""
    tree = ast.parse(source)
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {a.asname or a.name: a.name.rpartition(".")[2] for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module in _MODULES:
            home = node.module.rpartition(".")[2]
            known |= {a.asname or a.name: f"{home}.{a.name}" for a in node.names}
    found = []

    def look(node, where):
        named = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if named and where.count(".") < 1 and not (where and where[0].islower()):
            where = f"{where}.{node.name}".strip(".")
        if isinstance(node, ast.Call):
            called = _called(node.func, known)
            refused = called in REFUSED or called in _NAP and not _is_zero(node)
            if refused:
                found.append((where, node.lineno, called))
        for child in ast.iter_child_nodes(node):
            look(child, where)

    look(tree, "")
    return found


def _called(node, known: dict[str, str]) -> str:
    """What is called, as its last two parts: `datetime.now`, `loop.time`, `get_running_loop.time`."""
    if isinstance(node, ast.Name):
        name = known.get(node.id, node.id)
    elif isinstance(node, ast.Attribute):
        owner = node.value.func if isinstance(node.value, ast.Call) else node.value
        name = f"{_called(owner, known)}.{node.attr}"
    else:
        name = "?"
    return ".".join(name.split(".")[-2:])


def _is_zero(call: ast.Call) -> bool:
    return bool(call.args) and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0


def files() -> dict[str, str]:
    return {
        file.relative_to(TESTS).as_posix(): file.read_text()
        for file in sorted(TESTS.rglob("*.py"))
    }


def test_no_test_waits_for_real_time_or_looks_at_it():
    refused, used = [], set()
    for name, source in files().items():
        for function, line, call in faults(source):
            if (name, function) in EXCEPTIONS:
                used.add((name, function))
            else:
                refused.append(f"tests/{name}:{line} {function}: {call}")
    assert not refused, "virtual time instead (hostsim/clock/virtual.py):\n" + "\n".join(refused)
    assert used == set(EXCEPTIONS), "these exceptions are not needed any more"


@pytest.mark.parametrize(
    "line",
    [
        "import time\ntime.sleep(0)",
        "from time import sleep as nap\nnap(1)",
        "import asyncio\nasync def f(): await asyncio.sleep(0.01)",
        "import asyncio\nasync def f(n): await asyncio.sleep(n)",
        "from asyncio import sleep\nasync def f(): await sleep(5)",
        "import asyncio\nawait_it = asyncio.wait_for(x, 5)",
        "from asyncio import wait_for\nwait_for(x, 5)",
        "import time\nbegan = time.monotonic()",
        "from time import perf_counter\nperf_counter()",
        "import asyncio\nasyncio.get_running_loop().time()",
        "def f(loop): return loop.time()",
        "import datetime\ndatetime.datetime.now(datetime.timezone.utc)",
        "from datetime import datetime\ndatetime.now()",
        "from hostsim.clock import SimClock\nSimClock(20)",
        "from hostsim import clock\nclock.SimClock()",
    ],
)
def test_what_is_refused(line):
    assert len(faults(line)) == 1


@pytest.mark.parametrize(
    "line",
    [
        "import asyncio\nasync def f(): await asyncio.sleep(0)",
        "async def f(clock): await clock.sleep(5)",
        "def f(bench): return bench.time(), bench.clock.now()",
        "text = 'await asyncio.sleep(5)'",
        "from hostsim.clock import virtual\nasync def f(): await virtual.sleep(5)",
    ],
)
def test_what_is_not(line):
    assert faults(line) == []


def test_a_fault_names_the_method_it_is_in():
    source = "import time\nclass A:\n    def b(self):\n        def c(): time.sleep(1)\n"
    assert faults(source) == [("A.b", 4, "time.sleep")]
    assert faults(source.replace("class A:", "if 1:")) == [("b", 4, "time.sleep")]
