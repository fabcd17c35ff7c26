"""Compiles the official OCPP JSON schemas into the compact table that `milliamp.wire.schema` reads.

    python -m tools.builder.tables.schemas [--version v201] [ACTION...]     prints what the table costs

The schemas come from the PyPI package `ocpp`. The table's format is described in wire/schema.py.
"""

import argparse

from tools.builder import official

# What the CSMS may ask of a Core station, and what a Core station asks the CSMS.
CORE_REQUESTS = (
    "CertificateSigned ChangeAvailability ClearCache CustomerInformation DataTransfer DeleteCertificate "
    "GetBaseReport GetInstalledCertificateIds GetLog GetReport GetTransactionStatus GetVariables "
    "InstallCertificate RequestStartTransaction RequestStopTransaction Reset SetNetworkProfile "
    "SetVariables TriggerMessage UnlockConnector UpdateFirmware"
).split()
CORE_RESPONSES = (
    "Authorize BootNotification FirmwareStatusNotification Heartbeat LogStatusNotification MeterValues "
    "NotifyCustomerInformation NotifyEvent NotifyReport SecurityEventNotification SignCertificate "
    "StatusNotification TransactionEvent"
).split()

_MAX_FIELDS = 29  # a bit for each in a small int of 32-bit MicroPython, and one for
_COMMON = "customData"  # which each object of 2.x may have: it stands in the table once
_HEAD = len(_COMMON) + 5  # bytes of it: name, index, offset
# Objects are the highest letters: open ones, closed ones that may have customData, closed ones.
_OPEN, _OBJECT, _CLOSED = b"y", b"z", b"{"
_NO_FIELDS = b"\0\0\0"
_MAX_TABLE = 1 << 16
_QUOTE = 34  # no byte of an offset: what begins with one is a name
_HOLE = _QUOTE << 8  # no type begins in the 256 bytes from here on: the directory lies there
_MAX_NAME = 62  # of a field or enumeration value: the check looks for nothing longer
_MAX_DATE_TIME = 64  # RFC 3339 allows any number of digits behind the second
# What limits a number, a bit each.
_LIMITS = {("minimum", 0): 1, ("maximum", 0): 2, ("maximum", 100): 4, ("multipleOf", 0.1): 8}


def compile(
    requests: list[str],
    responses: list[str],
    version: str = "v201",
    unread: "tuple[str, ...]" = (),
) -> bytes:
    """The table of one version, as `pack` makes it."""
    return pack({version: (requests, responses)}, unread)[0]


def pack(speaks: dict, unread: "tuple[str, ...]" = ()) -> tuple[bytes, int]:
    """The table for {version: (requests that are received, responses that are awaited)}, and what limits the numbers in it.
    `unread`: optional fields as "Action.field.field", of which nobody reads what is in there: they may be any JSON.

    Versions are numbered as they come. Types that are the same in several are stored once.
    """
    entries = []  # (number, version, action, has a request, has a response)
    empty = _empty(next(iter(speaks)))
    for number, (version, (requests, responses)) in enumerate(speaks.items()):
        for name in sorted({*requests, *responses}):
            is_mute = name not in requests and _is_mute(name, version) and empty == _empty(version)
            if not is_mute:
                entries.append((number, version, name, name in requests, name in responses))
    table = _Table(empty, sum(len(entry[2]) + 7 for entry in entries), unread)
    directory = b""
    for number, version, name, has_request, has_response in entries:
        directory += _key(name, number)
        for wanted, suffix in ((has_request, "Request"), (has_response, "Response")):
            schema = official.load(name + suffix, version) if wanted else None
            directory += table.kind(schema, schema, name) if schema else _offset(0)
    if missing := sorted(table.unread):
        raise ValueError(f"no optional field is {', '.join(missing)}")
    data = table.finish(directory)
    for number, _, name, *_ in entries:
        if data.count(_key(name, number)) != 1:
            raise ValueError(f"{name} cannot be told from another name")
    return data, table.limits


