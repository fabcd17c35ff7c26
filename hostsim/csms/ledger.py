"""What a CSMS knows of transactions, and whether it can be true: nothing lost, reordered or invented."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hostsim.clock import unix_time
from tools.builder import versions

_SLACK = (
    5  # seconds by which a station's clock and ours may differ around the start of a connection
)
_BEGIN, _END, _USUAL, *_ = versions.load().row("ReadingContextEnumType")
REGISTER = next(iter(versions.load().measurands))


@dataclass
class Event:
    """One TransactionEvent as it arrived: in connection `connection`, open since `since` (Unix time)."""

    payload: dict[str, Any]
    connection: int
    since: float

    @property
    def seq(self) -> int:
        return self.payload["seqNo"]

    @property
    def kind(self) -> str:
        return self.payload["eventType"]

    @property
    def trigger(self) -> str:
        return self.payload["triggerReason"]

    @property
    def offline(self) -> bool:
        return self.payload.get("offline", False)

    @property
    def time(self) -> float:
        return unix_time(self.payload["timestamp"])


@dataclass
class Transaction:
    """The events of one transaction in order of arrival, each seqNo once."""

    id: str
    events: list[Event] = field(default_factory=list)
    evse: int = 0
    by_seq: dict[int, Event] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return bool(self.events) and self.events[-1].kind == "Ended"

    @property
    def info(self) -> dict[str, Any]:
        """The latest transactionInfo."""
        return self.events[-1].payload["transactionInfo"] if self.events else {}

    def registers(self) -> list[float]:
        """The energy register in Wh as it went up: the begin, then what each event adds, oldest first.

        An end that repeats the begin, or lists values from before it, does not repeat them here; see `begins`.
        """
        values, latest = self.begins()[:1], 0.0
        for event in self.events:
            points = [point for point in readings(event.payload) if point[2] != _BEGIN]
            if event.kind == "Ended":
                points = [point for point in points if point[0] > latest or point[2] == _END]
            for time, wh, _ in sorted(points, key=lambda point: point[0]):
                values.append(wh)
                latest = max(latest, time)
        return values

    def begins(self) -> list[float]:
        """Every value that an event gives as the begin: they must all be the same."""
        return [
            wh
            for event in self.events
            for _, wh, context in readings(event.payload)
            if context == _BEGIN
        ]


class Ledger:
    """Feed it every TransactionEventRequest; `problems()` says what is wrong, a line each."""

    def __init__(self) -> None:
        self.transactions: dict[str, Transaction] = {}
        self.security: list[dict[str, Any]] = []
        self.duplicates = 0
        self._faults: list[str] = []
        self._running: dict[int, str] = {}  # EVSE -> transaction that has not ended
        self._told_in = 0  # the connection of the last event
        self.on_event: list[Callable[[Transaction, Event], None]] = []

    @property
    def events(self) -> int:
        """How many different events arrived."""
        return sum(len(tx.events) for tx in self.transactions.values())

    def record(self, payload: dict[str, Any], connection: int = 0, since: float = 0.0) -> bool:
        """Take in an event; False when it is one that was here before."""
        event = Event(payload, connection, since)
        key = payload["transactionInfo"]["transactionId"]
        tx = self.transactions.setdefault(key, Transaction(key))
        first, self._told_in = connection != self._told_in, connection
        before = tx.by_seq.setdefault(event.seq, event)
        if before is not event:
            self._repeated(tx, before, event)
            return False
        self._check_place(tx, event)
        tx.events.append(event)
        self._check_evse(tx, event)
        self._check_offline(tx, event, first)
        for callback in self.on_event:
            callback(tx, event)
        return True

    def problems(self, *, all_ended: bool = False) -> list[str]:
        """Everything that cannot be true of a station that loses nothing and invents nothing."""
        found = list(self._faults)
        for tx in self.transactions.values():
            if all_ended and not tx.ended:
                found.append(f"{tx.id}: never ended; last event seqNo {tx.events[-1].seq}")
            values = tx.registers()
            if any(later < earlier for earlier, later in zip(values, values[1:], strict=False)):
                found.append(f"{tx.id}: the energy register falls: {values}")
            if len(set(tx.begins())) > 1:
                found.append(f"{tx.id}: it began with different registers: {tx.begins()}")
        return found

    def lost(self) -> int:
        """How many seqNos below the highest seen of their transaction never arrived."""
        return sum(
            max((event.seq for event in tx.events), default=-1) + 1 - len(tx.events)
            for tx in self.transactions.values()
        )

    def _repeated(self, tx: Transaction, before: Event, event: Event) -> None:
        self.duplicates += 1
        # A repetition may have become offline, and the clock may have been put right; the rest stays.
        mutable = ("offline", "timestamp", "meterValue")
        strip = lambda payload: {k: v for k, v in payload.items() if k not in mutable}  # noqa: E731
        if strip(before.payload) != strip(event.payload):
            self._faults.append(f"{tx.id}: seqNo {event.seq} came twice with different contents")

    def _check_place(self, tx: Transaction, event: Event) -> None:
        if not tx.events:
            if event.kind != "Started":
                self._faults.append(f"{tx.id}: begins with {event.kind}, not Started")
            if event.seq:
                self._faults.append(f"{tx.id}: begins with seqNo {event.seq}, not 0")
            return
        last = tx.events[-1]
        if event.kind == "Started":
            self._faults.append(f"{tx.id}: Started again with seqNo {event.seq}")
        if last.kind == "Ended":
            self._faults.append(f"{tx.id}: {event.kind} with seqNo {event.seq} behind Ended")
        if event.seq < last.seq:
            self._faults.append(f"{tx.id}: reordered, seqNo {event.seq} behind {last.seq}")
        elif event.seq > last.seq + 1:
            self._faults.append(f"{tx.id}: lost, seqNo {last.seq + 1} to {event.seq - 1}")
        if event.time < last.time - 1:
            self._faults.append(f"{tx.id}: seqNo {event.seq} is older than {last.seq}")

    def _check_evse(self, tx: Transaction, event: Event) -> None:
        tx.evse = tx.evse or event.payload.get("evse", {}).get("id", 0)
        if not tx.evse:
            return
        other = self._running.get(tx.evse)
        if event.kind == "Ended":
            self._running.pop(tx.evse, None)
        elif other not in (None, tx.id):
            self._faults.append(f"{tx.id}: EVSE {tx.evse} still has the transaction {other}")
        else:
            self._running[tx.evse] = tx.id

    def _check_offline(self, tx: Transaction, event: Event, first: bool) -> None:
        """offline says: not made and sent for the first time in one connection."""
        if not event.since:
            return
        # The first one of a connection may have been sent in the one before, where nobody heard it to its end.
        if event.time < event.since - _SLACK and not event.offline and not first:
            self._faults.append(
                f"{tx.id}: seqNo {event.seq} was made before this connection, yet not offline"
            )
        if event.time > event.since + _SLACK and event.offline:
            self._faults.append(
                f"{tx.id}: seqNo {event.seq} was made in this connection, yet offline"
            )


def readings(payload: dict[str, Any]) -> Iterator[tuple[float, float, str]]:
    """The (time, Wh, context) of every energy register in an event."""
    for sample in payload.get("meterValue", ()):
        for value in sample["sampledValue"]:
            if value.get("measurand", REGISTER) == REGISTER and "phase" not in value:
                unit = value.get("unitOfMeasure", {})
                factor = 10 ** unit.get("multiplier", 0) * (
                    1000 if unit.get("unit") == "kWh" else 1
                )
                context = value.get("context", _USUAL)
                yield unix_time(sample["timestamp"]), value["value"] * factor, context
