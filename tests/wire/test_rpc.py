"""The RPC framework against a scripted peer. `station.Station` says what its handlers do."""

import asyncio
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostsim.clock import virtual
from milliamp.base import counts
from milliamp.wire import rpc
from milliamp.wire.websocket import ConnectionClosed
from tests.wire import station
from tests.wire.peer import BINARY, PING, PONG, TEXT, Peer, frame, websocket
from tests.wire.test_schema import TABLE

CHANGE = ["ChangeAvailability", {"operationalStatus": "Operative"}]
UNLOCK = [2, "u", "UnlockConnector", {"evseId": 1, "connectorId": 1}]


class Bench:
    """A station that is connected to a scripted peer."""

    def __init__(self, receive=2560, transmit=1024):
        self.st = station.Station(TABLE, receive, transmit)
        self.peer = Peer()
        self.ws = websocket(self.peer, 0, 0)
        self.ws = type(self.ws)(
            self.peer, "ocpp2.0.1", self.st.rpc.receive, self.st.rpc.transmit, self.st.board.random
        )
        self.running = asyncio.create_task(self.st.rpc.run(self.ws))

    def count(self, index):
        return self.st.counters[index]

    def call(self, cursor="cursor", render=station.heartbeat, timeout_s=30):
        return asyncio.create_task(
            self.st.rpc.call("Heartbeat", render, cursor, station.answered, timeout_s)
        )

    async def ended(self):
        with pytest.raises(ConnectionClosed) as closed:
            await self.running
        assert self.st.rpc._ws is None
        assert self.peer.closed
        return closed.value


def bench(test, **sizes):
    """Run a test on a Bench, and see that the connection lived through it and serves a call as before."""

    async def run():
        b = Bench(**sizes)
        await asyncio.sleep(0)
        await test(b)
        if not b.running.done():
            b.peer.say([2, "last", *CHANGE])
            assert await b.peer.hear() == [3, "last", {"status": "Accepted"}]
            b.peer.end()
            await b.ended()
        assert not [line for line in b.st.log.lines if "secret" in line]

    virtual.run(run())


