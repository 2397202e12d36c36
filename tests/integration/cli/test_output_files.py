"""Where `get -o` writes: whole or not at all, never over what is no file, and told before the fetch when it cannot."""

from __future__ import annotations

import os
import secrets
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgecache.cli.blobs import _target, _write
from edgecache.model.errors import NotFound, UsageError
from tests.integration.cli.running import edgecache

PARTS = [b"one ", b"two ", b"three"]


def breaking_off() -> Iterator[bytes]:
    yield PARTS[0]
    raise NotFound("it was evicted")


def test_a_new_file_appears_whole(tmp_path: Path) -> None:
    target = _target(str(tmp_path / "film"))
    assert target is not None
    _write(iter(PARTS), target)
    assert target.read_bytes() == b"one two three"
    assert [path.name for path in tmp_path.iterdir()] == ["film"]


def test_what_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "film"
    target.write_bytes(b"old")
    with pytest.raises(NotFound):
        _write(breaking_off(), target)
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["film"]


def test_a_name_as_long_as_may_be(tmp_path: Path) -> None:
    target = _target(str(tmp_path / ("n" * 255)))
    _write(iter(PARTS), target)
    assert target is not None
    assert target.read_bytes() == b"one two three"


def test_a_link_keeps_leading_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    _write(iter(PARTS), _target(str(tmp_path / "link")))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"one two three"


def test_a_directory_that_is_a_link_is_as_good_as_any(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    _write(iter(PARTS), _target(str(tmp_path / "link/film")))
    assert (tmp_path / "real/film").read_bytes() == b"one two three"


def test_what_somebody_put_in_the_way_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a directory that others can write to; that the name cannot be guessed is the first hurdle."""
    monkeypatch.setattr(secrets, "token_hex", lambda size: "guessed")
    (tmp_path / "precious").write_bytes(b"old")
    (tmp_path / ".edgecache-guessed.part").symlink_to("precious")
    with pytest.raises(FileExistsError):
        _write(iter(PARTS), tmp_path / "film")
    assert (tmp_path / "precious").read_bytes() == b"old"
    assert (tmp_path / ".edgecache-guessed.part").is_symlink()


def test_a_new_file_is_as_open_as_the_user_wants_his_files(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        _write(iter(PARTS), tmp_path / "film")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "film").stat().st_mode) == 0o640


def test_a_device_stays_a_device() -> None:
    _write(iter(PARTS), _target("/dev/null"))
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    _write(iter(PARTS), _target(str(pipe)))
    reader.join(10.0)
    assert read == [b"one two three"]


@pytest.mark.parametrize("output", [None, "-"])
def test_standard_output_is_no_file(output: str | None) -> None:
    assert _target(output) is None


def test_what_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        _target(str(tmp_path))
    with pytest.raises(NotFound, match="no directory"):
        _target(str(tmp_path / "nowhere" / "film"))


def test_without_waiting_there_is_nothing_to_write_or_pin(tmp_path: Path) -> None:
    for words in (("-o", str(tmp_path / "film")), ("--pin",)):
        done = edgecache("get", "baaaaaaaaaaaa", "--no-wait", *words)
        assert done.code == 2
        assert "--no-wait" in done.err
