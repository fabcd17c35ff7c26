"""Messages that are no OCPP, or no good OCPP: the right CALLERROR or silence, and life goes on."""

import copy
import functools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hostsim.lives.harness import CARD, simulate
from tests.blocks import payloads
from tests.hostile.attack import HARMLESS, LANES, attack, invalid, lanes, one_lane
from tools.measure.footprint.scenarios import REQUESTS

CODES = (
    "OccurrenceConstraintViolation",
    "TypeConstraintViolation",
    "PropertyConstraintViolation",
    "FormatViolation",
)

# What no station can make sense of; it may complain to nobody ("-1") or not at all.
GARBAGE = [
    "",
    " ",
    "\x00",
    "garbage",
    "{",
    "[",
    "]",
    "{}",
    "[]",
    "null",
    "true",
    "5",
    "-",
    '"text"',
    "[2]",
    "[3]",
    "[4]",
    "[null,null,null,null]",
    "[[],[],[],[]]",
    '["2","x","Reset",{}]',
    "[2.5,1,2,3]",
    "[1e999,2]",
    "[-2]",
    "[999999999999999999999999999999,1]",
    "[3,5,{}]",
    '[3,"nobody",{}]',
    "[3,null]",
    '[3,"",{}]',
    "[4,5]",
    '[4,"nobody","InternalError","",{}]',
    '[4,"nobody",5,{},[]]',
    "[5,5,5]",
    "[2,5,5,5]",
    "[2,{},[],null]",
    '[2,"x"',
    '[2,"x","Reset",{"type":',
    '[2,"\\u12',
    '[2,"' + "x" * 2500 + '","Reset",{}]',
    "\ufeff[2]",
    '[2,"\\ud800","\\udfff",{}]',
    b"",
    b"\x00\xff\xfe" * 100,
    b'[2,"b","GetVariables",{}]',
    "[" * 2000,
    '{"a":' * 500,
    "[" * 13 + "]" * 13,
    "9" * 2500,
    '"' + "\\u0000" * 400 + '"',
    "," * 2560,
    " " * 5000,
]


@lanes
@simulate
async def test_garbage_is_dropped_or_refused_to_nobody(bits):
    async with attack(bits) as it:
        for text in GARBAGE:
            await it.say(text)
        await it.refused([9, it.id(), "Reset", {}], "MessageTypeNotSupported")
        assert await it.counted("bad_frames") > 20
        assert await it.counted("late_answers") >= 6


@lanes
@simulate
async def test_calls_that_are_no_calls(bits):
    async with attack(bits) as it:
        payload = HARMLESS["GetVariables"]
        for rest in (
            [],
            ["GetVariables"],
            [5, payload],
            [None, payload],
            [["GetVariables"], payload],
            ["GetVariables", payload, {}],
            ["GetVariables", payload, payload, payload],
        ):
            await it.refused([2, it.id(), *rest], "RpcFrameworkError")
        for body in ([], None, 5, "text", True, [payload]):
            await it.refused([2, it.id(), "GetVariables", body], *CODES)
        for action in ("", " ", "Nonsense", "A" * 49, "getvariables", "GetVariables ", "\n", "*",
                       "Reset provisioning reset", "GetVariables\u0000", "\U0001f40d"):  # fmt: skip
            await it.refused([2, it.id(), action, {}], "NotImplemented")
        for action in ("SetMonitoringLevel", "SetChargingProfile", "UpdateFirmware", "ReserveNow"):
            await it.refused([2, it.id(), action, {}], "NotSupported")
        long = [2, it.id(), "DataTransfer", {"vendorId": "x", "data": "y" * 4000}]
        await it.refused(long, "FormatViolation")
        assert await it.counted("oversize") == 1


@lanes
@simulate
async def test_message_ids_of_every_kind(bits):
    async with attack(bits) as it:
        payload = HARMLESS["GetVariables"]
        for ident in ("", "x" * 36, "y" * 100, "\U0001f40d", 'q"uote', "\\", "\u0001", "-1", " "):
            await it.say([2, ident, "GetVariables", payload])
            answer = await it.answer(ident)
            assert answer.payload["getVariableResult"][0]["attributeStatus"] == "Accepted"
        refused = await it.counted("refused_calls")
        for ident in (5, None, {}, [], True, "z" * 200):
            await it.say([2, ident, "GetVariables", payload])
        await it.refused([2, it.id(), "Nonsense", {}], "NotImplemented")
        assert await it.counted("refused_calls") == refused + 7