@pytest.mark.parametrize(
    "message, answer",
    [
        # No RPC frames.
        ("hello", ["-1", "RpcFrameworkError"]),
        ("", ["-1", "RpcFrameworkError"]),
        ("{}", ["-1", "RpcFrameworkError"]),
        ("null", ["-1", "RpcFrameworkError"]),
        ("[]", ["-1", "RpcFrameworkError"]),
        ("[2]", ["-1", "RpcFrameworkError"]),
        ("[" * 3000, ["-1", "FormatViolation"]),  # longer than the buffer as well
        ("[" * 2000, ["-1", "RpcFrameworkError"]),
        ('[2,5,"Reset",{}]', ["-1", "RpcFrameworkError"]),
        ('["2","a","Reset",{}]', ["a", "RpcFrameworkError"]),
        ('[2,"a"]', ["a", "RpcFrameworkError"]),
        ('[2,"a","Reset"]', ["a", "RpcFrameworkError"]),
        ('[2,"a",{},"Reset"]', ["a", "RpcFrameworkError"]),
        ('[2,"a","Reset",{"type":"OnIdle"},{}]', ["a", "RpcFrameworkError"]),
        (json.dumps([2, "x" * 300, "Reset", {}]), ["-1", "RpcFrameworkError"]),
        ('[7,"a",{}]', ["a", "MessageTypeNotSupported"]),
        ('[6,"a","Reset",{}]', ["a", "MessageTypeNotSupported"]),
        # Broken behind an id that can be read.
        ('[2,"a","Reset",{"type":]', ["a", "FormatViolation"]),
        ('[2,"a","Reset",{"type":"OnIdle"}', ["a", "FormatViolation"]),
        ('[2,"a","Reset",' + '{"a":' * 30 + "1" + "}" * 30 + "]", ["a", "FormatViolation"]),
        ('[2,"a","Res', ["a", "RpcFrameworkError"]),
        # Calls that are not served.
        ('[2,"a","Nope",{}]', ["a", "NotImplemented"]),
        (json.dumps([2, "a", "N" * 500, {}]), ["a", "NotImplemented"]),
        ('[2,"a","",{}]', ["a", "NotImplemented"]),
        ('[2,"a","Reset\\n",{}]', ["a", "NotImplemented"]),
        ('[2,"a","ClearCache",{}]', ["a", "NotSupported"]),
        ('[2,"a","Reset",[]]', ["a", "TypeConstraintViolation"]),
        ('[2,"a","Reset",{}]', ["a", "OccurrenceConstraintViolation"]),
        ('[2,"a","Reset",{"type":null}]', ["a", "TypeConstraintViolation"]),
        ('[2,"a","Reset",{"type":"x"}]', ["a", "PropertyConstraintViolation"]),
        ('[2,"a","Reset",{"type":"OnIdle","x":1}]', ["a", "FormatViolation"]),
        ('[2,"a","Reset",{"type":"OnIdle","evseId":9}]', ["a", "ProtocolError"]),
        ('[2,"a","Reset",{"type":"Immediate"}]', ["a", "InternalError"]),
        # Ids are echoed as they are.
        (' [ 2.0 , "\\u0061\\"é" , "Nope" , { } ] ', ['a"é', "NotImplemented"]),
        (json.dumps([2, "x" * 100, "Nope", {}]), ["x" * 100, "NotImplemented"]),
    ],
)
def test_what_is_refused(message, answer):
    async def test(b):
        b.peer.say(message)
        kind, ident, code, text, details = await b.peer.hear()
        assert [ident, code] == answer
        assert (kind, details) == (4, {})
        assert isinstance(text, str) and len(text) <= 255
        assert b.count(counts.REFUSED_CALLS) == 1
        assert b.count(counts.CALLS) == 0

    bench(test)


@pytest.mark.parametrize(
    "message",
    [
        "[3,5,{}]",
        '[3,"x",{}]',
        "[3]",
        '[3,"x"',
        '[4,"x","GenericError","",{}]',
        "[4]",
        "[4,[],{}]",
    ],
)
def test_answers_that_nobody_waits_for_are_dropped(message):
    async def test(b):
        b.peer.say(message)
        call = b.call()
        kind, ident, *_ = await b.peer.hear()
        b.peer.say(message)
        b.peer.say([3, ident + "0", {"currentTime": "other"}])
        b.peer.say([3, ident, {"currentTime": "now"}])
        assert await call == rpc.OK
        b.peer.say([3, ident, {"currentTime": "again"}])
        b.peer.say([2, "x", *CHANGE])
        assert (await b.peer.hear())[0] == 3
        assert b.st.calls[0] == ("cursor", "now") and len(b.st.calls) == 3
        assert b.count(counts.LATE_ANSWERS) == 4

    bench(test)


@given(
    st.lists(
        st.text(max_size=30)
        | st.text('[]{}",:23ab\\ ', max_size=30)
        | st.sampled_from(
            ['[2,"a","Reset",{"type":"OnIdle","evseId":1}]', '[3,"a",{}]', '[4,"a","b","c",{}]']
        ),
        max_size=6,
    )
)
def test_garbage_stops_nothing(messages):
    async def test(b):
        call = b.call()
        _, ident, *_ = await b.peer.hear()
        answers = 0
        for message in messages:
            b.peer.say(message)
        b.peer.say([2, "end", *CHANGE])
        while (heard := await b.peer.hear())[1] != "end":
            assert heard[0] == 4
            answers += 1
        assert answers + b.count(counts.LATE_ANSWERS) == len(messages)
        b.peer.say([3, ident, {"currentTime": "now"}])
        assert await call == rpc.OK

    messages = [message.encode("utf-8", "replace").decode() for message in messages]
    bench(test)


def test_a_call_and_its_answer():
    async def test(b):
        idents = set()
        for n in range(5):
            call = b.call(n)
            kind, ident, action, payload = await b.peer.hear()
            assert (kind, action, payload) == (2, "Heartbeat", {})
            assert len(ident) <= 10
            idents.add(ident)
            b.peer.say([3, ident, {"currentTime": f"at {n}"}])
            assert await call == rpc.OK
            assert b.st.calls[-1] == (n, f"at {n}")
        assert len(idents) == 5

    bench(test)


@pytest.mark.parametrize(
    "answer",
    [
        '[3,"%s",{}]',
        '[3,"%s",{"currentTime":5}]',
        '[3,"%s"]',
        '[3,"%s",null]',
        '[3,"%s",{"currentTime":',
        '[3,"%s",{"currentTime":"now","customData":{"vendorId":"' + "x" * 3000 + '"}}]',
    ],
)
def test_a_malformed_answer_acknowledges(answer):
    async def test(b):
        call = b.call()
        _, ident, *_ = await b.peer.hear()
        b.peer.say(answer % ident)
        assert await call == rpc.OK
        assert b.st.calls == [("cursor", None)]
        assert b.count(counts.MALFORMED_ANSWERS) == 1
        assert b.st.log.lines[-1].startswith("W Heartbeat: ")

    bench(test)


@pytest.mark.parametrize(
    "payload",
    [
        '{"currentTime":"now","customData":null}',
        '{"currentTime":"now","interval":5,"own":{"currentTime":1}}',
        r'{"curr\u0065ntTime":"n\u006fw"}',
    ],
)
def test_null_and_what_is_unknown_are_no_fault_of_an_answer(payload):
    async def test(b):
        call = b.call()
        _, ident, *_ = await b.peer.hear()
        b.peer.say(f'[3,"{ident}",{payload}]')
        assert await call == rpc.OK
        assert b.st.calls == [("cursor", "now")]
        assert b.count(counts.MALFORMED_ANSWERS) == 0

    bench(test)


def test_what_is_wrong_in_an_answer_is_logged_with_its_place():
    async def test(b):
        call = b.call()
        _, ident, *_ = await b.peer.hear()
        b.peer.say(f'[3,"{ident}",{{"currentTime":"now","customData":{{"own":"secret"}}}}]')
        assert await call == rpc.OK
        assert b.st.calls == [("cursor", "now")]
        text = "W Heartbeat: missing vendorId: customData: answered all the same"
        assert b.st.log.lines == [text]

    bench(test)


@pytest.mark.parametrize(
    "rest", ['"GenericError","",{}]', '"Any Thing","",{}]', "5]", '"x"', "]", '"a","b",null,7]']
)
def test_an_error_answer(rest):
    async def test(b):
        call = b.call()
        _, ident, *_ = await b.peer.hear()
        b.peer.say(f'[4,"{ident}",{rest}' if rest != "]" else f'[4,"{ident}"]')
        assert await call == rpc.ERROR
        assert b.st.calls == []
        assert b.count(counts.ERROR_ANSWERS) == 1

    bench(test)


def test_a_call_that_is_not_answered_in_time():
    async def test(b):
        call = b.call(timeout_s=100)
        _, ident, *_ = await b.peer.hear()
        b.st.board.skew += 90000
        assert (await b.peer.frame())[1] == PING  # is anybody there?
        b.st.board.skew += 11000
        assert not call.done()
        b.peer.feed(frame(PONG, b""))
        assert await call == rpc.TIMEOUT
        b.peer.say([3, ident, {"currentTime": "late"}])
        again = b.call()
        _, other, *_ = await b.peer.hear()
        assert other != ident
        b.peer.say([3, other, {"currentTime": "now"}])
        assert await again == rpc.OK
        assert b.st.calls == [("cursor", "now")]
        assert (b.count(counts.TIMEOUTS), b.count(counts.LATE_ANSWERS)) == (1, 1)

    bench(test)


