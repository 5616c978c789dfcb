"""Nodes that sleep, with real daemons: idle ones go to sleep by their own command, a launch wakes one and runs there.

What the hosts did is read from the histories of their simulated hypervisors, which the daemons' commands write.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest
from cloud_process import SETTINGS, eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

BOOT_SECONDS = 3
SWITCH = f'"{sys.executable}", "-m", "euca_rpc.node.simulated_power"'
PLACE = '"{home}/nodes/{zone}-{host}/simulated"'
SLEEPY = f"""\
{SETTINGS}
[cloud]
policies = ["power_save"]
policy = "power_save"
silence_seconds = 3

[cluster]
silence_seconds = 2
backoff_seconds = 1
wake_command = [{SWITCH}, "wake", {PLACE}, "{BOOT_SECONDS}"]
""".replace(
    "[node]\n", f'[node]\nsleep_command = [{SWITCH}, "sleep", {PLACE}]\nwake_address = "52:54:00:00:00:01"\n'
)


def power(cloud: Any) -> dict[str, str]:
    return {id: row["power"] for id, row in cloud.nodes().items()}


def test_idle_nodes_sleep_and_a_launch_wakes_one(make_cloud: Any) -> None:
    cloud = make_cloud(zones=1, nodes=3, settings=SLEEPY)
    cloud.euca("policy", "parameter", "power_save.idle_minutes", "0.05")
    a, b, c = (f"zone-a/host-{n}" for n in (1, 2, 3))
    cloud.euca("policy", "parameter", "power_save.exempt", f'["{a}"]')
    cloud.euca("policy", "parameter", "power_save.spare", "0")
    eventually("two sleep", lambda: power(cloud) == {a: "on", b: "asleep", c: "asleep"}, 40)
    assert {line.what for line in cloud.histories()["zone-a-host-3"]} >= {"sleep"}
    told = cloud.ask("status")["nodes"]
    assert told["silent"] == []
    assert set(told["resting"]) == {b, c}
    doctor = cloud.euca("doctor", check=False)
    assert [row for row in doctor if not row["ok"] and row["check"].startswith("node ")] == []
    assert "asleep to save power" in cloud.nodes()[b]["trouble"]

    first = cloud.launch(4)  # all four cores of the one that is awake
    cloud.until("running", first)
    assert power(cloud) == {a: "on", b: "asleep", c: "asleep"}
    (waits,) = cloud.launch(1)
    row = cloud.describe(waits)[waits]
    assert row["State"]["Name"] == "pending"
    assert "sleep and are woken" in row["StateReason"]["Message"]
    before = cloud.kill("cloud")  # it waits on over the death of the cloud controller
    cloud.restarted("cloud", before)
    cloud.until("running", [waits], 60)
    woken = next(row["node"] for row in cloud.ask("instances") if row["id"] == waits)
    assert woken == b
    history = [line.what for line in cloud.histories()["zone-a-host-2"]]
    assert history.index("sleep") < history.index("wake") < history.index("start")
    assert power(cloud) == {a: "on", b: "on", c: "asleep"}
    kinds = [event["kind"] for event in cloud.ask("events", subject=b, limit=100)][::-1]
    for kind in ("node.sleep", "node.asleep", "node.wake", "node.awake"):
        assert kind in kinds
    assert never_asleep_with_a_machine(cloud)

    cloud.euca("policy", "parameter", "power_save.exempt", "--unset")
    cloud.terminate([waits, *first])
    cloud.until("terminated", [waits, *first])
    eventually("all sleep", lambda: set(power(cloud).values()) == {"asleep"}, 40)
    cloud.euca("node", "wake", a)
    eventually("the administrator wakes one", lambda: power(cloud)[a] == "on", 30)
    assert never_asleep_with_a_machine(cloud)


def never_asleep_with_a_machine(cloud: Any) -> bool:
    """As the hosts themselves wrote it down."""
    for lines in cloud.histories().values():
        there: set[str] = set()
        for line in lines:
            if line.what == "start":
                there.add(line.instance)
            elif line.what in ("stop", "end"):
                there.discard(line.instance)
            elif line.what == "sleep" and there:
                return False
    return True
