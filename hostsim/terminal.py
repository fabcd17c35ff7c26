"""`make sim`: a station in the terminal. Frames scroll by in colour, a status line shows how it is, commands complete.

Without a terminal it prints the same lines plainly and reads commands from stdin.
"""

import argparse
import asyncio
import contextlib
import json
import shlex
import sys
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.formatted_text import ANSI, FormattedText
from prompt_toolkit.patch_stdout import patch_stdout
from rich.console import Console

from hostsim import commands
from hostsim.charger import refusal
from hostsim.charger.facts import vocabulary
from hostsim.charger.station import Options, Station
from hostsim.clock import SimClock, time_limit
from hostsim.clock.virtual import VirtualClock
from hostsim.csms.server import CallError, Csms
from hostsim.errors import Trouble
from hostsim.jsonlines import stdin_lines
from hostsim.lives.harness import CARD
from hostsim.net.network import MODES
from hostsim.net.schemas import CALLERROR
from hostsim.net.traffic import UP, MessageSeen

_REFRESH = 1.0  # real seconds between looks at the status
_PREVIEW = 150  # characters of a message that are shown
_VALUES = {
    "network": list(MODES),
    "power": ["on", "off", "cycle"],
    "ev": list("ABCDEF"),
    "card": [CARD],
}
_HELP = (
    "commands take name=value or values in order, like [bold]card {card}[/bold] or [bold]load 8000 evse=1[/bold]; "
    "[bold]help[/bold] lists them, [bold]csms Action {{json}}[/bold] has the CSMS call the station, "
    "[bold]log[/bold] shows the firmware's log, [bold]quit[/bold] ends"
)


class Terminal:
    """The program: a station, perhaps the bundled CSMS, and what the person at the keyboard sees."""

    def __init__(self, station: Station, csms: Csms | None):
        self.station = station
        self.csms = csms
        self.status: list[tuple[str, str]] = [("", " starting")]
        self.console = Console(
            highlight=False, force_terminal=True if sys.stdout.isatty() else None
        )
        station.traffic.on_message.append(self._message)
        station.traffic.on_note.append(
            lambda text: self.show(f"[yellow]   note: {_plain(text)}[/yellow]")
        )
        station.attach_log(self._log)

    # --- what is shown ---------------------------------------------------------------------------
    def show(self, text: str) -> None:
        """Print a line of rich markup above the prompt."""
        with self.console.capture() as capture:
            self.console.print(text, soft_wrap=True)
        sys.stdout.write(capture.get())
        sys.stdout.flush()

    def _message(self, message: MessageSeen) -> None:
        colour, arrow = ("green", "->") if message.direction == UP else ("blue", "<-")
        if message.kind == CALLERROR or message.faults:
            colour = "red"
        text = message.text if len(message.text) <= _PREVIEW else message.text[:_PREVIEW] + "..."
        pieces = f" in {message.frames} frames" if message.frames > 1 else ""
        self.show(
            f"[{colour}]{arrow} {message.size:5} B {message.label}{pieces}[/{colour}] [dim]{_plain(text)}[/dim]"
        )
        for fault in message.faults:
            self.show(f"   [bold red]invalid:[/bold red] {_plain(fault)}")

    def _log(self, line: str) -> None:
        self.show(f"[yellow]   {_plain(line)}[/yellow]")

    def toolbar(self) -> FormattedText:
        return FormattedText(self.status)

    async def watch(self) -> None:
        """Keep the status line true; in virtual time a minute passes at once."""
        pause = 60 if self.station.clock.virtual else _REFRESH
        while True:
            with contextlib.suppress(ConnectionError, TimeoutError, ValueError):
                async with time_limit(5):
                    self.status = _status(await self.station.state())
            await asyncio.sleep(pause)

    # --- what is typed ---------------------------------------------------------------------------
    async def run_line(self, line: str) -> bool:
        """Run a command line; False when it was the last."""
        try:
            words = shlex.split(line)
        except ValueError as error:
            self.show(f"[red]{_plain(str(error))}[/red]")
            return True
        if not words:
            return True
        self.station.clock.stand(False)
        try:
            await self._run(words, line)
        except (ValueError, ConnectionError, TimeoutError, OSError, CallError) as error:
            self.show(f"[red]{_plain(str(error) or type(error).__name__)}[/red]")
        finally:
            self.station.clock.stand(words[0] != "quit")
        return words[0] != "quit"

    async def _run(self, words: list[str], line: str) -> None:
        name = words[0]
        if name == "help":
            await self._help()
        elif name == "log":
            self.show(_plain("\n".join(list(self.station.device.log)[-40:])))
        elif name == "csms":
            await self._csms(line)
        else:
            result = await commands.run(self.station, name, arguments(name, words[1:]))
            if result is not None:
                self.show(_plain(json.dumps(result, indent=2)))

    async def _help(self) -> None:
        self.show(_HELP.format(card=CARD))
        for usage in (await commands.help())["commands"].values():
            self.show(
                f"  [bold]{_plain(usage['usage'])}[/bold]  [dim]{_plain(usage['help'])}[/dim]"
            )
        self.show("facts to wait for: " + ", ".join(vocabulary()))

    async def _csms(self, line: str) -> None:
        if self.csms is None:
            raise ValueError("this is somebody else's CSMS: use its own console")
        _, _, rest = line.strip().partition(" ")
        action, _, payload = rest.strip().partition(" ")
        if not action:
            raise ValueError('write it like: csms Reset {"type": "OnIdle"}')
        answer = await self.csms.call(action, json.loads(payload or "{}"))
        self.show(_plain(json.dumps(answer, indent=2)))

    async def converse(self) -> None:
        """Read commands until quit or the end of input. Virtual time passes while one is carried out."""
        if self.station.clock.virtual:
            with contextlib.suppress(TimeoutError):
                await self.station.wait("accepted")
        self.station.clock.stand(True)
        self.show(_HELP.format(card=CARD))
        if not sys.stdin.isatty() or not sys.stdout.isatty():
            async for line in stdin_lines():
                self.show(f"[bold]> {_plain(line.strip())}[/bold]")
                if not await self.run_line(line):
                    return
            return
        session: PromptSession[str] = PromptSession(
            ANSI("\x1b[1mmilliamp>\x1b[0m "),
            completer=_Words(),
            bottom_toolbar=self.toolbar,
            refresh_interval=0.5,
        )
        with patch_stdout(raw=True):
            while True:
                try:
                    line = await session.prompt_async()
                except (EOFError, KeyboardInterrupt):
                    return
                if not await self.run_line(line):
                    return


