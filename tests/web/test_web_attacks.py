"""Attacks on the portal itself: hosts, redirects, headers, paths, sizes, slow and senseless clients."""

from __future__ import annotations

import contextlib
import random
import re
import socket
import ssl
import time
from typing import Any

import pytest
from web_scene import PASSWORD, Browser

from euca_web.routes import ROUTES


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "localhost@evil.example", "evil.example:8443", ""]
)
def test_a_forged_host_is_answered_nothing(scene: Any, host: str) -> None:
    answer = Browser(scene).ask("GET", "/login", None, {"Host": host})
    assert answer.status in (400, 421)
    assert b"<form" not in answer.raw
    assert not any(name.lower() in ("location", "set-cookie") for name, _ in answer.headers)


def test_what_a_proxy_might_say_of_the_host_is_not_believed(scene: Any) -> None:
    for name in ("X-Forwarded-Host", "X-Host", "Forwarded", "X-Original-URL", "X-Rewrite-URL"):
        answer = Browser(scene).ask("GET", "/", None, {name: "evil.example"})
        assert answer.location == "/login"
        assert b"evil.example" not in answer.raw


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example", "https://evil.example/", "/\\evil.example", "\\\\evil.example", "/%2f/evil.example", "javascript:alert(1)",
     "/login\r\nX-Evil: 1", "/nothing-of-ours", " /instances", "///evil.example", "/instances/../../evil", "/static/portal.css", "/logout"],
)  # fmt: skip
def test_the_log_in_leads_to_pages_of_ours_alone(scene: Any, wanted: str) -> None:
    bob = Browser(scene)
    bob.get("/login")
    answer = bob.post("/login", {"user_name": "bob", "password": PASSWORD, "next": wanted})
    assert answer.status == 303
    assert answer.location in ("/", "/instances")
    assert answer.header("X-Evil") == ""


def test_the_log_in_leads_back_to_where_one_was(scene: Any) -> None:
    bob = Browser(scene)
    where = bob.get("/instances?state=running").location
    assert where == "/login?next=%2Finstances%3Fstate%3Drunning"
    bob.get(where)
    answer = bob.post(
        "/login", {"user_name": "bob", "password": PASSWORD, "next": "/instances?state=running"}
    )
    assert answer.location == "/instances?state=running"


def test_no_header_can_be_added(scene: Any) -> None:
    ann = scene.browser("ann")
    ann.get("/keys")
    for path in (
        "/keys/delete?name=a%0d%0aX-Evil:%201",
        "/instances/%0d%0aX-Evil:%201",
        "/%0d%0aX-Evil:%201",
    ):
        assert ann.get(path).header("X-Evil") == ""
    answer = ann.post("/keys", {"name": "a\r\nX-Evil: 1"})
    assert answer.status == 400
    assert answer.header("X-Evil") == ""
    answer = ann.post("/keys/delete", {"name": "a\r\nX-Evil: 1"})
    assert answer.header("X-Evil") == ""
    scene.core.keys.create(scene.caller("ann"), 'x"; filename="y', "ed25519")
    assert ann.post("/keys/delete", {"name": 'x"; filename="y'}).status == 303


@pytest.mark.parametrize(
    "path",
    ["/", "/login", "/nothing", "/static/portal.css", "/static/nothing", "/admin/users", "/first-steps"],
)
def test_every_answer_carries_the_headers_that_browsers_obey(scene: Any, path: str) -> None:
    for browser in (Browser(scene), scene.browser("ann")):
        answer = browser.get(path)
        policy = answer.header("Content-Security-Policy")
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.header("X-Content-Type-Options") == "nosniff"
        assert answer.header("Referrer-Policy") == "same-origin"
        assert answer.header("Strict-Transport-Security") == "", "it would bind every port of this host name"
        assert answer.header("Server") == "euca"
        if not path.startswith("/static/p"):
            assert answer.header("Cache-Control") == "no-store"


def test_hsts_only_if_the_site_says_so(make_scene: Any) -> None:
    scene = make_scene(hsts_seconds=3600)
    assert Browser(scene).get("/login").header("Strict-Transport-Security") == "max-age=3600"


def test_no_page_has_a_script_or_style_of_its_own_or_from_elsewhere(scene: Any) -> None:
    scene.launch("ann")
    request = scene.apply("hugo")
    admin = scene.browser("admin")
    paths = [route.path for route in ROUTES if route.method == "GET" and "{" not in route.path]
    for path in (*paths, f"/admin/requests/{request}", "/admin/users/ann"):
        text = admin.get(path).text
        assert not re.search(r"<style|\sstyle=|<script>|<script [^>]*>[^<]|\son[a-z]+=|javascript:", text), (
            path
        )
        for address in re.findall(r'(?:src|href|action|hx-get)="([^"]+)"', text):
            assert address.startswith(("/", "#")), (path, address)
            assert not address.startswith("//"), (path, address)


