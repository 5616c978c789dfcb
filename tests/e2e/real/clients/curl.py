"""curl, which signs by itself with `--aws-sigv4`, and XML read by hand: what a shell script does."""

from __future__ import annotations

import base64
import subprocess
from typing import Any
from urllib.parse import urlencode

from lxml import etree

from . import Proof, Refused, Shown, slow_clock

VERSION = "2016-11-15"


class Curl:
    expired = "RequestExpired"

    def __init__(self, real: Any, proof: Proof, late: int = 0) -> None:
        self._url = real.config.ec2_url
        self._user = f'user = "{proof.access_key}:{proof.secret_key}"\n'  # not on a command line
        self._clock = slow_clock(late)

    def _ask(self, action: str, **more: str) -> Any:
        body = urlencode({"Action": action, "Version": VERSION, **more})
        words = ["curl", "--disable", "--config", "-", "--silent", "--show-error", "--max-time", "60"]
        words += ["--noproxy", "*", "--aws-sigv4", "aws:amz:eucalyptus:ec2", "--data", body, self._url]
        done = subprocess.run(self._clock + words, input=self._user.encode(), capture_output=True, timeout=90)
        assert done.returncode == 0, f"{action}: {done.stderr.decode()}"
        assert done.stdout.startswith(b"<?xml"), f"{action}: {done.stdout!r}"
        answer = etree.fromstring(done.stdout)
        if answer.tag == "Response":
            raise Refused(answer.findtext(".//Code"), answer.findtext(".//Message"))
        assert answer.tag == f"{{http://ec2.amazonaws.com/doc/{VERSION}/}}{action}Response"
        return answer

    def zones(self) -> list[str]:
        return texts(self._ask("DescribeAvailabilityZones"), "availabilityZoneInfo", "zoneName")

    def images(self) -> list[str]:
        return texts(self._ask("DescribeImages"), "imagesSet", "imageId")

    def make_key(self, name: str) -> str:
        return str(self._ask("CreateKeyPair", KeyName=name).findtext("{*}keyMaterial"))

    def key_names(self) -> list[str]:
        return texts(self._ask("DescribeKeyPairs"), "keySet", "keyName")

    def run(self, image: str, key: str, zone: str) -> str:
        made = self._ask(
            "RunInstances",
            **{
                "ImageId": image,
                "MinCount": "1",
                "MaxCount": "1",
                "KeyName": key,
                "InstanceType": "m1.small",
                "Placement.AvailabilityZone": zone,
            },
        )
        (id,) = texts(made, "instancesSet", "instanceId")
        return id

    def describe(self, id: str) -> Shown:
        answer = self._ask("DescribeInstances", **{"InstanceId.1": id})
        (row,) = answer.findall("{*}reservationSet/{*}item/{*}instancesSet/{*}item")
        paths = ("instanceState/name", "ipAddress", "privateIpAddress", "keyName")
        paths += ("placement/availabilityZone", "instanceType")
        return Shown(*(row.findtext("/".join(f"{{*}}{it}" for it in path.split("/")), "") for path in paths))

    def console(self, id: str) -> str:
        output = self._ask("GetConsoleOutput", InstanceId=id).findtext("{*}output", "")
        return base64.b64decode(output).decode(errors="replace")

    def reboot(self, id: str) -> None:
        assert self._ask("RebootInstances", **{"InstanceId.1": id}).findtext("{*}return") == "true"

    def terminate(self, id: str) -> list[str]:
        return texts(self._ask("TerminateInstances", **{"InstanceId.1": id}), "instancesSet", "instanceId")

    def delete_key(self, name: str) -> None:
        assert self._ask("DeleteKeyPair", KeyName=name).findtext("{*}return") == "true"


def texts(answer: Any, held: str, name: str) -> list[str]:
    return [str(item.findtext(f"{{*}}{name}")) for item in answer.findall(f"{{*}}{held}/{{*}}item")]
