"""For administrators: usage of all, and the audit log."""

from __future__ import annotations

import csv
import io

from euca_rpc.clock import iso
from euca_rpc.shown import UsageTotal

from ..asked import Asked, Download, Page
from .home import SPANS, chart, span

KINDS = (("user", "users"), ("account", "accounts"))
MOST_ROWS = 20_000  # of a CSV
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
    days, kind = _wanted(asked)
    since, until = span(asked, days)
    rows: list[UsageTotal] = []
    after = ""
    while len(rows) < MOST_ROWS:
        page = asked.core.history.usage_by(asked.caller, kind, since, until, after=after, limit=200)
        rows += page.rows
        after = page.next
        if not after:
            break
    text = io.StringIO()
    sheet = csv.writer(text)
    sheet.writerow([kind, "name", "since", "until", "instance_hours", "core_hours", "memory_gib_hours"])
    for row in rows:
        hours = (row.instance_seconds / 3600, row.core_seconds / 3600, row.memory_mb_seconds / 3600 / 1024)
        numbers = [f"{number:.3f}" for number in hours]
        sheet.writerow([cell(row.id), cell(row.name), iso(since), iso(until), *numbers])
    return Download(f"usage-by-{kind}.csv", "text/csv; charset=utf-8", text.getvalue().encode())


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
