"""When nodes are told of launches: soon, together if there are many, and never later than a quarter of a second after."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from euca_rpc.clock import SECOND
from euca_rpc.cloud import gathering
from euca_rpc.cloud.changes import Put
from euca_rpc.cloud.gathering import FEW, GATHER, GATHER_MANY, MANY
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


@pytest.mark.parametrize("untold", [0, FEW - 1, FEW, 50])
@pytest.mark.parametrize(
    ("after", "few", "many"),
    [
        (0, 20, 250),
        (1, 20, 250),
        (19_999, 20, 250),
        (20_000, 40, 250),
        (249_999, 260, 250),
        (250_000, 260, 500),
        (999_999, 1000, 1000),
    ],
)
def test_when_a_machine_is_told_as_said_at_its_launch(untold, after, few, many):
    view = with_machines([machine(n) for n in range(untold)])
    assert gathering.told_at(view, START + after) == START + (few if untold < FEW else many) * MS


@pytest.mark.parametrize(
    ("launches", "each", "busy"),
    [(0, 1, False), (1, 1, False), (1, 500, False), (MANY, 3, False), (MANY + 1, 1, True), (60, 1, True)],
)
def test_busy_is_many_launches_not_many_machines(launches, each, busy):
    rows = [machine(n, launch=n // each) for n in range(launches * each)]
    assert gathering.busy(with_machines(rows)) is busy
    told = [replace(row, attempted=True) for row in rows]
    assert not gathering.busy(with_machines(told))


@pytest.mark.parametrize(
    ("row", "quiet", "busy"),
    [
        (
            machine(1, START + 5 * MS, START + 20 * MS),
            20,
            250,
        ),  # came first, when nobody knew that many would
        (machine(1, START + 5 * MS, START + 250 * MS), 250, 250),
        (machine(1, START + 245 * MS, START + 260 * MS), 260, 260),  # never sooner than was said
        (machine(1, START + 250 * MS, START + 270 * MS), 270, 500),
        (machine(1, START - 60 * SECOND, START + 7 * MS), 7, 7),  # moved, or started again: not a launch
        (machine(1, START, START + 7 * MS, attempted=True), 7, 7),  # it was told: this is the next try
        (machine(1, START, START + 7 * MS, intent=Intent.TERMINATED), 7, 7),
        (machine(1, START, START + 7 * MS, intent=Intent.STOPPED, seen=Seen.RUNNING), 7, 7),
    ],
)
def test_when_it_is_due(row, quiet, busy):
    assert gathering.due(row, False) == START + quiet * MS
    assert gathering.due(row, True) == START + busy * MS


def test_a_machine_that_is_started_again_does_not_wait_with_many_launches():
    many = [machine(n, START + n * MS, START + GATHER_MANY) for n in range(2, 40)]
    again = machine(1, START - 3600 * SECOND, START + 40 * MS, deadline=START + 600 * SECOND)
    actions, due = decide(with_machines([again, *many]), START + 40 * MS)
    assert actions == [Tell("ensure", "z/h1", (again.id,))]
    assert due == START + GATHER_MANY


@given(
    st.lists(
        st.tuples(st.integers(0, 900_000) | st.integers(0, 30_000), st.integers(1, 4)),
        min_size=1,
        max_size=60,
    )
)
def test_each_is_told_within_a_quarter_of_a_second_and_many_together(launches):
    """``launches``: when, in µs, and how many machines.  As the controller does it: decided at each launch and when due."""
    view, to_come, told = with_machines([]), sorted(launches), dict[str, int]()
    number = 0
    due = None
    while to_come or due is not None:
        now = START + to_come[0][0] if to_come and (due is None or START + to_come[0][0] <= due) else due
        while to_come and START + to_come[0][0] == now:
            _, count = to_come.pop(0)
            launch, at = number, gathering.told_at(view, now)
            rows = [machine(number + n, now, at, launch) for n in range(count)]
            number += count
            view = view.apply([*map(Put, rows)])
        untold = [view.instances[id] for id in view.untold]
        many = len({row.reservation_id for row in untold}) > MANY
        actions, due = decide(view, now)
        tells = [a for a in actions if isinstance(a, Tell)]
        assert len({t.node for t in tells}) == len(tells), "one call for each node"
        for row in [view.instances[id] for t in tells for id in t.ids]:
            told[row.id] = now
            assert row.launched_at < now <= row.launched_at + GATHER_MANY
            quarter = row.launched_at - row.launched_at % GATHER_MANY + GATHER_MANY
            assert not many or now >= quarter, (
                "told before others of the same quarter, of which there are many"
            )
            view = view.apply([Put(replace(row, attempted=True, intent=Intent.RUNNING, seen=Seen.RUNNING,
                                           seen_generation=1))])  # fmt: skip
        _, due = decide(view, now)
        due = None if not view.untold else due
    assert len(told) == number
    for quarter in {at // GATHER_MANY for at in told.values()}:
        moments = {at for at in told.values() if at // GATHER_MANY == quarter}
        assert len(moments) <= GATHER_MANY // GATHER + 2
