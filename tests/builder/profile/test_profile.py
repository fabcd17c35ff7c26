"""Profiles: every fault is one line that names the file, the line and what to do."""

import pytest

from tools import BOARDS, BuildError
from tools.builder import image as build
from tools.builder import profile
from tools.builder.tables import device_model
from tools.builder.tables.routes import read_blocks, routes_source

SIM = (BOARDS / "sim" / "profile.toml").read_text()


def load(tmp_path, text, **overrides):
    board = tmp_path / "board"
    board.mkdir(exist_ok=True)
    (board / "profile.toml").write_text(text)
    return profile.load(str(board), **overrides)


def line_of(text, part):
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


@pytest.mark.parametrize("board", profile.boards())
def test_the_boards_profiles_are_sound(board):
    assert profile.load(board).evses


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        (
            "receive = 2560",
            "receive = 256",
            "receive",
            "'receive' is 256: it must be 512 to 65535",
        ),
        ("transmit = 1024", "transmit = 64", "transmit", "'transmit' is 64"),
        ("transmit = 1024", "transmit = '1k'", "transmit", "'transmit' must be an integer"),
        (
            "receive = 2560",
            "recieve = 2560",
            "recieve",
            "unknown key 'recieve': did you mean 'receive'?",
        ),
        ("[meter]", "[metre]", "[metre]", "unknown key 'metre': did you mean 'meter'?"),
        ('vendor = "Milliamp"', "", "[station]", "'vendor' is missing"),
        ('model = "Sim"', f'model = "{"x" * 21}"', "model", "21 characters: OCPP allows 20"),
        ('serial = "SIM-0001"', 'serial = "SIM 1"', "serial", "letters, digits"),
        ("ws://", "http://", "url", "must begin with ws://"),
        ("ws://", "ws:///", "url", "must begin with ws://"),
        ("ws://", "ws://me@", "url", "must have no IPv6 address, user"),
        ("ws://", "ws://[::1]:", "url", "must have no IPv6 address"),
        ("ws://", "ws://h:0/", "url", "its port must be"),
        ("ws://", "ws://h:65536/", "url", "its port must be"),
        ('    "transactions",\n', "", "ship", "the block 'transactions' is missing"),
        ('"transactions"', '"transaction"', "ship", "did you mean 'transactions'?"),
        ('"security"', '"availability"', "ship", "names something twice"),
        ('"data_transfer"', '"iso15118"', "ship", "the block 'iso15118' is not in this version"),
        ("phases = 3", "phases = 2", "phases", "it must be 1 or 3, or 0 for DC"),
        ('"sType2"', '"sType9"', "connectors", "unknown connector type 'sType9'"),
        ("current = 32000", "current = 32", "current", "'current' is 32: it must be 6000"),
        ("sector = 4096", "sector = 4000", "sector", "must be a power of 2"),
        ("unit = 8", "unit = 12", "unit", "must be 1, 2, 4, 8, 16 or 32"),
        ("unit = 8", "unit = 64", "unit", "must be 1, 2, 4, 8, 16 or 32"),
        ("size = 0x04000", "size = 0x02000", "size = 0x02000", "a region needs 3 sectors"),
        ("size = 0x04000", "size = 0x04100", "size = 0x04100", "multiple of the sector"),
        ("offset = 0x20000", "offset = 0x1f000", "[flash.settings]", "overlaps 'journal'"),
        ("[flash.settings]", "[flash.setting]", "[flash.setting]", "did you mean 'settings'?"),
        ("[flash.settings]", "[flash.setting]", "[flash]", "the region 'settings' is missing"),
        ('writable = "core"', 'writable = "some"', "writable =", 'it must be "none" or "core"'),
        (
            '"Energy.Active.Import.Register",',
            "",
            "measurands",
            "'Energy.Active.Import.Register' is missing",
        ),
        ('"Voltage"', '"Volt"', "measurands", "did you mean 'Voltage'?"),
        ("[[evse]]", "[evse]", "[evse]", "add an [[evse]] table"),
        (
            '    "SoC",',
            '    "Temperature",',
            "measurands",
            "unknown name 'Temperature' in 'measurands'",
        ),
        (
            '    "SoC",',
            '    "Frequency",',
            "measurands",
            "'Frequency' is not measured by this version",
        ),
        (
            "[cache]",
            "[reports]\nentries = 0\n[cache]",
            "entries = 0",
            "'entries' is 0: it must be 1 to",
        ),
        ("entries = 16", "entries = 65", "entries", "'entries' is 65: sectors of 0x1000 hold 64"),
        ("[flash.tokens]", "[flash.firmware]", "entries", "the region 'tokens' is missing"),
    ],
)
def test_a_fault_names_its_line(tmp_path, old, new, at, message):
    text = SIM.replace(old, new, 1)
    assert text != SIM
    with pytest.raises(BuildError) as raised:
        load(tmp_path, text)
    where = f"profile.toml:{line_of(text, at)}:"
    assert any(where in line and message in line for line in str(raised.value).splitlines()), str(
        raised.value
    )


def test_all_faults_at_once(tmp_path):
    text = SIM.replace("receive = 2560", "receive = 1").replace("unit = 8", "unit = 3")
    with pytest.raises(BuildError) as raised:
        load(tmp_path, text)
    assert len(str(raised.value).splitlines()) == 2


def test_what_is_not_toml(tmp_path):
    with pytest.raises(BuildError, match=r"profile\.toml:2: not TOML"):
        load(tmp_path, "[station]\nvendor = \n")


