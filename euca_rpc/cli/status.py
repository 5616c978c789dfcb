"""`euca status`: which processes run from this home, and what the cloud says of itself."""

from __future__ import annotations

from typing import Any

import click

from euca_rpc.cli.frame import UNREACHABLE, Command, Invocation, invocation
from euca_rpc.cli.remote import ask
from euca_rpc.config import Config
from euca_rpc.daemons import pids
from euca_rpc.errors import EucaError


def processes(config: Config) -> list[dict[str, Any]]:
    """By pid file; one whose process has gone is shown as not running."""
    found = []
    for file in sorted(config.run.glob("*.pid")):
        pid = pids.living(file)
        found.append({"name": file.stem, "pid": pid, "running": pid is not None})
    return found


@click.command(
    "status",
    cls=Command,
    help="The processes of this home and the state of the cloud. Exit code 3 if the cloud controller does not answer.",
    examples="euca status\neuca status --json | jq .cloud.instances",
)
@click.pass_context
@invocation
def status(one: Invocation, context: click.Context) -> None:
    config = one.config()
    running = processes(config)
    trouble = ""
    try:
        cloud: dict[str, Any] | None = ask(config, "status", timeout=5.0)
    except EucaError as error:
        if error.kind != "unavailable":
            raise
        cloud, trouble = None, error.sentence
    if one.as_json:
        one.output.document(
            {"home": str(config.home), "ec2_url": config.ec2_url, "processes": running, "cloud": cloud}
            | ({"trouble": trouble} if trouble else {})
        )
    else:
        one.output.facts({"home": str(config.home), "EC2 endpoint": config.ec2_url})
        one.output.rows(running, none="no process runs from this home")
        if cloud is not None:
            show(one, cloud)
        else:
            one.output.say(f"\n{trouble}", "red")
    if cloud is None:
        context.exit(UNREACHABLE)


def show(one: Invocation, cloud: dict[str, Any]) -> None:
    nodes = cloud["nodes"]
    one.output.say("")
    one.output.facts(
        {
            "cloud": cloud["cloud_id"],
            "zones": [
                zone["name"] + ("" if zone["up"] else f" (silent: {zone['trouble']})")
                for zone in cloud["zones"]
            ],
            "nodes": f"{nodes['total']}, silent: {', '.join(nodes['silent']) or 'none'}"
            + (f", asleep or on the way: {', '.join(resting)}" if (resting := nodes.get("resting")) else ""),
            "instances": cloud["instances"] or "none",
            "clock": cloud["clock"] or "right",
        }
    )
