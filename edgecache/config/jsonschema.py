"""The schema as JSON Schema 2020-12, for editors: unknown keys refused, every setting with its meaning and default."""

from __future__ import annotations

from inspect import getdoc

from edgecache.config.schema import Config
from edgecache.config.shape import TAG, Scalar, ScalarList, Section, SectionList, Setting, settings_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, object]:
    """The whole schema; nested sections stand where they are used."""
    root = _section(Config)
    root["required"] = ["version"]
    return {"$schema": DIALECT, "title": "edgecache configuration", **root}


def _section(cls: type) -> dict[str, object]:
    properties: dict[str, object] = {}
    required = [entry.name for entry in settings_of(cls) if entry.required]
    if (tag := getattr(cls, TAG, None)) is not None:
        properties[TAG] = {"const": tag}
        required.insert(0, TAG)
    properties.update({entry.name: _setting(entry) for entry in settings_of(cls)})
    schema: dict[str, object] = {
        "type": "object",
        "description": getdoc(cls),
        "additionalProperties": False,
        "properties": properties,
    }
    if required:
        schema["required"] = required
    return schema


def _setting(entry: Setting) -> dict[str, object]:
    """The schema of one setting; a section or list may also be left empty."""
    shown = default_of(entry)
    extra: dict[str, object] = {"description": entry.meaning}
    if shown is not None:
        extra["default"] = shown
    match entry.shape:
        case Scalar(kind=kind, optional=optional):
            plain = kind.json_schema()
            return {**({"anyOf": [plain, {"type": "null"}]} if optional else plain), **extra}
        case ScalarList(kind=kind):
            one = kind.json_schema()
            several: dict[str, object] = {"type": ["array", "null"], "items": one, "uniqueItems": True}
            return {**({"anyOf": [several, one]} if getattr(kind, "alone", False) else several), **extra}
        case Section(cls=cls):
            return {**_section(cls), "type": ["object", "null"], "description": entry.meaning}
        case SectionList(classes=classes):
            return {"type": ["array", "null"], "items": {"oneOf": [_section(cls) for cls in classes.values()]}, **extra}


def default_of(entry: Setting) -> object:
    """The default as it would be written; None where there is none or it is a section."""
    if entry.required or entry.default is None:
        return None
    match entry.shape:
        case Scalar(kind=kind):
            return kind.render(entry.default)
        case ScalarList(kind=kind):
            assert isinstance(entry.default, tuple)
            return [kind.render(item) for item in entry.default]
        case SectionList():
            return []
        case Section():
            return None
