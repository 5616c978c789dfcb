"""`euca simulate`: a trace through the cloud's own code, with one policy or several; no cloud need run."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from euca_rpc.cli.frame import Command, Invocation, invocation
from euca_rpc.cli.output import Output
from euca_rpc.clock import SECOND
from euca_rpc.errors import EucaError
from euca_rpc.lab import readers, report, run
from euca_rpc.lab import site as sites
from euca_rpc.lab.compare import Comparison, compare

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    "simulate",
    cls=Command,
    examples="euca simulate trace.txt.xz --nodes 13 --cores 24 --policy round_robin --policy least_full\n"
    "euca simulate jobs.swf --site site.toml --policy greedy --refused wait --html report.html\n"
    "euca simulate trace.csv --nodes 8 --cores 16 --policy greedy --policy round_robin --seeds 10 --json out.json\n"
    "euca simulate trace.csv --nodes 8 --cores 16 --policy pack --with lease --set lease.hours=2",
)
@click.argument("trace", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--nodes", type=click.IntRange(1), help="So many like nodes in one zone …")
@click.option("--cores", type=click.IntRange(1), help="… of so many cores each.")
@click.option("--site", type=_FILE, help="A file that describes zones and unlike nodes, instead.")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    default=["greedy"],
    show_default=True,
    help="Any number of them; `recorded` is what the trace itself says.",
)
@click.option(
    "--with",
    "beside",
    multiple=True,
    help="A policy that is loaded beside each of them, for what it admits, leases or tends; any number.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="POLICY.NAME=VALUE",
    help="A parameter of a policy, as `euca policy parameter` sets it; any number.",
)
@click.option("--seeds", type=click.IntRange(0), default=0, help="Also run on so many resampled workloads.")
@click.option(
    "--refused",
    type=click.Choice(run.REFUSED),
    default="drop",
    show_default=True,
    help="What becomes of a request that there is no room for.",
)
@click.option(
    "--retry", "retry_seconds", type=click.FloatRange(1), default=60.0, help="Seconds between tries."
)
@click.option("--json", "json_file", type=_FILE, help="Write everything as JSON here (- : print it).")
@click.option(
    "--html", "html_file", type=_FILE, help="Write a report with plots here: one file, nothing else needed."
)
@click.option("--events", "events_file", type=_FILE, help="Write every decision here, as CSV.")
@invocation
def simulate(
    one: Invocation,
    trace: Path,
    nodes: int | None,
    cores: int | None,
    site: Path | None,
    policies: tuple[str, ...],
    beside: tuple[str, ...],
    settings: tuple[str, ...],
    seeds: int,
    refused: str,
    retry_seconds: float,
    json_file: Path | None,
    html_file: Path | None,
    events_file: Path | None,
) -> None:
    """Replay TRACE on simulated nodes and simulated time: who would have got which node, and what it comes to.

    TRACE: START/STOP lines of a Eucalyptus cluster, this project's CSV, or the Standard Workload Format; may be
    compressed (.xz, .gz). A figure that the trace does not allow is "not defined".
    """
    place = _site(nodes, cores, site)
    workload = readers.read(trace)
    names = tuple(dict.fromkeys(policies))
    plan = run.Plan(
        place,
        names[0],
        refused,
        int(retry_seconds * SECOND),
        parameters=dict(map(_parameter, settings)),
        beside=tuple(dict.fromkeys(beside)),
    )
    out = one.output if json_file != Path("-") else Output(True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=out.errors,
        transient=True,
        disable=not out.errors.is_terminal,
    ) as bar:
        task = bar.add_task(workload.name, total=1.0)
        found = compare(workload, plan, names, seeds, lambda share: bar.update(task, completed=share))
    if html_file is not None:
        html_file.write_text(report.html(found), encoding="utf-8")
    if events_file is not None:
        _write_events(events_file, found)
    if json_file is not None and json_file != Path("-"):
        json_file.write_text(json.dumps(found.document(), indent=1) + "\n", encoding="utf-8")
    if out.as_json:
        out.document(found.document())
        return
    _show(out, found)
    for written in filter(None, (json_file, html_file, events_file)):
        out.say(f"written: {written}")


def _site(nodes: int | None, cores: int | None, file: Path | None) -> sites.Site:
    if file is not None:
        if nodes is not None or cores is not None:
            raise EucaError(
                "parameter_invalid", "--site says what the nodes are: leave --nodes and --cores out"
            )
        return sites.read(file)
    if nodes is None or cores is None:
        raise EucaError("parameter_invalid", "say what the nodes are: --nodes N --cores C, or --site FILE")
    return sites.alike(nodes, cores)


def _parameter(setting: str) -> tuple[str, Any]:
    """ "lease.hours=2" as name and value: JSON, or else the words themselves."""
    name, equals, text = setting.partition("=")
    if not equals or not name or not text:
        raise EucaError(
            "parameter_invalid", f"--set {setting[:80]!r}: write POLICY.NAME=VALUE, as in lease.hours=2"
        )
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text


def _show(out: Output, found: Comparison) -> None:
    w = found.workload
    out.say(f"{w.name}: {len(w.requests):,} launches in {w.length / SECOND / 86400:.1f} days")
    for note in w.notes:
        out.say(note)
    rows = []
    for r in found.runs:
        if r.seed == 0:
            values = {
                title: report.shown(name, getattr(r.figures, name)) for name, title, _, _ in report.SHOWN
            }
            rows.append({"policy": r.policy} | values | {"took": f"{r.seconds:.1f} s"})
    out.rows(rows)
    for d in found.differences:
        if d.significant and d.figure in {name for name, *_ in report.SHOWN}:
            interval = f"{report.shown(d.figure, d.low)} … {report.shown(d.figure, d.high)}"
            out.say(f"{d.policy} − {found.runs[0].policy}, {d.figure}: {interval} (p = {d.p:.3g})")
    if w.undefined:
        out.say(f"not recorded in this trace: {', '.join(sorted(w.undefined))}")


def _write_events(path: Path, found: Comparison) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("policy", "at", "key", "nodes", "symbol", "reason"))
        for r in found.runs:
            for d in r.decisions:
                table.writerow((r.policy, d.at / SECOND, d.key, " ".join(d.nodes), d.symbol, d.reason))
