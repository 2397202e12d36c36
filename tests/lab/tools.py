"""What the tests need from the machine: missing here means a skip that says why, missing in CI means a failure."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

CI = os.environ.get("EDGECACHE_CI", "") not in ("", "0")

_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where Debian keeps daemons; not on everybody's PATH."""


def lacking(what: str) -> NoReturn:
    """End the test: skipped on a developer's machine, failed under EDGECACHE_CI."""
    if CI:
        pytest.fail(f"{what} (EDGECACHE_CI is set, so this is no reason to skip)", pytrace=False)
    pytest.skip(what)


def require_tool(name: str) -> Path:
    """The path of a program."""
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(_SBIN))
    if found is None:
        lacking(f"{name} is not installed; `make test` as root installs it")
    return Path(found)


def require_namespaces() -> None:
    """Root, and the tools that make network namespaces."""
    if os.geteuid() != 0:
        lacking("network namespaces need root")
    require_tool("ip")
    require_tool("tc")
