"""Says early and clearly when a CSMS will not have this station: unreachable, password, subprotocol, path."""

import asyncio
import ssl

from hostsim.station import Station
from hostsim.traffic import Tap

SUBPROTOCOL = "ocpp2.0.1"


async def watch(station: Station) -> str:
    """Return why the first connection failed, a line with what to do. Once one was good, never return: from then on
    failures are life."""
    refused: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    url = station.url

    def judge(tap: Tap) -> None:
        if refused.done():
            return
        if tap.status == 101 and tap.subprotocol == SUBPROTOCOL:
            settle()
        else:
            refused.set_result(_why(tap, url))

    def unreachable(error: OSError) -> None:
        if not refused.done():
            refused.set_result(_unreachable(error, url))

    def settle() -> None:
        for callbacks, callback in subscriptions:
            if callback in callbacks:
                callbacks.remove(callback)

    subscriptions = (
        (station.traffic.on_handshake, judge),
        (station.network.on_unreachable, unreachable),
    )
    for callbacks, callback in subscriptions:
        callbacks.append(callback)
    try:
        return await refused
    finally:
        settle()


def _why(tap: Tap, url: str) -> str:
    if tap.status == 401:
        return f"the CSMS at {url} refuses the password: give the station's with --password"
    if tap.status == 101:
        chosen = tap.subprotocol or "none"
        return f"the CSMS at {url} chose the subprotocol {chosen}: it must speak {SUBPROTOCOL}"
    if tap.status in (400, 403, 404):
        return (
            f"the CSMS at {url} does not know this path or identity, or does not speak {SUBPROTOCOL} "
            f"(HTTP {tap.status}): check --url and --id"
        )
    first = tap.response[0][:80] if tap.response else "nothing"
    return f"what answers at {url} is no CSMS ({first}): check --url"


def _unreachable(error: OSError, url: str) -> str:
    if isinstance(error, ssl.SSLError):
        return f"no TLS with {url}: {error.reason or error}; check the certificate of the CSMS"
    return f"nobody answers at {url} ({error.strerror or error}): start the CSMS, or check the address"
