"""The image server over real TLS, with certificates of a real authority: who may have what, and what garbage does."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from euca_rpc.clock import HOUR, SECOND, SystemClock
from euca_rpc.errors import EucaError
from euca_rpc.images import client, porch, tickets
from euca_rpc.images.blobs import Blobs
from euca_rpc.images.cache import ImageCache
from euca_rpc.images.qcow2 import Limits
from euca_rpc.images.server import ImageServer
from euca_rpc.machines import BlobRef, CaptureOrder
from euca_rpc.wire.pki import Authority, Identity, PeerName, read_certificate
from euca_rpc.wire.tls import Contexts

KEY = b"ticket key of the cloud, 32 byte"
DISK = random.Random(5).randbytes(5 << 20)  # the same in every process that runs the tests
SHA256 = hashlib.sha256(DISK).hexdigest()
CLOCK = SystemClock()
ADMIN, NODE1, NODE2 = PeerName("admin"), PeerName("node", "open", "host1"), PeerName("node", "open", "host2")


class World:
    """An authority, a certificate for everybody, a server."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority.create(directory / "ca", "testcloud")
        self.blobs = Blobs(directory / "blobs")
        self.revoked: set[int] = set()
        images = self.contexts(PeerName("images"))
        limits = Limits(bytes=64 << 20)
        self.server = ImageServer(
            self.blobs, images.server, self.peer_of, KEY, "127.0.0.1", 0, CLOCK, limits, threads=4
        )
        self.server.start()
        self.url = f"https://127.0.0.1:{self.server.port}"

    def contexts(self, name: PeerName, authority: Authority | None = None) -> Contexts:
        authority = authority or self.authority
        directory = self.directory / f"{authority.cloud_id}-{name.path.replace('/', '-')}"
        if not directory.exists():
            request = Identity.make_key_and_csr(directory, name)
            Identity.install(directory, authority.issue(request, name), authority.ca_pem)
        return Contexts(Identity.load(directory))

    def peer_of(self, der: bytes) -> PeerName:
        peer = read_certificate(der)
        if peer.serial in self.revoked:
            raise EucaError("role_refused", f"the certificate of the {peer.name.text} was revoked")
        return peer.name

    def ask(self, who: PeerName, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
        """(status, headers, body)"""
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.server.port, timeout=10, context=self.contexts(who).client
        )
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, names)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def ticket(self, node: str = "node/open/host1", sha256: str = SHA256, lasts: int = HOUR) -> str:
        return tickets.issue(KEY, tickets.FETCH, {"sha256": sha256, "node": node}, CLOCK.wall() + lasts)

    def ref(self, **changes: Any) -> BlobRef:
        made = BlobRef(
            "emi-1", SHA256, len(DISK), len(DISK), "raw", f"{self.url}/blobs/{SHA256}", self.ticket()
        )
        return replace(made, **changes)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("images"))
    source = made.directory / "disk.raw"
    source.write_bytes(DISK)
    client.upload(made.url, made.contexts(ADMIN).client, source, "raw", "machine", "x86_64")
    yield made
    made.server.stop()


# ---------------------------------------------------------------------------------------------------- the way it goes
def test_an_upload_is_answered_with_a_receipt_and_a_node_gets_the_same_bytes(
    world: World, tmp_path: Path
) -> None:
    source, seen = tmp_path / "disk.raw", []
    source.write_bytes(DISK)
    receipt = client.upload(
        world.url,
        world.contexts(ADMIN).client,
        source,
        "raw",
        "machine",
        "x86_64",
        lambda *now: seen.append(now),
    )
    assert seen[-1] == (len(DISK), len(DISK))
    facts = tickets.check(KEY, receipt.pop("ticket"), tickets.RECEIPT, CLOCK.wall())
    assert facts == receipt
    assert facts == {
        "sha256": SHA256,
        "bytes": len(DISK),
        "virtual_bytes": len(DISK),
        "format": "raw",
        "kind": "machine",
        "architecture": "x86_64",
    }
    client.download(world.ref(), world.contexts(NODE1).client, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == DISK
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "disk.raw"]


