"""What the build says about pins, meters, flash maps and partition tables: where it is, and what is wrong."""

import shutil

import pytest

from tools import BOARDS, BuildError
from tools.builder import profile
from tools.builder.profile import hardware

ESP32, S3, STM32 = "esp32_generic", "esp32_s3", "stm32_nucleo_h743"


def faults(tmp_path, board, *changes, file="profile.toml", evses=None):
    """What the build says of a board's copy after changes of (old, new) in one of its files."""
    folder = tmp_path / board
    shutil.copytree(BOARDS / board, folder, ignore=shutil.ignore_patterns("__pycache__"))
    text = (folder / file).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    (folder / file).write_text(text)
    with pytest.raises(BuildError) as raised:
        profile.load(str(folder), evses=evses)
    lines = str(raised.value).splitlines()
    assert all(str(folder) in line for line in lines)
    return [line.split(": ", 1)[1] for line in lines], text, lines


@pytest.mark.parametrize(
    ("board", "old", "new", "message"),
    [
        (ESP32, "contactor = 26", "contactor = 34", "[pins] contactor: GPIO 34 is input only"),
        (ESP32, "contactor = 26", "contactor = 24", "[pins] contactor: the chip has no GPIO 24"),
        (ESP32, "contactor = 26", "contactor = true", "[pins] contactor: the chip has no"),
        (ESP32, "contactor = 26", 'contactor = "PA3"', "[pins] contactor: the chip has no PA3"),
        (
            ESP32,
            "contactor = 26",
            "contactor = 6",
            "[pins] contactor: GPIO 6 belongs to the flash",
        ),
        (ESP32, "contactor = 26", "contactor = 1", "GPIO 1 belongs to the console"),
        (ESP32, "contactor = 26", "contactor = 25", "GPIO 25 is pilot_pwm already"),
        (ESP32, "contactor = 26", "contactor = -1", "[pins] contactor: EVSE 1 has none: add it"),
        (ESP32, "contactor = 26\n", "", "[pins] contactor: EVSE 1 has none: add it"),
        (ESP32, "contactor = 26", "contactor = [26, 14]", "2 pins for 1 EVSE: one for each"),
        (ESP32, "contactor = 26", "contactor = 15", "[pins] contactor: GPIO 15 is pulled up or"),
        (ESP32, "lock_open = 33", "lock_open = 14", "[pins] lock_open: GPIO 14 is pulled up or"),
        ("esp32_c3", "contactor = 3", "contactor = 21", "GPIO 21 is pulled up or driven at a"),
        (
            ESP32,
            '["stop_button",',
            '["contactor",',
            "'contactor' must be off at 0 V: at a reset nobody drives the pin",
        ),
        (ESP32, "meter = 27", "meter = 36", "GPIO 36 sees edges when the radio or the ADC is"),
        (
            ESP32,
            "meter_pulses = 1000",
            "meter_pulses = 100000",
            "[pins] meter_pulses: 7360 W of EVSE 1 are a pulse each 4 ms: S0 needs 40",
        ),
        (ESP32, "pilot_full_mv = 2300", "pilot_full_mv = 1300", "1300 is not above pilot_zero_mv"),
        (
            ESP32,
            "pilot_full_mv = 2300",
            "pilot_full_mv = 2450",
            "-12 V is at 93: the ADC reads 150",
        ),
        ("esp32_c3", "pilot_full_mv = 2300", "pilot_full_mv = 2380", "+12 V is at 2434: the ADC"),
        (ESP32, "watchdog_ms = 30000", "watchdog_ms = 1000", "1000 is not 5000 to 30000"),
        (ESP32, "reader_spi = 2", "reader_spi = 3", "there is no SPI 3: there are 1 to 2"),
        ("esp32_c3", "reader_spi = 1", "reader_spi = 2", "there is no SPI 2: there are 1"),
        (ESP32, "reader_sck = 18", "reader_sck = 35", "[pins] reader_sck: GPIO 35 is input only"),
        (S3, "uart = 1", "uart = 0", "'uart' is 0: there are 1 to 2 beside the console"),
        (STM32, "uart = 2", "uart = 3", "'uart' is 3: there are 1 to 2, 6 to 8 beside the"),
        (STM32, "reader_spi = 4", "reader_spi = 3", "the flash is on this bus, and faster than"),
        (STM32, "flash_spi = 3", "flash_spi = 6", "there is no SPI 6: there are 3 to 4"),
        (S3, "baud = 9600", "baud = 1200", "'baud' is 1200: with modbus_de each question is"),
        (STM32, "baud = 9600", "baud = 2400", "'baud' is 2400: with modbus_de each question is"),
        (S3, "timeout_ms = 300", "timeout_ms = 50", "at 9600 baud the longest answer takes 58"),
        (ESP32, "contactor = 26", "contacter = 26", "did you mean 'contactor'?"),
        (ESP32, "pilot_adc = 34", "pilot_adc = 4", "GPIO 4 is no analog input that works beside"),
        (ESP32, "pilot_pwm = 25", "pilot_pwm = 37", "[pins] pilot_pwm: GPIO 37 is input only"),
        (ESP32, "lock_open = 33\n", "", "[pins] lock_open: EVSE 1 has none: add it"),
        (ESP32, "reader_miso = 19\n", "", "[pins] reader_miso: EVSE 1 has none: add it"),
        (ESP32, "meter = 27  # S0 pulses\n", "", "[pins] meter: EVSE 1 has none: add it"),
        (ESP32, "lock_ms = 400", "lock_ms = 900", "[pins] lock_ms: 900 is not 10 to 500"),
        (
            ESP32,
            "ventilated = false",
            "ventilated = 0",
            "[pins] ventilated: must be true or false",
        ),
        (
            ESP32,
            '"stop_button", ',
            '"stop_buton", ',
            "'stop_buton' is no input or output: did you",
        ),
        (ESP32, '"sType2"]', '"sType2", "cType2"]', "EVSE 1 has 2 connectors"),
        (ESP32, 'chip = "ESP32"', 'chip = "ESP33"', "unknown chip 'ESP33': did you mean 'ESP32'?"),
        ("esp32_c3", "pilot_adc = 0", "pilot_adc = 20", "there are 0 to 4"),
        ("esp32_c3", "contactor = 3", "contactor = 12", "GPIO 12 belongs to the flash"),
        (S3, "contactor = 5", "contactor = 22", "the chip has no GPIO 22"),
        (S3, "modbus_rx = 18\n", "", "[pins] modbus_rx: EVSE 1 has none: add it"),
        (
            S3,
            "modbus_rx = 18\n",
            "modbus_rx = 18\nmeter = 41\n",
            "there is a [modbus] meter already",
        ),
        (
            S3,
            "modbus_rx = 18\n",
            "modbus_rx = 18\nmeter_pulses = 500\n",
            "[pins] meter_pulses: there is",
        ),
        (
            ESP32,
            "meter = 27",
            "modbus_de = 14\nmeter = 27",
            "[pins] modbus_de: there is no [modbus]",
        ),
        (
            ESP32,
            "reader_cs = 5",
            "reader_cs = -1",
            "[pins] reader_sck: there is no reader_cs: take",
        ),
        (
            ESP32,
            "proximity_adc = 35",
            "# none",
            "[pins] proximity_pull_ohm: there is no proximity_adc",
        ),
        (
            "esp32_c3",
            "contactor = 3",
            "lock_ms = 400\ncontactor = 3",
            "[pins] lock_ms: there is no lock_close: take this out, or add that",
        ),
        (
            STM32,
            "[pins]",
            '[network]\nssid = "yard"\n[pins]',
            "no file of this board reads [network]",
        ),
        (
            ESP32,
            "phases = 1",
            "phases = 1\nbay = true",
            "no file of this board sees a parking bay",
        ),
        (ESP32, 'ssid = ""', 'sssid = ""', "no file of this board reads 'sssid': take it out"),
        (
            ESP32,
            "unit = 16",
            "unit = 16\nsize = 0x80000",
            "'size' is that of the partition, which",
        ),
        (STM32, '"PE11"', '"PC14"', "[pins] contactor: PC14 belongs to the 32 kHz crystal"),
        (STM32, 'contactor = "PE11"', 'contactor = "PA1"', "PA1 belongs to the board itself"),
        (STM32, '"PE11"', "12", "the chip has no GPIO 12: pins are names such as"),
        (STM32, '"PE9"', '"PE7"', "[pins] pilot_pwm: PE7 has no timer's output: there are PA0,"),
        (STM32, 'adc = "PC0"', 'adc = "PE10"', "[pins] pilot_adc: PE10 is no analog input: there"),
        (STM32, "flash_spi = 3", "spi_flash = 3", "no driver of this board knows this row"),
        (STM32, "flash_spi = 3", "# flash_spi = 3", "[pins] flash_spi: is missing: add it"),
        (STM32, "reader_spi = 4", "reader_sck = 4", "no driver of this board knows this row"),
        (STM32, "[modbus]", "[modbus2]", "there is no meter: add [modbus]"),
        (S3, "energy = [0x0048, 3]", "", "'energy' is missing: add it"),
        (S3, "address = [1]", "address = [0]", "'address' holds 0: it must be 1 to 247"),
        (S3, "address = [1]", "address = [1, 2]", "it must name 1, one for each EVSE"),
        (S3, "function = 4", "function = 6", "'function' is 6: it must be 3 to 4"),
        (S3, 'parity = "none"', 'parity = "mark"', 'it must be "none", "even" or "odd"'),
        (S3, "[0x0034, 0]", "0x34", "'power' must be [register, power of ten]"),
        (S3, "[0x0034, 0]", '[0x34, 0, "double"]', "unknown format 'double': there are u16"),
        (S3, "[0x0034, 0]", "[65536, 0]", "there is no register 65536"),
        (S3, "[0x0034, 0]", "[0x34, 9]", "the power of ten is 9: it must be -6 to 6"),
        (ESP32, "sector = 4096", "sector = 8192", "the flash of an ESP32 has 0x1000"),
        (
            ESP32,
            "size = 0x40000",
            "size = 0x3f800",
            "'size' is 0x3f800: it must be a multiple of the sector, 0x1000",
        ),
        (
            ESP32,
            "offset = 0x5c000",
            "offset = 0x78000",
            "the region 'blobs' reaches 0x88000: the partition 'milliamp' has 0x80000 bytes",
        ),
        (
            ESP32,
            "offset = 0x5c000",
            "offset = 0x4d000",
            "the region 'logs' overlaps 'blobs' (0x4d000 to 0x5d000): move it",
        ),
        (
            STM32,
            "size = 0x400000",
            "size = 0x120000",
            "the region 'blobs' reaches 0x12c000: the flash has 0x120000 bytes",
        ),
    ],
)
def test_a_fault_of_the_profile(tmp_path, board, old, new, message):
    found, text, lines = faults(tmp_path, board, (old, new))
    at = [n for n, (line, fault) in enumerate(zip(lines, found)) if message in fault]
    assert at, "\n".join(lines)
    where = int(lines[at[0]].split("profile.toml:")[1].split(":")[0])
    word = message.split("] ")[1].split(":")[0] if message.startswith("[pins]") else None
    if word and f"\n{word} =" in text:
        assert text.splitlines()[where - 1].startswith(word)


