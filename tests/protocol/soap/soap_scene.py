"""One endpoint, one genuine message, and an attacker who has seen it."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from soap_letters import Identity, Letter, captured, compose, create_key, created_at, element, identity

from euca_ec2.endpoint import Endpoint
from euca_ec2.request import Request
from euca_ec2.settings import Ec2Settings
from euca_rpc.clock import SECOND, ManualClock
from euca_rpc.ids import SeededIds
from euca_rpc.nouns import Core

fake = sys.modules["ec2_fake_cloud"]
SHARED = Path(__file__).resolve().parents[4] / "shared"
CAPTURES = SHARED / "captures"
CLIENTS = ("zeep-4.3.3-2008-02-01", "ec2-api-tools-1.3-24159")
NOW = 1_795_000_000


@dataclass(frozen=True)
class Genuine:
    """A message that asks for a key pair, as its owner sent it."""

    source: str
    message: bytes
    der: bytes
    at: float
    owner: Identity | None = None  # whose key we have


@cache
def genuine(source: str) -> Genuine:
    if source == "own":
        ann = identity("ann")
        return Genuine(source, compose(ann, create_key("mine"), NOW).bytes(), ann.der, NOW, ann)
    _, message = captured(CAPTURES / source / "CreateKeyPair.http")
    return Genuine(source, message, captured_certificate(), created_at(message))


def captured_certificate() -> bytes:
    pem = (CAPTURES / "euca2-admin-cert.pem").read_bytes()
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def sources() -> list[str]:
    return ["own", *(client for client in CLIENTS if (CAPTURES / client).is_dir())]


def core_of(cloud) -> Core:
    """Nouns that the cloud in memory does not have are left out; nothing here asks for them."""
    has = {"cloud_id": "cloud-1", "credentials": cloud, "clock": cloud.clock, "ids": SeededIds(2)}
    return Core(**{it.name: has.get(it.name) or getattr(cloud, it.name, None) for it in fields(Core)})


class Scene:
    def __init__(self, genuine: Genuine, state: Path) -> None:
        self.genuine = genuine
        self.state = state
        self.clock = ManualClock(int((genuine.at + 1) * SECOND))
        self.cloud = fake.FakeCloud(self.clock)
        self.certificates = {genuine.der: fake.ANN}
        self.cloud.by_certificate = self.certificates.get
        self.endpoint = self._open()

    def _open(self) -> Endpoint:
        return Endpoint(core_of(self.cloud), Ec2Settings(state_directory=str(self.state), rate=0.0))

    def restart(self) -> None:
        self.endpoint.close()
        self.endpoint = self._open()

    def send(self, message: bytes):
        head = (("content-type", "text/xml; charset=utf-8"), ("soapaction", '"CreateKeyPair"'), ("host", "h"))
        return self.endpoint.respond(Request("POST", "/services/Eucalyptus", "", head, message))

    @property
    def executed(self) -> list[str]:
        """The key pairs that were made."""
        return [name for _, name in self.cloud.key_rows]

    def letter(self) -> Letter:
        return Letter(self.genuine.message)

    def later(self, seconds: float) -> None:
        self.clock.advance(int(seconds * SECOND))

    @property
    def now(self) -> float:
        return self.clock.at / SECOND

    def evil_operation(self):
        namespace = re.search(rb"ec2.amazonaws.com/doc/([0-9-]+)/", self.genuine.message)[1].decode()
        return element(create_key("evil", namespace))

    def evil_body(self, id: str | None = "evil"):
        attribute = f' wsu:Id="{id}"' if id else ""
        body = element(f"<s:Body{attribute}/>")
        body.append(self.evil_operation())
        return body
