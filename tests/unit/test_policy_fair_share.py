"""Fair shares: nothing is rationed while there is room; then whoever used least goes first."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import pytest
from immutables import Map

from euca_rpc.clock import HOUR, MINUTE, SECOND
from euca_rpc.policy.actions import Admit
from euca_rpc.policy.values import Entry, Launch, PolicyView, Tally, Target, Wait, Waiting
from euca_rpc.testing.contract import START, PolicyContract
from euca_rpc.testing.policies import node, size
from euca_rpc.types import Event
from euca_schedulers import fair_share

NOW = START
ANN, BOB = "100000000001", "100000000002"


class TestContract(PolicyContract):
    policy = fair_share
    name = "fair_share"
    parameters: ClassVar = {"fair_share.weights": [f"{ANN}=2", "nonsense", "x=-1", "y=nan"]}


def launch(account: str = ANN, cores: int = 1, count: int = 1, **more: Any) -> Launch:
    return Launch(account, "u", "m1", size(cores), "x86_64", count, count, **more)


def waits(id: str, account: str, cores: int = 1, since: int = 0, **more: Any) -> Waiting:
    one = launch(account, cores, reservation_id=id)
    told = {"policy": "fair_share", "reason": "It waits.", **more}
    return Waiting(id, one, (f"i-{id}",), NOW + since, NOW + HOUR, NOW + 24 * HOUR, **told)


def view(
    *nodes: Target,
    line: tuple[Waiting, ...] = (),
    held: dict[str, int] | None = None,
    past: dict[str, float] | None = None,
    **parameters: Any,
) -> PolicyView:
    """``held``: cores of each account, those that it waits for included; ``past``: core-hours of a day ago or less."""
    return PolicyView(
        NOW,
        {t.id: t for t in nodes},
        totals={f"fair_share.{id}": hours * 3600 for id, hours in (past or {}).items()},
        parameters={f"fair_share.{name}": value for name, value in parameters.items()},
        waiting=Map({w.reservation_id: w for w in line}),
        usage=Map({f"account/{id}": Tally(cores, size(cores)) for id, cores in (held or {}).items()}),
    )


FULL, HALF = node("z/a", 4, used=4), node("z/a", 4, used=2)


def test_as_long_as_there_is_room_nothing_is_rationed():
    assert fair_share.admit(launch(), view(HALF, held={ANN: 400})) is None
    assert fair_share.admit(launch(cores=2), view(HALF)) is None


def test_without_room_or_behind_others_a_launch_waits_until_it_is_let_go():
    said = fair_share.admit(launch(), view(FULL))
    assert isinstance(said, Wait)
    assert (said.until, said.firm) == (NOW + 30 * MINUTE, True)
    assert fair_share.admit(launch(), view(HALF, line=(waits("r-1", BOB),))) is not None
    other = waits("r-1", BOB, policy="calendar")  # that one waits for something else
    assert fair_share.admit(launch(), view(HALF, line=(other,))) is None
    mine = waits("r-1", ANN)
    assert fair_share.admit(mine.launch, view(HALF, line=(mine,))) is None


def test_what_would_never_fit_is_left_to_the_core():
    assert fair_share.admit(launch(cores=5), view(FULL, line=(waits("r-1", BOB),))) is None
    assert fair_share.admit(launch(zone="other"), view(FULL)) is None


@pytest.mark.parametrize(
    ("line", "more", "gone"),
    [
        ((waits("r-1", ANN), waits("r-2", BOB, since=1)), {}, ["r-1", "r-2"]),  # both find room
        ((waits("r-1", ANN), waits("r-2", BOB, cores=2, since=1)), {"held": {ANN: 3}}, ["r-2"]),
        ((waits("r-1", ANN), waits("r-2", ANN, since=1), waits("r-3", BOB, since=2)), {}, ["r-1", "r-3"]),
        ((waits("r-1", ANN, cores=2), waits("r-2", BOB, since=1)), {"past": {ANN: 1}}, ["r-2"]),
        (
            (waits("r-1", ANN), waits("r-2", BOB, cores=3, since=1)),
            {"past": {ANN: 1}},
            [],
        ),  # nobody is passed
        (
            (waits("r-1", ANN, cores=2), waits("r-2", BOB, cores=2, since=1)),
            {"held": {ANN: 5, BOB: 4}, "weights": [f"{ANN}=3"]},
            ["r-1"],
        ),
        ((waits("r-1", ANN, cores=9), waits("r-2", BOB, since=1)), {}, ["r-2"]),  # no node could take it
        ((waits("r-1", ANN, policy=""), waits("r-2", BOB, cores=2, since=1)), {}, []),
        ((waits("r-1", ANN, policy="calendar", cores=2), waits("r-2", BOB, since=1)), {}, ["r-2"]),
    ],
)
def test_whoever_used_least_goes_first(line, more, gone):
    assert fair_share.tend(view(HALF, line=line, **more)) == [Admit(id) for id in gone]


def test_what_waits_is_not_used_yet():
    line = (waits("r-1", ANN, cores=2), waits("r-2", BOB, cores=2, since=1))
    assert fair_share.tend(view(HALF, line=line, held={ANN: 2, BOB: 3})) == [Admit("r-1")]


def test_a_machine_that_ran_for_ever_counts_with_its_cores():
    for_ever = 3 * (24 * 3600) / math.log(2)  # core-seconds that three cores leave in the end
    seen = view(HALF, past={ANN: for_ever / 3600})
    assert fair_share._Used(seen).cores(ANN) == pytest.approx(3)


def test_what_a_machine_used_is_added_when_it_ends():
    def told(kind: str, **facts: Any) -> Any:
        return fair_share.account(Event(NOW, "n", "cloud", "", kind, "i-1", ANN, facts))

    assert told("instance.seen", state="terminated", core_seconds=90.5) == [Entry(ANN, 90.5, 24 * HOUR)]
    assert told("instance.seen", state="running") is None
    assert told("instance.launched") is None
    assert fair_share.HALF_LIFE == 24 * 3600 * SECOND
