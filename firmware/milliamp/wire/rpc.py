# OCPP-J: calls of ours, one at a time, and calls of the CSMS, which are answered while ours is open.
#
# `run` is the receive loop. A call of the CSMS is handled to its end before the next message is read,
# so the two buffers and one Reader and Writer are enough for everything.
import asyncio
from time import ticks_diff

from micropython import const

from milliamp.base import counts
from milliamp.wire import schema
from milliamp.wire.jsonreader import Reader
from milliamp.wire.jsonwriter import Writer
from milliamp.wire.websocket import HEAD, ConnectionClosed

# How a call of ours ended.

# CALLRESULT.
OK = 0
# CALLERROR.
ERROR = 1
# Nobody answered, though the peer sent something meanwhile.
TIMEOUT = 2
# The link was down, or went down.
DOWN = 3
# A CALLERROR that says: no message of this kind is taken, now or later.
NEVER = 4

_PENDING = const(-1)

_CALL = const(2)
_RESULT = const(3)
_ERROR = const(4)

# Of JSON that are scanned between two yields.
_TOKENS = const(50)
# Bytes of a message id, quotes included; OCPP says 36, some send more.
_MAX_ID = const(130)
_MAX_ACTION = const(50)


class CallError(Exception):
    """Raised by a handler to answer with a CALLERROR. `code` as OCPP 2.0.1 spells it."""

    def __init__(self, code: str, text: str = ""):
        super().__init__(code, text)
        self.code = code
        self.text = text


