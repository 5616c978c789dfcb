"""boto3, as it comes: its retries are the default ones."""

from __future__ import annotations

import time
from typing import Any

import boto3
from botocore import auth
from botocore.config import Config
from botocore.exceptions import ClientError

from . import Proof, Refused, Shown


class Boto3:
    expired = "RequestExpired"
    signature = "v4"

    def __init__(self, real: Any, proof: Proof, late: int = 0) -> None:
        signature = self.signature
        if late:
            signature = f"{self.signature}, {late} s ago"
            auth.AUTH_TYPE_MAPS[signature] = slow(auth.AUTH_TYPE_MAPS[self.signature], late)
        self._ec2 = boto3.session.Session(
            proof.access_key, proof.secret_key, region_name="eucalyptus"
        ).client(
            "ec2", endpoint_url=real.config.ec2_url, config=Config(signature_version=signature, proxies={})
        )

    def _ask(self, verb: str, **more: Any) -> Any:
        try:
            return getattr(self._ec2, verb)(**more)
        except ClientError as error:
            told = error.response["Error"]
            raise Refused(told["Code"], told["Message"]) from None

    def zones(self) -> list[str]:
        return [it["ZoneName"] for it in self._ask("describe_availability_zones")["AvailabilityZones"]]

    def images(self) -> list[str]:
        return [it["ImageId"] for it in self._ask("describe_images")["Images"]]

    def make_key(self, name: str) -> str:
        return str(self._ask("create_key_pair", KeyName=name)["KeyMaterial"])

    def key_names(self) -> list[str]:
        return [it["KeyName"] for it in self._ask("describe_key_pairs")["KeyPairs"]]

    def run(self, image: str, key: str, zone: str) -> str:
        made = self._ask(
            "run_instances",
            ImageId=image,
            MinCount=1,
            MaxCount=1,
            KeyName=key,
            InstanceType="m1.small",
            Placement={"AvailabilityZone": zone},
        )
        return str(made["Instances"][0]["InstanceId"])

    def describe(self, id: str) -> Shown:
        return shown(self._ask("describe_instances", InstanceIds=[id]))

    def console(self, id: str) -> str:
        return str(self._ask("get_console_output", InstanceId=id).get("Output", ""))

    def reboot(self, id: str) -> None:
        self._ask("reboot_instances", InstanceIds=[id])

    def terminate(self, id: str) -> list[str]:
        rows = self._ask("terminate_instances", InstanceIds=[id])["TerminatingInstances"]
        return [row["InstanceId"] for row in rows]

    def delete_key(self, name: str) -> None:
        self._ask("delete_key_pair", KeyName=name)


class Boto3Signature2(Boto3):
    signature = "v2"


def slow(signer: type[Any], late: int) -> type[Any]:
    """That signer of botocore's, with a clock of its own: each has one moment at which it takes the time over."""

    class Slow(signer):  # type: ignore[misc]
        def _modify_request_before_signing(self, request: Any) -> None:
            request.context["timestamp"] = stamp(auth.SIGV4_TIMESTAMP, late)
            super()._modify_request_before_signing(request)

        def calc_signature(self, request: Any, params: Any) -> Any:
            params["Timestamp"] = stamp(auth.ISO8601, late)
            return super().calc_signature(request, params)

    return Slow


def stamp(form: str, late: int) -> str:
    return time.strftime(form, time.gmtime(time.time() - late))


def shown(answer: Any) -> Shown:
    ((row,),) = [reservation["Instances"] for reservation in answer["Reservations"]]
    return Shown(
        row["State"]["Name"],
        row.get("PublicIpAddress", ""),
        row.get("PrivateIpAddress", ""),
        row.get("KeyName", ""),
        row["Placement"]["AvailabilityZone"],
        row["InstanceType"],
    )
