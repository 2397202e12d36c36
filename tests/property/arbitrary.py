"""Arbitrary values of everything that goes over the wire, within its bounds."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from edgecache.model.content import chunk_count
from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobRef, Digest, blob_id_from_bytes, node_id_from_bytes
from edgecache.model.peer import Address, CloseReason, Limits, PeerInfo
from edgecache.wire import messages as m

counters = st.one_of(st.integers(0, 30), st.integers(0, 2**63 - 1))
queries = st.integers(0, 2**64 - 1)
nodes = st.binary(min_size=16, max_size=16).map(node_id_from_bytes)
blobs = st.binary(min_size=32, max_size=32).map(lambda raw: blob_id_from_bytes(b"\x01" + raw))
digests = st.binary(min_size=32, max_size=32).map(Digest)
names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")), max_size=16)
keys = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)

hosts = st.one_of(
    st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str), st.just("fe80::1%eth0"), st.just("fe80::a:1%wlan0")
)
addresses = st.builds(Address, hosts, st.integers(1, 65535))
address_lists = st.lists(addresses, max_size=3).map(tuple)
peers = st.builds(PeerInfo, nodes, address_lists, names, names, counters)
heads = st.lists(st.builds(m.Head, nodes, counters, counters), max_size=4).map(tuple)
rumours = st.builds(m.Rumour, nodes, st.sampled_from(m.MemberStatus), counters, nodes)


@st.composite
def have_sets(draw: st.DrawFn, limit: int = 300) -> HaveSet:
    """Sparse and dense ones, in runs and in bits."""
    if draw(st.booleans()):
        return HaveSet(draw(st.integers(0, (1 << limit) - 1)))
    return HaveSet.from_runs([draw(st.integers(0, 20)), *draw(st.lists(st.integers(1, 60), max_size=8))])


@st.composite
def claims(draw: st.DrawFn) -> m.Claim:
    chunks = draw(st.integers(0, chunk_count(1 << 38)))
    return m.Claim(draw(blobs), draw(nodes), draw(st.integers(0, chunks)), chunks)


@st.composite
def entry_maps(draw: st.DrawFn, since: int = 0) -> list[m.Entry]:
    """Entries of one map, no key twice."""
    values = st.none() | st.binary(max_size=40)
    found = draw(st.dictionaries(keys, st.tuples(st.integers(since + 1, since + 50), values), max_size=6))
    return [m.Entry(key, version, value) for key, (version, value) in found.items()]


@st.composite
def pushes(draw: st.DrawFn) -> m.StatePush:
    since = draw(st.integers(0, 1000))
    return m.StatePush(
        draw(nodes),
        draw(counters),
        since,
        since + 50,
        tuple(draw(entry_maps(since))),
        draw(digests),
        draw(st.binary(min_size=64, max_size=64)),
        draw(st.binary(max_size=100)),
    )


extras: st.SearchStrategy[dict[int, Any]] = st.dictionaries(
    st.integers(50, 500).map(lambda number: 2 * number),
    st.integers(-5, 2**40) | st.text(max_size=20) | st.binary(max_size=20) | st.just([1, [2]]),
    max_size=4,
)
hellos = st.builds(
    m.Hello,
    nodes,
    names,
    names,
    names,
    counters,
    counters,
    address_lists,
    st.sampled_from([b"", b"8 bytes."]),
    st.tuples(st.integers(1, 9), st.integers(9, 65535)),
    st.frozensets(names, max_size=4),
    st.builds(Limits, st.integers(1, 65535), st.integers(1, 2**32 - 1)),
    extras,
)
prefixes = st.from_regex(r"\Ab[a-z2-7]{7,52}\Z")
refs = st.one_of(
    blobs.map(lambda blob: BlobRef(blob=blob)),
    digests.map(lambda digest: BlobRef(sha256=digest)),
    prefixes.map(lambda prefix: BlobRef(prefix=prefix)),
)
_claims = st.lists(claims(), max_size=4).map(tuple)
_flag = st.booleans()

messages_by_kind: dict[type, st.SearchStrategy[Any]] = {
    m.Hello: hellos,
    m.Goodbye: st.builds(m.Goodbye, st.sampled_from(CloseReason), counters),
    m.Gossip: st.builds(m.Gossip, st.lists(peers, max_size=3).map(tuple), st.lists(rumours, max_size=3).map(tuple)),
    m.StateDigest: st.builds(m.StateDigest, heads, _flag),
    m.StateSummary: st.builds(m.StateSummary, st.binary(min_size=1, max_size=32)),
    m.StatePull: st.builds(m.StatePull, heads, _flag),
    m.StatePrune: st.just(m.StatePrune()),
    m.StatePush: pushes(),
    m.Announce: st.builds(
        m.Announce, _claims, st.none() | st.builds(m.Summary, counters, st.binary(min_size=8, max_size=8)),
        st.booleans(),
    ),
    m.Lookup: st.builds(m.Lookup, queries, blobs, st.lists(blobs, max_size=3).map(tuple)),
    m.Providers: st.builds(m.Providers, queries, _claims, st.lists(peers, max_size=2).map(tuple), st.booleans()),
    m.Flood: st.builds(m.Flood, queries, nodes, refs, st.integers(0, 4)),
    m.Have: st.builds(
        m.Have, blobs, have_sets(), _flag, _flag, st.lists(st.integers(0, 2**20 - 1), max_size=16).map(tuple)
    ),
    m.Cancel: st.builds(m.Cancel, blobs, st.lists(st.integers(0, 2**20 - 1), max_size=5).map(tuple)),
}
messages: st.SearchStrategy[m.Message] = st.one_of(*messages_by_kind.values())
