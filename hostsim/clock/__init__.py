"""Simulated time: it runs `speed` times as fast as the wall clock, for the firmware and for everything around it."""

import asyncio
import contextlib
import socket
import sys
import time
from datetime import datetime, timezone

if sys.version_info >= (3, 11):
    from asyncio import timeout as time_limit
else:
    from async_timeout import timeout as _timeout

    @contextlib.asynccontextmanager
    async def time_limit(seconds: float):
        """What Python 3.11 has: raises the built-in TimeoutError."""
        try:
            async with _timeout(seconds):
                yield
        except asyncio.TimeoutError as error:
            raise TimeoutError from error


EPOCH_2000 = 946_684_800  # 2000-01-01 in Unix time, the epoch of the firmware


class SimClock:
    """One clock for a rig. `now()` counts simulated seconds from its creation, when it was `epoch` in Unix time, or the real
    UTC.

    `patience`: for how long a busy machine may keep the firmware from its duties, in simulated seconds."""

    virtual = False  # hostsim/clock/virtual.py has the other kind

    def __init__(self, speed: int = 1, epoch: "float | None" = None):
        self.speed = speed
        self.patience = 20.0 * speed
        self._origin = time.monotonic()
        self._epoch = time.time() if epoch is None else epoch

    def now(self) -> float:
        """Simulated seconds since this clock was made."""
        return (time.monotonic() - self._origin) * self.speed

    def now_ms(self) -> int:
        """Simulated milliseconds since this clock was made."""
        return (time.monotonic_ns() - int(self._origin * 1e9)) * self.speed // 1_000_000

    def unix(self) -> float:
        """The simulated present in Unix time."""
        return self._epoch + self.now()

    def text(self, ahead: float = 0.0) -> str:
        """The simulated present as OCPP writes it, by a clock that is ahead by so many seconds."""
        time = datetime.fromtimestamp(self.unix() + ahead, timezone.utc)
        return time.strftime("%Y-%m-%dT%H:%M:%SZ")

    def wall(self, seconds: float) -> float:
        """How many real seconds a simulated duration takes."""
        return seconds / self.speed

    def hold(self, holder: object, link: "socket.socket | None" = None) -> None:
        """Real time passes for `holder`, until its `release`: only virtual time wants to know. `link`: where a firmware
        asks that it is for."""

    def release(self, holder: object) -> None:
        """See `hold`."""

    def stand(self, still: bool) -> None:
        """Whether virtual time stands still though all wait: between two commands it does."""

    def handed(self, size: int) -> None:
        """So many bytes are on their way to the station: virtual time waits until it has them."""

    def arrived(self, size: int) -> None:
        """So many bytes have come from the station; its end of a connection counts as one."""

    def lost(self) -> None:
        """A connection has ended, and whatever was on its way in it."""

    async def sleep(self, seconds: float) -> None:
        """Sleep for a simulated duration."""
        await asyncio.sleep(self.wall(seconds))

    def timeout(self, seconds: float):
        """`async with clock.timeout(30):` raises TimeoutError after that many simulated seconds.

        Never less than two real seconds: a busy machine is not a failing station.
        """
        return time_limit(max(2.0, self.wall(seconds)))


def off_the_quarter() -> float:
    """A minute behind the next quarter of an hour, in Unix time: from there it is long until a station does something by the
    clock, which else would come into a test by the minute at which it runs."""
    return time.time() // 900 * 900 + 960


def unix_time(text: str) -> float:
    """An OCPP dateTime in Unix time."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
