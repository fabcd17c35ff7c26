# Mounts a journal with a thousand pending events in a heap that has hardly any room: run under MicroPython. What it
# needs beyond the object that stays is printed, in bytes, and how much of the flash was read.
import gc

from hostsim.charger.flash import Nor
from milliamp.storage.journal import Journal


class Clock:
    synced = True

    def now(self):
        return 800000000


class Mapped:
    size, sector = 32 * 4096, 4096

    def __init__(self, image):
        self.image = image
        self.unit = unit

    def read(self, address, buf):
        buf[:] = self.image[address : address + len(buf)]


def mount():
    return Journal(nor, clock, bytes)


def fits(room):
    # Is `room` enough beyond what stays? All else is taken away first, in pieces of one block.
    gc.collect()
    ballast = None
    for _ in range((gc.mem_free() - kept - room) // 32):
        ballast = [ballast]
    try:
        mount()
        return True
    except MemoryError:
        return False


clock = Clock()
for unit in (1, 8, 16, 32):
    nor = Nor(32 * 4096, 4096, unit)
    journal = mount()
    journal.checkpoint = lambda write: write(bytes(60))
    for _ in range(1000):
        journal.append(8, bytes(12))
    read = nor.bytes_read
    journal = mount()
    read = nor.bytes_read - read
    image = memoryview(nor.image)  # what the model of the chip allocates does not count
    journal = nor = None
    nor = Mapped(image)
    gc.collect()
    before = gc.mem_alloc()
    journal = mount()
    gc.collect()
    kept = gc.mem_alloc() - before
    assert journal.pending == 1000
    journal = None
    room = 1280  # and what is enough with less is so by luck: it is all a matter of holes
    while fits(room):
        room -= 16
    room += 16
    print(unit, read, kept, room)
    nor = image = None
    gc.collect()
