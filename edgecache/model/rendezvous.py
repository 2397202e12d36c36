"""Weighted rendezvous hashing: whoever knows the same nodes ranks them alike for a subject, without asking anybody.

A node joining or leaving moves only the subjects that it gains or loses (Thaler & Ravishankar 1998); the logarithm
makes a node's share proportional to its weight (Resch 2015).
"""

from __future__ import annotations

import hashlib
import math

from edgecache.model.ids import NodeId


def score(subject: str, node: NodeId, weight: float = 1.0) -> float:
    """Rank of `node` for `subject`, higher is better; the same on every machine."""
    digest = hashlib.blake2b(f"{subject}\0{node}".encode(), digest_size=8).digest()
    uniform = ((int.from_bytes(digest, "big") >> 12) + 0.5) / 2**52  # 52 bits: exact, and never 0 or 1
    return -weight / math.log(uniform)