@pytest.mark.parametrize(
    ("asked", "status", "begin", "end"),
    [
        ("bytes=0-", 206, 0, len(DISK)),
        ("bytes=1000-1999", 206, 1000, 2000),
        (f"bytes={len(DISK) - 1}-", 206, len(DISK) - 1, len(DISK)),
        ("bytes=-100", 206, len(DISK) - 100, len(DISK)),
        (f"bytes=100-{len(DISK) * 2}", 206, 100, len(DISK)),
        ("bytes=0-1,5-6", 200, 0, len(DISK)),
        ("lines=1-2", 200, 0, len(DISK)),
        (f"bytes={len(DISK)}-", 416, 0, 0),
        ("bytes=20-10", 416, 0, 0),
    ],
)
def test_ranges(world: World, asked: str, status: int, begin: int, end: int) -> None:
    got, headers, body = world.ask(NODE1, "GET", f"/blobs/{SHA256}", Range=asked, Euca_Ticket=world.ticket())
    assert (got, body) == (status, DISK[begin:end])
    if status == 206:
        assert headers["Content-Range"] == f"bytes {begin}-{end - 1}/{len(DISK)}"


def test_head_tells_the_size_alone(world: World) -> None:
    status, headers, body = world.ask(NODE1, "HEAD", f"/blobs/{SHA256}", Euca_Ticket=world.ticket())
    assert (status, headers["Content-Length"], body) == (200, str(len(DISK)), b"")


def test_hello_is_for_every_role(world: World) -> None:
    assert json.loads(world.ask(NODE2, "GET", "/hello")[2])["role"] == "images"


def test_a_broken_download_goes_on_where_it_ended(world: World, tmp_path: Path) -> None:
    (tmp_path / "copy.part").write_bytes(DISK[:3_000_000])  # what a killed process left
    steps: list[int] = []
    context = world.contexts(NODE1).client
    client.download(world.ref(), context, tmp_path / "copy", lambda done, of: steps.append(done))
    assert (tmp_path / "copy").read_bytes() == DISK
    assert steps[0] > 3_000_000


KILLED = """
import os, signal, sys
from pathlib import Path
from euca_rpc.images.client import download
from euca_rpc.machines import BlobRef, CaptureOrder
from euca_rpc.wire.pki import Identity
from euca_rpc.wire.tls import Contexts
identity, to, *ref = sys.argv[1:]
def die(done, of):
    if done > of // 2:
        os.kill(os.getpid(), signal.SIGKILL)
size = int(ref[2])
ref = BlobRef(ref[0], ref[1], size, size, "raw", ref[3], ref[4])
download(ref, Contexts(Identity.load(Path(identity))).client, Path(to), die)
"""


def test_a_cache_goes_on_with_what_a_killed_process_had_fetched(world: World, tmp_path: Path) -> None:
    ref, contexts = world.ref(), world.contexts(NODE1)
    facts = (ref.image_id, ref.sha256, str(ref.bytes), ref.url, ref.ticket)
    command = [sys.executable, "-c", KILLED, str(contexts.identity.directory), str(tmp_path / SHA256), *facts]
    assert subprocess.run(command, timeout=30).returncode == -signal.SIGKILL
    left = (tmp_path / f"{SHA256}.part").stat().st_size
    assert 0 < left < len(DISK)
    steps: list[int] = []

    def fetch(ref: BlobRef, to: Path) -> None:
        client.download(ref, contexts.client, to, lambda done, of: steps.append(done))

    cache = ImageCache(tmp_path, fetch, len(DISK), CLOCK)
    assert cache.contents() == {}
    assert cache.fetch(ref).read_bytes() == DISK
    assert steps[0] > left
    assert cache.contents() == {SHA256: len(DISK)}


def test_damaged_bytes_are_thrown_away(world: World, tmp_path: Path) -> None:
    (tmp_path / "copy.part").write_bytes(b"x" + DISK[1:3_000_000])
    context = world.contexts(NODE1).client
    with pytest.raises(EucaError, match="They were thrown away") as refusal:
        client.download(world.ref(), context, tmp_path / "copy")
    assert refusal.value.symbol == "image_refused"
    assert list(tmp_path.iterdir()) == []
    client.download(world.ref(), context, tmp_path / "copy")


