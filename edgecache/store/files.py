"""The file operations of the store: all of them, so that there is one place to count them and to translate errors."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgecache.model.errors import StoreBusy, StoreCorrupt, StoreError, StoreFull

_LIBC = ctypes.CDLL(None, use_errno=True)
_FULL = {errno.ENOSPC, errno.EDQUOT}
_BUSY = {errno.EWOULDBLOCK, errno.EACCES}

_TMPFS, _RAMFS = 0x01021994, 0x858458F6
"""File system types (linux/magic.h)."""

_SWAPS = Path("/proc/swaps")

_STATFS_BYTES = 512
"""struct statfs has at most 120 bytes."""


def store_error(what: str, error: OSError) -> StoreError:
    """What the failure of an operation means to the user of a store."""
    reason = f"{what}: {error.strerror or error}"
    if error.errno in _FULL:
        return StoreFull(reason, hint="free some space on that disk; the store goes on by itself")
    if error.errno == errno.ENOENT:
        return StoreCorrupt(reason, hint="something other than edgecache removed it; leave its directory alone")
    if error.errno == errno.EROFS:
        return StoreError(reason, hint="the disk is read-only; Linux does that to a failing one: see `dmesg`")
    if error.errno in (errno.EACCES, errno.EPERM):
        return StoreError(reason, hint="the data directory must belong to the user that runs edgecache")
    return StoreError(reason, hint="see `dmesg` for what the disk says")


def is_unreadable(error: StoreError) -> bool:
    """Whether a disk said that it cannot give back what was written."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno == errno.EIO


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise store_error(what, error) from error


def _sync_file_system(descriptor: int) -> None:
    """syncfs(2), which Python does not have."""
    if _LIBC.syncfs(descriptor):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _has_no_disk(descriptor: int) -> bool:
    """Whether what is in this file can never be on a disk, by statfs(2), which Python does not have."""
    buffer = (ctypes.c_byte * _STATFS_BYTES)()
    if _LIBC.fstatfs(descriptor, ctypes.byref(buffer)):
        return False
    kind = ctypes.c_ulong.from_buffer(buffer).value  # a word, and the first field everywhere
    return kind == _RAMFS or (kind == _TMPFS and not _swapping())


def _swapping() -> bool:
    """Whether pages of memory may be written to a disk; True when nobody can tell."""
    try:
        return len(_SWAPS.read_text(encoding="ascii", errors="replace").splitlines()) > 1
    except OSError:
        return True


class _Scratch(threading.local):
    """Space to read into, one for each thread: made anew each time, its pages would be faulted in anew."""

    def __init__(self) -> None:
        self._space = bytearray()

    def of(self, size: int) -> memoryview:
        """So many bytes, whatever is in them."""
        if len(self._space) < size:
            self._space = bytearray(size)
        return memoryview(self._space)[:size]


