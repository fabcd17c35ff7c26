"""The Modbus driver against a modelled meter: right values, or none."""

import struct
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .bench import Charger, imported, tables, wire
from .esp32 import Chip
from .modbus import crc16

BOARD = "esp32_s3"
with imported(Chip(name="ESP32-S3"), BOARD) as PURE:
    modbus = PURE.modbus


@pytest.fixture
def chip():
    return wire(Chip(name="ESP32-S3"), BOARD)


@pytest.fixture
def charger(chip):
    with imported(chip, BOARD) as modules:
        yield Charger(chip, modules, tables(BOARD))


def power(charger):
    return charger.board.measure(1, "Power.Active.Import", 0)


@given(st.binary(max_size=40))
def test_crc(data):
    assert struct.pack("<H", modbus.crc(data)) == crc16(data)
    assert modbus.crc(data + crc16(data)) == 0


def nearest(value: Fraction) -> int:
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


@given(st.floats(width=32, allow_nan=False, min_value=-1e9, max_value=1e9), st.integers(-3, 6))
@settings(max_examples=300)
def test_floats_without_floats(value, ten):
    data = struct.pack(">f", value)
    exact = Fraction(struct.unpack(">f", data)[0]) * Fraction(10) ** ten
    assert modbus.number(data, 0, 34, ten) == nearest(exact)
    assert modbus.number(data[2:] + data[:2], 0, 98, ten) == nearest(exact)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 3e38])
def test_what_is_no_number(value):
    assert modbus.number(struct.pack(">f", value), 0, 34, 3) is None


@pytest.mark.parametrize(
    ("form", "code", "value"),
    [
        (1, ">H", 65535),
        (17, ">h", -2),
        (2, ">I", 4000000000),
        (18, ">i", -70000),
        (4, ">Q", 1 << 40),
    ],
)
def test_integers(form, code, value):
    data = b"\xaa\xbb" + struct.pack(code, value)
    assert modbus.number(data, 2, form, 0) == value
    assert modbus.number(data, 2, form, 2) == value * 100
    words = [data[at : at + 2] for at in range(2, len(data), 2)]
    assert modbus.number(b"".join(reversed(words)), 0, form | 64, 0) == value


def test_the_register_is_right_when_the_board_is_made(charger):
    assert charger.board.energy(1) == 1234567 and charger.board.fault(1) is None
    assert charger.chip.slave.settings == (1, 9600, None, 1)


def test_the_questions_and_their_pace(charger, chip):
    chip.slave.asked.clear()
    charger.run(1000)
    asked = [struct.unpack(">BBHH", frame[:-2]) for _, frame in chip.slave.asked]
    assert set(asked) == {(1, 4, 0x48, 2), (1, 4, 0x34, 2), (1, 4, 6, 6), (1, 4, 0, 6)}
    assert len(asked) >= 8  # twice around in a second
    assert chip.driven[charger.profile.PINS["modbus_de"]] == 0


def test_a_dead_meter_holds_the_board_up_for_two_seconds_at_most(charger, chip):
    chip.slave.mute = True
    before = chip.ms
    board = charger.start()
    assert chip.ms - before <= 2100
    assert board.fault(1) == "EnergyMeter" and board.energy(1) == 0 and power(charger) is None


