"""For administrators: mails that wait, and the texts that they are made of."""

from __future__ import annotations

from euca_rpc.errors import EucaError
from euca_rpc.shown import MailTemplate

from ..asked import Answer, Asked, Page, Redirect
from ..confirm import Change, confirm


def mails(asked: Asked) -> Page:
    found = asked.core.mails.waiting(asked.caller, after=asked.query.text("after"))
    return Page("mails.html", {"service": asked.core.mails.service(asked.caller), "page": found})


def retry(asked: Asked) -> Answer:
    asked.core.mails.retry(asked.caller)
    return Redirect("/admin/mails", "All waiting mails are tried again now.")


def show(asked: Asked) -> Answer:
    """A POST, because looking into somebody's mail is noted in the audit log."""
    return Page("mail.html", {"letter": asked.core.mails.show(asked.caller, asked.path["id"])})


DROP = Change(
    "Drop it", "Send this mail to nobody?", "A link that it carries is never handed out.", danger=True
)


def ask_drop(asked: Asked) -> Page:
    return confirm("Drop a mail", DROP, f"/admin/mails/{asked.path['id']}/drop", "/admin/mails")


def drop(asked: Asked) -> Answer:
    asked.core.mails.drop(asked.caller, asked.path["id"])
    return Redirect("/admin/mails", "The mail was dropped.")


def templates(asked: Asked) -> Page:
    return Page("mail_templates.html", {"templates": asked.core.mails.templates(asked.caller)})


def template(asked: Asked) -> Page:
    return Page("mail_template.html", {"template": _template(asked)})


def set_template(asked: Asked) -> Answer:
    kind = _template(asked).kind
    built_in = asked.form.ticked("built_in")
    subject = "" if built_in else asked.form.line("subject", 300)
    text = "" if built_in else asked.form.text("text", 8000).replace("\r\n", "\n")
    asked.core.mails.set_template(asked.caller, kind, subject, text)
    return Redirect("/admin/mails/templates", "The text was changed.")


def _template(asked: Asked) -> MailTemplate:
    for found in asked.core.mails.templates(asked.caller):
        if found.kind == asked.path["kind"]:
            return found
    raise EucaError("mail_not_found", "There is no text of that kind; the list shows those that there are.")
