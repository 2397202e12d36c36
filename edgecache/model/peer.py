"""Who a peer is and where it may be found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edgecache.model.ids import NodeId


class SeenVia(Enum):
    """How we first heard of a peer; shown by `peers`."""

    MDNS = "mdns"
    SEED = "seed"
    REMEMBERED = "remembered"
    GOSSIP = "gossip"
    INBOUND = "inbound"


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """An IP literal (link-local with its zone, `fe80::1%eth0`) and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """What one node tells about another: a claim until a TLS handshake proves it."""

    node: NodeId
    addresses: tuple[Address, ...]
    site: str
    name: str = ""
    incarnation: int = 0


class CloseReason(Enum):
    """Why a link ended; a planned close raises no suspicion."""

    GOODBYE = "goodbye"
    SHED = "shed"
    DUPLICATE = "duplicate"
    IDLE = "idle"
    INCOMPATIBLE = "incompatible"
    BANNED = "banned"
    SILENT = "silent"
    BROKEN = "broken"

    @property
    def planned(self) -> bool:
        """Whether the peer is believed to be well after this."""
        return self not in (CloseReason.SILENT, CloseReason.BROKEN)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a node is ready to take on one link."""

    window: int = 16
    """Chunk requests it accepts at once; more wait at the asker."""
    message_bytes: int = 512 * 1024
    """Largest CoAP message it accepts."""
