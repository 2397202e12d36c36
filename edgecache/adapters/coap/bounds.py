"""Every bound of the link transport: what a peer, or somebody who is none, can make us hold, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from edgecache.model.content import CHUNK_BYTES
from edgecache.wire.limits import HAVE_BYTES_MAX, HELLO_BYTES_MAX, MESSAGE_BYTES_MAX

HEAD_ROOM = 1024
"""Header, token and options of any message we speak."""

GREETING_MESSAGE_BYTES = HELLO_BYTES_MAX + HEAD_ROOM
"""Largest message before a link is open: a hello."""

REQUEST_MESSAGE_BYTES = HAVE_BYTES_MAX + HEAD_ROOM
"""Largest request: the largest control message."""

GET_MESSAGE_BYTES = HEAD_ROOM
"""Largest GET: it carries nothing, and a window of them is kept while they wait for their turns."""

RESPONSE_MESSAGE_BYTES = MESSAGE_BYTES_MAX
"""Largest response, and what our CSM announces."""

PEER_MESSAGE_BYTES_MIN = CHUNK_BYTES + HEAD_ROOM
"""A peer that takes less than a chunk of most blobs in one message cannot be served; its link is refused."""


@dataclass(frozen=True, slots=True)
class LinkBounds:
    """Defaults for a Raspberry Pi with 512 MB on a LAN."""

    connections: int = 256
    """Live connections, both directions. More: memory (about 40 kB each) and file descriptors. Guess: 8 + 32 links of a
    node, 5 agents on a host, and reserve."""

    per_source: int = 64
    """Inbound connections of one address. Less: several agents behind one NAT lock each other out. Guess."""

    handshakes: int = 64
    """Inbound connections that are not links yet; beyond it the longest waiting of the busiest address goes. Guess."""

    handshakes_per_source: int = 16
    """The same for one address; beyond it the newcomer goes. Guess."""

    tls_seconds: float = 5.0
    """For a TLS handshake. Measured: 8.5 ms on a PC; a Pi with a bad radio link is far from 5 s."""

    csm_seconds: float = 5.0
    """From there to the peer's CSM (RFC 8323 section 3.3: sent at once)."""

    hello_seconds: float = 5.0
    """From there to the hello."""

    stall_seconds: float = 10.0
    """Without a byte in the middle of a message: the peer is dead or plays slowloris. Must exceed a Wi-Fi roam."""

    message_seconds: float = 120.0
    """For a whole message, however it trickles: 512 KiB at 35 kbit/s."""

    control_queue_bytes: int = 2 * 1024 * 1024
    """What waits to be sent besides chunks and manifests, with 256 bytes for each message; a peer further behind
    is dropped. The whole state of a site of 100 nodes is less."""

    requests_beside_window: int = 8
    """Manifest requests in progress besides the hello's window of chunk requests."""

    malformed_burst: int = 8
    """Malformed messages that are forgiven; more closes the link. One more is forgiven each minute."""

    control_rate: float = 2000.0
    """Messages a second taken from one link; above it reading pauses and TCP slows the peer. Costs at most 10 % of a
    Pi's core at 50 us each."""

    control_burst: float = 4000.0
    """The same, at once: the state of a site when a link opens."""

    dial_seconds: float = 5.0
    """For a whole dial, all addresses; a dead address alone would take 134 s (measured)."""

    stagger_seconds: float = 0.25
    """Between the starts of two attempts (RFC 8305 section 8, Connection Attempt Delay)."""

    close_seconds: float = 0.4
    """For the goodbye to be sent, and the peer to close, before the connection is cut."""

    queue_bytes_min: int = 64 * 1024
    """Queued in transport and socket at least, however slow the link."""

    queue_seconds: float = 0.1
    """Queued in transport and socket at most, at the measured goodput: what a control message waits."""

    strained_queue_bytes: int = CHUNK_BYTES
    """The same where the processor is short (Rests.slack), whatever `queue_seconds` says: a chunk goes in one visit
    instead of several. Measured, 8 agents on half of one core: 2.2 times size / rate, and 2.7 at 64 KiB."""

    strained_queue_seconds: float = 0.6
    """... and at most so much of the goodput, so that a control message waits no longer on a slow link. Guess."""

    congestion: bytes = b"bbr"
    """What finds TCP's rate, where the kernel lets anybody choose it (tcp_allowed_congestion_control); empty: what the
    kernel takes itself. BBR bears the losses of a radio link: measured with 2 % loss and 20 ms, 7 leechers were done
    after 9.4 s instead of 28 s with cubic, and without loss after 6.6 s instead of 6.8."""

    keepalive_idle_seconds: int = 20
    keepalive_interval_seconds: int = 5
    keepalive_probes: int = 3
    user_timeout_ms: int = 20_000
    """TCP's own notion of a dead peer; the core's pings are faster. Measured: error 20.6 s after a cable is cut."""
