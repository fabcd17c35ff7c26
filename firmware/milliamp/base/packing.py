# Numbers and bytes packed tightly, as records in flash hold them; rows of names as one text.


def put_number(out: bytearray, number: int) -> None:
    """Append a varint: 7 bits a byte, low bits first. A negative number becomes 0."""
    number = max(number, 0)
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)


class Bytes:
    """A walk over packed bytes."""

    def __init__(self, data):
        self._data = data
        self.at = 0

    def left(self) -> bool:
        return self.at < len(self._data)

    def byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def number(self) -> int:
        number = shift = 0
        while True:
            byte = self.byte()
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    def take(self, n: int) -> bytes:
        """The next n bytes."""
        self.at += n
        return bytes(self._data[self.at - n : self.at])


def word(words: str, n: int) -> str:
    """The nth of the words of a text. A row of names costs one object so, not one for each name."""
    at = 0
    while n:
        at = words.find(" ", at) + 1
        n -= 1
    end = words.find(" ", at)
    return words[at:end] if end >= 0 else words[at:]
