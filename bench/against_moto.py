"""euca-rpc and moto side by side, and a SOAP call beside the same Query call, in one pair of servers.

zones ─► 10 machines: describe · 64 clients · SOAP ─► 100 ─► 1,000: describe ─► run · 64 clients · SOAP ─► ceiling
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .figures import more, ratios, slower
from .rounds import Arena, Generator, Half, Outcome, Workload, ceiling, duel
from .said import say
from .servers import ROOMY, Euca, Moto
from .signed import Signer
from .soap import SoapSigner

EACH = 10  # machines per reservation of the population: moto answers at most 100 reservations at once
CROWD = 64  # clients of the rows that look at the slowest answers
SOAP_VERSION = "2008-12-01"  # both sides of the comparison ask in it
PARTS = ("zones", "describe", "run", "tail", "soap")


def against_moto(home: Path, parts: set[str], rounds: int) -> dict[str, Any]:
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
        tails: list[Outcome] = []
        soap: list[dict[str, Any]] = []
        run_id, numbers = secrets.token_hex(4), itertools.count()
        soap_signer = SoapSigner(euca.credentials_directory(), SOAP_VERSION)
        query_signer = Signer(*euca.credentials(), version=SOAP_VERSION)

        def launches(count: int, machines: int = 1, by: Signer = signer) -> list[bytes]:
            return [by.launch(image, f"{run_id}-{next(numbers)}", machines) for _ in range(count)]

        def measure(part: str, *workload: Any, **more: Any) -> None:
            if part in parts:
                chosen = Workload(*workload, **more)
                say(f"{chosen.name}, {chosen.connections} connections")
                (tails if part == "tail" else outcomes).append(arena.measure(chosen))

        def describe(
            part: str, instances: int, connections: int, ours: int, theirs: int, rounds: int
        ) -> None:
            name = f"DescribeInstances, {instances:,}"
            make = lambda count: [signer.describe()] * count
            measure(part, name, make, connections, ours, theirs, rounds, instances=instances)

        def compare(name: str, query: Make, envelope: Callable[[], bytes], count: int) -> None:
            if "soap" in parts:
                say(f"{name}, SOAP beside Query")
                both = (
                    Half(euca.port, query, arena.settle),
                    Half(euca.port, lambda count: [envelope() for _ in range(count)], arena.settle),
                )
                duel(generator, *both, count, rounds)
                soap.append(soap_row(name, *both))

        zones = lambda count: [signer.zones()] * count
        measure("zones", "DescribeAvailabilityZones", zones, 8, 1600, 160, rounds)
        measure("zones", "DescribeAvailabilityZones", zones, 1, 800, 80, rounds)
        arena.populate(launches(1, EACH))
        describe("describe", 10, 1, 600, 20, rounds)
        describe("tail", 10, CROWD, 20 * CROWD, 4 * CROWD, min(rounds, 5))
        compare(
            "DescribeAvailabilityZones",
            lambda count: [query_signer.zones()] * count,
            soap_signer.zones,
            100,
        )
        compare(
            "DescribeInstances, 10",
            lambda count: [query_signer.describe()] * count,
            soap_signer.describe,
            100,
        )
        arena.populate(launches(9, EACH))
        describe("describe", 100, 1, 400, 4, rounds)
        arena.populate(launches(90, EACH))
        describe("describe", 1000, 1, 60, 1, min(rounds, 5))
        memory.append(remembered("with 1,000 machines", euca, moto))
        # each launch is another machine, so both halves get the same requests and both hold as many
        measure("run", "RunInstances", launches, 8, 160, 160, rounds, launches=True)
        measure("run", "RunInstances", launches, 1, 60, 60, rounds, launches=True)
        measure("tail", "RunInstances", launches, CROWD, 5 * CROWD, 5 * CROWD, min(rounds, 5), launches=True)
        compare(
            "RunInstances",
            lambda count: launches(count, by=query_signer),
            lambda: soap_signer.launch(image),
            40,
        )
        limits = [limit(generator, outcome) for outcome in outcomes]
    return {
        "workloads": [row(o) for o in outcomes],
        "tails": [row(o) for o in tails],
        "soap": soap,
        "memory": memory,
        "ceiling": limits,
    }


Make = Callable[[int], list[bytes]]


def limit(generator: Generator, outcome: Outcome) -> dict[str, Any]:
    """What the load generator could have done at best."""
    load, size = outcome.workload, outcome.euca.answer_bytes
    requests = load.make(2000 if size < 100_000 else 300)
    rate = ceiling(generator, size, load.connections, requests)
    what = f"{load.name} ({size:,} bytes)"
    return {"what": what, "connections": load.connections, "rate": round(rate)}


def row(outcome: Outcome) -> dict[str, Any]:
    load = outcome.workload
    made: dict[str, Any] = {
        "name": load.name,
        "connections": load.connections,
        "instances": load.instances,
        "rounds": load.rounds,
        "ratio": ratios(outcome.euca, outcome.moto).facts(),
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


def soap_row(name: str, query: Half, soap: Half) -> dict[str, Any]:
    return {
        "name": name,
        "query": query.side.facts(),
        "soap": soap.side.facts(),
        "more_ms": more(soap.side, query.side).facts(1e3, 3),
        "ratio": slower(soap.side, query.side).facts(),
    }


def remembered(when: str, euca: Euca, moto: Moto) -> dict[str, Any]:
    return {"when": when, "euca_mb": euca.rss_mb, "euca_all_mb": euca.all_rss_mb, "moto_mb": moto.rss_mb}
