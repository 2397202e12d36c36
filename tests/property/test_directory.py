"""Homes and provider records, whatever comes and goes."""

from __future__ import annotations

from collections.abc import Callable

import hypothesis.strategies as st
from hypothesis import given, settings

from edgecache.core.directory import DirectoryConfig
from edgecache.core.directory.ranking import Ranking
from edgecache.core.directory.records import ProviderRecords, summary_of
from edgecache.core.directory.shares import Holding, Shares
from edgecache.model.ids import BlobId, NodeId
from edgecache.wire.messages import Announce, Claim
from tests.unit.core.directory.mesh import Mesh, blob_info, node_id

BLOBS = [blob_info(number).blob for number in range(20)]

numbers = st.integers(0, 40)
weights = st.dictionaries(numbers, st.integers(1, 64), min_size=1, max_size=20)


def ranking(of: dict[int, int]) -> Ranking:
    made = Ranking()
    for number, weight in of.items():
        made.put(node_id(number), weight)
    return made


def homes(of: Ranking, blob: BlobId, count: int = 3) -> list[NodeId]:
    return [node for _, node in of.best(blob, count)]


@given(weights, st.randoms(use_true_random=False))
def test_homes_do_not_depend_on_the_order_of_arrival(of: dict[int, int], rng: object) -> None:
    shuffled = list(of.items())
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert all(homes(ranking(of), blob) == homes(ranking(dict(shuffled)), blob) for blob in BLOBS)


@given(weights, numbers, st.integers(1, 64))
def test_a_newcomer_only_pushes_in(of: dict[int, int], number: int, weight: int) -> None:
    before = {blob: homes(ranking({n: w for n, w in of.items() if n != number}), blob) for blob in BLOBS}
    after = ranking(of | {number: weight})
    for blob in BLOBS:
        now = homes(after, blob)
        assert now == before[blob] or [node for node in now if node != node_id(number)] == before[blob][: len(now) - 1]


@given(weights, st.integers(1, 63), st.data())
def test_more_weight_never_loses_a_home(of: dict[int, int], more: int, data: st.DataObject) -> None:
    number = data.draw(st.sampled_from(sorted(of)))
    heavier = ranking(of | {number: of[number] + more})
    for blob in BLOBS:
        if node_id(number) in homes(ranking(of), blob):
            assert node_id(number) in homes(heavier, blob)


@given(st.integers(0, 1000))
def test_equal_nodes_get_equal_shares(offset: int) -> None:
    of = ranking(dict.fromkeys(range(5), 7))
    counts = dict.fromkeys(map(node_id, range(5)), 0)
    for number in range(300):
        for home in homes(of, blob_info(1000 * offset + number).blob):
            counts[home] += 1
    assert all(180 * 0.7 <= count <= 180 * 1.3 for count in counts.values()), counts