def mutants(action: str):
    """Every payload that differs from the harmless one in one place, and is invalid."""
    wrongs = (None, True, -1, 1.5, "", "\u0000", "x" * 1200, [], {}, [[]], 1 << 70, "1e5")
    for payload in changed(HARMLESS[action], wrongs):
        if invalid(action, payload):
            yield payload


def changed(value, wrongs):
    yield from wrongs
    if isinstance(value, dict):
        yield value | {"unheardOf": 1}
        yield value | {"customData": 5}
        yield value | {"customData": {}}
        for key in value:
            yield {k: v for k, v in value.items() if k != key}
            for wrong in changed(value[key], wrongs):
                yield value | {key: wrong}
    elif isinstance(value, list):
        yield value * 100
        for n in range(len(value)):
            for wrong in changed(value[n], wrongs):
                yield [*value[:n], wrong, *value[n + 1 :]]


@lanes
@simulate
async def test_every_request_with_one_thing_wrong(bits):
    async with attack(bits) as it:
        for action in HARMLESS:
            for payload in mutants(action):
                await it.refused([2, it.id(), action, payload], *CODES)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@st.composite
def spoilt(draw):
    """A harmless request with something else in one place of it, or something else altogether."""
    action = draw(st.sampled_from(list(HARMLESS)))
    payload = copy.deepcopy(HARMLESS[action])
    place, path = payload, []
    while isinstance(place, dict | list) and place and draw(st.integers(0, 4)):
        path.append(draw(st.sampled_from(list(place) if isinstance(place, dict) else [0])))
        place = place[path[-1]]
    other = draw(JSON)
    if not path:
        return action, other
    place = payload
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = other
    return action, payload


@settings(
    max_examples=3,
    derandomize=True,
    phases=[Phase.generate],  # each try is a whole station
    suppress_health_check=list(HealthCheck),
)
@given(calls=st.lists(spoilt(), min_size=40, max_size=80))
def test_requests_with_anything_in_any_place(calls):
    @simulate
    async def run():
        async with attack(32) as it:
            for action, payload in calls:
                if not invalid(action, payload):
                    continue
                await it.refused([2, it.id(), action, payload], *CODES)

    run()


# Valid for the schema, and still nothing that exists.
EXTREMES = [
    ("GetVariables", lambda it: {"getVariableData": [variable("ClockCtrlr", "DateTime", id=-1)]}),
    ("GetVariables", lambda it: {"getVariableData": [variable("ClockCtrlr", "DateTime", id=1 << 30)]}),
    ("GetVariables", lambda it: {"getVariableData": [variable("", "")]}),
    ("GetVariables", lambda it: {"getVariableData": [variable("\U0001f40d" * 50, "\u0000" * 50)]}),
    ("GetVariables", lambda it: {"getVariableData": [variable("EVSE", "Power", id=1, connectorId=-7)]}),
    ("GetVariables", lambda it: {"getVariableData": [variable("EVSE", "Power", id=255)]}),
    ("Reset", lambda it: {"type": "OnIdle", "evseId": -1}),
    ("Reset", lambda it: {"type": "Immediate", "evseId": 2147483647}),
    ("ChangeAvailability", lambda it: {"operationalStatus": "Operative", "evse": {"id": -1}}),
    ("ChangeAvailability", lambda it: {"operationalStatus": "Inoperative", "evse": {"id": -1, "connectorId": 1}}),
    ("ChangeAvailability", lambda it: {"operationalStatus": "Inoperative", "evse": {"id": 1, "connectorId": -1}}),
    ("TriggerMessage", lambda it: {"requestedMessage": "StatusNotification", "evse": {"id": -1, "connectorId": 1}}),
    ("TriggerMessage", lambda it: {"requestedMessage": "StatusNotification", "evse": {"id": 1, "connectorId": -1}}),
    ("TriggerMessage", lambda it: {"requestedMessage": "MeterValues", "evse": {"id": -5}}),
    ("UnlockConnector", lambda it: {"evseId": -1, "connectorId": 1}),
    ("UnlockConnector", lambda it: {"evseId": 1, "connectorId": 0}),
    ("RequestStartTransaction", lambda it: {"idToken": token("x" * 36), "remoteStartId": -1, "evseId": -1}),
    ("RequestStartTransaction", lambda it: {"idToken": token("\U0001f40d" * 36), "remoteStartId": 2147483647, "evseId": 99}),
    ("RequestStopTransaction", lambda it: {"transactionId": "\U0001f40d" * 36}),
    ("GetTransactionStatus", lambda it: {"transactionId": ""}),
    ("GetTransactionStatus", lambda it: {}),
    ("GetBaseReport", lambda it: {"requestId": -2147483648, "reportBase": "SummaryInventory"}),
    ("DataTransfer", lambda it: {"vendorId": "", "data": [[[[[[1]]]]]]}),
]  # fmt: skip


