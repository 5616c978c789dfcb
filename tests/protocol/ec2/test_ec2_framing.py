"""Where a request ends and what its header lines say: what two readers could read in two ways is refused with 400, on
the real socket, and nothing after it on the connection is taken for a request."""

from __future__ import annotations

import contextlib
import re
import socket
from dataclasses import fields
from types import SimpleNamespace

import pytest

from euca_ec2 import euca_interface
from euca_rpc.clock import SystemClock
from euca_rpc.ids import SeededIds
from euca_rpc.nouns import Core

AHEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
INSIDE = b"GET /inside HTTP/1.1\r\nHost: x\r\n\r\n"  # answered 404 if it is ever taken for a request
SMUGGLED = b"Content-Length: %d\r\n" % len(INSIDE)

REFUSED = {
    "two lengths": b"Content-Length: 0\r\n" + SMUGGLED,
    "two lengths, the other way round": SMUGGLED + b"Content-Length: 0\r\n",
    "two lengths, the same": SMUGGLED + SMUGGLED,
    "two lengths, apart": b"Content-Length: 0\r\nAccept: a\r\n" + SMUGGLED,
    "two lengths in one line": b"Content-Length: 0, %d\r\n" % len(INSIDE),
    "the same length twice in one line": b"Content-Length: 0, 0\r\n",
    "a negative length": b"Content-Length: -1\r\n",
    "a length with a plus": b"Content-Length: +0\r\n",
    "a length in hexadecimal": b"Content-Length: 0x0\r\n",
    "a length with an underscore": b"Content-Length: 0_0\r\n",
    "a length in other digits": "Content-Length: \u0663\r\n".encode(),
    "a length with blanks inside": b"Content-Length: 1 0\r\n",
    "a length with a decimal point": b"Content-Length: 0.0\r\n",
    "no length in the line": b"Content-Length: \r\n",
    "a length that is endless": b"Content-Length: " + b"9" * 4000 + b"\r\n",
    "length and chunks": SMUGGLED + b"Transfer-Encoding: chunked\r\n",
    "chunks and length": b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    "length and an encoding nobody knows": b"Content-Length: 0\r\nTransfer-Encoding: xchunked\r\n",
    "an encoding nobody knows": b"Transfer-Encoding: gzip\r\n",
    "chunks with a tab before": b"Content-Length: 0\r\nTransfer-Encoding:\tchunked\r\n",
    "a blank before the colon": b"Content-Length : 0\r\n",
    "a folded length": b"Content-Length:\r\n 0\r\n",
    "a length folded on": b"Content-Length: 1\r\n 0\r\n",
    "a folded line at first": b" folded\r\nContent-Length: 0\r\n",
    "a folded line after another": b"Accept: a\r\n\tb\r\nContent-Length: 0\r\n",
    "an underscore for a dash": b"Content_Length: 0\r\n",
    "no colon": b"Content-Length\r\n",
    "no name": b": 0\r\n",
    "a bare line feed": b"Accept: a\nContent-Length: 0\r\n",
    "a bare carriage return": b"Accept: a\rContent-Length: 0\r\n",
    "a null": b"Accept: a\0\r\nContent-Length: 0\r\n",
    "two hosts": b"Host: y\r\nContent-Length: 0\r\n",
    "two authorizations": b"Authorization: a\r\nAuthorization: b\r\nContent-Length: 0\r\n",
    "two kinds of content": b"Content-Type: text/xml\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n",
    "two dates": b"X-Amz-Date: a\r\nx-amz-date: b\r\nContent-Length: 0\r\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def port():
    """Of an interface without a cloud: nothing here is signed."""
    nobody = SimpleNamespace(by_access_key=lambda key: None)
    has = {"cloud_id": "cloud-1", "clock": SystemClock(), "ids": SeededIds(2), "credentials": nobody}
    interface = euca_interface(Core(**{it.name: has.get(it.name) for it in fields(Core)}), {"port": 0})
    interface.start()
    yield interface.port
    interface.stop()


def conversation(port: int, data: bytes) -> bytes:
    """All that is answered until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := sock.recv(65536):
                answer += piece
        return answer


def statuses(answer: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.1 (\d+) ", answer)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_could_be_read_in_two_ways_is_refused(port, kind):
    answer = conversation(port, AHEAD + REFUSED[kind] + b"\r\n" + INSIDE)
    assert statuses(answer) == [b"400"], answer[:500]
    assert b"\r\nConnection: close\r\n" in answer


def test_versions_and_chunks_are_the_clients_doing(port):
    """SDKs try again what is answered with 5xx."""
    assert statuses(conversation(port, b"GET / HTTP/2.0\r\nHost: x\r\n\r\n" + INSIDE)) == [b"400"]
    chunks = b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"
    assert statuses(conversation(port, AHEAD + chunks))[0] == b"411"


@pytest.mark.parametrize(
    "more", [b"Content-Length: 3\r\n", b"content-length:3\r\n", b"CONTENT-LENGTH: \t003 \t\r\n", b"Content-Length: 3\r\nAccept: a\r\nAccept: b\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n"],
)  # fmt: skip
def test_what_can_be_read_in_one_way_only_is_read(port, more):
    answer = conversation(port, AHEAD + more + b"\r\na=b" + INSIDE)
    assert statuses(answer) == [b"401", b"404"], answer[:500]
