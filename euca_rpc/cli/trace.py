"""`euca trace …`: workloads for `euca simulate`."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from euca_rpc.cli.frame import Group, Invocation, invocation
from euca_rpc.cli.remote import ask
from euca_rpc.clock import SECOND
from euca_rpc.lab import history, readers, synthetic
from euca_rpc.lab import site as sites
from euca_rpc.lab.workload import Workload
from euca_rpc.types import Size

_FILE = click.Path(dir_okay=False, path_type=Path)
_TRACE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(
    "trace",
    cls=Group,
    help="Make, fit and convert traces for `euca simulate`.",
    examples="euca trace make synthetic.csv --launches 2000\neuca trace convert jobs.swf.gz jobs.csv",
)
def trace() -> None:
    pass


@trace.command(
    "make",
    examples="euca trace make synthetic.csv --launches 2000\neuca trace make more.csv --like trace.txt.xz --seed 3",
)
@click.argument("out", type=_FILE)
@click.option("--launches", type=click.IntRange(1), default=2000, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same trace.")
@click.option("--like", type=_TRACE, help="Fit the distributions to this trace, instead of the defaults.")
@invocation
def make(one: Invocation, out: Path, launches: int, seed: int, like: Path | None) -> None:
    """Draw a workload and write it to OUT, as CSV."""
    shape = synthetic.Shape() if like is None else synthetic.fit(readers.read(like))
    _write(one, out, synthetic.generate(shape, launches, seed))


@trace.command(
    "export",
    examples="euca trace export history.csv --site site.toml\neuca trace export given-away.csv --anonymise",
)
@click.argument("out", type=_FILE)
@click.option("--anonymise", is_flag=True, help="Users, accounts and reservations under drawn names.")
@click.option(
    "--site", "site_file", type=_FILE, help="Write the cloud's nodes here, for `euca simulate --site`."
)
@invocation
def export(one: Invocation, out: Path, anonymise: bool, site_file: Path | None) -> None:
    """Write the history of a running cloud to OUT, as CSV."""
    config = one.config()
    events: list[dict[str, Any]] = []
    while page := ask(config, "history", {"after": events[-1]["id"] if events else 0}):
        events += page
    workload = history.read(events)
    if site_file is not None:
        site_file.write_text(sites.write(_site(ask(config, "nodes"))), encoding="utf-8")
    _write(one, out, history.anonymise(workload) if anonymise else workload)


def _site(nodes: Sequence[Mapping[str, Any]]) -> sites.Site:
    """The nodes that take machines, in order of their ids."""
    zones: dict[str, list[sites.Host]] = {}
    for node in sorted(nodes, key=lambda node: str(node["id"])):
        if node["state"] == "active":
            offer = Size(*(int(node["offer"][part]) for part in ("cores", "memory_mb", "disk_gb")))
            zones.setdefault(node["id"].partition("/")[0], []).append(sites.Host(node["id"], offer))
    return sites.Site(tuple(sites.Zone(name, tuple(hosts)) for name, hosts in zones.items()))


@trace.command("convert", examples="euca trace convert jobs.swf.gz jobs.csv")
@click.argument("source", type=_TRACE)
@click.argument("out", type=_FILE)
@invocation
def convert(one: Invocation, source: Path, out: Path) -> None:
    """Read any trace that `euca simulate` reads and write it to OUT, as CSV."""
    _write(one, out, readers.read(source))


def _write(one: Invocation, out: Path, workload: Workload) -> None:
    with out.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(readers.rows(workload))
    days = workload.length / SECOND / 86400
    one.output.facts({"written": str(out), "launches": len(workload.requests), "days": round(days, 2)})
