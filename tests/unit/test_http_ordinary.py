"""An ordinary request means the same whoever reads it; an unusual one is left to cheroot as it came."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from euca_rpc.http.gathered import MAX_BODY, MAX_HEAD, Gathered
from euca_rpc.http.listener import Listener, Patience
from euca_rpc.http.ordinary import Direct, Ordinary, Reply, take
from euca_rpc.steps import Steps

HOST = b"Host: cloud\r\n"


def gathered(data: bytes) -> Gathered:
    found = Gathered()
    found.buffer += data
    return found


def told(method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> bytes:
    return json.dumps([method, target, sorted(headers), body.decode("latin-1")]).encode()


def wsgi(environ, start_response):
    headers = [(n[5:].replace("_", "-").lower(), v) for n, v in environ.items() if n.startswith("HTTP_")]
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if name in environ:
            headers.append((name.replace("_", "-").lower(), environ[name]))
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    answer = told(environ["REQUEST_METHOD"], environ["REQUEST_URI"], headers, body)
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]


def direct(asked: Ordinary) -> Steps[Reply]:
    yield from ()
    answer = told(asked.method, asked.target, list(asked.headers), asked.body)
    return Reply(200, (("Content-Length", str(len(answer))), ("X-Direct", "1")), answer)


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Listener, Listener]]:
    listeners = [
        Listener("The test", wsgi, ("127.0.0.1", 0), 2, Patience(), direct=how)
        for how in (None, Direct(direct, lambda asked: True))
    ]
    for listener in listeners:
        listener.start()
    yield listeners[0], listeners[1]
    for listener in listeners:
        listener.stop()


def answer(listener: Listener, data: bytes) -> tuple[bytes, bytes]:
    """Head and body of the answer."""
    with socket.create_connection(("127.0.0.1", listener.port), 10) as sock:
        sock.sendall(data)
        stream = sock.makefile("rb")
        head = b"".join(iter(stream.readline, b"\r\n"))
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        return head, stream.read(length)


PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
NAMES = st.from_regex(r"[Xx]-[A-Za-z0-9!$%&'*+.^`|~-]{1,8}", fullmatch=True)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(("GET", "POST")),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"), max_size=20),
    st.dictionaries(NAMES, st.text(PRINTABLE, max_size=12), max_size=5),
    st.binary(max_size=50),
)
def test_both_readers_see_the_same_request(both, method, rest, headers, body):
    lines = "".join(f"{name}:{value}\r\n" for name, value in headers.items())
    head = f"{method} /{rest} HTTP/1.1\r\nHost: cloud\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
    whole = head.encode() + body
    (_, slowly), (said, quickly) = answer(both[0], whole), answer(both[1], whole)
    assert slowly == quickly
    unusual = rest.startswith("/") or len({name.lower() for name in headers}) < len(headers)
    assert (b"X-Direct" in said) != unusual


@pytest.mark.parametrize(
    "data",
    [
        b"PUT / HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.0\r\n" + HOST + b"\r\n",
        b"GET //host/ HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET http://host/ HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /#part HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /\xc3\xa4 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"host: other\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X-A: folded\r\n over\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X A: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X_A: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X-A : 1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X-A: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X-A: \xe4\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X-A: 1\nX-B: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"Upgrade: h2c\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\ncontent-length: 1\r\n\r\nx",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\nx",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1, 1\r\n\r\nx",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nx",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1) + bytes(MAX_BODY + 1),
        b"GET / HTTP/1.1\r\nX-A: " + b"a" * MAX_HEAD + b"\r\n\r\n",
    ],
)
def test_what_is_unusual_is_left_as_it_came(data):
    buffer = gathered(data)
    assert take(buffer, secure=False) is None
    assert buffer.buffer == data


def test_the_next_request_stays_in_the_buffer():
    one = b"POST /?a=b HTTP/1.1\r\nHost: cloud\r\nContent-Length: 3\r\nX-A: \t b \r\n\r\nabc"
    buffer = gathered(one + one)
    for left in (one, b""):
        asked = take(buffer, secure=True)
        assert asked == Ordinary(
            "POST", "/?a=b", (("host", "cloud"), ("content-length", "3"), ("x-a", "b")), b"abc", True
        )
        assert buffer.buffer == left
