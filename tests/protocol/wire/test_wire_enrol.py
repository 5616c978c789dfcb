"""A host's first certificate: one token, one name, one use; nothing is sent to a server that is not the cloud."""

from __future__ import annotations

import json
import re
import socket
import ssl
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from euca_rpc.clock import HOUR, SystemClock
from euca_rpc.errors import EucaError
from euca_rpc.wire import enrol as enrolment
from euca_rpc.wire.enrol import EnrolServer, EnrolToken, Tokens, enrol
from euca_rpc.wire.pki import Identity, PeerName

NODE = PeerName("node", "open", "host1")


@pytest.fixture
def server(cloud) -> EnrolServer:
    tokens = Tokens(cloud.directory / "ca")
    server = EnrolServer(cloud.authority, tokens, cloud.identity(PeerName("cloud")), "127.0.0.1", 0)
    server.start()
    cloud.ends_with(server.stop)
    return server


@pytest.fixture
def token(cloud, server) -> EnrolToken:
    return make(cloud, server)


def make(cloud, server, **how: object) -> EnrolToken:
    now = SystemClock().wall()
    return Tokens(cloud.directory / "ca").make(
        NODE, "127.0.0.1", server.port, cloud.authority.ca_pem, now, **how
    )


def test_a_host_gets_the_certificate_that_its_token_is_good_for(cloud, token, servant, tmp_path) -> None:
    identity = enrol(token.text, tmp_path / "host")
    assert identity.peer == NODE
    assert stat.S_IMODE((tmp_path / "host" / "key.pem").stat().st_mode) == 0o600
    endpoint = cloud.endpoint(servant, identity=identity)
    assert cloud.remote(endpoint).call(NODE.object_name, "hello", {}) == {"role": "node"}


def test_a_token_is_one_line_and_is_not_on_the_disk(cloud, token) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}\.[0-9a-f]{64}@127\.0\.0\.1:\d+", token.text)
    assert EnrolToken.parse(f"  {token.text}\n") == token
    on_disk = cloud.directory / "ca" / "tokens.json"
    assert token.secret not in on_disk.read_text()
    assert stat.S_IMODE(on_disk.stat().st_mode) == 0o600
    assert token.secret not in repr(token)


def test_a_token_is_good_once(token, tmp_path) -> None:
    enrol(token.text, tmp_path / "host")
    with pytest.raises(EucaError, match=r"was used already, or .*: ask for a new one"):
        enrol(token.text, tmp_path / "thief")
    assert not (tmp_path / "thief" / "cert.pem").exists()


def test_of_twenty_at_once_one_gets_through(token, tmp_path) -> None:
    def attempt(number: int) -> bool:
        try:
            enrol(token.text, tmp_path / f"host{number}")
        except EucaError as error:
            assert error.symbol == "auth_failure"  # noqa: PT017
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(attempt, range(20))) == 1


def test_a_new_token_ends_those_before_it_and_nobody_elses(cloud, server, tmp_path) -> None:
    other = Tokens(cloud.directory / "ca").make(
        PeerName("node", "open", "host2"),
        "127.0.0.1",
        server.port,
        cloud.authority.ca_pem,
        SystemClock().wall(),
    )
    old, new = make(cloud, server), make(cloud, server)
    with pytest.raises(EucaError, match="a later one took its place: ask for a new one"):
        enrol(old.text, tmp_path / "thief")
    assert enrol(new.text, tmp_path / "host").peer == NODE
    assert enrol(other.text, tmp_path / "host2").peer.host == "host2"


def test_a_token_ends(cloud, server, tmp_path) -> None:
    token = make(cloud, server, life=-HOUR)
    with pytest.raises(EucaError, match="this token ended at 20") as caught:
        enrol(token.text, tmp_path / "host")
    assert caught.value.symbol == "request_expired"


def test_a_wrong_secret_is_refused_and_spends_nothing(token, tmp_path) -> None:
    guess = EnrolToken("0" * 32, token.fingerprint, token.host, token.port)
    with pytest.raises(EucaError, match="not known"):
        enrol(guess.text, tmp_path / "thief")
    assert enrol(token.text, tmp_path / "host").peer == NODE


def test_a_server_of_another_authority_is_told_nothing(cloud, other_cloud, token, tmp_path, caplog) -> None:
    tokens = Tokens(other_cloud.directory / "ca")
    impostor = EnrolServer(
        other_cloud.authority, tokens, other_cloud.identity(PeerName("cloud")), "127.0.0.1", 0
    )
    impostor.start()
    cloud.ends_with(impostor.stop)
    asked: list[str] = []
    impostor.answer = lambda path, body: (asked.append(path), EnrolServer.answer(impostor, path, body))[1]
    diverted = EnrolToken(token.secret, token.fingerprint, "127.0.0.1", impostor.port)
    with pytest.raises(
        EucaError, match="another certificate authority than the token pins: nothing was sent"
    ):
        enrol(diverted.text, tmp_path / "host")
    assert asked == ["/ca"]
    assert not (tmp_path / "host").exists()


