"""A peer with a good certificate that answers nonsense: the caller gets an EucaError, in time, and nothing else."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable

import msgpack
import pytest
from Pyro5 import protocol

from euca_rpc.errors import EucaError
from euca_rpc.wire import pyro
from euca_rpc.wire.listener import Held, Listener
from euca_rpc.wire.pki import PeerName
from euca_rpc.wire.tls import Contexts

NODE = "euca.node.open.host1"


def answer(
    payload: bytes,
    *,
    flags: int = 0,
    seq: int = 1,
    serializer: int = 4,
    kind: int = protocol.MSG_RESULT,
    claim: int = -1,
) -> bytes:
    size = len(payload) if claim < 0 else claim
    fields = b"PYRO", protocol.PROTOCOL_VERSION, kind, serializer, flags, seq, size, 0, bytes(16), 0, 0x4DC5
    return struct.pack(protocol._header_format, *fields) + payload


GOOD = msgpack.packb({"value": 7})
EXCEPTION = protocol.FLAGS_EXCEPTION


@pytest.fixture
def says(cloud) -> Callable[[bytes], object]:
    """Makes a node that answers everything with these bytes, and a remote to call it."""

    def make(data: bytes) -> object:
        def serve(held: Held) -> None:
            held.sock.settimeout(5)
            held.sock.recv(65536)
            held.sock.sendall(data)
            held.sock.recv(1)

        node = cloud.identity(PeerName("node", "open", "host1"))
        listener = Listener("127.0.0.1", 0, Contexts(node).server, lambda _: "caller", serve)
        listener.start()
        cloud.ends_with(listener.stop)
        listener.address = ("127.0.0.1", listener.port)
        return cloud.remote(listener)

    return make


def test_the_nonsense_of_these_tests_is_near_enough_to_sense(says) -> None:
    assert says(answer(GOOD)).call(NODE, "report", {}) == 7


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100,
        answer(GOOD, seq=9),
        answer(GOOD, serializer=2),
        answer(zlib.compress(GOOD), flags=protocol.FLAGS_COMPRESSED),
        answer(GOOD, kind=protocol.MSG_CONNECTOK),
        answer(GOOD, flags=protocol.FLAGS_ITEMSTREAMRESULT | EXCEPTION),
        answer(b"", claim=pyro.MAX_MESSAGE + 1),
        answer(msgpack.packb("no mapping")),
        answer(msgpack.packb({})),
        answer(msgpack.packb({"value": 1}), flags=EXCEPTION),
        answer(
            msgpack.packb({"__class__": "builtins.SystemExit", "__exception__": True, "args": []}),
            flags=EXCEPTION,
        ),
        answer(b"\xc1"),
        answer(msgpack.packb({"error": 7}), flags=EXCEPTION),
        answer(msgpack.packb({"error": {"symbol": [], "facts": 8}}), flags=EXCEPTION),
        answer(msgpack.packb({"error": {"symbol": "internal"}})),
    ],
)
def test_nonsense_is_an_error_of_ours(says, data) -> None:
    began = time.monotonic()
    with pytest.raises(EucaError) as caught:
        says(data).call(NODE, "ensure", {"specs": []}, timeout=2)
    assert caught.value.symbol == "incompatible"
    assert time.monotonic() - began < 1.5


def test_an_answer_that_drips_ends_with_the_calls_time(says) -> None:
    remote = says(answer(GOOD)[:20])
    began = time.monotonic()
    with pytest.raises(EucaError, match=r"did not answer ensure within 0\.5 s"):
        remote.call(NODE, "ensure", {"specs": []}, timeout=0.5)
    assert time.monotonic() - began < 1.5


def test_an_error_that_a_newer_peer_invented_is_internal_with_its_sentence(says) -> None:
    data = answer(
        msgpack.packb({"error": {"symbol": "brand_new", "sentence": "too modern"}}), flags=EXCEPTION
    )
    with pytest.raises(EucaError, match="too modern") as caught:
        says(data).call(NODE, "ensure", {"specs": []})
    assert caught.value.symbol == "internal"
