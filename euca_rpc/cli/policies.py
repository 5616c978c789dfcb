"""`euca policy …`: which placement policy is in force, for the cloud and for each zone."""

from __future__ import annotations

import click

from euca_rpc.cli.frame import Group, Invocation, invocation
from euca_rpc.cli.remote import ask


@click.group(
    "policy",
    cls=Group,
    help="Put a placement policy in force; call one again that was tripped.",
    examples="euca policies\neuca policy set least_full\neuca policy set round_robin --zone east",
)
def policy() -> None:
    pass


@policy.command("set", examples="euca policy set least_full\neuca policy set round_robin --zone east")
@click.argument("name")
@click.option("--zone", help="For this zone alone; without it, for the cloud.")
@invocation
def set_(one: Invocation, name: str, zone: str | None) -> None:
    """Put the policy NAME in force: the next launch goes by it, what runs stays where it is.

    A zone with a policy of its own keeps that. `euca policies` tells which there are.
    """
    one.output.facts(ask(one.config(), "policy_set", {"policy": name, "zone": zone}))


@policy.command("unset", examples="euca policy unset --zone east\neuca policy unset")
@click.option(
    "--zone", help="This zone goes by the cloud's policy again; without it, the cloud by its settings."
)
@invocation
def unset(one: Invocation, zone: str | None) -> None:
    """Take back what `euca policy set` said."""
    one.output.facts(ask(one.config(), "policy_set", {"zone": zone}))


@policy.command("reset", examples="euca policy reset least_full")
@click.argument("name")
@invocation
def reset(one: Invocation, name: str) -> None:
    """Call the policy NAME again, which was tripped after failures."""
    one.output.facts(ask(one.config(), "policy_reset", {"policy": name}))
