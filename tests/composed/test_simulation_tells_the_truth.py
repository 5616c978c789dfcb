"""The same short trace, once through `euca simulate`, once through the real daemons on simulated nodes: the same nodes,
the same refusals for the same reasons; and what the live cloud exports reproduces what it did.

The driver of the live cloud sends each event when the previous one's effect is seen; so moments differ and order does not.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from euca_rpc.clock import SECOND, Micros
from euca_rpc.lab import readers, run, site
from euca_rpc.lab.workload import Request, Workload
from euca_rpc.types import Size

pytestmark = pytest.mark.real

SETTINGS = """\
[cloud]
policy = "{policy}"
[node]
cores = 4
memory_mb = 4096
disk_gb = 60
[defaults]
account_instances = -1
"""
TYPES = {"m1.small": Size(1, 128, 10), "m1.large": Size(2, 512, 10), "c1.xlarge": Size(4, 2048, 20)}


def trace(seed: int) -> Workload:
    """Forty launches of one to three machines, under which a site of 16 cores is sometimes full."""
    draw = random.Random(seed)
    at, requests = 0, []
    for n in range(40):
        at += draw.randrange(20, 60) * SECOND
        name = draw.choices(list(TYPES), (5, 3, 2))[0]
        runs = draw.randrange(60, 900) * SECOND + 7  # never at the moment of a launch
        requests.append(Request(f"{n} {name}", at, TYPES[name], runs, draw.choice((1, 1, 2, 3))))
    return Workload("truth", tuple(requests))


def live(cloud: Any, workload: Workload) -> dict[str, tuple[tuple[str, ...], str]]:
    """Key → nodes, reason."""
    fates: dict[str, tuple[tuple[str, ...], str]] = {}
    running: list[tuple[Micros, str, list[str]]] = []

    def end(until: Micros) -> None:
        for moment, key, ids in sorted(running):
            if moment <= until:
                cloud.terminate(ids)
                cloud.until("terminated", ids)
                running.remove((moment, key, ids))

    for request in workload.requests:
        end(request.at)
        name = request.key.split()[1]
        try:
            made = cloud.launch(request.count, InstanceType=name)
        except ClientError:
            fates[request.key] = ((), cloud.ask("explain", id="last")["reason"])
            continue
        cloud.until("running", made)
        assert request.duration is not None
        running.append((request.at + request.duration, request.key, made))
        nodes = tuple(cloud.ask("explain", id=id)["node"] for id in made)
        fates[request.key] = (nodes, "")
    end(1 << 62)
    return fates


@pytest.mark.timeout(300)
def test_the_simulator_decides_as_the_daemons_do(new_cloud: Callable[..., Any], tmp_path: Path) -> None:
    policy = "round_robin"
    cloud = new_cloud(zones=2, nodes=2, settings=SETTINGS.format(policy=policy))
    cloud.start()
    workload = trace(3)
    happened = live(cloud, workload)

    assert cloud.euca("trace", "export", str(tmp_path / "was.csv"), "--site", str(tmp_path / "site.toml"))
    place = site.read(tmp_path / "site.toml")
    record = run.simulate(workload, run.Plan(place, policy))
    simulated = {d.key: (d.nodes, _typed(d.reason, d.key)) for d in record.decisions}
    assert simulated == happened
    refused = [key for key, (nodes, _) in happened.items() if not nodes]
    assert 3 <= len(refused) <= 20

    exported = readers.read(tmp_path / "was.csv")
    assert len(exported.requests) == 40 - len(refused)
    again = run.simulate(exported, run.Plan(place, policy))
    assert [" ".join(d.nodes) for d in again.decisions] == [r.recorded for r in exported.requests]
    with (tmp_path / "was.csv").open() as file:
        users = {row["user"] for row in csv.DictReader(file)}
    cloud.euca("trace", "export", str(tmp_path / "hidden.csv"), "--anonymise")
    hidden = (tmp_path / "hidden.csv").read_text()
    assert users
    assert not [user for user in users if f",{user}," in hidden]


def _typed(reason: str, key: str) -> str:
    """An experiment's VM types are called after their size."""
    name = key.split()[1]
    cores, memory_mb, disk_gb = TYPES[name].parts()
    return reason.replace(f"c{cores}m{memory_mb}d{disk_gb}", name)
