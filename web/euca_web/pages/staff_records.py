"""For administrators: usage of all, and the audit log."""

from __future__ import annotations

import csv
import io

from euca_rpc.clock import iso

from ..asked import Asked, Download, Page
from .home import SPANS, chart, span

KINDS = (("user", "users"), ("account", "accounts"))
HOURS = ("instance_hours", "core_hours", "memory_gib_hours", "disk_gib_hours")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def usage(asked: Asked) -> Page:
    days, kind = _wanted(asked)
    core, caller = asked.core, asked.caller
    since, until = span(asked, days)
    return Page(
        "usage_of_all.html",
        {
            "points": chart(core.history.usage(caller, "cloud", since, until, points=30)),
            "page": core.history.usage_by(caller, kind, since, until, after=asked.query.text("after")),
            "days": str(days),
            "kind": kind,
            "spans": SPANS,
            "kinds": KINDS,
        },
    )


def usage_csv(asked: Asked) -> Download:
    """One line for each user and account that used anything."""
    days, _ = _wanted(asked)
    since, until = span(asked, days)
    text = io.StringIO()
    sheet = csv.writer(text)
    sheet.writerow(["account", "account_name", "user", "user_name", "since", "until", *HOURS])
    time = (iso(since), iso(until))
    for line in asked.core.history.ledger(asked.caller, since, until):
        gigabytes = line.memory_mb_seconds / 1024
        used = (line.instance_seconds, line.core_seconds, gigabytes, line.disk_gb_seconds)
        names = (line.account_id, line.account, line.user_id, line.user)
        hours = [f"{seconds / 3600:.3f}" for seconds in used]
        sheet.writerow([*map(cell, names), *time, *hours])
    return Download("usage.csv", "text/csv; charset=utf-8", text.getvalue().encode())


def cell(text: str) -> str:
    """A spreadsheet takes what begins so for a formula; an apostrophe makes it text."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def audit(asked: Asked) -> Page:
    query = asked.query
    found = asked.core.history.events(
        asked.caller,
        subject=query.line("subject", 100),
        kind=query.line("kind", 60),
        actor=query.line("actor", 100),
        after=query.text("after"),
    )
    return Page("audit.html", {"page": found})


def _wanted(asked: Asked) -> tuple[int, str]:
    days = int(asked.query.choice("days", "30", *(value for value, _ in SPANS)))
    return days, asked.query.choice("kind", *(value for value, _ in KINDS))
