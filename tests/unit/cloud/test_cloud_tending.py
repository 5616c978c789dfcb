"""What policies want done: asked when it is time, carried out once, told to those whom it touches, durable."""

from __future__ import annotations

from dataclasses import replace

import pytest

from euca_rpc.clock import HOUR, MINUTE, SECOND, moment
from euca_rpc.cloud import admin, explain, lifecycle, pages, tending
from euca_rpc.cloud.changes import Outcome, Put
from euca_rpc.cloud.controller import open_view
from euca_rpc.cloud.placement import EnginePlacer
from euca_rpc.cloud.tending import Look, Tender
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.hookspecs import policy
from euca_rpc.machines import MachineReport
from euca_rpc.policy import actions as a
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.isolation import Inline
from euca_rpc.policy.loader import load
from euca_rpc.policy.values import PolicyView
from euca_rpc.types import Intent, LaunchRequest, Setting

ANN = "ann@example.org"
NOW = 1000 * HOUR


# ------------------------------------------------------------------------------------------------------- when
OLD = View()
NEW = OLD.apply([Put(Setting("policy.x.y", "1"))])


def look(ago, again=None):
    return Look(NOW - ago, tending.facts(OLD), again)


@pytest.mark.parametrize(
    ("view", "last", "every", "answer"),
    [
        (OLD, None, None, (True, None)),  # never asked
        (OLD, look(HOUR), None, (False, None)),  # nothing new, nothing due
        (NEW, look(HOUR), None, (True, None)),
        (NEW, look(SECOND), None, (True, None)),
        (NEW, look(SECOND - 1), None, (False, NOW + 1)),  # at most once a second
        (OLD, look(MINUTE), MINUTE, (True, None)),
        (OLD, look(MINUTE - 1), MINUTE, (False, NOW + 1)),
        (OLD, look(MINUTE, NOW), None, (True, None)),
        (OLD, look(MINUTE, NOW + 5), None, (False, NOW + 5)),
        (OLD, look(MINUTE, NOW + 5), MINUTE + 3, (False, NOW + 3)),
        (OLD, look(0, NOW), None, (False, NOW + SECOND)),
        (NEW, look(10, NOW + HOUR), HOUR, (False, NOW - 10 + SECOND)),
    ],
)
def test_when_a_policy_is_asked(view, last, every, answer):
    assert tending.decide(view, NOW, last, every) == answer


# ---------------------------------------------------------------------------------------------- with everything
class Says:
    """Whatever the test says, and keeps what it was shown."""

    def __init__(self):
        self.says, self.seen = [], []

    @policy
    def tend(self, view):
        self.seen.append(view)
        return self.says(view) if callable(self.says) else self.says


@pytest.fixture
def tended(bench):
    bench.add_node(cores=4)
    bench.cloud.journal.do(lambda v, n: Outcome((Put(replace(v.users[bench.caller.user_id], email=ANN)),)))
    bench.says = Says()
    take_up(bench)
    return bench


def take_up(bench):
    engine = Engine(
        {**load(["greedy"]), "says": bench.says}, cloud_policy="greedy", clock=bench.clock, isolation=Inline()
    )
    bench.engine = engine
    cloud = bench.cloud
    cloud._instances._placer = EnginePlacer(engine, bench.clock)
    office = cloud.office.reception
    cloud._tender = Tender(engine, cloud.journal, office.letter, office.posted, cloud._instances.start)


def wants(bench, *wished):
    bench.says.says = list(wished)
    bench.clock.advance(2 * SECOND)
    bench.cloud._tender._looks.clear()
    bench.cloud.step()


def started(bench, **request):
    (one,) = bench.cloud.core.instances.launch(
        bench.caller, LaunchRequest("emi-00000001", **request)
    ).instances
    bench.cloud.step()
    bench.report(machines=[MachineReport(one.instance.id, 1, 0, "running")])
    return bench.view.instances[one.instance.id]


def events(bench, kind):
    return [e for e in bench.cloud.store.events(limit=1000) if e.kind == kind]


def mails(bench, kind):
    post = bench.cloud.office.reception.post
    return [(m.to, *post.open(m)) for m in pages.mails(bench.cloud.store) if m.kind == kind]


def failures(bench):
    return next(row["failures"] for row in bench.engine.status() if row["policy"] == "says")


def test_it_is_asked_when_something_changed_and_not_otherwise(tended):
    for _ in range(5):
        tended.clock.advance(SECOND)
        tended.cloud.step()
    asked = len(tended.says.seen)
    for _ in range(5):
        tended.clock.advance(SECOND)
        tended.cloud.step()
    assert len(tended.says.seen) == asked
    i = started(tended)
    tended.clock.advance(SECOND)
    tended.cloud.step()
    assert i.id in tended.says.seen[-1].instances
    asked = len(tended.says.seen)
    tended.cloud.step()
    assert len(tended.says.seen) == asked


