"""What a CSMS that will not have the station is told to be, and what becomes of what was asked meanwhile."""

import asyncio
import contextlib
import ssl
import subprocess

import pytest
from websockets.asyncio.server import serve

from hostsim.charger import refusal
from hostsim.charger.station import Options, Station
from hostsim.clock.virtual import VirtualClock, virtually


@contextlib.asynccontextmanager
async def station_at(url: str):
    """A station of its own, whose CSMS is at `url`."""
    async with Station(VirtualClock(), url, Options(identity="CS1")) as station:
        yield station


async def refused(url: str) -> str:
    """Why a CSMS is not to be had."""
    async with station_at(url) as station, station.clock.timeout(120):
        return await refusal.watch(station)


@contextlib.asynccontextmanager
async def listening(answer, **options):
    """A server that answers what it reads first with `answer`, and closes; where it listens."""

    async def serve_one(reader, writer):
        await reader.read(4096)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0, **options)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}/ocpp"


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "does not know ws://127.0.0.1:{port}/ocpp/CS1"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "is no CSMS (SSH-2.0-OpenSSH_9.2)"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "speaks TLS: write wss://"),
        (
            b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
            "speaks TLS: write wss://",
        ),
        (b"", "gives no answer"),
    ],
    ids=["404", "ssh", "alert", "https", "nothing"],
)
@virtually
async def test_what_answers_is_no_csms_for_us(answer, word):
    async with listening(answer) as place:
        port = place.split(":")[1].split("/")[0]
        assert word.format(port=port) in await refused("ws://" + place)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
@virtually
async def test_a_plain_port_for_wss(answer):
    async with listening(answer) as place:
        assert f"what listens at wss://{place} speaks no TLS" in await refused("wss://" + place)


@virtually
async def test_a_certificate_of_an_authority_that_nobody_knows(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", key, "-out", certificate, "-subj", "/CN=csms", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with listening(b"", ssl=context) as place:
        why = await refused("wss://" + place)
        assert "self-signed certificate" in why and "SSL_CERT_FILE" in why


@virtually
async def test_an_identity_that_is_not_known_is_told_once_and_tried_again():
    known = asyncio.Event()

    async def handle(connection):
        if known.is_set():
            await connection.recv()
            await connection.send('[4,"1","GenericError","",{}]')
        await connection.close(1008, "unknown station")

    async with serve(handle, "127.0.0.1", 0, subprotocols=["ocpp2.0.1"]) as server:
        port = server.sockets[0].getsockname()[1]
        async with station_at(f"ws://127.0.0.1:{port}") as station:
            notes, ends = [], asyncio.Queue()
            station.traffic.on_note.append(notes.append)
            station.traffic.on_end.append(ends.put_nowait)
            watching = asyncio.create_task(refusal.watch(station))
            await ends.get()
            await ends.get()
            (note,) = notes
            assert f"ws://127.0.0.1:{port}/CS1" in note and "1008 unknown station" in note
            assert "is the station known there?" in note
            assert not watching.done()
            known.set()
            while not any(message.direction == "<" for message in station.traffic.messages):
                await ends.get()
            station.traffic.notes.clear()
            known.clear()
            await ends.get()
            assert len(notes) == 1, "once it has said something, ends are life"
            watching.cancel()
