"""Launches that wait: what is durable, who is asked again and when, and how waiting ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as draw

from euca_rpc.clock import HOUR, MINUTE, SECOND
from euca_rpc.cloud import lifecycle, waiting
from euca_rpc.cloud.changes import Insert, Outcome, Put, Soft
from euca_rpc.cloud.explain import explain
from euca_rpc.cloud.placement import EnginePlacer
from euca_rpc.cloud.view import AskedAgain, View
from euca_rpc.errors import EucaError
from euca_rpc.hookspecs import policy
from euca_rpc.policy.engine import Engine
from euca_rpc.policy.isolation import Inline
from euca_rpc.policy.values import Lease, No, Tally, Wait
from euca_rpc.types import Instance, LaunchRequest, Quota, Reservation, Setting, Size, WaitingLaunch

IMAGE = "emi-00000001"


class Gate:
    """Lets pass, holds or refuses, as the test says."""

    def __init__(self) -> None:
        self.says: Any = None
        self.asked: list[Any] = []
        self.lasts: int | None = None

    @policy
    def admit(self, launch, view):
        self.asked.append(launch)
        said = self.says
        return said(launch, view) if callable(said) else said

    @policy
    def lease(self, launch, view):
        return None if self.lasts is None else Lease(view.now + self.lasts)


def ruled(bench, *, gate: Gate | None = None, **more: Any) -> Gate:
    """The bench's placer is replaced by the engine, with a gate."""
    gate = gate or Gate()
    engine = Engine(
        {"gate": gate, **more},
        cloud_policy=next(iter(more), "gate"),
        clock=bench.clock,
        isolation=Inline(),
    )
    placer = EnginePlacer(engine, bench.clock)
    cloud = bench.cloud
    cloud._placer = cloud._instances._placer = cloud._turns._placer = placer
    cloud._turns._placer = placer
    return gate


def ask(bench, count=1, least=None, hints=(), **more):
    request = LaunchRequest(IMAGE, least or count, count, hints=tuple(sorted(dict(hints).items())), **more)
    return bench.cloud.core.instances.launch(bench.caller, request)


def one(launched) -> Instance:
    (status,) = launched.instances
    return status.instance


def now_is(bench, launched) -> list[Instance]:
    return [bench.view.instances[s.instance.id] for s in launched.instances]


def step(bench, seconds: float = 0) -> int | None:
    bench.clock.advance(int(seconds * SECOND))
    return bench.cloud.step()


def later(bench, seconds: float, reason="The cloud is saved for a class.") -> Wait:
    return Wait(reason, bench.clock.now() + int(seconds * SECOND))


# ------------------------------------------------------------------------------------------------ a policy holds
def test_it_is_pending_on_no_node_holds_nothing_and_counts_against_the_quota(bench):
    bench.add_node()
    gate = ruled(bench)
    gate.says = later(bench, 600)
    made = ask(bench, 2, tags=(("Name", "web"),))
    assert [s.state for s in made.instances] == ["pending", "pending"]
    for row in now_is(bench, made):
        assert (row.node, row.public_address, row.private_address, row.attempted) == ("", "", "", False)
        assert row.reason_code == "Server.WaitingForPolicy"
        assert row.reason.startswith(
            "policy gate lets it wait: The cloud is saved for a class. It waits since "
        )
        assert row.deadline == bench.clock.now() + 24 * HOUR
        assert bench.view.tags[row.id] == (("Name", "web"),)
    assert bench.view.targets["open/h1"].claimed == Size()
    assert not bench.view.on_node.get("")
    tally = bench.view.tallies[f"account/{bench.caller.account_id}"]
    assert (tally.instances, tally.size) == (2, one_size(bench).times(2))
    listed = [s for _, inside in bench.cloud.core.instances.describe(bench.caller) for s in inside]
    assert [(s.state, s.reachable) for s in listed] == [("pending", True)] * 2
    step(bench)
    assert not bench.carrier.take("ensure")


def one_size(bench) -> Size:
    return bench.view.vm_types["m1.small"].size


