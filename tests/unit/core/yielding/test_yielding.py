"""A link that yields, on a model of a full router: a rate, a queue, and somebody else."""

from __future__ import annotations

import pytest

from edgecache.core.vocabulary import LinkDown, LinkMeasure, LinksMeasured, Outbox, PaceLink, UploadPaced
from edgecache.core.yielding import Yielding, YieldingConfig
from edgecache.core.yielding.control import BaseDelay, RateControl
from tests.unit.core.swarm.world import identity, node_id

STEP = 0.1
WAY = 0.004
"""Round trip without queues, in seconds."""


class Router:
    """A drop-tail queue before a link of `rate` bytes a second, which two share in proportion to what they send."""

    def __init__(self, rate: float, queue_seconds: float) -> None:
        self.rate, self.limit = rate, rate * queue_seconds
        self.queued = 0.0

    def pass_on(self, ours: float, theirs: float) -> float:
        """Bytes of ours that got through in one step."""
        offered = (ours + theirs) * STEP
        through = min(self.rate * STEP, self.queued + offered)
        self.queued = min(self.queued + offered - through, self.limit)
        return through * ours / max(ours + theirs, 1.0)

    @property
    def delay(self) -> float:
        return WAY + self.queued / self.rate


def share(control: RateControl, router: Router, seconds: float, theirs: float, *, now: float = 0.0) -> float:
    """The part of the link that was ours in the second half of this time."""
    steps, carried = int(seconds / STEP), 0.0
    for step in range(steps):
        passed = router.pass_on(control.rate, theirs)
        carried += passed if step >= steps // 2 else 0.0
        control.delayed(router.delay, now + step * STEP)
        control.passed(int(passed), STEP)
    return carried / (router.rate * STEP * (steps - steps // 2))


@pytest.mark.parametrize("mbit", [5, 20, 100])
@pytest.mark.parametrize("queue", [0.05, 0.2])
def test_an_idle_link_is_used_and_left_to_others(mbit: float, queue: float) -> None:
    router, control = Router(mbit * 125e3, queue), RateControl(YieldingConfig())
    control.known(WAY, 0.0)
    assert share(control, router, 30.0, 0.0) > 0.8
    # Loss-based congestion control keeps the queue full, whatever is taken from it.
    assert share(control, router, 10.0, 1.2 * router.rate, now=30.0) < 0.06
    assert control.rate == YieldingConfig().least
    assert share(control, router, 20.0, 0.0, now=40.0) > 0.8


def test_a_router_with_room_for_all_is_shared() -> None:
    router, control = Router(2.5e6, 0.1), RateControl(YieldingConfig())
    control.known(WAY, 0.0)
    assert 0.4 < share(control, router, 30.0, 0.5 * router.rate) <= 0.55


def test_rate_that_nobody_uses_does_not_grow() -> None:
    control = RateControl(YieldingConfig())
    for step in range(200):
        control.delayed(WAY, step * STEP)
        control.passed(40_000, STEP)
    assert control.rate <= YieldingConfig().headroom * 400_000 + 1


def test_a_link_that_is_not_used_teaches_nothing() -> None:
    control = RateControl(YieldingConfig())
    before = control.rate
    for step in range(50):
        control.delayed(WAY + 0.2 * (step > 5), step * STEP)
        control.passed(10, STEP)
    assert control.rate == before


def test_noise_is_no_queue() -> None:
    control = RateControl(YieldingConfig())
    for step in range(100):
        control.delayed(WAY + (0.2 if step % 3 else 0.0), step * STEP)
        control.passed(int(control.rate * STEP), STEP)
    assert control.rate > 1e6


def test_the_base_is_forgotten_after_some_minutes() -> None:
    base = BaseDelay(10)
    assert base.sample(0.01, 0.0) == 0.01
    assert base.sample(0.05, 599.0) == 0.01
    assert base.sample(0.05, 661.0) == 0.05


def test_rates_are_told_when_they_change_and_forgotten_with_the_link() -> None:
    machine, peer = Yielding(identity(0), YieldingConfig()), node_id(1)
    out = Outbox()
    for step in range(20):
        sent = step * 25_000
        measure = LinkMeasure(peer, 0.005, WAY, WAY, sent, sent)
        machine.handle(LinksMeasured((measure,)), step * STEP, out)
    paces = [effect for effect in out.effects if isinstance(effect, PaceLink)]
    told = [notice for notice in out.notices if isinstance(notice, UploadPaced)]
    assert 2 <= len(paces) < 20
    assert [pace.upload for pace in paces] == [notice.rate for notice in told]
    assert paces[-1].upload > paces[0].upload
    assert all(16384 <= pace.unit <= 262144 and pace.unit & (pace.unit - 1) == 0 for pace in paces)
    assert set(machine.rates()) == {peer}
    machine.handle(LinkDown(peer, planned=True), 3.0, Outbox())
    assert machine.rates() == {}


def test_a_new_link_to_the_same_peer_begins_anew() -> None:
    machine, peer = Yielding(identity(0), YieldingConfig()), node_id(1)
    for step in range(30):
        measure = LinkMeasure(peer, 0.005, WAY, None, step * 25_000, 0)
        machine.handle(LinksMeasured((measure,)), step * STEP, Outbox())
    assert machine.rates()[peer].upload > YieldingConfig().start
    machine.handle(LinksMeasured((LinkMeasure(peer, 0.005, WAY, None, 10, 0),)), 3.1, Outbox())
    assert machine.rates()[peer].upload == YieldingConfig().start


def test_remembered_links_are_bounded() -> None:
    machine = Yielding(identity(0), YieldingConfig(links_max=3))
    for number in range(1, 9):
        machine.handle(LinksMeasured((LinkMeasure(node_id(number), 0.0, 0.0, None, 0, 0),)), 1.0, Outbox())
    assert set(machine.rates()) == {node_id(number) for number in (6, 7, 8)}
