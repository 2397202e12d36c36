"""Bounds and rules of the codec, one by one; and that the published schema lists what the codec speaks."""

from __future__ import annotations

import re
import time
from importlib.resources import files
from typing import Any

import cbor2
import pytest

from edgecache.model.content import MAX_BLOB_BYTES
from edgecache.model.errors import LocalProtocolError, MalformedMessage
from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobRef, Digest, blob_id_from_root, node_id_from_bytes
from edgecache.model.peer import Address, CloseReason, PeerInfo
from edgecache.wire import limits
from edgecache.wire import messages as m
from edgecache.wire.codec import HEAD_DOMAIN, KINDS, decode, encode, encode_signed_head, map_hash

NODE = node_id_from_bytes(b"n" * 16)
BLOB = blob_id_from_root(b"root")
RAW_BLOB = b"\x01" + bytes(32)
DIGEST = Digest(b"d" * 32)
HELLO = m.Hello(NODE, "mesh", "home", "pi", 3, 4, (Address("10.0.0.1", 5684),), host=b"machine1")


def fields_of(message: m.Message) -> dict[int, Any]:
    found: dict[int, Any] = cbor2.loads(encode(message))
    return found


def changed(message: m.Message, **fields: Any) -> bytes:
    """A message with some fields, named `k1`, `k2` ..., replaced, or removed by `...`."""
    found = fields_of(message) | {int(name[1:]): value for name, value in fields.items()}
    return cbor2.dumps({key: found[key] for key in sorted(found) if found[key] is not ...})


def complaint(data: bytes) -> str:
    with pytest.raises(MalformedMessage) as caught:
        decode(data)
    return caught.value.message


def push(*entries: m.Entry, since: int = 0, version: int = 9) -> m.StatePush:
    return m.StatePush(NODE, 1, since, version, entries, DIGEST, b"s" * 64)


def test_keys_ascend_and_numbers_are_used_once() -> None:
    assert [kind.number for kind in KINDS] == list(range(1, len(KINDS) + 1))
    for kind in KINDS:
        keys = [field.key for field in kind.fields]
        assert keys == sorted(set(keys))
        assert 0 not in keys


def test_the_schema_lists_every_kind_and_key() -> None:
    schema = (files("edgecache.wire") / "edgecache.cddl").read_text()
    rules = {found[1]: found[2] for found in re.finditer(r"^([a-z-]+) = \{[^\n]*\n(.*?)^\}", schema, re.M | re.S)}
    for kind in KINDS:
        rule = rules[re.sub(r"(?<!^)(?=[A-Z])", "-", kind.cls.__name__).lower()]
        lines = re.findall(r"^  (\? )?(\d+): ([^;\n]*?),\s*(?:;(.*))?$", rule, re.M)
        assert lines[0][1:3] == ("0", str(kind.number))
        assert [int(key) for _, key, _, _ in lines[1:]] == [field.key for field in kind.fields]
        for (optional, key, *_), field in zip(lines[1:], kind.fields, strict=True):
            assert bool(optional) == (not field.required), (kind.cls, key)
    for word in (HEAD_DOMAIN, "edgecache state map 1"):
        assert f'"{word}"' in schema


@pytest.mark.parametrize(
    "phrase",
    [
        f"[0*{limits.ADDRESSES_MAX} address]",
        f"[0*{limits.FEATURES_MAX} name]",
        f"[0*{limits.PEERS_MAX} peer]",
        f"[0*{limits.RUMOURS_MAX} rumour]",
        f"[0*{limits.HEADS_MAX} head]",
        f"[0*{limits.ENTRIES_MAX} entry]",
        f"[0*{limits.CLAIMS_MAX} claim]",
        f"[0*{limits.PROVIDERS_MAX} claim]",
        f"[0*{limits.PROVIDERS_MAX} peer]",
        f"[0*{limits.CANCELS_MAX} index]",
        f"[0*{limits.RUNS_MAX} chunks]",
        f"chunks   = 0..{limits.CHUNKS_MAX}",
        f"4: 0..{limits.FLOOD_TTL_MAX},",
        f".size (0..{limits.VALUE_BYTES_MAX})",
        f".size (0..{limits.SIGNATURE_BYTES_MAX})",
        f".size (0..{limits.CERTIFICATE_BYTES_MAX})",
        f"2: 0..{MAX_BLOB_BYTES},",
    ],
)
def test_the_schema_has_the_limits_of_the_code(phrase: str) -> None:
    assert phrase in (files("edgecache.wire") / "edgecache.cddl").read_text()