def test_calls_are_served_while_ours_is_open():
    async def test(b):
        call = b.call()
        _, ident, *_ = await b.peer.hear()
        for n in range(3):
            b.peer.say([2, str(n), *CHANGE])
            assert await b.peer.hear() == [3, str(n), {"status": "Accepted"}]
        assert not call.done()
        b.peer.say([3, ident, {"currentTime": "now"}])
        assert await call == rpc.OK

    bench(test)


def test_ours_is_sent_while_theirs_is_handled():
    # The handler holds the writer: our call follows as soon as it is done, and whole.
    async def test(b):
        b.peer.say(UNLOCK)
        while "unlock" not in b.st.calls:
            await asyncio.sleep(0)
        call = b.call()
        b.st.calls.append("go")
        assert await b.peer.hear() == [3, "u", {"status": "Unlocked"}]
        _, ident, *_ = await b.peer.hear()
        b.peer.say([3, ident, {"currentTime": "now"}])
        assert await call == rpc.OK

    bench(test)


def test_five_calls_at_once_are_answered_in_order():
    async def test(b):
        b.peer.feed(
            b"".join(frame(TEXT, json.dumps([2, str(n), *CHANGE]).encode()) for n in range(5))
        )
        assert [(await b.peer.hear())[1] for _ in range(5)] == list("01234")
        assert b.count(counts.CALLS) == 5

    bench(test)


def test_answer_first_then_act():
    async def test(b):
        seen = []
        write = b.peer.write
        b.peer.write = lambda data: (seen.append(list(b.st.calls)), write(data))
        b.peer.say([2, "1", "ChangeAvailability", {"operationalStatus": "Inoperative"}])
        assert await b.peer.hear() == [3, "1", {"status": "Accepted"}]
        assert seen == [["change"]]
        while len(b.st.calls) < 2:
            await asyncio.sleep(0)
        assert b.st.calls == ["change", "act Inoperative"]
        assert b.count(counts.HANDLER_FAULTS) == 1  # the act raised: logged, nothing else

    bench(test)


def test_a_handler_may_write_nothing():
    async def test(b):
        b.peer.say([2, "1", "TriggerMessage", {"requestedMessage": "Heartbeat"}])
        assert await b.peer.hear() == [3, "1", {}]

    bench(test)


def test_a_refused_station():
    async def test(b):
        b.st.refused = "SecurityError"
        b.peer.say([2, "1", *CHANGE])
        assert await b.peer.hear() == [4, "1", "SecurityError", "", {}]
        b.st.refused = None
        assert b.st.calls == []

    bench(test)


def test_codes_may_be_spelled_otherwise():
    async def test(b):
        b.st.rpc.spelling = {"FormatViolation": "FormationViolation"}
        b.peer.say('[2,"a","Reset",{]')
        assert (await b.peer.hear())[2] == "FormationViolation"

    bench(test)


@pytest.mark.parametrize("transmit", [60, 300, 1024, 5000])
def test_a_long_answer_leaves_in_fragments(transmit):
    async def test(b):
        items = [{"component": {"name": f"C{n}"}, "variable": {"name": "é"}} for n in range(20)]
        b.peer.say([2, "1", "GetVariables", {"getVariableData": items}])
        _, ident, payload = await b.peer.hear()
        results = payload["getVariableResult"]
        assert [
            {"component": one["component"], "variable": one["variable"]} for one in results
        ] == items
        size = len(
            json.dumps([3, ident, payload], ensure_ascii=False, separators=(",", ":")).encode()
        )
        spaces = (
            20 * 4
        )  # echoed as they came: a blank behind each colon and comma of what is echoed
        assert abs(b.peer.fragments - (size + spaces) / (transmit - 8)) < 2

    bench(test, transmit=transmit)


