# JSON without objects: a writer that fills the transmit buffer, whatever the length of the text.
from json import dumps


class Writer:
    """Writes one JSON text into `buf` from index `head` on; commas come by themselves. When the buffer
    is full, `flush(end)` must take buf[head:end] away; so a text may have any length.

    ```
    w.object("evse")
    w.field("id", 1)
    w.end()
    w.key("timestamp").time(now)
    ```
    """

    def __init__(self, buf, head: int, flush, time_text=None):
        """`time_text`: function of seconds since 2000 that gives RFC 3339 text, for `time`."""
        self._buf = buf
        self._head = head
        # The index behind the last byte of the buffer.
        self.cap = len(buf)
        self._flush = flush
        self._time_text = time_text
        self.start()

    def start(self) -> None:
        """Begin a new text. What was not flushed is forgotten."""
        # The index behind the last byte written.
        self.at = self._head
        self._comma = False
        # As in Reader.
        self._nest = 1

    # --- structure ------------------------------------------------------------------------------------
    def object(self, key=None) -> None:
        """Open an object; `end` closes it."""
        self._open(key, 1)

    def array(self, key=None) -> None:
        """Open an array; `end` closes it."""
        self._open(key, 0)

    def end(self) -> None:
        """Close what was opened last."""
        self._byte(125 if self._nest & 1 else 93)
        self._nest >>= 1
        self._comma = True

    def finish(self) -> None:
        """Close everything that is open."""
        while self._nest > 1:
            self.end()

    def key(self, key: str):
        """Write a key, which needs no escapes; its value must follow. Returns the writer: `w.key("t").time(now)`."""
        if self._comma:
            self._byte(44)
        self._byte(34)
        self._put(key.encode())
        self._put(b'":')
        self._comma = False
        return self

    def field(self, key: str, value) -> None:
        """A key and a str, int or bool. None writes nothing: in OCPP, an optional field is absent."""
        if value is not None:
            self.key(key).value(value)

    def status(self, value: str, reason: str = "") -> None:
        """What most answers say: the status, and a reasonCode if any."""
        self.field("status", value)
        if reason:
            self.object("statusInfo")
            self.field("reasonCode", reason)
            self.end()

    # --- values ---------------------------------------------------------------------------------------
    def value(self, value) -> None:
        """A str, bool or int. What must be escaped is."""
        self.raw(dumps(value).encode())

    def fixed(self, value: int, places: int) -> None:
        """The decimal `value` / 10**`places`, without trailing zeros: `fixed(16500, 3)` gives 16.5."""
        whole, rest = divmod(abs(value), 10**places)
        data = b"%s%d" % (b"-" if value < 0 else b"", whole)
        if rest:
            data += (b".%0" + b"%d" % places + b"d") % rest
            while data[-1] == 48:
                data = data[:-1]
        self.raw(data)

    def time(self, seconds: int) -> None:
        """A dateTime, given in seconds since 2000."""
        self.value(self._time_text(seconds))

    def echo(self, reader, at: int) -> None:
        """A value as it stands in a reader's buffer."""
        start, end = reader.span(at)
        self.raw(memoryview(reader.buf)[start:end])

    def raw(self, data) -> None:
        """A value that is JSON already."""
        if self._comma:
            self._byte(44)
        self._put(data)
        self._comma = True

    # --- below ----------------------------------------------------------------------------------------
    def _open(self, key, is_object):
        if key is not None:
            self.key(key)
        if self._comma:
            self._byte(44)
        self._byte(123 if is_object else 91)
        self._nest = self._nest << 1 | is_object
        self._comma = False

    def _byte(self, c):
        if self.at == self.cap:
            self._flush(self.at)
            self.at = self._head
        self._buf[self.at] = c
        self.at += 1

    def _put(self, data):
        at = self.at
        while at + len(data) > self.cap:
            room = self.cap - at
            self._buf[at:] = data[:room]
            self._flush(self.cap)
            data = data[room:]
            at = self._head
        self._buf[at : at + len(data)] = data
        self.at = at + len(data)
