"""What is known when an image is built is put in place, and nothing changes but that."""

import ast
import copy
from types import SimpleNamespace

import pytest

from hostsim.charger import cpython
from tests.builder.passes.texts import decide
from tools.builder import image as build
from tools.builder import profile
from tools.builder.passes.decide import Facts
from tools.builder.tables import device_model
from tools.builder.toolkit import CORE
from tools.measure import trim

FACTS = Facts(
    {1: 0, 2: 30, 3: "Authorized,EVConnected", 4: ""},
    {
        "profile": {
            "CACHE": 0,
            "EVSES": (("cType2",), ("cType2",)),
            "FLASH": {"journal": 1},
            "PHASES": (3, 1),
            "URL": "ws://x",
        },
        "routes": {"RESIDENT": ()},
    },
)
HEAD = (
    "_OFF = const(1)\n_TIME = const(2)\n_POINTS = const(3)\n_NAME = const(4)\n_LOOSE = const(9)\n"
)
HELPERS = """
WORDS = "ParkingBay EVConnected Authorized"

def mask_of(st, variable):
    listed = st.model.get(variable).split(",")
    mask = 0
    point = 1
    for name in WORDS.split(" "):
        if name in listed:
            mask |= point
        point <<= 1
    return mask

def is_caching(st):
    return bool(st.profile.CACHE and st.model.get(_LOOSE))

def learn(st, token):
    if is_caching(st):
        st.tokens.put(token)

def is_none(token):
    return token is None

def says(st):
    return st.clock.now()

def either(token):
    try:
        return token.name
    except Exception:
        return 5
"""


def decided(body: str, path: str = CORE) -> str:
    """What becomes of the body of a function `f(st, x, y)`."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    core = HEAD + HELPERS
    function = f"def f(st, x, y):\n{lines}"
    sources = {CORE: core + function} if path == CORE else {CORE: core, path: HEAD + function}
    tree = ast.parse(decide(sources, copy.deepcopy(FACTS))[path])
    found = next(node for node in tree.body if getattr(node, "name", "") == "f")
    return "\n".join(ast.unparse(node) for node in found.body if not isinstance(node, ast.Pass))


@pytest.mark.parametrize(
    ("body", "becomes"),
    [
        ("return st.model.get(_TIME) * 1000", "return 30000"),
        ("return st.model.get(_LOOSE)", "return st.model.get(9)"),
        ("return st.model.get(_TIME, x.index)", "return 30"),
        ("return st.model.get(_TIME, x())", "return st.model.get(2, x())"),
        ("return self._st.model.get(_OFF)", "return 0"),
        ("if st.model.get(_OFF):\n    x()\nelse:\n    y()", "y()"),
        ("if st.model.get(_TIME):\n    return x()\ny()", "return x()"),
        ("if x and st.model.get(_OFF):\n    x()", "if x and 0:\n    x()"),
        ("if x() and st.model.get(_OFF):\n    y()", "if x() and 0:\n    y()"),
        ("if st.model.get(_TIME) and x:\n    y()", "if x:\n    y()"),
        ("return x and st.model.get(_TIME)", "return x and 30"),
        ("return x == y or 1 > 2", "return x == y"),
        ("return x and 1 > 2", "return x and False"),
        ("return x is y and 1 > 2", "return False"),
        ("return x if st.model.get(_OFF) else y", "return y"),
        ("while st.model.get(_OFF):\n    x()", ""),
        ("wait = st.model.get(_OFF)\nif wait and x < wait:\n    y()", ""),
        ("wait = st.model.get(_TIME)\nreturn x * wait", "return x * 30"),
        ("wait = st.model.get(_TIME)\nwait += x\nreturn wait", "wait = 30\nwait += x\nreturn wait"),
        ("z = None\nif x:\n    z = 5\nreturn z", "z = None\nif x:\n    z = 5\nreturn z"),
        ("z = 1\nreturn lambda: z", "z = 1\nreturn lambda: z"),
        ("return st.profile.CACHE", "return 0"),
        ("return st.profile.URL", "return 'ws://x'"),
        ("x(st.profile.URL, st.profile.URL)", "x(st.profile.URL, st.profile.URL)"),
        ("return x in self._routes.RESIDENT", "return False"),
        ("return 'logs' in st.profile.FLASH", "return False"),
        ("return st.profile.EVSES[x - 1][y].startswith('c')", "return True"),
        ("return st.profile.PHASES[x()]", "return (3, 1)[x()]"),
        ("return mask_of(st, _POINTS)", "return 6"),
        ("return mask_of(st, _LOOSE)", "return mask_of(st, 9)"),
        ("return mask_of(st, x)", "return mask_of(st, x)"),
        ("return is_caching(st)", "return False"),
        ("learn(st, x.token)\ny()", "y()"),
        ("learn(st, x())", "learn(st, x())"),
        ("return is_none(x), is_none(None)", "return (is_none(x), True)"),
        ("return says(st), either(x)", "return (says(st), either(x))"),
        ("name = st.model.get(_NAME)\nreturn bool(name) and x == y + name", "return False"),
        ("try:\n    learn(st, x)\nexcept OSError:\n    y()", "try:\n    pass\nexcept OSError:\n    y()"),
    ],
)  # fmt: skip
def test_what_becomes_of_it(body, becomes):
    assert decided(body) == becomes


def test_functions_of_the_core_are_known_elsewhere():
    other = "milliamp/blocks/reset.py"
    assert decided("return milliamp.mask_of(st, _POINTS)", other) == "return 6"
    assert decided("return milliamp.learn(st, x)", other) == "return None"


def test_a_generator_stays_one():
    body = "if st.model.get(_OFF):\n    yield x\nreturn"
    assert "yield x" in decided(body)


def test_what_is_assigned_is_not_known():
    body = "st.profile.CACHE = 5\nreturn st.profile.CACHE"
    assert decided(body) == body


THING = """
class Thing:
    def __init__(self, given):
        self.sieve = None
        self.seen = ()
        self.given = given
        self.spare = given

    def run(self, other):
        if self.sieve:
            other.look()
            self.seen = self.sieve.seen
        for item in self.seen:
            other.go(item)
        other.seen = self.seen
        return self.given
