"""Why a fetch stands where it stands: a closed set of reasons, each with what a person needs to act on it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, TypeAlias

from edgecache.model.ids import NodeId


class Limit(Enum):
    """What holds a request back although somebody has the chunk."""

    DOWNLOAD = "this node's download limit"
    QUIET = "this node's quiet hours"
    MEMORY = "this node's bound of bytes under way"
    WINDOW = "the window of whoever has it"
    REFUSAL = "a refusal of whoever has it"
    PAUSE = "a pause after failures of whoever has it"


@dataclass(frozen=True, slots=True)
class Seeking:
    """Providers are being looked for, or have just been found."""

    kind: ClassVar[str] = "seeking"

    def __str__(self) -> str:
        return "looking for nodes that have it"


@dataclass(frozen=True, slots=True)
class NoProvider:
    """A search came to its end, and nobody claims to have any of it."""

    kind: ClassVar[str] = "no provider"

    def __str__(self) -> str:
        return "no node in reach is known to have it"


@dataclass(frozen=True, slots=True)
class NoLink:
    """Nodes claim to have it, and none of them is linked."""

    kind: ClassVar[str] = "no link"
    providers: tuple[NodeId, ...]
    """The first few of them."""

    def __str__(self) -> str:
        return f"no link to those said to have it: {', '.join(self.providers)}"


@dataclass(frozen=True, slots=True)
class MissingEverywhere:
    """No linked node has these chunks."""

    kind: ClassVar[str] = "missing everywhere"
    chunks: tuple[int, ...]
    """The first few of them."""
    count: int

    def __str__(self) -> str:
        more = f" and {self.count - len(self.chunks)} more" if self.count > len(self.chunks) else ""
        named = f"chunk {', '.join(map(str, self.chunks))}{more}"
        return f"waiting for {named}: nobody in reach has {'it' if self.count == 1 else 'them'}"


@dataclass(frozen=True, slots=True)
class WaitingFor:
    """Something was asked of a peer; or is left to it, to be had from it when it has it."""

    kind: ClassVar[str] = "waiting"
    peer: NodeId
    what: str
    since: float
    """Seconds ago."""
    expected: float
    """Seconds that it should take in all."""

    def __str__(self) -> str:
        return f"waiting for {self.peer}: {self.what}, for {self.since:.1f} s, expected {self.expected:.1f} s"


@dataclass(frozen=True, slots=True)
class Throttled:
    """Somebody has what is missing, and may not be asked at this moment."""

    kind: ClassVar[str] = "throttled"
    limit: Limit
    peer: NodeId | None = None
    seconds: float | None = None
    """Until that is over, where that is known."""

    def __str__(self) -> str:
        who = f" ({self.peer})" if self.peer is not None else ""
        left = f", {self.seconds:.1f} s more" if self.seconds is not None else ""
        return f"throttled by {self.limit.value}{who}{left}"


@dataclass(frozen=True, slots=True)
class StoreFull:
    """What is missing does not fit on the disk above its reserve, or into the store."""

    kind: ClassVar[str] = "store full"
    why: str
    seconds: float
    """Until the store is asked again."""

    def __str__(self) -> str:
        return f"waiting for room: {self.why or 'the disk is full, or as full as its reserve allows'}"


@dataclass(frozen=True, slots=True)
class Completing:
    """All chunks are here and verified, and the last of them are being made durable."""

    kind: ClassVar[str] = "completing"

    def __str__(self) -> str:
        return "all of it is here and is being made durable"


@dataclass(frozen=True, slots=True)
class Moving:
    """Chunks have come a moment ago."""

    kind: ClassVar[str] = "moving"
    rate: float
    """Bytes per second."""

    def __str__(self) -> str:
        return "chunks are coming"


@dataclass(frozen=True, slots=True)
class Ended:
    """It is over: here and verified when `failure` is empty."""

    kind: ClassVar[str] = "ended"
    failure: str = ""

    def __str__(self) -> str:
        return f"given up: {self.failure}" if self.failure else "here, and verified"


Standing: TypeAlias = (
    Seeking | NoProvider | NoLink | MissingEverywhere | WaitingFor | Throttled | StoreFull | Completing | Moving | Ended
)