def test_an_stm32_waits_for_each_question_whether_it_drives_the_transceiver_or_not(tmp_path):
    away = ('modbus_de = "PD4"', 'modbus_de = ""')
    found, _, _ = faults(tmp_path, STM32, away, ("baud = 9600", "baud = 2400"))
    assert found == ["'baud' is 2400: by an STM32H743 each question is waited for, 4800 at least"]


@pytest.mark.parametrize("row", ["contactor", "lock_close", "lock_open"])
@pytest.mark.parametrize(
    ("board", "pin"),
    [(ESP32, pin) for pin in (0, 5, 14, 15)]
    + [("esp32_c3", pin) for pin in (9, 20, 21)]
    + [(S3, 0)]
    + [(STM32, pin) for pin in ("PA15", "PB3", "PB4")],
)
def test_what_moves_is_on_no_pin_that_is_not_off_at_a_reset(board, pin, row):
    """By the data sheets: pulled up as a strapping pin or for JTAG, or written on by the boot loader."""
    chosen = profile.load(board)
    chosen.rows[row] = "output"  # an ESP32-C3 has no pins left for a lock
    chosen.pins[row] = pin
    found = []
    hardware.Pins(chosen, lambda path, text: found.append(text)).check()
    call = hardware.CHIPS[chosen.chip].call(pin)
    assert (
        f"[pins] {row}: {call} is pulled up or driven at a reset: take one that stays off" in found
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0x240000, 0x80000", "0x240800, 0x80000", "milliamp: begins at 0x240800: it must be a"),
        ("0x240000, 0x80000", "0x230000, 0x80000", "milliamp: begins at 0x230000, inside 'romfs'"),
        (
            "0x240000, 0x80000",
            "0x240000, 4M",
            "milliamp: reaches 0x640000: the flash has 0x400000",
        ),
        ("0x240000, 0x80000", "0x240000, 0x800", "milliamp: has 0x800 bytes: they must be whole"),
        ("0x240000, 0x80000", "0x240000, 0x40000", "the partition 'milliamp' has 0x40000 bytes"),
        ("0x10000,  0x1f0000", "0x11000,  0x1e0000", "factory: begins at 0x11000: it must be a"),
        ("milliamp,  data", "millimap,  data", "there is no partition 'milliamp': add it"),
        ("milliamp,  data", "milliamp,  app", "milliamp: must be of type data"),
        ("0x240000, 0x80000", "0x240000, lots", "a row is name, type, subtype, offset, size"),
    ],
)
def test_a_fault_of_the_partition_table(tmp_path, old, new, message):
    _, _, lines = faults(tmp_path, ESP32, (old, new), file="partitions.csv")
    assert any(message in line for line in lines), "\n".join(lines)
    assert any("partitions.csv:" in line or "profile.toml:" in line for line in lines)


