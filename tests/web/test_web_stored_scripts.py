"""Attacks on readers: what somebody said is text to everybody else, wherever it is shown."""

from __future__ import annotations

import html
import re
from typing import Any

from web_scene import PASSWORD, Browser

from euca_rpc.cloud.changes import Outcome, Put, event
from euca_web import safety
from euca_web.pages.instances import readable

EVIL = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>"
SHOWN = html.escape(EVIL).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")


def unharmed(page: str) -> None:
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert 'onerror=alert(1)>"' not in page


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
