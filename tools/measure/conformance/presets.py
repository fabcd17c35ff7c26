"""The products that the scripts are run for: which features each declares, and the station that has just those.

A feature is what the certification profiles call C-09.1, AQ-2, HFS-8, AS-2...: here C09_1, AQ2, HFS8, AS2, true or
false (HFS8: how many EVSEs). A product is the `sim` board with some of its profile changed, as a hardware team would
change it: what a product does not have is hard-coded and read-only in its device model.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tools import BOARDS, BUILD
from tools.builder import profile
from tools.builder.tables import device_model
from tools.measure.trim import put, toml

PASSWORD = "milliamp-0123456789"  # security profile 1, until the station can do 2
SOCKET, TETHERED = "sType2", "cType2"


@dataclass(frozen=True)
class Preset:
    """A product. `evses`: the connector types of each EVSE. `variables`: hard-coded, unless (value, True)."""

    name: str
    title: str
    features: dict[str, Any]
    evses: tuple[tuple[str, ...], ...]
    variables: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)  # factory values of what stays writable

    def has(self, when: str | None) -> bool:
        """Whether the product has the features of a catalogue expression. NameError for an unknown one."""
        return when is None or bool(eval(when, {"__builtins__": {}}, self.features))

    def rig(self) -> dict[str, Any]:
        """The options of `hostsim.lives.harness.rig` that make this product."""
        return {
            "board": str(board(self.name)),
            "password": PASSWORD,
            "identity": f"MA-{self.name}",
            "settings": dict(self.settings),
        }


# What every product of this firmware says of itself.
_ALWAYS = {
    "C06_2": True,  # StopTxOnEVSideDisconnect true
    "C12_2": True,  # the plug may stay locked when the EV is gone
    "C29_1": True,  # TriggerMessage: MeterValues
    "C29_2": True,  # TransactionEvent
    "C29_3": True,  # LogStatusNotification
    "C29_4": True,  # FirmwareStatusNotification
    "C29_5": True,  # StatusNotification
    "C29_6": True,  # BootNotification
    "C36": True,  # remote start with ISO14443
    "C38": True,  # and with Central
    "C40": True,  # measurands
    "C47": True,  # fallback along NetworkConfigurationPriority
    "C48_1": True,  # AuthorizeRemoteStart true
    "C48_2": True,  # and false
    "C57": True,  # a second GetLog takes the place of the first
    "AQ9": True,  # IEC 61851-1 mode 3
    "HFS3": True,  # AC
    "HFS7": True,  # 3 phases
}
# Every other feature that a script asks for.
_NEVER = """
    C01 C02 C03 C06_1 C07 C08 C09_1 C09_2 C09_3 C09_4 C09_5 C09_6 C10_1 C10_2 C10_3 C10_4 C10_5 C12_1 C13 C14 C20 C28
    C30 C31 C32 C33 C34 C35 C37 C39 C42 C43 C49 C51 C52 C53 C56 C58 C59 C60 AS2 AQ1 AQ2 AQ7 AQ8 AQ11 HFS1 HFS2 HFS4
    ISO3 ISO15118 LAL SMART_CHARGING MODE12
""".split()


def _features(evses, *names: str) -> dict[str, Any]:
    sockets = any(kind == SOCKET for kinds in evses for kind in kinds)
    tethered = any(kind == TETHERED for kinds in evses for kind in kinds)
    features = dict.fromkeys(_NEVER, False) | _ALWAYS | dict.fromkeys(names, True)
    return features | {"HFS1": sockets, "HFS2": tethered, "HFS8": len(evses)}


def _remote() -> Preset:
    evses = ((TETHERED,),)
    return Preset(
        "remote",
        "no reader, tethered cable, remote start only",
        _features(evses, "C09_4", "C10_1", "C10_2"),
        evses,
        {
            "TxCtrlr.TxStartPoint": "PowerPathClosed",
            "TxCtrlr.TxStopPoint": "EVConnected,Authorized",
            "TxCtrlr.StopTxOnEVSideDisconnect": True,
            "TxCtrlr.MaxEnergyOnInvalidId": 0,
            "AuthCtrlr.OfflineTxForUnknownIdEnabled": False,
            "AuthCtrlr.DisableRemoteAuthorization": False,
            "AuthCtrlr.MasterPassGroupId": "",
            "AlignedDataCtrlr.SendDuringIdle": False,
        },
    )


def _rfid() -> Preset:
    evses = ((TETHERED,),)
    return Preset(
        "rfid",
        "RFID reader, tethered cable, no authorization cache",
        _features(evses, "C06_1", "C09_4", "C10_1", "C10_2", "C28", "C30", "C58"),
        evses,
        {
            "TxCtrlr.TxStartPoint": "PowerPathClosed",
            "TxCtrlr.TxStopPoint": "EVConnected,Authorized",
            "TxCtrlr.MaxEnergyOnInvalidId": 0,
            "AuthCtrlr.OfflineTxForUnknownIdEnabled": False,
            "AuthCtrlr.MasterPassGroupId": "",
        },
    )


def _everything() -> Preset:
    evses = ((SOCKET, TETHERED), (SOCKET,))
    return Preset(
        "everything",
        "RFID, cache, offline unknown ids, sockets with a lock, 2 EVSEs, configurable start and stop points",
        _features(
            evses,
            *("C01", "C02", "C03", "C06_1", "C08", "C12_1", "C13", "C28", "C30", "C31"),
            *("C09_1", "C09_2", "C09_4", "C09_5", "C09_6", "C51"),
            *("C10_1", "C10_2", "C10_3", "C10_4", "C10_5", "C52"),
            *("C49", "C53", "C58", "C59", "C60", "AS2", "AQ7", "C20"),
        ),
        evses,
        {"EVSE.AllowReset": True},
    )


PRESETS = {preset.name: preset for preset in (_remote(), _rfid(), _everything())}
WIDEST_FIRST = ("everything", "rfid", "remote")


@cache
def board(name: str) -> Path:
    """The board's folder of a product: the `sim` board with the product's profile."""
    preset = PRESETS[name]
    folder = BUILD / "products" / f"sim-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    for file in (BOARDS / "sim").glob("*.py"):
        put(folder / file.name, file.read_bytes())
    put(folder / "profile.toml", _profile(preset).encode())
    return folder


def _profile(preset: Preset) -> str:
    raw, _ = profile.load_toml(BOARDS / "sim" / "profile.toml")
    one = raw["evse"][0]
    raw["evse"] = [one | {"connectors": list(kinds)} for kinds in preset.evses]
    raw["station"]["model"] = f"Sim {preset.name}"
    if not preset.has("C49"):
        del raw["cache"]
    known = {variable.path for variable in device_model.load()}
    chosen = raw.setdefault("variables", {})
    for path, value in preset.variables.items():
        if path in known:  # a product without a block has none of its variables either
            chosen[path] = {"value": value, "writable": False}
    return toml(raw)
