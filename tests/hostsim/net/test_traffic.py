"""The tap: what it decodes from bytes, and what it has against a message."""

import json
from types import SimpleNamespace

import pytest
from websockets.frames import Frame, Opcode

from hostsim.net.traffic import DOWN, UP, Tap, Traffic

REQUEST = b"GET /ocpp/CS1 HTTP/1.1\r\nHost: x\r\nAuthorization: Basic c2VjcmV0\r\n\r\n"
RESPONSE = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Protocol: ocpp2.0.1\r\n\r\n"
HEARTBEAT = [2, "1", "Heartbeat", {}]
NOW = {"currentTime": "2026-11-20T03:51:26Z"}


@pytest.fixture
def traffic() -> Traffic:
    return Traffic(SimpleNamespace(now=lambda: 0.0))


@pytest.fixture
def tap(traffic) -> Tap:
    tap = traffic.tap()
    tap.feed(UP, REQUEST)
    tap.feed(DOWN, RESPONSE)
    return tap


def send(tap: Tap, direction: str, message, size: int = 1 << 20) -> None:
    """Feed a message, in frames of at most `size`."""
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    for number, piece in enumerate(pieces):
        opcode = Opcode.CONT if number else Opcode.TEXT
        frame = Frame(opcode, piece, fin=number == len(pieces) - 1)
        tap.feed(direction, frame.serialize(mask=direction == UP))


def test_the_handshake_is_kept_without_the_password(tap):
    assert tap.status == 101
    assert tap.subprotocol == "ocpp2.0.1"
    assert tap.request[0].startswith("GET /ocpp/CS1")
    assert not any("Basic" in line for line in tap.request)


def test_a_call_and_its_answer(tap, traffic):
    send(tap, UP, HEARTBEAT)
    send(tap, DOWN, [3, "1", NOW])
    call, answer = traffic.messages
    assert (call.direction, call.kind, call.action, call.faults) == (UP, 2, "Heartbeat", [])
    assert (answer.direction, answer.kind, answer.action, answer.payload) == (
        DOWN,
        3,
        "Heartbeat",
        NOW,
    )
    assert traffic.faults == []


def test_bytes_may_come_one_by_one(traffic):
    tap = traffic.tap()
    for byte in REQUEST + Frame(Opcode.TEXT, json.dumps(HEARTBEAT).encode()).serialize(mask=True):
        tap.feed(UP, bytes([byte]))
    assert [message.action for message in traffic.messages] == ["Heartbeat"]


def test_fragments_make_one_message_and_control_frames_pass_between(tap, traffic):
    data = json.dumps(HEARTBEAT).encode()
    tap.feed(UP, Frame(Opcode.TEXT, data[:5], fin=False).serialize(mask=True))
    tap.feed(UP, Frame(Opcode.PING, b"hi").serialize(mask=True))
    tap.feed(UP, Frame(Opcode.CONT, data[5:]).serialize(mask=True))
    assert [(frame.opcode, frame.fin, frame.size) for frame in traffic.frames] == [
        ("text", False, 5),
        ("ping", True, 2),
        ("cont", True, len(data) - 5),
    ]
    assert [(message.frames, message.size) for message in traffic.messages] == [(2, len(data))]
    assert traffic.largest_message[UP] == len(data)
    assert traffic.largest_frame[UP] == len(data) - 5


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        (b"{", "not JSON"),
        (b'[2,"1","Heartbeat",{"x":NaN}]', "not JSON"),
        ({"a": 1}, "not an array"),
        ([9, "1", {}], "message type"),
        ([2, "1", {}], "3 elements"),
        ([2, "", "Heartbeat", {}], "message id"),
        ([2, "x" * 37, "Heartbeat", {}], "message id"),
        ([2, "1", "Heartbeat", {"unknown": 1}], "unknown"),
        ([2, "1", "BootNotification", {"reason": "PowerUp"}], "chargingStation"),
        ([2, "1", "FlyToTheMoon", {}], "no action"),
        ([3, "1", {}], "answers no CALL"),
        ([4, "-1", "FormationViolation", "", {}], "error code"),
        ([4, "-1", "InternalError", "x" * 256, {}], "description"),
    ],
)
def test_what_is_wrong_is_named(tap, traffic, message, fault):
    send(tap, UP, message)
    assert len(traffic.faults) == 1, traffic.faults
    assert fault in traffic.faults[0]


def test_an_answer_is_checked_against_the_action_of_its_call(tap, traffic):
    send(tap, UP, HEARTBEAT)
    send(tap, DOWN, [3, "1", {"currentTime": "yesterday"}])
    assert "date-time" in traffic.faults[0]


def test_an_error_to_the_unreadable_is_valid(tap, traffic):
    send(tap, UP, [4, "-1", "RpcFrameworkError", "not JSON", {}])
    assert traffic.faults == []


def test_a_second_call_before_the_answer(tap, traffic):
    send(tap, UP, HEARTBEAT)
    send(tap, UP, [2, "2", "Heartbeat", {}])
    assert "not answered yet" in traffic.faults[0]


def test_both_sides_may_ask_at_once(tap, traffic):
    send(tap, UP, HEARTBEAT)
    send(tap, DOWN, [2, "1", "GetLocalListVersion", {}])
    send(tap, DOWN, [3, "1", NOW])
    send(tap, UP, [3, "1", {"versionNumber": 0}])
    assert traffic.faults == []


def test_what_a_test_announced_does_not_count(tap, traffic):
    text = json.dumps([3, "nobody", {}])
    traffic.excuse(text)
    send(tap, DOWN, text.encode())
    assert traffic.messages[-1].deliberate
    assert traffic.faults == []


def test_an_unmasked_frame_of_a_client_is_a_fault(tap, traffic):
    tap.feed(UP, Frame(Opcode.TEXT, b"[]").serialize(mask=False))
    assert "masking" in traffic.faults[0]


def test_callbacks_and_since(tap, traffic):
    heard = []
    traffic.on_message.append(lambda message: heard.append(message.label))
    send(tap, UP, HEARTBEAT)
    send(tap, DOWN, [4, "1", "InternalError", "", {}])
    assert heard == ["Heartbeat", "Heartbeat ERROR"]
    assert [frame.number for frame in traffic.since(1)] == [2]


def test_times_that_are_too_exact_are_a_note_once(tap, traffic):
    heard = []
    traffic.on_note.append(heard.append)
    for number in "12":
        send(tap, UP, [2, number, "Heartbeat", {}])
        send(tap, DOWN, [3, number, {"currentTime": f"2026-11-20T03:51:2{number}.123456+00:00"}])
    assert traffic.faults == []
    assert [message.faults for message in traffic.messages] == [[]] * 4
    (note,) = heard
    assert "three digits" in note and traffic.notes == heard
    send(tap, UP, [2, "3", "Heartbeat", {}])
    send(tap, DOWN, [3, "3", {"currentTime": "today"}])
    assert len(traffic.faults) == 1, "what is no time stays a fault"


def test_a_station_may_not_send_such_times(tap, traffic):
    status = {"connectorStatus": "Available", "evseId": 1, "connectorId": 1}
    send(
        tap,
        UP,
        [2, "1", "StatusNotification", status | {"timestamp": "2026-11-20T03:51:26.1234Z"}],
    )
    assert len(traffic.faults) == 1 and traffic.notes == []