# ---- The frame -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xa0",
        b"\x80",
        b"\x00",
        b"\xff",
        b"\xa1\x00",
        b"\xa1\x00\x07\x00",  # a byte too many
        b"\xa2\x00\x07",  # a pair too few
        b"\xa1\x00\x18\x63",  # no such kind
        b"\xa1\x01\x07",  # no kind
        b"\xbf\x00\x07\xff",  # indefinite length
        b"\xa2\x00\x07\x00\x07",  # a key twice
        b"\xa3\x00\x07\x04\x00\x02\x00",  # keys do not ascend
        b"\xa2\x00\x07\x20\x00",  # a negative key
        b"\xa2\x00\x07\xf5\x00",  # a key that only equals a number
        b"\xa2\x00\x07\x1a\x00\x01\x00\x00\x00",  # a key beyond 65535
        b"\xa2\x00\x07\x02\xc0\x60",  # a tag
        b"\xa2\x00\x07\x02\xc2\x41\x01",  # a tag that has a meaning to the library
        b"\xa2\x00\x07\x02\xd8\x1c\x80",  # a shared value
        b"\xa2\x00\x07\x02" + b"\x81" * 6 + b"\x00",  # too deep
        b"\xa2\x00\x07\x02\xa1\x05\x00",  # an inner map with a key whose hash can be chosen
        b"\xb8\x80" + b"\x00\x07" * 128,  # too many keys
    ],
)  # fmt: skip
def test_frame_is_refused(raw: bytes) -> None:
    assert complaint(raw)


def test_unknown_even_keys_are_ignored_and_odd_ones_refused() -> None:
    lookup = m.Lookup(1, BLOB)
    assert decode(changed(lookup, k6="later", k100=[1, {"a": 2}])) == lookup
    assert "critical key 5" in complaint(changed(lookup, k5="later"))


def test_hello_keeps_small_unknown_keys_and_sends_them() -> None:
    received = decode(changed(HELLO, k100="later", k102=b"x" * 300))
    assert isinstance(received, m.Hello)
    assert received.extra == {100: "later"}
    assert decode(encode(received)) == received
    assert "critical key 101" in complaint(changed(HELLO, k101=1))
    many = {f"k{100 + 2 * at}": 0 for at in range(limits.EXTRA_KEYS_MAX + 1)}
    assert "unknown keys" in complaint(changed(HELLO, **many))


def test_extra_keys_never_replace_known_ones() -> None:
    with pytest.raises(LocalProtocolError):
        encode(m.Hello(NODE, "", "", "", 1, 1, (), extra={6: 99}))


def test_peers_and_limits_may_grow() -> None:
    peer = PeerInfo(NODE, (), "home", "pi", 1)
    grown = fields_of(m.Gossip((peer,)))
    grown[1][0].append("later")
    assert decode(cbor2.dumps(grown)) == m.Gossip((peer,))
    assert decode(changed(HELLO, k11=[16, 512 * 1024, "later"])) == HELLO
    assert "not an array of owner, epoch, version" in complaint(
        changed(m.StateDigest(()), k1=[[b"n" * 16, 1, 2, "later"]])
    )


@pytest.mark.parametrize(
    ("kind", "limit"), [(1, limits.HELLO_BYTES_MAX), (3, limits.CONTROL_BYTES_MAX), (13, limits.HAVE_BYTES_MAX)]
)
def test_size_is_checked_before_anything_else(kind: int, limit: int) -> None:
    at_limit = b"\xa1\x00" + bytes([kind]) + b"\xff" * (limit - 3)
    assert "bytes where" not in complaint(at_limit)
    assert "bytes where" in complaint(at_limit + b"\xff")


def test_colliding_keys_do_not_stall_the_decoder() -> None:
    """Arrays as keys of an inner map are refused at the first one, however many follow."""
    pairs = b"".join(cbor2.dumps([at, at]) + b"\x00" for at in range(10_000))[: limits.CONTROL_BYTES_MAX - 10]
    started = time.process_time()
    assert complaint(b"\xa2\x00\x07\x02\xb9\x27\x10" + pairs)
    assert time.process_time() - started < 0.1


# ---- The fields ----------------------------------------------------------------------------------------------------


