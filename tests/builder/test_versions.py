"""OCPP's words as data: what the version files say is what the schemas know, and the numbers that flash holds stay."""

import ast
import re
import shutil
from pathlib import Path

import pytest

from tools import BOARDS, FIRMWARE, BuildError
from tools.builder import official, profile, toolkit, versions
from tools.builder.passes import fold
from tools.builder.profile import toml
from tools.builder.tables import device_model, words
from tools.builder.tables.blocks import read_block
from tools.builder.tables.routes import routes_source

ALL = versions.load_all()
FROZEN = toml.load(Path(__file__).with_name("numbers.toml"))[0]
# Those whose numbers no record holds.
NOT_IN_FLASH = {"points", "registrations", "statuses", "uploads", "variables"}


def test_every_version_says_what_its_schemas_know():
    versions.check()
    assert list(ALL) == ["v201", "v21", "v16"]
    for version in ALL.values():
        assert sorted(version.actions) == official.actions(version.name)
        for action in version.actions:
            assert official.load(f"{action}Request", version.name)
    assert {name: (len(v.asked), len(v.told)) for name, v in ALL.items()} == {
        "v16": (26, 14),
        "v201": (40, 25),
        "v21": (55, 37),
    }


def test_the_numbers_that_flash_holds_are_never_changed():
    """A change here would read the flash of stations in the field wrongly; what is new is added to the copy as well."""
    core = ALL["v201"]
    held = {
        name: {word: number for number, word in item.words.items()}
        for name, item in core.enumerations.items()
        if item.module not in NOT_IN_FLASH
    }
    held["measurands"] = {name: slots for name, (slots, *_) in core.measurands.items()}
    for name, numbers in held.items():
        assert FROZEN[name] == numbers
    ids = {variable.path: variable.data["id"] for variable in device_model.load()}
    assert FROZEN["variables"].items() <= ids.items()
    keys = device_model.settings_keys()
    assert FROZEN["keys"].items() <= keys.items()
    kinds = toolkit.constants(FIRMWARE / "milliamp" / "storage" / "kinds.py")
    assert FROZEN["kinds"].items() <= kinds.items()
    # What was given out is given to nothing else, whatever became of it.
    for now, then in ((ids, FROZEN["variables"]), (keys, FROZEN["keys"])):
        assert {now[name] for name in now.keys() - then.keys()}.isdisjoint(then.values())


def test_the_firmware_has_the_numbers_and_the_texts():
    made = {}
    for name, source in words.sources().items():
        made[name] = {}
        exec(re.sub("from micropython.*", "def const(x): return x", source), made[name])
    assert made["events"]["EV_CONNECT_TIMEOUT"] == 5 and made["events"]["STOPPED_BY_EV"] == 9
    assert made["contexts"]["TRIGGER"] == 4 and made["events"]["TRIGGER"] == 8
    texts = made["words"]
    assert texts["SUBPROTOCOL"] == "ocpp2.0.1" and texts["NETWORK"] == "OCPP20"
    assert texts["TRIGGER_REASON"].split(" ")[5] == "EVConnectTimeout"
    at = made["tokens"]["NOT_AT_THIS_TIME"]
    assert texts["AUTHORIZATION_STATUS"][at:].startswith("NotAtThisTime ")
    assert made["measurands"]["NAMED"] == 13 and made["measurands"]["SLOTS"] == 14
    assert texts["MEASURAND_SLOT"][7:] == b"\x12\x22\x32\x13\x23\x33"
    assert texts["TX_START_POINT"].split(" ").index("PowerPathClosed") == 4
    assert made["points"]["POWER_PATH_CLOSED"] == 1 << 4


def test_a_number_has_the_words_of_each_version():
    """What 2.x says in many words 1.6 says in few."""
    old, new = ALL["v16"], ALL["v21"]
    assert old.row("ReasonEnumType")[3] == "HardReset" and old.row("ReasonEnumType")[8] == "Local"
    assert new.row("ReasonEnumType") == ALL["v201"].row("ReasonEnumType")
    assert words.sources(old)["measurands"] == words.sources(new)["measurands"]
    assert words.measurands(old) == words.measurands(new)
    reasons = words.sources(old)["words"]
    assert "'Local DeAuthorized EVDisconnected HardReset " in reasons and "ocpp1.6" in reasons
    # The numbers are everybody's, so that a queue of one version can be told in another.
    for version in ALL.values():
        made = words.sources(version)
        assert made["events"] == words.sources()["events"]
    assert all(spelled == name for name, spelled in new.errors.items())
    assert old.errors["OccurrenceConstraintViolation"] == "OccurenceConstraintViolation"
    assert old.errors["FormatViolation"] == "FormationViolation"


