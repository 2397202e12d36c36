"""Which files and blobs a `put` or `get` of many is about."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgecache.cli.batches import Wanted, _require_places, files_of, get_many, listed, wanted_of
from edgecache.cli.command import Session
from edgecache.model.errors import NotFound, UsageError

ID = "baemx5nbueyr6nzrxxqlfx6wctrtetbdffwhm55npe3dkgy6hp5aca"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b", "a", "inner/z", "inner/deep/y", ".hidden"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "tree/link").symlink_to("a")
    os.mkfifo(tmp_path / "tree/pipe")
    return tmp_path / "tree"


def test_a_directory_stands_for_its_plain_files_in_the_order_of_their_names(tree: Path) -> None:
    names = [name for _, name in files_of([str(tree)])]
    assert names == [f"{tree}/{name}" for name in (".hidden", "a", "b", "inner/z", "inner/deep/y")]


def test_links_are_followed_where_they_are_named(tree: Path) -> None:
    assert files_of([f"{tree}/link", f"{tree}/b"]) == [(tree / "link", f"{tree}/link"), (tree / "b", f"{tree}/b")]


@pytest.mark.parametrize("name", ["missing", "pipe"])
def test_what_is_no_file_is_told_before_anything_is_sent(tree: Path, name: str) -> None:
    with pytest.raises(NotFound, match=name):
        files_of([f"{tree}/a", f"{tree}/{name}"])


def test_a_list_is_lines(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("one\n\n  \ntwo words\n")
    assert listed(str(tmp_path / "list")) == ["one", "two words"]


def test_lines_of_put_are_lines_for_get() -> None:
    assert wanted_of([f"{ID}  dir/a file", ID, "sha256:00ff", f"{ID} /abs/file"]) == [
        Wanted(ID, "dir/a file"), Wanted(ID, ID), Wanted("sha256:00ff", "sha256-00ff"), Wanted(ID, "abs/file"),
    ]  # fmt: skip


def test_a_name_ends_its_line_only_where_the_line_ends(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"a\xe2\x80\xa8b\x0bc\r\n\xff\n")
    assert listed(str(tmp_path / "list")) == ["a\u2028b\x0bc", "\udcff"]


def test_an_id_ends_at_any_space_as_the_agent_reads_it() -> None:
    assert wanted_of([f"{ID}\tfile", f" {ID}\u3000 a  b "]) == [Wanted(ID, "file"), Wanted(ID, "a  b")]


@pytest.mark.parametrize("line", ["", " ", f"{ID}  ./", f"{ID}  //", f"{ID}  a\0b", "/"])
def test_what_cannot_be_fetched_or_written_is_told_at_once(line: str) -> None:
    with pytest.raises(UsageError):
        wanted_of([line])


def test_no_name_is_absolute() -> None:
    assert wanted_of(["/etc/passwd"]) == [Wanted("/etc/passwd", "etc/passwd")]


@pytest.mark.parametrize("files", [("a", "a"), ("a", "./a"), ("a", "a/b"), ("a/b/c", "a/b")])
def test_no_file_takes_the_place_of_another(tmp_path: Path, files: tuple[str, str]) -> None:
    wanted = wanted_of(f"{number}{ID}  {file}" for number, file in enumerate(files))
    with pytest.raises(UsageError, match="blob"):
        get_many(Session(), wanted, str(tmp_path / "out"), lambda content, path: None)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("file", ["../x", "a/../../x", "/.."])
def test_no_line_leads_out_of_the_directory(file: str) -> None:
    with pytest.raises(UsageError, match=r"leads out"):
        wanted_of([f"{ID}  {file}"])


@pytest.mark.parametrize(
    ("file", "says"),
    [("away/x", "leads out"), ("inner/up/x", "leads out"), ("pipe", "no plain file"), ("inner", "no plain file")],
)
def test_links_and_pipes_in_the_directory_are_not_for_the_names_of_a_list(tmp_path: Path, file: str, says: str) -> None:
    out = tmp_path / "out"
    (out / "inner").mkdir(parents=True)
    (out / "away").symlink_to("/nowhere")
    (out / "inner/up").symlink_to("../..")
    os.mkfifo(out / "pipe")
    with pytest.raises(UsageError, match=says):
        get_many(Session(), wanted_of([f"{ID}  {file}"]), str(out), lambda content, path: None)


def test_the_directory_itself_and_links_that_stay_in_it_are_as_good_as_any(tmp_path: Path) -> None:
    (tmp_path / "real/inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real/near").symlink_to("inner")
    _require_places(wanted_of([f"{ID}  near/x", f"{ID}  new/y"]), tmp_path / "link")
