"""Settings of the swarm machine; times in seconds, sizes in bytes, rates in bytes per second."""

from __future__ import annotations

from dataclasses import dataclass

from edgecache.model.content import CHUNK_BYTES, LARGE_CHUNK_BYTES, unit_bytes
from edgecache.wire.limits import COMING_MAX


@dataclass(frozen=True, slots=True)
class SwarmConfig:
    """Each default with its cost both ways and where it comes from."""

    download_rate: int = 0
    """Bytes a second fetched from all peers together, counted as on the link; 0 is unlimited."""
    download_burst: float = 0.02
    """Seconds of that rate saved up while nothing is fetched. More: windows of a few seconds see more than the rate;
    less: a timer that fires late loses bytes. An event loop is late by some milliseconds."""
    limited_unit_time: float = 0.1
    """Under a rate limit, a unit takes at most this at that rate. More: coarser pacing; less: more messages. Guess."""

    # ---- who is asked

    sources_wanted: int = 12
    """Links are sought while fewer neighbours of a blob have some of it. In a large swarm as many come from others
    too, and membership keeps 32: with 16, a simulated fleet of 150 spent its time closing and opening links. Simulated,
    16 nodes and 128 chunks: 1.42 times size / rate at 8, 1.37 at 12."""
    asked_first: int = 16
    """Linked peers that are asked when a fetch begins, before the directory has answered: one small message each."""
    links_for_missing: int = 2
    """... and so many at a time beyond that, while no neighbour has what is missing."""
    neighbours_max: int = 64
    """Peers whose have-set of one blob is kept or that hear of ours: above the links that membership allows."""
    blobs_per_peer: int = 256
    """Blobs that one peer may subscribe to; beyond it gets answers, but no news. Bounds memory."""
    candidates_max: int = 64
    """Claimed providers of one blob that are remembered; as many as one directory answer has."""
    barred_max: int = 64
    """Peers remembered, per blob, for having sent corrupt bytes of it."""
    ledger_max: int = 256
    """Peers whose delivered bytes are counted, for people; the one first seen goes."""
    history_max: int = 32
    """Ended fetches that are still shown."""
    fetches_max: int = 64
    """Fetches under way at once; more wait for their turn. Each may hold 16 sources' have-sets."""
    idle_fetches_max: int = 192
    """So many more may be waiting for providers that are away or for room on the disk: they do not hold up others."""
    waiting_max: int = 4096
    """Wanted blobs that wait for their turn; more are refused with a sentence. Bounds memory."""
    small_in_flight: int = 16
    """Small blobs asked of one peer at once: 1 MiB, 1.7 s at 5 Mbit/s. Less: idle links; more: a small blob waits
    behind others where a provider nearby would be free. Guess."""
    unknown_chunks_max: int = 65536
    """Before the manifest tells the size, so many chunks (16 GiB or more) of a claimed have-set are kept: 8 KiB."""
    link_patience: float = 10.0
    """A link that was asked for and did not come is given up after this. Above a dial with its handshake."""
    refresh_min: float = 0.5
    """First pause before providers are looked up again: leechers that start together must find each other. Guess."""
    refresh_max: float = 10.0
    """... doubled up to this: a returned holder is found within it."""
    link_idle: float = 5.0
    """A link over which nothing was asked for so long no longer counts as busy."""

    # ---- what is told

    delta_delay: float = 0.05
    """New chunks are collected for so long before subscribers hear. Less: fresher news, more messages. Guess."""
    strained_delta_delay: float = 0.25
    """... and at least for so long where our processor is short: a message costs both ends what a tenth of a chunk
    does. Less: more of them; more: chunks are passed on later. Measured, 8 agents on half of one core: done 8 % sooner
    than at 0.05."""
    delta_chunks: int = 8
    """... or until there are so many. Both grow with the number of subscribers above this, so that a chunk costs each
    node about one message."""
    have_repeat: float = 5.0
    """Our whole have-set goes to one peer at most once in this time. Above any round trip, or two nodes would answer
    each other for ever; below `refresh_max`, or an unheard question would not be repeated."""
    announce_steps: int = 10
    """A partial holding is announced at its first chunk and at each such part. More: truer claims, more traffic."""

    # ---- which chunk

    random_first: int = 4
    """The first chunks are any, not the rarest, where others fetch too: there must soon be something to give
    (BitTorrent; Legout IMC 2006)."""
    endgame_chunks: int = 4
    """The last so many chunks may be asked of a second peer (libtorrent, aria2)."""
    endgame_fraction: float = 0.02
    """... or this part of the blob, if that is more. More: shorter tail, more duplicates."""
    hedge_gain: float = 2.0
    """A second request must be expected so many times sooner than the first. 1: equals are asked twice for nothing."""
    hedge_share: float = 0.05
    """Second requests for each first one, in the long run. More: stalls end sooner; less: peers upload less for
    nothing. Dean and Barroso 2013 took 2 to 5 %."""
    hedge_burst: float = 4.0
    """... and so many saved up: the end-game of a small blob. Less: the last chunks of a peer that goes silent, or is
    slow, are waited for; more: more is sent twice. Simulated, 16 nodes, 32 chunks: 10 % is sent twice at 4, 7 % at 2;
    with links of 100, 10 and 50 Mbit/s, 8 nodes, the fast ones are done after 1.7 times their bound at 4, 2.7 at 2."""
    move_after: float = 0.5
    """A request that has waited for this part of the time that a chunk from a neighbour that is free should take is
    taken back for it. Less: requests that would be served in a moment are moved; more: lines stay long. Simulated, 16
    nodes, 32 chunks: 1.53 times the bound at 0.5, 1.55 at 1, 1.56 at 2, 1.66 without."""
    move_to_slower: float = 0.5
    """... unless that one's goodput is below this part of the other's. Less: chunks end at slow peers; more: fast ones
    have longer lines. Simulated: no difference between 0.5 and 1. Guess."""
    move_answer: float = 0.5
    """What was withdrawn is not asked of a second neighbour for so long: its holder refuses it, or is sending it. Less:
    more is sent twice; more: one that does neither is waited for. Two round trips of a slow link."""
    hedge_check: float = 0.1
    """How often a late request that nobody can help with is looked at again while nothing arrives."""

    crossing_patience: float = 5.0
    """... and at least this when they come from another site; as long, a neighbour here that rests is waited for before
    what it has is asked of another site. Less: more bytes cross twice; more: one that stalls holds up the others. As
    `timeout_min`, after which whoever fetches it gives it up itself."""

    # ---- from whom

    exploration: float = 0.07
    """Part of the choices made at random, so that an estimate that went wrong is corrected (5-10 %: design)."""
    whole_bias: float = 4.0
    """While there are chunks that no leecher has, a partial holder is preferred to a complete one unless it is so many
    times slower: the publisher is spared for chunks that only it has. More: fewer seed uploads, slower when partial
    holders are weak. Simulated, 7 leechers, 128 chunks: 1.13 seed uploads at 2, 1.10 at 4, 1.06 at 8; with one that
    has a tenth of the others' rate the last of these is 1 % slower at 8 and 50 % at 16."""
    left_patience: float = 2.0
    """What a fellow has under way from a complete holder, or from another site, is left to it for so many times what it
    would take us, and the news of its arrival. Less: twice for nothing; more: a slow fellow holds up the others.
    Simulated, 7 leechers, 128 chunks, one of them ten times slower and one killed, 50 seeds: the slowest run took 6.96
    s at 2 and 7.81 s at 4; 15 leechers, 64 chunks: 1.37 seed uploads at 2, 1.35 at 4."""
    asked_memory: float = 10.0
    """What a complete holder said to be asked of it by others is remembered for so long ..."""
    asked_max: int = 1024
    """... the last so many chunks: twice what a link of 100 Mbit/s carries in that time. Bounds memory and time."""
    near_prior: float = 4e6
    """Goodput assumed of an unmeasured peer of our site: modest Wi-Fi. Guess; the first chunk corrects it."""
    far_prior: float = 5e5
    """... and of another site: a slow uplink, so that the first units are small (64 KiB)."""
    goodput_span: float = 0.25
    """Deliveries of so many busy seconds make half of the new estimate. Less: nervous; more: late. Guess."""

    crossing_span: float = 2.0
    """The same for all peers of other sites together: chunks cross a narrow link seconds apart. Guess."""

    # ---- how much at once

    window_bytes_max: int = 4 * 1024**2
    """In flight from one peer at most, whatever was measured: 16 chunks of 256 KiB, the window that nodes advertise."""
    inflight_bytes_max: int = 16 * 1024**2
    """In flight from all peers: bounds the receiver's memory. 1 s at 128 Mbit/s."""
    window_slack: float = 0.02
    """Added to the round trip and what storing a chunk takes (measured) in the bandwidth-delay product. More: no gaps
    with a busy peer, but longer queues at a publisher, and chunks asked of it that a leecher will soon have. Simulated,
    8 leechers, 256 chunks, 12.5 MB/s: 1.15 of the fluid bound at 0.05, 1.07 at 0.02."""
    strained_slack: float = 0.06
    """... and where our processor is short: what came is noticed so much later there. More: longer queues at others;
    less: they run dry, and lose their share to those who ask sooner. Measured, three askers of unequal weights on half
    of one core: 46, 35 and 19 % at 0, 52, 29 and 19 at 0.06 (ideal 51, 29 and 20)."""
    storing_max: float = 0.5
    """Longest storing that is believed: a stalled disk must not fill the memory."""
    window_gain: float = 1.25
    """The window asks for a little more than was measured, so that it can grow (BBR's probing gain)."""
    unit_min: int = 16 * 1024
    """Smallest Block2 unit. Smaller: less head-of-line blocking, more round trips (design section 4)."""
    unit_time: float = 0.15
    """A unit takes at most this at the measured rate, times those that share it (design section 4). Of a publisher with
    many askers it would be a sixteenth of a chunk otherwise, each with a wait of its own."""
    large_unit_time: float = 0.02
    """A chunk of 512 KiB is asked for in one unit where it takes at most this, else in two or more. More: on slower
    links the window has one such unit at a time, and the link idles between them (simulated, 50 Mbit/s: 16 % slower).
    Less: twice the messages on faster ones."""
    pages_in_flight: int = 2
    """Manifest pages (32 KiB) fetched at once."""

    # ---- when it goes wrong

    stall_shown: float = 2.0
    """Without progress for so long the user who waits sees why. Less: flicker; more: a bar that says nothing. Guess."""
    stall_after: float = 5.0
    """Without progress for so long a fetch stands still, and the reason is logged. Less: lines about hiccups. Guess."""

    timeout_factor: float = 4.0
    """A unit may take so many times what is expected. Less: false alarms; more: stalls last longer. Guess."""
    timeout_min: float = 5.0
    """... but at least this: a busy peer's disk, a lost Wi-Fi beacon."""
    timeout_max: float = 60.0
    manifest_timeout: float = 5.0
    """A manifest root or page is at most 40 KiB."""
    cool_min: float = 1.0
    """Pause with a peer after a time-out, doubled each time in a row ..."""
    cool_max: float = 30.0
    """... up to this."""
    denials_max: int = 4
    """4.04s in a row for chunks that a peer claimed; then it is treated as if it timed out."""
    retry_after_max: float = 60.0
    """Longest Max-Age of a refusal that is believed."""
    store_retry: float = 5.0
    """Pause of a fetch whose chunk did not fit on the disk; it is tried again for as long as it is wanted. Less: chunks
    are fetched in vain while the disk is full; more: it goes on later when there is room. Guess."""

    @property
    def unit_most(self) -> int:
        """Largest unit that is asked for: a power of two."""
        if not self.download_rate:
            return LARGE_CHUNK_BYTES
        return unit_bytes(self.download_rate * self.limited_unit_time, self.unit_min)

    def __post_init__(self) -> None:
        assert self.sources_wanted <= self.neighbours_max
        assert self.refresh_min <= self.refresh_max
        assert self.have_repeat < self.refresh_max, "an unheard question must be asked again"
        assert self.unit_min <= CHUNK_BYTES
        assert self.unit_min & (self.unit_min - 1) == 0
        assert CHUNK_BYTES <= self.window_bytes_max <= self.inflight_bytes_max
        assert self.timeout_min <= self.timeout_max
        assert self.whole_bias >= 1
        assert self.hedge_gain >= 1
        assert self.asked_max >= COMING_MAX
