"""Mail: written in the transaction of what causes it, sent later by somebody else (`daemons.mailer`).

    verb ─► Post.letter: template + words ─► Mail row, sealed ─► commit ─► mailer ─► mail server said 250 ─► row removed
                                                                             └─ otherwise: tried again, later and later

A mail server that is down loses nothing, a restart neither.  The Message-ID is the row's id, so it is the same at every try.
A mail goes out twice only if the process dies, or the connection, between the server's 250 and the commit that removes
the row: SMTP has no answer to that but the same Message-ID.

Templates are `string.Template` texts: $word is replaced, nothing is executed, and what a word stands for is not looked at
again.  Administrators change them (settings in the database).  What people typed reaches a subject as one line without
control characters.  Links begin with the configured public address, never with what a request said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from string import Template
from urllib.parse import quote

from euca_rpc.clock import HOUR, MINUTE, Micros
from euca_rpc.cloud import pages
from euca_rpc.cloud.accounts import check_administrator
from euca_rpc.cloud.changes import Change, Insert, Outcome, Put, Remove, event
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.seal import Seal
from euca_rpc.cloud.store import Store
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.ids import Ids
from euca_rpc.shown import Letter, MailLine, MailService, MailTemplate, Page
from euca_rpc.types import Caller, Mail, Setting

FIRST_PAUSE, LONGEST_PAUSE, GIVE_UP = MINUTE, 4 * HOUR, 5 * 24 * HOUR
_SUBJECT, _WORD, _TEXT = 200, 4000, 20_000


@dataclass(frozen=True, slots=True)
class Built:
    subject: str
    text: str
    words: tuple[str, ...]
    needed: tuple[str, ...] = ()  # words that the text must have


_SIGNED = "\n\n-- \n$cloud\n"
_NOT_ME = "\n\nHowever, if you never asked for this, please disregard this message."
_ASKED = (
    "user_name",
    "full_name",
    "email",
    "telephone",
    "project_leader",
    "affiliation",
    "project_description",
)
BUILT_IN: Mapping[str, Built] = {
    "request": Built(
        "[$cloud] $user_name asks for an account ($email)",
        "Someone has requested an account on $cloud:\n\n"
        "  User name:       $user_name\n"
        "  Full name:       $full_name\n"
        "  E-mail:          $email\n"
        "  Telephone:       $telephone\n"
        "  Project leader:  $project_leader\n"
        "  Affiliation:     $affiliation\n"
        "  Project:         $project_description\n"
        "  Asked from:      $address\n\n"
        "To look at it and APPROVE it:\n  $approve_link\n\nTo REJECT it:\n  $reject_link\n\n"
        "Nothing happens before you have logged in and said so there." + _SIGNED,
        (*_ASKED, "address", "approve_link", "reject_link", "cloud"),
        ("approve_link", "reject_link"),
    ),
    "approved": Built(
        "Your account on $cloud was approved",
        "Dear $full_name,\n\nyour request for an account on $cloud was approved. Your user name is $user_name.\n\n"
        "To activate it, open this link until $until and log in with the password that you chose:\n  $link"
        + _NOT_ME
        + _SIGNED,
        ("user_name", "full_name", "link", "until", "cloud"),
        ("link", "user_name"),
    ),
    "rejected": Built(
        "Your request for an account on $cloud",
        "Dear $full_name,\n\nyour request for the account $user_name on $cloud was not approved.\n\n$reason"
        + _NOT_ME
        + _SIGNED,
        ("user_name", "full_name", "reason", "cloud"),
    ),
    "invited": Built(
        "Your account on $cloud",
        "Dear $full_name,\n\nyou have an account on $cloud. Your user name is $user_name.\n\n"
        "To choose a password, open this link until $until:\n  $link" + _SIGNED,
        ("user_name", "full_name", "link", "until", "cloud"),
        ("link", "user_name"),
    ),
    "recover": Built(
        "Choose another password for $cloud",
        "Dear $full_name,\n\nsomebody, probably you, asked for another password of $user_name on $cloud.\n\n"
        "To choose one, open this link until $until; it works once:\n  $link" + _NOT_ME + _SIGNED,
        ("user_name", "full_name", "link", "until", "cloud"),
        ("link",),
    ),
    "lease_warning": Built(
        "$instance on $cloud ends at $until",
        "Dear $full_name,\n\nyour instance $instance ($type, zone $zone) on $cloud has a lease, which ends at $until. "
        "It will then be $then.\n\n"
        "If you need it longer, save your work, and extend the lease if you may, or ask your administrator."
        + _SIGNED,
        ("user_name", "full_name", "instance", "type", "zone", "until", "then", "policy", "cloud"),
        ("instance", "until"),
    ),
    "policy_warning": Built(
        "About your instance $instance on $cloud",
        "Dear $full_name,\n\nabout your instance $instance ($type, zone $zone) on $cloud:\n\n$reason\n\n"
        "It runs on. The policy $policy of your site says this." + _SIGNED,
        ("user_name", "full_name", "instance", "type", "zone", "reason", "policy", "cloud"),
        ("instance", "reason"),
    ),
    "eviction_notice": Built(
        "$instance on $cloud will be terminated at $until",
        "Dear $full_name,\n\nyour instance $instance ($type, zone $zone) on $cloud has to give way. It will be terminated at "
        "$until; its disk goes with it.\n\n$reason\n\nSave your work before then." + _SIGNED,
        ("user_name", "full_name", "instance", "type", "zone", "until", "reason", "policy", "cloud"),
        ("instance", "until"),
    ),
    "address_changed": Built(
        "The e-mail address of $user_name on $cloud was changed",
        "Dear $full_name,\n\nmail for $user_name on $cloud goes to another address since $at. This is the last one here.\n\n"
        "If it was not you, tell your administrator at once." + _SIGNED,
        ("user_name", "full_name", "at", "cloud"),
    ),
    "password_changed": Built(
        "The password of $user_name on $cloud was changed",
        "Dear $full_name,\n\nthe password of $user_name on $cloud was changed at $at, from $address.\n\n"
        "If it was not you, tell your administrator at once." + _SIGNED,
        ("user_name", "full_name", "at", "address", "cloud"),
    ),
}


# ------------------------------------------------------------------------------------------------- writing
@dataclass(frozen=True, slots=True)
class Post:
    """Writes mails; ``url`` is the portal's public address."""

    url: str
    seal: Seal
    ids: Ids
    cloud: str

    def letter(self, view: View, now: Micros, kind: str, to: str, words: Mapping[str, str]) -> Change:
        """One more row of the queue."""
        known = {**dict.fromkeys(BUILT_IN[kind].words, ""), **words, "cloud": self.cloud}
        subject, text = texts(view, kind)
        content = {
            "subject": _one_line(
                Template(subject).safe_substitute({k: _one_line(v) for k, v in known.items()})
            ),
            "text": Template(text).safe_substitute({k: _plain(v) for k, v in known.items()}),
        }
        id = f"m-{self.ids.bits(64):016x}"
        return Insert(Mail(id, to, kind, self.seal.close(json.dumps(content), id), now))

    def link(self, page: str, **query: str) -> str:
        asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        return f"{self.url.rstrip('/')}/{page}" + (f"?{asked}" if asked else "")

    def open(self, mail: Mail) -> tuple[str, str]:
        """Subject and text."""
        content = json.loads(self.seal.open(mail.sealed, mail.id))
        return content["subject"], content["text"]


