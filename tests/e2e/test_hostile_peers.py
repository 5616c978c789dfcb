"""Whoever is not who was asked for is refused by name, by both sides, at every port of a running cloud.

The certificates here are the worst there can be: made by the cloud's own authority for another name or role, expired,
of a host that was removed, or of a foreign authority that uses the same cloud id and the same names.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from cloud_process import eventually
from wardrobe import OF_ROLE, PYRO, Wardrobe, https, one_of_everything

from euca_rpc.wire.contracts import ADMIN, CALLS, CLOUD, CLUSTER, NAMESERVER, NODE, ROLES, Call
from euca_rpc.wire.enrol import enrol
from euca_rpc.wire.pki import Identity, PeerName
from euca_rpc.wire.pyro import Endpoint

pytestmark = [pytest.mark.real]

QUICK = 1.5  # seconds, for what takes hundredths when nothing is wrong; the machine may be busy
HANDSHAKE = 5.0  # how long a stranger may be silent where TLS is wanted


# ------------------------------------------------------------------------------------------------- silence
def test_silent_connections_to_every_port_stall_nobody_and_end(cloud: Any, wardrobe: Wardrobe) -> None:
    calls = one_of_everything(wardrobe)
    with ExitStack() as held:
        began = time.monotonic()
        silent = [
            (name, held.enter_context(socket.create_connection(("127.0.0.1", port), 5)))
            for name, port in cloud.ports.items()
            for _ in range(20)
        ]
        assert len(silent) == 13 * 20
        rounds = 0
        slowest: dict[str, float] = {}
        while time.monotonic() - began < 3.0:  # all of them are still held
            for name, call in calls.items():
                start = time.monotonic()
                assert call(), name
                slowest[name] = max(slowest.get(name, 0.0), time.monotonic() - start)
            rounds += 1
        (id,) = cloud.launch(zone="zone-b")
        cloud.until("running", [id], 5.0)
        assert rounds >= 2
        assert max(slowest.values()) < QUICK, slowest
        for name, sock in silent:
            if (
                name == "ec2"
            ):  # which waits for a request for ten seconds: `test_garbage_on_ports` waits as well
                continue
            limit = began + HANDSHAKE + 3.0
            sock.settimeout(max(0.1, limit - time.monotonic()))
            try:
                assert sock.recv(1000) == b"", f"{name} has nothing to say to silence"
            except ConnectionResetError:
                pass
            except TimeoutError:
                pytest.fail(f"{name} holds a silent connection for more than {limit - began:.0f} s")
    assert cloud.all_up()


# --------------------------------------------------------------------------------------- who may call what
def refusals() -> Iterator[tuple[Call, str]]:
    for row in CALLS:
        for role in ROLES:
            if role not in row.callers:
                yield row, role


def test_each_role_is_refused_each_call_that_is_not_for_it(wardrobe: Wardrobe) -> None:
    asked = list(refusals())
    assert len(asked) > 60
    for row, role in asked:
        offered_by, caller = OF_ROLE[row.offered_by], OF_ROLE[role]
        said = wardrobe.refused(wardrobe.identity(caller), offered_by, row.method)
        assert f"{offered_by.object_name}.{row.method}" in said
        assert caller.text in said, said
        assert ", ".join(row.callers) in said


def test_a_cluster_controller_has_no_say_in_another_zone(wardrobe: Wardrobe) -> None:
    stranger = PeerName(CLUSTER, "zone-b")
    for row in CALLS:
        if row.offered_by == NODE and row.callers == (CLUSTER,):
            said = wardrobe.refused(wardrobe.identity(stranger), OF_ROLE[NODE], row.method)
            assert stranger.text in said
            assert "zone-a" in said
    said = wardrobe.refused(wardrobe.identity(PeerName(NODE, "zone-b", "host-1")), OF_ROLE[CLUSTER], "poke")
    assert "zone-b/host-1" in said


def test_the_image_server_refuses_by_role(cloud: Any, wardrobe: Wardrobe) -> None:
    """A node uploads and deletes nothing, and without a ticket nobody reads a blob."""
    port, blob = cloud.ports["images"], next((cloud.home / "blobs").glob("*/*")).name
    for peer, method, path in (
        (OF_ROLE[NODE], "PUT", "/blobs?format=raw&kind=machine&architecture=x86_64"),
        (OF_ROLE[NODE], "DELETE", f"/blobs/{blob}"),
        (OF_ROLE[CLUSTER], "GET", f"/blobs/{blob}"),
        (OF_ROLE[NODE], "GET", f"/blobs/{blob}"),
        (OF_ROLE[ADMIN], "DELETE", f"/blobs/{blob}"),
    ):
        status, said = https(wardrobe.identity(peer), port, method, path, b"x" * 10)
        assert status in (401, 403), (peer.text, method, path, status, said)
        assert "sentence" in said or "error" in said


def test_nobody_registers_another_hosts_name(wardrobe: Wardrobe) -> None:
    thief = PeerName(NODE, "zone-a", "host-2")
    for name in ("euca.node.zone-a.host-1", "euca.cloud", "euca.cluster.zone-a"):
        said = wardrobe.refused(
            wardrobe.identity(thief), OF_ROLE[NAMESERVER], "register", name=name, host="127.0.0.1", port=1
        )
        assert thief.text in said
        assert name in said


# ------------------------------------------------------------------------------------- what a certificate is
@pytest.mark.parametrize("role", PYRO)
def test_a_caller_with_a_foreign_or_an_expired_certificate_is_refused(wardrobe: Wardrobe, role: str) -> None:
    asked = OF_ROLE[role]
    allowed = next(row.callers[0] for row in CALLS if row.offered_by == role)
    caller = OF_ROLE[allowed]
    assert wardrobe.call(wardrobe.identity(caller), asked, "hello"), "its own kind is welcome"
    said = wardrobe.refused(wardrobe.identity(caller, "foreign"), asked, "hello")
    assert asked.object_name in said
    assert f"refuses our certificate as {caller.text}" in said
    said = wardrobe.refused(wardrobe.identity(caller, "expired"), asked, "hello")
    assert f"our own certificate as {caller.text}" in said
    assert "expired at" in said
    name = "-".join(p for p in (role, asked.zone, asked.host) if p)
    for reason in ("unable to get local issuer certificate", "certificate has expired"):
        eventually(f"its log says {reason}", lambda reason=reason: reason in wardrobe.cloud.log(name), 5.0)


def test_the_image_server_refuses_foreign_and_expired_certificates(cloud: Any, wardrobe: Wardrobe) -> None:
    for kind in ("foreign", "expired"):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            https(wardrobe.identity(OF_ROLE[NODE], kind), cloud.ports["images"], "GET", "/hello")


# ------------------------------------------------------------------------------------------------ impostors
class Impostor:
    """Says it has a fine report; nobody should come to hear it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def hello(self) -> dict[str, Any]:
        self.asked.append("hello")
        return {}

    def report(self, known: Any = None) -> dict[str, Any]:
        self.asked.append("report")
        return {"same": known}


