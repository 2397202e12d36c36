"""Settings of the retention machine; times in seconds, sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetentionConfig:
    """Each default with its cost both ways and where it comes from."""

    probation_share: float = 0.1
    """Part of the cap that newcomers pass through. More: one-time blobs stay longer and push out proven ones; less:
    newcomers go before they can be used twice. S3-FIFO (SOSP'23) section 4."""
    hits_max: int = 3
    """Uses of a blob that are counted: two bits. S3-FIFO section 4."""
    promote_hits: int = 2
    """Uses that take a blob from probation to the main queue. More: fewer short-lived blobs get there. The authors'
    code has 2."""
    ghosts_max: int = 16384
    """Names of evicted newcomers remembered, about 3 MB; besides, their bytes are bounded by those of the main queue
    (S3-FIFO section 4)."""
    read_lease: float = 60.0
    """A blob stays for so long after somebody used it or asked for a piece of it: a slow reader is not cut off. More: a
    full cache refuses sooner. Guess."""
    retry_lease: float = 30.0
    """A blob whose fetch got no room stays for so long: fetches try again after seconds, or fail for good. Guess."""
    disk_slack: int = 4 * 1024**2
    """Bytes freed beyond what is missing when the disk reserve is touched, so that the next small file does not touch
    it again. Guess."""
    relief_pause: float = 4.0
    """Writes that fail for want of space make room no more often than this: several fail together. Below the pause
    after which fetches try again. Guess."""
    relief_doublings: int = 10
    """Each such failure in a row frees twice as much as the one before, up to `disk_slack` doubled so often: 4 GiB."""

    def __post_init__(self) -> None:
        assert 0.0 < self.probation_share < 1.0
        assert 1 <= self.promote_hits <= self.hits_max
        assert self.ghosts_max >= 0
        assert self.read_lease >= 0.0
        assert self.disk_slack >= 0
        assert self.relief_pause >= 0.0
        assert self.retry_lease >= 0.0
        assert 0 <= self.relief_doublings <= 32
