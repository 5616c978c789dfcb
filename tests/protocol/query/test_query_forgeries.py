"""Every forged Query request of the three tables is refused, and nothing is executed; most read like any other
refusal."""

from __future__ import annotations

import re
import socket

import pytest
from query_forgeries import FORGERIES
from query_forgeries_v1 import BORDERS, CANNOT_BE_TOLD, V1
from query_forgeries_v2 import V2
from query_forgeries_v4 import V4
from query_letters import text_v1
from query_scene import Scene

from euca_ec2.server import Ec2Interface
from euca_ec2.settings import Ec2Settings

# What is told to somebody who may be nobody: that the request cannot be read in one way, or is for nothing here.
SHAPE = {"InvalidParameterCombination", "InvalidParameterValue"}
# Signed by its owner, and so told why; the letters show what a client may not do, not what an attacker can.
TOLD = {
    "v4_stale": "RequestExpired", "v4_from_the_future": "RequestExpired", "v4_presigned_expired": "RequestExpired",
    "v2_stale": "RequestExpired", "v2_from_the_future": "RequestExpired", "v1_stale": "RequestExpired",
    "v4_presigned_and_renewed_in_a_header": "RequestExpired",
    "v4_taken_for_soap": "Unavailable",  # as SOAP it is nothing, and no SOAP is served here
}  # fmt: skip


def refusal(answer) -> str:
    found = re.search(rb"<(?:Code|faultcode)>(?:Client\.|Server\.)?([\w.]+)<", answer.body)
    return found[1].decode() if found else str(answer.status)


@pytest.mark.parametrize("name", FORGERIES)
def test_nothing_forged_is_executed(name):
    scene = Scene(sigv1=name in V1)
    answer = scene.send(FORGERIES[name](scene))
    assert scene.executed == []
    allowed = {TOLD[name]} if name in TOLD else {"AuthFailure", *SHAPE, "404"}
    assert refusal(answer) in allowed, answer
    assert answer.status != 200


def test_there_are_enough_and_all_differ():
    assert len(FORGERIES) >= 60
    assert min(len(V4), len(V2), len(V1)) >= 15
    sent = {}
    for name, make in FORGERIES.items():
        scene = Scene(sigv1=True)
        key = (make(scene).bytes(), scene.clock.at)
        assert key not in sent, (name, sent[key])
        sent[key] = name


# ------------------------------------------------------------------------------------------------ by way of the socket
@pytest.fixture(scope="module")
def port():
    """Version 1 is accepted here: nothing of version 4 or 2 may pass as version 1 either."""
    scene = Scene()
    interface = Ec2Interface(scene.cloud.core(), Ec2Settings(port=0, sigv1=True, rate=0.0))
    interface.start()
    yield interface.port, scene
    interface.stop()


@pytest.mark.parametrize("name", FORGERIES)
def test_nor_by_way_of_the_socket(name, port):
    """Where duplicates, line feeds and lengths are read by another reader first."""
    number, live = port
    scene = Scene()
    letter = FORGERIES[name](scene)
    live.clock.at = scene.clock.at
    with socket.create_connection(("127.0.0.1", number), timeout=5) as sock:
        sock.sendall(letter.with_length().bytes())
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    assert live.executed == []
    assert re.match(rb"HTTP/1\.1 (4\d\d|500) ", answer), answer[:300]
    assert b" 200 " not in answer
    assert b" 500 " not in answer or b"<faultcode>" in answer


# -------------------------------------------------------------------------------------- what is not forged is executed
GENUINE = {
    "v4": lambda scene: scene.v4(),
    "v4 in the query": lambda scene: scene.v4(method="GET"),
    "v4 with all signed": lambda scene: scene.v4(signed="content-type;host;x-amz-date"),
    "presigned": lambda scene: scene.presigned(),
    "v2": lambda scene: scene.v2(),
    "v2 in the query": lambda scene: scene.v2(method="GET"),
    "v2 by sha1": lambda scene: scene.v2(digest="sha1"),
    "v1": lambda scene: scene.v1(),
    "v1 in the query": lambda scene: scene.v1(method="GET"),
}


@pytest.mark.parametrize("kind", GENUINE)
def test_genuine_requests_are_executed(kind):
    scene = Scene(sigv1=kind.startswith("v1"))
    answer = scene.send(GENUINE[kind](scene))
    assert (answer.status, scene.executed) == (200, ["2:mine"]), answer


@pytest.mark.parametrize("name", [*(n for n in GENUINE if n.startswith("v1")), *V1, *CANNOT_BE_TOLD])
def test_version_1_is_refused_unless_the_settings_want_it(name):
    scene = Scene()
    make = GENUINE.get(name) or V1.get(name) or CANNOT_BE_TOLD[name]
    assert scene.send(make(scene)).status != 200
    assert scene.executed == []


# ---------------------------------------------------------------------------------------------------- version 1's flaw
@pytest.mark.parametrize("name", sorted(BORDERS))
def test_the_row_is_the_one_that_was_signed(name, monkeypatch):
    """So these are real forgeries: without the rules of `sigv1` the signature fits, and the request is carried out
    or fails for another reason."""
    monkeypatch.setattr("euca_ec2.sigv1.two_readings", lambda parameters, message: "")
    scene = Scene(sigv1=True)
    assert refusal(scene.send(V1[name](scene))) != "AuthFailure"


@pytest.mark.parametrize("name", CANNOT_BE_TOLD)
def test_what_cannot_be_told_is_carried_out(name):
    """The documented price of the switch."""
    scene = Scene(sigv1=True)
    assert scene.send(CANNOT_BE_TOLD[name](scene)).status == 200
    assert scene.executed == ["2:evil"]


def test_a_list_of_a_dozen_is_no_forgery():
    scene = Scene(sigv1=True)
    numbers = {f"KeyName.{n}": f"k{n}" for n in range(1, 13)}
    given = {"Action": "DescribeKeyPairs", "Version": "2016-11-15", **numbers}
    assert refusal(scene.send(scene.v1(given))) == "InvalidKeyPair.NotFound"


def test_the_row_is_sorted_without_regard_to_case():
    assert text_v1({"b": "2", "A": "1", "Signature": "x"}) == "A1b2"
