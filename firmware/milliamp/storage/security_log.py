# The security log: what happened and when, over all power cuts, until newer events need its place.
#
# Its events are rare, so it is mounted for each of them and for each reading: nothing of it stays in RAM.
import struct

from micropython import const

from milliamp.storage.records import Records

# Seconds since 2000, then text.
_EVENT = const(8)
# The same while the clock was not set.
_GUESSED = const(11)
# Bytes of an event.
_LONGEST = const(200)
# And of its record, whatever the program unit.
_ROOM = const(256)


def append(flash, clock, text: str):
    """Make an event durable; the oldest sector goes when there is no room. A generator, for what is there is read first,
    a few events at each step; the last step may block for a sector erase. One at a time."""
    kind = _EVENT if clock.synced else _GUESSED
    payload = struct.pack("<I", clock.now()) + text.encode()
    log = Records(flash, _nothing, None, _ROOM)
    yield from log.mount(_nothing)
    while True:
        try:
            return log.append(kind, payload[:_LONGEST])
        except OSError:
            if not log.drop():
                raise


def read(flash):
    """Yield (seconds since 2000, was that a guess?, text), oldest first, and None where it has to read on. An event
    that is appended meanwhile may cut it short."""
    log = Records(flash, _nothing, None, _ROOM)
    yield from log.mount(_nothing)
    for _, kind, payload in log.pending():
        yield struct.unpack_from("<I", payload)[0], kind == _GUESSED, str(payload[4:], "utf-8")


def _nothing(*_):
    pass