def test_a_warning_is_told_once_and_stands_at_the_machine(tended):
    i = started(tended)
    for _ in range(3):
        wants(tended, a.Warn(i.id, "The roof will be mended."))
    row = tended.view.instances[i.id]
    assert (row.reason_code, row.reason) == (tending.WARNED, "The roof will be mended. (policy says)")
    assert lifecycle.state(row) == "running"
    ((to, subject, text),) = mails(tended, "policy_warning")
    assert to == ANN
    assert i.id in subject
    assert "The roof will be mended." in text
    (told,) = events(tended, "instance.warned")
    assert told.actor == "policy/says"
    assert "instance.warned" in [
        line["kind"] for line in explain.explain(tended.view, tended.cloud.store, i.id)["history"]
    ]


def test_an_eviction_ends_when_the_notice_is_over_and_not_before(tended, reopen):
    i = started(tended)
    wants(tended, a.Evict(i.id, "Others need the room.", 10 * MINUTE))
    told_at = tended.clock.now()
    until = told_at + 10 * MINUTE
    lease = tended.view.leases[i.id]
    assert (lease.until, lease.evicted, lease.noticed) == (until, "Others need the room.", told_at)
    row = tended.view.instances[i.id]
    assert row.reason_code == "Server.SpotInstanceTerminationNotice"
    assert moment(until) in row.reason
    ((_, subject, text),) = mails(tended, "eviction_notice")
    assert moment(until) in subject
    assert "Others need the room." in text
    wants(tended, a.Evict(i.id, "Others need the room.", 0))  # the first notice stands
    assert tended.view.leases[i.id] == lease
    assert open_view(tended.cloud.store, tended.clock.now()).leases == tended.view.leases
    again = reopen(tended)
    again.clock.at = until - 1
    again.cloud.step()
    assert again.view.instances[i.id].intent is Intent.RUNNING
    again.clock.at = until
    again.cloud.step()
    ended = again.view.instances[i.id]
    assert (ended.intent, ended.reason_code) == (Intent.TERMINATED, "Server.SpotInstanceTermination")
    assert (
        ended.reason
        == f"evicted at {moment(until)}, as told at {moment(told_at)} (policy says): Others need the room."
    )
    assert len(mails(again, "eviction_notice")) == 1
    assert not mails(again, "lease_warning")


def test_an_eviction_without_notice_is_over_in_the_same_moment(tended):
    i = started(tended)
    wants(tended, a.Evict(i.id, "Now."))
    tended.cloud.step()
    assert tended.view.instances[i.id].intent is Intent.TERMINATED


def test_a_lease_that_ends_before_the_notice_is_over_stays(tended):
    i = started(tended)
    wants(tended, a.Evict(i.id, "First.", MINUTE))
    before = tended.view.leases[i.id]
    wants(tended, a.Evict(i.id, "Second.", HOUR))
    assert tended.view.leases[i.id] == before


def test_suspend_and_resume_and_nothing_else_is_resumed(tended):
    i = started(tended)
    wants(tended, a.Suspend(i.id, "Too hot."))
    assert tended.view.instances[i.id].reason_code == tending.SUSPENDED
    tended.report(machines=[MachineReport(i.id, 1, 0, "stopped", end="asked")])
    wants(tended, a.Resume(i.id))
    row = tended.view.instances[i.id]
    assert (row.intent, row.generation) == (Intent.RUNNING, 2)
    assert [e.actor for e in events(tended, "instance.start")] == ["policy/says"]
    tended.report(machines=[MachineReport(i.id, 2, 0, "running")])
    tended.cloud.core.instances.stop(tended.caller, [i.id])
    tended.report(machines=[MachineReport(i.id, 2, 0, "stopped", end="asked")])
    wants(tended, a.Resume(i.id))
    assert tended.view.instances[i.id].intent is Intent.STOPPED, "its owner stopped it"
    wants(tended, a.Start(i.id))
    assert tended.view.instances[i.id].intent is Intent.RUNNING
    tended.report(machines=[MachineReport(i.id, 3, 0, "running")])
    wants(tended, a.Stop(i.id, "Evening."))
    assert tended.view.instances[i.id].reason == "Evening. (policy says)"
    assert failures(tended) == 0


def test_nodes_are_drained_and_what_an_administrator_drained_stays_so(tended):
    wants(tended, a.Drain("open/h1", "Its fan is loud."))
    target = tended.view.targets["open/h1"]
    assert (target.usable, target.why) == (False, "drained by policy says: Its fan is loud.")
    wants(tended, a.Undrain("open/h1"))
    assert tended.view.targets["open/h1"].usable
    admin.call(admin.Context(tended.cloud, None, None), tended.caller, "node_drain", {"name": "h1"})
    wants(tended, a.Drain("open/h1", "Me too."), a.Undrain("open/h1"))
    assert tended.view.targets["open/h1"].why == "drained by an administrator"


