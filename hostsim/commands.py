"""The commands of a simulated station, the same for JSON lines and for the terminal: one function each.

A command takes a Station and named arguments, and returns something that JSON can hold. Its docstring is its help.
Wrong arguments raise ValueError or TypeError, a station that does not run ConnectionError.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from hostsim.charger.facts import vocabulary
from hostsim.charger.station import Station
from hostsim.net.network import MODES

_LONGEST_TEXT = 500
_BEYOND = 1 << 32
VERSION = 1  # of the vocabulary: it grows with the same number, and changes with another


async def plug(station: Station, evse: int = 1, connector: int = 1) -> None:
    """Plug a cable into a connector."""
    station.hardware.plug(evse, connector)
    await station.device.settled()


async def unplug(station: Station, evse: int = 1) -> None:
    """Pull the cable out. A locked plug refuses."""
    station.hardware.unplug(evse)
    await station.device.settled()


async def ev(station: Station, state: str, evse: int = 1) -> None:
    """Put the EV in a state A to F: A disconnected at its own end, B connected, C or D wanting energy (once it is
    offered), E or F faulty."""
    station.hardware.ev(evse, state)
    await station.device.settled()


async def ready(
    station: Station, evse: int = 1, ev: bool | None = None, evse_ready: bool | None = None
) -> None:
    """Whether the EV wants energy, and whether the EVSE may give it (else SuspendedEV, SuspendedEVSE)."""
    if ev is not None:
        station.hardware.ready(evse, ev)
    if evse_ready is not None:
        await station.device.ask("ready", evse=evse, ready=evse_ready)
    await station.device.settled()


async def load(station: Station, milliamps: int, evse: int = 1) -> None:
    """The current that the EV draws at most, per phase."""
    station.hardware.draw(evse, milliamps)


async def card(station: Station, token: str, type: str = "ISO14443", evse: int = 1) -> None:
    """Hold a card to an EVSE's reader; evse 0: to one that all EVSEs share."""
    station.hardware.card(token, type, evse)
    await station.device.settled()


async def stop_button(station: Station, evse: int = 1) -> None:
    """Press the stop button."""
    station.hardware.stop_button(evse)
    await station.device.settled()


async def fault(station: Station, name: str = "GroundFailure", evse: int = 1) -> None:
    """Make a fault that keeps the EVSE from charging."""
    station.hardware.set_fault(evse, name)
    await station.device.settled()


async def clear_fault(station: Station, evse: int = 1) -> None:
    """Mend the fault."""
    station.hardware.set_fault(evse, None)
    await station.device.settled()


async def lock_fails(station: Station, on: bool = True, evse: int = 1) -> None:
    """Whether the plug's lock jams."""
    station.hardware.set_lock_fails(evse, on)


async def bay(station: Station, occupied: bool = True, evse: int = 1) -> None:
    """Whether a vehicle stands in the parking bay."""
    station.hardware.set_bay(evse, occupied)
    await station.device.settled()


async def meter(station: Station, wh: int, evse: int = 1) -> None:
    """Set the meter's register."""
    station.hardware.set_meter(evse, wh)
    await station.device.settled()


async def network(station: Station, mode: str, delay: float = 0.0, throttle: int = 0) -> None:
    """The network: on, off, refuse, stall; delay in simulated seconds, throttle in bytes per simulated second."""
    station.network.delay, station.network.throttle = float(delay), int(throttle)
    await station.set_network(mode)


async def power(station: Station, mode: str, writes: int = 0) -> None:
    """The power switch: on, off, cycle. off with writes=N: in the middle of the Nth flash write from now."""
    device = station.device
    if mode == "on":
        await device.power_on()
    elif mode == "off" and writes:
        device.cut_in_write(writes)
    elif mode == "off":
        await device.power_off()
    elif mode == "cycle":
        await device.power_cycle()
    else:
        raise ValueError(f"power is on, off or cycle, not {mode!r}")


async def restart(station: Station) -> None:
    """Press the controller's reset button."""
    await station.device.restart()


