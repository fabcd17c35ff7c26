"""A session with the power cut at every program and erase of the journal, each torn in four ways."""

import pytest

from hostsim.lives.bench import CARD, Bench, PowerCut, dice

TORN = ("nothing", "half", "bits", "all")
# TxStartPoint, TxStopPoint, online
SESSIONS = [
    ("PowerPathClosed", "EVConnected,Authorized", True),
    ("PowerPathClosed", "EVConnected,Authorized", False),
    ("EVConnected", "EVConnected", True),
    ("Authorized", "Authorized", True),
    ("EnergyTransfer", "EnergyTransfer", True),
    ("EnergyTransfer", "PowerPathClosed", False),
    ("ParkingBayOccupancy", "ParkingBayOccupancy", True),
]
INTERRUPTED = {"PowerPathClosed", "EnergyTransfer"}  # stop points that a power cut reaches
GONE = {
    "unplug": "EVConnected",
    "leave": "ParkingBayOccupancy",
}  # a step that reaches one by itself


class Session:
    """A session as its driver means it: a step that the power cut is taken again."""

    def __init__(self, start, stop, online):
        self.b = Bench(
            {
                "TxCtrlr.TxStartPoint": start,
                "TxCtrlr.TxStopPoint": stop,
                "SampledDataCtrlr.TxUpdatedInterval": "5",
                "AuthCtrlr.OfflineTxForUnknownIdEnabled": "true",
            },
            online=online,
            sectors=4,
        )
        self.online = online
        self.charged = set()  # transactions that were seen with a closed contactor
        self.b.deliver()

    def arrive(self):
        self.b.outlet.bay = True
        self.b.poll()

    def plug(self):
        self.b.plug()

    def authorize(self):
        if not self.b.e.authorized:
            self.b.card()

    def charge(self):
        self.b.poll(12_000)

    def pause(self):
        self.b.outlet.ready = False
        self.b.poll(500)
        self.b.outlet.ready = True
        self.b.poll(500)

    def stop(self):
        if self.b.e.authorized:
            self.b.card()

    def unplug(self):
        self.b.unplug()

    def leave(self):
        self.b.outlet.bay = False
        self.b.poll()

    def report(self):
        self.b.connect()

    STEPS = (arrive, plug, authorize, charge, pause, charge, stop, unplug, leave, report)

    def run(self):
        """Returns how often the power was cut, and when: the step's name."""
        b = self.b
        cuts = []
        for step in self.STEPS:
            while True:
                try:
                    step(self)
                    b.deliver()
                    break
                except PowerCut:
                    cuts.append(step.__name__)
                    if b.outlet.closed:
                        self.charged.add(b.st.journal.transaction_id(b.e.tx.counter))
                    b.power_cycle()
                    if self.online:
                        b.connect()
        b.poll(500)
        return cuts

    def check(self, stop, cuts):
        b = self.b
        assert b.ledger.problems(all_ended=True) == []
        assert b.ledger.lost() == 0
        assert b.ledger.transactions
        assert b.outlet.locked == 0 and not b.outlet.closed
        assert self.charged <= set(b.ledger.transactions)
        lost = [
            tx for tx in b.ledger.transactions.values() if tx.info["stoppedReason"] == "PowerLoss"
        ]
        if stop not in INTERRUPTED:
            assert len(b.ledger.transactions) == 1
            assert not lost or GONE.get(cuts[0]) in stop.split(",")
        elif self.charged:
            assert lost or cuts == ["stop"]  # it was over, and that was in flash
        counts = b.st.journal.counts()
        assert counts[2:] == (0, 0, 0)  # discarded, thinned, damaged
        # The register ends where the meter stands: nothing was charged behind the transactions' back.
        last = [*b.ledger.transactions.values()][-1]
        assert b.outlet.wh - last.registers()[-1] <= 1


@pytest.mark.parametrize("start, stop, online", SESSIONS)
def test_power_cut_in_every_write(start, stop, online):
    whole = Session(start, stop, online)
    before = whole.b.flashes["journal"].operations
    assert whole.run() == []
    whole.check(stop, [])
    writes = whole.b.flashes["journal"].operations - before
    assert writes >= 8
    for torn in TORN:
        for write in range(writes):
            session = Session(start, stop, online)
            session.b.flashes["journal"].cut_power(write, torn, dice(write))
            cuts = session.run()
            assert len(cuts) == 1
            session.check(stop, cuts)


def running(stop):
    b = Bench({"TxCtrlr.TxStopPoint": stop})
    b.outlet.bay = True
    b.plug()
    b.card()
    b.poll(10_000)
    b.deliver()
    return b


def test_unplugged_while_there_was_no_power():
    b = running("EVConnected,Authorized")
    wh = b.outlet.wh
    b.outlet.cable = 0
    b.power_cycle()
    b.connect()
    assert b.events()[-1] == ("Ended", "AbnormalCondition", "Idle")
    assert b.last()["transactionInfo"]["stoppedReason"] == "PowerLoss"
    end = b.last()["meterValue"][-1]["sampledValue"][0]
    assert end == {"value": wh, "context": "Transaction.End"}
    assert b.problems() == []


def test_a_meter_that_forgot_while_there_was_no_power():
    b = running("PowerPathClosed")
    b.outlet.ms = 0
    b.power_cycle()
    b.connect()
    b.events()
    assert b.problems() == []


def test_what_was_not_reached_cannot_be_interrupted():
    """Plugged in, nobody authorized: no power path was closed, so none was lost."""
    b = Bench({"TxCtrlr.TxStartPoint": "EVConnected", "TxCtrlr.TxStopPoint": "PowerPathClosed"})
    b.plug()
    b.power_cycle()
    b.connect()
    assert b.events()[-1] == ("Updated", "AbnormalCondition", "EVConnected")
    b.card()
    b.poll(500)
    assert b.outlet.closed


@pytest.mark.parametrize("reset", [False, True])
def test_a_power_cut_while_the_cable_is_out(reset):
    """The time to plug in again begins anew, and then it ends."""
    b = Bench(
        {
            "TxCtrlr.TxStopPoint": "Authorized",
            "TxCtrlr.StopTxOnEVSideDisconnect": "false",
            "TxCtrlr.EVConnectionTimeOut": "30",
        }
    )
    b.plug()
    b.card()
    b.unplug()
    b.power_cycle()
    b.connect()
    b.poll(20_000)
    assert b.e.authorized
    if reset:
        b.plug()
        b.poll(500)
        assert b.outlet.closed
    else:
        b.poll(11_000)
        assert b.events()[-1] == ("Ended", "EVConnectTimeout", "Idle")


def test_cards_after_a_power_cut_mean_what_they_meant_before():
    """Also where the cable came last, so that no event says Authorized."""
    b = Bench()
    b.card()
    b.plug()
    b.power_cycle()
    b.connect()
    b.poll(500)
    assert b.outlet.closed
    b.sent.clear()
    b.card(CARD)
    b.deliver()
    assert "Authorize" not in [action for action, _ in b.sent]
    assert b.last()["triggerReason"] == "StopAuthorized"


def test_the_begin_value_without_an_energy_register_in_the_begin_values():
    b = Bench({"SampledDataCtrlr.TxStartedMeasurands": "Power.Active.Import"})
    b.outlet.ms = 5_000_000
    b.plug()
    b.card()
    b.poll(10_000)
    b.power_cycle()
    b.connect()
    b.card()
    b.events()
    begin = b.last()["meterValue"][0]["sampledValue"][0]
    assert begin == {"value": 5000, "context": "Transaction.Begin"}
