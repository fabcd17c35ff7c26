"""The JSON lines of `hostsim station`, against a station that is not there."""

import asyncio
import json

import pytest

from hostsim import commands, jsonlines, terminal
from hostsim.charger.hardware import Hardware
from hostsim.clock import time_limit
from hostsim.clock.virtual import VirtualClock, run
from hostsim.net.traffic import Traffic


class NoDevice:
    """A device that reads its inputs whenever it is asked to."""

    def __init__(self):
        self.powered = True

    async def settled(self, polls: int = 2) -> None:
        pass

    async def power_off(self) -> None:
        self.powered = False


class NoStation:
    """What the commands need of a Station, without firmware."""

    def __init__(self):
        clock = VirtualClock()
        self.clock = clock
        self.hardware = Hardware(clock, 2)
        self.traffic = Traffic(clock)
        self.device = NoDevice()
        self.gate = asyncio.Event()

    async def wait(self, fact: str, timeout: float, evse: int) -> float:
        if fact == "gate":
            await self.gate.wait()
            return 1.5
        if fact == "never":
            raise TimeoutError("never did not come about")
        raise ValueError(f"unknown fact {fact!r}")

    async def get(self, component, variable, instance, evse, connector) -> str:
        self.gate.set()
        return f"{component}.{variable}.{instance}.{evse}"

    async def state(self) -> dict:
        raise ConnectionError("the station has no power")


def converse(*requests) -> list[dict]:
    """Send requests (objects, or lines as they are) and return the answers in their order."""
    answers = []

    async def lines():
        for request in requests:
            yield request if isinstance(request, str) else json.dumps(request)

    async def main():
        async with time_limit(10):
            await jsonlines.serve(
                NoStation(), lines(), lambda text: answers.append(json.loads(text))
            )

    run(main())
    assert [answer.pop("time") for answer in answers] == [0.0] * len(answers)
    return answers


def test_commands_are_answered_with_their_id():
    answers = converse({"id": 7, "cmd": "plug", "args": {"evse": 2}}, {"id": "x", "cmd": "frames"})
    assert sorted(answers, key=str) == [{"id": "x", "result": []}, {"id": 7, "result": None}]


def test_evse_is_1_unless_told():
    answers = converse(
        {"id": 1, "cmd": "plug"}, {"id": 2, "cmd": "plug", "args": {"connector": 2}}
    )
    assert answers[0] == {"id": 1, "result": None}
    assert "plugged in already" in answers[1]["error"]


def test_a_wait_lets_others_pass():
    answers = converse(
        {"id": 1, "cmd": "wait", "args": {"fact": "gate", "timeout": 5}},
        {"id": 2, "cmd": "get", "args": {"component": "A", "variable": "B"}},
    )
    assert answers == [{"id": 2, "result": "A.B.None.None"}, {"id": 1, "result": 1.5}]


def test_the_end_of_stdin_waits_for_what_runs():
    assert converse({"id": 1, "cmd": "wait", "args": {"fact": "never"}})[0]["error"].startswith(
        "never"
    )


def test_quit_is_answered_and_ends():
    answers = converse({"id": 1, "cmd": "quit"}, {"id": 2, "cmd": "plug"})
    assert answers == [{"id": 1, "result": None}]


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not an object"),
        ({"id": 1}, '"cmd" is missing'),
        ({"id": 1, "cmd": 5}, '"cmd" is missing'),
        ({"id": 1, "cmd": "fly"}, "unknown command"),
        ({"id": 1, "cmd": "plug", "args": [1]}, "must be an object"),
        ({"id": 1, "cmd": "plug", "args": {"where": 1}}, "usage: plug evse:int=1"),
        ({"id": 1, "cmd": "plug", "args": {"evse": "one"}}, "evse cannot be 'one'"),
        ({"id": 1, "cmd": "plug", "args": {"evse": True}}, "evse cannot be True"),
        ({"id": 1, "cmd": "plug", "args": {"evse": 9}}, "no EVSE 9"),
        ({"id": 1, "cmd": "card"}, "token"),
        ({"id": 1, "cmd": "ev", "args": {"state": "Z"}}, "A to F"),
        ({"id": 1, "cmd": "power", "args": {"mode": "half"}}, "on, off or cycle"),
        ({"id": 1, "cmd": "wait", "args": {"fact": "christmas"}}, "unknown fact"),
        ({"id": 1, "cmd": "state"}, "no power"),
    ],
)
def test_bad_requests_get_a_clear_line(request_, word):
    (answer,) = converse(request_)
    assert word in answer["error"]
    assert "\n" not in answer["error"]


def test_empty_lines_are_nothing():
    assert converse("", "  ") == []


def test_help_prints_the_vocabulary():
    (answer,) = converse({"id": 1, "cmd": "help"})
    text = answer["result"]
    assert text["version"] == commands.VERSION
    assert set(text["commands"]) == set(commands.COMMANDS)
    assert all(usage["help"] for usage in text["commands"].values())
    assert {"charging", "queue_empty", "status:Available"} <= set(text["facts"])


def test_the_promised_commands_are_there():
    promised = (
        "plug unplug ev ready load card stop_button fault clear_fault lock_fails bay meter network power restart get set "
        "state wait frames help quit"
    )
    assert set(promised.split()) <= set(commands.COMMANDS)


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("plug", {}),
        ("plug 2", {"evse": 2}),
        ("card ABC evse=1", {"token": "ABC", "evse": 1}),
        ("lock_fails off", {"on": False}),
        ("network on delay=0.5", {"mode": "on", "delay": 0.5}),
        ("load 8000 2", {"milliamps": 8000, "evse": 2}),
        ("set A B x=y", {"component": "A", "variable": "B", "value": "x=y"}),
    ],
)
def test_typed_words_become_arguments(line, given):
    name, *words = line.split()
    assert terminal.arguments(name, words) == given