def test_a_broken_upload_goes_on_where_it_ended(world: World, tmp_path: Path) -> None:
    disk = os.urandom(4 << 20)
    source = tmp_path / "disk.raw"
    source.write_bytes(disk)
    sha256 = hashlib.sha256(disk).hexdigest()
    name = hashlib.sha256(f"{sha256} raw machine x86_64".encode()).hexdigest()
    part = world.blobs.upload(name)
    part.write(disk[: 3 << 20])
    part.close()
    steps: list[int] = []
    context = world.contexts(ADMIN).client
    receipt = client.upload(
        world.url, context, source, "raw", "machine", "x86_64", lambda done, of: steps.append(done)
    )
    assert receipt["sha256"] == sha256
    assert steps[0] > 3 << 20
    assert world.blobs.path(sha256).read_bytes() == disk
    assert list(world.blobs.incoming.iterdir()) == []


def test_an_upload_at_the_wrong_place_is_refused(world: World) -> None:
    status, _, body = world.ask(
        *(ADMIN, "PUT", "/blobs?format=raw&kind=machine&architecture=x86_64", b"x" * 512),
        **{"Euca-Upload": "elsewhere", "Content-Range": "bytes 512-1023/1024"},
    )
    assert (status, json.loads(body)["facts"]) == (409, {"offset": 0})


def test_delete_needs_a_forget_ticket(world: World) -> None:
    sha256 = world.blobs.put(io.BytesIO(b"to be forgotten"))[0]
    for ticket, says in (
        ("", "A ticket for 'forget' is needed here, and none was shown"),
        (world.ticket(sha256=sha256), "it is one for 'fetch'"),
        (tickets.issue(KEY, tickets.FORGET, {"sha256": SHA256}, CLOCK.wall() + HOUR), "for another sha256"),
    ):
        status, _, body = world.ask(ADMIN, "DELETE", f"/blobs/{sha256}", Euca_Ticket=ticket)
        assert status == 403
        assert says in json.loads(body)["sentence"]
    forget = tickets.issue(KEY, tickets.FORGET, {"sha256": sha256}, CLOCK.wall() + HOUR)
    assert world.ask(NODE1, "DELETE", f"/blobs/{sha256}", Euca_Ticket=forget)[0] == 403
    assert world.blobs.path(sha256).exists()
    assert json.loads(world.ask(ADMIN, "DELETE", f"/blobs/{sha256}", Euca_Ticket=forget)[2]) == {
        "deleted": True
    }
    with pytest.raises(EucaError):
        world.blobs.path(sha256)


# ------------------------------------------------------------------------------------------ what a node may store
def order(world: World, node: str = "node/open/host1", lasts: int = HOUR, **changes: Any) -> CaptureOrder:
    facts: dict[str, Any] = {"image_id": "emi-0000000a", "node": node, "architecture": "x86_64"}
    facts |= {"most_bytes": 4 << 20, **changes}
    ticket = tickets.issue(KEY, tickets.STORE, facts, CLOCK.wall() + lasts)
    return CaptureOrder("emi-0000000a", "i-0000000a", 1, "x86_64", 4 << 20, world.url, ticket)


def copied(folder: Path, seed: int, size: int = 2 << 20) -> Path:
    path = folder / "copy"
    path.write_bytes(random.Random(seed).randbytes(size))
    return path


def test_a_node_stores_the_one_image_that_its_ticket_names(world: World, tmp_path: Path) -> None:
    copy = copied(tmp_path, 71)
    sha256 = hashlib.sha256(copy.read_bytes()).hexdigest()
    node = world.contexts(NODE1).client
    for _ in range(2):  # the answer may have been lost
        facts = tickets.check(
            KEY, client.store(order(world), copy, "raw", node), tickets.RECEIPT, CLOCK.wall() + 20 * HOUR
        )
        assert facts == {
            "sha256": sha256,
            "bytes": 2 << 20,
            "virtual_bytes": 2 << 20,
            "format": "raw",
            "kind": "machine",
            "architecture": "x86_64",
            "image_id": "emi-0000000a",
        }
    assert world.blobs.path(sha256).read_bytes() == copy.read_bytes()


