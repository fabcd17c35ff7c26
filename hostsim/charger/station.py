"""One whole simulated station: hardware, network, firmware, and everything a driver can do to it."""

import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostsim.charger import names
from hostsim.charger.device import Device, Profile
from hostsim.charger.facts import Watcher
from hostsim.charger.hardware import Hardware
from hostsim.clock import SimClock
from hostsim.errors import Trouble
from hostsim.net.nameserver import NameServer
from hostsim.net.network import Network, url_fault
from hostsim.net.traffic import Traffic

_PASSWORD_LENGTH = (16, 40)


@dataclass
class Options:
    """How a station is set up. `settings`: factory values before the first boot, "Component.Variable" -> text. `host`: the
    name by which it finds its CSMS."""

    board: str = "sim"
    identity: str | None = None
    password: str | None = None
    evses: int | None = None
    vendor: str | None = None
    model: str | None = None
    serial: str | None = None
    settings: dict[str, str] = field(default_factory=dict)
    state: Path | None = None
    lane: int = 64
    heap: str | None = None
    host: str = "127.0.0.1"


class Station:
    """A station that connects to the CSMS at `url` through its own network. Use as `async with`, or start/stop."""

    def __init__(self, clock: SimClock, url: str, options: Options | None = None):
        self.clock = clock
        self.url = url
        self.options = options = options or Options()
        fault = url_fault(url)
        if fault:
            raise Trouble(
                f"cannot use the CSMS URL {url!r}: {fault}, as in ws://localhost:9000/ocpp"
            )
        build, command = _built(options)
        profile = Profile(build)
        self.traffic = Traffic(clock)
        self.network = Network(clock, url, self.traffic)
        self.name_server = NameServer(clock)
        self.name_server.hosts[options.host] = ["127.0.0.1"]
        self.hardware = Hardware(clock, len(profile.evses), profile.phases[0] or 3)
        for outlet, connectors in zip(self.hardware.outlets, profile.evses, strict=True):
            outlet.connectors = len(connectors)
        self._folder = _StateFolder(options.state)
        self._folder.load(self.hardware)
        self._given = _factory(build, options)
        self._make = lambda factory: Device(
            clock,
            self.hardware,
            profile,
            command,
            {"PYTHONUNBUFFERED": "1"},
            flash_file=self._folder.flash,
            factory=factory,
        )
        self._log_callbacks: list[Callable[[str], None]] = []
        self.heap_peak = 0
        self.device: Device = None
        self.watcher: Watcher = None

    async def __aenter__(self) -> "Station":
        await self.start()
        return self

    async def __aexit__(self, *_) -> None:
        await self.stop()

    async def start(self, *, power: bool = True) -> None:
        """Bring up the network and, unless told otherwise, the power."""
        try:
            await self.network.start(self._folder.port)
        except OSError as error:
            raise Trouble(
                f"port {self._folder.port}, where the station kept in {self.options.state} looks for its CSMS, is "
                "busy: stop what uses it, or choose another --state folder"
            ) from error
        self._folder.port = self.network.port
        await self.name_server.start()
        keys = names.constants("milliamp.storage.keys")
        factory = [(keys["CSMS_URL"], self.network.url(self.options.host)), *self._given]
        self.device = self._make(factory)
        self.device.name_server = self.name_server.address
        self.device.on_log += self._log_callbacks
        self.watcher = Watcher(self.clock, self.device)
        if power:
            await self.device.power_on()

    def attach_log(self, callback: Callable[[str], None]) -> None:
        """Have `callback` called with each line that the firmware prints, from the first on."""
        self._log_callbacks.append(callback)

    async def stop(self) -> None:
        if self.device is not None:
            await self.device.close()
        await self.network.stop()
        await self.name_server.stop()
        self._folder.save(self.hardware)

    async def wait(self, fact: str, timeout: float = 60.0, evse: int = 1) -> float:
        """Wait for a fact of hostsim.charger.facts, in simulated seconds; return how many it took."""
        return await self.watcher.wait(fact, timeout, evse)

    async def set_network(self, mode: str) -> None:
        """Change the network (hostsim.net.network.MODES)."""
        self.device.network(mode != "off")
        await self.network.set(mode)

    async def get(
        self,
        component: str,
        variable: str,
        instance: str | None = None,
        evse: int | None = None,
        connector: int | None = None,
    ) -> str:
        """The value of a variable, asked of the firmware behind OCPP's back. ValueError: there is none.

        Without EVSE: the station's, else that of EVSE 1, else that of its connector 1."""
        place = {"evse": evse, "connector": connector}
        answer = await self.device.ask(
            "get", component=component, variable=variable, instance=instance, **place
        )
        return answer["value"]

    async def set(
        self,
        component: str,
        variable: str,
        value: str,
        instance: str | None = None,
        evse: int | None = None,
        connector: int | None = None,
    ) -> str:
        """Write a variable as SetVariables would, and return the status it would give."""
        place = {"evse": evse, "connector": connector}
        answer = await self.device.ask(
            "set",
            component=component,
            variable=variable,
            value=str(value),
            instance=instance,
            **place,
        )
        if "reason" in answer:
            return f"{answer['status']} ({answer['reason']})"
        return answer["status"]

    async def heap(self) -> dict[str, int]:
        """Live bytes on the firmware's heap after a collection, free ones, the board's share, the peak so far."""
        heap = await self.device.ask("heap")
        self.heap_peak = max(self.heap_peak, heap["live"])
        return heap | {"peak": self.heap_peak}

    async def state(self) -> dict[str, Any]:
        """Everything there is to know, as the `state` command answers it."""
        self.hardware.advance()
        outlets = [
            {
                "evse": number,
                "connector": outlet.cable,
                "pilot": outlet.pilot,
                "contactor": outlet.closed,
                "offered": outlet.offered,
                "current": outlet.current,
                "power": outlet.power // 1000,
                "meter": outlet.wh,
                "locked": outlet.locked,
                "fault": outlet.fault,
                "lamp": names.name(names.STATUSES, outlet.lamp),
            }
            for number, outlet in enumerate(self.hardware.outlets, 1)
        ]
        device, traffic = self.device, self.traffic
        report: dict[str, Any] = {
            "power": "on" if device.powered else "off",
            "boots": device.boots,
            "crashes": len(device.crashes),
            "time": self.clock.text(),
            "network": self.network.mode,
            "hardware": outlets,
            "hazards": list(self.hardware.hazards),
            "frames": {
                "count": traffic.frame_count,
                "faults": list(traffic.faults),
                "notes": list(traffic.notes),
                "largest_frame": dict(traffic.largest_frame),
                "largest_message": dict(traffic.largest_message),
            },
            "flash": device.flash_counts(),
        }
        firmware = await self.watcher.snapshot()
        if firmware is not None:
            report |= {
                "connection": firmware.pop("link"),
                "transactions": _transactions(firmware),
            } | firmware
            with contextlib.suppress(ConnectionError):
                report["heap"] = await self.heap()
        return report


