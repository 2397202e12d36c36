"""What `get` says of the digest of the whole."""

from __future__ import annotations

from typing import Any

import pytest

from edgecache.cli.blobs import _Hashed, _print_got
from edgecache.model.errors import StoreCorrupt
from edgecache.model.ids import sha256

PARTS = [b"one", b"two"]
DIGEST = sha256(b"onetwo")


def test_content_on_its_way_is_hashed() -> None:
    for expected in (None, DIGEST):
        content = _Hashed(iter(PARTS), expected)
        assert list(content) == PARTS
        assert content.sha256.digest() == DIGEST


def test_content_that_is_not_what_was_asked_for_never_ends_well() -> None:
    content = iter(_Hashed(iter(PARTS), sha256(b"else")))
    assert [next(content), next(content)] == PARTS
    with pytest.raises(StoreCorrupt, match=DIGEST.hex()):
        next(content)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ({"sha256_checked": True}, ["verified, sha256:aa"]),
        ({"sha256_checked": False}, ["verified; its manifest says sha256:aa"]),
        ({}, ["verified; its manifest says sha256:aa"]),
        ({"sha256_checked": True, "manifest_sha256": "aa"}, ["verified, sha256:aa"]),
        ({"sha256_checked": True, "manifest_sha256": "bb"}, ["verified, sha256:aa", "sha256:bb, which is not so"]),
    ],
)
def test_where_a_digest_is_from_is_said(
    reply: dict[str, Any], said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _print_got({"blob": "b", "size": 6, "sha256": "aa", "sources": {}, **reply}, None)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(said)
    assert all(line.endswith(text) for line, text in zip(lines, said, strict=True))