def test_an_empty_profile_names_the_tables_it_lacks(tmp_path):
    with pytest.raises(BuildError) as raised:
        load(tmp_path, "")
    for name in ("station", "csms", "blocks", "buffers", "flash", "meter"):
        assert f"there is no [{name}] table: add it" in str(raised.value)


def test_an_unknown_board_lists_those_there_are():
    with pytest.raises(
        BuildError,
        match=r"unknown board 'esp33': there are esp32_c3, esp32_generic, esp32_s3, sim",
    ):
        profile.load("esp33")


def test_overrides(tmp_path):
    made = load(tmp_path, SIM, evses=3, vendor="V", model="M", serial="S-3")
    assert len(made.evses) == 3
    assert (made.vendor, made.model, made.serial, made.identity) == ("V", "M", "S-3", "S-3")
    for wrong in ({"evses": 0}, {"evses": 16}, {"model": "x" * 21}, {"serial": ""}):
        with pytest.raises(BuildError):
            load(tmp_path, SIM, **wrong)


def test_what_is_derived(tmp_path):
    made = load(
        tmp_path, SIM.replace("receive = 2560", "receive = 4096").replace("current = 32000", "")
    )
    assert made.evses[0].current == 32000
    entries = device_model.expand(device_model.load(), made)
    values = {entry.variable.path: entry.value for entry in entries}
    assert values["DeviceDataCtrlr.BytesPerMessage.GetVariables"] == 4096
    assert values["DeviceDataCtrlr.ItemsPerMessage.SetVariables"] == 32
    assert values["EVSE.SupplyPhases"] == 3


def test_the_cache_is_derived_and_can_be_left_out(tmp_path):
    storage = "AuthCacheCtrlr.Storage"
    made = load(tmp_path, SIM)
    assert (made.cache_bytes, made.values) == (16 * 24, (1024 - 340) // 112)
    (entry,) = (
        e for e in device_model.expand(device_model.load(), made) if e.variable.path == storage
    )
    assert entry.most == 16 * 24
    for text in (
        SIM.replace("entries = 16", "entries = 0"),
        SIM.replace("[cache]\nentries = 16", ""),
    ):
        made = load(tmp_path, text)
        paths = [entry.variable.path for entry in device_model.expand(device_model.load(), made)]
        assert not [path for path in paths if path.startswith("AuthCache")]
        shipped = [path for path, _ in build.sources(made, tmp_path)]
        assert "milliamp/domain/tokens.py" in shipped
        assert "milliamp/domain/token_cache.py" not in shipped
        blocks = read_blocks(made)
        routes_source(blocks, device_model.expand(device_model.load(), made), device_model.load())


def expand(tmp_path, extra):
    return device_model.expand(
        device_model.load(), load(tmp_path, SIM + "\n[variables]\n" + extra)
    )


def test_variables_are_chosen_by_name(tmp_path):
    entries = expand(
        tmp_path,
        '"TxCtrlr.TxStartPoint" = "Authorized"\n'
        '"TxCtrlr.EVConnectionTimeOut" = { value = 90, writable = false }\n'
        '"OCPPCommCtrlr.MessageAttempts.TransactionEvent" = 9\n',
    )
    found = {entry.variable.path: (entry.value, entry.mutability) for entry in entries}
    assert found["TxCtrlr.TxStartPoint"] == ("Authorized", "ReadWrite")
    assert found["TxCtrlr.EVConnectionTimeOut"] == (90, "ReadOnly")
    assert found["OCPPCommCtrlr.MessageAttempts.TransactionEvent"] == (9, "ReadWrite")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ('"TxCtrlr.TxStartPont" = "Authorized"', "did you mean 'TxCtrlr.TxStartPoint'?"),
        ('"TxCtrlr.TxStartPoint" = "Plugged"', "'Plugged' is none of"),
        ('"TxCtrlr.TxStartPoint" = ""', "it needs at least 1 of"),
        ('"TxCtrlr.EVConnectionTimeOut" = 0', "0 is not 1 to 86400"),
        ('"TxCtrlr.EVConnectionTimeOut" = "60"', "'60' is not an integer"),
        ('"AuthCtrlr.Enabled" = "yes"', "'yes' is not true or false"),
        ('"EVSE.Power" = { writable = true }', "it cannot be made writable"),
        ('"AuthCtrlr.Enabled" = { wirtable = true }', "did you mean 'writable'?"),
    ],
)
def test_a_wrong_choice_names_its_line(tmp_path, extra, message):
    with pytest.raises(BuildError) as raised:
        expand(tmp_path, extra)
    line = len((SIM + "\n[variables]\n" + extra).splitlines())
    assert f"profile.toml:{line}:" in str(raised.value)
    assert message in str(raised.value)


def test_a_lite_profile_is_read_only(tmp_path):
    text = SIM.replace('writable = "core"', 'writable = "none"')
    entries = device_model.expand(device_model.load(), load(tmp_path, text))
    assert {entry.mutability for entry in entries} <= {"ReadOnly", "WriteOnly"}


def test_fixed_cables_are_never_unlocked(tmp_path):
    text = SIM.replace("sType2", "cType2")
    entries = device_model.expand(device_model.load(), load(tmp_path, text))
    found = [entry for entry in entries if entry.variable.name == "UnlockOnEVSideDisconnect"]
    assert [(entry.value, entry.mutability) for entry in found] == [(0, "ReadOnly")]
