# The link to the CSMS: whom to connect to, how often to try. One task owns it; everyone else only signals.
import asyncio

from micropython import const

from milliamp.base.facts import _LINK, _VARIABLE
from milliamp.storage.keys import _CSMS_URL, _IDENTITY, _PASSWORD
from milliamp.wire.handshake import HandshakeError, connect
from milliamp.wire.websocket import ConnectionClosed
from tables.ids import (
    _OCPP_COMM_RETRY_BACK_OFF_RANDOM_RANGE,
    _OCPP_COMM_RETRY_BACK_OFF_REPEAT_TIMES,
    _OCPP_COMM_RETRY_BACK_OFF_WAIT_MINIMUM,
    _OCPP_COMM_WEB_SOCKET_PING_INTERVAL,
)

_PROTOCOL = "ocpp2.0.1"
_GOING_AWAY = const(1001)


class Link:
    """The connection and its supervisor."""

    def __init__(self, st):
        self.up = False
        self._waits = 0  # since the last connection that came up
        self.error = ""  # why the last attempt failed
        self._st = st
        self._socket = None
        st.bus.subscribe(_VARIABLE, _variable)

    async def run(self) -> None:
        """The link task: connect, serve until the connection ends, wait, again."""
        st = self._st
        while True:
            st.progress(2)
            if not st.board.network():
                await asyncio.sleep_ms(1000)
                continue
            try:
                self._socket = await self._connect()
            except HandshakeError as error:
                self._failed(str(error))
            else:
                await self._serve()
            await self._back_off()

    def ping_again(self) -> None:
        """Take over WebSocketPingInterval."""
        self._socket.ping_s = self._st.model.get(_OCPP_COMM_WEB_SOCKET_PING_INTERVAL)

    async def close(self) -> None:
        """Close the connection in order, before a reboot or to connect anew."""
        if self._socket is not None:
            await self._socket.close(_GOING_AWAY)

    async def _serve(self):
        st = self._st
        st.log.info("connected")
        self._waits = 0
        self.error = ""
        self.up = True
        st.bus.tell(_LINK, 0, 1)
        self.ping_again()
        try:
            await st.rpc.run(self._socket, lambda: st.progress(2))
        except ConnectionClosed as error:
            self.error = "%d %s" % (error.code, error.reason)
            st.log.info("connection closed: " + self.error)
        finally:
            self.up = False
            self._socket = None
            st.bus.tell(_LINK, 0, 0)

    async def _connect(self):
        st = self._st
        get = st.settings.get
        identity = get(_IDENTITY) or st.profile.IDENTITY
        password = get(_PASSWORD)
        return await connect(
            url(get(_CSMS_URL) or st.profile.URL, identity),
            _PROTOCOL,
            st.rpc.receive,
            st.rpc.transmit,
            st.board.random,
            (identity, password) if password else None,
        )

    def _failed(self, text):
        if text != self.error:
            self._st.log.warn("cannot connect: " + text)
        self.error = text

    async def _back_off(self):
        """Wait for the minimum, doubled with each further wait, and a random part (Part 4, 5.3)."""
        st = self._st
        get = st.model.get
        doublings = min(self._waits, get(_OCPP_COMM_RETRY_BACK_OFF_REPEAT_TIMES))
        self._waits += 1
        seconds = get(_OCPP_COMM_RETRY_BACK_OFF_WAIT_MINIMUM) << doublings
        share = st.board.random(2)
        random = get(_OCPP_COMM_RETRY_BACK_OFF_RANDOM_RANGE) * 1000
        left = seconds * 1000 + random * (share[0] << 8 | share[1]) // 65535
        while left > 0:  # in short sleeps: the supervisor wants to see progress
            await asyncio.sleep_ms(min(left, 5000))
            st.progress(2)
            left -= 5000


def url(base: str, identity: str) -> str:
    """The URL of the connection: the CSMS's, and the identity percent-encoded (Part 4, 3.1.1)."""
    out = base.rstrip("/") + "/"
    for c in identity.encode():
        plain = 48 <= c <= 57 or 65 <= c <= 90 or 97 <= c <= 122 or c in b"-._~"
        out += chr(c) if plain else "%%%02X" % c
    return out


def _variable(st, fact, evse, variable):
    # A new ping interval holds from now on.
    if variable == _OCPP_COMM_WEB_SOCKET_PING_INTERVAL and st.link.up:
        st.link.ping_again()
