"""What the demo shares: the user's file, or one built from files of this machine."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from pathlib import Path

WANTED_BYTES = 40 * 1024 * 1024
"""At 50 Mbit/s this crosses a link in 7 s: long enough to watch and to interrupt, short enough to wait for."""


def prepare(named: str | None, target: Path) -> tuple[Path, str]:
    """The file to share and where it comes from."""
    if named:
        return Path(named), f"your file {named}"
    places = [Path(sysconfig.get_paths()[key]) for key in ("stdlib", "purelib")]
    with target.open("wb") as stream:
        files = 0
        while stream.tell() < WANTED_BYTES:
            before = stream.tell()
            for path in _files(places):
                stream.write(path.read_bytes()[: WANTED_BYTES - stream.tell()])
                files += 1
                if stream.tell() >= WANTED_BYTES:
                    break
            if stream.tell() == before:
                raise OSError(f"no files to read in {places[0]}")
    return target, f"{files} files of this machine's Python, one after the other"


def _files(places: list[Path]) -> Iterator[Path]:
    for place in places:
        yield from sorted(path for path in place.rglob("*") if path.is_file() and not path.is_symlink())
