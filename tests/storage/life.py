# One life of a journal and of settings, the same in every interpreter: run under CPython and under
# MicroPython it prints the same lines, the last of them a hash of all that is in the flash.
import hashlib

from hostsim.charger.flash import Nor, PowerCut
from milliamp.storage.journal import Journal
from milliamp.storage.settings import Settings


class Clock:
    synced = False
    time = 800000000

    def now(self):
        self.time += 1
        return self.time


class Random:
    def __init__(self, seed):
        self.seed = seed

    def __call__(self, n):
        self.seed = (self.seed * 75 + 74) % 65537
        return self.seed % n


def live(unit):
    random = Random(unit)
    nor = Nor(12 * 512, 512, unit)
    store = Nor(2048, 1024, unit)
    clock = Clock()
    count = 0
    for boot in range(30):
        try:
            journal = Journal(nor, clock, lambda n: bytes(range(n)))
            kept = Settings(store)
            clock.synced = False
            count = max(
                [count] + [payload[0] for kind, _, payload in journal.replay() if kind >= 8]
            )
            thinning = None
            journal.checkpoint = lambda write: write(b"open")
            nor.cut_power(60, ("nothing", "half", "bits", "all")[boot % 4], random)
            while True:
                count = (count + 1) % 250
                payload = bytes((count,)) + b"payload" * random(5)
                while True:
                    try:
                        journal.append((8, 11, 13, 14)[random(4)], payload)
                        break
                    except OSError:
                        journal.ack()
                if random(3):
                    journal.connected(random(2))
                if random(7) == 0:
                    clock.synced = True
                    clock.time += 1000
                    journal.clock_set(1000)
                if random(4):
                    print(journal.head())
                    if random(3) == 0:
                        journal.name_transaction(1 + random(3), count, b"name"[random(5) :])
                    journal.ack() if random(5) else journal.discard()
                    print(list(journal.named_transactions()))
                if random(9) == 0:
                    try:
                        print(journal.transaction_id(journal.next_transaction()))
                    except OSError:
                        print("full")
                for _ in range(random(4)):
                    if thinning is None and journal.crowded():
                        thinning = journal.thin()
                    if thinning and next(thinning, 0) == 0:
                        thinning = None
                kept.put((random(5), random(100000)), (7, "text" * random(9)))
                kept.put((random(5), -random(1000) or None))
                journal.prepare() or kept.prepare()
        except PowerCut:
            nor.power_on()
            print(
                boot,
                nor.bytes_programmed,
                nor.erases,
                nor.bytes_read,
                [kept.get(key) for key in range(8)],
            )
    print(journal.counts(), store.bytes_programmed)
    digest = hashlib.sha256(nor.image)
    digest.update(store.image)
    print(digest.digest().hex())


for unit in (1, 8, 16, 32):
    live(unit)
