"""`python -m hostsim run|day|soak|sim|station`: the bundled scenario, a modelled day, a month, the terminal program, JSON
lines."""

import argparse
import asyncio
import contextlib
import difflib
import re
import signal
import sys
from pathlib import Path

from hostsim.csms import misbehaviour
from hostsim.errors import Trouble


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as everything here does."""

    def parse_known_args(self, args=None, namespace=None):
        """A wrong name is what is said first, before what is missing because of it."""
        known = [text for text in self._option_string_actions if text.startswith("--")]
        for word in args or () if self._subparsers is None else ():
            name = word.partition("=")[0]
            if not re.match("--?[A-Za-z]{2}", name) or any(
                text.startswith(name) for text in known
            ):
                continue
            near = [text for text in known if name.startswith(text)]
            near += difflib.get_close_matches("--" + name.lstrip("-"), known[1:], 1)
            self.error(
                f"there is no {name}: "
                + (f"is it {near[0]}?" if near else f"there are {', '.join(known)}")
            )
        return super().parse_known_args(args, namespace)

    def error(self, message: str):
        print(f"hostsim: {message}; `{self.prog} --help` says more", file=sys.stderr)
        sys.exit(2)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = _Parser(prog="python -m hostsim", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)

    run = commands.add_parser(
        "run", help="the bundled scenario: a charge through network loss and power cut"
    )
    _lane(run)
    _speed(run)
    run.add_argument("--seed", type=int, help="repeat a run's random choices")

    day = commands.add_parser("day", help="a modelled day, and the sizes of its frames")
    _lane(day)

    soak = commands.add_parser("soak", help="a month of a station's life, in minutes")
    _lane(soak)
    soak.add_argument("--days", type=_whole, default=30, help="instead of a month (%(default)s)")
    soak.add_argument("--seed", type=int, default=1, help="of what happens when (%(default)s)")
    soak.add_argument(
        "--csms", choices=misbehaviour.KINDS, help="a CSMS as there are in the field"
    )

    sim = commands.add_parser("sim", help="an interactive station in the terminal")
    sim.add_argument(
        "--csms",
        "--url",
        metavar="URL",
        help="somebody else's CSMS, ws:// or wss://; default: the bundled one",
    )
    sim.add_argument("--id", default="milliamp-sim", help="the station's identity (%(default)s)")
    sim.add_argument(
        "--port", type=_port, default=0, help="the bundled CSMS's port; default: any that is free"
    )
    _station(sim)

    station = commands.add_parser(
        "station", help="one station driven by JSON lines on stdin (try cmd help)"
    )
    station.add_argument("--url", "--csms", required=True, help="the CSMS, without the identity")
    station.add_argument("--id", required=True, help="the station's identity")
    from tools.builder import versions

    spoken = versions.load().subprotocol
    station.add_argument(
        "--protocol",
        default=spoken,
        choices=[spoken],
        help="the OCPP version (%(default)s)",
    )
    _station(station)
    return top


def _lane(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--lane", type=int, choices=[64, 32], default=64, help="which MicroPython (%(default)s)"
    )
    command.add_argument(
        "--heap", type=_heap, help="the firmware's heap, like 64k; default: MicroPython's own"
    )


def _speed(command: argparse.ArgumentParser, default: int = 20) -> None:
    pace = command.add_mutually_exclusive_group()
    pace.add_argument(
        "--virtual",
        action="store_true",
        help="time stands still while anything has something to do, or no command is carried out, and jumps otherwise",
    )
    pace.add_argument(
        "--speed",
        type=_whole,
        default=default,
        help="how much faster than the wall clock (%(default)s)",
    )


def _station(command: argparse.ArgumentParser) -> None:
    command.add_argument("--board", default="sim", help="a folder of boards/ (%(default)s)")
    command.add_argument("--evses", type=_whole, help="how many EVSEs, instead of the profile's")
    command.add_argument("--password", help="for basic authentication, 16 to 40 characters")
    for name in ("vendor", "model", "serial"):
        command.add_argument(f"--{name}", help=f"the {name} that the station reports")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="Component.Variable=value",
        help="a factory value, whatever the mutability; may be repeated",
    )
    command.add_argument(
        "--state", type=Path, metavar="DIR", help="keep flash and meters here between runs"
    )
    _lane(command)
    _speed(command, 1)


def _whole(text: str) -> int:
    return _number(text, 1, 1000)


def _port(text: str) -> int:
    return _number(text, 0, 65535)


def _number(text: str, least: int, most: int) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not {least} to {most}")
    return int(text)


def _heap(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,9}[kKmM]?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size like 64k")
    return text


def options(given: argparse.Namespace):
    """The Options that the flags mean. Trouble for a --set that is no assignment."""
    from hostsim.charger.station import Options

    settings = {}
    for assignment in given.set:
        name, equals, value = assignment.partition("=")
        if not equals or "." not in name:
            raise Trouble(f"--set {assignment}: write it as Component.Variable=value")
        settings[name.strip()] = value
    return Options(
        board=given.board,
        identity=given.id,
        password=given.password,
        evses=given.evses,
        vendor=given.vendor,
        model=given.model,
        serial=given.serial,
        settings=settings,
        state=given.state,
        lane=given.lane,
        heap=given.heap,
    )


async def _serve(station) -> None:
    from hostsim import jsonlines

    if (
        station.clock.virtual
    ):  # what is wrong with the CSMS comes to light before time stands still
        with contextlib.suppress(TimeoutError):
            await station.wait("connected")
    await jsonlines.serve(station, jsonlines.stdin_lines(), jsonlines.to_stdout)


async def _run_station(given: argparse.Namespace) -> int:
    from hostsim.charger import refusal
    from hostsim.charger.station import Station
    from hostsim.clock import SimClock
    from hostsim.clock.virtual import VirtualClock

    clock = VirtualClock() if given.virtual else SimClock(given.speed)
    station = Station(clock, given.url, options(given))
    if given.virtual:
        clock.outside(station.network.owed)
    station.attach_log(
        lambda line: print(line, file=sys.stderr, flush=True)
    )  # stdout belongs to the answers
    station.traffic.on_note.append(
        lambda text: print(f"note: {text}", file=sys.stderr, flush=True)
    )
    try:
        await station.start()
        serving = asyncio.create_task(_serve(station))
        refused = asyncio.create_task(refusal.watch(station))
        failed = asyncio.create_task(station.device.failure())
        tasks = (serving, refused, failed)
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for task in (refused, failed):
            if task in done:
                raise Trouble(task.result())
        serving.result()
    finally:
        await station.stop()
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code; what the user can mend is one line on stderr."""
    given = parser().parse_args(argv)
    try:
        for stop in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(stop, _interrupt)
        run = asyncio.run
        if getattr(given, "virtual", False):
            from hostsim.clock.virtual import run
        if given.command == "run":
            from hostsim.lives.scenario import play

            speed = None if given.virtual else given.speed
            return run(play(given.lane, given.heap, speed, given.seed))
        if given.command == "day":
            from hostsim.lives.day import measure

            return asyncio.run(measure(given.lane, given.heap))
        if given.command == "soak":
            from hostsim.lives.soak import endure

            return endure(given.days, given.seed, given.lane, given.heap, given.csms)
        if given.command == "sim":
            from hostsim.terminal import interact

            return run(interact(given, options(given)))
        return run(_run_station(given))
    except Trouble as trouble:
        print(f"hostsim: {trouble}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, BrokenPipeError):
        return 130
    except ImportError as error:
        print(
            f"hostsim: {error}: run this through `make`, which sets up what it needs",
            file=sys.stderr,
        )
        return 2


def _interrupt(number, frame):
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