def test_it_is_placed_when_the_policy_lets_it_go_on_and_the_node_is_told(bench):
    bench.add_node()
    gate = ruled(bench)
    gate.says, gate.lasts = later(bench, 600), HOUR
    made = ask(bench)
    step(bench)
    asked = len(gate.asked)
    gate.says = None
    step(bench, 500)
    assert len(gate.asked) == asked  # nothing changed
    assert one(made).id not in bench.view.leases
    step(bench, 100)
    (row,) = now_is(bench, made)
    assert (row.node, row.zone, row.reason) == ("open/h1", "open", "")
    assert row.launched_at == bench.clock.now()
    assert row.public_address
    assert bench.view.leases[row.id].until == bench.clock.now() + HOUR  # it counts from here
    assert bench.view.targets["open/h1"].claimed == row.size
    assert not bench.view.waiting_rows
    assert not bench.view.asked_again
    step(bench, 1)
    assert [s["instance_id"] for s in bench.carrier.take("ensure")[0][2]["specs"]] == [row.id]
    events = bench.cloud.store.events(row.id)
    assert [e.kind for e in reversed(events)] == ["instance.waits", "instance.launched"]
    assert events[0].actor == bench.caller.user_name


def test_a_wait_is_not_asked_about_before_its_moment_unless_something_changes(bench):
    bench.add_node()
    gate = ruled(bench)
    gate.says = lambda launch, view: Wait("Not yet.", view.now + 600 * SECOND)
    made = ask(bench)
    step(bench)
    count = len(gate.asked)
    assert count == 2  # when it came, and once more when it was in the line
    for _ in range(5):
        step(bench, 10)
    assert len(gate.asked) == count
    bench.cloud.journal.do(lambda v, n: Outcome((Put(Setting("policy.gate.x", "1")),)))
    step(bench)
    assert len(gate.asked) == count + 1
    bench.add_node(host="h2")
    step(bench)
    assert len(gate.asked) == count + 2
    assert one(made).id in bench.view.instances


def test_a_no_at_last_and_a_deadline_end_it_with_their_reasons(bench):
    bench.add_node()
    gate = ruled(bench)
    gate.says = later(bench, 60)
    refused, late = ask(bench), ask(bench, hints={"wait": "90"})
    gate.says = lambda launch, view: (
        No("No launches on Sundays.") if launch.wait is None else Wait("Not yet.", view.now + 60 * SECOND)
    )
    step(bench, 60)
    (row,) = now_is(bench, refused)
    assert (lifecycle.state(row), row.reason_code) == ("terminated", "Server.LaunchRefused")
    assert row.reason == "it waited, and was then refused: No launches on Sundays."
    assert lifecycle.state(now_is(bench, late)[0]) == "pending"
    due = step(bench, 1)
    assert due is not None
    step(bench, 29)
    (row,) = now_is(bench, late)
    assert (lifecycle.state(row), row.reason_code) == ("terminated", "Server.WaitedInVain")
    assert "because policy gate said so: Not yet." in row.reason
    assert not bench.view.waiting_rows
    assert bench.view.tallies[f"account/{bench.caller.account_id}"].instances == 0


def test_who_would_rather_be_refused_is(bench):
    bench.add_node()
    ruled(bench).says = later(bench, 60)
    with pytest.raises(EucaError, match=r"saved for a class\. Try again after") as refused:
        ask(bench, hints={"wait": "0"})
    assert refused.value.symbol == "policy_refused"
    with pytest.raises(EucaError, match="'wait' is 'long'; it has to be a number of seconds"):
        ask(bench, hints={"wait": "long"})


def test_a_token_answers_with_the_same_launch_while_it_waits_and_afterwards(bench):
    bench.add_node()
    gate = ruled(bench)
    gate.says = later(bench, 60)
    first = ask(bench, client_token="t")
    assert ask(bench, client_token="t").reservation == first.reservation
    gate.says = None
    step(bench, 60)
    again = ask(bench, client_token="t")
    assert (again.reservation, one(again).node) == (first.reservation, "open/h1")
    with pytest.raises(EucaError, match="used before for a different request"):
        ask(bench, 2, client_token="t")


