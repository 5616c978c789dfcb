"""`euca policy …`: which placement policy is in force, for the cloud and for each zone; what policies are told."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any, TextIO

import click

from euca_rpc.cli import new_policy
from euca_rpc.cli.frame import Group, Invocation, invocation
from euca_rpc.cli.remote import ask


@click.group(
    "policy",
    cls=Group,
    help="Put a placement policy in force; tell policies their parameters; call one again that was tripped.",
    examples="euca policies\neuca policy use least_full\neuca policy use round_robin --zone east",
)
def policy() -> None:
    pass


@policy.command("new", examples="euca policy new mine\neuca policy new mine ~/policies/mine")
@click.argument("name")
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@invocation
def new(one: Invocation, name: str, directory: Path | None) -> None:
    """Make a package with the policy NAME, which works, and its tests, in DIR (./NAME). No cloud need run."""
    written = new_policy.make(name, directory or Path(name))
    if one.as_json:
        one.output.document({"files": [str(file) for file in written]})
    else:
        one.output.say("\n".join(str(file) for file in written))


@policy.command("use", examples="euca policy use least_full\neuca policy use round_robin --zone east")
@click.argument("name")
@click.option("--zone", help="For this zone alone; without it, for the cloud.")
@invocation
def use(one: Invocation, name: str, zone: str | None) -> None:
    """Put the policy NAME in force: the next launch goes by it, what runs stays where it is.

    First it is tried on every VM type and node: if it fails there, what is in force stays so. One that was installed while
    the cloud runs is loaded. A zone with a policy of its own keeps that. `euca policies` tells which there are.
    """
    one.output.facts(ask(one.config(), "policy_set", {"policy": name, "zone": zone}))


@policy.command("unset", examples="euca policy unset --zone east\neuca policy unset")
@click.option(
    "--zone", help="This zone goes by the cloud's policy again; without it, the cloud by its settings."
)
@invocation
def unset(one: Invocation, zone: str | None) -> None:
    """Take back what `euca policy use` said."""
    one.output.facts(ask(one.config(), "policy_set", {"zone": zone}))


@policy.command("reset", examples="euca policy reset least_full")
@click.argument("name")
@invocation
def reset(one: Invocation, name: str) -> None:
    """Call the policy NAME again, which was tripped after failures."""
    one.output.facts(ask(one.config(), "policy_reset", {"policy": name}))


@policy.command("trace", examples="euca policy trace least_full on\neuca policy trace least_full off")
@click.argument("name")
@click.argument("switch", type=click.Choice(["on", "off"]))
@invocation
def trace(one: Invocation, name: str, switch: str) -> None:
    """Write into the log of the cloud controller what each hook of NAME is asked and says, until it is switched off."""
    one.output.facts(ask(one.config(), "policy_trace", {"policy": name, "on": switch == "on"}))


@policy.command("parameters", examples="euca policy parameters\neuca policy parameters --json | jq .")
@invocation
def parameters(one: Invocation) -> None:
    """What the loaded policies can be told, and what they are told now."""
    found = ask(one.config(), "policy_parameters")
    one.output.rows(found, ("name", "value", "set"), none="no policy has parameters")


@policy.command("totals", examples="euca policy totals\neuca policy totals --json | jq .")
@invocation
def totals(one: Invocation) -> None:
    """The counters that policies keep, as they are now."""
    one.output.rows(ask(one.config(), "policy_totals"), ("name", "amount"), none="no policy keeps counters")


@policy.command(
    "parameter",
    examples="euca policy parameter lease.hours 8\neuca policy parameter lease.then stop\n"
    "euca policy parameter lease.exempt '[\"123456789012\"]'\neuca policy parameter lease.hours --unset",
)
@click.argument("name", metavar="POLICY.NAME")
@click.argument("value", required=False)
@click.option("--unset", is_flag=True, help="Back to what it usually is.")
@invocation
def parameter(one: Invocation, name: str, value: str | None, unset: bool) -> None:
    """Tell a policy something: the next launch goes by it. VALUE is JSON, or else a text."""
    if (value is None) != unset:
        raise click.UsageError("say a VALUE, or --unset")
    one.output.facts(ask(one.config(), "policy_parameter", {"name": name, "value": _value(value)}))


@policy.command(
    "feed",
    examples="euca policy feed spot.price 0.25\neuca policy feed spot.prices --file prices.csv\n"
    "curl -s https://prices.example.org/now.json | euca policy feed grid -\neuca policy feed grid --remove",
)
@click.argument("key")
@click.argument("value", required=False)
@click.option("--file", "file", type=click.File("r"), help="Read the value from this file instead.")
@click.option("--remove", is_flag=True, help="Take it back.")
@invocation
def feed(one: Invocation, key: str, value: str | None, file: TextIO | None, remove: bool) -> None:
    """Let policies see VALUE as view.published["KEY"], until another is fed: prices, calendars, the weather.

    VALUE is JSON, or else a text; `-` reads it from standard input. A file whose name ends in .csv becomes a list of
    objects, one for each row after the first, with numbers as numbers.
    """
    if (value is not None) + (file is not None) + remove != 1:
        raise click.UsageError("say a VALUE (or -), --file FILE, or --remove: one of them")
    if file is not None:
        said = _rows(file) if file.name.endswith(".csv") else _value(file.read())
    else:
        said = _value(sys.stdin.read() if value == "-" else value)
    if said is None and not remove:
        raise click.UsageError("null is no value: --remove takes a value back")
    one.output.facts(ask(one.config(), "policy_feed", {"key": key, "value": said}))


def _rows(file: TextIO) -> list[dict[str, Any]]:
    return [{name: _number(cell) for name, cell in row.items() if name} for row in csv.DictReader(file)]


def _number(cell: str | None) -> Any:
    for kind in (int, float):
        try:
            return kind(cell or "")
        except ValueError:
            continue
    return cell


@policy.command("published", examples="euca policy published\neuca policy published --json | jq .")
@invocation
def published(one: Invocation) -> None:
    """The values that were fed, and those that policies publish themselves (NAME.KEY)."""
    one.output.rows(ask(one.config(), "policy_published"), ("name", "value"), none="nothing is published")


def _value(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text
