"""awscli as a program, with nothing but the files that `euca credentials` writes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from euca_rpc.cli.people import write_credentials

from . import Proof, Refused, Shown, slow_clock
from .boto3 import shown

REFUSAL = re.compile(r"An error occurred \(([\w.]+)\) when calling the \w+ operation: (.*)")


class Awscli:
    expired = "RequestExpired"

    def __init__(self, real: Any, proof: Proof, late: int = 0) -> None:
        directory = Path(tempfile.mkdtemp(prefix="awscli-", dir=real.home))
        made = {"access_key": proof.access_key, "secret_key": proof.secret_key}
        write_credentials(real.config, made, directory)
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "EC2_"))}
        self._environment = clean | {
            "AWS_CONFIG_FILE": str(directory / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(directory / "credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self._program = [*slow_clock(late), str(Path(sys.executable).with_name("aws"))]

    def _aws(self, *words: str) -> Any:
        done = subprocess.run(
            [*self._program, "ec2", *words, "--output", "json"],
            capture_output=True,
            text=True,
            timeout=60,
            env=self._environment,
            stdin=subprocess.DEVNULL,
        )
        if refusal := REFUSAL.search(done.stderr):
            raise Refused(*refusal.groups())
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def zones(self) -> list[str]:
        return [it["ZoneName"] for it in self._aws("describe-availability-zones")["AvailabilityZones"]]

    def images(self) -> list[str]:
        return [it["ImageId"] for it in self._aws("describe-images")["Images"]]

    def make_key(self, name: str) -> str:
        return str(self._aws("create-key-pair", "--key-name", name)["KeyMaterial"])

    def key_names(self) -> list[str]:
        return [it["KeyName"] for it in self._aws("describe-key-pairs")["KeyPairs"]]

    def run(self, image: str, key: str, zone: str) -> str:
        made = self._aws(
            *("run-instances", "--image-id", image, "--count", "1", "--key-name", key),
            *("--instance-type", "m1.small", "--placement", f"AvailabilityZone={zone}"),
        )
        return str(made["Instances"][0]["InstanceId"])

    def describe(self, id: str) -> Shown:
        return shown(self._aws("describe-instances", "--instance-ids", id))

    def console(self, id: str) -> str:
        return str(self._aws("get-console-output", "--instance-id", id).get("Output", ""))

    def reboot(self, id: str) -> None:
        self._aws("reboot-instances", "--instance-ids", id)

    def terminate(self, id: str) -> list[str]:
        rows = self._aws("terminate-instances", "--instance-ids", id)["TerminatingInstances"]
        return [row["InstanceId"] for row in rows]

    def delete_key(self, name: str) -> None:
        self._aws("delete-key-pair", "--key-name", name)
