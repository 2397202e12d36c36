"""Rendezvous scores: pinned, since all versions of the agent must agree on them."""

from __future__ import annotations

import pytest

from edgecache.model.ids import node_id_from_bytes
from edgecache.model.rendezvous import score

NODE = node_id_from_bytes(bytes(range(16)))
PINNED = 4.312685281032441


def test_scores_are_pinned() -> None:
    assert score("subject", NODE) == pytest.approx(PINNED, rel=1e-12)
    assert score("subject", NODE, 3.0) == pytest.approx(3 * PINNED, rel=1e-12)


def test_scores_differ_by_subject_and_node() -> None:
    other = node_id_from_bytes(bytes(16))
    scores = [score("subject", NODE), score("subjects", NODE), score("subject", other)]
    assert len(set(scores)) == 3
    assert all(one > 0 for one in scores)