def test_a_handler_that_fails_when_half_has_left_costs_the_connection():
    async def test(b):
        b.peer.say([2, "1", "Reset", {"type": "OnIdle"}])
        while not isinstance(heard := await b.peer.frame(), tuple) or heard[1] != 8:
            assert not heard[0]
        assert heard[2] == b"\x03\xf3"
        b.peer.feed(frame(8, b"\x03\xf3"))
        assert (await b.ended()).code == 1011

    bench(test)


@pytest.mark.parametrize("size, code", [(10, rpc.ERROR), (3000, rpc.ERROR)])
def test_a_render_that_fails(size, code):
    def render(st, w, cursor):
        w.field("x", "x" * size)
        raise ValueError("secret")

    async def test(b):
        call = b.call(render=render)
        if size > 1024:
            while (await b.peer.frame())[1] != 8:
                pass
            b.peer.end()
            await b.ended()
        assert await call == code
        assert b.count(counts.HANDLER_FAULTS) == 1

    bench(test)


@pytest.mark.parametrize("size", [3000, 1 << 20])
def test_a_call_that_is_too_long_is_answered_with_its_id(size):
    async def test(b):
        text = json.dumps([2, "long", "DataTransfer", {"vendorId": "x", "data": "y" * size}])
        b.peer.say(text)
        assert await b.peer.hear() == [4, "long", "FormatViolation", "longer than 2560 bytes", {}]
        assert b.count(counts.OVERSIZE) == 1

    bench(test)


WRONG = b"\xff\xfe"
LONG = b'{"x":"' + b"y" * 4000 + b'"}]'


@pytest.mark.parametrize("open_", [True, False])
@pytest.mark.parametrize(
    "message",
    [
        b'[4,"%s","' + WRONG + b'","",' + LONG,
        b'[4,"' + WRONG + b'","",' + LONG,
        b'[3,"\\u0041' + WRONG + b'",' + LONG,
        b'[2,"' + WRONG + b'","Reset",' + LONG,
        b'[2,"a","' + WRONG + b'",' + LONG,
    ],
)
def test_a_long_message_that_is_no_text_ends_the_connection(message, open_):
    """Its first bytes are read as text, and one of them would be repeated: in our frames there is only text."""

    async def test(b):
        ident = b"nobody"
        if open_:
            call = b.call()
            ident = (await b.peer.hear())[1].encode()
        b.peer.feed(frame(TEXT, message.replace(b"%s", ident)))
        code = (await b.ended()).code
        assert code == 1007
        assert not open_ or await call == rpc.DOWN

    bench(test)


def test_a_long_answer_is_cut_at_a_character():
    async def test(b):
        call = b.call()
        _, ident, *_ = await b.peer.hear()
        b.peer.say(json.dumps([4, ident, "€" * 1000, "", {}], ensure_ascii=False))
        assert await call == rpc.ERROR

    bench(test)


@pytest.mark.parametrize("error", [ValueError, UnicodeError, MemoryError, IndexError])
def test_what_nobody_foresaw_ends_a_message_and_no_task(monkeypatch, error):
    async def test(b):
        good = b.st.rpc.reader.check

        def broken(steps):
            b.st.rpc.reader.check = good
            raise error

        b.st.rpc.reader.check = broken
        b.peer.say([2, "a", *CHANGE])
        b.peer.say([2, "b", *CHANGE])
        assert await b.peer.hear() == [3, "b", {"status": "Accepted"}]
        # The same in an answer: the call is over, and has failed.
        call = b.call()
        _, ident, *_ = await b.peer.hear()

        async def spoilt(*_):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(rpc.schema, "check", spoilt)
            b.peer.say([3, ident, {"currentTime": "now"}])
            assert await call == rpc.ERROR
        assert b.count(counts.HANDLER_FAULTS) == 2

    bench(test)


def test_what_nobody_foresaw_does_not_end_the_watch():
    async def test(b):
        again = asyncio.Event()
        keep, faults = b.ws.keep, [MemoryError, ValueError]

        async def broken(*times):
            if faults:
                raise faults.pop()
            again.set()
            return await keep(*times)

        b.ws.keep = broken
        await again.wait()
        assert b.count(counts.HANDLER_FAULTS) == 2

    bench(test)


