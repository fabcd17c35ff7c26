"""Flash chips that fail: in any program, any erase, any read."""

from tests.storage.power import TORN, Doomed


class Chip(Doomed):
    """A chip that tries, before each program and erase, what a power cut leaves of it: `cuts(torn)` picks the ways, `after`
    gets what comes back. `oracle` knows what must be on it."""

    oracle = None

    def __init__(self, size, sector, unit, image=None, after=None, ways=None, seed=0, ecc=False):
        self.landed = 0  # programs that were done
        self.reads = 0
        self.deaf = range(0)  # reads that fail
        self.veiled = -1  # the program behind which four reads fail
        self.unreadable = range(0)  # addresses that can not be read
        self.ways = ways
        super().__init__(size, sector, unit, after, image, ecc, seed, ())

    def program(self, address, data):
        super().program(address, data)
        if self.landed == self.veiled:
            self.deaf = range(self.reads + 1, self.reads + 5)
        self.landed += 1

    def read(self, address, buf):
        self.reads += 1
        bad = self.unreadable
        if self.reads in self.deaf or (address < bad.stop and address + len(buf) > bad.start):
            raise OSError(5)
        super().read(address, buf)

    def twin(self, **others):
        """A chip of the same contents, which knows of the same."""
        chip = Chip(
            self.size, self.sector, self.unit, bytearray(self.image), ecc=self.ecc, **others
        )
        chip._unreadable = set(self._unreadable)
        chip.power_on()
        chip.oracle = self.oracle.copy()
        return chip

    def _die(self, operation):
        if self.ways:
            self.torn = self.ways()
            super()._die(operation)


class Plan:
    """Which cuts are tried, and how many were. Of the whole campaign: every operation is torn in each way; otherwise
    one of `share` operations, in one way after the other. One recovery in `again` is cut, too, at one in 3 of its
    operations, and so on, up to `depth` cuts in a row."""

    def __init__(self, whole, share=1, again=8, depth=3):
        self.whole = whole
        self.share = share
        self.again = again
        self.depth = depth
        self.cuts = [0] * depth

    def ways(self, depth=0):
        """A function that says how an operation is torn, time after time."""
        turn = -1

        def ways():
            nonlocal turn
            turn += 1
            if depth:
                return () if turn % 3**depth else (("half", "bits")[turn // 3**depth % 2],)
            if self.whole:
                return TORN
            return () if turn % self.share else (TORN[turn // self.share % 4],)

        return ways

    def cut(self, depth):
        """Count a cut; is what follows it cut, too?"""
        self.cuts[depth] += 1
        return depth + 1 < self.depth and self.cuts[depth] % self.again == 0
