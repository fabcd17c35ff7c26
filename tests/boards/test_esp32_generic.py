"""The drivers of `esp32_generic` against a model of the chip and the charger around it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools import ROOT

from .bench import RING, Charger, imported, tables, ticking, wire
from .esp32 import Card, Chip, Line, Reset, crc_a

CONTACTOR, SENSE, RESIDUAL, METER, BUTTON = 26, 39, 36, 27, 21
LOCK_CLOSE, LOCK_OPEN, LOCK_SENSE = 32, 33, 13
RED, GREEN, BLUE = 17, 16, 4

with imported(Chip()) as PURE:  # for what needs no chip
    pass


@pytest.fixture
def chip():
    return wire(Chip(), "esp32_generic")


@pytest.fixture
def modules(chip):
    with imported(chip) as modules:
        yield modules


@pytest.fixture
def profile():
    return tables("esp32_generic")


@pytest.fixture
def charger(chip, modules, profile):
    return Charger(chip, modules, profile)


def pilot_of(modules, ventilated=False):
    adc = modules.pins.Pins({"pilot_adc": 34}).adc("pilot_adc")
    return modules.pilot.Pilot(25, adc, 1300, 2300, ventilated)


# --- control pilot ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("milliamps", "percent"),
    [
        (6000, 10),
        (10000, 16.67),
        (16000, 26.67),
        (32000, 53.33),
        (51000, 85),
        (63000, 89.2),
        (80000, 96),
    ],
)
def test_duty_cycle_of_an_offer(modules, milliamps, percent):
    assert modules.pilot.duty(milliamps) * 100 / 65536 == pytest.approx(percent, abs=0.02)


@given(st.integers(0, 100000))
@settings(max_examples=200)
def test_an_ev_never_reads_more_than_is_offered(milliamps):
    """As IEC 61851-1 has the EV read it, to a bit of the duty cycle."""
    duty = PURE.pilot.duty
    percent = (duty(milliamps) - 1) * 100 / 65536
    if milliamps < 6000:
        assert duty(milliamps) == 65535
    else:
        assert (percent * 600 if percent <= 85 else (percent - 64) * 2500) <= milliamps
        assert 6553 <= duty(milliamps) <= 62915
        assert duty(milliamps) * 15625 < 1 << 30  # a small integer on the chip


@pytest.mark.parametrize("milliamps", [0, 6000, 16000, 32000, 63000])
@pytest.mark.parametrize("ev", "ABCDEF")
@pytest.mark.parametrize("noise", [0, 250])
def test_pilot_state(chip, modules, milliamps, ev, noise):
    pilot = pilot_of(modules, True)
    pilot.offer(milliamps)
    chip.line.ev, chip.line.noise = ev, noise
    for _ in range(4):
        pilot.scan()
    assert chr(pilot.state) == ev
    assert pilot.wants == (ev in "CD")


def test_nothing_offered_is_a_steady_voltage(charger, chip):
    charger.board.offer(1, 16000)
    assert 0 < chip.duty[25] < 65535
    charger.board.offer(1, 0)
    assert chip.duty[25] == 65535


def test_an_ev_without_a_diode_is_an_error_and_opens_the_contactor(charger, chip):
    charger.charge()
    assert charger.live
    chip.line.diode = False
    charger.run(75)
    assert charger.pilot == "E"
    assert not charger.live
    assert charger.board.cable(1) == 1  # nobody unplugged it


def test_an_ev_without_a_diode_that_only_waits(charger, chip):
    chip.line.ev, chip.line.diode = "B", False
    charger.board.offer(1, 16000)
    charger.run(200)
    assert charger.pilot == "E"


def test_one_spike_in_each_scan_is_not_a_plateau(modules, chip):
    pilot = pilot_of(modules)
    pilot.offer(16000)
    chip.line.ev = "C"
    samples = []

    def sample():
        samples.append(None)
        return 2350 if len(samples) == 2 else chip.line.sample()

    chip.adc[34] = sample
    for _ in range(6):
        samples.clear()
        pilot.scan()
    assert pilot.wants


def test_the_diode_cannot_be_judged_without_oscillation(charger, chip):
    chip.line.ev, chip.line.diode = "B", False
    charger.run(200)
    assert charger.pilot == "B"


def test_a_bouncing_plug_changes_nothing_until_it_rests(charger, chip):
    seen = []
    for ev in "ABABAABBABAB":
        chip.line.ev = ev
        charger.run(25)
        seen.append(charger.pilot)
    assert set(seen) == {"A"}
    chip.line.ev = "B"
    charger.run(100)
    assert charger.pilot == "B"


def test_a_glitch_does_not_interrupt_charging(charger, chip):
    charger.charge()

    def ev(state):
        return lambda: setattr(chip.line, "ev", state)

    for n in range(100):
        chip.after(n % 30, ev("B"))
        chip.after(n % 30 + 1, ev("C"))
        charger.run(50)
        assert charger.live and charger.pilot == "C"


def test_spikes_on_the_line_do_not_interrupt_charging(charger, chip):
    charger.charge()
    chip.line.spikes, chip.line.noise = 100, 200
    for _ in range(400):
        charger.run(25)
        assert charger.live


@pytest.mark.parametrize("ending", ["B", "A", "E", "F", "AB", "BEA"])
def test_the_contactor_opens_within_100_ms_of_the_ev_stopping(charger, chip, ending):
    """Whatever the states that the way leads through."""
    charger.charge()
    for n in range(3):
        chip.line.ev = ending[n % len(ending)]
        charger.run(25)
    assert not charger.live


def test_an_ev_that_needs_ventilation(charger, chip, profile):
    chip.line.ev = "D"
    charger.run(200)
    assert charger.pilot == "B" and charger.locks()
    charger.board.offer(1, 16000)
    charger.board.contactor(1, True)
    charger.run(200)
    assert not charger.live
    profile.PINS = {**profile.PINS, "ventilated": True}
    charger.start()
    charger.run(200)
    assert charger.pilot == "D" and charger.locks()
    charger.board.offer(1, 16000)
    charger.board.contactor(1, True)
    charger.run(200)
    assert charger.live


def test_inputs_are_settled_before_the_first_scan(charger, chip):
    """The station resumes transactions with them."""
    chip.line.ev = "C"
    board = charger.start()
    assert chr(board.pilot(1)) == "C" and board.cable(1) == 1


@pytest.mark.parametrize(
    ("ohms", "milliamps"),
    [(1500, 13000), (680, 20000), (220, 32000), (100, 32000), (30, 0), (10**6, 0)],
)
def test_the_cable_limits_the_offer(charger, chip, ohms, milliamps):
    """100 ohm allow 63 A, the EVSE only has 32."""
    chip.adc[35] = lambda: 3300 * ohms // (ohms + 330)
    charger.board.offer(1, 80000)
    charger.run(100)
    assert charger.board.measure(1, "Current.Offered", 0) == milliamps
    assert chip.duty[25] == PURE.pilot.duty(milliamps)


def test_a_tethered_cable_has_no_proximity_contact(charger, chip, profile):
    profile.PINS = {**profile.PINS, "proximity_adc": -1}
    charger.start().offer(1, 25000)
    assert charger.board.measure(1, "Current.Offered", 0) == 25000


# --- contactor and faults ---------------------------------------------------------------------------


def test_the_contactor_stays_open_without_an_ev_that_asks(charger, chip):
    chip.line.ev = "B"
    charger.run(200)
    charger.board.contactor(1, True)
    assert not charger.live


def test_a_welded_contactor_is_a_fault_for_good(charger, chip):
    chip.on_output[CONTACTOR] = lambda on: on and chip.levels.update({SENSE: 1})
    charger.charge()
    charger.run(1000)
    assert charger.board.fault(1) is None
    charger.board.contactor(1, False)
    charger.run(400)
    assert charger.board.fault(1) is None  # it may take its time
    charger.run(300)
    assert charger.board.fault(1) == "ContactorWelded"
    chip.line.ev = "A"
    chip.levels[SENSE] = 0
    charger.run(1000)
    assert charger.board.fault(1) == "ContactorWelded"
    charger.charge()
    assert not charger.live


def test_a_contactor_that_does_not_close_tries_again_with_the_next_ev(charger, chip):
    chip.on_output.pop(CONTACTOR)
    charger.charge()
    charger.run(700)
    assert charger.board.fault(1) == "ContactorFailed" and not charger.live
    charger.board.contactor(1, True)
    assert not charger.live  # no chatter
    chip.line.ev = "A"
    charger.run(200)
    assert charger.board.fault(1) is None


def test_feedback_is_trusted_for_longer_than_ticks_can_count(charger, chip):
    charger.charge()
    for _ in range(30):
        chip.ms += RING // 8
        charger.run(25)
    assert charger.board.fault(1) is None and charger.live


def test_residual_current_opens_at_once_and_holds_until_unplugged(charger, chip):
    charger.charge()
    chip.levels[RESIDUAL] = 1
    charger.run(25)
    assert not charger.live and charger.board.fault(1) == "ResidualCurrent"
    chip.levels[RESIDUAL] = 0
    charger.run(1000)
    charger.board.contactor(1, True)
    assert not charger.live and charger.board.fault(1) == "ResidualCurrent"
    chip.line.ev = "A"
    charger.run(200)
    assert charger.board.fault(1) is None


def test_a_trip_that_stays_is_a_fault_without_an_ev_too(charger, chip):
    chip.levels[RESIDUAL] = 1
    charger.run(1000)
    assert charger.board.fault(1) == "ResidualCurrent"
    chip.levels[RESIDUAL] = 0
    charger.run(50)
    assert charger.board.fault(1) is None


def test_a_pilot_that_cannot_be_measured_is_a_fault(charger, chip):
    charger.charge()

    def broken():
        raise OSError(-258)

    sample, chip.adc[34] = chip.adc[34], broken
    charger.run(25)
    assert not charger.live and charger.board.fault(1) == "ControlPilot"
    chip.adc[34] = sample
    charger.run(25)
    assert charger.board.fault(1) is None


def test_stop_button_bounces_and_reports_once(charger, chip):
    board = charger.board
    for level in (0, 1, 0, 1, 0):
        chip.levels[BUTTON] = level
        charger.run(25)
        assert not board.stop_button(1)
    charger.run(100)
    assert board.stop_button(1)
    charger.run(1000)
    assert not board.stop_button(1)  # still held
    chip.levels[BUTTON] = 1
    charger.run(100)
    chip.levels[BUTTON] = 0
    charger.run(100)
    assert board.stop_button(1)


# --- lock and lamp ----------------------------------------------------------------------------------


def test_lock_moves_until_its_switch_tells(charger, chip):
    charger.run(1000)
    before = chip.ms
    assert charger.locks()
    assert chip.levels[LOCK_SENSE] == 0
    assert charger.locks(False)
    assert chip.ms - before < 200
    assert chip.driven[LOCK_CLOSE] == chip.driven[LOCK_OPEN] == 0


def test_a_lock_moves_in_the_background(charger, chip):
    """Whoever waits for a motor does not look at the other contactors."""
    charger.run(1000)
    chip.on_output.clear()
    before = chip.ms
    assert charger.board.lock(1, 1, True) is None
    assert chip.ms == before and chip.driven[LOCK_CLOSE] == 1
    charger.run(300)
    assert charger.board.lock(1, 1, True) is None and chip.driven[LOCK_CLOSE] == 1
    charger.run(200)
    assert chip.driven[LOCK_CLOSE] == 0  # whether somebody asks or not


@pytest.mark.parametrize("locked", [True, False])
def test_a_stuck_lock_is_told_after_its_pulse(charger, chip, locked):
    charger.run(1000)
    chip.on_output.clear()
    chip.levels[LOCK_SENSE] = 1 if locked else 0
    before = chip.ms
    assert charger.locks(locked) is False
    assert 400 <= chip.ms - before <= 450
    assert chip.driven[LOCK_CLOSE] == chip.driven[LOCK_OPEN] == 0
    assert charger.board.lock(1, 1, locked) is None  # asked once more it tries once more


def test_a_lock_without_a_switch_gets_its_whole_pulse(charger, chip, profile):
    profile.PINS = {**profile.PINS, "lock_sense": -1}
    charger.start()
    charger.run(1000)
    before = chip.ms
    assert charger.locks()
    assert chip.ms - before >= 400
    assert charger.locks() and chip.driven[LOCK_CLOSE] == 0  # it is there


def test_a_lock_without_a_switch_holds_nothing_once_it_begins_to_open(charger, chip, profile):
    profile.PINS = {**profile.PINS, "lock_sense": -1}
    charger.start()
    chip.line.ev = "C"
    charger.run(1000)
    assert charger.locks()
    charger.board.offer(1, 16000)
    assert charger.board.lock(1, 1, False) is None
    charger.board.contactor(1, True)
    charger.run(100)
    assert not charger.live


def test_lamp_shows_the_status(charger, chip):
    colours = []
    for status in range(5):
        charger.board.indicate(1, status)
        charger.run(25)
        colours.append((chip.driven[RED], chip.driven[GREEN], chip.driven[BLUE]))
    assert colours == [(0, 1, 0), (0, 0, 1), (0, 1, 1), (1, 1, 0), (1, 0, 0)]


def test_a_lamp_of_one_colour_blinks(charger, chip, profile):
    profile.PINS = {**profile.PINS, "lamp_red": -1, "lamp_blue": -1}
    changes = []
    for status in range(5):
        charger.start().indicate(1, status)
        seen = []
        for _ in range(120):
            charger.run(25)
            seen.append(chip.driven[GREEN])
        changes.append((seen[-1], sum(a != b for a, b in zip(seen, seen[1:]))))
    available, occupied, reserved, unavailable, faulted = changes
    assert available == (1, 0) and unavailable == (0, 0)
    assert 4 <= occupied[1] == reserved[1] <= 7 < 20 <= faulted[1] <= 26


# --- meter ------------------------------------------------------------------------------------------


def test_the_register_shows_only_what_flash_holds(charger, chip):
    charger.charge()
    shown = []
    for _ in range(35):
        chip.pulse(METER)
        charger.run(500)
        shown.append(charger.board.energy(1))
    assert set(shown) == {0, 10, 20, 30}
    assert chip.nvs_commits == 3
    charger.board.contactor(1, False)
    assert charger.board.energy(1) == 35 and chip.nvs["wh1"] == 35


@pytest.mark.parametrize("name", ["ESP32", "ESP32-C3"])  # with a pulse counter, and without
@given(
    steps=st.lists(
        st.sampled_from(["pulse", "many", "scan", "open", "close", "cut", "broken", "mended"]),
        max_size=60,
    )
)
@settings(max_examples=60)
def test_the_register_never_falls_nor_invents(name, steps):
    chip = Chip(name=name)
    pulse_meter = PURE.pulse_meter
    pulse_meter.machine = chip.modules()["machine"]
    pulse_meter.time = ticking(chip)

    def start():
        nvs = chip.modules()["esp32"].NVS("milliamp")
        return pulse_meter.Meter(pulse_meter.machine.Pin(5), nvs, "wh1", 2000, 10, 230, 1)

    meter, shown, pulses, lost = start(), 0, 0, 0
    for step in steps:
        if step in ("pulse", "many"):
            for _ in range(1 if step == "pulse" else 70):
                chip.pulse(5)
                meter.scan(chip.ms)
                pulses += 1
        elif step == "scan":
            chip.ms += 25
            meter.scan(chip.ms)
        elif step == "open":
            meter.stop()
            if not chip.nvs_broken:
                assert meter.register == (pulses - lost) // 2
        elif step == "cut":
            chip.power_cut()
            meter = start()
            lost = pulses - meter.register * 2
        elif step in ("broken", "mended"):
            chip.nvs_broken = step == "broken"
        assert shown <= meter.register <= pulses // 2
        assert meter.register == chip.nvs.get("wh1", 0)
        shown = meter.register


@pytest.mark.parametrize("watts", [100, 1400, 7360, 22000])
def test_power_from_the_time_between_pulses(charger, chip, watts):
    charger.charge()
    spacing = 3600000 // watts
    due = chip.ms + spacing
    for _ in range(max(20000, 4 * spacing) // 25):
        charger.run(25)
        while due <= chip.ms:
            chip.pulse(METER)
            due += spacing
    measure = charger.board.measure
    assert measure(1, "Power.Active.Import", 0) == pytest.approx(watts, rel=0.05)
    assert measure(1, "Current.Import", 0) == measure(1, "Power.Active.Import", 0) * 1000 // 230
    assert measure(1, "Current.Import", 1) == measure(1, "Current.Import", 0)
    assert measure(1, "Current.Import", 2) is None


def test_power_falls_while_pulses_stay_away_and_ends_with_the_contactor(charger, chip):
    charger.charge()
    for _ in range(20):
        charger.run(500)
        chip.pulse(METER)
    assert charger.board.measure(1, "Power.Active.Import", 0) > 6000
    charger.run(36000)
    assert 90 <= charger.board.measure(1, "Power.Active.Import", 0) <= 110
    charger.board.contactor(1, False)
    assert charger.board.measure(1, "Power.Active.Import", 0) == 0


def test_a_register_that_cannot_be_stored_is_a_fault(charger, chip):
    charger.charge()
    chip.nvs_broken = True
    chip.pulse(METER, 10)
    charger.run(50)
    assert charger.board.fault(1) == "EnergyMeter" and not charger.live
    chip.nvs_broken = False
    charger.run(50)
    assert charger.board.fault(1) is None and charger.board.energy(1) == 10


@pytest.mark.parametrize("error", [-4353, -4355, -4365])  # not initialized, type, no free pages
def test_a_register_that_cannot_be_read_is_no_first_start(charger, chip, error):
    chip.nvs["wh1"] = 123456
    chip.nvs_unread = error
    board = charger.start()
    charger.run(100)
    assert board.fault(1) == "EnergyMeter"
    chip.pulse(METER, 50)
    charger.run(100)
    board.contactor(1, False)
    assert chip.nvs["wh1"] == 123456 and not chip.nvs_open
    chip.nvs_unread = 0
    charger.run(100)
    assert board.fault(1) is None and board.energy(1) == 123506


@pytest.mark.parametrize("name", ["ESP32", "ESP32-C3"])  # with a pulse counter, and without
def test_a_contact_that_bounces_makes_one_pulse(name):
    chip = Chip(name=name)
    pulse_meter = PURE.pulse_meter
    pulse_meter.machine, pulse_meter.time = chip.modules()["machine"], ticking(chip)
    nvs = chip.modules()["esp32"].NVS("milliamp")
    meter = pulse_meter.Meter(pulse_meter.machine.Pin(5), nvs, "wh1", 1000, 10, 230, 1)
    for n in range(500):
        for ms in (0, 2, 5):  # in one scan, or in two
            chip.after(100 + n % 25 + ms, lambda: chip.edge(5))
        for _ in range(9):
            chip.wait(25000)
            meter.scan(chip.ms)
    meter.stop()
    assert meter.register == 500


def test_a_pulse_counter_counts_while_flash_is_erased(charger, chip):
    """An interrupt could not: of eleven edges it would see one."""
    flash = charger.board.flash("journal")
    chip.erase_ms = 400
    charger.run(1000)
    for n in range(6):
        chip.after(20 + n * 60, lambda: chip.edge(METER))
    flash.erase(0)
    charger.run(50)
    charger.board.contactor(1, False)
    assert charger.board.energy(1) == 6


def test_an_input_for_an_open_collector_is_pulled_up(charger, chip):
    assert chip.pulls[METER] == 1


def test_what_is_not_measured_is_none(charger):
    for measurand in ("Voltage", "SoC", "Temperature"):
        assert charger.board.measure(1, measurand, 0) is None


# --- card reader ------------------------------------------------------------------------------------


@pytest.mark.parametrize("uid", ["04A1B2C3", "04112233445566", "04112233445566778899"])
def test_a_card_is_reported_once(charger, chip, uid):
    assert charger.cards(500) == []
    chip.reader.cards = [Card(uid)]
    assert charger.cards(5000) == [(uid, "ISO14443", 0)]
    chip.reader.cards = []
    assert charger.cards(1500) == []
    chip.reader.cards = [Card(uid)]
    assert charger.cards(1000) == [(uid, "ISO14443", 0)]


def test_a_card_at_the_edge_of_the_field_is_still_one(charger, chip):
    card = Card("04A1B2C3")
    seen = []
    for n in range(40):
        chip.reader.cards = [card] if n % 3 else []
        seen += charger.cards(200)
    assert len(seen) == 1


def test_another_card_is_another_presentation(charger, chip):
    chip.reader.cards = [Card("04A1B2C3")]
    seen = charger.cards(300)
    chip.reader.cards = [Card("DEADBEEF")]
    seen += charger.cards(300)
    assert [uid for uid, _, _ in seen] == ["04A1B2C3", "DEADBEEF"]


def test_two_cards_are_none(charger, chip):
    chip.reader.cards = [Card("04A1B2C3"), Card("DEADBEEF")]
    assert charger.cards(2000) == []


@pytest.mark.parametrize(
    "garble",
    [
        lambda answer: answer[:-1],
        lambda answer: answer + b"\0",
        lambda answer: bytes((answer[0] ^ 1,)) + answer[1:],
        lambda answer: b"",
    ],
)
def test_a_garbled_answer_is_no_card(charger, chip, garble):
    chip.reader.cards = [Card("04112233445566")]
    chip.reader.garble = garble
    assert charger.cards(500) == []
    chip.reader.garble = None
    assert len(charger.cards(500)) == 1


def test_a_reader_that_hangs_is_started_again(charger, chip):
    chip.reader.hung = True
    chip.reader.cards = [Card("04A1B2C3")]
    assert len(charger.cards(2000)) == 1
    chip.reader.power_on()  # a brown-out of the reader only: it knows nothing any more
    chip.reader.cards = [Card("DEADBEEF")]
    assert len(charger.cards(2000)) == 1


def test_no_reader_no_cards(charger, profile):
    profile.PINS = {**profile.PINS, "reader_cs": -1}
    charger.start()
    assert charger.cards(100) == []


@given(st.binary(max_size=20))
def test_crc_a(data):
    assert PURE.mfrc522.crc(data) == crc_a(data)


# --- the controller ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cause", "reason"),
    [(1, "PowerUp"), (2, "Unknown"), (3, "Watchdog"), (4, "PowerUp"), (5, "LocalReset")],
)
def test_reset_cause(charger, chip, cause, reason):
    chip.cause = cause
    assert charger.board.reset_cause() == reason


def test_the_clock_is_unknown_until_it_was_set(charger, chip):
    assert charger.board.rtc() is None
    charger.board.set_rtc(848461886)
    assert chip.datetime == (2026, 11, 20, 5, 3, 51, 26, 0)
    chip.time = 848461886
    assert charger.board.rtc() == 848461886


def test_the_watchdog_starts_with_its_first_meal(charger, chip):
    assert chip.watchdog is None
    charger.board.watchdog()
    charger.board.watchdog()
    assert chip.watchdog == 30000 and chip.fed == 2


def test_reboot_opens_the_contactor_and_keeps_the_register(charger, chip):
    charger.charge()
    chip.pulse(METER, 7)
    with pytest.raises(Reset):
        charger.board.reboot()
    assert not charger.live and chip.nvs["wh1"] == 7


def test_two_chips_that_draw_the_same_have_another_salt(charger, chip, monkeypatch):
    """Before the radio runs the generator of an ESP32 may begin alike."""
    monkeypatch.setattr("os.urandom", lambda n: b"\x11" * n)
    first = charger.board.random(3)
    assert first == charger.board.random(3) and len(charger.board.random(40)) == 40
    chip.unique = bytes.fromhex("24a16057b3c5")
    assert charger.start().random(3) != first


def test_flash_is_a_slice_of_the_partition(charger, chip, profile):
    settings = charger.board.flash("settings")
    assert (settings.size, settings.sector, settings.unit) == (0x8000, 4096, 16)
    settings.program(4096, b"0123456789abcdef")
    assert chip.flash["milliamp"][0x41000:0x41010] == b"0123456789abcdef"
    buf = bytearray(4)
    settings.read(4106, buf)
    assert buf == b"abcd"
    settings.erase(4096)
    assert chip.flash["milliamp"] == b"\xff" * 0x80000
    assert charger.board.flash("journal").size == 0x40000
    with pytest.raises(OSError, match="no flash region firmware"):
        charger.board.flash("firmware")
    chip.flash["milliamp"] = bytearray(0x10000)
    with pytest.raises(ValueError, match="flash"):
        charger.board.flash("journal")
    del chip.flash["milliamp"]
    with pytest.raises(OSError, match="no partition milliamp"):
        charger.board.flash("journal")


def test_the_chip_gives_serial_number_and_identity(charger, profile):
    assert profile.SERIAL == profile.IDENTITY == "24A16057B3C4"


def test_what_the_factory_wrote_comes_first(charger, chip, profile):
    from milliamp.storage.keys import CSMS_URL, IDENTITY, PASSWORD

    assert charger.board.factory() == []
    chip.nvs.update(url=b"wss://csms.example/", identity=b"CP-7", password=b"secret")
    chip.nvs.update(serial=b"SN-7", ssid=b"yard", key=b"swordfish")
    profile.SERIAL = ""
    board = charger.start()
    assert dict(board.factory()) == {
        CSMS_URL: "wss://csms.example/",
        IDENTITY: "CP-7",
        PASSWORD: "secret",
    }
    assert profile.SERIAL == "SN-7"
    join(charger, 3)
    assert chip.wlan.joins == ("yard", "swordfish")


# --- Wi-Fi ------------------------------------------------------------------------------------------


def join(charger, seconds):
    for _ in range(seconds):
        charger.chip.ms += 1000
        up = charger.board.network()
    return up


@pytest.fixture
def yard(charger, profile):
    profile.NETWORK = {"ssid": "yard", "password": "swordfish"}
    charger.start()
    return charger


def test_without_a_network_name_nothing_is_started(charger, chip):
    assert not join(charger, 5) and chip.wlan.calls == []


def test_wifi_joins(yard, chip):
    assert not join(yard, 3)
    assert chip.wlan.calls == ["active", "connect"]
    assert chip.wlan.settings["reconnects"] == 0
    chip.wlan.hear()
    assert join(yard, 1)


def test_wifi_never_connects_while_connecting(yard, chip):
    assert not join(yard, 100)  # an access point that does not answer
    calls = chip.wlan.calls[1:]
    assert calls[:4] == ["connect", "disconnect"] * 2
    assert 6 <= len(calls) <= 12


@pytest.mark.parametrize("reason", [2, 4, 8, 15, 200, 201, 202, 205, 210, 211, 212])
def test_wifi_comes_back_after_a_loss_for_any_reason(yard, chip, reason):
    """An access point that restarts: each attempt fails at once for a while, then one takes some seconds."""
    wlan = chip.wlan
    join(yard, 3)
    wlan.hear()
    assert join(yard, 3)
    wlan.lose(reason)
    for _ in range(5):
        while not wlan.connecting:
            assert not join(yard, 1)
        wlan.lose(reason)
    while not wlan.connecting:
        assert not join(yard, 1)
    assert not join(yard, 12)
    wlan.hear()  # which is the attempt that was begun twelve seconds ago
    assert join(yard, 1)
    assert len(wlan.calls) < 20


def test_wifi_joins_anew_when_there_is_no_address(yard, chip):
    join(yard, 3)
    chip.wlan.hear(address=False)
    assert not join(yard, 25)
    assert chip.wlan.calls[-2:] == ["disconnect", "connect"]
    chip.wlan.hear()
    assert join(yard, 1)


def test_wifi_joins_anew_when_there_was_no_csms_for_ten_minutes(yard, chip):
    join(yard, 3)
    chip.wlan.hear()
    assert join(yard, 599)
    assert chip.wlan.calls.count("connect") == 1
    assert not join(yard, 5)
    assert chip.wlan.calls[1:] == ["connect", "disconnect", "connect"]
    chip.wlan.hear()
    assert join(yard, 590)


def test_wifi_stays_while_there_is_a_csms(yard, chip):
    """Nobody asks for the network then."""
    join(yard, 3)
    chip.wlan.hear()
    for _ in range(10):
        assert join(yard, 300)
        chip.ms += 61_000
    assert chip.wlan.calls.count("connect") == 1


def test_a_connection_that_outlives_a_restart_is_taken_over(yard, chip):
    chip.wlan.has_address = True
    assert join(yard, 3)
    assert "connect" not in chip.wlan.calls


def test_a_busy_driver_is_asked_again(yard, chip):
    chip.wlan.busy = 2
    assert not join(yard, 10)
    chip.wlan.hear()
    assert join(yard, 1)


def test_the_name_server_is_the_one_that_the_network_told_of(charger, chip):
    assert charger.board.dns() is None
    chip.dns = "192.168.4.1"
    assert charger.board.dns() == ("192.168.4.1", 53)


# --- the profile ------------------------------------------------------------------------------------


def test_two_evses_have_pins_of_their_own(charger, chip, profile):
    profile.EVSES, profile.CURRENTS, profile.PHASES = (("cType2",),) * 2, (32000,) * 2, (1, 3)
    profile.PINS = {
        "pilot_pwm": [25, 14],
        "pilot_adc": [34, 33],
        "contactor": [26, 12],
        "meter": [27, 15],
        "ventilated": False,
    }
    second = Line(chip, 14, 33)
    board = charger.start()
    second.ev = "C"
    charger.run(200)
    assert [chr(board.pilot(evse)) for evse in (1, 2)] == ["A", "C"]
    board.offer(2, 16000)
    board.contactor(2, True)
    charger.run(50)
    assert (chip.driven[26], chip.driven[12]) == (0, 1)
    chip.pulse(15, 5)
    board.contactor(2, False)
    assert (board.energy(1), board.energy(2)) == (0, 5)
    assert board.measure(2, "Current.Import", 0) == 0
    assert board.measure(2, "Current.Import", 1) is None


def test_the_least_charger(charger, chip, profile):
    needed = ("pilot_pwm", "pilot_adc", "contactor", "meter")
    profile.PINS = {name: pin for name, pin in profile.PINS.items() if name in needed}
    board = charger.start()
    charger.charge()
    assert charger.live
    board.indicate(1, 4)
    assert board.lock(1, 1, True) and board.card() is None and board.fault(1) is None


def test_the_page_for_integrators_shows_a_board_that_works(chip, modules, profile):
    page = (ROOT / "docs" / "integrate.md").read_text()
    source = page.split("```python\n")[1].split("```")[0]
    names = {}
    exec(source, names)
    board = names["make"](profile)
    board.ticks = lambda: chip.ms
    assert board.scan_ms == 25

    def run(ms):
        for _ in range(0, ms, 25):
            chip.ms += 25
            board.scan()

    run(25)
    assert (board.cable(1), chr(board.pilot(1)), board.energy(1)) == (0, "A", 0)
    chip.line.ev, chip.line.diode = "C", False  # nobody's EV
    run(5000)
    board.offer(1, 16000)
    board.contactor(1, True)
    run(500)
    assert chip.driven[CONTACTOR] == 0
    chip.line.ev, chip.line.diode = "A", True
    run(200)
    chip.line.ev = "C"
    run(200)
    assert board.cable(1) == 1 and chip.driven[CONTACTOR] == 1 and board.fault(1) is None
    chip.line.ev = "B"
    run(50)
    assert chip.driven[CONTACTOR] == 0
    assert board.flash("journal").size == 0x40000
    board.watchdog()
    board.watchdog()
    assert (chip.watchdog, chip.fed) == (30000, 2)
    assert not board.network()
    chip.dns = "192.168.4.1"
    assert board.dns() == ("192.168.4.1", 53)
    board.energy_told(1, 4711)
    assert board.energy(1) == 4711
    with pytest.raises(Reset):
        board.reboot()