def variable(component: str, name: str, **evse: int) -> dict:
    where = {"evse": evse} if evse else {}
    return {"component": {"name": component} | where, "variable": {"name": name}}


def token(text: str) -> dict:
    return {"idToken": text, "type": "Central"}


@lanes
@simulate
async def test_what_fits_the_schema_and_does_not_exist(bits):
    async with attack(bits) as it:
        for action, make in EXTREMES:
            payload = make(it)
            assert not invalid(action, payload), payload
            answer = await it.csms.call(action, payload)
            assert "Accepted" not in json.dumps(answer), (action, payload, answer)


VALUES = ["", " ", "-1", "+5", "0x10", "1e3", "5_0", " 5", "5 ", "\u0665", "9" * 1000, "-0", "1.5", "NaN", "true",
          "TRUE", "yes", ",", ",,,", "EVConnected,EVConnected", "\u0000", "\U0001f40d" * 150, "x" * 1000, '"', "\\"]  # fmt: skip
TARGETS = [
    ("OCPPCommCtrlr", "RetryBackOffRepeatTimes", None),
    ("OCPPCommCtrlr", "MessageAttemptInterval", "TransactionEvent"),
    ("OCPPCommCtrlr", "NetworkConfigurationPriority", None),
    ("SampledDataCtrlr", "TxUpdatedMeasurands", None),
    ("AlignedDataCtrlr", "Interval", None),
    ("TxCtrlr", "TxStopPoint", None),
    ("SecurityCtrlr", "BasicAuthPassword", None),
    ("AuthCtrlr", "Enabled", None),
    ("ClockCtrlr", "DateTime", None),
]


@pytest.mark.parametrize("bits", LANES[1:])
@simulate
async def test_values_that_no_variable_can_have(bits):
    async with attack(bits) as it:
        for component, name, instance in TARGETS:  # what was written once is kept in RAM
            if (kept := await value_of(it, component, name, instance)) is not None:
                await it.station.set(component, name, kept, instance)
        await it.remember_heap()
        for component, name, instance in TARGETS:
            item = variable(component, name)
            if instance:
                item["variable"]["instance"] = instance
            kept = await value_of(it, component, name, instance)
            for value in VALUES:
                payload = {"setVariableData": [item | {"attributeValue": value}]}
                if invalid("SetVariables", payload) or (kept is None and 16 <= len(value) <= 40):
                    continue  # the latter is a password
                (result,) = (await it.csms.call("SetVariables", payload))["setVariableResult"]
                if result["attributeStatus"] == "Accepted":  # "TRUE", or an empty list
                    assert await it.station.set(component, name, kept, instance) == "Accepted"
            assert name == "DateTime" or await value_of(it, component, name, instance) == kept


async def value_of(it, component, name, instance):
    if name == "BasicAuthPassword":
        return None
    return await it.station.get(component, name, instance)


class Unseen:
    """Text of characters that were never used before."""

    def __init__(self) -> None:
        self._next = iter([*range(0x4E00, 0xA000), *range(0x20000, 0x3FFFE)])

    def __call__(self, length: int = 30) -> str:
        return "".join(chr(next(self._next)) for _ in range(length))


