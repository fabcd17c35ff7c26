"""Lives of a charger for whoever may hold its plug: the real station over a board's drivers on its chip, EVs that do as they
like, and a judge who watches contacts and locks."""

import importlib.util
import shutil
import types
from random import Random

from hostsim.charger.flash import Nor
from milliamp.domain import charging, samples, sessions
from milliamp.station import Station
from tables.registrations import ACCEPTED as ACCEPTED_BY_CSMS
from tools import BOARDS, builder

from ..base.chips import SerialNor
from .bench import Charger, imported
from .esp32 import STM32, Bus, Chip, Line

CARDS = [("04AABBCC", "ISO14443"), ("04112233", "ISO14443")]
SETTINGS = {
    "AuthCtrlr.OfflineTxForUnknownIdEnabled": "true",
    "TxCtrlr.EVConnectionTimeOut": "20",
}
TOLD_MS = 70  # from the EV's stop to a coil that is off, at 30 ms of work a round
CABLE_MS = 100  # and of a plug's contact, or a diode
ENDING_MS = 3600  # from the end of an offer
REST_MS = 5000
RELEASE_MS = 60
OHMS = {"13": 1500, "20": 680, "32": 220, "shorted": 20, "open": 10**7}

# Rows of [pins] for two EVSEs; what has no row there is not fitted.
TWO = {
    "esp32_generic": {
        "pilot_pwm": [4, 13],
        "pilot_adc": [34, 35],
        "proximity_adc": [32, 33],
        "contactor": [16, 17],
        "contactor_sense": [25, 26],
        "residual_current": 2,
        "meter": [23, 27],
        "lock_close": [18, 19],
        "lock_open": [21, 22],
        "lock_sense": [36, 39],
    },
    "stm32_nucleo_h743": {
        "flash_spi": 3,
        "flash_cs": "PA4",
        "pilot_pwm": ["PE9", "PD12"],
        "pilot_adc": ["PC0", "PC3"],
        "proximity_adc": ["PA3", "PF5"],
        "contactor": ["PE11", "PE10"],
        "contactor_sense": ["PE13", "PE15"],
        "residual_current": "PE14",
        "lock_close": ["PF12", "PD3"],
        "lock_open": ["PF13", "PD0"],
        "lock_sense": ["PD15", "PD1"],
    },
}


