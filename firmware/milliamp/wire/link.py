# The link to the CSMS: whom to connect to, how often to try. One task owns it; everyone else only signals.
import asyncio

from micropython import const

from milliamp.base import facts, rare
from milliamp.storage import keys
from milliamp.wire.handshake import connect
from milliamp.wire.websocket import ConnectionClosed, HandshakeError
from tables import ids, words

_GOING_AWAY = const(1001)
# ms.
_LEAST_WAIT = const(1000)
# After so many in a row the password may be the reason.
_CLOSES = const(7)


class Link:
    """The connection and its supervisor."""

    def __init__(self, st):
        self.up = False
        # Of the network profile in use, or whose turn it is.
        self.slot = 1
        # Seconds that an answer may take, by that profile.
        self.timeout = 0
        # Since the last connection in which the CSMS said something.
        self._waits = 0
        # Why the last attempt failed.
        self.error = ""
        self._st = st
        self._socket = None
        # This connection: the CSMS has said something.
        self._good = False
        # Slot of the last connection.
        self._told = 0
        # NetworkConfigurationPriority, as it is tried.
        self._order = ""
        # In it; behind its end stands the profile that was good last.
        self._place = 0
        # At this place.
        self._failures = 0
        # The one that was set when the last attempt was made.
        self._password = None
        # The CSMS refused it: it is the old one's turn.
        self._old = False
        st.bus.subscribe(facts.VARIABLE, _variable)

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
                await self._serve()
                if st.settings.get(keys.PASSWORD) != self._password:
                    # That is why it was closed.
                    continue
            except HandshakeError as error:
                self._failed(str(error), error.status in (401, 403))
            except Exception as error:
                # No memory, say: it may be there after a while.
                st.fault(error, "the link")
                self._failed(type(error).__name__, False)
            await self._back_off()

    def ping_again(self) -> None:
        """Take over WebSocketPingInterval."""
        self._socket.ping_s = self._st.model.get(ids.OCPP_COMM_WEB_SOCKET_PING_INTERVAL)

    async def close(self) -> None:
        """Close the connection in order, before a reboot or to connect anew."""
        if self._socket is not None:
            await self._socket.close(_GOING_AWAY)

    def security(self, slot: int) -> int:
        """The security profile of a network profile."""
        get = self._st.settings.get
        return get(keys.SLOT_SECURITY + 16 * slot, 1 if get(keys.PASSWORD) else 0)

    async def _serve(self):
        st = self._st
        st.log.info("connected")
        self.error = ""
        self.up = True
        self._good = False
        told, self._told = self._told, self.slot
        st.bus.tell(facts.LINK, 0, 1 if told == self.slot else 2)
        self.timeout = st.model.get(ids.OCPP_COMM_MESSAGE_TIMEOUT_DEFAULT)
        self.ping_again()
        try:
            await st.rpc.run(self._socket, self._alive)
        except ConnectionClosed as error:
            self.error = "%d %s" % (error.code, error.reason)
            st.log.info("connection closed: " + self.error)
            if not st.rpc.messages:
                # As good as a handshake that failed. Whatever its code, it says nothing of the password, which the upgrade
                # took (1008: the CSMS still has our old connection). Who refuses one in this way alone does it each
                # time, so the old one has a try now and then.
                self._failed(self.error, self._waits & _CLOSES == _CLOSES)
                return
            self._waits = self._failures = 0
            self._old = False
            # The list again, with one attempt at what it begins with: reconnecting is not provisioning, and who fell back
            # to a later entry must not wait for all attempts at a dead one after each loss.
            if self._place:
                self._place = 0
                self._failures = (
                    st.model.get(ids.OCPP_COMM_NETWORK_PROFILE_CONNECTION_ATTEMPTS) - 1
                )
        finally:
            self.up = False
            self._socket = None
            st.bus.tell(facts.LINK, 0, 0)

    def _alive(self):
        # About once a second of a connection.
        st = self._st
        st.progress(2)
        messages = st.rpc.messages
        if st.settings.get(keys.PASSWORD) != self._password:
            # What set the new one has its answer.
            if not messages & 1:
                asyncio.create_task(self.close())
        elif messages and not self._good:
            self._good = True
            try:
                if not self._old:
                    st.settings.put((keys.OLD_PASSWORD, None))
                if st.profile.NETWORKS and st.settings.get(keys.GOOD_SLOT, 1) != self.slot:
                    rare.load("milliamp.wire.network_profiles").settle(st)
            except OSError:
                st.log.error("no room for what the CSMS has taken")

    async def _connect(self):
        st = self._st
        get = st.settings.get
        # Else there is but the first.
        if st.profile.NETWORKS:
            order = st.model.get(ids.OCPP_COMM_NETWORK_CONFIGURATION_PRIORITY)
            # A new list is tried from its first entry (B10.FR.04), each entry as often as
            # NetworkProfileConnectionAttempts says (B10.FR.03).
            if order != self._order:
                self._order = order
                self._place = self._failures = 0
            elif self._failures >= st.model.get(ids.OCPP_COMM_NETWORK_PROFILE_CONNECTION_ATTEMPTS):
                self._place += 1
                self._failures = 0
            slots = order.split(",")
            if self._place > len(slots):
                self._place = 0
            # Behind the list comes what worked last (B10.FR.07), and then the list again: no list that a CSMS sets makes
            # the station unreachable for good.
            self.slot = int((slots + [get(keys.GOOD_SLOT, 1)])[self._place])
        slot = self.slot
        base = get(keys.SLOT_URL + 16 * slot)
        if slot == 1:
            base = base or get(keys.CSMS_URL) or st.profile.URL
        self._password = password = get(keys.PASSWORD)
        # Which password the CSMS expects hangs on an answer that it may never have got (A01.FR.03, 04): new and old take
        # turns until one is taken, and the old one is forgotten only when the new one was.
        if self._old:
            password = get(keys.OLD_PASSWORD) or password
        identity = get(keys.IDENTITY) or st.profile.IDENTITY
        return await connect(
            st,
            url(base or "", identity),
            words.SUBPROTOCOL,
            (identity, password) if password and self.security(slot) else None,
        )

    def _failed(self, text, refused):
        if text != self.error:
            self._st.log.warn("cannot connect: " + text)
        self.error = text
        self._failures += 1
        self._old = refused and not self._old

    async def _back_off(self):
        """Wait for the minimum, doubled with each further wait, and a random part (Part 4, 5.3); a second
        at least, whatever the variables say."""
        st = self._st
        doublings = min(self._waits, st.model.get(ids.OCPP_COMM_RETRY_BACK_OFF_REPEAT_TIMES))
        self._waits += 1
        seconds = st.model.get(ids.OCPP_COMM_RETRY_BACK_OFF_WAIT_MINIMUM) << doublings
        share = st.board.random(2)
        random = st.model.get(ids.OCPP_COMM_RETRY_BACK_OFF_RANDOM_RANGE) * 1000
        left = max(seconds * 1000 + random * (share[0] << 8 | share[1]) // 65535, _LEAST_WAIT)
        # In short sleeps: the supervisor wants to see progress.
        while left > 0:
            await asyncio.sleep_ms(min(left, 5000))
            st.progress(2)
            # What is lost meanwhile is sought meanwhile.
            st.board.network()
            left -= 5000


def url(base: str, identity: str) -> str:
    """The URL of the connection: the CSMS's, and behind its path the identity percent-encoded (Part 4, 3.1.1)."""
    base, mark, query = base.partition("?")
    out = bytearray((base.rstrip("/") + "/").encode())
    for c in identity.encode():
        if 48 <= c <= 57 or 65 <= c <= 90 or 97 <= c <= 122 or c in b"-._~":
            out.append(c)
        else:
            out += b"%%%02X" % c
    return str(out, "utf-8") + mark + query


def _variable(st, fact, evse, variable):
    # A new ping interval holds from now on.
    if variable == ids.OCPP_COMM_WEB_SOCKET_PING_INTERVAL and st.link.up:
        st.link.ping_again()