def test_its_user_can_end_it_and_nothing_else(bench):
    bench.add_node()
    ruled(bench).says = later(bench, 600)
    made = ask(bench, 2)
    first, second = (s.instance.id for s in made.instances)
    instances = bench.cloud.core.instances
    for verb in (instances.stop, instances.start, instances.reboot):
        with pytest.raises(
            EucaError, match=r"has not been placed on a node yet and cannot be .* only be term"
        ):
            verb(bench.caller, [first])
    assert instances.console(bench.caller, first).result().text == b""
    (moved,) = instances.terminate(bench.caller, [first])
    assert (moved.previous, moved.current) == ("pending", "terminated")
    assert bench.view.waiting[made.reservation.id].instance_ids == (second,)
    assert bench.view.waiting[made.reservation.id].launch.max_count == 1
    instances.terminate(bench.caller, [second])
    assert not bench.view.waiting
    step(bench)
    assert not bench.view.waiting_rows
    assert not bench.cloud.store.select(WaitingLaunch)


def test_a_restart_forgets_nobody(bench, reopen):
    bench.add_node()
    ruled(bench).says = later(bench, 600)
    made = ask(bench, 2, least=1, hints={"duration": "60", "rack": "7"}, client_token="t")
    before = bench.view.waiting[made.reservation.id]
    again = reopen(bench)
    assert dict(again.view.waiting) == {made.reservation.id: before}
    assert again.view.line == ((before.since, made.reservation.id),)
    assert (before.launch.min_count, before.launch.max_duration) == (1, 60 * SECOND)
    assert dict(before.launch.hints) == {"duration": "60", "rack": "7"}
    ruled(again)
    again.report()
    step(again, 1)
    assert [row.node for row in now_is(again, made)] == ["open/h1"] * 2
    again.cloud.store.close()


def test_explain_says_who_holds_it_why_and_until_when(bench):
    bench.add_node()
    ruled(bench).says = later(bench, 600)
    made = ask(bench)
    told = explain(bench.view, bench.cloud.store, one(made).id)
    assert told["why"].startswith("pending, on no node yet: policy gate lets it wait")
    assert told["waits"]["policy"] == "gate"
    assert told["waits"]["says"] == "The cloud is saved for a class."
    assert told["waits"]["ahead"] == 0
    assert told["waits"]["asked_again"] < told["waits"]["until"] == told["deadline"]


# ------------------------------------------------------------------------------------------------------ for room
def test_without_room_only_those_wait_who_say_so(bench):
    bench.add_node(cores=2)
    ruled(bench)
    running = ask(bench, 2)
    with pytest.raises(EucaError, match="there is no room"):
        ask(bench)
    made = ask(bench, hints={"wait": "3600"})
    assert now_is(bench, made)[0].reason_code == "Server.WaitingForRoom"
    with pytest.raises(EucaError, match="there is no room"):
        ask(bench, 3, hints={"wait": "3600"})  # more than there will ever be
    assert step(bench) is not None
    bench.cloud.core.instances.terminate(bench.caller, [running.instances[0].instance.id])
    assert bench.view.opened > bench.view.asked_again[made.reservation.id].number
    step(bench)
    assert now_is(bench, made)[0].node == "open/h1"


def test_nobody_who_waits_for_room_is_overtaken_by_another_who_does(bench):
    bench.add_node(cores=2)
    ruled(bench)
    running = ask(bench, 2)
    large = ask(bench, 2, hints={"wait": "3600"})
    small = ask(bench, 1, hints={"wait": "3600"})
    ids = [s.instance.id for s in running.instances]
    bench.cloud.core.instances.terminate(bench.caller, ids[:1])
    step(bench)
    assert [row.node for row in now_is(bench, large) + now_is(bench, small)] == [""] * 3
    late = ask(bench, hints={"wait": "60"})
    assert one(late).node == ""  # behind them, although it would fit
    assert one(ask(bench)).node == "open/h1"  # who does not wait takes what is there
    bench.cloud.core.instances.terminate(bench.caller, ids[1:])
    step(bench)
    assert [row.node for row in now_is(bench, large)] == ["", ""]


def test_fewer_than_all_are_enough_if_the_launch_says_so(bench):
    bench.add_node(cores=2)
    gate = ruled(bench)
    gate.says = later(bench, 60)
    made = ask(bench, 3, least=1)
    gate.says = None
    step(bench, 60)
    rows = sorted(now_is(bench, made), key=lambda i: i.launch_index)
    assert [row.node for row in rows] == ["open/h1", "open/h1", ""]
    assert (lifecycle.state(rows[2]), rows[2].reason_code) == (
        "terminated",
        "Server.InsufficientInstanceCapacity",
    )
    assert rows[2].reason == "there was room for 2 of 3, and 1 were to be enough"


