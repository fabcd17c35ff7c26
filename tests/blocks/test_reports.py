"""NotifyReport (B07): as many entries a message as fit the transmit buffer, all of them once, in order."""

import json

import pytest

from hostsim.lives.bench import Bench, finished
from hostsim.net import schemas
from milliamp.blocks import provisioning
from milliamp.wire.jsonwriter import Writer

HEAD = 8


def report(b, size, full=True):
    """(the messages, how many left in pieces) of a report with a transmit buffer of `size` bytes."""
    st, pieces, messages = b.st, [], []
    buf = bytearray(size)
    w = Writer(buf, HEAD, lambda end: pieces.append(bytes(buf[HEAD:end])), st.clock.text)
    own = st.provisioning
    own.report, own.entry, own.seq = (7, full), 0, 0
    own.entry = provisioning._next_reported(st, 0)
    torn = 0
    while (cursor := provisioning._report_due(st)) is not None:
        pieces.clear()
        w.start()
        w.array()  # what goes before in a CALL
        w.value("the message's id and action: NotifyReport")
        w.object()
        finished(provisioning._report_render(st, w, cursor))
        w.finish()
        torn += bool(pieces)
        payload = json.loads(b"".join(pieces) + bytes(buf[HEAD : w.at]))[1]
        assert schemas.payload_faults("NotifyReport", payload) == []
        messages.append(payload)
        provisioning._report_answered(st, cursor, None, 0)
    assert [m["seqNo"] for m in messages] == list(range(len(messages)))
    assert [m.get("tbc", False) for m in messages] == [True] * (len(messages) - 1) + [False]
    return messages, torn


def names(messages):
    return [
        json.dumps([entry["component"], entry["variable"]])
        for message in messages
        for entry in message["reportData"]
    ]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("size", [256, 512, 1024, 4096])
def test_as_many_entries_as_fit(size, full):
    b = Bench(evses=3)
    b.tables.profile.REPORT_ENTRIES = 1
    single, torn_alone = report(b, size, full)
    assert {len(message["reportData"]) for message in single} == {1}
    b.tables.profile.REPORT_ENTRIES = 999
    messages, torn = report(b, size, full)
    assert names(messages) == names(single) and len(set(names(single))) == len(single) > 40
    assert torn <= torn_alone  # only what does not fit by itself leaves in pieces
    if size == 1024:
        assert torn == 0 and len(messages) * 2.5 < len(single)
    # No message has room for the entry that follows it: what was kept free is less than two short ones.
    sizes = [len(json.dumps(message, separators=(",", ":"))) for message in messages[:-1]]
    following = [len(json.dumps(m["reportData"][0], separators=(",", ":"))) for m in messages[1:]]
    for used, more in zip(sizes, following, strict=True):
        assert used + more > size - 160


@pytest.mark.parametrize("most", [2, 3])
def test_at_most_so_many_as_the_profile_says(most):
    b = Bench()
    b.tables.profile.REPORT_ENTRIES = most
    counts = [len(message["reportData"]) for message in report(b, 4096)[0]]
    assert set(counts[:-1]) == {most} and 1 <= counts[-1] <= most


def test_values_that_are_long_and_full_of_escapes():
    b = Bench()
    b.st.model.put(b.entry("OCPPCommCtrlr.NetworkConfigurationPriority"), '"\n' * 125)
    b.tables.profile.REPORT_ENTRIES = 999
    assert len(names(report(b, 1024)[0])) == b.st.model.count


def test_a_report_of_which_nothing_can_be_said_ends():
    b = Bench()
    own = b.st.provisioning
    own.report, own.entry, own.seq = (7, True), 3, 0
    provisioning._report_answered(
        b.st, 3, None, 0
    )  # its rendering failed before anything was in it
    assert own.report is None
    own.report, own.entry = (7, True), 5
    provisioning._report_answered(b.st, 3, None, 0)  # what was sent got no answer
    assert own.report is not None
