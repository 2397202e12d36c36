"""How sizes, spans and progress are put into words."""

from __future__ import annotations

import pytest

from edgecache.cli.agent import size_text, span_text
from edgecache.cli.output import Output
from edgecache.cli.progress import LINE_INTERVAL, Progress


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (5 * 2**30, "5.0 GiB"), (2**41, "2.0 TiB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0042, "4.2 ms"), (1.25, "1.2 s"), (61, "1 min 1 s"), (3720, "1 h 2 min"), (200_000, "2 d 7 h")],
)
def test_spans(seconds: float, text: str) -> None:
    assert span_text(seconds) == text


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
