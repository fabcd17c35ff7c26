"""The build: sources as mpy-cross gets them, generated tables, and an image that MicroPython loads."""

import ast
import json
import os
import shutil
import subprocess

import pytest

from hostsim.charger.lane32 import BOOT, lane32, lane64
from tests.builder.passes.texts import strip
from tools import BOARDS, BuildError
from tools.builder import image as build
from tools.builder import profile, shelf, toolkit
from tools.builder.passes import fold
from tools.builder.passes.join import CORE
from tools.builder.tables import device_model, package
from tools.builder.tables.blocks import read_block
from tools.builder.tables.routes import mark, routes_source
from tools.builder.toolkit import TABLES


def prepared(tmp_path, text, block=False, **modules):
    """`text` as the build would compile it, beside other modules."""
    for name, source in modules.items():
        (tmp_path / f"{name}.py").write_text(source)
    file = tmp_path / "module.py"
    file.write_text(text)
    return fold.prepare(file, (tmp_path,), block)


def with_constants(tmp_path, text):
    """`text` beside a constants module, `room.consts`."""
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "consts.py").write_text(CONSTS)
    return prepared(tmp_path, text)


CONSTS = "# Bits.\nfrom micropython import const\n\nA = const(1)\nB = const(A << 4)  # more\nT = const('a b')\n"


def plain(source):
    """As the build writes it: without comments."""
    return toolkit.write(ast.parse(source))


def test_constants_are_folded(tmp_path):
    source = "from room import consts\n\nx = consts.A | consts.B\n"
    assert with_constants(tmp_path, source) == "x = 1 | 16\n"


def test_constants_modules_may_have_other_names(tmp_path):
    source = "from room import (\n    consts as c,\n    other,\n)\nfrom micropython import const\n\n_D = const(3)\nx = c.B  # here\n"
    result = with_constants(tmp_path, source)
    assert result == "from room import other\n_D = const(3)\nx = 16\n"


def test_a_text_is_there_once(tmp_path):
    source = "import gc\nfrom room import consts\n\n\ndef f():\n    return consts.T + consts.T\n"
    folded = "import gc\n_consts__T = 'a b'\n\ndef f():\n    return _consts__T + _consts__T\n"
    assert with_constants(tmp_path, source) == folded


def test_what_cannot_be_compiled_names_its_file_and_line(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "BUILD", tmp_path)
    files = {"good.py": tmp_path / "good.py", "bad.py": tmp_path / "bad.py"}
    files["good.py"].write_text("x = 1\n")
    files["bad.py"].write_text("# A comment.\n\nreturn 1\n")
    ready = {"good.py": "x = 1\n", "bad.py": "return 1\n"}
    with pytest.raises(BuildError, match=r"(?s)bad\.py: .*bad\.py\", line 3"):
        build.compile_all(ready, tmp_path / "image", files)


def test_other_imports_stay(tmp_path):
    source = "from other import A\nimport consts2\n"
    assert prepared(tmp_path, source, other=CONSTS + "y = 2\n") == plain(source)


def test_const_stays_imported_where_it_is_called(tmp_path):
    source = "from micropython import const\n\n_A, _B = const(1), const(2)\n"
    assert prepared(tmp_path, source) == plain(source)


def test_an_unknown_constant_names_its_line(tmp_path):
    with pytest.raises(BuildError, match=r"module\.py:2: .*consts\.py has no constant 'Z'"):
        with_constants(tmp_path, "from room import consts\nx = consts.Z\n")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f():\n    from room import consts\n", "2: constants are imported at the top"),
        ("x = 1\nimport room.consts\n", "2: constants are imported at the top"),
        (
            "x = 1\nfrom room.consts import A\n",
            "2: write `from room import consts` and `consts.A`",
        ),
        ("from room import consts\nconsts.A = 1\n", "2: consts.A is a constant"),
        ("from room import consts\nx = [consts]\n", "2: 'consts' is a constants module here"),
        ("from room import consts\nconsts = 1\n", "2: 'consts' is a constants module here"),
        ("from room import consts\ndef f(consts):\n    pass\n", "2: 'consts' is a constants"),
        ("from room import consts\ndef consts():\n    pass\n", "2: 'consts' is a constants"),
        ("from room import consts\nfrom gc import consts\n", "2: 'consts' is a constants"),
    ],
)
def test_constants_modules_are_nothing_else(tmp_path, source, message):
    with pytest.raises(BuildError, match=r"module\.py:" + message):
        with_constants(tmp_path, source)


def test_a_keyword_may_be_called_as_a_constants_module(tmp_path):
    source = "from room import consts\nx = dict(consts=consts.A)\n"
    assert with_constants(tmp_path, source) == "x = dict(consts=1)\n"


BLOCK = """\
def reset(st, r, at, w):
    pass

async def report(st, r, at, w):
    pass

def init(st):
    pass

CALLS = {
    "Reset": reset,
    "GetBaseReport": report,
}
TRIGGERS = {"Heartbeat": reset}
SENDS = ((1, 2, "Heartbeat", reset, reset, reset),)
"""


