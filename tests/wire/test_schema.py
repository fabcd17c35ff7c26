"""The compact schemas against jsonschema on the official ones: what one accepts the other accepts."""

import asyncio
import copy
import functools
import json
import random

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milliamp.wire import schema
from milliamp.wire.jsonreader import Reader
from tools.builder import profile, versions
from tools.builder.official import actions, load
from tools.builder.tables import schemas
from tools.builder.tables.routes import read_blocks

MISSING, TYPE, VALUE, UNKNOWN = schema.MISSING, schema.TYPE, schema.VALUE, schema.UNKNOWN
KINDS = [(a, False) for a in schemas.CORE_REQUESTS] + [(a, True) for a in schemas.CORE_RESPONSES]
TABLE = schemas.compile(schemas.CORE_REQUESTS, schemas.CORE_RESPONSES)
VERSIONS = versions.load_all()


def received(version: str) -> tuple[list, list]:
    """The requests and the responses that a station may get in a version."""
    known = VERSIONS[version]
    return known.asked, [action for action in known.told if known.actions[action] != "send"]


ALL, LIMITS = schemas.pack({version: received(version) for version in VERSIONS})


@functools.cache
def official(action: str, response: bool, version: str = "v201"):
    found = load(action + ("Response" if response else "Request"), version)
    return found, jsonschema.Draft6Validator(found)


def reader(text: str) -> Reader:
    data = text.encode()
    r = Reader(bytearray(data))
    r.load(len(data))
    assert r.check(10**6) is True
    return r


def check(action: str, response: bool, text: str):
    kind = schema.find(TABLE, action, response)
    assert kind
    return asyncio.run(schema.check(reader(text), 0, TABLE, kind))


