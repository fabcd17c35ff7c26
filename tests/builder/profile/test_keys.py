"""Every key that a profile may have changes what is built, or is refused: nothing is taken in and then forgotten."""

import copy
import functools
import shutil

import pytest

from hostsim.charger.flash import Nor
from tests.base.chips import SerialNor
from tests.boards.bench import chip_of, imported, tables, wire
from tests.boards.esp32 import Bus
from tools import BOARDS, BuildError
from tools.builder import image, profile, toolkit
from tools.builder.profile import hardware, reader, toml
from tools.builder.tables import package

ESP32, S3, SIM, STM32 = "esp32_generic", "esp32_s3", "sim", "stm32_nucleo_h743"
REAL = [board for board in profile.boards() if profile.load(board).chip]
BLOCKS = profile.load(SIM).blocks
REGISTER = "Energy.Active.Import.Register"
TIMEOUT = "TxCtrlr.EVConnectionTimeOut"
POINTS = "TxCtrlr.TxStartPoint"

# Another value of each key, and on which board. A region's places are those of the table below.
CHANGES = {
    ("board", "chip"): (S3, ""),
    ("station", "vendor"): (SIM, "Other"),
    ("station", "model"): (SIM, "Other"),
    ("station", "serial"): (SIM, "OTHER-1"),
    ("station", "version"): (SIM, "47.11"),
    ("station", "when_full"): (SIM, "charge"),
    ("csms", "url"): (SIM, "ws://csms.example/"),
    ("csms", "identity"): (SIM, "CP-1"),
    ("csms", "evse_in_each_event"): (SIM, True),
    ("csms", "periodic_context"): (SIM, False),
    ("blocks", "ship"): (SIM, [name for name in BLOCKS if name != "data_transfer"]),
    ("buffers", "receive"): (SIM, 4096),
    ("buffers", "transmit"): (SIM, 2048),
    ("buffers", "log"): (SIM, 1024),
    ("buffers", "fragments"): (SIM, False),
    ("reports", "entries"): (SIM, 1),
    ("cache", "entries"): (SIM, 0),
    ("evse", "connectors"): (SIM, ["cType2"]),
    ("evse", "phases"): (SIM, 1),
    ("evse", "power"): (SIM, 11040),
    ("evse", "current"): (SIM, 16000),
    ("evse", "bay"): (SIM, False),
    ("meter", "measurands"): (SIM, [REGISTER]),
    ("device_model", "writable"): (SIM, "none"),
    ("variables", "value"): (SIM, {TIMEOUT: {"value": 90}}),
    ("variables", "writable"): (SIM, {TIMEOUT: {"writable": False}}),
    ("variables", "values"): (SIM, {POINTS: {"values": ["Authorized"], "value": "Authorized"}}),
    ("flash", "sector"): (SIM, 2048),
    ("flash", "unit"): (SIM, 4),
    ("flash", "size"): (STM32, 0x200000),  # with a FRAM, which cannot tell its own
    ("modbus", "uart"): (S3, 2),
    ("modbus", "baud"): (S3, 19200),
    ("modbus", "parity"): (S3, "even"),
    ("modbus", "stop"): (S3, 2),
    ("modbus", "timeout_ms"): (S3, 500),
    ("modbus", "address"): (S3, [7]),
    ("modbus", "function"): (S3, 3),
    ("modbus", "energy"): (S3, [0x48, 2]),
    ("modbus", "power"): (S3, [0x34, 0, "u32"]),
    ("modbus", "current"): (S3, [8, 3]),
    ("modbus", "voltage"): (S3, [2, 3]),
}
for _region in ("journal", "settings", "logs", "tokens"):
    CHANGES["flash", _region, "offset"] = (SIM, 0x80000)
    CHANGES["flash", _region, "size"] = (SIM, 0x3000 if _region != "tokens" else 0x4000)
# Those that change nothing in an image, and why.
NOT_IN_IMAGES = {
    ("board", "flash"): "what the partition table must fit into",
    ("board", "taken"): "pins that the check keeps free",
    ("board", "rows"): "what the check expects of rows of a board's own drivers",
    **dict.fromkeys(
        [("flash", name, key) for name in ("blobs", "firmware") for key in ("offset", "size")],
        "a place in flash that nothing of this version opens: kept free for one that does",
    ),
}


def load(folder, board, table):
    """The checked profile of a copy of a board whose profile is this."""
    if not folder.exists():
        shutil.copytree(
            BOARDS / board, folder, ignore=shutil.ignore_patterns("__pycache__", "*.toml")
        )
    (folder / "profile.toml").write_text(toml.dump(table))
    return profile.load(str(folder))


