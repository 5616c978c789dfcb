"""The name server and silence: neither may cost the cloud anything but news.

A name server that is *gone* refuses connections; one that *hangs* takes them and says nothing, which is worse.  It is
kept away by a settings file that it refuses to start with, so the supervisor's restarts come to nothing.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cloud_process import eventually

from euca_rpc.errors import EucaError
from euca_rpc.wire.calling import Fixed
from euca_rpc.wire.contracts import ADMIN
from euca_rpc.wire.pki import Identity
from euca_rpc.wire.pyro import Remote

pytestmark = [pytest.mark.real]

QUICK = 2.0  # seconds, for what takes hundredths when nothing is wrong; the machine may be busy


@contextmanager
def without_nameserver(cloud: Any) -> Iterator[None]:
    settings = cloud.home / "nameserver.conf"
    settings.write_text("nonsense = 1\n")
    cloud.kill("nameserver")
    try:
        eventually("its port refuses", lambda: refuses(cloud.ports["nameserver"]))
        yield
        assert refuses(cloud.ports["nameserver"]), "it was away all the time"
    finally:
        settings.unlink()
        eventually("the name server is back", lambda: not refuses(cloud.ports["nameserver"]), 25.0)


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2.0)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def registered(cloud: Any) -> set[str]:
    remote = Remote(
        Identity.load(cloud.config.identity(ADMIN)),
        Fixed({"euca.nameserver": ("127.0.0.1", cloud.ports["nameserver"])}),
    )
    try:
        return set(remote.call("euca.nameserver", "names", {}, timeout=1.0)["names"])
    finally:
        remote.close()


def quickly(what: str, act: Any) -> Any:
    began = time.monotonic()
    done = act()
    took = time.monotonic() - began
    assert took < QUICK, f"{what} took {took:.2f} s"
    return done


def work(cloud: Any, zone: str) -> None:
    """Launch, describe and terminate in a zone, through to the node and back."""
    ids = quickly("launching", lambda: cloud.launch(2, zone=zone))
    assert set(quickly("describing", lambda: cloud.states(*ids))) == set(ids)
    cloud.until("running", ids)
    quickly("terminating", lambda: cloud.terminate(ids))
    cloud.until("terminated", ids)


def test_without_a_name_server_all_goes_on_even_after_controllers_were_killed(cloud: Any) -> None:
    kept = cloud.launch(2, zone="zone-a") + cloud.launch(1, zone="zone-b")
    cloud.until("running", kept)
    with without_nameserver(cloud):
        work(cloud, "zone-a")
        killed = {name: cloud.kill(name) for name in ("cloud", "cluster-zone-a", "cluster-zone-b")}
        for name, pid in killed.items():
            cloud.restarted(name, pid)
        eventually("the EC2 port answers", lambda: cloud.states(*kept), 15.0)
        assert set(cloud.states(*kept).values()) == {"running"}, (
            "known from the disk before any node was heard"
        )
        eventually("every zone and node is heard again", cloud.all_up, 15.0)
        work(cloud, "zone-a")
        work(cloud, "zone-b")
        node = next(row["node"] for row in cloud.ask("instances") if row["id"] == kept[0])
        cloud.restarted(f"node-{node.replace('/', '-')}", cloud.kill(f"node-{node.replace('/', '-')}"))
        eventually("the killed node is up", lambda: cloud.nodes()[node]["up"], 15.0)
        assert set(cloud.states(*kept).values()) == {"running"}
    everybody = {"euca.cloud", "euca.cluster.zone-a", "euca.node.zone-b.host-3"}
    eventually("all are registered again", lambda: everybody <= registered(cloud), 15.0)
    assert all(len(nodes) == 1 for nodes in cloud.starts().values())


def test_a_name_server_that_hangs_holds_nobody_up_and_a_silent_node_keeps_its_machines(cloud: Any) -> None:
    kept = cloud.launch(12, zone="zone-a") + cloud.launch(1, zone="zone-b")  # zone-a is full
    cloud.until("running", kept)
    starts = cloud.starts()
    silent = "zone-a/host-2"
    there = [row["id"] for row in cloud.ask("instances") if row["node"] == silent and row["id"] in kept]
    assert len(there) == 4
    with cloud.stopped("nameserver", "node-zone-a-host-2"):
        with pytest.raises(EucaError, match=r"euca\.nameserver at .* \(tried ") as refused:
            registered(cloud)
        assert refused.value.symbol == "unreachable"
        work(cloud, "zone-b")
        eventually("its silence is told", lambda: not cloud.nodes()[silent]["up"], 25.0)
        assert "silent since" in str(cloud.nodes()[silent]) or cloud.nodes()[silent]["trouble"]
        assert set(cloud.states(*kept).values()) == {"running"}, "unreachable is not terminated"
        told = cloud.euca("explain", there[0])
        assert told["reachable"] is False
        assert silent in told["why"]
        work(cloud, "zone-b")
        room = {row["id"]: row["instances"] for row in cloud.ask("nodes")}
        assert room[silent] == 4, "what its machines claim stays claimed"
        doomed = there[0]
        cloud.terminate([doomed])
        assert cloud.states(doomed) == {doomed: "shutting-down"}, "not terminated before the node said so"
    eventually("it came back by itself", lambda: cloud.nodes()[silent]["up"], 15.0)
    cloud.until("terminated", [doomed])
    rest = [id for id in kept if id != doomed]
    assert set(cloud.states(*rest).values()) == {"running"}
    again = {key: nodes for key, nodes in cloud.starts().items() if key in starts}
    assert again == starts, "nothing was started a second time"
