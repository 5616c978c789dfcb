"""Totals: each event counted exactly once, whatever fails in between; counters that fade."""

from __future__ import annotations

import math
from collections import Counter as Count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from euca_rpc.clock import HOUR, MINUTE
from euca_rpc.cloud import admin, totals
from euca_rpc.cloud.changes import Outcome, event
from euca_rpc.cloud.controller import open_view
from euca_rpc.cloud.placement import EnginePlacer
from euca_rpc.errors import EucaError
from euca_rpc.hookspecs import policy
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.isolation import Inline, Watched
from euca_rpc.policy.values import Entry, No
from euca_rpc.types import Counter, LaunchRequest


# ------------------------------------------------------------------------------------------------- arithmetic
@pytest.mark.parametrize(
    ("half_life", "now", "left"),
    [(None, 10**18, 8.0), (100, 1000, 8.0), (100, 900, 8.0), (100, 1100, 4.0), (100, 1300, 1.0), (200, 1100, 8 / 2**0.5)],
)  # fmt: skip
def test_an_amount_fades_by_its_half_life(half_life, now, left):
    assert totals.faded(8.0, half_life, 1000, now) == pytest.approx(left)
    assert totals.Totals({"k": Counter("k", 8.0, 1000, half_life)}, now)["k"] == pytest.approx(left)


@given(
    st.lists(st.tuples(st.integers(0, 10**12), st.floats(-1e6, 1e6)), min_size=1, max_size=8), st.randoms()
)
def test_the_order_in_which_entries_come_makes_no_difference(entries, random):
    def summed(dated):
        counter = None
        for at, amount in dated:
            counter = totals.added(counter, "k", at, Entry("k", amount, 10**11))
        return totals.faded(counter.amount, counter.half_life, counter.at, 2 * 10**12)

    shuffled = random.sample(entries, len(entries))
    naive = sum(amount * 2.0 ** (-(2 * 10**12 - at) / 10**11) for at, amount in entries)
    for dated in (entries, shuffled):
        assert math.isclose(summed(dated), naive, rel_tol=1e-9, abs_tol=1e-6)


# ------------------------------------------------------------------------------------------------ exactly once
class Kinds:
    """Counts events of each kind; a new one for each engine, so nothing is remembered between two."""

    failing: tuple[str, ...] = ()

    @policy
    def account(self, event):
        if event.kind in self.failing:
            raise ValueError("not that one")
        return [Entry(event.kind, 1.0)]


def serve(bench, **plugins):
    engine = Engine(plugins, cloud_policy="kinds", clock=bench.clock, isolation=Inline(), trip_after=5)
    bench.cloud._accountant = totals.Accountant(engine, bench.cloud.store, bench.cloud.journal)
    return engine


def happen(bench, *kinds):
    for kind in kinds:
        bench.cloud.journal.do(lambda v, n, k=kind: Outcome((), (event(k, "x", n, "test"),)))


def counted(bench, name="kinds"):
    now = totals.Totals(bench.view.counters, bench.clock.now())
    return {key.partition(".")[2]: amount for key, amount in now.items() if key.startswith(name + ".")}


def told(bench):
    """What the event table says."""
    return dict(Count(e.kind for e in bench.cloud.store.events(limit=10_000)))


def test_every_event_from_the_first_on_is_counted_once(bench):
    serve(bench, kinds=Kinds())
    happen(bench, *["a"] * 3, *["b"] * 4)
    for _ in range(3):
        bench.cloud.step()
    assert counted(bench) == told(bench)
    happen(bench, "b")
    bench.cloud.step()
    assert counted(bench) == told(bench)
    fresh = open_view(bench.cloud.store, bench.clock.now())
    assert (fresh.counters, fresh.accounted) == (bench.view.counters, bench.view.accounted)


def test_long_histories_are_caught_up_batch_by_batch(bench, monkeypatch):
    monkeypatch.setattr(totals, "BATCH", 4)
    happen(bench, *["a"] * 30)
    serve(bench, kinds=Kinds())
    assert bench.cloud.step() == bench.clock.now()  # come again at once
    assert sum(counted(bench).values()) == 4
    for _ in range(20):
        bench.cloud.step()
    assert counted(bench) == told(bench)


def test_an_end_between_asking_and_writing_counts_nothing_twice_and_loses_nothing(bench, reopen):
    serve(bench, kinds=Kinds())
    happen(bench, "a", "b")
    bench.cloud.step()

    class Dies(Exception):
        pass

    def dies(point):
        raise Dies

    for point in ("journal.before_commit", "journal.after_commit"):
        happen(bench, "a", "b")
        before = counted(bench)
        bench.cloud.journal._crash = lambda at, point=point: dies(at) if at == point else None
        with pytest.raises(Dies):
            bench.cloud._accountant.step(bench.clock.now())
        assert counted(bench) == before  # not published
        bench = reopen(bench)
        serve(bench, kinds=Kinds())
        for _ in range(2):
            bench.cloud.step()
        assert counted(bench) == told(bench), point
    bench.cloud.store.close()


