"""The schema as data: what stands behind each field, for everything that walks the tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin, get_type_hints

from edgecache.config.kinds import Kind

TAG = "type"
"""The key that tells the classes of a union apart; a class variable of each."""


@dataclass(frozen=True)
class Scalar:
    """One value."""

    kind: Kind
    optional: bool
    """None stands for "not set"."""


@dataclass(frozen=True)
class ScalarList:
    """A list of values of one kind."""

    kind: Kind


@dataclass(frozen=True)
class Section:
    """A nested mapping."""

    cls: type


@dataclass(frozen=True)
class SectionList:
    """A list of mappings; each says by its `type` which of the classes it is."""

    classes: Mapping[str, type]


Shape: TypeAlias = Scalar | ScalarList | Section | SectionList


@dataclass(frozen=True)
class Setting:
    """A field of a section."""

    name: str
    shape: Shape
    default: object
    """MISSING for one that must be written."""
    meaning: str

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is MISSING


def _shape_of(hint: Any) -> Shape:
    """The shape that a type annotation stands for."""
    if get_origin(hint) is Annotated:
        inner, kind = get_args(hint)
        if get_origin(inner) is tuple:
            return ScalarList(kind)
        optional = get_origin(inner) in (Union, UnionType) and NoneType in get_args(inner)
        return Scalar(kind, optional)
    if get_origin(hint) is tuple:
        (union, _) = get_args(hint)
        return SectionList({str(getattr(cls, TAG)): cls for cls in get_args(union)})
    assert is_dataclass(hint), f"no shape for {hint!r}"
    return Section(hint if isinstance(hint, type) else type(hint))


@cache
def settings_of(cls: type) -> tuple[Setting, ...]:
    """The settings of a section, in the order of the class."""
    hints = get_type_hints(cls, include_extras=True)
    return tuple(
        Setting(entry.name, _shape_of(hints[entry.name]), entry.default, entry.metadata["meaning"])
        for entry in fields(cls)
    )


def all_paths(cls: type, prefix: str = "") -> Iterator[str]:
    """Every dotted name below a section."""
    for entry in settings_of(cls):
        path = f"{prefix}{entry.name}"
        yield path
        if isinstance(entry.shape, Section):
            yield from all_paths(entry.shape.cls, path + ".")
