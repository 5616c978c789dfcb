"""`euca ledger`: what was used, and by whom."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from euca_rpc.cli.frame import Command, Invocation, invocation
from euca_rpc.cli.leases import moment
from euca_rpc.cli.remote import ask

HOURS = ("instance_hours", "core_hours", "memory_gb_hours", "disk_gb_hours")
COLUMNS = ("account", "account_name", "user", *HOURS)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@click.command(
    "ledger",
    cls=Command,
    help="What was used, by account and user: hours of instances, cores, GB of memory and GB of disk, each machine from the moment "
    "when its node saw it running to the moment when its node saw that it had ended. It is worked out from the usage rows, which are "
    "written in the transactions of those events.",
    examples="euca ledger --from 2026-11-01 --to 2026-12-01\neuca ledger --csv november.csv\neuca ledger --json | jq '.rows[].user'",
)
@click.option(
    "--from", "since", metavar="MOMENT", help="ISO 8601, UTC unless it says otherwise; without it, all."
)
@click.option("--to", "until", metavar="MOMENT", help="Up to here, at most to now.")
@click.option("--csv", "path", metavar="FILE", help="Write it as CSV; - is standard output.")
@invocation
def ledger(one: Invocation, since: str | None, until: str | None, path: str | None) -> None:
    given = {"since": moment("--from", since), "until": moment("--to", until)}
    found = ask(one.config(), "ledger", {name: at for name, at in given.items() if at is not None})
    if path is not None:
        text = sheet(found["rows"])
        if path == "-":
            sys.stdout.write(text)
        else:
            Path(path).write_text(text, newline="")
            one.output.say(f"Wrote {len(found['rows'])} lines into {path}.")
    elif one.as_json:
        one.output.document(found)
    else:
        rows = [{**row, **{name: f"{row[name]:.3f}" for name in HOURS}} for row in found["rows"]]
        one.output.rows(rows, COLUMNS, none="nothing was used")
        one.output.say(f"from {found['since']} to {found['until']}")


def sheet(rows: Sequence[Mapping[str, Any]]) -> str:
    """As CSV.  No cell is a formula: a spreadsheet takes for one what begins like one, and names are what people chose."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for row in rows:
        names = [str(row[name]) for name in COLUMNS if name not in HOURS]
        hours = [f"{row[name]:.3f}" for name in HOURS]
        table.writerow([f"'{name}" if name.startswith(_FORMULA) else name for name in names] + hours)
    return text.getvalue()
