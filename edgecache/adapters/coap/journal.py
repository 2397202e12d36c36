"""Where warnings go."""

from __future__ import annotations

from typing import Protocol


class Journal(Protocol):
    """Rate-limited log lines, one per cause."""

    def warning(self, cause: str, text: str) -> None:
        """Something a person should look at."""
        ...
