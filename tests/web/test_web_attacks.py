"""The table of attacks: each is tried against the live portal, as an attacker would."""

from __future__ import annotations

import contextlib
import html
import io
import logging
import random
import re
import socket
import ssl
import time
import zipfile
from typing import Any

import pytest
from web_scene import PASSWORD, Browser

from euca_rpc.cloud.changes import Outcome, Put, event
from euca_rpc.types import KeyPair
from euca_web import safety
from euca_web.pages.instances import readable
from euca_web.routes import ROUTES

EVIL = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>"
SHOWN = html.escape(EVIL).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")


def unharmed(page: str) -> None:
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert 'onerror=alert(1)>"' not in page


# -------------------------------------------------------------------------------------------------- stored XSS
def test_what_an_applicant_says_is_text_to_the_administrator(make_scene: Any) -> None:
    scene = make_scene()
    fields = ("full_name", "telephone", "project_leader", "affiliation", "project_description")
    carol = Browser(scene)
    carol.get("/apply", User_Agent=EVIL)
    form = {"user_name": "carol", "password": PASSWORD, "password_again": PASSWORD, "email": "c@example.org"}
    assert carol.post("/apply", form | dict.fromkeys(fields, EVIL), User_Agent=EVIL).status == 303
    admin = scene.browser("admin")
    (request,) = scene.core.people.requests(scene.caller("admin")).rows
    for path in ("/admin/requests", f"/admin/requests/{request.id}", "/admin/audit", "/admin/mails"):
        unharmed(admin.get(path).text)
    assert admin.get(f"/admin/requests/{request.id}").text.count(SHOWN) == len(fields)
    mail = scene.letters()[0].line.id
    assert SHOWN in admin.post(f"/admin/mails/{mail}/show").text
    unharmed(admin.post(f"/admin/mails/{mail}/show").text)
    admin.post(f"/admin/requests/{request.id}/approve", {"user_name": "carol"})
    for path in ("/admin/users", "/admin/users/carol"):
        page = admin.get(path).text
        assert SHOWN in page
        unharmed(page)


def test_names_and_tags_are_text_everywhere(make_scene: Any) -> None:
    scene = make_scene()
    ann = scene.caller("ann")
    key = scene.core.keys.create(ann, EVIL, "ed25519")[0]
    id = scene.launch("ann", key_name=EVIL, tags=(("Name", EVIL), (EVIL[:60], EVIL)))
    image = scene.private_image("ann", 77)
    scene.journal.do(
        lambda view, now: Outcome(
            (Put(_renamed(view.images[image])),), (event(EVIL, EVIL, now, EVIL, "", {"x": EVIL}),)
        )
    )
    paths = {
        "ann": ("/", "/instances", f"/instances/{id}", "/keys", "/launch", "/images", f"/images/{image}"),
        "admin": ("/", "/instances", f"/instances/{id}", "/images", f"/images/{image}", "/admin/audit"),
    }
    for user, asked in paths.items():
        for path in asked:
            page = scene.browser(user).get(path).text
            unharmed(page)
            assert SHOWN in page, (user, path)
    confirm = scene.browser("ann").get("/keys/delete?name=" + _quoted(key.name)).text
    unharmed(confirm)
    assert SHOWN in confirm


def _renamed(image: Any) -> Any:
    from dataclasses import replace

    return replace(image, name=EVIL)


def test_a_guest_may_print_what_it_likes(make_scene: Any) -> None:
    scene = make_scene()
    id = scene.launch("ann")
    scene.settle()
    noise = EVIL.encode() + b"\x1b[2J\x00\x07\xff\xfe\r\nlogin: "
    (console,) = scene.world.root.rglob("console.log")
    console.write_bytes(noise)
    for user in ("ann", "admin"):
        page = scene.meanwhile(lambda user=user: scene.browser(user).get(f"/instances/{id}/console"))
        assert SHOWN in page.text
        assert "login:" in page.text
        unharmed(page.text)
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", page.text)
    assert readable("a\x1b[31mb\x00\n\tc\x7f") == "a[31mb\n\tc"


def test_what_was_asked_for_is_text_in_refusals_and_forms(scene: Any) -> None:
    ann = scene.browser("ann")
    for path in (
        "/nothing/" + _quoted(EVIL),
        "/instances?search=" + _quoted(EVIL),
        "/usage?days=" + _quoted(EVIL),
    ):
        unharmed(ann.get(path).text)
    ann.get("/launch")
    form = {
        "image": EVIL,
        "type": EVIL,
        "zone": EVIL,
        "key": EVIL,
        "name": EVIL,
        "user_data": EVIL,
        "once": EVIL,
    }
    unharmed(ann.post("/launch", form).text)
    stranger = Browser(scene)
    stranger.get("/login")
    page = stranger.post(
        "/login", {"user_name": EVIL, "password": "x", "next": EVIL, "activation": EVIL, "code": EVIL}
    )
    assert page.status == 401
    unharmed(page.text)
    stranger.jar[safety.SAID] = safety.said(EVIL)
    page = stranger.get("/apply")
    assert SHOWN in page.text
    unharmed(page.text)


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


