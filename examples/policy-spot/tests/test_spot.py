"""Who has a place, at what price, and who has to go: tables over a node of four cores.  And the contract of all policies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import euca_spot
import pytest
from immutables import Map

from euca_rpc.clock import MINUTE
from euca_rpc.policy.actions import Again, Evict, Publish
from euca_rpc.policy.values import Launch, PolicyView, Wait, Waiting
from euca_rpc.testing.contract import START, PolicyContract
from euca_rpc.testing.policies import node, size
from euca_rpc.types import Instance, InstanceLease, Intent, Reservation, Seen


class TestContract(PolicyContract):
    policy = euca_spot
    name = "spot"


NOW, SPOT = START, "best_effort"


def machine(n: int, bid: float | None, cores: int = 1) -> tuple[Instance, Reservation]:
    kind = "regular" if bid is None else SPOT
    hints = {} if bid is None else {"bid": str(bid)}
    row = Instance(
        f"i-{n}", f"r-{n}", "1" * 12, "u", 0, "emi-1", None, None, "x86_64", "m1", *size(cores).parts(), "z", "z/a", None,
        "", b"", "d0:0d", "", "", None, "terminate", kind, NOW - (9 - n) * MINUTE, Intent.RUNNING, seen=Seen.RUNNING,
        seen_generation=1, attempted=True,
    )  # fmt: skip
    return row, Reservation(f"r-{n}", "1" * 12, "u", (row.id,), NOW, Map(hints))


def launch(bid: float | None, cores: int = 1) -> Launch:
    kind = "regular" if bid is None else SPOT
    return Launch("1" * 12, "u", "m1", size(cores), "x86_64", 1, 1, service_class=kind, bid=bid)


def waits(one: Launch, minutes: int = 1) -> Waiting:
    since = NOW - minutes * MINUTE
    return Waiting(
        "r-w",
        replace(one, reservation_id="r-w"),
        ("i-w",),
        since,
        NOW,
        NOW + 999 * MINUTE,
        "spot",
        "It waits.",
    )


def view(
    *bids: float | None, line: Waiting | None = None, told: tuple[str, ...] = (), **published: Any
) -> PolicyView:
    """A node of four cores, and on it a machine of one core for each bid; None: a regular one."""
    there = [machine(n, bid) for n, bid in enumerate(bids)]
    return PolicyView(
        NOW,
        {"z/a": node("z/a", 4, used=len(bids))},
        instances=Map({i.id: i for i, _ in there}),
        reservations=Map({r.id: r for _, r in there}),
        leases=Map(
            {id: InstanceLease(id, "spot", NOW + 1, "terminate", NOW + 1, evicted="Out.") for id in told}
        ),
        waiting=Map({line.reservation_id: line} if line is not None else {}),
        published=Map({f"spot.{key}": value for key, value in published.items()}),
    )


@pytest.mark.parametrize(
    ("seen", "price", "gone"),
    [
        (view(), 0.05, []),
        (view(0.1, 0.2, 0.3, 0.4), 0.05, []),
        (view(None, None, None, None), 0.05, []),
        (view(0.1, 0.2, 0.3, 0.4, line=waits(launch(None))), 0.1, ["i-0"]),
        (view(0.4, 0.3, 0.2, 0.1, line=waits(launch(None, 2))), 0.2, ["i-2", "i-3"]),
        (view(0.2, 0.2, 0.2, 0.2, line=waits(launch(None))), 0.2, ["i-3"]),  # of equal bids the youngest
        (view(0.1, 0.2, 0.3, 0.4, line=waits(launch(0.25))), 0.1, ["i-0"]),
        (view(0.1, 0.2, 0.3, 0.4, line=waits(launch(0.07))), 0.07, []),  # who bids too little makes the price
        (view(0.1, 0.2, 0.3, 0.4, line=waits(launch(None)), told=("i-0",)), 0.05, []),  # that room comes
        (view(0.3, 0.4, line=waits(launch(None, 2), minutes=9)), 0.4, ["i-0", "i-1"]),  # cores were there, not together
        (view(0.1, 0.2, 0.3, 0.4, fed=0.25), 0.25, ["i-0", "i-1"]),
        (view(0.1, 0.2, 0.3, 0.4, fed=0.01), 0.05, []),
    ],
)  # fmt: skip
def test_the_price_and_who_has_to_go(seen: PolicyView, price: float, gone: list[str]) -> None:
    found = euca_spot.tend(seen)
    assert [one for one in found if isinstance(one, Publish)] == [Publish("price", price)]
    evicted = [one for one in found if isinstance(one, Evict)]
    assert sorted(one.instance for one in evicted) == gone
    assert all(one.notice == 2 * MINUTE for one in evicted)
    assert any(isinstance(one, Again) for one in found) == bool(seen.waiting)


@pytest.mark.parametrize(
    ("wanted", "seen", "waited"),
    [
        (launch(None), view(None), ""),
        (launch(None), view(None, None, None, None), ""),  # the core says that there is no room
        (launch(None), view(0.1, 0.2, None, None), "Spot machines are given notice"),
        (launch(0.3), view(price=0.2), ""),
        (launch(0.1), view(price=0.2), "The spot price is 0.2 for a core-hour, and 0.1 is bid."),
        (launch(0.1), view(fed=0.2), "The spot price is 0.2"),
        (launch(0.3), view(0.1, 0.4, None, None), "It outbids others with 0.3"),
        (launch(0.3), view(0.5, 0.4, None, None), ""),
        (launch(0.01), view(), "The spot price is 0.05"),
    ],
)
def test_who_waits_and_why(wanted: Launch, seen: PolicyView, waited: str) -> None:
    said = euca_spot.admit(wanted, seen)
    assert said.reason.startswith(waited) if isinstance(said, Wait) else waited == ""
