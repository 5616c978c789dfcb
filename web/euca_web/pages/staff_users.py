"""For administrators: who asks for an account, who has one, and what becomes of them."""

from __future__ import annotations

from euca_rpc.errors import EucaError
from euca_rpc.shown import Person
from euca_rpc.types import Quota

from ..asked import Answer, Asked, Fields, Page, Redirect
from ..confirm import Change, confirm, known
from ..forms import quota_of
from .entrance import OPTIONAL_FIELDS, profile_of

STATUSES = (
    ("", "all"),
    ("active", "active"),
    ("unconfirmed", "not confirmed yet"),
    ("disabled", "disabled"),
    ("deleted", "deleted"),
)
NO_LIMITS = Quota("")


# ---------------------------------------------------------------------------------------------------- requests
def requests(asked: Asked) -> Page:
    found = asked.core.people.requests(
        asked.caller, search=asked.query.text("search", 200), after=asked.query.text("after")
    )
    return Page("requests.html", {"page": found})


def request(asked: Asked) -> Page:
    """What the links of the administrator's mail open.  It shows the request and asks; a link alone changes nothing."""
    found = asked.core.people.request(asked.caller, asked.path["id"])
    decide = asked.query.text("decide")
    return Page("request.html", {"request": found, "decide": decide, "no_limits": NO_LIMITS})


def approve(asked: Asked) -> Answer:
    form = asked.form
    quota = quota_of(form) if form.ticked("own_quota") else None
    person = asked.core.people.approve(
        asked.caller,
        asked.path["id"],
        user_name=form.line("user_name", 100) or None,
        account_id=form.line("account_id", 20) or None,
        quota=quota,
    )
    return Redirect("/admin/requests", f"{person.name} was approved and gets a mail with an activation link.")


def reject(asked: Asked) -> Answer:
    asked.core.people.reject(asked.caller, asked.path["id"], asked.form.text("reason", 2000))
    return Redirect("/admin/requests", "The request was rejected; a mail says so.")


def form_switches(asked: Asked) -> Page:
    return Page("sign_up.html", {"form_now": asked.core.sign_up.form(), "fields": OPTIONAL_FIELDS})


def set_form_switches(asked: Asked) -> Answer:
    wanted = [name for name in OPTIONAL_FIELDS if asked.form.ticked(name)]
    asked.core.sign_up.set_form(asked.caller, wanted)
    return Redirect("/admin/sign-up", "The sign-up form was changed.")


# ------------------------------------------------------------------------------------------------------- users
def users(asked: Asked) -> Page:
    found = asked.core.people.users(
        asked.caller,
        search=asked.query.text("search", 200),
        status=asked.query.choice("state", *(value for value, _ in STATUSES)),
        after=asked.query.text("after"),
    )
    return Page("users.html", {"page": found, "statuses": STATUSES})


def user(asked: Asked) -> Page:
    name = asked.path["name"]
    person = asked.core.people.user(asked.caller, name)
    typed = asked.form if asked.trouble and "email" in asked.form else Fields({})
    quota = asked.core.people.quota(asked.caller, f"user/{name}") if person.status != "deleted" else None
    return Page("user.html", {"person": person, "typed": typed, "quota": quota, "changes": _offered(person)})


def add_form(asked: Asked) -> Page:
    return Page("user_add.html")


def add(asked: Asked) -> Answer:
    form = asked.form
    person = asked.core.people.add(
        asked.caller, form.line("user_name", 100), profile_of(form), form.line("account_id", 20) or None
    )
    return Redirect(
        f"/admin/users/{person.name}", f"{person.name} gets a mail with a link to choose a password."
    )


def change_profile(asked: Asked) -> Answer:
    name = asked.path["name"]
    asked.core.people.change_profile(asked.caller, profile_of(asked.form), name)
    return Redirect(f"/admin/users/{name}", f"The profile of {name} was changed.")


def set_quota(asked: Asked) -> Answer:
    name = asked.path["name"]
    limits = None if asked.form.ticked("usual") else quota_of(asked.form)
    asked.core.people.set_quota(asked.caller, f"user/{name}", limits)
    return Redirect(f"/admin/users/{name}", f"The quota of {name} was changed; what runs goes on.")


CHANGES = {
    "disable": Change(
        "Disable",
        "Refuse this user from now on?",
        "Open sessions end and all keys and certificates fail at once. Machines run on.",
        "was disabled.",
        danger=True,
    ),
    "enable": Change("Enable", "Let this user in again, with the same keys?", done="was enabled."),
    "reset": Change(
        "Reset the password",
        "Make the password of this user count no more?",
        "Open sessions end; a mail brings a link to choose another one. Access keys go on working.",
        "gets a mail with a link to choose another password.",
    ),
    "make-administrator": Change(
        "Make administrator",
        "Make this user an administrator?",
        "An administrator may see, change and end everything in this cloud.",
        "is an administrator now.",
        danger=True,
    ),
    "take-administrator": Change(
        "Take administration back",
        "Make this user an ordinary one?",
        done="is no administrator any more.",
        danger=True,
    ),
    "delete": Change(
        "Delete",
        "Delete this user for good?",
        "Sessions end, all keys and certificates fail at once, and the name is never used again.",
        "was deleted.",
        danger=True,
    ),
}


def _offered(person: Person) -> list[tuple[str, Change]]:
    status, is_admin = person.status, person.is_admin
    fitting = {
        "disable": status == "active",
        "enable": status == "disabled",
        "reset": status == "active",
        "make-administrator": status == "active" and not is_admin,
        "take-administrator": is_admin and status != "deleted",
        "delete": status != "deleted",
    }
    return [(name, change_) for name, change_ in CHANGES.items() if fitting[name]]


def ask(asked: Asked) -> Page:
    name, what = asked.path["name"], asked.path["change"]
    change_ = known(CHANGES, what)
    person = asked.core.people.user(asked.caller, name)
    title, action = f"{change_.button}: {person.name}", f"/admin/users/{person.name}/{what}"
    if what != "delete":
        return confirm(title, change_, action, f"/admin/users/{person.name}")
    return confirm(
        title,
        change_,
        action,
        f"/admin/users/{person.name}",
        choices_label=f"Its machines ({person.instances} that are not over)",
        choices_name="instances",
        choices=(("keep", "keep them for the account"), ("terminate", "terminate them, protected ones too")),
    )


def change(asked: Asked) -> Answer:
    name, change_ = asked.path["name"], known(CHANGES, asked.path["change"])
    people, caller = asked.core.people, asked.caller
    match asked.path["change"]:
        case "disable":
            people.disable(caller, name)
        case "enable":
            people.enable(caller, name)
        case "reset":
            people.reset(caller, name)
        case "delete":
            if not asked.form.ticked("instances"):
                raise EucaError("parameter_missing", "Say what becomes of the user's machines.")
            people.delete(caller, name, asked.form.choice("instances", "keep", "terminate"))
            return Redirect("/admin/users", f"{name} {change_.done}")
        case other:
            people.set_administrator(caller, name, other == "make-administrator")
    return Redirect(f"/admin/users/{name}", f"{name} {change_.done}")
