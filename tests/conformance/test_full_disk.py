"""The disk under a node fills up: a guest sees write errors and runs on, the node warns, a new machine says why not."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from euca_rpc.clock import SystemClock
from euca_rpc.errors import EucaError
from euca_rpc.host.libvirtd import LibvirtHost
from euca_rpc.ids import SystemIds
from euca_rpc.images.test_image import build
from euca_rpc.machines import BlobRef, MachineSpec
from euca_rpc.node.capacity import OfferSettings
from euca_rpc.node.hypervisor import Mark
from euca_rpc.node.network import UserNetwork
from euca_rpc.node.service import NodeService
from euca_rpc.wire.codec import pack

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="a private libvirtd needs root"),
    pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU"),
]
libvirt = pytest.importorskip("libvirt")
SPACE = 96  # MB of the file system


def beside(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"conformance_{name}", Path(__file__).parent / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[f"conformance_{name}"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def small() -> Iterator[Path]:
    """Mounted before the host, whose namespace has the mounts of its beginning."""
    place = Path(tempfile.mkdtemp(prefix="es", dir="/tmp"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SPACE}m,mode=0755", "none", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)
    place.rmdir()


@pytest.fixture
def uri(small: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="ef", dir="/tmp") as folder:
        host = LibvirtHost(Path(folder) / "h", "one")
        host.start()
        try:
            host.wait_ready()
            yield host.uri
        finally:
            host.stop()


def test_a_full_disk_pauses_nobody_silently(small: Path, uri: str, tmp_path: Path) -> None:
    from euca_rpc.node.libvirt_driver import LibvirtHypervisor

    whole = beside("test_hypervisor")
    image = build(tmp_path / "image")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    blobs = {name: BlobRef(name, "0" * 64, 1, 16 << 20, "raw", "") for name in ("emi", "eki", "eri")}

    def spec(id: str, last: int) -> MachineSpec:
        return MachineSpec(
            instance_id=id,
            generation=1,
            reboots=0,
            fresh=True,
            account_id="123456789012",
            cores=1,
            memory_mb=128,
            disk_gb=1,
            architecture="x86_64",
            image=blobs["emi"],
            kernel=blobs["eki"],
            ramdisk=blobs["eri"],
            mac=f"d0:0d:00:00:01:{last:02x}",
            private_address="10.77.8.3",
            public_address=f"127.31.{secrets.randbelow(254) + 1}.{last}",
            hostname="full",
            public_key=(tmp_path / "key.pub").read_text().strip(),
            user_data=b"",
        )

    first, second = (spec(f"i-{secrets.token_hex(4)}", n) for n in (11, 12))
    driver = LibvirtHypervisor(uri, "qemu")
    node = NodeService(
        "west/one",
        "cloud-t",
        small / "node",
        driver,
        whole.Files({"emi": image.disk, "eki": image.kernel, "eri": image.ramdisk}),
        whole.ThreadCarrier(),
        SystemClock(),
        SystemIds(),
        OfferSettings(cores=4, disk_gb=10),
        UserNetwork(),
        poke=lambda: None,
    )

    def seen(id: str, key: str = "seen") -> str:
        return next((str(m[key]) for m in node.report()["machines"] if m["instance_id"] == id), "")

    def ssh(command: str) -> str:
        said = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes"]
        options = [
            part for value in [*said, "IdentitiesOnly=yes", "ConnectTimeout=10"] for part in ("-o", value)
        ]
        words = ["ssh", *options, "-i", str(tmp_path / "key"), f"root@{first.public_address}", command]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    try:
        assert node.ensure([pack(first)])["refused"] == []
        whole.until(lambda: seen(first.instance_id) in ("running", "failed"), 30)
        assert (seen(first.instance_id), seen(first.instance_id, "detail")) == ("running", "")
        whole.until(lambda: "full" in ssh("hostname"), 90)

        before = ssh("cat /proc/sys/kernel/random/boot_id").strip()
        ssh(f"dd if=/dev/urandom of=/root/fill bs=1M count={SPACE}; sync")
        free = os.statvfs(small)
        assert free.f_bavail * free.f_frsize < 1 << 20, "the disk is full now"
        assert "rror" in ssh("dmesg | grep -i 'i/o error' | tail -3"), "the guest is told"
        assert ssh("cat /proc/sys/kernel/random/boot_id").strip() == before, "and runs on"
        connection = libvirt.open(uri)
        state, _ = connection.lookupByName(first.instance_id).state()
        connection.close()
        assert state == libvirt.VIR_DOMAIN_RUNNING
        (warning,) = node.report()["warnings"]
        assert f"The disk under {small / 'node'} has only 0 MiB left" in warning

        (refused,) = node.ensure([pack(second)])["refused"] or [{"sentence": ""}]
        if not refused["sentence"]:  # there was room for the record, and there is none for a disk
            whole.until(lambda: seen(second.instance_id, "detail"), 30)
        told = f"{refused['sentence']} {seen(second.instance_id, 'detail')}"
        assert "No space left on device" in told
        assert seen(second.instance_id) != "running"
        assert seen(first.instance_id) == "running"

        # the way out works on a full disk: terminating makes room
        for id in (first.instance_id, second.instance_id):
            assert node.absent([{"instance_id": id, "generation": 1}])["refused"] == []
        whole.until(lambda: seen(first.instance_id) == "absent", 20)
        free = os.statvfs(small)
        assert free.f_bavail * free.f_frsize > 32 << 20
    finally:
        for id in (first.instance_id, second.instance_id):
            with contextlib.suppress(EucaError):
                driver.stop(Mark("cloud-t", "west/one", id, 99))
        node.close()
        driver.close()
