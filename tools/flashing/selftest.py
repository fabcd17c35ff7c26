"""Tries a board, part by part: `python -m tools.flashing.selftest --port PORT [BOARD]`. Exits with 1 when one fails.

Nothing is lost by it: flash is only written where it is blank. At the end the station itself runs for some seconds
under our eyes, and then the board restarts. Nothing may be charging meanwhile.
"""

import argparse
import sys

from tools.flashing import Trouble, board, command, image, say

_RUN_S = 10  # for the station
_BEATS = (
    3  # of its supervisor in that time, at least: it beats once a second while all tasks go on
)
_NETWORK_S = 25  # for an access point and an address
_HEAP = 16384  # bytes that must be left before the station starts

# (name, code): what it prints is the result, an exception the reason that it failed. A name with a star is a
# condition for what follows. {..} are names of ours as the board knows them.
_CHIP = (
    (
        "interpreter",
        "import sys\nprint(*sys.version.split(';')[-1:], '-', getattr(sys.implementation, '_machine', '?'))",
    ),
    (
        "unique id",
        "import machine\nfrom binascii import hexlify\n_i = machine.unique_id()\n"
        "if len(set(_i)) < 2: raise ValueError('it is blank')\nprint(hexlify(_i).decode())",
    ),
    (
        "clock",
        "import time\n_t = time.ticks_ms()\ntime.sleep_ms(50)\n_d = time.ticks_diff(time.ticks_ms(), _t)\n"
        "if not 45 <= _d: raise ValueError('50 ms took it %d' % _d)\nprint('it goes; now %d-%02d-%02d %02d:%02d' % time.gmtime()[:5])",
    ),
    (
        "file system",
        "import os\n_s = os.statvfs(os.getcwd())\nprint(_s[0] * _s[3] // 1024, 'kB free of', _s[0] * _s[2] // 1024)",
    ),
    (
        "memory",
        "import gc\ngc.collect()\nif gc.mem_free() < {heap}: raise ValueError('%d bytes are free' % gc.mem_free())\n"
        "print(gc.mem_free(), 'bytes free')",
    ),
)
_STATION = (
    ("station*", "{imports}print('its core is there')"),
    (
        "modules",
        "for _n in {modules!r}:\n    __import__(_n)\n    _feed()\n"
        "print(len({modules!r}) or 'name the BOARD to try them', 'load' if {modules!r} else '')",
    ),
    ("board's drivers*", "_b = board.{make}(tables.{profile})\nprint('made')"),
    (
        "random",
        "_x = [bytes(_b.{random}(16)) for _ in range(4)]\nif len(set(_x)) < 4: raise ValueError('it repeats itself')\nprint('differs')",
    ),
)
_REGION = """
_f = _b.{flash}({region!r})
_v = bytearray(64)
_blank = None
for _at in range(0, _f.{size}, _f.{sector}):
    _feed()
    _whole = True
    for _o in range(0, _f.{sector}, 64):
        _f.{read}(_at + _o, _v)
        if _v != b'\\xff' * 64:
            _whole = False
            break
    if _whole:
        _blank = _at
if _blank is None:
    print(_f.{size} // 1024, 'kB read; no sector is blank, so nothing was written')
else:
    _w = bytes(range(64))
    _f.{program}(_blank, _w)
    _f.{read}(_blank, _v)
    _f.{erase}(_blank)
    if _v != _w: raise ValueError('what was written at %#x reads otherwise' % _blank)
    _f.{read}(_blank, _v)
    if _v != b'\\xff' * 64: raise ValueError('the sector at %#x is not blank after an erase' % _blank)
    print(_f.{size} // 1024, 'kB; read, written and erased at %#x' % _blank)
"""
_INPUTS = """
import time
for _ in range(20):
    _b.{scan}()
    time.sleep_ms(_b.{scan_ms})
_why = _b.{fault}({evse})
if _why: raise ValueError('fault: ' + _why)
print('cable', _b.{cable}({evse}), ' pilot', chr(_b.{pilot}({evse})), ' register', _b.{energy}({evse}), 'Wh')
"""
_NETWORK = """
import time
_t = time.ticks_ms()
while not _b.{network}():
    if time.ticks_diff(time.ticks_ms(), _t) > {seconds} * 1000: raise OSError('there is none after {seconds} s: provisioned? in reach?')
    _feed()
    time.sleep_ms(200)
print('up after', time.ticks_diff(time.ticks_ms(), _t), 'ms')
"""
# The station as it always runs; only its watchdog is ours, which counts what the supervisor says.
_ALIVE = """
import asyncio, gc, machine, sys
_beats = 0
_real = machine
class _Dog:
    def __init__(self, *_, **__):
        pass
    def feed(self):
        global _beats
        _beats += 1
        _feed()
class _Machine:
    WDT = _Dog
    def __getattr__(self, name):
        return getattr(_real, name)
sys.modules['machine'] = _Machine()
_run = asyncio.run
async def _limited(station):
    try:
        await asyncio.wait_for(station, {seconds})
    except asyncio.TimeoutError:
        gc.collect()
        print('=', _beats, gc.mem_free())
asyncio.run = lambda station: _run(_limited(station))
{imports}import main
"""


