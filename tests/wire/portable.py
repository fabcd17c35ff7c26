"""Run by both interpreters: what the scanner, the schemas and a whole connection make of what is given.

portable.py judge FILE      lines of hex: JSON texts, and "action response hex": payloads
portable.py connect PORT    serve a connection until it ends, with three calls of our own
"""

import asyncio
import json
import sys
from binascii import unhexlify

from milliamp.wire import schema
from milliamp.wire.jsonreader import Reader
from milliamp.wire.jsonwriter import Writer
from milliamp.wire.websocket import ConnectionClosed, is_utf8


def judge(line, table):
    """One line of text that says all about the text or payload in `line`."""
    words = line.split()
    data = bytearray(unhexlify(words[-1]))
    r = Reader(data)
    r.load(len(data))
    good = None
    while good is None:
        good = r.check(3)
    if not good or not is_utf8(memoryview(data)):
        return f"{good} {r.end}"
    if len(words) == 3:
        kind = schema.find(table, words[0], words[1] == "1")
        return str(asyncio.run(schema.check(r, 0, table, kind)))
    said = []
    walk(r, r.root, said)
    return " ".join(said)


def walk(r, at, said):
    c = chr(r.buf[at])
    if c == '"':
        out = bytearray(20)
        parts = []
        w = Writer(out, 3, lambda end: parts.append(bytes(out[3:end])))
        w.value(r.text(at))
        text = json.loads(b"".join(parts) + bytes(out[3 : w.at]))  # each escapes in its own way
        said.append(f"{r.length(at)} {text.encode()}")
    elif c in "[{":
        said.append(c)
        one = r.first(at)
        while one:
            if c == "{":
                walk(r, one, said)
                one = r.value(one)
            walk(r, one, said)
            one = r.next(one)
    else:
        said.append(f"{r.number(at)} {r.fixed(at, 3)} {r.boolean(at)}")


async def connect(port, table):
    import station

    st = station.Station(table)
    ws = await st.connect(port, authorization=("CS 1", "password"))

    async def calls():
        for n in range(3):
            print(await st.rpc.call("Heartbeat", station.heartbeat, n, station.answered))

    task = asyncio.create_task(calls())
    try:
        await st.rpc.run(ws)
    except ConnectionClosed as closed:
        print(closed)
    await task
    print(st.calls, list(st.counters), st.log.lines)


def main(what, argument, table):
    with open(table, "rb") as file:
        table = file.read()
    if what == "connect":
        asyncio.run(connect(int(argument), table))
    else:
        with open(argument) as lines:
            for line in lines:
                print(judge(line, table))


if __name__ == "__main__":
    main(*sys.argv[1:])
