"""LittleFS, the real one, on the model of a flash chip: configured as MicroPython mounts it on a 4 kB block device.

A `Filesystem` stands in for the `os` and the `open` of a board. What it costs is what its chip counts.
"""

from littlefs import LittleFS, LittleFSError, lfs
from littlefs.context import UserContext

from hostsim.charger.flash import Nor, PowerCut

# What MicroPython's VfsLfs2 has when a port says no more (extmod/vfs_lfs.c): the cache is four times the larger of
# read and prog.
CONFIG = {
    "read_size": 32,
    "prog_size": 32,
    "lookahead_size": 32,
    "cache_size": 128,
    "block_cycles": 100,
}
_EIO = 5


class Filesystem:
    """What is on the chip, mounted; with `format`, new. A power cut of the chip comes out of every call as PowerCut.

    A path is MicroPython's: "/" between names, no drive.
    """

    def __init__(self, nor: Nor, format: bool = False):
        self._device = _Device(nor)
        self._fs = LittleFS(
            self._device,
            mount=False,
            block_size=nor.sector,
            block_count=nor.size // nor.sector,
            **CONFIG,
        )
        if format:
            self._call(self._fs.format)
        self._call(self._fs.mount)

    def open(self, path: str, mode: str = "rb"):
        """A file without a buffer besides that of LittleFS, for bytes."""
        flags = mode
        if mode == "ab":  # which creates a file, too
            flags = lfs.LFSFileFlag.wronly | lfs.LFSFileFlag.creat | lfs.LFSFileFlag.append
        return _File(self._call, self._fs.fs, self._call(lfs.file_open, self._fs.fs, path, flags))

    def mkdir(self, path: str) -> None:
        self._call(lfs.mkdir, self._fs.fs, path)

    def remove(self, path: str) -> None:
        self._call(lfs.remove, self._fs.fs, path)

    def rename(self, path: str, new: str) -> None:
        self._call(lfs.rename, self._fs.fs, path, new)

    def listdir(self, path: str) -> list:
        return self._call(self._fs.listdir, path)

    def _call(self, function, *arguments):
        device = self._device
        if isinstance(device.fault, PowerCut):  # what LittleFS holds in RAM is gone
            raise PowerCut
        try:
            return function(*arguments)
        except LittleFSError as error:
            if device.fault is None:
                raise OSError(-error.code, str(error)) from None
        fault = device.fault
        if not isinstance(fault, PowerCut):
            device.fault = None
        raise fault


class _File:
    def __init__(self, call, fs, handle):
        self._call = call
        self._of = fs, handle

    def readinto(self, buf) -> int:
        data = self._call(lfs.file_read, *self._of, len(buf))
        buf[: len(data)] = data
        return len(data)

    def write(self, data) -> int:
        return self._call(lfs.file_write, *self._of, bytes(data))

    def seek(self, at: int) -> None:
        self._call(lfs.file_seek, *self._of, at, 0)

    def flush(self) -> None:
        self._call(lfs.file_sync, *self._of)

    def close(self) -> None:
        self._call(lfs.file_close, *self._of)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class _Device(UserContext):
    """The chip as LittleFS calls it. An exception cannot pass through its C code: `fault` keeps it."""

    def __init__(self, nor: Nor):
        self.nor = nor
        self.fault: BaseException | None = None

    def read(self, cfg, block, off, size):
        buf = bytearray(size)
        self._do(self.nor.read, block * self.nor.sector + off, buf)
        return buf

    def prog(self, cfg, block, off, data):
        return self._do(self.nor.program, block * self.nor.sector + off, bytes(data))

    def erase(self, cfg, block):
        return self._do(self.nor.erase, block * self.nor.sector)

    def sync(self, cfg):
        return 0

    def _do(self, function, *arguments):
        if self.fault is None:
            try:
                function(*arguments)
                return 0
            except BaseException as error:
                self.fault = error
        return -_EIO
