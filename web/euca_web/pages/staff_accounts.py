"""For administrators: accounts and quotas."""

from __future__ import annotations

from euca_rpc.errors import EucaError

from ..asked import Answer, Asked, Page, Redirect
from ..forms import quota_of

DEFAULTS = {"account": "each account", "user": "each user"}


def accounts(asked: Asked) -> Page:
    found = asked.core.people.accounts(
        asked.caller, search=asked.query.text("search", 200), after=asked.query.text("after")
    )
    return Page("accounts.html", {"page": found})


def account(asked: Asked) -> Page:
    id = asked.path["id"]
    quota = asked.core.people.quota(asked.caller, f"account/{id}")
    users = asked.core.people.users(asked.caller, search=id)
    return Page(
        "account.html",
        {"id": id, "quota": quota, "users": [person for person in users.rows if person.account_id == id]},
    )


def set_quota(asked: Asked) -> Answer:
    id = asked.path["id"]
    limits = None if asked.form.ticked("usual") else quota_of(asked.form)
    asked.core.people.set_quota(asked.caller, f"account/{id}", limits)
    return Redirect(f"/admin/accounts/{id}", "The quota was changed; what runs goes on.")


def defaults(asked: Asked) -> Page:
    people, caller = asked.core.people, asked.caller
    return Page(
        "quotas.html",
        {
            "defaults": [
                (kind, whose, people.quota(caller, f"default/{kind}")) for kind, whose in DEFAULTS.items()
            ]
        },
    )


def set_default(asked: Asked) -> Answer:
    kind = asked.path["kind"]
    if kind not in DEFAULTS:
        raise EucaError(
            "parameter_invalid", f"There are defaults for {' and '.join(DEFAULTS)}; nothing else."
        )
    asked.core.people.set_quota(asked.caller, f"default/{kind}", quota_of(asked.form))
    return Redirect("/admin/quotas", f"The default for {DEFAULTS[kind]} was changed; what runs goes on.")
