# Facts, told synchronously: rooms that must not import each other meet here.


class Bus:
    """A list of (mask, function). 96 bytes, 20 per subscription, no garbage when a fact is told."""

    def __init__(self, station):
        self._station = station
        self._subscribers = []

    def subscribe(self, mask: int, function) -> None:
        """Call `function(station, fact, evse, arg)` for each fact whose bit is in `mask`."""
        self._subscribers.append((mask, function))

    def tell(self, fact: int, evse: int = 0, arg=None) -> int:
        """Tell every subscriber of `fact`; return their answers OR-ed (a vote, for those that vote).

        A subscriber is short and never raises: what it must not do now, it notes for its own task.
        """
        votes = n = 0
        # With few locals: more would come from the heap, each time.
        while n < len(self._subscribers):
            if self._subscribers[n][0] & fact:
                votes = (self._subscribers[n][1](self._station, fact, evse, arg) or 0) | votes
            n += 1
        return votes
