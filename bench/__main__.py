"""`make bench`: every figure that the README quotes, from one command.

    prepare moto ─► start both ─► ceiling ─► rounds (zones · describe 10, 100, 1,000 · run) ─► launch overhead ─► table

What is measured is the whole product as shipped: signatures verified, policies asked, every launch durable and its
event written before the answer, daemons talking mutual TLS.  Written beside the table: results/latest.json, .md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import machine, report
from .figures import ratios
from .overhead import launch_overhead
from .prepare import HERE, prepare
from .rounds import Arena, Generator, Outcome, Workload, ceiling, scratch
from .servers import ROOMY, ROOT, Euca, Moto, interrupt_ends
from .signed import Signer

RESULTS = HERE / "results"
EACH = 10  # machines per reservation of the population: moto answers at most 100 reservations at once


def main() -> None:
    arguments = argparse.ArgumentParser(prog="make bench", description=__doc__.partition("\n")[0])
    arguments.add_argument("--quick", action="store_true", help="few rounds, for trying the bench itself")
    arguments.add_argument("--no-overhead", action="store_true", help="without the part with real guests")
    arguments.add_argument("--only-overhead", action="store_true", help="the part with real guests alone")
    arguments.add_argument("--results", type=Path, default=RESULTS)
    options = arguments.parse_args()
    interrupt_ends()
    prepare()
    began = time.monotonic()
    found: dict[str, Any] = {"machine": machine.facts(ROOT)}
    with tempfile.TemporaryDirectory(prefix="eb-", dir=scratch()) as directory:
        home = Path(directory)
        found["fdatasync"] = machine.fdatasync(home)
        if not options.only_overhead:
            found |= against_moto(home, 3 if options.quick else 7)
        if not options.no_overhead:
            found["overhead"] = launch_overhead(home, 2 if options.quick else 7)
    found["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    found["seconds"] = round(time.monotonic() - began, 1)
    table = (
        report.markdown(found) if not options.only_overhead else "\n".join(report.overhead(found["overhead"]))
    )
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "latest.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.results / "latest.md").write_text(table)
    print(table)


def against_moto(home: Path, rounds: int) -> dict[str, Any]:
    say("both servers start")
    with (
        Euca(home / "cloud", hypervisor="simulated", zones=2, nodes=3, settings=ROOMY) as euca,
        Moto(home / "moto") as moto,
        Generator() as generator,
    ):
        image = euca.test_image()
        signer = Signer(*euca.credentials())
        arena = Arena(generator, euca, moto, signer)
        memory = [remembered("just started", euca, moto)]
        outcomes: list[Outcome] = []
        run_id, numbers = secrets.token_hex(4), itertools.count()

        def launches(count: int, machines: int = 1) -> list[bytes]:
            return [signer.launch(image, f"{run_id}-{next(numbers)}", machines) for _ in range(count)]

        def measure(*workload: Any, **more: Any) -> None:
            chosen = Workload(*workload, **more)
            say(f"{chosen.name}, {chosen.connections} connections")
            outcomes.append(arena.measure(chosen))

        def describe(instances: int, connections: int, ours: int, theirs: int, rounds: int) -> None:
            name = f"DescribeInstances, {instances:,}"
            make = lambda count: [signer.describe()] * count
            measure(name, make, connections, ours, theirs, rounds, instances=instances)

        zones = lambda count: [signer.zones()] * count
        measure("DescribeAvailabilityZones", zones, 8, 1600, 160, rounds)
        measure("DescribeAvailabilityZones", zones, 1, 800, 80, rounds)
        arena.populate(launches(1, EACH))
        describe(10, 1, 600, 20, rounds)
        arena.populate(launches(9, EACH))
        describe(100, 1, 400, 4, rounds)
        arena.populate(launches(90, EACH))
        describe(1000, 1, 60, 1, min(rounds, 5))
        memory.append(remembered("with 1,000 machines", euca, moto))
        # each launch is another machine, so both halves get the same requests and both hold as many
        measure("RunInstances", launches, 8, 160, 160, rounds, launches=True)
        measure("RunInstances", launches, 1, 60, 60, rounds, launches=True)
        say("the load generator's own ceiling")
        limits = []
        for outcome in outcomes:
            load = outcome.workload
            size = outcome.euca.answer_bytes
            requests = load.make(2000 if size < 100_000 else 300)
            limit = ceiling(generator, size, load.connections, requests)
            what = f"{load.name} ({size:,} bytes)"
            limits.append({"what": what, "connections": load.connections, "rate": round(limit)})
    return {"workloads": [row(o) for o in outcomes], "memory": memory, "ceiling": limits}


def row(outcome: Outcome) -> dict[str, Any]:
    load, ratio = outcome.workload, ratios(outcome.euca, outcome.moto)
    made: dict[str, Any] = {
        "name": load.name,
        "connections": load.connections,
        "instances": load.instances,
        "rounds": load.rounds,
        "ratio": {
            "min": round(ratio.low, 2),
            "median": round(ratio.middle, 2),
            "max": round(ratio.high, 2),
        },
    }
    for name, side in (("euca", outcome.euca), ("moto", outcome.moto)):
        facts = side.facts()
        if load.instances:
            seconds = load.connections / facts["rate_median"]
            facts["us_per_instance"] = round(seconds / load.instances * 1e6, 3)
            facts["ns_per_byte"] = round(seconds / side.answer_bytes * 1e9, 3)
            facts["bytes_per_instance"] = round(side.answer_bytes / load.instances)
        made[name] = facts
    if outcome.all_running.rates:
        made["all_running"] = round(sorted(outcome.all_running.rates)[load.rounds // 2], 1)
    return made


def remembered(when: str, euca: Euca, moto: Moto) -> dict[str, Any]:
    return {"when": when, "euca_mb": euca.rss_mb, "euca_all_mb": euca.all_rss_mb, "moto_mb": moto.rss_mb}


def say(what: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')}  {what}", file=sys.stderr, flush=True)


main()
