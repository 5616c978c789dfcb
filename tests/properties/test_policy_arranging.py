"""What `arrange` says is accepted exactly if a naive reader would find nothing wrong with it, and then as it was said."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as draw

from euca_rpc.policy.arranging import Nonsense, machines, verified
from euca_rpc.policy.values import Launch, Target
from euca_rpc.types import Size

NODES = ("a/1", "a/2", "b/1")


@draw.composite
def launches(pick: draw.DrawFn) -> list[Launch]:
    made = []
    for n in range(pick(draw.integers(1, 3))):
        least = pick(draw.integers(1, 2))
        made.append(
            Launch(
                "1" * 12,
                "u",
                "m1",
                Size(pick(draw.integers(1, 2)), 1, 1),
                pick(draw.sampled_from(("x86_64", "x86_64", "aarch64"))),
                least,
                least + pick(draw.integers(0, 2)),
                zone=pick(draw.sampled_from((None, None, "a", "b"))),
                reservation_id=f"r-{n}",
            )
        )
    return made


@draw.composite
def targets(pick: draw.DrawFn) -> dict[str, Target]:
    return {
        id: Target(
            id,
            id[0],
            "x86_64",
            Size(4, 9, 9),
            Size(pick(draw.integers(0, 4)), 0, 0),
            usable=pick(draw.sampled_from((True, True, True, False))),
        )
        for id in NODES
    }


def naive(said: dict[int, str], batch: list[Launch], there: dict[str, Target], shut: str) -> bool:
    cores = {id: target.room.cores for id, target in there.items()}
    given = dict.fromkeys((launch.reservation_id for launch in batch), 0)
    for index, id in said.items():
        if index not in range(len(batch)) or id not in there or id == shut:
            return False
        launch, target = batch[index], there[id]
        if not target.usable or launch.architecture != "x86_64" or launch.zone not in (None, target.zone):
            return False
        cores[id] -= launch.size.cores
        given[launch.reservation_id] += 1
    least = {launch.reservation_id: launch.min_count for launch in batch}
    return min(cores.values()) >= 0 and all(n == 0 or n >= least[id] for id, n in given.items())


ANSWERS = draw.dictionaries(draw.integers(-1, 9), draw.sampled_from((*NODES, *NODES, "c/9")), max_size=6)


@settings(max_examples=600, deadline=None)
@given(launches(), targets(), ANSWERS, draw.sampled_from(("", "", "a/2")))
def test_an_answer_counts_exactly_if_nothing_is_wrong_with_it(wanted, there, said, shut) -> None:
    batch = machines(wanted)
    right = naive(said, batch, there, shut)
    with nullcontext() if right else pytest.raises(Nonsense):
        found = verified(said, wanted, there, lambda cls, target: "shut" if target.id == shut else "")
    if not right:
        return
    first = 0
    for launch, nodes in zip(wanted, found, strict=True):
        mine = range(first, first + launch.max_count)
        assert list(nodes) == [said[index] for index in mine if index in said]
        first += launch.max_count
