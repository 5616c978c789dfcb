"""SOAP with the two .pem files of `euca credentials` against a whole cloud: Amazon's WSDLs, launch to termination; a
message is good once, also when the cloud controller was killed between; a disabled user's certificate is refused."""

from __future__ import annotations

import http.client
import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cloud_process import eventually
from lxml import etree

pytestmark = [pytest.mark.real]

zeep = pytest.importorskip("zeep")
CHECKOUT = Path(__file__).resolve().parents[2]
WSDLS = CHECKOUT.parent / "shared" / "wsdl"
if not WSDLS.is_dir():
    pytest.skip("the shared WSDLs are not beside this checkout", allow_module_level=True)
if "soap_letters" not in sys.modules:
    _spec = importlib.util.spec_from_file_location(
        "soap_letters", CHECKOUT / "tests" / "protocol" / "soap" / "soap_letters.py"
    )
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules["soap_letters"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["soap_letters"])
letters: Any = sys.modules["soap_letters"]


def identity_of(cloud: Any, user: str) -> Any:
    cloud.keys(user)
    directory = cloud.home / "credentials" / user
    files = ((directory / f"euca2-{part}.pem").read_bytes() for part in ("pk", "cert"))
    return letters.Identity(user, *files)


def service(cloud: Any, by: Any, version: str) -> Any:
    made = zeep.Client(str(WSDLS / f"{version}.ec2.wsdl"), wsse=letters.Signing(by))
    binding = f"{{http://ec2.amazonaws.com/doc/{version}/}}AmazonEC2Binding"
    return made.create_service(binding, f"http://127.0.0.1:{cloud.port}/services/Eucalyptus")


def items(answer: Any, name: str) -> Any:
    """zeep leaves out elements that have one child only."""
    inside = getattr(answer, name, answer)
    return getattr(inside, "item", inside)


@pytest.mark.parametrize("version", ["2008-02-01", "2008-12-01"])
def test_from_zones_to_termination(version: str, cloud: Any) -> None:
    ec2, image = service(cloud, identity_of(cloud, "admin"), version), cloud.add_image()
    zones = items(ec2.DescribeAvailabilityZones(availabilityZoneSet={}), "availabilityZoneInfo")
    assert {it.zoneName for it in zones} == {"zone-a", "zone-b"}
    assert all(it.zoneState.startswith("UP ") for it in zones)
    assert image in [it.imageId for it in items(ec2.DescribeImages(imagesSet={}), "imagesSet")]
    name = f"soap-{version}"
    assert ec2.CreateKeyPair(keyName=name).keyMaterial.startswith("-----BEGIN RSA PRIVATE KEY-----")
    held = ec2.RunInstances(
        imageId=image, minCount=2, maxCount=2, keyName=name, groupSet={"item": [{"groupId": "default"}]},
        userData={"data": "YWJj", "version": "1.0", "encoding": "base64"}, instanceType="m1.small",
    )  # fmt: skip
    ids = [it.instanceId for it in held.instancesSet.item]
    named = {"item": [{"instanceId": id} for id in ids]}

    def running() -> bool:
        found = items(ec2.DescribeInstances(instancesSet=named), "reservationSet")[0].instancesSet.item
        return [it.instanceState.name for it in found] == ["running"] * 2 and all(it.dnsName for it in found)

    eventually("both run", running, 30)
    eventually("console", lambda: ec2.GetConsoleOutput(instanceId=ids[0]).output is not None)
    ec2.RebootInstances(instancesSet=named)
    ended = items(ec2.TerminateInstances(instancesSet=named), "instancesSet")
    assert [(it.instanceId, it.shutdownState.name) for it in ended] == [(id, "shutting-down") for id in ids]
    cloud.until("terminated", ids, 30)
    ec2.DeleteKeyPair(keyName=name)
    assert cloud.client().describe_key_pairs()["KeyPairs"] == []


def attribute(cloud: Any, by: Any, action: str, id: str, name: str) -> Any:
    """What Describe…Attribute answers; zeep leaves out the empty element that names the attribute."""
    what = "imageId" if "Image" in action else "instanceId"
    namespace = "http://ec2.amazonaws.com/doc/2010-08-31/"
    operation = f'<{action} xmlns="{namespace}"><{what}>{id}</{what}><{name}/></{action}>'
    status, body = post(cloud, letters.compose(by, operation, time.time()).bytes())
    assert status == 200, body
    (answer,) = etree.fromstring(body)[0]
    schema = etree.parse(WSDLS / "2010-08-31.ec2.wsdl").find(".//{http://www.w3.org/2001/XMLSchema}schema")
    etree.XMLSchema(etree.fromstring(etree.tostring(schema))).assertValid(answer)
    return answer.find(f"{{{namespace}}}{name}")


