"""The generated package `tables` of a board, as source: host programs import it, and the image has it."""

import json
from pathlib import Path

from tools import FIRMWARE
from tools.builder import profile, versions
from tools.builder.tables import device_model, schemas, words
from tools.builder.tables.routes import read_blocks, routes_source


def write(chosen, out: Path, put) -> None:
    """Write the tables of a profile, and `model.json`, into a build folder. `put(file, text)` writes what has changed."""
    package = out / "tables"
    package.mkdir(exist_ok=True)
    versions.check()
    variables = device_model.load()
    entries = device_model.expand(variables, chosen)
    blocks = read_blocks(chosen)
    sources = {
        "__init__": "# Generated: the tables of this board.\n",
        "ids": device_model.ids_source(variables, entries),
        "model": f"MODEL = {device_model.pack(entries)!r}\n",
        "profile": _profile_source(chosen, entries),
        "routes": routes_source(blocks, entries, variables),
        **_schemas_sources(blocks),
        **words.sources(),
    }
    for name, text in sources.items():
        put(package / f"{name}.py", text)
    put(out / "model.json", json.dumps(device_model.describe(entries), indent=1))


def _schemas_sources(blocks: list) -> dict:
    """{module: source} of `tables/schemas.py`, the official schemas of what these blocks receive, compiled, and of
    `tables/forms.py`, which of its forms the firmware must know."""
    requests = sorted({action for block in blocks for action in block.calls})
    responses = sorted({action for block in blocks for action in block.sends})
    unread = tuple(path for block in blocks for path in block.unread)
    table, limits = schemas.pack({versions.CORE: (requests, responses)}, unread)
    forms = f"from micropython import const\n\nLIMITS = const({limits})\n"
    return {"schemas": f"SCHEMAS = {table!r}\n", "forms": forms}


def regions(chosen) -> dict:
    """The flash map, but for regions that nothing of this image opens: each takes RAM."""
    files = [
        file
        for file in FIRMWARE.rglob("*.py")
        if file.parent != profile.BLOCK_FILES or file.stem in chosen.blocks
    ]
    text = "".join([file.read_text(encoding="utf-8") for file in files])
    return {name: place for name, place in chosen.flash.items() if f'flash("{name}")' in text}


def _profile_source(chosen, entries: list) -> str:
    """The source of `tables/profile.py`: what the station and the board read at run time."""
    values = {
        "BOARD": chosen.board,
        "VENDOR": chosen.vendor,
        "MODEL": chosen.model,
        "SERIAL": chosen.serial,
        "VERSION": chosen.version,
        "URL": chosen.url,
        "IDENTITY": chosen.identity,
        "RECEIVE_BUFFER": chosen.receive,
        "TRANSMIT_BUFFER": chosen.transmit,
        "LOG_BUFFER": chosen.log,
        "CACHE": chosen.cache,  # tokens
        "VALUES": chosen.values,  # a message
        "EVSE_IN_EACH": chosen.evse_in_each,  # TransactionEvent
        "PERIODIC_CONTEXT": chosen.periodic_context,  # is it written out?
        "REPORT_ENTRIES": chosen.report or 999,  # a message, at most
        "CHARGE_UNRECORDED": chosen.unrecorded,  # where a transaction cannot be made durable
        "EVSES": tuple(tuple(evse.connectors) for evse in chosen.evses),
        "PHASES": tuple(evse.phases for evse in chosen.evses),
        "CURRENTS": tuple(evse.current for evse in chosen.evses),  # mA
        "BLOCKS": tuple(chosen.blocks),
        "NETWORKS": not device_model.is_one_network(entries),  # is there a choice of profiles?
        "FLASH_SECTOR": chosen.sector,
        "FLASH_UNIT": chosen.unit,
        "FLASH": regions(chosen),  # region: (offset, size)
        "FLASH_SIZE": chosen.flash_bytes,
        "NETWORK": chosen.network,
        "PINS": chosen.pins,
        "MODBUS": chosen.modbus,
    }
    lines = [f"# Generated from boards/{chosen.board}/profile.toml."]
    return "\n".join(lines + [f"{name} = {value!r}" for name, value in values.items()]) + "\n"