steps = st.one_of(
    st.tuples(st.just("join"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("crash"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("reboot"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("hold"), st.integers(0, 9), st.integers(0, 5)),
    st.tuples(st.just("drop"), st.integers(0, 9), st.integers(0, 5)),
    st.tuples(st.just("pause"), st.integers(0, 40), st.just(0)),
)


class History:
    """A mesh and what should be true of it."""

    def __init__(self, seed: int) -> None:
        self.mesh = Mesh(seed, DirectoryConfig(dead_keep=20.0))
        self.boots: dict[int, int] = {}
        self.holds: dict[int, set[int]] = {}

    def take(self, step: tuple[str, int, int]) -> None:
        what, number, blob = step
        actions: dict[str, Callable[[], None]] = {
            "join": lambda: self.join(number),
            "crash": lambda: self.crash(number),
            "reboot": lambda: self.reboot(number),
            "hold": lambda: self.hold(number, blob),
            "drop": lambda: self.drop(number, blob),
            "pause": lambda: self.mesh.run(number / 10),
        }
        actions[what]()

    def join(self, number: int) -> None:
        if number not in self.holds:
            self.boots[number] = self.boots.get(number, 0) + 1
            self.mesh.join(number, epoch=self.boots[number])
            self.holds[number] = set()

    def crash(self, number: int) -> None:
        if number in self.holds:
            self.mesh.crash(node_id(number))
            del self.holds[number]

    def reboot(self, number: int) -> None:
        """So quickly that nobody thought it dead; its store is as it was."""
        if number in self.holds:
            held = self.holds.pop(number)
            self.mesh.vanish(node_id(number))
            self.join(number)
            for blob in sorted(held):
                self.hold(number, blob)

    def hold(self, number: int, blob: int) -> None:
        if number in self.holds:
            self.mesh.hold(node_id(number), blob_info(blob))
            self.holds[number].add(blob)

    def drop(self, number: int, blob: int) -> None:
        if number in self.holds:
            self.mesh.hold(node_id(number), blob_info(blob), 0)
            self.holds[number].discard(blob)

    def holders(self, blob: int) -> set[NodeId]:
        return {node_id(number) for number, held in self.holds.items() if blob in held}


@settings(max_examples=100)
@given(st.integers(0, 2**16), st.lists(steps, min_size=10, max_size=60))
def test_after_any_churn_every_home_knows_every_holder_and_nobody_else(
    seed: int, story: list[tuple[str, int, int]]
) -> None:
    history = History(seed)
    for number in range(3):
        history.join(number)
    for step in story:
        history.take(step)
    mesh = history.mesh
    mesh.run(60.0)
    for blob in range(6):
        holders = history.holders(blob)
        recorded = mesh.recorded(blob_info(blob).blob)
        for node in mesh.nodes.values():
            me = node.identity.node
            if me in node.machine.homes(blob_info(blob).blob):
                assert set(recorded.get(me, [])) == holders - {me}
            else:
                assert set(recorded.get(me, [])) <= holders
            assert mesh.finds(me, blob_info(blob).blob) >= holders - {me}
    assert not any(node.misbehaved for node in mesh.nodes.values())


@settings(max_examples=30)
@given(st.integers(0, 2**16), st.lists(steps, min_size=10, max_size=40))
def test_a_quiet_mesh_says_next_to_nothing(seed: int, story: list[tuple[str, int, int]]) -> None:
    history = History(seed)
    for step in [("join", 1, 0), ("join", 2, 0), *story]:
        history.take(step)
    mesh = history.mesh
    mesh.run(60.0)
    before = len(mesh.messages)
    mesh.run(mesh.config.refresh_min * 5)
    announced = [message for _, _, message in mesh.messages[before:]]
    assert all(isinstance(message, Announce) for message in announced)
    assert len(announced) <= len(mesh.nodes) * mesh.config.homes * 6 * 6


claims = st.builds(
    Claim, st.sampled_from(BLOBS), numbers.map(node_id), st.integers(0, 4), st.just(4)
)


@given(st.lists(st.tuples(claims, st.integers(0, 30)), max_size=200), st.randoms(use_true_random=False))
def test_records_keep_their_bounds_and_their_indexes_agree(
    said: list[tuple[Claim, int]], rng: object
) -> None:
    config = DirectoryConfig(
        blobs_max=12, records_max=30, claims_per_blob=4, claims_per_node=5, record_ttl=100.0, refresh_max=40.0,
        refresh_min=10.0,
    )  # fmt: skip
    records, now = ProviderRecords(config), 0.0
    latest: dict[tuple[BlobId, NodeId], tuple[Claim, float]] = {}
    for claim, pause in said:
        now += pause
        records.expire(now)
        latest = {key: value for key, value in latest.items() if value[1] > now}
        if records.put(claim, now):
            latest[claim.blob, claim.node] = (claim, now + config.record_ttl)
            if claim.held == 0:
                del latest[claim.blob, claim.node]
        if pause == 30:
            records.drop_node(claim.node)
            latest = {key: value for key, value in latest.items() if key[1] != claim.node}
        kept = {(one.blob, one.node): one for blob in BLOBS for one in records.claims(blob, now)}
        assert kept == {key: value[0] for key, value in latest.items()}
        assert len(records) == len(kept) <= config.records_max
        blobs, nodes = [blob for blob, _ in kept], [node for _, node in kept]
        assert set(records._by_node) == set(nodes)
        assert len(set(blobs)) <= config.blobs_max
        assert all(blobs.count(blob) <= config.claims_per_blob for blob in blobs)
        assert all(nodes.count(node) <= config.claims_per_node for node in nodes)
        assert sorted(found for blob in BLOBS for found in records.beginning(blob[:12])) == sorted(set(blobs))


steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "renew", "shorten", "drop", "expire"]),
        st.builds(Claim, st.sampled_from(BLOBS[:6]), st.integers(0, 2).map(node_id), st.integers(0, 4), st.just(4)),
        st.integers(0, 60),
    ),
    max_size=100,
)


