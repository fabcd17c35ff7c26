"""The way onto a board, tried on the real MicroPython behind a pseudo-terminal (`pty_board`)."""

import contextlib
import json
import os
import pty
import subprocess
import sys
import threading
import tty
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import serial

from hostsim.charger.lane32 import lane64
from tests.flashing.pty_board import BLOCK, PtyBoard
from tools import ROOT, builder
from tools.builder import profile
from tools.flashing import Trouble, board, console, flash, image, package, provision, selftest

BENCH = str(Path(__file__).parent / "bench")
PASSWORD = "correct-horse-battery"
PATIENCE = 300  # real seconds: a pseudo-terminal knows no other time


@pytest.fixture(scope="module")
def out():
    """The built image of the bench."""
    return builder.build(BENCH)


@pytest.fixture
def unit(tmp_path, monkeypatch):
    """A board that nothing was ever written to."""
    # A machine may be busy: what comes is waited for, as long as it may take.
    monkeypatch.setattr(board, "_TRIES", 300)
    monkeypatch.setattr(board, "_BOOT_S", PATIENCE)
    monkeypatch.setattr(board, "_ANSWER_S", PATIENCE)
    monkeypatch.setattr(board, "_SILENT_S", PATIENCE)
    monkeypatch.setattr(flash, "_START_S", PATIENCE)
    monkeypatch.setattr(selftest, "_BEATS", 1)
    with PtyBoard(tmp_path) as unit:
        yield unit


@pytest.fixture
def running(unit, out):
    """A board whose station runs from the first slot."""
    assert flash.main([BENCH, "--port", unit.port]) == 0
    return unit


def started(unit) -> str:
    """The slot whose station starts when the board gets its supply back."""
    unit.cut()
    with serial.Serial(unit.port) as wire:
        unit.power()
        for line in console.follow(unit.port, None, PATIENCE, wire=wire):
            if "started from" in line:
                return line.split()[-1]
    return ""


def one_line(capsys) -> str:
    """What a command said went wrong."""
    text = capsys.readouterr().err.strip()
    assert text and "Traceback" not in text and "\n" not in text
    return text


def room_for_one(out) -> int:
    """Blocks of a file system that has not got room for two stations."""
    content = image.files(out / "image")
    folders = {parent for path in content for parent in Path(path).parents}
    one = sum(-(-len(data) // BLOCK) for data in content.values()) + 2 * len(folders)
    return one + 8 + one // 2  # the bench's flash regions take 8


# --- flash -----------------------------------------------------------------------------------------


def test_a_blank_board_becomes_a_running_station(unit, out, capsys):
    assert flash.main([BENCH, "--port", unit.port]) == 0
    assert "started from /milliamp-a" in capsys.readouterr().out
    with board.Board(unit.port) as to:
        found = image.flashed(to)
        to.run(flash._TOOLS)
        for path, data in image.files(out / "image").items():
            assert path.endswith(".mpy")
            assert to.run(f"print(os.stat('/milliamp-a/{path}')[6])").strip() == str(len(data))
    assert (found.board, found.slot) == ("bench", "/milliamp-a")
    assert found.mark == image.mark(image.files(out / "image"))


def test_each_flash_goes_beside_the_last(running):
    assert flash.main([BENCH, "--port", running.port]) == 0
    assert started(running) == "/milliamp-b"
    assert flash.main([BENCH, "--port", running.port]) == 0
    assert started(running) == "/milliamp-a"


def test_a_boot_file_of_somebody_else_is_kept(unit, capsys):
    with board.Board(unit.port) as to:
        to.run("with open('/main.py', 'w') as f:\n    f.write('print(\"mine\")')")
    assert flash.main([BENCH, "--port", unit.port]) == 0
    assert "/main.py.before" in capsys.readouterr().out
    with board.Board(unit.port) as to:
        assert to.value("open('/main.py.before').read()") == 'print("mine")'
    assert started(unit) == "/milliamp-a"


def test_an_interrupted_flash_leaves_the_old_station(running, out, capsys, monkeypatch):
    # So long it takes until a board counts as gone; before that, it is only on a busy machine.
    monkeypatch.setattr(board, "_ANSWER_S", 20)
    monkeypatch.setattr(board, "_SILENT_S", 20)
    monkeypatch.setattr(board.SerialTransport.read_until, "__defaults__", (20, None, None))
    before = running.received
    assert flash.main([BENCH, "--port", running.port]) == 0
    whole = running.received - before
    now = started(running)
    for percent in (4, 50, 95, 99):
        running.power(fuse=whole * percent // 100)
        capsys.readouterr()
        assert flash.main([BENCH, "--port", running.port]) == 1
        assert not running.is_on  # it was cut in the middle of it
        assert running.port in one_line(capsys)
        assert started(running) == now
    assert flash.main([BENCH, "--port", running.port]) == 0
    assert started(running) != now


def test_a_host_that_goes_away_leaves_the_old_station(running, out, monkeypatch):
    written = []

    def vanish(done, of):
        written.append(done)
        if len(written) == 5:
            raise KeyboardInterrupt

    with board.Board(running.port) as to, pytest.raises(KeyboardInterrupt):
        flash.copy(to, out, flash.profile.load(BENCH), vanish)
    assert started(running) == "/milliamp-a"


def test_a_fat_file_system_elsewhere_will_do(tmp_path, out):
    with PtyBoard(tmp_path, root="/flash") as unit:
        for slot in ("/flash/milliamp-a", "/flash/milliamp-b"):
            assert flash.main([BENCH, "--port", unit.port]) == 0
            assert started(unit) == slot
        assert provision.main(["--port", unit.port, "--identity", "CP9"]) == 0
        assert any("identity CP9" in line for line in log(unit))


def test_a_board_without_room_is_left_as_it_is(tmp_path, out, capsys):
    with PtyBoard(tmp_path, blocks=room_for_one(out)) as unit:
        assert flash.main([BENCH, "--port", unit.port]) == 0
        capsys.readouterr()
        assert flash.main([BENCH, "--port", unit.port]) == 1
        assert "too full" in one_line(capsys)
        assert started(unit) == "/milliamp-a"


def test_a_file_system_that_fills_up_meanwhile_is_tidied(tmp_path, out, capsys, monkeypatch):
    monkeypatch.setattr(flash, "_has_room", lambda to, content: None)
    with PtyBoard(tmp_path, blocks=room_for_one(out)) as unit:
        assert flash.main([BENCH, "--port", unit.port]) == 0
        capsys.readouterr()
        assert flash.main([BENCH, "--port", unit.port]) == 1
        assert "is full" in one_line(capsys)
        with board.Board(unit.port) as to:
            assert "milliamp-b" not in to.value("__import__('os').listdir('/')")
        assert started(unit) == "/milliamp-a"


def test_a_station_that_cannot_be_is_not_switched_to(running, capsys):
    running.extra = "sys.modules['machine'].lost_regions = ('journal',)"
    capsys.readouterr()
    assert flash.main([BENCH, "--port", running.port]) == 1
    text = one_line(capsys)
    assert "no partition journal" in text and "untouched" in text
    running.extra = ""
    assert started(running) == "/milliamp-a"


def test_a_file_that_arrives_otherwise_is_found(running, out, capsys, monkeypatch):
    honest = flash.b2a_base64
    monkeypatch.setattr(
        flash, "b2a_base64", lambda data, newline: honest(data[:-1] + b"!", newline=newline)
    )
    capsys.readouterr()
    assert flash.main([BENCH, "--port", running.port]) == 1
    assert "did not arrive" in one_line(capsys)
    assert started(running) == "/milliamp-a"


def test_a_station_in_romfs_is_known_and_not_hidden(unit, out, capsys, monkeypatch):
    monkeypatch.setattr(selftest, "_RUN_S", 5)
    unit.extra = f"_rom = open({str(out / 'romfs.img')!r}, 'rb').read()\n".join(
        ("vfs.umount('/')\nvfs.mount(vfs.VfsPosix('/'), '/')\n", "vfs.umount('/')\n")
    )
    unit.extra += "vfs.mount(_mounted(), '/')\nvfs.mount(vfs.VfsRom(_rom), '/rom')\n"
    assert flash.main([BENCH, "--port", unit.port]) == 1
    assert "has a station of its own" in one_line(capsys)
    assert selftest.main(["--port", unit.port]) == 1
    assert "name the board" in one_line(capsys)
    assert selftest.main([BENCH, "--port", unit.port]) == 0
    assert "started from /rom" in capsys.readouterr().out


def test_an_image_that_has_a_station_is_enough(unit, out, capsys, monkeypatch, tmp_path):
    written = []
    monkeypatch.setattr(flash.esp32, "with_partition", lambda file, chosen: file.name)
    monkeypatch.setattr(flash.esp32, "write", lambda port, data, folder: written.append(data))
    monkeypatch.setattr(image, "built_in", lambda to: ".frozen")
    monkeypatch.setattr(flash, "_START_S", 0)
    given = [BENCH, "--port", unit.port, "--stock", "product.bin", "--erase"]
    assert flash.main(given) == 0
    assert written == ["product.bin"]
    assert "is part of the image" in capsys.readouterr().out


def test_stock_micropython_is_written_to_a_board_without_it(unit, capsys, monkeypatch):
    monkeypatch.setattr(flash.esp32, "with_partition", lambda file, chosen: file.name)

    def write(port, data, folder):
        monkeypatch.setattr(board, "_TRIES", 60)
        unit.power()

    monkeypatch.setattr(flash.esp32, "write", write)
    unit.cut()
    given = [BENCH, "--port", unit.port]
    monkeypatch.setattr(board, "_TRIES", 1)
    assert flash.main(given) == 1
    assert "MICROPYTHON_BIN" in one_line(capsys)
    assert flash.main([*given, "--stock", "stock.bin"]) == 0
    assert "started from /milliamp-a" in capsys.readouterr().out


def test_a_station_that_dies_at_start_is_told(running, capsys, monkeypatch):
    monkeypatch.setattr(flash, "_TRY", "")
    running.extra = "sys.modules['machine'].lost_regions = ('journal',)"
    assert flash.main([BENCH, "--port", running.port]) == 1
    said = capsys.readouterr()
    assert "no partition journal" in said.out
    assert "does not start" in said.err


# --- the port --------------------------------------------------------------------------------------


@pytest.fixture
def line():
    """(port, the other end) of a line without a board."""
    end, port = pty.openpty()
    tty.setraw(port)
    yield os.ttyname(port), end
    os.close(end)
    os.close(port)


COMMANDS = (
    lambda port: flash.main([BENCH, "--port", port]),
    lambda port: provision.main(["--port", port, "--identity", "CP1"]),
    lambda port: selftest.main(["--port", port]),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_port_that_is_not_there(command, out, capsys):
    assert command("/dev/ttyNOWHERE") == 1
    assert "there is no port /dev/ttyNOWHERE" in one_line(capsys)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_port_in_use(command, out, line, capsys):
    with serial.Serial(line[0], exclusive=True):
        assert command(line[0]) == 1
    assert "is in use" in one_line(capsys)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_port_with_nothing_behind_it(command, out, line, capsys, monkeypatch):
    monkeypatch.setattr(board, "_PROMPT_S", 0.1)
    assert command(line[0]) == 1
    assert "no MicroPython answers" in one_line(capsys)


def test_a_port_with_noise_behind_it(out, line, capsys, monkeypatch):
    monkeypatch.setattr(board, "_PROMPT_S", 0.1)
    over = threading.Event()

    def chatter():
        os.set_blocking(line[1], False)
        while not over.is_set():
            with contextlib.suppress(BlockingIOError):
                os.write(line[1], bytes(range(256)))
            over.wait(0.001)

    thread = threading.Thread(target=chatter)
    thread.start()
    try:
        assert flash.main([BENCH, "--port", line[0]]) == 1
    finally:
        over.set()
        thread.join()
    assert "no MicroPython answers" in one_line(capsys)


@pytest.mark.parametrize("place", ["/dev/null", "/tmp"])
def test_what_is_no_serial_port(place, capsys):
    assert console.main(["--port", place]) == 1
    assert "is no serial port" in one_line(capsys)


def test_a_port_of_others(line, capsys, monkeypatch):
    def closed(*_, **__):
        raise serial.SerialException(13, "could not open port: [Errno 13] Permission denied")

    monkeypatch.setattr(serial, "Serial", closed)
    monkeypatch.setattr(serial, "serial_for_url", closed)
    assert selftest.main(["--port", line[0]]) == 1
    text = one_line(capsys)
    assert "no permission" in text and "usermod -aG" in text


@pytest.mark.parametrize("command", [flash, provision, selftest, console])
def test_a_port_must_be_named(command, capsys, out):
    given = [BENCH] if command is flash else []
    given += ["--identity", "CP1"] if command is provision else []
    assert command.main(given) == 1
    assert "name the board's port" in one_line(capsys)


# --- mip -------------------------------------------------------------------------------------------


def mip(unit, file) -> list:
    """The real `mpremote mip install` of a package.json, a command."""
    program = Path(sys.executable).with_name("mpremote")
    return [program, "connect", unit.port, "mip", "install", "--target", "/", file]


def test_mip_installs_what_make_flash_goes_on_from(unit, out):
    file = package.write(out, profile.load(BENCH))
    subprocess.run(mip(unit, file), check=True)
    assert started(unit) == "/milliamp-a"
    assert selftest.main(["--port", unit.port]) == 0
    assert flash.main([BENCH, "--port", unit.port]) == 0
    assert started(unit) == "/milliamp-b"


def test_mip_that_is_interrupted_starts_nothing_and_can_be_repeated(unit, out):
    file = package.write(out, profile.load(BENCH))
    unit.power(fuse=(out / "romfs.img").stat().st_size // 2)
    with subprocess.Popen(mip(unit, file)) as host:
        assert unit.blown.wait(60)
        host.kill()  # it would wait for an answer for ever
    unit.power()
    with board.Board(unit.port) as to:
        assert "main.py" not in to.value("os.listdir('/')")
    subprocess.run(mip(unit, file), check=True)
    assert started(unit) == "/milliamp-a"


def test_a_board_that_is_online_installs_from_a_web_server(tmp_path, out):
    package.write(out, profile.load(BENCH))
    handler = partial(SimpleHTTPRequestHandler, directory=str(out))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_port}/{package.NAME}"
        code = f"import mip\nmip.install({place!r}, target={str(tmp_path)!r})"
        done = subprocess.run([*lane64(), "-c", code], capture_output=True, text=True)
        server.shutdown()
    assert done.returncode == 0, done.stdout + done.stderr
    assert image.files(tmp_path / "milliamp-a") == image.files(out / "image")
    assert (tmp_path / "main.py").read_text() == (out / "main.py").read_text()


def test_the_package_of_the_clone_is_that_of_a_board(unit):
    (place, _), *more = json.loads((ROOT / "firmware" / package.NAME).read_text())["deps"]
    assert not more
    assert Path(place).parent.parent.name == "build"
    name = Path(place).parent.name
    assert name in profile.boards()
    written = package.write(builder.build(name), profile.load(name))
    assert written == ROOT / place
    subprocess.run(mip(unit, f"firmware/{package.NAME}"), cwd=ROOT, check=True)
    with board.Board(unit.port) as to:
        assert image.flashed(to).board == name


# --- provision -------------------------------------------------------------------------------------


def test_a_charger_learns_what_is_its_own(running, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MILLIAMP_PASSWORD", PASSWORD)
    given = ["--port", running.port, "--url", "ws://csms:9/x", "--identity", "CP=7"]
    assert provision.main(given) == 0
    first = capsys.readouterr()
    assert any(
        "identity CP=7, csms ws://csms:9/x, password of 21" in line for line in log(running)
    )
    # The station has taken it over into its settings; another time, these give way.
    own = tmp_path / "own.toml"
    own.write_text(f'identity = "CP8"\npassword = "{PASSWORD}-2"\n')
    own.chmod(0o600)
    monkeypatch.delenv("MILLIAMP_PASSWORD")
    assert provision.main(["--port", running.port, "--file", str(own)]) == 0
    second = capsys.readouterr()
    assert "begin anew" in second.out
    assert any("identity CP8, csms ws://csms:9/x, password of 23" in line for line in log(running))
    assert PASSWORD not in first.out + first.err + second.out + second.err


def log(unit) -> list:
    """Two lines of the station's log, from its start."""
    found = []
    for line in console.follow(unit.port, None, 60):
        found.append(line)
        if "identity" in line:
            break
    return found


def test_a_board_with_nvs_has_it_there(unit):
    unit.extra = """
class _NVS:
    kept = {}
    def __init__(self, space): self.space = space
    def set_blob(self, name, data): self.kept[self.space, name] = bytes(data)
    def commit(self): pass
    def get_blob(self, name, buf):
        if (self.space, name) not in self.kept: raise OSError(-4354)
        data = self.kept[self.space, name]
        buf[:len(data)] = data
        return len(data)
class _ESP32: NVS = _NVS
sys.modules['esp32'] = _ESP32()
"""
    with board.Board(unit.port) as to:
        provision.store(to, {"ssid": "yard", "key": "swordfish"})
        kept = to.value("__import__('esp32').NVS.kept")
        assert "milliamp.txt" not in to.value("__import__('os').listdir('/')")
    assert kept == {("milliamp", "ssid"): b"yard", ("milliamp", "key"): b"swordfish"}


@pytest.mark.parametrize(
    "name, text",
    [
        ("url", "wss://csms/"),
        ("url", "http://csms/"),
        ("url", "ws://"),
        ("url", "ws://csms:70000/"),
        ("url", "ws://user@csms/"),
        ("url", "ws://csms/#a"),
        ("url", "ws://csms/" + "x" * 300),
        ("identity", "a:b"),
        ("identity", "a b"),
        ("identity", "x" * 49),
        ("identity", ""),
        ("password", "x" * 15),
        ("password", "x" * 41),
        ("password", "a space in the middle"),
        ("ssid", "x" * 33),
        ("ssid", " yard"),
        ("key", "short"),
        ("key", "x" * 64),
        ("serial", "x" * 26),
        ("serial", "a\nb"),
    ],
)
def test_what_a_charger_cannot_be_told(name, text, tmp_path, capsys):
    own = tmp_path / "own.toml"
    own.write_text(f'{name} = "{text}"\n'.replace("a\nb", "a\\nb"))
    own.chmod(0o600)
    assert provision.main(["--port", "/dev/ttyNOWHERE", "--file", str(own)]) == 1
    said = one_line(capsys)
    assert f"{own}: {name}: " in said
    if name in provision.SECRET:
        assert text not in said


@pytest.mark.parametrize(
    "name, text",
    [
        ("url", "ws://csms"),
        ("url", "ws://[fe80::1]:9000/ocpp"),
        ("url", "ws://10.0.0.1:9000/"),
        ("identity", "x" * 48),
        ("password", "x" * 16),
        ("password", "~" * 40),
        ("ssid", "Café am Eck"),
        ("key", "0123456789abcdef" * 4),
    ],
)
def test_what_a_charger_can_be_told(name, text):
    assert provision.fault(name, text) == ""


@pytest.mark.parametrize(
    "content, why",
    [
        ("identty = 'x'", "unknown name 'identty'"),
        ("identity = 3", "identity must be a text"),
        ("identity = oops\n", "line 1"),
    ],
)
def test_a_file_that_is_not_right(content, why, tmp_path, capsys):
    own = tmp_path / "own.toml"
    own.write_text(content)
    assert provision.main(["--port", "/dev/ttyNOWHERE", "--file", str(own)]) == 1
    assert why in one_line(capsys)


def test_a_file_of_secrets_that_others_may_read_is_told(tmp_path, capsys):
    own = tmp_path / "own.toml"
    own.write_text(f'password = "{PASSWORD}"\n')
    own.chmod(0o644)
    given = given_to_provision(file=str(own))
    assert provision.gather(given, {}) == {"password": PASSWORD}
    assert "chmod 600" in capsys.readouterr().out


def test_what_is_asked_for_is_asked_again_when_it_is_wrong(capsys):
    answers = {"identity": ["a b", "CP1"], "password": ["short", PASSWORD]}
    values = provision.gather(
        given_to_provision(), {}, lambda name, _: (answers.get(name) or [""]).pop(0)
    )
    assert values == {"identity": "CP1", "password": PASSWORD}
    assert "short" not in capsys.readouterr().out


def test_nothing_to_write_is_told():
    with pytest.raises(Trouble, match="nothing to write"):
        provision.gather(given_to_provision(), {})


def given_to_provision(**given):
    import argparse

    return argparse.Namespace(**{"file": None, **dict.fromkeys(provision.NAMES), **given})


# --- selftest --------------------------------------------------------------------------------------


def test_a_good_board_passes(running, capsys, monkeypatch):
    monkeypatch.setattr(selftest, "_RUN_S", 5)
    assert selftest.main(["--port", running.port]) == 0
    text = capsys.readouterr().out
    for name in (
        "unique id",
        "modules",
        "flash: journal",
        "inputs of EVSE 1",
        "network",
        "station runs",
    ):
        assert any(line.startswith(f"{name} ") and "  ok  " in line for line in text.splitlines())
    assert "FAILED" not in text and "heartbeats" in text
    assert started(running) == "/milliamp-a"


@pytest.mark.parametrize(
    "broken, row",
    [
        ("sys.modules['machine'].lost_regions = ('settings',)", "flash: settings"),
        ("_Machine.unique_id = lambda self: b'\\xff' * 6", "unique id"),
        ("_Machine.has_network = property(lambda self: 1 // 0)", "network"),
    ],
)
def test_what_is_broken_is_named(running, broken, row, capsys, monkeypatch):
    monkeypatch.setattr(selftest, "_RUN_S", 1)
    running.extra = broken
    assert selftest.main(["--port", running.port]) == 1
    said = capsys.readouterr()
    assert any(line.startswith(row) and "FAILED" in line for line in said.out.splitlines())
    assert "failed" in said.err


def test_a_board_without_a_station_is_told(unit, capsys):
    assert selftest.main(["--port", unit.port]) == 1
    assert "make flash" in capsys.readouterr().out


def test_a_station_that_does_not_beat_fails(running, capsys, monkeypatch):
    monkeypatch.setattr(selftest, "_RUN_S", 1)
    monkeypatch.setattr(selftest, "_BEATS", 1000)
    assert selftest.main(["--port", running.port]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines if "heartbeats" in line] == ["FAILED"]


def test_another_build_than_the_boards_is_told(running, capsys, monkeypatch):
    monkeypatch.setattr(image, "mark", lambda content: "0" * 12)
    assert selftest.main(["--port", running.port]) == 1
    assert "is not the one in build/bench" in one_line(capsys)


# --- console ---------------------------------------------------------------------------------------


def test_the_log_goes_on_when_the_port_comes_back(tmp_path):
    port = tmp_path / "port"
    ends = []

    def plug(text):
        end, inner = pty.openpty()
        tty.setraw(inner)
        port.unlink(missing_ok=True)
        port.symlink_to(os.ttyname(inner))
        ends.append((end, inner))
        threading.Timer(0.1, os.write, (end, text)).start()

    def gone(text):
        told.append(text)
        if text.endswith("waiting for it)"):
            plug(b"I again\r\n")

    told, seen = [], []
    plug(b"I first\r\n")
    for text in console.follow(str(port), None, 60, gone):
        seen.append(text)
        if len(seen) == 1:
            for number in ends.pop():
                os.close(number)
        if text == "I again":
            break
    for number in ends.pop():
        os.close(number)
    assert [text for text in seen if text] == ["I first", "I again"]
    assert [text.split()[-1] for text in told] == ["it)", "back)"]


def test_short_names_in_a_traceback_are_explained(tmp_path, line):
    (tmp_path / "names.json").write_text('{"outlet.py": {"args": "_lamp()"}}')
    text = b'  File "outlet", line 1, in args\r\nI \x1b[2Jcleared\r\n'
    threading.Timer(0.1, os.write, (line[1], text)).start()
    seen = []
    for found in console.follow(line[0], tmp_path, 60):
        seen.append(found)
        if len(seen) == 2:
            break
    assert seen == ['  File "outlet", line 1, in args: _lamp()', "I .[2Jcleared"]


def test_a_line_without_end_does_not_grow_for_ever(line):
    thread = threading.Thread(target=os.write, args=(line[1], b"x" * 20000 + b"\nI end\n"))
    thread.start()
    longest = 0
    for text in console.follow(line[0], None, 60):
        if text == "I end":
            break
        longest = max(longest, len(text))
    thread.join()
    assert console._LINE < longest < 3 * console._LINE
