# What a board implements. This is the integrator's page and the longest-lived promise of the project.
#
# Everything here is called from the one asyncio thread. Inputs are polled every `scan_ms`; an
# interrupt handler may set an attribute that the next poll reads and must do nothing else. The first
# `scan` comes before any input is asked for. Apart from the calls marked "may block", a method returns
# at once: 1 ms, and `scan` 10 ms with one EVSE. A round with all its calls and the station's own work has 30 ms, so that
# the coil is off within 70 ms of an EV's stop; a driver that must wait for longer (a memory chip that erases) looks
# after the contactors meanwhile, as boards/drivers/charger.py does by `watch`.
#
# What is told of an EVSE is checked. A method that raises, or tells what cannot be, is the fault "DriverFailed" of
# that EVSE (of all, if it is `scan`) for at least five seconds: its contactor opens, the others go on. A contactor
# that could not be opened is opened again at every poll.

VERSION = 2

import time


class Board:
    """A charger is a handful of inputs and outputs. Override what the hardware has; the rest is safe
    as it stands. EVSEs and connectors count from 1, as in OCPP. Integers only: Wh, mA, mV, W, s, ms.

    ```
    class Charger(hal.Board):
        def cable(self, evse): return 1 if self.proximity.value() else 0
        def pilot(self, evse): return self.cp.state()
        def energy(self, evse): return self.meter.wh()
        def card(self): return self.reader.poll()
        def contactor(self, evse, closed): self.relay.value(closed)
        def offer(self, evse, milliamps): self.cp.duty(milliamps)
        def flash(self, region): return flash.Slice(self.partition, *FLASH[region])
        def reboot(self): machine.reset()
        def watchdog(self): self.wdt.feed()
        def network(self): return self.wlan.isconnected()
    ```
    """

    # How often the inputs are polled.
    scan_ms = 50

    # --- inputs -----------------------------------------------------------------------------------
    def scan(self) -> None:
        """Called before each poll of the inputs: read slow hardware once, here. May block for the few ms
        of a small flash write."""

    def cable(self, evse: int) -> int:
        """The connector that a plug is in, 0 for none. With an attached cable: whose cable is plugged into an EV. In
        pilot state A there is no EV at the other end of it."""
        return 0

    def pilot(self, evse: int) -> int:
        """The control pilot state of IEC 61851-1 as `ord("A")` to `ord("F")`. C or D: the EV wants
        energy. E or F: not available."""
        return 65

    def energy(self, evse: int) -> int:
        """The import register in Wh. It never falls and is never rebased: one that does is held, and followed from
        where it was once it has counted on from there for a minute."""
        return 0

    def energy_told(self, evse: int, wh: int) -> None:
        """Once, at the start: the journal knows that this register has told so many Wh. Where the board itself keeps it
        (pulses), and has lost it or kept an older one, it goes on from here. A meter with a memory of its own
        tells what it has."""

    def measure(self, evse: int, measurand: str, phase: int):
        """A present value: W for Power.*, mA for Current.*, mV for Voltage, 1/10 percent for SoC. Power and
        current that flow back are negative. `phase` 0 is the sum (or the only one), 1 to 3 is L1 to L3. None:
        not measured."""
        return None

    def card(self):
        """A token just presented, once, as (idToken, type, evse), else None. evse 0: the reader is
        shared by all EVSEs. Type: an OCPP IdTokenEnumType, mostly "ISO14443"."""
        return None

    def stop_button(self, evse: int) -> bool:
        """True once for each press of the button with which a driver ends charging, as with the card: the pilot goes
        first, the contactor up to 3 s later. An emergency stop is a `fault`: the contactor opens at once."""
        return False

    def fault(self, evse: int):
        """The name of the fault that keeps this EVSE from charging, None for none."""
        return None

    def bay(self, evse: int) -> bool:
        """Is the parking bay occupied? Only where the profile says `bay = true`: then transactions may begin and
        end with it."""
        return False

    # --- outputs ----------------------------------------------------------------------------------
    def contactor(self, evse: int, closed: bool) -> None:
        """Close or open the contactor; raise if it did not obey. Opening must work whatever else happens, and at once;
        once it is open the call may block for the few ms of a small flash write. Closing may wait for what a
        careful charger wants to see first: a diode, a locked plug, an oscillating pilot."""

    def offer(self, evse: int, milliamps: int) -> None:
        """The current offered to the EV (control pilot duty cycle); 0: none, steady +12 V."""

    def lock(self, evse: int, connector: int, locked: bool):
        """Move the plug's retention lock: True when it is there, False when it did not get there. None: it is on its
        way, or must wait, for what may be live is not unlocked; the same is asked at each poll then. (Version 1
        knew no None, and waited.)"""
        return True

    def indicate(self, evse: int, status: int) -> None:
        """Show a connector status (numbers of domain.evse) on a lamp."""

    # --- the controller ---------------------------------------------------------------------------
    def flash(self, region: str):
        """The flash device (base.flash) of a region of the profile's flash map: "journal", "settings",
        "logs" ... Its erase may block for as long as a sector takes."""
        raise OSError("no flash region " + region)

    def ticks(self) -> int:
        """Milliseconds that wrap as `time.ticks_ms` does."""
        return time.ticks_ms()

    def rtc(self):
        """Seconds since 2000-01-01 UTC, None when the board does not know."""
        return None

    def set_rtc(self, seconds: int) -> None:
        """Set the real-time clock, in seconds since 2000-01-01 UTC."""

    def reset_cause(self) -> str:
        """Why the controller started, as an OCPP BootReasonEnumType: PowerUp, Watchdog, Unknown, ..."""
        return "PowerUp"

    def reboot(self) -> None:
        """Restart the controller. Does not return."""
        raise SystemExit

    def watchdog(self) -> None:
        """Feed the watchdog. Only the supervisor calls it, and only while every task shows progress."""

    def random(self, n: int) -> bytes:
        """n unpredictable bytes."""
        import os

        return os.urandom(n)

    def network(self) -> bool:
        """Is there an IP network? Takes a step towards it, starts what must be started. Called at least every
        30 s for as long as there is no connection to the CSMS, and never while there is one."""
        return True

    def dns(self):
        """The name server that the network told of, as (address, port), None: none. What has a name is then only
        found by `resolve`."""
        return None

    def resolve(self, host: str):
        """For a board that finds hosts by itself (mDNS): the IPv4 address as text, None: not known. Asked before
        the name server, again after 1, 3 and 6 s."""
        return None

    def console(self, text: str) -> None:
        """Write one line of the log."""
        print(text)

    def trace(self, error) -> None:
        """Show where an exception came from; nobody caught it."""
        import sys

        sys.print_exception(error)

    def factory(self):
        """Pairs (settings key, value) that hold from the first boot on: identity, CSMS URL, password.
        Asked for at a start that finds no settings."""
        return ()

    def started(self, station) -> None:
        """The station is composed and its tasks are about to run: a service port may keep it."""
