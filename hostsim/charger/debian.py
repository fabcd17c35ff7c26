"""Programs of Debian that this machine may not have, unpacked into a folder of ours: no root, nothing of the machine
changes. The suite is pinned, so everybody runs the same."""

import contextlib
import fcntl
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

SUITE = "trixie"


class Impossible(Exception):
    """Why there is no such program here."""


def unpacked(folder: Path, packages: list, say: Callable, ready: Callable) -> None:
    """Have the i386 `packages` unpacked in `folder`/root, unless `ready()`. Impossible says why not."""
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder / ".lock"):
        if not ready():  # else another process was faster
            _fetch(folder, packages, say)


@contextlib.contextmanager
def _lock(file: Path):
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _fetch(folder: Path, packages: list, say: Callable) -> None:
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "i686", "i386"):
        raise Impossible("it needs Linux on x86")
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise Impossible(f"there is no {tool}")
    parts, lists, cache = folder / "sources", folder / "lists", folder / "cache"
    for place in (parts, lists / "partial", cache / "archives" / "partial"):
        place.mkdir(parents=True, exist_ok=True)
    (parts / "debian.sources").write_text(_source())
    options = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": parts,
        "Dir::State::Lists": lists,
        "Dir::Cache": cache,
        "APT::Architecture": "i386",
        "APT::Architectures": "i386",
        "APT::Sandbox::User": "",
    }
    apt = [
        "apt-get",
        "-q",
        *(part for key, value in options.items() for part in ("-o", f"{key}={value}")),
    ]
    say(f"reading Debian {SUITE}'s package lists (once)")
    _run([*apt, "update"])
    say(f"downloading {len(packages)} package{'s' * (len(packages) > 1)}")
    archives = folder / "packages"
    shutil.rmtree(archives, ignore_errors=True)
    archives.mkdir()
    _run([*apt, "download", *packages], cwd=archives)
    say("unpacking")
    root, part = folder / "root", folder / "root.part"
    shutil.rmtree(root, ignore_errors=True)
    shutil.rmtree(part, ignore_errors=True)
    for archive in sorted(archives.glob("*.deb")):
        _run(["dpkg", "-x", str(archive), str(part)])
    part.rename(root)
    for place in (archives, lists, cache):
        shutil.rmtree(place, ignore_errors=True)
    say(f"ready in {folder}")


def _source() -> str:
    """The machine's own Debian archive, but of the suite that we pin."""
    for file in sorted(Path("/etc/apt/sources.list.d").glob("debian.sources")):
        for stanza in file.read_text().split("\n\n"):
            fields = [line for line in stanza.splitlines() if line and not line.startswith("#")]
            if not any(line.startswith("URIs:") for line in fields):
                continue
            kept = [
                line
                for line in fields
                if not line.startswith(("Types:", "Suites:", "Components:", "Architectures:"))
            ]
            return "\n".join(["Types: deb", f"Suites: {SUITE}", "Components: main", *kept]) + "\n"
    listed = Path("/etc/apt/sources.list")
    for line in listed.read_text().splitlines() if listed.is_file() else ():
        words = line.split()
        if words[:1] == ["deb"] and "debian" in line and "security" not in line:
            options = line[line.index("[") : line.index("]") + 1] + " " if "[" in line else ""
            words = (line.replace(options.strip(), "") if options else line).split()
            signed = [
                item for item in options.strip("[] ").split() if item.startswith("signed-by=")
            ]
            extra = "".join(f"Signed-By: {item.split('=', 1)[1]}\n" for item in signed)
            return f"Types: deb\nURIs: {words[1]}\nSuites: {SUITE}\nComponents: main\n{extra}"
    raise Impossible("this machine has no Debian package source")


def _run(command: list, cwd=None) -> None:
    run = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if run.returncode:
        lines = (run.stderr or run.stdout).strip().splitlines()
        raise Impossible(f"{command[0]} failed: {lines[-1] if lines else run.returncode}")