def test_a_flood_of_fragments():
    async def test(b):
        call = b.call()
        _, ident, *_ = await b.peer.hear()
        b.peer.feed(frame(TEXT, b"[2,", False))
        for n in range(3000):
            b.peer.feed(frame(0, b"" if n % 2 else b"[", False))
            if n % 1000 == 0:
                b.peer.feed(frame(PING, b"%d" % n))
        b.peer.feed(frame(0, b"", True))
        assert (await b.peer.hear())[:3] == [4, "-1", "RpcFrameworkError"]
        assert b.peer.pongs == [b"0", b"1000", b"2000"]
        b.peer.say([3, ident, {"currentTime": "now"}])
        assert await call == rpc.OK

    bench(test)


def test_a_binary_message():
    async def test(b):
        b.peer.feed(frame(BINARY, json.dumps([2, "1", *CHANGE]).encode()))
        assert (await b.peer.hear())[:4] == [4, "-1", "RpcFrameworkError", "binary"]

    bench(test)


def test_a_diverted_string_reaches_the_handler_as_a_length():
    async def test(b):
        got = []
        b.ws.sinks = {"certificateChain": lambda chunk, more: got.append(len(chunk))}
        b.peer.say([2, "1", "CertificateSigned", {"certificateChain": "c" * 9000}])
        assert (await b.peer.hear())[2]["statusInfo"] == {"reasonCode": "TooLong"}
        assert b.st.calls == [("", 9000)]
        assert sum(got) == 9000 and b.count(counts.DIVERTED) == 1
        b.peer.say([2, "2", "CertificateSigned", {"certificateChain": "c" * 10001}])
        assert (await b.peer.hear())[2] == "PropertyConstraintViolation"

    bench(test)


# --- the end of the link --------------------------------------------------------------------------------


def test_down_at_once_without_a_link():
    async def test():
        st = station.Station(TABLE)
        assert st.rpc._ws is None
        assert await st.rpc.call("Heartbeat", station.heartbeat, 1, station.answered) == rpc.DOWN
        assert st.calls == []
        # Who tries again at once does not keep the others from running.
        others = asyncio.create_task(asyncio.sleep(0))
        while not others.done():
            assert (
                await st.rpc.call("Heartbeat", station.heartbeat, 1, station.answered) == rpc.DOWN
            )

    virtual.run(test())


@pytest.mark.parametrize("how", ["eof", "close", "error"])
def test_an_open_call_ends_with_the_link(how):
    async def test(b):
        call = b.call()
        await b.peer.hear()
        if how == "close":
            b.peer.feed(frame(8, b"\x03\xe9bye"))
        elif how == "error":
            b.peer.feed(frame(11, b""))
        else:
            b.peer.end()
        assert await call == rpc.DOWN
        closed = await b.ended()
        assert closed.code == {"eof": 1006, "close": 1001, "error": 1002}[how]
        assert b.count(counts.LINK_LOSSES) == (how == "eof")

    bench(test)


def test_an_answer_that_does_not_come_from_a_peer_that_talks():
    """No ping is needed for that."""

    async def test(b):
        call = b.call(timeout_s=100)
        await b.peer.hear()
        b.peer.say([2, "c", *CHANGE])
        assert (await b.peer.hear())[:2] == [3, "c"]
        b.st.board.skew += 101000
        assert await call == rpc.TIMEOUT
        assert b.count(counts.TIMEOUTS) == 1

    bench(test)