# -------------------------------------------------------------------------------------------------------- CSRF
POSTS = [route for route in ROUTES if route.method == "POST"]


@pytest.mark.parametrize("route", POSTS, ids=lambda route: route.path)
def test_no_form_counts_that_was_not_sent_by_a_page_of_ours(scene: Any, route: Any) -> None:
    admin, other = scene.browser("admin"), scene.browser("bob")
    path = re.sub(r"\{\w+\}", "x", route.path)
    before = _events(scene)
    own = f"https://localhost:{scene.port}"
    for form, headers in (
        ({"proof": ""}, {}),
        ({"proof": other.proof}, {}),
        ({"proof": safety.proof(other.jar[safety.SESSION])}, {}),
        ({"proof": admin.proof + "0"}, {}),
        ({"proof": admin.proof}, {"Origin": "https://evil.example"}),
        ({"proof": admin.proof}, {"Origin": "null"}),
        ({"proof": admin.proof}, {"Origin": own, "Sec-Fetch-Site": "cross-site"}),
        ({"proof": admin.proof}, {"Sec-Fetch-Site": "same-site"}),
    ):
        answer = admin.ask("POST", path, form, headers)
        assert answer.status == 403, (form, headers)
        assert "not sent by a page of this portal" in answer.shown
    assert _events(scene) == before


def test_the_proof_is_accepted_with_the_headers_of_an_honest_browser(scene: Any) -> None:
    admin = scene.browser("admin")
    admin.get("/admin/sign-up")
    own = {"Origin": f"https://localhost:{scene.port}", "Sec-Fetch-Site": "same-origin"}
    assert admin.ask("POST", "/admin/sign-up", {"proof": admin.proof, "telephone": "1"}, own).status == 303


def test_a_get_changes_nothing(scene: Any) -> None:
    id = scene.launch("ann")
    request = scene.apply("greta")
    things = {"id": id, "change": "terminate", "name": "ann", "kind": "user", "zone": "z0", "host": "h0"}
    admin = scene.browser("admin")
    before = _events(scene)
    for route in ROUTES:
        if route.method == "GET" and not route.path.endswith("/console"):
            path = re.sub(r"\{(\w+)\}", lambda found: things[found[1]], route.path)
            admin.get(path.replace(id, request) if "requests" in path else path)
    admin.get(f"/admin/requests/{request}?decide=approve")
    admin.ask("HEAD", f"/instances/{id}/terminate")
    assert _events(scene) == before
    assert scene.core.people.request(scene.caller("admin"), request).user_name == "greta"


def _events(scene: Any) -> int:
    return max((one.id for one in scene.core.history.events(scene.caller("admin"), limit=1).rows), default=0)


# ---------------------------------------------------------------------------------------------------- sessions
def test_a_session_that_somebody_else_chose_is_never_taken_over(scene: Any) -> None:
    victim = Browser(scene)
    victim.jar[safety.SESSION] = "chosen-by-an-attacker-0123456789"
    victim.jar[safety.VISIT] = "chosen-by-an-attacker-too-0123456789"
    victim.get("/login")
    victim.post("/login", {"user_name": "bob", "password": PASSWORD})
    assert victim.jar[safety.SESSION] != "chosen-by-an-attacker-0123456789"
    assert safety.VISIT not in victim.jar
    attacker = Browser(scene)
    attacker.jar[safety.SESSION] = "chosen-by-an-attacker-0123456789"
    assert attacker.get("/").location.startswith("/login")


def test_every_log_in_and_new_password_makes_another_token_and_the_log_out_ends_it_at_the_server(
    scene: Any,
) -> None:
    bob = scene.browser("bob", fresh=True)
    first = bob.jar[safety.SESSION]
    bob.get("/profile")
    new = "another long password"
    form = {"old_password": PASSWORD, "password": new, "password_again": new}
    assert bob.post("/profile/password", form).status == 303
    second = bob.jar[safety.SESSION]
    thief = Browser(scene)
    thief.jar[safety.SESSION] = first
    assert thief.get("/").location.startswith("/login"), "the old one has ended"
    thief.jar[safety.SESSION] = second
    assert thief.get("/").status == 200
    bob.get("/profile")
    bob.post("/profile/password", {"old_password": new, "password": PASSWORD, "password_again": PASSWORD})
    bob.get("/profile")
    third = bob.jar[safety.SESSION]
    assert bob.post("/logout").location == "/login"
    thief.jar[safety.SESSION] = third
    assert thief.get("/").location.startswith("/login"), "so has this, though the thief kept the cookie"
    assert len({first, second, third}) == 3


