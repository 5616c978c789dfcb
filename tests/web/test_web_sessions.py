"""Attacks on who asks: forged forms, chosen sessions, odd cookies, guessing, secrets that stay where they are."""

from __future__ import annotations

import io
import logging
import re
import statistics
import time
import zipfile
from typing import Any

import pytest
from web_scene import PASSWORD, Browser

from euca_rpc.clock import MINUTE
from euca_rpc.cloud.changes import Outcome, Put
from euca_rpc.cloud.passwords import Cost
from euca_rpc.cloud.sessions import Lives
from euca_rpc.ids import SystemIds
from euca_rpc.types import KeyPair, Password
from euca_web import safety
from euca_web.routes import ROUTES

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


def test_a_page_that_only_looks_again_by_itself_keeps_no_session_alive(make_scene: Any) -> None:
    scene = make_scene()
    scene.world.cloud.office.sessions._lives = Lives(idle=10 * MINUTE)
    busy, idle = scene.browser("ann", fresh=True), scene.browser("ann", fresh=True)
    for _ in range(6):
        scene.settle(180)
        assert busy.get("/instances").status == 200
        last = idle.get("/instances", HX_Request="true")
    assert last.header("HX-Redirect") == "/login?next=%2Finstances"
    # a form counts as use, whatever sends it
    busy.get("/profile")
    for _ in range(6):
        scene.settle(180)
        assert busy.post("/keys/delete", {"name": "none"}, HX_Request="true").header("HX-Redirect") == "/keys"


# ------------------------------------------------------------------------------------------ how long it takes
def test_how_long_a_refusal_takes_tells_nobody_who_there_is(make_scene: Any) -> None:
    """Asked in turn, so that a busy machine is busy for all alike; a password that costs what the shipped settings make
    it cost.  Whom nobody knows, who waits for approval, who is disabled and who has no password yet take as long."""
    scene = make_scene()
    cost = Cost()
    scene.world.cloud.office.reception.passwords.__init__(SystemIds(), cost)
    hashed = scene.world.cloud.office.reception.passwords.hash(PASSWORD)
    view, wall = scene.world.view, scene.world.clock.wall()
    rows = [Put(Password(user.id, hashed, wall)) for user in view.users.values()]
    scene.journal.do(lambda view, now: Outcome(tuple(rows)))
    scene.apply("waits")
    admin = scene.caller("admin")
    scene.core.people.disable(admin, "bob")
    scene.core.people.add(admin, "dora", scene.profile("dora"))
    stranger = Browser(scene)
    stranger.get("/login")
    took: dict[str, list[float]] = {
        name: [] for name in ("ann", "nobody-at-all", "waits", "bob", "dora", "admin")
    }
    for _ in range(12):
        for name, seconds in took.items():
            scene.forgive()
            began = time.perf_counter()
            answer = stranger.post("/login", {"user_name": name, "password": "a wrong password"})
            seconds.append(time.perf_counter() - began)
            assert answer.status == 401
    medians = {name: statistics.median(seconds) for name, seconds in took.items()}
    hashing = min(min(seconds) for seconds in took.values())
    assert hashing > 0.01, "the hash is what takes time"
    assert max(medians.values()) - min(medians.values()) < 0.5 * hashing, medians


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
