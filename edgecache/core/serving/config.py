"""Settings of the serving machine; times in seconds, sizes in bytes, rates in bytes per second."""

from __future__ import annotations

from dataclasses import dataclass

from edgecache.model.content import CHUNK_BYTES


@dataclass(frozen=True, slots=True)
class ServingConfig:
    """Each default with its cost both ways and where it comes from."""

    upload_rate: int = 0
    """Bytes a second sent to all peers together, counted as on the link; 0 is unlimited."""
    upload_burst: float = 0.02
    """Seconds of that rate saved up while nobody asks. More: windows of a few seconds see more than the rate; less:
    a timer that fires late loses bytes. An event loop is late by some milliseconds."""
    window: int = 16
    """Units of one peer that wait: what our hello advertises; more are refused. Those in progress are not counted, as
    an asker may have a unit before our send queue says that it has left."""
    refused_pause: float = 1.0
    """Max-Age of such a refusal: the smallest that CoAP can say."""
    quiet_pause_max: float = 3600.0
    """Longest Max-Age of a refusal in quiet hours. More: an asker learns late that they ended early."""

    # ---- whose turn

    quantum: int = CHUNK_BYTES
    """Bytes that one round of the deficit round-robin adds to an asker of weight 1 (Shreedhar and Varghese 1995). A
    chunk of most blobs, so that each round serves everybody of that weight; a unit of 512 KiB takes two. More:
    coarser."""
    weight_min: float = 1 / 8
    """Weight of who only takes: never starved. Less: a weak device that cannot give waits longer. Guess."""
    weight_max: float = 4.0
    """Weight of who gave us much. More: newcomers wait longer behind it. Guess."""
    newcomer_credit: int = 64 * 1024**2
    """Bytes that everybody is believed to have given and taken. More: free riders are noticed later; less: a newcomer
    that fetches its first image counts as one. Guess: a few images of a small device."""
    half_life: float = 3600.0
    """Seconds after which what was given and taken counts half. Guess: the length of a roll-out at one site."""
    lower_share: float = 1 / 16
    """Bytes that a class that waits gets for each byte of the classes above it. More: updates are later; less: the
    class below all but stands still. Guess."""

    passed_over_max: int = 31
    """Times in a row that a chunk that was begun, or that nobody has been given, goes before those whose turn it is.
    More: who asks for what others have waits longer; less: more is given twice. Simulated, 16 nodes, 32 chunks: 1.69
    times the bound at 0, 1.63 at 8, 1.58 at 100. At 31, a thirty-second of the uplink is kept for the others."""
    given_max: int = 4096
    """Chunks (1 GiB or more) that are remembered as given; what was given before is spread by now. Bounds memory."""

    # ---- how much at once

    bytes_max: int = 24 * 1024**2
    """Bytes in progress, being read or in a send queue: bounds the memory of all links. More than one chunk of
    512 KiB for each link that membership keeps, so that readers that have stalled leave room for everybody else."""
    ahead_bytes: int = 3 * CHUNK_BYTES
    """Of these newly granted at most, plus what leaves in `ahead_time`: askers are served one after another rather than
    all at once. More: the first has something to pass on later; less: the uplink idles while those who are served wait
    behind queues of their own. Simulated, decision 0012."""
    ahead_time: float = 0.05
    """Seconds. More: fewer gaps on fast links; less: see above. A queue before an uplink is of that order."""
    stalled_after: float = 0.3
    """What was granted longer ago no longer counts: slow readers do not hold up the others. Above the time that a unit
    of a slow link takes (0.15)."""
    asker_bytes: int = 2 * CHUNK_BYTES
    """Of these for one asker while less than half is taken, one chunk when more is: one chunk is read while the other
    is sent; a slow reader holds no more than this. Of units of 512 KiB one, and two if nobody else waits."""
    asker_units: int = 32
    """Units in progress for one asker: the smallest sensible ones (16 KiB) just fill `asker_bytes`."""
    slots: int = 1280
    """Units in progress for all: that many for each link that membership keeps. Bounds the table."""
    idle_after: float = 5.0
    """An asker that has asked for nothing for so long no longer keeps its link busy."""
    peers_max: int = 256
    """Peers with an account of what they gave and took, and whose served bytes are counted, for people."""

    def __post_init__(self) -> None:
        assert self.quantum >= CHUNK_BYTES, "a unit of most blobs would wait more than one round"
        assert 2 * CHUNK_BYTES <= self.asker_bytes <= self.bytes_max
        assert self.window >= 1
        assert 1 <= self.asker_units <= self.slots
        assert 0 < self.weight_min <= 1 <= self.weight_max
        assert self.newcomer_credit > 0
        assert self.half_life > 0
        assert 0 < self.lower_share < 1
