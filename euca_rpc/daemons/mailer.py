"""Sends the mails that wait in the store (`cloud.mail`), in a thread of the cloud controller's process.

    wake, or the next try is due ─► connect: TLS, log in ─► one mail after the other ─► 250 ─► the row is removed
         │                               └─ no way in: nothing of the queue is touched; later, twice as late
         └─ a mail refused by itself: its own next try, later and later; after five days an administrator decides

A row is removed after the server's 250 and before the next mail is begun.  So a restart sends nothing twice, unless it falls
between the two; then the same Message-ID lets the recipient's side see that it is the same mail.
"""

from __future__ import annotations

import logging
import smtplib
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from euca_rpc.clock import SECOND, Clock
from euca_rpc.cloud import mail as letters
from euca_rpc.cloud import pages
from euca_rpc.cloud.journal import Journal
from euca_rpc.cloud.mail import Post, Service
from euca_rpc.cloud.store import Store
from euca_rpc.config import Mail as Settings
from euca_rpc.types import Mail

log = logging.getLogger(__name__)

BATCH = 50  # mails of one connection
PAUSE_S, LONGEST_S = 5.0, 600.0  # without a way to the server: the first pause and the longest
STOP_S = 3.0
LOOK_S = 60.0  # how late a mail may be whose next try has come
_REFUSALS = (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused, smtplib.SMTPDataError, ValueError)


@dataclass(frozen=True, slots=True)
class Server:
    """How to reach it; ``password`` is read anew at every connection."""

    settings: Settings
    password: Callable[[], str]

    @contextmanager
    def connected(self) -> Iterator[smtplib.SMTP]:
        said = self.settings
        smtp: smtplib.SMTP
        if said.security == "tls":
            smtp = smtplib.SMTP_SSL(
                said.server, said.port, timeout=said.timeout_seconds, context=_context(said)
            )
        else:
            smtp = smtplib.SMTP(said.server, said.port, timeout=said.timeout_seconds)
        try:
            if said.security == "starttls":
                smtp.starttls(context=_context(said))
            if said.user:
                smtp.login(said.user, self.password())
            yield smtp
        except BaseException:
            smtp.close()  # what it would say to QUIT now, nobody knows
            raise
        try:
            smtp.quit()
        except (OSError, smtplib.SMTPException):
            smtp.close()


def _context(said: Settings) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=said.authority or None)


class Mailer:
    def __init__(
        self,
        store: Store,
        journal: Journal,
        post: Post,
        service: Service,
        server: Server | None,
        clock: Clock,
        domain: str,
    ) -> None:
        """``server`` None: mails are kept.  ``domain``: what Message-IDs end with; must never change."""
        self._store, self._journal, self._post, self._service = store, journal, post, service
        self._server, self._clock, self._domain = server, clock, domain
        self._work = threading.Event()
        self._over = False
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="mailer", daemon=True)
        service.server = f"{server.settings.server}:{server.settings.port}" if server else ""
        service.wake = self._work.set

    def start(self) -> None:
        self._work.set()
        self._thread.start()

    def stop(self) -> None:
        """Lets go between two mails.  A mail server that says nothing is not waited for: what is under way is as in a crash."""
        self._over = True
        self._work.set()
        self._thread.join(STOP_S)

    def _run(self) -> None:
        pause: float | None = None
        while not self._over:
            self._work.wait(pause)
            self._work.clear()
            if self._server is None or self._over:
                pause = None
                continue
            try:
                self._failures = 0 if self.send_due() else self._failures + 1
            except Exception:
                log.exception("sending mail failed")
                self._failures += 1
            pause = min(PAUSE_S * 2**self._failures, LONGEST_S) if self._failures else LOOK_S

    def send_due(self) -> bool:
        """All that is due.  False: there was no way to the server, and nothing changed."""
        hurry, self._service.hurry = self._service.hurry, False
        rows = pages.mails(self._store, limit=BATCH) if hurry else self._due()
        while rows and self._server is not None and not self._over:
            try:
                with self._server.connected() as smtp:
                    for row in rows:
                        if self._over:
                            return True
                        self._send(smtp, row)
            except (OSError, smtplib.SMTPException, UnicodeError) as error:
                self._service.trouble = _said(error)
                log.warning("no mail is sent: %s; it waits", self._service.trouble)
                self._service.hurry = hurry
                return False
            self._service.trouble = ""
            rows = self._due()
        return True

    def _due(self) -> list[Mail]:
        return pages.mails_due(self._store, self._clock.now(), BATCH)

    def _send(self, smtp: smtplib.SMTP, row: Mail) -> None:
        """OSError and the like: the connection is of no use any more."""
        if self._store.one(Mail, row.id) is None:
            return  # dropped meanwhile
        try:
            smtp.send_message(self._message(row))
        except _REFUSALS as error:
            log.warning("mail %s (%s) was refused: %s", row.id, row.kind, _said(error))
            self._journal.do(letters.failed(row, _said(error)))
            smtp.rset()
        else:
            self._journal.do(letters.sent(row))

    def _message(self, row: Mail) -> EmailMessage:
        assert self._server is not None
        said = self._server.settings
        subject, text = self._post.open(row)
        message = EmailMessage(policy=SMTP)  # which refuses line breaks in headers
        message["From"] = Address(addr_spec=said.sender)
        message["To"] = Address(addr_spec=row.to)
        message["Subject"] = subject
        message["Date"] = format_datetime(datetime.fromtimestamp(row.queued_at / SECOND, UTC))
        message["Message-ID"] = f"<{row.id}@{self._domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        return message


def _said(error: Exception) -> str:
    """In a few words, without what was sent."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, text = next(iter(error.recipients.values()), (0, b"refused"))
        return f"{code} {_text(text)}"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_text(error.smtp_error)}"
    return f"{type(error).__name__}: {error}"[:300]


def _text(said: bytes | str) -> str:
    words = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return " ".join(words.split())[:200]
