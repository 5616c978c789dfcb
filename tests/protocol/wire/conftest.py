"""A small cloud on loopback: an authority, identities on demand, a node that answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from euca_rpc.errors import EucaError
from euca_rpc.wire.calling import Fixed
from euca_rpc.wire.pki import Authority, Identity, PeerName
from euca_rpc.wire.pyro import Endpoint, Remote

NODE = PeerName("node", "open", "host1")
CLUSTER = PeerName("cluster", "open")


class Servant:
    """What a node offers, with behaviour that tests need."""

    def __init__(self) -> None:
        self.secret = "not for the wire"
        self.calls: list[str] = []
        self.hold = threading.Event()

    def hello(self) -> dict[str, Any]:
        return {"role": "node"}

    def report(self, known: int = 0, *, peer: PeerName) -> dict[str, Any]:
        self.calls.append("report")
        return {"known": known, "caller": peer.text}

    def ensure(self, specs: list[Any]) -> Any:
        self.calls.append("ensure")
        raise EucaError("generation_old", "generation 1 is older than 2", facts={"have": 2}, private="row 17")

    def absent(self, items: list[Any]) -> Any:
        raise LookupError("secret inner state")

    def stop(self, items: list[Any]) -> Any:
        self.calls.append("stop")
        self.hold.wait(20)
        return {}

    def console(self, instance_id: str) -> Any:
        return {"text": b"x" * int(instance_id)}

    def reboot(self, items: list[Any]) -> Any:
        return {"unpackable": object()}

    def purge(self) -> str:
        raise AssertionError("no row of the contract: nobody may get here")


class Cloud:
    def __init__(self, directory: Path, cloud_id: str = "cloud1") -> None:
        self.directory = directory
        self.authority = Authority.create(directory / "ca", cloud_id)
        self._ends: list[Callable[[], None]] = []
        self._count = 0

    def identity(self, peer: PeerName, **how: Any) -> Identity:
        self._count += 1
        where = self.directory / f"identity{self._count}"
        csr = Identity.make_key_and_csr(where, peer)
        return Identity.install(where, self.authority.issue(csr, peer, **how), self.authority.ca_pem)

    def endpoint(
        self, servant: object, peer: PeerName = NODE, *, identity: Identity | None = None, **how: Any
    ) -> Endpoint:
        identity = identity or self.identity(peer)
        port = how.pop("port", 0)
        endpoint = Endpoint(identity, "127.0.0.1", port, {identity.peer.object_name: servant}, **how)
        endpoint.start()
        self._ends.append(endpoint.stop)
        return endpoint

    def remote(
        self, endpoint: Endpoint, peer: PeerName = CLUSTER, *, asked: PeerName = NODE, **how: Any
    ) -> Remote:
        identity = how.pop("identity", None) or self.identity(peer)
        remote = Remote(identity, Fixed({asked.object_name: endpoint.address}), **how)
        self._ends.append(remote.close)
        return remote

    def ends_with(self, end: Callable[[], None]) -> None:
        self._ends.append(end)

    def end(self) -> None:
        for end in reversed(self._ends):
            end()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    cloud = Cloud(tmp_path)
    yield cloud
    cloud.end()


@pytest.fixture
def other_cloud(tmp_path: Path) -> Iterator[Cloud]:
    """Another authority that uses the very same cloud id and names."""
    cloud = Cloud(tmp_path / "other")
    yield cloud
    cloud.end()


@pytest.fixture
def servant() -> Iterator[Servant]:
    servant = Servant()
    yield servant
    servant.hold.set()


@pytest.fixture
def endpoint(cloud: Cloud, servant: Servant) -> Endpoint:
    return cloud.endpoint(servant)


@pytest.fixture
def remote(cloud: Cloud, endpoint: Endpoint) -> Remote:
    return cloud.remote(endpoint)
