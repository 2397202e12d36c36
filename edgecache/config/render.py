"""A Config back to text: every setting with the value in force, in the form that a file may have."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import yaml

from edgecache.config.kinds import Kind, SecretText
from edgecache.config.schema import Config
from edgecache.config.shape import TAG, Scalar, ScalarList, Section, SectionList, settings_of

HIDDEN = "********"


def tree(config: Config, *, redact: bool = True, hidden: Collection[str] = ()) -> dict[str, object]:
    """Plain dicts, lists and scalars; `redact` hides secrets and the dotted names in `hidden`."""
    return _section(config, "", frozenset(hidden), redact=redact)


def render(config: Config, *, redact: bool = True, hidden: Collection[str] = ()) -> str:
    """YAML; not redacted, `load` gives the same Config back."""
    plain = tree(config, redact=redact, hidden=hidden)
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120)


def _section(section: Any, path: str, hidden: frozenset[str], *, redact: bool) -> dict[str, object]:
    plain: dict[str, object] = {}
    if (tag := getattr(section, TAG, None)) is not None:
        plain[TAG] = tag
    cls: type = type(section)
    for entry in settings_of(cls):
        value = getattr(section, entry.name)
        where = f"{path}.{entry.name}" if path else entry.name
        match entry.shape:
            case Scalar(kind=kind):
                plain[entry.name] = _scalar(kind, value, where, hidden, redact=redact)
            case ScalarList(kind=kind):
                plain[entry.name] = [
                    _scalar(kind, item, f"{where}[{index}]", hidden, redact=redact) for index, item in enumerate(value)
                ]
            case Section():
                plain[entry.name] = _section(value, where, hidden, redact=redact)
            case SectionList():
                plain[entry.name] = [
                    _section(item, f"{where}[{index}]", hidden, redact=redact) for index, item in enumerate(value)
                ]
    return plain


def _scalar(kind: Kind, value: object, path: str, hidden: frozenset[str], *, redact: bool) -> object:
    if value is None:
        return None
    if redact and value != "" and (isinstance(kind, SecretText) or path in hidden):
        return HIDDEN
    return kind.render(value)