def raw(board):
    table = copy.deepcopy(toml.load(BOARDS / board / "profile.toml")[0])
    if board == SIM:  # room for larger regions
        del table["flash"]["blobs"]
    if board == STM32:
        table["pins"]["flash_fram"] = True
    return table


@functools.cache
def names(file):
    """The attributes that a source names."""
    return {getattr(node, "attr", None) for node in toolkit.walk(toolkit.parse(file))}


def built(folder, board, table):
    """What an image is made of, as far as a profile decides: which modules, and what the generated ones say but for values
    that nothing in it names, which are dropped."""
    chosen = load(folder, board, table)
    told = {}
    package.write(chosen, folder, lambda file, text: told.update({file.name: text}))
    del told["model.json"]  # for host programs
    files = dict(image.sources(chosen, folder))
    named = set().union(*(names(file) for file in files.values()))
    values = {}
    exec(told.pop("profile.py"), values)
    return {name: values[name] for name in named & values.keys()}, sorted(files), told


def test_the_keys_that_are_tried_are_those_there_are(tmp_path, monkeypatch):
    seen = set()
    known = reader.Check.known

    def watch(check, path, table, keys):
        # Not which EVSE or variable it is of.
        place = path[:1] if path[:1] in (("evse",), ("variables",)) else path
        seen.update((*place, key) for key in keys)
        known(check, path, table, keys)

    monkeypatch.setattr(reader.Check, "known", watch)
    table = raw(SIM) | {"modbus": {}, "board": {}, "variables": {TIMEOUT: 9}, "reports": {}}
    table["flash"] |= dict.fromkeys(reader.REGIONS, {"offset": 0, "size": 0x3000})
    with pytest.raises(BuildError, match="overlaps"):
        load(tmp_path / "all", SIM, table)
    tried = CHANGES.keys() | NOT_IN_IMAGES.keys()
    above = {key[:size] for key in tried for size in range(1, len(key))}
    free = {("pins",), ("network",)}  # see below
    assert seen == tried | above | free


@pytest.mark.parametrize("key", CHANGES, ids=".".join)
def test_a_key_changes_what_is_built(tmp_path, key):
    board, value = CHANGES[key]
    table = raw(board)
    before = built(tmp_path / board, board, table)
    *place, last = key
    at = table
    for name in place:
        at = at.setdefault(name, {})
        at = at[0] if isinstance(at, list) else at
    if key[0] == "variables":
        table["variables"] = value
    else:
        assert at.get(last) != value
        at[last] = value
    assert built(tmp_path / board, board, table) != before


def test_what_is_in_no_image_is_in_none(tmp_path):
    """Else its reason does not hold."""
    for key, value in ((("board", "flash"), 0x1000000), (("board", "taken"), [14])):
        table = raw(ESP32)
        before = built(tmp_path / ESP32, ESP32, table)
        table[key[0]][key[1]] = value
        assert built(tmp_path / ESP32, ESP32, table) == before
    before = built(tmp_path / SIM, SIM, raw(SIM))
    for name in ("blobs", "firmware"):
        table = raw(SIM)
        table["flash"][name] = {"offset": 0x100000, "size": 0x8000}
        assert built(tmp_path / SIM, SIM, table) == before


class Asked(dict):
    """A table that knows what it was asked for."""

    def __init__(self, table):
        super().__init__(table)
        self.names = set()

    def get(self, name, default=None):
        self.names.add(name)
        return super().get(name, default)


@pytest.mark.parametrize("board", REAL)
def test_a_row_of_pins_is_read_by_a_driver_or_refused(board, tmp_path):
    chip = wire(chip_of(board), board)
    if hasattr(chip, "buses"):
        chip.buses = {3: SerialNor(Nor(0x400000), ident=b"\xef\x40\x16"), 4: Bus(chip)}
        chip.on_output["PA4"] = chip.buses[3].value
    chosen = profile.load(board)
    rows = hardware.Pins(chosen, lambda path, text: None).rows
    with imported(chip, board) as modules:
        table = tables(board)
        table.PINS, table.NETWORK = asked, network = Asked(table.PINS), Asked(table.NETWORK)
        modules.charger.Charger.ticks = lambda board: chip.ms & 0x3FFFFFFF
        made = modules.board.make(table)
        made.watchdog()
        made.measure(1, "Power.Offered", 0)
        made.flash("journal")
    least = {name: kind[0] for name, kind in rows.items() if isinstance(kind, tuple)}
    for row in rows.keys() - asked.names:
        changed = raw(board)
        changed["pins"][row] = least.get(row, 1)
        with pytest.raises(BuildError, match=rf"\[pins\] {row}: "):
            load(tmp_path / board, board, changed)
    assert network.names == set(chosen.network)
