"""Trimming: a profile that builds, works. Each variant is built and its firmware charges, online, offline and through a
power cut; what a choice costs and loses is told of the same variants."""

import itertools
import math
import os

import pytest

from hostsim.csms.server import CallError
from hostsim.lives.harness import CARD, rig, simulate
from tools import BOARDS, BuildError
from tools.builder import image as build
from tools.builder import profile, versions
from tools.builder.profile import toml
from tools.builder.tables import device_model
from tools.builder.tables.routes import mark, read_blocks, routes_source
from tools.measure import trim
from tools.measure.conformance.presets import PRESETS

BASE = "sim"
VALUES = {
    "SampledDataCtrlr.TxUpdatedInterval": 6,
    "OCPPCommCtrlr.RetryBackOffWaitMinimum": 2,
    "OCPPCommCtrlr.RetryBackOffRandomRange": 0,
}
PATIENCE = 300  # simulated seconds
NAMES = tuple(trim.choices())
BLOCKS = tuple(name for name in NAMES if name in profile.BLOCKS)


def covering(names) -> list:
    """Sets of names such that for any two of them there is one with both, with none and with either one.

    The first row has none. A name is in one more than half of the others: any two meet, and each is somewhere alone."""
    rows = 4
    while math.comb(rows - 1, (rows + 1) // 2) < len(names):
        rows += 1
    halves = itertools.combinations(range(1, rows), (rows + 1) // 2)
    columns = dict(zip(names, halves, strict=False))
    return [tuple(name for name in names if row in columns[name]) for row in range(rows)]


SINGLES = {name: (name,) for name in BLOCKS}
SETS = {f"set{number}": row for number, row in enumerate(covering(NAMES)) if row}
VARIANTS = SINGLES | SETS | {"minimum": trim.minimum(BASE)}
if os.environ.get("TRIM") == "all":  # minutes
    VARIANTS |= {"-".join(pair): pair for pair in itertools.combinations(NAMES, 2)}


def test_each_pair_of_choices_is_built():
    for one, other in itertools.combinations(NAMES, 2):
        seen = {(one in row, other in row) for row in [(), *SETS.values()]}
        assert len(seen) == 4, (one, other)


@pytest.mark.parametrize("count", range(len(BLOCKS) + 1))
def test_nothing_is_left_of_a_block(count, capsys):
    """In the tables of any set of blocks: no action, trigger or variable of another, no variable without a value."""
    variables = device_model.load()
    for gone in itertools.combinations(BLOCKS, count):
        chosen = profile.load(str(trim.trimmed(BASE, gone, f"tables{count}")))
        blocks = read_blocks(chosen)
        entries = device_model.expand(variables, chosen)
        routes = {}
        exec(routes_source(blocks, entries, variables), routes)
        assert {entry.variable.block for entry in entries}.isdisjoint(gone)
        named = routes["MODULES"]
        assert set(gone).isdisjoint(named)
        assert bool(routes["TRIGGERS"].strip()) == ("remote_control" not in gone)
        for block in map(trim.choices().__getitem__, gone):
            for action in block.words & set(versions.load().asked):
                assert mark(action) in routes["KNOWN"], action  # NotSupported
    assert capsys.readouterr().err == ""


def test_a_block_that_nothing_leads_to_is_not_shipped():
    board = trim.trimmed(BASE, ("remote_control",), "remote_control")
    chosen = profile.load(str(board))
    assert "firmware_management" in chosen.blocks
    assert "firmware_management" not in [block.name for block in read_blocks(chosen)]
    shipped = [path for path, _ in build.sources(chosen, build.build_tables(str(board)))]
    assert "milliamp/blocks/firmware_management.py" not in shipped
    assert "milliamp/blocks/diagnostics.py" in shipped


@pytest.mark.parametrize("board", profile.boards())
def test_the_minimum_of_every_board_is_sound(board):
    chosen = profile.load(str(trim.trimmed(board, trim.minimum(board), "least")))
    assert chosen.blocks == list(profile.REQUIRED_BLOCKS)
    assert (chosen.receive, chosen.transmit, chosen.cache) == (1024, 512, 0)
    assert device_model.expand(device_model.load(), chosen)


def test_what_a_board_can_choose():
    assert trim.flippable(BASE) == list(NAMES)
    assert "evses" not in trim.flippable("esp32_c3")  # there are no pins for a second
    without = trim.trimmed(BASE, ("cache", "diagnostics", "evses"), "chosen")
    assert set(NAMES) - set(trim.flippable(str(without))) == {"cache"}


def edited(tmp_path, old, new):
    """The base with a text of its profile replaced."""
    text = (BOARDS / BASE / "profile.toml").read_text()
    assert old in text
    (tmp_path / "profile.toml").write_text(text.replace(old, new))
    return str(tmp_path)


@pytest.mark.parametrize("name", profile.REQUIRED_BLOCKS)
def test_no_station_works_without(tmp_path, name):
    with pytest.raises(BuildError, match=rf"profile\.toml:\d+: the block '{name}' is missing"):
        profile.load(edited(tmp_path, f'    "{name}",\n', ""))


@pytest.mark.parametrize(
    ("old", "path", "owner"),
    [
        ('    "meter_values",\n', "AlignedDataCtrlr.Interval", "meter_values"),
        ('    "remote_control",\n', "AuthCtrlr.AuthorizeRemoteStart", "remote_control"),
        ("[cache]\nentries = 16", "AuthCacheCtrlr.LifeTime", "cache"),
    ],
)
def test_a_variable_of_what_is_left_out_says_whose_it_is(tmp_path, old, path, owner):
    board = edited(tmp_path, old, "")
    with (tmp_path / "profile.toml").open("a") as file:
        file.write(f'\n[variables]\n"{path}" = 5\n')
    message = rf"profile\.toml:\d+: there is no '{path}' without '{owner}': add that"
    with pytest.raises(BuildError, match=message):
        device_model.expand(device_model.load(), profile.load(board))


# --- what is told of it ----------------------------------------------------------------------------------


def test_a_profile_survives_being_written():
    for board in profile.boards():
        raw, _ = toml.load(BOARDS / board / "profile.toml")
        assert toml.tomllib.loads(toml.dump(raw)) == raw


def test_scripts_that_go_with_a_choice():
    features = PRESETS["full"].features
    gone = trim.lost(("data_transfer",), features)
    assert gone == {"TC_P_01_CS": "M"}
    gone = trim.lost(("remote_control",), features)
    assert {"TC_F_01_CS": "C", "TC_F_08_CS": "M", "TC_E_21_CS": "C"}.items() <= gone.items()
    assert "TC_B_20_CS" not in gone
    assert gone.items() <= trim.lost(("remote_control", "cache"), features).items()
    # A product that never had a cache loses nothing with it.
    assert trim.lost(("cache",), PRESETS["rfid"].features) == {}
    # Scripts that are not written yet go with their functional block.
    assert trim.lost(("firmware_management",), features)["TC_L_01_CS"] == "M"


def test_scripts_are_listed_in_runs():
    names = [f"TC_{name}_CS" for name in ("F_10", "E_21", "F_02", "F_01", "F_03")]
    assert trim.listed(names) == "E_21, F_01 to F_03, F_10"


def test_the_table_and_the_page(tmp_path, monkeypatch):
    page = tmp_path / "trimming.md"
    page.write_text(f"before\n{trim.BEGIN}\nold\n{trim.END}\nafter\n")
    monkeypatch.setattr(trim, "DOCUMENT", page)
    base, less = (
        {"image": 1000, "driver": 100, "heap": 500},
        {"image": 900, "driver": 100, "heap": 516},
    )
    row = {"has": True, "figures": less, "lost": {"TC_P_01_CS": "M", "TC_F_15_CS": "C"}}
    least = {"without": ["diagnostics"], "figures": less, "lost": row["lost"]}
    trim.document({"figures": base, "choices": {"diagnostics": row}, "minimum": least})
    lines = page.read_text().splitlines()
    assert [lines[0], lines[-1], "old" in lines] == ["before", "after", False]
    assert any(
        line.startswith("| block `diagnostics` | +100 | −16 | – | 1 + 1 |") for line in lines
    )
    assert "| block `diagnostics` | P_01 | F_15 |" in lines
    page.write_text("no markers")
    with pytest.raises(BuildError, match="there is no"):
        trim.document({"figures": base, "choices": {}, "minimum": least})


# --- what every variant must do ------------------------------------------------------------------------


def item(component, variable):
    return {"component": {"name": component}, "variable": {"name": variable}}


def tried(name):
    """The folder of a variant, with what keeps its session short."""
    return trim.trimmed(BASE, VARIANTS[name], f"{name}-tried", VALUES)


class Smoke:
    """A session with each variant: what the profile has must work, what it has not must say so."""

    def __init__(self, this, name):
        self.rig = this
        self.choices = trim.choices()
        self.raw, _ = toml.load(tried(name) / "profile.toml")

    def has(self, name):
        return self.choices[name].has(self.raw)

    async def run(self):
        await self.session()
        await self.rig.drained()
        await self.asked()
        await self.offline_and_dark()
        await self.rig.drained()
        assert self.rig.problems(all_ended=True) == []
        assert len(self.rig.csms.ledger.transactions) >= 2

    async def session(self):
        """Plug, card or remote start, energy, stop, unplug: on the last EVSE."""
        this, evse = self.rig, len(self.raw["evse"])
        this.hardware.plug(evse)
        await this.station.wait("plugged", evse=evse)
        if self.has("remote_control"):
            token = {"idToken": CARD, "type": "ISO14443"}
            request = {"idToken": token, "remoteStartId": 1, "evseId": evse}
            assert (await this.call("RequestStartTransaction", request))["status"] == "Accepted"
        else:
            this.hardware.card(CARD, evse=evse)
        await this.station.wait("charging", evse=evse)
        await this.csms.seen("TransactionEvent", has_power, timeout=PATIENCE)
        await this.stopped(evse=evse)

    async def asked(self):
        """What the CSMS may ask of any station, and of this one."""
        this = self.rig
        limit = await self.value("DeviceDataCtrlr", "ItemsPerMessage", "GetVariables")
        items = [item("OCPPCommCtrlr", "HeartbeatInterval")] * int(limit)
        answer = await this.call("GetVariables", {"getVariableData": items})
        assert {result["attributeStatus"] for result in answer["getVariableResult"]} == {
            "Accepted"
        }
        status = await self.write("TxCtrlr", "EVConnectionTimeOut", "55")
        assert status == ("Accepted" if self.has("writable") else "Rejected")
        report = await self.report()
        named = {entry["component"]["name"] for entry in report}
        assert ("AlignedDataCtrlr" in named) == self.has("meter_values")
        assert ("AuthCacheCtrlr" in named) == self.has("cache")
        power = next(entry for entry in report if entry["variable"]["name"] == "Power")
        assert power["variableAttribute"][0]["value"] == "0"
        assert await self.status("ClearCache", {}) == (
            "Accepted" if self.has("cache") else "Rejected"
        )
        await self.told("data_transfer", "DataTransfer", {"vendorId": "x"}, "UnknownVendorId")
        log = {
            "requestId": 3,
            "logType": "SecurityLog",
            "log": {"remoteLocation": "http://127.0.0.1:9/"},
        }
        await self.told(
            "diagnostics", "GetLog", log, "Accepted" if self.has("logs") else "Rejected"
        )
        for message, name in (
            ("Heartbeat", None),
            ("MeterValues", "meter_values"),
            ("FirmwareStatusNotification", "firmware_management"),
            ("LogStatusNotification", "diagnostics"),
        ):
            wanted = "Accepted" if name is None or self.has(name) else "NotImplemented"
            mark = this.csms.mark()
            await self.told(
                "remote_control", "TriggerMessage", {"requestedMessage": message}, wanted
            )
            if self.has("remote_control") and wanted == "Accepted":
                await this.csms.seen(message, since=mark)
        with pytest.raises(CallError, match="NotSupported"):
            await this.call("GetLocalListVersion")

    async def offline_and_dark(self):
        """A card and energy while the CSMS is away, a power cut in it; all of it is delivered in the end."""
        this = self.rig
        this.hardware.plug(1)
        await this.station.wait("plugged")
        await this.clock.sleep(
            3
        )  # the same card once more within two seconds is one that the reader saw twice
        this.hardware.card(CARD)
        await this.station.wait("charging")
        await this.station.set_network("off")
        await this.station.wait("disconnected")
        await this.clock.sleep(15)
        await this.device.power_cycle()
        await this.station.wait("rebooted", PATIENCE)
        await this.station.wait("charging", PATIENCE)
        await this.stopped()
        mark = this.csms.mark()
        await this.station.set_network("on")
        await this.station.wait("accepted", PATIENCE)
        event = await this.csms.seen(
            "TransactionEvent", lambda p: p["eventType"] == "Ended", since=mark
        )
        assert event["offline"]

    async def value(self, component, variable, instance):
        wanted = item(component, variable)
        wanted["variable"]["instance"] = instance
        answer = await self.rig.call("GetVariables", {"getVariableData": [wanted]})
        return answer["getVariableResult"][0]["attributeValue"]

    async def write(self, component, variable, value):
        wanted = item(component, variable) | {"attributeValue": value}
        answer = await self.rig.call("SetVariables", {"setVariableData": [wanted]})
        return answer["setVariableResult"][0]["attributeStatus"]

    async def report(self):
        """The whole inventory."""
        mark = self.rig.csms.mark()
        request = {"requestId": 2, "reportBase": "FullInventory"}
        assert await self.status("GetBaseReport", request) == "Accepted"
        await self.rig.csms.seen(
            "NotifyReport", lambda p: not p.get("tbc"), since=mark, timeout=PATIENCE
        )
        parts = [r.payload for r in self.rig.csms.received if r.action == "NotifyReport"]
        return [entry for part in parts for entry in part["reportData"]]

    async def status(self, action, payload):
        return (await self.rig.call(action, payload))["status"]

    async def told(self, name, action, payload, wanted):
        """A call of a block is answered, or NotSupported where the block is left out (Part 4, 4.3)."""
        if self.has(name):
            assert await self.status(action, payload) == wanted
        else:
            with pytest.raises(CallError, match="NotSupported"):
                await self.rig.call(action, payload)


def has_power(payload):
    """A periodic value besides energy: small buffers have one a message."""
    values = [v for sample in payload.get("meterValue", ()) for v in sample["sampledValue"]]
    measurands = {value.get("measurand") for value in values}
    return payload["triggerReason"] == "MeterValuePeriodic" and "Power.Active.Import" in measurands


@pytest.mark.parametrize("name", VARIANTS)
@simulate
async def test_what_builds_works(name):
    async with rig(board=str(tried(name))) as this:
        await Smoke(this, name).run()
