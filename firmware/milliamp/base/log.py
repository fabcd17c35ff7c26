# The log: the last lines in a ring of fixed size, and each line to the board's console.

_LEVELS = "EWI"


class Log:
    """A ring of `size` bytes of text. What was named a secret never gets in."""

    def __init__(self, board, size: int = 512, level: int = 2):
        # 0 errors, 1 warnings, 2 information.
        self.level = level
        self._board = board
        self._ring = bytearray(size)
        self._at = 0
        self._secrets = []

    def secret(self, text: str) -> None:
        """From now on `text` is written as `***`. A handful at most: passwords and keys."""
        if text and text not in self._secrets:
            self._secrets.append(text)
            del self._secrets[:-4]

    def error(self, text: str) -> None:
        self._write(0, text)

    def warn(self, text: str) -> None:
        self._write(1, text)

    def info(self, text: str) -> None:
        self._write(2, text)

    def _write(self, level, text):
        if level > self.level:
            return
        try:
            for secret in self._secrets:
                text = text.replace(secret, "***")
            # A server's text must not look like lines of ours.
            if min(text.encode() or b" ") < 32:
                text = "(not printable)"
            text = _LEVELS[level : level + 1] + " " + text[:120]
            self._board.console(text)
            for byte in text.encode():
                self._put(byte)
            self._put(10)
        except MemoryError:
            # What is logged may be just that: do not make it worse.
            pass

    def _put(self, byte):
        ring = self._ring
        ring[self._at] = byte
        self._at = (self._at + 1) % len(ring)

    def tail(self) -> str:
        """What the ring holds, oldest line first; a line cut at the front is left out."""
        ring = memoryview(self._ring)
        old = len(ring) - self._at
        text = bytearray(len(ring))
        text[:old] = ring[self._at :]
        text[old:] = ring[: self._at]
        # Not full yet: nothing older.
        start = text.find(b"\n") + 1 if text[0] else old
        return str(memoryview(text)[start:], "utf-8")
