"""What keeps a hand from a live plug: the interlock of an outlet, with an EV that asks at any time, on every board's chip."""

import pytest

from tools.builder import profile as profiles

from .bench import Charger, chip_of, imported, tables, wire
from .esp32 import Bus, Line

BOARDS = [board for board in profiles.boards() if profiles.load(board).chip]
SOCKETS = ["esp32_generic", "esp32_s3", "stm32_nucleo_h743"]


def charger_of(board):
    chip = wire(chip_of(board), board)
    if hasattr(chip, "buses"):
        chip.buses[4] = Bus(chip)
    return imported(chip, board), chip


@pytest.fixture(params=BOARDS)
def charger(request):
    made, chip = charger_of(request.param)
    with made as modules:
        yield watched(Charger(chip, modules, tables(request.param)))


@pytest.fixture(params=SOCKETS)
def socket(request):
    made, chip = charger_of(request.param)
    with made as modules:
        yield watched(Charger(chip, modules, tables(request.param)))


def watched(charger):
    """`closings` are the ms at which the coil goes on."""
    pin = charger.profile.PINS["contactor"]
    follow = charger.chip.on_output[pin]
    charger.closings = []

    def switched(on):
        if on and not charger.was_on:
            charger.closings.append(charger.chip.ms)
        charger.was_on = on
        follow(on)

    charger.was_on = 0
    charger.chip.on_output[pin] = switched
    charger.run(1000)
    return charger


def request(charger, milliamps=16000):
    """What the station does for a card: lock, offer, contactor, in one step as soon as the plug is locked."""
    charger.locks()
    charger.board.offer(1, milliamps)
    charger.board.contactor(1, True)


# --- diode and pilot before closing -----------------------------------------------------------------


def test_a_resistor_in_place_of_an_ev_never_gets_voltage(charger):
    """882 ohm without a diode, while the pilot is steady just like an EV that asks (a wet plug, a tester, a child)."""
    line = charger.chip.line
    line.ev, line.diode = "C", False
    charger.run(500)
    assert charger.pilot == "C"  # nobody can know better
    for _ in range(120):
        request(charger)
        charger.run(100)
        charger.board.contactor(1, False)
        charger.board.offer(1, 0)
        charger.run(100)
    assert charger.closings == []
    assert charger.pilot == "E"
    line.ev, line.diode = "A", True
    charger.run(200)
    assert charger.pilot == "A"
    line.ev = "C"
    charger.run(200)
    request(charger)
    charger.run(200)
    assert charger.live


def test_an_ev_that_asks_already_gets_energy_once_its_diode_was_seen(charger):
    charger.chip.line.ev = "C"
    charger.run(500)
    charger.locks()
    charger.board.offer(1, 16000)
    charger.board.contactor(1, True)
    assert not charger.live  # in a later look than the offer's own step
    charger.run(charger.board.scan_ms)
    assert charger.live
    charger.run(10000)
    assert charger.live and len(charger.closings) == 1


def test_nothing_closes_on_a_steady_pilot(charger):
    charger.chip.line.ev = "C"
    charger.run(500)
    charger.locks()
    charger.board.contactor(1, True)
    charger.run(1000)
    charger.board.offer(1, 5999)
    charger.run(1000)
    assert charger.closings == []


def test_an_adc_that_fails_now_and_then_wears_no_contact(charger):
    chip = charger.chip
    sample, count = chip.adc[charger.profile.PINS["pilot_adc"]], [0]
    charger.charge()

    def flaky():
        count[0] += 1
        if count[0] % 60 < 8:
            raise OSError(-258)
        return sample()

    chip.adc[charger.profile.PINS["pilot_adc"]] = flaky
    before = len(charger.closings)
    charger.run(10000)
    assert len(charger.closings) - before <= 2
    assert all(b - a >= 5000 for a, b in zip(charger.closings, charger.closings[1:]))


def test_one_failed_look_is_repeated_at_once(charger):
    chip = charger.chip
    row = charger.profile.PINS["pilot_adc"]
    charger.charge()
    sample = chip.adc[row]

    def once():
        chip.adc[row] = sample
        raise OSError(-258)

    for _ in range(100):
        chip.adc[row] = once
        charger.run(25)
        assert charger.live and charger.board.fault(1) is None


