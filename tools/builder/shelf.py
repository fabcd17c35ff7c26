"""Images that were built, by the digest of what they were made of: to go back to an earlier state, or to one of another
clone's folder, costs a copy. A bounded number is kept."""

import os
import shutil
import tempfile
import time
from pathlib import Path

from tools import BUILD

PARTS = ("image", "names.json", "romfs.img")  # what is kept of a build folder
_SHELF = BUILD / "cache" / "images"
_MOST = 100
_FRESH = 3600  # seconds for which none is thrown away: another process may be reading it


def take(digest: str, out: Path) -> bool:
    """Put the image of these inputs into `out`; False when there is none."""
    kept = _SHELF / digest
    try:
        os.utime(kept)
        for part in PARTS:
            if (kept / part).is_dir():
                shutil.copytree(kept / part, out / part)
            else:
                _copy(kept / part, out / part)
    except FileNotFoundError:
        return False
    return True


def keep(digest: str, out: Path) -> None:
    """Keep the image that is in `out`, and no more than a bounded number of others."""
    _SHELF.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_SHELF, prefix=".") as folder:
        part = Path(folder) / digest
        part.mkdir()
        for name in PARTS:
            copy = shutil.copytree if (out / name).is_dir() else shutil.copyfile
            copy(out / name, part / name)
        try:
            part.rename(_SHELF / digest)
        except OSError:
            pass  # somebody was faster with the same
    bound(_SHELF, "[!.]*", _MOST)


def bound(folder: Path, pattern: str, most: int) -> None:
    """Leave, of the files or folders in there that fit, those that were used last."""
    found = []
    for place in folder.glob(pattern):
        try:
            found.append((place.stat().st_mtime, place))
        except FileNotFoundError:
            pass  # gone meanwhile
    for used, place in sorted(found, reverse=True)[most:]:
        if time.time() - used > _FRESH:
            if place.is_dir():
                shutil.rmtree(place, ignore_errors=True)
            else:
                place.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    """Readers of the target never see half a file."""
    part = target.with_suffix(target.suffix + ".part")
    shutil.copyfile(source, part)
    part.replace(target)
