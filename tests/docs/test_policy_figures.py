"""The figures of the policies' pages that anybody can repeat: made again from the traces that come with the project."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from euca_rpc.clock import SECOND
from euca_rpc.lab import readers, report, run
from euca_rpc.lab.figures import figures
from euca_rpc.lab.record import Record
from euca_rpc.lab.site import alike

ROOT = Path(__file__).resolve().parents[2]
TRACES = ROOT / "examples" / "traces"


def rows(page: str, trace: str) -> dict[str, list[str]]:
    """Policy → cells, of the rows about a trace."""
    lines = [
        line.strip("| ").split("|") for line in (ROOT / "docs" / "policies" / page).read_text().splitlines()
    ]
    cells = [[cell.strip() for cell in line] for line in lines if f"`{trace}`" in line[0]]
    return {row[1].strip("`"): row[2:] for row in cells}


def simulated(trace: str, nodes: int, cores: int, policy: str, *beside: str) -> Record:
    plan = run.Plan(alike(nodes, cores), policy, beside=beside)
    return run.simulate(readers.read(TRACES / trace), plan)


def shown(record: Record, *names: str) -> list[str]:
    values: dict[str, Any] = asdict(figures(record))
    return [report.shown(name, values[name]) for name in names]


def test_what_power_save_saves() -> None:
    told = rows("power_save.md", "synthetic.csv")
    energy = {}
    for policy in ("pack", "power_save"):
        record = simulated("synthetic.csv", 12, 16, policy)
        energy[policy] = figures(record).energy_kwh
        made = shown(record, "refused", "node_hours", "awake_hours", "energy_kwh", "wait_mean", "wait_p95")
        saved = "" if policy == "pack" else f"{1 - energy[policy] / energy['pack']:.0%}".replace("%", " %")
        assert told[policy] == [*made[:4], saved, *made[4:]]


def by_class(record: Record) -> list[str]:
    """Of regular launches: refused, and the mean wait; of best-effort ones the same, evictions and the shortest notice."""
    kinds = {r.key: r.service_class for r in record.workload.requests}
    refused = Counter(kinds[d.key] for d in record.decisions if d.symbol)
    waits: dict[str, list[float]] = {"regular": [], "best_effort": []}
    at = {r.key: r.at for r in record.workload.requests}
    for d in record.decisions:
        if not d.symbol:
            waits[kinds[d.key]].append((d.at - at[d.key]) / SECOND)
    notice = figures(record).notice_min
    return [
        str(refused["regular"]),
        f"{fmean(waits['regular']):,.0f} s",
        str(refused["best_effort"]),
        f"{fmean(waits['best_effort']):,.0f} s",
        *shown(record, "evictions", "utilisation"),
        "–" if notice is None else f"{notice:g} s",
    ]


@pytest.mark.parametrize("policy", ["greedy", "reserve"])
def test_who_gives_way_to_whom(policy: str) -> None:
    record = simulated("spot.csv", 3, 16, policy)
    assert rows("reserve.md", "spot.csv")[policy] == by_class(record)
