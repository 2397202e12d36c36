"""What pyproject.toml promises: no dependency that nothing imports, and every data file that the program reads."""

from __future__ import annotations

import re
import tomllib

from tests.architecture.sources import ROOT, python_sources
from tests.architecture.test_tidy import DISTRIBUTIONS, imported

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def module(requirement: str) -> str:
    """The module that a distribution is imported as."""
    name = re.split(r"[<>=!~\[ ;]", requirement)[0]
    return DISTRIBUTIONS.get(name, name.replace("-", "_"))


def test_every_dependency_is_imported_by_the_product() -> None:
    project = PYPROJECT["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["demo"]]
    used = {
        name.split(".")[0] for source in python_sources() if source.under("edgecache") for _, name in imported(source)
    }
    assert [one for one in wanted if module(one) not in used] == []


def test_data_files_are_packed() -> None:
    package = ROOT / "edgecache"
    packed = {path for pattern in PYPROJECT["tool"]["setuptools"]["package-data"]["edgecache"]
              for path in package.glob(pattern)}  # fmt: skip
    read = {path for path in package.rglob("*") if path.suffix in (".sql", ".cddl", ".typed")}
    assert packed == read


def test_licence_and_readme_are_there() -> None:
    project = PYPROJECT["project"]
    assert all((ROOT / name).is_file() for name in (*project["license-files"], project["readme"]))