def test_a_meter_that_falls_silent_is_a_fault_and_comes_back(charger, chip):
    charger.charge()
    chip.slave.set(power=7000)
    charger.run(600)
    assert charger.live and power(charger) == 7000
    chip.slave.mute = True
    charger.run(4000)
    assert charger.live and charger.board.fault(1) is None  # four questions: it may be busy
    charger.run(4000)
    assert charger.board.fault(1) == "EnergyMeter" and not charger.live
    assert power(charger) is None and charger.board.energy(1) == 1234567
    chip.slave.mute = False
    chip.slave.set(energy=1234570, power=0)
    charger.run(3000)
    assert charger.board.fault(1) is None and charger.board.energy(1) == 1234570
    assert power(charger) == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answer: answer[:-1],
        lambda answer: answer + b"\0",
        lambda answer: b"\0" + answer,
        lambda answer: bytes((answer[0], answer[1], answer[2], answer[3] ^ 1)) + answer[4:],
        lambda answer: b"\x02" + answer[1:],
        lambda answer: b"\xff" * 40,
        lambda answer: b"",
    ],
)
def test_a_spoilt_answer_is_no_value(charger, chip, spoil):
    chip.slave.set(energy=1234600, power=5000)
    chip.slave.spoil = spoil
    charger.run(9000)
    assert charger.board.energy(1) == 1234567 and charger.board.fault(1) == "EnergyMeter"
    chip.slave.spoil = None
    charger.run(3000)
    assert charger.board.energy(1) == 1234600 and charger.board.fault(1) is None


def test_an_exception_of_the_meter_is_a_fault(charger, chip):
    """A register that it does not have: a profile for another meter."""
    del chip.slave.values[0x34]
    charger.run(9000)
    assert charger.board.fault(1) == "EnergyMeter"
    charger.run(9000)
    assert charger.board.fault(1) == "EnergyMeter"  # although its register can be read


def test_bytes_that_come_in_pieces(charger, chip):
    whole = chip.slave.write

    def write(frame):
        whole(frame)
        at, answer = chip.slave.arriving.pop()
        chip.slave.arriving += [(at + 11 * n, answer[n : n + 1]) for n in range(len(answer))]

    chip.slave.write = write
    chip.slave.set(power=4321)
    charger.run(2500)
    assert power(charger) == 4321 and charger.board.fault(1) is None


def test_a_late_answer_is_never_taken_for_another(charger, chip):
    """It comes after we gave up: into the rest, or with the next question."""
    chip.slave.set(power=230)
    chip.slave.latency = 120
    charger.run(3000)
    seen = set()
    for late in range(150, 1100, 25):
        chip.slave.late = [late]
        charger.run(3000)
        seen.add(power(charger))
        assert charger.board.measure(1, "Voltage", 1) == 230000
        assert charger.board.energy(1) == 1234567 and charger.board.fault(1) is None
    assert seen == {230}


@pytest.mark.parametrize("energy", [0, 1234566, 99999999])
def test_a_register_that_falls_or_leaps_is_refused(charger, chip, energy):
    chip.slave.set(energy=energy)
    charger.run(9000)
    assert charger.board.energy(1) == 1234567
    assert charger.board.fault(1) == "EnergyMeter"
    chip.slave.set(energy=1234567)
    charger.run(3000)
    assert charger.board.fault(1) is None


@pytest.mark.parametrize("energy", [0, 17, 1234000, 9999999], ids=["reset", "new", "less", "more"])
def test_a_meter_that_counts_on_from_elsewhere_has_begun_anew(charger, chip, energy):
    """Reset or replaced in the middle of a charge: a fault for a minute, and no energy is lost or made up."""
    charger.charge()
    chip.slave.set(energy=1234600)
    charger.run(2000)
    chip.slave.set(energy=energy)
    charger.run(30000)
    assert charger.board.energy(1) == 1234600 and charger.board.fault(1) == "EnergyMeter"
    assert not charger.live
    chip.slave.set(energy=energy + 3)
    charger.run(60000)
    assert charger.board.energy(1) == 1234603 and charger.board.fault(1) is None
    for wh in range(5, 200, 15):
        chip.slave.set(energy=energy + wh)
        charger.run(2000)
        assert charger.board.energy(1) == 1234600 + wh and charger.board.fault(1) is None