def post(cloud: Any, message: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=30)
    try:
        connection.request("POST", "/services/Eucalyptus", message, {"Content-Type": "text/xml"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_a_message_is_good_once_also_after_a_kill(cloud: Any) -> None:
    message = letters.compose(
        identity_of(cloud, "admin"), letters.create_key("once"), time.time() - 1
    ).bytes()
    assert post(cloud, message)[0] == 200
    cloud.client().delete_key_pair(KeyName="once")
    assert b"Client.AuthFailure" in post(cloud, message)[1]
    cloud.restarted("cloud", cloud.kill("cloud"), 30)
    eventually("it answers again", lambda: cloud.client().describe_key_pairs()["KeyPairs"] == [], 30)
    status, body = post(cloud, message)
    assert (status, b"Client.AuthFailure" in body) == (500, True)
    assert cloud.client().describe_key_pairs()["KeyPairs"] == []


def test_a_disabled_user_is_refused_at_once(cloud: Any) -> None:
    cloud.add_user("soapy")
    ec2 = service(cloud, identity_of(cloud, "soapy"), "2008-05-05")
    ec2.DescribeKeyPairs(keySet={})
    cloud.euca("user", "disable", "soapy")
    with pytest.raises(zeep.exceptions.Fault) as caught:
        ec2.DescribeKeyPairs(keySet={})
    assert caught.value.code == "Client.AuthFailure"
    cloud.euca("user", "enable", "soapy")
    ec2.DescribeKeyPairs(keySet={})


def test_what_came_until_2010(cloud: Any) -> None:
    """Tags, attributes of images and instances, stop and start, the default network; zeep reads each answer by its
    schema."""
    by, image = identity_of(cloud, "admin"), cloud.add_image()
    ec2 = service(cloud, by, "2010-08-31")
    held = ec2.RunInstances(
        imageId=image, minCount=1, maxCount=1, groupSet={}, instanceType="m1.small", clientToken="soap-2010",
        placement={"availabilityZone": "zone-b"},
    )  # fmt: skip
    (id,) = (it.instanceId for it in held.instancesSet.item)
    assert held.instancesSet.item[0].placement.availabilityZone == "zone-b"
    cloud.until("running", [id], 30)

    # ---- tags
    ec2.CreateTags(
        resourcesSet={"item": [{"resourceId": id}]}, tagSet={"item": [{"key": "role", "value": "web & <db>"}]}
    )
    wanted = {"item": [{"name": "resource-id", "valueSet": {"item": [{"value": id}]}}]}
    (tag,) = items(ec2.DescribeTags(filterSet=wanted), "tagSet")
    assert (tag.resourceId, tag.resourceType, tag.key, tag.value) == (id, "instance", "role", "web & <db>")
    by_tag = {"item": [{"name": "tag:role", "valueSet": {"item": [{"value": "web*"}]}}]}
    (found,) = items(ec2.DescribeInstances(instancesSet={}, filterSet=by_tag), "reservationSet")
    assert found.instancesSet.item[0].tagSet.item[0].key == "role"
    ec2.DeleteTags(resourcesSet={"item": [{"resourceId": id}]}, tagSet={"item": [{"key": "role"}]})
    assert not items(ec2.DescribeTags(filterSet=wanted), "tagSet")

    # ---- attributes
    account = cloud.add_user("tenant")

    def permitted() -> list[tuple[Any, Any]]:
        time.sleep(1)  # the same words of the same second would be a replay
        found = attribute(cloud, by, "DescribeImageAttribute", image, "launchPermission")
        return [(it.findtext("{*}userId"), it.findtext("{*}group")) for it in found]

    before = permitted()
    ec2.ModifyImageAttribute(imageId=image, launchPermission={"add": {"item": [{"userId": account}]}})
    assert (account, None) in permitted()
    ec2.ModifyImageAttribute(imageId=image, launchPermission={"remove": {"item": [{"userId": account}]}})
    assert permitted() == before
    kind = attribute(cloud, by, "DescribeInstanceAttribute", id, "instanceType")
    assert kind.findtext("{*}value") == "m1.small"
    ec2.ModifyInstanceAttribute(instanceId=id, instanceInitiatedShutdownBehavior={"value": "stop"})
    behavior = attribute(cloud, by, "DescribeInstanceAttribute", id, "instanceInitiatedShutdownBehavior")
    assert behavior.findtext("{*}value") == "stop"

    # ---- stop and start
    named = {"item": [{"instanceId": id}]}
    (stopping,) = items(ec2.StopInstances(instancesSet=named), "instancesSet")
    assert (stopping.previousState.name, stopping.currentState.name) == ("running", "stopping")
    cloud.until("stopped", [id], 30)
    ec2.StartInstances(instancesSet=named)
    cloud.until("running", [id], 30)
    (ended,) = items(ec2.TerminateInstances(instancesSet=named), "instancesSet")
    assert ended.currentState.name == "shutting-down"

    # ---- networks, and what is not done
    (vpc,) = items(ec2.DescribeVpcs(), "vpcSet")
    assert vpc.state == "available"
    assert {it.availabilityZone for it in items(ec2.DescribeSubnets(), "subnetSet")} == {"zone-a", "zone-b"}
    with pytest.raises(zeep.exceptions.Fault) as caught:
        ec2.CreateVolume(size="1", availabilityZone="zone-a")
    assert caught.value.code in ("Client.UnsupportedOperation", "Client.InvalidAction")
