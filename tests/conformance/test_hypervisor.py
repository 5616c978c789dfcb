"""One contract for every driver: simulated, libvirt's test driver, and real QEMU under a private libvirtd."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from euca_rpc.clock import SECOND, ManualClock
from euca_rpc.errors import EucaError
from euca_rpc.host.libvirtd import LibvirtHost
from euca_rpc.images.test_image import TestImage
from euca_rpc.node import root_disk
from euca_rpc.node.hypervisor import Disk, DomainPlan, Hypervisor, Mark, NetworkPlan
from euca_rpc.node.machine import CMDLINE, Superseded
from euca_rpc.node.simulated import Faults, SimulatedHypervisor, read_history, write_faults
from euca_rpc.types import End, Size

REAL = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="a private libvirtd needs root"),
    pytest.mark.skipif(shutil.which("libvirtd", path="/usr/sbin:/usr/bin") is None, reason="no libvirtd"),
    pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="no QEMU"),
]


@dataclass
class Rig:
    driver: Hypervisor
    folder: Path
    plan: Callable[[str, int], DomainPlan]
    ids: list[str]
    remembers: bool = True  # why a domain ended, and across a new driver


def instance_id() -> str:
    return f"i-{secrets.token_hex(4)}"


def bare_plan(folder: Path) -> Callable[[str, int], DomainPlan]:
    def plan(instance: str, generation: int) -> DomainPlan:
        return DomainPlan(
            mark=Mark("cloud-t", "west/one", instance, generation),
            name=instance,
            mac="d0:0d:" + ":".join(instance[n : n + 2] for n in range(2, 10, 2)),
            size=Size(1, 128, 1),
            architecture="x86_64",
            disks=(),
            network=NetworkPlan("none", ""),
            console=folder / f"{instance}.log",
        )

    return plan


@pytest.fixture(params=["simulated", "test", pytest.param("qemu", marks=REAL)])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    plan = bare_plan(tmp_path)
    ids: list[str] = []
    driver: Hypervisor
    if request.param == "simulated":
        driver = SimulatedHypervisor(tmp_path / "host")
    else:
        pytest.importorskip("libvirt")
        from euca_rpc.node.libvirt_driver import LibvirtHypervisor

        if request.param == "test":
            driver = LibvirtHypervisor("test:///default", "test")
        else:
            driver = LibvirtHypervisor(request.getfixturevalue("real_host"), "qemu")
            kernel: TestImage = request.getfixturevalue("image")
            inner = plan
            plan = lambda i, g: replace(
                inner(i, g), kernel=kernel.kernel, ramdisk=kernel.ramdisk, cmdline=CMDLINE
            )
    yield Rig(driver, tmp_path, plan, ids)
    for instance in ids:
        with contextlib.suppress(EucaError):
            driver.stop(Mark("cloud-t", "west/one", instance, 99))
    driver.close()


def new(rig: Rig) -> str:
    rig.ids.append(instance_id())
    return rig.ids[-1]


def mine(rig: Rig, instance: str) -> list[tuple[int, bool, str]]:
    return [
        (d.mark.generation, d.running, d.end)
        for d in rig.driver.domains()
        if d.mark and d.mark.instance_id == instance
    ]


def test_facts(rig: Rig) -> None:
    facts = rig.driver.facts()
    assert facts.hypervisor in ("simulated", "test", "qemu")
    assert facts.cores > 0
    assert facts.memory_mb > 0
    assert facts.architecture == "x86_64"
    assert facts.boot_id
    assert rig.driver.facts() == facts


def test_start_is_idempotent_and_stop_leaves_nothing(rig: Rig) -> None:
    a = new(rig)
    for _ in range(2):
        rig.driver.start(rig.plan(a, 1))
        assert mine(rig, a) == [(1, True, "")]
    (domain,) = [d for d in rig.driver.domains() if d.name == a]
    assert domain.mark == Mark("cloud-t", "west/one", a, 1)
    assert (domain.size.cores, domain.size.memory_mb) == (1, 128)
    for _ in range(2):
        rig.driver.stop(domain.mark)
        assert mine(rig, a) == []


def test_generations(rig: Rig) -> None:
    a = new(rig)
    rig.driver.start(rig.plan(a, 2))
    with pytest.raises(EucaError) as caught:
        rig.driver.start(rig.plan(a, 1))
    assert caught.value.symbol == "generation_old"
    with pytest.raises(EucaError) as caught:
        rig.driver.stop(rig.plan(a, 1).mark)
    assert caught.value.symbol == "generation_old"
    with pytest.raises(EucaError, match=r"Generation 2 of .* still runs here"):
        rig.driver.start(rig.plan(a, 3))
    assert mine(rig, a) == [(2, True, "")]
    rig.driver.stop(rig.plan(a, 3).mark)
    rig.driver.start(rig.plan(a, 3))
    assert mine(rig, a) == [(3, True, "")]


def test_another_nodes_domain_is_not_touched(rig: Rig) -> None:
    a = new(rig)
    rig.driver.start(rig.plan(a, 1))
    for other in (Mark("cloud-t", "west/two", a, 1), Mark("cloud-u", "west/one", a, 1)):
        with pytest.raises(EucaError, match="It was not touched"):
            rig.driver.stop(other)
        with pytest.raises(EucaError, match="It was not touched"):
            rig.driver.reboot(other)
        with pytest.raises(EucaError, match="It was not touched"):
            rig.driver.start(replace(rig.plan(a, 1), mark=other))
    assert mine(rig, a) == [(1, True, "")]


def test_reboot(rig: Rig) -> None:
    a = new(rig)
    with pytest.raises(EucaError, match="does not run"):
        rig.driver.reboot(rig.plan(a, 1).mark)
    rig.driver.start(rig.plan(a, 1))
    rig.driver.reboot(rig.plan(a, 1).mark)
    assert mine(rig, a) == [(1, True, "")]


def end_by_itself(rig: Rig, instance: str) -> str:
    """What the machine does on its own; answers the end that must be told."""
    if isinstance(rig.driver, SimulatedHypervisor):
        rig.driver.end(instance, End.GUEST)
        return End.GUEST
    import libvirt

    if rig.driver.facts().hypervisor == "test":
        rig.driver._connection.lookupByName(instance).shutdown()  # type: ignore[attr-defined]
        return End.GUEST
    connection = libvirt.open(rig.driver._uri)  # type: ignore[attr-defined]
    try:
        pid = next(
            int(p.name)
            for p in Path("/proc").iterdir()
            if p.name.isdigit() and f"guest={instance},".encode() in _cmdline(p)
        )
        os.kill(pid, signal.SIGKILL)
    finally:
        connection.close()
    return End.CRASHED


def _cmdline(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def test_an_ended_domain_says_why_and_is_not_started_again(rig: Rig) -> None:
    a = new(rig)
    rig.driver.start(rig.plan(a, 1))
    heard = threading.Event()
    rig.driver.listen(heard.set)
    expected = end_by_itself(rig, a)
    assert heard.wait(5)
    until = time.monotonic() + 5
    while mine(rig, a) == [(1, True, "")] and time.monotonic() < until:
        time.sleep(0.02)
    assert mine(rig, a) == [(1, False, expected)]
    with pytest.raises(EucaError, match="has already run here and ended"):
        rig.driver.start(rig.plan(a, 1))
    rig.driver.start(rig.plan(a, 2))
    assert mine(rig, a) == [(2, True, "")]


def with_disks(rig: Rig, plan: DomainPlan) -> DomainPlan:
    """The root disk over a base, and another disk that is no part of a copy."""
    if rig.driver.facts().hypervisor != "qemu":
        return plan
    base, root, other = (rig.folder / name for name in ("base", "disk.qcow2", "other.qcow2"))
    base.write_bytes(b"below".ljust(1 << 20, b"\0"))
    root_disk.overlay(base, "raw", root, 16 << 20)
    with root_disk.raw_view(root) as disk:
        os.pwrite(disk, b"above", 8 << 20)
    root_disk.overlay(base, "raw", other, 32 << 20)
    return replace(plan, disks=(Disk(root, "qcow2", "root"), Disk(other, "qcow2", "other")))


def test_a_running_machines_disk_is_copied_while_it_runs_on(rig: Rig) -> None:
    a, copy, wanted = new(rig), rig.folder / "copy", lambda: True
    plan = with_disks(rig, rig.plan(a, 1))
    with pytest.raises(EucaError, match="does not run"):
        rig.driver.copy_root(plan.mark, copy, wanted)
    rig.driver.start(plan)
    with pytest.raises(EucaError, match="It was not touched"):
        rig.driver.copy_root(replace(plan.mark, node_id="west/two"), copy, wanted)
    assert not copy.exists()
    for _ in range(2):
        rig.driver.copy_root(plan.mark, copy, wanted)
        if plan.disks:
            (rig.folder / "base").rename(rig.folder / "away")  # the copy stands alone
            with root_disk.raw_view(copy) as disk:
                assert (os.pread(disk, 5, 0), os.pread(disk, 5, 8 << 20)) == (b"below", b"above")
                assert os.fstat(disk).st_size == 16 << 20
            (rig.folder / "away").rename(rig.folder / "base")
        else:
            assert a.encode() in copy.read_bytes()
        copy.unlink()
    assert mine(rig, a) == [(1, True, "")]


def test_a_copy_that_nobody_wants_any_more_is_ended(rig: Rig) -> None:
    if rig.driver.facts().hypervisor == "test":
        pytest.skip("libvirt's test driver copies nothing, so nothing can be ended")
    a, copy = new(rig), rig.folder / "copy"
    plan = with_disks(rig, rig.plan(a, 1))
    rig.driver.start(plan)
    with pytest.raises(Superseded):
        rig.driver.copy_root(plan.mark, copy, lambda: False)
    copy.unlink(missing_ok=True)
    rig.driver.copy_root(plan.mark, copy, lambda: True)  # nothing is left in its way
    assert copy.exists()
    rig.driver.stop(plan.mark)


def test_many_machines(rig: Rig) -> None:
    count = 4 if rig.driver.facts().hypervisor == "qemu" else 1000
    began = time.monotonic()
    for _ in range(count):
        rig.driver.start(rig.plan(new(rig), 1))
    assert len([d for d in rig.driver.domains() if d.mark and d.mark.instance_id in set(rig.ids)]) == count
    assert time.monotonic() - began < 20


def test_foreign_domains_are_listed_without_a_mark(rig: Rig) -> None:
    name = f"foreign-{secrets.token_hex(4)}"
    if isinstance(rig.driver, SimulatedHypervisor):
        rig.driver.plant_foreign(name, Size(2, 64, 0))
        assert [(d.mark, d.size.cores) for d in rig.driver.domains() if d.name == name] == [(None, 2)]
        return
    import libvirt

    on_test = rig.driver.facts().hypervisor == "test"
    connection = rig.driver._connection if on_test else libvirt.open(rig.driver._uri)  # type: ignore[attr-defined]
    kind = "test" if on_test else "qemu"
    domain = connection.defineXML(
        f"<domain type='{kind}'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>2</vcpu>"
        "<os><type arch='x86_64'>hvm</type></os></domain>"
    )
    try:
        assert [(d.mark, d.size.cores) for d in rig.driver.domains() if d.name == name] == [(None, 2)]
    finally:
        domain.undefine()
        if not on_test:
            connection.close()


def test_the_simulated_state_outlives_its_driver(tmp_path: Path) -> None:
    first = SimulatedHypervisor(tmp_path)
    a, plan = instance_id(), bare_plan(tmp_path)
    first.start(plan(a, 1))
    boot = first.facts().boot_id
    second = SimulatedHypervisor(tmp_path)  # the first was killed; it closed nothing
    assert [d.name for d in second.domains()] == [a]
    assert second.facts().boot_id == boot
    second.lose_power()
    assert [(d.running, d.end) for d in first.domains()] == [(False, End.HOST)]
    assert first.facts().boot_id != boot
    write_faults(tmp_path, Faults(unreachable=True))
    with pytest.raises(EucaError) as caught:
        first.domains()
    assert caught.value.symbol == "unreachable"


# ------------------------------------------------------------------------- a libvirtd that dies and that hangs
@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="a private libvirtd needs root")
def test_libvirtd_gone_or_hung_is_unreachable_and_guests_survive(image: TestImage) -> None:
    pytest.importorskip("libvirt")
    from euca_rpc.node.libvirt_driver import LibvirtHypervisor

    with tempfile.TemporaryDirectory(prefix="eh", dir="/tmp") as folder:
        host = LibvirtHost(Path(folder) / "h", "one")
        host.start()
        driver = None
        try:
            host.wait_ready()
            driver = LibvirtHypervisor(host.uri, "qemu", lambda: host.boot_id)
            a = instance_id()
            plan = bare_plan(Path(folder))(a, 1)
            driver.start(replace(plan, kernel=image.kernel, ramdisk=image.ramdisk, cmdline=CMDLINE))
            daemon = libvirtd_of(host)
            os.kill(daemon, signal.SIGSTOP)
            began = time.monotonic()
            with pytest.raises(EucaError) as caught:
                driver.domains()
            assert caught.value.symbol == "unreachable"
            assert time.monotonic() - began < 5
            os.kill(daemon, signal.SIGKILL)
            until = time.monotonic() + 20
            listed = None
            while listed is None and time.monotonic() < until:
                with contextlib.suppress(EucaError):
                    listed = [(d.name, d.running) for d in driver.domains()]
                time.sleep(0.1)
            assert listed == [(a, True)]
            # and now the whole host loses power
            boot = driver.facts().boot_id
            host.kill()
            with pytest.raises(EucaError) as caught:
                driver.domains()
            assert caught.value.symbol == "unreachable"
            host.start()
            host.wait_ready()
            assert [(d.name, d.running, d.end) for d in driver.domains()] == [(a, False, End.UNKNOWN)]
            assert driver.facts().boot_id != boot  # by which the node tells End.HOST
            driver.start(replace(plan, mark=replace(plan.mark, generation=2)))
            assert [(d.mark and d.mark.generation, d.running) for d in driver.domains()] == [(2, True)]
        finally:
            if driver is not None:
                driver.close()
            host.stop()


def libvirtd_of(host: LibvirtHost) -> int:
    """As seen from here: the child of the host's init that is called libvirtd."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and b"libvirtd\0" in _cmdline(process):
            stat = (process / "stat").read_text().rpartition(")")[2].split()
            if int(stat[1]) == host.init_pid:
                return int(process.name)
    raise AssertionError("no libvirtd in the host")


