"""Every request of the portal × who makes it, with verdicts written by hand.  A route without a row fails.

The owner is ann, the other user bob.  `L` is "log in first"; {…} is a thing of ann's that is made for each question.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from web_scene import PASSWORD, Browser

from euca_web.routes import ANYONE, ROUTES, STAFF

L = "to the log-in"
WHO = ("anonymous", "owner", "other", "administrator")


@dataclass(frozen=True)
class Row:
    path: str
    anonymous: int | str
    owner: int | str
    other: int | str
    administrator: int | str
    form: dict[str, str] = field(default_factory=dict)


QUOTA = {"instances": "7"}
PROFILE = {"email": "x@example.org", "full_name": "X"}
TWICE = {"password": PASSWORD, "password_again": PASSWORD}
LAUNCH = {"image": "emi-00000001", "type": "m1.small"}
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ x"

MATRIX: dict[str, Row] = {
    # ------------------------------------------------------------------------------ coming in
    "GET /login": Row("/login", 200, 303, 303, 303),
    "POST /login": Row("/login", 401, 401, 401, 401, {"user_name": "nobody", "password": "nothing at all"}),
    "POST /logout": Row("/logout", L, 303, 303, 303),
    "GET /first-steps": Row("/first-steps", L, 303, 303, 303),
    "POST /first-steps": Row("/first-steps", L, 401, 401, 401, {**TWICE, "email": "x@example.org"}),
    "GET /apply": Row("/apply", 200, 200, 200, 200),
    "POST /apply": Row("/apply", 303, 303, 303, 303, {**TWICE, **PROFILE, "user_name": "eve"}),
    "GET /applied": Row("/applied", 200, 200, 200, 200),
    "GET /activate": Row("/activate?token=nonsense", 404, 404, 404, 404),
    "GET /recover": Row("/recover", 200, 200, 200, 200),
    "POST /recover": Row("/recover", 200, 200, 200, 200, {"user_name": "nobody"}),
    "GET /password": Row("/password?token=nonsense", 404, 404, 404, 404),
    "POST /password": Row("/password", 403, 403, 403, 403, {**TWICE, "token": "nonsense"}),
    # ------------------------------------------------------------------------------ every user
    "GET /": Row("/", L, 200, 200, 200),
    "GET /capacity": Row("/capacity", L, 200, 200, 200),
    "GET /usage": Row("/usage?scope=own", L, 200, 200, 200),
    "GET /profile": Row("/profile", L, 200, 200, 200),
    "POST /profile": Row("/profile", L, 303, 303, 303, PROFILE),
    "POST /profile/password": Row(
        "/profile/password", L, 401, 401, 401, {**TWICE, "old_password": "wrong one"}
    ),
    "GET /instances": Row("/instances", L, 200, 200, 200),
    "GET /instances/{id}": Row("/instances/{instance}", L, 200, 404, 200),
    "GET /instances/{id}/console": Row("/instances/{instance}/console", L, 200, 404, 200),
    "POST /instances/{id}/extend": Row("/instances/{leased}/extend", L, 303, 404, 303, {"hours": "1"}),
    "GET /instances/{id}/{change}": Row("/instances/{instance}/terminate", L, 200, 404, 200),
    "POST /instances/{id}/{change}": Row("/instances/{instance}/terminate", L, 303, 404, 303),
    "GET /launch": Row("/launch", L, 200, 200, 200),
    "POST /launch": Row("/launch", L, 303, 303, 303, LAUNCH),
    "GET /images": Row("/images", L, 200, 200, 200),
    "GET /images/{id}": Row("/images/{image}", L, 200, 404, 200),
    "POST /images/{id}/permissions": Row("/images/{image}/permissions", L, 303, 404, 303),
    "GET /images/{id}/{change}": Row("/images/{image}/disable", L, 200, 404, 200),
    "POST /images/{id}/{change}": Row("/images/{image}/disable", L, 303, 404, 303),
    "GET /keys": Row("/keys", L, 200, 200, 200),
    "POST /keys": Row("/keys", L, 200, 200, 200, {"name": "made", "key_type": "ed25519"}),
    "POST /keys/import": Row("/keys/import", L, 303, 303, 303, {"name": "brought", "material": PUBLIC}),
    "GET /keys/delete": Row("/keys/delete?name={key}", L, 200, 404, 404),
    "POST /keys/delete": Row(
        "/keys/delete", L, 303, 303, 303, {"name": "{key}"}
    ),  # of the caller's own account
    "GET /credentials": Row("/credentials?user=ann", L, 200, 403, 200),
    "POST /credentials/certificate": Row("/credentials/certificate", L, 200, 200, 200),
    "POST /credentials/key": Row("/credentials/key", L, 200, 200, 200),
    "GET /credentials/certificates/{id}/{change}": Row(
        "/credentials/certificates/{certificate}/revoke", L, 200, 404, 200
    ),
    "POST /credentials/certificates/{id}/{change}": Row(
        "/credentials/certificates/{certificate}/revoke", L, 303, 404, 303
    ),
    "GET /credentials/keys/{id}/{change}": Row("/credentials/keys/{access_key}/delete", L, 200, 404, 200),
    "POST /credentials/keys/{id}/{change}": Row("/credentials/keys/{access_key}/delete", L, 303, 404, 303),
    # ------------------------------------------------------------------------------ administrators
    "GET /admin/requests": Row("/admin/requests", L, 403, 403, 200),
    "GET /admin/requests/{id}": Row("/admin/requests/{request}", L, 403, 403, 200),
    "POST /admin/requests/{id}/approve": Row("/admin/requests/{request}/approve", L, 403, 403, 303),
    "POST /admin/requests/{id}/reject": Row("/admin/requests/{request}/reject", L, 403, 403, 303),
    "GET /admin/sign-up": Row("/admin/sign-up", L, 403, 403, 200),
    "POST /admin/sign-up": Row("/admin/sign-up", L, 403, 403, 303, {"telephone": "1"}),
    "GET /admin/users": Row("/admin/users", L, 403, 403, 200),
    "GET /admin/users/add": Row("/admin/users/add", L, 403, 403, 200),
    "POST /admin/users/add": Row("/admin/users/add", L, 403, 403, 303, {**PROFILE, "user_name": "frank"}),
    "GET /admin/users/{name}": Row("/admin/users/ann", L, 403, 403, 200),
    "POST /admin/users/{name}/profile": Row("/admin/users/ann/profile", L, 403, 403, 303, PROFILE),
    "POST /admin/users/{name}/quota": Row("/admin/users/ann/quota", L, 403, 403, 303, QUOTA),
    "GET /admin/users/{name}/{change}": Row("/admin/users/ann/delete", L, 403, 403, 200),
    "POST /admin/users/{name}/{change}": Row("/admin/users/{user}/disable", L, 403, 403, 303),
    "GET /admin/accounts": Row("/admin/accounts", L, 403, 403, 200),
    "GET /admin/accounts/{id}": Row("/admin/accounts/{account}", L, 403, 403, 200),
    "POST /admin/accounts/{id}/quota": Row("/admin/accounts/{account}/quota", L, 403, 403, 303, QUOTA),
    "GET /admin/quotas": Row("/admin/quotas", L, 403, 403, 200),
    "POST /admin/quotas/{kind}": Row("/admin/quotas/user", L, 403, 403, 303, {"instances": "1000"}),
    "GET /admin/images": Row("/admin/images", L, 403, 403, 200),
    "GET /admin/images/add": Row("/admin/images/add", L, 403, 403, 200),
    # the administrator's is refused for its missing file; whole ones are sent in `test_web_uploads`
    "POST /admin/images/add": Row("/admin/images/add", L, 403, 403, 400, {"name": "x"}),
    "GET /admin/nodes": Row("/admin/nodes", L, 403, 403, 200),
    "GET /admin/nodes/{zone}/{host}/{change}": Row("/admin/nodes/z0/h0/fence", L, 403, 403, 200),
    "POST /admin/nodes/{zone}/{host}/{change}": Row("/admin/nodes/z0/h0/undrain", L, 403, 403, 303),
    "GET /admin/types": Row("/admin/types", L, 403, 403, 200),
    "POST /admin/types": Row(
        "/admin/types", L, 403, 403, 303, {"name": "x1.tiny", "cores": "1", "memory_mb": "64", "disk_gb": "1"}
    ),
    "GET /admin/types/{name}/remove": Row("/admin/types/m1.large/remove", L, 403, 403, 200),
    "POST /admin/types/{name}/remove": Row("/admin/types/m1.xlarge/remove", L, 403, 403, 303),
    "GET /admin/policies": Row("/admin/policies", L, 403, 403, 200),
    "GET /admin/usage": Row("/admin/usage", L, 403, 403, 200),
    "GET /admin/usage.csv": Row("/admin/usage.csv", L, 403, 403, 200),
    "GET /admin/audit": Row("/admin/audit", L, 403, 403, 200),
    "GET /admin/mails": Row("/admin/mails", L, 403, 403, 200),
    "POST /admin/mails/retry": Row("/admin/mails/retry", L, 403, 403, 303),
    "GET /admin/mails/templates": Row("/admin/mails/templates", L, 403, 403, 200),
    "GET /admin/mails/templates/{kind}": Row("/admin/mails/templates/{kind}", L, 403, 403, 200),
    "POST /admin/mails/templates/{kind}": Row(
        "/admin/mails/templates/{kind}", L, 403, 403, 303, {"built_in": "1"}
    ),
    "POST /admin/mails/{id}/show": Row("/admin/mails/{mail}/show", L, 403, 403, 200),
    "GET /admin/mails/{id}/drop": Row("/admin/mails/{mail}/drop", L, 403, 403, 200),
    "POST /admin/mails/{id}/drop": Row("/admin/mails/{mail}/drop", L, 403, 403, 303),
}
_number = iter(range(1, 10_000))


def thing(scene: Any, name: str) -> str:
    """One of ann's, made now."""
    ann, n = scene.caller("ann"), next(_number)
    match name:
        case "instance":
            for _, statuses in scene.core.instances.describe(ann):  # room for this one
                scene.core.instances.terminate(ann, [status.instance.id for status in statuses])
            scene.settle(5)
            return str(scene.launch("ann"))
        case "leased":
            return str(scene.lease(thing(scene, "instance")))
        case "image":
            return str(scene.private_image("ann", n))
        case "key":
            return str(scene.core.keys.create(ann, f"key-{n}", "ed25519")[0].name)
        case "access_key":
            return str(scene.core.credentials.create_key(ann, "ann")[0].id)
        case "certificate":
            return str(scene.core.credentials.create_certificate(ann, "ann")[0].id)
        case "request":
            return str(scene.apply(f"applicant-{n}"))
        case "user":
            admin = scene.caller("admin")
            name = f"user-{n}"
            scene.core.people.add(admin, name, scene.profile(name))
            scene.activate(name)
            return name
        case "account":
            return str(ann.account_id)
        case "kind":
            return str(scene.core.mails.templates(scene.caller("admin"))[0].kind)
        case "mail":
            scene.apply(f"writes-{n}")
            return str(scene.letters()[-1].line.id)
    raise AssertionError(name)


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    assert set(MATRIX) == {route.name for route in ROUTES}