"""


def attributes(core: str, **others) -> str:
    """What becomes of `THING` beside other modules."""
    sources = {CORE: THING + core} | {f"{name}.py": text for name, text in others.items()}
    return decide(sources, copy.deepcopy(FACTS))[CORE]


def test_an_attribute_that_has_one_value_is_that():
    tree = ast.parse(attributes(""))
    lines = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    assert lines == ["self.given = given"], "what nothing reads is not kept"
    assert "sieve" not in ast.unparse(tree) and "for item" not in ast.unparse(tree)


@pytest.mark.parametrize(
    ("core", "other"),
    [
        ("", "def f(x):\n    x.sieve = 5\n"),
        ("", "def f(x):\n    x.sieve, y = 1, 2\n"),
        ("", "def f(x):\n    x.sieve += 1\n"),
        ("", "def f(x):\n    for x.sieve in x:\n        pass\n"),
        ("", "def f(x):\n    setattr(x, 'sieve', 5)\n"),
        ("def f(x, sieve):\n    x.sieve = sieve\n", ""),
        ("class Other:\n    sieve = 5\n", ""),
        ("class Other:\n    def sieve(self):\n        pass\n", ""),
        ("", "sieve = 5\n"),
    ],
)
def test_an_attribute_that_may_be_something_else_is_not_known(core, other):
    assert "if self.sieve:" in attributes(core, other=other)


def test_an_attribute_that_is_only_counted_stays():
    assert "self.spare = given" in attributes("", other="def f(x):\n    x.spare += 1\n")
    assert "self.spare = given" in attributes("", other="def f(x):\n    return x().spare\n")


def test_an_attribute_named_as_one_of_micropython_stays():
    text = "class A:\n    def __init__(self):\n        self.read = None\n"
    assert "self.read = None" in attributes(text)


def test_only_what_is_fixed_has_a_value():
    """Of a profile where nothing can be written: not what is measured, what settings keep, what the station writes."""
    board = str(trim.trimmed("sim", ("writable",), "writable"))
    chosen = profile.load(board)
    entries = device_model.expand(device_model.load(), chosen)
    facts = build.facts(entries, build.build_tables(board))
    ids = {entry.variable.path: entry.variable.data["id"] for entry in entries}
    assert facts.values[ids["TxCtrlr.EVConnectionTimeOut"]] == 60
    for path in (
        "OCPPCommCtrlr.HeartbeatInterval",
        "SecurityCtrlr.BasicAuthPassword",
        "SecurityCtrlr.Identity",
        "EVSE.Power",
    ):
        assert ids[path] not in facts.values
    assert facts.values[ids["OCPPCommCtrlr.NetworkConfigurationPriority"]] == "1"
    # Of the same station, as most are, none of it can be written: one profile more makes it loose.
    core = device_model.expand(device_model.load(), profile.load("sim"))
    loose = build.facts(core, build.build_tables("sim"))
    assert ids["TxCtrlr.EVConnectionTimeOut"] not in loose.values


@pytest.mark.parametrize(
    "flipped, value, one",
    [((), "1", False), (("writable",), "1", True), (("writable",), "1,2", False)],
)
def test_network_profiles_are_there_where_another_than_the_first_may_be_used(flipped, value, one):
    path = "OCPPCommCtrlr.NetworkConfigurationPriority"
    board = str(
        trim.trimmed("sim", flipped, f"networks-{len(flipped)}-{len(value)}", {path: value})
    )
    chosen = profile.load(board)
    entries = device_model.expand(device_model.load(), chosen)
    assert device_model.is_one_network(entries) == one
    (entry,) = [entry for entry in entries if entry.variable.path == path]
    assert entry.value == value and entry.values == (["1"] if one else ["1", "2"])
    out = build.build_tables(board)
    assert build.facts(entries, out).tables["profile"]["NETWORKS"] != one
    shipped = {path for path, _ in build.sources(chosen, out)}
    assert ("milliamp/wire/network_profiles.py" in shipped) != one


def test_a_network_profile_that_nobody_can_choose_is_refused():
    cpython.install(build.build_tables("sim"))
    from milliamp.blocks import provisioning

    said = []
    st = SimpleNamespace(profile=SimpleNamespace(NETWORKS=False))
    writer = SimpleNamespace(status=lambda *words: said.append(words))
    provisioning.set_network_profile(st, None, 0, writer)
    assert said == [("Rejected", "InvalidConfSlot")]


def test_what_the_station_writes_is_kept():
    """No source puts a variable into the model that could be hard-coded."""
    kept = {variable.const for variable in device_model.load() if "kept" in variable.data}
    written = set()
    for file in build.FIRMWARE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            name = getattr(
                getattr(node, "func", None), "attr", getattr(getattr(node, "func", None), "id", "")
            )
            if name in ("put", "_put"):
                written |= {
                    inner.attr
                    for inner in ast.walk(node)
                    if isinstance(inner, ast.Attribute)
                    and getattr(inner.value, "id", "") == "ids"
                    and inner.attr.startswith(("OCPP_COMM_", "TX_", "AUTH_"))
                }
    assert written and written <= kept


def test_the_same_happens():
    class Model:
        get = staticmethod(FACTS.values.get)

    class Station:
        model = Model()
        profile = type("Profile", (), FACTS.tables["profile"])

    body = (
        "def f(st, x, y):\n    out = []\n    for n in range(x):\n        wait = st.model.get(_TIME)\n"
        "        if n > wait or st.profile.CACHE and y:\n            out.append(n)\n"
        "        elif n & mask_of(st, _POINTS):\n            out.append(-n if st.model.get(_NAME) else n * 2)\n"
        "    return out, is_caching(st), is_none(y)\n"
    )
    results = []
    for source in (HEAD + HELPERS + body, decide({CORE: HEAD + HELPERS + body}, FACTS)[CORE]):
        space = {"const": lambda value: value}
        exec(source, space)
        results.append([space["f"](Station(), n, y) for n in (0, 5, 40) for y in (None, 1)])
    assert results[0] == results[1]