def test_the_room_may_be_taken_between_asking_and_placing(bench, monkeypatch):
    bench.add_node(cores=1)
    gate = ruled(bench)
    gate.says = later(bench, 60)
    made = ask(bench)
    gate.says = None
    placer, taken = bench.cloud._turns._placer, []

    def lease(wanted, view):
        if not taken:
            taken.append(True)
            taken.append(one(ask(bench)).id)

    monkeypatch.setattr(placer, "lease", lease)
    assert step(bench, 60) == bench.clock.now()  # a conflict: again at once
    assert now_is(bench, made)[0].node == ""
    step(bench)
    assert now_is(bench, made)[0].reason_code == "Server.WaitingForRoom"  # it was let in, so it waits on
    bench.cloud.core.instances.terminate(bench.caller, [taken[1]])
    step(bench)
    assert now_is(bench, made)[0].node == "open/h1"


def test_a_policy_that_fails_ends_nobody(bench):
    bench.add_node()
    gate = ruled(bench)
    gate.says = later(bench, 60)
    made = ask(bench)

    def broken(launch, view):
        raise ValueError("the calendar")

    gate.says = broken
    step(bench, 60)
    (row,) = now_is(bench, made)
    assert lifecycle.state(row) == "pending"
    assert "Policy gate cannot answer admit: admit raised ValueError: the calendar" in row.reason
    gate.says = None
    step(bench, 60)
    assert now_is(bench, made)[0].node == "open/h1"


# ------------------------------------------------------------------------------------------- what `tend` may say
def test_a_policy_may_let_go_and_hold_by_itself(bench):
    bench.add_node()
    gate = ruled(bench)
    gate.says = lambda launch, view: Wait("Not yet.", view.now + 600 * SECOND)
    made, other = ask(bench), ask(bench)
    step(bench)
    do = bench.cloud.journal.do
    assert do(lambda v, n: waiting.let_go(v, n, made.reservation.id, "gate"))
    assert not do(lambda v, n: waiting.let_go(v, n, "r-99999999", "gate"))
    until = bench.clock.now() + 300 * SECOND
    assert do(lambda v, n: waiting.hold(v, n, other.reservation.id, "gate", "After the class.", until))
    gate.says = None
    step(bench)
    assert now_is(bench, made)[0].node == "open/h1"
    assert "After the class." in now_is(bench, other)[0].reason
    step(bench, 299)  # whatever changes
    assert now_is(bench, other)[0].node == ""
    step(bench, 1)
    assert now_is(bench, other)[0].node == "open/h1"


# ---------------------------------------------------------------------------------------------------- a batch
class Batches:
    """Places as the test says; holds everybody, so that there is a line."""

    def __init__(self) -> None:
        self.answer: Callable[..., Any] = lambda batch, targets, view: None
        self.batches: list[list[Any]] = []

    @policy
    def admit(self, launch, view):
        return Wait("In the line.", view.now + 3600 * SECOND)

    @policy
    def arrange(self, batch, targets, view):
        self.batches.append(list(batch))
        return self.answer(batch, targets, view)


