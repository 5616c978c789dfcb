"""`euca init`: everything a cloud needs before its first daemon starts.

    home ─ settings file ─ authority ─ one identity per role ─ keys for tickets ─ database with its administrator

Each step is skipped when its result is there, so that an interrupted `init` is finished by the next
one and `euca up` may always run it. It is one of the few commands that open the database, and only
while no cloud controller holds its lock.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from euca_rpc.cli.frame import Command, Invocation, invocation
from euca_rpc.cli.output import Output
from euca_rpc.clock import SystemClock
from euca_rpc.cloud.bootstrap import initialise
from euca_rpc.cloud.seal import Seal
from euca_rpc.config import MOST_ZONES, Config
from euca_rpc.config_file import remember
from euca_rpc.errors import EucaError
from euca_rpc.ids import SystemIds
from euca_rpc.wire.contracts import ADMIN, CLOUD, CLUSTER, IMAGES, NAMESERVER
from euca_rpc.wire.files import write_atomically
from euca_rpc.wire.pki import Authority, Identity, PeerName
from euca_rpc.wire.web_certificate import make_web_certificate

Step = Callable[[str], AbstractContextManager[Any]]


@dataclass(frozen=True, slots=True)
class Administrator:
    """What does the first steps without a browser."""

    email: str
    password: str = field(repr=False)


def prepare(config: Config, step: Step, first: Administrator | None = None) -> dict[str, Any]:
    """What was made now; empty when all was there.  ``first`` None: the first log-in to the portal asks for it."""
    if first is not None and config.database.exists():
        raise EucaError(
            "state_conflict",
            f"{config.home} has its administrator already: change the e-mail address in the portal; euca rescue lets in "
            "who lost the password",
        )
    made: dict[str, Any] = {}
    for directory in (config.home, config.run, config.logs, config.blobs, config.cloud_home):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if remember(config):
        made["config"] = str(config.file)
    names = missing_identities(config)
    if names or not (config.ca / "ca.pem").exists():
        with step("keys and certificates"):
            authority = the_authority(config)
            for name in names:
                issue(authority, config, name)
        made["cloud_id"] = authority.cloud_id
        made["certificates"] = [name.path for name in names]
    if not (config.portal_home / "cert.pem").exists():
        make_web_certificate(config.portal_home, (config.advertised, "localhost", "127.0.0.1"))
    if not config.ticket_key.exists():
        write_atomically(config.ticket_key, secrets.token_bytes(32), mode=0o600)
    if not config.seal_key.exists():
        Seal.create(config.seal_key)
    if not config.database.exists():
        with step("database and first administrator"):
            made["administrator"] = config.defaults.administrator
            made |= new_database(config, first)
    return made


def new_database(config: Config, first: Administrator | None) -> dict[str, str]:
    """Made beside its place and moved there, so that an interrupted one is never taken for a finished one."""
    beside = config.database.with_name("unfinished.db")
    for left in config.cloud_home.glob("unfinished.db*"):
        left.unlink()
    code = initialise(
        beside,
        SystemClock(),
        SystemIds(),
        administrator=config.defaults.administrator,
        zones=config.up.zones,
        account_instances=config.defaults.account_instances,
        user_instances=config.defaults.user_instances,
        email=first.email if first else "",
        password=first.password if first else "",
    )
    if beside.with_name("unfinished.db-wal").exists():
        raise EucaError("internal", f"{beside} was not closed in order; try again")
    beside.replace(config.database)
    for left in config.cloud_home.glob("unfinished.db*"):
        left.unlink()
    return {"login_code": code} if code else {}


def missing_identities(config: Config) -> list[PeerName]:
    wanted = [PeerName(role) for role in (NAMESERVER, CLOUD, IMAGES, ADMIN)]
    wanted += [PeerName(CLUSTER, zone) for zone in config.up.zones]
    return [name for name in wanted if not usable(directory_of(config, name))]


def usable(directory: Path) -> bool:
    """There is a certificate, and it has not expired: it would not renew itself any more."""
    return (directory / "cert.pem").exists() and Identity.load(directory).expires_at > SystemClock().wall()


def directory_of(config: Config, name: PeerName) -> Path:
    return config.identity(name.role, name.zone, name.host)


def the_authority(config: Config) -> Authority:
    if (config.ca / "ca.pem").exists():
        return Authority.load(config.ca, config.cloud.certificate_days)
    authority = Authority.create(config.ca, f"euca-{secrets.token_hex(4)}")
    authority.days = config.cloud.certificate_days
    return authority


def issue(authority: Authority, config: Config, name: PeerName) -> None:
    directory = directory_of(config, name)
    request = Identity.make_key_and_csr(directory, name)
    Identity.install(directory, authority.issue(request, name), authority.ca_pem)


def welcome(output: Output, config: Config, made: dict[str, Any]) -> None:
    if "login_code" in made:
        output.say(
            f"Administrator {made['administrator']!r}: one-time code for the first portal login, shown only now: "
            f"{made['login_code']}"
        )
    if "administrator_password" in made:
        output.say(
            f"Password of administrator {made['administrator']!r}, shown only now: {made['administrator_password']}"
        )


@click.command(
    "init",
    cls=Command,
    help="Make a new cloud's home: settings file, certificate authority, a certificate for each role, database, the "
    "first administrator. `euca up` does it by itself. Run again, it makes only what is missing.",
    examples="euca init --home ~/cloud\neuca init --zones east,west --port 9000\n"
    "euca init --admin-email admin@example.org",
)
@click.option("--port", type=click.IntRange(1, 65535), help="The base port (EC2); all others lie above it.")
@click.option("--zones", help="How many, or their names: 2, or east,west.")
@click.option(
    "--admin-email",
    metavar="ADDRESS",
    help="The administrator's e-mail address: with it the first steps are done, and people can apply at once.",
)
@click.option(
    "--admin-password",
    type=click.Choice(["ask", "stdin", "generate"]),
    help="Where the administrator's password comes from, with --admin-email: asked for (usual at a terminal), the first line "
    "of standard input, or made and shown once (usual elsewhere).",
)
@invocation
def init(
    one: Invocation, port: int | None, zones: str | None, admin_email: str | None, admin_password: str | None
) -> None:
    config = one.config({"listen.port": port, "up.zones": zone_names(zones)})
    if admin_password and not admin_email:
        raise click.UsageError("--admin-password goes with --admin-email")
    password, made_up = a_password(admin_password) if admin_email else ("", False)
    first = Administrator(admin_email, password) if admin_email else None
    made = prepare(config, one.output.step, first)
    if made_up:
        made["administrator_password"] = password
    if one.as_json:
        one.output.document({"home": str(config.home), "made": made})
        return
    welcome(one.output, config, made)
    one.output.say(f"{config.home} is ready: `euca up --home {config.home}` starts the cloud.")


def a_password(source: str | None) -> tuple[str, bool]:
    """The password, and whether it was made here and so has to be shown."""
    source = source or ("ask" if sys.stdin.isatty() else "generate")
    if source == "generate":
        return secrets.token_urlsafe(15), True
    if source == "stdin":
        return sys.stdin.readline().rstrip("\r\n"), False
    return click.prompt("Password of the administrator", hide_input=True, confirmation_prompt=True), False


def zone_names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    if text.isdecimal():
        if not 1 <= int(text) <= MOST_ZONES:
            raise click.UsageError(f"--zones must be 1 to {MOST_ZONES}, or names")
        return tuple(f"zone-{chr(ord('a') + n)}" if n < 26 else f"zone-{n + 1}" for n in range(int(text)))
    return tuple(part.strip() for part in text.split(",") if part.strip())
