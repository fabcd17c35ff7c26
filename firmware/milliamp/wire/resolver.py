# Finds the address of a host and stops nothing meanwhile, as getaddrinfo would: a DNS client over UDP (RFC 1035)
# that asks for A records. Needed once per connection, so it is imported on use.
#
# An answer is for the connection that is about to be made and for no other, so no TTL can be wrong.
import asyncio
import socket

from micropython import const

# Bytes of an answer.
_SIZE = const(512)
# Where those begin that are nobody's.
_PORTS = const(0xC000)
_PAUSE_MS = const(50)
# Type and class.
_ADDRESS = b"\0\1\0\1"


async def find(st, host: str, key=None):
    """(address, note): the IPv4 address of a host as text, and what to put under the settings `key` once it has
    proved good. What is there is the answer when there is no other. OSError: nobody knows. Takes 10 s at most."""
    note = st.settings.get(key) or ""
    prefix = host + " "
    last = note[len(prefix) :] if note.startswith(prefix) else ""
    try:
        known = await _ask(st, host)
    except OSError:
        if not last:
            raise
        known = [last]
    return known[0], note if last in known else prefix + known[0]


async def _ask(st, host):
    # All addresses of a host.
    board = st.board
    random = board.random(4)
    query = random[:2] + b"\1\0\0\1\0\0\0\0\0\0"
    for label in host.encode().split(b"."):
        if not 0 < len(label) < 64:
            raise OSError("no host name")
        query += bytes((len(label),)) + label
    query += b"\0" + _ADDRESS
    server = board.dns()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if server:
            sock.bind(_place("0.0.0.0", _PORTS | random[2] << 8 | random[3]))
            # So that nobody else is heard.
            sock.connect(_place(*server))
        stream = asyncio.StreamReader(sock)
        for seconds in range(1, 5):
            address = board.resolve(host)
            if address:
                return [address]
            if server:
                stream.write(query)  # type: ignore[attr-defined]
            try:
                return await asyncio.wait_for(_hear(stream, query), seconds)
            except asyncio.TimeoutError:
                pass
    finally:
        sock.close()
    raise OSError("no answer from a name server")


def _place(address, port):
    # As sockets want it. Of a numeric address, this is done at once.
    return socket.getaddrinfo(address, port)[0][-1]


async def _hear(stream, query):
    while True:
        # Until there is something: to read more would join what came as two.
        await stream.read(0)
        try:
            return addresses(stream.s.recv(_SIZE), query)
        except (IndexError, ValueError):
            # Not what was asked for, or no DNS.
            # A flood of it takes no time from others.
            await asyncio.sleep_ms(_PAUSE_MS)


def addresses(data: bytes, query: bytes):
    """The addresses in the answer to a query, as texts. ValueError, IndexError: it is none. OSError: it has none."""
    at = len(query)
    if data[2] < 128 or data[:2] + data[12:at] != query[:2] + query[12:]:
        raise ValueError
    known = []
    for _ in range(data[6] << 8 | data[7]):
        # Whose record it is, is passed over: the host's, or that of a name that the records before lead to.
        while 0 < data[at] < 192:
            at += data[at] + 1
        at += 2 if data[at] else 1
        size = data[at + 8] << 8 | data[at + 9]
        if data[at : at + 4] == _ADDRESS and size == 4:
            a, b, c, d = data[at + 10 : at + 14]
            known.append("%d.%d.%d.%d" % (a, b, c, d))
        at += size + 10
    if not known:
        raise OSError("no such host")
    return known
