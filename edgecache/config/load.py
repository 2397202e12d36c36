"""A configuration file to a Config: walks the YAML nodes along the schema, so that every error has its position.

All problems of a file are reported at once. Plain dataclasses are built here rather than by a conversion library: none
of those at hand tells two dataclasses of a union apart, knows units, or says where in the file a value stood.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import yaml

from edgecache.config.document import (
    NULL_TAG,
    PLAIN_TAGS,
    Problem,
    compose,
    failure,
    problem_at,
    read_bounded,
)
from edgecache.config.kinds import BadValue, FilePath, Kind, SecretText, nearest
from edgecache.config.relations import broken_relations, doubtful_settings
from edgecache.config.schema import CONFIG_VERSION, Config
from edgecache.config.shape import TAG, Scalar, ScalarList, Section, SectionList, Setting, all_paths, settings_of
from edgecache.config.tags import Tags
from edgecache.model.errors import ConfigError

FILE_NAME = "edgecache.yaml"
ENVIRONMENT = "EDGECACHE_CONFIG"

LIST_MAX = 256
"""Values in one list."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and what there is to say about the file it came from."""

    config: Config
    hidden: frozenset[str]
    """Dotted names whose values came from `!secret`: never shown."""
    warnings: tuple[str, ...]


def load(path: Path) -> Config:
    """The checked configuration in `path`; raises ConfigError with file, line and column of everything wrong."""
    return read(path).config


def read(path: Path, environ: Mapping[str, str] = os.environ) -> Loaded:
    """Like `load`, with warnings and with what must not be shown."""
    data, mode = read_bounded(path, "configuration file", "`edgecache init` writes one; -c FILE names another")
    return parse(data, path, environ, readable_by_others=bool(mode & 0o044))


def default_path(environ: Mapping[str, str] = os.environ) -> Path:
    """$EDGECACHE_CONFIG if set, else the first of ./, ~/.config/edgecache/ and /etc/edgecache/ that has the file."""
    if named := environ.get(ENVIRONMENT):
        return Path(named)
    places = [Path(FILE_NAME), user_path(environ), Path("/etc/edgecache") / FILE_NAME]
    return next((place for place in places if os.path.exists(place)), places[0])  # noqa: PTH110  False where it is hidden


def user_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where a user who is not root keeps it."""
    base = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME") or "/") / ".config")
    return Path(base) / "edgecache" / FILE_NAME


def parse(data: bytes, file: Path, environ: Mapping[str, str], *, readable_by_others: bool = False) -> Loaded:
    """The configuration in `data`; `file` names it in messages, and relative paths start at its directory."""
    walk = _Walk(file, environ)
    root = compose(data, file)
    walk.check_version(root)
    config = walk.section(Config, root, "") if isinstance(root, yaml.MappingNode) else None
    if walk.problems or not isinstance(config, Config):
        raise failure(walk.problems)
    if not config.name:
        config = replace(config, name=_host_name())
    if broken := [walk.problem(path, message, hint) for path, message, hint in broken_relations(config)]:
        raise failure(broken)
    doubts = [walk.problem(path, message, hint) for path, message, hint in doubtful_settings(config)]
    if readable_by_others:
        message = "a password stands in a file that others can read"
        doubts += [walk.problem(path, message, "use !secret, or chmod 600") for path in walk.passwords]
    return Loaded(config, frozenset(walk.hidden), tuple(str(doubt) for doubt in doubts))


def _host_name() -> str:
    """The device's own name, without its domain."""
    name = socket.gethostname().split(".")[0]
    return name.encode()[:63].decode(errors="ignore") or "unnamed"


class _Failed:
    """Stands for a value that could not be read; its problem is recorded."""


FAILED: Final = _Failed()


