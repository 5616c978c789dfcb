"""When nodes are told of launches: once none has come for a moment, or the first has waited for a quarter of a second."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from euca_rpc.clock import SECOND
from euca_rpc.cloud import gathering, lifecycle
from euca_rpc.cloud.changes import Put
from euca_rpc.cloud.gathering import FEW, GATHER, GATHER_MANY, LONGEST
from euca_rpc.cloud.reconcile import Tell, decide
from euca_rpc.cloud.view import View
from euca_rpc.types import Contact, Instance, Intent, Node, Seen

START = 1_700_000_000 * SECOND  # the beginning of a second
MS = 1000


def machine(
    number: int, at: int = START, told: int | None = None, launch: int | None = None, **kw
) -> Instance:
    """``launch``: the number of its reservation, if others share it."""
    reservation = f"r-{number if launch is None else launch:08x}"
    row = Instance(
        f"i-{number:08x}", reservation, "1" * 12, "u", 0, "emi-1", None, None, "x86_64", "m1.small", 1, 128, 10, "z",
        f"z/h{number % 2}", None, "", b"", "d0:0d", f"10.0.{number // 250}.{number % 250}", "127.0.0.9", None, "terminate",
        "regular", at, deadline=at + 600 * SECOND, next_try=at if told is None else told,
    )  # fmt: skip
    return replace(row, **kw)


def with_machines(rows) -> View:
    nodes = [Node(f"z/h{n}", "z", f"h{n}", cores=999, memory_mb=999_999, disk_gb=9_999) for n in range(2)]
    view = View().apply([*map(Put, nodes), *map(Put, rows)])
    heard = [Contact(id, heard_at=START) for id in ("z", "z/h0", "z/h1")]
    return view.apply([*map(Put, heard)])


def tells(rows, at: int) -> tuple[set[str], int | None]:
    """Whose nodes are told at START + ``at`` ms, and when the next are, in ms."""
    actions, due = decide(with_machines(rows), START + at * MS)
    ids = {id for a in actions if isinstance(a, Tell) for id in a.ids}
    return ids, None if due is None or due > START + SECOND else (due - START) // MS


def launches(*moments: int) -> list[Instance]:
    """One machine at each, in ms, as they would be committed."""
    rows: list[Instance] = []
    for n, at in enumerate(moments):
        now = START + at * MS
        rows.append(machine(n, now, gathering.told_at(with_machines(rows), now)))
    return rows


@pytest.mark.parametrize(("untold", "pause"), [(0, 10), (FEW - 1, 10), (FEW, 80), (200, 80)])
def test_how_long_a_launch_waits_for_others(untold, pause):
    view = with_machines([machine(n) for n in range(untold)])
    assert gathering.told_at(view, START) == START + pause * MS
    told = with_machines([machine(n, attempted=True) for n in range(untold)])
    assert gathering.told_at(told, START) == START + GATHER
    again = with_machines([machine(n, generation=2) for n in range(untold)])
    assert gathering.told_at(again, START) == START + GATHER


@pytest.mark.parametrize(
    ("launched", "together"),
    [
        ([0], 10),
        ([0, 0, 0], 10),
        ([0, 5, 9], 19),
        ([0, 5, 9, 9], 89),
        ([0, 1, 2, 169], 249),
        ([0, 1, 2, 171], 250),  # the first has waited long enough
    ],
)
def test_when_nodes_are_told(launched, together):
    assert gathering.together(launches(*launched)) == START + together * MS


def test_machines_of_one_launch_wait_for_nobody():
    rows = [machine(n, START, START + GATHER, launch=1) for n in range(200)]
    assert tells(rows, 9) == (set(), 10)
    assert len(tells(rows, 10)[0]) == 200


@pytest.mark.parametrize(
    ("launched", "at", "told", "due"),
    [
        ([0], 9, set(), 10),
        ([0], 10, {0}, None),
        ([0, 9], 10, set(), 19),
        ([0, 9], 19, {0, 1}, None),
        ([0, 1, 2, 3], 10, set(), 83),
        ([0, 1, 2, 3], 83, {0, 1, 2, 3}, None),
        ([0, *range(5, 250, 5)], 249, set(), 250),
        # those of the last moment begin the next round: the others are gone when it is looked at again
        ([0, *range(5, 250, 5)], 250, set(range(35)), 255),
    ],
)
def test_whose_nodes_are_told(launched, at, told, due):
    ids, next_ = tells(launches(*launched), at)
    assert ids == {f"i-{n:08x}" for n in told}
    assert next_ == due


@pytest.mark.parametrize(
    "other",
    [
        machine(99, START - 60 * SECOND, START + 7 * MS, generation=2),  # started again
        machine(99, START, START + 7 * MS, attempted=True),  # it was told: this is the next try
        machine(99, START, START + 7 * MS, intent=Intent.TERMINATED),
        machine(
            99,
            START,
            START + 7 * MS,
            intent=Intent.STOPPED,
            seen=Seen.RUNNING,
            seen_generation=1,
            attempted=True,
        ),
    ],
)
def test_what_is_no_launch_does_not_wait_for_launches_and_hurries_none(other):
    assert tells([other], 6) == (set(), 7)
    assert tells([other, *launches(0, 5)], 7) == ({other.id}, 15)
    assert tells([other, *launches(0, 5)], 6)[1] == 7


def test_a_machine_that_runs_already_is_rebooted_not_told_of_again():
    """Its node says so, though no call to it is on record."""
    runs = machine(99, START, START + 7 * MS, seen=Seen.RUNNING, seen_generation=1, reboots=1)
    actions, _ = decide(with_machines([runs, *launches(0, 5)]), START + 7 * MS)
    assert actions == [Tell("reboot", "z/h1", (runs.id,))]


def test_a_machine_that_was_moved_is_not_kept_waiting():
    moved = machine(99, START - 60 * SECOND, START)
    assert tells([moved], 0) == ({moved.id}, None)


def test_launches_on_a_node_that_is_silent_hurry_no_others():
    silent = machine(99, START - 60 * SECOND, START, node="z/gone")
    assert tells([silent, *launches(0, 5)], 10) == (set(), 15)


@given(
    st.lists(
        st.tuples(st.integers(0, 900_000) | st.integers(0, 30_000), st.integers(1, 4)),
        min_size=1,
        max_size=60,
    )
)
def test_each_is_told_within_a_third_of_a_second_and_many_together(drawn):
    """``drawn``: when, in µs, and how many machines.  As the controller does it: decided at each launch and when due."""
    view, to_come, told = with_machines([]), sorted(drawn), dict[str, int]()
    number = 0
    due = None
    while to_come or due is not None:
        now = START + to_come[0][0] if to_come and (due is None or START + to_come[0][0] <= due) else due
        while to_come and START + to_come[0][0] == now:
            _, count = to_come.pop(0)
            rows = [machine(number + n, now, gathering.told_at(view, now), number) for n in range(count)]
            number += count
            view = view.apply([*map(Put, rows)])
        untold = [row for row in view.instances.values() if lifecycle.launched(row)]
        actions, due = decide(view, now)
        tells = [a for a in actions if isinstance(a, Tell)]
        assert len({t.node for t in tells}) == len(tells), "one call for each node"
        now_told = [view.instances[id] for t in tells for id in t.ids]
        if now_told:
            last, first = max(r.next_try for r in untold), min(r.launched_at for r in untold)
            assert now >= last or now == first + LONGEST, "told while others come"
        for row in now_told:
            told[row.id] = now
            assert row.launched_at + GATHER <= now <= row.launched_at + LONGEST + GATHER_MANY
            view = view.apply([Put(replace(row, attempted=True, intent=Intent.RUNNING, seen=Seen.RUNNING,
                                           seen_generation=1))])  # fmt: skip
        _, due = decide(view, now)
        due = due if any(lifecycle.launched(row) for row in view.instances.values()) else None
    assert len(told) == number
    moments = sorted(set(told.values()))
    assert all(later - sooner >= GATHER for sooner, later in pairwise(moments))
