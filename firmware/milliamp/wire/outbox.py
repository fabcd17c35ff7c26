# The one sender. Nothing is queued here: each block says what is due, this task asks them in turn.
#
# A row of a block's SENDS is (priority, gate, action, due, render, answered):
#   due(st) -> None, or a cursor that says what to send
#   render(st, w, cursor) writes the fields of the payload; what it leaves open is closed; it may be async
#   answered(st, cursor, r, at): the answer's payload; r is None when it failed or could not be understood. It may be async
import asyncio

from micropython import const

from milliamp.base import facts
from milliamp.storage import kinds
from milliamp.wire import gates, rpc
from tables import ids, registrations

# Records of the journal that are looked at between two yields.
_PIECE = const(6)
# ms, six days: ticks are compared on a ring of twelve.
_LONGEST_GAP = const(0x1FFFFFFF)


class Outbox:
    """What may be sent, and whose turn it is. 40 bytes a row."""

    def __init__(self, st):
        self.registration = registrations.REJECTED
        # The CSMS said so, not only nothing yet.
        self.refused = False
        self._st = st
        self._rows = []
        self._asked = set()
        # Something may be due that the sender has not looked for.
        self.news = asyncio.Event()
        # By so many messages the journal was, since it had something to send.
        self._overtaken = 0
        # Then it is its turn; the status of every connector comes before it.
        self._patience = 1 + sum(map(len, st.profile.EVSES))
        # At the journal's head, whatever the connection.
        self._attempts = 0
        # Ticks of the last one.
        self._attempt_at = 0
        # ms until the next one.
        self._gap = 0
        # Actions of the journal's that this connection's CSMS never takes.
        self.unwanted: tuple = ()
        st.bus.subscribe(facts.LINK, _link)

    def add(self, rows) -> None:
        """Take in the SENDS of a block that was just imported."""
        self._rows.extend(rows)
        self._rows.sort(key=lambda row: row[0])

    def remove(self, rows) -> None:
        """Forget the SENDS of a block that goes."""
        for row in rows:
            self._rows.remove(row)

    def wake(self) -> None:
        """Something may be due."""
        self.news.set()

    def ask(self, action: str) -> None:
        """The CSMS asked for this message: it may go even while Pending (B02.FR.01)."""
        self._asked.add(action)
        self.wake()

    def register(self, registration: int) -> None:
        """The CSMS answered the BootNotification."""
        self.registration = registration
        self.refused = registration == registrations.REJECTED
        self._overtaken = 0
        self.live()
        self.wake()

    def live(self) -> None:
        """The link or the registration changed: tell whether the station is online now."""
        st = self._st
        accepted = self.registration == registrations.ACCEPTED
        online = accepted and st.link.up
        changed = accepted != st.accepted
        st.accepted = accepted
        if online != st.online:
            st.online = online
            st.journal.connected(online)
        if changed:
            st.bus.tell(facts.ACCEPTED, 0, accepted)

    def _may(self, row):
        gate = row[1]
        registration = self.registration
        if registration == registrations.PENDING and row[2] in self._asked:
            return True
        return (
            gate <= registration
            or gate == gates.FROM_JOURNAL
            and registration == registrations.ACCEPTED
        )

    def _next(self):
        """The row whose turn it is, and its cursor."""
        st = self._st
        first = None
        for row in self._rows:
            if not self._may(row):
                continue
            journal = row[1] == gates.FROM_JOURNAL
            # The journal comes last, but for once in a while: the CSMS may keep the others busy for ever, and
            # transactions have to arrive (E04.FR.02). Between two attempts it has no turn at all.
            if journal:
                if self._gap and st.clock.since(self._attempt_at) < self._gap:
                    continue
                if first is not None and self._overtaken < self._patience:
                    continue
            elif first is not None:
                continue
            cursor = row[3](st)
            if cursor is not None:
                first = row, cursor
                if journal:
                    break
        return first

    async def run(self) -> None:
        """The sender task: one call at a time, for ever."""
        st = self._st
        while True:
            st.progress(1)
            while st.journal.head(_PIECE) is False:
                await asyncio.sleep_ms(0)
            first = self._next() if st.link.up else None
            if first is None:
                head = st.journal.head() if st.online and not self._gap else None
                # Of a block that this image has not: it must not stand in the way of all others.
                if head:
                    self._journal(rpc.ERROR, "", head)
                    continue
                await self.news.wait()
                self.news.clear()
                continue
            row, cursor = first
            self._asked.discard(row[2])
            await asyncio.sleep_ms(0)
            journal = row[1] == gates.FROM_JOURNAL
            if journal and row[2] in self.unwanted:
                self._journal(rpc.NEVER, row[2], cursor)
                continue
            outcome = await st.rpc.call(row[2], row[4], cursor, row[5], st.link.timeout)
            if outcome != rpc.OK:
                # Until the link knows it, too; and what fails again and again leaves the others their time.
                await asyncio.sleep_ms(100)
            if outcome not in (rpc.OK, rpc.DOWN):
                more = row[5](st, cursor, None, 0)
                if more:
                    await more
            if journal:
                self._overtaken = 0
                self._journal(outcome, row[2], cursor)
            elif st.journal.pending:
                self._overtaken += 1

    def _journal(self, outcome, action, head):
        """What becomes of the journal's head after an attempt. An attempt that the connection did not
        survive does not count, and no new connection makes the others undone.

        A transaction event has its attempts whatever the error is (E13.FR.02). Nothing else may hold it up:
        an error is the end of any other record, and what nobody answered gets one more attempt behind the
        rest of the queue, marked as told again."""
        st = self._st
        if outcome == rpc.OK:
            st.journal.ack()
        elif outcome == rpc.DOWN:
            # The CSMS was away, or became so: that is no failure to process the message (E13.FR.02), and it may be away
            # for weeks. `rpc` says TIMEOUT only where the peer sent something since.
            return
        elif head[1] not in (kinds.TX_EVENT, kinds.TX_UPDATE):
            if outcome == rpc.NEVER:
                if action not in self.unwanted:
                    self.unwanted += (action,)
                    st.log.warn("the CSMS takes no " + action)
            elif outcome == rpc.TIMEOUT and not head[4][0] & kinds.AGAIN:
                again = bytearray(head[4])
                again[0] |= kinds.AGAIN
                try:
                    st.journal.append(head[1], again, head[3])
                except OSError:
                    # Full of transactions.
                    pass
            st.journal.discard()
        else:
            self._attempts += 1
            if self._attempts < st.model.get(ids.OCPP_COMM_MESSAGE_ATTEMPTS_TRANSACTION_EVENT):
                # E13.FR.03: longer each time, by the number of transmissions.
                self._attempt_at = st.clock.ticks()
                interval = st.model.get(ids.OCPP_COMM_MESSAGE_ATTEMPT_INTERVAL_TRANSACTION_EVENT)
                self._gap = min(interval * 1000 * self._attempts, _LONGEST_GAP)
                return
            # E13.FR.04. The one way in which an event is discarded: it is counted, and the log says so.
            st.log.error("given up after %d attempts" % self._attempts)
            st.journal.discard()
        self._attempts = self._gap = 0
        if not st.journal.pending:
            st.bus.tell(facts.QUEUE_EMPTY)


def _link(st, fact, evse, up):
    # It knows nothing of us yet.
    if up == 2:
        st.outbox.registration = registrations.REJECTED
        st.outbox.refused = False
    st.outbox.unwanted = ()
    st.outbox.live()
    st.outbox.wake()
