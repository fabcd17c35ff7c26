"""Tells a charger what is its own: `python -m tools.flashing.provision --port PORT [--file OWN.toml]`.

Identity, CSMS URL, Wi-Fi and secrets are never in an image. They come from options, from a TOML file, from the
environment (`MILLIAMP_PASSWORD`, `MILLIAMP_KEY`) or are asked for. Secrets are on no command line and in no output.
"""

import argparse
import getpass
import hashlib
import os
import re
import stat
import sys
from pathlib import Path

from tools.flashing import Trouble, board, command, image, say

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_IDENTIFIER = re.compile(r"[A-Za-z0-9*\-_=+|@.]+")
_URL = re.compile(r"ws://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-_]+)(:[0-9]{1,5})?(/[!-~]*)?")
_PLAIN = re.compile(r"[!-~]+")
_LONGEST = 256  # bytes of any of these texts, on the board
_OWN = "/milliamp.txt"  # where there is no NVS: a line for each text, name=value

# What may be said: name -> question.
NAMES = {
    "url": "CSMS URL, without the identity (ws://...)",
    "identity": "identity, the charger's name at the CSMS",
    "password": "password at the CSMS (BasicAuthPassword)",
    "ssid": "Wi-Fi network",
    "key": "key of the Wi-Fi network",
    "serial": "serial number",
}
SECRET = ("password", "key")
_CSMS = (
    "url",
    "identity",
    "password",
)  # what the station takes over into its settings at its first start

# One value, and whether it arrived.
_STORE = """
import hashlib
def _store(name, text):
    _feed()
    try:
        import esp32
        _nvs = esp32.NVS('milliamp')
        _nvs.set_blob(name, text.encode())
        _nvs.commit()
    except ImportError:
        _file(name, text)
def _stored(name):
    try:
        import esp32
        b = bytearray({longest})
        return bytes(b[:esp32.NVS('milliamp').get_blob(name, b)])
    except ImportError:
        return dict(_lines()).get(name, '').encode()
    except OSError:
        return b''
def _lines():
    try:
        with open({own!r}) as f:
            return [line.rstrip('\\n').split('=', 1) for line in f if '=' in line]
    except OSError:
        return []
def _file(name, text):
    import os
    lines = [line for line in _lines() if line[0] != name] + [(name, text)]
    with open({own!r} + '.new', 'w') as f:
        for line in lines:
            f.write('='.join(line) + '\\n')
    os.rename({own!r} + '.new', {own!r})
def _sum(name):
    return hashlib.sha256(_stored(name)).digest()
"""

# The settings begin anew, so that the station takes what was provisioned: True if there were any.
_ANEW = """
def _anew():
    flash = board.{make}(tables.{profile}).{flash}('settings')
    buf, used = bytearray(16), False
    for at in range(0, flash.{size}, flash.{sector}):
        _feed()
        flash.{read}(at, buf)
        if buf != b'\\xff' * 16:
            flash.{erase}(at)
            used = True
    return used
"""


def fault(name: str, text: str) -> str:
    """What is wrong with a value, "" when nothing is. Never repeats a secret."""
    size = len(text.encode())
    if size > _LONGEST or not text or text != text.strip() or min(text) < " ":
        return f"it must have 1 to {_LONGEST} bytes, none of them a control character, and no space at an end"
    if name == "url":
        if text.startswith("wss://"):
            return "there is no TLS yet: it must begin with ws://"
        found = _URL.fullmatch(text)
        if not found or found[2] and not 0 < int(found[2][1:]) < 65536 or re.search("[#@]", text):
            return "it must be ws://host, ws://host:port or ws://host:port/path"
    elif name == "identity" and (size > 48 or not _IDENTIFIER.fullmatch(text)):
        return "it must have 1 to 48 characters: letters, digits and * - _ = + | @ . (no colon)"
    elif name == "password" and not (16 <= size <= 40 and _PLAIN.fullmatch(text)):
        return "it must have 16 to 40 characters of ASCII, without spaces"
    elif name == "ssid" and size > 32:
        return "it must have 1 to 32 bytes"
    elif name == "key" and not (
        8 <= size <= 63 and text.isascii() or re.fullmatch("[0-9A-Fa-f]{64}", text)
    ):
        return "it must have 8 to 63 characters of ASCII, or be 64 hexadecimal digits"
    elif name == "serial" and (size > 25 or not _IDENTIFIER.fullmatch(text)):
        return "it must have 1 to 25 characters: letters, digits and * - _ = + | @ ."
    return ""