def test_a_node_that_shows_the_clouds_authority_is_not_the_cloud(cloud, server, token, tmp_path) -> None:
    node = EnrolServer(cloud.authority, Tokens(tmp_path), cloud.identity(NODE), "127.0.0.1", 0)
    node.start()
    cloud.ends_with(node.stop)
    diverted = EnrolToken(token.secret, token.fingerprint, "127.0.0.1", node.port)
    with pytest.raises(
        EucaError, match=r"asked for euca\.cloud, but the peer at .* is the node controller open/host1"
    ):
        enrol(diverted.text, tmp_path / "host")
    assert enrol(token.text, tmp_path / "host").peer == NODE, "the secret was not told"


@pytest.mark.parametrize(
    "text", ["", "hello", "a.b@c:1", "0" * 32 + "@h:1", "0" * 32 + "." + "0" * 64 + "@h", "é.é@é:é"]
)
def test_what_is_no_token_is_said_so(text: str, tmp_path) -> None:
    with pytest.raises(EucaError, match="SECRET.FINGERPRINT@HOST:PORT"):  # noqa: RUF043
        enrol(text, tmp_path)


def test_nobody_there(token, server, tmp_path) -> None:
    server.stop()
    with pytest.raises(EucaError, match="does not answer"):
        enrol(token.text, tmp_path / "host")


# ------------------------------------------------------------------------------------------- the open port
def ask(server: EnrolServer, data: bytes) -> bytes:
    context = enrolment._blind()
    with socket.create_connection(("127.0.0.1", server.port), 5) as plain, context.wrap_socket(plain) as sock:
        sock.sendall(data)
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
        return answer


def post(body: bytes, length: int | None = None) -> bytes:
    return b"POST /enrol HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body) if length is None else length,
        body,
    )


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (post(b"x", 64 * 1024 + 1), 413),
        (b"POST /enrol HTTP/1.1\r\n\r\n", 413),
        (b"POST /enrol HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 413),
        (post(b"garbage"), 400),
        (post(b"[" * 60_000), 400),
        (post(json.dumps({"secret": 7, "csr": None}).encode()), 403),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"PUT /enrol HTTP/1.1\r\n\r\n", 501),
        (b"GET /ca HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
    ],
)
def test_garbage_gets_its_status_and_the_next_host_gets_in(
    server, token, tmp_path, request_bytes, status
) -> None:
    assert ask(server, request_bytes).split(b"\r\n")[0].split()[1] == str(status).encode()
    assert enrol(token.text, tmp_path / "host").peer == NODE


def test_a_request_for_a_token_with_a_broken_csr_costs_the_token(server, token, tmp_path) -> None:
    body = json.dumps({"secret": token.secret, "csr": "garbage"}).encode()
    assert b"cannot be read" in ask(server, post(body))
    with pytest.raises(EucaError, match="used already"):
        enrol(token.text, tmp_path / "host")


def test_dripping_clients_ten_times_the_limit_keep_nobody_out(server, token, tmp_path) -> None:
    context = enrolment._blind()
    dripping: list[ssl.SSLSocket] = []
    for _ in range(70):  # the door holds 64
        plain = socket.create_connection(("127.0.0.1", server.port), 5)
        dripping.append(context.wrap_socket(plain))
        dripping[-1].sendall(b"GET /c")
    began = time.monotonic()
    assert enrol(token.text, tmp_path / "host").peer == NODE
    assert time.monotonic() - began < 2
    for sock in dripping:
        sock.close()


def test_a_dripping_request_ends(server, monkeypatch) -> None:
    monkeypatch.setattr(enrolment, "REQUEST_S", 0.5)
    with (
        socket.create_connection(("127.0.0.1", server.port), 5) as plain,
        enrolment._blind().wrap_socket(plain) as sock,
    ):
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.05):
                try:
                    sock.sendall(b"x")
                except OSError:
                    return

        threading.Thread(target=drip, daemon=True).start()
        began = time.monotonic()
        with suppress(OSError):
            assert sock.recv(100) == b""
        assert time.monotonic() - began < 3
        stop.set()


def test_a_second_enrolment_into_the_same_directory_replaces_the_first(
    cloud, server, token, tmp_path
) -> None:
    first = enrol(token.text, tmp_path / "host")
    second = enrol(make(cloud, server).text, tmp_path / "host")
    assert second.own.serial != first.own.serial
    assert Identity.load(Path(tmp_path / "host")) == second
