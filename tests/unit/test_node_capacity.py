"""What a node offers, what its network gives, and which virtualisation it finds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from euca_rpc.errors import EucaError
from euca_rpc.machines import BlobRef, MachineSpec
from euca_rpc.node import virtualisation
from euca_rpc.node.capacity import OfferSettings, disk_gb, nearly_full, offer
from euca_rpc.node.hypervisor import Domain, Forward, Mark
from euca_rpc.node.machine import NoDisks
from euca_rpc.node.network import NoNetwork, UserNetwork
from euca_rpc.node.open import open_backend
from euca_rpc.node.simulated import SimulatedHypervisor
from euca_rpc.types import Size

HAVE = Size(4, 8000, 100)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (OfferSettings(), Size(4, 7744, 98)),
        (OfferSettings(reserve_memory_mb=0, reserve_disk_gb=0), HAVE),
        (OfferSettings(cores_ratio=2.5, memory_ratio=0.5, reserve_memory_mb=0), Size(10, 4000, 98)),
        (OfferSettings(cores=64, memory_mb=1, disk_gb=0), Size(64, 1, 0)),
        (OfferSettings(reserve_cores=9, reserve_memory_mb=9000, reserve_disk_gb=900), Size(0, 0, 0)),
    ],
)
def test_offer(settings: OfferSettings, expected: Size) -> None:
    assert offer(HAVE, settings) == expected


def test_foreign_domains_are_subtracted_while_they_run() -> None:
    foreign = [
        Domain("theirs", None, True, Size(1, 1000, 0)),
        Domain("off", None, False, Size(1, 1000, 0)),
        Domain("of another cloud", Mark("c", "n", "i-1", 1), True, Size(1, 500, 0)),
    ]
    assert offer(HAVE, OfferSettings(reserve_memory_mb=0, reserve_disk_gb=0), foreign) == Size(2, 6500, 100)
    assert offer(HAVE, OfferSettings(cores=1), foreign).cores == 0


def test_own_disks_do_not_shrink_the_offer(tmp_path: Path) -> None:
    room = os.statvfs(tmp_path)
    free = room.f_bavail * room.f_frsize
    (tmp_path / "instances/i-1").mkdir(parents=True)
    (tmp_path / "instances/i-1/disk.qcow2").write_bytes(b"x" * (4 << 20))
    assert abs(disk_gb(tmp_path) - free // (1 << 30)) <= 1
    assert nearly_full(tmp_path) is None or free < 20 << 30


def spec(private: str, public: str) -> MachineSpec:
    return MachineSpec(
        *("i-0000000a", 1, 0, True, "123456789012", 1, 64, 1, "x86_64"),
        *(BlobRef("emi-1", "", 1, 1, "raw", ""), None, None, "d0:0d:00:00:00:0a", private, public, "host"),
    )


def test_user_network() -> None:
    machine = spec("10.4.5.6", "127.31.0.5")
    plan = UserNetwork().prepare(machine)
    assert (plan.mode, plan.guest_address, plan.guest_network) == ("user", "10.4.5.6", "10.4.5.0/24")
    assert plan.forwards == (Forward("127.31.0.5", 22, 22),)
    assert UserNetwork(2222).prepare(machine).forwards[0].host_port == 2222
    with pytest.raises(EucaError, match=r"can only forward from addresses in 127\.0\.0\.0/8"):
        UserNetwork().prepare(spec("10.4.5.6", "192.0.2.1"))
    seen = UserNetwork().observe(machine)
    assert (seen.private, seen.public) == ("10.4.5.6", "127.31.0.5")


class NoImages:
    def fetch(self, ref: BlobRef) -> Path:
        raise AssertionError


def test_open_backend(tmp_path: Path) -> None:
    simulated = open_backend("simulated", tmp_path, NoImages(), cores=3, memory_mb=5)
    assert isinstance(simulated.hypervisor, SimulatedHypervisor)
    assert isinstance(simulated.disks, NoDisks)
    assert isinstance(simulated.network, NoNetwork)
    assert simulated.hypervisor.facts().cores == 3
    with pytest.raises(EucaError, match="neither `simulated` nor a libvirt URI"):
        open_backend("vmware", tmp_path, NoImages())


def test_a_test_host_is_empty_and_as_large_as_asked(tmp_path: Path) -> None:
    pytest.importorskip("libvirt")
    backend = open_backend("test:///default", tmp_path, NoImages(), cores=24, memory_mb=50_000)
    try:
        facts = backend.hypervisor.facts()
        assert (facts.cores, facts.memory_mb, facts.architecture) == (24, 50_000, "x86_64")
        assert facts.hypervisor == "test"
        assert backend.hypervisor.domains() == []
    finally:
        backend.hypervisor.close()


def test_the_uri_decides_for_test_and_xen() -> None:
    assert virtualisation.choose_virtualisation("test:///default") == "test"
    assert virtualisation.choose_virtualisation("xen:///system") == "xen"


@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU")
def test_auto_chooses_within_ten_seconds_and_remembers(tmp_path: Path) -> None:
    assert virtualisation.guest_runs("tcg")  # the guest does compute and answer
    began = time.monotonic()
    chosen = virtualisation.choose_virtualisation("qemu:///system", tmp_path)
    assert chosen in ("kvm", "qemu")
    assert time.monotonic() - began < 10
    began = time.monotonic()
    assert virtualisation.choose_virtualisation("qemu:///system", tmp_path) == chosen
    assert time.monotonic() - began < 0.1


@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU")
def test_a_guest_that_hangs_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtualisation, "BOOT_SECTOR", b"\xeb\xfe".ljust(510, b"\0") + b"\x55\xaa")  # jmp $
    assert not virtualisation.guest_runs("tcg", 1.0)


@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU")
def test_auto_takes_tcg_where_kvm_is_there_and_hangs_its_guests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device may be opened and QEMU starts under it; the guest never gets anywhere."""
    real = shutil.which("qemu-system-x86_64")
    (tmp_path / "bin").mkdir()
    hanging = tmp_path / "bin" / "qemu-system-x86_64"
    hanging.write_text(f'#!/bin/sh\ncase "$*" in *"-accel kvm"*) exec sleep 60 ;; esac\nexec {real} "$@"\n')
    hanging.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path == "/dev/kvm" or access(path, mode))
    began = time.monotonic()
    assert virtualisation.choose_virtualisation("qemu:///system", tmp_path) == "qemu"
    assert virtualisation.TRY <= time.monotonic() - began < 10
    assert virtualisation.choose_virtualisation("qemu:///system", tmp_path) == "qemu"


@pytest.mark.skipif(not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="no /dev/kvm to hang on")
def test_a_probe_whose_parent_is_killed_leaves_no_guest_behind(tmp_path: Path) -> None:
    code = "from euca_rpc.node import virtualisation as v; v.guest_runs('kvm', 60)"
    parent = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)})

    def guests() -> list[str]:
        listed = subprocess.run(
            ["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True, check=True
        ).stdout
        return [line for line in listed.splitlines() if f"file={tmp_path}" in line]

    try:
        until = time.monotonic() + 10
        while not guests() and parent.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        seen = guests()
        if parent.poll() is not None:
            pytest.skip("KVM works here: the probe was over at once")
    finally:
        parent.kill()
        parent.wait()
    assert seen
    until = time.monotonic() + 5
    while guests() and time.monotonic() < until:
        time.sleep(0.02)
    assert guests() == []
