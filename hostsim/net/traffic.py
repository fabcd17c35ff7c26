"""What went over the wire: every WebSocket frame and every OCPP message, seen passively and checked.

`Tap` reads a copy of the bytes of one connection, both ways; `Traffic` keeps what all taps saw. Because it looks at
bytes and not at a CSMS, the schema check holds for somebody else's CSMS as well.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.frames import CTRL_OPCODES, Frame, Opcode
from websockets.streams import StreamReader

from hostsim.clock import SimClock
from hostsim.net import schemas

UP, DOWN = ">", "<"  # station to CSMS, CSMS to station
_KEPT = 20_000  # frames and messages remembered
_MAX_HEAD = 8192  # bytes in a line of the HTTP upgrade


@dataclass(slots=True)
class FrameSeen:
    """One WebSocket frame. `size` is its payload in bytes."""

    number: int
    time: float
    direction: str
    opcode: str
    fin: bool
    size: int

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class MessageSeen:
    """One OCPP message. `faults` is why it is invalid; `deliberate`: a test made it so."""

    number: int
    time: float
    direction: str
    connection: int
    text: str
    size: int
    frames: int
    kind: int = 0
    id: str = ""
    action: str = ""
    payload: Any = None
    faults: list[str] = field(default_factory=list)
    deliberate: bool = False

    @property
    def label(self) -> str:
        """A word for a person: the action, and what became of it."""
        answer = {schemas.CALLRESULT: " answer", schemas.CALLERROR: " ERROR"}.get(self.kind, "")
        return (self.action or "?") + answer


class Traffic:
    """All frames and messages of a rig. Callbacks in `on_frame` and `on_message` hear each as it passes."""

    def __init__(self, clock: SimClock):
        self.clock = clock
        self.frames: deque[FrameSeen] = deque(maxlen=_KEPT)
        self.messages: deque[MessageSeen] = deque(maxlen=_KEPT)
        self.faults: list[str] = []
        self.largest_frame = {UP: 0, DOWN: 0}
        self.largest_message = {UP: 0, DOWN: 0}
        self.frame_count = self.message_count = self.connections = 0
        self.on_frame: list[Callable[[FrameSeen], None]] = []
        self.on_message: list[Callable[[MessageSeen], None]] = []
        self.on_handshake: list[Callable[[Tap], None]] = []  # the server has answered the upgrade
        self.on_end: list[
            Callable[[Tap], None]
        ] = []  # a side has ended a connection, the network has not
        self.on_note: list[Callable[[str], None]] = []
        self.notes: list[
            str
        ] = []  # what a CSMS does that is not quite OCPP, and that a station takes
        self._excused: set[str] = set()

    def tap(self) -> "Tap":
        """A tap for a new connection."""
        self.connections += 1
        return Tap(self, self.connections)

    def excuse(self, text: str) -> None:
        """Announce a message that a test makes invalid on purpose: it does not count as a fault."""
        self._excused.add(text)

    def is_excused(self, text: str) -> bool:
        return text in self._excused

    def since(self, number: int) -> list[FrameSeen]:
        """The frames behind frame `number` (0: all that are still remembered)."""
        return [frame for frame in self.frames if frame.number > number]

    def fault(self, text: str) -> None:
        self.faults.append(text)

    def note(self, text: str) -> None:
        """Tell of something that is no fault, once."""
        if text not in self.notes:
            self.notes.append(text)
            for callback in self.on_note:
                callback(text)

    def _frame(self, direction: str, frame: Frame) -> None:
        self.frame_count += 1
        size = len(frame.data)
        seen = FrameSeen(
            self.frame_count,
            self.clock.now(),
            direction,
            frame.opcode.name.lower(),
            frame.fin,
            size,
        )
        self.frames.append(seen)
        self.largest_frame[direction] = max(self.largest_frame[direction], size)
        for callback in self.on_frame:
            callback(seen)

    def _message(self, message: MessageSeen) -> None:
        self.messages.append(message)
        self.largest_message[message.direction] = max(
            self.largest_message[message.direction], message.size
        )
        if message.faults and not message.deliberate:
            arrow = "station" if message.direction == UP else "CSMS"
            self.faults += [
                f"{arrow} {message.label} {message.id}: {fault}" for fault in message.faults
            ]
        for callback in list(self.on_message):
            callback(message)


class Tap:
    """Decodes one connection. `feed` takes the bytes of either direction as they pass."""

    def __init__(self, traffic: Traffic, number: int):
        self.traffic = traffic
        self.number = number
        self.request: list[str] = []  # lines of the HTTP upgrade, without Authorization
        self.response: list[str] = []
        self.ender = ""  # the side that has ended the connection, once one has
        self.close: tuple[int, str] | None = None  # code and reason of the first close frame
        self._readers = {UP: StreamReader(), DOWN: StreamReader()}
        self._decoders: dict[str, Iterator[None] | None] = {d: self._decode(d) for d in (UP, DOWN)}
        self._calls: dict[str, dict[str, tuple[str, float, str]]] = {UP: {}, DOWN: {}}
        self._open: dict[str, tuple[str, float] | None] = {UP: None, DOWN: None}
        self._pings, self._pongs = {UP: 0, DOWN: 0}, {UP: 0, DOWN: 0}

    @property
    def status(self) -> int:
        """The HTTP status of the server's answer, 0 while there is none."""
        words = self.response[0].split() if self.response else []
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0

    @property
    def subprotocol(self) -> str | None:
        """What the server chose, None while or if it chose none."""
        return _header(self.response, "sec-websocket-protocol")

    def feed(self, direction: str, data: bytes) -> None:
        """Look at bytes that pass. Never raises: what cannot be decoded becomes a fault."""
        decoder = self._decoders[direction]
        if decoder is None:
            return
        self._readers[direction].feed_data(data)
        try:
            next(decoder)
        except StopIteration:
            self._decoders[direction] = None
        except (WebSocketException, RuntimeError, UnicodeDecodeError) as error:
            self._decoders[direction] = None
            self.traffic.fault(f"connection {self.number} {direction}: {error}")

    def owed(self) -> list[str]:
        """What the station waits for: the answer to its upgrade, to its CALL, to its pings."""
        if not self.response:
            return ["upgrade"] * bool(self.request)
        asked = [asked[0] for asked in [self._open[UP]] if asked]
        if self._pings[UP] > self._pongs[DOWN]:
            asked.append(f"pong {self._pings[UP]}")
        return asked

    def ended(self, direction: str) -> None:
        """A side has closed its end."""
        self.ender = self.ender or direction
        for callback in list(self.traffic.on_end):
            callback(self)

    @property
    def unread(self) -> bytes:
        """What the server has sent and what is no line of an HTTP answer, or stands behind one."""
        return bytes(self._readers[DOWN].buffer)

    def _decode(self, direction: str) -> Iterator[None]:
        reader = self._readers[direction]
        head = self.request if direction == UP else self.response
        while line := (yield from reader.read_line(_MAX_HEAD)).rstrip(b"\r\n"):
            if not line.lower().startswith(b"authorization:"):
                head.append(line.decode("latin-1"))
        if direction == DOWN:
            for callback in list(self.traffic.on_handshake):
                callback(self)
            if self.status != 101:
                return  # the server refused: no frames follow
        parts: list[bytes] = []
        while True:
            frame = yield from Frame.parse(reader.read_exact, mask=direction == UP)
            self.traffic._frame(direction, frame)
            if frame.opcode is Opcode.CLOSE and not self.ender:
                code, reason = frame.data[:2], frame.data[2:]
                self.ender = direction
                self.close = int.from_bytes(code, "big"), bytes(reason).decode("utf-8", "replace")
            if frame.opcode in CTRL_OPCODES:
                self._pings[direction] += frame.opcode is Opcode.PING
                self._pongs[direction] += frame.opcode is Opcode.PONG
                continue
            if (frame.opcode is Opcode.CONT) != bool(parts):
                self.traffic.fault(
                    f"connection {self.number} {direction}: {frame.opcode.name} out of order"
                )
            parts.append(bytes(frame.data))
            if frame.fin:
                self._message(direction, b"".join(parts), len(parts))
                parts = []

    def _message(self, direction: str, data: bytes, frames: int) -> None:
        traffic = self.traffic
        traffic.message_count += 1
        text = data.decode("utf-8", "replace")
        message = MessageSeen(
            traffic.message_count,
            traffic.clock.now(),
            direction,
            self.number,
            text,
            len(data),
            frames,
        )
        message.deliberate = traffic.is_excused(text)
        try:
            decoded = json.loads(data, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            message.faults.append(f"not JSON: {error}")
        else:
            message.faults += schemas.frame_faults(decoded)
            if message.faults == [schemas.ODD_ID] and self._is_echo(direction, decoded):
                message.faults.clear()
            if not message.faults:
                self._correlate(message, decoded)
            elif message.deliberate:
                self._refusable(message, decoded)
        traffic._message(message)

    def _correlate(self, message: MessageSeen, frame: list) -> None:
        """Fill in what the frame is, an answer's action from the CALL it answers, and check the payload."""
        message.kind, message.id, message.payload = frame[0], frame[1], frame[-1]
        if message.kind == schemas.CALL:
            message.action = frame[2]
            self._check(message)
            self._call(message)
            return
        asker = DOWN if message.direction == UP else UP
        known = self._calls[asker].get(message.id)
        open_call = self._open[asker]
        if open_call and open_call[0] == message.id:
            self._open[asker] = None
        if known is None:
            if (message.kind, message.id) != (schemas.CALLERROR, "-1"):
                message.faults.append("answers no CALL of this connection")
            return
        message.action = known[0]
        if message.kind == schemas.CALLRESULT:
            self._check(message)

    def _check(self, message: MessageSeen) -> None:
        fine: list[str] = []
        message.faults += schemas.payload_faults(
            message.action,
            message.payload,
            response=message.kind == schemas.CALLRESULT,
            fine_times=fine if message.direction == DOWN else None,
        )
        if fine:
            self.traffic.note(
                "the CSMS writes times with more than three digits behind the second, which is "
                "more than OCPP allows; the station takes them"
            )

    def _refusable(self, message: MessageSeen, decoded: Any) -> None:
        """A message that is invalid on purpose may be answered, with an error, if it has an id."""
        if isinstance(decoded, list) and len(decoded) > 1 and isinstance(decoded[1], str):
            name = decoded[2] if len(decoded) == 4 else ""
            known = (name if isinstance(name, str) else "", message.time, message.text)
            self._calls[message.direction].setdefault(decoded[1], known)

    def _is_echo(self, direction: str, frame: list) -> bool:
        """Does this answer a message whose id was odd on purpose?"""
        asker = DOWN if direction == UP else UP
        ident = frame[1]
        return frame[0] != schemas.CALL and isinstance(ident, str) and ident in self._calls[asker]

    def _call(self, message: MessageSeen) -> None:
        calls, now = self._calls[message.direction], message.time
        before = calls.get(message.id)
        if before and before[2] != message.text:
            message.faults.append("message id used twice in a connection")
        open_call = self._open[message.direction]
        # No timeout is shorter than a second, so a second CALL within one did not wait for its answer.
        if (
            open_call
            and now - open_call[1] < 1
            and message.id != open_call[0]
            and not message.deliberate
        ):
            message.faults.append(f"CALL {open_call[0]} of the same side is not answered yet")
        calls[message.id] = (message.action, now, message.text)
        if not message.deliberate:
            self._open[message.direction] = (message.id, now)


def _header(lines: list[str], name: str) -> str | None:
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip().lower() == name:
            return value.strip()
    return None


def _refuse(constant: str):
    raise ValueError(f"{constant} is not JSON")