def folder_of_two(board, place):
    """A copy of a board's folder with two EVSEs and the pins above."""
    folder = place / f"{board}_two"
    shutil.copytree(BOARDS / board, folder, ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "profile.toml"
    text = file.read_text().split("[pins]")[0].replace("address = [1]", "address = [1, 2]")
    at = text.index("[[evse]]")
    evse = text[at:].split("\n\n")[0] + "\n\n"
    rows = "".join(f"{row} = {value!r}\n" for row, value in TWO[board].items())
    file.write_text(text[:at] + evse + text[at:] + "[pins]\n" + rows.replace("'", '"'))
    return folder


def tables(folder):
    """The generated tables of a board's folder."""
    place = builder.build_tables(str(folder)) / "tables"
    found = types.SimpleNamespace()
    for name in ("model", "profile", "routes", "schemas"):
        spec = importlib.util.spec_from_file_location(
            f"lives_{place.parent.name}_{name}", place / f"{name}.py"
        )
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        setattr(found, name, module)
    return found


class Place:
    """One EVSE as the world has it: the plug, its EV, the contact and the lock; and what the judge knows of it."""

    def __init__(self, world, evse):
        self.world = world
        self.evse = evse
        self.line = Line(world.chip, self.pin("pilot_pwm"), self.pin("pilot_adc"))
        self.wants = False  # the EV wants energy
        self.stubborn = False  # it asks on a steady pilot, too, and heeds no end of an offer
        self.leaves = 0  # us from which it heeds one
        self.ohms = "32"
        self.plugged = False
        self.welded = False
        self.coil = self.live = False
        self.closed_at = self.opened_at = -(10**9)
        self.bad = None  # us since which the coil should be off
        self.steady = None  # us since which the pilot is steady under a closed contact
        self.closings = 0
        chip = world.chip
        if self.pin("proximity_adc") is not None:
            chip.adc[self.pin("proximity_adc")] = self.proximity
        self.follow("contactor", self.switch)
        self.follow("lock_close", lambda on: on and self.move(True))
        self.follow("lock_open", lambda on: on and self.move(False))
        self.locked = False
        self.tell("lock_sense", False)
        self.tell("contactor_sense", False)

    def pin(self, row):
        value = self.world.pins.get(row, -1)
        value = value[self.evse - 1] if isinstance(value, list) else value
        return None if value in (-1, "") else value

    def follow(self, row, function):
        if self.pin(row) is not None:
            self.world.chip.on_output[self.pin(row)] = function

    def tell(self, row, on):
        if self.pin(row) is not None:
            low = row in self.world.pins.get("active_low", ())
            self.world.chip.levels[self.pin(row)] = int(on != low)

    # --- the parts -------------------------------------------------------------------------------
    def proximity(self):
        ohms = OHMS[self.ohms] if self.plugged else 10**7
        return 3300 * ohms // (ohms + 330)

    def switch(self, on):
        chip, on = self.world.chip, bool(on)
        if on == self.coil:
            return
        self.coil = on
        if on:
            self.closings += 1
            self.judge_closing()
            self.closed_at = chip.us
        else:
            self.opened_at = chip.us
        chip.after(self.world.random.randrange(5, 30), self.contact)

    def contact(self):
        self.live = self.coil or self.welded and self.live
        self.tell("contactor_sense", self.live)

    def move(self, locked):
        if not locked:
            now = self.world.chip.us
            if (
                self.coil
                or self.live
                or now - self.opened_at < RELEASE_MS * 1000
                and self.pin("contactor_sense") is None
            ):
                self.world.fault(self, "unlocked live")
        self.world.chip.after(self.world.random.randrange(20, 300), lambda: self.arrive(locked))

    def arrive(self, locked):
        self.locked = locked
        self.tell("lock_sense", locked)

    # --- the judge -------------------------------------------------------------------------------
    def judge_closing(self):
        chip = self.world.chip
        fault = self.world.fault
        if chip.us - self.closed_at < REST_MS * 1000:
            fault(self, f"closed again after {(chip.us - self.closed_at) // 1000} ms")
        if chip.duty[chip.pwm(self.pin("pilot_pwm"))] == 65535:
            fault(self, "closed on a steady pilot")
        if not self.line.diode:
            fault(self, "closed without a diode")
        if self.pin("lock_close") is not None and not self.locked:
            fault(self, "closed on a plug that is not locked")

    def unsafe(self):
        steady = self.world.chip.duty[self.world.chip.pwm(self.pin("pilot_pwm"))] == 65535
        return (
            self.line.ev != "C"
            or not self.line.diode
            and not steady  # then nobody can see it
            or self.world.tripped
            or self.pin("proximity_adc") is not None
            and self.ohms in ("shorted", "open")
        )

    def judge(self):
        """After each step of the world: what should be off is off in time, whatever blocks for an erase apart."""
        chip = self.world.chip
        if not self.coil or not self.unsafe():
            self.bad = None
        elif self.bad is None:
            self.bad = chip.us, chip.blocked
        if self.bad is not None:
            # A look that waits in vain for the negative half takes 11 ms, and there are two.
            limit = TOLD_MS if self.line.diode and self.line.ev != "C" else CABLE_MS
            late = chip.us - self.bad[0] - (chip.blocked - self.bad[1]) - limit * 1000
            if late > 0:
                why = self.line.ev, self.line.diode, self.ohms, self.world.tripped
                self.world.fault(self, f"closed {late // 1000} ms too long: {why}")
                self.bad = chip.us + 10**9, chip.blocked
        steady = self.coil and chip.duty[chip.pwm(self.pin("pilot_pwm"))] == 65535
        if not steady:
            self.steady = None
        elif self.steady is None:
            self.steady = chip.us
        elif chip.us - self.steady > ENDING_MS * 1000:
            self.world.fault(self, "closed on a steady pilot for too long")
            self.steady = chip.us + 10**9

    # --- the EV ----------------------------------------------------------------------------------
    def drive(self):
        """The EV answers the pilot."""
        chip, line = self.world.chip, self.line
        if not self.plugged or line.ev == "F":
            return
        steady = chip.duty[chip.pwm(self.pin("pilot_pwm"))] == 65535
        if self.wants and (not steady or self.stubborn):
            self.leaves = 0
            line.ev = "C"
        elif not self.wants:
            line.ev = "B"
        elif line.ev == "C":
            self.leaves = self.leaves or chip.us + self.world.random.randrange(2_800_000)
            if chip.us >= self.leaves:
                line.ev = "B"
        else:
            line.ev = "B"


class Life:
    """A charger, its EVs and its drivers for some while. `faults`: what the judge saw."""

    def __init__(self, folder, evses, seed):
        self.random = random = Random(seed)
        self.tables = tables(folder)
        self.profile = self.tables.profile
        self.pins = dict(self.profile.PINS)
        stm32 = "stm32" in str(folder)
        self.chip = STM32(seed) if stm32 else Chip(seed)
        self.faults = []
        self.tripped = False
        self.cards = []
        self.folder = folder
        if stm32:
            from .modbus import Slave

            self.chip.uart = self.chip.slave = Slave(self.chip)
            nor = SerialNor(Nor(0x400000), ident=b"\xef\x40\x16")
            self.chip.buses[3] = nor
            self.chip.on_output[self.pins["flash_cs"]] = nor.value
            if "reader_cs" in self.pins:
                from .esp32 import Reader

                self.chip.spi = Reader()
                self.chip.buses[4] = Bus(self.chip)
        else:
            from .esp32 import Reader

            self.chip.spi = Reader()
        self.places = [Place(self, n + 1) for n in range(evses)]
        self.chip.levels[self.pins["residual_current"]] = 0
        if "stop_button" in self.pins:
            self.button(False)
        for place in self.places:
            place.line.noise = random.choice((0, 100, 200))
        self.work_ms = random.choice((0, 12, 30))

    def fault(self, place, text):
        self.faults.append(f"{self.chip.us // 1000} ms, EVSE {place.evse}: {text}")

    # --- the station ---------------------------------------------------------------------------------
    def start(self, modules):
        """Power on: the board and the station are made anew from what flash holds."""
        self.board = Charger(self.chip, modules, self.profile).board
        self.board.card = lambda: self.cards.pop(0) if self.cards else None
        self.board.console = lambda text: None
        buffers = bytearray(self.profile.RECEIVE_BUFFER), bytearray(self.profile.TRANSMIT_BUFFER)
        self.station = st = Station(self.board, self.tables, buffers)
        st.outbox.register(ACCEPTED_BY_CSMS)
        for name, text in SETTINGS.items():
            component, variable = name.split(".")
            st.model.set(st.model.find(component, "", 0, 0, variable, ""), text)
        self.second = self.chip.ms

    def run(self, ms):
        """So much time, in rounds as the control task has them."""
        chip, st = self.chip, self.station
        end = chip.us + ms * 1000
        while chip.us < end:
            begun = chip.us
            charging.poll(st)
            samples.measure(st)
            sessions.poll(st)
            charging.settle(st)
            if chip.ms - self.second >= 1000:
                self.second = chip.ms
                for tick in st._ticking:
                    tick(st)
                for job in st.jobs:
                    list(job)
                st.jobs.clear()
                st.journal.prepare() or st.settings.prepare()
            self.step(self.random.randrange(self.work_ms * 1000 + 1))
            self.step(max(self.board.scan_ms * 1000 - (chip.us - begun), 1000))

    def step(self, us):
        for place in self.places:
            place.drive()
        self.chip.wait(us)
        for place in self.places:
            place.judge()

    # --- what happens --------------------------------------------------------------------------------
    def button(self, pressed):
        low = "stop_button" in self.pins.get("active_low", ())
        self.chip.levels[self.pins["stop_button"]] = int(pressed != low)

    def plug(self, place):
        if place.plugged:
            return
        random = self.random
        place.plugged = True
        place.wants = random.random() < 0.8
        place.stubborn = random.random() < 0.4
        place.line.diode = random.random() < 0.85
        place.ohms = random.choice(("32", "32", "32", "20", "13", "shorted", "open"))
        for n in range(random.randrange(4)):  # it bounces
            self.chip.after(n * 30, lambda: setattr(place.line, "ev", random.choice("AB")))

    def unplug(self, place):
        place.plugged = place.wants = False
        place.line.ev = "A"
        place.line.diode = True

    def act(self):
        random = self.random
        place = random.choice(self.places)
        what = random.choice(
            ("charge",) * 6
            + ("plug", "card", "card", "wants", "unplug", "stop", "trip", "reset")
            + ("remote", "diode", "cable", "adc", "weld")
        )
        st, chip = self.station, self.chip
        e = st.evses[place.evse - 1]
        if what == "charge":
            self.plug(place)
            place.wants = True
            if random.random() < 0.7:
                place.line.diode, place.ohms = True, "32"
            if not e.authorized:
                self.cards.append((*random.choice(CARDS), place.evse))
        elif what == "plug":
            self.plug(place)
        elif what == "unplug":
            self.unplug(place)
        elif what == "card":
            self.cards.append((*random.choice(CARDS), place.evse))
        elif what == "wants":
            place.wants = not place.wants and place.plugged
        elif what == "stop" and "stop_button" in self.pins:
            self.button(True)
            chip.after(200, lambda: self.button(False))
        elif what == "trip":
            self.tripped = True
            pin = self.pins["residual_current"]
            chip.levels[pin] = 1
            chip.after(
                300, lambda: (setattr(self, "tripped", False), chip.levels.update({pin: 0}))
            )
        elif what == "remote":
            charging.deauthorize(st, e, 10, 6)
        elif what == "diode" and place.plugged:
            place.line.diode = not place.line.diode
        elif what == "cable" and place.plugged:
            place.ohms = random.choice(tuple(OHMS))
        elif what == "adc":
            pin = place.pin("pilot_adc")
            sample = place.line.sample

            def broken():
                raise OSError(-258)

            chip.adc[pin] = broken
            chip.after(random.choice((1, 30, 200)), lambda: chip.adc.update({pin: sample}))
        elif what == "weld" and random.random() < 0.2:
            place.welded = True
        return what

    def power_cut(self, modules):
        """Power is gone and comes back; contacts fall open, those that can."""
        self.chip.power_cut()
        for place in self.places:
            place.coil = False
            place.opened_at = self.chip.us
            place.live = place.welded and place.live
            place.tell("contactor_sense", place.live)
            place.closed_at = -(10**9)  # nobody knows of it any more; a start takes longer
            place.bad = place.steady = None
        self.chip.wait(self.random.randrange(100_000, 6_000_000))
        self.start(modules)


def live(folder, evses, seed, acts):
    """(what the judge saw, closings) of one life with so many acts."""
    life = Life(folder, evses, seed)
    with imported(life.chip, folder) as modules:
        life.start(modules)
        for _ in range(acts):
            if life.act() == "reset":
                life.power_cut(modules)
            life.run(life.random.choice((30, 200, 1000, 3000, 7000)))
    return life.faults, sum(place.closings for place in life.places)
