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
_COMMON = "customData"  # which each object may have: it stands in the table once
_EMPTY = b"o\0\0\0"  # a closed object without fields
_MAX_TABLE = 1 << 14
_MAX_NAME = 62  # of a field or enumeration value: the check looks for nothing longer
_MAX_DATE_TIME = 64  # RFC 3339 allows any number of digits behind the second


def compile(
    requests: list[str],
    responses: list[str],
    version: str = "v201",
    unread: "tuple[str, ...]" = (),
) -> bytes:
    """The table for the requests that are received and the responses that are awaited. `unread`: optional fields as
    "Action.field.field", of which nobody reads what is in there: they may be any JSON."""
    mute = [name for name in responses if name not in requests and _is_mute(name, version)]
    names = sorted({*requests, *responses}.difference(mute))
    size = sum(len(name) + 7 for name in names)
    blank = bytes(len(_COMMON) + 5)
    table = _Table(bytearray(size.to_bytes(2, "big") + bytes(size) + blank), unread)
    table.store(_EMPTY)
    directory = b""
    for name in names:
        directory += b'"%s"\0' % name.encode()
        for wanted, suffix in ((requests, "Request"), (responses, "Response")):
            schema = official.load(name + suffix, version) if name in wanted else None
            directory += table.kind(schema, schema, name) if schema else _offset(0)
    if missing := sorted(table.unread):
        raise ValueError(f"no optional field is {', '.join(missing)}")
    table.data[2 : 2 + size] = directory
    if table.common:
        table.data[2 + size : 2 + size + len(blank)] = b'"%s"' % _COMMON.encode() + table.common
    if len(table.data) > _MAX_TABLE:
        raise ValueError(
            f"the schema table has {len(table.data)} bytes, the limit is {_MAX_TABLE}"
        )
    return bytes(table.data)


class _Table:
    """Collects types; equal ones are stored once."""

    def __init__(self, data: bytearray, unread: "tuple[str, ...]" = ()):
        self.data = data
        self.unread = set(unread)  # those that were not met yet
        self._unread = frozenset(unread)
        self.common = None  # what follows the name of the field that each object may have; b"": they have none
        self._known: dict[bytes, bytes] = {}

    def kind(self, schema: dict, root: dict, path: str) -> bytes:
        """The two-byte offset of a schema's type; `path` is where it is met."""
        if "$ref" in schema:
            schema = root["definitions"][schema["$ref"].rsplit("/", 1)[1]]
        return self.store(self._packed(schema, root, path))

    def store(self, packed: bytes) -> bytes:
        """The two-byte offset of a type."""
        if packed not in self._known:
            self._known[packed] = _offset(len(self.data))
            self.data += packed
        return self._known[packed]

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
            case {"type": "number"} if "minimum" not in schema and "maximum" not in schema:
                return b"n"
            case {"type": "boolean"}:
                return b"b"
            case _ if "type" not in schema:
                return b"x"
        raise ValueError(f"this schema has no compact form: {schema}")

    def _object(self, schema: dict, root: dict, path: str) -> bytes:
        required = schema.get("required", [])
        properties = schema.get("properties", {})
        is_open = schema.get("additionalProperties", True) is not False
        if not is_open:
            common = properties.get(_COMMON)
            common = bytes((_MAX_FIELDS,)) + self.kind(common, root, path) if common else b""
            if self.common not in (None, common):
                raise ValueError(f"{_COMMON} is not the same everywhere")
            self.common = common
        fields = sorted(properties, key=lambda name: name not in required)
        fields = [name for name in fields if is_open or name != _COMMON]
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
        return (
            (b"c" if is_open else b"o")
            + bytes((len(required),))
            + len(blob).to_bytes(2, "big")
            + blob
        )


def _is_mute(action: str, version: str) -> bool:
    """Does a response say nothing?"""
    schema = official.load(action + "Response", version)
    properties = schema.get("properties", {})
    return {*properties} <= {_COMMON} and schema.get("additionalProperties", True) is False


def _is_short(name: str) -> bool:
    return name.isascii() and len(name) <= _MAX_NAME


def _offset(at: int) -> bytes:
    return bytes((0x80 | at >> 7, 0x80 | at & 0x7F))


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
