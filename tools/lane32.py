"""The two MicroPython lanes: which binary runs the firmware on this machine.

`python -m tools.lane32` gets the 32-bit one. It allocates byte for byte what a microcontroller does, so memory is
gated there. Debian packages it for i386; without root, its packages are unpacked under `build/lane32`, and nothing
of the machine changes. Any `micropython` on the path that is a 32-bit x86 program is taken first.
"""

import contextlib
import fcntl
import functools
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from tools import BUILD, ROOT

FOLDER = BUILD / "lane32"
BOOT = ROOT / "tools" / "boot.py"
SUITE = "trixie"
PACKAGES = "micropython libffi8 libmbedtls21 libmbedcrypto16 libmbedx509-7 libc6 libgcc-s1".split()
_HINT = "install it yourself where you can (Debian, Ubuntu: apt install micropython:i386)"


def lane64() -> list:
    """The command of the pinned 64-bit MicroPython in the local environment. FileNotFoundError when there is none."""
    for place in (Path(sys.executable).parent, ROOT / ".venv" / "bin"):
        if (place / "micropython").is_file():
            return [str(place / "micropython")]
    raise FileNotFoundError("no micropython in the local environment: run `make setup`")


@functools.cache
def lane32(fetch: bool = True) -> "list | None":
    """The command of a 32-bit MicroPython, fetched when needed; None, said why on stderr, when there is none."""
    system = shutil.which("micropython")
    if system and _is_32_bit(Path(system)):
        return [system]
    if command := _unpacked():
        return command
    if not fetch:
        return None
    FOLDER.mkdir(parents=True, exist_ok=True)
    with _lock(FOLDER / ".lock"):
        if command := _unpacked():  # another process was faster
            return command
        try:
            _fetch()
        except _Impossible as reason:
            _say(f"not available: {reason}")
            return None
    command = _unpacked()
    if command is None:
        _say("not available: the unpacked micropython does not start here; " + _HINT)
    return command


def command(lane: int, folder: Path, heap: "str | None" = None) -> "list | None":
    """What starts the firmware built in `folder` (see `tools.build`) on lane 64 or 32; None: no such lane here.

    `heap` is a size as MicroPython's -X heapsize takes it, like "64k". Arguments to the firmware may follow.
    """
    start = lane64() if lane == 64 else lane32()
    if start is None:
        return None
    limit = ["-X", f"heapsize={heap}"] if heap else []
    return [*start, *limit, str(BOOT), str(folder)]


class _Impossible(Exception):
    """Why there is no 32-bit lane."""


def _say(text: str) -> None:
    print(f"lane 32: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _lock(file: Path):
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _is_32_bit(file: Path) -> bool:
    """An ELF program for 32-bit x86?"""
    with file.open("rb") as program:
        head = program.read(20)
    return head[:5] == b"\x7fELF\x01" and head[18:20] == b"\x03\x00"


def _unpacked() -> "list | None":
    """The command of the unpacked packages, when they are there and start."""
    root = FOLDER / "root"
    loader = next(iter(sorted(root.rglob("ld-linux.so.2"))), None) if root.is_dir() else None
    program = root / "usr" / "bin" / "micropython"
    if loader is None or not program.is_file():
        return None
    libraries = [
        root / "usr/lib/i386-linux-gnu",
        root / "lib/i386-linux-gnu",
        root / "usr/lib",
        root / "lib",
    ]
    path = ":".join(str(folder) for folder in libraries if folder.is_dir())
    command = [str(loader), "--library-path", path, str(program)]
    check = "import sys; print(sys.maxsize)"
    with contextlib.suppress(OSError):
        run = subprocess.run([*command, "-c", check], capture_output=True, text=True)
        if run.stdout.strip() == str(2**31 - 1):
            return command
    return None


def _fetch() -> None:
    """Download and unpack the packages. _Impossible says why not."""
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "i686", "i386"):
        raise _Impossible("it needs Linux on x86")
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise _Impossible(f"there is no {tool}; {_HINT}")
    parts, lists, cache = FOLDER / "sources", FOLDER / "lists", FOLDER / "cache"
    for folder in (parts, lists / "partial", cache / "archives" / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
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
    _say(f"reading Debian {SUITE}'s package lists (once)")
    _run([*apt, "update"])
    _say(f"downloading {len(PACKAGES)} packages")
    packages = FOLDER / "packages"
    shutil.rmtree(packages, ignore_errors=True)
    packages.mkdir()
    _run([*apt, "download", *PACKAGES], cwd=packages)
    _say("unpacking")
    root = FOLDER / "root"
    shutil.rmtree(root, ignore_errors=True)
    part = FOLDER / "root.part"
    shutil.rmtree(part, ignore_errors=True)
    for package in sorted(packages.glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(part)])
    part.rename(root)
    for folder in (packages, lists, cache):
        shutil.rmtree(folder, ignore_errors=True)
    _say(f"ready in {FOLDER.relative_to(ROOT)}")


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
    raise _Impossible(f"this machine has no Debian package source; {_HINT}")


def _run(command: list, cwd=None) -> None:
    run = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if run.returncode:
        lines = (run.stderr or run.stdout).strip().splitlines()
        raise _Impossible(
            f"{command[0]} failed: {lines[-1] if lines else run.returncode}; {_HINT}"
        )


def main() -> int:
    """Get the 32-bit lane and say how it is started."""
    found = lane32()
    if found is None:
        return 1
    print(" ".join(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
