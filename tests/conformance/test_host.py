"""A host of its own, really: private libvirtd in namespaces, one guest of the test image, ssh, two kinds of death."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from euca_rpc.errors import EucaError
from euca_rpc.host.init import LOG_LIMIT
from euca_rpc.host.libvirtd import LibvirtHost
from euca_rpc.host.settings import CONSOLE_BACKUPS, CONSOLE_BYTES
from euca_rpc.images.test_image import READY, TestImage

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="mount and PID namespaces need root"),
    pytest.mark.skipif(
        shutil.which("libvirtd", path="/usr/sbin:/usr/bin") is None, reason="libvirtd is not here"
    ),
    pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="QEMU is not here"),
]

DOMAIN = """
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <memory unit='MiB'>128</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type>
    <kernel>{kernel}</kernel><initrd>{ramdisk}</initrd>
    <cmdline>console=ttyS0 root=/dev/vda rw quiet mitigations=off no_timer_check nokaslr panic=-1</cmdline></os>
  <features><acpi/><tcg><tb-cache unit='MiB'>32</tb-cache></tcg></features>
  <cpu mode='maximum'/>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/>
      <target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{seed}'/>
      <target dev='vdb' bus='virtio'/><readonly/></disk>
    <serial type='file'><source path='{console}'/><target port='0'/></serial>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <memballoon model='none'/>
  </devices>
  <qemu:commandline>
    <qemu:arg value='-netdev'/><qemu:arg value='user,id=n0,restrict=on,hostfwd=tcp:{address}:22-:22'/>
    <qemu:arg value='-device'/><qemu:arg value='virtio-net-pci,netdev=n0,bus=pci.0,addr=0x10'/>
  </qemu:commandline>
