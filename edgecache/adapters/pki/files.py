"""Where a node keeps its key and certificates, and how they are written: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgecache.model.errors import Denied, NotFound

PRIVATE = 0o600
PUBLIC = 0o644

PEM_BYTES_MAX = 16 * 1024
"""A key, a request or a bundle of two certificates has less than 3 KiB."""


@dataclass(frozen=True, slots=True)
class IdentityFiles:
    """The paths below one data directory."""

    data_dir: Path

    @property
    def node_key(self) -> Path:
        """The node's private key (PKCS #8 PEM, 0600); never leaves the device."""
        return self.data_dir / "node.key"

    @property
    def node_certificate(self) -> Path:
        """The node's certificate (PEM)."""
        return self.data_dir / "node.crt"

    @property
    def ca_certificate(self) -> Path:
        """The certificate of the mesh's CA (PEM): what this node trusts."""
        return self.data_dir / "ca.crt"

    @property
    def ca_key(self) -> Path:
        """The private key of the mesh's CA (0600); on one device only."""
        return self.data_dir / "mesh" / "ca.key"


def write_whole(path: Path, data: bytes, mode: int) -> None:
    """Replace a file atomically and durably; a crash leaves the old one or the new one. Makes the directory, 0700.

    What root writes belongs to whoever owns the directory, so that the agent's own user can read it.
    """
    if not path.parent.is_dir():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _hand_over(path.parent)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(descriptor, mode)
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)
        _hand_over(temporary)
        temporary.rename(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    _sync_directory(path.parent)


def _hand_over(path: Path) -> None:
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_pem(path: Path, what: str, *, private: bool = False, hint: str = "") -> bytes:
    """A bounded file; raises NotFound, and Denied when a private one can be read by others."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFound(f"{path}: there is no {what}", hint=hint) from error
    except OSError as error:
        raise Denied(f"{path}: cannot be read: {error.strerror}") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise Denied(f"{path}: not a regular file")
        if private and stat.S_IMODE(mode) & 0o077:
            hint = f"run: chmod 600 {path}; if others had access to this device, make a new key"
            raise Denied(f"{path}: others can read it (mode {stat.S_IMODE(mode):04o}, must be 0600)", hint=hint)
        data = os.read(descriptor, PEM_BYTES_MAX + 1)
    finally:
        os.close(descriptor)
    if len(data) > PEM_BYTES_MAX:
        raise Denied(f"{path}: too large to be a {what}")
    return data