def test_what_was_asked_of_events_that_are_counted_by_now_is_dropped(bench):
    serve(bench, kinds=Kinds())
    bench.cloud.step()
    at = bench.view.accounted["kinds"].event_id
    late = totals.add("kinds", at - 1, at, [(0, Entry("a", 1.0))])
    before = bench.view.counters
    bench.cloud.journal.do(late)
    assert bench.view.counters == before


def test_a_policy_that_fails_stands_still_alone_and_goes_on_where_it_stood(bench):
    bad = Kinds()
    bad.failing = ("b",)
    engine = serve(bench, kinds=Kinds(), bad=bad)
    happen(bench, "a", "b", "a")
    for _ in range(7):
        bench.clock.advance(2 * MINUTE)
        bench.cloud.step()
    states = {row["policy"]: (row["state"], row["failures"]) for row in engine.status()}
    assert states == {"bad": ("tripped", 5), "kinds": ("ok", 0)}
    assert "raised ValueError: not that one" in engine.status()[0]["last_failure"]
    assert " (event " in engine.status()[0]["last_failure"]
    assert counted(bench) == told(bench)
    rest = {kind: n for kind, n in told(bench).items() if kind not in "ab"}
    assert counted(bench, "bad") == {**rest, "a": 1.0}
    bad.failing = ()
    bench.clock.advance(2 * MINUTE)
    bench.cloud.step()
    assert counted(bench, "bad") == {**rest, "a": 1.0}, "it is tripped"
    engine.reset("bad")
    bench.clock.advance(2 * MINUTE)
    bench.cloud.step()
    assert counted(bench, "bad") == told(bench)


def test_one_that_failed_is_asked_again_after_a_minute_not_at_every_step(bench):
    bad = Kinds()
    bad.failing = ("b",)
    engine = serve(bench, bad=bad)
    happen(bench, "b")
    for _ in range(5):
        due = bench.cloud.step()
    assert engine.status()[0]["failures"] == 1
    assert due is not None
    assert due <= bench.clock.now() + MINUTE


def test_one_that_hangs_costs_its_budget_once(bench):
    import threading

    release = threading.Event()

    class Hangs:
        @policy
        def account(self, event):
            release.wait(20)

    engine = Engine(
        {"hangs": Hangs(), "kinds": Kinds()}, cloud_policy="kinds", clock=bench.clock, isolation=Watched(0.05)
    )
    bench.cloud._accountant = totals.Accountant(engine, bench.cloud.store, bench.cloud.journal)
    happen(bench, "a")
    for _ in range(3):
        bench.cloud.step()
    release.set()
    engine.close()
    assert {row["policy"]: row["state"] for row in engine.status()} == {"hangs": "tripped", "kinds": "ok"}
    assert counted(bench) == told(bench)
    assert "hangs" not in bench.view.accounted


@pytest.mark.parametrize(
    "said",
    [
        1,
        Entry("a", 1.0),
        ["a"],
        [Entry("a", math.nan)],
        [Entry("a", math.inf)],
        [Entry("a", True)],
        [Entry("a", "1")],
        [Entry("", 1.0)],
        [Entry("k" * 201, 1.0)],
        [Entry("a", 1.0, 0)],
        [Entry("a", 1.0, 1.5)],
    ],
)
def test_nonsense_is_named_and_counts_nothing(bench, said):
    class Says:
        @policy
        def account(self, event):
            return said

    engine = serve(bench, says=Says())
    bench.cloud.step()
    assert not bench.view.counters
    assert "account returned" in engine.status()[0]["last_failure"]


# ------------------------------------------------------------------------------------------------ what is seen
class Fair:
    """Who has had two machines waits; each is forgotten by half in an hour."""

    @policy
    def account(self, event):
        return [Entry(event.account_id, 1.0, HOUR)] if event.kind == "instance.launched" else None

    @policy
    def admit(self, launch, view):
        had = view.totals.get(f"fair.{launch.account_id}", 0.0)
        return No(f"You had {had:.2f} machines lately.") if had > 1.5 else None


def test_policies_see_what_they_counted_fade(bench):
    engine = serve(bench, fair=Fair())
    bench.cloud._instances._placer = EnginePlacer(engine, bench.clock)
    bench.cloud._instances._placer._engine._cloud_policy = "fair"
    bench.add_node(cores=8)
    launch = bench.cloud.core.instances.launch
    for _ in range(2):
        launch(bench.caller, LaunchRequest("emi-00000001"))
    bench.cloud.step()
    with pytest.raises(EucaError, match=r"You had 2\.00 machines lately"):
        launch(bench.caller, LaunchRequest("emi-00000001"))
    bench.clock.advance(20 * MINUTE)
    with pytest.raises(EucaError, match=r"You had 1\.59 machines lately"):
        launch(bench.caller, LaunchRequest("emi-00000001"))
    shown = admin.call(admin.Context(bench.cloud, None, None), bench.caller, "policy_totals", {})
    (total,) = shown
    assert total == {"name": f"fair.{bench.caller.account_id}", "amount": pytest.approx(2 / 2 ** (1 / 3))}
    bench.clock.advance(10 * MINUTE)
    launch(bench.caller, LaunchRequest("emi-00000001"))
