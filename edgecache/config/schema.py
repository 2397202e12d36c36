"""Every setting: type, bounds, default, meaning; the reference and the JSON Schema are made from this.

A section is a frozen dataclass, a scalar's kind is in its annotation, its meaning in the metadata that `setting` adds.
Values are stored in base units: bytes, bytes per second, seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, TypeAlias, TypeVar, cast

from edgecache.config.endpoints import BindHost, Endpoint, HostPort, IpPort
from edgecache.config.hours import HoursOfDay, Period
from edgecache.config.kinds import Choice, FilePath, Real, SecretText, Switch, Text, Whole
from edgecache.config.units import Bytes, BytesPerSecond, Percentage, Seconds
from edgecache.model.peer import Address

CONFIG_VERSION = 1

T = TypeVar("T")

Flag = Annotated[bool, Switch()]
Number = Annotated[float, Real()]
Port = Annotated[int, Whole(0, 65535)]
Rate = Annotated[int, BytesPerSecond()]
"""Bytes per second; 0 is unlimited."""
Interval = Annotated[float, Seconds(0.1, 86400.0)]
OwnInterval = Annotated[float | None, Seconds(0.1, 86400.0)]
Prefix = Annotated[str, Text(r"[^+#/\s]([^+#\s]{0,62}[^+#/\s])?", "no spaces, + or #, no / at the ends")]

POWER = ("mains", "battery")
CONGESTION = ("auto", "system")
LOG_LEVELS = ("debug", "info", "warning", "error")
HOST_METRICS = ("load", "memory", "disk", "temperature", "network")

LABEL = r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?"
"""A site travels in DNS TXT records and MQTT topics."""

SERIES = r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}"
"""SenML's name characters (RFC 8428 section 4.5.1) without the slash: one segment of a path, one level of a topic."""


def setting(default: T, meaning: str) -> T:
    """A field with its default and its meaning; the result is typed as the value, as dataclasses expect."""
    return field(default=default, metadata={"meaning": meaning})


def required(meaning: str) -> str:
    """A field that must be written."""
    return cast(str, field(metadata={"meaning": meaning}))


@dataclass(frozen=True, slots=True)
class Listen:
    """Where other nodes reach this one: CoAP over TLS over TCP."""

    host: Annotated[str, BindHost()] = setting("", "Address to listen on; empty: every interface, IPv4 and IPv6.")
    port: Port = setting(5684, "TCP port; 0 takes any free one (neighbours learn it by mDNS and gossip).")
    advertise: Annotated[tuple[Address, ...], IpPort()] = setting(
        (), "Addresses told to others instead of the device's own, for NAT and containers; by default with listen.port."
    )


@dataclass(frozen=True, slots=True)
class Coap:
    """Plain CoAP over UDP for leaves and other CoAP clients. Unauthenticated, read-only."""

    enabled: Flag = setting(False, "Serve readings and blobs to anybody on the network who asks by CoAP/UDP.")
    host: Annotated[str, BindHost()] = setting("", "Address to listen on; empty: every interface.")
    port: Port = setting(5683, "UDP port; 0 takes any free one.")


@dataclass(frozen=True, slots=True)
class Discovery:
    """How neighbours are found. Whoever is found must still prove by TLS that it is of this mesh."""

    mdns: Flag = setting(True, "Announce and browse _edgecache._tcp on the local network.")
    seeds: Annotated[tuple[Endpoint, ...], HostPort(5684)] = setting(
        (), "Nodes to try at start and whenever alone: where multicast does not pass, or in another site."
    )


@dataclass(frozen=True, slots=True)
class TransferLimits:
    """How much of its link this node takes for blobs, and when. Rates are over all links together, counted as on the
    link: with the headers of Ethernet, IP, TCP and TLS."""

    upload: Rate = setting(0, "What this node sends to others.")
    download: Rate = setting(0, "What this node fetches from others.")
    background: Flag = setting(
        False, "Give way to whatever else is on the way to a peer, in both directions, as soon as queues build up."
    )
    metered: Flag = setting(
        False, "The link is paid for by volume: others fetch from this node only what nobody else has."
    )
    quiet_hours: Annotated[tuple[Period, ...], HoursOfDay()] = setting(
        (), "When nothing is served and nothing prefetched, but for updates. Without a trusted clock there are none."
    )


@dataclass(frozen=True, slots=True)
class Store:
    """Bounds of the cache on disk."""

    max_size: Annotated[int, Bytes(least=1024**2)] = setting(
        10 * 1024**3, "Bytes of blobs kept; beyond it the least useful unpinned ones go."
    )
    reserve_percent: Annotated[float, Percentage(most=95.0)] = setting(
        5.0, "Part of the file system that is always left free; the larger of this and reserve_min holds."
    )
    reserve_min: Annotated[int, Bytes()] = setting(
        200 * 10**6, "Bytes of the file system that are always left free."
    )


@dataclass(frozen=True, slots=True)
class LinkCounts:
    """Links to other nodes: how many are kept, and how they find their rate."""

    overlay: Annotated[int, Whole(2, 64)] = setting(
        8, "Standing links for gossip: more spread news faster and cost idle traffic; fewer risk a split."
    )
    working: Annotated[int, Whole(1, 256)] = setting(
        32, "Links for transfers besides those: more sources at once, more memory; the least recently used goes."
    )
    congestion: Annotated[str, Choice(CONGESTION)] = setting(
        "auto", "auto: BBR where the kernel lets anybody choose it, which bears loss; system: what the kernel takes."
    )


