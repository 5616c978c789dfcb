"""Certificates for anybody, and calls under them: what tests of strangers and of garbage share."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from euca_rpc.clock import HOUR, SystemClock
from euca_rpc.errors import EucaError
from euca_rpc.wire.calling import Fixed
from euca_rpc.wire.contracts import ADMIN, CLOUD, CLUSTER, IMAGES, NAMESERVER, NODE
from euca_rpc.wire.pki import Authority, Identity, PeerName
from euca_rpc.wire.pyro import Remote
from euca_rpc.wire.tls import Contexts

OF_ROLE = {
    CLOUD: PeerName(CLOUD),
    CLUSTER: PeerName(CLUSTER, "zone-a"),
    NODE: PeerName(NODE, "zone-a", "host-1"),
    IMAGES: PeerName(IMAGES),
    NAMESERVER: PeerName(NAMESERVER),
    ADMIN: PeerName(ADMIN),
}
PYRO = (CLOUD, CLUSTER, NODE, NAMESERVER)  # the roles whose daemons offer remote objects


class Wardrobe:
    """Certificates for anybody, and calls under them."""

    def __init__(self, cloud: Any, directory: Path) -> None:
        self.cloud = cloud
        self.directory = directory
        self.own = Authority.load(cloud.config.ca)
        self.foreign = Authority.create(directory / "foreign", self.own.cloud_id)
        self._made: dict[tuple[PeerName, str], Identity] = {}

    def identity(self, peer: PeerName, kind: str = "good") -> Identity:
        """``kind``: "good", "expired", or "foreign": of another authority, on a host that trusts the cloud's."""
        if (peer, kind) not in self._made:
            where = self.directory / f"{kind}-{len(self._made)}"
            request = Identity.make_key_and_csr(where, peer)
            authority = self.foreign if kind == "foreign" else self.own
            past = {"days": 1.0, "now": SystemClock().wall() - 48 * HOUR} if kind == "expired" else {}
            Identity.install(where, authority.issue(request, peer, **past), authority.ca_pem)
            (where / "ca.pem").write_bytes(self.own.ca_pem)
            self._made[peer, kind] = Identity.load(where)
        return self._made[peer, kind]

    def port(self, peer: PeerName) -> int:
        return int(self.cloud.ports["-".join(p for p in (peer.role, peer.zone, peer.host) if p)])

    def call(self, identity: Identity, asked: PeerName, method: str, **args: Any) -> Any:
        remote = Remote(identity, Fixed({asked.object_name: ("127.0.0.1", self.port(asked))}))
        try:
            return remote.call(asked.object_name, method, args)
        finally:
            remote.close()

    def refused(self, identity: Identity, asked: PeerName, method: str, **args: Any) -> str:
        try:
            answer = self.call(identity, asked, method, **args)
        except EucaError as error:
            if error.symbol == "role_refused":
                return error.sentence
            raise
        raise AssertionError(f"{asked.object_name}.{method} answered {answer}")


def https(identity: Identity, port: int, method: str, path: str, body: bytes = b"") -> tuple[int, str]:
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=Contexts(identity).client)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def one_of_everything(wardrobe: Wardrobe) -> dict[str, Callable[[], Any]]:
    """A good call to each kind of port, each over a connection of its own."""
    admin = wardrobe.identity(PeerName(ADMIN))
    cloud, ports = wardrobe.cloud, wardrobe.cloud.ports
    blind = ssl._create_unverified_context()

    def authority() -> bool:
        connection = http.client.HTTPSConnection("127.0.0.1", ports["enrol"], timeout=10, context=blind)
        try:
            connection.request("GET", "/ca")
            return "BEGIN CERTIFICATE" in json.loads(connection.getresponse().read())["ca"]
        finally:
            connection.close()

    calls: dict[str, Callable[[], Any]] = {
        f"hello of the {peer.text}": lambda peer=peer: wardrobe.call(admin, peer, "hello")
        for peer in (OF_ROLE[role] for role in PYRO)
    }
    body = b"Action=DescribeAvailabilityZones&Version=2016-11-15"
    return calls | {
        "the images' hello": lambda: https(admin, ports["images"], "GET", "/hello")[0] == 200,
        "the authority": authority,
        "zones by EC2": lambda: cloud.post(body, cloud.signed(body))[0] == 200,
        "nodes by the command's way": cloud.nodes,
    }
