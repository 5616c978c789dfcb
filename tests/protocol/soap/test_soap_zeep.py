"""A SOAP client that reads Amazon's own WSDLs, against the live interface."""

from __future__ import annotations

import datetime

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from lxml import etree
from soap_letters import Signing, identity
from soap_scene import SHARED, core_of, fake

from euca_ec2 import euca_interface
from euca_rpc.clock import SystemClock

zeep = pytest.importorskip("zeep")
WSDLS = SHARED / "wsdl"
if not WSDLS.is_dir():
    pytest.skip("the shared WSDLs are not beside this checkout", allow_module_level=True)


@pytest.fixture
def live(tmp_path):
    cloud = fake.FakeCloud(SystemClock())
    known = {identity("ann").der: fake.ANN, identity("admin").der: fake.ADMIN}
    cloud.by_certificate = known.get
    cloud.known = known
    interface = euca_interface(core_of(cloud), {"port": 0, "state_directory": str(tmp_path / "ec2")})
    interface.start()
    yield interface, cloud
    interface.stop()


@pytest.fixture
def client(live):
    interface, _ = live

    def make(version, name="ann", **signing):
        wsse = signing.get("wsse") or Signing(identity(name))
        made = zeep.Client(str(WSDLS / f"{version}.ec2.wsdl"), wsse=wsse)
        return made.create_service(
            f"{{http://ec2.amazonaws.com/doc/{version}/}}AmazonEC2Binding",
            f"http://127.0.0.1:{interface.port}/services/Eucalyptus",
        )

    return make


def items(answer, name):
    """zeep leaves out elements that have one child only."""
    inside = getattr(answer, name, answer)
    return getattr(inside, "item", inside)


def story(ec2, cloud):
    """What a user of 2008 did in a day."""
    zones = ec2.DescribeAvailabilityZones(availabilityZoneSet={})
    assert [(it.zoneName, it.zoneState) for it in items(zones, "availabilityZoneInfo")] == [
        ("open", "UP 5000/5000")
    ]
    images = ec2.DescribeImages(imagesSet={})
    assert "emi-12345678" in [it.imageId for it in items(images, "imagesSet")]
    assert ec2.CreateKeyPair(keyName="mine").keyMaterial.startswith("-----BEGIN RSA PRIVATE KEY-----")
    held = ec2.RunInstances(
        imageId="emi-12345678", minCount=2, maxCount=2, keyName="mine", groupSet={"item": [{"groupId": "default"}]},
        userData={"data": "YWJj", "version": "1.0", "encoding": "base64"}, instanceType="c1.medium",
    )  # fmt: skip
    ids = [it.instanceId for it in held.instancesSet.item]
    assert len(ids) == 2
    assert cloud.requests[-1].user_data == b"abc"
    cloud.settle()
    found = ec2.DescribeInstances(instancesSet={"item": [{"instanceId": id} for id in ids]})
    (reservation,) = items(found, "reservationSet")
    assert [(it.instanceState.code, it.instanceState.name) for it in reservation.instancesSet.item] == [
        (16, "running")
    ] * 2
    assert reservation.instancesSet.item[0].dnsName == "127.1.0.1"
    assert ec2.GetConsoleOutput(instanceId=ids[0]).output.startswith("Ym9vdGluZw")
    answer = ec2.RebootInstances(instancesSet={"item": [{"instanceId": ids[0]}]})
    assert getattr(answer, "return", answer) is True
    with pytest.raises(zeep.exceptions.Fault, match="i-00000000") as caught:
        ec2.TerminateInstances(instancesSet={"item": [{"instanceId": "i-00000000"}]})
    assert caught.value.code == "Client.InvalidInstanceID.NotFound"
    ended = ec2.TerminateInstances(instancesSet={"item": [{"instanceId": id} for id in ids]})
    assert [(it.previousState.name, it.shutdownState.name) for it in items(ended, "instancesSet")] == [
        ("running", "shutting-down")
    ] * 2
    ec2.DeleteKeyPair(keyName="mine")
    assert cloud.key_rows == {}


@pytest.mark.parametrize("version", ["2008-02-01", "2008-05-05", "2008-12-01"])
def test_a_day(version, client, live):
    story(client(version), live[1])


@pytest.mark.parametrize(
    "version", ["2007-08-29", "2008-02-01", "2008-05-05", "2008-12-01", "2009-11-30", "2010-08-31"]
)
def test_each_generation_is_understood(version, client, live):
    _, cloud = live
    ec2 = client(version)
    ec2.RunInstances(imageId="emi-12345678", minCount=1, maxCount=1, groupSet={}, instanceType="m1.small")
    cloud.settle("running", reason="It is <so>.")
    found = ec2.DescribeInstances(instancesSet={})
    (reservation,) = items(found, "reservationSet")
    (one,) = reservation.instancesSet.item
    assert (one.imageId, one.instanceState.name, one.reason) == ("emi-12345678", "running", "It is <so>.")


def test_others_and_strangers(client, live):
    _, cloud = live
    ann = client("2008-02-01")
    held = ann.RunInstances(
        imageId="emi-12345678", minCount=1, maxCount=1, groupSet={}, instanceType="m1.small"
    )
    id = held.instancesSet.item[0].instanceId
    with pytest.raises(zeep.exceptions.Fault) as caught:
        client("2008-02-01", "mallory").TerminateInstances(instancesSet={"item": [{"instanceId": id}]})
    assert caught.value.code == "Client.AuthFailure"
    client("2008-02-01", "admin").TerminateInstances(instancesSet={"item": [{"instanceId": id}]})
    assert cloud.rows[id].state == "shutting-down"
    del cloud.known[identity("ann").der]  # revoked: refused from now on
    with pytest.raises(zeep.exceptions.Fault) as caught:
        ann.DescribeInstances(instancesSet={})
    assert caught.value.code == "Client.AuthFailure"


def test_only_what_is_posted_is_soap(live):
    interface, _ = live
    answer = requests.get(f"http://127.0.0.1:{interface.port}/services/Eucalyptus", timeout=5)
    assert answer.status_code == 401
    assert "Fault" not in answer.text


def test_an_independent_signer(client, tmp_path):
    """By libxmlsec, as zeep itself signs; only where it is installed."""
    pytest.importorskip("xmlsec")
    from zeep.wsse import utils
    from zeep.wsse.signature import BinarySignature

    by = identity("ann")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    key.write_bytes(by.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    certificate.write_bytes(x509.load_der_x509_certificate(by.der).public_bytes(Encoding.PEM))

    class Stamped(BinarySignature):
        def apply(self, envelope, headers):
            begin = datetime.datetime.now(datetime.UTC)
            stamp = utils.WSU.Timestamp()
            for name, at in (("Created", begin), ("Expires", begin + datetime.timedelta(minutes=5))):
                etree.SubElement(stamp, f"{{{utils.ns.WSU}}}{name}").text = at.strftime("%Y-%m-%dT%H:%M:%SZ")
            utils.get_security_header(envelope).append(stamp)
            return super().apply(envelope, headers)

        def verify(self, envelope):
            return envelope

    for method, digest in (("RSA_SHA1", "SHA1"), ("RSA_SHA256", "SHA256")):
        transforms = xmlsec_transforms()
        signing = Stamped(
            str(key), str(certificate), None, getattr(transforms, method), getattr(transforms, digest)
        )
        made = client("2008-02-01", wsse=signing).CreateKeyPair(keyName=f"by {method}")
        assert made.keyName == f"by {method}"


def xmlsec_transforms():
    import xmlsec

    return xmlsec.Transform
