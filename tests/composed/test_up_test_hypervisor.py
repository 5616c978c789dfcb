"""`euca up --hypervisor test`: libvirt's own test driver, many nodes on one machine; a node that ends has lost power."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("libvirt")
pytestmark = pytest.mark.real

SETTINGS = """\
[node]
cores = 4
memory_mb = 8192
disk_gb = 100
"""


def test_many_nodes_of_libvirts_test_driver_and_a_lost_connection_is_power_loss(
    new_cloud: Callable[..., Any],
) -> None:
    cloud = new_cloud(zones=2, nodes=4, hypervisor="test", settings=SETTINGS)
    cloud.start()
    nodes = cloud.nodes()
    assert len(nodes) == 8
    assert {row["hypervisor"] for row in nodes.values()} == {"test"}
    assert {tuple(row["offer"].values()) for row in nodes.values()} == {(4, 8192, 100)}
    ids = cloud.launch(1, 12, zone="zone-a")
    assert len(ids) == 12
    cloud.until("running", ids, 40.0)
    where = {row["id"]: row["node"] for row in cloud.ask("instances")}
    lost = where[ids[0]]
    there = [id for id in ids if where[id] == lost]

    name = "node-" + lost.replace("/", "-")
    cloud.restarted(name, cloud.kill(name))  # the state of test:/// went with its process

    def restarted() -> bool:
        kinds = [e["kind"] for e in cloud.ask("events", subject=lost, limit=50)]
        return "node.rebooted" in kinds

    sys.modules["cloud_process"].eventually("the cloud saw a host reboot", restarted)
    cloud.until("running", ids, 40.0)
    assert {row["id"]: row["node"] for row in cloud.ask("instances")} == where, "same ids, same nodes"
    assert there
    cloud.clear(40.0)
