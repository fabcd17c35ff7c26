# A flash device made of small files, for boards that have LittleFS and no partition to spare.
#
# A sector is a folder, and its bytes lie in files of one chunk each. LittleFS keeps so small a file in the log of
# its folder: writing it anew is one atomic commit of its size and a little more. A file that grows would be copied
# to a newly erased block instead, each time.
import os

from micropython import const

# bytes: the largest file that LittleFS keeps in the log, as it is mounted.
_CHUNK = const(128)
_ENOENT = const(2)
_EEXIST = const(17)


class Segments:
    """A device of `size` bytes in the folder `path`, as base.flash describes it. LittleFS takes 8 kB for a sector of
    1,536 bytes, and its own free blocks must last: what it cannot write raises OSError.

    `files` has the functions of `os` and `opener` is `open`; tests give others."""

    unit = 1

    def __init__(self, path: str, size: int, sector: int = 1536, files=os, opener=open):
        if size % sector or sector % _CHUNK:
            raise ValueError("not whole sectors of whole chunks")
        self.size = size
        self.sector = sector
        self._path = path
        self._files = files
        self._open = opener
        # The chunk that was used last.
        self._piece = bytearray(_CHUNK)
        # Its number in the device, -1 for none.
        self._chunk = -1
        # Bytes of it that its file has.
        self._end = 0
        try:
            files.mkdir(path)
        except OSError as error:
            if error.args[0] != _EEXIST:
                raise
        there = files.listdir(path)
        for number in range(size // sector):
            if str(number) not in there:
                files.mkdir(self._place(number))

    def read(self, address: int, buf) -> None:
        view = memoryview(buf)
        done = 0
        while done < len(view):
            at = self._load(address + done)
            count = min(_CHUNK - at, len(view) - done)
            view[done : done + count] = memoryview(self._piece)[at : at + count]
            done += count

    def program(self, address: int, data) -> None:
        view = memoryview(data)
        done = 0
        while done < len(view):
            at = self._load(address + done)
            chunk = self._chunk
            count = min(_CHUNK - at, len(view) - done)
            # Whose chunk this is remains open until it is written.
            self._chunk = -1
            self._piece[at : at + count] = view[done : done + count]
            self._end = max(self._end, at + count)
            with self._open(self._name(chunk), "wb") as file:
                file.write(memoryview(self._piece)[: self._end])
            self._chunk = chunk
            done += count

    def erase(self, address: int) -> None:
        self._chunk = -1
        folder = self._place(address // self.sector)
        # First the header, then what it announces.
        for name in sorted(self._files.listdir(folder)):
            self._files.remove(folder + "/" + name)

    def _load(self, address):
        # Have the chunk of an address in `_piece`; return where in it that is.
        chunk = address // _CHUNK
        if chunk != self._chunk:
            self._chunk = -1
            self._end = 0
            try:
                with self._open(self._name(chunk), "rb") as file:
                    self._end = file.readinto(self._piece)
            except OSError as error:
                if error.args[0] != _ENOENT:
                    raise
            for at in range(self._end, _CHUNK):
                self._piece[at] = 0xFF
            self._chunk = chunk
        return address % _CHUNK

    def _place(self, sector):
        return "%s/%d" % (self._path, sector)

    def _name(self, chunk):
        sector, chunk = divmod(chunk * _CHUNK, self.sector)
        return "%s/%02x" % (self._place(sector), chunk // _CHUNK)
