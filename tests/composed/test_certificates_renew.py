"""Certificates that live for seconds: daemons renew them while they serve, machines do not notice."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from euca_rpc.clock import SECOND, SystemClock
from euca_rpc.errors import EucaError
from euca_rpc.wire.pki import Identity

pytestmark = pytest.mark.real

ROLES = {"cloud", "nameserver", "images", "admin", "cluster-zone-a", "node-zone-a-host-1"}
SETTINGS = """\
[cloud]
certificate_days = {days:.8f}
[node]
cores = 4
memory_mb = 4096
disk_gb = 40
"""


def eventually(*arguments: Any) -> Any:
    return sys.modules["cloud_process"].eventually(*arguments)


def ends(home: Path) -> dict[str, int]:
    return {d.name: Identity.load(d).expires_at for d in (home / "identities").iterdir()}


def until(moment: int) -> None:
    time.sleep(max(0.0, (moment - SystemClock().wall()) / SECOND) + 0.5)


def test_every_daemon_outlives_its_first_certificate_and_goes_on_serving(
    new_cloud: Callable[..., Any],
) -> None:
    cloud = new_cloud(zones=1, nodes=1, settings=SETTINGS.format(days=40 / 86400))
    cloud.start()
    (first,) = cloud.launch()
    cloud.until("running", [first])
    before, pids = ends(cloud.home), cloud.daemons
    assert set(before) == ROLES

    while SystemClock().wall() < max(before.values()):  # then nothing that it began with is good for anything
        assert cloud.ask("status")["nodes"]["silent"] == []
        assert cloud.states(first) == {first: "running"}
        time.sleep(1.0)
    eventually("all are renewed", lambda: all(end > before[name] for name, end in ends(cloud.home).items()))
    assert cloud.all_up()
    (second,) = cloud.launch()
    cloud.until("running", [first, second])
    assert cloud.daemons == pids, "nobody had to be started again"
    assert {i: len(at) for (i, _), at in cloud.starts().items()} == {first: 1, second: 1}
    small = cloud.home / "small.raw"
    small.write_bytes(bytes(1 << 20))
    assert cloud.euca("add_image", "--disk-image", str(small), "--image-name", "later")["image"]


@pytest.mark.long
def test_a_host_that_slept_past_its_certificate_says_so_and_up_begins_anew(
    new_cloud: Callable[..., Any],
) -> None:
    cloud = new_cloud(zones=1, nodes=1, settings=SETTINGS.format(days=40 / 86400))
    cloud.start()
    (first,) = cloud.launch()
    cloud.until("running", [first])
    cloud.signal("cloud", sys.modules["cloud_process"].signal.SIGSTOP)  # nobody renews anything
    until(max(ends(cloud.home).values()))
    eventually(
        "the node says so",
        lambda: (
            "certificate as node controller zone-a/host-1" in cloud.log("node-zone-a-host-1")
            and "expired at" in cloud.log("node-zone-a-host-1")
        ),
        30.0,
    )
    found = {f["check"]: f["found"] for f in cloud.euca("doctor", check=False) if not f["ok"]}
    assert "of the node controller zone-a/host-1 expired at" in found["certificate node-zone-a-host-1"]
    assert "of the cloud controller expired at" in found["certificate cloud"]
    with pytest.raises(EucaError, match=r"our own certificate as administrator.* expired at"):
        cloud.ask("zones")
    cloud.go_on()
    cloud.euca("down")
    cloud.start()
    cloud.until("running", [first], 60.0)