def test_an_open_page_whose_session_ended_goes_to_the_log_in(scene: Any) -> None:
    answer = Browser(scene).get("/instances", HX_Request="true")
    assert answer.header("HX-Redirect") == "/login?next=%2Finstances"


@pytest.mark.parametrize(
    "cookie",
    [
        "__Host-euca=a; __Host-euca=b",
        "__Host-euca=" + "x" * 7000,
        "__Host-euca=\x01",
        "=;;=",
        "__Host-euca-said=%ff%00{",
    ],
)
def test_odd_cookies_are_nobodys(scene: Any, cookie: str) -> None:
    assert Browser(scene).get("/", Cookie=cookie).status in (303, 400)
    assert Browser(scene).get("/login", Cookie=cookie).status in (200, 400)


# ------------------------------------------------------------------------------------- hosts, redirects, headers
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


# ---------------------------------------------------------------------------------------- guessing, and secrets
def test_a_wrong_name_and_a_wrong_password_look_the_same(make_scene: Any) -> None:
    scene = make_scene()
    seen = set()
    for name in ("ann", "nobody-at-all", "admin", "../x"):
        stranger = Browser(scene)
        stranger.get("/login")
        answer = stranger.post("/login", {"user_name": name, "password": "wrong password"})
        seen.add((answer.status, re.sub(r'value="[^"]*"', "", answer.text)))
    assert len(seen) == 1
    recovered = set()
    for name in ("ann", "nobody-at-all"):
        stranger = Browser(scene)
        stranger.get("/recover")
        answer = stranger.post("/recover", {"user_name": name})
        recovered.add((answer.status, answer.text))
    assert len(recovered) == 1
    applied = set()
    for name in ("ann", "a-free-name"):
        stranger = Browser(scene)
        stranger.get("/apply")
        form = {
            "user_name": name,
            "password": PASSWORD,
            "password_again": PASSWORD,
            "email": "x@example.org",
            "full_name": "X",
        }
        answer = stranger.post("/apply", form)
        applied.add((answer.status, answer.location, answer.raw))
    assert len(applied) == 1


def test_guessing_is_slowed_down_and_locks_nobody_out(make_scene: Any) -> None:
    scene = make_scene()
    ann = scene.browser("ann", fresh=True)  # she was here before
    stranger = Browser(scene)
    stranger.get("/login")
    for _ in range(40):
        answer = stranger.post("/login", {"user_name": "ann", "password": "guess"})
        if answer.status == 429:
            break
    assert answer.status == 429
    assert int(answer.header("Retry-After")) > 0
    assert stranger.post("/login", {"user_name": "ann", "password": PASSWORD}).status == 429, (
        "the right one, too"
    )
    del ann.jar[safety.SESSION]
    ann.get("/login")
    answer = ann.post("/login", {"user_name": "ann", "password": PASSWORD})
    assert answer.status == 303
    assert "failed since you were here last" in ann.get("/").shown


def test_neither_private_keys_nor_secrets_nor_tokens_are_on_the_disk_or_in_the_log(
    make_scene: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    scene = make_scene()
    ann = scene.browser("ann", fresh=True)
    ann.get("/recover")
    Browser(scene).get("/activate?token=SECRETTOKENOFAMAIL")
    ann.get("/credentials")
    archive = zipfile.ZipFile(io.BytesIO(ann.post("/credentials/certificate").raw))
    private = archive.read(archive.namelist()[0])
    secret = re.search(rb"AWS_SECRET_ACCESS_KEY=(\w+)", archive.read("eucarc"))
    assert secret is not None
    pem = ann.post("/keys", {"name": "k"}).raw
    parts = [line for line in (*private.splitlines(), *pem.splitlines()) if len(line) > 60]
    disk = b"".join(path.read_bytes() for path in scene.world.root.rglob("*") if path.is_file())
    told = caplog.text.encode()
    for needle in (
        *parts[:20],
        *parts[-10:],
        secret[1],
        ann.jar[safety.SESSION].encode(),
        PASSWORD.encode(),
        b"SECRETTOKENOFAMAIL",
    ):
        assert needle not in disk, needle
        assert needle not in told, needle
    assert b"GET /credentials 200" in told, "it does log what was asked"


def test_what_is_kept_of_a_key_pair_is_its_public_half() -> None:
    assert set(KeyPair.__dataclass_fields__) == {
        "id", "account_id", "created_by", "name", "public_key", "fingerprint", "key_type", "created_at",
    }  # fmt: skip
