"""What a board's folder says about its hardware: which drivers it ships, which pins they take, how its flash is split."""

import ast
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tools import BOARDS, ROOT, BuildError
from tools.builder import toolkit
from tools.builder.profile.chips import CHIPS
from tools.builder.profile.toml import like
from tools.builder.toolkit import walk

DRIVERS = BOARDS / "drivers"  # shared: a board ships what its own files import of them

_ALIGN = 0x1000  # of partitions,
_APP_ALIGN = 0x10000  # and of those that hold a program
PARTITION = "milliamp"  # the one that holds [flash]


def drivers(folder: Path) -> dict:
    """{module: file} of the shared drivers that a board ships: what its files import, and what those import.

    A file of that name in the board's own folder comes first.
    """
    own = {file.stem: file for file in sorted(folder.glob("*.py"))}
    found, open_ = {}, list(own.values())
    while open_:
        file = open_.pop()
        for name in _imported(file.read_bytes(), file):
            file = DRIVERS / f"{name}.py"
            if name not in own and name not in found and file.is_file():
                found[name] = file
                open_.append(file)
    return dict(sorted(found.items()))


@lru_cache(256)
def _imported(text: bytes, file: Path) -> list:
    """The modules that a file imports; `text` is what is in it."""
    names = []
    for node in walk(toolkit.parse(file)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module)
    return names


def shipped(profile) -> list:
    """The shared drivers' files that go into a board's image: those for parts that its profile has."""
    pins = profile.pins
    unused = {
        "modbus": not profile.modbus,
        "pulse_meter": profile.modbus,
        "mfrc522": not _fitted(pins, "reader_cs"),
        "lock": not _fitted(pins, "lock_close"),
        "lamp": not _fitted(pins, "lamp_red", "lamp_green", "lamp_blue"),
        "fram": not pins.get("flash_fram"),
        "spi_nor": pins.get("flash_fram"),
    }
    found = drivers(profile.file.parent)
    return [file for name, file in found.items() if not (profile.chip and unused.get(name))]


def _fitted(pins: dict, *rows) -> bool:
    """Is there a pin in one of these rows?"""
    return any(
        pin not in (-1, "")
        for row in rows
        for pin in (pins.get(row, -1) if isinstance(pins.get(row), list) else [pins.get(row, -1)])
    )


# --- rows of [pins] --------------------------------------------------------------------------------

# By the driver that reads them. A pin is "output", "pwm", "adc", "input", "interrupt" or "bus"; anything else is
# a setting: (least, most), bool, or list (of names of rows).
ROWS = {
    "charger": {
        "watchdog_ms": (
            5000,
            30000,
        ),  # a second between two meals, and an erase, a start of the network
        "active_low": list,
        "meter_volts": (100, 500),
        "reader_spi": (1, 6),
        "reader_sck": "bus",
        "reader_mosi": "bus",
        "reader_miso": "bus",
        "reader_cs": "output",
        "reader_rst": "output",
    },
    "outlet": {
        "pilot_pwm": "pwm",
        "pilot_adc": "adc",
        "pilot_zero_mv": (0, 3300),
        "pilot_full_mv": (0, 3300),
        "ventilated": bool,
        "proximity_adc": "adc",
        "proximity_pull_ohm": (10, 100000),
        "contactor": "output",
        "contactor_sense": "input",
        "residual_current": "input",
        "lock_close": "output",
        "lock_open": "output",
        "lock_sense": "input",
        "lock_ms": (10, 500),
        "stop_button": "input",
        "lamp_red": "output",
        "lamp_green": "output",
        "lamp_blue": "output",
    },
    "pulse_meter": {
        "meter": "interrupt",
        "meter_pulses": (1, 100000),
        "meter_store_wh": (1, 1000),
    },
    "modbus": {"modbus_tx": "bus", "modbus_rx": "bus", "modbus_de": "output"},
    "stm32_charger": {"flash_spi": (1, 6), "flash_cs": "output", "flash_fram": bool},
}
NEEDED = {
    "outlet": ("pilot_pwm", "pilot_adc", "contactor"),
    "stm32_charger": ("flash_spi", "flash_cs"),
}
# Outputs that must be off from the first moment on: what they drive moves.
OFF_AT_RESET = ("contactor", "lock_close", "lock_open")
DRIVEN = ("reader_sck", "reader_mosi", "modbus_tx")  # the lines of a bus that are ours
# Rows that only make sense together; the second kind is of the chips whose buses have no pins of their own.
TOGETHER = (("lock_close", "lock_open"),)
BUSES = (("reader_cs", ("reader_sck", "reader_mosi", "reader_miso")),)
# And those that nobody reads without another.
WITH = {
    "proximity_pull_ohm": "proximity_adc",
    "lock_sense": "lock_close",
    "lock_ms": "lock_close",
    **{"reader_" + line: "reader_cs" for line in ("spi", "sck", "mosi", "miso", "rst")},
}
PINS = ("output", "pwm", "adc", "input", "interrupt", "bus")
# Of these each EVSE has a pin of its own; but one residual current detector may stand before all, and there may be one button.
EACH = {row for row, kind in (ROWS["outlet"] | ROWS["pulse_meter"]).items() if kind in PINS}
SHARED = {"residual_current", "stop_button"}


class Pins:
    """Checks a profile's [pins]; `error(path, text)` takes a fault."""

    def __init__(self, profile, error, taken=()):
        self._table = profile.pins
        self._error = error
        self._chip = CHIPS[profile.chip]
        self._evses = len(profile.evses)
        self._watts = [evse.power for evse in profile.evses]
        shipped = drivers(profile.file.parent)
        self.rows = {row: kind for name in shipped for row, kind in ROWS.get(name, {}).items()}
        self.rows.update(profile.rows)
        if self._chip.fixed_buses:
            self.rows = {row: kind for row, kind in self.rows.items() if kind != "bus"}
        self._shipped = shipped
        self._modbus = profile.modbus
        self._taken = {**self._chip.reserved, **dict.fromkeys(taken, "the board itself")}
        self._users = {}  # pin -> row

    def check(self) -> None:
        """Report all that is wrong."""
        for row, value in self._table.items():
            if row not in self.rows:
                self._fault(row, f"no driver of this board knows this row{like(row, self.rows)}")
                continue
            kind = self.rows[row]
            if kind in PINS:
                self._pins(row, value, kind)
            elif kind is bool and not isinstance(value, bool):
                self._fault(row, "must be true or false")
            elif kind is list:
                self._names(row, value)
            elif isinstance(kind, tuple):
                if isinstance(value, bool) or not isinstance(value, int):
                    self._fault(row, "must be an integer")
                elif not kind[0] <= value <= kind[1]:
                    self._fault(row, f"{value} is not {kind[0]} to {kind[1]}")
        self._complete()

    def _fault(self, row, text):
        self._error(("pins", row), f"[pins] {row}: {text}")

    def fitted(self, row: str, evse: int = 1):
        """The pin of a row for an EVSE, None where there is none."""
        value = self._table.get(row, -1)
        values = value if isinstance(value, list) else [value]
        pin = values[evse - 1] if evse <= len(values) else -1
        return None if pin in (-1, "") else pin

    def _pins(self, row, value, kind):
        values = value if isinstance(value, list) else [value]
        if len(values) > self._evses:
            self._fault(row, f"{len(values)} pins for {self._evses} EVSE: one for each")
        fitted = [pin for pin in values if pin not in (-1, "")]
        if self._evses > 1 and row in EACH and 0 < len(fitted) < self._evses:
            if row not in SHARED or isinstance(value, list):
                self._some(row, len(values))
        for pin in values:
            if pin in (-1, "") and not isinstance(pin, bool):
                continue
            self._pin(row, pin, kind)

    def _pin(self, row, pin, kind):
        chip, call = self._chip, self._chip.call(pin)
        if isinstance(pin, bool) or pin not in chip.pins:
            names = "GPIO numbers" if 0 in chip.pins else 'names such as "PA3"'
            return self._fault(row, f"the chip has no {call}: pins are {names}")
        if pin in self._taken:
            return self._fault(row, f"{call} belongs to {self._taken[pin]}")
        if pin in chip.inputs and (kind in ("output", "pwm") or row in DRIVEN):
            self._fault(row, f"{call} is input only")
        elif pin in chip.restless and row in OFF_AT_RESET:
            self._fault(row, f"{call} is pulled up or driven at a reset: take one that stays off")
        elif pin in chip.ghosts and kind == "interrupt":
            self._fault(row, f"{call} sees edges when the radio or the ADC is powered")
        elif kind == "adc" and pin not in chip.adc:
            why = " that works beside Wi-Fi" if 0 in chip.pins else ""
            self._fault(row, f"{call} is no analog input{why}: there are {_list(chip.adc)}")
        elif kind == "pwm" and pin not in chip.pwm:
            self._fault(row, f"{call} has no timer's output: there are {_list(chip.pwm)}")
        elif pin in self._users:
            self._fault(row, f"{call} is {self._users[pin]} already")
        self._users.setdefault(pin, row)
        return None

    def _names(self, row, value):
        rows = [name for name, kind in self.rows.items() if kind in ("input", "output")]
        for name in value if isinstance(value, list) else [value]:
            if name not in rows:
                self._fault(row, f"{name!r} is no input or output{like(name, rows)}")
            elif name in OFF_AT_RESET[:1]:
                self._fault(row, f"{name!r} must be off at 0 V: at a reset nobody drives the pin")

    def _some(self, row, count):
        shared = "; a number without a list holds for all" if row in SHARED else ""
        self._fault(row, f"{count} for {self._evses} EVSEs: name one for each{shared}")

    def _together(self):
        """What each row by itself cannot know: the voltages of the pilot, buses, outputs that share a timer's channel."""
        table, chip = self._table, self._chip
        zero, full = table.get("pilot_zero_mv", 1300), table.get("pilot_full_mv", 2300)
        least, most = chip.millivolts
        span = (full - zero) * 21 // 20  # 5 % more than 12 V
        if "outlet" in self._shipped and isinstance(zero, int) and isinstance(full, int):
            if full <= zero:
                self._fault("pilot_full_mv", f"{full} is not above pilot_zero_mv, {zero}")
            elif zero - span < least:
                self._fault(
                    "pilot_zero_mv", f"-12 V is at {zero - span}: the ADC reads {least} at least"
                )
            elif zero + span > most:
                self._fault(
                    "pilot_full_mv", f"+12 V is at {zero + span}: the ADC reads {most} at most"
                )
        for row in ("reader_spi", "flash_spi"):
            if type(table.get(row)) is int and row in self.rows and table[row] not in chip.spis:
                self._fault(row, f"there is no SPI {table[row]}: there are {_list(chip.spis)}")
        if self.fitted("reader_cs") is not None and "flash_spi" in self.rows:
            if table.get("flash_spi") == table.get("reader_spi", 1):
                self._fault(
                    "reader_spi", "the flash is on this bus, and faster than a reader can be"
                )
        if isinstance(chip.pwm, dict):
            outputs = {}
            for evse in range(1, self._evses + 1):
                pin = self.fitted("pilot_pwm", evse)
                output = chip.pwm.get(pin) if isinstance(pin, str) else None
                if output in outputs:
                    self._fault(
                        "pilot_pwm",
                        f"{pin} and {outputs[output]} are both TIM{output[0]}_CH{output[1]}: one duty cycle for two EVSEs",
                    )
                elif output:
                    outputs[output] = pin

    def _complete(self):
        self._together()
        for name, needed in NEEDED.items():
            for row in needed if name in self._shipped else ():
                if self.rows[row] in PINS:
                    self._need(row, evses=None if row in EACH else [1])
                elif row not in self._table:
                    self._fault(row, "is missing: add it")
        for rows in TOGETHER:
            for evse in range(1, self._evses + 1):
                if any(self.fitted(row, evse) is not None for row in rows):
                    self._need(*rows, evses=[evse])
        self._idle()
        for row, lines in BUSES:
            if not self._chip.fixed_buses and self.fitted(row) is not None:
                self._need(*lines, evses=[1])
        if "outlet" not in self._shipped:
            return
        if self._modbus:
            uart = self._modbus[0]
            if uart not in self._chip.uarts:
                self._error(
                    ("modbus", "uart"),
                    f"'uart' is {uart}: there are {_list(self._chip.uarts)} beside the console",
                )
            if not self._chip.fixed_buses:
                self._need("modbus_tx", "modbus_rx", evses=[1])
        elif "pulse_meter" in self._shipped:
            self._need("meter")
            self._pace()
        else:
            self._error(("pins",), "there is no meter: add [modbus]")

    def _idle(self):
        """Rows of what is not there: nobody would read them."""
        for row in self._table:
            if row not in self.rows or self.rows[row] in PINS and not _fitted(self._table, row):
                continue
            if row in WITH and not _fitted(self._table, WITH[row]):
                self._fault(row, f"there is no {WITH[row]}: take this out, or add that")
            elif row in ROWS["modbus"] and not self._modbus:
                self._fault(row, "there is no [modbus]: take this out, or add that")
            elif row in ROWS["pulse_meter"] and self._modbus:
                self._fault(row, "there is a [modbus] meter already: take one of them out")

    def _pace(self):
        # An S0 pulse is 30 ms long, and so is the pause at least (IEC 62053-31); the driver takes what is nearer than
        # 20 ms for a contact that bounces.
        pulses = self._table.get("meter_pulses", 1000)
        for evse, watts in enumerate(self._watts if type(pulses) is int else (), 1):
            if pulses > 0 and watts and 3_600_000_000 // (pulses * watts) < 40:
                ms = 3_600_000_000 // (pulses * watts)
                self._fault(
                    "meter_pulses",
                    f"{watts} W of EVSE {evse} are a pulse each {ms} ms: S0 needs 40",
                )

    def _need(self, *rows, evses=None):
        for row in rows:
            for evse in evses or range(1, self._evses + 1):
                if self.fitted(row, evse) is None:
                    self._fault(row, f"EVSE {evse} has none: add it")


def _list(pins) -> str:
    """Pins for a message: neighbours as a range."""
    numbers = sorted(pin for pin in pins if isinstance(pin, int))
    if not numbers:
        return ", ".join(sorted(pins, key=lambda pin: (pin[:2], int(pin[2:]))))
    runs = [[numbers[0], numbers[0]]]
    for number in numbers[1:]:
        if number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{a} to {b}" if a < b else str(a) for a, b in runs)


# --- partitions ------------------------------------------------------------------------------------


@dataclass
class Partition:
    """A row of an ESP32's partition table."""

    name: str
    kind: str
    subtype: str
    offset: int
    size: int
    line: int


def partitions(file: Path) -> list:
    """The rows of a `partitions.csv`. BuildError carries every row that cannot be read, one a line."""
    rows, errors = [], []
    for number, text in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        parts = [part.strip() for part in text.split("#")[0].split(",")]
        if parts == [""]:
            continue
        try:
            name, kind, subtype, offset, size = parts[:5]
            rows.append(Partition(name, kind, subtype, _bytes(offset), _bytes(size), number))
        except ValueError:
            errors.append(
                f"{_name(file)}:{number}: a row is name, type, subtype, offset, size: {text.strip()!r}"
            )
    if errors:
        raise BuildError("\n".join(errors))
    return rows


def _bytes(text: str) -> int:
    factor = {"K": 1 << 10, "M": 1 << 20}.get(text[-1:].upper())
    return int(text[:-1], 0) * factor if factor else int(text, 0)


def _name(file: Path) -> str:
    return str(file.relative_to(ROOT)) if file.is_relative_to(ROOT) else str(file)


def check_partitions(file: Path, flash_size: int) -> "tuple[list, Partition | None]":
    """(faults, the partition that holds [flash]) of a `partitions.csv`."""
    rows, faults, found, end, last = partitions(file), [], None, 0, ""
    for row in rows:
        where = f"{_name(file)}:{row.line}: {row.name}:"
        align = _APP_ALIGN if row.kind == "app" else _ALIGN
        if row.offset % align:
            faults.append(
                f"{where} begins at {row.offset:#x}: it must be a multiple of {align:#x}"
            )
        if row.size % _ALIGN or not row.size:
            faults.append(f"{where} has {row.size:#x} bytes: they must be whole {_ALIGN:#x}")
        if row.offset < end:
            faults.append(f"{where} begins at {row.offset:#x}, inside {last!r} (to {end:#x})")
        end, last = row.offset + row.size, row.name
        if flash_size and end > flash_size:
            faults.append(f"{where} reaches {end:#x}: the flash has {flash_size:#x} bytes")
        if row.name == PARTITION:
            found = row
    if found is None:
        faults.append(f"{_name(file)}:1: there is no partition {PARTITION!r}: add it")
    elif found.kind != "data":
        faults.append(f"{_name(file)}:{found.line}: {PARTITION}: must be of type data")
    return faults, found


def check_regions(profile, error) -> None:
    """Whether [flash] fits what holds it: the partition, or the chip whose size [flash] names."""
    size, holder = profile.flash_bytes, "the flash"
    file = profile.file.parent / "partitions.csv"
    if file.is_file():
        if size:
            error(("flash", "size"), "'size' is that of the partition, which says it: take it out")
        try:
            faults, row = check_partitions(file, profile.flash_chip)
        except BuildError as fault:
            faults, row = str(fault).splitlines(), None
        for fault in faults:
            error(None, fault)
        if row is not None:
            size, holder = row.size, f"the partition {row.name!r}"
    sector = CHIPS[profile.chip].sector if profile.chip in CHIPS else 0
    if sector and profile.sector and profile.sector != sector:
        error(
            ("flash", "sector"),
            f"'sector' is {profile.sector:#x}: the flash of an {profile.chip} has {sector:#x}",
        )
    for name, (offset, length) in profile.flash.items():
        if size and offset + length > size:
            error(
                ("flash", name),
                f"the region {name!r} reaches {offset + length:#x}: {holder} has {size:#x} bytes",
            )
