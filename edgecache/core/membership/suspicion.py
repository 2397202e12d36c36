"""How long a suspected member has to refute: shorter the more members suspect it (Lifeguard section IV.B)."""

from __future__ import annotations

import math

from edgecache.core.membership.config import MembershipConfig


def suspicion_timeout(config: MembershipConfig, accusers: int) -> float:
    """Seconds from the first accusation to confirmation with `accusers` independent accusers (at least 1)."""
    confirmations = min(accusers - 1, config.suspicion_accusers)
    spread = config.suspicion_max - config.suspicion_min
    share = math.log(confirmations + 1) / math.log(config.suspicion_accusers + 1)
    return max(config.suspicion_min, config.suspicion_max - spread * share)
