"""Our own map: changes are staged, get one version a flush, are signed, and only then are part of the map."""

from __future__ import annotations

from collections.abc import Mapping

from edgecache.core.state.config import StateConfig
from edgecache.core.state.replica import Replica, live, over_quota
from edgecache.core.vocabulary import HeadSigned, MachineName, Outbox, SignHead, TimerKey, Warned
from edgecache.model.ids import NodeId
from edgecache.model.instant import Instant
from edgecache.wire.codec import map_hash
from edgecache.wire.messages import Entry, Head, StatePush

FLUSH = TimerKey(MachineName.STATE, "flush")


class OwnMap:
    """The map that only we write."""

    def __init__(self, me: NodeId, epoch: int, config: StateConfig) -> None:
        self._config = config
        self.replica = Replica(me, epoch=epoch)
        self._staged: dict[str, bytes | None] = {}
        self._signing: Replica | None = None
        self._adopted = False

    def stage(self, entries: Mapping[str, bytes | None], now: Instant, out: Outbox) -> None:
        """Set keys with the next flush (None removes); what is so already, or beyond the quota, is not set."""
        fresh = {key: value for key, value in entries.items() if self._coming(key) != value}
        if not fresh:
            return
        candidate = dict(self.replica.entries)
        for key, value in (self._staged | fresh).items():
            candidate[key] = Entry(key, 0, value)
        if over_quota({key: entry for key, entry in candidate.items() if entry.value is not None}):
            text = "own readings exceed 256 keys or 16 KiB and are not shared: have fewer series"
            out.effect(Warned("state-quota", text))
            return
        if not self._staged:
            out.timer(FLUSH, now + self._config.flush_delay)
        self._staged.update(fresh)

    def _coming(self, key: str) -> bytes | None:
        if key in self._staged:
            return self._staged[key]
        entry = (self._signing or self.replica).entries.get(key)
        return entry.value if entry else None

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
        own = self.replica
        delta = tuple(entry for entry in signing.entries.values() if entry.version == signing.version)
        push = StatePush(
            own.owner, signing.epoch, own.version, signing.version, delta, signing.map_hash, event.signature,
            event.certificate if own.version == 0 else b"",
        )
        own.certificate = event.certificate
        _, changed = own.apply(push, now)
        return push, changed

    def heard_of(self, head: Head, now: Instant, out: Outbox) -> None:
        """Somebody knows our map at `head`: if that is above where we are, go on above it.

        Once that is a restored card; again, while running, it is a second device with our key.
        """
        own = self.replica
        if head.position <= (own.epoch, max(own.version, self._signing.version if self._signing else 0)):
            return
        if self._adopted:
            text = "another device runs with this node's key (a cloned card?): give one a new key with `edgecache init`"
            out.effect(Warned("cloned", text))
        self._adopted = True
        values = {entry.key: entry.value for entry in live((self._signing or own).entries)} | self._staged
        self._signing = None
        self.replica = Replica(own.owner, epoch=head.epoch + 1, received=own.received)
        self._staged = {key: value for key, value in values.items() if value is not None}
        out.timer(FLUSH, now + self._config.flush_delay)
