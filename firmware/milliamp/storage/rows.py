# Lists in flash, each of them a blob: charging profiles, local list, messages. Nothing of one stands in RAM but a row
# and a piece. A list is changed by writing it anew, and until that is complete the old one is there.
#
# Rows of any length have it in front. Rows of one width, in the order of the keys that they begin with, are a table: it
# is searched, and changed by what comes in the same order.
from micropython import const

_EIO = const(5)


def read(blobs, name: str, width: int = 0):
    """Yield the rows of a list, or of a table whose rows have `width` bytes; none where there is none of that name.
    OSError(5): it is damaged from here on."""
    rest = b""
    for piece in blobs.read(name) if blobs.size(name) > 0 else ():
        rest += piece
        at = 0
        while True:
            start = at
            end = at + width
            if not width:
                start += 2
                end = start
                if end <= len(rest):
                    end += rest[at] | rest[at + 1] << 8
            if end > len(rest):
                break
            yield rest[start:end]
            at = end
        rest = rest[at:]
    if rest:
        raise OSError(_EIO)


def replace(blobs, name: str, keep, more=()) -> int:
    """Write a list anew: what `keep(row)` makes of each of its rows, None for nothing, then the rows of `more`; return how
    many there are now. Durable on return. OSError(5): it is damaged; OSError(28): there is no room; then it is as it was."""
    blobs.begin()
    count = 0
    for row in read(blobs, name):
        row = keep(row)
        if row is not None:
            _write(blobs, row)
            count += 1
    for row in more:
        _write(blobs, row)
        count += 1
    blobs.commit(name)
    return count


def append(blobs, name: str, row) -> int:
    """Add a row to a list; as `replace`."""
    return replace(blobs, name, lambda row: row, (row,))


def _write(blobs, row):
    blobs.write(len(row).to_bytes(2, "little"))
    blobs.write(row)


def row(blobs, name: str, width: int, n: int) -> bytes:
    """The nth row of a table, empty when there are not so many."""
    found = b""
    if 0 <= n * width < blobs.size(name):
        for piece in blobs.read(name, n * width):
            found += piece[: width - len(found)]
            if len(found) == width:
                break
    return found


def find(blobs, name: str, width: int, key: bytes) -> bytes:
    """The row of a table that begins with `key`, empty when there is none."""
    low = 0
    high = max(blobs.size(name), 0) // width
    while low < high:
        middle = (low + high) // 2
        found = row(blobs, name, width, middle)
        if found[: len(key)] == key:
            return found
        if found[: len(key)] < key:
            low = middle + 1
        else:
            high = middle
    return b""


def merge(blobs, name: str, width: int, size: int, changes) -> int:
    """Write a table anew, with `changes` in the order of their keys, each of which comes once and has `size` bytes: a row
    is added or takes the place of the one with its key; where no more than a key comes that row goes. Returns and raises
    as `replace`, and ValueError when the order is wrong."""
    blobs.begin()
    count = 0
    last = b""
    for row in _merged(read(blobs, name, width), iter(changes), size):
        if row[:size] <= last:
            raise ValueError("not in order")
        last = row[:size]
        if len(row) > size:
            blobs.write(row)
            count += 1
    blobs.commit(name)
    return count


def _merged(rows, changes, size):
    change = next(changes, b"")
    for row in rows:
        while change and change[:size] < row[:size]:
            yield change
            change = next(changes, b"")
        if change and change[:size] == row[:size]:
            row = change
            change = next(changes, b"")
        yield row
    while change:
        yield change
        change = next(changes, b"")
