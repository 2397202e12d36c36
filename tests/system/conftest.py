"""Identities made once, a mesh for each test, measured figures in the summary, and agents' logs beside a failure."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lab.agents import Enrolment, Mesh
from tests.lab.netlab import NetLab

LOG_LINES = 25

MakeMesh = Callable[..., Mesh]
"""`make_mesh(lab, hosts, **settings)`."""

Figure = Callable[[str, str], None]
"""`figure("hand-over", "7.4 s")`."""

_FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session", autouse=True)
def undisturbed() -> Iterator[None]:
    """Promises about time are about the agents, not about what else this machine does: sched(7), the autogroup."""
    ours = Path("/proc/self/autogroup")
    with suppress(OSError):
        ours.write_text("-15")
    yield
    with suppress(OSError):
        ours.write_text("0")


@pytest.fixture(scope="session")
def enrolment(tmp_path_factory: pytest.TempPathFactory) -> Enrolment:
    """Five members of one mesh and one of another, by the real command line."""
    return Enrolment(tmp_path_factory.mktemp("enrolment"))


@pytest.fixture
def make_mesh(enrolment: Enrolment, tmp_path: Path) -> MakeMesh:
    """Configured agents on the hosts of a lab, not started yet."""

    def make(lab: NetLab, hosts: Sequence[int], **settings: object) -> Mesh:
        return Mesh(lab, enrolment, tmp_path, hosts, **settings)

    return make


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Shows something measured at the end of the run."""

    def note(what: str, value: str) -> None:
        request.config.stash.setdefault(_FIGURES, []).append(f"{request.node.name}: {what} {value}")

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if figures := terminalreporter.config.stash.get(_FIGURES, []):
        terminalreporter.section("measured")
        for line in figures:
            terminalreporter.write_line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows the end of every agent's log."""
    report = yield
    directory = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and call.when == "call" and directory is not None:
        for path in sorted(directory.rglob("log")):
            lines = path.read_text(errors="replace").splitlines()[-LOG_LINES:]
            report.sections.append((f"log of {path.parent.name}", "\n".join(lines)))
    return report
