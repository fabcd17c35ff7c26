# Takes the heap from a firmware, on the 32-bit lane: `micropython hog.py hostsim/charger/boot.py NAMES FIRST STRIDE TURN FOLDER`.
# NAMES are what the image calls the station's class, its `fault`, then "module.class" of the boards, of the links to the host.
#
# After FIRST waits of all tasks it takes the heap until so many bytes are left, LEFT one after the other from the TURN-th
# on, and gives it back when the station has met a MemoryError, or after some more waits; STRIDE waits later again. While all
# tasks wait it takes nothing, for what virtual time does is no work of the station. What asks the host gives all back until
# the next look at the inputs or the next wait: half an answer would be taken for the next one, which no board has.
import asyncio
import gc
import sys
from asyncio import core

LEFT = (0, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
_LONGEST = 60  # waits for which it takes the heap at most
_STILL = 500  # of them without any time: the simulator's link was hit all the same, and the host is misunderstood


class Hog:
    def __init__(self, first, stride, turn):
        self.due = first
        self.stride = stride
        self.turn = turn
        self.waits = 0
        # Piece by piece: what the stack still points to by chance is only one of them.
        self.pieces = [None] * 500
        self.holds = False  # the station is short of memory
        self.lies = False  # and at this moment it is taken
        self.time = 0
        self.still = 0  # waits for which no time has passed

    def take(self):
        gc.collect()
        left = LEFT[self.turn % len(LEFT)]
        self.holds = self.lies = True
        at = 0
        size = 8192
        while at < len(self.pieces) and gc.mem_free() > left and size >= 8:
            try:
                if gc.mem_free() - left > size + 32 or size < 16:
                    self.pieces[at] = bytearray(size) if size >= 16 else (at,)
                    at += 1
                    continue
            except MemoryError:
                pass  # no hole is so large
            size >>= 1

    def give(self):
        self.lies = False
        for n in range(len(self.pieces)):
            self.pieces[n] = None

    def over(self, where):
        self.give()
        self.holds = False
        self.due = self.waits + self.stride
        gc.collect()
        print("hog", LEFT[self.turn % len(LEFT)], where)
        self.turn += 1

    def watch(self, station, fault):
        queue = core.IOQueue
        wait = queue.wait_io_event
        told = getattr(station, fault)

        def wait_io_event(queue, ms):
            if self.lies:
                self.give()
            wait(queue, ms)
            self.waits += 1
            self.still = self.still + 1 if self.time == core.ticks() else 0
            self.time = core.ticks()
            if self.still > _STILL:
                print("hog lost")
                sys.exit(3)
            if self.waits >= self.due + _LONGEST:
                self.over("nothing")
            elif self.waits >= self.due:
                self.take()

        def met(st, error, where):
            if self.holds and isinstance(error, MemoryError):
                self.over(where)
            told(st, error, where)

        queue.wait_io_event = wait_io_event
        setattr(station, fault, met)

    def spare(self, kind, names):
        for name in names:
            method = getattr(kind, name)
            if not name.startswith("__") and isinstance(method, type(hogged)):
                setattr(kind, name, self.spared(method, name == "scan"))

    def spared(self, method, again):
        def call(*args):
            if self.lies:
                self.give()
            result = method(*args)
            if again and self.holds and not self.lies:
                self.take()
            return result

        return call


def hogged(task):
    hog.watch(getattr(sys.modules["milliamp"], names[0]), names[1])
    for n in range(2, 6):
        module, name = names[n].split(".")
        kind = getattr(sys.modules[module], name)
        hog.spare(kind, ("scan",) if n < 4 else dir(kind))
    run(task)


boot = sys.argv[1]
names = sys.argv[2].split(",")
hog = Hog(*map(int, sys.argv[3:6]))
run = asyncio.run
asyncio.run = hogged
sys.argv[:] = [sys.argv[0]] + sys.argv[6:]
execfile(boot)  # noqa: F821
