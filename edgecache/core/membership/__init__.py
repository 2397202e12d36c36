"""Who is there, how we know, and which links we keep."""

from edgecache.core.membership.config import MembershipConfig
from edgecache.core.membership.machine import Membership, PeerView

__all__ = ["Membership", "MembershipConfig", "PeerView"]
