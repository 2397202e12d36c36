"""A disk on paper: recorded operations in, the directories that a crash could leave behind out.

What POSIX promises and no more. Bytes of a file are on the disk once that file was synced, a name once its directory
was. Until then each operation may be on the disk or not, whatever came before or after it; a write may be there in
part, or as garbage. A rename within one directory is one operation, between two directories it is two.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512

_HEAD = struct.Struct("<cQQQQ")


@dataclass(frozen=True, slots=True)
class Operation:
    """One record of recorder.c; `file` is unique within its run."""

    run: int
    kind: str
    file: int
    offset: int
    paths: tuple[str, ...]
    data: bytes


def operations(logs: list[Path], root: Path) -> Iterator[Operation]:
    """The records of consecutive runs; paths become relative to `root`."""
    for run, log in enumerate(logs):
        raw, at = log.read_bytes(), 0
        while at < len(raw):
            kind, file, offset, text_size, size = _HEAD.unpack_from(raw, at)
            at += _HEAD.size
            text, data = raw[at : at + text_size], raw[at + text_size : at + text_size + size]
            at += text_size + size
            paths = tuple(str(Path(one).relative_to(root)) for one in text.decode().split("\0") if one)
            yield Operation(run, kind.decode(), file, offset, paths, data)


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes at an offset; `data` None cuts the file there."""

    offset: int
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Naming:
    """A name of a directory begins to mean an inode, or None nothing."""

    name: str
    inode: int | None


@dataclass(slots=True)
class Inode:
    """A file."""

    synced: bytearray = field(default_factory=bytearray)
    pending: list[Write] = field(default_factory=list)

    def sync(self) -> None:
        """Its bytes are on the disk."""
        for write in self.pending:
            write_to(self.synced, write)
        self.pending.clear()


@dataclass(slots=True)
class Directory:
    """A directory: names that are sure, and changes that are not."""

    synced: dict[str, int] = field(default_factory=dict)
    pending: list[Naming | tuple[Naming, Naming]] = field(default_factory=list)

    def sync(self) -> None:
        """Its names are on the disk."""
        self.synced = _named(self, self.pending)
        self.pending = []


def write_to(content: bytearray, write: Write) -> None:
    """Apply one write."""
    if write.data is None:
        del content[write.offset :]
        content.extend(bytes(write.offset - len(content)))
        return
    content.extend(bytes(max(0, write.offset - len(content))))
    content[write.offset : write.offset + len(write.data)] = write.data


class PaperDisk:
    """What is synced and what is not, after the operations applied so far. Directories themselves are sure."""

    def __init__(self) -> None:
        self.inodes: list[Inode] = []
        self.directories: dict[str, Directory] = {".": Directory()}
        self._live: dict[str, int] = {}
        self._numbers: dict[tuple[int, int], int] = {}

    def apply(self, operation: Operation) -> None:
        """One more operation has happened."""
        key = (operation.run, operation.file)
        match operation.kind:
            case "C":
                self._numbers[key] = len(self.inodes)
                self.inodes.append(Inode())
                self._name(operation.paths[0], self._numbers[key])
            case "E":
                self._numbers[key] = self._live[operation.paths[0]]
            case "W":
                self._inode(key).pending.append(Write(operation.offset, operation.data))
            case "T":
                self._inode(key).pending.append(Write(operation.offset, None))
            case "S":
                self._inode(key).sync()
            case "D":
                self.directories[operation.paths[0]].sync()
            case "F":
                for inode in self.inodes:
                    inode.sync()
                for directory in self.directories.values():
                    directory.sync()
            case "M":
                self.directories[operation.paths[0]] = Directory()
            case "U":
                self._name(operation.paths[0], None)
            case "R":
                self._rename(*operation.paths)
            case kind:
                raise ValueError(f"unknown kind of operation {kind!r}")

    def _inode(self, key: tuple[int, int]) -> Inode:
        return self.inodes[self._numbers[key]]

    def _name(self, path: str, inode: int | None) -> None:
        self.directories[str(Path(path).parent)].pending.append(self._set(path, inode))

    def _set(self, path: str, inode: int | None) -> Naming:
        if inode is None:
            self._live.pop(path, None)
        else:
            self._live[path] = inode
        return Naming(Path(path).name, inode)

    def _rename(self, old: str, new: str) -> None:
        added, gone = self._set(new, self._live[old]), self._set(old, None)
        before, after = str(Path(old).parent), str(Path(new).parent)
        if before == after:
            self.directories[before].pending.append((gone, added))
        else:
            self.directories[before].pending.append(gone)
            self.directories[after].pending.append(added)

    def files(self, fate: Fate) -> dict[str, bytes]:
        """Path and content of each file after a crash with that fate of what is not synced."""
        found: dict[str, bytes] = {}
        contents: dict[int, bytes] = {}
        for path, directory in self.directories.items():
            chosen = [naming for naming in directory.pending if fate.naming()]
            for name, number in _named(directory, chosen).items():
                if number not in contents:
                    contents[number] = self._content(self.inodes[number], fate)
                found[str(Path(path) / name)] = contents[number]
        return found

    def _content(self, inode: Inode, fate: Fate) -> bytes:
        content = bytearray(inode.synced)
        for write in inode.pending:
            for survivor in fate.write(write):
                write_to(content, survivor)
        return bytes(content)


def _named(directory: Directory, changes: list[Naming | tuple[Naming, Naming]]) -> dict[str, int]:
    names = dict(directory.synced)
    for change in changes:
        for naming in change if isinstance(change, tuple) else (change,):
            if naming.inode is None:
                names.pop(naming.name, None)
            else:
                names[naming.name] = naming.inode
    return names


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of operations that were not synced: of each naming, and of each write."""

    naming: Callable[[], bool]
    write: Callable[[Write], list[Write]]


def _whole(write: Write) -> list[Write]:
    return [write]


def _lost(write: Write) -> list[Write]:
    return []


def _yes() -> bool:
    return True


def _no() -> bool:
    return False


KILLED = Fate(_yes, _whole)
"""The process ends and the kernel goes on: nothing is lost."""


def power_cuts(random_source: random.Random) -> dict[str, Fate]:
    """Ways in which the power can go."""

    def some() -> bool:
        return random_source.random() < 0.5

    def some_whole(write: Write) -> list[Write]:
        return [write] if some() else []

    def torn(write: Write) -> list[Write]:
        if write.data is None or len(write.data) <= SECTOR:
            return some_whole(write)
        sectors = range(0, len(write.data), SECTOR)
        first, end = sorted(random_source.choice(sectors) for _ in range(2))
        return [Write(write.offset + first, write.data[first : end + SECTOR])]

    def garbage(write: Write) -> list[Write]:
        if write.data is None or some():
            return [write]
        at = random_source.randrange(len(write.data))
        spoilt = random_source.randbytes(min(SECTOR, len(write.data) - at))
        return [Write(write.offset, write.data[:at] + spoilt + write.data[at + len(spoilt) :])]

    return {
        "all lost": Fate(_no, _lost),
        "names only": Fate(_yes, _lost),
        "bytes only": Fate(_no, _whole),
        "some of each": Fate(some, some_whole),
        "torn": Fate(some, torn),
        "garbage": Fate(_yes, garbage),
    }
