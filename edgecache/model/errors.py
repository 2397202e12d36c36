"""The whole exception tree: each class says whose fault it was, how a program should exit, and what to do next."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """Exit codes of the command line; documented in the README and pinned by a test."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIG = 3
    NOT_FOUND = 4
    UNREACHABLE = 5
    TIMEOUT = 6
    STORE_FULL = 7
    STORE_CORRUPT = 8
    BUSY = 9
    DENIED = 10
    NEWER_DATA = 11
    INTERRUPTED = 130


class EdgecacheError(Exception):
    """Any failure the product reports; `hint` is the next step for a person, `retryable` the advice for a program."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[ExitCode] = ExitCode.FAILED
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def as_json(self) -> dict[str, object]:
        """The form used on the control socket and by `--json`."""
        return {
            "error": self.code,
            "message": self.message,
            "hint": self.hint,
            "exit_code": int(self.exit_code),
            "retryable": self.retryable,
        }


class UsageError(EdgecacheError):
    """The user asked for something that cannot be parsed."""

    code = "usage"
    exit_code = ExitCode.USAGE


class ConfigError(EdgecacheError):
    """The configuration file is wrong; the message carries file, line and column."""

    code = "config"
    exit_code = ExitCode.CONFIG


class NotFound(EdgecacheError):
    """Nobody reachable has it, or no such thing exists here."""

    code = "not-found"
    exit_code = ExitCode.NOT_FOUND


class AlreadyThere(EdgecacheError):
    """It would replace what cannot be made again: a key, a configuration, a mesh."""

    code = "already-there"


class Denied(EdgecacheError):
    """Not authenticated as a member of this mesh, or without the role it takes."""

    code = "denied"
    exit_code = ExitCode.DENIED


class ProtocolError(EdgecacheError):
    """The rules of the wire were broken."""

    code = "protocol"


class LocalProtocolError(ProtocolError):
    """We were about to break the rules ourselves."""

    code = "protocol-local"


class RemoteProtocolError(ProtocolError):
    """The peer broke the rules."""

    code = "protocol-remote"


class MalformedMessage(RemoteProtocolError):
    """Bytes from outside that are not what they should be."""

    code = "malformed"


class UnknownRule(MalformedMessage):
    """A manifest that is right, under a chunking rule that we do not know: a newer edgecache made it."""

    code = "newer-blob"


class TransportError(EdgecacheError):
    """The network failed us."""

    code = "transport"
    exit_code = ExitCode.UNREACHABLE
    retryable = True


class Unreachable(TransportError):
    """Nobody answers at that address."""

    code = "unreachable"


class Refused(TransportError):
    """Somebody answers, and says no; `retry_after` (seconds) is when it may be asked again."""

    code = "refused"

    def __init__(self, message: str, *, hint: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class TimedOut(TransportError):
    """No answer within the deadline."""

    code = "timeout"
    exit_code = ExitCode.TIMEOUT


class StoreError(EdgecacheError):
    """The disk or the database failed us."""

    code = "store"


class StoreFull(StoreError):
    """The byte cap or the disk reserve does not allow it."""

    code = "store-full"
    exit_code = ExitCode.STORE_FULL
    retryable = True


class StoreCorrupt(StoreError):
    """What is on disk is not what was written."""

    code = "store-corrupt"
    exit_code = ExitCode.STORE_CORRUPT


class StoreBusy(StoreError):
    """Another agent owns this data directory, or the port is taken."""

    code = "busy"
    exit_code = ExitCode.BUSY


class StoreNewer(StoreError):
    """The data directory was written by a newer edgecache."""

    code = "newer-data"
    exit_code = ExitCode.NEWER_DATA


class InvariantBroken(EdgecacheError):
    """A bug in edgecache: an invariant that the code relies on does not hold."""

    code = "bug"
