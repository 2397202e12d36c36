"""The regression check itself, and its short form: this tree against the commit before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.regress.__main__ import main
from tests.regress.comparison import LIMITS, Change, changes, table
from tests.regress.versions import ROOT, NoBase, check_out, default_base, measured

BEFORE = {"a": {"last": 10.0, "messages": 2.0}, "old": {"last": 1.0}}


def test_only_what_both_have_is_compared() -> None:
    found = changes(BEFORE, {"a": {"last": 10.0, "events": 3.0}, "new": {"last": 1.0}})
    assert found == [Change("a", "last", 10.0, 10.0)]
    assert not found[0].worse


@pytest.mark.parametrize(("now", "worse"), [(10.9, False), (11.1, True), (5.0, False)])
def test_worse_is_beyond_the_limit(now: float, worse: bool) -> None:
    assert LIMITS["last"] == 1.1
    (change,) = changes(BEFORE, {"a": {"last": now}})
    assert change.worse is worse
    assert ("WORSE" in table([change])) is worse


def test_something_from_nothing_is_worse() -> None:
    assert Change("a", "last", 0.0, 1.0).worse
    assert not Change("a", "last", 0.0, 0.0).worse


def test_a_base_can_be_named_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECACHE_BASE", "v1")
    assert default_base() == "v1"
    monkeypatch.setenv("EDGECACHE_BASE", "none")
    with pytest.raises(NoBase, match="none"):
        default_base()


def test_no_such_commit_is_nothing_to_compare_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such-commit"]) == 2
    assert "nothing to compare with" in capsys.readouterr().err


def test_a_version_without_contests_is_too_old(tmp_path: Path) -> None:
    (tmp_path / "edgecache").mkdir()
    (tmp_path / "edgecache" / "__init__.py").write_text("")
    with pytest.raises(NoBase, match="too old"):
        measured(tmp_path, "short")


def test_this_tree_is_not_worse_than_its_base(tmp_path: Path) -> None:
    try:
        base = check_out(default_base(), tmp_path)
        before = measured(tmp_path, "short")
    except NoBase as reason:
        pytest.skip(f"nothing to compare with: {reason}")
    found = changes(before, measured(ROOT, "short"))
    assert found
    worse = [change for change in found if change.worse]
    assert not worse, f"worse than {base}:\n{table(worse)}\nEDGECACHE_BASE=none accepts it"
