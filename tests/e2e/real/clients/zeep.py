"""zeep on Amazon's own descriptions of the service, each message signed with the user's two .pem files."""

from __future__ import annotations

import base64
import importlib.util
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import zeep
from zeep.exceptions import Fault
from zeep.wsdl import Document

from . import Proof, Refused, Shown

CHECKOUT = Path(__file__).resolve().parents[4]
WSDLS = CHECKOUT.parent / "shared" / "wsdl"
NAME = "soap_letters"  # signed messages, as the tests of the protocol make them
if NAME not in sys.modules:
    _spec = importlib.util.spec_from_file_location(
        NAME, CHECKOUT / "tests" / "protocol" / "soap" / f"{NAME}.py"
    )
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules[NAME] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[NAME])
letters: Any = sys.modules[NAME]


@cache
def description(version: str) -> Document:
    """Read once: it takes a second."""
    file = WSDLS / f"{version}.ec2.wsdl"
    if not file.exists():
        pytest.skip("the shared WSDLs are not beside this checkout")
    return Document(str(file), zeep.Transport())


class Zeep:
    expired = "AuthFailure"  # SOAP has one fault for whatever is wrong with a message's proof
    version = "2008-02-01"

    def __init__(self, real: Any, proof: Proof, late: int = 0) -> None:
        files = (proof.private_key_pem.encode(), proof.certificate_pem.encode())
        signing = Signing(letters.Identity("", *files), late)
        client = zeep.Client(description(self.version), wsse=signing)
        binding = f"{{http://ec2.amazonaws.com/doc/{self.version}/}}AmazonEC2Binding"
        self._ec2 = client.create_service(binding, real.config.ec2_url)

    def _ask(self, action: str, **more: Any) -> Any:
        try:
            return getattr(self._ec2, action)(**more)
        except Fault as fault:
            raise Refused(str(fault.code).removeprefix("Client."), str(fault.message)) from None

    def zones(self) -> list[str]:
        answer = self._ask("DescribeAvailabilityZones", availabilityZoneSet={})
        return [it.zoneName for it in items(answer, "availabilityZoneInfo")]

    def images(self) -> list[str]:
        return [it.imageId for it in items(self._ask("DescribeImages", imagesSet={}), "imagesSet")]

    def make_key(self, name: str) -> str:
        return str(self._ask("CreateKeyPair", keyName=name).keyMaterial)

    def key_names(self) -> list[str]:
        return [it.keyName for it in items(self._ask("DescribeKeyPairs", keySet={}), "keySet")]

    def run(self, image: str, key: str, zone: str) -> str:
        made = self._ask(
            "RunInstances",
            imageId=image,
            minCount=1,
            maxCount=1,
            keyName=key,
            groupSet={"item": [{"groupId": "default"}]},
            instanceType="m1.small",
            placement={"availabilityZone": zone},
        )
        (it,) = made.instancesSet.item
        return str(it.instanceId)

    def describe(self, id: str) -> Shown:
        (held,) = items(self._ask("DescribeInstances", instancesSet=named(id)), "reservationSet")
        (it,) = held.instancesSet.item
        zone = it.placement.availabilityZone
        return Shown(
            it.instanceState.name,
            it.dnsName or "",
            it.privateDnsName or "",
            it.keyName or "",
            zone,
            it.instanceType,
        )

    def console(self, id: str) -> str:
        output = self._ask("GetConsoleOutput", instanceId=id).output or ""
        return base64.b64decode(output).decode(errors="replace")

    def reboot(self, id: str) -> None:
        self._ask("RebootInstances", instancesSet=named(id))

    def terminate(self, id: str) -> list[str]:
        answer = self._ask("TerminateInstances", instancesSet=named(id))
        return [it.instanceId for it in items(answer, "instancesSet")]

    def delete_key(self, name: str) -> None:
        self._ask("DeleteKeyPair", keyName=name)


class Zeep2008December(Zeep):
    version = "2008-12-01"


class Zeep2010(Zeep):
    """The last description: machines that stop and start, images made from them."""

    version = "2010-08-31"

    def stop(self, id: str) -> None:
        self._ask("StopInstances", instancesSet=named(id))

    def start(self, id: str) -> None:
        self._ask("StartInstances", instancesSet=named(id))

    def create_image(self, id: str, name: str) -> str:
        return str(self._ask("CreateImage", instanceId=id, name=name).imageId)

    def image_state(self, id: str) -> str:
        answer = self._ask("DescribeImages", imagesSet={"item": [{"imageId": id}]})
        return str(items(answer, "imagesSet")[0].imageState)

    def deregister(self, id: str) -> None:
        self._ask("DeregisterImage", imageId=id)


class Signing(letters.Signing):  # type: ignore[misc]
    """WS-Security by a clock that is ``late`` seconds slow."""

    def __init__(self, by: Any, late: int) -> None:
        super().__init__(by)
        self._late = late

    def apply(self, envelope: Any, headers: Any) -> Any:
        signed, headers = super().apply(envelope, headers)
        if not self._late:
            return signed, headers
        letter = letters.Letter(letters.etree.tostring(signed))
        for part, more in zip(letter.stamp, (0, 300), strict=True):
            part.text = letters.stamp(time.time() - self._late + more)
        return letter.resign(self.by).root, headers


def named(id: str) -> dict[str, Any]:
    return {"item": [{"instanceId": id}]}


def items(answer: Any, name: str) -> Any:
    """zeep leaves out elements that have one child only."""
    inside = getattr(answer, name, answer)
    return getattr(inside, "item", inside) or []
