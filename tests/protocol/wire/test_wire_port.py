"""What strangers and the clumsy can do to a daemon's port: nothing that the next good call notices."""

from __future__ import annotations

import json
import marshal
import os
import socket
import ssl
import struct
import threading
import time
import uuid
import zlib
from contextlib import suppress

import msgpack
import pytest
import serpent
from Pyro5 import config, protocol, serializers

from euca_rpc.errors import EucaError
from euca_rpc.wire import listener, pyro
from euca_rpc.wire.pki import PeerName
from euca_rpc.wire.tls import Contexts

NODE = "euca.node.open.host1"
CLUSTER = PeerName("cluster", "open")
CALL = (NODE, "invoke", ["report", {}, [1, 1]], {})


def connect(endpoint) -> socket.socket:
    return socket.create_connection(("127.0.0.1", endpoint.port), 5)


def good_call_at_once(cloud, endpoint) -> None:
    remote = cloud.remote(endpoint)
    began = time.monotonic()
    assert remote.call(NODE, "report", {"known": 1})["known"] == 1
    assert time.monotonic() - began < 1.0


def closed_within(sock: socket.socket, seconds: float) -> bool:
    sock.settimeout(seconds)
    try:
        while sock.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


# ------------------------------------------------------------------------------------ without a certificate
def test_fifty_silent_connections_stall_nobody(cloud, endpoint) -> None:
    silent = [connect(endpoint) for _ in range(50)]
    good_call_at_once(cloud, endpoint)
    for sock in silent:
        sock.close()


def test_a_dripping_handshake_stalls_nobody_and_ends_at_its_deadline(cloud, servant, monkeypatch) -> None:
    monkeypatch.setattr(listener, "HANDSHAKE_S", 0.6)
    endpoint = cloud.endpoint(servant)
    hello = _client_hello()
    ended = threading.Event()

    def stranger() -> None:
        with connect(endpoint) as sock:
            drip(sock, hello)
            ended.set()

    began = time.monotonic()
    threading.Thread(target=stranger, daemon=True).start()
    time.sleep(0.1)
    good_call_at_once(cloud, endpoint)
    assert ended.wait(5)
    assert time.monotonic() - began < 3


def _client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


def test_the_oldest_stranger_goes_when_there_are_too_many(cloud, servant, monkeypatch) -> None:
    monkeypatch.setattr(listener, "PENDING", 10)
    endpoint = cloud.endpoint(servant)
    silent = []
    for _ in range(15):
        silent.append(connect(endpoint))
        time.sleep(0.01)
    good_call_at_once(cloud, endpoint)
    assert closed_within(silent[0], 1.0)
    assert not closed_within(silent[-1], 0.1)
    for sock in silent:
        sock.close()


@pytest.mark.parametrize(
    "garbage",
    [
        os.urandom(4096),
        b"GET / HTTP/1.0\r\n\r\n",
        b"PYRO" + bytes(60),
        b"\x16\x03\x01\xff\xff" + bytes(70000),
        b"!",
    ],
    ids=["random", "http", "plain pyro", "huge tls record", "a byte"],
)
def test_plain_bytes_to_the_port_then_a_good_call(cloud, endpoint, garbage) -> None:
    with connect(endpoint) as sock:
        sock.sendall(garbage)
        good_call_at_once(cloud, endpoint)


def test_no_certificate_no_conversation(cloud, endpoint, servant) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with connect(endpoint) as plain, context.wrap_socket(plain) as sock:
        assert closed_within(sock, 2)
    assert servant.calls == []


# --------------------------------------------------------------------------------------- with a certificate
@pytest.fixture
def insider(cloud, endpoint):
    """A connection of a real cluster controller, for messages that ours would never send."""
    contexts = Contexts(cloud.identity(CLUSTER))
    with connect(endpoint) as plain, contexts.client.wrap_socket(plain) as sock:
        yield sock


def message(
    payload: bytes, *, serializer: int = 4, flags: int = 0, kind: int = protocol.MSG_INVOKE, claim: int = -1
) -> bytes:
    size = len(payload) if claim < 0 else claim
    header = protocol._header_format, b"PYRO", protocol.PROTOCOL_VERSION, kind, serializer, flags, 1, size, 0
    return struct.pack(*header, uuid.uuid4().bytes, 0, 0x4DC5) + payload


def refused(insider, data: bytes, servant) -> bool:
    insider.sendall(data)
    return closed_within(insider, 2) and servant.calls == []


def test_what_our_own_message_looks_like_gets_an_answer(insider, servant) -> None:
    insider.sendall(message(msgpack.packb(CALL)))
    insider.settimeout(2)
    assert insider.recv(4) == b"PYRO"
    assert servant.calls == ["report"]