async def get(
    station: Station,
    component: str,
    variable: str,
    instance: str | None = None,
    evse: int | None = None,
    connector: int | None = None,
) -> str:
    """Read a device model variable locally, not over OCPP."""
    return await station.get(component, variable, instance, evse, connector)


async def set(
    station: Station,
    component: str,
    variable: str,
    value: str,
    instance: str | None = None,
    evse: int | None = None,
    connector: int | None = None,
) -> str:
    """Write a device model variable locally; the answer is the status that SetVariables would give."""
    return await station.set(component, variable, value, instance, evse, connector)


async def state(station: Station) -> dict[str, Any]:
    """EVSEs, transactions, queue, heap, connection, counters."""
    return await station.state()


async def wait(station: Station, fact: str, timeout: float = 60.0, evse: int = 1) -> float:
    """Wait until a fact holds; timeout and answer in simulated seconds. See "facts"."""
    return await station.wait(fact, float(timeout), evse)


async def frames(station: Station, since: int = 0) -> list[dict[str, Any]]:
    """The WebSocket frames behind number `since`: number, time, direction, opcode, fin, size."""
    return [frame.as_dict() for frame in station.traffic.since(since)]


async def help(station: Station | None = None) -> dict[str, Any]:
    """This vocabulary."""
    return {
        "version": VERSION,
        "commands": {name: _usage(function) for name, function in COMMANDS.items()},
        "facts": vocabulary(),
        "network": MODES,
        "time": "every duration is in simulated seconds: speed times as many as on the wall",
    }


async def quit(station: Station) -> None:
    """Switch the station off and end."""


COMMANDS: dict[str, Callable[..., Awaitable[Any]]] = {
    function.__name__: function
    for function in (
        plug, unplug, ev, ready, load, card, stop_button, fault, clear_fault, lock_fails, bay, meter, network, power,
        restart, get, set, state, wait, frames, help, quit,
    )
}  # fmt: skip


async def run(station: Station, name: str, arguments: dict[str, Any]) -> Any:
    """Run a command by its name. Raises ValueError, with a line for a person, for what makes no sense."""
    function = COMMANDS.get(name) if isinstance(name, str) else None
    if function is None:
        raise ValueError(f"unknown command {name!r}; `help` lists them")
    if not isinstance(arguments, dict):
        raise ValueError("args must be an object")
    signature = inspect.signature(function)
    try:
        bound = signature.bind(station, **arguments)
    except TypeError as error:
        raise ValueError(f"{name}: {error}; usage: {_usage(function)['usage']}") from None
    for key, value in bound.arguments.items():
        kind = signature.parameters[key].annotation
        if key != "station" and not _fits(value, kind):
            raise ValueError(
                f"{name}: {key} cannot be {value!r}; usage: {_usage(function)['usage']}"
            )
    return await function(*bound.args, **bound.kwargs)


def parameters(name: str) -> list[tuple[str, Any]]:
    """The arguments of a command and what each must be, in order."""
    return [
        (key, item.annotation)
        for key, item in inspect.signature(COMMANDS[name]).parameters.items()
    ][1:]


def _fits(value: Any, kind: Any) -> bool:
    """Is it of the kind, and something that a person could have meant?"""
    if isinstance(value, str) and not (len(value) <= _LONGEST_TEXT and value.isprintable()):
        return False
    if isinstance(value, int | float) and not 0 <= value < _BEYOND:  # NaN is not either
        return False
    if kind is float:
        kind = int | float
    if isinstance(value, bool):
        return kind in (bool, bool | None)
    return isinstance(value, kind)


def _usage(function: Callable) -> dict[str, str]:
    """The arguments of a command and its help, from its signature and docstring."""
    words = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        kind = inspect.formatannotation(parameter.annotation).replace(" | None", "")
        default = "" if parameter.default is inspect.Parameter.empty else f"={parameter.default}"
        words.append(f"{parameter.name}:{kind}{default}".removesuffix("=None"))
    return {
        "usage": " ".join([function.__name__, *words]),
        "help": inspect.getdoc(function).replace("\n", " "),
    }
