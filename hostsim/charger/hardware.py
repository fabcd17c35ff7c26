"""The virtual charger: cables, EVs, contactors, meters that integrate, cards, buttons, faults, locks, lamps.

Time is simulated; every quantity is an integer, so that energy is exact.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hostsim.clock import SimClock
from tools.builder import versions

VOLTS = 230_000  # mV between phase and neutral
LEAST_OFFER = 6000  # mA: what IEC 61851-1 can express at least
_MW_MS_PER_WH = 3_600_000_000
STATES = "ABCDEF"
TOKEN_TYPES = versions.load().row("IdTokenEnumType")
_LONGEST_TOKEN = 36
BREAKS = (
    "",
    "inputs",
    "contactor",
    "lock",
    "meter",
)  # drivers that can fail, as boards/sim/board.py numbers them


@dataclass
class Outlet:
    """One EVSE with an EV in front of it, or none. Change it through `Hardware`."""

    phases: int = 3
    connectors: int = 9
    cable: int = 0  # connector plugged in, 0 for none
    ev_ready: bool = True  # the EV wants energy
    forced: str = ""  # a control pilot state that overrides the EV
    load: int = 16_000  # mA per phase that the EV draws at most
    soc: int = 300  # 1/10 percent
    fault: str | None = None
    bay: bool = False
    lock_fails: bool = False
    broken: str = ""  # the driver that raises whenever it is asked, or tells nonsense
    holds: bool = False  # the EV stays in C although it is offered nothing
    button: bool = False  # pressed and not read yet
    closed: bool = False  # contactor
    offered: int = 0  # mA
    locked: int = 0  # connector whose plug is locked
    lamp: int = 0
    wh: int = 0
    rest: int = 0  # mW * ms that do not make a Wh yet

    @property
    def pilot(self) -> str:
        """The control pilot state: the EV closes its switch when it wants energy and is offered some."""
        if self.forced:
            return self.forced
        if not self.cable:
            return "A"
        if self.ev_ready and (self.offered >= LEAST_OFFER or self.holds and self.closed):
            return "C"
        return "B"

    @property
    def current(self) -> int:
        """mA that flow in each phase."""
        flows = self.closed and self.pilot in "CD"
        return min(self.load, self.offered or LEAST_OFFER) if flows else 0

    @property
    def power(self) -> int:
        """mW that flow, over all phases."""
        return self.current * VOLTS * self.phases // 1000


class Hardware:
    """All EVSEs of a station. EVSEs count from 1. Callbacks in `on_change` hear of each change in words."""

    def __init__(self, clock: SimClock, evses: int = 1, phases: int = 3):
        self.clock = clock
        self.outlets = [Outlet(phases=phases) for _ in range(evses)]
        self.cards: deque[tuple[str, str, int]] = deque()
        self.hazards: list[str] = []
        self.on_change: list[Callable[[str], None]] = []
        self._then = clock.now_ms()

    def outlet(self, evse: int) -> Outlet:
        """The EVSE, its meter up to date. Raises ValueError for one that is not there."""
        if not 1 <= evse <= len(self.outlets):
            raise ValueError(f"there is no EVSE {evse}; this station has {len(self.outlets)}")
        self.advance()
        return self.outlets[evse - 1]

    def advance(self) -> None:
        """Integrate every meter up to now."""
        now = self.clock.now_ms()
        passed, self._then = now - self._then, now
        for outlet in self.outlets:
            wh, outlet.rest = divmod(outlet.rest + outlet.power * passed, _MW_MS_PER_WH)
            outlet.wh += wh

    # --- the world -------------------------------------------------------------------------------
    def plug(self, evse: int = 1, connector: int = 1) -> None:
        outlet = self.outlet(evse)
        if not 1 <= connector <= outlet.connectors:
            raise ValueError(
                f"EVSE {evse} has no connector {connector}, only 1 to {outlet.connectors}"
            )
        if outlet.cable and outlet.cable != connector:
            raise ValueError(f"connector {outlet.cable} of EVSE {evse} is plugged in already")
        outlet.cable, outlet.forced = connector, ""
        self._changed(f"EVSE {evse}: cable plugged into connector {connector}")

    def unplug(self, evse: int = 1) -> None:
        outlet = self.outlet(evse)
        if outlet.locked and outlet.locked == outlet.cable and not outlet.lock_fails:
            raise ValueError(f"the plug of EVSE {evse} is locked")
        if outlet.current:
            self.hazards.append(f"EVSE {evse}: unplugged under load")
        outlet.cable, outlet.forced, outlet.ev_ready = 0, "", True
        self._changed(f"EVSE {evse}: cable unplugged")

    def ev(self, evse: int, state: str) -> None:
        """Hold the control pilot in a state. "C" and "D" are what an EV shows that wants energy, so they
        only follow when current is offered; "A" is an EV that was disconnected at its own end."""
        state = state.upper()
        if len(state) != 1 or state not in STATES:
            raise ValueError(f"an EV state is a letter from A to F, not {state!r}")
        outlet = self.outlet(evse)
        outlet.ev_ready = state in "CD"
        outlet.forced = state if state in "AEF" else ""
        self._changed(f"EVSE {evse}: EV goes to state {state}")

    def ready(self, evse: int, ready: bool) -> None:
        """Whether the EV wants energy."""
        outlet = self.outlet(evse)
        outlet.ev_ready, outlet.forced = ready, ""
        self._changed(f"EVSE {evse}: EV {'ready' if ready else 'not ready'}")

    def draw(self, evse: int, milliamps: int) -> None:
        """The current per phase that the EV draws at most."""
        if milliamps < 0:
            raise ValueError("a load cannot be negative")
        self.outlet(evse).load = milliamps
        self._changed(f"EVSE {evse}: the EV draws up to {milliamps} mA")

    def card(self, token: str, kind: str = "ISO14443", evse: int = 0) -> None:
        """Hold a card to the reader; EVSE 0: a reader that all share."""
        if evse:
            self.outlet(evse)
        if len(token) > _LONGEST_TOKEN:
            raise ValueError(f"a token has up to {_LONGEST_TOKEN} characters")
        if kind not in TOKEN_TYPES:
            raise ValueError(f"a token's type is one of {', '.join(TOKEN_TYPES)}, not {kind!r}")
        self.cards.append((token, kind, evse))
        self._changed(f"card {token}")

    def stop_button(self, evse: int = 1) -> None:
        self.outlet(evse).button = True
        self._changed(f"EVSE {evse}: stop button")

    def set_fault(self, evse: int, name: str | None) -> None:
        self.outlet(evse).fault = name
        self._changed(f"EVSE {evse}: {'fault ' + name if name else 'no fault'}")

    def set_broken(self, evse: int, part: str) -> None:
        """Let a driver fail, one of BREAKS; "": all work."""
        if part not in BREAKS:
            raise ValueError(f"what can break is {', '.join(BREAKS[1:])}, not {part!r}")
        self.outlet(evse).broken = part
        self._changed(f"EVSE {evse}: {part or 'nothing'} is broken")

    def set_lock_fails(self, evse: int, on: bool) -> None:
        self.outlet(evse).lock_fails = on
        self._changed(f"EVSE {evse}: the lock {'fails' if on else 'works'}")

    def set_bay(self, evse: int, occupied: bool) -> None:
        self.outlet(evse).bay = occupied
        self._changed(f"EVSE {evse}: parking bay {'occupied' if occupied else 'free'}")

    def set_meter(self, evse: int, wh: int) -> None:
        if not 0 <= wh < 1 << 32:
            raise ValueError(f"a meter cannot show {wh} Wh")
        outlet = self.outlet(evse)
        outlet.wh, outlet.rest = wh, 0
        self._changed(f"EVSE {evse}: meter at {wh} Wh")

    # --- the board -------------------------------------------------------------------------------
    def contactor(self, evse: int, closed: bool) -> None:
        outlet = self.outlet(evse)
        if closed and outlet.pilot not in "BCD":
            self.hazards.append(f"EVSE {evse}: contactor closed in state {outlet.pilot}")
        if not closed and outlet.current and not outlet.fault and not outlet.broken:
            if outlet.offered:
                self.hazards.append(f"EVSE {evse}: contactor opened under load")
        if closed and outlet.fault:
            self.hazards.append(f"EVSE {evse}: contactor closed with the fault {outlet.fault}")
        if closed != outlet.closed:
            outlet.closed = closed
            self._changed(f"EVSE {evse}: contactor {'closed' if closed else 'open'}")

    def offer(self, evse: int, milliamps: int) -> None:
        outlet = self.outlet(evse)
        if milliamps != outlet.offered:
            outlet.offered = milliamps
            self._changed(f"EVSE {evse}: {milliamps} mA offered")

    def lock(self, evse: int, connector: int, locked: bool) -> bool:
        """Move the lock; False when it does not get there."""
        outlet = self.outlet(evse)
        if not locked and outlet.closed:
            self.hazards.append(f"EVSE {evse}: unlocked while it is live")
        if outlet.lock_fails:
            return False
        outlet.locked = connector if locked else 0
        self._changed(f"EVSE {evse}: plug {'locked' if locked else 'unlocked'}")
        return True

    def indicate(self, evse: int, status: int) -> None:
        self.outlet(evse).lamp = status

    def released(self) -> None:
        """The controller is gone: its outputs fall back, so contactors open and nothing is offered."""
        self.advance()
        for outlet in self.outlets:
            outlet.closed, outlet.offered = False, 0

    def dark(self) -> None:
        """The power is gone too, and with it what nobody has read yet."""
        self.released()
        for outlet in self.outlets:
            outlet.button, outlet.lamp = False, 0
        self.cards.clear()

    def measure(self, evse: int, measurand: str, phase: int) -> int | None:
        """As hal.Board.measure: W, mA, mV, 1/10 percent; None for what this meter does not measure."""
        outlet = self.outlet(evse)
        if phase > outlet.phases:
            return None
        lines = 1 if phase else outlet.phases
        if measurand == "Power.Active.Import":
            return outlet.current * VOLTS * lines // 1_000_000
        if measurand == "Power.Offered":
            return outlet.offered * VOLTS * lines // 1_000_000
        if measurand == "SoC" and not phase:
            return outlet.soc if outlet.cable else None
        return {
            "Current.Import": outlet.current,
            "Current.Offered": outlet.offered,
            "Voltage": VOLTS,
        }.get(measurand)

    def _changed(self, what: str) -> None:
        for callback in self.on_change:
            callback(what)