def resolve(node: dict, root: dict) -> dict:
    return root["definitions"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node


def example(node: dict, root: dict, rng: random.Random, depth: int = 0):
    """A valid value, optional fields by chance."""
    node = resolve(node, root)
    if "enum" in node:
        return rng.choice(node["enum"])
    match node.get("type"):
        case "object":
            required = node.get("required", [])
            return {
                name: example(one, root, rng, depth + 1)
                for name, one in node.get("properties", {}).items()
                if name in required or rng.random() < 0.6 / (depth + 1)
            }
        case "array":
            most = min(node.get("maxItems", 3), 3)
            return [
                example(node["items"], root, rng, depth + 1)
                for _ in range(rng.randint(max(node.get("minItems", 0), 1), most))
            ]
        case "string":
            letters = rng.choice(["a", "é", '"', "\n", "😀", "Zürich/"])
            return (letters * 20)[: rng.randint(0, min(node.get("maxLength", 20), 20))]
        case "integer":
            return rng.randint(
                int(node.get("minimum", -(2**31))), int(node.get("maximum", 2**31 - 1))
            )
        case "number":
            numbers = [0, -1, 1.5, 1e10, 100]
            fitting = [
                n for n in numbers if n <= node.get("maximum", n) and n >= node.get("minimum", n)
            ]
            return rng.choice(fitting)
        case "boolean":
            return rng.random() < 0.5
    return rng.choice([None, 1, "x", [1, {"y": [None]}], {"z": []}])


def places(value, node: dict, root: dict, holder=None, key=None):
    """Every place in a value, as (holder, key, value, schema)."""
    node = resolve(node, root)
    yield holder, key, value, node
    if node.get("type") == "object":
        for name, one in value.items():
            yield from places(one, node["properties"][name], root, value, name)
    elif node.get("type") == "array":
        for index, one in enumerate(value):
            yield from places(one, node["items"], root, value, index)


def breakages(holder, key, value, node):
    """Ways to break a value at one place: (what to do, error code that must follow)."""
    kind = node.get("type")
    if holder is not None and kind:
        wrong = {"a": 1} if kind in ("string", "array", "integer", "number", "boolean") else "text"
        for other in (
            None,
            wrong,
            [] if kind != "array" else 5,
            1.5 if kind == "integer" else {} if kind != "object" else 0,
        ):
            yield functools.partial(holder.__setitem__, key, other), TYPE
    if kind == "object":
        if node.get("additionalProperties", True) is False:
            yield functools.partial(value.__setitem__, "unknownField", 1), UNKNOWN
            yield functools.partial(value.__setitem__, "", 1), UNKNOWN
        for name in node.get("required", []):
            yield functools.partial(value.pop, name), MISSING
    elif kind == "array" and node.get("minItems"):
        yield value.clear, MISSING
        if "maxItems" in node:
            most = node["maxItems"]
            yield lambda: value.extend([value[0]] * (most - len(value))), None
            yield lambda: value.extend([value[0]] * (most + 1 - len(value))), MISSING
    elif "enum" in node:
        for other in ("", value[:-1], value + "x", value.swapcase(), value + '"' + value):
            if other not in node["enum"]:
                yield functools.partial(holder.__setitem__, key, other), VALUE
    elif "maxLength" in node:
        most = node["maxLength"]
        for one in ("x", "é", "😀", '"'):
            yield functools.partial(holder.__setitem__, key, one * (most + 1)), VALUE
            yield functools.partial(holder.__setitem__, key, one * most), None
    elif kind == "number":
        for limit, step in (("minimum", -1), ("maximum", 1)):
            if limit in node:
                for more in (1, 0.01, 1e20):
                    beyond = node[limit] + step * more
                    yield functools.partial(holder.__setitem__, key, beyond), VALUE
                    yield functools.partial(holder.__setitem__, key, node[limit]), None
        if "multipleOf" in node:
            for n, code in ((6.5, None), (16, None), (16.25, VALUE), (0.01, VALUE)):
                yield functools.partial(holder.__setitem__, key, n), code
    elif kind == "integer":
        for limit, step in (("minimum", -1), ("maximum", 1)):
            if limit in node:
                yield functools.partial(holder.__setitem__, key, int(node[limit]) + step), VALUE
                yield functools.partial(holder.__setitem__, key, int(node[limit])), None


@pytest.mark.parametrize("action, response", KINDS)
def test_agrees_with_jsonschema(action, response):
    root, validator = official(action, response)
    rng = random.Random(action)
    for _ in range(6):
        payload = example(root, root, rng)
        assert validator.is_valid(payload)
        assert check(action, response, json.dumps(payload)) is None
        assert check(action, response, json.dumps(payload, ensure_ascii=False, indent=1)) is None
        here = list(places(payload, root, root))
        for index in rng.sample(range(len(here)), min(len(here), 12)):
            count = len(list(breakages(*here[index])))
            for n in range(count):
                broken = copy.deepcopy(payload)
                action_, code = list(breakages(*list(places(broken, root, root))[index]))[n]
                action_()
                fault = check(action, response, json.dumps(broken, ensure_ascii=n % 2 == 0))
                assert validator.is_valid(broken) == (fault is None) == (code is None), broken
                assert (fault and fault[0]) == code, (broken, fault)
                assert fault is None or len(fault[1]) <= 200


@pytest.mark.parametrize("response", [False, True], ids=["requests", "responses"])
@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_in_one_table_agrees_with_jsonschema(monkeypatch, version, response):
    monkeypatch.setattr(schema.forms, "LIMITS", LIMITS)
    number = list(VERSIONS).index(version)
    for action in received(version)[response]:
        root, validator = official(action, response, version)
        kind = schema.find(ALL, action, response, number)
        assert kind
        rng = random.Random(version + action)
        for _ in range(2):
            payload = example(root, root, rng)
            here = list(places(payload, root, root))
            assert validator.is_valid(payload), payload
            assert judged(payload, kind) is None, payload
            for index in rng.sample(range(len(here)), min(len(here), 4)):
                for n in range(len(list(breakages(*here[index])))):
                    broken = copy.deepcopy(payload)
                    breakage, code = list(breakages(*list(places(broken, root, root))[index]))[n]
                    breakage()
                    fault = judged(broken, kind)
                    assert validator.is_valid(broken) == (fault is None), (action, broken)
                    assert (fault and fault[0]) == code, (action, broken, fault)


def judged(payload, kind: int, table: bytes = ALL):
    return asyncio.run(schema.check(reader(json.dumps(payload)), 0, table, kind))


def test_a_version_knows_its_own_actions_and_fields_only():
    v201, v21, v16 = range(3)
    assert schema.find(ALL, "TransactionEvent", True, v201)
    assert not schema.find(ALL, "GetConfiguration", False, v201)
    assert not schema.find(ALL, "GetVariables", False, v16)
    assert schema.find(ALL, "Reset", False, v16) != schema.find(ALL, "Reset", False, v21)
    own = {"customData": {"vendorId": "x"}}
    assert judged({"type": "OnIdle"} | own, schema.find(ALL, "Reset", False, v201)) is None
    assert judged({"type": "Soft"}, schema.find(ALL, "Reset", False, v16)) is None
    fault = judged({"type": "Soft"} | own, schema.find(ALL, "Reset", False, v16))
    assert fault == (UNKNOWN, "unknown field")
    again = {"type": "ImmediateAndResume"}
    assert judged(again, schema.find(ALL, "Reset", False, v21)) is None
    assert judged(again, schema.find(ALL, "Reset", False, v201)) == (VALUE, "bad value: type")


# What nobody reads of a 2.1 or 1.6 message that has the same blocks as today's.
UNREAD = (
    "Authorize.allowedEnergyTransfer Authorize.tariff TransactionEvent.transactionLimit "
    "TransactionEvent.updatedPersonalMessageExtra RemoteStartTransaction.chargingProfile"
).split()
CORE_16 = (
    "ChangeAvailability ChangeConfiguration ClearCache DataTransfer GetConfiguration RemoteStartTransaction "
    "RemoteStopTransaction Reset TriggerMessage UnlockConnector "
    "CertificateSigned DeleteCertificate ExtendedTriggerMessage GetInstalledCertificateIds GetLog InstallCertificate "
    "SignedUpdateFirmware"
).split()
CORE_16_RESPONSES = (
    "Authorize BootNotification DataTransfer Heartbeat MeterValues StartTransaction StatusNotification "
    "StopTransaction "
    "LogStatusNotification SecurityEventNotification SignCertificate SignedFirmwareStatusNotification"
).split()


def test_three_versions_share_what_is_the_same():
    """What a station of one, two and three versions pays for its schemas, in bytes."""
    blocks = read_blocks(profile.load("sim"))
    own = ([a for b in blocks for a in b.calls], [a for b in blocks for a in b.sends])
    unread = [path for block in blocks for path in block.unread]
    old = (CORE_16, CORE_16_RESPONSES)
    one = len(schemas.compile(*own, unread=unread))
    two = len(schemas.pack({"v201": own, "v21": own}, unread + UNREAD[:4])[0])
    three = len(schemas.pack({"v201": own, "v21": own, "v16": old}, unread + UNREAD)[0])
    assert one <= 2640 and two <= 4900 and three <= 7100 and len(ALL) <= 22800
    alone = [len(schemas.compile(*received(version), version)) for version in VERSIONS]
    assert len(ALL) < sum(alone) - 1000
    # What one version ships costs no byte more because there are others.
    assert schemas.pack({"v201": own}, unread)[0] == schemas.compile(*own, unread=unread)


def test_no_offset_is_taken_for_a_name():
    """The table is larger than offsets of seven bits reach; what stands between the names of an object could be a name
    that somebody sends."""
    assert len(ALL) > 1 << 14
    between = set()
    at = ALL.find(b'"')
    while at >= 0:
        stop = ALL.find(b'"', at + 1)
        if stop >= 0 and any(c < 32 for c in ALL[at + 1 : stop]):
            between.add(ALL[at + 1 : stop])
        at = stop
    readable = {text.decode("utf-8", "ignore") for text in between if is_text(text)}
    assert len(between) > 500 and len(readable) > 50
    for name in readable:
        r = reader(json.dumps([name]))
        assert schema._name(r, 1, r.skip(1)) == b'""'
    # Nor is a quote in an offset, where a name could begin or end.
    offsets = set()
    for number, version in enumerate(VERSIONS):
        for response in (False, True):
            for action in received(version)[response]:
                walk(schema.find(ALL, action, response, number), offsets)
    assert len(offsets) > 300 and max(offsets) > 20_000
    assert not [at for at in offsets if 34 in divmod(at, 256)]


def walk(kind: int, offsets: set) -> None:
    """Collect where all types are that a type has in it."""
    if kind in offsets:
        return
    offsets.add(kind)
    if ALL[kind : kind + 1] == b"a":
        walk(int.from_bytes(ALL[kind + 4 : kind + 6], "big"), offsets)
    elif ALL[kind] >= ord("y"):
        at = kind + 4
        end = at + int.from_bytes(ALL[kind + 2 : at], "big")
        while at < end:
            at = ALL.index(b'"', at + 1) + 4
            walk(int.from_bytes(ALL[at - 2 : at], "big"), offsets)


def is_text(data: bytes) -> bool:
    try:
        return bool(data.decode())
    except UnicodeDecodeError:
        return False


@pytest.mark.parametrize("action, response", KINDS)
def test_a_payload_is_an_object(action, response):
    for text in ("[]", "null", "1", '"x"', "true"):
        assert check(action, response, text)[0] == TYPE


@settings(max_examples=60)
@given(st.sampled_from(KINDS), st.integers(), st.data())
def test_agrees_on_anything(kind, seed, data):
    # A value of any type at any place: only whether it fits, not why.
    root, validator = official(*kind)
    payload = example(root, root, random.Random(seed))
    holder, key, _, _ = data.draw(st.sampled_from(list(places(payload, root, root))))
    if holder is not None:
        value = st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**31), 2**31 - 1)
            | st.floats(-1e6, 1e6)
            | st.text("aé\\"),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text("aB", max_size=3), inner, max_size=3)
            ),
            max_leaves=5,
        )
        holder[key] = data.draw(value)
    fault = check(*kind, json.dumps(payload))
    assert (fault is None) == validator.is_valid(payload)