</domain>
"""


@dataclass
class Guest:
    host: LibvirtHost
    key: Path
    address: str
    console: Path
    name: str = "i-0000c0de"

    def ssh(self, command: str) -> str:
        done = subprocess.run(
            [
                *(
                    "ssh",
                    "-i",
                    str(self.key),
                    "-o",
                    "StrictHostKeyChecking=no",
                    "-o",
                    "UserKnownHostsFile=/dev/null",
                ),
                *("-o", "BatchMode=yes", "-o", "ConnectTimeout=3", "-q", f"root@{self.address}", command),
            ],
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.returncode == 0, f"ssh: {done.stderr or done.returncode}"
        return done.stdout

    def wait(self) -> None:
        """Until it answers; of one that does not, its console tells why."""
        try:
            eventually(lambda: self.ssh("uname -s"), within=90)
        except (AssertionError, subprocess.TimeoutExpired) as silent:
            raise AssertionError(f"{silent}; its console: …{self.console.read_text()[-2000:]}") from silent


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LibvirtHost]:
    made = LibvirtHost(
        tmp_path / "hosts" / "one", "one", [["sleep", "1000"], ["sh", "-c", "echo x >> starts; exit 1"]]
    )
    yield made
    made.kill()


def test_a_guest_survives_libvirtd_and_ends_with_its_host(
    host: LibvirtHost, image: TestImage, tmp_path: Path
) -> None:
    host.start()
    host.wait_ready()
    guest = boot(host, image, tmp_path)
    guest.wait()
    assert guest.ssh("hostname; id -u").split() == ["c0de", "0"]
    assert READY in guest.console.read_text()
    qemu = processes(str(host.directory), "qemu-system")
    assert len(qemu) == 1

    # what a guest writes to its console does not fill the host
    guest.ssh("head -c 700000 /dev/zero | tr '\\0' x > /dev/ttyS0; echo the end > /dev/ttyS0")
    eventually(lambda: check("the end" in guest.console.read_text()), within=10)
    kept = sum(path.stat().st_size for path in tmp_path.glob("console.log*"))
    assert kept <= (CONSOLE_BACKUPS + 1) * CONSOLE_BYTES

    # libvirtd dies: the guest does not notice, the next libvirtd knows it
    before = float(guest.ssh("cat /proc/uptime").split()[0])
    daemon = child(host, "libvirtd")
    os.kill(daemon, signal.SIGKILL)
    assert child(host, "libvirtd", but=daemon)
    host.wait_ready(20)
    assert guest.name in virsh(host, "list", "--state-running", "--name").split()
    assert float(guest.ssh("cat /proc/uptime").split()[0]) > before
    assert processes(str(host.directory), "qemu-system") == qemu

    # the host loses power: all of it is gone when kill returns, and nothing is left mounted
    boot_id, init = host.boot_id, host.init_pid
    began = time.monotonic()
    host.kill()
    assert time.monotonic() - began < 2
    assert host.init_pid is None
    assert init is not None
    assert processes(str(host.directory)) == []
    assert str(host.directory) not in Path("/proc/self/mounts").read_text()
    with pytest.raises(OSError):
        socket.create_connection((guest.address, 22), timeout=1).close()

    # power returns: another boot, no guests (the node controller starts them), disks where they were
    host.start()
    host.wait_ready()
    assert host.boot_id != boot_id
    assert virsh(host, "list", "--all", "--name").split() == []
    eventually(lambda: check(processes(str(host.directory), "qemu-system") == []), within=5)


def test_another_process_may_take_over_commands_come_back_and_logs_are_bounded(
    host: LibvirtHost, tmp_path: Path
) -> None:
    host.start()
    host.wait_ready()
    first = child(host, "sleep")
    os.kill(first, signal.SIGKILL)
    assert child(host, "sleep", but=first)

    time.sleep(1.5)  # the other one fails at once, each time: 0.1, 0.2, 0.4, 0.8 s between its starts
    assert 3 <= len((host.directory / "starts").read_text().split()) <= 6

    # what its daemons say does not fill the host: set aside when it is long, and they write on at the new beginning
    log, aside = host.directory / "log" / "libvirtd.log", host.directory / "log" / "libvirtd.log.1"
    for filler in (b"a", b"b"):
        with log.open("ab") as file:
            file.write(filler * (LOG_LIMIT + 1))
        os.kill(child(host, "sleep"), signal.SIGKILL)  # init looks when a child dies, or after a minute
        eventually(lambda: check(log.stat().st_size < LOG_LIMIT), within=10)
        assert aside.read_bytes().endswith(filler * LOG_LIMIT)
        wrong = tmp_path / "wrong.xml"
        wrong.write_text(f"<nonsense-{filler.decode()}/>")  # of which libvirtd complains in its log
        command = ["virsh", "-q", "-c", host.uri, "create", str(wrong)]
        assert subprocess.run(command, capture_output=True).returncode
        eventually(lambda told=b"nonsense-" + filler: check(told in log.read_bytes()), within=5)
        assert b"\0" not in log.read_bytes()
    assert sorted(path.name for path in log.parent.glob("libvirtd.log*")) == [log.name, aside.name]
    assert b"aaa" not in aside.read_bytes(), "one is kept"

    same = LibvirtHost(host.directory, host.name)
    assert same.init_pid == host.init_pid
    assert same.uri == host.uri
    same.start()  # it is on: nothing happens
    assert same.init_pid == host.init_pid
    same.stop()
    assert host.init_pid is None


def test_the_command_line_ends_with_its_host(tmp_path: Path) -> None:
    directory = tmp_path / "hosts" / "line"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "euca_rpc.host",
            str(directory),
            "line",
            "--",
            "sh",
            "-c",
            "echo $EUCA_BOOT_ID > said; sleep 99",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == LibvirtHost(directory, "line").uri
        eventually(
            lambda: check((directory / "said").read_text() == (directory / "boot_id").read_text()), within=5
        )
        process.terminate()
        process.wait(20)
        assert processes(str(directory)) == []
    finally:
        LibvirtHost(directory, "line").kill()
        process.kill()
        process.wait()


def test_a_home_too_deep_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EucaError, match="Choose a home with a shorter path"):
        LibvirtHost(tmp_path / ("deep" * 25) / "one", "one")


def boot(host: LibvirtHost, image: TestImage, directory: Path) -> Guest:
    address = f"127.{64 + secrets.randbelow(128)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
    guest = Guest(host, directory / "key", address, directory / "console.log")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(guest.key)], check=True)
    seed = directory / "seed"
    seed.mkdir()
    public = guest.key.with_suffix(".pub").read_text().strip()
    (seed / "meta-data").write_text(
        f"instance-id: {guest.name}\nlocal-hostname: c0de\npublic-keys:\n  - {public}\n"
    )
    (seed / "user-data").write_text("")
    subprocess.run(
        ["genisoimage", "-quiet", "-V", "cidata", "-r", "-J", "-o", str(directory / "seed.iso"), str(seed)],
        check=True,
    )
    shutil.copyfile(image.disk, directory / "disk.raw")
    xml = directory / "domain.xml"
    xml.write_text(
        DOMAIN.format(
            name=guest.name,
            kernel=image.kernel,
            ramdisk=image.ramdisk,
            disk=directory / "disk.raw",
            seed=directory / "seed.iso",
            console=guest.console,
            address=address,
        )
    )
    virsh(host, "create", str(xml))
    return guest


def virsh(host: LibvirtHost, *command: str) -> str:
    done = subprocess.run(["virsh", "-c", host.uri, *command], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def child(host: LibvirtHost, name: str, but: int = 0) -> int:
    """The number of the process ``name`` right below the host's init, as seen from here, as soon as there is one and it
    is not ``but``.  Never 0: who sends a signal to that means its own process group."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        for line in Path(f"/proc/{host.init_pid}/task/{host.init_pid}/children").read_text().split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                if int(line) != but and Path(f"/proc/{line}/comm").read_text().strip() == name:
                    return int(line)
        time.sleep(0.05)
    raise AssertionError(f"{host.directory} has no {name} but {but}")


def processes(*words: str) -> list[int]:
    """Processes whose command line or root of work names all of ``words``; QEMU's names its host's directories."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().decode(errors="replace")
            mounts = (entry / "mountinfo").read_text()
        except OSError:
            continue
        if all(word in line + mounts for word in words) and (entry / "ns").exists():
            found.append(int(entry.name))
    return sorted(found)


def check(condition: bool) -> None:
    assert condition


def eventually(attempt: Callable[[], object], within: float) -> None:
    until = time.monotonic() + within
    while True:
        try:
            attempt()
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
        else:
            return
