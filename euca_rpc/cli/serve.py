"""One daemon each: `euca nameserver`, `euca cloud`, `euca images serve`, `euca cluster`, `euca node`.

Each runs in the foreground and logs to standard error; SIGTERM ends it. `euca node` is in `nodes`,
beside what an administrator does to nodes; `euca images` alone lists the images.
"""

from __future__ import annotations

from pathlib import Path

import click

from euca_rpc.cli import join
from euca_rpc.cli.frame import Command, Group, Invocation, invocation
from euca_rpc.cli.lists import COLUMNS
from euca_rpc.cli.remote import ask


@click.command(
    "nameserver", cls=Command, help="Run the name server (one daemon).", examples="euca nameserver"
)
@click.option(
    "--conf",
    type=click.Path(exists=True, path_type=Path),
    help="Its settings (default: HOME/nameserver.conf).",
)
@invocation
def nameserver(one: Invocation, conf: Path | None) -> None:
    from euca_rpc.daemons.nameserver import main

    main(one.config(), conf)


@click.command(
    "cloud",
    cls=Command,
    help="Run the cloud controller and its interfaces (one daemon).",
    examples="euca cloud",
)
@invocation
def cloud(one: Invocation) -> None:
    from euca_rpc.daemons.cloud import main

    main(one.config())


@click.command(
    "cluster",
    cls=Command,
    help="Run the cluster controller of a zone (one daemon). On another host it enrols with the token that `euca "
    "zone add ZONE` or `euca zone_token ZONE` printed.",
    examples="euca cluster --zone east\neuca cluster --zone east --address 192.0.2.7 --token TOKEN",
)
@click.option("--zone", required=True)
@join.options
@invocation
def cluster(
    one: Invocation,
    zone: str,
    token: str | None,
    nameserver: str | None,
    address: str | None,
    advertise: str | None,
    listen_port: int | None,
) -> None:
    config = join.configured(one, token, nameserver, address, advertise)
    from euca_rpc.daemons.cluster import main

    main(config, zone, listen_port, token)


@click.group(
    "images",
    cls=Group,
    invoke_without_command=True,
    help="List the images. `euca images serve` runs the image server (one daemon).",
    examples="euca images\neuca images --json\neuca images serve",
)
@click.pass_context
def images(context: click.Context) -> None:
    if context.invoked_subcommand is None:
        one = context.ensure_object(Invocation)
        one.output.rows(
            ask(one.config(), "images"), COLUMNS["images"], none="no images; see euca add_image --help"
        )


@images.command("serve", examples="euca images serve")
@invocation
def serve(one: Invocation) -> None:
    """Run the image server: it keeps the images' bytes and gives them to nodes (one daemon)."""
    from euca_rpc.daemons.images import main

    main(one.config())