def test_what_a_ticket_does_not_name_a_node_cannot_store(world: World, tmp_path: Path) -> None:
    copy = copied(tmp_path, 72)
    node = world.contexts(NODE1).client

    def refused(given: CaptureOrder, file: Path = copy, format: str = "raw") -> str:
        with pytest.raises(EucaError) as caught:
            client.store(given, file, format, node)
        return f"{caught.value.symbol}: {caught.value.sentence}"

    assert "denied: A ticket for 'store'" in refused(replace(order(world), ticket=""))
    assert "for another node" in refused(order(world, node="node/open/host2"))
    assert "it ended at" in refused(order(world, lasts=-SECOND))
    assert "it is one for 'fetch'" in refused(replace(order(world), ticket=world.ticket()))
    assert "for uploads of emi-0000000b" in refused(order(world, image_id="emi-0000000b"))
    assert "machine image of aarch64" in refused(order(world, architecture="aarch64"))
    assert "its ticket allows 1048576" in refused(order(world, most_bytes=1 << 20))
    assert refused(order(world), format="qcow2").startswith("image_refused")  # inspected like any other
    copy.write_bytes(b"QFI\xfb".ljust(1 << 20, b"\0"))
    assert "begins like qcow2" in refused(order(world))
    words = {"Euca_Ticket": order(world).ticket, "Euca_Upload": "emi-0000000a-1"}
    kernel = "/blobs?format=raw&kind=kernel&architecture=x86_64"
    assert world.ask(NODE1, "PUT", kernel, b"x", **words)[0] == 403
    for name in ("once", "emi-0000000b-1", "emi-0000000a"):
        assert world.ask(NODE1, "HEAD", f"/uploads/{name}", **words)[0] == 403
    assert not [path for path in world.blobs.incoming.iterdir() if path.name.startswith("emi-")]


def test_a_nodes_upload_that_broke_off_is_resumed_and_another_copy_is_another_upload(
    world: World, tmp_path: Path
) -> None:
    copy = copied(tmp_path, 73)
    content = copy.read_bytes()
    name = f"emi-0000000a-{hashlib.sha256(content).hexdigest()[:32]}"
    (world.blobs.incoming / f"{name}.part").write_bytes(content[: 1 << 20])
    (world.blobs.incoming / "emi-0000000a-other.part").write_bytes(b"of another copy")
    sent: list[int] = []
    real = client._chunks

    def counted(path: Path, begin: int, size: int, progress: Any) -> Any:
        sent.append(size - begin)
        return real(path, begin, size, progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "_chunks", counted)
        client.store(order(world), copy, "raw", world.contexts(NODE1).client)
    assert sent == [1 << 20]
    (world.blobs.incoming / "emi-0000000a-other.part").unlink()


# ------------------------------------------------------------------------------------------------------- refusals
def test_a_fetch_is_for_the_node_the_ticket_names_and_nobody_else(world: World) -> None:
    def refused(who: PeerName, ticket: str, sha256: str = SHA256) -> str:
        status, _, body = world.ask(who, "GET", f"/blobs/{sha256}", Euca_Ticket=ticket)
        assert status == 403
        assert DISK[:64] not in body
        return str(json.loads(body)["sentence"])

    assert "none was shown" in refused(NODE1, "")
    assert "for another node than 'node/open/host2'" in refused(NODE2, world.ticket())
    assert "for another sha256" in refused(NODE1, world.ticket(sha256="0" * 64))
    assert "it ended at" in refused(NODE1, world.ticket(lasts=-SECOND))
    forged = tickets.issue(
        b"x" * 32, tickets.FETCH, {"sha256": SHA256, "node": "node/open/host1"}, CLOCK.wall() + HOUR
    )
    assert "its seal is wrong" in refused(NODE1, forged)
    assert "for the role node; the certificate shown is of admin//" in refused(ADMIN, world.ticket())


