"""The contract that every policy keeps, and what this one plans."""

from __future__ import annotations

from typing import Any

import euca_backfill
from immutables import Map

from euca_rpc.clock import HOUR, MINUTE
from euca_rpc.policy.values import Launch, Lease, No, PolicyView, Target, Wait, Waiting
from euca_rpc.testing.contract import START, PolicyContract
from euca_rpc.testing.policies import node, size
from euca_rpc.types import Instance, InstanceLease

NOW = START


class TestContract(PolicyContract):
    policy = euca_backfill
    name = "backfill"


def launch(cores: int, hours: float = 1.0, **more: Any) -> Launch:
    told = {"min_count": 1, "max_count": 1, **more}
    return Launch("1" * 12, "u", f"c{cores}", size(cores), "x86_64", max_duration=int(hours * HOUR), **told)


def waits(id: str, cores: int, hours: float = 1.0, since: int = 0, **more: Any) -> Waiting:
    one = launch(cores, hours, reservation_id=id, **more)
    return Waiting(id, one, (f"i-{id}",), NOW + since, NOW, NOW + 99 * HOUR, "backfill", "It waits.")


def running(id: str, on: str, cores: int) -> Instance:
    return Instance(
        id, "r", "1" * 12, "u", 0, "emi-1", None, None, "x86_64", "m1", *size(cores).parts(), "z", on, None, "",
        b"", "", "", "", None, "terminate", "regular", NOW - HOUR,
    )  # fmt: skip


def view(*nodes: Target, line: tuple[Waiting, ...] = (), ends: Any = (), **parameters: Any) -> PolicyView:
    """``ends``: (node, cores, hours from now) of each machine that runs."""
    machines = {f"i-{n}": (running(f"i-{n}", on, cores), hours) for n, (on, cores, hours) in enumerate(ends)}
    return PolicyView(
        NOW,
        {t.id: t for t in nodes},
        instances=Map({id: i for id, (i, _) in machines.items()}),
        leases=Map(
            {
                id: InstanceLease(id, "backfill", NOW + int(h * HOUR), "terminate", NOW)
                for id, (_, h) in machines.items()
            }
        ),
        waiting=Map({w.reservation_id: w for w in line}),
        parameters={f"backfill.{name}": value for name, value in parameters.items()},
    )


def arranged(seen: PolicyView) -> dict[str, str]:
    batch = [w.launch for w in sorted(seen.waiting.values(), key=lambda w: w.since)]
    said = euca_backfill.arrange(batch, seen.targets, seen)
    return {batch[index].reservation_id: node for index, node in said.items()}


A = node("z/a", 4, used=2)  # two cores are free
LINE = (waits("first", 4), waits("short", 2, 1.5, 1), waits("long", 2, 3, 2))


def test_who_is_behind_the_first_goes_first_if_it_is_over_in_time():
    seen = view(A, line=LINE, ends=[("z/a", 2, 2)])  # the first begins in two hours, when all is free
    assert arranged(seen) == {"short": "z/a"}
    assert arranged(view(A, line=LINE, ends=[("z/a", 2, 2)], overtake=False)) == {}


def test_or_if_it_leaves_the_first_enough_room():
    other = node("z/b", 2, used=0)
    seen = view(A, other, line=(LINE[0], LINE[2]), ends=[("z/a", 2, 2)])
    assert arranged(seen) == {"long": "z/b"}


def test_with_more_depth_more_of_the_line_are_not_delayed():
    """Room is kept for the first, which leaves one core; who takes that for long delays the second."""
    line = (waits("a", 3, 1), waits("b", 4, 1, 1), waits("c", 1, 5, 2))
    assert arranged(view(A, line=line, ends=[("z/a", 2, 1)])) == {"c": "z/a"}
    assert arranged(view(A, line=line, ends=[("z/a", 2, 1)], depth=2)) == {}


def test_room_is_kept_for_a_reservation():
    reserved = waits("later", 4, 1, start=NOW + HOUR)
    seen = view(node("z/a", 4), line=(reserved, waits("short", 4, 0.9, 1), waits("long", 1, 2, 2)))
    assert arranged(seen) == {"short": "z/a"}
    due = view(node("z/a", 4), line=(waits("later", 4, 1, start=NOW), waits("short", 4, 0.9, -5)))
    assert arranged(due) == {"later": "z/a"}


def test_a_reservation_that_cannot_be_met_is_refused_with_the_earliest_moment():
    seen = view(node("z/a", 4, used=4), ends=[("z/a", 4, 3)])
    said = euca_backfill.admit(launch(1, start=NOW + 2 * HOUR), seen)
    assert isinstance(said, No)
    assert "the earliest moment after that is" in said.reason
    ok = euca_backfill.admit(launch(1, start=NOW + 4 * HOUR), seen)
    assert isinstance(ok, Wait)
    assert ok.until == NOW + 4 * HOUR
    both = view(node("z/a", 4), line=(waits("other", 4, 1, start=NOW + HOUR),))
    assert isinstance(euca_backfill.admit(launch(4, start=NOW + HOUR + 30 * MINUTE), both), No)


def test_what_can_begin_now_does_and_the_rest_waits():
    assert euca_backfill.admit(launch(2), view(A)) is None
    assert isinstance(euca_backfill.admit(launch(3), view(A)), Wait)
    assert euca_backfill.admit(launch(9), view(A)) is None  # the core refuses it
    assert euca_backfill.lease(launch(1, 2.5), view(A)) == Lease(NOW + int(2.5 * HOUR))