def test_an_impostor_where_a_node_should_be_is_refused_by_name(cloud: Any, wardrobe: Wardrobe) -> None:
    """The host's daemon cannot start, its port is taken by somebody else: all ways to be the wrong one at once."""
    kept = cloud.launch(6, zone="zone-a") + cloud.launch(6, zone="zone-b")
    cloud.until("running", kept)
    removed = removed_node(wardrobe, "zone-a")
    cases = {
        "zone-a/host-1": (wardrobe.identity(PeerName(NODE, "zone-a", "host-3")), "controller zone-a/host-3"),
        "zone-a/host-2": (removed, "was revoked: the host was removed or fenced"),
        "zone-b/host-1": (wardrobe.identity(PeerName(CLUSTER, "zone-b")), "is the cluster controller zone-b"),
        "zone-b/host-2": (
            wardrobe.identity(PeerName(NODE, "zone-b", "host-2"), "foreign"),
            "is not one of the cloud",
        ),
        "zone-b/host-3": (
            wardrobe.identity(PeerName(NODE, "zone-b", "host-3"), "expired"),
            "certificate has expired",
        ),
    }
    starts = cloud.starts()
    impostors: list[Impostor] = []
    with ExitStack() as ends:
        for node, (identity, _) in cases.items():
            zone, host = node.split("/")
            directory = cloud.config.identity(NODE, zone, host)
            directory.rename(directory.with_suffix(".away"))  # its restarts come to nothing
            ends.callback(directory.with_suffix(".away").rename, directory)
            port = wardrobe.port(PeerName(NODE, zone, host))
            cloud.kill(f"node-{zone}-{host}")
            impostor = Impostor()
            endpoint = Endpoint(identity, "127.0.0.1", port, {identity.peer.object_name: impostor})
            eventually("its port is free", lambda endpoint=endpoint: started(endpoint), 10.0)
            ends.callback(endpoint.stop)
            impostors.append(impostor)
        for node, (_, sentence) in cases.items():
            told = eventually(f"{node} is known for what it is", lambda: told_of(cloud, node, sentence), 20.0)
            assert f"127.0.0.1:{wardrobe.port(PeerName(NODE, *node.split('/')))}" in told
        assert set(cloud.states(*kept).values()) == {"running"}
        for zone in ("zone-a", "zone-b"):
            assert "euca.node." in cloud.log(f"cluster-{zone}"), "the log says it, too"
        assert not any(impostor.asked for impostor in impostors)
    for node in cases:
        eventually(f"{node} itself is back", lambda: cloud.nodes()[node]["up"], 25.0)
    assert set(cloud.states(*kept).values()) == {"running"}
    assert {key: on for key, on in cloud.starts().items() if key in starts} == starts