@pytest.mark.parametrize(
    "text, fault",
    [
        # Where we are stricter than the official schema, on purpose.
        ('{"type":"Immediate","type":"Immediate"}', (UNKNOWN, "field twice: type")),
        ('{"type":"Immediate","evseId":2147483648}', (VALUE, "bad value: evseId")),
        ('{"type":"Immediate","evseId":1e300}', (VALUE, "bad value: evseId")),
        (r'{"type":"Immediate","typ\u0065":"Immediate"}', (UNKNOWN, "field twice: type")),
        (r'{"type":"Immediate\u0022"}', (VALUE, "bad value: type")),
        (r'{"type\u0022\u0000":"Immediate"}', (UNKNOWN, "unknown field")),
        (r'{"typ\u0065":"Immediate\n"}', (VALUE, "bad value: type")),
        # Escapes mean the same text.
        (r'{"typ\u0065":"Immediat\u0065"}', None),
        (r'{"\u0074\u0079\u0070\u0065":"\u0049mmediate"}', None),
        # Integers that are written as decimals are integers.
        ('{"type":"Immediate","evseId":1.0}', None),
        ('{"type":"Immediate","evseId":1e0}', None),
        # No value and no unknown name is repeated, where it may be a secret.
        ('{"type":"Immediate","password":"secret"}', (UNKNOWN, "unknown field")),
        ('{"type":"secret"}', (VALUE, "bad value: type")),
    ],
)
def test_texts(text, fault):
    assert check("Reset", False, text) == fault


