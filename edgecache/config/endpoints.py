"""Where to listen, whom to dial, what to advertise: hosts and ports as people write them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import ClassVar

from edgecache.config.kinds import BadValue
from edgecache.model.peer import Address


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host name or IP literal, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?\Z")


def is_ip(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 literal, perhaps with a zone."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _host_and_port(text: str, port: int) -> tuple[str, int]:
    """Splits `host`, `host:port`, `[v6]:port` and a bare v6 literal."""
    found = re.fullmatch(r"\[([^\]]{1,255})\](?::([0-9]{1,5}))?|([^:\s]{1,255})(?::([0-9]{1,5}))?", text, re.ASCII)
    if is_ip(text):
        host, given = text, None
    elif found:
        host, given = found[1] or found[3], found[2] or found[4]
    else:
        raise BadValue(f"{text!r} is not host:port", "an IPv6 address goes in brackets: [fd00::1]:5684")
    number = int(given) if given is not None else port
    if not 0 < number <= 65535 and given is not None:
        raise BadValue(f"{text!r} has no valid port", "a port is 1 to 65535")
    return host, number


@dataclass(frozen=True)
class HostPort:
    """`host:port` of another machine; a host name or an IP literal."""

    title: ClassVar[str] = "host:port"
    port: int
    """Used when none is written."""

    def parse(self, text: str) -> Endpoint:
        """Host and port."""
        host, port = _host_and_port(text, self.port)
        if not is_ip(host) and (len(host) > 253 or not _HOST_NAME.match(host)):
            raise BadValue(f"{host!r} is neither a host name nor an IP address")
        return Endpoint(host, port)

    def render(self, value: object) -> str:
        """With the port."""
        return str(value)

    def json_schema(self) -> dict[str, object]:
        """A string."""
        return {"type": "string", "minLength": 1, "maxLength": 270, "examples": [f"pi-attic.local:{self.port}"]}


@dataclass(frozen=True)
class IpPort:
    """An IP literal, with a port or without (0: the port that is listened on)."""

    title: ClassVar[str] = "IP address[:port]"

    def parse(self, text: str) -> Address:
        """Address; port 0 when none is written."""
        host, port = _host_and_port(text, 0)
        if not is_ip(host):
            raise BadValue(f"{host!r} is not an IP address", "write an address, not a name: others may not resolve it")
        return Address(host, port)

    def render(self, value: object) -> str:
        """Without the port when it is 0."""
        assert isinstance(value, Address)
        return str(value) if value.port else value.host

    def json_schema(self) -> dict[str, object]:
        """A string."""
        return {"type": "string", "minLength": 2, "maxLength": 80, "examples": ["192.168.1.20", "[fd00::20]:5684"]}


@dataclass(frozen=True)
class BindHost:
    """Where to listen: an IP literal, or empty for every interface."""

    title: ClassVar[str] = "IP address"

    def parse(self, text: str) -> str:
        """The literal, or the empty string."""
        if text and not is_ip(text):
            raise BadValue(f"{text!r} is not an IP address", 'write an address of this device, or "" for all of them')
        return text

    def render(self, value: object) -> str:
        """The literal."""
        return str(value)

    def json_schema(self) -> dict[str, object]:
        """A string."""
        return {"type": "string", "maxLength": 80}