def test_a_second_evse_needs_pins_of_its_own(tmp_path):
    found, _, _ = faults(tmp_path, ESP32, evses=2)
    for row in ("pilot_pwm", "pilot_adc", "contactor", "meter"):
        assert f"[pins] {row}: EVSE 2 has none: add it" in found


TWO = """
pilot_pwm = ["PB6", "PD12"]
pilot_adc = ["PC0", "PC3"]
contactor = ["PE11", "PF14"]
"""


def of_two_evses(tmp_path, text):
    """The STM32 board for two EVSEs, with these rows."""
    folder = tmp_path / STM32
    shutil.copytree(BOARDS / STM32, folder)
    file = folder / "profile.toml"
    lines = file.read_text().replace("address = [1]", "address = [1, 2]").splitlines()
    rows = {line.split(" = ")[0] for line in text.splitlines() if " = " in line}
    away = {"proximity_adc", "contactor_sense", "residual_current", "lock_close", "lock_open"}
    away |= {"lock_sense", "stop_button", "lamp_red", "lamp_green", "lamp_blue", "active_low"}
    away |= {"lock_ms", "proximity_pull_ohm"}
    kept = [line for line in lines if line.split(" = ")[0] not in rows | away]
    file.write_text("\n".join(kept) + text)
    return profile.load(str(folder), evses=2)


