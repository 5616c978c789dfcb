"""What the tests of people share: visitors, the story up to an active user, and the mails that wait."""

from __future__ import annotations

import re
from dataclasses import dataclass

from euca_rpc.clock import SECOND
from euca_rpc.cloud import pages
from euca_rpc.shown import LoggedIn, Visitor
from euca_rpc.types import Profile

HERE = Visitor("127.0.0.1", "req-here")
THERE = Visitor("192.0.2.7", "req-there")
PASSWORD = "correct horse battery"
ADMIN_PASSWORD = "first of all things"
ANN = Profile("Ann Exemplar", "ann@example.org", "+1 23", "Prof. P", "UCSB", "clouds")


def elsewhere(n: int) -> Visitor:
    return Visitor(f"198.51.{n // 250}.{n % 250}")


@dataclass
class Town:
    """A bench with what interfaces see of it."""

    bench: object
    admin: LoggedIn | None = None

    @property
    def core(self):
        return self.bench.cloud.core

    @property
    def boss(self):
        return self.admin.present.caller

    def open(self) -> Town:
        begun = self.core.sessions.log_in(HERE, "admin", "admin")
        self.admin = self.core.sessions.first_steps(HERE, begun.token, ADMIN_PASSWORD, "admin@example.org")
        return self

    def ask(self, name="ann", password=PASSWORD, profile=ANN, visitor=THERE):
        self.bench.clock.advance(SECOND)
        before = {a.id for a in self.core.people.requests(self.boss, limit=200).rows}
        self.core.sign_up.apply(visitor, name, password, profile)
        (new,) = [a for a in self.core.people.requests(self.boss, limit=200).rows if a.id not in before]
        return new

    def approve(self, name="ann", **chosen):
        asked = self.ask(name)
        self.bench.clock.advance(SECOND)
        return self.core.people.approve(self.boss, asked.id, **chosen)

    def activate(self, name="ann", **chosen) -> LoggedIn:
        self.approve(name, **chosen)
        return self.core.sessions.log_in(THERE, name, PASSWORD, activation=self.token("approved"))

    def mails(self, kind=""):
        rows = pages.mails(self.bench.cloud.store, limit=200)
        post = self.bench.cloud.office.reception.post
        return [(m, *post.open(m)) for m in rows if m.kind == (kind or m.kind)]

    def token(self, kind) -> str:
        """Of the link in the newest mail of this kind."""
        _, _, text = self.mails(kind)[-1]
        return re.search(r"token=(\S+)", text)[1]

    def events(self, kind=""):
        return [e for e in self.bench.cloud.store.events(limit=1000) if e.kind.startswith(kind)]

    def restart(self, reopen) -> Town:
        self.bench = reopen(self.bench)
        return self