def texts(view: View, kind: str) -> tuple[str, str]:
    row = view.settings.get(_setting(kind))
    if row is None:
        return BUILT_IN[kind].subject, BUILT_IN[kind].text
    changed = json.loads(row.value)
    return changed["subject"], changed["text"]


def _setting(kind: str) -> str:
    return f"mail.template.{kind}"


def _one_line(text: str) -> str:
    """Fit for a header: no control characters, no line breaks of any kind."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_SUBJECT]


def _plain(text: str) -> str:
    return "".join(c for c in text.replace("\r\n", "\n") if c.isprintable() or c in "\n\t")[:_WORD]


# ------------------------------------------------------------------------------------------------- the noun
@dataclass(slots=True)
class Service:
    """What the mailer and the pages tell each other; lost with the process."""

    server: str = ""  # "" = none is configured
    trouble: str = ""
    wake: Callable[[], None] = lambda: None
    hurry: bool = False  # all that waits is due now, also what was given up


class Mails:
    """`nouns.Mails`."""

    def __init__(self, store: Store, journal: Journal, post: Post, service: Service) -> None:
        self._store, self._journal, self._post, self._service = store, journal, post, service

    def service(self, caller: Caller) -> MailService:
        check_administrator(caller)
        return MailService(self._service.server, pages.mail_count(self._store), self._service.trouble)

    def waiting(self, caller: Caller, after: str = "", limit: int = 50) -> Page[MailLine]:
        check_administrator(caller)
        rows = pages.mails(self._store, after, pages.size_of(limit) + 1)
        more = len(rows) > limit
        rows = rows[:limit]
        return Page(tuple(map(_line, rows)), pages.cursor(rows[-1].queued_at, rows[-1].id) if more else "")

    def show(self, caller: Caller, id: str) -> Letter:
        check_administrator(caller)
        mail = self._find(id)
        subject, text = self._post.open(mail)
        told = {"kind": mail.kind}
        self._journal.do(
            lambda view, now: Outcome((), (event("mail.shown", mail.id, now, caller, facts=told),))
        )
        return Letter(_line(mail), subject, text)

    def retry(self, caller: Caller) -> None:
        check_administrator(caller)
        self._service.hurry = True
        self._service.wake()

    def drop(self, caller: Caller, id: str) -> None:
        check_administrator(caller)
        self._journal.do(dropped(caller, self._find(id)))

    def _find(self, id: str) -> Mail:
        mail: Mail | None = self._store.one(Mail, id)
        if mail is None:
            raise EucaError("mail_not_found", f"no mail {id[:40]!r} waits: it was sent or dropped")
        return mail

    def templates(self, caller: Caller) -> list[MailTemplate]:
        check_administrator(caller)
        view = self._journal.view
        return [_template(view, kind) for kind in BUILT_IN]

    def set_template(self, caller: Caller, kind: str, subject: str, text: str) -> MailTemplate:
        check_administrator(caller)
        self._journal.do(set_template(caller, kind, subject, text.replace("\r\n", "\n")))
        return _template(self._journal.view, kind)


def _line(m: Mail) -> MailLine:
    return MailLine(m.id, m.to, m.kind, m.queued_at, m.attempts, m.next_try, m.trouble)


def _template(view: View, kind: str) -> MailTemplate:
    return MailTemplate(kind, *texts(view, kind), BUILT_IN[kind].words, _setting(kind) in view.settings)


# --------------------------------------------------------------------------------------------------- verbs
def set_template(by: Caller, kind: str, subject: str, text: str) -> Callable[[View, Micros], Outcome]:
    """Both empty: the built-in one again."""
    built = BUILT_IN.get(kind)
    if built is None:
        raise EucaError("parameter_invalid", f"no template {kind!r}; there are {', '.join(BUILT_IN)}")
    if subject or text:
        _check_template(built, subject, text)

    def verb(view: View, now: Micros) -> Outcome:
        told = event("mail.template", kind, now, by, facts={"built_in": not (subject or text)})
        old = view.settings.get(_setting(kind))
        if not (subject or text):
            return Outcome((Remove(old),) if old else (), (told,))
        row = Setting(_setting(kind), json.dumps({"subject": subject, "text": text}))
        return Outcome((Put(row),), (told,))

    return verb


def _check_template(built: Built, subject: str, text: str) -> None:
    if not subject.strip() or len(subject) > _SUBJECT or not subject.isprintable():
        raise EucaError("parameter_invalid", f"the subject must be one line of 1 to {_SUBJECT} characters")
    if not text.strip() or len(text) > _TEXT:
        raise EucaError("parameter_invalid", f"the text must have 1 to {_TEXT} characters")
    for name, template in (("subject", Template(subject)), ("text", Template(text))):
        if not template.is_valid():
            raise EucaError(
                "parameter_invalid", f"the {name} has a $ that begins no word: write $$ for the sign itself"
            )
        if strange := sorted(set(template.get_identifiers()) - set(built.words)):
            raise EucaError(
                "parameter_invalid",
                f"the {name} has the unknown word ${strange[0]}; there are ${', $'.join(built.words)}",
            )
    if missing := sorted(set(built.needed) - set(Template(text).get_identifiers())):
        raise EucaError("parameter_invalid", f"the text needs the word ${missing[0]}")


def sent(mail: Mail) -> Callable[[View, Micros], Outcome]:
    def verb(view: View, now: Micros) -> Outcome:
        return Outcome(
            (Remove(mail),), (event("mail.sent", mail.id, now, "mailer", facts={"kind": mail.kind}),)
        )

    return verb


def failed(mail: Mail, trouble: str) -> Callable[[View, Micros], Outcome]:
    """The mail server does not want this one (yet)."""

    def verb(view: View, now: Micros) -> Outcome:
        pause = min(FIRST_PAUSE << min(mail.attempts, 20), LONGEST_PAUSE)
        later = None if now + pause > mail.queued_at + GIVE_UP else now + pause
        row = replace(mail, attempts=mail.attempts + 1, next_try=later, trouble=trouble[:300])
        if later is not None:
            return Outcome((Put(row),))
        facts = {"kind": mail.kind, "trouble": row.trouble}
        return Outcome((Put(row),), (event("mail.given_up", mail.id, now, "mailer", facts=facts),))

    return verb


def dropped(by: Caller, mail: Mail) -> Callable[[View, Micros], Outcome]:
    def verb(view: View, now: Micros) -> Outcome:
        return Outcome((Remove(mail),), (event("mail.dropped", mail.id, now, by, facts={"kind": mail.kind}),))

    return verb