def _transactions(state: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        evse["transaction"] | {"evse": evse["evse"]}
        for evse in state["evses"]
        if evse["transaction"]
    ]


def _built(options: Options) -> tuple[Path, list[str]]:
    """The build folder of the board and the command that runs it."""
    try:
        from hostsim.charger import lane32
        from tools import BOARDS, BuildError, builder
    except ImportError as error:
        raise Trouble(f"{error}: run this through `make`, which sets up what it needs") from error
    variant = {name: getattr(options, name) for name in ("evses", "vendor", "model", "serial")}
    try:
        folder = builder.build(options.board, **variant)
        place = Path(options.board) if "/" in options.board else BOARDS / options.board
        if not (place / "probe.py").is_file():
            raise Trouble(
                f"the board {options.board!r} is real hardware: only boards like sim run here"
            )
        command = lane32.command(options.lane, folder, options.heap)
    except BuildError as error:
        raise Trouble(str(error)) from error
    except (ImportError, FileNotFoundError) as error:
        raise Trouble(f"{error}: run this through `make`, which sets up what it needs") from error
    if command is None:
        raise Trouble(f"there is no {options.lane}-bit MicroPython here; lane 64 is always there")
    return folder, command


def _factory(build: Path, options: Options) -> list[tuple[int, Any]]:
    """What a station knows when it leaves the factory, as (settings key, value)."""
    from tools.builder.tables.device_model import factory

    keys = names.constants("milliamp.storage.keys")
    pairs: list[tuple[int, Any]] = []
    if options.identity is not None:
        if not 0 < len(options.identity) <= 48 or not _is_plain(
            options.identity.replace(":", " ")
        ):
            raise Trouble(
                f"the identity {options.identity!r} must have 1 to 48 ASCII characters, no colon, no space"
            )
        pairs.append((keys["IDENTITY"], options.identity))
    if options.password is not None:
        least, most = _PASSWORD_LENGTH
        if not least <= len(options.password) <= most:
            raise Trouble(f"the password must have {least} to {most} characters, as OCPP has it")
        if not _is_plain(options.password):
            raise Trouble("the password must be of ASCII characters without a space")
        pairs.append((keys["PASSWORD"], options.password))
    description = json.loads((build / "model.json").read_text())
    for name, text in options.settings.items():
        try:
            pairs += factory(description, name, text)
        except ValueError as error:
            text = str(error).removeprefix(f"{name}: ")
            raise Trouble(f"--set {name}: {text}") from error
    return pairs


def _is_plain(text: str) -> bool:
    """Only what a password or identity may hold in the device model."""
    return all("!" <= character <= "~" for character in text)


class _StateFolder:
    """What a station keeps between runs: its flash, and what its hardware cannot forget (meter registers)."""

    def __init__(self, folder: Path | None):
        self.port = 0
        self.flash: Path | None = None
        self._file: Path | None = None
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise Trouble(
                f"cannot use the state folder {folder} ({error.strerror}): choose another"
            ) from error
        self.flash = folder / "flash.bin"
        self._file = folder / "hardware.json"

    def load(self, hardware: Hardware) -> None:
        if self._file is None or not self._file.exists():
            return
        try:
            kept = json.loads(self._file.read_text())
            self.port = int(kept["port"])
            if not 0 <= self.port < 1 << 16:
                raise ValueError(f"there is no port {self.port}")
            for number, wh in enumerate(kept["meters"][: len(hardware.outlets)], 1):
                hardware.set_meter(number, int(wh))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Trouble(
                f"cannot read {self._file} ({error}): remove the folder or choose another"
            ) from error

    def save(self, hardware: Hardware) -> None:
        if self._file is not None:
            kept = {"port": self.port, "meters": [outlet.wh for outlet in hardware.outlets]}
            part = self._file.with_suffix(".part")
            part.write_text(json.dumps(kept))
            os.replace(part, self._file)
