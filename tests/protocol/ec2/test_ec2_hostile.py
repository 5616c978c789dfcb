"""Garbage, floods and slowness: a 4xx or a closed connection within the limit, and the next good request is served
at once, meanwhile too."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import subprocess
import time

import boto3
import pytest
from botocore.config import Config


def good(port, scheme="http", **config) -> float:
    """Serves a good request; seconds it took."""
    ec2 = boto3.client(
        "ec2", region_name="eucalyptus", endpoint_url=f"{scheme}://127.0.0.1:{port}/services/Eucalyptus",
        aws_access_key_id="AKANN000000000000001", aws_secret_access_key="ann-secret-0123456789",
        config=Config(retries={"max_attempts": 1}), **config,
    )  # fmt: skip
    began = time.monotonic()
    assert ec2.describe_availability_zones()["AvailabilityZones"]
    return time.monotonic() - began


def exchange(port, data: bytes, *, wait: float = 5) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as sock:
        with contextlib.suppress(OSError):  # it may be refused before it was all sent
            sock.sendall(data)
        answer = b""
        try:
            while piece := sock.recv(65536):
                answer += piece
                head, _, body = answer.partition(b"\r\n\r\n")
                length = re.search(rb"Content-Length: (\d+)", head)
                if length and len(body) >= int(length[1]):
                    break
        except OSError:
            pass
        return answer


def post(body: bytes, *headers: bytes, path: bytes = b"/services/Eucalyptus") -> bytes:
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: localhost", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


FORM = b"Content-Type: application/x-www-form-urlencoded"
XML = b"Content-Type: text/xml"
GARBAGE = {
    "random": bytes(range(1, 256)) * 40 + b"\r\n\r\n",
    "tls hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 200 + b"\r\n\r\n",
    "a huge header": b"GET / HTTP/1.1\r\nHost: x\r\nX-Huge: " + b"a" * 300_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 20_000 + b"\r\n",
    "a huge target": b"GET /?" + b"a" * 300_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a huge body": post(b"a" * 2_000_000, FORM),
    "a huge body announced": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n",
    "no length that makes sense": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "chunks": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
    "deep XML": post(b"<a>" * 100_000, XML),
    "entities": post(b'<!DOCTYPE a [<!ENTITY b "cccc">]><a>&b;</a>', XML),
    "100,000 parameters": post(b"&".join(b"a%d=b" % n for n in range(100_000)), FORM),
    "one parameter 100,000 times": post(b"&".join([b"a=b"] * 100_000), FORM),
    "not a form": post(b"\xff\xfe\x00\x01", FORM),
    "broken escapes": post(b"Action=%zz&Version=%", FORM),
    "another path": post(b"Action=x", FORM, path=b"/../../etc/passwd"),
    "HEAD": b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
    "DELETE": b"DELETE /services/Eucalyptus HTTP/1.1\r\nHost: x\r\n\r\n",
    "nothing signed": post(b"Action=DescribeInstances&Version=2016-11-15", FORM),
    "null bytes": b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_gets_a_4xx_or_a_closed_connection(live, kind):
    began = time.monotonic()
    answer = exchange(live.port, GARBAGE[kind])
    assert time.monotonic() - began < 3
    if answer:
        soap = b"<faultcode>Client.AuthFailure</faultcode>" in answer  # whose status is always 500
        assert answer.startswith(b"HTTP/1.1 500" if soap else b"HTTP/1.1 4"), answer[:200]
        assert b"\r\nDate: " in answer
        assert b"Traceback" not in answer
    assert good(live.port) < 1


def dripping(port, count):
    """Connections that send a request, one byte at a time."""
    socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for sock in socks[::2]:
        sock.sendall(b"POST /services/Eucalyptus HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nA")
    return socks  # the other half says nothing at all


@pytest.mark.parametrize("tls", [False, True])
def test_ten_times_as_many_dripping_clients_as_threads(serve, certificate, tls):
    live = serve(threads=4, request_seconds=1.5, https_port=0, certificate=certificate[0], key=certificate[1])
    port = live.https_port if tls else live.port
    arguments = ("https", certificate[0]) if tls else ("http", None)
    socks = dripping(port, 40)
    try:
        for _ in range(3):
            assert good(port, arguments[0], verify=arguments[1]) < 1
        ends = time.monotonic() + 4
        for sock in socks:
            sock.settimeout(max(0.1, ends - time.monotonic()))
            for _ in range(100):  # each is closed within the limit, however it drips
                try:
                    sock.sendall(b"x")
                    if sock.recv(1000) == b"":
                        break
                except TimeoutError:
                    pytest.fail("a dripping connection is still open")
                except OSError:
                    break
    finally:
        for sock in socks:
            sock.close()
    assert good(port, arguments[0], verify=arguments[1]) < 1


def closed_after(sock, patience):
    """Seconds until the server closed it."""
    begun = time.monotonic()
    sock.settimeout(patience)
    assert sock.recv(1000) == b""
    return time.monotonic() - begun


def test_a_kept_connection_may_rest_longer_than_a_request_may_take(serve):
    """A client that meets its connection just being closed has a failed call; so this is rare."""
    live = serve(request_seconds=0.6, idle_seconds=3.0)
    one = post(b"Action=DescribeInstances&Version=2016-11-15", FORM)
    with (
        socket.create_connection(("127.0.0.1", live.port), timeout=5) as rests,
        socket.create_connection(("127.0.0.1", live.port), timeout=5) as drips,
    ):
        for sock in (rests, drips):
            sock.sendall(one)
            assert b"</Response>" in sock.recv(65536)
        time.sleep(1.5)  # longer than a request may take
        rests.sendall(one)
        assert b"</Response>" in rests.recv(65536)
        drips.sendall(one[:10])  # its next request has begun: now that limit counts
        assert 0.3 < closed_after(drips, 5) < 2.0
        assert 0.5 < closed_after(rests, 5) < 3.6


def test_resting_connections_go_first_when_there_are_too_many(serve, monkeypatch):
    monkeypatch.setattr("euca_rpc.http.gate.MOST_WAITING", 3)
    live = serve(request_seconds=20.0)
    one = post(b"Action=DescribeInstances&Version=2016-11-15", FORM)
    with contextlib.ExitStack() as stack:

        def connected():
            return stack.enter_context(socket.create_connection(("127.0.0.1", live.port), timeout=5))

        owing = connected()
        owing.sendall(one[:10])
        rests = connected()
        rests.sendall(one)
        assert b"</Response>" in rests.recv(65536)
        time.sleep(0.2)
        silent = [connected(), connected()]  # one more than there is room for
        assert closed_after(rests, 5) < 2.0
        owing.sendall(one[10:])
        assert b"</Response>" in owing.recv(65536)
        assert silent


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return str(folder / "cert.pem"), str(folder / "key.pem")


def test_https_and_its_endpoint(serve, certificate):
    live = serve(https_port=0, certificate=certificate[0], key=certificate[1])
    assert good(live.https_port, "https", verify=certificate[0]) < 1
    plain = exchange(live.https_port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")  # http where TLS is spoken
    assert not plain.startswith(b"HTTP/1.1 2")
    context = ssl.create_default_context(cafile=certificate[0])
    large = post(b"a=" + b"b" * 900_000, FORM)
    with (
        socket.create_connection(("127.0.0.1", live.https_port)) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as sock,
    ):
        sock.sendall(large)
        assert sock.recv(1000).startswith(b"HTTP/1.1 401 ")


def test_one_connection_many_requests_also_sent_ahead(live):
    one = post(b"Action=DescribeInstances&Version=2016-11-15", FORM)
    with socket.create_connection(("127.0.0.1", live.port), timeout=5) as sock:
        sock.sendall(one * 5)
        answer = b""
        while answer.count(b"</Response>") < 5:
            piece = sock.recv(65536)
            assert piece
            answer += piece
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=5)
    for _ in range(3):
        connection.request("POST", "/", b"a=b", {"Expect": "100-continue"})
        response = connection.getresponse()
        assert response.status == 401
        assert response.getheader("Date")
        response.read()
    connection.close()


def test_a_client_that_waits_for_continue_is_told_to(live):
    with socket.create_connection(("127.0.0.1", live.port), timeout=5) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 100 ")
        sock.sendall(b"a=b")
        answer = b""
        while b"</Response>" not in answer:
            answer += sock.recv(1000)
        assert b" 401 " in answer


def test_methods_and_paths(live):
    for path in ("/", "/services/Eucalyptus", "/services/Eucalyptus/"):
        assert b" 401 " in exchange(live.port, post(b"a=b", FORM, path=path.encode()))
    assert b" 404 " in exchange(live.port, post(b"a=b", FORM, path=b"/services"))
    answer = exchange(live.port, b"PUT / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 405 " in answer
    assert b"Allow: GET, POST" in answer


def test_soap_without_a_place_for_used_signatures_is_refused(serve):
    live = serve(state_directory="")
    answer = exchange(live.port, post(b"<soap:Envelope/>", XML))
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"<faultcode>Server.Unavailable</faultcode>" in answer
    assert b"the EC2 setting 'state_directory' is not set" in answer


def test_clients_that_do_not_take_their_answers(serve, cloud):
    """Each thread is given a large answer that nobody reads: it is free again when the time is over."""
    live = serve(threads=2, answer_seconds=1.0)
    ec2 = boto3.client(
        "ec2", region_name="eucalyptus", endpoint_url=f"http://127.0.0.1:{live.port}/",
        aws_access_key_id="AKANN000000000000001", aws_secret_access_key="ann-secret-0123456789",
    )  # fmt: skip
    for _ in range(4):
        ec2.run_instances(ImageId="emi-12345678", MinCount=1000, MaxCount=1000)
    url = ec2.generate_presigned_url("describe_instances", HttpMethod="GET")
    target = url.partition(f":{live.port}")[2].encode()
    socks = []
    for _ in range(4):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", live.port))
        sock.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % live.port)
        socks.append(sock)
    time.sleep(0.3)
    assert good(live.port) < 5
    assert good(live.port) < 1
    for sock in socks:
        sock.close()


def test_too_many_silent_connections_push_out_the_oldest(live, monkeypatch):
    monkeypatch.setattr("euca_rpc.http.gate.MOST_WAITING", 5)
    socks = [socket.create_connection(("127.0.0.1", live.port), timeout=3) for _ in range(8)]
    assert socks[0].recv(1) == b""
    assert good(live.port) < 1
    for sock in socks:
        sock.close()