@pytest.mark.parametrize("ping_s", [0, 3600])
def test_a_line_without_a_sound(ping_s):
    """What was said before our call does not count; one ping is sent, whatever the interval is."""

    async def test(b):
        b.ws.ping_s = ping_s
        b.peer.say([2, "c", *CHANGE])
        assert (await b.peer.hear())[:2] == [3, "c"]
        call = b.call(timeout_s=100)
        await b.peer.hear()
        b.st.board.skew += 101000
        assert (await b.peer.frame())[1] == PING
        b.st.board.skew += 31000
        assert await call == rpc.DOWN
        assert (await b.ended()).code == 1006
        assert b.peer.frames() == []
        assert (b.count(counts.TIMEOUTS), b.count(counts.LINK_LOSSES)) == (0, 1)

    bench(test)


def test_a_silent_peer():
    async def test(b):
        b.ws.ping_s = 10
        call = b.call(timeout_s=1000)
        await b.peer.hear()
        b.st.board.skew += 11000
        assert (await b.peer.frame())[1] == PING
        b.st.board.skew += 31000
        assert await call == rpc.DOWN
        assert (await b.ended()).code == 1006
        assert b.count(counts.LINK_LOSSES) == 1

    bench(test)


def test_a_call_that_is_stuck_in_the_socket_ends_with_the_link():
    async def test(b):
        b.peer.out_buf = b"full"
        b.peer.drain = asyncio.Event().wait
        b.ws.patience_ms = 10**9
        call = b.call()
        await b.peer.hear()
        b.peer.end()
        done, _ = await asyncio.wait({call}, timeout=20)  # a guard: nothing else would wake it
        assert done and call.result() == rpc.DOWN
        await b.ended()

    bench(test)


def test_a_handler_that_hangs_is_seen():
    # `alive` feeds the watchdog: it is called while messages are awaited and handled, and no longer.
    async def test(b):
        b.running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await b.running
        alive = []
        b.ws = type(b.ws)(b.peer, "", b.st.rpc.receive, b.st.rpc.transmit, b.st.board.random)
        b.running = asyncio.create_task(b.st.rpc.run(b.ws, lambda: alive.append(1)))

        async def ticks(n):
            for _ in range(n):
                b.ws.ping_s = 1  # a ping a tick tells that it has passed
                b.st.board.skew += 1000
                while not b.ws.lock.locked() and (await b.peer.frame())[1] != PING:
                    pass
                b.peer.feed(frame(10, b""))

        await ticks(3)
        assert len(alive) >= 3
        b.ws.ping_s = 0
        b.peer.say(UNLOCK)
        while "unlock" not in b.st.calls:
            await asyncio.sleep(0)
        keep, passed = b.ws.keep, []
        b.ws.keep = lambda now, doubt: (passed.append(now), keep(now, doubt))[1]
        while len(passed) < 2:
            await virtual.sleep(0.1)
        before = len(alive)
        while len(passed) < 5:
            await virtual.sleep(0.1)
        assert len(alive) == before
        b.st.calls.append("go")
        assert await b.peer.hear() == [3, "u", {"status": "Unlocked"}]

    bench(test)


def test_run_and_call_can_be_cancelled_from_outside():
    async def test(b):
        call = b.call()
        await b.peer.hear()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        again = b.call()
        _, ident, *_ = await b.peer.hear()
        b.running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await b.running
        assert await again == rpc.DOWN
        assert b.peer.closed

    bench(test)


def test_the_next_connection_starts_afresh():
    async def test():
        b = Bench()
        await asyncio.sleep(0)
        for _ in range(3):
            call = b.call()
            await b.peer.hear()
            b.peer.feed(frame(TEXT, b'[2,"half', False))
            b.peer.end()
            assert await call == rpc.DOWN
            await b.ended()
            b.peer = Peer()
            b.ws = type(b.ws)(
                b.peer, "ocpp2.0.1", b.st.rpc.receive, b.st.rpc.transmit, b.st.board.random
            )
            b.running = asyncio.create_task(b.st.rpc.run(b.ws))
            await asyncio.sleep(0)
        b.peer.say([2, "1", *CHANGE])
        assert await b.peer.hear() == [3, "1", {"status": "Accepted"}]
        b.running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await b.running

    virtual.run(test())