def gather(given, environment, ask=None) -> dict:
    """{name: text} of what is to be written, checked. `ask` is a function (name, question) for what is not given.

    Trouble says what is wrong and where.
    """
    values, where = {}, {}
    if given.file:
        values = _read(Path(given.file))
        where = {name: f"{given.file}: {name}" for name in values}
    for name in NAMES:
        if name in SECRET:
            variable = f"MILLIAMP_{name.upper()}"
            text, place = environment.get(variable), f"environment variable {variable}"
        else:
            text, place = getattr(given, name), f"--{name}"
        if text is not None:
            values[name], where[name] = text, place
    if not values and ask:
        for name, question in NAMES.items():
            while text := ask(name, question):
                if why := fault(name, text):
                    say(f"{name}: {why}")
                    continue
                values[name], where[name] = text, name
                break
    faults = [
        f"{where[name]}: {why}" for name, text in values.items() if (why := fault(name, text))
    ]
    if faults:
        raise Trouble("\n".join(faults))
    if not values:
        raise Trouble(
            "nothing to write: give options, a file, or run it in a terminal and be asked (--help lists them)"
        )
    return {name: values[name] for name in NAMES if name in values}


def _read(file: Path) -> dict:
    """The values of a TOML file."""
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
        mode = file.stat().st_mode
    except OSError as error:
        raise Trouble(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Trouble(f"{file}: it is no UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise Trouble(f"{file}: {error}") from None
    for name, text in found.items():
        if name not in NAMES:
            raise Trouble(f"{file}: unknown name {name!r}: it must be one of {', '.join(NAMES)}")
        if not isinstance(text, str):
            raise Trouble(f"{file}: {name} must be a text")
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO) and set(found) & set(SECRET):
        say(f"{file} holds secrets and others may read it: chmod 600 {file}")
    return found


def _ask(name: str, question: str) -> str:
    """Ask in the terminal; nothing: it stays as it is. Secrets are not shown."""
    prompt = f"{question} [as it is]: "
    return getpass.getpass(prompt) if name in SECRET else input(prompt).strip()


def store(to: board.Board, values: dict) -> None:
    """Write the values and see that they are there. Trouble says which is not."""
    own = image.root(to) + _OWN
    to.run(_STORE.format(longest=_LONGEST, own=own))
    for name, text in values.items():
        try:
            to.run(f"_store({name!r}, {text!r})")
            arrived = to.value(f"_sum({name!r})") == hashlib.sha256(text.encode()).digest()
        except board.Fault as fault:
            raise Trouble(f"the board cannot store {name}: {fault.kind} {fault.text}") from None
        if not arrived:
            raise Trouble(f"{name} is not on the board as it was sent: try again")


def begin_anew(to: board.Board, chosen: "str | None") -> bool:
    """Erase the settings, which hold what was provisioned before and what the CSMS has set since. False: there were
    none. Trouble: they cannot be erased."""
    station = image.station(to, chosen)
    if station is None:
        return False
    try:
        to.run(station.imports + station.names.fill(_ANEW))
        return to.value("_anew()", timeout=120)
    except board.Fault as fault:
        raise Trouble(
            f"the values are stored, but the old settings cannot be erased: {fault}"
        ) from None


def run(given) -> None:
    """Gather, write, and let the station begin with it."""
    port = board.port_of(given.port)
    values = gather(given, os.environ, _ask if sys.stdin.isatty() else None)
    with board.Board(port) as to:
        store(to, values)
        say(f"{port}: stored {', '.join(values)}")
        if set(values) & set(_CSMS) and begin_anew(to, given.board):
            say(
                "the settings begin anew: what the CSMS had set is forgotten, recorded transactions are not"
            )
        to.reset()


def main(argv=None) -> int:
    """Provision the board at the port."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.flashing.provision",
        description="Write what is a charger's own. Secrets come from a file, the environment or a prompt.",
    )
    parser.add_argument(
        "board", nargs="?", help="a folder of boards/, for an image that is frozen"
    )
    parser.add_argument("--port", help="the board's serial port")
    parser.add_argument("--file", metavar="TOML", help="a file with any of: " + ", ".join(NAMES))
    for name, question in NAMES.items():
        if name not in SECRET:
            parser.add_argument(f"--{name}", help=question)
    return command(run, parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