def test_every_error_that_the_firmware_says_has_a_spelling():
    said = set()
    for file in (FIRMWARE / "milliamp").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if re.fullmatch(r"[A-Z][A-Za-z]+(Violation|Error)", node.value):
                    said.add(node.value)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "CallError":
                said |= {arg.value for arg in ast.walk(node.args[0]) if is_word(arg)}
    assert len(said) > 5
    for version in ALL.values():
        assert said <= set(version.errors)


def is_word(node) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


# --- what cannot work -------------------------------------------------------------------------------


def faulty(tmp_path, file, old, new, count=1):
    """The faults of the version files when one line is another."""
    data = tmp_path / "versions"
    shutil.copytree(versions.DATA, data)
    text = (data / f"{file}.toml").read_text()
    assert old in text
    (data / f"{file}.toml").write_text(text.replace(old, new, count))
    with pytest.raises(BuildError) as caught:
        versions.check(data)
    return str(caught.value).splitlines(), (data / f"{file}.toml").read_text()


@pytest.mark.parametrize(
    ("file", "old", "new", "at", "message"),
    [
        # Actions and their directions.
        ("v201", 'Reset = "down"', 'Rezet = "down"', "Rezet", "unknown action 'Rezet': did you mean 'Reset'?"),
        ("v16", 'Reset = "down"', 'GetVariables = "down"', "GetVariables =", "unknown action 'GetVariables': did you"),
        ("v201", 'Reset = "down"\n', "", "", "the action Reset has no direction: add it to [actions]"),
        ("v201", 'Reset = "down"', 'Reset = "dwon"', "Reset =", "no direction 'dwon': did you mean 'down'?"),
        ("v201", 'Reset = "down"', 'Reset = "send"', "Reset =", "Reset has an answer: 'send' is for what has none"),
        ("v21", 'NotifyPeriodicEventStream = "send"', 'NotifyPeriodicEventStream = "up"', "NotifyPer", "has no answer"),
        # Numbers.
        ("v201", "Updated = 1", "Updated = 0", "Updated =", "Updated: the number 0 is Started's: choose another"),
        ("v201", "Updated = 1", "Updated = 4", "Updated =", "Updated must have a number from 0 to 3, or several"),
        ("v201", "Occupied = 1", "Occupied = 256", "Occupied =", "must have a number from 0 to 255"),
        ("v201", "most = 31", "most = 256", "most = 256", "'most' must be from 1 to 255"),
        ("v16", "Reboot = 5", "Reboot = 256", "Reboot =", "must have a number from 0 to 255"),
        ("v201", "Updated = 1", "Updated = true", "Updated =", "must have a number from 0 to 3"),
        ("v201", "Updated = 1", "Updated = '1'", "Updated =", "must have a number from 0 to 3"),
        ("v201", "Updated = 1", "Updated = []", "Updated =", "must have a number from 0 to 3, or several"),
        ("v201", "Updated = 1", "Updated = [1, 1]", "Updated =", "must have a number from 0 to 3"),
        ("v16", "Reboot = 5", "Reboot = 8", "Reboot =", "the number 8 is Local's: choose another"),
        ("v16", "Reboot = 5", "Reboot = 11", "Reboot =", "Reboot is 5 in "),
        ("v201", "Blocked = 9", "Blocked = 8", "[tokens.Auth", "'Blocked' cannot begin at 8: 9 is free"),
        ("v201", "DataSigned = 8", "DataSigned = 9", "DataSigned", "9 is no single bit"),
        # Words.
        ("v201", "Remote = 6", "Remotely = 6", "Remotely", "'Remotely' is no value of TransactionEvent.transactionInfo"),
        ("v201", "Remote = 6", "Remotely = 6", "Remotely", "stoppedReason in OCPP 2.0.1: did you mean 'Remote'?"),
        ("v16", "HardReset = 3", "ImmediateReset = 3", "ImmediateReset", "StopTransaction.reason in OCPP 1.6: "),
        ("v201", "ResetOrReboot", "R" * 51, "RRR", "in OCPP 2.0.1: at most 50 characters"),
        ("v201", "eventType", "eventTyp", "events.Transaction", "has no 'eventTyp': did you mean 'eventType'?"),
        ("v201", '"Authorize.id', '"Authorise.id', "tokens.IdToken", "has no 'Authorise': did you mean 'Authorize'?"),
        ("v16", "at = \"StopTransaction.reason\"", "at = 'StopTransaction'", "Local =", "in OCPP 1.6: it is no text"),
        # Measurands.
        ("v201", "slots = [5]", "slots = [6]", "Power.Offered", "the slot 6 is SoC's: choose another"),
        ("v201", "slots = [5]", "slots = [15]", "[measurands]", "nothing has the slot 5: what is measured no more"),
        ("v201", "slots = [5]", "slot = [5]", "SoC", "unknown key 'slot': did you mean 'slots'?"),
        ("v201", "slots = [5]", "slots = [5, 14]", "SoC", "'slots' must be one number or four"),
        ("v201", 'unit = "Percent", digits = 1', 'unit = "Percent", digits = 4', "SoC", "'digits' from 0 to 3"),
        ("v201", '"SoC" =', '"Soc" =', "Soc", "'Soc' is no measurand of OCPP 2.0.1: did you mean 'SoC'?"),
        ("v201", '"SoC" =', '"SoC" = 5 #', '"SoC"', "SoC must have slots, unit, digits"),
        # Errors.
        ("v16", "FormatViolation =", "FormatViolatoin =", "FormatViolatoin", "did you mean 'FormatViolation'?"),
        ("v16", "SecurityError =", "SecurityErrors =", "", "it does not say how SecurityError is spelled"),
        ("v16", '"FormationViolation"', '"Formation Violation"', "FormatV", "must be spelled as a word"),
        # The file itself.
        ("v201", 'title = "OCPP 2.0.1"', 'titel = "OCPP 2.0.1"', "titel", "unknown key 'titel': did you mean 'title'?"),
        ("v201", 'title = "OCPP 2.0.1"', "title = 2", "title", "'title' must be a text"),
        ("v21", 'like = "v201"', 'like = "v20"', "like", "no version 'v20' to be like: did you mean 'v201'?"),
        ("v21", 'like = "v201"', 'like = "v21"', "like", "no version 'v21' to be like: "),
        ("v16", '"registrations"', '"registration"', "tables", "v201 has no 'registration': did you mean"),
        ("v201", "[statuses.Conn", "[model.Conn", "model", "the build has other tables in 'model'"),
        ("v201", "[contexts.R", "[events.R", "Trigger = 4", "tables.events has a TRIGGER of "),
        ("v201", "[events.R", "events.R = 5\n[events.X", "", ""),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_where_it_stands(tmp_path, file, old, new, at, message):
    faults, text = faulty(tmp_path, file, old, new)
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line[:1] != "#"]
    lines.sort(key=lambda item: not item[1].startswith(at))
    line = next(n for n, line in lines if at in line) if at else 0
    where = f"{file}.toml:{line}: " if line else f"{file}.toml:"
    assert any(where in fault and message in fault for fault in faults), faults


def test_the_constants_of_a_block_are_put_in_place(tmp_path):
    (tmp_path / "tables").mkdir()
    for name, source in words.sources().items():
        (tmp_path / "tables" / f"{name}.py").write_text(source)
    block = tmp_path / "block.py"
    block.write_text(
        "from tables import events, words as texts\n"
        "print(texts.TRANSACTION_EVENT, events.ENDED, texts.MEASURAND_DIGITS)\n"
    )
    assert fold.prepare(block, (tmp_path,)) == (
        "_texts__TRANSACTION_EVENT = 'Started Updated Ended'\n"
        "_texts__MEASURAND_DIGITS = b'\\x00\\x00\\x03\\x03\\x03\\x01\\x00'\n"
        "print(_texts__TRANSACTION_EVENT, 2, _texts__MEASURAND_DIGITS)\n"
    )
    block.write_text("from tables import words\nprint(words.TRIGGERS)\n")
    with pytest.raises(BuildError, match="block.py:2: .*words.py has no constant 'TRIGGERS'"):
        fold.prepare(block, (tmp_path,))


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ('CALLS = {"Rezet": reset}', "'Rezet' is no action that a CSMS calls: did you mean 'Reset'?"),
        ('CALLS = {"TransactionEvent": reset}', "'TransactionEvent' is no action that a CSMS calls"),
        ('SENDS = ((1, 2, "Reset", reset, reset, reset),)', "'Reset' is no action that a station calls"),
        ('TRIGGERS = {"Heartbeats": reset}', "TriggerMessage does not know 'Heartbeats': did you mean 'Heartbeat'?"),
    ],
)  # fmt: skip
def test_a_block_that_names_no_action_of_its_direction_is_refused(tmp_path, tables, message):
    file = tmp_path / "own.py"
    file.write_text(f"def reset():\n    pass\n\n\n{tables}\n")
    entries = device_model.expand(device_model.load(), profile.load(str(BOARDS / "sim")))
    with pytest.raises(BuildError) as caught:
        routes_source([read_block(file)], entries)
    assert f"own.py:5: {message}" in str(caught.value)
