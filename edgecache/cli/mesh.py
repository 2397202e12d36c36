"""`edgecache mesh`: start a mesh, and bring devices into it by files; private keys never leave their device."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgecache.cli.command import STDIN, Group, Session, pass_session
from edgecache.model.errors import AlreadyThere, UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from edgecache.adapters.pki.files import IdentityFiles

ROLES = ("member", "publisher", "bridge", "enroller", "admin")

CLOCK_FLOOR = 2026
"""A device whose clock is before this year has no clock."""


@click.group("mesh", cls=Group)
def mesh() -> None:
    """Start a mesh, join one, show which this node is in.

    \b
    On the first device:    edgecache mesh create
    On the new device:      edgecache mesh request > n.req      (copy n.req to the first device)
    On the first device:    edgecache mesh issue n.req > n.crt  (copy n.crt to the new device)
    On the new device:      edgecache mesh install n.crt
    """  # noqa: D301  click's mark for "do not wrap" is the backspace itself


def _files(session: Session) -> IdentityFiles:
    from edgecache.adapters.pki.files import IdentityFiles

    return IdentityFiles(session.config().data_dir)


def _read(file: str, what: str) -> bytes:
    from edgecache.adapters.pki.files import PEM_BYTES_MAX, read_pem

    if file == STDIN:
        return sys.stdin.buffer.read(PEM_BYTES_MAX + 1)
    return read_pem(Path(file), what)


def _give(session: Session, output: str | None, pem: bytes, data: Mapping[str, object], note: str) -> None:
    """To the file that was named, else to standard output."""
    session.output.note(note)
    if output is None:
        session.output.result({**data, "pem": pem.decode()}, pem.decode().rstrip("\n"))
    else:
        Path(output).write_bytes(pem)
        session.output.result({**data, "file": output}, f"wrote {output}")


@mesh.command()
@click.option("--force", is_flag=True, help="Leave the mesh that this node is in.")
@pass_session
def create(session: Session, force: bool) -> None:
    """Start a new mesh, with this node as its first.

    The CA key stays in data_dir/mesh/ca.key: whoever has it decides who is a member. Back it up.
    """
    from edgecache.adapters.pki.authority import ALL_ROLES, Authority
    from edgecache.adapters.pki.credentials import install, installed_mesh, read_bundle
    from edgecache.adapters.pki.keys import load_key
    from edgecache.model.errors import Denied

    files = _files(session)
    key = load_key(files.node_key)
    present = installed_mesh(files)
    if files.ca_key.exists():
        authority = Authority.load(files.ca_key)
        if present == authority.mesh:
            raise AlreadyThere(f"this device made mesh {present} before", hint="`edgecache mesh show` tells of it")
    if present is not None and not force:
        raise Denied(f"this node is in mesh {present}", hint="--force leaves it for a new one")
    if not files.ca_key.exists():
        authority = Authority.create(files.ca_key)
    bundle = authority.bundle(authority.issue(key.public_key(), roles=ALL_ROLES))
    credentials = read_bundle(key, bundle)
    install(files, credentials, leave_mesh=force)
    data = {"mesh": credentials.mesh, "node": credentials.node, "ca_key": str(files.ca_key)}
    text = f"mesh {credentials.mesh}\nthis node is its first member; back up {files.ca_key}, and keep it secret"
    session.output.result(data, text)


@mesh.command()
@click.option("-o", "--output", metavar="FILE", help="Where to write the request [default: standard output].")
@pass_session
def request(session: Session, output: str | None) -> None:
    """Ask to become a member: print a request."""
    from edgecache.adapters.pki.authority import make_request
    from edgecache.adapters.pki.keys import load_key, node_id_of_key

    config = session.config()
    key = load_key(_files(session).node_key)
    node = node_id_of_key(key.public_key())
    note = f"a request of {node} ({config.name}); whoever runs the mesh turns it into a certificate with `mesh issue`"
    _give(session, output, make_request(key, config.name), {"node": node, "name": config.name}, note)


@mesh.command()
@click.argument("request_file", metavar="REQUEST")
@click.option(
    "--role", "roles", multiple=True, type=click.Choice(ROLES), help="Repeatable [default: member, publisher, bridge]."
)
@click.option("--days", type=click.IntRange(1, 36500), help="Days until the certificate expires [default: never].")
@click.option("-o", "--output", metavar="FILE", help="Where to write the certificates [default: standard output].")
@pass_session
def issue(session: Session, request_file: str, roles: tuple[str, ...], days: int | None, output: str | None) -> None:
    """Certify a request, on the device where the mesh was created. REQUEST may be - for standard input."""
    from edgecache.adapters.pki.authority import NODE_ROLES, Authority, read_request
    from edgecache.adapters.pki.profile import Role

    authority = Authority.load(_files(session).ca_key)
    asked = read_request(_read(request_file, "request"))
    granted = frozenset(roles or NODE_ROLES) | {Role.MEMBER.value}
    certificate = authority.issue(asked.key, roles=granted, expires=_expiry(days))
    shown = [role for role in ROLES if role in granted]
    note = f"certified {asked.node}, which calls itself {asked.claimed_name!r}, as {', '.join(shown)}"
    data = {"node": asked.node, "claimed_name": asked.claimed_name, "roles": shown, "mesh": authority.mesh}
    _give(session, output, authority.bundle(certificate), data, note)


def _expiry(days: int | None) -> datetime:
    """When a certificate of so many days expires, by this device's clock if it has one; raises UsageError."""
    from datetime import UTC, datetime, timedelta

    from edgecache.adapters.pki.profile import NO_EXPIRY

    if days is None:
        return NO_EXPIRY
    today = datetime.now(UTC).replace(microsecond=0)
    if today.year < CLOCK_FLOOR:
        raise UsageError(f"--days needs a clock, and this device believes it is {today:%Y}", hint="set the clock first")
    return today + timedelta(days=days)


@mesh.command("install")
@click.argument("certificate_file", metavar="CERTIFICATE")
@click.option("--force", is_flag=True, help="Leave the mesh that this node is in.")
@pass_session
def install_certificate(session: Session, certificate_file: str, force: bool) -> None:
    """Install what `mesh issue` wrote. CERTIFICATE may be - for standard input."""
    from edgecache.adapters.pki.credentials import install, read_bundle
    from edgecache.adapters.pki.keys import load_key

    files = _files(session)
    credentials = read_bundle(load_key(files.node_key), _read(certificate_file, "certificate"))
    install(files, credentials, leave_mesh=force)
    data = {"mesh": credentials.mesh, "node": credentials.node, "roles": sorted(credentials.identity.roles)}
    session.output.result(data, f"node {credentials.node} is now in mesh {credentials.mesh}")


@mesh.command()
@pass_session
def show(session: Session) -> None:
    """Show this node's identity, its mesh and its roles."""
    from edgecache.adapters.pki.credentials import load_credentials
    from edgecache.adapters.pki.keys import load_key, node_id_of_key
    from edgecache.adapters.pki.profile import NO_EXPIRY

    files = _files(session)
    data: dict[str, object] = {
        "node": node_id_of_key(load_key(files.node_key).public_key()),
        "mesh": None,
        "roles": [],
        "expires": None,
        "issues": files.ca_key.exists(),
        "data_dir": str(files.data_dir),
    }
    if files.node_certificate.exists():
        credentials = load_credentials(files)
        ends = credentials.certificate.not_valid_after_utc
        data["mesh"] = credentials.mesh
        data["roles"] = [role for role in ROLES if role in credentials.identity.roles]
        data["expires"] = None if ends >= NO_EXPIRY else ends.isoformat()
    session.output.result(data, _shown(data))


def _shown(data: dict[str, object]) -> str:
    """For people."""
    if data["mesh"] is None:
        return f"node     {data['node']}\nmesh     none yet: `edgecache mesh create` or `edgecache mesh request`"
    roles = data["roles"]
    assert isinstance(roles, list)
    lines = {
        "node": data["node"],
        "mesh": data["mesh"],
        "roles": ", ".join(roles),
        "expires": data["expires"] or "never",
        "CA key": "on this device" if data["issues"] else "elsewhere",
    }
    return "\n".join(f"{name:<8} {value}" for name, value in lines.items())
