# Debouncing, for everything that is looked at once a scan.


class Settled:
    """A value that counts once it was seen `sure` times in a row."""

    def __init__(self, value):
        self.value = value
        self._seen = value
        self._times = 0

    def see(self, seen, sure: int) -> bool:
        """Take one look; True when `value` has just changed."""
        self._times = self._times + 1 if seen == self._seen else 1
        self._seen = seen
        if seen == self.value or self._times < sure:
            return False
        self.value = seen
        return True
