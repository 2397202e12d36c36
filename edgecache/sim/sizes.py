"""How many bytes a message takes, measured by the codec; of lists of like things only the first is."""

from __future__ import annotations

from edgecache.model.ids import NodeId
from edgecache.model.peer import PeerInfo
from edgecache.wire.codec import encode
from edgecache.wire.messages import Gossip, Head, Message, StateDigest, StatePush

FRAME_BYTES = 60
"""CoAP header, options and TLS record around one control message."""

_EMPTY_GOSSIP = len(encode(Gossip()))
_EMPTY_DIGEST = len(encode(StateDigest(())))

_PushKey = tuple[NodeId, int, int, int, bool]
_InfoKey = tuple[int, int, int]


class Sizes:
    """Pushes are relayed as they are, and what gossip and digests list is all of a size: measured once, and kept."""

    def __init__(self) -> None:
        self._pushes: dict[_PushKey, int] = {}
        self._infos: dict[_InfoKey, int] = {}
        self._rumour = 0
        self._head_bytes = 0

    def of(self, message: Message) -> int:
        """Bytes on the wire, to within a few; raises LocalProtocolError for what the codec refuses to send."""
        match message:
            case StatePush():
                return FRAME_BYTES + self._push(message)
            case Gossip():
                return FRAME_BYTES + self._gossip(message)
            case StateDigest(heads=heads) if heads:
                return FRAME_BYTES + _EMPTY_DIGEST + self._head(heads[0]) * len(heads)
        return FRAME_BYTES + len(encode(message))

    def _push(self, push: StatePush) -> int:
        key = (push.owner, push.epoch, push.since, push.version, bool(push.certificate))
        size = self._pushes.get(key)
        if size is None:
            size = self._pushes[key] = len(encode(push))
        return size

    def _gossip(self, gossip: Gossip) -> int:
        size, peers, rumours = _EMPTY_GOSSIP, gossip.peers, gossip.rumours
        if peers:
            size += self._info(peers[0]) * len(peers)
        if rumours:
            if not self._rumour:
                self._rumour = len(encode(Gossip(rumours=rumours[:1]))) - _EMPTY_GOSSIP
            size += self._rumour * len(rumours)
        return size

    def _head(self, head: Head) -> int:
        if not self._head_bytes:
            self._head_bytes = len(encode(StateDigest((head,)))) - _EMPTY_DIGEST
        return self._head_bytes

    def _info(self, info: PeerInfo) -> int:
        key = (len(info.addresses), len(info.name), len(info.site))
        size = self._infos.get(key)
        if size is None:
            size = self._infos[key] = len(encode(Gossip(peers=(info,)))) - _EMPTY_GOSSIP
        return size