# ------------------------------------------------------------------------------------------ paths, sizes, floods
@pytest.mark.parametrize(
    "path",
    ["/static/../settings.py", "/static/%2e%2e/settings.py", "/static/..%2fsettings.py", "/static//etc/passwd", "/static/",
     "/static/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc/passwd", "/static/portal.css%00.png", "/static/....//settings.py", "/static/vendor/../../asked.py"],
)  # fmt: skip
def test_no_path_leads_out_of_the_static_files(scene: Any, path: str) -> None:
    answer = Browser(scene).get(path)
    assert answer.status == 404
    assert b"root:" not in answer.raw
    assert b"import" not in answer.raw


def test_too_large_is_refused(scene: Any) -> None:
    ann = scene.browser("ann")
    ann.get("/launch")
    with contextlib.suppress(OSError):  # it is cut off while it still sends
        assert ann.post("/launch", {"user_data": "x" * 2_000_000}).status == 413
    assert ann.post("/launch", {"image": "emi-00000001", "user_data": "x" * 20_000}).status == 400
    assert ann.post("/launch", {f"field{n}": "x" for n in range(500)}).status == 400
    assert ann.post("/launch", {"name": "x" * 5000, "image": "emi-00000001"}).status == 400
    assert ann.get("/instances?search=" + "x" * 5000).status == 400
    assert ann.get("/instances?" + "&".join(f"a{n}=1" for n in range(500))).status == 400
    many = {"Cookie": "x=" + "y" * 80_000}
    assert ann.ask("GET", "/", None, many).status in (400, 413, 431)


def test_forms_that_no_page_of_ours_has_are_refused(scene: Any) -> None:
    ann = scene.browser("ann")
    ann.get("/keys")
    plain = {"Content-Type": "application/x-www-form-urlencoded"}
    twice = f"proof={ann.proof}&name=a&name=b".encode()
    assert ann.ask("POST", "/keys", twice, plain).status == 400
    boundary = {"Content-Type": "multipart/form-data; boundary=b"}
    file = (
        f'--b\r\nContent-Disposition: form-data; name="proof"; filename="x"\r\n\r\n{ann.proof}\r\n--b--\r\n'
    )
    assert ann.ask("POST", "/keys", file.encode(), boundary).status == 400
    assert ann.ask("POST", "/keys", b'{"proof": "x"}', {"Content-Type": "application/json"}).status in (
        400,
        403,
        415,
    )
    assert ann.ask("POST", "/keys", b"\xff=\xfe", plain).status in (400, 403)
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        answer = ann.ask(method, "/keys")
        assert (answer.status, answer.header("Allow")) == (405, "GET, POST"), method
    assert ann.get(f"/instances/{scene.launch('ann')}/explode").status == 400


def test_clients_that_drip_stop_nobody(make_scene: Any) -> None:
    scene = make_scene(threads=2, request_seconds=4.0)
    slow = [
        scene.trust.wrap_socket(
            socket.create_connection(("localhost", scene.port)), server_hostname="localhost"
        )
        for _ in range(6)
    ]
    silent = [socket.create_connection(("localhost", scene.port)) for _ in range(6)]
    for one in slow:
        one.sendall(b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\nuser")
    began = time.monotonic()
    for _ in range(5):
        assert Browser(scene).get("/login").status == 200
    assert time.monotonic() - began < 3
    for one in (*slow, *silent):
        one.close()


def test_garbage_costs_the_next_visitor_nothing(scene: Any) -> None:
    dice = random.Random(20261)
    whole = b"GET /login HTTP/1.1\r\nHost: localhost\r\n"
    for garbage in (
        *(dice.randbytes(dice.randrange(1, 5000)) for _ in range(6)),
        b"\0" * 10_000,
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
        whole + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
        whole + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        whole + b"Content-Length: -1\r\n\r\n",
        whole + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data\r\nContent-Length: 4\r\n\r\n--\r\n",
    ):
        for secure in (True, False):
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("localhost", scene.port), timeout=5) as plain,
            ):
                line = scene.trust.wrap_socket(plain, server_hostname="localhost") if secure else plain
                line.sendall(garbage)
                line.settimeout(0.3)
                answer = line.recv(4096)
                assert not answer.startswith(b"HTTP/1.1 2"), (garbage[:80], answer)
                assert b"Traceback" not in answer
    assert Browser(scene).get("/login").status == 200


def test_plain_http_gets_no_page(scene: Any) -> None:
    with socket.create_connection(("localhost", scene.port), timeout=10) as plain:
        plain.sendall(b"GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with contextlib.suppress(OSError):
            assert b"<form" not in plain.recv(4096)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, OSError)):
        old.wrap_socket(socket.create_connection(("localhost", scene.port)), server_hostname="localhost")
