"""Lists, directories and names of files that nobody would make in good faith, or that the disk spoils."""

from __future__ import annotations

import errno
import json
import os
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from edgecache.cli import batches, blobs
from edgecache.cli.batches import files_of, listed
from edgecache.cli.command import Session
from edgecache.cli.output import Output, plain
from edgecache.model.errors import NotFound, UsageError


def test_what_has_no_end_is_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "LIST_BYTES_MAX", 1000)
    with pytest.raises(UsageError, match="no list"):
        listed("/dev/zero")


def test_a_directory_that_cannot_be_listed_is_not_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scandir(path: str) -> object:
        if Path(path).name == "deep":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path)

    (tmp_path / "inner/deep").mkdir(parents=True)
    real = os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PermissionError):
        files_of([str(tmp_path)])


def test_one_that_cannot_be_started_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def get_one(session: Session, blob: str, *others: object) -> None:
        if blob == "wrong":
            raise NotFound("there is none")
        started.append(blob)

    monkeypatch.setattr(blobs, "_get_one", get_one)
    with pytest.raises(NotFound):
        blobs._start_all(Session(), ["a", "wrong", "b"], "normal")
    assert started == ["a", "b"]


@pytest.mark.parametrize("as_json", [False, True])
def test_names_of_files_do_nothing_to_who_reads_them(as_json: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    out = TextIOWrapper(BytesIO(), "utf-8")
    monkeypatch.setattr("sys.stdout", out)
    name = "a\n\x1b[2Jb\udcff"
    Output(as_json=as_json).stream({"name": name}, plain(name))
    out.seek(0)
    line = out.read()
    assert line.isprintable() or line[:-1].isprintable()
    assert (json.loads(line)["name"] if as_json else line) == (name if as_json else "a\ufffd\ufffd[2Jb\ufffd\n")
