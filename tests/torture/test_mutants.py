"""Messages with something wrong in them, a hundred thousand in the whole campaign, on the small lane with the smallest heap
that a station needs: each probe is answered, no task dies, and the heap is what it was."""

import codecs

import pytest

from hostsim.clock.virtual import virtually
from hostsim.csms.misbehaviour import Wrong
from hostsim.net.schemas import CALL
from hostsim.net.traffic import UP
from tests.hostile.attack import HARMLESS, attack
from tests.hostile.middle import TEXT, frame
from tests.torture.mutants import Mutants
from tools.measure.footprint.memory import gated

_WHOLE, _SHORT = 10_000, 2_000  # messages of a seed
_ROOM, _KEPT = 2560, 256  # bytes that a message may have, and what is kept of a longer one
_BATCH = 25  # between two probes


def last_call(it) -> str:
    """The id of the station's last CALL."""
    messages = reversed(it.rig.traffic.messages)
    return next((m.id for m in messages if m.direction == UP and m.kind == CALL), "")


@pytest.mark.seeds(10)
def test_mutated_messages(seed, whole, figures):
    heap = str(gated("sim"))

    @virtually
    async def run():
        async with attack(32, heap=heap) as it:
            it.excuse_frames()
            it.excuse_answers()
            it.excuse_times()
            mutants, probes, measured = Mutants(seed), 0, False
            for number in range(_WHOLE if whole else _SHORT):
                if number == 500:  # what is met for the first time stays
                    await it.remember_heap()
                    measured = True
                if not number % 10:  # one that an answer may belong to
                    it.csms.wrongs[:] = [Wrong("silent", "Heartbeat")]
                    await it.call("TriggerMessage", {"requestedMessage": "Heartbeat"})
                data = mutants.make(last_call(it))
                connection = it.csms.connections + 1
                try:
                    await it.say(data.decode())
                except UnicodeDecodeError:
                    it.rig.traffic.excuse(data.decode("utf-8", "replace"))
                    await it.put(frame(TEXT, data))
                if ends := not is_text(data):
                    await it.csms.until(lambda n=connection: it.csms.connections >= n, "closing")
                if ends or number % _BATCH == _BATCH - 1:
                    answer = await it.call("GetVariables", HARMLESS["GetVariables"])
                    assert answer["getVariableResult"][0]["attributeStatus"] == "Accepted"
                    probes += 1
                    await it.rig.clock.sleep(2)  # what the charge has to say comes in between
            it.csms.wrongs.clear()
            assert measured and it.rig.device.boots == 1
            figures(messages=number + 1, probes=probes, connections=it.csms.connections)

    run()


def is_text(data: bytes) -> bool:
    """Is it UTF-8? Of what is too long for the station it looks at the beginning."""
    beginning = codecs.getincrementaldecoder("utf-8")()
    try:
        beginning.decode(data[:_KEPT] if len(data) > _ROOM else data, len(data) <= _ROOM)
    except UnicodeDecodeError:
        return False
    return True
