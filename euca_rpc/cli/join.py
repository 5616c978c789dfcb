"""What a cluster or node controller on a host of its own is told about where it is and where the rest is.

A host that enrols needs one line: the token says where the cloud controller is, and the name server
lies at its fixed offset beside it unless `--nameserver` says otherwise. What was said is remembered in
HOME/euca.toml.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from euca_rpc.cli.frame import Invocation
from euca_rpc.config import ENROL, NAMESERVER, Config
from euca_rpc.config_file import remember
from euca_rpc.wire.enrol import EnrolToken
from euca_rpc.wire.tls import at

OPTIONS = (
    click.option("--token", help="Needed once, to enrol this host.", envvar="EUCA_TOKEN"),
    click.option(
        "--nameserver", metavar="HOST:PORT", help="Default: beside the cloud controller in the token."
    ),
    click.option("--address", help="Listen here (default 127.0.0.1)."),
    click.option("--advertise", help="The name others find this daemon under (default: --address)."),
    click.option("--listen-port", type=click.IntRange(1, 65535), help="Default: the base port + 10 or + 40."),
)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def configured(
    one: Invocation,
    token: str | None,
    nameserver: str | None,
    address: str | None,
    advertise: str | None,
    more: dict[str, Any] | None = None,
) -> Config:
    flags = {
        "listen.nameserver": nameserver,
        "listen.address": address,
        "listen.advertise": advertise,
        **(more or {}),
    }
    config = one.config(flags)
    if token is None:
        return config
    if (
        not config.listen.nameserver and not config.ca.is_dir()
    ):  # where the authority is, the name server is near
        where = EnrolToken.parse(token)
        flags["listen.nameserver"] = at((where.host, where.port - ENROL + NAMESERVER))
        config = one.config(flags)
    config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    remember(config)
    return config