def test_published_values_are_seen_frozen_by_all_and_taken_back(tended):
    wants(tended, a.Publish("price", {"now": [1, 2.5], "next": None}))
    wants(tended)
    seen = tended.says.seen[-1].published["says.price"]
    assert dict(seen) == {"now": (1, 2.5), "next": None}
    with pytest.raises(TypeError):
        seen["now"] = 3
    wants(tended, a.Publish("price", {"now": [1, 2.5], "next": None}))
    assert len(events(tended, "policy.published")) == 1, "the same again is nothing new"
    wants(tended, a.Publish("price", None))
    wants(tended)
    assert not tended.says.seen[-1].published


def test_one_bad_action_does_not_spoil_the_others(tended):
    i = started(tended)

    class Explode:
        pass

    wants(
        tended,
        Explode(),
        a.Evict(i.id, "Debt.", -1),
        a.Evict("i-deadbeef", "Who?", 1),
        a.Warn(i.id, "Hello there."),
        a.Sleep("open/h1", "It has a machine."),
        a.Publish("price", float("nan")),
    )
    assert tended.view.instances[i.id].reason == "Hello there. (policy says)"
    assert i.id not in tended.view.leases
    assert failures(tended) == 1
    last = next(row["last_failure"] for row in tended.engine.status() if row["policy"] == "says")
    assert "there is no action Explode; there are Warn, Evict" in last
    assert "its notice is -1" in last


def test_one_that_raises_does_nothing_and_is_tripped_in_the_end(tended):
    i = started(tended)

    def fails(view):
        raise ValueError("no")

    tended.says.says = fails
    for _ in range(8):
        tended.cloud._tender._looks.clear()
        tended.clock.advance(2 * SECOND)
        tended.cloud.step()
    assert failures(tended) == 5
    assert tended.engine.tenders() == {}
    assert tended.view.instances[i.id].intent is Intent.RUNNING


def test_what_changed_meanwhile_is_left(tended):
    i = started(tended)
    tended.cloud.core.instances.terminate(tended.caller, [i.id])
    out = tending.carry_out(
        tended.view, NOW, "says", [a.Warn(i.id, "Too late."), a.Publish("x", 1)], lambda *told: ()
    )
    left, mailed = out.result
    assert left == [f"Warn {i.id} was left: {i.id} is at its end meanwhile"]
    assert not mailed
    assert [e.kind for e in out.events] == ["policy.published"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (a.Warn("i-1", 7), "its reason is 7, not a text"),
        (a.Evict("i-1", "x", True), "its notice is True"),
        (a.Evict("i-1", "x", 10**30), "its notice is"),
        (a.Admit("r-1"), "no launch 'r-1' waits"),
        (a.Hold("r-1", "x", 5), "no launch 'r-1' waits"),
        (a.Drain("z/h", "x"), "there is no node 'z/h'"),
        (a.Publish("a b", 1), "the key 'a b' is not of letters"),
        (a.Publish("k", {1, 2}), "cannot be said in JSON"),
        (a.Publish("k", "x" * 70_000), "at most 65536 are kept"),
        (a.Again("soon"), "its at is 'soon'"),
        ("Warn", "there is no action str; there are Warn"),
    ],
)
def test_what_makes_no_sense_is_told(said, why):
    assert why in a.objection(said, PolicyView(0, {}))


# ------------------------------------------------------------------------------------------------------- feed
def feed(bench, **args):
    return admin.call(admin.Context(bench.cloud, None, None, bench.engine), bench.caller, "policy_feed", args)


def test_an_administrator_feeds_values_lists_them_and_takes_them_back(tended):
    assert feed(tended, key="prices", value={"m1.small": 0.2}) == {"name": "prices", "changed": True}
    assert feed(tended, key="prices", value={"m1.small": 0.2}) == {"name": "prices", "changed": False}
    wants(tended)
    assert tended.says.seen[-1].published["prices"]["m1.small"] == 0.2
    context = admin.Context(tended.cloud, None, None, tended.engine)
    assert admin.call(context, tended.caller, "policy_published", {}) == [
        {"name": "prices", "value": {"m1.small": 0.2}}
    ]
    (told,) = events(tended, "policy.published")
    assert (told.actor, dict(told.facts)) == ("admin", {"value": {"m1.small": 0.2}})
    for key, value in (("bad key", 1), ("k", float("inf")), ("k", "x" * 70_000)):
        with pytest.raises(EucaError):
            feed(tended, key=key, value=value)
    assert feed(tended, key="prices", value=None)["changed"]
    assert feed(tended, key="prices", value=None) == {"name": "prices", "changed": False}
    wants(tended)
    assert not tended.says.seen[-1].published


def test_a_value_that_is_fed_wakes_who_tends(tended):
    tended.clock.advance(MINUTE)
    tended.cloud.step()
    woken = []
    tended.cloud.wake = lambda: woken.append(1)
    tended.clock.advance(MINUTE)
    tended.cloud._due = tended.clock.now() + HOUR
    feed(tended, key="prices", value=3)
    assert woken