def test_a_register_of_32_bits_rolls_over():
    meter = modbus.Meter(1, ((0, 2, 0), (), (), ()), 3, 22000)
    told, wh, true, now = [], (1 << 32) - 50, 0, 0
    for _ in range(300):
        now += 1000
        data = struct.pack(">I", wh & 0xFFFFFFFF)
        if meter.take(data, now):
            told.append(meter.register)
        else:
            meter.fail()
        if not meter.fault:  # else the contactor is open
            wh += 6
            true += 6
    assert told == sorted(told) and meter.fault is None
    assert (1 << 32) - 50 + true - 12 <= told[-1] <= (1 << 32) - 50 + true
    assert max(after - before for before, after in zip(told, told[1:], strict=False)) <= 36


def test_a_meter_that_is_wrong_for_minutes_and_comes_back():
    """Zero while its memory starts, then what it was: the register never leaps."""
    meter = modbus.Meter(1, ((0, 2, 0), (), (), ()), 3, 22000)
    now = 0
    for value in [5000] * 5 + [0] * 200 + [5000] * 200 + [5003]:
        now += 1000
        meter.take(struct.pack(">I", value), now)
        assert 5000 <= meter.register <= 5003
    assert meter.register == 5003


@given(
    st.lists(st.tuples(st.integers(2, 9), st.integers(0, 2**32 - 1)), max_size=12),
    st.integers(0, 2**31),
)
@settings(max_examples=100, deadline=None)
def test_single_wrong_readings_change_nothing(wrongs, wh):
    """A reading that is wrong, however it is, between right ones: held, whatever it is."""
    meter = modbus.Meter(1, ((0, 2, 0), (), (), ()), 3, 22000)
    now = 0
    for count, wrong in wrongs:
        for _ in range(count):
            now += 1000
            wh += 5
            assert meter.take(struct.pack(">I", wh), now) and meter.register == wh
        now += 1000
        wh += 5
        if not -5 <= wrong - wh <= 200:  # else it cannot be told from a right one
            assert not meter.take(struct.pack(">I", wrong), now)
            assert meter.register == wh - 5


@pytest.mark.parametrize("noise", [(0, 20000), (1000, 70000), (3999999999, 5)])
def test_a_meter_that_leaps_to_and_fro_never_begins_anew(noise):
    meter = modbus.Meter(1, ((0, 2, 0), (), (), ()), 3, 22000)
    now = 0
    for value in [50000] + [noise[second // 7 % 2] for second in range(600)]:
        now += 1000
        meter.take(struct.pack(">I", value), now)
    assert meter.register == 50000


def test_what_was_drawn_while_the_meter_was_silent_is_counted(charger, chip):
    chip.slave.mute = True
    charger.run(3600000)
    chip.slave.mute = False
    chip.slave.set(energy=1234567 + 20000)
    charger.run(3000)
    assert charger.board.energy(1) == 1254567 and charger.board.fault(1) is None


@given(st.lists(st.sampled_from(["run", "noise", "mute", "late", "wh", "spoil"]), max_size=40))
@settings(max_examples=25)
def test_no_value_is_ever_wrong(steps):
    chip = wire(Chip(name="ESP32-S3"), BOARD)
    with imported(chip, BOARD) as modules:
        charger = Charger(chip, modules, tables(BOARD))
        true, before = 1234567, 1234567
        for step in steps:
            slave = chip.slave
            if step == "noise":
                slave.arriving.append((chip.ms, chip.random.randbytes(chip.random.randrange(12))))
            elif step == "mute":
                slave.mute = not slave.mute
            elif step == "late":
                slave.late = [chip.random.randrange(900)]
            elif step == "wh":
                true += 5
                slave.set(energy=true, power=true % 7919)
            elif step == "spoil":
                slave.spoil = None if slave.spoil else lambda answer: answer[:-3] + b"abc"
            charger.run(chip.random.randrange(25, 1500))
            assert before <= charger.board.energy(1) <= true
            before = charger.board.energy(1)
            assert charger.board.measure(1, "Voltage", 2) in (None, 231000)
        chip.slave.mute, chip.slave.spoil, chip.slave.late = False, None, []
        charger.run(9000)
        assert charger.board.energy(1) == true and charger.board.fault(1) is None