def test_a_complaint_says_where() -> None:
    address = ["10.0.0.1", 0]
    assert complaint(changed(m.Gossip(), k1=[[b"n" * 16, [address], "", "", 0]])) == (
        "Gossip.peers[0].addresses[0].port: not an integer from 1 to 65535"
    )
    assert complaint(changed(m.Lookup(1, BLOB), k2=...)) == "Lookup.blob: is missing"


@pytest.mark.parametrize("wrong", [True, -1, 2**63, 1.0, "1", None, b"1"])
def test_counters_are_63_bit_integers(wrong: object) -> None:
    assert complaint(changed(HELLO, k6=wrong)).startswith("Hello.epoch: ")


@pytest.mark.parametrize("wrong", ["x" * 65, "é" * 33, "a\nb", "\x1b[31m", "\u202eevil", b"pi", None])
def test_names_are_short_and_printable(wrong: object) -> None:
    assert complaint(changed(HELLO, k5=wrong)).startswith("Hello.name: ")
    with pytest.raises(LocalProtocolError):
        encode(m.Hello(NODE, "", "", wrong, 1, 1, ()))  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["localhost", "10.0.0", "1.2.3.4.5", "fe80::1%", "::1%e/0", "1.2.3.4\n", "::g", ""])
def test_addresses_are_ip_literals(host: str) -> None:
    assert complaint(changed(HELLO, k8=[[host, 1]])).startswith("Hello.addresses[0].host: ")


@pytest.mark.parametrize("wrong", [b"", b"n" * 15, b"n" * 17, "n" * 16])
def test_node_ids_are_16_bytes(wrong: object) -> None:
    assert complaint(changed(HELLO, k2=wrong)).startswith("Hello.node: ")


@pytest.mark.parametrize("wrong", [b"\x02" + bytes(32), bytes(33), b"\x01" + bytes(31), "b"])
def test_blob_ids_have_a_version_that_we_know(wrong: object) -> None:
    assert complaint(changed(m.Lookup(1, BLOB), k2=wrong)).startswith("Lookup.blob: ")


@pytest.mark.parametrize("wrong", [[], [1], [2, 1], [1, 2, 3], [0, 1]])
def test_versions_are_lowest_and_highest(wrong: object) -> None:
    assert complaint(changed(HELLO, k1=wrong)).startswith("Hello")


@pytest.mark.parametrize("wrong", [b"7 bytes", b"9 bytes.."])
def test_host_is_8_bytes_or_nothing(wrong: bytes) -> None:
    assert complaint(changed(HELLO, k9=wrong)).startswith("Hello")


def test_close_reasons_and_statuses_are_closed() -> None:
    assert complaint(changed(m.Goodbye(CloseReason.SHED), k1=9)).startswith("Goodbye.reason: ")
    rumour = [b"n" * 16, 4, 0, b"n" * 16]
    assert complaint(changed(m.Gossip(), k2=[rumour])).startswith("Gossip.rumours[0].status: ")


def test_claims_never_hold_more_than_there_is() -> None:
    assert complaint(changed(m.Announce(()), k1=[[RAW_BLOB, b"n" * 16, 3, 2]])).startswith("Announce.claims[0]: ")
    with pytest.raises(LocalProtocolError):
        encode(m.Announce((m.Claim(BLOB, NODE, 3, 2),)))


@pytest.mark.parametrize(
    "wrong",
    [
        push(m.Entry("a", 10, b"")),
        push(m.Entry("a", 3, b""), since=3),
        push(m.Entry("a", 4, b""), m.Entry("a", 5, b"")),
        push(since=10),
        push(*(m.Entry(f"k{at}", 1, b"x" * 4000) for at in range(5))),
        push(m.Entry("a", 1, b"x" * 4097)),
        push(m.Entry("a b", 1, b"")),
        push(m.Entry("", 1, b"")),
        push(m.Entry("k" * 97, 1, b"")),
        push(*(m.Entry(f"k{at}", 1, b"") for at in range(257))),
    ],
    ids=["above", "below", "twice", "backwards", "large", "value", "space", "empty", "key", "many"],
)
def test_pushes_keep_their_range_and_their_quota(wrong: m.StatePush) -> None:
    with pytest.raises(LocalProtocolError):
        encode(wrong)
    rows = [[entry.key, entry.version, entry.value] for entry in wrong.entries]
    assert complaint(changed(push(), k3=wrong.since, k4=wrong.version, k5=rows)).startswith("StatePush")


