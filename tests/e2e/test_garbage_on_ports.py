"""Garbage at every port of a running cloud: it ends within its limit, and the next good call is answered at once.

The garbage is seeded random: what failed once fails again.  Judged are the answers (4xx or a closed connection), the
good calls in between, the daemons' process ids, and their memory over repeated rounds.
"""

from __future__ import annotations

import random
import re
import resource
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlencode

import pytest
from wardrobe import OF_ROLE, Wardrobe, one_of_everything

from euca_rpc.wire.contracts import ADMIN, CLOUD, CLUSTER, NODE
from euca_rpc.wire.listener import PENDING
from euca_rpc.wire.pki import Identity
from euca_rpc.wire.tls import Contexts

pytestmark = [pytest.mark.real]

SEED = 20261
QUICK = 2.0  # seconds, for a good call in the middle of it; the machine may be busy
STRANGER, REQUEST, INSIDER = (
    5.0,
    10.0,
    30.0,
)  # limits of a handshake, an EC2 request, a message under a certificate
SLACK = 3.0
REMOTE = ("cloud", "nameserver", "cluster-zone-a", "node-zone-a-host-1")  # ports of remote objects
EC2_THREADS, IMAGE_THREADS = 10, 16
PATH = "/services/Eucalyptus"


# ------------------------------------------------------------------------------------------------ the garbage
def client_hello() -> bytes:
    """A whole one, as OpenSSL sends it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl._create_unverified_context().wrap_bio(incoming, outgoing)
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def for_any_port(dice: random.Random) -> Iterator[bytes]:
    yield from (dice.randbytes(dice.randrange(1, 5000)) for _ in range(8))
    yield b""  # silence
    yield b"\0" * 10000
    yield b"\xff" * 10000
    yield b"\r\n" * 5000
    yield b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    yield b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * (1 << 20) + b"\r\n\r\n"  # a huge header
    yield b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n\r\n"
    yield b"PYRO" + dice.randbytes(400)
    hello = client_hello()
    yield hello[: len(hello) // 2]  # half open
    yield hello  # and then not a word
    yield hello + dice.randbytes(2000)
    yield hello[:9] + dice.randbytes(len(hello) - 9)
    yield b"\x16\x03\x01\xff\xff" + dice.randbytes(70000)
    yield b"\x15\x03\x03\x00\x02\x02\x50"  # an alert, at once
    yield b"\x80\x2e\x01\x03\x01" + dice.randbytes(40)  # SSL 2


def for_ec2(dice: random.Random) -> Iterator[bytes]:
    """Whole HTTP requests, each of them wrong."""

    def post(body: bytes, kind: str = "application/x-www-form-urlencoded", *more: str) -> bytes:
        head = [f"POST {PATH} HTTP/1.1", "Host: x", f"Content-Type: {kind}", *more]
        return (
            "\r\n".join([*head, f"Content-Length: {len(body)}", "Connection: close", "", ""]).encode() + body
        )

    deep = b"<a>" * 100_000 + b"</a>" * 100_000
    laughs = b'<!DOCTYPE x [<!ENTITY a "ha">' + b"".join(
        b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9)
    )
    yield post(deep, "text/xml")
    yield post(laughs + b"]><x>&j;</x>", "text/xml")
    yield post(b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>', "text/xml")
    yield post("&".join(f"InstanceId.{n}=i-{n:08x}" for n in range(30_000)).encode())
    yield post(b"&".join(b"a=1" for _ in range(100_000)))
    yield post(b"Action=" + b"%" * 100_000)
    yield post(b"Action=\xff\xfe\x00&Version=" + dice.randbytes(3000))
    yield post(b"Action=DescribeInstances&Version=2016-11-15&Filter.999999999999999999.Name=x")
    yield post(b"x" * (1 << 20) + b"more than a MiB")
    yield post(b"", "text/xml; charset=" + "x" * 5000)
    yield b"POST " + PATH.encode() + b" HTTP/1.1\r\nContent-Length: -5\r\n\r\nhello"
    yield b"POST " + PATH.encode() + b" HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"
    yield b"POST " + PATH.encode() + b" HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"
    yield b"POST " + PATH.encode() + b" HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n"
    yield b"BREW " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    yield b"GET /" + b"../" * 50 + b"etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    yield (
        b"GET "
        + PATH.encode()
        + b" HTTP/1.1\r\n"
        + b"".join(b"H%d: x\r\n" % n for n in range(5000))
        + b"\r\n"
    )
    yield b"GET " + PATH.encode() + b" HTTP/9.9\r\n\r\n"


def for_insiders(dice: random.Random) -> Iterator[bytes]:
    """What somebody with a certificate may send to a remote object's port: each is wrong in its first 40 bytes, or
    complete and wrong inside."""
    yield dice.randbytes(400)
    yield b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b" " * 40

    def message(
        payload: bytes, kind: int = 4, serializer: int = 4, flags: int = 64, claimed: int = -1
    ) -> bytes:
        size = len(payload) if claimed < 0 else claimed
        head = struct.pack("!4sHBBHHIIHH", b"PYRO", 502, kind, serializer, flags, 1, size, 0, 0, 0)
        return head[:24] + dice.randbytes(16) + head[24:] + payload

    yield message(b"", claimed=0xFFFFFFF0)
    yield message(dice.randbytes(300))
    yield message(b"\x91" * 100_000 + b"\xc0")  # lists in lists in lists
    yield message(b"\xdd\xff\xff\xff\xff")  # a list of four thousand million
    yield message(b"\x80\x04cos\nsystem\n", serializer=2)
    for _ in range(10):
        yield message(dice.randbytes(dice.randrange(1, 200)), flags=dice.randrange(0, 1 << 16))


# ------------------------------------------------------------------------------------------- sending, judging
class Thrown:
    """Garbage on its way; `judge` says how it ended."""

    def __init__(
        self, name: str, port: int, data: bytes, limit: float, identity: Identity | None = None
    ) -> None:
        self.name, self.data, self.limit = name, data, limit
        self.sock: socket.socket = socket.create_connection(("127.0.0.1", port), 10)
        with suppress(OSError):
            if identity is not None:
                self.sock = Contexts(identity).client.wrap_socket(self.sock)
            self.sock.sendall(data)
        self.sent = time.monotonic()

    def judge(self) -> str:
        """What came back, until the other side closed; an AssertionError if it does not within the limit."""
        answer = b""
        until = self.sent + self.limit + SLACK
        with self.sock:
            while True:
                self.sock.settimeout(max(0.05, until - time.monotonic()))
                try:
                    piece = self.sock.recv(65536)
                except TimeoutError:
                    if answered_in_full(answer):
                        break  # refused, and the connection kept for a better request
                    raise AssertionError(
                        f"{self.name} still holds {self.data[:60]!r}… after {self.limit + SLACK:g} s; said {answer!r}"
                    ) from None
                except OSError:
                    break
                if not piece:
                    break
                answer += piece
        if answer.startswith(b"HTTP/"):
            status = int(answer.split()[1])
            blamed = (
                b"<faultcode>Client." in answer
            )  # SOAP's own rule: every fault is a 500, its code says whose
            fine = 400 <= status < 500 or status == 505 or (status == 500 and blamed)
            assert fine, (self.name, self.data[:60], answer[:600])
            return str(status)
        assert not answer or answer[:1] in b"\x14\x15\x16\x17P", (self.name, self.data[:60], answer[:300])
        return "closed"


def answered_in_full(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    lengths = re.findall(rb"(?i)\r\nContent-Length: (\d+)", head)
    return bool(end) and [int(length) for length in lengths] == [len(body)]


@contextmanager
def unharmed(cloud: Any, wardrobe: Wardrobe, growth_mb: float = 60.0) -> Iterator[Callable[[], float]]:
    """The same processes before and after, no more memory than ``growth_mb`` above what they had; inside, call it for
    a round of good calls, which answers with the slowest."""
    calls = one_of_everything(wardrobe)

    def good() -> float:
        slowest = 0.0
        for name, call in calls.items():
            began = time.monotonic()
            assert call(), name
            took = time.monotonic() - began
            assert took < QUICK, f"{name} took {took:.2f} s"
            slowest = max(slowest, took)
        return slowest

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    before = cloud.daemons
    memory = {name: cloud.memory_mb(name) for name in before}
    try:
        good()
        yield good
        good()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert cloud.daemons == before, "every daemon lived on"
    grown = {name: cloud.memory_mb(name) - memory[name] for name in before}
    print({name: f"{mb:+.1f}" for name, mb in grown.items() if mb > 1}, "MB")
    assert max(grown.values()) < growth_mb, grown
    assert cloud.all_up()


def everything(cloud: Any, wardrobe: Wardrobe, dice: random.Random) -> list[Thrown]:
    thrown = []
    kinds = [name for name in cloud.ports if not name.startswith("node-") or name.endswith("a-host-1")]
    for name in kinds:
        limit = REQUEST if name == "ec2" else REQUEST + STRANGER if name == "enrol" else STRANGER
        thrown += [Thrown(name, cloud.ports[name], data, limit) for data in for_any_port(dice)]
    thrown += [Thrown("ec2", cloud.ports["ec2"], data, REQUEST) for data in for_ec2(dice)]
    for name, peer in (("cloud", ADMIN), ("cluster-zone-a", CLOUD), ("node-zone-a-host-1", CLUSTER)):
        identity = wardrobe.identity(OF_ROLE[peer])
        thrown += [Thrown(name, cloud.ports[name], data, STRANGER, identity) for data in for_insiders(dice)]
    return thrown


def test_garbage_ends_within_its_limit_and_good_calls_go_on(cloud: Any, wardrobe: Wardrobe) -> None:
    dice = random.Random(SEED)
    with unharmed(cloud, wardrobe) as good:
        thrown = everything(cloud, wardrobe, dice)
        good()
        (id,) = cloud.launch(zone="zone-a")
        cloud.until("running", [id], 10.0)
        endings = [one.judge() for one in thrown]
        assert len(endings) > 200
        assert {"closed", "400", "413"} <= set(endings), set(endings)


def test_signed_garbage_is_refused_with_its_reason(cloud: Any, wardrobe: Wardrobe) -> None:
    """A hundred thousand parameters with a perfect signature, and the like: known, and refused all the same."""
    dice = random.Random(SEED)
    many = {f"InstanceId.{n}": f"i-{n:08x}" for n in range(1, 30_001)}
    bodies = [
        urlencode({"Action": "DescribeInstances", "Version": "2016-11-15", **many}).encode(),
        b"Action=DescribeInstances&Version=2016-11-15" + b"&a=1" * 100_000,
        urlencode(
            {"Action": "DescribeInstances", "Version": "2016-11-15", "Filter.1.Name": "x" * 200_000}
        ).encode(),
        urlencode({"Action": "Nonsense", "Version": "2016-11-15"}).encode(),
        urlencode({"Action": "DescribeInstances", "Version": dice.randbytes(20).hex()}).encode(),
        urlencode({"Action": "RunInstances", "Version": "2016-11-15", "MinCount": "9" * 4000}).encode(),
    ]
    with unharmed(cloud, wardrobe) as good:
        for body in bodies:
            began = time.monotonic()
            status, text = cloud.post(body, cloud.signed(body))
            assert 400 <= status < 500, (status, text[:300])
            assert re.search(r"<Code>\w[\w.]+</Code>\s*<Message>[^<]{15,}</Message>", text), text[:300]
            assert time.monotonic() - began < QUICK
            assert len(text) < 10_000, "nobody is sent his own garbage back"
        assert good() < QUICK


class Drip:
    """A connection that sends its request a byte at a time."""

    def __init__(self, port: int, data: bytes, identity: Identity | None = None) -> None:
        self.sock: socket.socket = socket.create_connection(("127.0.0.1", port), 10)
        if identity is not None:
            self.sock = Contexts(identity).client.wrap_socket(self.sock)
        self.data = iter(data)

    def drop(self) -> None:
        with suppress(OSError, StopIteration):
            self.sock.send(bytes([next(self.data)]))


def test_ten_times_as_many_dripping_clients_as_threads_hold_nobody_up(cloud: Any, wardrobe: Wardrobe) -> None:
    hello = client_hello()
    request = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nX: {'y' * 500}".encode()
    ports = cloud.ports
    with unharmed(cloud, wardrobe) as good:
        drips = [Drip(ports["ec2"], request) for _ in range(10 * EC2_THREADS)]
        drips += [Drip(ports["images"], hello) for _ in range(10 * IMAGE_THREADS)]
        for name in ("enrol", *REMOTE):
            drips += [Drip(ports[name], hello) for _ in range(100)]
        began, rounds = time.monotonic(), 0
        while time.monotonic() - began < 4.0:
            for drip in drips:
                drip.drop()
            good()
            rounds += 1
        assert rounds >= 2
        (id,) = cloud.launch(zone="zone-b")
        cloud.until("running", [id], 10.0)
        for drip in drips:
            drip.sock.close()


@pytest.mark.parametrize("name", ["enrol", *REMOTE])
def test_ten_times_as_many_strangers_as_a_daemon_listens_to_hold_nobody_up(
    cloud: Any, wardrobe: Wardrobe, name: str
) -> None:
    """Of those that have no certificate yet a daemon listens to `PENDING`, each in a thread; the oldest goes first."""
    hello = client_hello()
    for growth_mb in (200.0, 60.0):  # what so many threads take at first is used again, most of it
        with unharmed(cloud, wardrobe, growth_mb=growth_mb) as good:
            drips = [Drip(cloud.ports[name], hello) for _ in range(10 * PENDING)]
            for _ in range(3):
                for drip in drips:
                    drip.drop()
                assert good() < QUICK
            for drip in drips:
                drip.sock.close()


def test_dripping_clients_with_a_certificate_hold_nobody_up(cloud: Any, wardrobe: Wardrobe) -> None:
    """Worse than strangers: they are past the handshake, and may be taken for nodes that want an image."""
    node = wardrobe.identity(OF_ROLE[NODE])
    request = b"GET /hello HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 500
    with unharmed(cloud, wardrobe) as good:
        drips = [Drip(cloud.ports["images"], request, node) for _ in range(10 * IMAGE_THREADS)]
        began = time.monotonic()
        while time.monotonic() - began < 2.0:
            for drip in drips:
                drip.drop()
            good()
        for drip in drips:
            drip.sock.close()


@pytest.mark.long
@pytest.mark.parametrize("round_", range(5))
def test_memory_does_not_grow_with_garbage(cloud: Any, wardrobe: Wardrobe, round_: int) -> None:
    """After a first round has warmed everything up, five more cost next to nothing."""
    dice = random.Random(SEED + round_)
    if round_ == 0:
        for one in everything(cloud, wardrobe, dice):
            one.judge()
    with unharmed(cloud, wardrobe, growth_mb=12.0):
        for one in everything(cloud, wardrobe, dice):
            one.judge()
