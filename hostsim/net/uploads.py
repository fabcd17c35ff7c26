"""A file server on the loopback, for what a station uploads."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass


@dataclass
class Upload:
    """A file that came in whole."""

    method: str
    path: str
    body: bytes


class Store:
    """Takes what is PUT or POSTed. `status` is its answer; while `hold` is on, it takes everything and answers
    nothing."""

    def __init__(self) -> None:
        self.status = 201
        self.uploads: list[Upload] = []
        self.begun = 0  # requests whose first line has come
        self._free = asyncio.Event()
        self._free.set()
        self._server: asyncio.Server = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def hold(self) -> bool:
        return not self._free.is_set()

    @hold.setter
    def hold(self, on: bool) -> None:
        self._free.clear() if on else self._free.set()

    @property
    def location(self) -> str:
        """The URL of its folder."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/logs/"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            self.begun += 1
            method, path, _ = head[0].split(" ")
            fields = dict(line.lower().split(":", 1) for line in head[1:] if ":" in line)
            body = await reader.readexactly(int(fields["content-length"]))
            if self.status // 100 == 2:
                self.uploads.append(Upload(method, path, body))
            await self._free.wait()
            writer.write(b"HTTP/1.1 %d Answer\r\nContent-Length: 0\r\n\r\n" % self.status)
            await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


@contextlib.asynccontextmanager
async def store(status: int = 201) -> AsyncIterator[Store]:
    """A `Store` that answers so."""
    this = Store()
    this.status = status
    this._server = await asyncio.start_server(this._serve, "127.0.0.1", 0)
    try:
        yield this
    finally:
        this.hold = False
        this._server.close()
        for writer in list(this._writers):
            writer.close()