def test_full_quota_fits() -> None:
    entries = tuple(m.Entry(f"k{at:03}", 1, b"x" * 60) for at in range(256))
    assert decode(encode(push(*entries))) == push(*entries)


def test_refs_are_told_apart_by_shape() -> None:
    for ref in (BlobRef(blob=BLOB), BlobRef(sha256=DIGEST), BlobRef(prefix=BLOB[:8])):
        flood = m.Flood(1, NODE, ref, 3)
        assert decode(encode(flood)) == flood
    for wrong in (b"x" * 31, "b", "b" * 100, f"sha256:{'0' * 64}", str(BLOB), 7):
        assert complaint(changed(m.Flood(1, NODE, BlobRef(blob=BLOB), 3), k3=wrong)).startswith("Flood.ref: ")


@pytest.mark.parametrize("ref", [BlobRef(), BlobRef(prefix="b"), BlobRef(prefix="nonsense"), BlobRef(prefix=str(BLOB))])
def test_a_ref_that_nobody_would_read_is_not_sent(ref: BlobRef) -> None:
    with pytest.raises(LocalProtocolError):
        encode(m.Flood(1, NODE, ref, 3))


def test_flood_hops_are_bounded() -> None:
    assert complaint(changed(m.Flood(1, NODE, BlobRef(blob=BLOB), 3), k4=5)).startswith("Flood.ttl: ")


# ---- Have-sets -----------------------------------------------------------------------------------------------------

HAVE = m.Have(BLOB, HaveSet(), True, False)


@pytest.mark.parametrize(
    "wrong",
    [
        [1],
        [1, 2, 3],
        [0, 0],
        [0, 1, 0, 1],
        [0, -1],
        [True, 1],
        [0, 2**20 + 1],
        [2**63, 1],
        [1] * (limits.RUNS_MAX + 2),
        b"\x01\x00",
        b"\xff" * (2**17 + 1),
        7,
        None,
    ],
    ids=lambda wrong: repr(wrong)[:20],
)
def test_have_sets_have_one_form_and_an_end(wrong: object) -> None:
    assert complaint(changed(HAVE, k2=wrong)).startswith("Have.have: ")


@pytest.mark.parametrize(
    ("have", "form"),
    [
        (HaveSet(), []),
        (HaveSet.full(1024), [0, 1024]),
        (HaveSet.full(2**20), [0, 2**20]),
        (HaveSet.of([0]), b"\x01"),
        (HaveSet.of([1000]), [1000, 1]),
        (HaveSet.of([24, 26]), b"\0\0\0\x05"),
        (HaveSet.of([24, 25, 26]), [24, 3]),
        (HaveSet.of(range(0, 64, 2)), b"\x55" * 8),
        (HaveSet.of([2**20 - 1]), [2**20 - 1, 1]),
    ],
    ids=repr,
)
def test_have_sets_take_the_shorter_form(have: HaveSet, form: object) -> None:
    message = m.Have(BLOB, have, True, False)
    assert fields_of(message)[2] == form
    assert decode(encode(message)) == message


def test_the_largest_have_set_fits_and_a_larger_one_does_not() -> None:
    every_other = HaveSet(int.from_bytes(b"\xaa" * 2**17, "little"))
    message = m.Have(BLOB, every_other, True, True)
    assert decode(encode(message)) == message
    with pytest.raises(LocalProtocolError):
        encode(m.Have(BLOB, HaveSet.of([2**20]), False, False))


# ---- Signed bytes --------------------------------------------------------------------------------------------------


def test_signed_bytes_are_pinned() -> None:
    """Every node of a mesh must agree on these for ever."""
    assert encode_signed_head(NODE, 1, 2, DIGEST).hex() == (
        "8576" + b"edgecache state head 1".hex() + "50" + "6e" * 16 + "0102" + "5820" + "64" * 32
    )
    entries = [m.Entry("r/b", 2, None), m.Entry("r/a", 1, b"x")]
    assert map_hash(entries).hex() == "1c53b0de048e133a8132ca15c596c6cdd70bc08ea01ab2aab67bb61da41632d6"


def test_only_what_can_be_signed_is() -> None:
    with pytest.raises(LocalProtocolError):
        encode_signed_head(NODE, -1, 2, DIGEST)
