# Looks on from inside of a firmware's process, on the 32-bit lane: `micropython spy.py MODE hostsim/charger/boot.py FOLDER`.
#
# heap: before each step of a task, the largest allocation since the step before, and the live heap.
# steps: under callgrind, a dump of what each step of a task has executed. Waiting is not counted, nor what is
#   done for virtual time, nor the answers to the host's service commands; garbage is collected while all wait, and nothing comes from a socket before all do: so
#   steps repeat.
# census: what the heap is after each step of the start, up to the first wait. The third argument says what to call the classes
#   whose objects are told apart: "short=what,..." for globals of the core.
# files: nothing, but modules come from files and not from a mapped image.
import gc
import sys

mode, boot = sys.argv[1:3]
watched = sys.argv.pop(3) if mode == "census" else ""
sys.argv[:] = [sys.argv[0]] + sys.argv[3:]

if mode == "files":
    sys.path[:] = [sys.argv[1] + "/image", ".frozen"]
    sys.argv[:] = sys.argv[1:]
    del mode, boot, watched, gc
    import main  # noqa: F401
else:
    import asyncio  # noqa: F401
    from asyncio import core  # noqa: F401

    import micropython  # noqa: F401

    gc.collect()
    before = gc.mem_alloc()
    import spies

    spies.begin(mode, before, watched)
    execfile(boot)  # noqa: F821
