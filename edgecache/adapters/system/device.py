"""Which device this is: a salted hash, so that agents on one device are told from agents on several."""

from __future__ import annotations

import hashlib
from pathlib import Path

_SALT = b"edgecache"

HOST_ID_BYTES = 8

_MACHINE_ID = Path("/etc/machine-id")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def host_id(machine_id: Path = _MACHINE_ID, boot_id: Path = _BOOT_ID) -> bytes:
    """8 bytes that are the same for all agents of one device; of this boot where there is no machine id, else empty.

    Salted, as machine-id(5) asks: the machine id itself is confidential.
    """
    for path in (machine_id, boot_id):
        try:
            text = path.read_bytes()[:64].strip()
        except OSError:
            continue
        if len(text) >= 32 and text.replace(b"-", b"").isalnum():
            return hashlib.sha256(_SALT + b"\0" + text).digest()[:HOST_ID_BYTES]
    return b""
