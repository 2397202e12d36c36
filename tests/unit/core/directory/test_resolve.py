"""Names that are no full id."""

from __future__ import annotations

import pytest

from edgecache.core.vocabulary import HoldingChanged, Misbehaved, Outbox, Resolved, ResolveWanted
from edgecache.model.ids import BlobRef
from edgecache.wire.messages import Announce, Flood, Providers
from tests.unit.core.directory.mesh import blob_info, claim, node_id, sent, told
from tests.unit.core.directory.talk import INFO, ME, lone, number_of


def resolved(out: Outbox) -> list[Resolved]:
    return [effect for effect in out.effects if isinstance(effect, Resolved)]


def test_a_name_is_asked_of_all_links_and_settles_after_the_first_answer() -> None:
    desk = lone()
    desk.meet(*range(1, 6))
    ref = BlobRef(prefix=INFO.blob[:10])
    floods = sent(desk.hear(ResolveWanted(ref)), Flood)
    assert len(floods) == 5
    assert not desk.hear(ResolveWanted(ref)).effects
    peer, question = floods[0]
    desk.receive(number_of(peer), Providers(question.query, (claim(INFO, 1),)))
    assert desk.waits("resolve") == pytest.approx(0.3)
    desk.receive(number_of(peer), Providers(question.query, (claim(INFO, 2),)))
    assert resolved(desk.fire("resolve")) == [Resolved(ref, (claim(INFO, 1), claim(INFO, 2)))]
    assert not desk.receive(number_of(peer), Providers(question.query, (claim(INFO, 3),))).effects


def test_a_name_nobody_knows_is_asked_twice_and_ends_on_time() -> None:
    desk = lone()
    desk.meet(1)
    ref = BlobRef(sha256=INFO.sha256)
    desk.hear(ResolveWanted(ref))
    assert desk.waits("resolve") == pytest.approx(0.5)
    assert sent(desk.fire("resolve"), Flood)
    assert resolved(desk.fire("resolve")) == [Resolved(ref, ())]
    assert desk.now == pytest.approx(101.0)


def test_without_links_the_answer_is_immediate() -> None:
    desk = lone()
    desk.meet(1, linked=False)
    desk.receive(1, Announce((claim(INFO, 1),)))
    ref = BlobRef(prefix=INFO.blob[:8])
    assert resolved(desk.hear(ResolveWanted(ref))) == [Resolved(ref, (claim(INFO, 1),))]
    other = BlobRef(prefix=blob_info(2).blob[:8])
    assert resolved(desk.hear(ResolveWanted(other))) == [Resolved(other, ())]


def test_what_does_not_fit_the_name_is_an_offence() -> None:
    desk = lone()
    desk.meet(1)
    ((_, question),) = sent(desk.hear(ResolveWanted(BlobRef(prefix=INFO.blob[:10]))), Flood)
    out = desk.receive(1, Providers(question.query, (claim(blob_info(2), 5), claim(INFO, 6))))
    assert [n.peer for n in told(out, Misbehaved)] == [node_id(1)]
    desk.fire("resolve")


@pytest.mark.parametrize("form", ["blob", "prefix", "sha256", "short"])
def test_questions_by_any_name_are_answered(form: str) -> None:
    desk = lone()
    desk.meet(1, 2)
    desk.hear(HoldingChanged(INFO, 4))
    desk.receive(2, Announce((claim(INFO, 2), claim(blob_info(2), 2))))
    ref = {
        "blob": BlobRef(blob=INFO.blob),
        "prefix": BlobRef(prefix=INFO.blob[:9]),
        "sha256": BlobRef(sha256=INFO.sha256),
        "short": BlobRef(prefix=INFO.blob[:3]),
    }[form]
    answers = [message.claims for _, message in sent(desk.receive(1, Flood(5, node_id(50), ref, 3)), Providers)]
    assert answers == ([] if form == "short" else [(claim(INFO, ME), claim(INFO, 2))])