# ---------------------------------------------------------------------------------- a whole node, a whole guest
@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="a private libvirtd needs root")
def test_a_node_brings_up_a_guest_that_answers_ssh(make_site: Any) -> None:
    site = make_site()
    node, until = site.node, site.until
    spec = site.spec("tiny", user_data=b"#!/bin/sh\necho did-user-data > /root/proof\nsync\n")
    a = spec.instance_id

    def ssh(command: str) -> str:
        return site.ssh(spec, command)

    with socket.create_server(("127.0.0.1", 0)) as listener:  # a service that no guest may reach
        site.run(spec)
        until(lambda: b"ready" in node.console(a)["text"], 60)
        until(lambda: "tiny" in ssh("hostname"), 30)
        assert spec.private_address in ssh("ifconfig eth0")
        until(lambda: "did-user-data" in ssh("cat /root/proof"), 10)
        blocks = int(ssh("df -k / | tail -1").split()[1])
        assert blocks > 900_000  # the root disk has the VM type's size
        # the check works
        assert "reached" in ssh("nc -w 2 127.0.0.1 22 </dev/null >/dev/null && echo reached")
        port = listener.getsockname()[1]
        assert "reached" not in ssh(f"nc -w 2 10.77.5.2 {port} </dev/null && echo reached")
        before = ssh("cat /proc/sys/kernel/random/boot_id")
        node.reboot([{"instance_id": a, "generation": 1, "reboots": 1}])
        until(lambda: ssh("cat /proc/sys/kernel/random/boot_id") not in ("", before), 60)
        node.stop([{"instance_id": a, "generation": 1}])
        until(lambda: site.seen(spec) == "stopped", 15)
        assert site.seen(spec, "end") == "asked"
        site.run(replace(spec, generation=2, fresh=False))
        until(lambda: "did-user-data" in ssh("cat /root/proof"), 60)  # the same disk
        ssh("poweroff")
        until(lambda: site.seen(spec) == "stopped", 60)
        assert site.seen(spec, "end") == "guest"
        node.absent([{"instance_id": a, "generation": 2}])
        until(lambda: site.seen(spec) == "absent", 15)
        assert list((site.home / "instances").iterdir()) == []


def test_a_simulated_host_sleeps_and_is_woken_from_another_process_as_often_as_one_likes(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    here, there = (SimulatedHypervisor(tmp_path, clock=clock) for _ in range(2))
    for _ in range(3):
        here.facts()
        there.sleep()
        there.sleep()
        with pytest.raises(EucaError, match="The simulated host sleeps"):
            here.domains()
        there.wake(5 * SECOND)
        with pytest.raises(EucaError, match="The simulated host sleeps"):
            here.facts()
        clock.advance(5 * SECOND)
        here.facts()
        SimulatedHypervisor(tmp_path, clock=clock).facts()
    assert [line.what for line in read_history(tmp_path)] == ["power", *["sleep", "wake"] * 3]