def leaves(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """Where the texts of a payload are."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, key))


def replaced(payload: Any, path: tuple, text: str) -> Any:
    other = copy.deepcopy(payload)
    functools.reduce(lambda value, key: value[key], path[:-1], other)[path[-1]] = text
    return other


def every_text() -> Iterator[tuple[str, Any, tuple]]:
    """(action, payload, place of a text in it): each that the schemas know, and those of requests that are taken."""
    for action in payloads.CORE:
        for path, _, _ in payloads.places(action, "string"):
            yield action, payloads.with_place(action, path), path
    for action, payload in (*REQUESTS, *HARMLESS.items()):
        for path in leaves(payload):
            if action != "Reset":
                yield action, payload, path


BEFORE = ("", "http://127.0.0.1:1/", "ws://127.0.0.1:1/", "http://127.0.0.1:1/ ", "2026-01-01T")


@one_lane
@simulate
async def test_characters_that_were_never_seen_before(bits):
    """MicroPython keeps every character that a program makes of a number or takes out of a text, for ever: 30 of them in
    each text of each request, escaped and not, behind what makes it an address or a time."""
    async with attack(bits) as it:
        unseen, count = Unseen(), 0
        for action, payload, path in every_text():
            for before in BEFORE:
                for ascii in (True, False):
                    call = [2, it.id(), action, replaced(payload, path, before + unseen())]
                    await it.say(json.dumps(call, ensure_ascii=ascii))
                    await it.answer(call[1])
                    count += 1
        for ascii in (True, False) * 20:
            call = [2, it.id(), unseen(), {}]
            await it.say(json.dumps(call, ensure_ascii=ascii))
            await it.answer(call[1])
        assert count > 1000


@one_lane
@simulate
async def test_characters_that_were_never_seen_before_in_answers(bits):
    async with attack(bits) as it:
        unseen = Unseen()
        it.excuse_times()
        it.excuse_answers()
        for answer in (
            lambda: {"currentTime": unseen()},
            lambda: {"currentTime": "2026-01-01T00:00:00Z" + unseen()},
            lambda: {"currentTime": "2026-01-01T00:00:00Z", unseen(10): unseen()},
            lambda: {"currentTime": "2026-01-01T00:00:00Z", "customData": {"vendorId": unseen()}},
            None,
        ):
            for _ in range(20):
                mark = it.csms.mark()
                if answer:
                    it.says("Heartbeat", answer())
                else:
                    it.csms.wrong("error", "Heartbeat", code=unseen())
                await it.call("TriggerMessage", {"requestedMessage": "Heartbeat"})
                await it.csms.seen("Heartbeat", since=mark)
                await it.csms.until(lambda: not it.csms.wrongs, "Heartbeat")


@lanes
@simulate
async def test_five_set_variables_at_once_are_answered_in_order(bits):
    async with attack(bits) as it:
        idents = [it.id() for _ in range(5)]
        first = len(it.rig.traffic.messages)
        for n, ident in enumerate(idents):
            item = variable("OCPPCommCtrlr", "OfflineThreshold") | {"attributeValue": str(100 + n)}
            await it.say([2, ident, "SetVariables", {"setVariableData": [item] * 4}])
        for ident in idents:
            answer = await it.answer(ident)
            assert {r["attributeStatus"] for r in answer.payload["setVariableResult"]} == {
                "Accepted"
            }
        seen = [
            m.id
            for m in list(it.rig.traffic.messages)[first:]
            if m.direction == ">" and m.id in idents
        ]
        assert seen == idents
        assert await it.station.get("OCPPCommCtrlr", "OfflineThreshold") == "104"


@lanes
@simulate
async def test_the_same_call_again_and_again(bits):
    """A CSMS that repeats itself, under one message id: each is answered, nothing is kept."""
    async with attack(bits) as it:
        call = [2, it.id(), "GetTransactionStatus", {}]
        calls = await it.counted("calls")
        for _ in range(100):
            await it.say(call)
        await it.refused([2, it.id(), "Nonsense", {}], "NotImplemented")
        assert await it.counted("calls") == calls + 100


@lanes
@simulate
async def test_cards_are_read_while_the_csms_floods(bits):
    """Calls without end hold up neither the control task nor the sender."""
    async with attack(bits) as it:
        for _ in range(200):
            await it.say([2, it.id(), "GetVariables", HARMLESS["GetVariables"]])
        await it.rig.stopped(CARD)
        await it.csms.seen("TransactionEvent", lambda p: p["eventType"] == "Ended")
        await it.rig.clock.sleep(3)  # or it is the same card, still held to the reader
        await it.rig.charging()