class Rpc:
    """Handlers are found by `st.handler(action)`: (function, is it async) when there is one, False for
    an action that this build leaves out, None for one that OCPP does not know. Then `st.refuse(action)`
    may give the code of a CALLERROR. A handler is called as `function(st, reader, payload, writer)`
    with a payload that fits its schema and writes the fields of the answer; what it leaves open is closed.
    It may raise CallError, and return (act, arg): `act(st, arg)` is called when the answer has left.
    An async one awaits `pause()` between items.
    """

    def __init__(self, st, receive: bytearray, transmit: bytearray):
        self.receive = receive
        self.transmit = transmit
        self.reader = Reader(receive)
        self.writer = Writer(transmit, HEAD, self._fragment, st.clock.text)
        # Error codes that the negotiated version spells in another way.
        self.spelling = {}
        # How often timeouts are looked at.
        self.tick_ms = 1000
        self._st = st
        self._schemas = st.schemas.SCHEMAS
        self._ws = None
        self._prefix = "%04x" % int.from_bytes(st.board.random(2), "big")
        self._count = 0
        # Received and handled in this connection: odd while one is in our hands.
        self.messages = 0
        # The call of ours that is open:

        # Empty when no answer is awaited.
        self._id = ""
        self._action = ""
        self._answered = None
        self._cursor = None
        self._left_ms = 0
        self._outcome = OK
        self._done = asyncio.Event()
        # The task that is writing it.
        self._sender = None

    # --- our calls ------------------------------------------------------------------------------------
    async def call(self, action: str, render, cursor, answered, timeout_s: int = 30) -> int:
        """Send a CALL and wait until it is answered, too late, or the link is down; one at a time.

        `render(st, writer, cursor)` writes the payload's fields; it may be async. When it is answered with a CALLRESULT,
        `answered(st, cursor, reader, at)` is called before this returns OK, and awaited if it is async.
        What of the answer breaks the schema is absent, also what is required; reader is None and at 0 if it
        is no JSON, for the call was answered all the same. Only OK calls it.
        """
        ws = self._ws
        self._outcome = _PENDING
        if ws is None:
            # Nobody who tries again may keep the others from running.
            await asyncio.sleep_ms(0)
        else:
            self._count = self._count + 1 & 0xFFFFFF
            self._action = action
            self._answered = answered
            self._cursor = cursor
            self._left_ms = timeout_s * 1000
            ws.heard = False
            self._done.clear()
            self._sender = asyncio.current_task()
            try:
                async with ws.lock:
                    await self._send_call(ws, render)
                if ws.continued:
                    # `render` failed when half of the message had left.
                    await ws.close(1011)
                self._sender = None
                await self._done.wait()
            except ConnectionClosed:
                pass
            except asyncio.CancelledError:
                # Not because the link is down, then.
                if self._ws is ws:
                    raise
            finally:
                self._id = ""
                self._sender = self._answered = self._cursor = None
        if self._outcome == _PENDING:
            self._outcome = DOWN
        return self._outcome

    async def _send_call(self, ws, render):
        self._id = "%s%x" % (self._prefix, self._count)
        w = self.writer
        w.start()
        w.array()
        w.value(_CALL)
        w.value(self._id)
        w.value(self._action)
        w.object()
        try:
            more = render(self._st, w, self._cursor)
            if more:
                await more
        except ConnectionClosed:
            raise
        except Exception as e:
            self._st.fault(e, self._action)
            self._finish(ERROR)
            return
        w.finish()
        await asyncio.sleep_ms(0)
        ws.send(w.at, True)
        await ws.drain()

    def _finish(self, outcome):
        self._id = ""
        self._outcome = outcome
        self._done.set()

    # --- the receive loop -----------------------------------------------------------------------------
    async def run(self, ws, alive=None) -> None:
        """Serve a connection until it ends: raises ConnectionClosed, which says how. Then the socket is
        closed, an open call has ended as DOWN, and the next connection may be served.

        `alive()` is called about once a second, except while one message keeps the loop for longer."""
        st = self._st
        self._ws = ws
        self.messages = 0
        watch = asyncio.create_task(self._watch(ws, asyncio.current_task(), alive))
        try:
            while True:
                size = await ws.recv()
                self.messages += 1
                try:
                    await self._on_message(ws, size)
                except ConnectionClosed:
                    raise
                except Exception as e:
                    # Whatever it was, it ends no more than this message.
                    st.fault(e, "a message")
                    if ws.continued:
                        await ws.close(1011)
                    if not self._id and not self._sender and self._outcome == _PENDING:
                        # This was the answer to our call.
                        self._finish(ERROR)
                self.messages += 1
        except ConnectionClosed as e:
            if e.code == 1006:
                st.counters[counts.LINK_LOSSES] += 1
            raise
        except asyncio.CancelledError:
            # Not by `_watch`, then.
            if not ws.dead:
                raise
            st.counters[counts.LINK_LOSSES] += 1
            raise ConnectionClosed(1006, ws.dead)
        finally:
            watch.cancel()
            self._ws = None
            if self._sender:
                self._sender.cancel()
            if self._outcome == _PENDING:
                self._finish(DOWN)
            await ws.release()

    async def _watch(self, ws, reader, alive):
        # Time: our open call, pings, what the peer owes us.
        board = self._st.board
        then = board.ticks()
        messages = 0
        while True:
            await asyncio.sleep_ms(self.tick_ms)
            now = board.ticks()
            passed = ticks_diff(now, then)
            then = now
            doubt = False
            if self._id:
                self._left_ms -= passed
                # Silence may be the line's and not the CSMS's: a pong tells them apart, whatever
                # WebSocketPingInterval says. Without one the call ends as DOWN.
                doubt = not ws.heard and self._left_ms < ws.patience_ms // 2
                if self._left_ms <= 0 and ws.heard:
                    self._st.counters[counts.TIMEOUTS] += 1
                    self._finish(TIMEOUT)
            try:
                if not await ws.keep(passed, doubt):
                    break
                if alive and not (self.messages & 1 and self.messages == messages):
                    alive()
                messages = self.messages
            except ConnectionClosed:
                break
            except Exception as e:
                # Without this task nobody would see that the line is dead.
                self._st.fault(e, "the watch")
        reader.cancel()

    async def _on_message(self, ws, size):
        st = self._st
        r = self.reader
        # All of it was looked through for UTF-8.
        await asyncio.sleep_ms(0)
        r.load(size)
        r.diverted = ws.diverted
        if ws.diverted:
            st.counters[counts.DIVERTED] += len(ws.diverted)
        good = None
        while good is None:
            await asyncio.sleep_ms(0)
            good = r.check(_TOKENS)
        # The elements of the frame, as far as they can be read: [kind, ident, third, fourth].
        kind = None
        ident = third = fourth = 0
        at = r.root
        if at < r.end and r.buf[at] == 91 and not ws.binary:
            at = r.first(at)
            if at:
                kind = r.number(at)
                ident = r.next(at)
                if ident:
                    third = r.next(ident)
                    if third:
                        fourth = r.next(third)
                if ident and (r.buf[ident] != 34 or r.skip(ident) - ident > _MAX_ID):
                    ident = 0
        if ws.oversize:
            st.counters[counts.OVERSIZE] += 1
        if kind == _RESULT or kind == _ERROR:
            await self._on_answer(good, kind, ident, third)
            return
        try:
            is_call = kind == _CALL and ident and (good or third)
            if not is_call:
                st.counters[counts.BAD_FRAMES] += 1
            if ws.oversize:
                raise CallError(schema.UNKNOWN, "longer than %d bytes" % len(self.receive))
            if is_call:
                await self._on_call(ws, good, ident, third, fourth)
                return
            if good and ident and kind is not None and kind != _CALL:
                raise CallError("MessageTypeNotSupported")
            raise CallError(
                "RpcFrameworkError", "binary" if ws.binary else "" if good else "not JSON"
            )
        except CallError as e:
            error = e
        except ConnectionClosed:
            raise
        except Exception as e:
            self._st.fault(e, "a call")
            error = CallError("InternalError")
        if ws.continued:
            # Half of the answer has left.
            await ws.close(1011)
        else:
            await self._refuse(ws, ident, error.code, error.text)

    async def _on_answer(self, good, kind, ident, at):
        r = self.reader
        counters = self._st.counters
        if not self._id or not r.same(ident, self._id):
            counters[counts.LATE_ANSWERS] += 1
            return
        # It is answered: it cannot time out any more, nor be answered twice.
        self._id = ""
        if kind == _ERROR:
            counters[counts.ERROR_ANSWERS] += 1
            code = r.text(at) if at and r.skip(at) - at < _MAX_ACTION else None
            self._st.log.warn("%s: answered with %s" % (self._action, code or "an error"))
            # These two are spelled alike in every version.
            never = code == "NotImplemented" or code == "NotSupported"
            self._finish(NEVER if never else ERROR)
            return
        count = self._count
        action = self._action
        type_ = schema.find(self._schemas, action, True)
        wrong = "", "no payload"
        if good and at and type_:
            wrong = await schema.check(r, at, self._schemas, type_, True)
        else:
            r = None
            at = 0
        if wrong:
            counters[counts.MALFORMED_ANSWERS] += 1
            self._st.log.warn("%s: %s: answered all the same" % (action, wrong[1]))
        await asyncio.sleep_ms(0)
        # Nothing has happened meanwhile.
        if count == self._count and self._answered:
            try:
                more = self._answered(self._st, self._cursor, r, at)
                if more:
                    await more
            except ConnectionClosed:
                raise
            except Exception as e:
                self._st.fault(e, self._action)
            self._finish(OK)

    async def _on_call(self, ws, good, ident, action_at, at):
        st = self._st
        r = self.reader
        if not good:
            raise CallError(schema.UNKNOWN, "not JSON")
        if not at or r.buf[action_at] != 34 or r.commas != 3:
            raise CallError("RpcFrameworkError", "not [2, id, action, payload]")
        action = r.text(action_at) if r.skip(action_at) - action_at < _MAX_ACTION else ""
        # Loading its block is a long step by itself.
        await asyncio.sleep_ms(0)
        handler = st.handler(action) if action.isalpha() else None
        if not handler:
            code = "NotImplemented" if handler is None else "NotSupported"
            raise CallError(code, "not in this firmware")
        await asyncio.sleep_ms(0)
        code = st.refuse(action)
        if code:
            raise CallError(code)
        type_ = schema.find(self._schemas, action)
        if not type_:
            raise CallError("InternalError", "no schema")
        fault = await schema.check(r, at, self._schemas, type_)
        if fault:
            raise CallError(*fault)
        w = self.writer
        async with ws.lock:
            self._begin(_RESULT, ident)
            w.object()
            then = handler[0](st, r, at, w)
            if handler[1]:
                then = await then
            w.finish()
            ws.send(w.at, True)
            await ws.drain()
        st.counters[counts.CALLS] += 1
        if then:
            try:
                more = then[0](st, then[1])
                if more:
                    await more
            except Exception as e:
                self._st.fault(e, action)

    async def pause(self) -> None:
        """For async handlers, between two items: lets other tasks run, and the socket catch up."""
        if not self._ws:
            raise ConnectionClosed(1006, "gone")
        await self._ws.drain()

    async def _refuse(self, ws, ident, code, text):
        self._st.counters[counts.REFUSED_CALLS] += 1
        async with ws.lock:
            self._begin(_ERROR, ident)
            w = self.writer
            w.value(self.spelling.get(code, code))
            w.value(text)
            w.object()
            w.finish()
            ws.send(w.at, True)
            await ws.drain()

    def _begin(self, kind, ident):
        w = self.writer
        w.start()
        w.array()
        w.value(kind)
        if ident:
            w.echo(self.reader, ident)
        else:
            w.value("-1")

    def _fragment(self, end):
        self._ws.send(end, False)
