"""One slow peer slows nobody else, with the real carrier on real connections."""

from __future__ import annotations

import socket
import time

import pytest

from euca_rpc.daemons.carrier import ThreadCarrier
from euca_rpc.errors import EucaError
from euca_rpc.wire.calling import Fixed
from euca_rpc.wire.pki import PeerName
from euca_rpc.wire.pyro import Remote

NODE, SILENT = "euca.node.open.host1", "euca.node.open.host2"


@pytest.fixture
def silent():
    """Takes connections and never says a word, as a frozen host does."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        yield listening.getsockname()


def test_a_silent_peer_costs_the_calls_time_once_connect_and_handshake_together(cloud, silent) -> None:
    remote = Remote(cloud.identity(PeerName("cluster", "open")), Fixed({SILENT: silent}))
    began = time.monotonic()
    with pytest.raises(EucaError, match=rf"no TLS connection to {SILENT} at .*: no answer in time") as caught:
        remote.call(SILENT, "ensure", {"specs": []}, timeout=0.5)
    assert caught.value.symbol == "unreachable"
    assert time.monotonic() - began < 1.2


def test_a_hundred_calls_to_a_silent_peer_leave_the_others_alone(cloud, endpoint, silent) -> None:
    directory = Fixed({SILENT: silent, NODE: endpoint.address})
    remote = Remote(cloud.identity(PeerName("cluster", "open")), directory)
    carrier = ThreadCarrier(remote, 8)
    answers: list[object] = []
    for _ in range(100):
        carrier.call(SILENT, "report", {}, lambda _: None)
    began = time.monotonic()
    carrier.call(NODE, "report", {"known": 4}, answers.append)
    while not answers and time.monotonic() - began < 2:
        time.sleep(0.005)
    assert time.monotonic() - began < 1
    assert answers[0].value["known"] == 4
    carrier.stop()
    remote.close()
