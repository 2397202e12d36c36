"""`!secret name` and `!env_var NAME [default]`: values that do not stand in the file itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from edgecache.config.document import PLAIN_TAGS, compose, read_bounded
from edgecache.config.kinds import BadValue, nearest
from edgecache.model.errors import ConfigError

SECRETS_FILE = "secrets.yaml"

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class Tags:
    """Resolves tagged scalars; the secrets file is read when the first secret is asked for."""

    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self._file = directory / SECRETS_FILE
        self._environ = environ
        self._secrets: dict[str, str] | None = None

    def secret(self, name: str) -> str:
        """The secret of that name; raises BadValue, or ConfigError for a secrets file that others can read."""
        if self._secrets is None:
            self._secrets = _read_secrets(self._file)
        if name not in self._secrets:
            near = nearest(name, self._secrets)
            raise BadValue(f"there is no secret {name!r} in {self._file}", near or f"add a line `{name}: ...` there")
        return self._secrets[name]

    def env_var(self, text: str) -> str:
        """The named environment variable, or else the default after the name; raises BadValue without either."""
        name, _, default = text.strip().partition(" ")
        if not _ENV_NAME.match(name):
            raise BadValue("!env_var needs the name of an environment variable", "write !env_var NAME default")
        if (value := self._environ.get(name)) is not None:
            return value
        if not default.strip():
            raise BadValue(f"the environment variable {name} is not set", f"set it, or write !env_var {name} DEFAULT")
        return default.strip()


def _read_secrets(path: Path) -> dict[str, str]:
    """Name to text of a secrets file; raises ConfigError when others can read it or it is no flat mapping."""
    data, mode = read_bounded(path, "file, and !secret needs it", f"create it: install -m 600 /dev/null {path}")
    if mode & 0o077:
        raise ConfigError(f"{path}: others can read it (mode {mode:04o}, must be 0600)", hint=f"run: chmod 600 {path}")
    node = compose(data, path)
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{path}: must be lines of `name: value`")
    secrets: dict[str, str] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not all(isinstance(part, yaml.ScalarNode) and part.tag in PLAIN_TAGS for part in (key, value)):
            raise ConfigError(f"{path}:{line}: must be `name: value`")
        if key.value in secrets:
            raise ConfigError(f"{path}:{line}: {key.value!r} is there twice")
        secrets[key.value] = value.value
    return secrets
