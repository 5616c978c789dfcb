"""Every request that the portal answers: one row each, with who may make it.  What is not here does not exist.

ANYONE: also who is not logged in.  USER: who is; the core decides what of the cloud that user may see and change.  STAFF:
administrators.  A row whose page changes something is a POST and carries the proof that the form is ours; a GET changes
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from euca_rpc.http.statuses import Refused

from .asked import Answer, Asked, Page
from .pages import (
    credentials,
    entrance,
    home,
    images,
    instances,
    keys,
    launch,
    staff_accounts,
    staff_cloud,
    staff_images,
    staff_mails,
    staff_records,
    staff_users,
)

ANYONE, USER, STAFF = "anyone", "user", "staff"


@dataclass(frozen=True, slots=True)
class Route:
    method: str
    path: str  # {name}: one part of the path
    who: str
    perform: Callable[[Asked], Answer]
    again: Callable[[Asked], Page] | None = None  # the page of the form, shown again with the refusal
    owed: bool = False  # open to the first administrator before the first steps are done
    flows: bool = False  # its form has a file, which is read as it comes

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


def _get(path: str, who: str, page: Callable[[Asked], Answer], owed: bool = False) -> Route:
    return Route("GET", path, who, page, owed=owed)


def _post(
    path: str,
    who: str,
    change: Callable[[Asked], Answer],
    again: Callable[[Asked], Page] | None = None,
    owed: bool = False,
) -> Route:
    return Route("POST", path, who, change, again, owed)


ROUTES: tuple[Route, ...] = (
    # ------------------------------------------------------------------------------ coming in
    _get("/login", ANYONE, entrance.login_page),
    _post("/login", ANYONE, entrance.log_in, entrance.login_form),
    _post("/logout", USER, entrance.log_out, owed=True),
    _get("/first-steps", USER, entrance.first_steps_page, owed=True),
    _post("/first-steps", USER, entrance.first_steps, entrance.first_steps_form, owed=True),
    _get("/apply", ANYONE, entrance.apply_form),
    _post("/apply", ANYONE, entrance.apply, entrance.apply_form),
    _get("/applied", ANYONE, entrance.applied),
    _get("/activate", ANYONE, entrance.activate_page),
    _get("/recover", ANYONE, entrance.recover_form),
    _post("/recover", ANYONE, entrance.recover, entrance.recover_form),
    _get("/password", ANYONE, entrance.password_form),
    _post("/password", ANYONE, entrance.choose_password, entrance.password_form),
    # ------------------------------------------------------------------------------ every user
    _get("/", USER, home.overview),
    _get("/capacity", USER, home.capacity),
    _get("/usage", USER, home.usage),
    _get("/profile", USER, home.profile_form),
    _post("/profile", USER, home.change_profile, home.profile_form),
    _post("/profile/password", USER, home.change_password, home.profile_form),
    _get("/instances", USER, instances.listed),
    _get("/instances/{id}", USER, instances.one),
    _get("/instances/{id}/console", USER, instances.console),
    _post("/instances/{id}/extend", USER, instances.extend, instances.one),
    _get("/instances/{id}/{change}", USER, instances.ask),
    _post("/instances/{id}/{change}", USER, instances.change),
    _get("/launch", USER, launch.form),
    _post("/launch", USER, launch.launch, launch.form),
    _get("/images", USER, images.listed),
    _get("/images/{id}", USER, images.one),
    _post("/images/{id}/permissions", USER, images.permit, images.one),
    _get("/images/{id}/{change}", USER, images.ask),
    _post("/images/{id}/{change}", USER, images.change),
    _get("/keys", USER, keys.listed),
    _post("/keys", USER, keys.create, keys.listed),
    _post("/keys/import", USER, keys.import_, keys.listed),
    _get("/keys/delete", USER, keys.ask_delete),
    _post("/keys/delete", USER, keys.delete),
    _get("/credentials", USER, credentials.listed),
    _post("/credentials/certificate", USER, credentials.make_certificate, credentials.listed),
    _post("/credentials/key", USER, credentials.make_key, credentials.listed),
    _get("/credentials/certificates/{id}/{change}", USER, credentials.CERTIFICATE.ask),
    _post("/credentials/certificates/{id}/{change}", USER, credentials.CERTIFICATE.change),
    _get("/credentials/keys/{id}/{change}", USER, credentials.KEY.ask),
    _post("/credentials/keys/{id}/{change}", USER, credentials.KEY.change),
    # ------------------------------------------------------------------------------ administrators
    _get("/admin/requests", STAFF, staff_users.requests),
    _get("/admin/requests/{id}", STAFF, staff_users.request),
    _post("/admin/requests/{id}/approve", STAFF, staff_users.approve, staff_users.request),
    _post("/admin/requests/{id}/reject", STAFF, staff_users.reject, staff_users.request),
    _get("/admin/sign-up", STAFF, staff_users.form_switches),
    _post("/admin/sign-up", STAFF, staff_users.set_form_switches, staff_users.form_switches),
    _get("/admin/users", STAFF, staff_users.users),
    _get("/admin/users/add", STAFF, staff_users.add_form),
    _post("/admin/users/add", STAFF, staff_users.add, staff_users.add_form),
    _get("/admin/users/{name}", STAFF, staff_users.user),
    _post("/admin/users/{name}/profile", STAFF, staff_users.change_profile, staff_users.user),
    _post("/admin/users/{name}/quota", STAFF, staff_users.set_quota, staff_users.user),
    _get("/admin/users/{name}/{change}", STAFF, staff_users.ask),
    _post("/admin/users/{name}/{change}", STAFF, staff_users.change),
    _get("/admin/accounts", STAFF, staff_accounts.accounts),
    _get("/admin/accounts/{id}", STAFF, staff_accounts.account),
    _post("/admin/accounts/{id}/quota", STAFF, staff_accounts.set_quota, staff_accounts.account),
    _get("/admin/quotas", STAFF, staff_accounts.defaults),
    _post("/admin/quotas/{kind}", STAFF, staff_accounts.set_default, staff_accounts.defaults),
    _get("/admin/images", STAFF, staff_images.listed),
    _get("/admin/images/add", STAFF, staff_images.add_form),
    Route("POST", "/admin/images/add", STAFF, staff_images.add, staff_images.add_form, flows=True),
    _get("/admin/nodes", STAFF, staff_cloud.nodes),
    _get("/admin/nodes/{zone}/{host}/{change}", STAFF, staff_cloud.ask),
    _post("/admin/nodes/{zone}/{host}/{change}", STAFF, staff_cloud.change),
    _get("/admin/types", STAFF, staff_cloud.types),
    _post("/admin/types", STAFF, staff_cloud.set_type, staff_cloud.types),
    _get("/admin/types/{name}/remove", STAFF, staff_cloud.ask_remove_type),
    _post("/admin/types/{name}/remove", STAFF, staff_cloud.remove_type),
    _get("/admin/policies", STAFF, staff_cloud.policies),
    _get("/admin/usage", STAFF, staff_records.usage),
    _get("/admin/usage.csv", STAFF, staff_records.usage_csv),
    _get("/admin/audit", STAFF, staff_records.audit),
    _get("/admin/mails", STAFF, staff_mails.mails),
    _post("/admin/mails/retry", STAFF, staff_mails.retry),
    _get("/admin/mails/templates", STAFF, staff_mails.templates),
    _get("/admin/mails/templates/{kind}", STAFF, staff_mails.template),
    _post("/admin/mails/templates/{kind}", STAFF, staff_mails.set_template, staff_mails.template),
    _post("/admin/mails/{id}/show", STAFF, staff_mails.show),
    _get("/admin/mails/{id}/drop", STAFF, staff_mails.ask_drop),
    _post("/admin/mails/{id}/drop", STAFF, staff_mails.drop),
)


FLOWING = tuple(route.path for route in ROUTES if route.flows)


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]{1,200})", re.escape(path)))


_COMPILED = [(_pattern(route.path), route) for route in ROUTES]


def find(method: str, path: str) -> tuple[Route, Mapping[str, str]]:
    """The first row that fits."""
    allowed = []
    for pattern, route in _COMPILED:
        match = pattern.fullmatch(path)
        if match is None:
            continue
        if route.method == method:
            return route, match.groupdict()
        allowed.append(route.method)
    if allowed:
        raise Refused(
            405,
            "action_unknown",
            f"This page takes {' and '.join(allowed)} only.",
            (("Allow", ", ".join(allowed)),),
        )
    raise EucaNotFound()


def is_page(path: str) -> bool:
    return any(route.method == "GET" and pattern.fullmatch(path) for pattern, route in _COMPILED)


class EucaNotFound(Refused):
    def __init__(self) -> None:
        super().__init__(404, "action_unknown", "There is no such page. The menu shows those that there are.")
