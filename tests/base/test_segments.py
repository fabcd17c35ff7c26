"""Segment files on LittleFS: the power fails at every program and every erase of a block."""

import os
import shutil
import subprocess
import sys
from random import Random

import pytest

from hostsim.charger.flash import Nor
from hostsim.charger.littlefs import Filesystem
from tests.storage.power import TORN, Doomed
from tools import BOARDS, FIRMWARE
from tools.builder.passes import fold

from .backends import Segments
from .test_flash import Ledger, live, open_journal

SECTOR = 384  # small, so that a short run goes round several times


def segments(nor):
    files = Filesystem(nor)
    return Segments("/journal", 6 * SECTOR, SECTOR, files, files.open)


def test_a_cut_at_every_block_operation():
    """Whatever was made durable is there after it, in order, and life goes on; also where the next cut comes soon."""
    ledger = Ledger()
    cuts = 0

    def cut(nor):
        nonlocal cuts
        cuts += 1
        found = Ledger(ledger)
        journal = open_journal(segments(nor), found)
        if cuts % 5:
            return
        live(journal, found, Random(cuts), 4)
        again = Ledger(found)
        assert (
            len(list(open_journal(segments(nor), again).each_pending()))
            == len(found.events) - found.acked
        )

    nor = Doomed(24 * 4096, 4096, 32, lambda nor: None)
    Filesystem(nor, format=True)
    segments(nor)
    before = nor.erases
    nor.after = cut
    live(open_journal(segments(nor), ledger), ledger, Random(5), 90)
    assert cuts > 1000 and nor.erases > before + 5


@pytest.mark.parametrize("torn", TORN)
def test_a_cut_while_the_folders_are_made(torn):
    ledger = Ledger()
    done = []

    def cut(nor):
        done.append(1)
        live(open_journal(segments(nor), Ledger()), Ledger(), Random(1), 3)

    nor = Doomed(24 * 4096, 4096, 32, lambda nor: None, torn=(torn,))
    Filesystem(nor, format=True)
    nor.after = cut
    segments(nor)
    assert len(done) > 20
    nor.after = lambda nor: None
    live(open_journal(segments(nor), ledger), ledger, Random(1), 3)


def test_a_write_that_fails_leaves_what_was_there():
    nor = Nor(24 * 4096, 4096, 32)
    Filesystem(nor, format=True)
    files = Filesystem(nor)
    fails = False

    def opener(path, mode):
        if fails and mode == "wb":
            raise OSError(28)
        return files.open(path, mode)

    device = Segments("/journal", 2 * SECTOR, SECTOR, files, opener)
    device.program(0, b"good")
    fails = True
    with pytest.raises(OSError):
        device.program(4, b"lost")
    buf = bytearray(8)
    device.read(0, buf)
    assert buf == b"good\xff\xff\xff\xff"
    fails = False
    device.program(4, b"more")
    device.read(0, buf)
    assert buf == b"goodmore"


def test_what_cannot_be_read_is_an_error_and_not_erased_flash():
    def opener(path, mode):
        raise OSError(5)

    class Files:
        mkdir = staticmethod(lambda path: None)
        listdir = staticmethod(lambda path: ["0"])

    with pytest.raises(OSError):
        Segments("/journal", SECTOR, SECTOR, Files, opener).read(0, bytearray(1))


def test_sectors_are_whole_chunks():
    for size, sector in ((1000, 500), (1536, 1000), (2000, 1536)):
        with pytest.raises(ValueError):
            Segments("/journal", size, sector)


def test_on_the_files_of_the_machine_it_runs_on(tmp_path):
    path = str(tmp_path / "journal")
    ledger = Ledger()
    journal = open_journal(Segments(path, 4 * 1536), ledger)
    live(journal, ledger, Random(1), 200)
    open_journal(Segments(path, 4 * 1536), ledger)
    assert (
        max(
            os.path.getsize(os.path.join(folder, name))
            for folder, _, names in os.walk(path)
            for name in names
        )
        == 128
    )


# In MicroPython itself, on its own LittleFS with its own defaults.
SCRIPT = """
import os, struct, vfs
from segments import Segments
from milliamp.storage.journal import Journal
from tests_blocks import RAM

class Clock:
    synced = True
    def now(self):
        return 800000000

def journal():
    found = Journal(Segments("/flash/journal", 4 * 1536), Clock(), lambda n: bytes(n))
    list(found.replay())
    found.checkpoint = lambda write: write(b"open")
    return found

blocks = RAM()
vfs.VfsLfs2.mkfs(blocks)
vfs.mount(vfs.VfsLfs2(blocks), "/flash")
found = journal()
blocks.programmed = 0
for number in range(200):
    found.append(8, struct.pack("<I", number) + bytes(9))
    if number >= 10:
        found.head()
        found.ack()
print(blocks.programmed // 200)
vfs.umount("/flash")
vfs.mount(vfs.VfsLfs2(blocks), "/flash")
found = journal()
print([struct.unpack("<I", payload[:4])[0] for _, payload in found.each_pending()])
print(max([size[3] for n in range(4) for size in os.ilistdir("/flash/journal/%d" % n)]))
"""
BLOCKS = """
class RAM:
    def __init__(self):
        self.data = bytearray(64 * 4096)
        self.programmed = 0

    def readblocks(self, block, buf, off=0):
        at = block * 4096 + off
        buf[:] = self.data[at : at + len(buf)]

    def writeblocks(self, block, buf, off=0):
        at = block * 4096 + off
        self.data[at : at + len(buf)] = buf
        self.programmed += len(buf)

    def ioctl(self, op, arg):
        if op == 4:
            return 64
        if op == 5:
            return 4096
        return 0
"""
MICROPYTHON = shutil.which(
    "micropython", path=os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", "")
)


@pytest.mark.skipif(not MICROPYTHON, reason="no micropython on the PATH")
def test_on_the_littlefs_of_micropython(tmp_path):
    for room in ("base", "storage"):
        for source in (FIRMWARE / "milliamp" / room).glob("*.py"):
            target = tmp_path / source.relative_to(FIRMWARE)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(fold.prepare(source))
    shutil.copy(FIRMWARE / "milliamp" / "__init__.py", tmp_path / "milliamp")
    (tmp_path / "segments.py").write_text(fold.prepare(BOARDS / "drivers" / "segments.py"))
    (tmp_path / "tests_blocks.py").write_text(BLOCKS)
    (tmp_path / "script.py").write_text(SCRIPT)
    run = subprocess.run(
        [MICROPYTHON, "-X", "heapsize=1m", "script.py"],
        cwd=tmp_path,
        env={"MICROPYPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    programmed, pending, longest = run.stdout.splitlines()
    assert int(programmed) < 500, "files are not kept in the log of their folder"
    assert pending == str(list(range(190, 200)))
    assert int(longest) == 128
