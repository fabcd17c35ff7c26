"""What can be waited for: the vocabulary of `wait`, and waiting that never misses what already holds.

Most facts are states: they hold or they do not, and the firmware itself is asked. A few are events: "a transaction
ended", "the station rebooted". An event counts until a wait has seen it.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hostsim.charger import names
from hostsim.charger.device import Device
from hostsim.charger.link import Fact
from hostsim.clock import SimClock, time_limit
from tools.builder import versions

_GLANCE = 2.0  # simulated seconds between looks when nothing is told


@dataclass(frozen=True)
class Meaning:
    """A word of the vocabulary: what it says, and the test on a snapshot (see `Watcher.snapshot`)."""

    text: str
    holds: Callable[[dict[str, Any], dict[str, Any]], bool]  # (station, EVSE)


def _state(name: str) -> Callable[[dict, dict], bool]:
    return lambda station, evse: evse["charging_state"] == name


VOCABULARY: dict[str, Meaning] = {
    "connected": Meaning("the WebSocket is open", lambda s, e: s["link"]["up"]),
    "disconnected": Meaning("it is not", lambda s, e: not s["link"]["up"]),
    "accepted": Meaning(
        "registered with the CSMS, and connected", lambda s, e: s["link"]["online"]
    ),
    "pending": Meaning(
        "the CSMS answered Pending", lambda s, e: s["link"]["registration"] == "Pending"
    ),
    "rejected": Meaning(
        "the CSMS answered Rejected", lambda s, e: s["link"]["registration"] == "Rejected"
    ),
    "plugged": Meaning("a cable leads to an EV", lambda s, e: bool(e["cable"])),
    "unplugged": Meaning("none does", lambda s, e: not e["cable"]),
    "authorized": Meaning("somebody may charge", lambda s, e: e["authorized"]),
    "unauthorized": Meaning(
        "nobody may, and nobody asks", lambda s, e: not (e["authorized"] or e["asking"])
    ),
    "ev_connected": Meaning("charging state EVConnected", _state("EVConnected")),
    "charging": Meaning("charging state Charging, contactor closed", lambda s, e: _charging(e)),
    "suspended_ev": Meaning("charging state SuspendedEV", _state("SuspendedEV")),
    "suspended_evse": Meaning("charging state SuspendedEVSE", _state("SuspendedEVSE")),
    "idle": Meaning("charging state Idle", _state("Idle")),
    "contactor_open": Meaning("no energy can flow", lambda s, e: not e["contactor"]),
    "locked": Meaning("the plug is locked", lambda s, e: bool(e["locked"])),
    "unlocked": Meaning("it is not", lambda s, e: not e["locked"]),
    "faulted": Meaning("the EVSE has a fault", lambda s, e: e["fault"] is not None),
    "tx_started": Meaning("a transaction is running", lambda s, e: e["transaction"] is not None),
    "tx_ended": Meaning(
        "event: a transaction ended, and none is running", lambda s, e: e["transaction"] is None
    ),
    "queue_empty": Meaning(
        "every event was acknowledged", lambda s, e: s["queue"]["pending"] == 0
    ),
    "queued": Meaning("some events were not", lambda s, e: s["queue"]["pending"] > 0),
    "rebooted": Meaning("event: the firmware started again", lambda s, e: True),
    "power_lost": Meaning("event: the power went off", lambda s, e: True),
}
_ENDED = versions.constants()["events"]["ENDED"]
_EVENTS = ("tx_ended", "rebooted", "power_lost")
_STATUS = "status:"


def _charging(evse: dict[str, Any]) -> bool:
    return evse["charging_state"] == "Charging" and evse["contactor"]


class Watcher:
    """Hears what the firmware tells, and lets others wait for it."""

    def __init__(self, clock: SimClock, device: Device):
        self.clock = clock
        self.device = device
        self._happened: Counter[tuple[str, int]] = Counter()
        self._seen: Counter[tuple[str, int]] = Counter()
        self._pulse: set[asyncio.Future] = set()
        self._silence = ""  # why the last snapshot is none
        device.on_fact.append(self._heard)
        device.on_power.append(self._powered)

    async def snapshot(self) -> dict[str, Any] | None:
        """What the firmware says of itself, numbers replaced by OCPP's names; None when it cannot."""
        try:
            state = await self.device.ask("state")
        except ConnectionError as error:
            self._silence = str(error)
            return None
        for evse in state["evses"]:
            evse["status"] = [names.name(names.STATUSES, number) for number in evse["status"]]
            evse["charging_state"] = names.name(names.CHARGING_STATES, evse["charging_state"])
            evse["contactor"] = evse.pop("closed")
            tx = evse.pop("transaction", None)
            evse["transaction"] = tx and {
                "id": tx,
                "seqNo": evse.pop("seq"),
                "register": evse.pop("register"),
            }
        state["link"]["registration"] = names.name(
            names.REGISTRATIONS, state["link"]["registration"]
        )
        state["queue"] = state.pop("journal")
        counted = zip(names.counter_names(), state["counters"], strict=False)
        state["counters"] = dict(counted)
        return state

    async def wait(self, fact: str, timeout: float = 60.0, evse: int = 1) -> float:
        """Wait until a fact holds; return how many simulated seconds that took.

        ValueError for a word that is not in the vocabulary, TimeoutError (with what holds instead) when it does not
        come about in time.
        """
        meaning = _meaning(fact)
        count = len(self.device.profile.evses)
        if not 1 <= evse <= count:
            raise ValueError(f"there is no EVSE {evse}; this station has {count}")
        key = (fact, evse if fact == "tx_ended" else 0)
        began = self.clock.now()
        state: dict[str, Any] | None = None
        try:
            async with self.clock.timeout(timeout):
                while True:
                    if fact not in _EVENTS or self._happened[key] > self._seen[key]:
                        if fact == "power_lost":
                            break
                        state = await self.snapshot()
                        if state is not None and meaning.holds(state, state["evses"][evse - 1]):
                            break
                    await self._change()
        except TimeoutError:
            if fact in _EVENTS:  # it has not happened, so nobody has looked
                state = await self.snapshot()
            now = self._silence if state is None else _brief(state["evses"][evse - 1], state)
            raise TimeoutError(f"{fact} did not come about within {timeout:g} s; {now}") from None
        self._seen[key] = self._happened[key]
        return round(self.clock.now() - began, 3)

    async def _change(self) -> None:
        """Wait until something is told, or for a glance."""
        future = asyncio.get_running_loop().create_future()
        self._pulse.add(future)
        try:
            with contextlib.suppress(TimeoutError):
                async with time_limit(self.clock.wall(_GLANCE)):
                    await future
        finally:
            self._pulse.discard(future)

    def _heard(self, fact: Fact) -> None:
        is_event = fact.fact == names.fact("TX") and isinstance(fact.value, tuple)
        if is_event and fact.value[0] == _ENDED:
            self._happened["tx_ended", fact.evse] += 1
        self._wake()

    def _powered(self, what: str) -> None:
        if what == "power off":
            self._happened["power_lost", 0] += 1
        elif what == "started" and self.device.boots > 1:
            self._happened["rebooted", 0] += 1
        self._wake()

    def _wake(self) -> None:
        for future in self._pulse:
            if not future.done():
                future.set_result(None)


def vocabulary() -> dict[str, str]:
    """Every word of `wait` and what it says."""
    words = {word: meaning.text for word, meaning in VOCABULARY.items()}
    for status in names.STATUSES:
        words[_STATUS + status] = f"a connector of the EVSE is {status}"
    return words


def _meaning(fact: str) -> Meaning:
    if fact in VOCABULARY:
        return VOCABULARY[fact]
    if fact.startswith(_STATUS) and fact[len(_STATUS) :] in names.STATUSES:
        wanted = fact[len(_STATUS) :]
        return Meaning(fact, lambda station, evse: wanted in evse["status"])
    raise ValueError(f"unknown fact {fact!r}; `help` lists them")


def _brief(evse: dict[str, Any], state: dict[str, Any]) -> str:
    tx = evse["transaction"]
    return (
        f"EVSE {evse['evse']} is {'/'.join(evse['status'])}, {evse['charging_state']}, "
        f"{'authorized' if evse['authorized'] else 'not authorized'}, "
        f"{'in transaction ' + tx['id'] if tx else 'no transaction'}; "
        f"link {'up' if state['link']['up'] else 'down'} ({state['link']['registration']}), "
        f"{state['queue']['pending']} queued"
    )
