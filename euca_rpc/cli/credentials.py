"""Users' access keys and certificates, one by one: `euca keys`, `euca key …`, `euca certificates`, `euca certificate …`.

Whatever is disabled, deleted or revoked is refused from the next request on.
"""

from __future__ import annotations

from pathlib import Path

import click

from euca_rpc.cli.frame import Command, Group, Invocation, invocation
from euca_rpc.cli.people import CERTIFICATE_FILE, PRIVATE_KEY_FILE, write_private
from euca_rpc.cli.remote import ask


# ------------------------------------------------------------------------------------------------- access keys
@click.command(
    "keys",
    cls=Command,
    help="Access keys: everybody's, or those of USER. Their secrets are shown only when they are made.",
    examples="euca keys\neuca keys alice\neuca keys alice --json | jq -r '.[].id'",
)
@click.argument("user", required=False)
@invocation
def keys(one: Invocation, user: str | None) -> None:
    found = ask(one.config(), "access_keys", {"user": user})
    one.output.rows(found, ("id", "user", "enabled", "created"), none="no access keys")


@click.group(
    "key",
    cls=Group,
    help="Make an access key; disable, enable, delete one.",
    examples="euca key create alice\neuca key disable AKIC4EXAMPLE",
)
def key() -> None:
    pass


@key.command("create", examples="euca key create alice\neuca key create alice --json > alice.json")
@click.argument("user")
@invocation
def create(one: Invocation, user: str) -> None:
    """Make another access key for USER. Its secret is shown this once.

    `euca credentials USER DIR` makes all that a client needs, in files.
    """
    one.output.facts(ask(one.config(), "key_create", {"user": user}))


@key.command("disable", examples="euca key disable AKIC4EXAMPLE")
@click.argument("id")
@invocation
def disable(one: Invocation, id: str) -> None:
    """Refuse requests that the access key ID signs, until it is enabled again."""
    one.output.facts(ask(one.config(), "key_enable", {"id": id, "enabled": False}))


@key.command("enable", examples="euca key enable AKIC4EXAMPLE")
@click.argument("id")
@invocation
def enable(one: Invocation, id: str) -> None:
    """Let a disabled access key in again."""
    one.output.facts(ask(one.config(), "key_enable", {"id": id, "enabled": True}))


@key.command("delete", examples="euca key delete AKIC4EXAMPLE")
@click.argument("id")
@invocation
def delete(one: Invocation, id: str) -> None:
    """Delete the access key ID for good. What it started runs on."""
    one.output.facts(ask(one.config(), "key_delete", {"id": id}))


# ------------------------------------------------------------------------------------------------ certificates
@click.command(
    "certificates",
    cls=Command,
    help="X.509 certificates, with which SOAP requests are signed: everybody's, or those of USER.",
    examples="euca certificates\neuca certificates alice --json | jq -r '.[].id'",
)
@click.argument("user", required=False)
@invocation
def certificates(one: Invocation, user: str | None) -> None:
    found = ask(one.config(), "certificates", {"user": user})
    one.output.rows(found, ("id", "user", "enabled", "created", "expires"), none="no certificates")


@click.group(
    "certificate",
    cls=Group,
    help="Make an X.509 certificate; disable, enable, revoke one.",
    examples="euca certificate create alice ~/alice\neuca certificate revoke 3f7a…",
)
def certificate() -> None:
    pass


@certificate.command("create", examples="euca certificate create alice ~/alice")
@click.argument("user")
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@invocation
def certificate_create(one: Invocation, user: str, directory: Path) -> None:
    """Make another certificate for USER and write it and its private key into DIR, readable by you alone.

    The private key is kept nowhere else.
    """
    made = ask(one.config(), "certificate_create", {"user": user})
    files = write_private(
        directory,
        {CERTIFICATE_FILE: made["certificate_pem"], PRIVATE_KEY_FILE: made["private_key_pem"]},
    )
    one.output.facts({"id": made["id"], "user": user, "files": [str(file) for file in files]})


@certificate.command("disable", examples="euca certificate disable 3f7a…")
@click.argument("id")
@invocation
def certificate_disable(one: Invocation, id: str) -> None:
    """Refuse requests that the certificate ID signs, until it is enabled again."""
    one.output.facts(ask(one.config(), "certificate_enable", {"id": id, "enabled": False}))


@certificate.command("enable", examples="euca certificate enable 3f7a…")
@click.argument("id")
@invocation
def certificate_enable(one: Invocation, id: str) -> None:
    """Let a disabled certificate in again."""
    one.output.facts(ask(one.config(), "certificate_enable", {"id": id, "enabled": True}))


@certificate.command("revoke", examples="euca certificate revoke 3f7a…")
@click.argument("id")
@invocation
def certificate_revoke(one: Invocation, id: str) -> None:
    """Refuse the certificate ID for good."""
    one.output.facts(ask(one.config(), "certificate_revoke", {"id": id}))
