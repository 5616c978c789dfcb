"""Whatever is done to people in whatever order: what must never be is not, and the disk says what the view says."""

from __future__ import annotations

import itertools
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from town import ANN, PASSWORD, Town

from euca_rpc.clock import HOUR, MINUTE, SECOND
from euca_rpc.cloud.controller import open_view
from euca_rpc.errors import EucaError
from euca_rpc.shown import Visitor
from euca_rpc.types import UserStatus

KEPT = ("users", "applications", "passwords", "links", "sessions", "settings", "accounts", "quotas")
INDEXES = ("user_names", "wished_names", "user_sessions")
VERBS = (
    "ask", "ask", "approve", "approve", "reject", "activate", "activate", "log_in", "log_in", "log_out", "recover",
    "recover", "choose", "change", "disable", "enable", "delete", "delete", "reset", "promote", "demote", "wait", "wait_long",
)  # fmt: skip
_runs = itertools.count()


@pytest.fixture
def town(bench):
    return Town(bench).open()


class Story:
    """One run: names of its own, so that runs do not disturb each other."""

    def __init__(self, town, run):
        self.town, self.run = town, run
        self.visitor = Visitor(f"10.{run // 250}.{run % 250}.1")
        self.tokens = []

    def step(self, verb, who):
        name, core, town = f"r{self.run}{who}", self.town.core, self.town
        boss, people, visitor = town.boss, core.people, self.visitor
        with suppress(EucaError):
            match verb:
                case "ask":
                    core.sign_up.apply(visitor, name, PASSWORD, ANN)
                case "approve" | "reject":
                    found = [a for a in people.requests(boss, search=name).rows if a.user_name == name]
                    if found:
                        getattr(people, verb)(boss, found[0].id)
                case "activate":
                    self.tokens.append(
                        core.sessions.log_in(visitor, name, PASSWORD, activation=self.mailed("approved"))
                    )
                case "log_in":
                    self.tokens.append(core.sessions.log_in(visitor, name, PASSWORD))
                case "log_out" if self.tokens:
                    core.sessions.log_out(self.tokens.pop(0).token)
                case "change" if self.tokens:
                    self.tokens.append(
                        core.sessions.change_password(visitor, self.tokens[-1].token, PASSWORD, PASSWORD)
                    )
                case "recover":
                    core.sign_up.recover(visitor, name)
                case "choose":
                    core.sign_up.choose_password(visitor, self.mailed("recover"), PASSWORD)
                case "disable" | "enable" | "reset":
                    getattr(people, verb)(boss, name)
                case "delete":
                    people.delete(boss, name, "terminate")
                case "promote" | "demote":
                    people.set_administrator(boss, name, verb == "promote")
                case "wait":
                    town.bench.clock.advance(10 * MINUTE)
                case "wait_long":
                    town.bench.clock.advance(9 * HOUR)

    def mailed(self, kind):
        try:
            return self.town.token(kind)
        except IndexError:
            return "none"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from(VERBS), st.sampled_from("ab")), min_size=8, max_size=25))
def test_what_must_never_be_is_not(town, steps):
    story = Story(town, next(_runs))
    begun = [("ask", "a"), ("approve", "a"), ("activate", "a")]  # so that there is something to go wrong
    for verb, who in (*begun, *steps):
        before = town.bench.view
        story.step(verb, who)
        view = town.bench.view
        for user in before.users.values():
            if user.status is UserStatus.DELETED:
                assert view.users[user.id] == user  # for good
        for id, user in view.users.items():
            if user.status is not UserStatus.ACTIVE:
                assert id not in view.user_sessions
            if user.status is UserStatus.DELETED:
                assert id not in view.passwords
                assert not any(f"{purpose}/{id}" in view.links for purpose in ("activate", "recover"))
        assert len({u.name for u in view.users.values()}) == len(view.users)
        assert any(u.is_admin and u.enabled for u in view.users.values())
        for given_ in story.tokens:
            present = town.core.sessions.by_token(story.visitor, given_.token)
            assert present is None or view.users[view.user_names[present.user_name]].enabled
    disk = open_view(town.bench.cloud.store, town.bench.clock.now())
    for name in (*KEPT, *INDEXES):
        assert dict(getattr(town.bench.view, name)) == dict(getattr(disk, name)), name


def test_the_story_meets_every_status(town):
    """The strategy above is not about nothing."""
    story = Story(town, next(_runs))
    met = set()
    for verb in ("ask", "approve", "activate", "disable", "enable", "log_in", "change", "delete"):
        story.step(verb, "a")
        user = town.bench.view.users.get(town.bench.view.user_names.get(f"r{story.run}a", ""))
        met.add(str(user.status) if user else "none")
        town.bench.clock.advance(SECOND)
    assert met == {"none", "unconfirmed", "active", "disabled", "deleted"}
    assert len(story.tokens) == 3