def test_two_closings_are_five_seconds_apart_whatever_the_ev_does(charger):
    charger.charge()
    for n in range(60):
        charger.chip.line.ev = "BC"[n % 2]
        charger.run(200)
        charger.board.contactor(1, bool(n % 2))
        charger.run(200)
    assert len(charger.closings) >= 3
    assert all(b - a >= 5000 for a, b in zip(charger.closings, charger.closings[1:]))


@pytest.mark.parametrize("error", [OSError(-258), MemoryError()])
def test_an_adc_that_fails_at_the_start_stops_no_board(charger, error):
    chip = charger.chip
    row = charger.profile.PINS["pilot_adc"]
    sample = chip.adc[row]

    def broken():
        raise error

    chip.adc[row] = broken
    board = charger.start()
    assert board.fault(1) == "ControlPilot"
    chip.adc[row] = sample
    charger.run(200)
    assert board.fault(1) is None


# --- the cable ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("contact", ["shorted", "open"])
def test_a_broken_proximity_contact_is_no_cable(socket, contact):
    row = socket.profile.PINS["proximity_adc"]
    socket.chip.adc[row] = {"shorted": lambda: 0, "open": lambda: 3300}[contact]
    socket.chip.line.ev = "C"
    socket.run(500)
    request(socket)
    socket.run(1000)
    assert socket.closings == []
    assert socket.board.fault(1) == "ProximityContact"


@pytest.mark.parametrize("ending", [False, True], ids=["offered", "ending"])
@pytest.mark.parametrize("contact", ["shorted", "open"])
def test_a_proximity_contact_that_breaks_opens_at_the_next_look(socket, contact, ending):
    """Also while the EV still draws, for which the station has ended its offer."""
    row = socket.profile.PINS["proximity_adc"]
    socket.charge(32000)
    if ending:
        socket.board.offer(1, 0)
        socket.run(100)
    assert socket.live
    socket.chip.adc[row] = {"shorted": lambda: 0, "open": lambda: 3300}[contact]
    socket.run(50)
    assert not socket.live
    socket.run(250)
    assert socket.board.fault(1) == "ProximityContact"
    socket.chip.adc[row] = lambda: 3300 * 220 // 550
    socket.run(200)
    assert socket.board.fault(1) is None


def test_one_bad_sample_of_a_proximity_contact_is_noise(socket):
    row = socket.profile.PINS["proximity_adc"]
    socket.charge(32000)
    good, samples = socket.chip.adc[row], iter([0] + [None] * 10_000)

    def noisy():
        sample = next(samples)
        return good() if sample is None else sample

    socket.chip.adc[row] = noisy
    socket.run(100)
    assert next(samples) is None and socket.live


def test_a_plug_whose_contacts_meet_one_after_the_other_is_no_fault(socket):
    row = socket.profile.PINS["proximity_adc"]
    cable, socket.chip.adc[row] = socket.chip.adc[row], lambda: 3300
    socket.run(200)
    socket.chip.line.ev = "B"
    socket.run(100)
    socket.chip.adc[row] = cable
    for _ in range(20):
        socket.run(25)
        assert socket.board.fault(1) is None


def test_a_cable_for_less_than_6_A_is_offered_nothing_and_gets_nothing(socket):
    """The profile may rate an EVSE so low, too."""
    socket.profile.CURRENTS = (5000,)
    socket.start()
    socket.chip.line.ev = "C"
    socket.run(1000)
    request(socket)
    socket.run(1000)
    assert socket.closings == []


def test_an_offer_that_falls_under_6_A_opens_at_the_next_look(charger):
    """It cannot be offered: the pilot is steady, and nothing stays closed on that."""
    charger.charge(32000)
    assert charger.live
    charger.board.offer(1, 5900)
    charger.run(50)
    assert not charger.live


# --- stopping ----------------------------------------------------------------------------------------


def test_the_station_ends_the_offer_first_and_an_ev_has_its_time(charger):
    charger.charge()
    charger.board.offer(1, 0)
    charger.run(2500)
    assert charger.live  # the EV is to stop drawing by itself
    charger.chip.line.ev = "B"
    charger.run(25)
    assert not charger.live


