"""The table of the README: python figures.py, where the package is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from euca_rpc.clock import MINUTE, SECOND
from euca_rpc.lab import readers, site
from euca_rpc.lab.figures import TAU, figures
from euca_rpc.lab.run import Plan, simulate
from euca_rpc.policy.hints import START

RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "`greedy`, first come, first served": ("greedy", {}),
    "`backfill`, `overtake` false": ("backfill", {"backfill.overtake": False}),
    "`backfill`, EASY": ("backfill", {}),
    "`backfill`, `depth` 100": ("backfill", {"backfill.depth": 100}),
}

workload = readers.read(Path(__file__).parent / "trace.csv")
jobs = {r.key for r in workload.requests if START not in dict(r.hints)}
starts = {
    r.key: r.at + int(dict(r.hints)[START].removeprefix("+")) * SECOND
    for r in workload.requests
    if r.key not in jobs
}
for name, (policy, parameters) in RUNS.items():
    record = simulate(workload, Plan(site.alike(3, 8), policy, "wait", parameters=parameters))
    fate = {d.key: d for d in record.decisions}
    accepted = {key: at for key, at in starts.items() if fate[key].symbol != "policy_refused"}
    due = {key: at for key, at in accepted.items() if at < workload.length}
    met = sum(1 for key, at in due.items() if not fate[key].symbol and abs(fate[key].at - at) <= SECOND)
    waits, slowdowns, unserved = [], [], 0
    for request in workload.requests:
        if request.key in jobs:
            decision, runs = fate[request.key], (request.duration or 0) / SECOND
            waited = (workload.length if decision.symbol else decision.at) - request.at
            unserved += bool(decision.symbol)
            waits.append(waited / MINUTE)
            slowdowns.append(max(1.0, (waited / SECOND + runs) / max(runs, TAU)))
    kept = f"{met} of {len(due)}" if policy == "backfill" else "begin at once or late"
    shown = [kept, f"{sum(waits) / len(waits):.0f} min", f"{sum(slowdowns) / len(slowdowns):.2f}", unserved]
    print("|", name, "|", " | ".join(map(str, shown)), "|", f"{100 * figures(record).utilisation:.1f} % |")