def test_the_line_is_one_batch_and_who_is_left_out_waits(bench):
    bench.add_node(cores=2)
    batches = Batches()
    ruled(bench, batches=batches)
    batches.answer = lambda batch, targets, view: {}
    first, second, third = ask(bench, 2), ask(bench), ask(bench)
    step(bench)
    assert [launch.reservation_id for launch in batches.batches[-1]] == [
        first.reservation.id,
        first.reservation.id,
        second.reservation.id,
        third.reservation.id,
    ]
    batches.answer = lambda batch, targets, view: {2: "open/h1", 3: "open/h1"}  # past the first
    bench.add_node(host="h2", cores=1)
    step(bench)
    assert [row.node for row in now_is(bench, second) + now_is(bench, third)] == ["open/h1"] * 2
    assert [row.node for row in now_is(bench, first)] == ["", ""]
    assert now_is(bench, first)[0].reason_code == "Server.WaitingForPolicy"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({0: "open/h9"}, "goes to 'open/h9', which is no target"),
        ({7: "open/h1"}, "it places machine 7; the batch has 3, counted from 0"),
        ({True: "open/h1"}, "it places machine True"),
        ({0: "open/h1"}, "1 machines, which needs 2"),
        ({0: "open/h1", 1: "open/h1", 2: "open/h1"}, "machine 2 does not fit on open/h1: room"),
        ({2: 5}, "goes to 5, which is no target"),
        (["open/h1"], "not None or a mapping"),
    ],
)
def test_nonsense_places_nobody_and_is_a_failure(bench, answer, why):
    bench.add_node(cores=2)
    batches = Batches()
    ruled(bench, batches=batches)
    batches.answer = lambda batch, targets, view: {}
    made = [ask(bench, 2), ask(bench)]
    batches.answer = lambda batch, targets, view: answer
    step(bench)
    assert all(row.node == "" for m in made for row in now_is(bench, m))
    engine = bench.cloud._turns._placer._engine
    (status,) = [s for s in engine.status() if s["policy"] == "batches"]
    assert status["failures"] == 1
    assert why in status["last_failure"]


def test_what_the_zones_policy_does_not_let_is_nonsense_too(bench):
    class Closed(Batches):
        @policy
        def feasible(self, target):
            return No("Closed.") if target.id == "open/h1" else None

    bench.add_node()
    batches = Closed()
    ruled(bench, batches=batches)
    ask(bench)
    batches.answer = lambda batch, targets, view: {0: "open/h1"}
    step(bench)
    (status,) = [s for s in bench.cloud._turns._placer._engine.status() if s["policy"] == "batches"]
    assert "machine 0 may not go to open/h1: Closed." in status["last_failure"]


def test_a_new_launch_is_a_batch_too(bench):
    class Pairs:
        @policy
        def arrange(self, batch, targets, view):
            free = sorted(id for id, target in targets.items() if not target.machines)
            return dict(enumerate(free[: len(batch)])) if len(free) >= len(batch) else {}

    bench.add_node()
    bench.add_node(host="h2")
    ruled(bench, pairs=Pairs())
    made = ask(bench, 2)
    assert [row.node for row in now_is(bench, made)] == ["open/h1", "open/h2"]
    with pytest.raises(EucaError, match="policy pairs gives them no place now"):
        ask(bench)
    assert one(ask(bench, hints={"wait": "60"})).node == ""


def test_another_policy_may_still_object_to_what_was_arranged(bench):
    bench.add_node()
    batches = Batches()
    gate = ruled(bench, batches=batches)
    made = ask(bench)
    batches.answer = lambda batch, targets, view: {0: "open/h1"}
    gate.says = later(bench, 60, "Not this account.")
    step(bench)
    assert "policy gate lets it wait: Not this account." in now_is(bench, made)[0].reason
    gate.says = None
    step(bench, 60)  # the gate opens: now it is the other one that holds it
    step(bench)
    assert now_is(bench, made)[0].node == "open/h1"


def test_who_another_policy_holds_is_not_in_the_batch(bench):
    bench.add_node()
    batches = Batches()
    gate = ruled(bench, batches=batches)
    gate.says = later(bench, 60, "Not this account.")  # sooner than the other's moment: this one holds it
    held = ask(bench)
    gate.says = None
    free = ask(bench)
    batches.answer = lambda batch, targets, view: {}
    step(bench)
    assert [launch.reservation_id for launch in batches.batches[-1]] == [free.reservation.id]
    assert bench.view.waiting[held.reservation.id].policy == "batches"  # the gate is open: now it is in
    step(bench)
    assert {launch.reservation_id for launch in batches.batches[-1]} == {
        held.reservation.id,
        free.reservation.id,
    }


def test_when_somebody_leaves_the_line_the_others_are_asked(bench):
    bench.add_node()
    gate = ruled(bench)
    gate.says = lambda launch, view: Wait("Not yet.", view.now + 600 * SECOND)
    made, other = ask(bench), ask(bench)
    step(bench)
    asked = len(gate.asked)
    bench.cloud.core.instances.terminate(bench.caller, [one(made).id])
    step(bench)
    assert [launch.reservation_id for launch in gate.asked[asked:]] == [other.reservation.id]