def started(endpoint: Endpoint) -> bool:
    endpoint.start()
    return True


def told_of(cloud: Any, node: str, sentence: str) -> str:
    trouble = str(cloud.nodes()[node]["trouble"])
    return trouble if sentence in trouble else ""


def removed_node(wardrobe: Wardrobe, zone: str) -> Identity:
    """A host that was properly enrolled, and then removed."""
    cloud = wardrobe.cloud
    made = cloud.ask("node_add", zone=zone, host="host-9")
    identity = enrol(made["token"], wardrobe.directory / "removed")
    assert wardrobe.call(identity, OF_ROLE[CLOUD], "hello"), "it was welcome once"
    cloud.ask("node_remove", name=f"{zone}/host-9")
    return identity


def test_a_removed_nodes_certificate_is_refused_everywhere(cloud: Any, wardrobe: Wardrobe) -> None:
    identity = removed_node(wardrobe, "zone-a")
    revoked = "the node controller zone-a/host-9, but its certificate"
    assert revoked in wardrobe.refused(identity, OF_ROLE[CLOUD], "hello"), "at once by who removed it"
    zone = PeerName(CLUSTER, "zone-a")
    eventually(
        "its cluster controller knows", lambda: revoked in wardrobe.refused(identity, zone, "hello"), 5.0
    )
    for daemon in (OF_ROLE[NAMESERVER], PeerName(NODE, "zone-a", "host-3")):
        name = "-".join(p for p in (daemon.role, daemon.zone, daemon.host) if p)
        cloud.restarted(name, cloud.kill(name))  # whoever starts asks first; the others within half a minute

        def knows(daemon: PeerName = daemon) -> bool:
            return revoked in wardrobe.refused(identity, daemon, "hello")

        eventually(f"the {daemon.text} knows", knows, 10.0)
    cloud.restarted("images", cloud.kill("images"))

    def images_know() -> bool:
        status, said = https(identity, cloud.ports["images"], "GET", "/hello")
        return status == 403 and revoked in said

    eventually("the image server knows", images_know, 10.0)