def test_only_an_administrator_uploads(world: World) -> None:
    path = "/blobs?format=raw&kind=machine&architecture=x86_64"
    for who, wanted in (
        (NODE1, "A ticket for 'store' is needed"),
        (PeerName("cloud"), "A ticket for 'upload' is needed"),
        (PeerName("cluster", "open"), "for the role admin"),
    ):
        status, _, body = world.ask(who, "PUT", path, b"\0" * 512)
        assert status == 403
        assert wanted in json.loads(body)["sentence"]
    assert list(world.blobs.incoming.iterdir()) == []


def test_a_hostile_upload_is_refused_and_leaves_nothing(world: World, tmp_path: Path) -> None:
    source = tmp_path / "disk"
    source.write_bytes(b"QFI\xfb".ljust(4 << 20, b"\0"))
    before = dict(world.blobs.list())
    with pytest.raises(EucaError, match="declared raw but begins like qcow2") as refusal:
        client.upload(world.url, world.contexts(ADMIN).client, source, "raw", "machine", "x86_64")
    assert refusal.value.symbol == "image_refused"
    with pytest.raises(EucaError, match="format is one of"):
        client.upload(world.url, world.contexts(ADMIN).client, source, "vmdk", "machine", "x86_64")
    source.write_bytes(b"")
    os.truncate(source, (64 << 20) + 512)
    with pytest.raises(EucaError, match="may have 67108864"):
        client.upload(world.url, world.contexts(ADMIN).client, source, "raw", "machine", "x86_64")
    assert dict(world.blobs.list()) == before
    assert list(world.blobs.incoming.iterdir()) == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 400),
        ("POST", f"/blobs/{SHA256}", 400),
        ("GET", "/blobs/../../../etc/passwd", 400),
        ("GET", "/blobs/..%2f..%2f..%2fetc%2fpasswd", 403),
        ("GET", "/blobs/%2e%2e", 403),
        ("GET", "/blobs/", 403),
        ("HEAD", "/uploads/../x", 400),
        ("BREW", "/coffee", 400),
    ],
)
def test_anything_else_is_answered_with_a_reason(world: World, method: str, path: str, status: int) -> None:
    got, _, body = world.ask(NODE1, method, path)
    assert 400 <= got < 500
    assert got in (status, 404, 405)
    if method != "HEAD":
        assert b"root:" not in body


def test_a_path_cannot_leave_the_store_even_with_a_ticket_for_it(world: World) -> None:
    for name in ("..", "../blobs", "incoming", "%2e%2e"):
        ticket = world.ticket(sha256=name.replace("%2e", "."))
        status, _, body = world.ask(NODE1, "GET", f"/blobs/{name}", Euca_Ticket=ticket)
        assert status in (400, 403, 404), body


def test_a_revoked_certificate_is_told_so(world: World) -> None:
    gone = PeerName("node", "open", "gone")
    context = world.contexts(gone)
    world.revoked.add(context.identity.own.serial)
    status, _, body = world.ask(gone, "GET", "/hello")
    assert status == 403
    assert "node controller open/gone was revoked" in json.loads(body)["sentence"]


def test_strangers_and_the_uncertified_do_not_get_in(world: World, tmp_path: Path) -> None:
    foreign = Authority.create(tmp_path / "ca", "othercloud")
    context = world.contexts(ADMIN, foreign).client
    context.load_verify_locations(
        cadata=world.authority.ca_pem.decode()
    )  # it accepts us; we must not accept it
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.check_hostname, bare.verify_mode = False, ssl.CERT_NONE
    for each in (context, bare):
        connection = http.client.HTTPSConnection("127.0.0.1", world.server.port, timeout=5, context=each)
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
            talk(connection)
        connection.close()


def talk(connection: http.client.HTTPSConnection) -> None:
    connection.request("GET", "/hello")
    connection.getresponse()


