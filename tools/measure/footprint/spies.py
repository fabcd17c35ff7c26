# What spy.py has the station looked at by: its modes, but `files`.
import asyncio
import gc
import sys
from asyncio import core

import micropython

own = 0  # bytes of the heap that are not the station's


def watch_heap():
    queue = core.IOQueue
    wait = queue.wait_io_event
    gc.threshold(-1)  # what a step has allocated is seen at its end

    def wait_io_event(self, ms):
        micropython.mem_info()
        gc.collect()
        print("live", gc.mem_alloc() - own)
        wait(self, ms)

    queue.wait_io_event = wait_io_event


class Poller:
    # Finds nothing the first time after `early` was set: what comes while tasks are busy comes at any time.
    def __init__(self, poller):
        self.register = poller.register
        self.unregister = poller.unregister
        self.modify = poller.modify
        self.look = poller.ipoll
        self.early = False

    def ipoll(self, ms):
        if self.early:
            self.early = False
            return ()
        return self.look(ms)


def watch_steps():
    import array
    import builtins

    import ffi
    import uctypes

    page = ffi.open(None).func("p", "mmap", "piiiii")(0, 4096, 7, 0x22, -1, 0)
    # A client request of Valgrind's: mov eax, [esp+4]; xor edx, edx; rol edi, 3, 13, 29, 19; xchg ebx, ebx; ret
    code = b"\x8b\x44\x24\x04\x31\xd2\xc1\xc7\x03\xc1\xc7\x0d\xc1\xc7\x1d\xc1\xc7\x13\x87\xdb\xc3"
    uctypes.bytearray_at(page, len(code))[:] = code
    request = ffi.func("v", page, "p")
    dump = array.array("I", (0x43540000, 0, 0, 0, 0, 0))
    toggle = array.array("I", (0x43540002, 0, 0, 0, 0, 0))  # counting on and off

    queue = core.IOQueue
    wait = queue.wait_io_event
    core._io_queue.poller = poller = Poller(core._io_queue.poller)
    tasks = core._task_queue

    def wait_io_event(self, ms):
        request(toggle)
        request(dump)
        while ms > 0:
            poller.early = True
            wait(self, ms)
            ms = core.ticks_diff(tasks.peek().ph_key, core.ticks())
            gc.collect()
        request(toggle)

    # What the host asks the simulator's service module is none of the station's work, nor is loading it.
    def load(name, *args):
        if len(args) > 3 and args[3]:  # from within a package: asyncio is the only one
            name = "asyncio." + name if name else "asyncio"
            args = None, None, args[2], 0
        if name != "probe":
            return load_module(name, *args)
        return uncounted(load_probe)(name)

    def load_probe(name):
        module = load_module(name)
        for name in dir(module):
            if isinstance(getattr(module, name), type(watch_heap)):
                setattr(module, name, uncounted(getattr(module, name)))
        return module

    def uncounted(function):
        def call(*args):
            if not counting[0]:
                return function(*args)
            counting[0] = False
            request(toggle)
            result = function(*args)
            gc.collect()
            request(toggle)
            counting[0] = True
            return result

        return call

    counting = [True]
    load_module = __import__
    builtins.__import__ = load
    queue.wait_io_event = wait_io_event
    request(dump)
    gc.collect()  # the second dump says what that takes


def take_census(watched):
    import builtins

    load_module = __import__
    inside = ["boot program"]  # what the heap grows for, if for nothing that is told apart

    def lap(what):
        gc.collect()
        print("lap", gc.mem_alloc() - own, what)

    def apart(what, then, function):
        def call(*args):
            lap(inside[-1])
            inside.append(what)
            result = function(*args)
            lap(inside.pop())
            inside[-1] = then
            return result

        return call

    # module -> what it is, and what comes after it
    ours = {
        "tables": ("tables", "buffers"),
        "milliamp": ("core", "board"),
        "board": ("board", "board"),
        "virtual": ("board", "board"),
        "token_cache": ("token cache", "token cache"),
    }

    def load(name, *args):
        global own
        if len(args) > 3 and args[3]:  # from within a package: asyncio is the only one
            name = "asyncio." + name if name else "asyncio"
            return load_module(name, None, None, args[2], 0)
        if name not in ours or name in sys.modules:
            return load_module(name, *args)
        module = apart(*ours[name], load_module)(name, *args)
        if name == "milliamp":
            gc.collect()
            before = gc.mem_alloc()
            for pair in watched.split(","):
                short, what = pair.split("=")
                then = "tasks" if what == "names" else "station"
                setattr(module, short, apart(what, then, getattr(module, short)))
            gc.collect()
            own += gc.mem_alloc() - before
        return module

    def watch():
        queue = core.IOQueue
        wait = queue.wait_io_event

        def wait_io_event(self, ms):
            lap(inside[-1])
            inside[-1] = "connection"
            queue.wait_io_event = wait
            builtins.__import__ = load_module
            wait(self, ms)

        queue.wait_io_event = wait_io_event

    builtins.__import__ = load
    return watch


def begin(mode, before, watched):
    """`before`: bytes on the heap before this module was there."""
    global own
    watch = {"heap": watch_heap, "steps": watch_steps}.get(mode) or take_census(watched)
    run = asyncio.run

    def spied(task):
        watch()
        run(task)

    asyncio.run = spied
    gc.collect()
    own = gc.mem_alloc() - before
    if watched:
        print("lap", before, "interpreter")
