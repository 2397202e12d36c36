"""What we hold and who was told: keeps the homes of our blobs informed, in batches, and again when homes change."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from edgecache.core.directory.records import withdrawal
from edgecache.core.directory.shares import Holding, Shares
from edgecache.core.vocabulary import LinkWanted, MachineName, TimerKey
from edgecache.model.content import BlobInfo
from edgecache.model.ids import BlobId, Digest, NodeId
from edgecache.wire.limits import CLAIMS_MAX
from edgecache.wire.messages import Announce, Claim

if TYPE_CHECKING:
    from random import Random

    from edgecache.core.directory.config import DirectoryConfig
    from edgecache.core.directory.cost import SearchCost
    from edgecache.core.directory.neighbourhood import Neighbourhood
    from edgecache.core.vocabulary import Outbox
    from edgecache.model.instant import Instant

FLUSH = TimerKey(MachineName.DIRECTORY, "flush")
REHOME = TimerKey(MachineName.DIRECTORY, "rehome")
REFRESH = TimerKey(MachineName.DIRECTORY, "refresh")

_TOLD_MAX = 8
"""Homes, present and former, that hear of it when a blob goes; the records of earlier ones lapse."""


@dataclass(slots=True)
class _Absence:
    """A home that could not be reached."""

    pause: float
    until: Instant


class Announcer:
    """Own holdings and the claims still to be sent about them."""

    def __init__(self, around: Neighbourhood, config: DirectoryConfig, cost: SearchCost, rng: Random) -> None:
        self._around, self._config, self._cost, self._rng = around, config, cost, rng
        self._holdings: dict[BlobId, Holding] = {}
        self._shares = Shares(around.me.node)
        self._by_sha256: dict[Digest, dict[BlobId, None]] = {}
        self._news: dict[BlobId, None] = {}
        self._moved: dict[BlobId, None] = {}
        self._pending: dict[NodeId, dict[BlobId, int]] = {}
        """By home: blobs to tell of, with their number of chunks, which is still needed when they are gone."""
        self._repeats: dict[NodeId, None] = {}
        """Homes that are to hear everything again."""
        self._summarised: dict[NodeId, None] = {}
        """Homes that were sent a summary, and may ask for more."""
        self._wanted: dict[NodeId, Instant] = {}
        self._absent: dict[NodeId, _Absence] = {}
        self._flush_at: Instant | None = None
        self._refreshing = False
        self._rehoming = False

    # ---- what we hold

    def claim(self, blob: BlobId) -> Claim | None:
        """Our own claim for a blob."""
        holding = self._holdings.get(blob)
        return self._claim(blob, holding.info.chunks) if holding else None

    def held(self) -> list[BlobId]:
        """Blobs of which we hold something."""
        return list(self._holdings)

    def held_as(self, sha256: Digest) -> list[BlobId]:
        """Blobs of ours whose whole has this digest."""
        return list(self._by_sha256.get(sha256, ()))

    def hold(self, info: BlobInfo, held: int, now: Instant, out: Outbox) -> None:
        """What we hold of a blob has changed."""
        holding = self._holdings.get(info.blob)
        if held <= 0:
            if holding is not None:
                self._let_go(holding)
                self._flush_by(now + self._config.announce_delay, out)
            return
        new = holding is None
        if holding is None:
            holding = self._holdings[info.blob] = Holding(info, held)
            self._shares.move(holding, self._around.ranking.best(info.blob, self._config.homes))
            self._by_sha256.setdefault(info.sha256, {})[info.blob] = None
            self._refresh_later(now, out)
        elif holding.held == held:
            return
        holding.held = held
        self._shares.changed(holding)
        self._news[info.blob] = None
        soon = new or held >= info.chunks
        self._flush_by(now + (self._config.announce_delay if soon else self._config.progress_delay), out)

    def _let_go(self, holding: Holding) -> None:
        blob = holding.info.blob
        del self._holdings[blob]
        same = self._by_sha256[holding.info.sha256]
        del same[blob]
        if not same:
            del self._by_sha256[holding.info.sha256]
        self._news.pop(blob, None)
        self._moved.pop(blob, None)
        for home in list(self._pending):
            self._pending[home].pop(blob, None)
            if not self._pending[home]:
                del self._pending[home]
        present = dict.fromkeys(node for _, node in holding.homes)  # they may know of it from an earlier boot
        self._shares.move(holding, [])
        for home in holding.told | present:
            if home != self._around.me.node:
                self._pending.setdefault(home, {})[blob] = holding.info.chunks

    # ---- homes change

    def joined(self, node: NodeId, now: Instant, out: Outbox) -> None:
        """A node entered the ranking."""
        for blob, holding in self._holdings.items():
            self._enter(blob, holding, node)
        self._rehome_later(now, out)

    def reweighed(self, node: NodeId, now: Instant, out: Outbox) -> None:
        """A node in the ranking has another weight."""
        for blob, holding in self._holdings.items():
            if any(home == node for _, home in holding.homes):
                self._shares.move(holding, self._around.ranking.best(blob, self._config.homes))
                self._moved[blob] = None
            else:
                self._enter(blob, holding, node)
        self._rehome_later(now, out)

    def _enter(self, blob: BlobId, holding: Holding, node: NodeId) -> None:
        count, scored = self._config.homes, self._around.ranking.scored(blob, node)
        if len(holding.homes) < count or scored > holding.homes[-1]:
            self._shares.move(holding, sorted([*holding.homes, scored], reverse=True)[:count])
            self._moved[blob] = None

    def left(self, node: NodeId, now: Instant, out: Outbox) -> None:
        """A node is out of the ranking."""
        self._forget(node)
        for blob, holding in self._holdings.items():
            holding.told.pop(node, None)
            if any(home == node for _, home in holding.homes):
                self._shares.move(holding, self._around.ranking.best(blob, self._config.homes))
                self._moved[blob] = None
        self._rehome_later(now, out)

    def reborn(self, node: NodeId, now: Instant, out: Outbox) -> None:
        """A node may have lost what it was told: it restarted, or was thought dead."""
        for blob, holding in self._holdings.items():
            if holding.told.pop(node, 0) is None:
                self._moved[blob] = None
        self._absent.pop(node, None)
        self._rehome_later(now, out)

    def _forget(self, node: NodeId) -> None:
        self._pending.pop(node, None)
        self._repeats.pop(node, None)
        self._summarised.pop(node, None)
        self._wanted.pop(node, None)
        self._absent.pop(node, None)

    def _rehome_later(self, now: Instant, out: Outbox) -> None:
        if self._moved and not self._rehoming:
            self._rehoming = True
            out.timer(REHOME, now + self._config.rehome_spread * self._rng.random())

    def rehome(self, now: Instant, out: Outbox) -> None:
        """Tell homes that do not know yet."""
        self._rehoming = False
        for blob in self._moved:
            holding = self._holdings[blob]
            for _, home in holding.homes:
                if home not in holding.told:
                    self._tell(home, holding)
        self._moved.clear()
        self._drain(now, out)

    # ---- repetition

    def refresh(self, now: Instant, out: Outbox) -> None:
        """Repeat everything, so that records do not lapse."""
        self._refreshing = False
        for home in self._shares.counts():
            self._repeats[home] = None
        self._refresh_later(now, out)
        self.flush(now, out)

    def refresh_interval(self) -> float:
        """Seconds between repetitions: what one costs, at the rate that may be spent on it."""
        config, cost = self._config, 0
        for home, copies in self._shares.counts().items():
            cost += config.summary_bytes if self._around.batching(home) else copies * config.claim_bytes
            if not self._around.linked(home):
                cost += config.link_bytes
        return min(max(cost / self._config.refresh_rate, self._config.refresh_min), self._config.refresh_max)

    def _refresh_later(self, now: Instant, out: Outbox) -> None:
        if self._holdings and not self._refreshing:
            self._refreshing = True
            out.timer(REFRESH, now + self.refresh_interval() * (0.9 + 0.2 * self._rng.random()))

    def say_again(self, home: NodeId, now: Instant, out: Outbox) -> None:
        """A home has not what the summary says: tell it everything, once for each summary."""
        if home in self._summarised:
            del self._summarised[home]
            self._tell_all(home)
            self._drain(now, out)

    def _tell_all(self, home: NodeId) -> None:
        for holding in self._holdings.values():
            if any(node == home for _, node in holding.homes):
                self._tell(home, holding)

    # ---- sending

    def _flush_by(self, at: Instant, out: Outbox) -> None:
        if self._flush_at is None or at < self._flush_at:
            self._flush_at = at
            out.timer(FLUSH, at)

    def flush(self, now: Instant, out: Outbox) -> None:
        """Send what is due, to whom a link is there; ask for links to the others."""
        self._flush_at = None
        for blob in self._news:
            holding = self._holdings[blob]
            for _, home in holding.homes:
                self._tell(home, holding)
        self._news.clear()
        self._drain(now, out)

    def link_up(self, peer: NodeId, now: Instant, out: Outbox) -> None:
        """A link is there: send what waited for it."""
        self._wanted.pop(peer, None)
        self._absent.pop(peer, None)
        if peer in self._pending or peer in self._repeats:
            self._drain(now, out)

    def link_unavailable(self, peer: NodeId, now: Instant, out: Outbox) -> None:
        """A link cannot be had: try again later, the next home now."""
        if self._wanted.pop(peer, None) is not None:
            self._back_off(peer, now)
            self._drain(now, out)

    def _tell(self, home: NodeId, holding: Holding) -> None:
        if home != self._around.me.node:
            self._pending.setdefault(home, {})[holding.info.blob] = holding.info.chunks

    def _drain(self, now: Instant, out: Outbox) -> None:
        for peer, asked in list(self._wanted.items()):
            if asked + self._config.want_timeout <= now:
                del self._wanted[peer]
                self._back_off(peer, now)
        due: list[Instant] = []
        for home in list(self._pending | self._repeats):
            absence = self._absent.get(home)
            if self._around.linked(home):
                if self._send(home, out):
                    due.append(now + self._config.announce_pause)
            elif home in self._wanted:
                due.append(self._wanted[home] + self._config.want_timeout)
            elif absence is not None and absence.until > now:
                due.append(absence.until)
            elif len(self._wanted) < self._config.wants_max:
                self._wanted[home] = now
                due.append(now + self._config.want_timeout)
                out.tell(LinkWanted(home, self._around.member(home)))
        if due:
            self._flush_by(min(due), out)

    def _back_off(self, home: NodeId, now: Instant) -> None:
        before = self._absent.pop(home, None)
        pause = min(2 * before.pause, self._config.retry_max) if before else self._config.retry_min
        if home in self._pending or home in self._repeats:
            self._absent[home] = _Absence(pause, now + pause * (0.75 + 0.5 * self._rng.random()))

    def _send(self, home: NodeId, out: Outbox) -> bool:
        """Tell a linked home what it should hear; True when that is to go on after a pause."""
        if home in self._repeats and not self._around.batching(home):
            del self._repeats[home]
            self._tell_all(home)
        pending = self._pending.pop(home, {})
        first = list(islice(pending, CLAIMS_MAX * self._config.announces_at_once))
        claims = [self._claim(blob, pending.pop(blob)) for blob in first]
        for at in range(0, len(claims), CLAIMS_MAX):
            out.send(home, Announce(tuple(claims[at : at + CLAIMS_MAX])))
            self._cost.announcements += 1
        self._cost.claims += len(claims)
        for claim in claims:
            if (holding := self._holdings.get(claim.blob)) is not None:
                self._note_told(holding, home)
        if pending:
            self._pending[home] = pending
        elif home in self._repeats:
            del self._repeats[home]
            self._summarise(home, out)
        return home in self._pending or home in self._repeats

    def _summarise(self, home: NodeId, out: Outbox) -> None:
        self._summarised[home] = None
        out.send(home, Announce((), self._shares.summary(home)))
        self._cost.announcements += 1

    def _note_told(self, holding: Holding, home: NodeId) -> None:
        holding.told[home] = None
        if len(holding.told) > _TOLD_MAX:
            present = [node for _, node in holding.homes]
            former = next(node for node in holding.told if node not in present)
            del holding.told[former]

    def _claim(self, blob: BlobId, chunks: int) -> Claim:
        holding = self._holdings.get(blob)
        if holding is None:
            return withdrawal(blob, self._around.me.node, chunks)
        return Claim(blob, self._around.me.node, min(holding.held, chunks), chunks)
