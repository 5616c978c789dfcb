"""Pages of long lists: complete, without repetition, in one order, each with the caller's rights; sums as by hand."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_cloud_signup import refused
from town import HERE, Town

from euca_rpc.clock import HOUR, SECOND
from euca_rpc.cloud import lifecycle, pages
from euca_rpc.cloud.changes import Insert, Outcome, event
from euca_rpc.cloud.store import Store
from euca_rpc.types import Caller, Instance, Intent, Seen, Usage

T0 = 1_700_000_000 * SECOND


def instance(n, account="111111111111", user="u-1", **more):
    named = {"launched_at": T0 + n // 3, **more}
    return Instance(
        f"i-{n:08x}", f"r-{n:08x}", account, user, 0, "emi-1", None, None, "x86_64", "m1.small", 1, 128, 10, "z",
        f"z/h{n % 7}", None, "", b"", "d0:0d", "", f"127.0.{n // 250}.{n % 250}", None, "terminate", "regular", **named,
    )  # fmt: skip


def walk(ask, limit):
    """All rows of all pages."""
    after, rows = "", []
    for _ in range(1000):
        page = ask(after=after, limit=limit)
        assert len(page.rows) <= limit
        rows += page.rows
        if not page.next:
            return rows
        after = page.next
    raise AssertionError("the pages do not end")


@pytest.fixture
def town(bench):
    return Town(bench).open()


@pytest.fixture
def many(town):
    rows = [instance(n, account=f"{n % 2 + 1}" * 12, user=f"u-{n % 5}") for n in range(40)]
    town.bench.cloud.journal.do(lambda view, now: Outcome(tuple(map(Insert, rows))))
    return rows


@pytest.mark.parametrize("limit", [1, 7, 39, 40, 200])
def test_pages_of_instances_are_all_of_them_newest_first(town, many, limit):
    api = town.core.instances
    found = [s.instance.id for s in walk(lambda **page: api.page(town.boss, **page), limit)]
    assert found == [r.id for r in sorted(many, key=lambda r: (r.launched_at, r.id), reverse=True)]


def test_a_user_sees_the_own_accounts_and_finds_by_words(town, many):
    one = Caller("u-1", "one", "1" * 12, False)
    rows = town.core.instances.page(one, limit=200).rows
    assert {s.instance.account_id for s in rows} == {"1" * 12}
    assert len(rows) == 20
    found = lambda caller, word: {
        s.instance.id for s in town.core.instances.page(caller, search=word, limit=200).rows
    }
    assert found(town.boss, "0000000A") == {"i-0000000a"}  # whatever its case
    assert found(one, "0000000a") == {"i-0000000a"}
    assert found(one, "0000000b") == set()
    assert found(town.boss, "z/h3") == {r.id for r in many if r.node == "z/h3"}
    assert found(town.boss, "127.0.0.7") == {"i-00000007"}
    assert found(town.boss, "%") == set()  # no pattern
    assert found(town.boss, "_") == set()
    person = town.core.people.me(town.boss)
    mine = instance(77, account=person.account_id, user=person.id)
    town.bench.cloud.journal.do(lambda view, now: Outcome((Insert(mine),)))
    assert found(town.boss, "admi") == {mine.id}


@pytest.mark.parametrize("bad", ["x", "1", "1/", "/i-1", "1//", "-1/i-1", "9" * 300])
def test_cursors_that_were_never_given_out(town, many, bad):
    if bad not in ("1/", "1//"):
        assert refused(town.core.instances.page, town.boss, after=bad) == "page_token_invalid"
    for ask in (town.core.history.events, town.core.mails.waiting, town.core.people.requests):
        if bad not in ("1", "1/", "1//"):
            assert refused(ask, town.boss, after=bad) == "page_token_invalid"
    assert refused(town.core.instances.page, town.boss, limit=201) == "parameter_invalid"
    assert refused(town.core.instances.page, town.boss, limit=0) == "parameter_invalid"


def test_the_database_means_the_same_states_as_the_lifecycle(tmp_path):
    """Every combination of what a state is made of."""
    store = Store(tmp_path / "a.db")
    rows = [
        instance(n, intent=i, seen=s, generation=2, seen_generation=g, attempted=a, ended_at=e)
        for n, (i, s, g, a, e) in enumerate(
            itertools.product(Intent, Seen, (1, 2), (False, True), (None, T0))
        )
    ]
    with store.transaction() as write:
        write([Insert(r) for r in rows], [])
    states = (
        lifecycle.PENDING, lifecycle.RUNNING, lifecycle.SHUTTING_DOWN, lifecycle.TERMINATED, lifecycle.STOPPING,
        lifecycle.STOPPED,
    )  # fmt: skip
    for state in states:
        found = {r.id for r in pages.instances(store, ended_since=0, state=state, limit=200)}
        assert found == {r.id for r in rows if lifecycle.state(r) == state}
        assert found
    assert refused(pages.instances, store, ended_since=0, state="happy") == "parameter_invalid"
    store.close()


def test_events_are_paged_and_filtered(town):
    history, boss = town.core.history, town.boss
    told = [
        event(
            f"test.kind{n % 3}",
            f"thing-{n % 4}",
            T0 + n,
            Caller("", f"actor{n % 2}", "", False, "x", f"req-{n}"),
            "7" * 12,
        )
        for n in range(60)
    ]
    town.bench.cloud.journal.do(lambda view, now: Outcome((), tuple(told)))
    everything = walk(lambda **page: history.events(boss, kind="test.", **page), 7)
    assert [e.request_id for e in everything] == [f"req-{n}" for n in reversed(range(60))]
    ids = lambda **wanted: [e.request_id for e in history.events(boss, limit=200, **wanted).rows]
    assert ids(kind="test.kind1") == [f"req-{n}" for n in reversed(range(60)) if n % 3 == 1]
    assert ids(subject="thing-2", actor="actor0") == [f"req-{n}" for n in reversed(range(60)) if n % 4 == 2]
    assert ids(subject="req-9") == ["req-9"]
    assert ids(kind="test.", since=T0 + 50, until=T0 + 52) == ["req-51", "req-50"]
    assert ids(kind="tes.") == []
    stranger = Caller("u", "x", "8" * 12, False)
    assert history.events(stranger, account_id="7" * 12).rows == ()
    assert len(history.events(Caller("u", "x", "7" * 12, False), limit=200).rows) == 60


# ----------------------------------------------------------------------------------------------------- usage
@pytest.fixture
def empty(tmp_path):
    store = Store(tmp_path / "a.db")
    store.database.execute_sql(
        "PRAGMA synchronous = off"
    )  # many small transactions, none of them dear to anybody
    yield store
    store.close()


moments = st.integers(-200, 400)
stays = st.tuples(
    moments, st.none() | st.integers(0, 300), st.integers(1, 8), st.sampled_from("ab"), st.sampled_from("uvw")
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(stays, max_size=12),
    begin=st.integers(-50, 100),
    length=st.integers(1, 250),
    points=st.integers(1, 9),
)
def test_usage_is_what_counting_second_by_second_gives(empty, rows, begin, length, points):
    store = empty
    store.database.execute_sql("DELETE FROM usage")
    kept = [
        Usage(f"i-{n}/1", f"i-{n}", "z/h", "t", account, user, cores, 100 * cores, 1, T0 + b * SECOND,
              None if d is None else T0 + (b + d) * SECOND)
        for n, (b, d, cores, account, user) in enumerate(rows)
    ]  # fmt: skip
    with store.transaction() as write:
        write([Insert(r) for r in kept], [])
    since, until = T0 + begin * SECOND, T0 + (begin + length) * SECOND
    step = -(-length // points) * SECOND

    def overlap(r, a, b):
        return max(0, min(r.ended if r.ended is not None else until, b) - max(r.began, a)) // SECOND

    for account, user in (("", ""), ("a", ""), ("", "v")):
        mine = [r for r in kept if account in ("", r.account_id) and user in ("", r.user_id)]
        found = pages.usage(store, since, step, points, until, account, user)
        edges = [min(since + n * step, until) for n in range(points + 1)]
        for (instances, cores, memory), a, b in zip(found, edges[:-1], edges[1:], strict=True):
            assert instances == sum(overlap(r, a, b) for r in mine)
            assert cores == sum(r.cores * overlap(r, a, b) for r in mine)
            assert memory == sum(r.memory_mb * overlap(r, a, b) for r in mine)
    for kind in ("user", "account"):
        found = pages.usage_by(store, kind, since, until)
        for id, sums in found.items():
            mine = [r for r in kept if getattr(r, f"{kind}_id") == id]
            assert sums[1] == sum(r.cores * overlap(r, since, until) for r in mine)


def test_usage_of_others_is_an_administrators_business(town):
    inside = town.activate().present.caller
    ask = town.core.history.usage
    now = town.bench.clock.now()
    for scope in ("", f"account/{inside.account_id}", "user/ann"):
        assert len(ask(inside, scope, now - HOUR, now, 10)) == 10
    for scope in ("cloud", "account/111111111111", "user/admin"):
        assert refused(ask, inside, scope, now - HOUR, now) == "denied"
        assert ask(town.boss, scope, now - HOUR, now)
    assert refused(ask, town.boss, "planet/1", now - HOUR, now) == "parameter_invalid"
    assert refused(ask, town.boss, "cloud", now, now) == "parameter_invalid"
    assert refused(ask, town.boss, "cloud", now - HOUR, now, 1000) == "parameter_invalid"
    assert refused(town.core.history.usage_by, town.boss, "zone", now - HOUR, now) == "parameter_invalid"
    assert HERE.address == "127.0.0.1"


def test_usage_by_user_is_paged_by_name(town):
    people = [town.core.people.me(town.activate(name).present.caller) for name in ("ann", "bob", "cem")]
    rows = [
        Usage(f"i-{n}/1", f"i-{n}", "z/h", "t", p.account_id, p.id, 2, 128, 1, T0, T0 + 60 * SECOND)
        for n, p in enumerate(people)
    ]
    town.bench.cloud.journal.do(lambda view, now: Outcome(tuple(map(Insert, rows))))
    ask = lambda caller: walk(
        lambda **page: town.core.history.usage_by(caller, "user", T0 - HOUR, T0 + HOUR, **page), 2
    )
    assert [(t.name, t.instance_seconds, t.core_seconds) for t in ask(town.boss)] == [
        ("ann", 60, 120), ("bob", 60, 120), ("cem", 60, 120)
    ]  # fmt: skip
    own = Caller(people[1].id, "bob", people[1].account_id, False)
    assert [t.name for t in ask(own)] == ["bob"]
