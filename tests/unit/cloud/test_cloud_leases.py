"""Leases: given with the launch, warned of once, extended, ended on time, over restarts and clocks that jump."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from euca_rpc.clock import HOUR, MINUTE, SECOND, ManualClock, from_iso, iso, moment
from euca_rpc.cloud import accounts, admin, explain, leases, lifecycle, pages
from euca_rpc.cloud.changes import Outcome, Put
from euca_rpc.cloud.controller import open_view
from euca_rpc.cloud.placement import EnginePlacer
from euca_rpc.cloud.view import View
from euca_rpc.errors import EucaError
from euca_rpc.machines import MachineReport
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.isolation import Inline
from euca_rpc.policy.loader import load
from euca_rpc.policy.values import Granted, Lease
from euca_rpc.types import Instance, InstanceLease, Intent, LaunchRequest, Seen, Setting

NOW = 1000 * HOUR
ID = "i-00000001"
ANN = "ann@example.org"


def instance(**more) -> Instance:
    life = {"intent": Intent.RUNNING, "seen": Seen.RUNNING, "seen_generation": 1, "attempted": True, **more}
    return Instance(
        ID, "r-1", "1" * 12, "u", 0, "emi-1", None, None, "x86_64", "m1.small", 1, 128, 10, "z", "z/h", None, "",
        b"", "d0:0d", "10.0.0.1", "127.0.0.9", None, "terminate", "regular", 5, **life,
    )  # fmt: skip


def view(lease: InstanceLease, i: Instance | None) -> View:
    return View().apply([Put(lease), *([Put(i)] if i is not None else [])])


def row(until, ahead=HOUR, warned=False, then="terminate", granted=None) -> InstanceLease:
    return InstanceLease(ID, "lease", until, then, granted or until, ahead, warned)


RUNNING, STOPPED = instance(), instance(intent=Intent.STOPPED, seen=Seen.STOPPED)
PENDING, NEW = instance(seen=Seen.PREPARING), instance(seen=Seen.NOTHING, seen_generation=0, attempted=False)
WARN, END, NOTHING = [leases.Warn((ID,))], [leases.End((ID,))], []


@pytest.mark.parametrize(
    ("lease", "i", "actions", "due"),
    [
        (row(NOW + 3 * HOUR), RUNNING, NOTHING, NOW + 2 * HOUR),
        (row(NOW + 90 * MINUTE), RUNNING, NOTHING, NOW + 30 * MINUTE),
        (row(NOW + 90 * MINUTE, ahead=None), RUNNING, NOTHING, NOW + HOUR),  # its hour, then itself
        (row(NOW + HOUR), RUNNING, WARN, NOW + HOUR),
        (row(NOW + 1), RUNNING, WARN, NOW + 1),
        (row(NOW + 30 * MINUTE, warned=True), RUNNING, NOTHING, NOW + 30 * MINUTE),
        (row(NOW + 30 * MINUTE, ahead=None), RUNNING, NOTHING, NOW + 30 * MINUTE),
        (row(NOW, warned=True), RUNNING, END, None),
        (row(NOW), RUNNING, END, None),  # was down when it should have been warned of
        (row(NOW - 40 * HOUR, warned=True), RUNNING, END, None),
        (row(NOW, warned=True), PENDING, END, None),
        (row(NOW, warned=True), NEW, END, None),
        (row(NOW, warned=True, then="stop"), RUNNING, END, None),
        (row(NOW, warned=True, then="stop"), PENDING, NOTHING, None),  # it may have no disk yet
        (row(NOW, warned=True), STOPPED, END, None),  # laid down, see below
        (row(NOW, warned=True), None, END, None),
    ],
)
def test_what_is_due(lease, i, actions, due):
    assert leases.decide(view(lease, i), NOW) == (actions, due)


def test_a_lease_of_a_later_hour_is_not_looked_at():
    """Only that its hour comes."""
    far = view(row(NOW + 100 * HOUR + 20 * MINUTE, ahead=None), RUNNING)
    assert leases.decide(far, NOW + 1) == ([], NOW + 100 * HOUR)


@pytest.mark.parametrize(("i", "then"), [(RUNNING, "terminate"), (RUNNING, "stop"), (NEW, "terminate")])
def test_the_end_has_a_reason_that_names_the_moment_and_the_policy(i, then):
    before = view(row(NOW, warned=True, then=then), i)
    done = leases.end(before, NOW + 5 * SECOND, [ID])
    after = before.apply(done.changes)
    ended = after.instances[ID]
    assert ended.intent == (Intent.STOPPED if then == "stop" else Intent.TERMINATED)
    reason = f"its lease ended at {moment(NOW)} (policy lease)"
    assert (ended.reason_code, ended.reason) == ("Server.LeaseEnded", reason)
    assert not after.leases
    assert not after.lease_hours
    (told,) = done.events
    assert (told.kind, told.actor) == (f"instance.{then}", "cloud")
    assert dict(told.facts) == {
        "state": lifecycle.state(ended), "code": "Server.LeaseEnded", "reason": reason
    }  # fmt: skip
    assert leases.end(after, NOW + 5 * SECOND, [ID]) == Outcome()


def test_protection_from_termination_does_not_hold_a_lease():
    before = view(row(NOW), instance(protected=True))
    after = before.apply(leases.end(before, NOW, [ID]).changes)
    assert after.instances[ID].intent is Intent.TERMINATED


def test_a_stopped_machine_is_left_alone_and_its_lease_laid_down():
    for verb in (leases.end, lambda v, n, ids: leases.warn(v, n, ids, lambda *told: pytest.fail("a mail"))):
        before = view(row(NOW), STOPPED)
        done = verb(before, NOW, [ID])
        after = before.apply(done.changes)
        assert after.instances[ID] == STOPPED
        assert (dict(after.leases), done.events) == ({}, ())


def test_what_is_not_due_any_more_is_left():
    """It was extended between the decision and the verb."""
    extended = view(row(NOW + 9 * HOUR), RUNNING)
    assert leases.end(extended, NOW, [ID]) == Outcome()
    assert leases.end(view(row(NOW + HOUR), RUNNING), NOW, [ID]) == Outcome()  # a warning is due, not the end
    assert leases.warn(extended, NOW, [ID], lambda *told: pytest.fail("a mail")) == Outcome()


# --------------------------------------------------------------------------------------------- with everything
@pytest.fixture
def leased(bench):
    """A bench whose machines are given 24 hours by the built-in policy, and are warned an hour before."""
    use(bench)
    bench.add_node(cores=4)
    bench.cloud.journal.do(lambda v, n: Outcome((Put(replace(v.users[bench.caller.user_id], email=ANN)),)))
    return bench


def use(bench):
    engine = Engine(load(["greedy", "lease"]), cloud_policy="greedy", clock=bench.clock, isolation=Inline())
    bench.cloud._instances._placer = EnginePlacer(engine, bench.clock)


def parameter(bench, **values):
    rows = [Put(Setting(f"policy.lease.{name}", json.dumps(value))) for name, value in values.items()]
    bench.cloud.journal.do(lambda v, n: Outcome(tuple(rows)))


def started(bench, **request):
    (one,) = bench.cloud.core.instances.launch(
        bench.caller, LaunchRequest("emi-00000001", **request)
    ).instances
    bench.cloud.step()
    bench.report(machines=[MachineReport(one.instance.id, 1, 0, "running")])
    return one.instance


def go(bench, until):
    """Time passes, and nobody answers meanwhile."""
    bench.clock.at = until
    for _ in range(3):
        bench.cloud.step()


def mails(bench):
    post = bench.cloud.office.reception.post
    return [(m.to, *post.open(m)) for m in pages.mails(bench.cloud.store) if m.kind == "lease_warning"]


def events(bench, kind):
    return [e for e in bench.cloud.store.events(limit=1000) if e.kind == kind]


def test_a_lease_from_launch_to_end(leased):
    i = started(leased)
    until = i.launched_at + 24 * HOUR
    assert leased.view.leases[i.id] == InstanceLease(i.id, "lease", until, "terminate", until, HOUR)
    ((_, (shown,)),) = leased.cloud.core.instances.describe(leased.caller, [i.id])
    assert shown.lease.until == until
    told = explain.explain(leased.view, leased.cloud.store, i.id)
    assert told["lease"] == {
        "until": moment(until), "then": "terminate", "policy": "lease", "warns": moment(until - HOUR)
    }  # fmt: skip
    go(leased, until - HOUR - 1)
    assert not mails(leased)
    go(leased, until - HOUR)
    ((to, subject, text),) = mails(leased)
    assert to == ANN
    assert subject == f"{i.id} on Cloud One ends at {moment(until)}"
    assert "It will then be terminated; its disk goes with it." in text
    go(leased, until - 1)
    assert len(mails(leased)) == len(events(leased, "lease.warned")) == 1
    assert leased.view.instances[i.id].intent is Intent.RUNNING
    go(leased, until)
    row = leased.view.instances[i.id]
    assert (row.intent, row.reason_code) == (Intent.TERMINATED, "Server.LeaseEnded")
    leased.report()
    leased.cloud.step()
    assert lifecycle.state(leased.view.instances[i.id]) == "shutting-down"


def test_the_controller_comes_by_itself_at_each_moment(leased):
    """The simulator jumps from one to the next: none may be missed, and none be looked for again and again."""
    i = started(leased)
    until = i.launched_at + 24 * HOUR
    moments, before = [], leased.clock.now()
    due = leased.cloud.step()  # asks for the report, which never comes
    while due is not None and leased.view.instances[i.id].intent is Intent.RUNNING:
        assert due > before
        leased.clock.at = before = due
        moments.append(due)
        due = leased.cloud.step()
    assert until - HOUR in moments
    assert moments[-1] == until
    assert len(moments) <= 4  # the two, and the beginning of their hours


def test_it_ends_on_time_across_a_restart(leased, reopen):
    i = started(leased)
    until = i.launched_at + 24 * HOUR
    go(leased, until - HOUR)
    assert open_view(leased.cloud.store, leased.clock.now()).leases == leased.view.leases
    again = reopen(leased)
    again.clock.at = until - MINUTE
    again.cloud.step()
    assert again.view.leases[i.id].warned
    assert len(mails(again)) == 1
    assert again.view.instances[i.id].intent is Intent.RUNNING
    again = reopen(again)
    again.clock.at = until + 2 * HOUR  # it was down when the moment came
    again.cloud.step()
    assert again.view.instances[i.id].reason_code == "Server.LeaseEnded"
    assert not open_view(again.cloud.store, again.clock.now()).leases


def test_a_clock_that_jumps_ends_nothing(leased):
    i = started(leased)

    class Jumped(ManualClock):
        def monotonic(self):
            return self.at - 48 * HOUR

    leased.cloud.step()
    leased.cloud.clock = leased.cloud.journal._clock = Jumped(leased.clock.at + 48 * HOUR)
    leased.cloud.step()
    assert leased.cloud.clock_trouble
    assert not mails(leased)
    assert leased.view.instances[i.id].intent is Intent.RUNNING


def test_who_is_exempt_has_none_and_without_warning_none_is_sent(leased):
    parameter(leased, exempt=[leased.caller.account_id])
    assert started(leased).id not in leased.view.leases
    parameter(leased, exempt=[], warn_hours=0, hours=0.5)
    i = started(leased)
    go(leased, i.launched_at + HOUR // 2)
    assert leased.view.instances[i.id].reason_code == "Server.LeaseEnded"
    assert not mails(leased)


def test_stopped_at_the_end_and_given_a_new_lease_when_started(leased):
    parameter(leased, then="stop")
    i = started(leased)
    go(leased, i.launched_at + 24 * HOUR)
    assert leased.view.instances[i.id].intent is Intent.STOPPED
    leased.report(machines=[MachineReport(i.id, 1, 0, "stopped", end="asked")])
    assert lifecycle.state(leased.view.instances[i.id]) == "stopped"
    go(leased, i.launched_at + 100 * HOUR)
    assert lifecycle.state(leased.view.instances[i.id]) == "stopped"
    leased.report(machines=[MachineReport(i.id, 1, 0, "stopped", end="asked")])
    leased.cloud.core.instances.start(leased.caller, [i.id])
    assert leased.view.leases[i.id].until == leased.clock.now() + 24 * HOUR
    assert not leased.view.leases[i.id].warned


def test_a_machine_started_under_no_lease_has_none_any_more(leased):
    i = started(leased)
    leased.cloud.core.instances.stop(leased.caller, [i.id])
    leased.report(machines=[MachineReport(i.id, 1, 0, "stopped", end="asked")])
    parameter(leased, exempt=[leased.caller.account_id])
    leased.cloud.core.instances.start(leased.caller, [i.id])
    assert i.id not in leased.view.leases


def test_a_machine_that_comes_back_after_its_host_was_lost_keeps_its_lease(leased):
    i = started(leased)
    before = leased.view.leases[i.id]
    leased.clock.advance(HOUR)
    leased.report(machines=[MachineReport(i.id, 1, 0, "stopped", end="host")])
    assert leased.view.instances[i.id].generation == 2
    assert leased.view.leases[i.id] == before


def user(bench):
    made = accounts.add_user(bench.caller, bench.cloud.ids, "bob", account_id=bench.caller.account_id)
    return accounts.caller_for(bench.cloud.journal.do(made), "test", "req-2")


def test_extending(leased):
    i = started(leased)
    core, bob, until = leased.cloud.core.instances, user(leased), i.launched_at + 24 * HOUR
    with pytest.raises(EucaError, match=r"can be extended until .* \(0 hours more") as refused:
        core.extend(bob, i.id, until + HOUR)
    assert refused.value.symbol == "denied"
    parameter(leased, extension_hours=2)
    go(leased, until - HOUR)
    assert core.extend(bob, i.id, until + 2 * HOUR).lease.until == until + 2 * HOUR
    with pytest.raises(EucaError, match="2 hours more"):  # not two and two
        core.extend(bob, i.id, until + 2 * HOUR + 1)
    assert not leased.view.leases[i.id].warned
    go(leased, until + HOUR)  # warned again, of the new end
    assert len(mails(leased)) == 2
    assert core.extend(leased.caller, i.id, until + 1000 * HOUR).lease.until == until + 1000 * HOUR
    go(leased, until + 999 * HOUR - 1)
    assert leased.view.instances[i.id].intent is Intent.RUNNING
    assert [e.actor for e in events(leased, "lease.extended")] == ["admin", "bob"]


def test_the_command_extends_by_hours_or_to_a_moment(leased):
    context = admin.Context(leased.cloud, None, None)
    i = started(leased)
    end = i.launched_at + 24 * HOUR

    def extend(**args):
        return admin.call(context, leased.caller, "instance_extend", args)

    assert extend(id=i.id.upper(), hours=1.5)["until"] == iso(end + 90 * MINUTE)
    assert extend(id=i.id, hours=1.5) == {"id": i.id, "until": iso(end + 3 * HOUR), "then": "terminate"}
    assert extend(id=i.id, until=end)["until"] == iso(end)
    assert [row["lease"] for row in admin.instances(context, leased.caller)] == [iso(end)]
    for wrong in ({}, {"until": end, "hours": 1}):
        with pytest.raises(EucaError, match="one of the two"):
            extend(id=i.id, **wrong)
    with pytest.raises(EucaError, match="does not exist"):
        extend(id="i-deadbeef", hours=1)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:00:01", SECOND),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1970-01-01T02:00+01:00", HOUR),
        ("2023-11-14T22:13:20.000Z", 1_700_000_000 * SECOND),
    ],
)
def test_moments_are_read(text, at):
    assert from_iso(text) == at


def test_a_shorter_lease_wakes_the_controller(leased):
    i = started(leased)
    leased.cloud.step()
    woken = []
    leased.cloud.wake = lambda: woken.append(1)
    leased.cloud.core.instances.extend(leased.caller, i.id, leased.clock.now() + MINUTE)
    assert woken


def test_what_cannot_be_extended(leased):
    core = leased.cloud.core.instances
    i = started(leased)
    for past in (leased.clock.now(), 0, 10**30):
        with pytest.raises(EucaError, match="only be extended to a moment to come"):
            core.extend(leased.caller, i.id, past)
    with pytest.raises(EucaError, match="does not exist"):
        core.extend(leased.caller, "i-deadbeef", leased.clock.now() + HOUR)
    core.stop(leased.caller, [i.id])
    with pytest.raises(EucaError, match="no lease that could be extended"):
        core.extend(leased.caller, i.id, leased.clock.now() + HOUR)
    parameter(leased, exempt=[leased.caller.account_id])
    with pytest.raises(EucaError, match="no lease that could be extended") as refused:
        core.extend(leased.caller, started(leased).id, leased.clock.now() + HOUR)
    assert refused.value.symbol == "state_conflict"


def test_a_launch_under_a_broken_lease_policy_makes_nothing(leased):
    class Given:
        given = Granted("x", Lease(1))

        def place(self, *asked):
            return EnginePlacer.place(self.real, *asked)

        def lease(self, wanted, view):
            raise EucaError("policy_failed", "no")

    broken = Given()
    broken.real = leased.cloud._instances._placer
    leased.cloud._instances._placer = broken
    with pytest.raises(EucaError, match="no"):
        leased.cloud.core.instances.launch(leased.caller, LaunchRequest("emi-00000001"))
    assert not leased.view.instances
    assert [e.facts["symbol"] for e in events(leased, "launch.refused")] == ["policy_failed"]
    contact = leased.view.contacts["open/h1"]
    assert (contact.version, contact.silent_since, contact.trouble) == (1, None, "")
