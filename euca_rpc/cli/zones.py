"""`euca zone …`: zones come and go.  `euca zones` lists them."""

from __future__ import annotations

from typing import Any

import click

from euca_rpc.cli.frame import Command, Group, Invocation, invocation
from euca_rpc.cli.remote import ask


@click.group(
    "zone",
    cls=Group,
    help="Make an availability zone, or remove an empty one.",
    examples="euca zone add west\neuca zone remove west",
)
def zone() -> None:
    pass


@zone.command("add", examples="euca zone add west\neuca zone add west --json | jq -r .command")
@click.argument("zone")
@invocation
def add(one: Invocation, zone: str) -> None:
    """Make ZONE and print the one-time token with which its cluster controller enrols.

    Nodes can be added to it at once; they are of use when its cluster controller runs.
    """
    show_token(one, ask(one.config(), "zone_add", {"zone": zone}))


@zone.command("remove", examples="euca zone remove west")
@click.argument("zone")
@invocation
def remove(one: Invocation, zone: str) -> None:
    """Remove ZONE and revoke its cluster controller's certificate; refused while it has nodes."""
    one.output.facts(ask(one.config(), "zone_remove", {"zone": zone}))


@click.command(
    "zone_token",
    cls=Command,
    help="Another one-time token with which ZONE's cluster controller enrols on a host of its own. Tokens that were made "
    "for it before are good for nothing from now on.",
    examples="euca zone_token east",
)
@click.argument("zone")
@invocation
def zone_token(one: Invocation, zone: str) -> None:
    show_token(one, ask(one.config(), "zone_token", {"zone": zone}))


def show_token(one: Invocation, answer: dict[str, Any]) -> None:
    zone = answer["zone"]
    made = {**answer, "command": f"euca cluster --zone {zone} --token {answer['token']}"}
    if one.as_json:
        one.output.document(made)
    else:
        one.output.say(f"On the host of {zone}'s cluster controller, once:\n\n  {made['command']}\n")