def test_an_ev_that_does_not_heed_the_end_of_the_offer(charger):
    charger.charge()
    charger.board.offer(1, 0)
    charger.run(4000)
    assert not charger.live


@pytest.mark.parametrize("work", [0, 12, 30])
@pytest.mark.parametrize("ending", ["B", "A", "E", "F"])
def test_the_coil_is_off_within_70_ms_of_the_evs_stop(charger, work, ending):
    """With so many ms of other work in each round, the polls as near as they can be; the contact takes 30 ms more."""
    chip, board = charger.chip, charger.board
    pin = charger.profile.PINS["contactor"]
    worst = 0
    for n in range(40):
        charger.charge()
        assert charger.live
        stop = chip.us + n * 3 % (work + 26) * 1000
        chip.after(n * 3 % (work + 26), lambda: setattr(chip.line, "ev", ending))
        opened = None
        while opened is None:
            begun = chip.us
            board.scan()
            if chip.us >= stop and not chip.driven[pin]:
                opened = chip.us
            chip.wait(work * 1000)
            chip.wait(max(board.scan_ms * 1000 - (chip.us - begun), 1000))
        worst = max(worst, opened - stop)
        chip.line.ev = "A"
        board.contactor(1, False)
        board.offer(1, 0)
        charger.run(1000)
        charger.locks(False)
    assert worst <= 70000


# --- unlocking ---------------------------------------------------------------------------------------


@pytest.fixture
def locked(socket):
    """A charge whose contact's sense the test has in its hand; `opening` has the ms at which the lock was opened."""
    chip, pins = socket.chip, socket.profile.PINS
    socket.opening = []
    follow = chip.on_output[pins["lock_open"]]
    chip.on_output[pins["lock_open"]] = lambda on: (
        on and socket.opening.append(chip.ms),
        follow(on),
    )
    socket.charge()
    assert socket.live and not socket.opening
    return socket


def test_what_is_live_is_not_unlocked(locked):
    assert locked.board.lock(1, 1, False) is None
    locked.run(2000)
    assert locked.live and not locked.opening


def test_what_is_closed_is_live_whether_a_sense_tells_or_not(locked):
    locked.profile.PINS = {**locked.profile.PINS, "contactor_sense": -1}
    locked.start()
    locked.run(1000)
    locked.opening.clear()
    locked.charge()
    locked.run(2000)
    assert locked.board.lock(1, 1, False) is None
    locked.run(2000)
    assert locked.live and not locked.opening


def test_the_lock_opens_once_the_contact_is_open(locked):
    chip, pins = locked.chip, locked.profile.PINS
    sense = pins["contactor_sense"]
    chip.on_output[pins["contactor"]] = lambda on: chip.after(
        80, lambda: chip.levels.update({sense: on})
    )
    locked.board.contactor(1, False)
    before = chip.ms
    assert locked.board.lock(1, 1, False) is None and not locked.opening
    assert locked.locks(False)
    assert locked.opening[0] - before >= 80


def test_without_a_sense_the_contact_has_60_ms(locked):
    locked.profile.PINS = {**locked.profile.PINS, "contactor_sense": -1}
    locked.start()
    locked.run(1000)
    locked.opening.clear()
    locked.charge()
    assert locked.live
    locked.board.contactor(1, False)
    before = locked.chip.ms
    assert locked.locks(False)
    assert locked.opening[0] - before >= 60


def test_a_welded_contact_stays_locked(locked):
    chip, pins = locked.chip, locked.profile.PINS
    chip.on_output[pins["contactor"]] = lambda on: None
    chip.levels[pins["contactor_sense"]] = 1
    locked.board.contactor(1, False)
    for _ in range(200):
        locked.board.lock(1, 1, False)
        locked.run(25)
    assert locked.board.fault(1) == "ContactorWelded"
    assert locked.board.lock(1, 1, False) is False
    chip.line.ev = "A"
    locked.run(1000)
    locked.board.lock(1, 1, False)
    assert not locked.opening


