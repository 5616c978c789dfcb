"""Garbage, oversize, and clients that drip, stay silent or do not read: answered with 4xx, cut in time, and nobody else
notices."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import random
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

JSON = "Content-Type: application/json"


def talk(scene: Any, *pieces: bytes, pause: float = 0.0) -> bytes:
    """What is answered to these bytes until the server closes."""
    with socket.create_connection(("127.0.0.1", scene.rest.port), timeout=10) as sock:
        with contextlib.suppress(OSError):  # it may have had enough already
            for piece in pieces:
                sock.sendall(piece)
                time.sleep(pause)
            sock.shutdown(socket.SHUT_WR)
        return read(sock)


def read(sock: socket.socket) -> bytes:
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := sock.recv(65536):
            got += piece
    return got


def status(raw: bytes) -> int:
    return int(raw.split(b" ", 2)[1])


def alive(scene: Any) -> bool:
    began = time.monotonic()
    return scene.ask("GET", "/v1/zones", by="ann").status == 200 and time.monotonic() - began < 2


HEADS = [
    (b"nonsense\r\n\r\n", 400),
    (b"GET\r\n\r\n", 400),
    (b"GET / HTTP/2.0\r\n\r\n", 400),
    (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET http://a/v1 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /v1/zones HTTP/1.1\r\n\r\n", 400),  # no Host
    (b"GET /v1/zones HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    (b"GET /v1/zones HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    (b"GET /v1/zones HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
    (b"GET /v1/zones HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
    (b"GET /v1/zones HTTP/1.1\r\nHost: a\0\r\n\r\n", 400),
    (b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400),
    (b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\n{}", 400),
    (b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: 0x2\r\n\r\n{}", 400),
    (b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
    (
        b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        411,
    ),
    (b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n" + b"x" * 65537, 413),
    (b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999\r\n\r\n", 413),
    (b"GET /v1/zones HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20000 + b"\r\n\r\n", 431),
    (b"GET /" + b"x" * 100000, 431),
    (b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    (b"GET /v1/zones/a/b HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    (b"GET /v1/../v1/zones HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    (b"GET //v1/zones HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    (b"GET /v1/zones/%ff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"PATCH /v1/zones HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    (b"OPTIONS /v1/zones HTTP/1.1\r\nHost: a\r\n\r\n", 405),
]


@pytest.mark.parametrize(("raw", "wanted"), HEADS, ids=[str(n) for n in range(len(HEADS))])
def test_a_wrong_head_is_refused(scene: Any, raw: bytes, wanted: int) -> None:
    answered = talk(scene, raw)
    assert status(answered) == wanted, answered
    head, _, body = answered.partition(b"\r\n\r\n")
    assert (
        json.loads(body[: int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])])["status"]
        == wanted
    )


def test_a_method_that_a_path_does_not_take_is_told_which_it_does(scene: Any) -> None:
    refused = scene.ask("PUT", "/v1/instances")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, POST")


DEEP = b'{"a":' * 9 + b"1" + b"}" * 9
BODIES = [
    b"",
    b"null",
    b"[]",
    b"1",
    b'"text"',
    b"{",
    b"{'a': 1}",
    b'{"access_key_id": "a", "secret": "b"} trailing',
    b'{"access_key_id": "a", "access_key_id": "b", "secret": "c"}',
    b'{"access_key_id": NaN, "secret": "c"}',
    b'{"access_key_id": Infinity, "secret": "c"}',
    b'{"access_key_id": 1e400, "secret": "c"}',
    b'{"access_key_id": ' + b"9" * 5000 + b', "secret": "c"}',
    b'{"access_key_id": "\\ud800", "secret": "c"}',
    b'{"access_key_id": "a\x00b", "secret": "c"}',
    b'{"access_key_id": "\xff", "secret": "c"}',
    b'\xef\xbb\xbf{"access_key_id": "a", "secret": "c"}',
    '{"access_key_id": "a", "secret": "c"}'.encode("utf-16"),
    b'{"access_key_id": "a", "secret": null}',
    b'{"access_key_id": "", "secret": "c"}',
    b'{"access_key_id": "' + b"a" * 129 + b'", "secret": "c"}',
    b'{"__class__": "x", "access_key_id": "a", "secret": "c"}',
    DEEP,
    b"[" * 60000,
    b'{"a":' * 12000,
]


@pytest.mark.parametrize("body", BODIES, ids=[str(n) for n in range(len(BODIES))])
def test_a_wrong_body_is_refused(scene: Any, body: bytes) -> None:
    refused = scene.ask("POST", "/v1/tokens", body, Content_Type="application/json")
    assert refused.status == 400, refused.raw
    assert refused.problem in ("parameter_invalid", "parameter_unknown", "parameter_missing")
    assert len(refused.raw) < 1000


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/json; charset=latin-1",
    ],
)
def test_only_json_is_taken(scene: Any, kind: str | None) -> None:
    """So no form of another site can be sent here by a browser."""
    headers = {} if kind is None else {"Content_Type": kind}
    refused = scene.ask("POST", "/v1/keys", b'{"name": "x"}', "ann", **headers)
    assert (refused.status, refused.problem) == (415, "parameter_invalid")


def test_a_body_where_none_is_taken_is_refused(scene: Any) -> None:
    assert scene.ask("GET", "/v1/zones", b"{}", "ann").status == 400


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "limit=1.0", "limit=%d9%a3", "limit=%ff", "limit=", "x", "&",
     "state=gone", "zone=" + "z" * 256, "&".join(["zone=a"] * 21), "&".join(["zone=a"] * 101), "tag=%00%ed%a0%80"],
)  # fmt: skip
def test_a_wrong_query_is_refused(scene: Any, query: str) -> None:
    refused = scene.ask("GET", f"/v1/instances?{query}", by="ann")
    assert refused.status == 400, refused.raw


# --------------------------------------------------------------------------------------------- slow and silent
@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory, scene: Any) -> Iterator[Any]:
    """The same cloud behind an endpoint with little patience."""
    from euca_rest import euca_interface

    class Hasty:
        rest = euca_interface(
            scene.world.cloud.core,
            {"port": 0, "threads": 2, "request_seconds": 1.0, "idle_seconds": 1.0, "answer_seconds": 1.0},
        )
        ask = scene.ask

    Hasty.rest.start()
    yield Hasty
    Hasty.rest.stop()


@pytest.mark.parametrize(
    "drops",
    [
        [b"G", b"E", b"T", b" ", b"/", b"v", b"1", b"/"] * 4,
        [b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n", *[b" "] * 30],
    ],
    ids=["head", "body"],
)
def test_who_drips_is_cut_and_told_why(hasty: Any, drops: list[bytes]) -> None:
    began = time.monotonic()
    answered = talk(hasty, *drops, pause=0.08)
    assert status(answered) == 408, answered
    assert time.monotonic() - began < 4


def test_dripping_and_silent_clients_hold_up_nobody(hasty: Any, scene: Any) -> None:
    held = [socket.create_connection(("127.0.0.1", hasty.rest.port)) for _ in range(40)]
    try:
        for n, sock in enumerate(held):
            sock.sendall(
                b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n" if n % 2 else b""
            )
        connection = http.client.HTTPConnection("127.0.0.1", hasty.rest.port, timeout=5)
        began = time.monotonic()
        connection.request("GET", "/v1/openapi.json")
        assert connection.getresponse().status == 200
        assert time.monotonic() - began < 0.5
        connection.close()
        for sock in held:
            sock.settimeout(4)
            answered = read(sock)
            assert answered == b"" or status(answered) == 408
    finally:
        for sock in held:
            sock.close()


def test_who_does_not_take_the_answer_is_cut(hasty: Any) -> None:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", hasty.rest.port))
    asked = b"GET /v1/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
    sock.settimeout(2)

    def ask_on() -> None:
        until = time.monotonic() + 15
        while time.monotonic() < until:
            sock.sendall(asked * 100)
            time.sleep(0.05)

    with sock, pytest.raises(ConnectionError):
        ask_on()


def test_a_connection_serves_request_after_request(scene: Any) -> None:
    ask = b"GET /v1/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
    last = ask.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answered = talk(scene, ask + ask + last)
    assert answered.count(b"HTTP/1.1 200 OK") == 3
    assert talk(scene, ask.replace(b"1.1", b"1.0")).count(b"Connection: close") == 1


def test_an_answer_to_head_is_a_head(scene: Any) -> None:
    asked = b"HEAD /v1/zones HTTP/1.1\r\nHost: a\r\n\r\n"
    answered = talk(scene, asked + asked)
    assert answered.count(b"HTTP/1.1 405 ") == 2
    assert b"{" not in answered


def test_who_asks_first_whether_to_send_is_told(scene: Any) -> None:
    with socket.create_connection(("127.0.0.1", scene.rest.port), timeout=5) as sock:
        head = f"POST /v1/tokens HTTP/1.1\r\nHost: a\r\n{JSON}\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        sock.sendall(head.encode())
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"{}")
        assert status(sock.recv(4096)) == 400


def test_a_flood_of_garbage_leaves_it_well(scene: Any) -> None:
    chance = random.Random(7)
    template = (
        b"POST /v1/instances?limit=2 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer AAAA\r\nContent-Length: 9\r\n\r\n"
        + b'{"a": 1}\n'
    )
    for _ in range(300):
        raw = bytearray(template)
        for _ in range(chance.randrange(1, 12)):
            at = chance.randrange(len(raw))
            match chance.randrange(3):
                case 0:
                    raw[at] = chance.randrange(256)
                case 1:
                    del raw[at : at + chance.randrange(1, 9)]
                case _:
                    raw[at:at] = chance.randbytes(chance.randrange(1, 9))
        answered = talk(scene, bytes(raw))
        assert answered == b"" or 400 <= status(answered) < 500, (raw, answered)
    assert alive(scene)


def test_it_stops_while_clients_are_there(make_scene: Any) -> None:
    scene = make_scene()
    with socket.create_connection(("127.0.0.1", scene.rest.port)) as silent:
        began = time.monotonic()
        scene.rest.stop()
        assert time.monotonic() - began < 5
        assert read(silent) == b""
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", scene.rest.port), timeout=1)


# --------------------------------------------------------------------------------------------------------- TLS
@pytest.fixture
def pem(tmp_path: Path) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")


def test_https_with_a_silent_client_beside(make_scene: Any, pem: tuple[str, str]) -> None:
    scene = make_scene(certificate=pem[0], key=pem[1], host="0.0.0.0", request_seconds=1.0)
    trust = ssl.create_default_context(cafile=pem[0])
    with socket.create_connection(("127.0.0.1", scene.rest.port)) as silent:
        connection = http.client.HTTPSConnection("localhost", scene.rest.port, timeout=5, context=trust)
        key, secret = scene.keys["ann"]
        body = json.dumps({"access_key_id": key, "secret": secret})
        connection.request("POST", "/v1/tokens", body, {"Content-Type": "application/json"})
        assert connection.getresponse().status == 201
        connection.close()
        silent.settimeout(4)
        assert read(silent) == b"", "it never shook hands and was cut"
    assert b"HTTP" not in talk(scene, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")


def test_a_certificate_that_is_none_is_refused_at_the_start(make_scene: Any, tmp_path: Path) -> None:
    from euca_rpc.errors import EucaError

    (tmp_path / "x.pem").write_text("no certificate")
    with pytest.raises(EucaError, match="cannot use the certificate"):
        make_scene(certificate=str(tmp_path / "x.pem"), key=str(tmp_path / "x.pem"))