class _Table:
    """Collects types; equal ones are stored once."""

    def __init__(self, empty: bytes, directory: int, unread: "tuple[str, ...]" = ()):
        self.data = bytearray(_HEAD) + empty
        self.limits = 0
        self.unread = set(unread)  # those that were not met yet
        self._unread = frozenset(unread)
        self._common = None  # what follows the name of the field that each object may have
        self._known: dict[bytes, bytes] = {empty: _offset(_HEAD)}
        self._size = directory  # bytes
        self._directory = 0  # where it lies

    def kind(self, schema: dict, root: dict, path: str) -> bytes:
        """The two-byte offset of a schema's type; `path` is where it is met."""
        return self._store(self._packed(official.resolved(schema, root), root, path))

    def finish(self, directory: bytes) -> bytes:
        """All of the table."""
        if not self._directory:
            self._place()
        self.data[self._directory : self._directory + self._size] = directory
        if self._common:
            self.data[:_HEAD] = b'"%s"' % _COMMON.encode() + self._common
        if len(self.data) > _MAX_TABLE:
            raise ValueError(
                f"the schema table has {len(self.data)} bytes, the limit is {_MAX_TABLE}"
            )
        return bytes(self.data)

    def _store(self, packed: bytes) -> bytes:
        if packed not in self._known:
            if not self._directory and len(self.data) + len(packed) > _HOLE:
                self._place()
            while _QUOTE in divmod(len(self.data), 256):
                self.data += b"x"
            self._known[packed] = _offset(len(self.data))
            self.data += packed
        return self._known[packed]

    def _place(self) -> None:
        self._directory = len(self.data)
        self.data += bytes(self._size)

    def _packed(self, schema: dict, root: dict, path: str) -> bytes:
        match schema:
            case {"enum": values}:
                # Compared as they stand on the wire: nothing that an encoder might escape.
                for value in values:
                    if not _is_short(value) or set(value) & set('"\\/'):
                        raise ValueError(f"enumeration value {value!r}")
                blob = b'"' + b"".join(value.encode() + b'"' for value in values)
                return b"e" + len(blob).to_bytes(2, "big") + blob
            case {"type": "object"}:
                return self._object(schema, root, path)
            case {"type": "array", "items": items}:
                fewest = bytes((schema.get("minItems", 0),))
                most = schema.get("maxItems", 0).to_bytes(2, "big")
                return b"a" + fewest + most + self.kind(items, root, path)
            case {"type": "string", "format": "date-time"}:
                return b"s" + _MAX_DATE_TIME.to_bytes(2, "big")
            case {"type": "string"}:
                return b"s" + schema.get("maxLength", 0).to_bytes(2, "big")
            case {"type": "integer"} if "minimum" in schema or "maximum" in schema:
                return b"r" + bytes(
                    (int(schema.get("minimum", 0)), int(schema.get("maximum", 255)))
                )
            case {"type": "integer"}:
                return b"i"
            case {"type": "number"}:
                return self._number(schema)
            case {"type": "boolean"}:
                return b"b"
            case _ if "type" not in schema:
                return b"x"
        raise ValueError(f"this schema has no compact form: {schema}")

    def _number(self, schema: dict) -> bytes:
        limits = 0
        for key in ("minimum", "maximum", "multipleOf"):
            if key in schema:
                if (key, schema[key]) not in _LIMITS:
                    raise ValueError(f"this schema has no compact form: {schema}")
                limits |= _LIMITS[key, schema[key]]
        self.limits |= limits
        return b"l" + bytes((limits,)) if limits else b"n"

    def _object(self, schema: dict, root: dict, path: str) -> bytes:
        required = schema.get("required", [])
        properties = schema.get("properties", {})
        letter = _letter(schema)
        if letter == _OBJECT:
            common = bytes((_MAX_FIELDS,)) + self.kind(properties[_COMMON], root, path)
            if self._common not in (None, common):
                raise ValueError(f"{_COMMON} is not the same everywhere")
            self._common = common
        fields = sorted(properties, key=lambda name: name not in required)
        fields = [name for name in fields if letter == _OPEN or name != _COMMON]
        if (
            len(fields) > _MAX_FIELDS
            or not set(required) <= set(fields)
            or not all(map(_is_short, fields))
        ):
            raise ValueError(f"object with the fields {fields}")
        blob = b""
        for index, name in enumerate(fields):
            inner = f"{path}.{name}"
            read = inner not in self._unread or name in required
            if not read:
                self.unread.discard(inner)
            kind = self.kind(properties[name] if read else {}, root, inner)
            blob += b'"%s"' % name.encode() + bytes((index,)) + kind
        return letter + bytes((len(required),)) + len(blob).to_bytes(2, "big") + blob


def _letter(schema: dict) -> bytes:
    if schema.get("additionalProperties", True) is not False:
        return _OPEN
    return _OBJECT if _COMMON in schema.get("properties", {}) else _CLOSED


def _empty(version: str) -> bytes:
    """The type of an object without fields: of a version's answers that say nothing."""
    return (_CLOSED if version == "v16" else _OBJECT) + _NO_FIELDS


def _is_mute(action: str, version: str) -> bool:
    """Does a response say nothing?"""
    schema = official.load(action + "Response", version)
    properties = schema.get("properties", {})
    return {*properties} <= {_COMMON} and schema.get("additionalProperties", True) is False


def _is_short(name: str) -> bool:
    return name.isascii() and len(name) <= _MAX_NAME


def _key(action: str, version: int) -> bytes:
    """How an entry of the directory begins."""
    return b'"%s"%c' % (action.encode(), version)


def _offset(at: int) -> bytes:
    return at.to_bytes(2, "big")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("actions", nargs="*", metavar="ACTION", help="default: the Core profile")
    parser.add_argument("--version", default="v201", choices=("v16", "v201", "v21"))
    options = parser.parse_args()
    if options.actions:
        print(f"{len(compile(options.actions, options.actions, options.version)):6} B")
        return
    for action in CORE_REQUESTS:
        print(f"{len(compile([action], [])):6} B  {action}Request alone")
    for action in CORE_RESPONSES:
        print(f"{len(compile([], [action])):6} B  {action}Response alone")
    print(f"{len(compile(CORE_REQUESTS, CORE_RESPONSES)):6} B  all of Core in one table")


if __name__ == "__main__":
    main()