FOREIGN = {
    "serpent": (1, serpent.dumps(CALL)),
    "marshal": (2, marshal.dumps(CALL)),
    "json": (3, json.dumps({"object": NODE, "method": "invoke", "params": CALL[2], "kwargs": {}}).encode()),
    "unknown": (77, b"x"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_every_other_serializer_is_refused_and_the_connection_closed(
    cloud, endpoint, insider, servant, name
) -> None:
    number, payload = FOREIGN[name]
    assert refused(insider, message(payload, serializer=number), servant)
    good_call_at_once(cloud, endpoint)


def test_only_msgpack_is_left_in_this_process() -> None:
    assert list(serializers.serializers) == ["msgpack"]
    assert list(serializers.serializers_by_id) == [4]
    assert not config.SSL
    assert config.SOCK_NODELAY
    assert config.MAX_RETRIES == 0


@pytest.mark.parametrize(
    "flag",
    [protocol.FLAGS_COMPRESSED, protocol.FLAGS_ONEWAY, protocol.FLAGS_BATCH, protocol.FLAGS_KEEPSERIALIZED],
    ids=["compressed", "oneway", "batch", "keepserialized"],
)
def test_what_pyro_can_do_besides_plain_calls_is_refused(insider, servant, flag) -> None:
    payload = msgpack.packb(CALL)
    if flag == protocol.FLAGS_COMPRESSED:
        payload = zlib.compress(payload)
    assert refused(insider, message(payload, flags=flag), servant)


def test_a_message_that_claims_to_be_huge_is_refused_unread(insider, servant) -> None:
    assert refused(insider, message(b"", claim=pyro.MAX_MESSAGE + 1), servant)


@pytest.mark.parametrize("what", ["Pyro.Daemon", "euca.cloud", "Pyro.NameServer"])
def test_pyros_own_objects_and_other_names_are_not_there(insider, what) -> None:
    insider.sendall(message(msgpack.packb((what, "registered", [], {}))))
    assert answer(insider)["error"]["symbol"] == "action_unknown"


@pytest.mark.parametrize(
    "method", ["__getattr__", "__setattr__", "_invoke", "__class__", "__init__", "report", "_methods"]
)
def test_attributes_of_the_object_behind_are_not_there(insider, servant, method) -> None:
    insider.sendall(message(msgpack.packb((NODE, method, ["_methods", 1], {}))))
    assert answer(insider)["error"]["symbol"] == "action_unknown"
    assert servant.calls == []


def answer(sock: ssl.SSLSocket) -> dict:
    sock.settimeout(3)
    header = b""
    while len(header) < 40:
        header += sock.recv(40 - len(header))
    size = protocol.ReceivingMessage(header).data_size
    data = b""
    while len(data) < size:
        data += sock.recv(size - len(data))
    return msgpack.unpackb(data)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        msgpack.packb("hello"),
        msgpack.packb([NODE]),
        msgpack.packb([NODE, "invoke", [1], {}]),
        msgpack.packb([NODE, "invoke", ["report", [1], [1, 1]], {}]),
        msgpack.packb([NODE, "invoke", ["report", {1: 2}, [1, 1]], {}], strict_types=False),
        msgpack.packb([["a"], 7, 7, 7]),
        msgpack.packb([NODE, "invoke", ["report", {"known": msgpack.ExtType(0x31, b"1")}, [1, 1]], {}]),
        b"\x91" * 100_000,
    ],
)
def test_a_payload_that_is_no_call_gets_an_error_and_harms_nothing(
    cloud, endpoint, insider, servant, payload
) -> None:
    insider.sendall(message(payload))
    assert answer(insider)["error"]["symbol"] in ("parameter_invalid", "internal")
    assert servant.calls == []
    good_call_at_once(cloud, endpoint)


def test_a_class_named_in_a_message_is_plain_data(insider) -> None:
    strange = {"__class__": "Pyro5.client.Proxy", "state": ["PYRO:x@h:1", [], [], [], "hello", None]}
    insider.sendall(message(msgpack.packb([NODE, "invoke", ["report", {"known": strange}, [1, 1]], {}])))
    assert answer(insider)["value"]["known"] == strange


def drip(sock: socket.socket, data: bytes) -> None:
    """A byte at a time, until the other side has had enough."""
    with suppress(OSError):
        for byte in data:
            sock.sendall(bytes([byte]))
            time.sleep(0.05)  # each byte well within the deadline, all of them far from it
        raise AssertionError("nobody minded")


def test_a_dripping_message_of_an_insider_ends_at_its_deadline(
    cloud, endpoint, insider, servant, monkeypatch
) -> None:
    monkeypatch.setattr(pyro, "MESSAGE_S", 0.5)
    began = time.monotonic()
    drip(insider, message(msgpack.packb(CALL)) * 3)
    assert time.monotonic() - began < 4
    assert servant.calls == []


# ---------------------------------------------------------------------------------------------- crowds
def test_idle_connections_of_others_keep_no_newcomer_out(cloud, servant) -> None:
    endpoint = cloud.endpoint(servant, threads=3)
    idle = [cloud.remote(endpoint) for _ in range(3)]
    for remote in idle:
        assert remote.call(NODE, "hello", {})
    good_call_at_once(cloud, endpoint)
    for remote in idle:
        assert remote.call(NODE, "hello", {}), "whose connection was given up makes a new one"


def test_one_peer_that_holds_all_it_may_keeps_no_other_out(cloud, servant) -> None:
    endpoint = cloud.endpoint(servant, threads=8, per_peer=2)
    remote = cloud.remote(endpoint)
    errors: list[Exception] = []

    def hang() -> None:
        try:
            remote.call(NODE, "stop", {"items": []}, timeout=3)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=hang, daemon=True) for _ in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    other = cloud.remote(endpoint, PeerName("node", "open", "host9"))
    assert other.call(NODE, "hello", {}) == {"role": "node"}
    assert servant.calls.count("stop") == 2
    servant.hold.set()
    for thread in threads:
        thread.join(5)
    assert len(errors) == 4, "the others were turned away, not kept waiting"


def test_a_port_that_is_taken_is_said_so(cloud, servant, endpoint) -> None:
    with pytest.raises(
        EucaError, match=rf"cannot listen on 127\.0\.0\.1:{endpoint.port}: Address already in use"
    ):
        cloud.endpoint(servant, port=endpoint.port)


def test_stop_leaves_no_thread_behind(cloud, servant) -> None:
    before = set(threading.enumerate())
    endpoint = cloud.endpoint(servant)
    silent = connect(endpoint)
    remote = cloud.remote(endpoint)
    assert remote.call(NODE, "hello", {})
    began = time.monotonic()
    endpoint.stop()
    assert time.monotonic() - began < 1.5
    assert set(threading.enumerate()) <= before
    silent.close()
