"""The small parts of the CoAP adapter: buckets, hello rules, control requests, races, link format, the UDP gate."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from aiocoap import Message
from hypothesis import given
from hypothesis import strategies as st

from edgecache.adapters.coap import framing as f
from edgecache.adapters.coap.blockwise import SNAPSHOT_BYTES_MAX, SNAPSHOTS_MAX, Block, Snapshot, Snapshots
from edgecache.adapters.coap.buckets import Buckets, TokenBucket
from edgecache.adapters.coap.control import UnknownOption, parse_post, post_head
from edgecache.adapters.coap.datagrams import SOURCE_BURST, Gate, source_key, well_formed
from edgecache.adapters.coap.framing import Code, Frame
from edgecache.adapters.coap.greeting import check_hello, diagnostic
from edgecache.adapters.coap.linkformat import Link, render
from edgecache.adapters.coap.race import first_success
from edgecache.model.errors import Denied, MalformedMessage, Refused, Unreachable
from edgecache.model.ids import blob_id_from_root, node_id_from_bytes
from edgecache.wire import paths
from edgecache.wire.messages import Hello

NODE, OTHER = node_id_from_bytes(b"a" * 16), node_id_from_bytes(b"b" * 16)
HELLO = Hello(NODE, "mesh", "site", "name", 1, 0, ())


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(10.0, 3.0, 0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(0.2), bucket.take(0.2), bucket.take(0.2)] == [True, True, False]
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]


def test_buckets_forget_the_least_recent() -> None:
    buckets: Buckets[str] = Buckets(1.0, 1.0, 2)
    assert buckets.take("a", 0.0)
    assert not buckets.take("a", 0.0)
    assert buckets.take("b", 0.0)
    assert not buckets.take("a", 0.0)
    assert buckets.take("c", 0.0)
    assert not buckets.take("a", 0.0)
    assert buckets.take("b", 0.0)


@pytest.mark.parametrize(
    ("theirs", "error"),
    [
        (replace(HELLO, mesh="other"), Denied),
        (replace(HELLO, node=OTHER), Denied),
        (replace(HELLO, versions=(2, 3)), Refused),
    ],
)
def test_hellos_that_do_not_fit(theirs: Hello, error: type[Exception]) -> None:
    with pytest.raises(error):
        check_hello(theirs, replace(HELLO, node=OTHER), NODE)


def test_a_hello_that_fits() -> None:
    check_hello(replace(HELLO, versions=(1, 7)), replace(HELLO, node=OTHER), NODE)


@given(st.binary(max_size=2000))
def test_a_peers_words_are_short_and_printable(payload: bytes) -> None:
    text = diagnostic(payload)
    assert len(text) <= 200
    assert text.isprintable()


@pytest.mark.parametrize("one_way", [True, False])
@pytest.mark.parametrize("path", [paths.NODE, paths.GOSSIP, ("blob", blob_id_from_root(b"x"), "have")])
def test_control_requests_round_trip(path: tuple[str, ...], one_way: bool) -> None:
    raw = post_head(path, b"t", 3, one_way=one_way) + b"abc"
    frame = f.parse(memoryview(raw))
    post = parse_post(frame)
    assert (frame.code, frame.token, frame.payload, post.path) == (Code.POST, b"t", b"abc", path)
    codes = (Code.CHANGED, Code.BAD_REQUEST, Code.SERVICE_UNAVAILABLE)
    assert [post.wants(code) for code in codes] == [not one_way] * 3


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (((11, b"\xff"),), UnknownOption),
        (((11, b"node"), (2049, b"")), UnknownOption),
        (((1, b"x"), (11, b"node")), UnknownOption),
        (((11, b"node"), (12, b"\x2a")), MalformedMessage),
    ],
)
def test_control_requests_that_are_wrong(options: tuple[tuple[int, bytes], ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        parse_post(Frame(Code.POST, b"", options, b""))


def test_part_of_a_chunk_in_a_query() -> None:
    query = (*paths.chunk_query(blob_id_from_root(b"x"), 3), paths.unit_query(65536))
    assert paths.parse_unit(query) == 65536
    assert paths.parse_unit(query[:2]) is None
    for wrong in ("n=", "n=0", "n=-1", "n=12345678", "n=x", "n=\u0661"):
        with pytest.raises(MalformedMessage):
            paths.parse_unit((wrong,))


def test_the_first_success_wins_and_the_others_are_cancelled() -> None:
    async def race() -> None:
        cancelled: list[str] = []
        release = asyncio.Event()

        async def fail() -> str:
            release.set()
            raise Unreachable("no")

        async def hang() -> str:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append("hang")
                raise
            return "never"

        async def win() -> str:
            await release.wait()
            return "win"

        assert await first_success([hang, win, fail], stagger=0.001) == "win"
        assert cancelled == ["hang"]
        errors = await first_success([fail, fail], stagger=10.0)
        assert isinstance(errors, list)
        assert [error.message for error in errors] == ["no", "no"]

    asyncio.run(race())


def test_a_race_that_is_cancelled_leaves_nobody_running() -> None:
    async def race() -> None:
        ended: list[int] = []
        begun = asyncio.Event()

        async def hang() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(1)

        task = asyncio.ensure_future(first_success([hang], stagger=1.0))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == [1]

    asyncio.run(race())


LINKS = (
    Link(("node",), "edgecache.node x", (50,)),
    Link(("blob", "b"), "edgecache.blob", (42, 60), 7, observable=True),
)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ((), 2), (("rt=edgecache.node",), 1), (("rt=x",), 1), (("rt=edge*",), 2), (("ct=60",), 1), (("sz=7",), 1),
        (("href=/blob*",), 1), (("rt=edge*", "ct=50"), 1), (("obs",), 1), (("unknown=1",), 0), (("rt=",), 0),
    ],
)
def test_links_are_filtered(query: tuple[str, ...], found: int) -> None:
    body = render(LINKS, query).decode()
    assert body.count("<") == found


def test_links_as_text() -> None:
    assert str(LINKS[1]) == '</blob/b>;rt="edgecache.blob";ct="42 60";sz=7;obs'
    assert str(LINKS[0]) == '</node>;rt="edgecache.node x";ct=50'


@pytest.mark.parametrize(
    ("datagram", "good"),
    [
        (b"\x40\x01\x00\x01", True), (b"\x50\x01\x00\x01", True), (b"\x60\x00\x00\x01", True),
        (b"\x70\x00\x00\x01", True), (b"\x40\x00\x00\x01", True),
        (b"", False), (b"\x40\x01\x00", False), (b"\x80\x01\x00\x01", False),
        (b"\x49\x01\x00\x01", False), (b"\x40\x45\x00\x01", False), (b"\x60\x01\x00\x01", False),
        (b"\x40\x00\x00\x01x", False), (b"\x40\x01\x00\x01" + bytes(1300), False),
    ],
)
def test_datagrams_that_a_server_may_be_sent(datagram: bytes, good: bool) -> None:
    assert well_formed(datagram) is good


def test_what_shares_a_rate() -> None:
    assert source_key("::ffff:10.0.0.1") == "10.0.0.1"
    assert source_key("2001:db8::1") == source_key("2001:db8::ffff") != source_key("2001:db8:0:1::1")
    assert source_key("fe80::1%eth0") == "fe80::/64"


class Lines:
    """A journal."""

    def __init__(self) -> None:
        self.causes: list[str] = []

    def warning(self, cause: str, text: str) -> None:
        self.causes.append(cause)


def test_one_address_does_not_use_up_the_gate() -> None:
    journal = Lines()
    gate = Gate(journal, 0.0)
    request = b"\x50\x01\x00\x01"
    admitted = sum(gate.admits("::ffff:10.0.0.1", request, 0.0) for _ in range(int(SOURCE_BURST) + 100))
    assert admitted == SOURCE_BURST
    assert gate.admits("::ffff:10.0.0.2", request, 0.0)
    assert gate.admits("::ffff:10.0.0.1", request, 1.0)
    assert set(journal.causes) == {"leaf-rate"}
    assert not gate.admits("::ffff:10.0.0.2", b"x", 1.0)
    assert journal.causes[-1] == "leaf-garbage"


def test_a_block_says_where_it_is() -> None:
    request = Message(code=1)
    assert Block.of(request) == Block(0, 6)
    request.opt.block2 = (3, False, 2)
    assert (Block.of(request).size, Block.of(request).offset) == (64, 192)


def test_snapshots_last_while_a_body_is_read_and_are_few() -> None:
    snapshots, first, later = Snapshots(), Block(0, 6), Block(1, 6)
    bodies = iter(range(10_000))

    def fresh(now: float, size: int = 5000) -> Snapshot:
        return Snapshot(now, bytes(size), bytes([next(bodies) & 0xFF]))

    begun = snapshots.get("a", first, 0.0, lambda: fresh(0.0))
    assert snapshots.get("a", later, 1.0, lambda: fresh(1.0)) is begun
    assert snapshots.get("a", first, 2.0, lambda: fresh(2.0)) is not begun
    assert snapshots.get("a", later, 60.0, lambda: fresh(60.0)) is not begun
    begun = snapshots.get("b", first, 0.0, lambda: fresh(0.0))
    for number in range(SNAPSHOTS_MAX):
        snapshots.get(number, first, 0.0, lambda: fresh(0.0))
    assert snapshots.get("b", later, 1.0, lambda: fresh(1.0)) is not begun
    huge = snapshots.get("c", first, 0.0, lambda: fresh(0.0, SNAPSHOT_BYTES_MAX + 1))
    assert snapshots.get("c", later, 1.0, lambda: fresh(1.0)) is not huge
