"""The swarm and serving machines under arbitrary events, some of them hostile: bounds hold, accounts balance."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from edgecache.core.serving import Serving, ServingConfig
from edgecache.core.swarm import SwarmConfig
from edgecache.core.vocabulary import (
    BlobCompleted,
    BlobGone,
    CancelFetch,
    ChunkProgress,
    FetchChunk,
    FetchFailure,
    FetchManifest,
    FetchUnwanted,
    FetchWanted,
    LinkDown,
    LinkUnavailable,
    ManifestFailed,
    ManifestStored,
    MessageReceived,
    Misbehaved,
    Outbox,
    RefuseUnit,
    RequestId,
    RoomGranted,
    RoomRefused,
    ServeUnit,
    StrainChanged,
    TimerFired,
    UnitAsked,
    UnitServed,
    UnitWithdrawn,
)
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.have import HaveSet
from edgecache.wire.messages import Cancel, Have
from tests.unit.core.swarm.desk import Desk, of
from tests.unit.core.swarm.invariants import check
from tests.unit.core.swarm.world import blob_of, identity, node_id

INFOS = [blob_of(37 * CHUNK_BYTES - 7, b"a"), blob_of(1100 * CHUNK_BYTES, b"b"), blob_of(0, b"c")]
CONFIG = SwarmConfig(
    neighbours_max=16, blobs_per_peer=2, fetches_max=2, unknown_chunks_max=64, inflight_bytes_max=12 * CHUNK_BYTES,
    window_bytes_max=6 * CHUNK_BYTES, barred_max=2, candidates_max=4,
)
REASONS = list(FetchFailure)


class Chaos:
    """Picks events at random: what drivers, peers and users might do, and what only broken ones would."""

    def __init__(self, seed: int, rate: int) -> None:
        self.rng = Random(seed)
        config = CONFIG if not rate else SwarmConfig(download_rate=rate)
        self.desk = Desk(config, seed=seed)
        self.manifests: list[FetchManifest] = []
        self.moves = [
            self.link, self.link, self.unlink, self.have, self.have, self.have, self.want, self.unwant, self.claims,
            self.store, self.store, self.store, self.store, self.store, self.fail, self.progress, self.manifest,
            self.manifest, self.room, self.room, self.timer, self.timer, self.held, self.gone, self.completed,
            self.strain,
        ]

    def step(self) -> None:
        """One event, a little later."""
        self.desk.now += self.rng.choice([0.0, 0.001, 0.05, 2.0])
        self.desk.clear()
        self.rng.choice(self.moves)()
        self.manifests += self.desk.heard(FetchManifest)
        for cancelled in self.desk.heard(CancelFetch):
            self.desk.open.pop(cancelled.request, None)
        check(self.desk.swarm)

    def number(self) -> int:
        return self.rng.randrange(1, 8)

    def link(self) -> None:
        number = self.number()
        self.desk.link(number, tier=self.rng.randrange(3), window=(0, 1, 16)[number % 3])

    def unlink(self) -> None:
        if self.rng.random() < 0.3:
            self.desk.unlink(self.number())
        else:
            self.desk.give(LinkUnavailable(node_id(self.number())))

    def have(self) -> None:
        info = self.rng.choice(INFOS)
        bits = self.rng.choice([0, 1, 2**37 - 1, 2**1100 - 1, 2**5000 - 1, self.rng.getrandbits(1100)])
        message = Have(info.blob, HaveSet(bits), full=self.rng.random() < 0.6, wanting=self.rng.random() < 0.5)
        self.desk.message(self.number(), message)

    def want(self) -> None:
        self.desk.give(FetchWanted(self.rng.choice(INFOS).blob))

    def unwant(self) -> None:
        if self.rng.random() < 0.2:
            self.desk.give(FetchUnwanted(self.rng.choice(INFOS).blob))

    def strain(self) -> None:
        self.desk.give(StrainChanged(self.rng.random() < 0.5))

    def claims(self) -> None:
        self.desk.claims(self.rng.choice(INFOS), *(self.rng.randrange(20) for _ in range(self.rng.randrange(8))))

    def pick(self) -> FetchChunk | None:
        return self.rng.choice(list(self.desk.open.values())) if self.desk.open else None

    def store(self) -> None:
        if (effect := self.pick()) is not None:
            self.desk.store(effect, next(info for info in INFOS if info.blob == effect.blob), seconds=0.01)

    def fail(self) -> None:
        if (effect := self.pick()) is not None:
            self.desk.fail(effect, self.rng.choice(REASONS), self.rng.choice([0.0, 1.0, 1e9]))

    def progress(self) -> None:
        if (effect := self.pick()) is not None:
            self.desk.give(ChunkProgress(effect.request, self.rng.choice([-5, 0, 16384, 65536, CHUNK_BYTES, 10**9])))

    def manifest(self) -> None:
        if not self.manifests:
            return
        effect = self.manifests.pop(self.rng.randrange(len(self.manifests)))
        info = next(info for info in INFOS if info.blob == effect.blob)
        if self.rng.random() < 0.75:
            have = HaveSet(self.rng.choice([0, 0, 5]) & (2**info.chunks - 1))
            self.desk.give(ManifestStored(effect.request, effect.peer, info, effect.page, have))
        else:
            reason = self.rng.choice(REASONS)
            self.desk.give(ManifestFailed(effect.request, effect.peer, effect.blob, reason))

    def room(self) -> None:
        blob = self.rng.choice(INFOS).blob
        self.desk.give(RoomGranted(blob) if self.rng.random() < 0.9 else RoomRefused(blob, "no"))

    def timer(self) -> None:
        if self.desk.timers:
            key = self.rng.choice(sorted(self.desk.timers, key=lambda key: (key.name, str(key.subject))))
            self.desk.now = max(self.desk.now, self.desk.timers.pop(key))
            self.desk.give(TimerFired(key))

    def held(self) -> None:
        if self.rng.random() < 0.3:
            info = self.rng.choice(INFOS)
            some = [index for index in range(info.chunks) if self.rng.random() < 0.5]
            self.desk.hold(info, None if self.rng.random() < 0.2 else some or [0], wanted=self.rng.random() < 0.5)

    def gone(self) -> None:
        if self.rng.random() < 0.3:
            self.desk.give(BlobGone(self.rng.choice(INFOS).blob))

    def completed(self) -> None:
        if self.rng.random() < 0.3:
            self.desk.give(BlobCompleted(self.rng.choice(INFOS).blob))


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from([0, 0, 10**6]))
def test_accounts_balance_and_bounds_hold_whatever_happens(seed: int, rate: int) -> None:
    chaos = Chaos(seed, rate)
    for _ in range(120):
        chaos.step()


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from([0, 500_000]))
def test_serving_answers_each_unit_once_and_within_its_bounds(seed: int, rate: int) -> None:
    rng, now = Random(seed), 0.0
    config = ServingConfig(upload_rate=rate, window=4, slots=6, asker_units=3, bytes_max=3 * CHUNK_BYTES)
    serving = Serving(identity(0), config)
    units: dict[RequestId, UnitAsked] = {}
    waiting: dict[RequestId, None] = {}
    granted: dict[RequestId, None] = {}
    timers: list[TimerFired] = []
    blob = INFOS[0].blob
    for number in range(200):
        now += rng.choice([0.0, 0.01, 0.3])
        move = rng.randrange(8)
        out = Outbox()
        peer = node_id(rng.randrange(1, 6))
        if move < 4:
            size = rng.choice([16384, CHUNK_BYTES, CHUNK_BYTES, 0, 10**9])
            unit = UnitAsked(RequestId(number), peer, blob, rng.randrange(37), size, CHUNK_BYTES)
            units[unit.request] = unit
            waiting[unit.request] = None
            serving.handle(unit, now, out)
        elif move == 4 and granted:
            request = rng.choice(list(granted))
            del granted[request]
            serving.handle(UnitServed(request) if rng.random() < 0.7 else UnitWithdrawn(request), now, out)
        elif move == 5 and waiting:
            request = rng.choice(list(waiting))
            del waiting[request]
            serving.handle(UnitWithdrawn(request), now, out)
        elif move == 6:
            if rng.random() < 0.3:
                serving.handle(LinkDown(peer, planned=True), now, out)
                for table in (waiting, granted):
                    for request in [request for request in table if units[request].peer == peer]:
                        del table[request]
            else:
                serving.handle(MessageReceived(peer, Cancel(blob, tuple(range(20)))), now, out)
        elif timers:
            serving.handle(timers.pop(0), now, out)
        for effect in out.effects:
            match effect:
                case ServeUnit(request):
                    del waiting[request]
                    granted[request] = None
                case RefuseUnit(request):
                    del waiting[request]
                case _ if hasattr(effect, "key"):
                    timers.append(TimerFired(effect.key))
        assert all(units[one].size <= CHUNK_BYTES for one in granted)
        assert of(Misbehaved, out.notices) == [] or units[RequestId(number)].size in (0, 10**9)
        assert serving.queued == len(waiting)
        for asker in serving._askers.values():
            assert asker.waiting == len(list(asker.units())) == len([u for u in waiting if units[u].peer == asker.node])
        assert serving.in_progress == len(granted) <= config.slots
        assert serving.bytes_in_progress == sum(units[one].size for one in granted) <= config.bytes_max
        for number_of in range(1, 6):
            mine = [one for one in waiting if units[one].peer == node_id(number_of)]
            assert len(mine) <= config.window
            mine = [one for one in granted if units[one].peer == node_id(number_of)]
            assert len(mine) <= config.asker_units
            assert sum(units[one].size for one in mine) <= config.asker_bytes