def test_tables_are_erased_from_blocks_only(tmp_path):
    result = prepared(tmp_path, BLOCK, block=True)
    assert "CALLS" not in result
    assert "TRIGGERS" not in result
    assert "SENDS = " in result
    assert prepared(tmp_path, BLOCK) == plain(BLOCK)


def test_tables_are_read(tmp_path):
    file = tmp_path / "provisioning.py"
    file.write_text(BLOCK)
    block = read_block(file)
    assert block.calls == {"Reset": ("reset", False), "GetBaseReport": ("report", True)}
    assert block.sends == ["Heartbeat"]
    assert block.resident
    routes = {}
    exec(routes_source([block], []), routes)
    assert b"\nReset 0 reset\n" in routes["CALLS"]
    assert b"\nGetBaseReport 0 report*\n" in routes["CALLS"]
    assert routes["TRIGGERS"] == b"\nHeartbeat 0 reset\n"
    assert mark("SetChargingProfile") in routes["KNOWN"]
    assert routes["MODULES"] == routes["RESIDENT"] == ("provisioning",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"Reset": reset', '"Reset": nothing', r"must name a function of this module"),
        ('"Reset"', '"Resat"', r"'Resat' is no action that a CSMS calls"),
        ('"Heartbeat", reset,', "reset,", r"a row of SENDS names one action"),
        ("pass", "pass pass", r"provisioning\.py:2: invalid syntax"),
    ],
)
def test_a_wrong_table_names_its_line(tmp_path, old, new, message):
    file = tmp_path / "provisioning.py"
    file.write_text(BLOCK.replace(old, new))
    with pytest.raises(BuildError, match=message):
        routes_source([read_block(file)], [])


def test_two_blocks_cannot_answer_the_same_call(tmp_path):
    file = tmp_path / "provisioning.py"
    file.write_text(BLOCK)
    block = read_block(file)
    with pytest.raises(BuildError, match="is in .* too"):
        routes_source([block, block], [])


@pytest.mark.parametrize(
    ("path", "const"),
    [
        ("TxCtrlr.EVConnectionTimeOut", "TX_EV_CONNECTION_TIME_OUT"),
        ("SampledDataCtrlr.TxUpdatedInterval", "SAMPLED_DATA_TX_UPDATED_INTERVAL"),
        ("OCPPCommCtrlr.MessageTimeout.Default", "OCPP_COMM_MESSAGE_TIMEOUT_DEFAULT"),
        ("OCPPCommCtrlr.UnlockOnEVSideDisconnect", "OCPP_COMM_UNLOCK_ON_EV_SIDE_DISCONNECT"),
        ("EVSE.Power", "EVSE_POWER"),
    ],
)
def test_names_of_ids(path, const):
    assert {variable.path: variable.const for variable in device_model.load()}[path] == const


def test_factory_values():
    entries = device_model.expand(device_model.load(), profile.load("sim", evses=2))
    description = device_model.describe(entries)
    assert device_model.factory(description, "txctrlr.evconnectiontimeout", "9") == [(50 * 16, 9)]
    assert device_model.factory(description, "EVSE.AllowReset", "true") == [
        (67 * 16 + 1, 1),
        (67 * 16 + 2, 1),
    ]
    assert device_model.factory(
        description, "TxCtrlr.TxStartPoint", "Authorized, EVConnected"
    ) == [(53 * 16, "Authorized,EVConnected")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("TxCtrlr.TxStartPont", "1", "did you mean 'TxCtrlr.TxStartPoint'"),
        ("AuthCtrlr.Enabled", "1", "not true or false"),
        ("EVSE.Power", "1", "measured"),
        ("EVSE.SupplyPhases", "1", "hard-coded in this image"),
        ("TxCtrlr.EVConnectionTimeOut", "0", "0 is not 1 to 86400"),
        ("TxCtrlr.EVConnectionTimeOut", "soon", "not an integer"),
        ("TxCtrlr.TxStartPoint", "Plugged", "none of"),
        ("SecurityCtrlr.BasicAuthPassword", "short", "16 to 40 characters"),
    ],
)
def test_a_wrong_factory_value(name, text, message):
    entries = device_model.expand(device_model.load(), profile.load("sim"))
    with pytest.raises(ValueError, match=message):
        device_model.factory(device_model.describe(entries), name, text)


def test_a_build_is_repeated_only_when_something_changed():
    out = build.build("sim")

    def times():
        return {file: file.stat().st_mtime_ns for file in out.rglob("*") if file.name != ".lock"}

    before = times()
    assert build.build("sim") == out
    assert times() == before


def test_an_image_that_was_built_before_is_taken_from_the_shelf(monkeypatch):
    out = build.build("sim")
    image, names = (out / "romfs.img").read_bytes(), (out / "names.json").read_bytes()
    (out / "image.stamp").unlink()
    (out / "romfs.img").unlink()

    def never(*_):
        raise AssertionError("built again")

    monkeypatch.setattr(build.passes, "begin", never)
    build.build("sim")
    assert (out / "romfs.img").read_bytes() == image
    assert (out / "names.json").read_bytes() == names
    assert build.romfs(out / "image") == image


