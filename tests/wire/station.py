# A station of nothing but the wire, for tests. Runs under CPython and MicroPython alike: what a test
# does in process, it can have done by the MicroPython binary (tests/wire/test_micropython.py).
import asyncio
import os
import time
from array import array

from milliamp.base import counts
from milliamp.wire import handshake, rpc


class Log:
    def __init__(self):
        self.lines = []

    def error(self, text):
        self.lines.append("E " + text)

    def warn(self, text):
        self.lines.append("W " + text)

    def info(self, text):
        self.lines.append("I " + text)

    debug = info


class Board:
    def __init__(self):
        self.skew = 0  # ms that the clock was put forward by a test

    def ticks(self):
        return time.ticks_add(time.ticks_ms(), self.skew)

    def random(self, n):
        return os.urandom(n)


class Clock:
    def text(self, seconds):
        return f"2000-01-01T00:00:{seconds:02d}Z"


class Settings:
    def put(self, *pairs):
        pass


class Tables:
    def __init__(self, schemas):
        self.SCHEMAS = schemas


class Station:
    """`calls`: what handlers and acts did, in order."""

    def __init__(self, schemas, receive=2560, transmit=1024):
        self.board = Board()
        self.log = Log()
        self.clock = Clock()
        self.counters = array("L", [0] * counts.COUNTS)
        self.schemas = Tables(schemas)
        self.refused = None
        self.calls = []
        self.rpc = rpc.Rpc(self, bytearray(receive), bytearray(transmit))
        self.rpc.tick_ms = 5
        self.link = self  # whose network profile is used
        self.slot = 1
        self.settings = Settings()

    def handler(self, action):
        if action in HANDLERS:
            return HANDLERS[action]
        return False if action == "ClearCache" else None

    def refuse(self, action):
        return self.refused

    def fault(self, error, where):
        self.counters[counts.HANDLER_FAULTS] += 1
        self.log.error(f"{type(error).__name__} in {where}")

    async def connect(self, port, **options):
        return await handshake.connect(
            self, f"ws://127.0.0.1:{port}/CS%201", "ocpp2.0.1", **options
        )


def change_availability(st, r, at, w):
    st.calls.append("change")
    w.status("Accepted")
    return act, r.text(r.get(at, "operationalStatus"))


def act(st, arg):
    st.calls.append("act " + arg)
    if arg == "Inoperative":
        raise ValueError("in an act")


async def get_variables(st, r, at, w):
    w.array("getVariableResult")
    for item in r.each(r.get(at, "getVariableData")):
        w.object()
        w.field("attributeStatus", "Accepted")
        w.field("attributeValue", "x" * 40)
        for key in ("component", "variable"):
            w.key(key).echo(r, r.get(item, key))
        w.end()
        await st.rpc.pause()


def clear_cache(st, r, at, w):
    pass


def reset(st, r, at, w):
    st.calls.append("reset")
    if r.get(at, "evseId"):
        raise rpc.CallError("ProtocolError", "no such EVSE")
    w.field("half", "x" * 2000 if r.same(r.get(at, "type"), "OnIdle") else "x")
    raise ValueError("secret")


async def unlock(st, r, at, w):
    st.calls.append("unlock")
    while "go" not in st.calls:
        await asyncio.sleep_ms(1)
    w.status("Unlocked")


def certificate_signed(st, r, at, w):
    st.calls.append(
        (r.text(r.get(at, "certificateChain")), r.length(r.get(at, "certificateChain")))
    )
    w.status("Rejected", "TooLong")


def trigger(st, r, at, w):
    st.calls.append("trigger")


HANDLERS = {
    "ChangeAvailability": (change_availability, False),
    "GetVariables": (get_variables, True),
    "Reset": (reset, False),
    "UnlockConnector": (unlock, True),
    "CertificateSigned": (certificate_signed, False),
    "TriggerMessage": (trigger, False),
}


def heartbeat(st, w, cursor):
    pass


def answered(st, cursor, r, at):
    st.calls.append((cursor, r and r.text(r.get(at, "currentTime"))))
