"""Reads and checks a board's `profile.toml`: what a hardware team edits.

`python -m tools.builder.profile BOARD` checks a profile. Every fault is one line: file, line, what is wrong, what to do.
"""

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tools import BOARDS, FIRMWARE, ROOT, BuildError
from tools.builder import official, versions
from tools.builder.profile import hardware, toml
from tools.builder.profile.toml import like

BLOCKS = (
    "security",
    "provisioning",
    "authorization",
    "transactions",
    "remote_control",
    "availability",
    "meter_values",
    "firmware_management",
    "certificate_management",
    "diagnostics",
    "data_transfer",
    "smart_charging",
    "reservation",
    "local_list",
    "monitoring",
    "display",
    "tariff_cost",
    "iso15118",
)
BLOCK_FILES = FIRMWARE / "milliamp" / "blocks"
REQUIRED_BLOCKS = ("security", "provisioning", "authorization", "transactions", "availability")
REGIONS = ("journal", "settings", "blobs", "logs", "tokens", "firmware")
REQUIRED_REGIONS = ("journal", "settings")
MIN_SECTORS = 3  # one written, one erased ahead, one to keep while the oldest is given back

CONNECTORS = official.field("ReserveNow.connectorType")["enum"]
# What a CSMS takes, of which the firmware measures some: see `measured`.
MEASURANDS = official.field("MeterValues.meterValue.sampledValue.measurand")["enum"]
ENERGY = "Energy.Active.Import.Register"

# What a Modbus meter's registers may hold, as boards/drivers/modbus.py has it: words, 16 signed, 32 float, 64 low
# word first.
FORMATS = {
    "u16": 1,
    "s16": 17,
    "u32": 2,
    "s32": 18,
    "u32-low": 66,
    "s32-low": 82,
    "u64": 4,
    "s64": 20,
    "float": 34,
    "float-low": 98,
}
QUANTITIES = ("energy", "power", "current", "voltage")

_NOMINAL_VOLTAGE = 230
_BYTES_PER_ROW = 24  # of the authorization cache
_BYTES_PER_EVENT = 340  # of a TransactionEvent with meter values, without them
_BYTES_PER_VALUE = 112  # of the longest sampled values
_BYTES_PER_RESULT = 256  # of an answer to GetVariables, an item with a long value
_BYTES_PER_ITEM = 128  # of a GetVariables request, names and braces included
_IDENTIFIER = re.compile(r"[A-Za-z0-9*\-_=:+|@.]*")
_REQUIRED = object()


@dataclass
class Evse:
    """One EVSE: its connector types, AC phases (0: DC), rated power in W and current in mA, and whether it sees its
    parking bay."""

    connectors: list
    phases: int
    power: int
    current: int
    bay: bool = False