def test_what_is_frozen_is_made_where_it_is_asked_for_and_goes_with_its_image(
    tmp_path, monkeypatch
):
    def write(out, *names):
        for name in names:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_text(name)

    parts = ("image/main.mpy", "names.json", "romfs.img")
    monkeypatch.setattr(build, "BUILD", tmp_path / "build")
    monkeypatch.setattr(shelf, "_SHELF", tmp_path / "shelf")

    class Work:
        def __init__(self, chosen, out, without):
            self.image = lambda: write(out, *parts)
            self.frozen = lambda: write(out, "frozen/main.py")

    monkeypatch.setattr(build, "Work", Work)
    board = tmp_path / "board"
    shutil.copytree(BOARDS / "sim", board)
    out = build.build(str(board))
    assert not (out / "frozen").exists()
    build.build(str(board), frozen=True)
    assert (out / "frozen" / "main.py").is_file() and (out / "romfs.img").is_file()
    (board / "probe.py").write_text("x = 1\n")
    build.build(str(board))
    assert not (out / "frozen").exists() and (out / "romfs.img").is_file()


def test_the_shelf_keeps_what_was_used_last(tmp_path):
    for n, age in enumerate((9000, 8000, 7000, 10)):
        place = tmp_path / str(n)
        place.mkdir()
        os.utime(place, (place.stat().st_mtime - age,) * 2)
    shelf.bound(tmp_path, "[!.]*", 2)
    assert {place.name for place in tmp_path.iterdir()} == {"2", "3"}
    shelf.bound(tmp_path, "[!.]*", 0)
    assert {place.name for place in tmp_path.iterdir()} == {"3"}  # somebody may be reading it


def test_variants_are_built_beside_each_other():
    assert build.build_tables("sim", evses=2) != build.build_tables("sim")
    values = {}
    exec((build.build_tables("sim", evses=2) / "tables" / "profile.py").read_text(), values)
    assert len(values["EVSES"]) == 2


def test_values_that_nobody_reads_are_not_shipped():
    ready = {
        "a.py": "def f(profile):\n    return profile.USED\nf(1)\n",
        TABLES: "class profile:\n    USED = 1\n    UNUSED = 2\n",
    }
    assert strip(ready)[TABLES] == "class profile:\n    USED = 1\n"


def test_a_region_that_nothing_opens_is_not_shipped(monkeypatch, tmp_path):
    chosen = profile.load("sim")
    assert list(package.regions(chosen)) == ["journal", "settings", "logs", "tokens"]
    assert set(chosen.flash) == {*package.regions(chosen), "blobs"}
    chosen.blocks[:] = ["availability"]
    assert "logs" not in package.regions(chosen)
    firmware = shutil.copytree(package.FIRMWARE, tmp_path / "firmware")
    (firmware / "milliamp" / "lists.py").write_text(
        'def lists(st):\n    st.board.flash("blobs")\n'
    )
    monkeypatch.setattr(package, "FIRMWARE", firmware)
    assert package.regions(chosen)["blobs"] == (0x2B000, 0x10000)


LOOK = """
import milliamp, tables
model = milliamp.{Model}(tables.{model}.{MODEL}, {{}}, None)
print(model.{find}("evse", None, 1, 0, "power", None) >= 0, tables.{profile}.{MODEL})
"""


def look(out):
    """LOOK with the names that the image has."""
    legend = json.loads((out / "names.json").read_text())
    wanted = {"device_model.Model": CORE, "device_model.Model.find()": CORE}
    wanted |= dict.fromkeys(("profile.MODEL", "model", "profile"), "tables/__init__.py")
    found = {name: name for name in ("Model", "MODEL", "find", "model", "profile")}
    for name, path in wanted.items():
        for short, names in legend[path].items():
            if name in names.split(", "):
                found[name.rstrip("()").rsplit(".", 1)[-1]] = short
    return LOOK.format(**found)


def run(lane, out, tmp_path):
    """Load modules from the built image on a lane, without starting the station."""
    script = tmp_path / "look.py"
    script.write_text(BOOT.read_text().replace("import main", "#") + look(out))
    return subprocess.run(
        [*lane, "-X", "heapsize=192k", str(script), str(out)], capture_output=True, text=True
    )


def test_the_image_loads_on_64_bits(tmp_path):
    result = run(lane64(), build.build("sim"), tmp_path)
    assert (result.stdout, result.stderr) == ("True Sim\n", "")


def test_the_mapped_image_loads_on_32_bits(tmp_path):
    lane = lane32()
    if lane is None:
        pytest.skip("there is no 32-bit lane on this machine")
    result = run(lane, build.build("sim"), tmp_path)
    assert (result.stdout, result.stderr) == ("True Sim\n", "")


def test_that_an_image_is_built_is_said_once(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(build, "BUILD", tmp_path)
    monkeypatch.setattr(build.shelf, "take", lambda inputs, out: False)
    monkeypatch.setattr(build.shelf, "keep", lambda inputs, out: None)
    monkeypatch.setattr(build.Work, "image", lambda self: None)
    build.build("sim")
    build.build("sim")
    assert capsys.readouterr().err.count("build: the image of sim") == 1
