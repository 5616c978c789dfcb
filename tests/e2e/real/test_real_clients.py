"""The whole job with each of the old and new clients, every one with a machine of its own and ssh into it:

zones · images · key pair · run · poll · describe · ssh · console · reboot · terminate · delete key
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.config import Config

real_cloud: Any = sys.modules["real_cloud"]
eventually = real_cloud.eventually


class Shown(NamedTuple):
    state: str
    address: str
    key: str
    zone: str
    type: str


class Boto3:
    signature = "v4"

    def __init__(self, real: Any) -> None:
        access, secret = real.keys()
        self.ec2 = boto3.session.Session(access, secret, region_name="eucalyptus").client(
            "ec2",
            endpoint_url=real.config.ec2_url,
            config=Config(signature_version=self.signature, retries={"total_max_attempts": 1}, proxies={}),
        )

    def zones(self) -> list[str]:
        return [one["ZoneName"] for one in self.ec2.describe_availability_zones()["AvailabilityZones"]]

    def images(self) -> list[str]:
        return [one["ImageId"] for one in self.ec2.describe_images()["Images"]]

    def make_key(self, name: str) -> str:
        return str(self.ec2.create_key_pair(KeyName=name)["KeyMaterial"])

    def run(self, image: str, key: str, zone: str) -> str:
        made = self.ec2.run_instances(
            ImageId=image,
            MinCount=1,
            MaxCount=1,
            KeyName=key,
            InstanceType="m1.small",
            Placement={"AvailabilityZone": zone},
        )
        return str(made["Instances"][0]["InstanceId"])

    def describe(self, id: str) -> Shown:
        return shown(self.ec2.describe_instances(InstanceIds=[id]))

    def console(self, id: str) -> str:
        return str(self.ec2.get_console_output(InstanceId=id).get("Output", ""))

    def reboot(self, id: str) -> None:
        self.ec2.reboot_instances(InstanceIds=[id])

    def terminate(self, id: str) -> str:
        (row,) = self.ec2.terminate_instances(InstanceIds=[id])["TerminatingInstances"]
        return str(row["CurrentState"]["Name"])

    def delete_key(self, name: str) -> None:
        self.ec2.delete_key_pair(KeyName=name)

    def key_names(self) -> list[str]:
        return [one["KeyName"] for one in self.ec2.describe_key_pairs()["KeyPairs"]]


class Boto3Signature2(Boto3):
    signature = "v2"


class Awscli:
    """The program, with nothing but what `euca credentials` wrote."""

    def __init__(self, real: Any) -> None:
        directory = real.home / "awscli"
        real.euca("credentials", "admin", str(directory))
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "EC2_"))}
        self.environment = clean | {
            "AWS_CONFIG_FILE": str(directory / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(directory / "credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def aws(self, *words: str) -> Any:
        command = [str(Path(sys.executable).with_name("aws")), "ec2", *words, "--output", "json"]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60,
            env=self.environment,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def zones(self) -> list[str]:
        return [one["ZoneName"] for one in self.aws("describe-availability-zones")["AvailabilityZones"]]

    def images(self) -> list[str]:
        return [one["ImageId"] for one in self.aws("describe-images")["Images"]]

    def make_key(self, name: str) -> str:
        return str(self.aws("create-key-pair", "--key-name", name)["KeyMaterial"])

    def run(self, image: str, key: str, zone: str) -> str:
        made = self.aws(
            *("run-instances", "--image-id", image, "--count", "1", "--key-name", key),
            *("--instance-type", "m1.small", "--placement", f"AvailabilityZone={zone}"),
        )
        return str(made["Instances"][0]["InstanceId"])

    def describe(self, id: str) -> Shown:
        return shown(self.aws("describe-instances", "--instance-ids", id))

    def console(self, id: str) -> str:
        return str(self.aws("get-console-output", "--instance-id", id).get("Output", ""))

    def reboot(self, id: str) -> None:
        self.aws("reboot-instances", "--instance-ids", id)

    def terminate(self, id: str) -> str:
        (row,) = self.aws("terminate-instances", "--instance-ids", id)["TerminatingInstances"]
        return str(row["CurrentState"]["Name"])

    def delete_key(self, name: str) -> None:
        self.aws("delete-key-pair", "--key-name", name)

    def key_names(self) -> list[str]:
        return [one["KeyName"] for one in self.aws("describe-key-pairs")["KeyPairs"]]


class Boto2:
    """2.49, as people connected to Eucalyptus with it."""

    def __init__(self, real: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import boto
        access, secret = real.keys()
        self.ec2 = boto.connect_euca(
            "127.0.0.1", access, secret, port=real.port, path="/services/Eucalyptus", is_secure=False
        )

    def zones(self) -> list[str]:
        return [one.name for one in self.ec2.get_all_zones()]

    def images(self) -> list[str]:
        return [one.id for one in self.ec2.get_all_images()]

    def make_key(self, name: str) -> str:
        return str(self.ec2.create_key_pair(name).material)

    def run(self, image: str, key: str, zone: str) -> str:
        made = self.ec2.run_instances(image, key_name=key, instance_type="m1.small", placement=zone)
        return str(made.instances[0].id)

    def describe(self, id: str) -> Shown:
        (one,) = self.ec2.get_only_instances([id])
        return Shown(one.state, one.public_dns_name, one.key_name, one.placement, one.instance_type)

    def console(self, id: str) -> str:
        return bytes(self.ec2.get_console_output(id).output or b"").decode(errors="replace")

    def reboot(self, id: str) -> None:
        assert self.ec2.reboot_instances([id])

    def terminate(self, id: str) -> str:
        (one,) = self.ec2.terminate_instances([id])
        return str(one.state)

    def delete_key(self, name: str) -> None:
        assert self.ec2.delete_key_pair(name)

    def key_names(self) -> list[str]:
        return [one.name for one in self.ec2.get_all_key_pairs()]


CLIENTS = {"awscli": Awscli, "boto3": Boto3, "boto3-sigv2": Boto3Signature2, "boto2": Boto2}


def shown(answer: Any) -> Shown:
    ((row,),) = [reservation["Instances"] for reservation in answer["Reservations"]]
    return Shown(
        row["State"]["Name"],
        row.get("PublicIpAddress", ""),
        row.get("KeyName", ""),
        row["Placement"]["AvailabilityZone"],
        row["InstanceType"],
    )


def complete(real: Any, name: str, zone: str) -> None:
    client = CLIENTS[name](real)
    assert client.zones() == list(real.zones)
    assert real.add_image() in client.images()
    key = real.home / f"{name}.pem"
    key.touch(0o600)
    key.write_text(client.make_key(name))
    assert name in client.key_names()
    id = client.run(real.add_image(), name, zone)
    try:
        running = eventually("running", lambda: (s := client.describe(id)).state == "running" and s, 60.0)
        assert running == Shown("running", running.address, name, zone, "m1.small")
        guest = real_cloud.Guest(id, running.address, "", key, zone)
        before = guest.up()
        assert guest.run("uname -s") == "Linux"
        assert real_cloud.READY in eventually("the console", lambda: client.console(id), 20.0)
        client.reboot(id)
        guest.again(before)
        assert client.terminate(id) in ("shutting-down", "terminated")
        eventually("terminated", lambda: client.describe(id).state == "terminated", 30.0)
    finally:
        real.terminate([id])
    client.delete_key(name)
    assert name not in client.key_names()
    assert guest.life() is None


@pytest.fixture(scope="module")
def jobs(real: Any) -> Iterator[dict[str, Future[None]]]:
    """All at once: most of each is waiting for a guest that boots."""
    real.keys()
    with ThreadPoolExecutor(len(CLIENTS)) as pool:
        yield {
            name: pool.submit(complete, real, name, real.zones[number % 2])
            for number, name in enumerate(CLIENTS)
        }


@pytest.mark.parametrize("name", CLIENTS)
def test_the_whole_job_with(jobs: dict[str, Future[None]], name: str) -> None:
    jobs[name].result(timeout=240)
