"""The name server of a station's network: right, or as wrong as a test wants it."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hostsim.clock import SimClock

_HEAD = struct.Struct(">HHHHHH")
_RECORD = struct.Struct(">HHIH")
_A, _CNAME, _IN = 1, 5, 1
_NO_SUCH_NAME = 3


@dataclass
class Reply:
    """What comes back, after so many simulated seconds; from another port than was asked with `elsewhere`."""

    data: bytes
    delay: float = 0.0
    elsewhere: bool = False


class NameServer(asyncio.DatagramProtocol):
    """`hosts`: name -> addresses; what is not in it is looked up by this machine in real time, and does not exist in
    virtual time. `behave(query)`, when there is one, says instead what is answered. `asked`: all hosts so far."""

    def __init__(self, clock: SimClock):
        self.clock = clock
        self.hosts: dict[str, list[str]] = {"localhost": ["127.0.0.1"]}
        self.behave: Callable[[bytes], Iterable[Reply]] | None = None
        self.asked: list[str] = []
        self.address = ""  # "IPv4 port", as the board is told
        self._transport: Any = None
        self._other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._tasks: set[asyncio.Task] = set()
        self._waiting: list[tuple[str, asyncio.Future]] = []

    async def start(self) -> None:
        """Listen on any free port of the loopback."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )
        address, port = self._transport.get_extra_info("sockname")
        self.address = f"{address} {port}"

    async def stop(self) -> None:
        if self._transport is not None:
            self._transport.close()
        self._other.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def seen(self, host: str, timeout: float = 120) -> None:
        """Wait until somebody asks for `host` from now on."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((host, future))
        async with self.clock.timeout(timeout):
            await future

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.clock.arrived(len(data))
        host = host_of(data)
        self.asked.append(host)
        for waiting in [one for one in self._waiting if one[0] == host]:
            self._waiting.remove(waiting)
            if not waiting[1].done():
                waiting[1].set_result(None)
        if self.behave is not None:
            for reply in self.behave(data):
                self._spawn(self._reply(reply, addr))
        elif host in self.hosts or self.clock.virtual:
            self._send(answer(data, self.hosts.get(host, [])), addr)
        else:
            self._spawn(self._ask_the_machine(data, host, addr))

    async def _ask_the_machine(self, query: bytes, host: str, addr: tuple[str, int]) -> None:
        found = []
        with contextlib.suppress(OSError):
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(host, None, family=socket.AF_INET)
        self._send(answer(query, [one[4][0] for one in found]), addr)

    async def _reply(self, reply: Reply, addr: tuple[str, int]) -> None:
        if reply.delay:
            await self.clock.sleep(reply.delay)
        if reply.elsewhere:
            self._other.sendto(reply.data, addr)
        else:
            self._send(reply.data, addr)

    def _send(self, data: bytes, addr: tuple[str, int]) -> None:
        self.clock.handed(1)
        self._transport.sendto(data, addr)

    def _spawn(self, work) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def silent(query: bytes) -> list[Reply]:
    """No answer."""
    return []


def host_of(query: bytes) -> str:
    """The host that a query asks for."""
    labels, at = [], _HEAD.size
    while size := query[at]:
        labels.append(query[at + 1 : at + 1 + size].decode())
        at += 1 + size
    return ".".join(labels)


def answer(
    query: bytes, addresses: Iterable[str], *, through: Iterable[str] = (), ttl: int = 60
) -> bytes:
    """The right answer to a query: A records behind a chain of CNAMEs `through` other names; none: there is no such name."""
    addresses = list(addresses)
    owner = b"\xc0\x0c"  # the question's name
    records = []
    for name in through:
        target = labels(name)
        records.append(owner + _RECORD.pack(_CNAME, _IN, ttl, len(target)) + target)
        owner = target
    for address in addresses:
        records.append(owner + _RECORD.pack(_A, _IN, ttl, 4) + socket.inet_aton(address))
    flags = 0x8180 | (0 if addresses else _NO_SUCH_NAME)
    ident = int.from_bytes(query[:2], "big")
    head = _HEAD.pack(ident, flags, 1, len(records), 0, 0)
    return head + query[_HEAD.size :] + b"".join(records)


def labels(name: str) -> bytes:
    """A name as it stands in a record."""
    return b"".join(bytes([len(one)]) + one.encode() for one in name.split(".")) + b"\0"
