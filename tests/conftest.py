"""What all tests share: how hypothesis runs, and what the system tests need of the machine."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.lab.tools import CI, require_namespaces

# Here, before any test imports them: their assertions are shown in full only then.
pytest.register_assert_rewrite("tests.conformance.chunk_store", "tests.conformance.sample")

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True, print_blob=True)
settings.load_profile("ci" if CI else "default")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked `system` need namespaces."""
    if item.get_closest_marker("system") is not None:
        require_namespaces()