class _Table:
    """Results as they come, and whether all were good."""

    def __init__(self, width: int):
        self.failed = 0
        self._width = width

    def row(self, name: str, result: str, why: str) -> None:
        self.failed += result == "FAILED"
        say(f"{name:<{self._width}}  {result:<6}  {why}")


def check(to: board.Board, table: _Table, name: str, code: str, timeout: int = 60) -> bool:
    """Run one test on the board, and add its row."""
    try:
        table.row(name, "ok", to.run(code, timeout).strip())
        return True
    except board.Fault as fault:
        table.row(name, "FAILED", f"{fault.kind}: {fault.text}" if fault.text else fault.kind)
        return False


def _parts(station: image.Station, regions: list, evses: int):
    """(name, code) of what is tried with the station's own modules."""
    names = station.names
    for name, code in _STATION:
        yield name, names.fill(code, imports=station.imports, modules=station.modules)
    for region in regions:
        yield f"flash: {region}", names.fill(_REGION, region=region)
    for evse in range(1, evses + 1):
        yield f"inputs of EVSE {evse}", names.fill(_INPUTS, evse=evse)
    yield "network", names.fill(_NETWORK, seconds=_NETWORK_S)


def alive(to: board.Board, table: _Table, station: image.Station) -> None:
    """Let the station run for a while; its log is shown."""
    result = []

    def line(text):
        result.append(text) if text.startswith("= ") else say(f"    {text}")

    try:
        to.stream(
            _ALIVE.format(imports=station.imports, seconds=_RUN_S), line, timeout=_RUN_S + 60
        )
    except board.Fault as fault:
        return table.row("station runs", "FAILED", str(fault))
    beats, free = (int(number) for number in result[-1].split()[1:]) if result else (0, 0)
    return table.row(
        "station runs",
        "ok" if beats >= _BEATS else "FAILED",
        f"{beats} heartbeats in {_RUN_S} s, {free} bytes free",
    )


def test(to: board.Board, chosen: "str | None" = None) -> int:
    """Try all there is; how many parts failed."""
    table = _Table(20)
    for name, code in _CHIP:
        check(to, table, name, code.format(heap=_HEAP) if name == "memory" else code)
    station = image.station(to, chosen)
    if station is None:
        table.row("station", "FAILED", "there is none on the board: make flash")
        return table.failed
    to.run(station.imports)
    names = station.names
    regions, evses = to.value(
        names.fill("(tuple(sorted(tables.{profile}.{FLASH})), len(tables.{profile}.{EVSES}))")
    )
    for name, code in _parts(station, regions, evses):
        if not check(to, table, name.rstrip("*"), code) and name.endswith("*"):
            return table.failed
    to.soft_reset()
    alive(to, table, station)
    return table.failed


def run(given) -> int:
    """Test and restart the board."""
    with board.Board(board.port_of(given.port)) as to:
        failed = test(to, given.board)
        to.reset()
    if failed:
        raise Trouble(f"{failed} failed")
    say("all is well")
    return 0


def main(argv=None) -> int:
    """Try the board at the port."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.flashing.selftest", description="Try a board, part by part."
    )
    parser.add_argument(
        "board", nargs="?", help="a folder of boards/, for an image that is frozen"
    )
    parser.add_argument("--port", help="the board's serial port")
    return command(run, parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
