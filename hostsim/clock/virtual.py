"""Virtual time: it stands still while anything has something to do, and jumps to the next moment when nothing has.

A month of a station's life, with the real firmware, the real CSMS and real sockets between them, takes minutes and goes
the same way each time: while the firmware runs the host answers what it asks, and does nothing else.
boards/sim/virtual.py is the firmware's half. One station at a time.
"""

import asyncio
import contextlib
import functools
import math
import os
import select
import selectors
import socket
import stat
from collections.abc import Callable, Coroutine
from typing import Any

from hostsim.clock import SimClock, time_limit

EPOCH = 1_772_323_260  # 2026-03-01 00:01: it always begins there, off the quarter of an hour
_DAY = 86_400_000
_ARRIVAL = 0.3  # real seconds that something needs at most to get from one socket to another
_STUCK = 120  # real seconds for which something may compute
_OUTSIDE = 20  # real seconds within which somebody outside answers


class VirtualClock(SimClock):
    """To be made inside of `run`. The firmware keeps it by `passed` and `park`; whoever makes real time pass for a
    moment, like a process that starts or ends, says so with `hold` and `release`.

    `calm`: ms after which the firmware looks at its inputs and its clock at the latest, though nothing happens."""

    virtual = True

    def __init__(self, calm: int = 1000) -> None:
        super().__init__()
        self.calm = calm
        self.patience = 300.0
        loop = asyncio.get_running_loop()
        if not isinstance(loop, _Loop):
            raise RuntimeError("virtual time needs hostsim.clock.virtual.run")
        self._time = loop.times
        self._epoch = EPOCH

    def now(self) -> float:
        return self._time.ms / 1000

    def now_ms(self) -> int:
        return self._time.ms

    def timeout(self, seconds: float):
        """Exactly so many seconds: nothing is late here because a machine is busy."""
        return time_limit(seconds)

    def passed(self, ms: int) -> None:
        """The firmware has let time pass, which it may within what it was granted."""
        self._time.ms += ms

    def park(
        self, holder: Any, grant: Callable[[int, bool], None], written: int, read: int
    ) -> None:
        """All that the firmware can do is wait; `grant(ms, something is on its way to it)` lets it go on. It has written
        and read so many bytes since the last time."""
        self._time.holders.discard(holder)
        self._time.parked = holder, grant
        self._time.stirred = False
        self._time.up = 0 if self._time.gone else self._time.up + written
        self._time.gone = False
        self._time.down = 0 if self._time.waited and not read else self._time.down - read

    def stand(self, still: bool) -> None:
        self._time.still = still

    def outside(self, owed: Callable[[], frozenset]) -> None:
        """Somebody lives in real time: `owed` says what the station waits for from there. As long as that is not
        there, and has not been waited for, no time passes."""
        self._time.owed = owed

    def handed(self, size: int) -> None:
        self._time.down += size

    def arrived(self, size: int) -> None:
        self._time.up -= size

    def lost(self) -> None:
        self._time.up, self._time.down = 0, 1  # the station has to see that
        self._time.gone = True

    def hold(self, holder: Any, link: "socket.socket | None" = None) -> None:
        self._time.holders.add(holder)
        if link is not None:
            self._time.link = link

    def release(self, holder: Any) -> None:
        self._time.holders.discard(holder)
        self._time.up = self._time.down = 0
        if self._time.parked and self._time.parked[0] is holder:
            self._time.parked = None


class _Times(selectors.DefaultSelector):
    """Where a loop waits for its sockets, and so where time can pass."""

    def __init__(self) -> None:
        super().__init__()
        self.ms = 0
        self.holders: set[Any] = set()  # whom real time is passing for
        self.link: socket.socket | None = None  # where the firmware asks
        self.parked: tuple[Any, Callable[[int, bool], None]] | None = None
        self.stirred = False  # something has happened since the firmware was parked
        self.talk = False  # and the last of it was only that it printed something
        self.up = self.down = 0  # bytes on their way, as far as is known
        self.waited = False  # the firmware was told to wait for some
        self.gone = False  # a connection, and what the firmware writes until it knows
        self.still = False  # time is to stand still, for as long as it may take
        self.owed: Callable[[], frozenset] = frozenset
        self.missed: frozenset = (
            frozenset()
        )  # what did not come from outside though it was waited for

    def select(self, timeout: float | None = None) -> list:
        running = self._running()
        if running:
            if timeout is not None and timeout <= 0:
                return []
            self.stirred = True
            if not select.select([running.fd], [], [], _STUCK)[0]:
                raise _stuck()
            return [(running, selectors.EVENT_READ)]
        return sorted(self._select(timeout), key=lambda event: event[0].fd)

    def _running(self) -> "selectors.SelectorKey | None":
        """The firmware's link while it neither waits nor has hung up."""
        if self.parked or self.link is None or self.link.fileno() < 0:
            return None
        return self.get_map().get(self.link.fileno())

    def _select(self, timeout: float | None) -> list:
        ready = super().select(0)
        if ready:
            self.talk = all(_is_pipe(key.fd) for key, _ in ready)
        if ready or timeout is not None and timeout <= 0:
            self.stirred = self.stirred or not self.talk
            return ready
        self.talk = False
        owed = self.owed()
        if self.still or owed - self.missed:
            ready = super().select(None if self.still else _OUTSIDE)
            self.missed = self.missed if ready else owed
            self.stirred = True
            return ready
        ms = _DAY if timeout is None else math.ceil(timeout * 1000 - 1e-6)
        if not self.holders and self.parked:
            if self.up > 0:
                ready = super().select(_ARRIVAL)
                self.up = self.up if ready else 0
                self.stirred = True
                return ready
            (holder, grant), self.parked = self.parked, None
            self.holders.add(holder)
            self.up = 0
            self.waited = self.down > 0
            grant(0 if self.stirred else min(ms, _DAY), self.waited)
        elif not self.holders and timeout is not None:
            self.ms += ms
        else:
            ready = super().select(_STUCK)
            if not ready:
                raise _stuck()
            self.stirred = True
        return ready


def _is_pipe(number: int) -> bool:
    return stat.S_ISFIFO(os.fstat(number).st_mode)


def _stuck() -> RuntimeError:
    return RuntimeError(f"nothing has happened for {_STUCK} real seconds")


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.times = _Times()
        super().__init__(self.times)

    def time(self) -> float:
        return self.times.ms / 1000


async def sleep(seconds: float) -> None:
    """`asyncio.sleep` that is sure to cost no real time. RuntimeError: this is not virtual time."""
    await VirtualClock().sleep(seconds)


def run(main: Coroutine) -> Any:
    """`asyncio.run` in virtual time."""
    loop = _Loop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        with contextlib.suppress(Exception):
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()


def virtually(function) -> Any:
    """Run an `async def` function, like a test for pytest, in virtual time: `@virtually`."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        return run(function(*arguments, **named))

    return wrapped
