"""`euca trace …`: workloads for `euca simulate`."""

from __future__ import annotations

import csv
from pathlib import Path

import click

from euca_rpc.cli.frame import Group, Invocation, invocation
from euca_rpc.clock import SECOND
from euca_rpc.lab import readers, synthetic
from euca_rpc.lab.workload import Workload

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