def lenient(action: str, text: str):
    """(the fault, what a block can read of this answer)."""
    r = reader("[" + text + "]")
    kind = schema.find(TABLE, action, True)
    fault = asyncio.run(schema.check(r, 1, TABLE, kind, True))
    return fault and fault[1], read(r, 1)


def read(r: Reader, at: int):
    """A value as blocks see it: what is null, or crossed out, is absent."""
    c = chr(r.buf[at])
    if c == "{":
        keys, key = [], r.first(at)
        while key:
            keys.append(r.text(key))
            key = r.next(r.value(key))
        return {key: read(r, r.get(at, key)) for key in keys if r.get(at, key)}
    if c == "[":
        return [read(r, one) for one in r.each(at)]
    return None if c == "n" else json.loads(r.buf[slice(*r.span(at))])


INFO = {"status": "Accepted", "cacheExpiryDateTime": "2030-01-01T00:00:00Z", "evseId": [1, 2]}


@pytest.mark.parametrize(
    "more, fault",
    [
        ({"personalMessage": None, "evseId": [1, 2], "groupIdToken": None}, None),
        ({"own": {"status": "Blocked"}, "": [{}], "x" * 100: None}, None),
        (
            {"personalMessage": {"format": "UTF8", "content": "x" * 513}},
            "bad value: idTokenInfo.personalMessage.content",
        ),
        ({"personalMessage": {"format": "UTF8"}}, "missing content: idTokenInfo.personalMessage"),
        ({"personalMessage": 'Hello, "you"]},'}, "wrong type: idTokenInfo.personalMessage"),
        (
            {"groupIdToken": {"idToken": "A", "type": "Central", "additionalInfo": []}},
            "too few elements: idTokenInfo.groupIdToken.additionalInfo",
        ),
        ({"groupIdToken": {"idToken": "A"}}, "missing type: idTokenInfo.groupIdToken"),
        ({"chargingPriority": 1.5}, "wrong type: idTokenInfo.chargingPriority"),
        ({"language1": 5, "language2": None}, "wrong type: idTokenInfo.language1"),
    ],
)
def test_what_is_wrong_in_an_answer_hides_nothing_that_is_right(more, fault):
    own = {"idTokenInfo": INFO | more, "certificateStatus": "Accepted", "more": [None]}
    found, left = lenient("Authorize", json.dumps(own))
    assert found == fault
    assert left["certificateStatus"] == "Accepted"
    info = left["idTokenInfo"]
    assert {key: info[key] for key in INFO} == INFO
    if "groupIdToken" in info:
        assert info["groupIdToken"] == {"idToken": "A", "type": "Central"}
    assert not {"personalMessage", "chargingPriority", "language1", "language2"} & set(info)


