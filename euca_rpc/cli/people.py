"""Users and what their clients need: `euca user …`, `euca credentials`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from euca_rpc.cli.frame import Command, Group, Invocation, invocation
from euca_rpc.cli.remote import administrator, ask
from euca_rpc.config import Config
from euca_rpc.wire.files import write_atomically

# what the command line tools of 1.0, boto 2, awscli and boto3 each look for
EUCARC = """\
# For the shell: what the tools of 1.0, boto, awscli and boto3 each look for.
EUCA_KEY_DIR={directory}
export EC2_URL={url}
export EC2_ACCESS_KEY='{access_key}'
export EC2_SECRET_KEY='{secret_key}'
export EC2_PRIVATE_KEY=$EUCA_KEY_DIR/euca2-pk.pem
export EC2_CERT=$EUCA_KEY_DIR/euca2-cert.pem
export EUCALYPTUS_CERT=$EUCA_KEY_DIR/cloud-cert.pem
export AWS_ACCESS_KEY_ID=$EC2_ACCESS_KEY
export AWS_SECRET_ACCESS_KEY=$EC2_SECRET_KEY
export AWS_DEFAULT_REGION={region}
export AWS_ENDPOINT_URL_EC2=$EC2_URL
export AWS_CONFIG_FILE=$EUCA_KEY_DIR/config
export AWS_SHARED_CREDENTIALS_FILE=$EUCA_KEY_DIR/credentials
export AWS_EC2_METADATA_DISABLED=true
"""
PROFILE = """\
[default]
region = {region}
services = euca
[services euca]
ec2 =
  endpoint_url = {url}
"""
CREDENTIALS = """\
[default]
aws_access_key_id = {access_key}
aws_secret_access_key = {secret_key}
"""


CERTIFICATE_FILE, PRIVATE_KEY_FILE = "euca2-cert.pem", "euca2-pk.pem"


def write_credentials(config: Config, made: dict[str, Any], directory: Path) -> list[Path]:
    """All files, readable by their owner alone; the answer of the verb `credentials_create` becomes them."""
    facts = {
        "directory": _quoted(str(directory.absolute())),
        "url": config.ec2_url,
        "region": config.cloud.region,
        "access_key": made["access_key"],
        "secret_key": made["secret_key"],
    }
    texts = {
        "eucarc": EUCARC.format(**facts),
        "config": PROFILE.format(**facts),
        "credentials": CREDENTIALS.format(**facts),
        CERTIFICATE_FILE: made.get("certificate_pem", ""),
        PRIVATE_KEY_FILE: made.get("private_key_pem", ""),
        "cloud-cert.pem": administrator(config).ca_pem.decode(),
    }
    return write_private(directory, {name: text for name, text in texts.items() if text})


def write_private(directory: Path, texts: Mapping[str, str]) -> list[Path]:
    """Files of these names, readable by their owner alone."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, text in texts.items():
        write_atomically(directory / name, text.encode(), mode=0o600)
    return [directory / name for name in texts]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


@click.command(
    "credentials",
    cls=Command,
    help="Make a new pair of keys and an X.509 certificate for USER and write into DIR all that a client needs: "
    "`eucarc` for the shell, `config` and `credentials` for awscli and boto3. Each file is readable by you alone.",
    examples="euca credentials admin ~/.euca-admin\n. ~/.euca-admin/eucarc\naws ec2 describe-availability-zones",
)
@click.argument("user")
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@invocation
def credentials(one: Invocation, user: str, directory: Path) -> None:
    config = one.config()
    made = ask(config, "credentials_create", {"user": user})
    files = write_credentials(config, made, directory)
    if one.as_json:
        one.output.document(
            {"user": user, "access_key": made["access_key"], "files": [str(file) for file in files]}
        )
        return
    one.output.say(f"Wrote {', '.join(file.name for file in files)} into {directory}.")
    one.output.say(f"Next: . {directory}/eucarc")


@click.group("user", cls=Group, help="Add users; lock them out, let them in again; delete them.")
def user() -> None:
    pass


@user.command("add", examples="euca user add alice --email alice@example.org\neuca user add root2 --admin")
@click.argument("name")
@click.option("--email", default="", help="Where mail goes.")
@click.option(
    "--account", default=None, help="Number of an existing account; without it, one of the user's own."
)
@click.option("--admin", is_flag=True, help="May do everything.")
@invocation
def add(one: Invocation, name: str, email: str, account: str | None, admin: bool) -> None:
    """Add a user, with an account of the user's own."""
    given = {"name": name, "email": email, "admin": admin, "account": account}
    one.output.facts(ask(one.config(), "user_add", given))


@user.command("disable", examples="euca user disable alice")
@click.argument("name")
@invocation
def disable(one: Invocation, name: str) -> None:
    """Refuse NAME's keys and certificates from now on. What the user owns stays and runs on."""
    one.output.facts(ask(one.config(), "user_enable", {"name": name, "enabled": False}))


@user.command("enable", examples="euca user enable alice")
@click.argument("name")
@invocation
def enable(one: Invocation, name: str) -> None:
    """Let a disabled user in again, with the same keys."""
    one.output.facts(ask(one.config(), "user_enable", {"name": name, "enabled": True}))


@user.command("delete", examples="euca user delete alice --instances keep")
@click.argument("name")
@click.option(
    "--instances",
    type=click.Choice(("keep", "terminate")),
    required=True,
    help="What becomes of the machines that NAME launched: they stay the account's, or end, protected ones too.",
)
@invocation
def delete(one: Invocation, name: str, instances: str) -> None:
    """Delete NAME for good: sessions end, keys and certificates fail at once, and the name is never used again."""
    one.output.facts(ask(one.config(), "user_delete", {"name": name, "instances": instances}))


@click.command(
    "quota",
    cls=Command,
    help="Set limits of WHOM: account/NUMBER, user/NAME, default/account or default/user. What is not named has none, as -1 says. Lowering one "
    "stops nothing that runs.",
    examples="euca quota default/account --instances 10\neuca quota user/alice --cores 4 --memory-mb 2048",
)
@click.argument("whom")
@click.option("--instances", type=int)
@click.option("--cores", type=int)
@click.option("--memory-mb", type=int)
@click.option("--disk-gb", type=int)
@invocation
def quota(
    one: Invocation,
    whom: str,
    instances: int | None,
    cores: int | None,
    memory_mb: int | None,
    disk_gb: int | None,
) -> None:
    limits = {"instances": instances, "cores": cores, "memory_mb": memory_mb, "disk_gb": disk_gb}
    given = {name: value for name, value in limits.items() if value is not None}
    one.output.facts(ask(one.config(), "quota_set", {"scope": whom, **given}))