def test_a_firm_wait_is_not_asked_about_before_its_moment(bench):
    bench.add_node()
    gate = ruled(bench)
    until = bench.clock.now() + 600 * SECOND
    gate.says = Wait("After the class.", until, firm=True)
    made = ask(bench)
    asked = len(gate.asked)
    bench.add_node(host="h2")
    step(bench)
    assert len(gate.asked) == asked
    gate.says = None
    step(bench, 600)
    assert now_is(bench, made)[0].node


def test_who_is_not_late_is_not_given_up_and_who_is_gone_is_nobody(bench):
    bench.add_node()
    ruled(bench).says = later(bench, 60)
    id, view, now = ask(bench).reservation.id, bench.view, bench.clock.now()
    assert waiting.give_up(view, now, [id, "r-99999999"]) == Outcome()
    assert waiting.give_up(view, now + 24 * HOUR, [id]).changes
    refusal = EucaError("policy_refused", "No.")
    for verb in (
        waiting.still(view, now, "r-99999999", 1),
        waiting.refuse(view, now, "r-99999999", refusal),
        waiting.sweep(view, now, [id, "r-99999999"]),
    ):
        assert verb == Outcome()
    assert waiting.place(view, now, "r-99999999", ["open/h1"], None, None).result is False


# -------------------------------------------------------------------------------------------------- the decision
NOW = 1_700_000_000 * SECOND


def line(*rows: dict[str, Any], opened: int = 5) -> View:
    """A view with these launches in the line, in this order, in which something changed on snapshot ``opened``; ``asked``:
    on which snapshot they were last asked about (None: never)."""
    view, numbers = View(), dict[str, int]()
    for n, told in enumerate(rows):
        asked = told.pop("asked", 5)
        id, member = f"r-{n}", f"i-{n}"
        row = replace(WaitingLaunch(id, NOW - 100 + n, NOW + MINUTE, NOW + HOUR, "", "Why not.", 1), **told)
        instance = Instance(
            member, id, "1", "u", 0, "emi-1", None, None, "x86_64", "m1", 1, 1, 1, "", "", None, "", b"",
            "", "", "", None, "terminate", "regular", row.since,
        )  # fmt: skip
        reservation = Reservation(id, "1", "u", (member,), row.since)
        view = view.apply([Insert(reservation), Insert(instance), Insert(row)])
        if asked is not None:
            numbers[id] = asked
    view = view.apply([Put(Setting("policy.p.x", "1"))])  # now: the others are told from here
    assert not rows or view.opened == view.number
    return view.apply(Soft(AskedAgain(id, view.opened - opened + at)) for id, at in numbers.items())


HELD = {"policy": "p"}


@pytest.mark.parametrize(
    ("rows", "opened", "asked", "given_up"),
    [
        ([HELD], 5, [], []),  # nothing changed
        ([HELD], 6, ["r-0"], []),  # something changed
        ([{**HELD, "asked": None}], 5, ["r-0"], []),  # new in the line, or after a restart
        ([{**HELD, "again": NOW}], 5, ["r-0"], []),  # its moment has come
        ([{**HELD, "firm": True}], 6, [], []),  # held whatever changes
        ([{**HELD, "firm": True, "again": NOW}], 5, ["r-0"], []),  # until its moment
        ([HELD, HELD], 6, ["r-0", "r-1"], []),  # policies hold each by itself
        ([{}, {}], 6, ["r-0"], []),  # for room: the first alone
        ([{}, {"again": NOW}], 5, [], []),  # also when its own moment has come
        ([{"zone": "a"}, {"zone": "b"}], 6, ["r-0", "r-1"], []),  # they want different rooms
        ([{"zone": "a"}, {"zone": "a"}], 6, ["r-0"], []),
        ([{"zone": "a"}, {}], 6, ["r-0"], []),
        ([{}, HELD], 6, ["r-0", "r-1"], []),  # a policy's own does not wait behind it
        ([HELD, {}], 6, ["r-0", "r-1"], []),
        ([{}, {"passed": "p"}], 6, ["r-0", "r-1"], []),  # a policy lets it go ahead
        ([{"until": NOW}], 6, [], ["r-0"]),  # for too long
        ([{"until": NOW}, {}], 6, ["r-1"], ["r-0"]),  # and then the next is the first
    ],
)
def test_the_decision(rows, opened, asked, given_up):
    view = line(*(dict(row) for row in rows), opened=opened)
    actions, due = waiting.decide(view, NOW)
    found = {type(action): list(action.ids) for action in actions}
    assert found.get(waiting.AskAgain, []) == asked
    assert found.get(waiting.GiveUp, []) == given_up
    assert waiting.Sweep not in found
    if set(view.waiting) - set(asked) - set(given_up):
        assert due is not None
        assert due > NOW


