"""Resource paths: what is built is parsed, what is not built is refused."""

from __future__ import annotations

import pytest

from edgecache.model.errors import MalformedMessage
from edgecache.model.have import HaveSet
from edgecache.model.ids import Digest, blob_id_from_root
from edgecache.wire import messages as m
from edgecache.wire.codec import KINDS
from edgecache.wire.paths import chunk_path, chunk_query, manifest_path, parse_chunk, parse_page, path_of

BLOB = blob_id_from_root(b"root")
DIGEST = Digest(bytes(range(32)))
HEX = DIGEST.hex()


def test_every_message_has_a_path() -> None:
    for kind in KINDS:
        if kind.cls is not m.Have:
            blank: m.Message = object.__new__(kind.cls)
            assert path_of(blank)[0] in ("node", "gossip", "directory", "chunk")
    assert path_of(m.Have(BLOB, HaveSet(), True, True)) == ("blob", BLOB, "have")
    assert manifest_path(BLOB) == ("blob", BLOB, "manifest")


@pytest.mark.parametrize("index", [0, 1, 2**20 - 1])
def test_chunk_requests_are_parsed_as_they_were_built(index: int) -> None:
    path, query = chunk_path(DIGEST), chunk_query(BLOB, index)
    assert path[0] == "chunk"
    assert parse_chunk(path[1:], query) == (DIGEST, BLOB, index)
    assert parse_chunk(path[1:], (*reversed(query), "later=1")) == (DIGEST, BLOB, index)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ((), (f"b={BLOB}", "i=0")),
        ((HEX, "more"), (f"b={BLOB}", "i=0")),
        ((HEX.upper(),), (f"b={BLOB}", "i=0")),
        ((" ".join(HEX),), (f"b={BLOB}", "i=0")),
        ((HEX[:-2],), (f"b={BLOB}", "i=0")),
        ((HEX,), ("i=0",)),
        ((HEX,), (f"b={BLOB[:20]}", "i=0")),
        ((HEX,), (f"b={BLOB}",)),
        ((HEX,), (f"b={BLOB}", "i")),
        *(((HEX,), (f"b={BLOB}", f"i={wrong}")) for wrong in ("", "-1", "+1", "01", "1_0", "٣", "1048576", "9" * 5000)),
    ],
)
def test_other_chunk_requests_are_refused(path: tuple[str, ...], query: tuple[str, ...]) -> None:
    with pytest.raises(MalformedMessage):
        parse_chunk(path, query)


def test_pages_are_numbers() -> None:
    assert parse_page(()) is None
    assert parse_page(("later=1",)) is None
    assert parse_page(("page=7",)) == 7
    for wrong in ("", "-1", "x", "²", "123456"):
        with pytest.raises(MalformedMessage):
            parse_page((f"page={wrong}",))
