"""Who is believed: the same refusals on both sides of a call, each by name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import pytest
from Pyro5 import socketutil

from euca_rpc.clock import SECOND, SystemClock
from euca_rpc.errors import EucaError
from euca_rpc.wire import tls
from euca_rpc.wire.pki import Identity, PeerName

NODE = "euca.node.open.host1"
HOST1, HOST2, CLUSTER = (
    PeerName("node", "open", "host1"),
    PeerName("node", "open", "host2"),
    PeerName("cluster", "open"),
)


def refusal(remote, name: str = NODE) -> EucaError:
    with pytest.raises(EucaError) as caught:
        remote.call(name, "report", {})
    assert caught.value.symbol == "role_refused"
    return caught.value


def test_another_host_at_the_address_is_not_believed(cloud, servant) -> None:
    endpoint = cloud.endpoint(servant, HOST2)
    error = refusal(cloud.remote(endpoint, asked=HOST1))
    assert error.sentence == (
        f"asked for euca.node.open.host1, but the peer at 127.0.0.1:{endpoint.port} is the node controller open/host2"
    )
    assert servant.calls == []


def test_another_role_at_the_address_is_not_believed(cloud, servant) -> None:
    endpoint = cloud.endpoint(servant, CLUSTER)
    assert "is the cluster controller open" in refusal(cloud.remote(endpoint, asked=HOST1)).sentence


def test_a_server_of_a_foreign_authority_with_the_same_names_is_not_believed(
    cloud, other_cloud, servant
) -> None:
    endpoint = other_cloud.endpoint(servant)
    error = refusal(cloud.remote(endpoint))
    assert "asked for euca.node.open.host1" in error.sentence
    assert "not one of the cloud 'cloud1'" in error.sentence
    assert servant.calls == []


def test_a_caller_of_a_foreign_authority_with_the_same_names_is_not_believed(
    cloud, other_cloud, endpoint, servant, caplog
) -> None:
    theirs = other_cloud.identity(CLUSTER)
    (theirs.directory / "ca.pem").write_bytes(cloud.authority.ca_pem)  # it trusts us, we do not trust it
    error = refusal(cloud.remote(endpoint, identity=Identity.load(theirs.directory)))
    assert "refuses our certificate as cluster controller open" in error.sentence
    assert servant.calls == []
    told = re.compile(r"refused a connection from 127\.0\.0\.1:\d+ to port \d+: .*certificate verify failed")
    end = time.monotonic() + 5  # the caller knows first
    while not told.search(caplog.text):
        assert time.monotonic() < end, caplog.text
        time.sleep(0.01)


def test_a_certificate_of_the_same_authority_for_another_cloud_is_not_believed(cloud, servant) -> None:
    cloud.authority.cloud_id = "cloud2"
    strange = cloud.identity(CLUSTER)
    cloud.authority.cloud_id = "cloud1"
    endpoint = cloud.endpoint(servant)
    remote = cloud.remote(endpoint, identity=strange)
    assert "of the cloud 'cloud1', but this is the cloud 'cloud2'" in refusal(remote).sentence


def test_a_revoked_caller_is_refused_and_told_so(cloud, servant) -> None:
    endpoint = cloud.endpoint(servant, revoked=cloud.authority.revoked)
    removed = cloud.identity(CLUSTER)
    cloud.authority.revoke(removed.own.serial)
    error = refusal(cloud.remote(endpoint, identity=removed))
    assert (
        f"is the cluster controller open, but its certificate (serial {removed.own.serial}) was revoked"
        in error.sentence
    )
    assert servant.calls == []


def test_a_revoked_server_is_refused_by_its_caller(cloud, servant) -> None:
    removed = cloud.identity(HOST1)
    endpoint = cloud.endpoint(servant, identity=removed)
    cloud.authority.revoke(HOST1)
    error = refusal(cloud.remote(endpoint, revoked=cloud.authority.revoked))
    assert "the node controller open/host1, but its certificate" in error.sentence
    assert "was revoked" in error.sentence
    assert servant.calls == []


def test_a_revocation_counts_for_connections_that_are_open_on_either_side(cloud, servant) -> None:
    endpoint = cloud.endpoint(servant, revoked=cloud.authority.revoked)
    caller = cloud.identity(CLUSTER)
    remote = cloud.remote(endpoint, identity=caller)
    assert remote.call(NODE, "report", {})
    cloud.authority.revoke(caller.own.serial)
    refusal(remote)

    endpoint = cloud.endpoint(servant)
    remote = cloud.remote(endpoint, revoked=cloud.authority.revoked)
    assert remote.call(NODE, "report", {})
    cloud.authority.revoke(HOST1)
    refusal(remote)


LONG_AGO = 1_700_000_000 * SECOND


def test_an_expired_caller_learns_that_it_is_expired(cloud, endpoint, servant) -> None:
    expired = cloud.identity(CLUSTER, days=1, now=LONG_AGO)
    error = refusal(cloud.remote(endpoint, identity=expired))
    assert "our own certificate as cluster controller open" in error.sentence
    assert "expired at 2023-11-15" in error.sentence
    assert servant.calls == []


def test_an_expired_server_is_named_as_expired(cloud, servant) -> None:
    endpoint = cloud.endpoint(servant, identity=cloud.identity(HOST1, days=1, now=LONG_AGO))
    error = refusal(cloud.remote(endpoint))
    assert "asked for euca.node.open.host1" in error.sentence
    assert "certificate has expired" in error.sentence
    assert servant.calls == []


def test_a_certificate_that_expires_while_a_connection_is_open_ends_it(cloud, servant) -> None:
    now = SystemClock().wall()
    brief = cloud.identity(CLUSTER, days=1 / 86400 * 2, now=now)
    endpoint = cloud.endpoint(servant)
    remote = cloud.remote(endpoint, identity=brief)
    assert remote.call(NODE, "report", {})
    time.sleep(max(0.0, (brief.expires_at - SystemClock().wall()) / SECOND + 0.05))
    assert "expired at" in refusal(remote).sentence


def test_the_contexts_trust_the_clouds_authority_alone(cloud) -> None:
    contexts = tls.Contexts(cloud.identity(CLUSTER))
    for context in (contexts.server, contexts.client):
        assert len(context.get_ca_certs()) == 1
        assert context.minimum_version >= 0x0303


def test_a_renewed_certificate_is_used_without_a_restart(cloud, servant) -> None:
    identity = cloud.identity(HOST1)
    endpoint = cloud.endpoint(servant, identity=identity, revoked=cloud.authority.revoked)
    remote = cloud.remote(endpoint, revoked=cloud.authority.revoked)
    assert remote.call(NODE, "report", {})
    csr = Identity.make_key_and_csr(identity.directory, HOST1)
    renewed = Identity.install(identity.directory, cloud.authority.issue(csr, HOST1), cloud.authority.ca_pem)
    endpoint.use(renewed)
    cloud.authority.revoke(identity.own.serial)
    assert remote.call(NODE, "report", {}), "a new connection shows the new certificate"


def test_pyros_own_contexts_are_never_made(cloud, endpoint) -> None:
    assert cloud.remote(endpoint).call(NODE, "report", {})
    made = {name: value for name, value in vars(socketutil).items() if name.endswith("ssl_client_context")}
    assert made == {"__ssl_client_context": None}
    assert vars(socketutil)["__ssl_server_context"] is None


def test_pyros_environment_variables_change_nothing() -> None:
    asked = "from euca_rpc.wire import pyro; print(pyro.config.SSL, pyro.config.SERIALIZER, pyro.config.MAX_RETRIES)"
    environment = os.environ | {"PYRO_SSL": "1", "PYRO_SERIALIZER": "marshal", "PYRO_MAX_RETRIES": "9"}
    said = subprocess.run(
        [sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout == "False msgpack 0\n"