def test_the_client_refuses_a_server_that_is_not_the_image_server(world: World, tmp_path: Path) -> None:
    impostor = ImageServer(
        world.blobs, world.contexts(NODE2).server, world.peer_of, KEY, "127.0.0.1", 0, CLOCK
    )
    impostor.start()
    try:
        url = f"https://127.0.0.1:{impostor.port}/blobs/{SHA256}"
        with pytest.raises(EucaError, match="the node controller open/host2 answered"):
            client.download(world.ref(url=url), world.contexts(NODE1).client, tmp_path / "copy")
    finally:
        impostor.stop()


# -------------------------------------------------------------------------------------------------------- garbage
def good_request_takes(world: World) -> float:
    began = time.monotonic()
    assert world.ask(NODE1, "GET", "/hello")[0] == 200
    return time.monotonic() - began


def test_garbage_harms_nobody(world: World) -> None:
    for junk in (
        os.urandom(4096),
        b"GET /hello HTTP/1.0\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + b"A" * 70000,
        b"",
    ):
        with socket.create_connection(("127.0.0.1", world.server.port)) as raw:
            raw.sendall(junk)
    for request in (
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /hello HTTP/1.1\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
        b"GET /hello HTTP/1.1\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
        os.urandom(5000) + b"\r\n\r\n",
        b"PUT /blobs HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"PUT /blobs HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ):
        plain = socket.create_connection(("127.0.0.1", world.server.port), timeout=5)
        with world.contexts(ADMIN).client.wrap_socket(plain) as sock:
            answer = b""
            try:
                sock.sendall(request)
                answer = sock.recv(64)
            except OSError:
                pass
            assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
        assert good_request_takes(world) < 1


def test_silent_connections_and_slow_handshakes_stall_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(porch, "HANDSHAKE", 1.0)
    silent = [
        socket.create_connection(("127.0.0.1", world.server.port)) for _ in range(40)
    ]  # 10 times the threads
    for sock in silent[:20]:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a handshake
    try:
        assert good_request_takes(world) < 1
        for sock in silent:  # and they are hung up on
            sock.settimeout(5)
            assert sock.recv(100) == b""
    finally:
        for sock in silent:
            sock.close()


