"""Settings of the directory machine; times in seconds, sizes in bytes, rates per second."""

from __future__ import annotations

from dataclasses import dataclass

from edgecache.wire.limits import FLOOD_TTL_MAX, PROVIDERS_MAX


@dataclass(frozen=True, slots=True)
class DirectoryConfig:
    """Each default with its cost both ways and where it comes from."""

    homes: int = 3
    """Nodes that keep the provider list of a blob. More: survives more of them leaving at once, and every announcement
    is sent that often. Design section 6."""
    weight_max: int = 64
    """A node counts in the choice of homes with its GiB of cache, but no more than this, so that neither a large nor a
    lying node becomes home of nearly everything. Guess."""

    announce_delay: float = 0.2
    """News of a blob (first chunk, complete, gone) are collected for so long. More: fewer messages, later providers.
    Guess: a swarm's first chunks take as long."""
    progress_delay: float = 1.0
    """The same for a growing part of a blob: others learn the very chunks from the holder itself. Guess."""
    rehome_spread: float = 3.0
    """Announcements to new homes are made at a random moment within this. Less: a newcomer is home sooner; more: a
    smaller burst of everybody at it. The other homes answer meanwhile. Guess."""
    record_ttl: float = 6000.0
    """A record that is not repeated lapses. Mostly records go earlier: holders withdraw, the dead are struck out."""
    refresh_min: float = 120.0
    """Announcements are repeated no more often than this ..."""
    refresh_max: float = 2400.0
    """... and no less: `record_ttl` leaves room for a lost one. A home that restarts is noticed by its epoch or its
    incarnation and told at once, so that the repetition is only a safety net."""
    refresh_rate: float = 150.0
    """Bytes per second that one node spends on repetition, by which the interval between those bounds is chosen. 300
    blobs in a site of 50 nodes are 900 claims and some 40 links to open, 220 kB, so every 24 minutes; being told by
    the others costs as much again. The idle budget of the whole node is 1 kB/s (design section 14)."""
    announces_at_once: int = 2
    """Messages of 128 claims sent to one home at a time. More: fewer wake-ups; less: shorter stalls of the home, which
    takes 50 to 100 us for each claim (measured: 8 at once held an event loop up for 100 ms)."""
    announce_pause: float = 0.03
    """... and how long the rest waits: 8,500 claims a second."""
    summary_bytes: int = 60
    """A repetition that is only a summary, to a home that understands it."""
    claim_bytes: int = 62
    """One claim on the wire: 33 + 16 bytes of ids, two counts, framing of CBOR and its part of the message. Counted."""
    link_bytes: int = 4000
    """A link opened for the purpose and closed again: TLS 1.3 with both certificates, hellos, TCP. Estimate."""
    dead_keep: float = 300.0
    """Claims of a node that died are not told any more, but kept for so long: it may refute. Guess."""

    wants_max: int = 8
    """Links asked for at once to announce over. More: sooner done after a start, and a burst of handshakes. Guess."""
    want_timeout: float = 15.0
    """A link that was asked for and of which nothing was heard counts as unavailable."""
    retry_min: float = 30.0
    """Pause before an unreachable home is tried again, doubled each time ..."""
    retry_max: float = 600.0
    """... up to this."""

    lookup_budget: float = 0.15
    """How long homes may take before the flood starts: the mesh must not make a fetch much slower than its origin
    (design section 6). More: fewer needless floods on slow links."""
    flood_fanout: int = 3
    """Links that a flooded question is passed on over. Design section 6."""
    flood_ttl: int = 3
    """Hops of a flooded question: with that fan-out it reaches at most 39 nodes. Design section 6. Where all homes are
    gone, one holder among 50 nodes with 8 links each is found by 2 of 3 askers for 36 messages (measured, virtual)."""
    wide_fanout: int = 8
    """Links that a second flood for the same blob starts on, and a question by name: only holders know the SHA-256 of a
    whole."""
    wide_ttl: int = 4
    """Hops of those. In that same site such a question finds the holder for 49 of 50 askers, for 130 messages
    (measured, virtual)."""
    flood_wait: float = 0.4
    """How long answers to a flood are waited for: three hops there and back, over Wi-Fi. Guess."""
    flood_pause: float = 5.0
    """After a flood for a blob, none for it for so long, doubled each time ..."""
    flood_pause_max: float = 60.0
    """... up to this; homes are asked meanwhile."""
    again_within: float = 60.0
    """Asked again for a blob so soon, homes were no help: flood at once. Guess."""
    negative_ttl: float = 4.0
    """A question that came to nothing through us is not passed on again for so long. More: less noise for what nobody
    has, later discovery of what has just come up. Below `flood_pause`, so that a repetition is not lost. Guess."""
    route_ttl: float = 5.0
    """How long a passed-on question is remembered, against copies and for its answers: longer than any asker waits."""
    far_sites: int = 3
    """Other sites whose homes are asked when nobody here has it. Design section 6, number guessed."""
    far_homes: int = 2
    """Homes asked in each of those."""
    far_wait: float = 1.0
    """How long they may take: a dial and a round trip over a WAN. Guess."""
    hints_max: int = 4
    """Links asked for, per search, to providers that only an answer knew the addresses of: those are claims."""

    resolve_timeout: float = 1.0
    """How long answers to a name that is no full id are collected. A person waits."""
    resolve_settle: float = 0.3
    """After the first answer: long enough for a second opinion, which shows that a prefix is ambiguous."""

    blobs_max: int = 16384
    """Blobs with records from others. A home of 50 x 300 blobs in a site of 50 keeps 900; three nodes with the same
    5,000 small blobs keep 5,000 each."""
    records_max: int = 65536
    """Records in all: about 20 MB."""
    claims_per_blob: int = 128
    """Providers recorded of one blob; more help nobody."""
    claims_per_node: int = 16384
    """Records of one announcer, so that one cannot fill the table."""
    routes_max: int = 1024
    """Passed-on questions remembered."""
    answers_max: int = 16
    """Answers passed back for one question."""
    found_max: int = 256
    """Claims collected in one search."""
    peers_told: int = 16
    """Addresses told with an answer: an asker of the site knows them already."""
    askers_max: int = 256
    """Peers whose questions are counted."""
    flood_rate: float = 5.0
    """Flooded questions taken from one neighbour, per second; they cost everybody. Guess."""
    flood_burst: float = 30.0
    """... and at once."""
    lookup_rate: float = 50.0
    """Lookups answered to one peer, per second. Guess."""
    lookup_burst: float = 500.0
    """... and at once: somebody fetches a few hundred blobs."""
    lookup_batch_cost: float = 1 / 16
    """What each further blob of a lookup of several counts: 5,000 blobs in batches are within the burst."""
    gather_above: int = 8
    """With so many searches under way, lookups are collected ..."""
    gather_delay: float = 0.005
    """... for so long, and go out together. More: fewer messages; less: searches end sooner. Guess: a round trip."""
    claims_per_lookup: int = 4
    """Providers named for each blob of a lookup of several: enough to spread small blobs over them."""
    summary_rate: float = 1 / 60
    """Summaries compared for one peer, per second: each walks over all its records."""
    summary_burst: float = 4.0
    """... and at once."""

    def __post_init__(self) -> None:
        assert self.homes >= 1
        assert self.refresh_min <= self.refresh_max
        assert 2.2 * self.refresh_max < self.record_ttl, "one repetition may be lost"
        assert 1 <= self.flood_ttl <= self.wide_ttl <= FLOOD_TTL_MAX
        assert 1 <= self.flood_fanout <= self.wide_fanout
        assert self.negative_ttl < self.flood_pause <= self.flood_pause_max
        assert max(self.flood_wait, self.resolve_timeout) < self.route_ttl
        assert self.peers_told <= PROVIDERS_MAX
