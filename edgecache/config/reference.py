"""The settings reference in Markdown, made from the schema's own words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from inspect import getdoc

from edgecache.config.jsonschema import default_of
from edgecache.config.kinds import Choice, Kind, Text, Whole
from edgecache.config.schema import Config
from edgecache.config.shape import TAG, Scalar, ScalarList, Section, SectionList, Setting, settings_of
from edgecache.config.units import Bytes, BytesPerSecond, Percentage, Seconds

_INTRODUCTION = """\
# Configuration reference

One YAML file. It is looked for at `-c FILE`, `$EDGECACHE_CONFIG`, `./edgecache.yaml`,
`~/.config/edgecache/edgecache.yaml`, `/etc/edgecache/edgecache.yaml`. Only `version`, and what a source needs, must be
written. Unknown keys, keys written twice, aliases and values without their unit are refused, with line and column.

* size: `512MiB`, `10GB` (B, kB, MB, GB, TB: powers of 1000; KiB, MiB, GiB, TiB: of 1024)
* rate: `50Mbit/s`, `5MB/s`; `none` or 0 is unlimited
* duration: `500ms`, `30s`, `5min`, `1h`, `1d`
* hours: `22:00-06:00`, local time, past midnight when they end before they begin
* path: `~` is the home directory; a relative path starts at the directory of the file
* `!secret name`: the value of `name` in `secrets.yaml` beside the file, which only its owner may read (mode 0600)
* `!env_var NAME default`: an environment variable; without a default it must be set
"""


def reference() -> str:
    """The whole reference."""
    return "\n".join([_INTRODUCTION, *_sections(Config, "")])


def _sections(cls: type, path: str, heading: str = "") -> Iterator[str]:
    """One table for a section, then the sections below it."""
    title = heading or (f"`{path}`" if path else "Top level")
    yield f"## {title}\n\n{getdoc(cls)}\n\n| setting | kind | default | meaning |\n|---|---|---|---|"
    if (tag := getattr(cls, TAG, None)) is not None:
        yield f"| `{TAG}` | `{tag}` | required | Which kind of source this is. |"
    below: list[tuple[type, str, str]] = []
    for entry in settings_of(cls):
        place = f"{path}.{entry.name}" if path else entry.name
        match entry.shape:
            case Section(cls=inner):
                below.append((inner, place, ""))
            case SectionList(classes=classes):
                yield _row(entry, f"list of sections, by `{TAG}`: " + ", ".join(f"`{name}`" for name in classes))
                below += [(inner, place, f"`{place}[]` with `{TAG}: {name}`") for name, inner in classes.items()]
            case ScalarList(kind=kind):
                one = f"{_kind(kind)}, or a " if getattr(kind, "alone", False) else ""
                yield _row(entry, f"{one}list of {_kind(kind)}")
            case Scalar(kind=kind):
                yield _row(entry, _kind(kind))
    yield ""
    for inner, place, heading_below in below:
        yield from _sections(inner, place, heading_below)


def _row(entry: Setting, kind: str) -> str:
    shown = default_of(entry)
    default = "required" if entry.required or entry.name == "version" else "unset"
    if shown is not None and default != "required":
        default = f"`{shown if isinstance(shown, str) and shown else json.dumps(shown)}`"
    return f"| `{entry.name}` | {kind} | {default} | {entry.meaning} |".replace("\n", " ")


def _kind(kind: Kind) -> str:
    """The kind with its bounds."""
    match kind:
        case Choice(words=words):
            return "one of " + ", ".join(f"`{word}`" for word in words)
        case Whole(least=least, most=most):
            return f"{kind.title} {least} to {most}"
        case Seconds() | Bytes() | Percentage():
            return f"{kind.title} {kind.render(kind.least)} to {kind.render(kind.most)}"
        case BytesPerSecond():
            return f"{kind.title} from {kind.render(kind.least)}"
        case Text(means=means) if means:
            return f"{kind.title}: {means.replace('|', 'or')}"
        case _:
            return kind.title
