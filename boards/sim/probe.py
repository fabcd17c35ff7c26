# The service commands of the `sim` board: what the host asks the firmware itself. One JSON object in, one
# out, written in pieces so that a small heap can answer.

import gc
import json

from micropython import const

from milliamp.domain import charging

gc.collect()
_code = gc.mem_alloc()
# Bytes of an answer sent at once, about.
_PAGE = const(96)
# journal.counts().
_COUNTED = ("created", "delivered", "discarded", "thinned", "damaged")


class Out:
    """Writes JSON to `reply(piece, last)`; commas come by themselves."""

    def __init__(self, reply):
        self._reply = reply
        self._parts = []
        self._size = 0
        self._first = True

    def put(self, text: str) -> None:
        self._parts.append(text)
        self._size += len(text)
        if self._size >= _PAGE:
            self._flush(0)

    def open(self, key=None, bracket: str = "{") -> None:
        self._key(key)
        self.put(bracket)
        self._first = True

    def close(self, bracket: str = "}") -> None:
        self.put(bracket)
        self._first = False

    def field(self, key, value) -> None:
        self._key(key)
        self.put(json.dumps(value))

    def end(self) -> None:
        self._flush(1)

    def _key(self, key):
        if not self._first:
            self.put(",")
        self._first = False
        if key is not None:
            self.put('"' + key + '":')

    def _flush(self, last):
        self._reply("".join(self._parts), last)
        self._parts.clear()
        self._size = 0


def serve(st, text: str, reply) -> None:
    """Answer the command in `text`: {"cmd": name, ...}."""
    request = json.loads(text)
    out = Out(reply)
    out.open()
    try:
        _COMMANDS[request["cmd"]](st, request, out)
    except (KeyError, ValueError, OSError) as error:
        out.field("error", str(error))
    out.close()
    out.end()


def _state(st, request, out):
    """What the station is doing."""
    out.open("evses", "[")
    for e in st.evses:
        out.open()
        out.field("evse", e.index)
        out.field("status", [number for number in e.status])
        out.field("charging_state", e.state)
        out.field("cable", e.cable)
        out.field("pilot", bytes((e.pilot,)).decode())
        out.field("authorized", e.authorized)
        out.field("asking", e.asking is not None)
        out.field("closed", e.closed)
        out.field("locked", e.locked)
        out.field("fault", e.fault)
        if e.tx is not None:
            out.field("transaction", st.journal.transaction_id(e.tx.counter))
            out.field("seq", e.tx.seq)
            out.field("register", e.tx.register)
        out.close()
    out.close("]")
    out.open("link")
    out.field("up", st.link.up)
    out.field("accepted", st.accepted)
    out.field("online", st.online)
    out.field("registration", st.outbox.registration)
    out.field("error", st.link.error)
    out.close()
    out.field("clock", st.clock.text(st.clock.now()))
    _journal(st, out)
    _counters(st, out)


def _journal(st, out):
    journal = st.journal
    out.open("journal")
    out.field("pending", journal.pending)
    counts = journal.counts()
    for n in range(len(_COUNTED)):
        out.field(_COUNTED[n], counts[n])
    out.close()


def _counters(st, out):
    """In the order of base/counts.py, which the host knows."""
    out.open("counters", "[")
    for count in st.counters:
        out.field(None, count)
    out.close("]")


def _heap(st, request, out):
    """Bytes on the heap, garbage gone. `board`: how much of it is the simulator's own link and this module."""
    gc.collect()
    out.field("live", gc.mem_alloc())
    out.field("free", gc.mem_free())
    out.field("board", st.board.heap + _code)


def _entry(st, request):
    component, _, c_instance = request["component"].partition(":")
    evse, connector = request.get("evse"), request.get("connector")
    places = ((0, 0), (1, 0), (1, 1)) if evse is None else ((evse, connector or 0),)
    for place in places:
        entry = st.model.find(
            component, c_instance, *place, request["variable"], request.get("instance")
        )
        if entry != -1:
            break
    if entry == -1:
        raise ValueError("unknown component " + request["component"])
    if entry == -2:
        raise ValueError("unknown variable " + request["variable"])
    return entry


def _get(st, request, out):
    value = st.model.text(_entry(st, request))
    if value is None:
        raise ValueError("this variable can only be written")
    out.field("value", value)


def _set(st, request, out):
    result = st.model.set(_entry(st, request), request["value"])
    out.field("status", ("Accepted", "Rejected", "RebootRequired")[result])
    if result == 1:
        out.field("reason", st.model.reason)


def _ready(st, request, out):
    """Whether an EVSE may deliver energy: a local energy manager that says no suspends it."""
    e = st.evses[request["evse"] - 1]
    e.barred = not request["ready"]
    charging.step(st, e)


_COMMANDS = {"state": _state, "heap": _heap, "get": _get, "set": _set, "ready": _ready}
gc.collect()
_code = gc.mem_alloc() - _code
