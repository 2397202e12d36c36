"""Pages that repeat what the code says: the settings, the exit codes, the decisions."""

from __future__ import annotations

import re

from edgecache.config.reference import reference
from edgecache.model.errors import ExitCode
from tests.architecture.sources import ROOT, text_files

DECISIONS = ROOT / "edgecache" / "decisions"

_CODE_ROW = re.compile(r"^\| (\d+) \| ([A-Z_]+) \| .+ \|$", re.MULTILINE)
_CITED = re.compile(r"\b[Dd]ecision (\d{4})\b|\bdecisions/(\d{4})")


def test_the_settings_are_described_as_they_are() -> None:
    page = ROOT / "edgecache" / "CONFIGURATION.md"
    assert page.read_text() == reference() + "\n", f"run: edgecache config reference > {page.relative_to(ROOT)}"


def test_the_exit_codes_are_those_of_the_program() -> None:
    rows = _CODE_ROW.findall((ROOT / "README.md").read_text())
    assert [(int(number), name) for number, name in rows] == [(code.value, code.name) for code in ExitCode]


def test_every_decision_that_is_cited_exists() -> None:
    there = {path.name[:4] for path in DECISIONS.glob("*.md")}
    cited: dict[str, str] = {}
    for path in text_files():
        if path.is_relative_to(ROOT / "tests"):
            continue
        for first, second in _CITED.findall(path.read_text()):
            cited.setdefault(first or second, str(path.relative_to(ROOT)))
    assert {number: where for number, where in cited.items() if number not in there} == {}


def test_every_decision_says_what_was_decided_and_what_lost() -> None:
    found = sorted(DECISIONS.glob("*.md"))
    numbers = [path.name[:4] for path in found]
    assert len(set(numbers)) == len(numbers)
    for path in found:
        text = path.read_text()
        assert re.fullmatch(r"\d{4}(-[a-z0-9]+)+\.md", path.name)
        assert text.startswith(f"# {path.name[:4]}: "), path.name
        for heading in ("Context", "Decision", "What lost", "Consequences"):
            assert f"\n## {heading}\n" in text, f"{path.name}: {heading}"