def test_what_is_for_administrators_lies_below_admin_and_nothing_else_does() -> None:
    for route in ROUTES:
        assert (route.who == STAFF) == route.path.startswith("/admin/"), route.name
    assert {r.path for r in ROUTES if r.who == ANYONE} == {
        "/login", "/apply", "/applied", "/activate", "/recover", "/password"
    }  # fmt: skip


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("name", MATRIX)
def test_who_may(scene: Any, name: str, who: str) -> None:
    row, method = MATRIX[name], name.partition(" ")[0]
    browser = _browser(scene, name, who)
    needed = {word for text in (row.path, *row.form.values()) for word in _words(text)}
    things = {word: thing(scene, word) for word in needed}
    path = row.path.format(**things)
    form = {key: value.format(**things) for key, value in row.form.items()}
    ask = lambda: browser.post(path, form) if method == "POST" else browser.get(path)
    answer = scene.meanwhile(ask) if path.endswith("/console") else ask()
    clear(scene)
    wanted = getattr(row, who)
    if wanted == L:
        assert answer.status == 303
        assert answer.location.startswith("/login")
    else:
        assert answer.status == wanted, answer.shown


def _browser(scene: Any, name: str, who: str) -> Browser:
    if who == "anonymous":
        browser = Browser(scene)
        browser.get("/apply")  # for its proof
        return browser
    user = {"owner": "ann", "other": "bob", "administrator": "admin"}[who]
    return scene.browser(user, fresh=name == "POST /logout")


def _words(text: str) -> list[str]:
    return [part.partition("}")[0] for part in text.split("{")[1:]]


def clear(scene: Any) -> None:
    """Quotas and limits are not what is asked about here."""
    for name in ("ann", "bob", "admin"):
        caller = scene.caller(name)
        for key in scene.core.keys.describe(caller):
            scene.core.keys.delete(caller, key.name)
        for row in scene.core.credentials.keys(caller, name):
            scene.core.credentials.delete_key(caller, row.id)
        for row in scene.core.credentials.certificates(caller, name):
            scene.core.credentials.revoke_certificate(caller, row.id)
        for _, statuses in scene.core.instances.describe(caller):
            scene.core.instances.terminate(caller, [status.instance.id for status in statuses])
    scene.forgive()
    scene.settle(2)