@dataclass(frozen=True, slots=True)
class MqttTls:
    """TLS towards the broker."""

    enabled: Flag = setting(False, "Use TLS (the usual port is then 8883).")
    ca: Annotated[Path | None, FilePath()] = setting(None, "CA certificates (PEM); unset: those of the system.")
    cert: Annotated[Path | None, FilePath()] = setting(None, "Client certificate (PEM), with key.")
    key: Annotated[Path | None, FilePath()] = setting(None, "Key of the client certificate (PEM).")
    server_name: Annotated[str, Text(most=253)] = setting("", "Name expected in the broker's certificate; empty: host.")
    insecure: Flag = setting(False, "Accept any certificate: no protection against an impostor.")


@dataclass(frozen=True, slots=True)
class Mqtt:
    """The broker that the elected bridge publishes to. Nodes without it can be read through those that have it."""

    enabled: Flag = setting(False, "Let this node be elected as the bridge.")
    host: Annotated[str, Text(r"[A-Za-z0-9_.:%-]*", "a host name or an IP address", most=253)] = setting(
        "", "Host name or IP address of the broker."
    )
    port: Annotated[int, Whole(1, 65535)] = setting(1883, "TCP port of the broker.")
    username: Annotated[str, Text(most=256)] = setting("", "User at the broker; empty: anonymous.")
    password: Annotated[str, SecretText(most=1024)] = setting("", "Password at the broker; best as `!secret name`.")
    tls: MqttTls = setting(MqttTls(), "TLS towards the broker.")
    topic_prefix: Prefix = setting("edgecache", "First level or levels of the topics of readings.")
    discovery_prefix: Prefix = setting("homeassistant", "Where Home Assistant looks for discovery messages.")
    keepalive: Annotated[float, Seconds(1.0, 3600.0)] = setting(
        5.0, "Silence after which the broker is pinged; it notices a dead bridge after 1.5 times this. Whole seconds."
    )


@dataclass(frozen=True, slots=True)
class FileSource:
    """One number read from a file: sysfs, iio, 1-wire. The value is number * scale + offset."""

    type: ClassVar[str] = "file"
    series: Annotated[str, Text(SERIES, "letters, digits and - _ . : , beginning with a letter or digit, up to 64")] = (
        required("Name of the series; unique on this node.")
    )
    path: Annotated[Path, FilePath()] = cast(Path, required("File to read."))
    unit: Annotated[str, Text(r"[!-~]{0,16}", "up to 16 printable characters")] = setting(
        "", "Unit of the value as SenML writes it: Cel, %RH, Pa, V, lx."
    )
    scale: Number = setting(1.0, "Factor: 0.001 where the file says millidegrees.")
    offset: Number = setting(0.0, "Added after scaling, in the unit.")
    regex: Annotated[str, Text(most=200)] = setting(
        "", "Regular expression whose first group is the number; empty: the file is just a number."
    )
    interval: OwnInterval = setting(None, "Time between two readings; unset: readings.interval.")


@dataclass(frozen=True, slots=True)
class HostSource:
    """The device itself."""

    type: ClassVar[str] = "host"
    interval: OwnInterval = setting(None, "Time between two readings; unset: readings.interval.")
    metrics: Annotated[tuple[str, ...], Choice(HOST_METRICS)] = setting(
        HOST_METRICS, "Which figures; not every device has all of them."
    )


Source: TypeAlias = FileSource | HostSource
"""Told apart by `type`."""


@dataclass(frozen=True, slots=True)
class Readings:
    """What this node measures. Every other node of the site can read it."""

    interval: Interval = setting(10.0, "Time between two readings of a source that names none.")
    sources: tuple[Source, ...] = setting((), "Where values come from.")


@dataclass(frozen=True, slots=True)
class Control:
    """How the command line talks to the agent of this device."""

    socket: Annotated[Path | None, FilePath()] = setting(None, "Unix socket; unset: control.sock in data_dir.")


@dataclass(frozen=True, slots=True)
class Log:
    """What is written to standard error, one line an event."""

    level: Annotated[str, Choice(LOG_LEVELS)] = setting("info", "Least severity that is written.")


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file."""

    version: Annotated[int, Whole(1, CONFIG_VERSION)] = setting(CONFIG_VERSION, "Format of this file; must be written.")
    name: Annotated[str, Text(most=63)] = setting("", "What people call this node; empty: the device's host name.")
    site: Annotated[str, Text(LABEL, "a-z, 0-9, - and _, up to 63, letter or digit at the ends")] = setting(
        "default", "Locality label, usually one per LAN: what is in one site is near, and shares its readings."
    )
    data_dir: Annotated[Path, FilePath()] = setting(
        Path("/var/lib/edgecache"), "Key, certificate and cache of this node; one agent at a time."
    )
    power: Annotated[str, Choice(POWER)] = setting(
        "mains", "What this device runs on; on battery, others fetch from it only what nobody else has."
    )
    listen: Listen = setting(Listen(), "Where other nodes reach this one.")
    coap: Coap = setting(Coap(), "Plain CoAP over UDP.")
    discovery: Discovery = setting(Discovery(), "How neighbours are found.")
    limits: TransferLimits = setting(TransferLimits(), "How much of its link this node takes, and when.")
    store: Store = setting(Store(), "Bounds of the cache.")
    links: LinkCounts = setting(LinkCounts(), "Links to other nodes.")
    mqtt: Mqtt = setting(Mqtt(), "The broker that the bridge publishes to.")
    readings: Readings = setting(Readings(), "What this node measures.")
    control: Control = setting(Control(), "The command line's way in.")
    log: Log = setting(Log(), "What is logged.")

    @property
    def control_socket(self) -> Path:
        """Where the agent listens for the command line."""
        return self.control.socket or self.data_dir / "control.sock"
