"""The disk under a node fills up: a guest sees write errors and runs on, the node warns, a new machine says why not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from euca_rpc.wire.codec import pack

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="a private libvirtd needs root"),
    pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU"),
]
libvirt = pytest.importorskip("libvirt")


def test_a_full_disk_pauses_nobody_silently(small: Path, real_host: str, make_site: Any) -> None:
    site = make_site(home=small / "node", disk_gb=10)
    node, until = site.node, site.until
    first, second = site.spec("full"), site.spec("full")

    def ssh(command: str) -> str:
        return site.ssh(first, f"{command} 2>&1")

    site.run(first)
    until(lambda: "full" in ssh("hostname"), 90)

    before = ssh("cat /proc/sys/kernel/random/boot_id").strip()
    disk = os.statvfs(small)
    fill = f"dd if=/dev/urandom of=/root/fill bs=1M count={disk.f_blocks * disk.f_frsize >> 20}; sync"
    ssh(f"({fill}) </dev/null >/dev/null 2>&1 &")  # how long a guest tries to write is its own affair
    until(lambda: left(small) < 1 << 20, 60)
    until(lambda: "rror" in ssh("dmesg | grep -i 'i/o error' | tail -3"), 60)  # the guest is told
    assert ssh("cat /proc/sys/kernel/random/boot_id").strip() == before, "and runs on"
    connection = libvirt.open(real_host)
    state, _ = connection.lookupByName(first.instance_id).state()
    connection.close()
    assert state == libvirt.VIR_DOMAIN_RUNNING
    (warning,) = node.report()["warnings"]
    assert f"The disk under {site.home} has only 0 MiB left" in warning

    (refused,) = node.ensure([pack(second)])["refused"] or [{"sentence": ""}]
    if not refused["sentence"]:  # there was room for the record, and there is none for a disk
        until(lambda: site.seen(second, "detail"), 30)
    told = f"{refused['sentence']} {site.seen(second, 'detail')}"
    assert "No space left on device" in told
    assert site.seen(second) != "running"
    assert site.seen(first) == "running"

    # the way out works on a full disk: terminating makes room
    for spec in (first, second):
        assert node.absent([{"instance_id": spec.instance_id, "generation": 1}])["refused"] == []
    until(lambda: site.seen(first) == "absent", 20)
    assert left(small) > 32 << 20


def left(directory: Path) -> int:
    """Bytes that may still be written there."""
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize
