"""A policy that another distribution brings, in force in one zone: through its entry point, as the built-in ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.real

MODULE = '''\
"""The node with the highest number in its name."""
from euca_rpc.hookspecs import policy

@policy
def score(target):
    return int(target.id.rpartition("-")[2]) / 1000
'''
METADATA = "Metadata-Version: 2.1\nName: site-policies\nVersion: 1.0\nRequires-Dist: euca-rpc\n"
ENTRY_POINTS = "[euca.schedulers]\nhighest = site_policies.highest\n"
SETTINGS = """\
[cloud]
policies = ["greedy", "highest"]
[node]
cores = 4
memory_mb = 8192
disk_gb = 100
"""


def install(directory: Path) -> None:
    """What an installer leaves behind: a package, and beside it what it offers."""
    package, info = directory / "site_policies", directory / "site_policies-1.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    for name, text in {"__init__": "", "highest": MODULE}.items():
        (package / f"{name}.py").write_text(text)
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(ENTRY_POINTS)


def test_a_site_puts_its_own_policy_in_force_in_one_zone(
    new_cloud: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site")
    path = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONPATH", path)
    cloud = new_cloud(zones=2, nodes=3, settings=SETTINGS)
    cloud.start()
    assert cloud.euca("policy", "use", "highest", "--zone", "zone-b") == {
        "zone": "zone-b",
        "policy": "highest",
    }

    def placed(zone: str) -> str:
        (one,) = cloud.launch(zone=zone)
        return next(row["node"] for row in cloud.ask("instances") if row["id"] == one)

    assert placed("zone-a") == "zone-a/host-1"
    assert placed("zone-b") == "zone-b/host-3"
    rows = {row["name"]: row for row in cloud.euca("policies")}
    assert (rows["highest"]["zones"], rows["greedy"]["zones"]) == (["zone-b"], ["zone-a"])

    cloud.restarted("cloud", cloud.kill("cloud"))
    sys.modules["cloud_process"].eventually("all up again", cloud.all_up)
    assert placed("zone-b") == "zone-b/host-3", "it is in the database"
    cloud.euca("policy", "unset", "--zone", "zone-b")
    assert placed("zone-b") == "zone-b/host-1"

    _, secret = cloud.keys()
    said = "".join(file.read_text() for file in (cloud.home / "log").iterdir())
    assert "euca.ec2.access" in said or "RunInstances" in said
    assert secret not in said
    assert "PRIVATE KEY" not in said
