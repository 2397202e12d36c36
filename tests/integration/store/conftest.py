"""Stores in a directory of the test, closed at its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Protocol

import pytest

from edgecache.store.disk import DiskStore


class Opener(Protocol):
    """Opens a store, by default that of the test, without limits."""

    def __call__(
        self, root: Path | None = None, /, *, cap: int = ..., reserve: int = ..., **more: Any
    ) -> DiskStore: ...


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    with ExitStack() as stack:

        def open_store(root: Path | None = None, /, *, cap: int = 1 << 40, reserve: int = 0, **more: Any) -> DiskStore:
            return stack.enter_context(closing(DiskStore(root or tmp_path / "store", cap=cap, reserve=reserve, **more)))

        yield open_store
