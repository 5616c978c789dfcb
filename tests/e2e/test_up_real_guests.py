"""Real machines under `euca up`: whatever daemon dies they go on, and a whole host that was lost comes back with them.

Two zones of one node each, every node in a host of its own: a private libvirtd in its own namespaces, emulated guests.
Seen from inside each guest by ssh: its boot id says whether it was ever restarted, a file on its disk whose disk it is.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="hosts of their own need root"),
    pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="needs qemu-system-x86"),
    pytest.mark.skipif(not Path("/usr/sbin/libvirtd").exists(), reason="needs libvirt-daemon-system"),
]

SSH = ("-F", "/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
SSH += ("-o", "LogLevel=ERROR", "-o", "ConnectTimeout=5", "-o", "BatchMode=yes")


class Cloud:
    def __init__(self) -> None:
        self.home = Path(
            tempfile.mkdtemp(prefix="euca-e2e-")
        )  # short: libvirt's socket has a long name below it
        self.port = random.randrange(28000, 32000)

    def euca(self, *words: str) -> str:
        command = [sys.executable, "-m", "euca_rpc.cli.main", *words, "--home", str(self.home)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def told(self, *words: str) -> Any:
        return json.loads(self.euca(*words, "--json"))

    def client(self) -> Any:
        lines = (self.home / "admin" / "credentials").read_text().splitlines()
        keys = dict(line.split(" = ") for line in lines if "=" in line)
        return boto3.client(
            "ec2",
            endpoint_url=f"http://127.0.0.1:{self.port}/services/Eucalyptus",
            region_name="eucalyptus",
            config=Config(retries={"max_attempts": 0}, proxies={}, connect_timeout=5, read_timeout=30),
            **keys,
        )


class Machine:
    def __init__(self, id: str, address: str, key: Path) -> None:
        self.id, self.address, self.key = id, address, key

    def run(self, command: str) -> str:
        """ "" when it does not answer."""
        words = ["ssh", *SSH, "-i", str(self.key), f"root@{self.address}", command]
        try:
            done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        except subprocess.TimeoutExpired:
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    def boot_id(self) -> str:
        return self.run("cat /proc/sys/kernel/random/boot_id")


def eventually(what: Callable[[], Any], seconds: float = 90.0) -> Any:
    until = time.monotonic() + seconds
    while True:
        try:
            found = what()
        except (ClientError, FileNotFoundError, ValueError, OSError):
            found = None
        if found or time.monotonic() > until:
            assert found, "it did not come about in time"
            return found
        time.sleep(0.3)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    one = Cloud()
    try:
        pool = f"127.{random.randrange(200, 250)}.0.0/16"
        up = ("up", "--detach", "--zones", "east,west", "--nodes", "1", "--hypervisor", "qemu")
        one.euca(*up, "--port", str(one.port), "--address-pool", pool)
        one.euca("build_test_image", "--register")
        one.euca("credentials", "admin", str(one.home / "admin"))
        yield one
    finally:
        one.euca("down")
        left = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(one.home) in line]
        shutil.rmtree(one.home)
        assert not left


@pytest.fixture(scope="module")
def machines(cloud: Cloud) -> list[Machine]:
    ec2 = cloud.client()
    key = cloud.home / "key.pem"
    key.touch(0o600)
    key.write_text(ec2.create_key_pair(KeyName="k")["KeyMaterial"])
    image = next(i["ImageId"] for i in ec2.describe_images()["Images"] if i["ImageType"] == "machine")
    for zone in ("east", "west"):
        ec2.run_instances(
            ImageId=image, MinCount=1, MaxCount=1, KeyName="k", Placement={"AvailabilityZone": zone}
        )
    found = [
        Machine(i["InstanceId"], i["PublicIpAddress"], key)
        for r in ec2.describe_instances()["Reservations"]
        for i in r["Instances"]
    ]
    assert len(found) == 2
    for one in found:
        eventually(one.boot_id)
        assert one.run(f"echo {one.id} > /root/whose && sync && echo written") == "written"
    return found


def running(cloud: Cloud) -> set[str]:
    reservations = cloud.client().describe_instances(
        Filters=[{"Name": "instance-state-name", "Values": ["running"]}]
    )
    return {i["InstanceId"] for r in reservations["Reservations"] for i in r["Instances"]}


def replaced(file: Path, old: str) -> bool:
    return file.exists() and file.read_text() != old


def test_guests_answer_and_reach_neither_the_hosts_loopback_nor_each_other(
    cloud: Cloud, machines: list[Machine]
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    try:
        for one in machines:
            assert one.run("uname -s") == "Linux"
            for address, port in (("10.0.2.2", listener.getsockname()[1]), ("127.0.0.1", cloud.port)):
                assert one.run(f"nc -w 2 {address} {port} < /dev/null && echo reached || echo no") == "no"
            gateway = one.run("ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p'")
            if gateway:
                port = listener.getsockname()[1]
                assert one.run(f"nc -w 2 {gateway} {port} < /dev/null && echo reached || echo no") == "no"
    finally:
        listener.close()


@pytest.mark.parametrize("daemon", ["nameserver", "cloud", "images", "cluster-east", "cluster-west"])
def test_a_killed_daemon_costs_no_guest_anything(cloud: Cloud, machines: list[Machine], daemon: str) -> None:
    before = [one.boot_id() for one in machines]
    file = cloud.home / "run" / f"{daemon}.pid"
    old = file.read_text()
    os.kill(int(old.split()[0]), signal.SIGKILL)
    eventually(lambda: replaced(file, old))
    cloud.euca("wait-ready", "--timeout", "60")
    assert [one.boot_id() for one in machines] == before
    assert running(cloud) == {one.id for one in machines}


@pytest.mark.parametrize("what", ["euca_rpc.cli.main", "libvirtd"])
def test_a_killed_node_controller_or_libvirtd_costs_no_guest_anything(
    cloud: Cloud, machines: list[Machine], what: str
) -> None:
    before = [one.boot_id() for one in machines]
    (pid,) = inside(cloud, "east-host-1", what)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: [p for p in inside(cloud, "east-host-1", what) if p != pid])
    cloud.euca("wait-ready", "--timeout", "60")
    assert [one.boot_id() for one in machines] == before
    assert running(cloud) == {one.id for one in machines}


def test_a_lost_host_comes_back_with_the_same_machines_from_the_same_disks(
    cloud: Cloud, machines: list[Machine]
) -> None:
    addresses = {i["id"]: (i["public_address"], i["private_address"]) for i in cloud.told("instances")}
    before = [one.boot_id() for one in machines]
    for host in ("east-host-1", "west-host-1"):
        os.kill(int((cloud.home / "hosts" / host / "init.pid").read_text().split()[0]), signal.SIGKILL)
    eventually(lambda: all(one.boot_id() not in ("", *before) for one in machines))
    assert [one.run("cat /root/whose") for one in machines] == [one.id for one in machines]
    assert addresses == {
        i["id"]: (i["public_address"], i["private_address"]) for i in cloud.told("instances")
    }
    eventually(lambda: running(cloud) == {one.id for one in machines})


def test_reboot_starts_it_again_and_terminate_leaves_nothing(cloud: Cloud, machines: list[Machine]) -> None:
    ec2, one = cloud.client(), machines[0]
    before = one.boot_id()
    ec2.reboot_instances(InstanceIds=[one.id])
    eventually(lambda: one.boot_id() not in ("", before))
    assert "euca test image ready" in ec2.get_console_output(InstanceId=one.id)["Output"]
    ec2.terminate_instances(InstanceIds=[machine.id for machine in machines])
    eventually(lambda: not running(cloud) and not list(cloud.home.glob("nodes/*/instances/*/disk*")))
    assert not [pid for host in ("east-host-1", "west-host-1") for pid in inside(cloud, host, "qemu-system")]


def inside(cloud: Cloud, host: str, what: str) -> list[int]:
    """Processes of a host's PID namespace whose command line holds ``what``, by their numbers out here."""
    init = (cloud.home / "hosts" / host / "init.pid").read_text().split()[0]
    space = os.readlink(f"/proc/{init}/ns/pid")
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            same = os.readlink(entry / "ns" / "pid") == space
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if same and what in command and "euca_rpc.host.init" not in command:
            found.append(int(entry.name))
    return found
