"""`tables/routes.py`: which function answers what, from the tables of the profile's blocks."""

import sys
from binascii import crc32

from tools import BuildError
from tools.builder import official, profile, versions
from tools.builder.profile.toml import like
from tools.builder.tables.blocks import read_block

_TRIGGER = "TriggerMessage"  # leads to the TRIGGERS of all blocks
MORE = "2"  # behind a block's name: the other module of what answers its calls


def read_blocks(chosen) -> list:
    """The tables of the profile's blocks, in the profile's order. A block that nothing leads to is left out."""
    blocks = [read_block(profile.BLOCK_FILES / f"{name}.py") for name in chosen.blocks]
    if not any(_TRIGGER in block.calls for block in blocks):
        for block in blocks:
            block.triggers.clear()
    return [b for b in blocks if b.resident or b.calls or b.live or b.triggers]


def routes_source(
    blocks: list,
    entries: list,
    variables: list = (),
    places: "dict | None" = None,
    parts: "dict | None" = None,
) -> str:
    """The source of `tables/routes.py`. Each table is one text in ROM: a row is a name, the number of a block in MODULES,
    a function. KNOWN has three bytes of the CRC of each other action that OCPP has.

    In an image, whose modules are `parts`: {block: {function: (block, or nothing for the core; its name)}}.
    """
    calls, triggers, live, errors, seen = [], [], [], [], {}
    actions, told = sorted(versions.load().asked), versions.load().told
    triggerable = official.field(f"{_TRIGGER}.requestedMessage")["enum"]
    modules = [b.name for b in blocks]
    if parts is not None:
        modules = [name + more for name in modules for more in ("", MORE)]
        modules = [name for name in modules if f"milliamp/blocks/{name}.py" in parts]
    absent = {variable.path for variable in variables if variable.data.get("live")}  # or here
    ids = {
        entry.variable.path: entry.variable.data["id"]
        for entry in entries
        if entry.variable.data.get("live")
    }
    for block in blocks:
        known = (places or {}).get(block.name, {})

        def where(function, block=block, known=known):
            home, name = known.get(function, (block.name, function))
            return f"{modules.index(home) if home else ''} {name}"

        for what, table, lines in (
            ("CALLS", block.calls, calls),
            ("TRIGGERS", block.triggers, triggers),
        ):
            for name, (function, is_async) in table.items():
                if (what, name) in seen:
                    errors.append(
                        f"{block.where[name]}: {what}[{name!r}] is in {seen[what, name]} too"
                    )
                if what == "CALLS" and name not in actions:
                    text = f"{name!r} is no action that a CSMS calls{like(name, actions)}"
                    errors.append(f"{block.where[name]}: {text}")
                if what == "TRIGGERS" and name not in triggerable:
                    text = f"{_TRIGGER} does not know {name!r}{like(name, triggerable)}"
                    errors.append(f"{block.where[name]}: {text}")
                seen[what, name] = block.where[name]
                lines.append(f"{name} {where(function)}{'*' if is_async else ''}")
        for name in block.sends:
            if name not in told:
                text = f"{name!r} is no action that a station calls{like(name, told)}"
                errors.append(f"{block.where[name]}: {text}")
        for name, (function, _) in block.live.items():
            if name not in ids and name in absent:
                continue
            if name not in ids:
                errors.append(
                    f"{block.where[name]}: LIVE names {name!r}, no live variable of the device model"
                )
            else:
                live.append(f"{ids[name]} {where(function)}")
    if errors:
        raise BuildError("\n".join(errors))
    for name in sorted(set(ids) - {name for block in blocks for name in block.live}):
        print(f"build: no block gives the live variable {name}: it has no value", file=sys.stderr)

    resident = () if parts is not None else tuple(b.name for b in blocks if b.resident)
    others = b"".join(mark(name) for name in actions if ("CALLS", name) not in seen)

    def text(lines):
        return repr(("\n" + "".join(line + "\n" for line in lines)).encode())

    return (
        "# Generated from the tables of the blocks.\n"
        f"CALLS = {text(calls)}\n"
        f"TRIGGERS = {text(triggers)}\n"
        f"LIVE = {text(live)}\n"
        f"KNOWN = {others!r}\n"
        f"MODULES = {tuple(modules)!r}\n"
        f"RESIDENT = {resident!r}\n"
    )


def mark(action: str) -> bytes:
    """What KNOWN has of an action."""
    return crc32(action.encode()).to_bytes(4, "big")[1:]
