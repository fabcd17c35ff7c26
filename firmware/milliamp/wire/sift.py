# Takes long strings out of a message that does not fit, while it arrives: a certificate goes where it
# is wanted, the rest of the message is handled as if it were short. Imported when first needed.
from micropython import const

# A string that ends within the buffer is taken out from this length on.
_LONG = const(256)
# Strings per message.
_MOST = const(4)


def drop(chunk, more: bool) -> None:
    """The sink that keeps nothing: the handler sees a diverted string and answers that it is too long."""


class Sift:
    """For one message. `sinks` is a dict from field name to a function sink(chunk, more): it gets the
    string as it stands on the wire, escapes included, in chunks that it must not keep. What stays in
    the buffer is "", and `diverted` says that it once had so many bytes."""

    def __init__(self, buf, sinks: dict):
        self.diverted = []
        self._buf = buf
        self._view = memoryview(buf)
        self._sinks = sinks
        # Of the string that is just arriving.
        self._sink = None
        # Its next byte belongs to an escape.
        self._escaped = False

    def make_room(self, size: int) -> int:
        """The buffer is full up to `size`: take strings out of it and return what is left."""
        # The message may be cut anywhere, and is no JSON yet: there is nothing to parse, only names and quotes to find, at
        # any depth. Inside of another string the quotes of a name are escaped, so that it is not found there.
        for name, sink in self._sinks.items():
            key = b'"%s"' % name.encode()
            at = self._buf.find(key, 0, size)
            # One at a time: as long as its end has not come, all that comes belongs to it. _MOST bounds what a peer can
            # make us keep.
            while at >= 0 and not self._sink and len(self.diverted) < _MOST:
                at += len(key)
                start = at
                while start < size and self._buf[start] in b" \t\r\n:":
                    start += 1
                if (
                    start > at
                    and start < size
                    and self._buf[start] == 34
                    and not self._known(start)
                ):
                    stop, open_ = self._end(start + 1, size)
                    if open_ or stop - start > _LONG:
                        self.diverted.append((start, 0))
                        self._sink = sink
                        size = self._pass(start + 1, stop, size, open_)
                at = self._buf.find(key, at, size)
        return size

    def took(self, size: int, n: int) -> int:
        """`n` bytes have arrived behind the first `size`: return how many there are to keep."""
        if not self._sink:
            return size + n
        stop, open_ = self._end(size, size + n)
        return self._pass(size, stop, size + n, open_)

    def _known(self, at):
        for place, _ in self.diverted:
            if place == at:
                return True
        return False

    def _end(self, at, size):
        # Where the string ends that goes on at `at`, and whether it goes on behind `size`. An escape that is cut by the
        # end of what is there is remembered: its second half may be a quote, which ends nothing.
        at += self._escaped
        self._escaped = False
        while True:
            stop = self._buf.find(b'"', at, size)
            slash = self._buf.find(b"\\", at, size if stop < 0 else stop)
            if slash < 0:
                return (size, True) if stop < 0 else (stop, False)
            at = slash + 2
            if at > size:
                self._escaped = True
                return size, True

    def _pass(self, start, stop, size, open_):
        # Hand buf[start:stop] to the sink and close the gap.
        # Its two quotes stay, so that the rest is JSON; by its length the schema tells that it is too long.
        place, length = self.diverted[-1]
        self.diverted[-1] = (place, length + stop - start)
        self._sink(self._view[start:stop], open_)
        if not open_:
            self._sink = None
        rest = size - stop
        self._view[start : start + rest] = self._view[stop:size]
        for i in range(len(self.diverted)):
            place, length = self.diverted[i]
            if place > start:
                self.diverted[i] = (place - (stop - start), length)
        return start + rest