@dataclass
class Profile:
    """A checked profile. Sizes in bytes; `flash` maps region to (offset, size)."""

    board: str
    file: Path
    chip: str = ""  # of tools.builder.profile.hardware.CHIPS, "": nobody knows
    flash_chip: int = 0  # bytes of an ESP32's flash, 0: nobody knows
    taken: list = field(default_factory=list)  # pins that the board itself uses
    rows: dict = field(default_factory=dict)  # of [pins], which only its own drivers read -> kind
    vendor: str = ""
    model: str = ""
    serial: str = ""
    version: str = ""
    url: str = ""
    identity: str = ""
    blocks: list = field(default_factory=list)
    receive: int = 0
    transmit: int = 0
    fragments: bool = True  # may an answer leave in WebSocket fragments?
    evse_in_each: bool = (
        False  # does each TransactionEvent name its EVSE, not only the first that knows it?
    )
    periodic_context: bool = True  # is the context Sample.Periodic, the default, written out?
    unrecorded: bool = False  # charge without a transaction when its start cannot be made durable?
    report: int = 0  # entries that a NotifyReport has at most, 0: as many as fit
    log: int = 0
    cache: int = 0  # tokens in the authorization cache, 0: none
    evses: list = field(default_factory=list)
    measurands: list = field(default_factory=list)
    writable: str = "none"
    sector: int = 0
    unit: int = 0
    flash: dict = field(default_factory=dict)
    flash_bytes: int = 0  # of what holds [flash], 0: nobody knows
    network: dict = field(default_factory=dict)
    pins: dict = field(default_factory=dict)
    modbus: tuple = ()  # bus, (baud, parity, stop), function, ms, addresses, (register, format, ten) of QUANTITIES
    variables: dict = field(
        default_factory=dict
    )  # name -> {"value": ..., "writable": ..., "values": ...}
    lines: "toml.Lines | None" = None

    @property
    def items(self) -> int:
        """How many variables one GetVariables or SetVariables may carry."""
        if not self.fragments:
            return max(1, min(self.receive // _BYTES_PER_ITEM, self.transmit // _BYTES_PER_RESULT))
        return max(1, self.receive // _BYTES_PER_ITEM)

    @property
    def values(self) -> int:
        """How many sampled values a message carries where a sample may be split."""
        return max(1, (self.transmit - _BYTES_PER_EVENT) // _BYTES_PER_VALUE)

    @property
    def cache_bytes(self) -> int:
        """Bytes of the authorization cache."""
        return self.cache * _BYTES_PER_ROW


def boards() -> list:
    """The names of the boards there are."""
    return sorted(file.parent.name for file in BOARDS.glob("*/profile.toml"))


def load(board: str, *, evses=None, vendor=None, model=None, serial=None) -> Profile:
    """The checked profile of a board, by name or by the path of its folder.

    `evses` repeats (or drops) EVSEs until there are as many; the others replace what the profile says.
    BuildError carries every fault, one a line.
    """
    folder = Path(board) if "/" in str(board) else BOARDS / board
    file = folder / "profile.toml"
    if not file.is_file():
        raise BuildError(f"unknown board {board!r}: there are {', '.join(boards())}")
    raw, lines = toml.load(file)
    check = Check(raw, lines)
    profile = check.profile(folder.name)
    for name, value, longest in (
        ("vendor", vendor, 50),
        ("model", model, 20),
        ("serial", serial, 25),
    ):
        if value is not None:
            if not 0 < len(value) <= longest:
                check.errors.append(f"{name}: {value!r} must have 1 to {longest} characters")
            setattr(profile, name, value)
    if evses is not None and profile.evses:
        if not 1 <= evses <= 15:
            check.errors.append(f"evses: {evses} is not 1 to 15")
        else:
            profile.evses = (profile.evses + [profile.evses[-1]] * evses)[:evses]
    if not profile.identity:
        profile.identity = profile.serial
    check.hardware(profile)
    if check.errors:
        raise BuildError("\n".join(check.errors))
    return profile


class Check:
    """Takes the profile apart, key by key, and gathers what is wrong."""

    _TABLES = (
        "board",
        "station",
        "csms",
        "blocks",
        "buffers",
        "reports",
        "cache",
        "evse",
        "meter",
        "device_model",
        "variables",
        "flash",
        "modbus",
    )
    _FREE = ("pins", "network")  # handed to the board as they are

    def __init__(self, raw: dict, lines: toml.Lines):
        self.raw = raw
        self.lines = lines
        self.errors = []

    def error(self, path: "tuple | None", text: str) -> None:
        """A fault at a key; without one, the text says where itself."""
        self.errors.append(text if path is None else f"{self.lines.where(path)}: {text}")

    def table(self, name: str, keys: tuple, required: bool = True) -> dict:
        """The table of that name, its unknown keys reported."""
        table = self.raw.get(name)
        if table is None:
            if required:
                self.error((), f"there is no [{name}] table: add it")
            return {}
        if not isinstance(table, dict):
            self.error((name,), f"{name} must be a table: write [{name}]")
            return {}
        self.known((name,), table, keys)
        return table

    def known(self, path: tuple, table: dict, keys: tuple) -> None:
        for key in table:
            if key not in keys:
                self.error((*path, key), f"unknown key {key!r}{like(key, keys)}")

    def take(self, path: tuple, table: dict, key: str, kind, default=_REQUIRED):
        """A value of the right type; the default, or a stand-in after a reported fault."""
        value = table.get(key, default)
        if value is _REQUIRED:
            if self.raw.get(path[0]) is not None:
                self.error(path, f"{key!r} is missing: add it")
            return kind()
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            wanted = {int: "an integer", str: "a text", list: "a list", bool: "true or false"}[
                kind
            ]
            self.error((*path, key), f"{key!r} must be {wanted}")
            return kind()
        return value

    def text(self, path, table, key, longest, default=_REQUIRED, identifier=False) -> str:
        value = self.take(path, table, key, str, default)
        if len(value) > longest:
            self.error((*path, key), f"{key!r} has {len(value)} characters: OCPP allows {longest}")
        if identifier and not _IDENTIFIER.fullmatch(value):
            self.error((*path, key), f"{key!r} may hold letters, digits and *-_=:+|@. only")
        return value

    def number(self, path, table, key, least, most, default=_REQUIRED) -> int:
        before = len(self.errors)
        value = self.take(path, table, key, int, default)
        if len(self.errors) == before and not least <= value <= most and (key in table):
            self.error((*path, key), f"{key!r} is {value}: it must be {least} to {most}")
        return value

    def names(self, path, table, key, allowed, default=_REQUIRED) -> list:
        values = self.take(path, table, key, list, default)
        for value in values:
            if value not in allowed:
                self.error(
                    (*path, key), f"unknown name {value!r} in {key!r}{like(value, allowed)}"
                )
        if len(set(map(str, values))) < len(values):
            self.error((*path, key), f"{key!r} names something twice")
        return values

    def profile(self, board: str) -> Profile:
        self.known((), self.raw, self._TABLES + self._FREE)
        profile = Profile(board, self.lines.file, lines=self.lines)
        self._board(profile)
        self._station(profile)
        self._blocks(profile)
        self._evses(profile)
        self._flash(profile)
        self._cache(profile)
        self._model(profile)
        for name in self._FREE:
            table = self.raw.get(name, {})
            if not isinstance(table, dict):
                self.error((name,), f"{name} must be a table: write [{name}]")
            else:
                setattr(profile, name, table)
                self._plain((name,), table)
        return profile

    def _plain(self, path: tuple, value) -> None:
        """Free tables become Python literals in ROM: integers, texts, true or false, and lists of them."""
        for key, item in value.items():
            for member in item if isinstance(item, list) else [item]:
                if not isinstance(member, (int, str)):
                    self.error(
                        (*path, key),
                        f"{key!r} must be an integer, a text, true or false, or a list of them",
                    )

    def _board(self, profile: Profile) -> None:
        at, table = ("board",), self.table("board", ("chip", "flash", "taken", "rows"), False)
        profile.chip = self.take(at, table, "chip", str, "")
        if profile.chip and profile.chip not in hardware.CHIPS:
            self.error(
                (*at, "chip"),
                f"unknown chip {profile.chip!r}{like(profile.chip, hardware.CHIPS)}",
            )
            profile.chip = ""
        profile.flash_chip = self.number(at, table, "flash", 1 << 20, 1 << 28, default=0)
        profile.taken = self.take(at, table, "taken", list, [])
        rows = table.get("rows", {})
        for row, kind in rows.items() if isinstance(rows, dict) else [("rows", rows)]:
            if kind in hardware.PINS:
                profile.rows[row] = kind
            elif isinstance(kind, list) and len(kind) == 2 and set(map(type, kind)) == {int}:
                profile.rows[row] = tuple(kind)
            else:
                self.error(
                    (*at, "rows", row),
                    f"{row!r} must be one of {', '.join(hardware.PINS)}, or [least, most]",
                )

    def hardware(self, profile: Profile) -> None:
        """The pins and the flash against the chip, once all else is known."""
        shipped = hardware.drivers(profile.file.parent)
        if "outlet" in shipped:
            for index, evse in enumerate(profile.evses):
                if len(evse.connectors) != 1:
                    self.error(
                        ("evse", index, "connectors"),
                        f"EVSE {index + 1} has {len(evse.connectors)} connectors: this board's drivers know one",
                    )
        self._modbus(profile)
        if profile.modbus and "modbus" not in shipped:
            self.error(("modbus",), "no driver of this board reads [modbus]: take it out")
        self._are_read(profile, shipped)
        if profile.chip and profile.evses:
            hardware.Pins(profile, self.error, profile.taken).check()
        hardware.check_regions(profile, self.error)

    def _are_read(self, profile: Profile, shipped: dict) -> None:
        """Whether somebody reads what is handed to the board as it is."""
        files = [*profile.file.parent.glob("*.py"), *shipped.values()]
        text = "".join([file.read_text(encoding="utf-8") for file in files])
        for index, evse in enumerate(profile.evses if text else ()):
            if evse.bay and "def bay(" not in text:
                self.error(
                    ("evse", index, "bay"),
                    "no file of this board sees a parking bay: take 'bay' out",
                )
        for name in self._FREE:
            if self.raw.get(name) and f".{name.upper()}" not in text:
                self.error((name,), f"no file of this board reads [{name}]: take it out")
            elif name == "network":
                for key in profile.network:
                    if f'"{key}"' not in text:
                        self.error(
                            (name, key), f"no file of this board reads {key!r}: take it out"
                        )

    def _modbus(self, profile: Profile) -> None:
        at, table = (
            ("modbus",),
            self.table(
                "modbus",
                (
                    "uart",
                    "baud",
                    "parity",
                    "stop",
                    "timeout_ms",
                    "function",
                    "address",
                    *QUANTITIES,
                ),
                required=False,
            ),
        )
        if not table:
            return
        bus = self.number(at, table, "uart", 0, 8)
        baud = self.number(at, table, "baud", 1200, 115200, default=9600)
        parity = self.take(at, table, "parity", str, "none")
        if parity not in ("none", "even", "odd"):
            self.error(
                (*at, "parity"), f'\'parity\' is {parity!r}: it must be "none", "even" or "odd"'
            )
        stop = self.number(at, table, "stop", 1, 2, default=1)
        timeout = self.number(at, table, "timeout_ms", 50, 900, default=300)
        function = self.number(at, table, "function", 3, 4)
        addresses = self.take(at, table, "address", list)
        if len(addresses) != len(profile.evses) or len(set(addresses)) < len(addresses):
            self.error(
                (*at, "address"),
                f"'address' is {addresses}: it must name {len(profile.evses)}, one for each EVSE",
            )
        for address in addresses:
            if type(address) is not int or not 1 <= address <= 247:
                self.error((*at, "address"), f"'address' holds {address!r}: it must be 1 to 247")
        if "energy" not in table:
            self.error(at, "'energy' is missing: add it")
        rows = tuple(self._registers((*at, name), table.get(name)) for name in QUANTITIES)
        settings = (baud, {"even": 0, "odd": 1}.get(parity), stop)
        profile.modbus = (bus, settings, function, timeout, tuple(addresses), rows)
        self._pace(profile, at, table, baud, timeout, rows)

    def _pace(self, profile, at, table, baud, timeout, rows) -> None:
        """Whether questions and answers have the time that the line takes for them."""
        driven = profile.pins.get("modbus_de", -1) not in (-1, "")
        waits = profile.chip in hardware.CHIPS and hardware.CHIPS[profile.chip].writes_wait
        if baud < 4800 and (driven or waits):
            whose = "with modbus_de" if driven else f"by an {profile.chip}"
            self.error(
                (*at, "baud") if "baud" in table else at,
                f"'baud' is {baud}: {whose} each question is waited for, 4800 at least",
            )
        phases = max([evse.phases or 1 for evse in profile.evses], default=1)
        words = [(row[1] & 7) * (phases if n > 1 else 1) for n, row in enumerate(rows) if row]
        # 11 bits a byte; 13 bytes of question and answer beside the registers, and 30 ms for the meter to think.
        least = (13 + 2 * max(words, default=0)) * 11_000 // max(baud, 1) + 30
        if baud >= 1200 and timeout < least:
            self.error(
                (*at, "timeout_ms") if "timeout_ms" in table else at,
                f"'timeout_ms' is {timeout}: at {baud} baud the longest answer takes {least}",
            )

    def _registers(self, at: tuple, given) -> tuple:
        """(register, format, ten) of `[register, ten]` or `[register, ten, "format"]`, () for none."""
        if given is None:
            return ()
        kinds = [type(item) for item in given] if isinstance(given, list) else []
        if kinds not in ([int, int], [int, int, str]):
            self.error(
                at,
                f'{at[-1]!r} must be [register, power of ten], or with a format: [72, 3, "float"]',
            )
            return ()
        register, ten, form = [*given, "float"][:3]
        if not 0 <= register <= 0xFFFF:
            self.error(at, f"{at[-1]!r}: there is no register {register}: it must be 0 to 65535")
        if not -6 <= ten <= 6:
            self.error(at, f"{at[-1]!r}: the power of ten is {ten}: it must be -6 to 6")
        if form not in FORMATS:
            self.error(at, f"{at[-1]!r}: unknown format {form!r}{like(form, FORMATS)}")
        return register, FORMATS.get(form, 34), ten

    def _station(self, profile: Profile) -> None:
        at, station = (
            ("station",),
            self.table("station", ("vendor", "model", "serial", "version", "when_full")),
        )
        profile.vendor = self.text(at, station, "vendor", 50)
        profile.model = self.text(at, station, "model", 20)
        profile.serial = self.text(at, station, "serial", 25, default="", identifier=True)
        profile.version = self.text(at, station, "version", 50, default=_version())
        when_full = station.get("when_full", "refuse")
        if when_full not in ("refuse", "charge"):
            self.error((*at, "when_full"), '\'when_full\' must be "refuse" or "charge"')
        profile.unrecorded = when_full == "charge"
        keys = ("url", "identity", "evse_in_each_event", "periodic_context")
        at, csms = ("csms",), self.table("csms", keys)
        profile.url = self.text(at, csms, "url", 512)
        if profile.url and (fault := _url_fault(profile.url)):
            self.error((*at, "url"), f"'url' is {profile.url!r}: {fault}")
        profile.identity = self.text(at, csms, "identity", 48, default="", identifier=True)
        profile.evse_in_each = self.take(at, csms, "evse_in_each_event", bool, False)
        profile.periodic_context = self.take(at, csms, "periodic_context", bool, True)
        at, buffers = (
            ("buffers",),
            self.table("buffers", ("receive", "transmit", "log", "fragments")),
        )
        profile.receive = self.number(at, buffers, "receive", 512, 65535)
        profile.transmit = self.number(at, buffers, "transmit", 512, 65535)
        profile.log = self.number(at, buffers, "log", 64, 65535, default=512)
        profile.fragments = buffers.get("fragments", True)
        if not isinstance(profile.fragments, bool):
            self.error((*at, "fragments"), "'fragments' must be true or false")

        at, reports = ("reports",), self.table("reports", ("entries",), required=False)
        profile.report = self.number(at, reports, "entries", 1, 999, default=0)

    def _blocks(self, profile: Profile) -> None:
        at, table = ("blocks",), self.table("blocks", ("ship",))
        profile.blocks = self.names(at, table, "ship", BLOCKS)
        if not table:
            return
        for name in REQUIRED_BLOCKS:
            if name not in profile.blocks:
                self.error(
                    (*at, "ship"),
                    f"the block {name!r} is missing: no station works without it, add it",
                )
        for name in profile.blocks:
            if name in BLOCKS and not (BLOCK_FILES / f"{name}.py").is_file():
                self.error(
                    (*at, "ship"), f"the block {name!r} is not in this version: take it out"
                )

    def _evses(self, profile: Profile) -> None:
        tables = self.raw.get("evse")
        if not isinstance(tables, list) or not tables:
            self.error(("evse",), "there is no EVSE: add an [[evse]] table")
            return
        if len(tables) > 15:
            self.error(("evse",), f"{len(tables)} EVSEs: at most 15")
        for index, table in enumerate(tables):
            at = ("evse", index)
            self.known(at, table, ("connectors", "phases", "power", "current", "bay"))
            connectors = self.take(at, table, "connectors", list)
            for kind in connectors:
                if kind not in CONNECTORS:
                    self.error(
                        (*at, "connectors"),
                        f"unknown connector type {kind!r}{like(kind, CONNECTORS)}",
                    )
            if "connectors" in table and not 1 <= len(connectors) <= 15:
                self.error(
                    (*at, "connectors"), f"{len(connectors)} connectors: an EVSE has 1 to 15"
                )
            phases = self.take(at, table, "phases", int)
            if "phases" in table and phases not in (0, 1, 3):
                self.error(
                    (*at, "phases"), f"'phases' is {phases}: it must be 1 or 3, or 0 for DC"
                )
            power = self.number(at, table, "power", 1, 4_000_000)
            if "current" not in table and phases == 0:
                self.error(at, "'current' is missing: a DC EVSE needs it, in mA")
            derived = power * 1000 // (_NOMINAL_VOLTAGE * (phases or 1))
            current = self.number(at, table, "current", 6000, 4_000_000, default=derived)
            bay = self.take(at, table, "bay", bool, False)
            profile.evses.append(Evse(connectors, phases, power, current, bay))

    def _flash(self, profile: Profile) -> None:
        at, flash = ("flash",), self.table("flash", ("size", "sector", "unit", *REGIONS))
        if not flash:
            return
        sector = profile.sector = self.number(at, flash, "sector", 512, 1 << 18)
        if sector & (sector - 1):
            self.error((*at, "sector"), f"'sector' is {sector}: it must be a power of 2")
        unit = profile.unit = self.take(at, flash, "unit", int)
        if "unit" in flash and unit not in (1, 2, 4, 8, 16, 32):
            self.error((*at, "unit"), f"'unit' is {unit}: it must be 1, 2, 4, 8, 16 or 32")
        profile.flash_bytes = self.number(at, flash, "size", 1, 1 << 28, default=0)
        for name in REQUIRED_REGIONS:
            if name not in flash:
                self.error(
                    at, f"the region {name!r} is missing: add [flash.{name}] with offset and size"
                )
        taken = []
        for name in REGIONS:
            if name not in flash:
                continue
            here = ("flash", name)
            if not isinstance(flash[name], dict):
                self.error(here, f"{name!r} must be a table: write [flash.{name}]")
                continue
            self.known(here, flash[name], ("offset", "size"))
            offset = self.number(here, flash[name], "offset", 0, 1 << 28)
            size = self.number(here, flash[name], "size", 1, 1 << 28)
            for key, value in (("offset", offset), ("size", size)):
                if sector and value % sector:
                    self.error(
                        (*here, key),
                        f"{key!r} is {value:#x}: it must be a multiple of the sector, {sector:#x}",
                    )
            if sector and "size" in flash[name] and size < MIN_SECTORS * sector:
                self.error(
                    (*here, "size"),
                    f"'size' is {size:#x}: a region needs {MIN_SECTORS} sectors of {sector:#x}",
                )
            for other, start, end in taken:
                if offset < end and start < offset + size:
                    self.error(
                        here,
                        f"the region {name!r} overlaps {other!r} ({start:#x} to {end:#x}): move it",
                    )
            taken.append((name, offset, offset + size))
            profile.flash[name] = (offset, size)

    def _cache(self, profile: Profile) -> None:
        at, table = ("cache",), self.table("cache", ("entries",), required=False)
        profile.cache = self.number(at, table, "entries", 0, 1000, default=0)
        # Each new sector begins with all of it, at most 32 bytes a row.
        most = profile.sector // 2 // 32
        if profile.sector and profile.cache > most:
            self.error(
                (*at, "entries"),
                f"'entries' is {profile.cache}: sectors of {profile.sector:#x} hold {most}",
            )
        if profile.cache and "tokens" not in profile.flash:
            self.error(
                (*at, "entries"),
                "the region 'tokens' is missing: add [flash.tokens], or take [cache] out",
            )

    def _model(self, profile: Profile) -> None:
        at, meter = ("meter",), self.table("meter", ("measurands",))
        profile.measurands = self.names(at, meter, "measurands", MEASURANDS)
        for name in set(profile.measurands) & set(MEASURANDS) - set(measured()):
            self.error(
                (*at, "measurands"), f"{name!r} is not measured by this version: take it out"
            )
        if meter and ENERGY not in profile.measurands:
            self.error((*at, "measurands"), f"{ENERGY!r} is missing: every meter has it, add it")
        at, table = ("device_model",), self.table("device_model", ("writable",), required=False)
        profile.writable = self.take(at, table, "writable", str, "none")
        if profile.writable not in ("none", "core"):
            self.error(
                (*at, "writable"),
                f'\'writable\' is {profile.writable!r}: it must be "none" or "core"',
            )
        variables = self.raw.get("variables", {})
        if not isinstance(variables, dict):
            self.error(("variables",), "variables must be a table: write [variables]")
            variables = {}
        for name, choice in variables.items():
            if not isinstance(choice, dict):
                choice = {"value": choice}
            self.known(("variables", name), choice, ("value", "writable", "values"))
            profile.variables[name] = choice


def _url_fault(url: str) -> str:
    """Why no station could connect there, "" when it could: as wire.handshake has it."""
    scheme, _, rest = url.partition("://")
    place, slash, _ = rest.partition("/")
    host, colon, port = place.partition(":")
    if scheme.lower() != "ws" or not host or not url.isprintable() or " " in url:
        return "it must begin with ws:// and name a host (there is no TLS yet)"
    if set(place) & set("[@?") or "#" in url:
        return "it must have no IPv6 address, user, fragment or bare query"
    if colon and not (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536):
        return "its port must be from 1 to 65535"
    return ""


def measured() -> list:
    """The measurands that the firmware has a place for in its records."""
    return list(versions.load().measurands)


def _version() -> str:
    """The project's version, when the profile gives none."""
    return toml.load(ROOT / "pyproject.toml")[0]["project"]["version"]


def main(argv=None) -> int:
    """Check the named boards' profiles, all when none is named."""
    argv = sys.argv[1:] if argv is None else argv
    failed = False
    for board in argv or boards():
        try:
            load(board)
            print(f"{board}: the profile is sound")
        except BuildError as error:
            print(error, file=sys.stderr)
            failed = True
    return 1 if failed else 0