@pytest.mark.parametrize(
    "answer, fault, left",
    [
        ({"idTokenInfo": {"status": "Maybe"}}, "bad value: idTokenInfo.status", {}),
        ({"idTokenInfo": {"status": None}}, "missing status: idTokenInfo", {}),
        ({"idTokenInfo": {}}, "missing status: idTokenInfo", {}),
        ({"idTokenInfo": None}, "missing idTokenInfo", {}),
        ({"idTokenInfo": [1, "]}"]}, "wrong type: idTokenInfo", {}),
        ({}, "missing idTokenInfo", {}),
    ],
)
def test_an_answer_without_what_it_must_have(answer, fault, left):
    assert lenient("Authorize", json.dumps(answer)) == (fault, left)


def test_an_answer_that_is_no_object():
    for text in ("[]", "null", "1", '"x"', "true"):
        assert lenient("Authorize", text)[0] == "wrong type"


@pytest.mark.parametrize("action", schemas.CORE_RESPONSES)
def test_what_is_left_of_an_answer_fits_the_schema(action):
    """Whatever is wrong with it: what blocks see is right, but that something required may be absent from
    the answer itself."""
    root, validator = official(action, True)
    rng = random.Random(action)
    for _ in range(6):
        payload = example(root, root, rng)
        assert lenient(action, json.dumps(payload))[0] is None
        here = list(places(payload, root, root))
        for index in rng.sample(range(len(here)), min(len(here), 8)):
            for n in range(len(list(breakages(*here[index])))):
                broken = copy.deepcopy(payload)
                breakage, code = list(breakages(*list(places(broken, root, root))[index]))[n]
                breakage()
                fault, left = lenient(action, json.dumps(broken))
                assert fault or code in (None, UNKNOWN, TYPE)
                assert len(fault or "") <= 200
                for error in validator.iter_errors(left):
                    harmless = error.validator in ("additionalProperties", "maxItems")
                    missing = error.validator == "required" and not error.absolute_path
                    assert harmless or missing or error.instance is None, (broken, left)


