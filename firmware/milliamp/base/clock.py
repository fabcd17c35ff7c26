# The only reader of time. Ticks for intervals, seconds since 2000 for timestamps; integers both.
from micropython import const

# Ticks are compared on a ring of 12 days.
_RING = const(0x3FFFFFFF)
# Seconds.
_SMALL = const(60)


class Clock:
    """UTC from what the CSMS or the board's own clock said, carried on by ticks.

    Until it is set it goes on from the newest time that flash remembers: times stay in order, and the
    journal repairs them when the truth is known.
    """

    def __init__(self, board):
        self._board = board
        self._ticks = board.ticks()
        rtc = board.rtc()
        self.synced = rtc is not None
        self._now = rtc or 0
        # What was told already: a small correction does not go back behind it.
        self._floor = 0

    def ticks(self) -> int:
        """Milliseconds on a ring of 2**30."""
        return self._board.ticks() & _RING

    def since(self, ticks: int) -> int:
        """Milliseconds from `ticks` until now, for spans of less than 12 days."""
        return (self._board.ticks() - ticks) & _RING

    def now(self) -> int:
        """Seconds since 2000-01-01 UTC. Called at least every 12 days (the control task does)."""
        seconds = self.since(self._ticks) // 1000
        if seconds:
            self._ticks = (self._ticks + seconds * 1000) & _RING
            self._now += seconds
        return max(self._now, self._floor)

    def not_before(self, seconds: int) -> None:
        """It cannot be earlier than this: flash knows of that time."""
        if not self.synced and self.now() < seconds:
            self._now = seconds

    def set(self, seconds: int) -> int:
        """Set the time; return by how many seconds it moved. Up to a minute back, it stands still until it
        has caught up: times stay in order."""
        before = self.now()
        moved = seconds - before
        self._floor = before if -_SMALL <= moved < 0 else 0
        self._now = seconds
        self._ticks = self.ticks()
        self.synced = True
        self._board.set_rtc(seconds)
        return moved

    def text(self, seconds: int) -> str:
        """RFC 3339 in UTC without a fraction: "2026-11-20T03:51:26Z"."""
        days, rest = divmod(seconds, 86400)
        # Years that begin in March make February the last month; 719468 + 10957 days are 2000-01-01.
        days += 730425
        era, day = divmod(days, 146097)
        year = (day - day // 1460 + day // 36524 - day // 146096) // 365
        day -= 365 * year + year // 4 - year // 100
        month = (5 * day + 2) // 153
        day -= (153 * month + 2) // 5 - 1
        month += 3 if month < 10 else -9
        year += era * 400 + (month <= 2)
        return "%04d-%02d-%02dT%02d:%02d:%02dZ" % (
            year,
            month,
            day,
            rest // 3600,
            rest // 60 % 60,
            rest % 60,
        )

    def parse(self, text: str):
        """Seconds since 2000 of an RFC 3339 time (any offset, any fraction, UTC if it names none), below 0 for
        one before; None when it is none."""
        try:
            year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
            seconds = int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])
        except ValueError:
            return None
        if month <= 2:
            year -= 1
            month += 12
        days = year * 365 + year // 4 - year // 100 + year // 400 + (153 * month - 457) // 5 + day
        seconds += (days - 730426) * 86400
        # Whatever is no time is written in another way than it was read.
        if text[10:11] not in "Tt " or self.text(seconds)[:19] != text[:10] + "T" + text[11:19]:
            return None
        at = 19
        if text[at : at + 1] == ".":
            at += 1
            while "0" <= text[at : at + 1] <= "9":
                at += 1
        zone = text[at:]
        if zone not in ("", "Z", "z"):
            digits = zone[1:3] + zone[4:]
            if (
                zone[:1] not in "+-"
                or zone[3:4] != ":"
                or len(digits) != 4
                or not digits.isdigit()
            ):
                return None
            offset = int(digits[:2]) * 3600 + int(digits[2:]) * 60
            seconds += -offset if zone[:1] == "+" else offset
        return seconds
