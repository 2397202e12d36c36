"""Settings of the membership machine; times in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MembershipConfig:
    """Each default with its cost both ways and where it comes from."""

    overlay_max: int = 8
    """Overlay links kept. More: faster gossip, more idle traffic. Design section 5."""
    overlay_min: int = 5
    """Dial while there are fewer; between the two a node only accepts, so that the graph settles (HyParView keeps its
    active view full by dialling; a band instead of a number stops two full nodes from shedding each other). Guess."""
    working_max: int = 32
    """Links for transfers apart from the overlay; the least recently used idle one goes. Design section 5."""
    idle_close: float = 45.0
    """A link outside the overlay that nothing was transferred on for so long is closed. Guess."""
    probe_idle: float = 4.0
    """Ping a link that has been silent for so long. Less: more idle traffic. With `probe_timeout` it must stay below
    10 s, the promise for noticing a dead peer."""
    probe_timeout: float = 3.5
    """A ping not answered within this (and nothing else received) closes the link."""
    suspicion_max: float = 6.0
    """A suspected member that does not refute is dead after this when nobody else suspects it. Guess, for a LAN."""
    suspicion_min: float = 2.0
    """... and after this when `suspicion_accusers` independent nodes do (Lifeguard section IV.B)."""
    suspicion_accusers: int = 3
    gossip_delay: float = 0.2
    """News are collected for so long before they are passed on: fewer, larger messages. Guess."""
    gossip_interval: float = 30.0
    """A few random peers are told to a random neighbour now and then, against lost news. Guess."""
    news_per_source: int = 64
    """Changes that one peer told us and that are passed on at once; the rest waits for the next time. More: a peer that
    invents members has us flood the mesh; less: slower introductions after a split. Guess."""
    verify_every: float = 300.0
    """Each member that nobody here is linked to is dialled by some node about this often, and suspected if that fails:
    otherwise one whose neighbours all vanished with it, or that was invented, would live for ever. Less: more idle
    handshakes, two for each member and interval. Guess."""
    dial_tick: float = 0.25
    """How often dialling is reconsidered while links are wanted."""
    dials_max: int = 4
    """Dials under way at once: a TLS handshake costs milliseconds of CPU on a small device."""
    hearsay_dials: int = 2
    """Of those, dials of peers that only gossip speaks of: inventions leave room for the others, and whoever lives at
    the invented addresses is bothered less. Guess."""
    wanted_dials_max: int = 16
    """Dials for transfers and lookups besides: claims of providers can be invented too. Guess."""
    redial_min: float = 1.0
    """Pause after a failed dial, doubled each time ..."""
    redial_max: float = 20.0
    """... up to this: a returned peer is found again within it. Guess."""
    stable_after: float = 10.0
    """A link that ends earlier counts as a failed dial: two nodes that do not get on with each other would otherwise
    shake hands without a pause. More: a peer behind bad Wi-Fi waits needlessly. Guess."""
    contest_links: int = 3
    """So many links to one peer in a row, each replaced by the next, and the older one is kept instead: two devices
    have one key, and would shake hands without end. Less: a peer on bad Wi-Fi comes back later. Guess."""
    contest_window: float = 60.0
    """... within so long each. Above `redial_max`, or the count would be forgotten between two attempts."""
    hint_failures: int = 8
    """A hint that never led to a handshake is dropped after so many failed dials."""
    reconnect_for: float = 86400.0
    """Now and then somebody dials the dead, those that have been so for no longer than this: two halves of a mesh that
    was split would otherwise each be content with itself. Serf does the same, for a day."""
    forget_after: float = 600.0
    """Dead and departed members are forgotten after this; twice that as a tombstone against stale gossip."""
    members_max: int = 2048
    """Rows of the member table: a peer can invent members, so it is bounded. Far above a site's size."""
    book_max: int = 1024
    """Peers whose addresses are kept for dialling; hints are claims, so bounded."""
    seeds_max: int = 64
    """Addresses of seeds: names may lead to ever new ones."""
    remember_max: int = 64
    """Peers kept on disk for the next start."""
    remember_interval: float = 60.0
    """Not more often than this: flash wears out."""
    ban_score: int = 10
    """Misbehaviour that bans; it decays by one every `ban_decay` seconds."""
    ban_decay: float = 60.0
    ban_time: float = 600.0

    def __post_init__(self) -> None:
        assert 0 < self.overlay_min <= self.overlay_max
        assert self.probe_idle + self.probe_timeout < 10.0, "a dead peer must be noticed within 10 s"
        assert self.suspicion_min <= self.suspicion_max
        assert self.redial_max < self.contest_window
