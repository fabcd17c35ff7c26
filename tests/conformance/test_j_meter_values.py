"""J: meter values by the clock and by the transaction."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from hostsim.clock import unix_time
from tests.conformance import states
from tests.conformance.octt import Call, Octt, check

ENERGY = "Energy.Active.Import.Register"
MEASURANDS = (ENERGY, "Power.Active.Import", "Current.Import", "Voltage")
BY_PHASE = ("Current.Import", "Voltage")  # what this meter has of each phase
ROUNDING = 1  # second: timestamps have no fractions


async def test_TC_J_01_CS(octt):
    await octt.configure(_aligned(octt))
    octt.forget()
    await _take(octt, "MeterValues", 3)
    _by_the_clock(octt, octt.calls_of("MeterValues"), MEASURANDS)


async def test_TC_J_02_CS(octt):
    await octt.configure(_aligned(octt) | {"SampledDataCtrlr.TxUpdatedInterval": 0})
    await _not_only_idle(octt, False)
    await states.energy_transfer_started(octt)
    octt.forget()
    await octt.sleep(4 * octt.meter_interval)
    await octt.quiet(1)
    during = octt.seen("TransactionEvent")
    for call in during:
        check(call, {"triggerReason": "MeterValueClock", "eventType": "Updated"}, what=repr(call))
    assert len(_groups(during)) >= 3
    _by_the_clock(octt, during, MEASURANDS)
    idle = octt.seen("MeterValues")
    assert all(call["evseId"] != octt.evse for call in idle)
    _by_the_clock(octt, idle, MEASURANDS)


async def test_TC_J_03_CS(octt):
    await octt.configure(
        {
            "AlignedDataCtrlr.TxEndedInterval": octt.meter_interval,
            "AlignedDataCtrlr.TxEndedMeasurands": list(MEASURANDS),
            "SampledDataCtrlr.TxEndedMeasurands": "",
        }
    )
    await _not_only_idle(octt, False)
    ended = await _ended(octt)
    groups = _groups([ended])
    for (_, _), values in groups.items():
        assert {value["context"] for value in values} == {"Sample.Clock"}, values
        _complete(values, MEASURANDS)
    _apart([time for _, time in groups], octt.meter_interval, 0)
    assert len(groups) >= 2


async def test_TC_J_06_CS(octt):
    await octt.configure(_aligned(octt))
    await _not_only_idle(octt, True)
    octt.forget()
    await _take(octt, "MeterValues", 1)
    await states.energy_transfer_started(octt)
    await octt.sleep(2 * octt.meter_interval + 5)
    await states.parking_bay_unoccupied(octt)
    events = octt.calls_of("TransactionEvent")
    started, ended = unix_time(events[0]["timestamp"]), unix_time(events[-1]["timestamp"])
    for call in octt.calls_of("MeterValues") + events:
        for (_, time), values in _groups([call]).items():
            if any(value["context"] == "Sample.Clock" for value in values):
                inside = started + ROUNDING < time < ended - ROUNDING
                assert not inside, f"a value of the clock during a transaction: {call}"
    octt.forget()
    await _take(octt, "MeterValues", 2)
    idle = [call for call in octt.calls_of("MeterValues") if _first_time(call) > ended]
    _by_the_clock(octt, idle, MEASURANDS)


async def test_TC_J_07_CS(octt):
    points = "EVConnected" if octt.has("C51 and C09_1") else octt.start_points
    await octt.configure(
        {
            "TxCtrlr.TxStartPoint": [points] if isinstance(points, str) else sorted(points),
            "SampledDataCtrlr.TxStartedMeasurands": list(MEASURANDS),
        }
    )
    await states.parking_bay_occupied(octt)
    await states.ev_connected_pre_session(octt)
    await states.energy_transfer_started(octt)
    (started,) = [c for c in octt.calls_of("TransactionEvent") if c["eventType"] == "Started"]
    _begins(started)


async def test_TC_J_08_CS(octt):
    await octt.configure(
        {
            "TxCtrlr.TxStartPoint": "Authorized",
            "SampledDataCtrlr.TxStartedMeasurands": list(MEASURANDS),
        }
    )
    await states.energy_transfer_started(octt)
    events = octt.calls_of("TransactionEvent")
    _begins(next(call for call in events if call["evse"] is not None))


async def test_TC_J_09_CS(octt):
    await octt.configure(
        {
            "SampledDataCtrlr.TxUpdatedInterval": octt.meter_interval,
            "SampledDataCtrlr.TxUpdatedMeasurands": list(MEASURANDS),
        }
    )
    await states.energy_transfer_started(octt)
    octt.forget()
    await octt.sleep(3.5 * octt.meter_interval)
    await octt.quiet(1)
    calls = octt.seen("TransactionEvent", triggerReason="MeterValuePeriodic")
    groups = _groups(calls)
    for values in groups.values():
        assert {value["context"] for value in values} == {"Sample.Periodic"}, values
        _complete(values, MEASURANDS)
    assert len(groups) >= 3
    _apart([time for _, time in groups], octt.meter_interval, ROUNDING)


async def test_TC_J_10_CS(octt):
    await octt.configure(
        {
            "SampledDataCtrlr.TxEndedInterval": octt.meter_interval,
            "SampledDataCtrlr.TxEndedMeasurands": list(MEASURANDS),
            "AlignedDataCtrlr.TxEndedMeasurands": "",
        }
    )
    ended = await _ended(octt)
    periodic, contexts = [], set()
    for (_, time), values in _groups([ended]).items():
        for context in {value["context"] for value in values}:
            contexts.add(context)
            if context != "Transaction.Begin":
                _complete([v for v in values if v["context"] == context], MEASURANDS)
            if context == "Sample.Periodic":
                periodic.append(time)
    assert contexts <= {"Transaction.Begin", "Sample.Periodic", "Transaction.End"}
    assert {"Sample.Periodic", "Transaction.End"} <= contexts
    assert len(periodic) >= 2
    _apart(periodic, octt.meter_interval, ROUNDING)


# --- what they share --------------------------------------------------------------------------------------


def _aligned(octt: Octt) -> dict[str, Any]:
    return {
        "AlignedDataCtrlr.Interval": octt.meter_interval,
        "AlignedDataCtrlr.Measurands": list(MEASURANDS),
    }


async def _not_only_idle(octt: Octt, on: bool) -> None:
    """AlignedDataCtrlr.SendDuringIdle: values by the clock only while no transaction runs."""
    await octt.configure({"AlignedDataCtrlr.SendDuringIdle": on}, optional=not on)


async def _ended(octt: Octt) -> Call:
    """A transaction over more than three intervals, to its end, which is no full interval either."""
    await states.energy_transfer_started(octt)
    await octt.sleep(3.2 * octt.meter_interval)
    await states.parking_bay_unoccupied(octt)
    (ended,) = [c for c in octt.calls_of("TransactionEvent") if c["eventType"] == "Ended"]
    assert ended["meterValue"], repr(ended)
    return ended


async def _take(octt: Octt, action: str, times: int) -> None:
    """Wait until values of so many different times of the configured EVSE have come, and their last message too."""
    while len({_first_time(c) for c in octt.seen(action) if c["evseId"] == octt.evse}) < times:
        await octt.sleep(1)
    await octt.quiet(1)


def _first_time(call: Call) -> float:
    return unix_time(call["meterValue.0.timestamp"])


def _groups(calls: Iterable[Call]) -> dict[tuple[int, float], list[dict[str, Any]]]:
    """(EVSE, time) -> all values of then, however many messages they took."""
    groups = defaultdict(list)
    for call in calls:
        for group in call["meterValue"] or ():
            groups[call["evseId"] or 0, unix_time(group["timestamp"])] += group["sampledValue"]
    return dict(sorted(groups.items()))


def _by_the_clock(octt: Octt, calls: list[Call], measurands) -> None:
    """Every value is one of the clock, every time has all measurands, and times are an interval apart."""
    groups = _groups(calls)
    for values in groups.values():
        assert {value["context"] for value in values} == {"Sample.Clock"}, values
        _complete(values, measurands)
    for evse in {evse for evse, _ in groups}:
        _apart([time for e, time in groups if e == evse], octt.meter_interval, 0)


def _complete(values: list[dict[str, Any]], measurands) -> None:
    """An element for each measurand; of each phase, where there are several and the meter has them."""
    found = [(value.get("measurand", ENERGY), value.get("phase")) for value in values]
    assert len(set(found)) == len(found), f"twice: {found}"
    assert {name for name, _ in found} == set(measurands), found
    for name in BY_PHASE:
        if name in measurands:
            phases = {(phase or "")[:2] for measurand, phase in found if measurand == name}
            assert {"L1", "L2", "L3"} <= phases, f"{name} of {phases}"


def _apart(times: list[float], interval: int, slack: int) -> None:
    for earlier, later in zip(times, times[1:], strict=False):
        assert abs(later - earlier - interval) <= slack, f"{times}: not {interval} s apart"


def _begins(call: Call) -> None:
    """It carries all TxStartedMeasurands of the begin."""
    groups = _groups([call])
    assert groups, f"no values in {call}"
    for values in groups.values():
        assert {value["context"] for value in values} == {"Transaction.Begin"}, values
        _complete(values, MEASURANDS)
