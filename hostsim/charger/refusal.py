"""Says early and clearly when a CSMS will not have this station: unreachable, password, subprotocol, path, identity."""

import asyncio
import ssl
from urllib.parse import urlsplit

from hostsim.charger.station import Station
from hostsim.net.traffic import DOWN, MessageSeen, Tap
from tools.builder import versions

SUBPROTOCOL = versions.load().subprotocol
_ALERT = b"\x15\x03"  # how an answer of TLS begins that has no handshake before it


async def watch(station: Station) -> str:
    """Return why the first connection failed, a line with what to do. Once the CSMS has said something, never return:
    from then on failures are life."""
    refused: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    url = station.url

    def refuse(why: str) -> None:
        if not refused.done():
            refused.set_result(why)

    def judge(tap: Tap) -> None:
        if not _is_open(tap):
            refuse(_why(tap, url))

    def ended(tap: Tap) -> None:
        if station.network.mode != "on" or tap.ender != DOWN and not (tap.response or tap.unread):
            return  # not the CSMS's doing
        if not _is_open(tap):
            refuse(_why(tap, url))
        elif tap.ender == DOWN:  # somebody may make the station known there meanwhile
            station.traffic.note(_hung_up(tap, url))

    def heard(message: MessageSeen) -> None:
        if message.direction == DOWN and not refused.done():
            settle()

    def settle() -> None:
        for callbacks, callback in subscriptions:
            if callback in callbacks:
                callbacks.remove(callback)

    subscriptions = (
        (station.traffic.on_handshake, judge),
        (station.traffic.on_end, ended),
        (station.traffic.on_message, heard),
        (station.network.on_unreachable, lambda error: refuse(_unreachable(error, url))),
    )
    for callbacks, callback in subscriptions:
        callbacks.append(callback)
    try:
        return await refused
    finally:
        settle()


def _is_open(tap: Tap) -> bool:
    return tap.status == 101 and tap.subprotocol == SUBPROTOCOL


def _asked(tap: Tap, url: str) -> str:
    """The whole URL that was asked for, the identity with it."""
    words = tap.request[0].split() if tap.request else []
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{words[1]}" if len(words) > 1 else url


def _why(tap: Tap, url: str) -> str:
    if tap.status == 401:
        return f"the CSMS at {url} refuses the password: give the station's with --password"
    if tap.status == 101:
        chosen = tap.subprotocol or "none"
        return f"the CSMS at {url} chose the subprotocol {chosen}: it must speak {SUBPROTOCOL}"
    if tap.unread.startswith(_ALERT) or b"HTTPS" in tap.unread:
        return f"what answers at {url} speaks TLS: write wss:// there"
    if tap.status in (400, 403, 404):
        return (
            f"the CSMS does not know {_asked(tap, url)}, or does not speak {SUBPROTOCOL} "
            f"(HTTP {tap.status}): check --url and --id"
        )
    if not tap.response and not tap.unread:
        return f"what listens at {url} gives no answer: is it a CSMS, or does it want wss://?"
    first = tap.response[0][:80] if tap.response else "not HTTP"
    return f"what answers at {url} is no CSMS ({first}): check --url"


def _hung_up(tap: Tap, url: str) -> str:
    code, reason = tap.close or (0, "")
    said = f"{code} {reason}".strip() if code else "without a reason"
    return (
        f"the CSMS takes the connection to {_asked(tap, url)} and closes it before it says anything ({said}): "
        "is the station known there? It is tried again"
    )


def _unreachable(error: OSError, url: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the certificate of the CSMS at {url} is not good ({error.verify_message}): an authority of your own "
            "goes into the environment, SSL_CERT_FILE=its.pem"
        )
    if isinstance(error, ssl.SSLError | ConnectionResetError) and urlsplit(url).scheme == "wss":
        return f"what listens at {url} speaks no TLS ({_reason(error)}): write ws://, or give the port of TLS"
    return f"nobody answers at {url} ({_reason(error)}): start the CSMS, or check the address"


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error) or type(error).__name__
