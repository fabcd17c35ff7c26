"""A rig for tests: a CSMS, a network and a station with the real firmware, in virtual time, in one `async with`."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from hostsim.charger.station import Options, Station
from hostsim.clock import SimClock
from hostsim.clock.virtual import VirtualClock, virtually
from hostsim.csms.server import Csms
from hostsim.net.traffic import Traffic

CARD = "04A2B3C4D5E6F7"  # a token that the CSMS of a rig knows


class Rig:
    """What a test holds in its hand. `station.wait(fact)` and `csms.seen(action)` are how it waits."""

    def __init__(self, clock: SimClock, csms: Csms, station: Station):
        self.clock = clock
        self.csms = csms
        self.station = station

    @property
    def traffic(self) -> Traffic:
        return self.station.traffic

    @property
    def network(self):
        return self.station.network

    @property
    def hardware(self):
        return self.station.hardware

    @property
    def device(self):
        return self.station.device

    async def booted(self) -> None:
        """Wait until the station is registered."""
        await self.station.wait("accepted", 120)

    async def charging(self, token: str = CARD, evse: int = 1, within: float = 60) -> None:
        """Plug in, present a card, wait until energy flows."""
        self.hardware.plug(evse)
        await self.station.wait("plugged", evse=evse)
        self.hardware.card(token, evse=evse)
        await self.station.wait("charging", within, evse)

    async def stopped(self, token: str = CARD, evse: int = 1) -> None:
        """Present the card again, unplug, wait until everything is delivered."""
        await self.clock.sleep(3)  # a reader that sees a card twice within 2 s means one card
        self.hardware.card(token, evse=evse)
        await self.station.wait("tx_ended", evse=evse)
        await self.station.wait("unlocked", evse=evse)
        self.hardware.unplug(evse)
        await self.station.wait("unplugged", evse=evse)

    async def call(self, action: str, payload: dict[str, Any] | None = None) -> dict[str, Any]:
        """Have the CSMS call the station."""
        return await self.csms.call(action, payload)

    def problems(self, *, all_ended: bool = False) -> list[str]:
        """Everything that went wrong so far: frames, ledger, hardware, crashes, errors in the firmware's log."""
        return [
            *self.traffic.faults,
            *self.csms.ledger.problems(all_ended=all_ended),
            *self.hardware.hazards,
            *self.device.crashes,
            *self.device.errors,
        ]

    async def drained(self, timeout: float = 300) -> None:
        """Wait until the CSMS has every event."""
        await self.station.wait("queue_empty", timeout)


@contextlib.asynccontextmanager
async def rig(
    *,
    clock: SimClock | None = None,
    password: str | None = None,
    power: bool = True,
    wait: bool = True,
    **options: Any,
) -> AsyncIterator[Rig]:
    """A rig, its station booted and accepted (`wait`). `options` are those of hostsim.charger.station.Options.

    The CSMS asks for `password` when one is given, and the station has the same. `clock`: another one
    than that of the virtual time in which the rig is made.
    """
    clock = clock or VirtualClock()
    csms = Csms(clock, password=password)
    csms.knows(CARD)
    await csms.start()
    station = Station(clock, csms.url(), Options(password=password, **options))
    csms.excuse = station.traffic.excuse
    try:
        await station.start(power=power)
        this = Rig(clock, csms, station)
        if power and wait:
            await this.booted()
        yield this
    finally:
        await station.stop()
        await csms.stop()


simulate = virtually  # an `async def` test function for pytest, without a plugin: `@simulate`
