# Starts a built image under Unix MicroPython: `micropython tools/boot.py build/<board> [arguments]`.
# Where there is `ffi` (the 32-bit lane), romfs.img is mapped, as a microcontroller maps its flash: bytecode and
# texts stay out of the heap. Elsewhere the .mpy tree is loaded. The firmware sees the arguments as sys.argv[1:].
import sys


def _map(name):
    import os

    import ffi
    import uctypes
    import vfs

    size = os.stat(name)[6]
    libc = ffi.open(None)
    fd = libc.func("i", "open", "si")(name, 0)
    place = libc.func("p", "mmap", "piiiii")(0, size, 1, 2, fd, 0)  # PROT_READ, MAP_PRIVATE
    vfs.mount(vfs.VfsRom(uctypes.bytearray_at(place, size)), "/rom")


_folder = sys.argv[1]
sys.argv[:] = sys.argv[1:]
try:
    _map(_folder + "/romfs.img")
    sys.path[:] = ["/rom", ".frozen"]
except ImportError:
    sys.path[:] = [_folder + "/image", ".frozen"]
del _folder, _map
import main  # noqa: E402, F401
