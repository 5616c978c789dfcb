"""Every answer against Amazon's own schemas, for each generation of the interface: names, order and types."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

import pytest
from ec2_world import CASES
from lxml import etree

from euca_ec2.endpoint import Endpoint
from euca_ec2.request import Request
from euca_ec2.settings import Ec2Settings

WSDLS = sorted((Path(__file__).resolve().parents[4] / "shared" / "wsdl").glob("*.wsdl"))
if not WSDLS:
    pytest.skip("the shared WSDLs are not beside this checkout", allow_module_level=True)

XS = "{http://www.w3.org/2001/XMLSchema}"
CALLS = [
    ("DescribeAvailabilityZones", {}),
    ("DescribeAvailabilityZones", {"ZoneName.1": "verbose"}),
    ("DescribeRegions", {}),
    ("DescribeImages", {}),
    ("CreateKeyPair", {"KeyName": "one"}),
    ("DescribeKeyPairs", {}),
    ("ImportKeyPair", {"KeyName": "two", "PublicKeyMaterial": "c3NoLXJzYSBBQUFB"}),
    ("RunInstances", {"ImageId": "emi-12345678", "MinCount": "2", "MaxCount": "2", "KeyName": "one",
                      "KernelId": "eki-12345678", "RamdiskId": "eri-12345678"}),
    ("DescribeInstances", {}),
    ("settle", {}),
    ("DescribeInstances", {}),
    ("GetConsoleOutput", {"InstanceId": "*"}),
    ("RebootInstances", {"InstanceId.1": "*"}),
    ("StopInstances", {"InstanceId.1": "*"}),
    ("StartInstances", {"InstanceId.1": "*"}),
    ("TerminateInstances", {"InstanceId.1": "*"}),
    ("DeleteKeyPair", {"KeyName": "one"}),
    ("DescribeImageAttribute", {"ImageId": "emi-12345678", "Attribute": "launchPermission"}),
    ("DescribeImageAttribute", {"ImageId": "emi-12345678", "Attribute": "productCodes"}),
    ("DescribeImageAttribute", {"ImageId": "emi-12345678", "Attribute": "kernel"}, "2008-02-01"),
    ("DescribeImageAttribute", {"ImageId": "emi-12345678", "Attribute": "ramdisk"}, "2008-02-01"),
    ("DescribeImageAttribute", {"ImageId": "emi-12345678", "Attribute": "description"}, "2009-10-31"),
    ("DescribeImageAttribute", {"ImageId": "emi-12345678", "Attribute": "blockDeviceMapping"}, "2009-10-31"),
    ("DescribeInstanceAttribute", {"InstanceId": "*", "Attribute": "instanceType"}),
    ("DescribeInstanceAttribute", {"InstanceId": "*", "Attribute": "kernel"}),
    ("DescribeInstanceAttribute", {"InstanceId": "*", "Attribute": "userData"}),
    ("DescribeInstanceAttribute", {"InstanceId": "*", "Attribute": "disableApiTermination"}),
    ("DescribeInstanceAttribute", {"InstanceId": "*", "Attribute": "instanceInitiatedShutdownBehavior"}),
    ("DescribeInstanceAttribute", {"InstanceId": "*", "Attribute": "rootDeviceName"}),
    ("DescribeInstanceAttribute", {"InstanceId": "*", "Attribute": "blockDeviceMapping"}),
    ("DescribeVpcs", {}),
    ("DescribeSubnets", {}),
    ("DescribeAddresses", {}),
    ("DescribeVolumes", {}),
    ("DescribeSnapshots", {}),
    ("DescribeSecurityGroups", {}),
    ("DescribeTags", {}),
]  # fmt: skip


def schema_of(path):
    tree = etree.parse(path)
    schema = tree.find(f".//{XS}schema")
    names = {element.get("name") for element in schema.findall(f"{XS}element")}
    # a schema taken out of its WSDL keeps the namespaces it was under
    return etree.XMLSchema(etree.fromstring(etree.tostring(schema))), names


def sign_v2(parameters, secret):
    """An independent signature version 2, from botocore."""
    import botocore.auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest("POST", "http://localhost/", data=dict(parameters))
    botocore.auth.SigV2Auth(Credentials("AKADMIN0000000000001", secret)).add_auth(request)
    return Request("POST", "/", "", (("host", "localhost"),), urlencode(request.data).encode())


@pytest.mark.parametrize("path", WSDLS, ids=lambda path: path.name[:10])
@pytest.mark.parametrize("up", [True, False])
def test_every_answer_is_valid(path, up, cloud):
    version = path.name[:10]
    schema, names = schema_of(path)
    endpoint = Endpoint(cloud.core(), Ec2Settings())
    cloud.up = up
    checked = 0
    for action, parameters, *since in CALLS:
        if since and version < since[0]:
            continue
        if action == "settle":
            cloud.settle("running", reason="It & its <node> went quiet.", reason_code="Server.Quiet")
            continue
        first = next(iter(cloud.rows), "")
        parameters = {name: first if value == "*" else value for name, value in parameters.items()}
        request = sign_v2({"Action": action, "Version": version, **parameters}, "admin-secret-0123456789")
        response = endpoint.respond(request)
        if f"{action}Response" not in names:
            continue  # the generation did not have it
        assert response.status == 200, response.body
        document = etree.fromstring(response.body)
        assert document.tag == f"{{http://ec2.amazonaws.com/doc/{version}/}}{action}Response"
        schema.assertValid(document)
        checked += 1
    assert checked >= 11


@pytest.mark.parametrize("path", WSDLS, ids=lambda path: path.name[:10])
def test_every_answer_of_a_real_cloud_is_valid(path, world, standing):
    """With tags, permissions and attributes in it."""
    version, checked = path.name[:10], 0
    schema, names = schema_of(path)
    for action, (base, cases) in CASES.items():
        if f"{action}Response" not in names:
            continue
        looks = action.startswith(("Describe", "Get"))
        for make in (lambda w: {}, *cases.values()):
            here = standing if looks else world()
            given = make(here)
            if isinstance(given, dict):
                code, answer = here.ask(action, {**base(here), **given}, version=version)
                if code == "200":
                    schema.assertValid(etree.fromstring(answer.encode()))
                    checked += 1
            if not looks:
                here.close()
                break
    assert checked >= 20


@pytest.mark.parametrize(
    ("version", "has", "lacks"),
    [
        (
            "2007-08-29",
            ["<reason>It"],
            ["requestId", "<placement>", "stateReason", "monitoring", "ipAddress"],
        ),
        ("2008-12-01", ["<requestId>", "<placement>"], ["monitoring", "ipAddress", "stateReason"]),
        ("2009-04-04", ["<monitoring><state>disabled</state></monitoring>"], ["ipAddress", "stateReason"]),
        ("2009-08-15", ["<ipAddress>127.1.0.1</ipAddress>"], ["stateReason", "blockDeviceMapping"]),
        ("2009-11-30", ["<stateReason>", "<blockDeviceMapping/>"], ["tagSet"]),
        ("2016-11-15", ["<tagSet/>", "<groupName>default</groupName>"], []),
        ("2031-01-01", ["<tagSet/>"], []),
    ],
)
def test_fields_come_with_their_versions(version, has, lacks, cloud):
    endpoint = Endpoint(cloud.core(), Ec2Settings())

    def call(**parameters):
        signed = sign_v2({"Version": version, **parameters}, "admin-secret-0123456789")
        return endpoint.respond(signed).body.decode()

    call(Action="RunInstances", ImageId="emi-12345678", MinCount="1", MaxCount="1")
    cloud.settle("running", reason="It is so.")
    text = call(Action="DescribeInstances")
    assert f'xmlns="http://ec2.amazonaws.com/doc/{version}/"' in text
    for part in has:
        assert part in text
    for part in lacks:
        assert part not in text
    assert "signature:" not in text  # the token of a launch that came without one is nobody's business
    ended = call(Action="TerminateInstances", **{"InstanceId.1": next(iter(cloud.rows))})
    assert ("shutdownState" in ended) == (version < "2009-10-31")
    assert ("currentState" in ended) == (version >= "2009-10-31")


@pytest.mark.parametrize(
    ("version", "up", "state"),
    [
        ("2008-05-05", True, "UP 002/002"),
        ("2008-05-05", False, "DOWN 000/002"),
        ("2009-08-15", True, "available"),
        ("2009-08-15", False, "unavailable"),
    ],
)
def test_zone_states(version, up, state, cloud):
    cloud.capacity, cloud.up = 2, up
    request = sign_v2({"Action": "DescribeAvailabilityZones", "Version": version}, "admin-secret-0123456789")
    text = Endpoint(cloud.core(), Ec2Settings()).respond(request).body.decode()
    assert f"<zoneState>{state}</zoneState>" in text
    assert ("silent since 2023-11-14 22:13:20Z" in text) == (not up and version >= "2009-08-15")


@pytest.mark.parametrize(
    ("action", "version"), [("DescribeAvailabilityZones", "2007-08-29"), ("DescribeRegions", "2008-05-05")]
)
def test_actions_that_a_version_does_not_have(action, version, cloud):
    request = sign_v2({"Action": action, "Version": version}, "admin-secret-0123456789")
    response = Endpoint(cloud.core(), Ec2Settings()).respond(request)
    assert (response.status, b"InvalidAction" in response.body) == (400, True)