def test_the_path_names_the_place():
    items = [{"component": {"name": "a"}, "variable": {"name": "b"}} for _ in range(4)]
    items[3]["variable"]["name"] = 5
    text = json.dumps({"getVariableData": items})
    assert check("GetVariables", False, text) == (
        TYPE,
        "wrong type: getVariableData[3].variable.name",
    )
    del items[3]["variable"]["name"]
    text = json.dumps({"getVariableData": items})
    assert check("GetVariables", False, text) == (
        MISSING,
        "missing name: getVariableData[3].variable",
    )


def test_custom_data_is_open():
    good = {
        "type": "OnIdle",
        "customData": {"vendorId": "x", "any": {"thing": [None]}, "other": 1},
    }
    assert check("Reset", False, json.dumps(good)) is None
    del good["customData"]["vendorId"]
    assert check("Reset", False, json.dumps(good)) == (MISSING, "missing vendorId: customData")


def test_what_nobody_reads_may_be_anything():
    action, field = "RequestStartTransaction", "chargingProfile"
    table = schemas.compile([action], [], unread=(f"{action}.{field}",))
    assert len(table) < len(schemas.compile([action], [])) - 500
    call = {"remoteStartId": 1, "idToken": {"idToken": "04", "type": "Central"}}

    def judge(call):
        return asyncio.run(
            schema.check(reader(json.dumps(call)), 0, table, schema.find(table, action))
        )

    for value in (5, None, "x", {"id": [{}]}, []):
        assert judge(call | {field: value}) is None
    assert judge(call | {"evseId": "1"}) == (TYPE, "wrong type: evseId")
    assert judge(call | {field + "s": 1})[0] == UNKNOWN


@pytest.mark.parametrize("path", ["idToken", "chargingProfil", "idToken.idToken"])
def test_what_must_be_there_or_is_not_known_cannot_be_unread(path):
    action = "RequestStartTransaction"
    with pytest.raises(ValueError, match="no optional field is RequestStartTransaction." + path):
        schemas.compile([action], [], unread=(f"{action}.{path}",))


def test_every_schema_of_the_version_compiles():
    known = actions()
    assert len(known) == 64
    for action in known:
        table = schemas.compile([action], [action])
        assert schema.find(table, action) and schema.find(table, action, True)
        assert not schema.find(table, action[1:]) and not schema.find(table, "")
    assert not schema.find(TABLE, "Heartbeat") and schema.find(TABLE, "Heartbeat", True)


def test_answers_without_fields_are_not_listed():
    assert b'"StatusNotification"\0' not in TABLE and b'"Heartbeat"\0' in TABLE
    for payload, said in (
        ("{}", None),
        ('{"customData":{"vendorId":"x","y":1}}', None),
        ('{"customData":{}}', (MISSING, "missing vendorId: customData")),
        ('{"customData":5}', (TYPE, "wrong type: customData")),
        ('{"x":1}', (UNKNOWN, "unknown field")),
        ("[]", (TYPE, "wrong type")),
    ):
        assert check("StatusNotification", True, payload) == said