def test_a_weld_that_lets_go_is_no_contactor_to_trust(locked):
    """Until a restart, as the fault says: what welded once may do so again at the next touch."""
    chip, pins = locked.chip, locked.profile.PINS
    chip.on_output[pins["contactor"]] = lambda on: None
    locked.board.contactor(1, False)
    locked.run(1000)
    assert locked.board.fault(1) == "ContactorWelded"
    chip.levels[pins["contactor_sense"]] = 0
    locked.run(1000)
    assert locked.board.lock(1, 1, False) is False
    locked.run(1000)
    assert locked.board.fault(1) == "ContactorWelded" and not locked.opening


@pytest.mark.parametrize("slow", [0, 200], ids=["told at once", "told late"])
def test_after_a_restart_nothing_is_unlocked_before_the_contact_was_looked_at(locked, slow):
    """Its sense may need a moment: what is off so early says nothing."""
    chip, pins = locked.chip, locked.profile.PINS
    chip.on_output[pins["contactor"]] = lambda on: None
    chip.levels[pins["contactor_sense"]] = int(not slow)
    chip.after(slow, lambda: chip.levels.update({pins["contactor_sense"]: 1}))
    chip.power_cut()
    locked.opening.clear()
    locked.start()
    for _ in range(100):
        locked.board.lock(1, 1, False)
        locked.run(25)
    assert locked.board.fault(1) == "ContactorWelded" and not locked.opening


def test_a_plug_that_comes_unlocked_is_not_closed_on(socket):
    chip, pins = socket.chip, socket.profile.PINS
    chip.line.ev = "C"
    socket.run(500)
    socket.board.offer(1, 16000)
    socket.board.contactor(1, True)
    socket.run(1000)
    assert socket.closings == [] and chip.levels[pins["lock_sense"]] is not None


# --- a driver that fails -----------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError(5), MemoryError()])
def test_a_meters_line_that_raises_keeps_no_outlet_from_being_looked_at(error):
    made, chip = charger_of("esp32_s3")
    with made as modules:
        charger = watched(Charger(chip, modules, tables("esp32_s3")))
        charger.charge()

        def ask(*_):
            raise error

        charger.board._line._ask = ask
        chip.line.ev = "A"
        charger.run(75)
        assert not charger.live


def test_outlets_are_looked_at_before_the_meters_line():
    """Whatever that takes, and even if it fails as nobody foresaw."""
    made, chip = charger_of("esp32_s3")
    with made as modules:
        charger = watched(Charger(chip, modules, tables("esp32_s3")))
        charger.charge()
        assert charger.live

        def scan(now):
            raise ValueError

        charger.board._line.scan = scan
        chip.line.ev = "A"
        with pytest.raises(ValueError):
            charger.run(25)
        assert not charger.live


def test_contactors_are_the_first_that_a_board_drives():
    """Not after the two seconds for which a meter may be waited for."""
    made, chip = charger_of("esp32_s3")
    chip.slave.mute = True
    with made as modules:
        profile = tables("esp32_s3")
        seen = []
        chip.on_output[profile.PINS["contactor"]] = lambda on: seen.append((chip.ms, on))
        before = chip.ms
        Charger(chip, modules, profile)
        assert seen[0] == (before, 0) and chip.ms - before >= 2000


# --- two EVSEs ---------------------------------------------------------------------------------------


def test_one_residual_current_detector_for_two_evses_opens_both():
    made, chip = charger_of("esp32_generic")
    with made as modules:
        profile = tables("esp32_generic")
        profile.EVSES, profile.CURRENTS, profile.PHASES = (("cType2",),) * 2, (32000,) * 2, (1, 1)
        profile.PINS = {
            "pilot_pwm": [25, 13],
            "pilot_adc": [34, 33],
            "contactor": [26, 12],
            "meter": [27, 4],
            "residual_current": 32,
        }
        lines = [Line(chip, 25, 34), Line(chip, 13, 33)]
        charger = Charger(chip, modules, profile)
        board = charger.board
        charger.run(500)
        for evse, line in enumerate(lines, 1):
            line.ev = "C"
            board.offer(evse, 16000)
            board.contactor(evse, True)
        charger.run(200)
        assert chip.driven[26] and chip.driven[12]
        chip.levels[32] = 1
        charger.run(25)
        assert not chip.driven[26] and not chip.driven[12]
        assert board.fault(1) == board.fault(2) == "ResidualCurrent"
