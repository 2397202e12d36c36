"""Our own map: changes are staged, get one version a flush, are signed, and only then are part of the map."""

from __future__ import annotations

from collections.abc import Mapping

from edgecache.core.state.config import StateConfig
from edgecache.core.state.replica import Replica, live, size_of
from edgecache.core.vocabulary import HeadSigned, MachineName, Outbox, SignHead, TimerKey, Warned
from edgecache.core.vocabulary.names import ONE_KEY_TWICE
from edgecache.model.ids import NodeId
from edgecache.model.instant import Instant
from edgecache.wire.codec import map_hash
from edgecache.wire.limits import COUNTER_MAX, ENTRIES_MAX, KEY_BYTES_MAX, OWNER_BYTES_MAX, VALUE_BYTES_MAX
from edgecache.wire.messages import Entry, Head, StatePush

FLUSH = TimerKey(MachineName.STATE, "flush")

FACT = "n/"
"""Keys of this kind are facts about a node that other machines decide on."""

_FACT_KEYS, _FACT_BYTES = 16, 1024
"""Of the quota, what readings leave for facts: a node with too many sensors must still be able to bridge."""

_ADOPTIONS_MAX = 3
_ADOPTION_PAUSE = 60.0
"""Seconds: two devices with one key would otherwise outbid each other without a pause."""


class OwnMap:
    """The map that only we write."""

    def __init__(self, me: NodeId, epoch: int, config: StateConfig) -> None:
        self._config = config
        self.replica = Replica(me, epoch=epoch)
        self._staged: dict[str, bytes | None] = {}
        self._signing: Replica | None = None
        self._adoptions = 0
        self._adopted: Instant = 0.0

    def stage(self, entries: Mapping[str, bytes | None], now: Instant, out: Outbox) -> None:
        """Set keys with the next flush (None removes); what is so already, or does not fit, is not set. Removals and
        keys that are there already come first, so that a series too many costs the others nothing."""
        coming = {e.key: e.value for e in (self._signing or self.replica).entries.values()} | self._staged
        fresh = {key: value for key, value in entries.items() if coming.get(key) != value}
        lives = {key: value for key, value in coming.items() if value is not None}
        keys, size = len(lives), sum(len(key) + len(value) for key, value in lives.items())
        staged: dict[str, bytes | None] = {}
        for key in sorted(fresh, key=lambda key: (fresh[key] is not None, key not in lives)):
            old, new = lives.get(key), fresh[key]
            keys_then = keys + (new is not None) - (old is not None)
            size_then = size + _cost(key, new) - _cost(key, old)
            if new is None or _fits(key, new, keys_then, size_then):
                staged[key], keys, size = new, keys_then, size_then
        if len(staged) < len(fresh):
            text = f"{len(fresh) - len(staged)} own readings are not shared: a node shares at most {ENTRIES_MAX}, of"
            out.effect(Warned("state-quota", f"{text} {OWNER_BYTES_MAX >> 10} KiB in all: have fewer series"))
        if staged and not self._staged:
            out.timer(FLUSH, now + self._config.flush_delay)
        self._staged.update(staged)

    def flush(self, now: Instant, out: Outbox) -> None:
        """Give what is staged one version, and have its head signed."""
        if self._signing is not None:
            out.timer(FLUSH, now + self._config.flush_delay)
            return
        own, staged = self.replica, self._staged
        version = own.version + 1
        entries = own.entries | {key: Entry(key, version, value) for key, value in staged.items()}
        self._staged = {}
        self._signing = Replica(own.owner, own.epoch, version, entries, map_hash=map_hash(live(entries)))
        out.effect(SignHead(own.epoch, version, self._signing.map_hash))

    def signed(self, event: HeadSigned, now: Instant, out: Outbox) -> tuple[StatePush, tuple[str, ...]] | None:
        """The signature came: the push to spread and the keys that changed; None for a head given up since."""
        signing = self._signing
        if signing is None or (event.epoch, event.version) != (signing.epoch, signing.version):
            return None
        self._signing = None
        own, before = self.replica, self.replica.version
        own.version, own.map_hash = signing.version, signing.map_hash
        own.signature, own.certificate = event.signature, event.certificate
        changed = own.replace(signing.entries, now)
        return own.push_since(before, own.epoch), changed

    def heard_of(self, head: Head, now: Instant, out: Outbox) -> None:
        """A push of our map with our own signature is at `head`: if that is above where we are, go on above it.

        Once that is a restored card; again, while running, it is a second device with our key.
        """
        own = self.replica
        if not self.is_news(head) or head.epoch >= COUNTER_MAX:
            return
        if self._adoptions:
            text = f"another device runs with this node's key (a copied card?): {ONE_KEY_TWICE}"
            out.effect(Warned("cloned", text))
        if self._adoptions >= _ADOPTIONS_MAX and now - self._adopted < _ADOPTION_PAUSE:
            return
        self._adoptions += 1
        self._adopted = now
        values = {entry.key: entry.value for entry in live((self._signing or own).entries)} | self._staged
        self._signing = None
        self.replica = Replica(own.owner, epoch=head.epoch + 1, received=own.received)
        self._staged = {key: value for key, value in values.items() if value is not None}
        out.timer(FLUSH, now + self._config.flush_delay)

    def is_news(self, head: Head) -> bool:
        """Whether that is above where we are."""
        own = self.replica
        return head.position > (own.epoch, max(own.version, self._signing.version if self._signing else 0))


def _cost(key: str, value: bytes | None) -> int:
    return 0 if value is None else size_of((Entry(key, 0, value),))


def _fits(key: str, value: bytes, keys: int, size: int) -> bool:
    """Whether the map may have this entry, with which it has so many keys and bytes."""
    left_keys, left_bytes = (0, 0) if key.startswith(FACT) else (_FACT_KEYS, _FACT_BYTES)
    alone = len(key) <= KEY_BYTES_MAX and len(value) <= VALUE_BYTES_MAX
    return alone and keys <= ENTRIES_MAX - left_keys and size <= OWNER_BYTES_MAX - left_bytes
