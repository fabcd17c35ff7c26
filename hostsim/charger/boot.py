# Starts a built image under Unix MicroPython: `micropython hostsim/charger/boot.py build/<board> [arguments]`.
# Where there is `ffi` (the 32-bit lane), romfs.img is mapped, as a microcontroller maps its flash: bytecode and
# texts stay out of the heap. Elsewhere the .mpy tree is loaded. The firmware sees the arguments as sys.argv[1:].
# Whatever this names stays in the station's heap: so it names little, and by words that MicroPython has.
import sys


def main(open, path):
    import os

    import ffi
    import uctypes
    import vfs

    path += "/romfs.img"
    count = os.stat(path)[6]
    read = ffi.open(None)
    open = read.func("i", "open", "si")(path, 0)
    read = read.func("p", "mmap", "piiiii")(0, count, 1, 2, open, 0)  # PROT_READ, MAP_PRIVATE
    vfs.mount(vfs.VfsRom(uctypes.bytearray_at(read, count)), "/rom")


sys.argv[:] = sys.argv[1:]
try:
    main(0, sys.argv[0])
    sys.path[:] = ["/rom", ".frozen"]
except ImportError:
    sys.path[:] = [sys.argv[0] + "/image", ".frozen"]
del main
import main  # noqa: E402, F401