def test_the_decision_of_nothing():
    assert waiting.decide(View(), NOW) == ([], None)


@pytest.mark.parametrize(("mine", "theirs"), list(product((None, "a", "b"), repeat=2)))
def test_who_is_behind(mine, theirs):
    view = line({"zone": theirs})
    wanted = replace(next(iter(view.waiting.values())).launch, zone=mine)
    assert waiting.behind(view, wanted) == (None in (mine, theirs) or mine == theirs)
    assert not waiting.behind(view, replace(wanted, architecture="aarch64"))
    assert not waiting.behind(line({"zone": theirs, **HELD}), wanted)


# ------------------------------------------------------------------------------------------------------- promises
STEPS = draw.sampled_from(
    ("launch", "patient", "end", "open", "hold", "refuse", "go", "wait", "node", "quota")
)


@settings(max_examples=60, deadline=None)
@given(draw.lists(draw.tuples(STEPS, draw.integers(0, 5)), max_size=25))
def test_whatever_happens_who_waits_holds_nothing_and_is_placed_once(tmp_path_factory, steps):
    from conftest import open_bench

    bench = open_bench(tmp_path_factory.mktemp("bench"))
    bench.add_node(cores=3)
    gate = ruled(bench)
    placed: dict[str, str] = {}
    hosts, refused = 1, set[str]()
    try:
        for what, n in steps:
            if what in ("launch", "patient"):
                try:
                    ask(bench, n % 3 + 1, least=1, hints={"wait": "100"} if what == "patient" else {})
                except EucaError as refusal:
                    refused.add(refusal.symbol)
            elif what == "end":
                alive = sorted(i.id for i in bench.view.instances.values() if i.ended_at is None)
                if alive:
                    bench.cloud.core.instances.terminate(bench.caller, [alive[n % len(alive)]])
            elif what == "hold":
                gate.says = lambda launch, view: Wait("Not yet.", view.now + 20 * SECOND)
            elif what == "refuse":
                gate.says = No("No.")
            elif what == "open":
                gate.says = None
            elif what == "wait":
                bench.clock.advance(n * 15 * SECOND)
            elif what == "node" and hosts < 3:
                hosts += 1
                bench.add_node(host=f"h{hosts}", cores=1)
            elif what == "quota":
                scope = f"account/{bench.caller.account_id}"
                bench.cloud.journal.do(lambda v, t, s=scope, n=n: Outcome((Put(Quota(s, n + 2)),)))
            if what in ("go", "open", "end", "wait"):
                step(bench)
            holds(bench, placed)
        assert refused <= {"capacity_exhausted", "policy_refused", "quota_exceeded"}
    finally:
        bench.cloud.store.close()


def holds(bench, placed: dict[str, str]) -> None:
    view = bench.view
    claims: dict[str, Size] = {}
    count = 0
    for i in view.instances.values():
        if i.ended_at is None:
            count += 1
        if lifecycle.waits(i):
            assert i.reservation_id in view.waiting
            assert i.id in view.waiting[i.reservation_id].instance_ids
            assert not i.public_address
            assert i.deadline is not None
            assert i.reason
            assert i.id not in placed, "it had a node before"
        elif i.node:
            assert placed.setdefault(i.id, i.node) == i.node
            claims[i.node] = claims.get(i.node, Size()) + lifecycle.claim(i)
    for target in view.targets.values():
        assert target.claimed == claims.get(target.id, Size())
        assert target.claimed.fits(target.offer)
    assert view.tallies.get(f"account/{bench.caller.account_id}", Tally()).instances == count
    assert [id for _, id in view.line] == sorted(view.waiting, key=lambda id: (view.waiting[id].since, id))
