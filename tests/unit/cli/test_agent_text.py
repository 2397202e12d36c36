"""How sizes, spans and progress are put into words."""

from __future__ import annotations

import pytest

from edgecache.cli.agent import size_text, span_text
from edgecache.cli.output import Output
from edgecache.cli.progress import LINE_INTERVAL, Progress
from edgecache.cli.views import _limit_rows


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (5 * 2**30, "5.0 GiB"), (2**41, "2.0 TiB"),
        (2**20 - 1, "1.0 MiB"), (2**30 - 1, "1.0 GiB"), (2**51, "2048.0 TiB"), (1023.7, "1.0 KiB"), (-2048, "-2.0 KiB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0042, "4.2 ms"), (1.25, "1.2 s"), (61, "1 min 1 s"), (3720, "1 h 2 min"), (200_000, "2 d 7 h"),
        (0, "0.0 ms"), (0.99999, "1.0 s"), (59.97, "1 min 0 s"), (3599.8, "1 h 0 min"), (47.9 * 3600, "47 h 54 min"),
        (48 * 3600, "2 d 0 h"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    assert span_text(seconds) == text


def test_status_says_what_holds_transfers_back_and_nothing_else() -> None:
    quiet = {"hours": [], "now": False, "ends_in": None, "clock_trusted": True}
    assert not _limit_rows({"strained": False, "quiet": quiet, "yielding": {}})
    ((label, text),) = _limit_rows({"strained": True, "quiet": quiet, "yielding": {}})
    assert label == "processor"
    assert text.startswith("short")


def test_progress_into_a_pipe_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Progress(Output(), "fetching", 1000)
    bar.show(0, None, "from 2 peers")
    bar._shown -= LINE_INTERVAL
    bar._sampled -= 1.0
    bar.show(500, None, "from 2 peers")
    (line,) = capsys.readouterr().err.splitlines()
    assert "50 %" in line
    assert "500 B of 1000 B" in line
    assert line.endswith("from 2 peers")


def test_progress_says_nothing_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Progress(Output(as_json=True), "fetching", 1000)
    bar._shown -= LINE_INTERVAL
    bar.show(500, None, "")
    bar.close()
    assert capsys.readouterr().err == ""


def test_progress_at_a_terminal_is_one_line_that_is_cleared(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Progress(Output(), "fetching", 1000)
    bar._drawn = True
    for done in (0, 500, 1000):
        bar._shown -= LINE_INTERVAL
        bar._sampled -= 1.0
        bar.show(done, None, "from 2 peers, " * 50)
    bar.close()
    bar.show(1000, None, "")
    bar.close()
    *drawn, last = capsys.readouterr().err.split("\r")[1:]
    assert len(drawn) == 3
    assert all(len(line.removeprefix("\x1b[2K")) <= 79 for line in drawn), "it does not wrap"
    assert last == "\x1b[2K"


@pytest.mark.parametrize(("total", "done"), [(1000, 2000), (1, 10**12), (None, 500), (0, 500)])
def test_progress_beyond_what_was_announced(capsys: pytest.CaptureFixture[str], total: int | None, done: int) -> None:
    bar = Progress(Output(), "storing", total)
    bar._shown -= LINE_INTERVAL
    bar.show(done, None, "")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("storing")
    assert ("100 %" in line) == bool(total)


def test_the_rate_counts_what_comes_now_and_not_what_was_there(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Progress(Output(), "fetching", 4096)
    bar.show(2048, None, "")
    bar._sampled -= 1.0
    bar._shown -= LINE_INTERVAL
    bar.show(3072, None, "")
    (line,) = capsys.readouterr().err.splitlines()
    rate = line.split("  ")[-2]
    assert rate.endswith("/s")
    assert 900 < float(rate.split()[0]) * (1024 if "KiB" in rate else 1) < 1100
