"""kill -9 of a process that fetches, at random moments: it resumes to the chunk."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from edgecache.model.have import HaveSet
from edgecache.store.disk import DiskStore
from tests.integration.store.crash.fetcher import CHUNKS, sample

PROJECT = Path(__file__).resolve().parents[3]


def fetch_and_kill(root: Path, seed: int, lines: int) -> list[tuple[str, int]]:
    """What a fetcher said before it was killed; all of it that it said in time."""
    command = [sys.executable, "-m", "tests.integration.store.crash.fetcher", str(root), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT) as process:
        assert process.stdout is not None
        said = [line for _, line in zip(range(lines), process.stdout, strict=False)]
        process.kill()
        said += process.stdout.readlines()
    return [(word, int(number)) for word, number in (line.split() for line in said if line.endswith("\n"))]


@pytest.mark.parametrize("kills", [10, pytest.param(50, marks=pytest.mark.slow)])
def test_a_killed_fetch_resumes_to_the_chunk(tmp_path: Path, kills: int) -> None:
    chooser = random.Random(kills)
    expected, root, fetched = sample(), tmp_path / "store", 0
    stored: set[int] = set()
    for number in range(kills):
        said = fetch_and_kill(root, number, chooser.randrange(1, max(2, CHUNKS // kills + 2)))
        assert said[0][0] == "start"
        assert said[0][1] in (len(stored), len(stored) + 1), "a chunk that was stored is gone"
        chunks = [index for word, index in said if word == "chunk"]
        assert not stored & set(chunks), "a chunk was fetched again"
        stored |= set(chunks)
        fetched += len(chunks)
        store = DiskStore(root, cap=1 << 30, reserve=0)
        have = store.blob(expected.blob).have
        assert not HaveSet.of(stored) - have
        for index in have:
            assert store.read(expected.blob, index) == expected.chunk(index)
        stored = set(have)
        store.close()
    store = DiskStore(root, cap=1 << 30, reserve=0)
    expected.fetch(store)
    store.complete(expected.blob)
    assert expected.read_all(store) == expected.content
    store.close()
    assert fetched <= CHUNKS