class _Words(Completer):
    """Completes commands, then what can follow them."""

    def get_completions(self, document, _event):
        words = document.text_before_cursor.split(" ")
        if len(words) == 1:
            candidates = [*commands.COMMANDS, "csms", "log"]
        elif words[0] == "wait":
            candidates = list(vocabulary())
        else:
            candidates = _VALUES.get(words[0], []) + [name + "=" for name in _parameters(words[0])]
        for word in sorted(candidates):
            if word.startswith(words[-1]):
                yield Completion(word, start_position=-len(words[-1]))


def _parameters(command: str) -> list[str]:
    if command not in commands.COMMANDS:
        return []
    return [name for name, _ in commands.parameters(command)]


def arguments(command: str, words: list[str]) -> dict[str, Any]:
    """Typed words as a command's arguments: `name=value`, or values in the command's own order."""
    if command not in commands.COMMANDS:
        return {}
    known = dict(commands.parameters(command))
    order = list(known)
    given: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or name not in known:
            free = [name for name in order if name not in given]
            if not free:
                raise ValueError(f"{command} takes no {word!r}")
            name, text = free[0], word
        given[name] = _value(text, known[name])
    return given


def _value(text: str, kind: Any) -> Any:
    """A typed word as the kind of thing that a command wants; what does not fit stays text, and is refused there."""
    if kind in (bool, bool | None):
        return {
            "on": True,
            "yes": True,
            "true": True,
            "off": False,
            "no": False,
            "false": False,
        }.get(text.lower(), text)
    if kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def _status(state: dict[str, Any]) -> list[tuple[str, str]]:
    """The status line, as prompt_toolkit has it: (style, text) pairs."""
    if state["power"] == "off":
        return [("bg:ansired", " no power ")]
    link = state.get("connection")
    if link is None:
        return [("bg:ansiyellow", " starting ")]
    parts = []
    if link["online"]:
        parts.append(("bg:ansigreen", " online "))
    elif link["up"]:
        parts.append(("bg:ansiyellow", f" connected, {link['registration']} "))
    else:
        parts.append(("bg:ansired", " offline "))
    for evse, outlet in zip(state["evses"], state["hardware"], strict=False):
        tx = evse["transaction"]
        what = f"  EVSE {evse['evse']} {'/'.join(evse['status'])} {evse['charging_state']} {outlet['pilot']}"
        if outlet["current"]:
            what += f" {outlet['power'] / 1000:.1f} kW"
        what += f" {outlet['meter'] / 1000:.3f} kWh"
        parts.append(("", what + (f" tx {tx['id'][-4:]}#{tx['seqNo']}" if tx else "")))
    queue, heap = state["queue"], state.get("heap", {})
    parts.append(
        (
            "",
            f"  queue {queue['pending']}  heap {heap.get('live', 0) / 1024:.1f} kB  {state['time'][11:19]} ",
        )
    )
    return parts


def _plain(text: str) -> str:
    """Text without markup of its own."""
    return text.replace("[", "\\[")


async def interact(given: argparse.Namespace, options: Options) -> int:
    """Run the terminal program until quit."""
    clock = VirtualClock() if given.virtual else SimClock(given.speed)
    csms = None
    url = given.csms
    if url is None:
        csms = Csms(clock, password=given.password)
        csms.knows(CARD)
        csms.stranger.status = "Invalid"
        try:
            await csms.start(given.port)
        except OSError as error:
            raise Trouble(f"port {given.port} is busy: choose another with --port") from error
        url = csms.url()
    station = Station(clock, url, options)
    if given.virtual and csms is None:
        clock.outside(station.network.owed)
    terminal = Terminal(station, csms)
    if csms is not None:
        csms.excuse = station.traffic.excuse
    terminal.show(f"the station [bold]{options.identity}[/bold] talks to [bold]{url}[/bold]")
    tasks = []
    try:
        await station.start()
        tasks = [
            asyncio.create_task(work)
            for work in (
                terminal.converse(),
                terminal.watch(),
                refusal.watch(station),
                station.device.failure(),
            )
        ]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks[2:]:
            if task in done:
                raise Trouble(task.result())
        tasks[0].result() if tasks[0] in done else tasks[1].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await station.stop()
        if csms is not None:
            await csms.stop()
    if station.traffic.faults:
        terminal.show(f"[red]{len(station.traffic.faults)} frames were invalid[/red]")
    return 0
