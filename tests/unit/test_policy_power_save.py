"""Who sleeps and who is woken: tables over small sites."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from immutables import Map

from euca_rpc.clock import MINUTE
from euca_rpc.policy.actions import Again, Sleep, Wake
from euca_rpc.policy.values import Launch, PolicyView, Target, Wait, Waiting
from euca_rpc.testing.contract import START
from euca_rpc.testing.policies import node, size
from euca_rpc.types import Instance, Intent
from euca_schedulers import power_save

NOW = START


def at(id: str, power: str = "on", **more: Any) -> Target:
    rests = {} if power == "on" else {"usable": False, "why": "at rest"}
    return node(id, **{"power": power, "sleeps": True, **rests, **more})


def gone(on: str, minutes: float, id: str = "i-1") -> Instance:
    """A machine that ended there so many minutes ago."""
    return Instance(
        id, "r-1", "1" * 12, "u", 0, "emi-1", None, None, "x86_64", "m1.small", 1, 128, 10, "z", on, None, "",
        b"", "d0:0d", "", "", None, "terminate", "regular", 5, Intent.TERMINATED, ended_at=NOW - int(minutes * MINUTE),
    )  # fmt: skip


def launch(cores: int = 1, count: int = 1, **more: Any) -> Launch:
    return Launch("1" * 12, "u", "m1.small", size(cores), "x86_64", count, count, **more)


def waits(one: Launch, since: int = NOW - MINUTE, id: str = "r-1") -> Waiting:
    own = replace(one, reservation_id=id)
    return Waiting(id, own, ("i-9",), since, NOW, NOW + 60 * MINUTE, "power_save", "It waits.")


def view(
    *nodes: Target, ended: tuple[Instance, ...] = (), line: tuple[Waiting, ...] = (), **said: Any
) -> PolicyView:
    parameters = {f"power_save.{name}": value for name, value in {"spare": 0, **said}.items()}
    return PolicyView(
        NOW,
        {t.id: t for t in nodes},
        parameters=parameters,
        instances=Map({i.id: i for i in ended}),
        waiting=Map({w.reservation_id: w for w in line}),
    )


def nodes_of(kind: type, found: list[Any]) -> list[str]:
    return [one.node for one in found if isinstance(one, kind)]


@pytest.mark.parametrize(
    ("seen", "asleep"),
    [
        (view(at("z/a"), at("z/b")), ["z/b", "z/a"]),
        (view(at("z/a"), at("z/b"), spare=1), ["z/b"]),  # the last in order of id first
        (view(at("z/a"), at("z/b"), spare=2), []),
        (view(at("z/a"), at("y/b"), spare=1), []),  # a spare one in each zone
        (view(at("z/a", used=1), at("z/b")), ["z/b"]),
        (view(at("z/a", used=1), at("z/b"), spare=1), []),
        (view(at("z/a", sleeps=False), at("z/b")), ["z/b"]),
        (view(at("z/a"), at("z/b"), exempt=["z/b"]), ["z/a"]),
        (view(at("z/a", usable=False, why="drained by an administrator")), []),
        (view(at("z/a"), ended=(gone("z/a", 9.9),)), []),
        (view(at("z/a"), ended=(gone("z/a", 10),)), ["z/a"]),
        (view(at("z/a"), ended=(gone("z/a", 10), gone("z/a", 5, "i-2"))), []),
        (view(at("z/a"), ended=(gone("z/a", 10),), idle_minutes=30), []),
        (view(at("z/a", power_since=NOW - MINUTE)), []),  # it has just woken
        (
            view(at("z/a"), at("z/b"), line=(waits(launch(4)),)),
            ["z/b"],
        ),  # the first is for the launch that waits
    ],
)
def test_who_goes_to_bed(seen: PolicyView, asleep: list[str]) -> None:
    found = power_save.tend(seen)
    assert nodes_of(Sleep, found) == asleep
    assert not nodes_of(Wake, found)


def test_it_asks_to_be_asked_when_the_next_one_is_due() -> None:
    seen = view(at("z/a"), at("z/b"), at("z/c"), ended=(gone("z/a", 4), gone("z/b", 7, "i-2")))
    found = power_save.tend(seen)
    assert nodes_of(Sleep, found) == ["z/c"]
    assert [one for one in found if isinstance(one, Again)] == [Again(NOW + 3 * MINUTE)]


@pytest.mark.parametrize(
    ("seen", "woken"),
    [
        (view(at("z/a", used=4), at("z/b", "asleep")), []),
        (view(at("z/a", used=4), at("z/b", "asleep"), spare=1), ["z/b"]),
        (view(at("z/a", used=4), at("z/b", "waking", power_since=NOW), at("z/c", "asleep"), spare=1), []),
        (view(at("z/a"), at("z/c", "asleep"), spare=1), []),
        (view(at("z/a", used=4), at("z/b", "asleep"), at("z/c", "asleep"), line=(waits(launch()),)), ["z/b"]),
        (view(at("z/a", "asleep"), at("z/b", "asleep"), line=(waits(launch(3, 2)),)), ["z/a", "z/b"]),
        (view(at("z/a", "asleep"), at("z/b", "asleep"), line=(waits(launch(3, 3)),)), []),  # in vain
        (
            view(at("z/a", "waking", power_since=NOW), at("z/b", "asleep"), line=(waits(launch(4)),)),
            [],
        ),  # one comes already
        (view(at("z/a", ""), at("z/b", "sleeping"), line=(waits(launch(4)),)), []),  # not to be had
        (  # another policy holds it: it may be long before that lets it go
            view(at("z/a", "asleep"), line=(replace(waits(launch(4)), policy="fair_share"),)),
            [],
        ),
        (  # the one that was woken does not come
            view(
                at("z/a", "waking", power_since=NOW - 15 * MINUTE),
                at("z/b", "asleep"),
                line=(waits(launch(4)),),
            ),
            ["z/b"],
        ),
        (view(at("y/a", "asleep"), at("z/b", "asleep"), line=(waits(launch(4, zone="z")),)), ["z/b"]),
        (
            view(
                at("z/a", "asleep"),
                at("z/b", "asleep"),
                line=(waits(launch(4)), waits(launch(4), NOW, "r-2")),
            ),
            ["z/a", "z/b"],
        ),
    ],
)
def test_who_is_woken(seen: PolicyView, woken: list[str]) -> None:
    found = power_save.tend(seen)
    assert nodes_of(Wake, found) == woken
    assert not nodes_of(Sleep, found)


@pytest.mark.parametrize(
    ("wanted", "nodes", "waited"),
    [
        (launch(4), (at("z/a"), at("z/b", "asleep")), False),
        (launch(4, 2), (at("z/a"), at("z/b", "asleep")), True),
        (launch(4, 3), (at("z/a"), at("z/b", "asleep")), False),  # there is no room at all: the core says so
        (launch(4), (at("z/a", used=1), at("z/b", "waking", power_since=NOW)), True),
        (launch(4), (at("z/a", used=1), at("z/b", "sleeping")), True),  # it can be woken when it is there
        (launch(4), (at("z/a", used=1), at("z/b", "")), False),
        (launch(4, zone="y"), (at("z/b", "asleep"),), False),
    ],
)
def test_a_launch_waits_for_nodes_that_sleep(wanted: Launch, nodes: tuple[Target, ...], waited: bool) -> None:
    said = power_save.admit(wanted, view(*nodes))
    assert isinstance(said, Wait) == waited
    if said is not None:
        assert said.until == NOW + 15 * MINUTE
