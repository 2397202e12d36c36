"""`explain`: why the fetch of a blob stands where it stands, and where a finished one came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from enum import Enum
from typing import Any

from edgecache.adapters.control.server import Channel
from edgecache.core.swarm import Explanation, Standing
from edgecache.daemon.engine import Engine
from edgecache.daemon.getting import several
from edgecache.model.errors import NotFound
from edgecache.model.ids import BlobId, BlobRef, NodeId, parse_blob_ref
from edgecache.ports import StoredBlob


class Explaining:
    """Answers from what the core knows of fetches, and from the store for blobs that were not fetched."""

    def __init__(self, driver: Engine) -> None:
        self._driver = driver

    async def explain(self, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
        """All about one blob, by id, prefix or digest."""
        driver = self._driver
        blob = await self._known(parse_blob_ref(str(request.get("blob", ""))))
        told = driver.node.swarm.explain(blob, driver.clock.now())
        if told is not None:
            return self._as_json(told)
        return _unfetched(await driver.in_store(driver.store.blob, blob))

    async def _known(self, ref: BlobRef) -> BlobId:
        """The one blob of this node that is meant, held or fetched."""
        swarm, store = self._driver.node.swarm, self._driver.store
        found = dict.fromkeys(
            await self._driver.in_store(lambda: store.find(prefix=ref.blob or ref.prefix or "", sha256=ref.sha256))
        )
        for blob in swarm.explained():
            told = swarm.explain(blob, self._driver.clock.now())
            info = told.info if told is not None else None
            named = blob.startswith(ref.blob or ref.prefix or "")
            if named if ref.sha256 is None else info is not None and info.sha256 == ref.sha256:
                found[blob] = None
        if len(found) > 1:
            raise several(ref, found)
        if not found:
            raise NotFound(f"{ref} is neither here nor being fetched", hint="`edgecache get` fetches a blob")
        return next(iter(found))

    def _as_json(self, told: Explanation) -> dict[str, Any]:
        info = told.info
        return {
            "blob": told.blob, "phase": told.phase, "standing": standing_as_json(told.standing),
            "size": info.size if info else None, "sha256": info.sha256.hex() if info else None,
            "chunks": info.chunks if info else None, "have": told.have, "missing": told.missing,
            "missing_first": list(told.missing_first), "nowhere": list(told.nowhere),
            "seconds": round(told.seconds, 3), "idle": round(told.idle, 3),
            "flights": [asdict(flight) for flight in told.flights],
            "candidates": [{**asdict(one), "name": self._name(one.node)} for one in told.candidates],
            "sources": [{"node": node, "name": self._name(node), "bytes": size} for node, size in told.sources],
            "crossed": told.crossed, "hedges": told.hedges, "wasted": told.wasted,
        }

    def _name(self, node: NodeId) -> str:
        return self._driver.node.membership.name_of(node)


def standing_as_json(standing: Standing) -> dict[str, Any]:
    """A reason for programs (`kind` and its fields) and for people (`text`)."""
    fields = asdict(standing).items()
    plain = {name: value.name.lower() if isinstance(value, Enum) else value for name, value in fields}
    return {"kind": standing.kind, "text": str(standing), **plain}


def _unfetched(stored: StoredBlob) -> dict[str, Any]:
    """A blob of the store that has not been fetched as far as the agent remembers."""
    info, have = stored.info, len(stored.have)
    if stored.complete:
        kind, text = "here", "here, and verified; it was put here, or fetched longer ago than is remembered"
    else:
        kind, text = "part", "a part of it is here, and nobody fetches the rest: `edgecache get` does"
    return {
        "blob": info.blob, "phase": kind, "standing": {"kind": kind, "text": text}, "size": info.size,
        "sha256": info.sha256.hex(), "chunks": info.chunks, "have": have, "missing": info.chunks - have,
        "missing_first": [], "nowhere": [], "seconds": None, "idle": None, "flights": [], "candidates": [],
        "sources": [], "crossed": 0, "hedges": 0, "wasted": 0,
    }
