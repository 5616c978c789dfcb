"""Whole HTTP requests, signed with SigV4 by botocore before any clock runs.

Both servers get the same bytes: the Host header names Amazon's own endpoint (moto finds its service by it; euca-rpc
verifies the signature over whatever was signed), the path is `/`, and moto, whose validation of images is off by
default, takes the image id of the cloud that is measured.
"""

from __future__ import annotations

from urllib.parse import urlencode

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

REGION = "us-east-1"
HOST = f"ec2.{REGION}.amazonaws.com"
VERSION = "2016-11-15"


class Signer:
    def __init__(self, access_key: str, secret_key: str, version: str = VERSION) -> None:
        self.version = version
        self._auth = SigV4Auth(Credentials(access_key, secret_key), "ec2", REGION)

    def request(self, action: str, parameters: dict[str, str] | None = None) -> bytes:
        body = urlencode({"Action": action, "Version": self.version, **(parameters or {})}).encode()
        made = AWSRequest(
            "POST",
            f"http://{HOST}/",
            data=body,
            headers={
                "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
                "User-Agent": "euca-rpc-bench",
                "Host": HOST,
            },
        )
        self._auth.add_auth(made)
        head = "".join(f"{name}: {value}\r\n" for name, value in made.headers.items())
        return f"POST / HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def zones(self) -> bytes:
        return self.request("DescribeAvailabilityZones")

    def describe(self) -> bytes:
        return self.request("DescribeInstances")

    def page(self, most: int, token: str = "") -> bytes:
        """One page of DescribeInstances."""
        return self.request(
            "DescribeInstances", {"MaxResults": str(most), **({"NextToken": token} if token else {})}
        )

    def pending(self) -> bytes:
        """Machines that do not run yet."""
        state = {"Filter.1.Name": "instance-state-name", "Filter.1.Value.1": "pending"}
        return self.request("DescribeInstances", state)

    def launch(self, image: str, token: str, machines: int = 1) -> bytes:
        """Each request has a ClientToken of its own: a repeated one gets the same machines again."""
        count = str(machines)
        return self.request(
            "RunInstances",
            {
                "ImageId": image,
                "MinCount": count,
                "MaxCount": count,
                "InstanceType": "m1.small",
                "ClientToken": token,
            },
        )
