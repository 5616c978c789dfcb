"""Sessions end when they should, log-ins are slowed down without locking anybody out, passwords cost what they must."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cloud_signup import refused
from town import ADMIN_PASSWORD, HERE, PASSWORD, THERE, Town, elsewhere

from euca_rpc.clock import HOUR, MINUTE, SECOND, ManualClock
from euca_rpc.cloud import guard, passwords
from euca_rpc.cloud.changes import Insert, Outcome, Put
from euca_rpc.cloud.guard import Buckets, Guard, is_loopback, origin
from euca_rpc.cloud.links import digest
from euca_rpc.cloud.passwords import COST, Cost, Passwords
from euca_rpc.cloud.sessions import MOST
from euca_rpc.errors import EucaError
from euca_rpc.ids import SeededIds
from euca_rpc.types import Password


@pytest.fixture
def town(bench):
    return Town(bench).open()


# --------------------------------------------------------------------------------------------------- sessions
def test_a_session_ends_when_it_rests_and_at_its_latest(town, reopen):
    inside = town.activate()
    by_token, clock = town.core.sessions.by_token, town.bench.clock
    for _ in range(14):  # used every 100 minutes: the idle limit never strikes
        assert by_token(THERE, inside.token) is not None
        clock.advance(100 * MINUTE)
    assert by_token(THERE, inside.token) is not None
    assert clock.now() < inside.present.ends_at
    clock.advance(inside.present.ends_at - clock.now() - 1)
    assert by_token(THERE, inside.token) is not None
    clock.advance(1)
    assert by_token(THERE, inside.token) is None
    again = town.core.sessions.log_in(THERE, "ann", PASSWORD)
    town.restart(reopen)
    assert town.core.sessions.by_token(THERE, again.token).user_name == "ann"
    town.bench.clock.at = again.present.began_at + 2 * HOUR + 6 * MINUTE
    assert town.core.sessions.by_token(THERE, again.token) is None
    town.bench.cloud.store.close()


def test_looking_at_pages_writes_hardly_anything(town):
    inside = town.activate()
    view = town.bench.cloud.journal
    before, changes = view.view.number, set()
    for _ in range(600):
        town.bench.clock.advance(SECOND)
        assert town.core.sessions.by_token(THERE, inside.token)
        changes.add(view.view.number)
    assert view.view.number - before <= 2


@pytest.mark.parametrize("how", ["log out", "disable", "delete", "reset", "password", "recover"])
def test_sessions_end_at_once_with_what_ends_them(town, how):
    first, second = town.activate(), town.core.sessions.log_in(HERE, "ann", PASSWORD)
    people, sessions = town.core.people, town.core.sessions
    left = []
    if how == "log out":
        sessions.log_out(first.token)
        left = [second.token]
    elif how == "password":
        assert (
            refused(sessions.change_password, THERE, first.token, "wrong", "a brand new phrase")
            == "auth_failure"
        )
        assert refused(sessions.change_password, THERE, first.token, PASSWORD, "short") == "password_weak"
        left = [sessions.change_password(THERE, first.token, PASSWORD, "a brand new phrase").token]
        assert refused(sessions.log_in, THERE, "ann", PASSWORD) == "auth_failure"
        assert town.mails("password_changed")
    elif how == "recover":
        town.core.sign_up.recover(THERE, "ann")
        town.core.sign_up.choose_password(THERE, town.token("recover"), "a brand new phrase")
    else:
        getattr(people, how)(town.boss, "ann", *(("keep",) if how == "delete" else ()))
    for token in (first.token, second.token):
        assert (sessions.by_token(THERE, token) is not None) == (token in left)
        assert refused(sessions.change_password, THERE, "", PASSWORD, "x" * 12) == "auth_failure"
    assert all(sessions.by_token(THERE, token) for token in left)
    user_id = town.bench.view.user_names["ann"]
    assert len(town.bench.view.user_sessions.get(user_id, ())) == len(
        left
    )  # nothing is left to come to life again
    assert sessions.by_token(HERE, town.admin.token)  # others are not concerned


def test_a_session_that_was_left_over_opens_nothing_for_a_disabled_user(town):
    inside = town.activate()
    row = town.bench.view.sessions[digest(inside.token)]
    town.core.people.disable(town.boss, "ann")
    town.bench.cloud.journal.do(lambda view, now: Outcome((Insert(row),)))
    assert town.core.sessions.by_token(THERE, inside.token) is None


def test_rights_follow_the_user_not_the_session(town):
    inside = town.activate()
    assert not inside.present.caller.is_admin
    town.core.people.set_administrator(town.boss, "ann", True)
    present = town.core.sessions.by_token(replace(THERE, request_id="req-9"), inside.token)
    assert present.caller.is_admin
    assert (present.caller.origin, present.caller.request_id) == ("portal 192.0.2.7", "req-9")


def test_a_user_has_so_many_sessions_and_old_ones_make_room(town):
    town.activate()
    tokens = []
    for _ in range(MOST + 3):
        town.bench.clock.advance(SECOND)
        tokens.append(town.core.sessions.log_in(THERE, "ann", PASSWORD).token)
    alive = [t for t in tokens if town.core.sessions.by_token(THERE, t)]
    assert alive == tokens[-MOST:]
    town.bench.clock.advance(24 * HOUR)
    town.core.sessions.log_in(THERE, "ann", PASSWORD)
    user = town.core.people.user(town.boss, "ann")
    assert len(town.bench.view.user_sessions[user.id]) == 1


def test_failures_are_told_at_the_next_log_in(town):
    town.activate()
    for n in range(3):
        refused(town.core.sessions.log_in, elsewhere(n), "ann", "wrong password")
    assert town.core.sessions.log_in(THERE, "ann", PASSWORD).present.failures == 3
    assert town.core.sessions.log_in(THERE, "ann", PASSWORD).present.failures == 0


# ---------------------------------------------------------------------------------------------- the guard
def test_guessing_is_slowed_down_and_locks_nobody_else_out(town):
    inside = town.activate()
    log_in = town.core.sessions.log_in
    evil = elsewhere(66)
    answers = [refused(log_in, evil, "ann", f"guess number {n}") for n in range(20)]
    assert answers == ["auth_failure"] * 5 + ["throttled"] * 15
    with pytest.raises(EucaError) as slowed:
        log_in(evil, "ann", PASSWORD)
    assert 0 < slowed.value.facts["retry_after"] <= 60
    assert log_in(THERE, "ann", PASSWORD)  # the owner, from elsewhere
    known = replace(evil, device=inside.device)
    assert log_in(
        known, "ann", PASSWORD
    )  # the owner, beside the attacker, with a browser that was used before
    town.bench.clock.advance(MINUTE)
    assert refused(log_in, evil, "ann", "guess") == "auth_failure"
    assert refused(log_in, evil, "ann", "guess") == "throttled"


def test_one_origin_cannot_try_everybody(town):
    answers = [refused(town.core.sessions.log_in, elsewhere(1), f"user{n}", "guess") for n in range(40)]
    assert answers == ["auth_failure"] * 30 + ["throttled"] * 10
    assert town.core.sessions.log_in(THERE, "admin", ADMIN_PASSWORD)


def test_a_known_browser_is_one_users_until_the_password_changes(town):
    ann = town.activate("ann")
    bob = town.activate("bob")
    known = lambda device: town.core.sessions._known(
        town.bench.view, town.bench.view.users[town.bench.view.user_names["ann"]], device
    )
    assert known(ann.device)
    assert known(bob.device) == ""
    for other in ("", "x", ann.device[:-4] + "AAAA", "x" * 1000):
        assert known(other) == ""
    again = town.core.sessions.log_in(replace(THERE, device=ann.device), "ann", PASSWORD)
    assert again.device == ann.device
    guesses = [
        refused(town.core.sessions.log_in, replace(THERE, device=ann.device), "ann", "guess")
        for _ in range(12)
    ]
    assert guesses.count("throttled") == 2  # a stolen one does not guess without end either
    town.bench.clock.advance(HOUR)
    changed = town.core.sessions.change_password(THERE, again.token, PASSWORD, "a brand new phrase")
    assert known(ann.device) == ""
    assert known(changed.device)


def test_a_throttled_answer_costs_no_hash(town, monkeypatch):
    for _ in range(5):
        refused(town.core.sessions.log_in, THERE, "ann", "guess")
    monkeypatch.setattr(passwords, "_key", lambda *a: pytest.fail("hashed"))
    assert refused(town.core.sessions.log_in, THERE, "ann", "guess") == "throttled"


@given(
    size=st.integers(1, 6),
    moves=st.lists(st.tuples(st.integers(0, 30), st.sampled_from("ab"), st.booleans()), max_size=60),
)
def test_a_bucket_never_gives_more_than_its_size_and_what_flowed_in(size, moves):
    clock = ManualClock()
    buckets = Buckets(clock, size, 10 * SECOND)
    given_: dict[str, int] = {}
    began = clock.now()
    for pause, key, back in moves:
        clock.advance(pause * SECOND)
        wait = buckets.take(key)
        if wait == 0:
            given_[key] = given_.get(key, 0) + 1
            if back:
                buckets.give_back(key)
                given_[key] -= 1
        else:
            assert 0 < wait <= 10 * SECOND
            clock.advance(wait)
            assert buckets.take(key) == 0
            given_[key] = given_.get(key, 0) + 1
        assert given_[key] <= size + (clock.now() - began) / (10 * SECOND)


def test_a_bucket_is_never_fuller_than_full():
    clock = ManualClock()
    buckets = Buckets(clock, 3, SECOND)
    for _ in range(2):
        assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, SECOND]
        clock.advance(HOUR)
    for _ in range(5):
        buckets.give_back("a")
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, SECOND]


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(guard, "MOST", 10)
    town_guard = Guard(ManualClock())
    for n in range(50):
        town_guard.log_in(f"10.0.0.{n}", f"user{n}", "")
    assert len(town_guard._failures) == 10
    assert len(town_guard._pair._levels) == len(town_guard._origin._levels) == 10


def test_origins():
    assert origin("192.0.2.7") == origin("::ffff:192.0.2.7") == "192.0.2.7"
    assert origin("2001:db8::1") == origin("2001:db8::ffff") == "2001:db8::/64"
    assert origin("2001:db8:0:1::1") != origin("2001:db8::1")
    assert origin("fe80::1%eth0") == "fe80::/64"
    assert len(origin("x" * 1000)) == 64
    loopback = {
        a: is_loopback(a)
        for a in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "192.0.2.7", "localhost", "")
    }
    assert [a for a, yes in loopback.items() if yes] == ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]


# ----------------------------------------------------------------------------------------------- passwords
def test_a_hash_names_its_cost_and_fits_its_password_alone():
    small = Passwords(SeededIds(1), Cost(2))
    stored = small.hash("correct horse")
    assert stored.startswith("scrypt$2$8$1$")
    assert stored != small.hash("correct horse")  # salted
    assert small.verify("correct horse", stored)
    assert not small.verify("correct horsf", stored)
    assert not small.verify("", None)
    assert small.verify("Ame\u0301lie est la\u0300", small.hash("Amélie est là"))  # however it is typed
    assert not small.outdated(stored)
    assert Passwords(SeededIds(1)).outdated(stored)
    assert Passwords(SeededIds(1)).verify("correct horse", stored)


def test_a_log_in_makes_an_older_hash_as_strong_as_new_ones(town):
    town.activate()
    cloud = town.bench.cloud
    user_id = town.bench.view.user_names["ann"]
    weak = Passwords(SeededIds(5), Cost(1)).hash(PASSWORD)
    cloud.journal.do(lambda view, now: Outcome((Put(Password(user_id, weak, 1)),)))
    assert town.core.sessions.log_in(THERE, "ann", PASSWORD)
    stronger = town.bench.view.passwords[user_id]
    assert stronger.hash.startswith("scrypt$2$")
    assert stronger.set_at == 1  # nobody changed it
    assert town.core.sessions.log_in(THERE, "ann", PASSWORD)


def test_a_password_that_is_changed_meanwhile_opens_nothing(town):
    town.activate()
    user_id = town.bench.view.user_names["ann"]
    hashing = town.bench.cloud.office.reception.passwords
    verify = hashing.verify

    def slow(password, stored, known=False):
        right = verify(password, stored, known)
        other = Passwords(SeededIds(3), Cost(2)).hash("a brand new phrase")
        town.bench.cloud.journal.do(lambda view, now: Outcome((Put(Password(user_id, other, 1)),)))
        return right

    hashing.verify = slow
    assert refused(town.core.sessions.log_in, THERE, "ann", PASSWORD) == "auth_failure"


def test_strangers_leave_a_place_for_people_who_work_here():
    small = Passwords(SeededIds(1), Cost(2))
    stored = small.hash("correct horse")
    turns = [small._turn(False) for _ in range(passwords.AT_ONCE - 1)]
    for turn in turns:
        turn.__enter__()
    assert refused(small.verify, "correct horse", stored) == "throttled"
    assert small.verify("correct horse", stored, known=True)
    for turn in turns:
        turn.__exit__(None, None, None)
    assert small.verify("correct horse", stored)


def test_a_log_in_takes_as_long_for_nobody_as_for_somebody(town):
    """With the true cost: what is not hashed is lost in it."""
    reception = town.bench.cloud.office.reception
    real = Passwords(SeededIds(1), COST)
    town.activate("ann")
    town.ask("wisher")
    user_id = town.bench.view.user_names["ann"]
    strong = real.hash(PASSWORD)
    wish = next(iter(town.bench.view.applications.values()))
    town.bench.cloud.journal.do(
        lambda view, now: Outcome((Put(Password(user_id, strong, 1)), Put(replace(wish, password=strong))))
    )
    object.__setattr__(reception, "passwords", real)
    took = {"ann": [], "nobody": [], "wisher": []}
    for n in range(2):
        for name, times in took.items():
            began = time.process_time()
            assert refused(town.core.sessions.log_in, elsewhere(n * 3), name, "guess") == "auth_failure"
            times.append(time.process_time() - began)
    best = {name: min(times) for name, times in took.items()}
    assert min(best.values()) > 0.02
    assert max(best.values()) < 1.5 * min(best.values())
