"""How fast a queue is flushed: the whole station in virtual time, but for the socket, behind which a CSMS answers
each call after one round trip."""

import asyncio
import heapq
import json

from hostsim.clock import virtual
from hostsim.lives.bench import Bench

from milliamp.base.facts import LINK  # isort: skip
from milliamp.wire.websocket import HEAD  # isort: skip

ROUND_TRIP = 0.05  # seconds


class Socket:
    """What wire.rpc needs of a WebSocket."""

    clock: virtual.VirtualClock
    continued = oversize = binary = False
    diverted = ()
    dead = ""

    def __init__(self, bench):
        self.bench = bench
        self.lock = asyncio.Lock()
        self.answers: list = []  # (due, text)
        self.events: list = []  # (sent, answered) of each TransactionEvent

    def send(self, end, final):
        now = self.clock.now()
        assert final
        _, ident, action, payload = json.loads(bytes(self.bench.st.rpc.transmit[HEAD:end]))
        answer = self.bench.reply(action, payload)
        if action == "BootNotification":
            answer = {"currentTime": self.bench.time(), "interval": 300, "status": "Accepted"}
        elif action == "Heartbeat":
            answer = {"currentTime": self.bench.time()}
        elif action == "TransactionEvent":
            self.bench.ledger.record(payload)
            self.events.append((now, now + ROUND_TRIP))
        heapq.heappush(self.answers, (now + ROUND_TRIP, json.dumps([3, ident, answer]).encode()))

    async def drain(self):
        pass

    async def recv(self):
        while not self.answers:
            await virtual.sleep(ROUND_TRIP / 10)
        due, text = heapq.heappop(self.answers)
        await virtual.sleep(due - self.clock.now())
        self.bench.st.rpc.receive[: len(text)] = text
        return len(text)

    async def keep(self, passed):
        return True

    async def release(self):
        pass


def flush(events):
    """Make so many events without a connection, then connect. How many were delivered, per round trip, from
    the first to the last of them; and the faults that the CSMS's ledger found."""
    bench = Bench({"SampledDataCtrlr.TxUpdatedInterval": "1"})
    bench.plug()
    bench.card()
    bench.poll(1000)
    bench.deliver()
    bench.st.outbox.registration = 0
    bench.disconnect()
    while bench.st.journal.pending < events:
        bench.poll(1000)
    bench.stop_button()
    bench.unplug()
    queued = bench.st.journal.pending
    begin = bench.board.now
    bench.board.ticks = lambda: begin + socket.clock.now_ms() & 0x3FFFFFFF
    bench.board.started = lambda st: None

    socket = Socket(bench)

    async def connected():
        bench.st.link.up, bench.st.link.timeout = True, 30
        bench.st.bus.tell(LINK, 0, 2)
        await bench.st.rpc.run(socket)

    async def live():
        socket.clock = virtual.VirtualClock()
        bench.st.link.run = connected
        station = asyncio.ensure_future(bench.st.run())
        while bench.st.journal.pending:
            await virtual.sleep(1)
            assert not station.done() and socket.clock.now() < 60 + 10 * queued * ROUND_TRIP
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    virtual.run(live())
    assert len(socket.events) == queued
    first, last = socket.events[0][0], socket.events[-1][1]
    return queued * ROUND_TRIP / (last - first), bench.problems()