class Files:
    """File operations below one directory. Every OSError leaves as a StoreError; bytes and syncs are counted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.written = 0
        self.fsyncs = 0
        self._counting = threading.Lock()
        self._scratch = _Scratch()
        self._lock: int | None = None
        self._cached_flags = os.RWF_NOWAIT
        """For reads that may not wait. tmpfs and ramfs do not know the flag, and never wait."""

    def count(self, *, written: int = 0, fsyncs: int = 0) -> None:
        """Add to the totals; the index reports here what SQLite does."""
        with self._counting:
            self.written += written
            self.fsyncs += fsyncs

    # ---- the directory

    def make(self, directory: Path) -> None:
        """Create a directory, durably, if it is not there; only its owner may look into it."""
        with _translated(f"creating {directory}"):
            if not directory.is_dir():
                directory.mkdir(mode=0o700, parents=True)
                self.sync_directory(directory.parent)

    def lock(self, path: Path) -> None:
        """Own the directory until `unlock` or the end of the process; StoreBusy names the process that does."""
        with _translated(f"locking {path}"):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            if error.errno in _BUSY:
                raise StoreBusy(
                    f"{path.parent} is in use by process {owner}",
                    hint="stop that agent first, or give this one its own data directory",
                ) from error
            raise store_error(f"locking {path}", error) from error
        self._lock = descriptor
        if _has_no_disk(descriptor):
            self._cached_flags = 0
        with suppress(OSError):  # only for people; a full disk is no reason not to start
            os.ftruncate(descriptor, os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0))

    def unlock(self) -> None:
        """Give the directory up."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def free(self) -> int:
        """Bytes that an ordinary user may still write to this file system."""
        with _translated(f"asking for the free space of {self.root}"):
            found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize

    def sizes(self, directory: Path) -> dict[str, int]:
        """Name and size of each plain file of a directory."""
        with _translated(f"listing {directory}"), os.scandir(directory) as entries:
            return {entry.name: entry.stat().st_size for entry in entries if entry.is_file(follow_symlinks=False)}

    def size(self, path: Path) -> int:
        """Size of a file; 0 when it does not exist."""
        with _translated(f"asking for the size of {path}"):
            try:
                return path.stat().st_size
            except FileNotFoundError:
                return 0

    def rename(self, old: Path, new: Path) -> None:
        """Replace `new` by `old`; durable after `sync_directory`."""
        with _translated(f"renaming {old}"):
            old.replace(new)

    def unlink(self, path: Path) -> None:
        """Remove a file if it is there."""
        with _translated(f"removing {path}"):
            path.unlink(missing_ok=True)

    def sync_directory(self, directory: Path) -> None:
        """Make names that were added to or removed from a directory durable."""
        with _translated(f"syncing {directory}"):
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        self.count(fsyncs=1)

    @contextmanager
    def one_sync(self) -> Iterator[None]:
        """Everything that is written below the root meanwhile, bytes and names, is durable after this, by one sync of
        the file system. What its disk could not write since the beginning is a StoreError (Linux 5.8)."""
        with _translated(f"opening {self.root}"):
            descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield
            with _translated(f"syncing the file system of {self.root}"):
                _sync_file_system(descriptor)
            self.count(fsyncs=1)
        finally:
            os.close(descriptor)

    # ---- one file

    def create(self, path: Path) -> int:
        """A descriptor of a new, empty file."""
        with _translated(f"creating {path}"):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def open(self, path: Path, *, write: bool) -> int:
        """A descriptor; opening to write creates what is not there."""
        flags = os.O_RDWR | os.O_CREAT if write else os.O_RDONLY
        with _translated(f"opening {path}"):
            return os.open(path, flags | os.O_CLOEXEC, 0o600)

    def close(self, descriptor: int) -> None:
        """Close a descriptor; what was written is not synced by this."""
        with suppress(OSError):
            os.close(descriptor)

    def write_at(self, descriptor: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        """Write all of `data`."""
        left = memoryview(data).cast("B")
        with _translated("writing"):
            while left:
                done = os.pwrite(descriptor, left, offset)
                self.count(written=done)
                left, offset = left[done:], offset + done

    def read_at(self, descriptor: int, size: int, offset: int) -> bytes:
        """`size` bytes, or fewer at the end of the file."""
        return bytes(self.glance_at(descriptor, size, offset))

    def glance_at(self, descriptor: int, size: int, offset: int) -> memoryview:
        """As `read_at`, but only until this thread reads again: no memory is taken for it."""
        space = self._scratch.of(size)
        filled = 0
        with _translated("reading"):
            while filled < size and (got := os.preadv(descriptor, [space[filled:]], offset + filled)):
                filled += got
        return space[:filled]

    def cached_at(self, descriptor: int, size: int, offset: int) -> bytes | None:
        """These bytes if memory has all of them; None when the disk would have to be asked, or nobody can tell."""
        space = self._scratch.of(size)
        try:
            got = os.preadv(descriptor, [space], offset, self._cached_flags)
        except OSError:
            return None
        return bytes(space) if got == size else None

    def sync(self, descriptor: int) -> None:
        """Make the bytes and the size of a file durable."""
        with _translated("syncing"):
            os.fdatasync(descriptor)
        self.count(fsyncs=1)

    def data_ranges(self, descriptor: int) -> list[tuple[int, int]]:
        """The parts of a file, as (first, end), that were ever written; all of it where the file system cannot say."""
        found: list[tuple[int, int]] = []
        with _translated("looking for holes"):
            end = os.fstat(descriptor).st_size
            at = 0
            while at < end:
                try:
                    first = os.lseek(descriptor, at, os.SEEK_DATA)
                    at = os.lseek(descriptor, first, os.SEEK_HOLE)
                except OSError as error:
                    if error.errno == errno.ENXIO:
                        break
                    if error.errno == errno.EINVAL:
                        return [(0, end)]
                    raise
                found.append((first, at))
        return found


class _Open:
    __slots__ = ("descriptor", "stale", "users")

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.users = 0
        self.stale = False


class OpenFiles:
    """Descriptors kept open between uses: at most `limit` idle ones, the least recently used goes."""

    def __init__(self, files: Files, limit: int) -> None:
        self._files = files
        self._limit = limit
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[Path, bool], _Open] = OrderedDict()

    @contextmanager
    def use(self, path: Path, *, write: bool = False) -> Iterator[int]:
        """A descriptor that nobody closes while it is in use."""
        with self._lock:
            entry = self._open.get((path, write))
            if entry is None:
                entry = self._open[(path, write)] = _Open(self._files.open(path, write=write))
            self._open.move_to_end((path, write))
            entry.users += 1
        try:
            yield entry.descriptor
        finally:
            with self._lock:
                entry.users -= 1
                last = entry.stale and not entry.users
                self._shrink(self._limit)
            if last:
                self._files.close(entry.descriptor)

    def drop(self, path: Path) -> None:
        """Forget the descriptors of a file that is removed or replaced; who uses one goes on.

        Closed without the lock: the last close of a removed file gives back its blocks, which takes its time.
        """
        unused = []
        with self._lock:
            for write in (False, True):
                entry = self._open.pop((path, write), None)
                if entry is not None:
                    entry.stale = True
                    if not entry.users:
                        unused.append(entry.descriptor)
        for descriptor in unused:
            self._files.close(descriptor)

    def close(self) -> None:
        """Close all that nobody uses."""
        with self._lock:
            self._shrink(0)

    def _shrink(self, limit: int) -> None:
        if len(self._open) <= limit:
            return
        for key in [key for key, entry in self._open.items() if not entry.users][: len(self._open) - limit]:
            self._files.close(self._open.pop(key).descriptor)
