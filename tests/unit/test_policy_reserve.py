"""Best effort gives way: who waits, who is told to go, and who is left alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from immutables import Map

from euca_rpc.clock import MINUTE
from euca_rpc.policy.actions import Evict
from euca_rpc.policy.values import Launch, PolicyView, Target, Wait, Waiting
from euca_rpc.testing.contract import START
from euca_rpc.testing.policies import node, size
from euca_rpc.types import Instance, InstanceLease, Intent, Seen
from euca_schedulers import reserve

NOW = START
BEST = "best_effort"


def machine(
    id: str, on: str, cores: int = 1, service_class: str = BEST, age: int = 0, **more: Any
) -> Instance:
    values = {"intent": Intent.RUNNING, "seen": Seen.RUNNING, "seen_generation": 1, "attempted": True, **more}
    return Instance(
        id, "r-1", "1" * 12, "u", 0, "emi-1", None, None, "x86_64", "m1", *size(cores).parts(), "z", on, None, "",
        b"", "d0:0d", "", "", None, "terminate", service_class, NOW - age * MINUTE, **values,
    )  # fmt: skip


def launch(cores: int = 1, count: int = 1, **more: Any) -> Launch:
    return Launch("1" * 12, "u", "m1", size(cores), "x86_64", count, count, **more)


def waits(one: Launch, id: str = "r-1", since: int = NOW - MINUTE, policy: str = "reserve") -> Waiting:
    return Waiting(
        id, replace(one, reservation_id=id), ("i-9",), since, NOW, NOW + 99 * MINUTE, policy, "It waits."
    )


def view(
    *nodes: Target,
    there: tuple[Instance, ...] = (),
    line: tuple[Waiting, ...] = (),
    told: tuple[str, ...] = (),
) -> PolicyView:
    return PolicyView(
        NOW,
        {t.id: t for t in nodes},
        instances=Map({i.id: i for i in there}),
        waiting=Map({w.reservation_id: w for w in line}),
        leases=Map(
            {id: InstanceLease(id, "reserve", NOW + 1, "terminate", NOW + 1, evicted="Out.") for id in told}
        ),
    )


A, B = node("z/a", 4, used=4), node("z/b", 4, used=4)
FULL = tuple(machine(f"i-{n}", "z/a", age=n) for n in range(4))
OTHERS = tuple(machine(f"i-{n}", "z/b", age=n) for n in range(4, 8))


def evicted(seen: PolicyView) -> list[str]:
    found = reserve.tend(seen)
    assert all(isinstance(one, Evict) and one.notice == 5 * MINUTE for one in found)
    return [one.instance for one in found if isinstance(one, Evict)]


@pytest.mark.parametrize(
    ("seen", "gone"),
    [
        (view(A, there=FULL), []),  # nobody waits
        (view(A, there=FULL, line=(waits(launch()),)), ["i-0"]),  # the youngest
        (view(A, there=FULL, line=(waits(launch(2)),)), ["i-0", "i-1"]),
        (view(A, there=FULL, line=(waits(launch(1, 3)),)), ["i-0", "i-1", "i-2"]),
        (view(A, there=FULL, line=(waits(launch(2)),), told=("i-2", "i-3")), []),  # that room comes already
        (view(A, there=FULL, line=(waits(launch(2)),), told=("i-3",)), ["i-0"]),
        (view(A, there=FULL, line=(waits(launch(2)),), told=("i-0",)), ["i-1"]),  # nobody is told twice
        (
            view(A, there=FULL, line=(waits(launch(2), policy=""),)),
            ["i-0", "i-1"],
        ),  # it waits for room, as its user said
        (view(A, there=FULL, line=(waits(launch(2), policy="fair_share"),)), []),  # another policy holds it
        (view(A, there=FULL, line=(waits(launch(2, service_class=BEST)),)), []),
        (view(node("z/a", 4, used=3), there=FULL[:3], line=(waits(launch()),)), []),  # there is room
        (
            view(A, there=tuple(replace(i, service_class="regular") for i in FULL), line=(waits(launch()),)),
            [],
        ),
        (
            view(A, there=tuple(replace(i, intent=Intent.TERMINATED) for i in FULL), line=(waits(launch()),)),
            [],
        ),
        (view(A, B, there=FULL + OTHERS, line=(waits(launch(4)),)), ["i-0", "i-1", "i-2", "i-3"]),
        (
            view(A, node("z/b", 4, used=3), there=FULL + OTHERS[:3], line=(waits(launch(4)),)),
            ["i-4", "i-5", "i-6"],
        ),
        (view(replace(A, usable=False, why="drained"), there=FULL, line=(waits(launch()),)), []),
        (view(A, there=FULL, line=(waits(launch()), waits(launch(), "r-2", NOW))), ["i-0", "i-1"]),
    ],
)
def test_who_is_told_to_go(seen: PolicyView, gone: list[str]) -> None:
    assert evicted(seen) == gone


def test_saying_it_again_tells_nobody_else() -> None:
    seen = view(A, there=FULL, line=(waits(launch(2)),))
    gone = tuple(evicted(seen))
    assert evicted(replace(seen, leases=view(told=gone).leases)) == []


@pytest.mark.parametrize(
    ("wanted", "seen", "waited"),
    [
        (launch(), view(A, there=FULL), True),
        (launch(), view(node("z/a", 4, used=3), there=FULL[:3]), False),
        (launch(5), view(A, there=FULL), False),  # even all of it would not do: the core says so
        (launch(1, 4), view(A, there=FULL, told=("i-0", "i-1")), True),
        (launch(1, 5), view(A, there=FULL, told=("i-0", "i-1")), False),  # none is counted twice
        (launch(service_class=BEST), view(A, there=FULL), False),
        (launch(service_class=BEST), view(A, there=FULL, line=(waits(launch()),)), True),
        (launch(service_class=BEST, zone="y"), view(A, there=FULL, line=(waits(launch(zone="z")),)), False),
        # room came: the one ahead in the line has it, the one behind waits on
        (launch(), view(node("z/a", 4, used=3), there=FULL[:3], line=(waits(launch()),)), True),
        # the room that comes is planned for who is ahead: who is behind does not take a part of it meanwhile
        (launch(), view(node("z/a", 4, used=3), there=FULL[:3], line=(waits(launch(4)),), told=("i-0", "i-1", "i-2")), True),
        (launch(reservation_id="r-1"), view(node("z/a", 4, used=3), there=FULL[:3], line=(waits(launch()),)), False),
    ],
)  # fmt: skip
def test_who_waits(wanted: Launch, seen: PolicyView, waited: bool) -> None:
    said = reserve.admit(wanted, seen)
    assert isinstance(said, Wait) == waited
    if said is not None:
        assert said.until == NOW + 7 * MINUTE