def test_certified_ones_that_drip_are_cut_and_the_next_request_served(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(porch, "HEADERS", 1.0)
    context = world.contexts(NODE1).client
    stop = threading.Event()

    def drip() -> bool:
        with context.wrap_socket(
            socket.create_connection(("127.0.0.1", world.server.port), timeout=5)
        ) as sock:
            try:
                for byte in b"GET /hello HTTP/1.1\r\nX: " + b"y" * 1000:
                    sock.send(bytes([byte]))
                    if stop.wait(0.05):
                        return False
            except OSError:
                return True
        return False

    with ThreadPoolExecutor(8) as pool:  # twice the threads
        dripping = [pool.submit(drip) for _ in range(8)]
        time.sleep(0.3)
        assert good_request_takes(world) < 8
        assert all(future.result(20) for future in dripping)
        stop.set()
    assert good_request_takes(world) < 1


def test_clients_at_once(world: World, tmp_path: Path) -> None:
    context = world.contexts(NODE1).client
    with ThreadPoolExecutor(12) as pool:
        futures = [pool.submit(client.download, world.ref(), context, tmp_path / str(n)) for n in range(12)]
        for future in futures:
            future.result(20)
    assert all((tmp_path / str(n)).stat().st_size == len(DISK) for n in range(12))


def test_a_server_that_is_gone_is_unreachable(world: World, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(EucaError, match=f"The image server at 127.0.0.1:{port} does not answer") as refusal:
        client.download(
            world.ref(url=f"https://127.0.0.1:{port}/blobs/x"), world.contexts(NODE1).client, tmp_path / "c"
        )
    assert refusal.value.symbol == "unreachable"


def test_a_context_that_does_not_ask_for_certificates_is_refused(world: World) -> None:
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(ValueError, match="must require certificates"):
        ImageServer(world.blobs, bare, world.peer_of, KEY, "127.0.0.1", 0, CLOCK)


# ------------------------------------------------------------------------------------- passed on from a page
CLOUD = PeerName("cloud")
PASSED = ("raw", "machine", "x86_64")


def upload_ticket(size: int, declared: tuple[str, str, str] = PASSED) -> str:
    facts = dict(zip(("format", "kind", "architecture"), declared, strict=True))
    return tickets.issue(KEY, tickets.UPLOAD, {"user": "ann", "bytes": size, **facts}, CLOCK.wall() + HOUR)


def pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 65536):
        yield data[start : start + 65536]


def test_the_cloud_controller_passes_on_what_its_ticket_is_for(world: World) -> None:
    context = world.contexts(CLOUD).client
    data = random.Random(7).randbytes(3 << 20)
    receipt = client.pass_on(world.url, context, upload_ticket(len(data)), PASSED, len(data), pieces(data))
    facts = tickets.check(KEY, receipt, tickets.RECEIPT, CLOCK.wall())
    assert (facts["sha256"], facts["bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))
    assert world.blobs.path(str(facts["sha256"])).read_bytes() == data
    for ticket, declared in (
        ("", PASSED),
        (upload_ticket(len(data) - 1), PASSED),
        (upload_ticket(len(data)), ("qcow2", "machine", "x86_64")),
        (world.ticket(), PASSED),
    ):
        with pytest.raises(EucaError) as refused:
            client.pass_on(world.url, context, ticket, declared, len(data), pieces(data))
        assert refused.value.symbol == "denied"
    assert not list(world.blobs.incoming.iterdir())


def test_the_cloud_controller_neither_resumes_nor_fetches_nor_deletes_without_a_ticket(world: World) -> None:
    assert world.ask(CLOUD, "GET", "/uploads/abc")[0] == 403
    assert world.ask(CLOUD, "GET", f"/blobs/{SHA256}", Euca_Ticket=world.ticket())[0] == 403
    assert world.ask(CLOUD, "DELETE", f"/blobs/{SHA256}")[0] == 403
    status, _, _ = world.ask(
        CLOUD, "PUT", "/blobs?format=raw&kind=machine&architecture=x86_64", b"x" * 512, Euca_Upload="mine"
    )
    assert status == 403


def test_what_breaks_off_on_the_way_leaves_nothing(world: World) -> None:
    def breaks() -> Iterator[bytes]:
        yield b"\0" * 65536
        raise EucaError("parameter_invalid", "the browser went away")

    context = world.contexts(CLOUD).client
    with pytest.raises(EucaError, match="the browser went away"):
        client.pass_on(world.url, context, upload_ticket(1 << 20), PASSED, 1 << 20, breaks())
    until = time.monotonic() + 10
    while (left := list(world.blobs.incoming.iterdir())) and time.monotonic() < until:
        time.sleep(0.05)
    assert not left


def test_a_hostile_image_is_refused_in_the_servers_words(world: World) -> None:
    data = b"QFI\xfb" + bytes(508)
    with pytest.raises(EucaError, match="declared raw but begins like qcow2") as refused:
        client.pass_on(world.url, world.contexts(CLOUD).client, upload_ticket(512), PASSED, 512, pieces(data))
    assert refused.value.symbol == "image_refused"


def test_bytes_are_forgotten_with_a_ticket_for_them(world: World) -> None:
    data = random.Random(8).randbytes(1 << 20)
    context = world.contexts(CLOUD).client
    client.pass_on(world.url, context, upload_ticket(len(data)), PASSED, len(data), pieces(data))
    sha256 = hashlib.sha256(data).hexdigest()
    other = tickets.issue(KEY, tickets.FORGET, {"sha256": SHA256}, CLOCK.wall() + HOUR)
    with pytest.raises(EucaError):
        client.forget(world.url, context, sha256, other)
    assert world.blobs.path(sha256)
    client.forget(
        world.url,
        context,
        sha256,
        tickets.issue(KEY, tickets.FORGET, {"sha256": sha256}, CLOCK.wall() + HOUR),
    )
    with pytest.raises(EucaError):
        world.blobs.path(sha256)
