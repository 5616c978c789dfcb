"""What a user sees first, and what concerns the user as such: capacity, usage, profile, password."""

from __future__ import annotations

from datetime import UTC, datetime

from euca_rpc.clock import HOUR, SECOND, Micros
from euca_rpc.shown import UsagePoint

from ..asked import Answer, Asked, Fields, Page, Redirect
from .entrance import LONGEST_PASSWORD, new_password, profile_of
from .instances import owners_of

DAY: Micros = 24 * HOUR
SPANS = (("7", "7 days"), ("30", "30 days"), ("90", "90 days"))


def overview(asked: Asked) -> Page:
    core, caller = asked.core, asked.caller
    newest = core.instances.page(caller, limit=8).rows
    return Page(
        "overview.html",
        {
            "newest": newest,
            "owners": owners_of(asked, newest),
            "own": core.people.quota(caller),
            "account": core.people.quota(caller, "account"),
            "zones": core.zones.describe(caller),
            "points": chart(core.history.usage(caller, "", *span(asked, 30), points=30)),
        },
    )


def capacity(asked: Asked) -> Page:
    return Page(
        "capacity.html",
        {
            "zones": asked.core.zones.describe(asked.caller),
            "own": asked.core.people.quota(asked.caller),
            "account": asked.core.people.quota(asked.caller, "account"),
        },
    )


def usage(asked: Asked) -> Page:
    days = int(asked.query.choice("days", *(value for value, _ in SPANS)))
    scope = asked.query.choice("scope", "account", "own")
    core, caller = asked.core, asked.caller
    wanted = "" if scope == "account" else f"user/{caller.user_name}"
    points = core.history.usage(caller, wanted, *span(asked, days), points=30)
    return Page(
        "usage.html",
        {
            "points": chart(points),
            "machine_hours": sum(point.instance_seconds for point in points) / 3600,
            "core_hours": sum(point.core_seconds for point in points) / 3600,
            "memory_hours": sum(point.memory_mb_seconds for point in points) / 3600 / 1024,
            "days": str(days),
            "scope": scope,
            "spans": SPANS,
        },
    )


def span(asked: Asked, days: int) -> tuple[Micros, Micros]:
    """The last ``days`` days up to now, in cloud time."""
    now = asked.core.clock.now()
    return now - days * DAY, now


def chart(points: list[UsagePoint]) -> list[dict[str, object]]:
    """Core hours per point."""
    return [
        {
            "label": f"{datetime.fromtimestamp(point.at // SECOND, UTC):%d %b %H:%M}",
            "value": point.core_seconds / 3600,
        }
        for point in points
    ]


# ---------------------------------------------------------------------------------------------------- profile
def profile_form(asked: Asked) -> Page:
    person = asked.core.people.me(asked.caller)
    typed = asked.form if asked.trouble and "email" in asked.form else Fields({})
    return Page("profile.html", {"person": person, "typed": typed})


def change_profile(asked: Asked) -> Answer:
    asked.core.people.change_profile(asked.caller, profile_of(asked.form))
    return Redirect("/profile", "Your profile was changed.")


def change_password(asked: Asked) -> Answer:
    new = new_password(asked.form)
    old = asked.form.raw("old_password", LONGEST_PASSWORD)
    made = asked.core.sessions.change_password(asked.visitor, asked.token, old, new)
    return Redirect("/profile", "Your password was changed; you are logged out everywhere else.", made)
