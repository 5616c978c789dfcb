"""Key pairs: made here (the private half is a download, once), added from a public key, forgotten."""

from __future__ import annotations

import re

from ..asked import Answer, Asked, Download, Page, Redirect
from ..confirm import Change, confirm

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,60}")


def listed(asked: Asked) -> Page:
    return Page("keys.html", {"rows": asked.core.keys.describe(asked.caller)})


def create(asked: Asked) -> Answer:
    name = asked.form.line("name", 255)
    pair, private = asked.core.keys.create(
        asked.caller, name, asked.form.choice("key_type", "rsa", "ed25519")
    )
    file = pair.name if _PLAIN.fullmatch(pair.name) else pair.id
    return Download(f"{file}.pem", "application/x-pem-file", private.encode())


def import_(asked: Asked) -> Answer:
    name = asked.form.line("name", 255)
    pair = asked.core.keys.import_(asked.caller, name, asked.form.text("material", 16 * 1024).encode())
    return Redirect("/keys", f"The key pair {pair.name} was added.")


DELETE = Change(
    "Delete it",
    "Forget this key pair?",
    "Machines that have it keep it; new ones cannot be launched with it.",
    danger=True,
)


def ask_delete(asked: Asked) -> Page:
    """The name travels in the query: it may have any printable character."""
    (pair,) = asked.core.keys.describe(asked.caller, [asked.query.raw("name", 255)])
    return confirm(
        f"Delete the key pair {pair.name}", DELETE, "/keys/delete", "/keys", hidden={"name": pair.name}
    )


def delete(asked: Asked) -> Answer:
    name = asked.form.raw("name", 255)
    there = asked.core.keys.delete(asked.caller, name)
    return Redirect(
        "/keys", f"The key pair {name} was deleted." if there else f"There is no key pair {name}."
    )