def test_two_pilots_on_one_channel_would_offer_one_current(tmp_path):
    with pytest.raises(BuildError) as raised:
        of_two_evses(tmp_path, TWO)
    assert "PD12 and PB6 are both TIM4_CH1: one duty cycle for two EVSEs" in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_two_evses_of_an_stm32(tmp_path):
    chosen = of_two_evses(tmp_path, TWO.replace("PD12", "PD13"))
    assert len(chosen.evses) == 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('contactor_sense = "PE13"', "contactor_sense: 1 for 2 EVSEs: name one for each"),
        ('proximity_adc = ["PA3"]', "proximity_adc: 1 for 2 EVSEs: name one for each"),
        ('residual_current = ["PE14"]', "residual_current: 1 for 2 EVSEs: name one for each; a"),
        ('residual_current = "PE14"', None),
        ('stop_button = "PC13"', None),
    ],
)
def test_a_row_that_serves_one_evse_only(tmp_path, row, message):
    text = TWO.replace("PD12", "PD13") + row + "\n"
    if message is None:
        assert of_two_evses(tmp_path, text)
        return
    with pytest.raises(BuildError) as raised:
        of_two_evses(tmp_path, text)
    assert "[pins] " + message in str(raised.value)


def test_rows_of_a_boards_own_drivers(tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(BOARDS / ESP32, folder)
    file = folder / "profile.toml"
    text = file.read_text().replace(
        "flash = 0x400000", 'flash = 0x400000\nrows = { fan = "output", fan_at = [20, 90] }'
    )
    file.write_text(text + "\nfan = 14\nfan_at = 60\n")
    assert profile.load(str(folder)).pins["fan"] == 14
    file.write_text(text + "\nfan = 35\nfan_at = 95\n")
    with pytest.raises(BuildError) as raised:
        profile.load(str(folder))
    assert "[pins] fan: GPIO 35 is input only" in str(raised.value)
    assert "[pins] fan_at: 95 is not 20 to 90" in str(raised.value)


def test_a_file_of_the_boards_own_comes_before_the_shared_one(tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(BOARDS / ESP32, folder)
    assert "lamp" in hardware.drivers(folder)
    shutil.copy(hardware.DRIVERS / "lamp.py", folder)
    assert "lamp" not in hardware.drivers(folder)
    assert hardware.drivers(BOARDS / "sim") == {}


def test_another_chip_needs_nothing_of_this(tmp_path):
    """Pins of a chip that nobody knows are handed to the board as they are."""
    folder = tmp_path / "mine"
    folder.mkdir()
    text = (BOARDS / "sim" / "profile.toml").read_text()
    (folder / "profile.toml").write_text(text + '\n[pins]\nrelay = "X7"\n')
    with pytest.raises(BuildError, match=r"no file of this board reads \[pins\]: take it out"):
        profile.load(str(folder))
    board = "class Board:\n    def bay(self, evse):\n        return self.profile.PINS\n"
    (folder / "board.py").write_text(board)
    assert profile.load(str(folder)).pins == {"relay": "X7"}


def test_partitions_of_the_boards_are_read():
    rows = hardware.partitions(BOARDS / S3 / "partitions.csv")
    assert [row.name for row in rows if row.kind == "app"] == ["ota_0", "ota_1"]
    assert hardware.check_partitions(BOARDS / S3 / "partitions.csv", 0x800000)[0] == []
