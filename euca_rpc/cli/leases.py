"""`euca extend`."""

from __future__ import annotations

import click

from euca_rpc.cli.frame import Command, Invocation, invocation
from euca_rpc.cli.remote import ask
from euca_rpc.clock import from_iso


def moment(option: str, text: str | None) -> int | None:
    """Of a date, or a date and time, UTC unless it says otherwise."""
    try:
        return None if text is None else from_iso(text)
    except ValueError:
        raise click.UsageError(f"{option} {text!r} is no date and time: 2026-12-24T18:00Z") from None


@click.command(
    "extend",
    cls=Command,
    help="Let the instance ID run longer than its lease says. `euca instances` tells which have one, and until when.",
    examples="euca extend i-1a2b3c4d --hours 8\neuca extend i-1a2b3c4d --until 2026-12-24T18:00Z",
)
@click.argument("id")
@click.option("--until", metavar="MOMENT", help="The new end: ISO 8601, UTC unless it says otherwise.")
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), help="So much beyond the present end.")
@invocation
def extend(one: Invocation, id: str, until: str | None, hours: float | None) -> None:
    if (until is None) == (hours is None):
        raise click.UsageError("say --until or --hours, one of the two")
    given = {"until": moment("--until", until), "hours": hours}
    one.output.facts(ask(one.config(), "instance_extend", {"id": id, **given}))