class _Walk:
    """One pass over the nodes of a file."""

    def __init__(self, file: Path, environ: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self.hidden: set[str] = set()
        self.passwords: list[str] = []
        self._file = file
        self._directory = Path(os.path.abspath(file)).parent  # noqa: PTH100  resolve() would follow a linked file
        self._marks: dict[str, yaml.Mark] = {}
        self._tags = Tags(self._directory, environ)

    def problem(self, path: str, message: str, hint: str = "") -> Problem:
        """A problem at a dotted name, or at the nearest enclosing one that stands in the file."""
        while path and path not in self._marks:
            path = path.rpartition("[" if path.endswith("]") else ".")[0]
        return problem_at(self._file, self._marks.get(path), message, hint)

    def _fail(self, node: yaml.Node, message: str, hint: str = "") -> _Failed:
        self.problems.append(problem_at(self._file, node.start_mark, message, hint))
        return FAILED

    def check_version(self, root: yaml.Node | None) -> None:
        """Refuses a file without a version, and one of a later format before its keys are complained about."""
        if root is not None and not isinstance(root, yaml.MappingNode):
            raise failure([problem_at(self._file, root.start_mark, "must be `key: value` lines")])
        nodes = root.value if root is not None else []
        version = next((value for key, value in nodes if key.value == "version"), None)
        if version is None:
            hint = f"begin the file with `version: {CONFIG_VERSION}`"
            raise failure([problem_at(self._file, None, "the version is missing", hint)])
        text = str(version.value)
        if text.isascii() and text.isdigit() and len(text) < 9 and int(text) > CONFIG_VERSION:
            hint = f"this edgecache reads version {CONFIG_VERSION}"
            message = f"version {text} was written for a newer edgecache"
            raise failure([problem_at(self._file, version.start_mark, message, hint)])

    def section(self, cls: type, node: yaml.Node, path: str) -> object:
        """An instance of a section's class, or FAILED."""
        if isinstance(node, yaml.ScalarNode) and node.tag == NULL_TAG and path:
            node = yaml.MappingNode("tag:yaml.org,2002:map", [], node.start_mark, node.end_mark)
        if not isinstance(node, yaml.MappingNode):
            return self._fail(node, f"{path} is a section", "indent its settings below it")
        settings = {entry.name: entry for entry in settings_of(cls)}
        values: dict[str, object] = {}
        written: set[str] = set()
        for key, value in node.value:
            name = self._key(key, settings, written, cls, path)
            if name not in settings:
                continue
            where = f"{path}.{name}" if path else name
            self._marks[where] = value.start_mark
            values[name] = self._value(settings[name], value, where)
        missing = [entry.name for entry in settings.values() if entry.required and entry.name not in written]
        for name in missing:
            self._fail(node, f"{path} has no {name}", f"{name}: {settings[name].meaning}")
        if missing or any(value is FAILED for value in values.values()):
            return FAILED
        return cls(**values)

    def _key(
        self, key: yaml.Node, settings: Mapping[str, Setting], written: set[str], cls: type, path: str
    ) -> str:
        """The name that a key stands for; empty when it is unknown or there twice."""
        if not isinstance(key, yaml.ScalarNode):
            self._fail(key, "a key must be a plain word")
            return ""
        name = str(key.value)
        known = [*settings, *([TAG] if hasattr(cls, TAG) else [])]
        if name not in known:
            place = f" in {path}" if path else ""
            self._fail(key, f"unknown key {name[:80]!r}{place}", _suggestion(name, known, path))
            return ""
        if name in written:
            self._fail(key, f"{name!r} is there twice", "keep one of them")
            return ""
        written.add(name)
        return name

    def _value(self, entry: Setting, node: yaml.Node, path: str) -> object:
        """The value of one setting, of whatever shape."""
        shape = entry.shape
        if isinstance(shape, Section):
            return self.section(shape.cls, node, path)
        if isinstance(shape, Scalar):
            return self._scalar(shape.kind, node, path, optional=shape.optional)
        if isinstance(node, yaml.ScalarNode) and node.tag == NULL_TAG:
            return ()
        if isinstance(node, yaml.ScalarNode) and isinstance(shape, ScalarList) and getattr(shape.kind, "alone", False):
            value = self._scalar(shape.kind, node, path, optional=False)
            return FAILED if value is FAILED else (value,)
        if not isinstance(node, yaml.SequenceNode):
            return self._fail(node, f"{path} is a list", "write each value on its own line after `- `")
        if len(node.value) > LIST_MAX:
            return self._fail(node, f"{path} has {len(node.value)} values, {LIST_MAX} are allowed")
        return self._list(shape, node, path)

    def _list(self, shape: ScalarList | SectionList, node: yaml.SequenceNode, path: str) -> object:
        """A tuple of what stands in a list; a scalar may stand there once."""
        values: list[object] = []
        for index, item in enumerate(node.value):
            where = f"{path}[{index}]"
            self._marks[where] = item.start_mark
            if isinstance(shape, SectionList):
                values.append(self._variant(shape, item, where))
                continue
            value = self._scalar(shape.kind, item, where, optional=False)
            if value is not FAILED and value in values:
                value = self._fail(item, f"{shape.kind.render(value)!r} is there twice", "keep one of them")
            values.append(value)
        return FAILED if FAILED in values else tuple(values)

    def _variant(self, shape: SectionList, node: yaml.Node, path: str) -> object:
        """An instance of the class that the item's `type` names."""
        names = ", ".join(shape.classes)
        tag = None
        if isinstance(node, yaml.MappingNode):
            tag = next((value for key, value in node.value if key.value == TAG), None)
        if tag is None:
            return self._fail(node, f"{path} has no {TAG}", f"begin it with `- {TAG}: `, one of: {names}")
        cls = shape.classes.get(tag.value) if isinstance(tag.value, str) else None
        if cls is None:
            near = nearest(str(tag.value), shape.classes)
            return self._fail(tag, f"{str(tag.value)[:40]!r} is not a {TAG} of {path}", near or f"one of: {names}")
        return self.section(cls, node, path)

    def _scalar(self, kind: Kind, node: yaml.Node, path: str, *, optional: bool) -> object:
        """The typed value of a scalar node."""
        if not isinstance(node, yaml.ScalarNode):
            return self._fail(node, f"{path} is a single value ({kind.title})")
        try:
            text = self._text(node, path)
        except (BadValue, ConfigError) as bad:
            return self._fail(node, bad.message, bad.hint)
        if node.tag == NULL_TAG:
            if optional:
                return None
            return self._fail(node, f"{path} has no value", "write one, or remove the line")
        if isinstance(kind, SecretText) and node.tag in PLAIN_TAGS and text:
            self.passwords.append(path)
        try:
            value = kind.parse(text)
            return self._absolute(value) if isinstance(kind, FilePath) and isinstance(value, Path) else value
        except BadValue as bad:
            if path in self.hidden:
                return self._fail(node, f"{path}: what the secret holds is not a {kind.title}")
            return self._fail(node, f"{path}: {bad.message}", bad.hint)

    def _text(self, node: yaml.ScalarNode, path: str) -> str:
        """What was written, or what a tag stands for."""
        text = str(node.value)
        if node.tag in PLAIN_TAGS:
            return text
        if node.tag == "!secret":
            self.hidden.add(path)
            return self._tags.secret(text)
        if node.tag == "!env_var":
            return self._tags.env_var(text)
        raise BadValue(f"unknown tag {node.tag[:40]}", "known: !secret name, !env_var NAME default")

    def _absolute(self, path: Path) -> Path:
        """With the home directory filled in, from the directory of the file on."""
        try:
            return Path(os.path.normpath(self._directory / path.expanduser()))
        except RuntimeError as error:
            raise BadValue(f"{str(path)!r}: there is no such home directory") from error


def _suggestion(name: str, known: list[str], path: str) -> str:
    """What was probably meant: a key of this section, or the same key elsewhere."""
    elsewhere = [place for place in all_paths(Config) if place.rpartition(".")[2] == name]
    if elsewhere:
        return f"did you mean {elsewhere[0]!r}?"
    return nearest(name, known) or f"known{' here' if path else ''}: {', '.join(known)}"
