"""A whole cloud by `euca up`, every daemon a process of its own, machines simulated, driven by boto3 and the command.

Two zones of three nodes, 8 cores each: twelve of the type with 4 cores and no more.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

pytestmark = pytest.mark.real

BIG = "c1.xlarge"  # 4 cores
OFFSETS = (0, 2, 3, 4, 5, 10, 11, 40, 41, 42, 43, 44, 45)


class Cloud:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_base_port()

    def euca(self, *words: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "euca_rpc.cli.main", *words, "--home", str(self.home)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90)
        assert done.returncode == code, f"{words}: {done.stdout}{done.stderr}{self.logs()}"
        return done.stdout if code == 0 else done.stderr

    def told(self, *words: str) -> Any:
        return json.loads(self.euca(*words, "--json"))

    def client(self) -> Any:
        if not (self.home / "admin").exists():
            self.euca("credentials", "admin", str(self.home / "admin"))
        keys = dict(
            line.split(" = ")
            for line in (self.home / "admin" / "credentials").read_text().splitlines()
            if "=" in line
        )
        return boto3.client(
            "ec2",
            endpoint_url=f"http://127.0.0.1:{self.port}/services/Eucalyptus",
            region_name="eucalyptus",
            config=Config(retries={"max_attempts": 0}, proxies={}, read_timeout=30, max_pool_connections=64),
            **keys,
        )

    def pid(self, name: str) -> int:
        return int((self.home / "run" / f"{name}.pid").read_text().split()[0])

    def kill(self, name: str) -> None:
        """SIGKILL, and wait until another one has taken its place."""
        old = self.pid(name)
        os.kill(old, signal.SIGKILL)
        eventually(lambda: self.pid(name) != old)

    def logs(self) -> str:
        files = sorted(self.home.glob("log/*.log"))
        return "".join(f"\n--- {f.name}\n{f.read_text(errors='replace')[-800:]}" for f in files)


def free_base_port() -> int:
    for _ in range(100):
        base = random.randrange(12000, 30000)  # below those that outgoing connections are given
        held = [socket.socket() for _ in OFFSETS]
        try:
            for offset, one in zip(OFFSETS, held, strict=True):
                one.bind(("127.0.0.1", base + offset))
            return base
        except OSError:
            continue
        finally:
            for one in held:
                one.close()
    raise AssertionError("no free ports")


def eventually(what: Callable[[], Any], seconds: float = 30.0) -> Any:
    until = time.monotonic() + seconds
    while True:
        try:
            found = what()
        except (ClientError, FileNotFoundError, ValueError):
            found = None
        if found or time.monotonic() > until:
            assert found, "it did not come about in time"
            return found
        time.sleep(0.1)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    one = Cloud(tmp_path_factory.mktemp("up"))
    try:
        one.euca(
            "up",
            "--detach",
            "--port",
            str(one.port),
            "--zones",
            "east,west",
            "--nodes",
            "3",
            "--hypervisor",
            "simulated",
            "--address-pool",
            "127.222.0.0/16",
        )
        yield one
    finally:
        one.euca("down")
    assert not processes_of(one.home), "left behind"
    assert not list((one.home / "run").glob("*.pid"))


def processes_of(home: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"{home} " in text + " ":
            found.append(text)
    return found


@pytest.fixture(scope="module")
def image(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> str:
    disk = tmp_path_factory.mktemp("image") / "disk.raw"
    disk.write_bytes(b"a disk of a simulated machine".ljust(1 << 20, b"\0"))
    made = cloud.told("add_image", "--disk-image", str(disk), "--image-name", "one")
    disk.unlink()  # it was copied
    return str(made["image"])


@pytest.fixture
def ec2(cloud: Cloud, image: str) -> Iterator[Any]:
    """A client; whatever a test launched is gone after it."""
    client = cloud.client()
    yield client
    if ids := alive(client):
        client.terminate_instances(InstanceIds=ids)
    eventually(lambda: not alive(client))


def machines(ec2: Any) -> list[dict[str, Any]]:
    return [i for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]


def alive(ec2: Any) -> list[str]:
    return [i["InstanceId"] for i in machines(ec2) if i["State"]["Name"] != "terminated"]


def states(ec2: Any, ids: list[str]) -> set[str]:
    return {i["State"]["Name"] for i in machines(ec2) if i["InstanceId"] in ids}


def launch(ec2: Any, image: str, count: int = 1, vm_type: str = "m1.small", **more: Any) -> list[str]:
    made = ec2.run_instances(ImageId=image, MinCount=count, MaxCount=count, InstanceType=vm_type, **more)
    return [i["InstanceId"] for i in made["Instances"]]


def room(cloud: Cloud, vm_type: str = BIG) -> dict[str, tuple[int, int]]:
    return {
        zone["name"]: next((t["free"], t["total"]) for t in zone["types"] if t["name"] == vm_type)
        for zone in cloud.told("zones")
    }


def test_all_processes_run_and_the_cloud_is_ready(cloud: Cloud) -> None:
    told = cloud.told("status")
    names = {row["name"] for row in told["processes"] if row["running"]}
    assert names == {
        "up",
        "nameserver",
        "cloud",
        "images",
        "cluster-east",
        "cluster-west",
        *(f"node-{zone}-host-{n}" for zone in ("east", "west") for n in (1, 2, 3)),
    }
    cloud.euca("wait-ready", "--timeout", "20")
    assert [f for f in cloud.told("doctor") if not f["ok"]] == []


def test_run_describe_console_reboot_terminate(ec2: Any, image: str) -> None:
    key = ec2.create_key_pair(KeyName="pair")
    assert "PRIVATE KEY" in key["KeyMaterial"]
    (id,) = launch(ec2, image, KeyName="pair", Placement={"AvailabilityZone": "west"})
    eventually(lambda: states(ec2, [id]) == {"running"})
    (one,) = [i for i in machines(ec2) if i["InstanceId"] == id]
    assert one["Placement"]["AvailabilityZone"] == "west"
    assert one["PublicIpAddress"].startswith("127.222.")
    assert one["KeyName"] == "pair"
    ec2.reboot_instances(InstanceIds=[id])
    assert ec2.get_console_output(InstanceId=id)["InstanceId"] == id
    ec2.terminate_instances(InstanceIds=[id])
    eventually(lambda: states(ec2, [id]) == {"terminated"})
    ec2.delete_key_pair(KeyName="pair")


def test_capacity_is_exact_and_refusals_say_why_on_each_node(cloud: Cloud, ec2: Any, image: str) -> None:
    assert room(cloud) == {"east": (6, 6), "west": (6, 6)}
    ids = [id for _ in range(12) for id in launch(ec2, image, vm_type=BIG)]
    with pytest.raises(ClientError) as refused:
        launch(ec2, image, vm_type=BIG)
    assert refused.value.response["Error"]["Code"] == "InsufficientInstanceCapacity"
    assert room(cloud) == {"east": (0, 6), "west": (0, 6)}
    why = json.dumps(cloud.told("explain", "last"))
    for zone in ("east", "west"):
        for n in (1, 2, 3):
            assert f"{zone}/host-{n}" in why
    eventually(lambda: states(ec2, ids) == {"running"})
    ec2.terminate_instances(InstanceIds=ids)
    eventually(lambda: states(ec2, ids) == {"terminated"})
    assert room(cloud) == {"east": (6, 6), "west": (6, 6)}


def test_64_concurrent_launches_under_a_quota_of_10_give_exactly_10(
    cloud: Cloud, ec2: Any, image: str
) -> None:
    cloud.euca("quota", "default/account", "--instances", "10")
    try:

        def try_one(_: int) -> str:
            try:
                return launch(ec2, image)[0]
            except ClientError as error:
                return str(error.response["Error"]["Code"])

        with ThreadPoolExecutor(64) as pool:
            said = list(pool.map(try_one, range(64)))
        assert {s for s in said if not s.startswith("i-")} == {"InstanceLimitExceeded"}
        assert sum(s.startswith("i-") for s in said) == 10 == len(alive(ec2))
    finally:
        cloud.euca("quota", "default/account", "--instances", "20")


def test_a_killed_daemon_comes_back_and_nothing_is_lost(cloud: Cloud, ec2: Any, image: str) -> None:
    ids = launch(ec2, image, count=4)
    eventually(lambda: states(ec2, ids) == {"running"})
    node = next(i["node"] for i in cloud.told("instances") if i["id"] == ids[0]).replace("/", "-")
    for name in ("cloud", "cluster-east", "cluster-west", f"node-{node}", "images", "nameserver"):
        cloud.kill(name)
    cloud.euca("wait-ready", "--timeout", "60")
    assert sorted(alive(ec2)) == sorted(ids)
    eventually(lambda: states(ec2, ids) == {"running"})


def test_work_goes_on_while_the_name_server_hangs(cloud: Cloud, ec2: Any, image: str) -> None:
    hung = cloud.pid("nameserver")
    os.kill(hung, signal.SIGSTOP)
    try:
        for name in ("cloud", "cluster-east", "cluster-west"):
            cloud.kill(name)
        ids = eventually(lambda: launch(ec2, image, count=2), 60.0) if accepts_soon(cloud) else []
        eventually(lambda: states(ec2, ids) == {"running"}, 60.0)
        ec2.terminate_instances(InstanceIds=ids)
        eventually(lambda: states(ec2, ids) == {"terminated"}, 60.0)
    finally:
        os.kill(hung, signal.SIGCONT)


def accepts_soon(cloud: Cloud) -> bool:
    def accepts() -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", cloud.port)) == 0

    return bool(eventually(accepts))


def test_drain_keeps_new_machines_away_and_remove_refuses_while_there_are_any(
    cloud: Cloud, ec2: Any, image: str
) -> None:
    (id,) = launch(ec2, image, Placement={"AvailabilityZone": "east"})
    node = next(i["node"] for i in cloud.told("instances") if i["id"] == id)
    cloud.euca("node", "drain", node)
    others = launch(ec2, image, count=3, Placement={"AvailabilityZone": "east"})
    placed = {i["id"]: i["node"] for i in cloud.told("instances")}
    assert all(placed[other] != node for other in others)
    assert placed[id] == node
    assert id in cloud.euca("node", "remove", node, code=1)
    cloud.euca("node", "undrain", node)
    assert next(n["state"] for n in cloud.told("nodes") if n["id"] == node) == "active"


def test_a_removed_image_cannot_be_launched(cloud: Cloud, ec2: Any, tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(os.urandom(4096))
    id = cloud.told("add-image", "--disk-image", str(disk), "--image-name", "two")["image"]
    blobs = len(list((cloud.home / "blobs").rglob("?" * 64)))
    cloud.euca("remove-image", id)
    assert len(list((cloud.home / "blobs").rglob("?" * 64))) == blobs - 1
    with pytest.raises(ClientError) as refused:
        launch(ec2, id)
    assert refused.value.response["Error"]["Code"].startswith("InvalidAMIID")


def test_a_second_up_is_refused_and_harms_nothing(cloud: Cloud) -> None:
    before = cloud.pid("up")
    assert "is up already" in cloud.euca("up", "--detach", code=1)
    assert cloud.pid("up") == before


def test_down_ends_what_a_killed_supervisor_left_and_up_goes_on_from_the_disk(
    cloud: Cloud, ec2: Any, image: str
) -> None:
    ids = launch(ec2, image, count=2)
    eventually(lambda: states(ec2, ids) == {"running"})
    os.kill(cloud.pid("up"), signal.SIGKILL)
    cloud.euca("down")
    assert not processes_of(cloud.home)
    cloud.euca("up", "--detach")
    assert sorted(alive(ec2)) == sorted(ids)
    eventually(lambda: states(ec2, ids) == {"running"})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_a_signal_ends_everything(tmp_path: Path, number: signal.Signals) -> None:
    port = str(free_base_port())
    words = ["up", "--home", str(tmp_path), "--port", port, "--hypervisor", "simulated"]
    shown = tmp_path / "shown"
    with open(shown, "w") as out:
        # as at a terminal: a test run in a shell's background is deaf to SIGINT, and hands that down
        started = subprocess.Popen(
            [sys.executable, "-m", "euca_rpc.cli.main", *words],
            stdout=out,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        eventually(lambda: "Ctrl-C ends it." in shown.read_text(), 60.0)
        started.send_signal(number)
        started.wait(30)
    finally:
        started.kill()
    assert "everything ended" in shown.read_text()
    assert not processes_of(tmp_path)


def test_an_image_of_a_machine_is_made_although_the_daemons_die(cloud: Cloud, ec2: Any, image: str) -> None:
    """The image server is gone when the node wants to store it; then the node, then the cloud controller."""
    (id,) = launch(ec2, image, Placement={"AvailabilityZone": "east"})
    eventually(lambda: states(ec2, [id]) == {"running"})
    node = next(row["node"] for row in cloud.told("instances") if row["id"] == id)

    def shown() -> dict[str, Any]:
        (row,) = ec2.describe_images(ImageIds=[made])["Images"]
        return dict(row)

    def available() -> bool:
        try:
            return bool(shown()["State"] == "available")
        except BotoCoreError:  # nobody listens while the cloud controller starts again
            return False

    for victim in ("images", f"node-{node.replace('/', '-')}", "cloud"):
        old = cloud.pid(victim)
        os.kill(old, signal.SIGSTOP if victim == "images" else 0)
        made = ec2.create_image(InstanceId=id, Name=f"while {victim} dies", NoReboot=True)["ImageId"]
        with pytest.raises(ClientError, match=r"InvalidAMIName\.Duplicate"):
            ec2.create_image(InstanceId=id, Name=f"while {victim} dies")
        cloud.kill(victim)
        eventually(available, 60)
        ec2.deregister_image(ImageId=made)
        kept = list(cloud.home.glob(f"nodes/*/captures/{made}/disk*"))
        assert not kept, "no copy is left on the node"
    made = ec2.create_image(InstanceId=id, Name="of it", Description="for others")["ImageId"]
    eventually(available)
    assert (shown()["Description"], shown()["Public"]) == ("for others", False)
    (another,) = launch(ec2, made)
    eventually(lambda: states(ec2, [another]) == {"running"})
    assert states(ec2, [id]) == {"running"}
    ec2.deregister_image(ImageId=made)
