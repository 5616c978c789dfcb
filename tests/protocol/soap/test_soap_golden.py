"""Requests of real clients, exactly as they were sent: each verifies, is read, and is answered as its schema says."""

from __future__ import annotations

import re

import pytest
from lxml import etree
from soap_letters import SOAP, captured, created_at
from soap_scene import CAPTURES, CLIENTS, SHARED, Genuine, Scene, captured_certificate, fake

from euca_ec2.operations import ACTIONS
from euca_rpc.shown import InstanceStatus
from euca_rpc.types import Instance, Reservation

FILES = [path for client in CLIENTS for path in sorted((CAPTURES / client).glob("*.http"))]
if not FILES:
    pytest.skip("the shared captures are not beside this checkout", allow_module_level=True)

XS = "{http://www.w3.org/2001/XMLSchema}"
ID = "i-4c7b08a2"


def schema_of(version):
    schema = etree.parse(SHARED / "wsdl" / f"{version}.ec2.wsdl").find(f".//{XS}schema")
    return etree.XMLSchema(etree.fromstring(etree.tostring(schema)))


SCHEMAS = {version: schema_of(version) for version in ("2008-02-01", "2008-05-05")}


def inhabited(scene: Scene) -> None:
    """The key pair and the instance that the captures speak of."""
    cloud, now = scene.cloud, scene.clock.now()
    cloud.keys.create(fake.ANN, "mykey")
    row = Instance(
        ID, "r-00000001", fake.ANN.account_id, fake.ANN.user_id, 0, "emi-12345678", None, None, "x86_64", "m1.small",
        1, 128, 10, "open", "open/host1", "mykey", "", b"", "d0:0d:4c:7b:08:a2", "", "", None, "terminate", "regular", now,
    )  # fmt: skip
    cloud.reservations["r-00000001"] = Reservation(
        "r-00000001", fake.ANN.account_id, fake.ANN.user_id, (ID,), now
    )
    cloud.rows[ID] = InstanceStatus(row, "running")


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_is_verified_read_and_answered(path, scenes):
    _, message = captured(path)
    scene = scenes(Genuine(path.parent.name, message, captured_certificate(), created_at(message)))
    inhabited(scene)
    action = path.stem.partition(".")[0]
    if action == "CreateKeyPair":
        scene.cloud.key_rows.clear()
    answer = scene.send(message)
    envelope = etree.fromstring(answer.body)
    ((content,),) = envelope
    if action not in ACTIONS:
        assert answer.status == 500
        assert content.findtext("faultcode") in ("Client.InvalidAction", "Client.UnsupportedOperation")
        assert action in content.findtext("faultstring")
        return
    assert answer.status == 200, answer.body
    version = re.search(rb"ec2.amazonaws.com/doc/([0-9-]+)/", message)[1].decode()
    assert content.tag == f"{{http://ec2.amazonaws.com/doc/{version}/}}{action}Response"
    SCHEMAS[version].assertValid(content)
    assert envelope.tag == f"{{{SOAP}}}Envelope"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_launch_asks_for_what_it_says(client, scenes):
    _, message = captured(CAPTURES / client / "RunInstances.http")
    scene = scenes(Genuine(client, message, captured_certificate(), created_at(message)))
    inhabited(scene)
    answer = scene.send(message)
    assert answer.status == 200, answer.body
    (launch,) = scene.cloud.requests
    assert (launch.image_id, launch.min_count, launch.max_count) == ("emi-12345678", 1, 1)
    assert (launch.key_name, launch.vm_type, launch.user_data) == ("mykey", "m1.small", b"user data text")
    if "tools" in client:
        assert (launch.zone, launch.kernel_id, launch.ramdisk_id) == ("open", "eki-12345678", "eri-12345678")
    assert launch.client_token.startswith("signature:")
    assert b"signature:" not in answer.body
    # Nobody else's message: the owner is the certificate's.
    assert next(iter(scene.cloud.reservations.values())).account_id == fake.ANN.account_id


def test_terminate_ends_the_instance_named(scenes):
    _, message = captured(CAPTURES / CLIENTS[1] / "TerminateInstances.http")
    scene = scenes(Genuine("", message, captured_certificate(), created_at(message)))
    inhabited(scene)
    assert scene.send(message).status == 200
    assert scene.cloud.rows[ID].state == "shutting-down"


@pytest.mark.parametrize("path", FILES[:1], ids=lambda path: path.stem)
def test_no_signed_byte_can_be_changed(path, scenes):
    """Every byte of Body and Timestamp and SignedInfo is turned once: refused, or the same after canonicalization."""
    _, message = captured(path)
    genuine = Genuine(path.parent.name, message, captured_certificate(), created_at(message))
    scene = scenes(genuine)
    tried = 0
    for part in (
        rb"<ns0:CreateKeyPair.*</ns0:CreateKeyPair>",
        rb"<ns1:Created>.*</ns1:Expires>",
        rb"<DigestValue>[^<]*<",
    ):
        found = re.search(part, message, re.S)
        for at in range(*found.span()):
            turned = bytearray(message)
            turned[at] ^= 1
            scene.cloud.key_rows.clear()
            answer = scene.send(bytes(turned))
            tried += 1
            assert answer.status == 500, bytes(turned[at - 20 : at + 20])
            assert b"Client.AuthFailure" in answer.body
            assert scene.executed == []
    assert tried > 200
    assert scene.send(message).status == 200
