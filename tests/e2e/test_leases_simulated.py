"""Leases and the ledger with real daemons: ended on time although the cloud controller was killed, and charged as it was.

What a node did is read from the history of its simulated hypervisor.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from cloud_process import SETTINGS, eventually

from euca_rpc.clock import SECOND, from_iso

pytestmark = [pytest.mark.real, pytest.mark.long]

LEASED = SETTINGS + '\n[cloud]\npolicies = ["greedy", "lease"]\npolicy = "greedy"\n'


def test_leases_end_on_time_and_the_ledger_agrees_with_the_nodes(make_cloud: Any, tmp_path: Path) -> None:
    cloud = make_cloud(zones=1, nodes=2, settings=LEASED)
    cloud.euca("policy", "parameter", "lease.hours", str(20 / 3600))
    cloud.euca("policy", "parameter", "lease.warn_hours", str(12 / 3600))
    cloud.euca("user", "add", "ann", "--email", "ann@example.org")
    ends, longer, mine = cloud.launch(3, user="ann")
    until = {row["id"]: from_iso(row["lease"]) for row in cloud.euca("instances")}
    assert set(until) == {ends, longer, mine}
    extended = cloud.euca("extend", longer, "--hours", "1")
    assert from_iso(extended["until"]) == until[longer] + 3600 * SECOND
    told = cloud.euca("explain", ends)["lease"]
    assert (told["policy"], told["then"]) == ("lease", "terminate")
    cloud.until("running", [ends, longer, mine])
    cloud.terminate([mine])
    warned = lambda: [e["subject"] for e in cloud.ask("events") if e["kind"] == "lease.warned"]
    eventually("a warning", warned, 15)
    before = cloud.kill("cloud")
    cloud.restarted("cloud", before)
    eventually("the cloud controller answers again", cloud.all_up)
    cloud.until("terminated", [ends, mine], 40)
    assert cloud.states(longer) == {longer: "running"}
    assert warned() == [ends]
    reason = cloud.describe(ends)[ends]["StateReason"]
    assert reason["Code"] == "Server.LeaseEnded"

    lived = lives(cloud)
    assert 0 <= lived[ends][1] - until[ends] < 5 * SECOND
    cloud.terminate([longer])
    cloud.until("terminated", [longer])
    (row,) = cloud.euca("ledger")["rows"]
    assert row["user"] == "ann"
    seconds = sum(end - start for start, end in lives(cloud).values()) / SECOND
    assert abs(row["instance_hours"] * 3600 - seconds) < 2 * 3  # two for each machine
    cloud.euca("ledger", "--from", "2020-01-01", "--csv", str(tmp_path / "all.csv"))
    with (tmp_path / "all.csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    assert (line["user"], line["instance_hours"]) == ("ann", f"{row['instance_hours']:.3f}")


def lives(cloud: Any) -> dict[str, tuple[int, int]]:
    """Instance → when it was started and when it ended, as its node wrote it down."""
    found: dict[str, list[int]] = {}
    for lines in cloud.histories().values():
        for line in lines:
            if line.what in ("start", "stop", "end"):
                found.setdefault(line.instance, []).append(line.at)
    return {id: (moments[0], moments[-1]) for id, moments in found.items()}