@given(steps)
def test_a_summary_is_that_of_what_has_not_lapsed(said: list[tuple[str, Claim, int]]) -> None:
    config = DirectoryConfig(record_ttl=100.0, refresh_max=40.0, refresh_min=10.0, dead_keep=30.0)
    records, now = ProviderRecords(config), 0.0
    believed: dict[NodeId, dict[BlobId, tuple[Claim, float]]] = {node_id(number): {} for number in range(3)}
    for what, claim, pause in said:
        now += pause
        mine = believed[claim.node]
        if what == "put" and records.put(claim, now):
            mine[claim.blob] = (claim, now + config.record_ttl)
            if claim.held == 0:
                del mine[claim.blob]
        elif what == "renew":
            records.renew(claim.node, now)
            mine.update({b: (one, now + config.record_ttl) for b, (one, until) in mine.items() if until > now})
        elif what == "shorten":
            records.shorten(claim.node, now + config.dead_keep)
            mine.update({b: (one, min(until, now + config.dead_keep)) for b, (one, until) in mine.items()})
        elif what == "drop":
            records.drop_node(claim.node)
            mine.clear()
        elif what == "expire":
            records.expire(now)
        kept = {node: [one for one, until in held.values() if until > now] for node, held in believed.items()}
        told = {one for blob in BLOBS for one in records.claims(blob, now)}
        assert told == {one for claims in kept.values() for one in claims}
        if pause % 2:
            assert all(records.summary(node, now) == summary_of(its) for node, its in kept.items())
        if pause % 2 or what == "expire":
            assert len(records) == len(told), "what has lapsed is gone"


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5), st.integers(0, 3), st.sets(st.integers(0, 4), min_size=1, max_size=3), st.booleans()
        ),
        max_size=60,
    )
)
def test_shares_are_those_made_from_scratch(changes: list[tuple[int, int, set[int], bool]]) -> None:
    """Blobs come, grow, move and go; each has 3 chunks."""
    me, shares, holdings = node_id(99), Shares(node_id(99)), dict[BlobId, Holding]()
    for number, held, homes, asked in changes:
        info = blob_info(number, 3)
        holding = holdings.setdefault(info.blob, Holding(info, 0))
        shares.move(holding, [(1.0, node_id(home)) for home in sorted(homes) if held])
        if held:
            holding.held = held
            shares.changed(holding)
        else:
            del holdings[info.blob]
        claims_of = {
            node_id(home): [
                Claim(one.info.blob, me, one.held, one.info.chunks)
                for one in holdings.values() if node_id(home) in [node for _, node in one.homes]
            ]
            for home in range(5)
        }  # fmt: skip
        assert shares.counts() == {home: len(its) for home, its in claims_of.items() if its}
        if asked:
            assert all(shares.summary(home) == summary_of(its) for home, its in claims_of.items())
