"""The books of a run: what the firmware says it made and delivered, against what the CSMS has."""

from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from hostsim.lives.harness import Rig
from hostsim.net.traffic import DOWN, UP


@dataclass
class Accounts:
    """Counts of a run. `created` and `delivered` are the firmware's own, from flash; the rest is what we saw."""

    created: int = 0  # records for the CSMS: transaction and security events
    delivered: int = 0  # acknowledged, as the firmware believes
    discarded: int = 0  # given up after MessageAttempts
    thinned: int = 0  # dropped because memory was short
    damaged: int = 0  # unreadable
    pending: int = 0
    transactions: int = 0
    arrived: int = 0  # different events at the CSMS
    duplicates: int = 0
    missing: int = 0  # seqNos that never arrived
    offline: int = 0
    frame: dict[str, int] = field(default_factory=dict)
    message: dict[str, int] = field(default_factory=dict)
    frames: int = 0
    heap: int = 0
    heap_board: int = 0
    flash: dict[str, int] = field(default_factory=dict)
    boots: int = 0
    faults: list[str] = field(default_factory=list)

    @classmethod
    async def of(cls, rig: Rig, failure: str = "") -> "Accounts":
        """Close the books of a rig."""
        ledger, traffic = rig.csms.ledger, rig.traffic
        security = {(event["type"], event["timestamp"]) for event in ledger.security}
        books = cls(
            transactions=len(ledger.transactions),
            arrived=ledger.events + len(security),
            duplicates=ledger.duplicates + len(ledger.security) - len(security),
            missing=ledger.lost(),
            offline=sum(
                event.offline for tx in ledger.transactions.values() for event in tx.events
            ),
            frame=dict(traffic.largest_frame),
            message=dict(traffic.largest_message),
            frames=traffic.frame_count,
            heap=rig.station.heap_peak,
            flash=rig.device.flash_counts(),
            boots=rig.device.boots,
            faults=[failure] * bool(failure) + rig.problems(all_ended=not failure),
        )
        try:
            queue: dict[str, Any] = (await rig.device.ask("state"))["journal"]
            for name in ("created", "delivered", "discarded", "thinned", "damaged", "pending"):
                setattr(books, name, queue[name])
            books.heap_board = (await rig.station.heap())["board"]
        except ConnectionError:
            books.faults.append("the firmware does not run: its counters cannot be read")
            return books
        books._balance()
        return books

    @property
    def lost(self) -> int:
        """Events that the firmware made and that nobody has, nor waits for."""
        return max(0, self.created - self.arrived - self.pending, self.missing)

    @property
    def invented(self) -> int:
        """Events that arrived and that the firmware never made."""
        return max(0, self.arrived - self.created)

    @property
    def balance(self) -> bool:
        return not self.faults

    def _balance(self) -> None:
        claims = {
            "lost": self.lost,
            "invented": self.invented,
            "discarded": self.discarded,
            "thinned": self.thinned,
            "unreadable": self.damaged,
            "not delivered": self.pending,
        }
        self.faults += [f"{count} events {claim}" for claim, count in claims.items() if count]

    def table(self) -> Table:
        """The table that ends a run."""
        events = max(1, self.created)
        table = Table(title="The books", show_header=False, title_justify="left")
        table.add_column()
        table.add_column(justify="right")
        rows = [
            ("transactions", self.transactions),
            ("events created", self.created),
            ("events delivered", self.delivered),
            ("  of them offline", self.offline),
            ("duplicates", self.duplicates),
            ("lost", self.lost),
            ("invented", self.invented),
            ("boots", self.boots),
            ("frames", self.frames),
            ("largest frame, station to CSMS", f"{self.frame.get(UP, 0):,} bytes"),
            ("largest frame, CSMS to station", f"{self.frame.get(DOWN, 0):,} bytes"),
            ("largest message, station to CSMS", f"{self.message.get(UP, 0):,} bytes"),
            ("largest message, CSMS to station", f"{self.message.get(DOWN, 0):,} bytes"),
            ("heap after collection, largest", f"{self.heap:,} bytes"),
            ("  of it the simulator's own link", f"{self.heap_board:,} bytes"),
            (
                "flash programmed per event",
                f"{self.flash.get('programmed', 0) / events:.1f} bytes",
            ),
            ("sector erases per event", f"{self.flash.get('erases', 0) / events:.3f}"),
        ]
        for name, value in rows:
            table.add_row(name, f"{value:,}" if isinstance(value, int) else value)
        return table
