"""CoRE Link Format (RFC 6690): what `/.well-known/core` says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

CONTENT_LINK_FORMAT = 40
WELL_KNOWN = (".well-known", "core")


@dataclass(frozen=True, slots=True)
class Link:
    """One resource."""

    path: tuple[str, ...]
    rt: str
    ct: tuple[int, ...]
    size: int | None = None
    observable: bool = False

    @property
    def href(self) -> str:
        """Its path as text."""
        return "/" + "/".join(self.path)

    def __str__(self) -> str:
        formats = str(self.ct[0]) if len(self.ct) == 1 else '"' + " ".join(map(str, self.ct)) + '"'
        parts = [f"<{self.href}>", f'rt="{self.rt}"', f"ct={formats}"]
        if self.size is not None:
            parts.append(f"sz={self.size}")
        if self.observable:
            parts.append("obs")
        return ";".join(parts)

    def matches(self, key: str, wanted: str) -> bool:
        """One filter of a query (RFC 6690 section 4.1): a value, or its beginning and `*`."""
        values = {
            "href": [self.href], "rt": self.rt.split(), "ct": [str(ct) for ct in self.ct],
            "sz": [] if self.size is None else [str(self.size)], "obs": [""] if self.observable else [],
        }.get(key, [])
        if wanted.endswith("*"):
            return any(value.startswith(wanted[:-1]) for value in values)
        return wanted in values


def render(links: Iterable[Link], query: tuple[str, ...]) -> bytes:
    """The links that every filter in `query` matches, as one document."""
    filters = [part.partition("=")[::2] for part in query]
    return ",".join(str(link) for link in links if all(link.matches(*pair) for pair in filters)).encode()
