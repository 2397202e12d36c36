"""`edgecache init`: a configuration file with comments, and the key that is this node's identity."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgecache.cli.command import Command, Session, checked, pass_session
from edgecache.model.errors import AlreadyThere

if TYPE_CHECKING:
    from edgecache.adapters.pki.files import IdentityFiles
    from edgecache.model.ids import NodeId

SCHEMA_FILE = "edgecache.schema.json"

_TEMPLATE = """\
# yaml-language-server: $schema={schema}
# Configuration of one edgecache node. What is not written here has its default: `edgecache config show` prints them
# all, `edgecache config reference` explains them.
version: 1

# What people call this node; by default the device's host name.
{name}

# Devices that are near each other, usually one LAN: they share readings, and fetch from each other first.
site: {site}

# Key, certificate and cache.
data_dir: {data_dir}

listen:
  port: {port}   # TCP; 0 takes any free one

store:
  max_size: 10GiB        # the least useful files go beyond this; pinned ones stay
  reserve_percent: 5%    # of the disk is left free in any case

# Rates of file transfer: 50Mbit/s, 5MB/s, none.
limits:
  upload: none
  download: none

# Neighbours on the LAN are found by mDNS. Name some that are elsewhere, or where multicast does not pass.
discovery:
  mdns: true
  seeds: []              # - pi-attic.example.net:5684

readings:
  interval: 10s
  sources:
    - type: host         # load, memory, disk, temperature, network of this device
    # - type: file       # one number from a file: sysfs, iio, 1-wire
    #   series: attic_temperature
    #   path: /sys/bus/w1/devices/28-0123456789ab/temperature
    #   unit: Cel
    #   scale: 0.001

# One node of the site, elected among those that have a broker here, publishes everybody's readings.
mqtt:
  enabled: false
  # host: homeassistant.local
  # username: edgecache
  # password: !secret mqtt_password   # a line `mqtt_password: ...` in secrets.yaml beside this file, mode 0600
"""


@click.command(cls=Command)
@click.option("--name", metavar="TEXT", help="What people call this node [default: the device's host name].")
@click.option("--site", metavar="LABEL", default="default", help="Which devices are near each other [default].")
@click.option("--data-dir", metavar="DIR", help="Key, certificate and cache [root: /var/lib/edgecache, else ~/.local].")
@click.option("--port", metavar="PORT", default="5684", help="TCP port to listen on; 0: any free one [default: 5684].")
@click.option("--key-only", is_flag=True, help="Use the configuration that exists; only make the key.")
@pass_session
def init(session: Session, name: str | None, site: str, data_dir: str | None, port: str, key_only: bool) -> None:
    """Write a configuration file and make this node's key. Nothing that exists is overwritten."""
    if key_only:
        where = session.config().data_dir
        _finish(session, session.config_path, where, f"the configuration is {session.config_path}")
        return
    from edgecache.adapters.pki.files import PUBLIC, write_whole

    path = session.named_config or _usual_path()
    if path.exists():
        hint = "edit it, name another file with -c, or make just the key with --key-only"
        raise AlreadyThere(f"{path}: there is a configuration already", hint=hint)
    where = Path(os.path.abspath(Path(data_dir).expanduser() if data_dir else _usual_data_dir()))  # noqa: PTH100
    text = _configuration(name, site, where, port)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path.parent / SCHEMA_FILE, _schema(), PUBLIC)
    write_whole(path, text.encode(), PUBLIC)
    _finish(session, path, where, f"wrote {path}")


def _finish(session: Session, path: Path, data_dir: Path, done: str) -> None:
    """Make the key and say so. It comes last: a run that was interrupted before is completed with --key-only."""
    from edgecache.adapters.pki.files import IdentityFiles

    node, made = _key(IdentityFiles(data_dir))
    if not made:
        session.output.note(f"kept the key that is in {data_dir}")
    data = {"config": str(path), "data_dir": str(data_dir), "node": node, "key_made": made}
    session.output.result(data, f"{done}\nthis is node {node}, its data is in {data_dir}\n{_next(session, path)}")


def _usual_path() -> Path:
    """Where the configuration goes when nobody says."""
    from edgecache.config.load import ENVIRONMENT, FILE_NAME, user_path

    if named := os.environ.get(ENVIRONMENT):
        return Path(named)
    return Path("/etc/edgecache") / FILE_NAME if os.geteuid() == 0 else user_path()


def _usual_data_dir() -> Path:
    from edgecache.config.schema import Config

    if os.geteuid() == 0:
        return Config().data_dir
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "edgecache"


def _configuration(name: str | None, site: str, data_dir: Path, port: str) -> str:
    """The text of the file, from checked values; raises UsageError."""
    from edgecache.config.schema import Config, Listen
    from edgecache.config.shape import Scalar, settings_of

    kinds = {
        **{entry.name: entry.shape.kind for entry in settings_of(Config) if isinstance(entry.shape, Scalar)},
        **{entry.name: entry.shape.kind for entry in settings_of(Listen) if isinstance(entry.shape, Scalar)},
    }
    return _TEMPLATE.format(
        schema=SCHEMA_FILE,
        name="# name: pi-attic" if name is None else f"name: {_quoted(checked(kinds['name'], '--name', name))}",
        site=_quoted(checked(kinds["site"], "--site", site)),
        data_dir=_quoted(str(checked(kinds["data_dir"], "--data-dir", str(data_dir)))),
        port=checked(kinds["port"], "--port", port),
    )


def _quoted(text: str) -> str:
    """As a YAML scalar: plain where that is safe, else in JSON's quotes, which YAML shares."""
    import json
    import re

    plain = re.fullmatch(r"[a-z/][a-z0-9_./-]*", text, re.ASCII) and text != "null"
    return text if plain else json.dumps(text, ensure_ascii=False)


def _key(files: IdentityFiles) -> tuple[NodeId, bool]:
    """The node's id, and whether its key was made now: a key that is there is the device's identity, and kept."""
    from edgecache.adapters.pki.keys import create_key, load_key, node_id_of_key

    made = not files.node_key.exists()
    key = create_key(files.node_key) if made else load_key(files.node_key)
    return node_id_of_key(key.public_key()), made


def _schema() -> bytes:
    import json

    from edgecache.config.jsonschema import json_schema

    return json.dumps(json_schema(), indent=2).encode() + b"\n"


def _next(session: Session, path: Path) -> str:
    """What to do now; with -c where the file would not be found without."""
    from edgecache.config.load import default_path

    found = session.named_config is None and default_path() == path
    call = "edgecache" if found else f"edgecache -c {path}"
    return f"next: `{call} mesh create` starts a mesh, `{call} mesh request` asks to join one"
