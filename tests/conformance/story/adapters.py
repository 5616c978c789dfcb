"""The story's verbs in the words of each interface, by a client as people have it.

An adapter answers in plain values and raises `Refusal` with the core's symbol, whatever the interface calls it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import importlib.util
import itertools
import json
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from lxml import etree

CHECKOUT = Path(__file__).resolve().parents[3]
NOBODY = "auth_failure"  # what all ways of not being proved are called in the story
MACHINE, ROOM, QUOTA, IMAGE = "instance_not_found", "capacity_exhausted", "quota_exceeded", "image_not_found"


class Refusal(Exception):
    def __init__(self, symbol: str, sentence: str) -> None:
        super().__init__(f"{symbol}: {sentence}")
        self.symbol, self.sentence = symbol, sentence


class Seen(NamedTuple):
    state: str
    image: str
    type: str
    zone: str


class Client(Protocol):
    def launch(self, image: str, count: int, vm_type: str) -> list[str]: ...
    def mine(self) -> set[str]: ...
    def seen(self, id: str) -> Seen: ...
    def console(self, id: str) -> str: ...
    def terminate(self, id: str) -> None: ...


# ------------------------------------------------------------------------------------------------- EC2, Query API
EC2_CODES = {
    "InvalidAMIID.NotFound": IMAGE,
    "InvalidInstanceID.NotFound": MACHINE,
    "InstanceLimitExceeded": QUOTA,
    "InsufficientInstanceCapacity": ROOM,
    "AuthFailure": NOBODY,
    "SignatureDoesNotMatch": NOBODY,
    "InvalidClientTokenId": NOBODY,
}


class Ec2Query:
    entry_point = "ec2"

    def __init__(self, cloud: Any, user: str, *, wrong_secret: bool = False) -> None:
        access, secret = cloud.keys(user)
        once = Config(retries={"total_max_attempts": 1}, read_timeout=30)
        self._ec2 = boto3.session.Session(
            access, "wrong" * 8 if wrong_secret else secret, region_name="eucalyptus"
        ).client("ec2", endpoint_url=cloud.config.ec2_url, config=once)

    def _ask(self, verb: str, **more: Any) -> Any:
        try:
            return getattr(self._ec2, verb)(**more)
        except ClientError as error:
            told = error.response["Error"]
            raise Refusal(EC2_CODES.get(told["Code"], told["Code"]), told["Message"]) from None

    def _rows(self, **more: Any) -> dict[str, Any]:
        answer = self._ask("describe_instances", **more)
        return {row["InstanceId"]: row for group in answer["Reservations"] for row in group["Instances"]}

    def launch(self, image: str, count: int, vm_type: str) -> list[str]:
        held = self._ask("run_instances", ImageId=image, MinCount=count, MaxCount=count, InstanceType=vm_type)
        return [row["InstanceId"] for row in held["Instances"]]

    def mine(self) -> set[str]:
        return set(self._rows())

    def seen(self, id: str) -> Seen:
        row = self._rows(InstanceIds=[id])[id]
        return Seen(
            row["State"]["Name"], row["ImageId"], row["InstanceType"], row["Placement"]["AvailabilityZone"]
        )

    def console(self, id: str) -> str:
        return str(self._ask("get_console_output", InstanceId=id).get("Output", ""))

    def terminate(self, id: str) -> None:
        self._ask("terminate_instances", InstanceIds=[id])


# ------------------------------------------------------------------------------------------------------ EC2, SOAP
class Ec2Soap:
    """zeep on Amazon's own description, signed with the user's two .pem files."""

    entry_point = "ec2"
    version = "2008-12-01"

    def __init__(self, cloud: Any, user: str, *, wrong_secret: bool = False) -> None:
        zeep = pytest.importorskip("zeep")
        self._fault = zeep.exceptions.Fault
        wsdl = CHECKOUT.parent / "shared" / "wsdl" / f"{self.version}.ec2.wsdl"
        if not wsdl.exists():
            pytest.skip("the shared WSDLs are not beside this checkout")
        letters = beside("soap_letters", CHECKOUT / "tests" / "protocol" / "soap" / "soap_letters.py")
        cloud.keys(user)
        files = [cloud.home / "credentials" / user / f"euca2-{part}.pem" for part in ("pk", "cert")]
        by = letters.Identity(user, *([] if wrong_secret else (file.read_bytes() for file in files)))
        made = zeep.Client(str(wsdl), wsse=_Fresh(letters, by))
        binding = f"{{http://ec2.amazonaws.com/doc/{self.version}/}}AmazonEC2Binding"
        self._ec2 = made.create_service(binding, cloud.config.ec2_url)

    def _ask(self, action: str, **more: Any) -> Any:
        try:
            return getattr(self._ec2, action)(**more)
        except self._fault as fault:
            code = str(fault.code).rpartition(":")[2].partition(".")[2] or str(fault.code)
            raise Refusal(EC2_CODES.get(code, code), str(fault.message)) from None

    def _rows(self, ids: list[str]) -> dict[str, Any]:
        answer = self._ask("DescribeInstances", instancesSet=_named(ids))
        return {
            row.instanceId: row for held in _items(answer, "reservationSet") for row in held.instancesSet.item
        }

    def launch(self, image: str, count: int, vm_type: str) -> list[str]:
        held = self._ask(
            "RunInstances",
            imageId=image,
            minCount=count,
            maxCount=count,
            groupSet={"item": [{"groupId": "default"}]},
            instanceType=vm_type,
        )
        return [row.instanceId for row in held.instancesSet.item]

    def mine(self) -> set[str]:
        return set(self._rows([]))

    def seen(self, id: str) -> Seen:
        row = self._rows([id])[id]
        return Seen(row.instanceState.name, row.imageId, row.instanceType, row.placement.availabilityZone)

    def console(self, id: str) -> str:
        return base64.b64decode(self._ask("GetConsoleOutput", instanceId=id).output or "").decode()

    def terminate(self, id: str) -> None:
        self._ask("TerminateInstances", instancesSet=_named([id]))


class _Fresh:
    """WS-Security for zeep.  A message is good once, and time is told in whole seconds: no two expire together."""

    def __init__(self, letters: Any, by: Any) -> None:
        self._letters, self._by, self._signing = letters, by, letters.Signing(by)
        self._seconds = itertools.count(60)

    def apply(self, envelope: Any, headers: Any) -> Any:
        signed, headers = self._signing.apply(envelope, headers)
        letter = self._letters.Letter(etree.tostring(signed))
        letter.stamp[1].text = self._letters.stamp(time.time() + next(self._seconds))
        return letter.resign(self._by).root, headers

    def verify(self, envelope: Any) -> Any:
        """Answers are not signed."""
        return envelope


def _named(ids: list[str]) -> dict[str, Any]:
    return {"item": [{"instanceId": id} for id in ids]} if ids else {}


def _items(answer: Any, name: str) -> Any:
    """zeep leaves out elements that have one child only."""
    inside = getattr(answer, name, answer)
    return getattr(inside, "item", inside) or []


# ----------------------------------------------------------------------------------------------------------- REST
class Rest:
    entry_point = "rest"

    def __init__(self, cloud: Any, user: str, *, wrong_secret: bool = False) -> None:
        self._port = cloud.config.interface["rest"]["port"]
        self._key, secret = cloud.keys(user)
        self._secret = "wrong" * 8 if wrong_secret else secret
        self._token = ""

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            told = json.loads(response.read())
        finally:
            connection.close()
        if response.status >= 400:
            symbol = told["type"].removeprefix("urn:euca:problem:")
            raise Refusal(symbol, told["detail"])
        return told

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        if not self._token:
            proof = {"access_key_id": self._key, "secret": self._secret}
            self._token = self._send("POST", "/v1/tokens", proof)["token"]
        return self._send(method, path, body)

    def launch(self, image: str, count: int, vm_type: str) -> list[str]:
        made = self._ask("POST", "/v1/instances", {"image_id": image, "count": count, "type": vm_type})
        return [row["id"] for row in made["items"]]

    def mine(self) -> set[str]:
        return {row["id"] for row in self._ask("GET", "/v1/instances")["items"]}

    def seen(self, id: str) -> Seen:
        row = self._ask("GET", f"/v1/instances/{id}")
        return Seen(row["state"], row["image_id"], row["type"], row["zone"])

    def console(self, id: str) -> str:
        return str(self._ask("GET", f"/v1/instances/{id}/console")["text"])

    def terminate(self, id: str) -> None:
        self._ask("DELETE", f"/v1/instances/{id}")


# ------------------------------------------------------------------------------------- the example: a plain TCP line
class Line:
    entry_point = "line"

    def __init__(self, cloud: Any, user: str, *, wrong_secret: bool = False) -> None:
        self._port = cloud.config.interface["line"]["port"]
        self._key, secret = cloud.keys(user)
        self._secret = "wrong" * 8 if wrong_secret else secret

    def _ask(self, *words: str) -> list[str]:
        with (
            socket.create_connection(("127.0.0.1", self._port), timeout=30) as sock,
            sock.makefile("rw") as line,
        ):
            challenge = line.readline().split()[1]
            proof = hmac.new(self._secret.encode(), challenge.encode(), hashlib.sha256).hexdigest()
            self._answer(line, "hello", self._key, proof)
            return self._answer(line, *words)

    def _answer(self, line: Any, *words: str) -> list[str]:
        line.write(" ".join(words) + "\n")
        line.flush()
        said, *rest = line.readline().split()
        if said == "no":
            raise Refusal(rest[0], " ".join(rest[1:]))
        assert said == "ok"
        return rest

    def launch(self, image: str, count: int, vm_type: str) -> list[str]:
        return self._ask("launch", image, str(count), vm_type)

    def mine(self) -> set[str]:
        return set(self._ask("instances"))

    def seen(self, id: str) -> Seen:
        _, state, image, vm_type, zone = self._ask("describe", id)
        return Seen(state, image, vm_type, zone)

    def console(self, id: str) -> str:
        return base64.b64decode("".join(self._ask("console", id))).decode()

    def terminate(self, id: str) -> None:
        self._ask("terminate", id)


ADAPTERS: dict[str, Callable[..., Client]] = {
    "ec2-query": Ec2Query,
    "ec2-soap": Ec2Soap,
    "rest": Rest,
    "line": Line,
}


def beside(name: str, path: Path) -> Any:
    """Under importlib mode test folders are no packages and not on the path."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]
